//! Crashes and damage at every byte and between any two steps.

use std::fs::{self, File};

use super::fixture::*;
use crate::ids::StorePosition;
use crate::store::Error;

fn cut_file(path: &std::path::Path, length: u64) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length)
        .unwrap();
}

/// Three transactions in one file; where the second and the third end.
fn three(bench: &Bench) -> (u64, u64) {
    let (_store, mut writer) = bench.started();
    let second = put_all(&mut writer, &samples(1, 2)).unwrap();
    let third = put_all(&mut writer, &samples(3, 3)).unwrap();
    (second.offset, third.offset)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_at_the_last_whole_transaction() {
    let bench = Bench::new(1 << 20);
    let (second, third) = three(&bench);
    let path = bench.path("binlog.000001");
    let whole = fs::read(&path).unwrap();
    for length in second..=third {
        fs::write(&path, &whole[..length as usize]).unwrap();
        // What was torn was never synced.
        fs::remove_file(bench.path("binlog.synced")).unwrap();
        let (store, mut writer, recovery) = bench.open().unwrap();
        let kept = if length == third { 3 } else { 2 };
        assert_eq!(recovery.transactions, kept, "{length}");
        let torn = recovery.torn.map(|torn| (torn.at, torn.bytes));
        assert_eq!(
            torn,
            (length > second && length < third).then(|| (second, length - second))
        );
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            if kept == 3 { third } else { second }
        );
        put_all(&mut writer, &samples(kept + 1, 4)).unwrap();
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples(1, 4),
        );
    }
    mariadb_binlog_reads(&path);
}

#[test]
fn a_file_torn_in_its_head_is_made_anew() {
    let bench = Bench::new(1 << 20);
    three(&bench);
    let path = bench.path("binlog.000001");
    let whole = fs::read(&path).unwrap();
    for length in 0..285 {
        fs::write(&path, &whole[..length]).unwrap();
        fs::remove_file(bench.path("binlog.synced")).unwrap();
        let (store, mut writer, recovery) = bench.open().unwrap();
        assert_eq!(recovery.transactions, 0);
        assert!(!recovery.notes.is_empty());
        writer.source_format(&description()).unwrap();
        put_all(&mut writer, &samples(1, 1)).unwrap();
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples(1, 1),
        );
    }
}

#[test]
fn a_changed_byte_is_a_torn_tail_only_where_no_whole_transaction_follows() {
    let bench = Bench::new(1 << 20);
    let (second, third) = three(&bench);
    let path = bench.path("binlog.000001");
    let whole = fs::read(&path).unwrap();
    for at in 285..third {
        let mut damaged = whole.clone();
        damaged[at as usize] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        let _ = fs::remove_file(bench.path("binlog.synced"));
        match bench.open() {
            Ok((_, _, recovery)) => {
                assert!(at >= second, "{at}");
                assert_eq!(recovery.torn.unwrap().at, second);
            }
            Err(Error::Corrupt {
                file, at: reported, ..
            }) => {
                assert!(at < second, "{at}");
                assert_eq!(file, "binlog.000001");
                assert!(reported <= at);
                assert!(fs::read(&path).unwrap() == damaged, "nothing was cut");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn damage_below_what_was_synced_is_never_cut() {
    let bench = Bench::new(1 << 20);
    {
        let (store, mut writer) = bench.started();
        put_all(&mut writer, &samples(1, 3)).unwrap();
        wait_synced(&store);
    }
    let path = bench.path("binlog.000001");
    let whole = fs::read(&path).unwrap();
    let length = whole.len() as u64;
    cut_file(&path, length - 1);
    assert!(matches!(bench.open(), Err(Error::Corrupt { .. })));
    fs::write(&path, &whole).unwrap();
    bench.open().unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(bench.open(), Err(Error::LostSynced { .. })));
}

#[test]
fn a_write_that_was_lost_under_a_later_one_is_a_torn_tail() {
    // Pages reach the disk in any order: behind the hole a whole transaction may stand.
    let bench = Bench::new(1 << 20);
    let all: Vec<Sample> = (1..=20).map(|seq| sample(0, 7, seq, 1000)).collect();
    {
        let (_store, mut writer) = bench.started();
        put_all(&mut writer, &all).unwrap();
    }
    let path = bench.path("binlog.000001");
    let whole = fs::read(&path).unwrap();
    for page in 1..4 {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0);
        fs::write(&path, &damaged).unwrap();
        fs::remove_file(bench.path("binlog.synced")).unwrap();
        let (store, _writer, recovery) = bench.open().unwrap();
        let torn = recovery.torn.unwrap();
        assert!(torn.at <= page as u64 * 4096);
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &all[..recovery.transactions as usize],
        );
    }
}

#[test]
fn a_damaged_earlier_file_stops_with_its_place() {
    let bench = Bench::new(600);
    {
        let (store, mut writer) = bench.started();
        put_all(&mut writer, &samples(1, 12)).unwrap();
        assert!(store.files().len() > 3);
    }
    let path = bench.path("binlog.000002");
    let whole = fs::read(&path).unwrap();
    for length in [0, 10, 300, whole.len() as u64 - 60] {
        cut_file(&path, length);
        match bench.open() {
            Err(Error::Corrupt { file, .. }) => assert_eq!(file, "binlog.000002"),
            other => panic!("{length}: {:?}", other.map(|_| ())),
        }
        fs::write(&path, &whole).unwrap();
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(bench.open(), Err(Error::Missing { file }) if file == "binlog.000002"));
}

#[test]
fn index_and_directory_may_disagree() {
    let bench = Bench::new(600);
    {
        let (_store, mut writer) = bench.started();
        put_all(&mut writer, &samples(1, 12)).unwrap();
    }
    let index = bench.path("binlog.index");
    let good = fs::read_to_string(&index).unwrap();
    let all = samples(1, 12);
    // Lost, or torn by hand: made anew from what is there.
    for bad in ["", "./binlog.000001\n", "nonsense\n"] {
        fs::write(&index, bad).unwrap();
        let (store, _writer, recovery) = bench.open().unwrap();
        assert!(!recovery.notes.is_empty());
        assert_same(&read_all(&store, StorePosition::ZERO, 1 << 20), &all);
        assert_eq!(fs::read_to_string(&index).unwrap(), good);
    }
    // It names one that was never made.
    let next = crate::store::file_name(good.lines().count() as u32 + 1);
    fs::write(&index, format!("{good}./{next}\n")).unwrap();
    let (store, _writer, recovery) = bench.open().unwrap();
    assert_eq!(recovery.notes.len(), 1);
    assert_same(&read_all(&store, StorePosition::ZERO, 1 << 20), &all);
    assert_eq!(fs::read_to_string(&index).unwrap(), good);
    drop((store, _writer));
    // One was made and not yet named.
    fs::write(bench.path(&next), b"\xfebin").unwrap();
    let (_store, _writer, recovery) = bench.open().unwrap();
    assert_eq!(recovery.notes.len(), 1);
    assert!(!bench.path(&next).exists());
}

/// What a run wrote before its disk died: the flushed transactions, and those it was told are
/// synced.
fn run_until_crash(bench: &Bench, steps: usize) -> (u64, u64) {
    let (mut flushed, mut synced) = (0, 0);
    bench.faults.crash_after(steps);
    let Ok((store, mut writer, _)) = bench.open() else {
        return (0, 0);
    };
    writer.source_format(&description()).unwrap();
    for seq in 1..=12 {
        let done = put(&mut writer, &sample(0, 7, seq, 40)).and_then(|_| writer.flush());
        if done.is_err() {
            break;
        }
        flushed = seq;
        let marks = store.marks();
        wait_for("a sync or its failure", || {
            // Two borrows at once would lock out the thread that moves them.
            let marks = *marks.borrow();
            marks.synced == marks.written
        });
        if store.problem().is_some() {
            break;
        }
        synced = seq;
    }
    (flushed, synced)
}

#[test]
fn a_crash_between_any_two_steps_of_writing_and_rotating_is_mended() {
    let dry = Bench::new(600);
    run_until_crash(&dry, usize::MAX - 1);
    let steps = dry.faults.steps();
    assert!(steps > 50, "{steps}");
    for step in 0..=steps {
        let bench = Bench::new(600);
        let (flushed, synced) = run_until_crash(&bench, step);
        let bench = bench.healed();
        let (store, mut writer, recovery) = bench
            .open()
            .unwrap_or_else(|error| panic!("{step}: {error}"));
        let found = recovery.transactions;
        assert!(
            found >= synced && found <= flushed + 1,
            "{step}: {synced} {found} {flushed}"
        );
        writer.source_format(&description()).unwrap();
        put_all(&mut writer, &samples(found + 1, 14)).unwrap();
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples(1, 14),
        );
        wait_synced(&store);
        for file in store.files() {
            assert!(bench.path(&file.name).exists());
        }
    }
}

