//! `POST /api/v1/accept` and `/api/v1/source/accept`: what somebody answers for. What is asked, and what
//! comes back.

use serde::{Deserialize, Serialize};

use crate::gtid::GtidSet;

/// Holes in what a replica has executed, which are none from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holes {
    /// A `[[server]]`.
    pub server: String,
    /// GTID sets, as `status` shows them.
    pub holes: Vec<String>,
}

/// All that was accepted of that replica so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub server: String,
    /// A GTID set.
    pub accepted: String,
}

/// The source as it is now, though its binlog is not the one that we captured from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The `[[server]]` that is followed.
    pub server: String,
}

impl Holes {
    pub fn set(&self) -> Result<GtidSet, String> {
        let mut all = GtidSet::new();
        for text in &self.holes {
            let set: GtidSet = text
                .parse()
                .map_err(|error| format!("'{text}' is no GTID set: {error}"))?;
            all.merge(&set);
        }
        match all.is_empty() {
            true => Err("no hole is named".to_owned()),
            false => Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_named_by_gtid() {
        let holes = |holes: &[&str]| {
            let holes = holes.iter().map(ToString::to_string).collect();
            let server = "db2".to_owned();
            Holes { server, holes }.set()
        };
        let set = holes(&["0-1-5..7", "0-1-9"]).unwrap();
        assert_eq!(set.to_string(), "0-1-5..7,0-1-9");
        let uuid = "4cd677b2-e70c-11f1-a00a-02fc00000001";
        assert_eq!(holes(&[&format!("{uuid}:5-7")]).unwrap().len(), 3);
        for wrong in [&["0-1-x"][..], &[""], &[], &["all"]] {
            assert!(holes(wrong).is_err(), "{wrong:?}");
        }
    }
}
