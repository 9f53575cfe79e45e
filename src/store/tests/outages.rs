//! A disk that is full, or fails, at each single operation of a run: nothing counts as synced that a power
//! cut could take, and the store goes on by itself when the disk does.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::fixture::*;
use crate::ids::StorePosition;
use crate::store::disk::Operation;
use crate::store::disk::faults::{Faults, Outage};
use crate::store::{Error, Marks, Observer, Recovery, Store, Writer, file_name};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const LAST: u64 = 14;
/// Failures in a row after which the disk is mended.
const PATIENCE: u32 = 6;

/// Holds every mark against what is on disk.
struct Witness {
    faults: Arc<Faults>,
    dir: std::path::PathBuf,
    /// Of a run in which no fsync fails: such a file has an end that does not count.
    all_before: bool,
}

impl Observer for Witness {
    fn marks(&self, marks: Marks) {
        assert!(marks.synced <= marks.written);
        if marks.synced > StorePosition::ZERO {
            let path = self.dir.join(file_name(marks.synced.file));
            let durable = self.faults.durable_length(&path);
            assert!(
                durable >= marks.synced.offset,
                "{} of {} are on disk",
                durable,
                marks.synced
            );
        }
        if self.all_before {
            for number in 1..marks.synced.file {
                let path = self.dir.join(file_name(number));
                assert!(
                    self.faults.is_durable(&path),
                    "a part of {path:?} is not on disk"
                );
            }
        }
    }
}

/// What comes from the source: small ones, and one that the buffer does not hold.
fn transaction(seq: u64) -> Sample {
    static LARGE: LazyLock<Sample> = LazyLock::new(|| {
        let mut large = sample(0, 7, 5, 540_000);
        let middle = large.events[1].clone();
        large.events.insert(1, middle);
        large
    });
    match seq {
        5 => LARGE.clone(),
        _ => sample(0, 7, seq, 40),
    }
}

/// Does what capture does, and what those do that keep something beside the binlog.
struct Run {
    bench: Bench,
    failures: u32,
    /// The outage came.
    met: bool,
    /// See [`Witness`].
    all_before: bool,
}

impl Run {
    fn new() -> Self {
        Self {
            bench: Bench::in_memory(600),
            failures: 0,
            met: false,
            all_before: false,
        }
    }

    /// Tries until it succeeds; who is told of too many failures mends the disk.
    fn until_done<T>(&mut self, what: &str, mut attempt: impl FnMut() -> Result<T, Error>) -> T {
        loop {
            match attempt() {
                Ok(done) => return done,
                Err(error) => self.failed(what, &error),
            }
        }
    }

    fn failed(&mut self, what: &str, error: &Error) {
        self.failures += 1;
        assert!(
            matches!(
                error,
                Error::Io { .. } | Error::DiskFull { .. } | Error::SyncFailed { .. }
            ),
            "{what}: {error}"
        );
        if self.failures == PATIENCE {
            self.met |= self.bench.faults.end_outage();
        }
        assert!(self.failures < 4 * PATIENCE, "{what} never works: {error}");
    }

    fn open(&mut self) -> (Store, Writer) {
        let witness = Arc::new(Witness {
            faults: Arc::clone(&self.bench.faults),
            dir: self.bench.dir.path().to_owned(),
            all_before: self.all_before,
        });
        let opened = loop {
            match self.bench.open_watched(Arc::clone(&witness) as _) {
                Ok(opened) => break opened,
                Err(error) => self.failed("opening", &error),
            }
        };
        let (store, mut writer, _): (_, _, Recovery) = opened;
        writer.source_format(&description()).unwrap();
        (store, writer)
    }

    /// All transactions up to `last`, some of them two in one flush.
    fn follow(&mut self, store: &Store, writer: &mut Writer, last: u64) {
        let mut torn_once = false;
        loop {
            // After each attach the source sends what the store lacks.
            let mut next = store.executed().iter().count() as u64 + 1;
            let done = (|| {
                while next <= last {
                    if next == 5 && !torn_once {
                        torn_once = true;
                        for event in &transaction(5).events {
                            writer.append(event)?;
                        }
                        writer.abandon()?;
                    }
                    put(writer, &transaction(next))?;
                    if !next.is_multiple_of(3) {
                        // A full disk is waited out where it is met.
                        while let Err(error) = writer.flush() {
                            match error {
                                Error::DiskFull { .. } => self.failed("flushing", &error),
                                error => return Err(error),
                            }
                        }
                    }
                    next += 1;
                }
                writer.flush()
            })();
            match done {
                Ok(_) => {
                    let marks = store.marks();
                    wait_for("a sync or its failure", || {
                        let marks = *marks.borrow();
                        marks.synced == marks.written
                    });
                    if store.executed().iter().count() as u64 >= last {
                        return;
                    }
                }
                Err(error) => self.failed("writing", &error),
            }
            self.until_done("mending", || {
                writer.reopen()?;
                writer.abandon()?;
                writer.flush()
            });
        }
    }