#[test]
fn a_crash_while_mending_is_mended_too() {
    let make = || {
        let bench = Bench::new(600);
        let (end, _) = {
            let (store, mut writer) = bench.started();
            let end = put_all(&mut writer, &samples(1, 9)).unwrap();
            wait_synced(&store);
            (end, ())
        };
        // Torn behind what was synced, the index behind, a next file begun.
        let last = bench.path(&crate::store::file_name(end.file));
        let mut content = fs::read(&last).unwrap();
        content.extend_from_slice(&[0x55; 70]);
        fs::write(&last, content).unwrap();
        fs::write(
            bench.path(&crate::store::file_name(end.file + 1)),
            b"\xfebi",
        )
        .unwrap();
        fs::write(bench.path("binlog.index"), "./binlog.000001\n").unwrap();
        bench
    };
    let dry = make();
    dry.open().unwrap();
    let steps = dry.faults.steps();
    assert!(steps > 5, "{steps}");
    for step in 0..steps {
        let bench = make();
        bench.faults.crash_after(step);
        // The very last steps only raise the floor.
        let _ = bench.open();
        let bench = bench.healed();
        let (store, mut writer, recovery) = bench
            .open()
            .unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(recovery.transactions, 9);
        writer.source_format(&description()).unwrap();
        put_all(&mut writer, &samples(10, 12)).unwrap();
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples(1, 12),
        );
    }
}

#[test]
fn a_power_cut_at_any_step_keeps_what_was_synced() {
    let dry = Bench::new(600);
    run_until_crash(&dry, usize::MAX - 1);
    for step in 0..=dry.faults.steps() {
        let bench = Bench::new(600);
        let (_, synced) = run_until_crash(&bench, step);
        // Of each file only what was synced is there; of the unsynced floor, nothing.
        let survivors = bench.faults.survivors();
        for (name, content) in bench.contents() {
            let path = bench.path(&name);
            let kept = survivors.get(&path).copied().unwrap_or(0);
            if name.starts_with("binlog.0") || name == "binlog.synced" {
                cut_file(&path, kept.min(content.len() as u64));
            }
        }
        let bench = bench.healed();
        let (store, mut writer, recovery) = bench
            .open()
            .unwrap_or_else(|error| panic!("{step}: {error}"));
        let found = recovery.transactions;
        assert!(found >= synced, "{step}: {synced} {found}");
        writer.source_format(&description()).unwrap();
        put_all(&mut writer, &samples(found + 1, 14)).unwrap();
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples(1, 14),
        );
    }
}
