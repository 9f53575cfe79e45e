//! Appends transactions: owned by capture, one call after the other.
//!
//! Bytes gather in one buffer, in the shape that they have in the file, and leave it with one
//! `pwrite` per [`Writer::flush`], or earlier when a large transaction fills it. `written` moves only
//! at ends of transactions.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::binlog_file::{self, file_name};
use super::catalogue::{End, FileEntry, Transaction};
use super::disk::DiskFile;
use super::state::Cut;
use super::sync::{SyncFailed, Syncer, Target};
use super::watermark::Marks;
use super::{Error, Shared, Trouble, index};
use crate::event::checksum::{CHECKSUM_LENGTH, seal_from};
use crate::event::format_description::FormatDescription;
use crate::event::rotate::Rotate;
use crate::event::{self, Start, stop};
use crate::gtid::{Gtid, GtidSet, State};
use crate::ids::StorePosition;

/// A buffer this full goes to the file before its transaction is whole.
const SPILL: usize = 1024 * 1024;
/// So many between two transactions are kept.
const INCIDENTS: usize = 16;

/// What the writer writes to.
#[derive(Debug)]
enum Stage {
    /// No file: the store is empty, or the last one is closed or cut. The next transaction makes it.
    Between {
        next: u32,
    },
    Open(OpenFile),
    /// A sync failed; only [`Writer::reopen`] leads out.
    Failed,
}

#[derive(Debug)]
struct OpenFile {
    number: u32,
    file: Arc<DiskFile>,
    /// Bytes of the file that were written whole.
    length: u64,
    /// Bytes that a failed write may have touched; at least `length`.
    touched: u64,
    /// What follows the first `length` bytes.
    buffer: Vec<u8>,
    /// Behind the last whole transaction, in the file or the buffer.
    committed: u64,
    /// The transaction being appended.
    running: Option<Start>,
    /// MySQL's logical clock of the newest whole transaction.
    clock: Option<u64>,
    /// Whole, and not yet published.
    pending: Vec<Transaction>,
    pending_set: GtidSet,
}

/// The writing end of the store.
pub struct Writer {
    shared: Arc<Shared>,
    syncer: Syncer,
    stage: Stage,
    template: Option<FormatDescription>,
    /// Of an empty store: what came before its first transaction.
    base: State,
    rotation: Rotation,
    /// INCIDENT events that come before the next transaction, without checksum.
    incidents: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rotation {
    NotDue,
    /// The file is full. With a full disk it may grow on.
    Due,
    /// What comes next cannot stand in this file: it needs another format description, or its
    /// logical clock begins anew.
    Needed,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        template: Option<FormatDescription>,
        clock: Option<u64>,
        end: StorePosition,
    ) -> Result<Self, Error> {
        let last = shared.catalogue.read().last_file().cloned();
        let stage = match last {
            None => Stage::Between { next: 1 },
            Some(last) if last.end == End::Open => {
                let path = binlog_file::path(&shared.dir, last.number);
                let file = shared.disk.open(&path);
                let file = file.map_err(|source| Error::io("open", &path, source))?;
                let mut open = OpenFile::new(last.number, file, end.offset);
                open.clock = clock;
                Stage::Open(open)
            }
            Some(last) => Stage::Between {
                next: last.number + 1,
            },
        };
        let syncer = Syncer::start(Arc::clone(&shared))
            .map_err(|source| Error::io("start the fsync thread for", &shared.dir, source))?;
        Ok(Self {
            shared,
            syncer,
            stage,
            template,
            base: State::default(),
            rotation: Rotation::NotDue,
            incidents: Vec::new(),
        })
    }

    /// Takes the source's FORMAT_DESCRIPTION, as it came, with its checksum: our files describe
    /// themselves like it. To be called at every attach, between transactions.
    pub fn source_format(&mut self, description: &[u8]) -> Result<(), Error> {
        let description = FormatDescription::parse(description)?;
        let same = self
            .template
            .as_ref()
            .is_some_and(|template| template.describes_like(&description));
        if let Stage::Open(open) = &self.stage
            && !same
        {
            if open.running.is_some() {
                return Err(Error::Misuse("a format description within a transaction"));
            }
            self.rotation = Rotation::Needed;
        }
        self.template = Some(description);
        Ok(())
    }

