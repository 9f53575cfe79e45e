//! Our own binlog: files in MySQL's binlog v4 format, written once, fsynced in groups.
//!
//! ```text
//! capture ─► Writer ── pwrite ──► binlog.000007 ◄── fdatasync ── fsync thread
//!              │ publishes `written`     │                │ publishes `synced`
//!              └──────────► Marks ◄──────┼────────────────┘
//!                                        └── pread ── Readers (dump, …)
//! ```
//!
//! Each file: magic, FORMAT_DESCRIPTION like the source's (but `created` 0, CRC32, never in use),
//! GTID_LIST or PREVIOUS_GTIDS with the state before it, transactions; a full one ends with ROTATE, a clean shutdown
//! with STOP. `binlog.index` names the files, `ackline.state` is [`state`], `binlog.synced` is the
//! floor that recovery knows to have been durable, `ackline.lock` keeps a second process out,
//! [`origins`] stand beside each file and count for nothing.
//!
//! Invariants:
//! - `released <= synced <= written` (in mode `async` released may pass `synced`), all of them ends of
//!   transactions. Within a [`Marks::generation`] they only grow; `synced` never goes back.
//! - Nothing between `synced` and the file's end counts after a failed fsync: the file is cut at
//!   `synced`, durably, before anything follows it in a new file, and is never synced again.
//! - A file exists only when the one before it is synced to its end, or durably cut. So only the last
//!   file can be torn, and each file's list of GTIDs is exactly where the one before it ended.
//! - A file named in the index has a whole, synced head; a file that is not named there yet holds no
//!   transaction.
//! - MySQL's logical clock only grows within a file: where the source's began anew, a file of ours does.
//! - A transaction is in the store at most once: [`Writer::commit`] refuses a GTID that is executed.
//! - Files go only from the oldest on, the index first ([`purge`]); what a voting replica needs, what is
//!   not released and the last transaction stay.
//! - A reader gives nothing beyond `written`, nor beyond the cut of a file.

mod binlog_file;
mod catalogue;
mod check;
mod disk;
mod index;
pub mod inspect;
mod keep;
mod locate;
mod lock;
pub mod origins;
mod purge;
mod reader;
mod recovery;
mod scan;
pub mod skim;
pub mod state;
mod sync;
mod watermark;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::sync::watch;

use crate::event::digest::{Digester, TransactionDigest};
use crate::event::{self, CHECKSUM_LENGTH};
use crate::gtid::{Gtid, GtidSet, Position, State};
use crate::ids::StorePosition;

use catalogue::Catalogue;
use disk::Disk;
use lock::DirectoryLock;
use recovery::Recoverer;
use state::{Cut, DurableState};
use watermark::{SyncedFloor, Watermarks};

pub use binlog_file::{FIRST_EVENT, file_name, file_number};
pub use catalogue::LastTransaction;
pub use check::{Checked, check};
pub use keep::Keep;
pub use locate::Located;
pub use purge::{Need, Purged, Request as PurgeRequest, Unwanted};
pub use reader::{Batch, BatchEvent, Place, Reader};
pub use recovery::{Recovery, TornTail};
pub use skim::{Skim, Skimmed};
pub use watermark::{Marks, Observer, Written};
pub use writer::Writer;

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Retry when there is room: nothing is lost.
    #[error("disk full: cannot {doing} {}: {source}", path.display())]
    DiskFull {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Promise 9: only [`Writer::reopen`] leads on.
    #[error("fsync failed: {file} counts up to {synced} only: {reason}")]
    SyncFailed {
        file: String,
        synced: StorePosition,
        reason: String,
    },
    #[error("{} is in use by another process", dir.display())]
    Locked { dir: PathBuf },
    #[error("{file} is damaged at {at}: {reason}")]
    Corrupt {
        file: String,
        at: u64,
        reason: String,
    },
    #[error("{file} is missing")]
    Missing { file: String },
    #[error(
        "the binlog ends at {end}, but was safe on disk up to {floor}: restore the missing part, or remove binlog.synced to go on without it"
    )]
    LostSynced {
        end: StorePosition,
        floor: StorePosition,
    },
    #[error("{} cannot be used: {reason}", path.display())]
    State { path: PathBuf, reason: String },
    #[error(transparent)]
    Event(#[from] event::Error),
    #[error("transaction {0} is in the store already")]
    Duplicate(Gtid),
    /// The reader gave out what a failed fsync took back.
    #[error("{sent} was sent, but only {valid} counts since an fsync failed")]
    TakenBack {
        sent: StorePosition,
        valid: StorePosition,
    },
    #[error("the store was used wrongly: {0}")]
    Misuse(&'static str),
}

impl Error {
    fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull {
                doing,
                path,
                source,
            },
            _ => Self::Io {
                doing,
                path,
                source,
            },
        }
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Made if it is not there.
    pub dir: PathBuf,
    /// A file that has grown to this many bytes is followed by a new one.
    pub file_size: u64,
}

