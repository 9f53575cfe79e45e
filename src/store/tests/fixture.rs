//! A store in a temporary directory, and transactions to put in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::event::{EventType, Header, Step, TransactionTracker, golden};
use crate::gtid::{Gtid, Position, State, mariadb};
use crate::ids::{Flavor, ServerId, StorePosition};
use crate::store::disk::Disk;
use crate::store::disk::faults::Faults;
use crate::store::{Batch, Error, Marks, Observer, Options, Place, Recovery, Store, Writer};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) gtid: Gtid,
    /// Without checksums.
    pub(super) events: Vec<Vec<u8>>,
}

/// The source's format description, as it came.
pub(super) fn description() -> Vec<u8> {
    golden::events("mixed.000002").swap_remove(0)
}

/// All transactions of a real server's file.
pub(super) fn golden_samples() -> Vec<Sample> {
    recorded(golden::MARIADB, "mixed.000002").1
}

/// A real server's file: its format description, as it came, and its transactions.
pub(super) fn recorded(version: &str, name: &str) -> (Vec<u8>, Vec<Sample>) {
    let mut tracker = TransactionTracker::new();
    let mut samples: Vec<Sample> = Vec::new();
    let mut events = golden::events_of(version, name).into_iter();
    let description = events.next().unwrap();
    for event in events {
        match tracker.feed(&event).unwrap() {
            Step::Outside => {}
            Step::GroupStart(start) => samples.push(Sample {
                gtid: start.gtid,
                events: vec![event],
            }),
            Step::InGroup | Step::GroupEnd => samples.last_mut().unwrap().events.push(event),
        }
    }
    (description, samples)
}

/// GTID, a statement of about `bytes`, XID.
pub(super) fn sample(domain: u32, server: u32, seq: u64, bytes: usize) -> Sample {
    let event = |kind, body: &[u8]| {
        let mut event = Vec::new();
        Header::begin(kind, ServerId(server), 1_700_000_000).write(&mut event);
        event.extend_from_slice(body);
        event
    };
    let mut start = seq.to_le_bytes().to_vec();
    start.extend_from_slice(&domain.to_le_bytes());
    start.extend_from_slice(&[0x0c, 0, 0, 0, 0, 0, 0]);
    let mut query = vec![0; 13];
    query[8] = 1;
    query.extend_from_slice(b"g\0INSERT INTO t VALUES ('");
    query.extend((0..bytes).map(|index| b'a' + (index as u64 * seq % 23) as u8));
    query.extend_from_slice(b"')");
    Sample {
        gtid: mariadb::Gtid::new(domain, server, seq).into(),
        events: vec![
            event(EventType::GTID, &start),
            event(EventType::QUERY, &query),
            event(EventType::XID, &seq.to_le_bytes()),
        ],
    }
}

/// `0-7-from` to `0-7-to`.
pub(super) fn samples(from: u64, to: u64) -> Vec<Sample> {
    (from..=to).map(|seq| sample(0, 7, seq, 40)).collect()
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) marks: Mutex<Vec<Marks>>,
    pub(super) failures: Mutex<Vec<String>>,
}

impl Observer for Log {
    fn marks(&self, marks: Marks) {
        assert!(marks.synced <= marks.written);
        let mut log = self.marks.lock();
        if let Some(before) = log.last() {
            assert!(before.synced <= marks.synced, "{before:?} {marks:?}");
            assert!(before.generation <= marks.generation);
            assert!(
                before.generation < marks.generation || before.written <= marks.written,
                "{before:?} {marks:?}"
            );
        }
        log.push(marks);
    }

    fn failed(&self, what: &Error) {
        self.failures.lock().push(what.to_string());
    }
}

pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) file_size: u64,
    pub(super) faults: Arc<Faults>,
    pub(super) log: Arc<Log>,
}

