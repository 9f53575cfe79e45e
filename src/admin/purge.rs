//! `POST /api/v1/binlog/purge`: what is asked, and what comes back.

use serde::{Deserialize, Serialize};

use crate::ids::StorePosition;
use crate::store::{self, Keep, Purged, Unwanted, file_number};
use crate::units::parse_utc;

/// At most one of the first three; without any, as `[binlog] keep` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// Files that were complete by then: a time in UTC.
    pub before: Option<String>,
    /// Files before this one.
    pub to: Option<String>,
    /// Files beyond this, as in `[binlog] keep`.
    pub keep: Option<String>,
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub files: Vec<File>,
    pub held_for: Vec<Need>,
    pub taken_from: Vec<Need>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub name: String,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    pub who: String,
    /// A position in our binlog; null where it is not known.
    pub applied: Option<String>,
}

impl Order {
    pub fn unwanted(&self, keep: Keep) -> Result<Unwanted, String> {
        match (&self.before, &self.to, &self.keep) {
            (None, None, None) => Ok(Unwanted::Beyond(keep)),
            (None, None, Some(keep)) => keep.parse().map(Unwanted::Beyond),
            (None, Some(file), None) => file_number(file).map(Unwanted::Before).ok_or_else(|| {
                format!("'{file}' is no file of our binlog: write it as in \"binlog.000007\"")
            }),
            (Some(time), None, None) => parse_utc(time).map(Unwanted::Until),
            _ => Err("give one of before, to and keep".to_owned()),
        }
    }
}

impl Need {
    pub fn has(&self) -> String {
        match &self.applied {
            Some(applied) => format!("it has all up to {applied}"),
            None => "what it has applied is not known".to_owned(),
        }
    }
}

impl From<store::Need> for Need {
    fn from(need: store::Need) -> Self {
        Self {
            who: need.who,
            applied: (need.from > StorePosition::ZERO).then(|| need.from.to_string()),
        }
    }
}

impl From<Purged> for Answer {
    fn from(purged: Purged) -> Self {
        let files = purged.files.into_iter();
        Self {
            files: files
                .map(|file| File {
                    name: file.name,
                    bytes: file.bytes,
                })
                .collect(),
            held_for: purged.held_for.into_iter().map(Into::into).collect(),
            taken_from: purged.taken_from.into_iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_asked_for() {
        let order = |json: &str| serde_json::from_str::<Order>(json).unwrap();
        let asked = |json: &str| order(json).unwanted(Keep::ALL);
        assert_eq!(asked("{}"), Ok(Unwanted::Beyond(Keep::ALL)));
        assert_eq!(
            asked(r#"{"keep":"1GiB"}"#),
            Ok(Unwanted::Beyond(Keep::size(1 << 30)))
        );
        assert_eq!(asked(r#"{"to":"binlog.000007"}"#), Ok(Unwanted::Before(7)));
        assert_eq!(
            asked(r#"{"before":"1970-01-01T00:01:00Z"}"#),
            Ok(Unwanted::Until(60))
        );
        for wrong in [
            r#"{"keep":"much"}"#,
            r#"{"to":"../binlog.000007"}"#,
            r#"{"before":"yesterday"}"#,
            r#"{"to":"binlog.000007","keep":"7d"}"#,
        ] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Order>(r#"{"all":true}"#).is_err());
    }
}
