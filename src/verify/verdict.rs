//! What a replica has against what the source has.

use std::collections::BTreeMap;

use super::expression::is_whole;
use crate::tables::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Equal {
        chunks: u64,
        rows: u64,
    },
    Different(Vec<ChunkDifference>),
    /// The tables themselves are not alike: in phrases.
    Definition(Vec<String>),
    /// Nothing is known: why.
    NotCompared(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkDifference {
    pub chunk: u64,
    /// Which rows, as a condition.
    pub range: String,
    pub within: Range,
    pub rows: u64,
    /// At the source. Where there are as many, their content is another.
    pub source_rows: u64,
}

/// A range as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Computed {
    pub chunk: u64,
    pub range: String,
    pub within: Range,
    pub rows: u64,
    pub sum: String,
}

/// A range as a replica holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub rows: u64,
    pub sum: String,
    /// What came as the source's.
    pub told: Option<(u64, String)>,
}

/// A difference counts, whatever else is not known; "equal" is said only where all is known.
pub(super) fn judge(source: &[Computed], replica: &BTreeMap<u64, Held>) -> Outcome {
    let (mut different, mut unknown) = (Vec::new(), None);
    for computed in source {
        let chunk = computed.chunk;
        let mut not_known = |why: String| {
            unknown.get_or_insert(why);
        };
        let Some(held) = replica.get(&chunk) else {
            not_known(format!(
                "it has applied our statements, and has no result of chunk {chunk} (does it skip or filter them?)"
            ));
            continue;
        };
        let told = (computed.rows, computed.sum.clone());
        if held.told.as_ref() != Some(&told) {
            not_known(format!(
                "it does not have what the source found in chunk {chunk}"
            ));
        } else if !is_whole(&held.sum) {
            not_known(format!(
                "a row of chunk {chunk} cannot be computed there (max_allowed_packet?)"
            ));
        } else if (held.rows, &held.sum) != (computed.rows, &computed.sum) {
            different.push(ChunkDifference {
                chunk,
                range: computed.range.clone(),
                within: computed.within.clone(),
                rows: held.rows,
                source_rows: computed.rows,
            });
        }
    }
    match (different.is_empty(), unknown) {
        (false, _) => Outcome::Different(different),
        (true, Some(why)) => Outcome::NotCompared(why),
        (true, None) if source.is_empty() => Outcome::NotCompared("nothing was computed".into()),
        (true, None) => Outcome::Equal {
            chunks: source.len() as u64,
            rows: source.iter().map(|computed| computed.rows).sum(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Vec<Computed> {
        let computed = |chunk: u64, range: &str| Computed {
            chunk,
            range: range.into(),
            within: Range::default(),
            rows: 10,
            sum: format!("{chunk}77"),
        };
        vec![computed(1, "id < 10"), computed(2, "id >= 10")]
    }

    fn replica() -> BTreeMap<u64, Held> {
        let held = |computed: Computed| {
            let told = Some((computed.rows, computed.sum.clone()));
            let Computed { rows, sum, .. } = computed;
            (computed.chunk, Held { rows, sum, told })
        };
        source().into_iter().map(held).collect()
    }

    #[test]
    fn equal_is_said_of_all_or_of_nothing() {
        let equal = Outcome::Equal {
            chunks: 2,
            rows: 20,
        };
        assert_eq!(judge(&source(), &replica()), equal);
        type Change = fn(&mut BTreeMap<u64, Held>);
        let changes: [Change; 4] = [
            |replica| drop(replica.remove(&2)),
            |replica| replica.get_mut(&1).unwrap().told = None,
            |replica| replica.get_mut(&1).unwrap().told = Some((10, "0".into())),
            |replica| replica.get_mut(&1).unwrap().sum = "1".repeat(31),
        ];
        for change in changes {
            let mut replica = replica();
            change(&mut replica);
            let outcome = judge(&source(), &replica);
            assert!(matches!(outcome, Outcome::NotCompared(_)), "{outcome:?}");
        }
        let nothing = judge(&[], &BTreeMap::new());
        assert!(matches!(nothing, Outcome::NotCompared(_)), "{nothing:?}");
    }

    #[test]
    fn a_difference_names_its_range() {
        let mut replica = replica();
        replica.get_mut(&2).unwrap().rows = 9;
        let two = ChunkDifference {
            chunk: 2,
            range: "id >= 10".into(),
            within: Range::default(),
            rows: 9,
            source_rows: 10,
        };
        assert_eq!(
            judge(&source(), &replica),
            Outcome::Different(vec![two.clone()])
        );
        // Also beside what is not known.
        replica.remove(&1);
        assert_eq!(judge(&source(), &replica), Outcome::Different(vec![two]));
    }
}