    fn note(&mut self, store: &Store) {
        let synced = store.marks().borrow().synced;
        self.until_done("keeping what is released", || {
            store.change_durable(|durable| durable.released = synced)
        });
    }

    /// The whole run; whether the outage came.
    fn go(&mut self, outage: Outage) -> bool {
        self.bench.faults.plan_outage(outage);
        let (store, mut writer) = self.open();
        self.follow(&store, &mut writer, 3);
        self.note(&store);
        self.follow(&store, &mut writer, 10);
        self.note(&store);
        if let Err(error) = writer.close() {
            self.failed("closing", &error);
        }
        drop((store, writer));
        let (store, mut writer) = self.open();
        self.follow(&store, &mut writer, LAST);
        self.met |= self.bench.faults.end_outage();
        // All is well, and all is there.
        writer.flush().unwrap();
        wait_synced(&store);
        self.assert_whole(&store);
        drop((store, writer));
        self.cut_power();
        let (store, _writer, _) = self.bench.open().unwrap();
        self.assert_whole(&store);
        self.met
    }

    fn assert_whole(&self, store: &Store) {
        let all: Vec<Sample> = (1..=LAST).map(transaction).collect();
        assert_same(&read_all(store, StorePosition::ZERO, 1 << 20), &all);
        assert_eq!(store.problem(), None);
    }

    /// Of each file of the binlog only what a power cut leaves.
    fn cut_power(&self) {
        for (name, content) in self.bench.contents() {
            if name.starts_with("binlog.0") {
                let path = self.bench.path(&name);
                let kept = self.bench.faults.durable_length(&path) as usize;
                std::fs::write(&path, &content[..kept.min(content.len())]).unwrap();
            }
        }
        let _ = std::fs::remove_file(self.bench.path("binlog.synced"));
    }
}

/// The outage at every place of the run where one can be, so many times in a row.
fn at_every(operation: Operation, errno: i32, takes: usize, times: usize) {
    for nth in 0.. {
        let outage = Outage {
            operation,
            nth,
            times,
            errno,
            takes,
        };
        let mut run = Run::new();
        let met = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.go(outage)));
        match met {
            Ok(true) => {}
            // It was too late for the run.
            Ok(false) => {
                assert!(nth > 0, "{operation:?} is done {nth} times only");
                return;
            }
            Err(panic) => {
                eprintln!("with {outage:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Bytes that were synced once and are gone again are no receipt for those that stand there later: the next file
/// was opened, and all before it called synced, on the word of an fsync that had seen others.
#[test]
fn what_was_abandoned_is_no_receipt_for_what_comes_after() {
    let mut run = Run::new();
    run.bench.file_size = 200_000;
    run.all_before = true;
    let (store, mut writer) = run.open();
    put(&mut writer, &transaction(1)).unwrap();
    for event in &transaction(5).events[..3] {
        writer.append(event).unwrap();
    }
    writer.flush().unwrap();
    wait_synced(&store);
    writer.abandon().unwrap();
    let first = run.bench.path(&file_name(1));
    run.bench
        .faults
        .slow_syncs(first, Duration::from_millis(300));
    // Shorter, and long enough for a next file.
    put(&mut writer, &sample(0, 7, 2, 300_000)).unwrap();
    writer.flush().unwrap();
    assert_eq!(store.marks().borrow().written.file, 2);
}

/// Until the disk is mended.
const FOR_LONG: usize = usize::MAX;

#[test]
fn no_space_at_every_write() {
    for (takes, times) in [(0, 1), (30, 1), (1 << 20, 1), (0, FOR_LONG), (1, FOR_LONG)] {
        at_every(Operation::Write, ENOSPC, takes, times);
    }
}

#[test]
fn an_error_at_every_write() {
    at_every(Operation::Write, EIO, 10, 1);
    at_every(Operation::Write, EIO, 0, FOR_LONG);
}

#[test]
fn an_error_at_every_fsync() {
    for times in [1, 2, FOR_LONG] {
        at_every(Operation::Sync, EIO, 0, times);
        at_every(Operation::SyncDir, EIO, 0, times);
    }
}

#[test]
fn an_error_at_everything_else() {
    for operation in [Operation::Create, Operation::Rename, Operation::Truncate] {
        at_every(operation, EIO, 0, 1);
        at_every(operation, EIO, 0, FOR_LONG);
    }
}
