//! The session state inside an OK packet: which variables, which schema, which GTIDs changed.
//!
//! Entries are `type, length, data`. Type 0 holds pairs of strings (a variable and its value); MariaDB
//! puts several pairs into one entry or one entry each, depending on the version, so both are read.

use super::Error;
use super::fields::{Fields, put_lenenc_bytes};

const WHAT: &str = "the session state";
const SYSTEM_VARIABLES: u8 = 0;
const GTIDS: u8 = 3;
/// MariaDB reports the GTID of the last commit as this system variable.
pub const LAST_GTID: &[u8] = b"last_gtid";
/// The list of variables that are reported.
pub const TRACKED: &[u8] = b"session_track_system_variables";

/// One change of the session's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Variable {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// MySQL: the GTIDs of what this session committed, as text.
    Gtids(&'a [u8]),
    /// Schema, transaction state and whatever a later version adds.
    Other {
        kind: u8,
        data: &'a [u8],
    },
}

/// Calls `each` for every change, in order.
pub fn each<'a>(state: &'a [u8], mut each: impl FnMut(Change<'a>)) -> Result<(), Error> {
    let mut entries = Fields::new(state, WHAT);
    while !entries.is_empty() {
        let kind = entries.u8()?;
        let data = entries.lenenc_bytes()?;
        match kind {
            SYSTEM_VARIABLES => {
                let mut pairs = Fields::new(data, WHAT);
                while !pairs.is_empty() {
                    let name = pairs.lenenc_bytes()?;
                    let value = pairs.lenenc_bytes()?;
                    each(Change::Variable { name, value });
                }
            }
            GTIDS => {
                // One byte of encoding specification, then the text.
                let mut fields = Fields::new(data, WHAT);
                fields.u8()?;
                each(Change::Gtids(fields.lenenc_bytes()?));
            }
            _ => each(Change::Other { kind, data }),
        }
    }
    Ok(())
}

/// The text of the GTID (MariaDB) or GTID set (MySQL) that was committed, if there is one.
pub fn gtid(state: &[u8]) -> Result<Option<&[u8]>, Error> {
    let mut found = None;
    each(state, |change| match change {
        Change::Variable { name, value } if name == LAST_GTID && !value.is_empty() => {
            found = Some(value);
        }
        Change::Gtids(text) => found = Some(text),
        _ => {}
    })?;
    Ok(found)
}

/// The value that a variable has now, if it was reported.
pub fn variable<'a>(state: &'a [u8], wanted: &[u8]) -> Result<Option<&'a [u8]>, Error> {
    let mut found = None;
    each(state, |change| match change {
        Change::Variable { name, value } if name == wanted => found = Some(value),
        _ => {}
    })?;
    Ok(found)
}

/// Appends `state` without what is hidden: a client did not ask for it.
pub fn without(
    state: &[u8],
    hides: impl Fn(&Change<'_>) -> bool,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    each(state, |change| match change {
        hidden if hides(&hidden) => {}
        Change::Gtids(text) => {
            // The encoding specification is 0, the only one that there is.
            let mut data = vec![0];
            put_lenenc_bytes(&mut data, text);
            out.push(GTIDS);
            put_lenenc_bytes(out, &data);
        }
        Change::Variable { name, value } => {
            let mut pair = Vec::with_capacity(name.len() + value.len() + 4);
            put_lenenc_bytes(&mut pair, name);
            put_lenenc_bytes(&mut pair, value);
            out.push(SYSTEM_VARIABLES);
            put_lenenc_bytes(out, &pair);
        }
        Change::Other { kind, data } => {
            out.push(kind);
            put_lenenc_bytes(out, data);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &[u8] =
        b"\x00\x12\x09last_gtid\x070-1-187\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04shop";

    #[test]
    fn the_gtid_is_found_and_can_be_hidden() {
        assert_eq!(gtid(STATE).unwrap(), Some(&b"0-1-187"[..]));
        let mut rest = Vec::new();
        let hides = |change: &Change<'_>| matches!(change, Change::Variable { name, .. } if *name == LAST_GTID);
        without(STATE, hides, &mut rest).unwrap();
        assert_eq!(rest, &STATE[20..]);
    }

    #[test]
    fn mysql_gtids() {
        let state = b"\x03\x2a\x00\x28d3c1a2b4-0000-0000-0000-000000000001:111";
        assert_eq!(
            gtid(state).unwrap(),
            Some(&b"d3c1a2b4-0000-0000-0000-000000000001:111"[..])
        );
        let mut same = Vec::new();
        without(state, |_| false, &mut same).unwrap();
        assert_eq!(same, state);
    }

    #[test]
    fn several_pairs_in_one_entry() {
        let state = b"\x00\x09\x01a\x01b\x01c\x02de";
        let mut seen = Vec::new();
        each(state, |change| seen.push(change)).unwrap();
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn cut_anywhere_is_no_panic() {
        for end in 0..STATE.len() {
            let _ = gtid(&STATE[..end]);
        }
    }
}
