//! Files go from the oldest on, and a crash at any step leaves a whole store.

use super::fixture::*;
use crate::gtid::Gtid;
use crate::ids::StorePosition;
use crate::store::inspect::{Ending, Inspected};
use crate::store::state::DurableState;
use crate::store::{
    Error, Keep, Located, Need, PurgeRequest, Store, Unwanted, Writer, check, file_name,
};

fn before(file: u32) -> PurgeRequest {
    PurgeRequest {
        unwanted: Unwanted::Before(file),
        at_most: Keep::ALL,
        needs: Vec::new(),
        now: 0,
    }
}

fn release_all(store: &Store) {
    let end = store.marks().borrow().synced;
    store.change_durable(|state| state.released = end).unwrap();
}

/// Ten transactions in files of two each, all released; and the numbers of the files.
fn ten(bench: &Bench) -> (Store, Writer, Vec<u32>) {
    let (store, mut writer) = bench.started();
    put_all(&mut writer, &samples(1, 10)).unwrap();
    wait_synced(&store);
    release_all(&store);
    let numbers = store.files().iter().map(|file| file.number).collect();
    (store, writer, numbers)
}

fn numbers(store: &Store) -> Vec<u32> {
    store.files().iter().map(|file| file.number).collect()
}

/// The folder, the index and the catalogue name the same files.
fn assert_whole(bench: &Bench, store: &Store) {
    let mut there: Vec<String> = bench.contents().into_keys().collect();
    there.retain(|name| name.starts_with("binlog.0"));
    there.sort();
    let known: Vec<String> = numbers(store).into_iter().map(file_name).collect();
    assert_eq!(there, known);
    let index = std::fs::read_to_string(bench.path("binlog.index")).unwrap();
    let named: Vec<&str> = index.lines().map(|line| &line[2..]).collect();
    assert_eq!(named, known);
}

#[test]
fn what_is_purged_counts_and_is_not_served() {
    let bench = Bench::new(500);
    let (store, mut writer, all) = ten(&bench);
    assert!(all.len() >= 5, "{all:?}");
    std::fs::write(bench.path("origins.000001"), "").unwrap();
    let executed = store.executed();

    let dry = store.purge(&before(3), true).unwrap();
    assert_eq!(dry.files.len(), 2);
    assert_eq!(numbers(&store), all);
    assert_eq!(store.purge(&before(3), false).unwrap(), dry);
    assert_eq!(numbers(&store), all[2..]);
    assert_whole(&bench, &store);
    assert!(!bench.path("origins.000001").exists());
    assert_eq!(store.purge(&before(3), false).unwrap().files, []);

    assert_eq!(store.executed(), executed);
    let first: Gtid = "0-7-1".parse().unwrap();
    assert!(store.contains(&first));
    assert!(matches!(
        store.locate(&position("0-7-1")).unwrap(),
        Located::Purged { .. }
    ));
    let gone = store.purged_beyond(&position("0-7-1"));
    assert!(!gone.is_empty());
    assert!(store.purged_beyond(&position("0-7-9")).is_empty());
    let mut reader = store.reader(StorePosition::new(1, 4)).unwrap();
    assert!(matches!(
        reader.next_batch(StorePosition::new(9, 9), 1 << 20, &mut Default::default()),
        Err(Error::Missing { .. })
    ));
    let stayed = read_all(&store, StorePosition::ZERO, 1 << 20);
    assert!(stayed.len() >= 5 && stayed.len() < 10);
    assert_same(&stayed, &samples(11 - stayed.len() as u64, 10));
    assert!(matches!(
        put(&mut writer, &samples(1, 1)[0]),
        Err(Error::Duplicate(_))
    ));
    writer.abandon().unwrap();
    put_all(&mut writer, &samples(11, 14)).unwrap();
    assert_whole(&bench, &store);
    drop((store, writer, reader));

    let (store, mut writer, recovery) = bench.open().unwrap();
    assert_eq!(recovery.notes, Vec::<String>::new());
    assert!(store.contains(&first));
    assert!(store.contains(&"0-7-14".parse().unwrap()));
    put_all(&mut writer, &samples(15, 15)).unwrap();
    assert_whole(&bench, &store);
}

#[test]
fn what_the_store_needs_stays() {
    let bench = Bench::new(500);
    let (store, _writer, all) = ten(&bench);
    let last = store.before_last().unwrap().start.file;
    store
        .change_durable(|state| state.released = StorePosition::new(2, 300))
        .unwrap();
    store.purge(&before(99), false).unwrap();
    assert_eq!(numbers(&store)[0], 2);
    release_all(&store);
    store.purge(&before(99), false).unwrap();
    assert_eq!(numbers(&store)[0], last);
    assert!(last < *all.last().unwrap() || all.len() == last as usize);

    // Nothing was ever said to be released.
    let bench = Bench::new(500);
    let (store, mut writer) = bench.started();
    put_all(&mut writer, &samples(1, 10)).unwrap();
    assert_eq!(store.purge(&before(99), false).unwrap().files, []);
}

#[test]
fn somebody_who_needs_it_holds_it() {
    let bench = Bench::new(500);
    let (store, _writer, _) = ten(&bench);
    let need = Need {
        who: "db2".into(),
        from: store
            .applied_up_to(StorePosition::ZERO, &position("0-7-3"))
            .unwrap(),
    };
    let request = PurgeRequest {
        needs: vec![need.clone()],
        ..before(4)
    };
    let purged = store.purge(&request, false).unwrap();
    assert_eq!(numbers(&store)[0], need.from.file);
    assert_eq!(purged.held_for, [need]);
    // It goes on from where it is.
    assert!(matches!(
        store.locate(&position("0-7-3")).unwrap(),
        Located::At(_)
    ));
    // Asked from nothing, what stayed is enough to find where it is.
    let found = store.applied_up_to(StorePosition::ZERO, &position("0-7-9"));
    assert_eq!(found, store.position_of(&"0-7-9".parse().unwrap()));
}