    /// Says what came before the first transaction of an empty store.
    pub fn begin_base(&mut self, state: &State) -> Result<(), Error> {
        if !self.shared.catalogue.read().files.is_empty() {
            return Err(Error::Misuse("a base for a store that is not empty"));
        }
        self.base = state.clone();
        let mut catalogue = self.shared.catalogue.write();
        catalogue.executed = state.claimed();
        catalogue.written.state = state.clone();
        catalogue.synced.state = state.clone();
        Ok(())
    }

    /// Takes the next event of a transaction, the first of which is its GTID, without checksum. Only
    /// `end_log_pos`, length and checksum are rewritten. On an error the event was not taken: where
    /// the disk is full, call again later; memory stays bounded meanwhile.
    pub fn append(&mut self, event: &[u8]) -> Result<(), Error> {
        let start = match self.is_running() {
            true => None,
            false => Some(Start::parse(event)?),
        };
        self.ready(start.as_ref())?;
        let shared = &self.shared;
        let Stage::Open(open) = &mut self.stage else {
            return Err(Error::Misuse("no file is open"));
        };
        if open.buffer.len() >= SPILL {
            open.write(shared)?;
        }
        let from = open.buffer.len();
        let incidents = match start {
            Some(_) => std::mem::take(&mut self.incidents),
            None => Vec::new(),
        };
        let mut events = incidents.iter().map(Vec::as_slice).chain([event]);
        if let Err(error) = events.try_for_each(|event| open.put(event)) {
            open.buffer.truncate(from);
            return Err(error.into());
        }
        open.running = start.or(open.running.take());
        Ok(())
    }

    /// Takes an INCIDENT, without checksum, which stands before the transaction that begins next: it is written and
    /// published with that one. Whoever asks the source again from the store's end gets it again.
    pub fn incident(&mut self, event: &[u8]) -> Result<(), Error> {
        if self.is_running() {
            return Err(Error::Misuse("an incident within a transaction"));
        }
        // A replica stops at the first; more of them say nothing more.
        if self.incidents.len() < INCIDENTS {
            self.incidents.push(event.to_vec());
        }
        Ok(())
    }

    /// The transaction is whole: where it ends. Neither written nor published before the next
    /// [`Writer::flush`].
    pub fn commit(&mut self, gtid: Gtid) -> Result<StorePosition, Error> {
        let Stage::Open(open) = &mut self.stage else {
            return Err(match self.stage {
                Stage::Failed => self.shared.sync_failure(),
                _ => Error::Misuse("nothing was appended"),
            });
        };
        let clock = match &open.running {
            Some(start) if start.gtid == gtid => start.clock,
            _ => {
                return Err(Error::Misuse(
                    "the transaction that is committed is not the one appended",
                ));
            }
        };
        let known = self.shared.catalogue.read().executed.contains(&gtid);
        if known || open.pending_set.contains(&gtid) {
            return Err(Error::Duplicate(gtid));
        }
        let end = open.length + open.buffer.len() as u64;
        let position = StorePosition::new(open.number, end);
        open.running = None;
        open.clock = clock.or(open.clock);
        open.pending_set.insert(&gtid);
        open.pending.push(Transaction {
            gtid,
            start: StorePosition::new(open.number, open.committed),
            end: position,
        });
        open.committed = end;
        if end >= self.shared.file_size {
            self.rotation = self.rotation.max(Rotation::Due);
        }
        Ok(position)
    }

    /// Writes all that is buffered, publishes `written`, and wakes the fsync thread. After an error
    /// nothing is lost and the file is as before: call again.
    pub fn write(&mut self) -> Result<Marks, Error> {
        self.check_sync()?;
        if let Stage::Between { next } = self.stage
            && self.template.is_some()
            && self.shared.has_problem(Trouble::Write)
        {
            // The next transaction would try anyway; but `status` should not complain until it comes.
            let _ = self.create(next);
        }
        if let Stage::Open(open) = &mut self.stage {
            open.write(&self.shared)?;
            let sent = open.publish(&self.shared)?;
            if sent {
                self.syncer.request(open.target());
            }
        }
        Ok(self.shared.marks.now())
    }

