//! Appending, rotating, closing, and what the servers' tools make of it.

use super::fixture::*;
use crate::event::{EventType, format_description::FormatDescription, golden};
use crate::ids::StorePosition;
use crate::store::{Error, Located};

#[test]
fn what_is_written_is_read_and_found_again() {
    let bench = Bench::new(1 << 20);
    let all = golden_samples();
    {
        let (store, mut writer) = bench.started();
        assert_eq!(store.marks().borrow().written, StorePosition::ZERO);
        assert!(store.before_last().is_none());
        put_all(&mut writer, &all).unwrap();
        assert_same(&read_all(&store, StorePosition::ZERO, 4096), &all);
        assert_eq!(store.end().to_string(), "0-7-31,3-7-1");
        wait_synced(&store);
    }
    let (store, _writer, recovery) = bench.open().unwrap();
    assert_eq!(recovery.transactions, all.len() as u64);
    assert_eq!((recovery.torn, recovery.notes), (None, vec![]));
    assert_same(&read_all(&store, StorePosition::ZERO, 300), &all);
    assert_eq!(
        store.executed().to_string(),
        "0-7-1..26,0-7-28..31,0-9-27,3-7-1"
    );
    assert_eq!(store.state().to_string(), "0-9-27,0-7-31,3-7-1");
    let last = store.before_last().unwrap();
    assert_eq!(last.position_before.to_string(), "0-7-30,3-7-1");
    assert_eq!(last.gtid.to_string(), "0-7-31");
    let mut digester = crate::event::digest::Digester::new();
    for event in &all.last().unwrap().events {
        digester.event(event);
    }
    assert_eq!(store.digest(&last).unwrap(), digester.finish());
}

#[test]
fn mariadb_binlog_reads_every_file() {
    let bench = Bench::new(1500);
    let (store, mut writer) = bench.started();
    put_all(&mut writer, &golden_samples()).unwrap();
    // Also the one that is being written.
    let files = store.files();
    assert!(files.len() > 3, "{files:?}");
    for file in &files {
        mariadb_binlog_reads(&bench.path(&file.name));
    }
    writer.close().unwrap();
    for file in store.files() {
        let text = mariadb_binlog_reads(&bench.path(&file.name));
        assert!(
            text.contains("created 700101") || !text.contains("at startup"),
            "{text}"
        );
    }
    let last = mariadb_binlog_reads(&bench.path(&store.files().pop().unwrap().name));
    assert!(last.contains("Stop"), "{last}");
    let first = mariadb_binlog_reads(&bench.path("binlog.000001"));
    assert!(first.contains("Rotate to binlog.000002  pos: 4"), "{first}");
    let index = std::fs::read_to_string(bench.path("binlog.index")).unwrap();
    assert_eq!(index.lines().count(), store.files().len());
    assert_eq!(index.lines().next(), Some("./binlog.000001"));
}

#[test]
fn files_rotate_by_size_between_transactions_and_chain_their_states() {
    let bench = Bench::new(700);
    let all = samples(1, 30);
    {
        let (store, mut writer) = bench.started();
        put_all(&mut writer, &all).unwrap();
        assert!(store.files().len() > 3);
        assert_same(&read_all(&store, StorePosition::ZERO, 64), &all);
    }
    let (store, mut writer, recovery) = bench.open().unwrap();
    assert_eq!(recovery.transactions, 30);
    assert_eq!(recovery.notes, Vec::<String>::new());
    // The last file is gone on with: it is not full, and was not closed.
    let files = store.files().len();
    put_all(&mut writer, &samples(31, 31)).unwrap();
    assert!(store.files().len() <= files + 1);
    assert_same(
        &read_all(&store, StorePosition::ZERO, 1 << 20),
        &samples(1, 31),
    );
}

#[test]
fn a_clean_close_starts_the_next_file() {
    let bench = Bench::new(1 << 20);
    {
        let (_store, mut writer) = bench.started();
        put_all(&mut writer, &samples(1, 3)).unwrap();
        writer.close().unwrap();
    }
    {
        let (store, mut writer) = bench.started();
        assert_eq!(store.marks().borrow().written.file, 1);
        put_all(&mut writer, &samples(4, 5)).unwrap();
        assert_eq!(store.files().len(), 2);
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples(1, 5),
        );
        writer.close().unwrap();
    }
    // Closing twice without anything between makes no file.
    let (store, mut writer) = bench.started();
    writer.close().unwrap();
    assert_eq!(store.files().len(), 2);
}

