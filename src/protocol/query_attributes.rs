//! Query attributes: named values in front of COM_QUERY's text (MySQL, `CLIENT_QUERY_ATTRIBUTES`).
//!
//! They are passed on as they are; what matters is where the text behind them begins. Read more
//! strictly than the server does: where it could come to another place, nothing is passed on.

use super::Error;
use super::fields::Fields;

const WHAT: &str = "the query attributes";
/// A client sends one set of values, always.
const SETS: u64 = 1;
/// The protocol's limit for parameters.
const MOST: u64 = 65_535;
/// The types of all follow.
const TYPES_FOLLOW: u8 = 1;

/// What stands there when there are none.
pub const NONE: &[u8] = &[0, SETS as u8];

/// The place in COM_QUERY's payload where its text begins.
pub fn text_at(payload: &[u8]) -> Result<usize, Error> {
    let mut fields = Fields::new(payload, WHAT);
    fields.u8()?;
    let count = fields.lenenc()?;
    if fields.lenenc()? != SETS {
        return Err(malformed("not one set of them"));
    }
    if count > MOST {
        return Err(malformed("too many"));
    }
    if count > 0 {
        skip(&mut fields, count as usize)?;
    }
    Ok(payload.len() - fields.rest().len())
}

fn skip(fields: &mut Fields<'_>, count: usize) -> Result<(), Error> {
    let nulls = fields.bytes(count.div_ceil(8))?;
    if fields.u8()? != TYPES_FOLLOW {
        return Err(malformed("without types"));
    }
    let mut types = Vec::new();
    for _ in 0..count {
        // The flag for unsigned is in the upper half.
        let [kind, _] = fields.array()?;
        fields.lenenc_bytes()?;
        types.push(kind);
    }
    for (number, kind) in types.into_iter().enumerate() {
        let is_null = nulls[number / 8] >> (number % 8) & 1 == 1;
        if !is_null {
            skip_value(fields, kind)?;
        }
    }
    Ok(())
}

/// A value in the binary protocol.
fn skip_value(fields: &mut Fields<'_>, kind: u8) -> Result<(), Error> {
    match kind {
        // TINY, SHORT
        1 => fields.bytes(1).map(drop),
        2 => fields.bytes(2).map(drop),
        // LONG, FLOAT
        3 | 4 => fields.bytes(4).map(drop),
        // DOUBLE, LONGLONG
        5 | 8 => fields.bytes(8).map(drop),
        // TIMESTAMP, DATE, TIME, DATETIME, and texts (VARCHAR, JSON, NEWDECIMAL, BLOBs and strings): a
        // length in front.
        7 | 10..=12 | 15 | 245 | 246 | 249..=254 => fields.lenenc_bytes().map(drop),
        _ => Err(malformed("a type that clients do not send")),
    }
}

fn malformed(why: &'static str) -> Error {
    Error::Malformed { what: WHAT, why }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// COM_QUERY with attributes: type, value as sent; None is NULL.
    fn query(attributes: &[(u8, Option<&[u8]>)], text: &[u8]) -> Vec<u8> {
        let mut payload = vec![3, attributes.len() as u8, 1];
        if !attributes.is_empty() {
            let mut nulls = vec![0; attributes.len().div_ceil(8)];
            for (number, (_, value)) in attributes.iter().enumerate() {
                nulls[number / 8] |= u8::from(value.is_none()) << (number % 8);
            }
            payload.extend(nulls);
            payload.push(TYPES_FOLLOW);
            for (kind, _) in attributes {
                payload.extend([*kind, 0, 2, b'n', b'a']);
            }
            for (_, value) in attributes {
                payload.extend(value.unwrap_or_default());
            }
        }
        payload.extend(text);
        payload
    }

    #[track_caller]
    fn check(attributes: &[(u8, Option<&[u8]>)]) {
        let payload = query(attributes, b"SELECT 1");
        let at = text_at(&payload).unwrap();
        assert_eq!(&payload[at..], b"SELECT 1");
    }

    #[test]
    fn the_text_is_behind_them() {
        check(&[]);
        check(&[(254, Some(b"\x05trace"))]);
        check(&[(254, None), (8, Some(&[7; 8])), (1, Some(b"x"))]);
        check(&[
            (12, Some(b"\x04\xE8\x07\x0B\x17")),
            (6, None),
            (2, Some(b"ab")),
        ]);
        check(&[(254, None); 9]);
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused() {
        let whole = query(&[(254, Some(b"\x05trace"))], b"");
        for end in 0..whole.len() {
            assert!(text_at(&whole[..end]).is_err(), "{end}");
        }
        for (at, byte) in [
            (1, 0xFB),
            (1, 0xFF),
            (2, 0),
            (2, 2),
            (4, 0),
            (5, 255),
            (5, 16),
            (5, 6),
        ] {
            let mut broken = whole.clone();
            broken[at] = byte;
            assert!(text_at(&broken).is_err(), "byte {at} = {byte}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(at) = text_at(&payload) {
                prop_assert!(at <= payload.len());
            }
        }
    }
}