/// One file, for `status` and SHOW BINARY LOGS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    pub number: u32,
    pub name: String,
    pub bytes: u64,
    /// When it was begun: Unix time in seconds, by our clock.
    pub created: u32,
}

struct Shared {
    dir: PathBuf,
    file_size: u64,
    disk: Disk,
    catalogue: RwLock<Catalogue>,
    marks: Watermarks,
    floor: SyncedFloor,
    durable: Mutex<DurableState>,
    /// Held by who changes it, over its fsyncs.
    changing: Mutex<()>,
    /// Held while `binlog.index` is written and the catalogue follows.
    index: Mutex<()>,
    /// One purge at a time.
    purging: Mutex<()>,
    problems: Mutex<BTreeMap<Trouble, String>>,
    /// Whether there are any, so that the hot path does not lock.
    has_problems: AtomicBool,
    _lock: DirectoryLock,
}

/// A handle for everyone who reads or asks. The directory stays locked until the last one is gone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Opens or makes the store in a directory that no one else has open.
    pub fn open(
        options: Options,
        observer: Arc<dyn Observer>,
    ) -> Result<(Self, Writer, Recovery), Error> {
        Self::open_on(Disk::default(), options, observer)
    }

    fn open_on(
        disk: Disk,
        options: Options,
        observer: Arc<dyn Observer>,
    ) -> Result<(Self, Writer, Recovery), Error> {
        let Options { dir, file_size } = options;
        make(&disk, &dir).map_err(|source| Error::io("make", &dir, source))?;
        let lock = DirectoryLock::take(&dir)?;
        let durable = DurableState::load(&dir)?;
        let (floor, known) = SyncedFloor::open(&disk, &dir)?;
        let recovered = Recoverer {
            dir: &dir,
            disk: &disk,
            state: &durable,
            floor: known,
            report: Recovery::default(),
        }
        .run()?;
        let end = recovered.end;
        floor.raise(end);
        recovered.report.log(&dir);
        let marks = recovered.catalogue.marks(end, end);
        let shared = Arc::new(Shared {
            dir,
            file_size,
            disk,
            catalogue: RwLock::new(recovered.catalogue),
            marks: Watermarks::new(marks, observer),
            floor,
            durable: Mutex::new(durable),
            changing: Mutex::default(),
            index: Mutex::default(),
            purging: Mutex::default(),
            problems: Mutex::default(),
            has_problems: AtomicBool::new(false),
            _lock: lock,
        });
        let writer = Writer::new(
            Arc::clone(&shared),
            recovered.template,
            recovered.clock,
            end,
        )?;
        Ok((Self { shared }, writer, recovered.report))
    }

    pub fn marks(&self) -> watch::Receiver<Marks> {
        self.shared.marks.subscribe()
    }

    pub fn written(&self) -> watch::Receiver<Written> {
        self.shared.marks.subscribe_written()
    }

    /// All whole transactions up to `written`, and what the base claims.
    pub fn executed(&self) -> GtidSet {
        self.shared.catalogue.read().executed.clone()
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.shared.catalogue.read().executed.contains(gtid)
    }

    /// The GTID position at `written`.
    pub fn end(&self) -> Position {
        self.state().position()
    }

    /// Up to where it is synced, and what that is.
    pub fn synced_point(&self) -> (StorePosition, Position) {
        let catalogue = self.shared.catalogue.read();
        let synced = &catalogue.synced;
        let end = synced.last.as_ref().map(|last| last.end);
        (end.unwrap_or_default(), synced.state.position())
    }

    /// What the binlog holds at `written`; of MariaDB's flavor while it is empty.
    pub fn state(&self) -> State {
        self.shared.catalogue.read().written.state.clone()
    }

    /// The newest transaction; none in a store that has none.
    pub fn before_last(&self) -> Option<LastTransaction> {
        self.shared.catalogue.read().written.last.clone()
    }

    /// The content of a transaction of ours, to compare with the source's.
    pub fn digest(&self, transaction: &LastTransaction) -> Result<TransactionDigest, Error> {
        let mut reader = self.reader(transaction.start)?;
        let mut digester = Digester::new();
        let mut batch = Batch::new();
        while reader.position() < transaction.end {
            reader.next_batch(transaction.end, 256 * 1024, &mut batch)?;
            if batch.is_empty() {
                return Err(Error::Misuse("the transaction is not in the store"));
            }
            for (event, bytes) in batch.iter() {
                if matches!(event.place, Place::Start(_) | Place::Inside | Place::End(_)) {
                    digester.event(&bytes[..bytes.len() - CHECKSUM_LENGTH]);
                }
            }
        }
        Ok(digester.finish())
    }

    pub fn files(&self) -> Vec<FileInfo> {
        self.shared.files()
    }

    /// Goes through the events from `at` on, the end of a transaction.
    pub fn skim(&self, at: StorePosition) -> Skim {
        Skim::new(&self.shared.dir, at)
    }

    /// What is kept beside the binlog under this name; none where it is not there or cannot be read.
    pub fn beside(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.shared.dir.join(name)).ok()
    }

    /// Replaces it whole.
    pub fn keep_beside(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.shared.dir.join(name);
        self.shared
            .disk
            .replace(&path, content)
            .map_err(|source| Error::io("replace", &path, source))
    }

    /// What is wrong with the disk, in a sentence for `status`; none when all is well.
    pub fn problem(&self) -> Option<String> {
        self.shared.problem()
    }

    /// What is kept beside the binlog.
    pub fn durable(&self) -> DurableState {
        self.shared.durable.lock().clone()
    }

    /// Changes it, durably when this returns (three syncs: not for every commit). The cuts and what was
    /// purged are the store's own and stay as they are.
    pub fn change_durable(&self, change: impl FnOnce(&mut DurableState)) -> Result<(), Error> {
        self.shared.change_durable(|state| {
            let (cuts, purged) = (state.cuts.clone(), state.purged.clone());
            change(state);
            state.cuts = cuts;
            state.purged = purged;
        })
    }
}

