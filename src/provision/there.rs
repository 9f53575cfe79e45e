//! What is at the target already, of a copy that goes on where another one ended.
//!
//! Each range was committed with its bounds. Of a table counts what is there from its first row on without a gap; what
//! stands behind a gap, a range for each of those who copied, is deleted again.

use std::collections::{BTreeMap, HashMap};

use super::object::Table;
use super::target::{Error, Marked, Target, run};
use crate::net::admin::Admin;
use crate::tables::{Bound, Name, Ordered, Range};

#[derive(Clone, Debug, Default)]
pub struct There {
    /// Of those that anything is there of.
    pub tables: BTreeMap<Name, Part>,
    /// Ranges in all.
    pub pieces: u64,
    /// The number of the last one.
    pub last: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Up to but without the row with this key.
    UpTo(Bound),
}

pub fn written(bound: &Bound) -> String {
    // Strings always can be.
    serde_json::to_string(bound.values()).unwrap_or_default()
}

fn read(key: &Ordered, text: &str) -> Option<Bound> {
    let values: Vec<String> = serde_json::from_str(text).ok()?;
    key.bound(|at| values.get(at).map(String::as_str))
}

/// The ranges of a table that follow each other from its first row on.
fn without_a_gap(marked: &[Marked]) -> Vec<&Marked> {
    let mut by_lower: HashMap<Option<&str>, &Marked> = HashMap::new();
    for range in marked {
        by_lower.insert(range.lower.as_deref(), range);
    }
    let (mut ranges, mut next) = (Vec::new(), by_lower.remove(&None));
    while let Some(range) = next {
        ranges.push(range);
        let behind = range.upper.as_deref();
        next = behind.and_then(|upper| by_lower.remove(&Some(upper)));
    }
    ranges
}

/// How far that goes, and the numbers of its ranges. None where nothing counts.
fn counting(marked: &[Marked], key: Option<&Ordered>) -> Option<(Part, Vec<u64>)> {
    let ranges = without_a_gap(marked);
    let part = match &ranges.last()?.upper {
        None => Part::Whole,
        Some(upper) => Part::UpTo(read(key?, upper)?),
    };
    Some((part, ranges.iter().map(|range| range.piece).collect()))
}

impl There {
    /// Of these tables. What counts for nothing is taken away.
    pub async fn tidied(
        target: &Target,
        admin: &mut Admin,
        tables: impl Iterator<Item = &Table>,
    ) -> Result<Self, Error> {
        let mut there = Self::default();
        let mut by_table: BTreeMap<Name, Vec<Marked>> = BTreeMap::new();
        for marked in target.marked(admin).await? {
            there.last = there.last.max(marked.piece);
            by_table
                .entry(marked.table.clone())
                .or_default()
                .push(marked);
        }
        for table in tables {
            let Some(marked) = by_table.remove(&table.name) else {
                continue;
            };
            let key = Ordered::of(&table.definition);
            let (part, condition, counts) = match (counting(&marked, key.as_ref()), &key) {
                (Some((Part::UpTo(bound), counts)), Some(key)) => {
                    let behind = Range {
                        from: Some(bound.clone()),
                        to: None,
                    };
                    (Some(Part::UpTo(bound)), key.condition(&behind), counts)
                }
                (Some((part, counts)), _) => (Some(part), "0".to_owned(), counts),
                (None, _) => (None, "1".to_owned(), Vec::new()),
            };
            if let Some(part) = part {
                there.tables.insert(table.name.clone(), part);
            }
            there.pieces += counts.len() as u64;
            let behind = marked.iter().map(|marked| marked.piece);
            let behind: Vec<u64> = behind.filter(|piece| !counts.contains(piece)).collect();
            if behind.is_empty() {
                continue;
            }
            run(admin, "START TRANSACTION").await?;
            let rows = format!("DELETE FROM {} WHERE {condition}", table.name.quoted());
            run(admin, &rows).await?;
            target.unmark_pieces(admin, &behind).await?;
            run(admin, "COMMIT").await?;
        }
        Ok(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(ranges: &[(Option<&str>, Option<&str>)]) -> Vec<Marked> {
        let one = |(number, (lower, upper)): (usize, &(Option<&str>, Option<&str>))| Marked {
            piece: number as u64 + 1,
            table: Name {
                database: "d".into(),
                table: "t".into(),
            },
            lower: lower.map(str::to_owned),
            upper: upper.map(str::to_owned),
        };
        ranges.iter().enumerate().map(one).collect()
    }

    #[test]
    fn what_stands_behind_a_gap_does_not_count() {
        for (ranges, counts) in [
            (&[][..], &[][..]),
            (&[(None, None)], &[1]),
            (&[(Some("5"), None), (None, Some("5"))], &[2, 1]),
            (
                &[
                    (Some("9"), Some("12")),
                    (None, Some("5")),
                    (Some("5"), Some("7")),
                ],
                &[2, 3],
            ),
            // The first one is not in.
            (&[(Some("5"), Some("7")), (Some("7"), None)], &[]),
        ] {
            let marked = marked(ranges);
            let found = without_a_gap(&marked);
            let found: Vec<u64> = found.iter().map(|range| range.piece).collect();
            assert_eq!(found, counts);
        }
    }
}
