//! Which rows of a range differ, and in what.

use std::collections::BTreeMap;

use super::expression::{self, SHOWN, UnknownType};
use super::last_write::LastWrite;
use crate::net::admin::Row;
use crate::tables::range::readable;
use crate::tables::{Bound, Definition, Name, Ordered};

/// A row that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowDifference {
    /// As a condition.
    pub key: String,
    /// The key itself.
    pub bound: Bound,
    pub what: What,
    /// By a row event, as far as our binlog reaches back.
    pub written: Option<LastWrite>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum What {
    #[default]
    NotThere,
    OnlyThere,
    Other(Vec<ColumnDifference>),
}

/// Both as people read them; of long values the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDifference {
    pub column: String,
    pub there: String,
    pub source: String,
}

/// How rows of a table are asked for, and told apart.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    table: Name,
    key: Ordered,
    row: String,
    columns: Vec<(String, String)>,
}

/// The rows of a range, by key: what makes a row another one.
pub(super) type Digests = BTreeMap<String, (Bound, String)>;

/// A key that is not the same on both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Differing {
    pub key: Bound,
    pub at_source: bool,
}

impl Reader {
    pub fn new(table: &Name, definition: &Definition, key: &Ordered) -> Result<Self, UnknownType> {
        let shown = definition.columns.iter().map(|column| {
            let expression = expression::shown(column)?;
            Ok((column.name.clone(), expression))
        });
        Ok(Self {
            table: table.clone(),
            key: key.clone(),
            row: expression::row(definition)?,
            columns: shown.collect::<Result<_, _>>()?,
        })
    }

    pub fn key(&self) -> &Ordered {
        &self.key
    }

    pub fn table(&self) -> &Name {
        &self.table
    }

    /// Rows that have one of these keys.
    pub fn among(&self, keys: &[Differing]) -> String {
        let keys: Vec<String> = keys.iter().map(|one| self.key.is(&one.key)).collect();
        keys.join(" OR ")
    }

    /// Asks for keys and digests.
    pub fn digests(&self, condition: &str) -> String {
        format!(
            "SELECT {}, {} FROM {} WHERE {condition}",
            self.key.values(),
            self.row,
            self.key.of_table(&self.table.quoted())
        )
    }

    /// None where a row could not be computed.
    pub fn read_digests(&self, rows: &[Row]) -> Option<Digests> {
        let digest = |row: &Row| {
            let key = self.key.bound(|at| row.at(at))?;
            let digest = row.at(self.key.width())?.to_owned();
            Some((key.text(), (key, digest)))
        };
        rows.iter().map(digest).collect()
    }

    /// Asks for keys and what is shown of each column.
    pub fn values(&self, condition: &str) -> String {
        let shown: Vec<&str> = self.columns.iter().map(|(_, it)| it.as_str()).collect();
        format!(
            "SELECT {}, {} FROM {} WHERE {condition}",
            self.key.values(),
            shown.join(", "),
            self.key.of_table(&self.table.quoted())
        )
    }

    /// In words, from what both answered to [`Self::values`].
    pub fn told(
        &self,
        differing: &[Differing],
        source: &[Row],
        there: &[Row],
    ) -> Vec<RowDifference> {
        let by_key = |rows: &[Row]| -> BTreeMap<String, Vec<Option<String>>> {
            let width = self.key.width();
            let values = |row: &Row| {
                let key = self.key.bound(|at| row.at(at))?.text();
                let all =
                    (width..width + self.columns.len()).map(|at| row.at(at).map(str::to_owned));
                Some((key, all.collect()))
            };
            rows.iter().filter_map(values).collect()
        };
        let (source, there) = (by_key(source), by_key(there));
        let told = |one: &Differing| {
            let key = one.key.text();
            RowDifference {
                key: self.key.named(&one.key),
                bound: one.key.clone(),
                written: None,
                what: match (source.get(&key), there.get(&key)) {
                    (Some(source), Some(there)) => What::Other(self.columns_of(source, there)),
                    _ if one.at_source => What::NotThere,
                    _ => What::OnlyThere,
                },
            }
        };
        differing.iter().map(told).collect()
    }

