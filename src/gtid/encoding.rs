//! MySQL's binary form of a GTID set: in PREVIOUS_GTIDS and in COM_BINLOG_DUMP_GTID.
//!
//! ```text
//! u64: the number of origins; where there are tags, shifted up by a byte, with the format (1) in
//!      the lowest and in the highest byte
//! per origin: uuid, 16 bytes | with tags: length (variable), tag | intervals u64
//!             | per interval: first u64, behind the last u64
//! ```
//!
//! `Gtid_set::encode` in the server's `sql/rpl_gtid_set.cc`, and what 9.7.4 sent (see the tests).

use std::str;

use thiserror::Error;

use super::mysql::{Tag, Uuid};
use super::{GtidSet, Origin};
use crate::cursor::{self, Cursor};

const TAGGED: u8 = 1;
/// Where an interval may end at most, exclusively: numbers stay below 2^63 - 1.
const END: u64 = i64::MAX as u64;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodingError {
    #[error("a GTID set is cut short: {0}")]
    Truncated(#[from] cursor::Error),
    #[error("no GTID set of MySQL: {0}")]
    Malformed(&'static str),
}

/// Takes the whole of `bytes`. What it allocates is bounded by their length.
pub fn decode(bytes: &[u8]) -> Result<GtidSet, EncodingError> {
    let mut cursor = Cursor::new(bytes);
    let head = cursor.u64()?;
    let (tagged, origins) = match (head >> 56) as u8 {
        0 => (false, head),
        TAGGED if head as u8 == TAGGED => (true, head << 8 >> 16),
        _ => return Err(EncodingError::Malformed("its format is not known here")),
    };
    let mut set = GtidSet::new();
    for _ in 0..origins {
        let uuid = Uuid(cursor.array()?);
        let tag = if tagged { tag(&mut cursor)? } else { None };
        let origin = Origin::MySql { uuid, tag };
        // The servers list each origin once, its intervals in order; so nothing here is quadratic.
        if set.has_origin(&origin) {
            return Err(EncodingError::Malformed("an origin is listed twice"));
        }
        let mut behind = 0;
        for _ in 0..cursor.u64()? {
            let (first, end) = (cursor.u64()?, cursor.u64()?);
            if first <= behind || end <= first || end > END {
                return Err(EncodingError::Malformed("an interval is out of order"));
            }
            set.insert_range(origin.clone(), first, end - 1);
            behind = end;
        }
    }
    if cursor.is_empty() {
        Ok(set)
    } else {
        Err(EncodingError::Malformed("there are bytes behind it"))
    }
}

fn tag(cursor: &mut Cursor<'_>) -> Result<Option<Tag>, EncodingError> {
    let length = cursor.var_uint()?;
    let bytes = cursor.take(usize::try_from(length).unwrap_or(usize::MAX))?;
    parse_tag(bytes).map_err(|()| EncodingError::Malformed("a tag is none"))
}

/// A tag as MySQL writes it; the empty one is none.
pub(crate) fn parse_tag(bytes: &[u8]) -> Result<Option<Tag>, ()> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = str::from_utf8(bytes).map_err(|_| ())?;
    text.parse().map(Some).map_err(|_| ())
}

/// One origin as it is written.
struct Listed<'a> {
    uuid: Uuid,
    tag: Option<&'a Tag>,
    /// First and last.
    intervals: Vec<(u64, u64)>,
}

