//! What a crash may make of the last transaction, whatever it is: torn at any byte, with any byte changed,
//! with its end never written. What is left is always a whole prefix.

use std::collections::BTreeSet;
use std::fs;

use super::fixture::*;
use crate::event::{EventType, Header, golden};
use crate::ids::StorePosition;

const FILES: [(&str, &str); 6] = [
    (golden::MARIADB, "mixed.000002"),
    (golden::MARIADB, "compressed.000003"),
    (golden::MARIADB, "no-checksum.000005"),
    (golden::MARIADB_11, "types.000003"),
    (golden::MYSQL, "plain.000001"),
    (golden::MYSQL, "tagged.000002"),
];

/// A file of ours with all the transactions of a server's.
struct Tape {
    bench: Bench,
    samples: Vec<Sample>,
    whole: Vec<u8>,
    /// Where the head ends, and each transaction.
    ends: Vec<usize>,
}

impl Tape {
    fn of(description: &[u8], samples: Vec<Sample>) -> Self {
        let bench = Bench::in_memory(1 << 30);
        let (store, mut writer, _) = bench.open().unwrap();
        writer.source_format(description).unwrap();
        let mut ends = Vec::new();
        for sample in &samples {
            let end = put_all(&mut writer, std::slice::from_ref(sample)).unwrap();
            if ends.is_empty() {
                let start = store.before_last().unwrap().start;
                ends.push(start.offset as usize);
            }
            ends.push(end.offset as usize);
        }
        drop((store, writer));
        let whole = fs::read(bench.path("binlog.000001")).unwrap();
        Self {
            bench,
            samples,
            whole,
            ends,
        }
    }

    fn recorded() -> impl Iterator<Item = Self> {
        FILES.into_iter().map(|(version, name)| {
            let (description, samples) = recorded(version, name);
            Self::of(&description, samples)
        })
    }

    /// Where each transaction begins and ends.
    fn transactions(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        let pairs = self.ends.windows(2).enumerate();
        pairs.map(|(index, pair)| (index, pair[0]..pair[1]))
    }

    /// Recovers from this content, of which the first `kept` transactions are whole.
    fn recovers(&self, content: &[u8], kept: usize, what: &str) {
        let path = self.bench.path("binlog.000001");
        fs::write(&path, content).unwrap();
        // What was torn was never synced.
        let _ = fs::remove_file(self.bench.path("binlog.synced"));
        let what = || {
            format!(
                "{what} in transaction {kept}, {}",
                self.samples[kept.min(self.samples.len() - 1)].gtid
            )
        };
        let (store, _writer, recovery) = self
            .bench
            .open()
            .unwrap_or_else(|error| panic!("{}: {error}", what()));
        let end = self.ends[kept];
        assert_eq!(recovery.transactions, kept as u64, "{}", what());
        assert_eq!(
            recovery.end,
            StorePosition::new(1, end as u64),
            "{}",
            what()
        );
        let torn = recovery
            .torn
            .map(|torn| (torn.at as usize, torn.bytes as usize));
        let expected = (content.len() > end).then(|| (end, content.len() - end));
        assert_eq!(torn, expected, "{}", what());
        assert!(fs::read(&path).unwrap() == self.whole[..end], "{}", what());
        let last = store.before_last().map(|last| last.gtid);
        let expected = kept
            .checked_sub(1)
            .map(|index| self.samples[index].gtid.clone());
        assert_eq!(last, expected, "{}", what());
    }
}

#[test]
fn every_kind_of_transaction_is_there() {
    let mut kinds = BTreeSet::new();
    for (version, name) in FILES {
        let (_, samples) = recorded(version, name);
        let events = samples.iter().flat_map(|sample| &sample.events);
        kinds.extend(events.map(|event| Header::parse(event).unwrap().kind));
    }
    let mut lacking = vec![
        EventType::QUERY,
        EventType::INTVAR,
        EventType::RAND,
        EventType::USER_VAR,
        EventType::XID,
        EventType::BEGIN_LOAD_QUERY,
        EventType::EXECUTE_LOAD_QUERY,
        EventType::XA_PREPARE,
        EventType::WRITE_ROWS_V1,
        EventType::WRITE_ROWS,
        EventType::ROWS_QUERY,
        EventType::ANNOTATE_ROWS,
        EventType::QUERY_COMPRESSED,
        EventType::WRITE_ROWS_COMPRESSED_V1,
        EventType::TRANSACTION_PAYLOAD,
        EventType::MYSQL_TAGGED_GTID,
    ];
    lacking.retain(|kind| !kinds.contains(kind));
    assert_eq!(lacking, []);
}

#[test]
fn torn_at_every_byte() {
    for tape in Tape::recorded() {
        for (kept, range) in tape.transactions() {
            for length in range {
                tape.recovers(&tape.whole[..length], kept, &format!("torn at {length}"));
            }
        }
        tape.recovers(&tape.whole, tape.samples.len(), "whole");
    }
}