#[test]
fn several_servers_of_a_domain_are_told_apart_after_a_purge() {
    let bench = Bench::new(500);
    let executed = {
        let (store, mut writer) = bench.started();
        for (server, seq) in [
            (7, 1),
            (8, 2),
            (7, 3),
            (8, 4),
            (7, 5),
            (8, 6),
            (7, 7),
            (8, 8),
        ] {
            put_all(&mut writer, &[sample(0, server, seq, 40)]).unwrap();
        }
        wait_synced(&store);
        release_all(&store);
        store.purge(&before(3), false).unwrap();
        assert!(numbers(&store)[0] > 1);
        store.executed()
    };
    let (store, _writer, _) = bench.open().unwrap();
    assert_eq!(store.executed(), executed);
    assert!(!store.contains(&"0-8-1".parse().unwrap()));

    // Without the note, the list of GTIDs is believed.
    let mut state = DurableState::load(bench.dir.path()).unwrap();
    state.purged = Default::default();
    drop((store, _writer));
    state.save(bench.dir.path()).unwrap();
    let (store, _writer, _) = bench.open().unwrap();
    assert!(executed.is_subset(&store.executed()));
}

#[test]
fn a_crash_at_any_step_of_a_purge_leaves_a_whole_store() {
    let mut finished = false;
    for steps in 0.. {
        let bench = Bench::new(500);
        let (store, writer, all) = ten(&bench);
        std::fs::write(bench.path("origins.000001"), "").unwrap();
        let executed = store.executed();
        let done = bench.faults.steps();
        bench.faults.crash_after(done + steps);
        let purged = store.purge(&before(4), false);
        drop((store, writer));
        let bench = bench.healed();
        let (store, mut writer, _) = bench.open().unwrap();
        assert_whole(&bench, &store);
        assert_eq!(store.executed(), executed, "after {steps} steps");
        let first = numbers(&store)[0];
        assert!(first == 1 || first == 4, "{first} after {steps} steps");
        assert_eq!(numbers(&store).last(), all.last());
        assert_eq!(bench.path("origins.000001").exists(), first == 1);
        put_all(&mut writer, &samples(11, 12)).unwrap();
        release_all(&store);
        store.purge(&before(4), false).unwrap();
        assert_eq!(numbers(&store)[0], 4);
        assert_whole(&bench, &store);
        if purged.is_ok() {
            finished = true;
            break;
        }
    }
    assert!(finished);
}

#[test]
fn the_files_are_listed_and_checked_beside_the_store_and_without_it() {
    let bench = Bench::new(500);
    let (store, mut writer, _) = ten(&bench);
    store.purge(&before(3), false).unwrap();
    let look = |running: bool| {
        let inspected = Inspected::of(bench.dir.path()).unwrap();
        assert_eq!(inspected.in_use, running);
        let files = inspected.files.iter();
        let files: Vec<_> = files.map(|file| inspected.summary(file).unwrap()).collect();
        assert_eq!(files[0].name, "binlog.000003");
        let first = files[0].first.clone();
        assert_eq!(
            inspected.may_hold(&first.clone().unwrap()).unwrap(),
            Some(3)
        );
        assert_eq!(inspected.may_hold(&"0-7-1".parse().unwrap()).unwrap(), None);
        let held: u64 = files.iter().map(|file| file.transactions).sum();
        assert_eq!(first.unwrap().to_string(), format!("0-7-{}", 11 - held));
        assert_eq!(files[0].times, Some((1_700_000_000, 1_700_000_000)));
        let (newest, sealed) = files.split_last().unwrap();
        assert!(sealed.iter().all(|file| file.ending == Ending::Sealed));
        let mut told = (0, 0);
        let checked = check(bench.dir.path(), |done, all| told = (done, all)).unwrap();
        assert_eq!((checked.files, checked.transactions), (files.len(), held));
        assert_eq!(told, (checked.bytes, checked.bytes));
        assert_eq!(checked.notes, Vec::<String>::new());
        newest.ending.clone()
    };
    assert_eq!(look(true), Ending::Active);
    writer.close().unwrap();
    drop((store, writer));
    assert!(matches!(look(false), Ending::Sealed | Ending::Active));
}

#[test]
fn a_changed_byte_anywhere_is_found_with_its_event() {
    let bench = Bench::new(500);
    let (store, mut writer, _) = ten(&bench);
    writer.close().unwrap();
    drop((store, writer));
    for file in ["binlog.000001", "binlog.000002"] {
        let path = bench.path(file);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            match check(bench.dir.path(), |_, _| {}) {
                Err(Error::Corrupt {
                    file: said,
                    at: event,
                    reason,
                }) => {
                    assert_eq!(said, file, "{at}: {reason}");
                    assert!(event <= at as u64, "{at}: {event} {reason}");
                }
                other => panic!("{file} at {at}: {other:?}"),
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    check(bench.dir.path(), |_, _| {}).unwrap();
    // A file that is too short, and one that is gone.
    let path = bench.path("binlog.000002");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(check(bench.dir.path(), |_, _| {}).is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        check(bench.dir.path(), |_, _| {}),
        Err(Error::Missing { .. })
    ));
}