/// MySQL's part of a set.
pub fn encode(set: &GtidSet) -> Vec<u8> {
    let mut origins: Vec<Listed<'_>> = Vec::new();
    for (origin, first, last) in set.ranges() {
        let Origin::MySql { uuid, tag } = origin else {
            continue;
        };
        let tag = tag.as_ref();
        match origins.last_mut() {
            Some(open) if (open.uuid, open.tag) == (*uuid, tag) => {
                open.intervals.push((first, last));
            }
            _ => origins.push(Listed {
                uuid: *uuid,
                tag,
                intervals: vec![(first, last)],
            }),
        }
    }
    let tagged = origins.iter().any(|origin| origin.tag.is_some());
    let count = origins.len() as u64;
    let head = if tagged {
        u64::from(TAGGED) << 56 | count << 8 | u64::from(TAGGED)
    } else {
        count
    };
    let mut out = head.to_le_bytes().to_vec();
    for Listed {
        uuid,
        tag,
        intervals,
    } in origins
    {
        out.extend_from_slice(&uuid.0);
        if tagged {
            let tag = tag.map_or("", Tag::as_str);
            // At most 32: one byte of the variable form.
            out.push((tag.len() as u8) << 1);
            out.extend_from_slice(tag.as_bytes());
        }
        out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
        for (first, last) in intervals {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.saturating_add(1).to_le_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "4cd677b2-e70c-11f1-a00a-02fc00000001";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        digits
            .chunks(2)
            .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn what_a_replica_sent() {
        // From the COM_BINLOG_DUMP_GTID of a MySQL 9.7.4.
        let sent = bytes(
            "0102000000000001 4cd677b2e70c11f1a00a02fc00000001 00 0100000000000000 \
             0100000000000000 0400000000000000 4cd677b2e70c11f1a00a02fc00000001 06 746170 \
             0100000000000000 0100000000000000 0200000000000000",
        );
        let set = decode(&sent).unwrap();
        assert_eq!(set.to_string(), format!("{UUID}:1-3:tap:1"));
        assert_eq!(encode(&set), sent);
        for end in 0..sent.len() {
            assert!(decode(&sent[..end]).is_err(), "{end}");
        }
        assert_eq!(decode(&[0; 8]), Ok(GtidSet::new()));
        assert_eq!(encode(&GtidSet::new()), [0; 8]);
    }

    #[test]
    fn nonsense_is_refused() {
        let one = |head: u64, intervals: &[(u64, u64)]| {
            let mut bytes = head.to_le_bytes().to_vec();
            bytes.extend_from_slice(&[7; 16]);
            bytes.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for (first, end) in intervals {
                bytes.extend_from_slice(&first.to_le_bytes());
                bytes.extend_from_slice(&end.to_le_bytes());
            }
            bytes
        };
        assert!(decode(&one(1, &[(1, 3), (4, END)])).is_ok());
        for intervals in [
            &[(0, 2)][..],
            &[(2, 2)],
            &[(3, 2)],
            &[(1, END + 1)],
            &[(1, 3), (3, 4)],
            &[(5, 6), (1, 2)],
        ] {
            assert!(decode(&one(1, intervals)).is_err(), "{intervals:?}");
        }
        let mut twice = one(2, &[(1, 2)]);
        twice.extend_from_within(8..);
        assert!(decode(&twice).is_err());
        let mut longer = one(1, &[(1, 2)]);
        longer.push(0);
        assert!(decode(&longer).is_err());
        // A count that cannot be, and formats that are not known.
        for head in [u64::MAX >> 8, 0x0200_0000_0000_0102, 0x0100_0000_0000_0100] {
            assert!(decode(&one(head, &[(1, 2)])).is_err(), "{head:#x}");
        }
    }

    fn sets() -> impl Strategy<Value = GtidSet> {
        proptest::collection::vec((0u8..3, 0usize..3, 1u64..40, 0u64..5), 0..12).prop_map(
            |ranges| {
                let mut set = GtidSet::new();
                for (uuid, tag, first, more) in ranges {
                    let tag = [None, Some("a"), Some("backup_1")][tag];
                    let origin = Origin::MySql {
                        uuid: Uuid([uuid; 16]),
                        tag: tag.map(|tag| tag.parse().unwrap()),
                    };
                    set.insert_range(origin, first, first + more);
                }
                set
            },
        )
    }

    proptest! {
        #[test]
        fn a_set_survives(set in sets()) {
            prop_assert_eq!(decode(&encode(&set)), Ok(set));
        }

        #[test]
        fn no_bytes_make_it_panic(set in sets(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = encode(&set);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = decode(&bytes);
        }
    }
}
