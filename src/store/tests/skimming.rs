//! Going through the files without the store.

use super::fixture::*;
use crate::event::{EventType, MAGIC};
use crate::ids::StorePosition;
use crate::store::inspect::Inspected;
use crate::store::{Error, Skim};

/// Kinds and ends of everything up to `limit`.
fn skimmed(skim: &mut Skim, limit: StorePosition) -> Vec<(EventType, StorePosition)> {
    let mut found = Vec::new();
    while let Some(event) = skim.next(limit).unwrap() {
        found.push((event.header.kind, event.end));
    }
    found
}

/// The same of all that counts.
fn walked(inspected: &Inspected) -> Vec<(EventType, StorePosition)> {
    let mut found = Vec::new();
    let mut walk = inspected.walk(0);
    while let Some(event) = walk.next_event().unwrap() {
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
    wait_synced(&store);
    let inspected = Inspected::of(bench.dir.path()).unwrap();
    let end = inspected.end();
    assert_eq!(end, ends[8]);
    let mut skim = store.skim(StorePosition::new(1, MAGIC.len() as u64));
    let all = skimmed(&mut skim, end);
    assert_eq!(walked(&inspected), all);
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
    let (store, mut writer) = bench.started();
    let end = put_all(&mut writer, &samples(1, 2)).unwrap();
    wait_synced(&store);
    let path = bench.path("binlog.000001");
    let bytes = std::fs::read(&path).unwrap();
    for cut in 1..60 {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let inspected = Inspected::of(bench.dir.path()).unwrap();
        assert_eq!(inspected.end().offset + cut as u64, end.offset);
        let mut walk = inspected.walk(0);
        let error = loop {
            match walk.next_event() {
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
    assert!(Inspected::of(bench.dir.path()).is_err());
}

#[test]
fn an_empty_folder_has_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let inspected = Inspected::of(dir.path()).unwrap();
    assert_eq!(inspected.end(), StorePosition::ZERO);
    assert!(inspected.walk(0).next_event().unwrap().is_none());
}

#[test]
fn what_is_only_written_is_walked_as_far_as_it_is_whole() {
    let bench = Bench::new(1 << 30);
    let (store, mut writer) = bench.started();
    put_all(&mut writer, &samples(1, 3)).unwrap();
    wait_synced(&store);
    let mut inspected = Inspected::of(bench.dir.path()).unwrap();
    let all = walked(&inspected);
    // As if no more were known to be synced than the first one.
    let mut kinds = all.iter().map(|(kind, _)| *kind);
    let first = kinds.position(|kind| kind == EventType::XID).unwrap();
    inspected.files[0].end = all[first].1.offset;
    assert_eq!(walked(&inspected), all[..=first]);
    let path = bench.path("binlog.000001");
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 1, 12, 30] {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let mut walk = inspected.walk(0).written();
        let mut found = 0;
        while walk.next_event().unwrap().is_some() {
            found += 1;
        }
        assert_eq!(found, all.len() - usize::from(cut > 0));
    }
}

/// What a failed fsync made void is still there when the file could not be truncated either.
#[test]
fn a_file_is_walked_as_far_as_it_counts() {
    let bench = Bench::new(600);
    let (store, mut writer) = bench.started();
    let ends: Vec<_> = samples(1, 9)
        .into_iter()
        .map(|sample| put_all(&mut writer, &[sample]).unwrap())
        .collect();
    wait_synced(&store);
    let mut inspected = Inspected::of(bench.dir.path()).unwrap();
    let all = walked(&inspected);
    let first = ends[0];
    inspected.files[0].end = first.offset;
    let void = |end: &StorePosition| end.file == first.file && *end > first;
    let counts = all.iter().filter(|(_, end)| !void(end));
    let counts: Vec<_> = counts.cloned().collect();
    assert!(counts.len() < all.len());
    assert_eq!(walked(&inspected), counts);
}