impl Shared {
    fn files(&self) -> Vec<FileInfo> {
        let written = self.marks.now().written;
        let catalogue = self.catalogue.read();
        let files = catalogue.files.iter();
        files
            .map(|file| FileInfo {
                number: file.number,
                name: file_name(file.number),
                bytes: file.readable(written),
                created: file.created,
            })
            .collect()
    }

    fn change_durable(&self, change: impl FnOnce(&mut DurableState)) -> Result<(), Error> {
        // One change after the other; who only reads does not wait for their fsyncs.
        let _changing = self.changing.lock();
        let before = self.durable.lock().clone();
        let mut changed = before.clone();
        change(&mut changed);
        if changed != before {
            if let Err(error) = changed.save_to(&self.disk, &self.dir) {
                // It may stand there all the same: what was renamed and not synced a restart would find, or not.
                let _ = before.save_to(&self.disk, &self.dir);
                return Err(error);
            }
            *self.durable.lock() = changed;
        }
        Ok(())
    }

    fn record_cut(&self, cut: Cut) -> Result<(), Error> {
        self.change_durable(|state| {
            if !state.cuts.contains(&cut) {
                state.cuts.push(cut);
            }
        })
    }

    fn problem(&self) -> Option<String> {
        self.problems.lock().values().next().cloned()
    }

    fn has_problem(&self, trouble: Trouble) -> bool {
        self.has_problems.load(Ordering::Relaxed) && self.problems.lock().contains_key(&trouble)
    }

    /// Whether that is news.
    fn note_problem(&self, trouble: Trouble, problem: Option<String>) -> bool {
        if problem.is_none() && !self.has_problems.load(Ordering::Relaxed) {
            return false;
        }
        let mut problems = self.problems.lock();
        let before = match problem.clone() {
            Some(problem) => problems.insert(trouble, problem),
            None => problems.remove(&trouble),
        };
        self.has_problems
            .store(!problems.is_empty(), Ordering::Relaxed);
        before != problem
    }
}

/// What can be wrong with the disk, worst first; each kind passes on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Sync,
    Write,
    Read,
}

/// A folder that is new stands in its parent only once that is synced.
fn make(disk: &Disk, dir: &Path) -> io::Result<()> {
    let parents = dir.ancestors().skip(1);
    let missing = dir.ancestors().zip(parents);
    let missing: Vec<_> = missing.take_while(|(dir, _)| !dir.exists()).collect();
    std::fs::create_dir_all(dir)?;
    for (_, parent) in missing {
        disk.sync_dir(match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