    /// [`Writer::write`], and where the file [is full](Writer::is_full) the next one is begun, for which some fsyncs
    /// are waited for.
    pub fn flush(&mut self) -> Result<Marks, Error> {
        let marks = self.write()?;
        if !self.is_full() {
            return Ok(marks);
        }
        self.rotate()?;
        Ok(self.shared.marks.now())
    }

    /// A [`Writer::flush`] is due; without one the next transaction makes it.
    pub fn is_full(&self) -> bool {
        self.rotation != Rotation::NotDue
            && matches!(&self.stage, Stage::Open(open) if open.running.is_none())
    }

    /// The source left in the middle of a transaction: what there is of it goes.
    pub fn abandon(&mut self) -> Result<(), Error> {
        self.incidents.clear();
        let Stage::Open(open) = &mut self.stage else {
            return Ok(());
        };
        if open.length > open.committed {
            self.shared.write_result(
                "truncate",
                open.file.path(),
                open.file.set_len(open.committed),
            )?;
            open.length = open.committed;
            open.touched = open.committed;
        }
        open.buffer
            .truncate((open.committed - open.length) as usize);
        open.running = None;
        Ok(())
    }

    /// After a failed fsync: makes the cut durable and opens a new file. Capture must attach again
    /// from the returned end. While the disk is still bad it fails, and can be called again.
    pub fn reopen(&mut self) -> Result<StorePosition, Error> {
        if self.check_sync().is_err() {
            self.syncer.settle_failure();
            let cut = self.shared.marks.now().synced;
            self.shared.record_cut(Cut {
                file: cut.file,
                length: cut.offset,
            })?;
            // For the tools that read the file: it should end where it counts. The recorded cut is
            // what holds, so nothing depends on this.
            let path = binlog_file::path(&self.shared.dir, cut.file);
            if let Ok(file) = self.shared.disk.open(&path) {
                let _ = file.set_len(cut.offset);
            }
            self.stage = Stage::Between { next: cut.file + 1 };
            self.rotation = Rotation::NotDue;
        }
        if let Stage::Between { next } = self.stage
            && self.template.is_some()
        {
            self.create(next)?;
        }
        Ok(self.shared.marks.now().written)
    }

    /// Ends cleanly: everything written and synced, the file closed with STOP.
    pub fn close(&mut self) -> Result<(), Error> {
        self.abandon()?;
        self.flush()?;
        if let Stage::Open(_) = self.stage {
            self.finish(stop::write)?;
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.running.is_some())
    }

    /// Makes sure that there is a file to append to, which the transaction that starts now, if one
    /// does, may stand in.
    fn ready(&mut self, start: Option<&Start>) -> Result<(), Error> {
        self.check_sync()?;
        if let (Stage::Open(open), Some(start)) = (&self.stage, start)
            && start
                .clock
                .is_some_and(|clock| open.clock.is_some_and(|last| clock <= last))
        {
            self.rotation = Rotation::Needed;
        }
        if start.is_some() && self.rotation != Rotation::NotDue {
            self.flush()?;
        }
        match self.stage {
            Stage::Open(_) => Ok(()),
            Stage::Between { next } => self.create(next),
            Stage::Failed => Err(self.shared.sync_failure()),
        }
    }

    /// Notices a failed sync: what was not yet written is void as well, since it would follow what
    /// is lost.
    fn check_sync(&mut self) -> Result<(), Error> {
        let failed = match &self.stage {
            Stage::Failed => true,
            Stage::Between { .. } => false,
            Stage::Open(open) => self.shared.is_cut(open.number),
        };
        if failed {
            self.stage = Stage::Failed;
            return Err(self.shared.sync_failure());
        }
        Ok(())
    }