impl Bench {
    pub(super) fn new(file_size: u64) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            file_size,
            faults: Arc::default(),
            log: Arc::default(),
        }
    }

    /// Where nothing reaches a disk: for what is done ten thousand times.
    pub(super) fn in_memory(file_size: u64) -> Self {
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Self {
            dir: dir.unwrap(),
            ..Self::new(file_size)
        }
    }

    pub(super) fn open(&self) -> Result<(Store, Writer, Recovery), Error> {
        self.open_watched(Arc::clone(&self.log) as Arc<dyn Observer>)
    }

    pub(super) fn open_watched(
        &self,
        observer: Arc<dyn Observer>,
    ) -> Result<(Store, Writer, Recovery), Error> {
        let disk = Disk {
            faults: Some(Arc::clone(&self.faults)),
        };
        // A new process, whose marks begin anew.
        self.log.marks.lock().clear();
        let options = Options {
            dir: self.dir.path().to_owned(),
            file_size: self.file_size,
        };
        Store::open_on(disk, options, observer)
    }

    /// As a new process on the same directory, with a disk that works.
    pub(super) fn healed(self) -> Self {
        Self {
            faults: Arc::default(),
            log: Arc::default(),
            ..self
        }
    }

    pub(super) fn started(&self) -> (Store, Writer) {
        let (store, mut writer, _) = self.open().unwrap();
        writer.source_format(&description()).unwrap();
        (store, writer)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Names and contents of the directory.
    pub(super) fn contents(&self) -> HashMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(Result::unwrap);
        entries
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read(entry.path()).unwrap())
            })
            .collect()
    }
}

pub(super) fn put(writer: &mut Writer, sample: &Sample) -> Result<StorePosition, Error> {
    for event in &sample.events {
        writer.append(event)?;
    }
    writer.commit(sample.gtid.clone())
}

/// Appends and flushes each.
pub(super) fn put_all(writer: &mut Writer, samples: &[Sample]) -> Result<StorePosition, Error> {
    let mut end = StorePosition::ZERO;
    for sample in samples {
        end = put(writer, sample)?;
        writer.flush()?;
    }
    Ok(end)
}

/// Everything up to `end`, by a new reader.
pub(super) fn read_all(store: &Store, from: StorePosition, max_bytes: usize) -> Vec<Sample> {
    let mut reader = store.reader(from).unwrap();
    let end = store.marks().borrow().written;
    let mut samples: Vec<Sample> = Vec::new();
    let mut batch = Batch::new();
    loop {
        reader.next_batch(end, max_bytes, &mut batch).unwrap();
        if batch.is_empty() {
            return samples;
        }
        collect(&batch, &mut samples);
    }
}

pub(super) fn collect(batch: &Batch, samples: &mut Vec<Sample>) {
    for (event, bytes) in batch.iter() {
        crate::event::verify_checksum(bytes).unwrap();
        let header = Header::parse(bytes).unwrap();
        assert_eq!(header.next_position, event.end.offset as u32);
        let content = bytes[..bytes.len() - 4].to_vec();
        match &event.place {
            Place::Head | Place::Between | Place::Tail => {}
            Place::Start(gtid) => samples.push(Sample {
                gtid: gtid.clone(),
                events: vec![content],
            }),
            Place::Inside | Place::End(_) => samples.last_mut().unwrap().events.push(content),
        }
    }
}

/// Equal but for length, position: what the store may rewrite.
pub(super) fn assert_same(found: &[Sample], expected: &[Sample]) {
    let gtids = |samples: &[Sample]| {
        samples
            .iter()
            .map(|s| s.gtid.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(gtids(found), gtids(expected));
    let blank = |samples: &[Sample]| {
        let mut samples = samples.to_vec();
        for event in samples.iter_mut().flat_map(|sample| &mut sample.events) {
            event[9..17].fill(0);
        }
        samples
    };
    assert!(blank(found) == blank(expected));
}

pub(super) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub(super) fn wait_synced(store: &Store) {
    let marks = store.marks();
    wait_for("everything is synced", || {
        let marks = *marks.borrow();
        marks.synced == marks.written
    });
}

/// The server's own tool must read a file to its end, checksums verified, without a word.
pub(super) fn mariadb_binlog_reads(path: &Path) -> String {
    let output = std::process::Command::new("mariadb-binlog")
        .args(["--no-defaults", "--verify-binlog-checksum"])
        // It leaves there what LOAD DATA brought.
        .arg("--local-load")
        .arg(path.parent().expect("a file in a folder"))
        .arg(path)
        .output()
        .expect("mariadb-binlog is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !text.contains("Warning") && !text.contains("warning"),
        "{text}"
    );
    assert!(!text.contains("crash"), "{text}");
    text
}

/// Of MariaDB.
pub fn position(text: &str) -> Position {
    Position::parse(Flavor::MariaDb, text).unwrap()
}

/// Of MariaDB.
pub fn state(text: &str) -> State {
    State::parse(Flavor::MariaDb, text).unwrap()
}
