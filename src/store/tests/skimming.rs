//! Going through the files without the store.

use super::fixture::*;
use crate::event::{EventType, MAGIC};
use crate::ids::StorePosition;
use crate::store::{Error, Skim};

/// Kinds and ends of everything up to `limit`.
fn skimmed(skim: &mut Skim, limit: StorePosition) -> Vec<(EventType, StorePosition)> {
    let mut found = Vec::new();
    while let Some(event) = skim.next(limit).unwrap() {
        found.push((event.header.kind, event.end));
    }
    found
}

#[test]
fn all_files_and_from_the_middle() {
    let bench = Bench::new(600);
    let (store, mut writer) = bench.started();
    let mut ends = Vec::new();
    for sample in samples(1, 9) {
        ends.push(put_all(&mut writer, &[sample]).unwrap());
    }
    let (mut skim, end) = Skim::all(bench.dir.path()).unwrap();
    assert_eq!(end, ends[8]);
    let all = skimmed(&mut skim, end);
    let count = |wanted| all.iter().filter(|(kind, _)| *kind == wanted).count();
    assert_eq!(count(EventType::QUERY), 9);
    assert_eq!(count(EventType::XID), 9);
    assert_eq!(count(EventType::FORMAT_DESCRIPTION), end.file as usize);
    assert_eq!(skim.position(), ends[8]);

    // The head comes first, then what follows.
    let mut skim = store.skim(ends[4]);
    let some = skimmed(&mut skim, ends[6]);
    assert_eq!(some[0].0, EventType::FORMAT_DESCRIPTION);
    let transactions = some.iter().filter(|(kind, _)| *kind == EventType::XID);
    assert_eq!(
        transactions.map(|(_, end)| *end).collect::<Vec<_>>(),
        ends[5..=6]
    );
    // It goes on where it stood.
    let rest = skimmed(&mut skim, ends[8]);
    assert_eq!(rest.last(), Some(&(EventType::XID, ends[8])));
}

#[test]
fn a_long_statement_is_whole_and_its_memory_is_given_back() {
    let bench = Bench::new(1 << 30);
    let (store, mut writer) = bench.started();
    let long = 3 << 20;
    let end = put_all(&mut writer, &[sample(0, 7, 1, long), sample(0, 7, 2, 10)]).unwrap();
    let mut skim = store.skim(StorePosition::new(1, MAGIC.len() as u64));
    let mut lengths = Vec::new();
    while let Some(event) = skim.next(end).unwrap() {
        if event.header.kind == EventType::QUERY {
            assert!(event.body().ends_with(b"')"));
            lengths.push(event.body().len());
        }
    }
    assert!(lengths[0] > long && lengths[1] < 100, "{lengths:?}");
}

#[test]
fn what_is_not_whole_is_told() {
    let bench = Bench::new(1 << 30);
    let (_, mut writer) = bench.started();
    let end = put_all(&mut writer, &samples(1, 2)).unwrap();
    let path = bench.path("binlog.000001");
    let bytes = std::fs::read(&path).unwrap();
    for cut in 1..60 {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let (mut skim, torn) = Skim::all(bench.dir.path()).unwrap();
        assert_eq!(torn.offset + cut as u64, end.offset);
        let error = loop {
            match skim.next(torn) {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        // XID, the last event, has 31 bytes.
        match cut {
            31 => assert!(error.is_none()),
            _ => assert!(
                matches!(error, Some(Error::Corrupt { .. })),
                "{cut}: {error:?}"
            ),
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert!(Skim::all(bench.dir.path()).is_err());
}

#[test]
fn an_empty_folder_has_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut skim, end) = Skim::all(dir.path()).unwrap();
    assert_eq!(end, StorePosition::ZERO);
    assert!(skim.next(end).unwrap().is_none());
}