    fn columns_of(
        &self,
        source: &[Option<String>],
        there: &[Option<String>],
    ) -> Vec<ColumnDifference> {
        let mut all = Vec::new();
        for ((name, _), (source, there)) in self.columns.iter().zip(source.iter().zip(there)) {
            if source == there {
                continue;
            }
            let alike = shown(source, false) == shown(there, false);
            all.push(ColumnDifference {
                column: name.clone(),
                there: shown(there, alike),
                source: shown(source, alike),
            });
        }
        all
    }
}

/// The keys whose rows are not the same.
pub(super) fn differing(source: &Digests, there: &Digests) -> Vec<Differing> {
    let mut all = Vec::new();
    for (text, (key, digest)) in source {
        let other = there.get(text).map(|(_, digest)| digest);
        if other != Some(digest) {
            all.push(Differing {
                key: key.clone(),
                at_source: true,
            });
        }
    }
    for (text, (key, _)) in there {
        if !source.contains_key(text) {
            all.push(Differing {
                key: key.clone(),
                at_source: false,
            });
        }
    }
    all
}

/// What [`expression::shown`] made of a value. `whole`: its length and digest as well.
fn shown(value: &Option<String>, whole: bool) -> String {
    let Some(value) = value else {
        return "NULL".to_owned();
    };
    let mut parts = value.splitn(3, ' ');
    let (Some(beginning), Some(length), Some(digest)) = (parts.next(), parts.next(), parts.next())
    else {
        return value.clone();
    };
    let (Some(hex), Ok(length)) = (beginning.get(1..), length.parse::<usize>()) else {
        return value.clone();
    };
    let is_text = beginning.starts_with('t');
    let is_cut = match is_text {
        // Whatever a character takes in UTF-8, its later bytes begin with these bits.
        true => {
            (hex.as_bytes().chunks(2))
                .filter(|byte| !b"89AB".contains(&byte[0]))
                .count()
                >= SHOWN
        }
        false => length > hex.len() / 2,
    };
    // Of bytes each counts.
    let is_plain = hex
        .as_bytes()
        .chunks(2)
        .all(|byte| matches!(byte[0], b'2'..=b'7') && byte != b"7F");
    let text = match is_text || is_plain {
        true => readable(hex),
        false => format!("0x{hex}"),
    };
    match is_cut || whole {
        false => text,
        true => format!("{text}… ({length} bytes, SHA-256 {digest}…)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_as_it_is_or_by_its_digest() {
        let digest = "0123456789abcdef";
        let long = format!("t{} 4000 {digest}", "61".repeat(40));
        for (value, whole, expected) in [
            (None, false, "NULL".to_owned()),
            (Some("-7".to_owned()), false, "-7".to_owned()),
            (
                Some("2024-01-01 00:00:00.5".to_owned()),
                false,
                "2024-01-01 00:00:00.5".to_owned(),
            ),
            (
                Some(format!("t616263 3 {digest}")),
                false,
                "'abc'".to_owned(),
            ),
            (
                Some(format!("bFF00 2 {digest}")),
                false,
                "0xFF00".to_owned(),
            ),
            (Some(format!("t 0 {digest}")), false, "''".to_owned()),
            (
                Some(format!("t616263 3 {digest}")),
                true,
                format!("'abc'… (3 bytes, SHA-256 {digest}…)"),
            ),
            (
                Some(format!("b 25 {digest}")),
                false,
                format!("''… (25 bytes, SHA-256 {digest}…)"),
            ),
            (
                Some(format!("t{} 50 {digest}", "C3A4".repeat(25))),
                false,
                format!("'{}'", "ä".repeat(25)),
            ),
            (
                Some(long),
                false,
                format!("'{}'… (4000 bytes, SHA-256 {digest}…)", "a".repeat(40)),
            ),
        ] {
            assert_eq!(shown(&value, whole), expected);
        }
    }
}