    /// Closes the full file and opens the next one. Only a failed sync is an error: with a full disk
    /// the file just grows on, or the next transaction makes the new one.
    fn rotate(&mut self) -> Result<(), Error> {
        let Stage::Open(open) = &self.stage else {
            return Ok(());
        };
        let next = open.number + 1;
        let name = file_name(next);
        let rotate = Rotate {
            position: binlog_file::FIRST_EVENT,
            file: name.as_bytes(),
        };
        match self.finish(|server, timestamp| rotate.end_of_file(server, timestamp)) {
            Ok(()) => {
                self.rotation = Rotation::NotDue;
                // The problem is noted; `ready` tries again.
                let _ = self.create(next);
                Ok(())
            }
            // The file may be larger than asked, but not hold what it does not describe.
            Err(error) if self.rotation == Rotation::Needed => Err(error),
            Err(error @ Error::SyncFailed { .. }) => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Ends the file with an event and waits until it is synced: a next file exists only after that,
    /// so that only the last file can ever be torn.
    fn finish(
        &mut self,
        last_event: impl FnOnce(crate::ids::ServerId, u32) -> Vec<u8>,
    ) -> Result<(), Error> {
        let Stage::Open(open) = &mut self.stage else {
            return Ok(());
        };
        let server_id = match &self.template {
            Some(template) => template.header()?.server_id,
            None => Default::default(),
        };
        open.trim(&self.shared)?;
        let start = open.buffer.len();
        open.buffer.extend_from_slice(&last_event(server_id, now()));
        let end = open.length + open.buffer.len() as u64 + CHECKSUM_LENGTH as u64;
        seal_from(&mut open.buffer, start, end as u32)?;
        if let Err(error) = open.write(&self.shared) {
            open.buffer.truncate(start);
            return Err(error);
        }
        let ticket = self.syncer.request(open.target());
        let number = open.number;
        if let Err(SyncFailed) = self.syncer.wait(ticket) {
            self.check_sync()?;
            return Err(self.shared.sync_failure());
        }
        self.shared.catalogue.write().close_last(end);
        self.stage = Stage::Between { next: number + 1 };
        Ok(())
    }

    /// Makes a file in the order that recovery counts on: head, sync, directory, index.
    fn create(&mut self, number: u32) -> Result<(), Error> {
        let Some(template) = &self.template else {
            return Err(Error::Misuse("no format description of the source yet"));
        };
        let path = binlog_file::path(&self.shared.dir, number);
        let start = {
            let catalogue = self.shared.catalogue.read();
            match catalogue.files.is_empty() {
                true => self.base.clone(),
                false => catalogue.written.state.clone(),
            }
        };
        let created = now();
        let head = binlog_file::head(template, &start, created)?;
        let disk = &self.shared.disk;
        let file = (|| {
            let file = disk.create(&path)?;
            file.write_all_at(&head, 0)?;
            file.sync_data()?;
            disk.sync_dir(&self.shared.dir)?;
            Ok(file)
        })();
        let file = self.shared.write_result("create", &path, file)?;
        let head_end = head.len() as u64;
        let end = StorePosition::new(number, head_end);
        let generation = {
            let _index = self.shared.index.lock();
            let mut numbers = self.shared.catalogue.read().numbers();
            numbers.push(number);
            let named = index::save(disk, &self.shared.dir, &numbers);
            self.shared
                .write_result("name in the index", &path, named)?;
            let mut catalogue = self.shared.catalogue.write();
            catalogue.files.push(FileEntry {
                number,
                head_end,
                created,
                start,
                end: End::Open,
            });
            catalogue.generation
        };
        self.syncer.resume();
        self.stage = Stage::Open(OpenFile::new(number, file, head_end));
        self.shared.marks.publish(|marks| {
            marks.written = end;
            marks.synced = end;
            marks.generation = generation;
        });
        self.shared.floor.raise(end);
        tracing::debug!(file = file_name(number), "binlog file opened");
        if self.shared.note_problem(Trouble::Sync, None) {
            tracing::info!(file = file_name(number), "the binlog goes on in a new file");
        }
        Ok(())
    }
}

impl OpenFile {
    fn new(number: u32, file: DiskFile, length: u64) -> Self {
        Self {
            number,
            file: Arc::new(file),
            length,
            touched: length,
            buffer: Vec::with_capacity(64 * 1024),
            committed: length,
            running: None,
            pending: Vec::new(),
            pending_set: GtidSet::new(),
            clock: None,
        }
    }

    /// Buffers one event, with a checksum and its end in our file.
    fn put(&mut self, event: &[u8]) -> Result<(), event::Error> {
        let from = self.buffer.len();
        self.buffer.extend_from_slice(event);
        let end = self.length + self.buffer.len() as u64 + CHECKSUM_LENGTH as u64;
        // The format's end_log_pos has 32 bits and wraps.
        seal_from(&mut self.buffer, from, end as u32)
    }

    /// One write for the whole buffer; on an error the file is cut back to where it began.
    fn write(&mut self, shared: &Shared) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = self.length + self.buffer.len() as u64;
        self.touched = self.touched.max(end);
        let result = self.file.write_all_at(&self.buffer, self.length);
        if result.is_err() {
            // Room for others; should it fail, the next write covers the same bytes.
            let _ = self.trim(shared);
        }
        shared.write_result("write", self.file.path(), result)?;
        self.length = end;
        self.buffer.clear();
        // One huge event must not keep its memory for ever.
        self.buffer.shrink_to(4 * SPILL);
        Ok(())
    }

    /// Removes what a failed write left behind `length`.
    fn trim(&mut self, shared: &Shared) -> Result<(), Error> {
        if self.touched > self.length {
            shared.write_result("truncate", self.file.path(), self.file.set_len(self.length))?;
            self.touched = self.length;
        }
        Ok(())
    }

    /// Publishes the pending transactions, which are in the file now; whether there were any.
    fn publish(&mut self, shared: &Shared) -> Result<bool, Error> {
        if self.pending.is_empty() {
            return Ok(false);
        }
        let generation = {
            let mut catalogue = shared.catalogue.write();
            if matches!(catalogue.file(self.number), Some(file) if file.end != End::Open) {
                // The fsync thread cut the file since we looked.
                return Err(shared.sync_failure());
            }
            catalogue.add_written(&self.pending);
            catalogue.generation
        };
        self.pending.clear();
        self.pending_set = GtidSet::new();
        let written = StorePosition::new(self.number, self.committed);
        shared.marks.publish(|marks| {
            // Else the fsync thread took it back already.
            if marks.generation == generation {
                marks.written = written;
            }
        });
        Ok(true)
    }

    fn target(&self) -> Target {
        Target {
            file: Arc::clone(&self.file),
            position: StorePosition::new(self.number, self.committed),
        }
    }
}

impl Shared {
    fn is_cut(&self, number: u32) -> bool {
        let catalogue = self.catalogue.read();
        matches!(catalogue.file(number), Some(file) if matches!(file.end, End::Cut(_)))
    }

    fn sync_failure(&self) -> Error {
        let synced = self.marks.now().synced;
        Error::SyncFailed {
            file: file_name(synced.file),
            synced,
            reason: self
                .problem()
                .unwrap_or_else(|| "an earlier fsync failed".to_owned()),
        }
    }

    /// Notes a failing disk for `status`, and that it is well again.
    fn write_result<T>(
        &self,
        doing: &'static str,
        path: &std::path::Path,
        result: io::Result<T>,
    ) -> Result<T, Error> {
        match result {
            Ok(value) => {
                // Cheap where all is well: an atomic read.
                if self.note_problem(Trouble::Write, None) {
                    tracing::info!("the binlog can be written again");
                }
                Ok(value)
            }
            Err(source) => {
                let error = Error::io(doing, path, source);
                // A retry every few milliseconds is not told anew each time.
                if self.note_problem(Trouble::Write, Some(error.to_string())) {
                    tracing::error!(%error, "the binlog cannot be written");
                    self.marks.failed(&error);
                }
                Err(error)
            }
        }
    }
}

fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as u32)
}