#[test]
fn a_store_begins_where_its_base_says() {
    let bench = Bench::new(1 << 20);
    let base = state("0-9-27,0-7-36,3-7-1");
    {
        let (store, mut writer) = bench.started();
        writer.begin_base(&base).unwrap();
        assert_eq!(store.end().to_string(), "0-7-36,3-7-1");
        assert_eq!(
            store.locate(&position("0-7-36,3-7-1")).unwrap(),
            Located::At(StorePosition::ZERO)
        );
        put_all(&mut writer, &samples(37, 38)).unwrap();
        assert!(matches!(writer.begin_base(&base), Err(Error::Misuse(_))));
    }
    let (store, _writer, recovery) = bench.open().unwrap();
    assert_eq!(recovery.transactions, 2);
    assert_eq!(store.executed().to_string(), "0-7-1..38,0-9-1..27,3-7-1");
    assert_eq!(
        store.before_last().unwrap().position_before.to_string(),
        "0-7-37,3-7-1"
    );
}

#[test]
fn nothing_is_taken_twice_or_unframed() {
    let bench = Bench::new(1 << 20);
    let (store, mut writer) = bench.started();
    put_all(&mut writer, &samples(1, 2)).unwrap();
    assert!(matches!(
        put(&mut writer, &sample(0, 7, 2, 40)),
        Err(Error::Duplicate(_))
    ));
    writer.abandon().unwrap();
    put(&mut writer, &sample(0, 7, 3, 40)).unwrap();
    assert!(matches!(
        put(&mut writer, &sample(0, 7, 3, 40)),
        Err(Error::Duplicate(_))
    ));
    writer.abandon().unwrap();
    // An event without the GTID before it; a commit of something else; a torn header.
    assert!(writer.append(&sample(0, 7, 4, 40).events[1]).is_err());
    writer.append(&sample(0, 7, 4, 40).events[0]).unwrap();
    assert!(matches!(
        writer.commit("0-7-5".parse().unwrap()),
        Err(Error::Misuse(_))
    ));
    assert!(writer.append(&[1, 2, 3]).is_err());
    writer.abandon().unwrap();
    writer.flush().unwrap();
    assert_same(
        &read_all(&store, StorePosition::ZERO, 1 << 20),
        &samples(1, 3),
    );
}

#[test]
fn a_transaction_larger_than_the_buffer_is_spilled_and_can_be_abandoned() {
    let bench = Bench::new(64 << 20);
    let (store, mut writer) = bench.started();
    put_all(&mut writer, &samples(1, 1)).unwrap();
    let before = store.marks().borrow().written;
    let piece = sample(0, 7, 2, 500_000);
    let big = |events: usize| {
        let mut big = piece.clone();
        let query = big.events[1].clone();
        for _ in 1..events {
            big.events.insert(1, query.clone());
        }
        big
    };
    let path = bench.path("binlog.000001");
    let length = || std::fs::metadata(&path).unwrap().len();
    let spilled = big(20);
    for event in &spilled.events[..20] {
        writer.append(event).unwrap();
    }
    assert!(length() > 7_000_000, "early in the file, not in memory");
    assert_eq!(store.marks().borrow().written, before);
    writer.abandon().unwrap();
    writer.flush().unwrap();
    assert_eq!(length(), before.offset);
    let end = put(&mut writer, &spilled).unwrap();
    assert_eq!(store.marks().borrow().written, before);
    writer.flush().unwrap();
    assert_eq!(store.marks().borrow().written, end);
    assert_eq!(length(), end.offset);
    let expected = [samples(1, 1), vec![spilled]].concat();
    // Batches smaller than one event give one event at a time.
    assert_same(&read_all(&store, StorePosition::ZERO, 1000), &expected);
    drop((store, writer));
    let (store, _writer, recovery) = bench.open().unwrap();
    assert_eq!((recovery.torn, recovery.end), (None, end));
    assert_same(&read_all(&store, StorePosition::ZERO, 1 << 22), &expected);
}

