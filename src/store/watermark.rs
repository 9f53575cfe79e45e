//! How far the store is: `synced <= written`, and what is known of it after a crash.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Error;
use super::disk::{Disk, DiskFile};
use crate::ids::StorePosition;

/// Ends of transactions in our own binlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Handed to the kernel: survives a kill of ours, not a power cut. Readers may read this far.
    pub written: StorePosition,
    /// Fsynced. Never more than `written`.
    pub synced: StorePosition,
    /// Grows when a failed fsync took back what lay between `synced` and `written`. Within one
    /// generation both marks only grow; across generations `synced` does.
    pub generation: u64,
}

/// The part of the marks that readers of what is not synced yet follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub position: StorePosition,
    pub generation: u64,
}

impl From<Marks> for Written {
    fn from(marks: Marks) -> Self {
        Self {
            position: marks.written,
            generation: marks.generation,
        }
    }
}

/// Is told of every move of the marks, in order, by the thread that moved them (the writer's or the
/// fsync thread): it must be quick and must not call the [`super::Writer`].
pub trait Observer: Send + Sync {
    fn marks(&self, marks: Marks);

    fn failed(&self, what: &Error) {
        let _ = what;
    }
}

/// For who watches [`super::Store::marks`] instead.
impl Observer for () {
    fn marks(&self, _marks: Marks) {}
}

pub(super) struct Watermarks {
    sender: watch::Sender<Marks>,
    /// For those whom an fsync alone need not wake.
    written: watch::Sender<Written>,
    observer: Arc<dyn Observer>,
    /// Held over the observer's call, so that it hears of moves in the order in which they happen.
    publishing: Mutex<()>,
}

impl Watermarks {
    pub(super) fn new(marks: Marks, observer: Arc<dyn Observer>) -> Self {
        observer.marks(marks);
        Self {
            sender: watch::Sender::new(marks),
            written: watch::Sender::new(marks.into()),
            observer,
            publishing: Mutex::new(()),
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Marks> {
        self.sender.subscribe()
    }

    pub(super) fn subscribe_written(&self) -> watch::Receiver<Written> {
        self.written.subscribe()
    }

    pub(super) fn now(&self) -> Marks {
        *self.sender.borrow()
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut Marks)) {
        let _guard = self.publishing.lock();
        let mut marks = self.now();
        change(&mut marks);
        debug_assert!(marks.synced <= marks.written);
        if self.sender.send_if_modified(|now| {
            let moved = *now != marks;
            *now = marks;
            moved
        }) {
            self.written.send_if_modified(|written| {
                let now = marks.into();
                std::mem::replace(written, now) != now
            });
            self.observer.marks(marks);
        }
    }

    pub(super) fn failed(&self, what: &Error) {
        let _guard = self.publishing.lock();
        self.observer.failed(what);
    }
}

/// `binlog.synced`: the last `synced`, written after each fsync and never fsynced itself. So after a
/// crash it may say less than the truth, and never more: damage below it is damage to what was safe,
/// and no torn tail.
#[derive(Debug)]
pub(super) struct SyncedFloor {
    file: DiskFile,
}

const FLOOR_LENGTH: usize = 16;

impl SyncedFloor {
    pub(super) fn open(disk: &Disk, dir: &Path) -> Result<(Self, StorePosition), Error> {
        let path = dir.join("binlog.synced");
        let known = std::fs::read(&path)
            .ok()
            .and_then(|bytes| parse_floor(&bytes));
        let file = match known {
            Some(_) => disk.open(&path),
            None => disk.create(&path),
        };
        let file = file.map_err(|source| Error::io("open", &path, source))?;
        Ok((Self { file }, known.unwrap_or_default()))
    }

    /// A floor that cannot be raised stays a floor, so errors do not matter.
    pub(super) fn raise(&self, synced: StorePosition) {
        let mut bytes = [0; FLOOR_LENGTH];
        bytes[..4].copy_from_slice(&synced.file.to_le_bytes());
        bytes[4..12].copy_from_slice(&synced.offset.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..12]);
        bytes[12..].copy_from_slice(&crc.to_le_bytes());
        let _ = self.file.write_all_at(&bytes, 0);
    }
}

/// What the file says, where it says something.
pub(super) fn known_floor(dir: &Path) -> StorePosition {
    let bytes = std::fs::read(dir.join("binlog.synced")).unwrap_or_default();
    parse_floor(&bytes).unwrap_or_default()
}

fn parse_floor(bytes: &[u8]) -> Option<StorePosition> {
    if bytes.len() != FLOOR_LENGTH {
        return None;
    }
    let mut cursor = crate::cursor::Cursor::new(bytes);
    let position = StorePosition::new(cursor.u32().ok()?, cursor.u64().ok()?);
    (cursor.u32().ok()? == crc32fast::hash(&bytes[..12])).then_some(position)
}