#[test]
fn with_every_byte_changed() {
    for tape in Tape::recorded() {
        for (kept, range) in tape.transactions() {
            let mut damaged = tape.whole[..range.end].to_vec();
            for at in range {
                let bits = 1 << (at % 8);
                damaged[at] ^= bits;
                tape.recovers(&damaged, kept, &format!("changed at {at}"));
                damaged[at] ^= bits;
            }
        }
    }
}

#[test]
fn with_a_page_that_was_never_written() {
    for tape in Tape::recorded() {
        for (kept, range) in tape.transactions() {
            let whole = &tape.whole[..range.end];
            for from in range.clone().step_by(11) {
                // To the end of the file, of a sector, and a few bytes of it only.
                for to in [range.end, (from / 512 + 1) * 512, from + 9] {
                    let mut damaged = whole.to_vec();
                    damaged[from..to.min(range.end)].fill(0);
                    let kept = kept + usize::from(damaged == whole);
                    tape.recovers(&damaged, kept, &format!("zeros from {from} to {to}"));
                }
            }
            // The length reached the disk, and more of it than was written.
            let mut longer = whole.to_vec();
            longer.resize(whole.len() + 5000, 0);
            tape.recovers(&longer, kept + 1, "zeros behind the end");
        }
    }
}

#[test]
fn a_transaction_larger_than_all_buffers() {
    let (description, mut samples) = recorded(golden::MARIADB, "mixed.000002");
    samples.truncate(2);
    let mut large = sample(7, 7, 1, 700_000);
    let middle = large.events[1].clone();
    for _ in 0..3 {
        large.events.insert(1, middle.clone());
    }
    samples.push(large);
    let tape = Tape::of(&description, samples);
    let (kept, range) = tape.transactions().last().unwrap();
    let mut boundaries = vec![range.start];
    while let Some(at) = boundaries.last().filter(|at| **at < range.end) {
        let length = Header::parse(&tape.whole[*at..]).unwrap().length as usize;
        boundaries.push(at + length);
    }
    assert_eq!(boundaries.len(), 7);
    let near = |at: usize| at.saturating_sub(24)..at + 24;
    let mut places: BTreeSet<usize> = boundaries.into_iter().flat_map(near).collect();
    // Buffers of the writer and of the scanner.
    for buffer in [64, 256, 1024] {
        let ends = range.clone().step_by(buffer * 1024);
        places.extend(ends.flat_map(|at| [at - 1, at, at + 1]));
    }
    let places = || places.iter().copied().filter(|at| range.contains(at));
    assert!(places().count() > 300);
    for at in places() {
        tape.recovers(&tape.whole[..at], kept, &format!("torn at {at}"));
    }
    for at in places().step_by(5) {
        let mut damaged = tape.whole.clone();
        damaged[at] ^= 0x10;
        tape.recovers(&damaged, kept, &format!("changed at {at}"));
        damaged[at..].fill(0);
        tape.recovers(&damaged, kept, &format!("zeros from {at}"));
    }
}

/// It is asked for again, and would stand there twice.
#[test]
fn an_incident_goes_with_the_transaction_behind_it() {
    let bench = Bench::in_memory(1 << 30);
    let (store, mut writer) = bench.started();
    let samples = samples(1, 3);
    let first = put_all(&mut writer, &samples[..1]).unwrap();
    let mut incident = Vec::new();
    Header::begin(EventType::INCIDENT, crate::ids::ServerId(7), 0).write(&mut incident);
    incident.extend_from_slice(b"\x01\0\x04lost");
    writer.incident(&incident).unwrap();
    // What was not written by then is the source's to send again.
    writer.abandon().unwrap();
    put_all(&mut writer, &samples[1..2]).unwrap();
    let second = store.marks().borrow().written;
    writer.incident(&incident).unwrap();
    let third = put_all(&mut writer, &samples[2..]).unwrap();
    drop((store, writer));

    let path = bench.path("binlog.000001");
    let whole = fs::read(&path).unwrap();
    let incidents = |bytes: &[u8]| bytes.windows(4).filter(|bytes| bytes == b"lost").count();
    assert_eq!(incidents(&whole[first.offset as usize..]), 1);
    for length in second.offset..=third.offset {
        fs::write(&path, &whole[..length as usize]).unwrap();
        let _ = fs::remove_file(bench.path("binlog.synced"));
        let (store, writer, _) = bench.open().unwrap();
        let end = if length == third.offset {
            third
        } else {
            second
        };
        assert_eq!(store.before_last().unwrap().end, end, "cut at {length}");
        let had = usize::from(end == third);
        assert_eq!(incidents(&fs::read(&path).unwrap()), had, "cut at {length}");
        let kept = if end == third { 3 } else { 2 };
        assert_same(
            &read_all(&store, StorePosition::ZERO, 1 << 20),
            &samples[..kept],
        );
        drop((store, writer));
        for name in ["binlog.000002", "binlog.index"] {
            let _ = fs::remove_file(bench.path(name));
        }
    }
}