#[test]
fn another_format_begins_another_file() {
    let bench = Bench::new(1 << 20);
    let (store, mut writer) = bench.started();
    put_all(&mut writer, &samples(1, 1)).unwrap();
    // Same server, other start: no reason.
    writer
        .source_format(&golden::events("first-start.000001")[0])
        .unwrap();
    writer
        .source_format(&golden::events("no-checksum.000005")[0])
        .unwrap();
    put_all(&mut writer, &samples(2, 2)).unwrap();
    assert_eq!(store.files().len(), 1);
    let mut other = description();
    other.truncate(other.len() - 4);
    other[19 + 2 + 4] = b'9';
    crate::event::seal(&mut other, 256).unwrap();
    writer.source_format(&other).unwrap();
    put_all(&mut writer, &samples(3, 3)).unwrap();
    assert_eq!(store.files().len(), 2);
    let file = std::fs::read(bench.path("binlog.000002")).unwrap();
    let length = u32::from_le_bytes(file[13..17].try_into().unwrap()) as usize;
    let own = FormatDescription::parse(&file[4..4 + length]).unwrap();
    assert!(
        own.server_version().starts_with("10.19."),
        "{}",
        own.server_version()
    );
    assert_eq!(own.header().unwrap().kind, EventType::FORMAT_DESCRIPTION);
}

#[test]
fn two_proxies_on_one_directory_refuse() {
    let bench = Bench::new(1 << 20);
    let first = bench.open().unwrap();
    assert!(matches!(bench.open(), Err(Error::Locked { .. })));
    drop(first);
    bench.open().unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_goes_on_by_itself() {
    let bench = Bench::new(1 << 20);
    let (store, mut writer) = bench.started();
    put_all(&mut writer, &samples(1, 2)).unwrap();
    wait_synced(&store);
    let before = *store.marks().borrow();
    let length = || {
        std::fs::metadata(bench.path("binlog.000001"))
            .unwrap()
            .len()
    };
    let bytes = length();
    bench.faults.leave_room(Some(50));
    put(&mut writer, &sample(0, 7, 3, 40)).unwrap();
    assert!(matches!(writer.flush(), Err(Error::DiskFull { .. })));
    assert_eq!(length(), bytes, "cut back to the last whole write");
    assert_eq!(*store.marks().borrow(), before);
    assert!(
        store.problem().unwrap().contains("disk full"),
        "{:?}",
        store.problem()
    );
    assert!(matches!(writer.flush(), Err(Error::DiskFull { .. })));
    // More is taken until the buffer is full, and not beyond.
    let mut taken = vec![sample(0, 7, 3, 40)];
    let refused = loop {
        let next = sample(0, 7, taken.len() as u64 + 3, 100_000);
        match put(&mut writer, &next) {
            Ok(_) => taken.push(next),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::DiskFull { .. }));
    assert!(taken.len() < 20);
    writer.abandon().unwrap();
    bench.faults.leave_room(None);
    let marks = writer.flush().unwrap();
    assert!(marks.written > before.written);
    assert_eq!(store.problem(), None);
    wait_synced(&store);
    let expected = [samples(1, 2), taken].concat();
    assert_same(&read_all(&store, StorePosition::ZERO, 1 << 20), &expected);
}

#[test]
fn a_full_disk_at_a_rotation_lets_the_file_grow_or_retries_the_next_one() {
    for room in (0..900).step_by(3) {
        let bench = Bench::new(600);
        let (store, mut writer) = bench.started();
        put_all(&mut writer, &samples(1, 1)).unwrap();
        bench.faults.leave_room(Some(room));
        let mut next = 2;
        for _ in 0..6 {
            let failed = match put(&mut writer, &sample(0, 7, next, 40)) {
                Ok(_) => writer.flush().is_err(),
                Err(_) => {
                    writer.abandon().unwrap();
                    bench.faults.leave_room(None);
                    continue;
                }
            };
            next += 1;
            if failed {
                bench.faults.leave_room(None);
                writer.flush().unwrap();
            }
        }
        bench.faults.leave_room(None);
        writer.flush().unwrap();
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples(1, next - 1),
        );
        wait_synced(&store);
        drop((store, writer));
        let (store, _writer, recovery) = bench.open().unwrap();
        assert_eq!(recovery.torn, None);
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples(1, next - 1),
        );
    }
}
