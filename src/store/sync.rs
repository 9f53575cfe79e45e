//! The fsync thread: one `fdatasync` for everything that was written meanwhile.
//!
//! A failed one is final for its file (promise 9): the kernel may have dropped the dirty pages and
//! marked them clean, so a second `fdatasync` would succeed and mean nothing. The thread marks the
//! file as cut, publishes nothing more, and rests until the writer opens a new file.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::binlog_file::file_name;
use super::disk::DiskFile;
use super::{Error, Shared, Trouble};
use crate::ids::StorePosition;
use crate::stages::{self, Stage};

/// Under constant load the floor is raised each time that so much more was synced.
const FLOOR_STEP: u64 = 64 * 1024;

/// What is to be durable next.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) file: Arc<DiskFile>,
    /// The last whole transaction in it.
    pub(super) position: StorePosition,
}

/// A request for a sync, of all that was written before it. Not a length: bytes that were synced may be
/// abandoned, and others be written in their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Debug, Default)]
struct Queue {
    target: Option<Target>,
    /// Of the last request.
    asked: Ticket,
    /// All that was written before this request is synced.
    done: Ticket,
    failed: bool,
    stopping: bool,
}

#[derive(Debug, Default)]
struct Desk {
    queue: Mutex<Queue>,
    /// There is a target, or the end.
    wanted: Condvar,
    /// Something was synced, or failed.
    settled: Condvar,
}

#[derive(Debug)]
pub(super) struct Syncer {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// The file was cut; the writer must open a new one.
#[derive(Debug)]
pub(super) struct SyncFailed;

impl Syncer {
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let own = Arc::clone(&desk);
        let thread = std::thread::Builder::new()
            .name("ackline-fsync".to_owned())
            .spawn(move || run(&own, &shared))?;
        Ok(Self {
            desk,
            thread: Some(thread),
        })
    }

    /// Wakes the thread; a target that it has not taken yet is replaced, since it is included.
    pub(super) fn request(&self, target: Target) -> Ticket {
        let mut queue = self.desk.queue.lock();
        queue.asked.0 += 1;
        if !queue.failed {
            queue.target = Some(target);
            self.desk.wanted.notify_one();
        }
        queue.asked
    }

    /// Waits until what was written before that request is synced.
    pub(super) fn wait(&self, ticket: Ticket) -> Result<(), SyncFailed> {
        let mut queue = self.desk.queue.lock();
        while !queue.failed && queue.done < ticket {
            self.desk.settled.wait(&mut queue);
        }
        if queue.failed {
            Err(SyncFailed)
        } else {
            Ok(())
        }
    }

    /// Waits until a failure that the catalogue shows already has arrived here too.
    pub(super) fn settle_failure(&self) {
        let mut queue = self.desk.queue.lock();
        while !queue.failed {
            self.desk.settled.wait(&mut queue);
        }
    }

    /// A new file, synced up to its head, is in use.
    pub(super) fn resume(&self) {
        let mut queue = self.desk.queue.lock();
        queue.failed = false;
        queue.target = None;
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.desk.queue.lock().stopping = true;
        self.desk.wanted.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing left to do about it here.
            let _ = thread.join();
        }
    }
}

fn run(desk: &Desk, shared: &Shared) {
    let count = metrics::counter!("ackline_fsyncs_total");
    let duration = metrics::histogram!("ackline_fsync_seconds");
    let mut floor = StorePosition::ZERO;
    loop {
        let (target, ticket) = {
            let mut queue = desk.queue.lock();
            loop {
                if let Some(target) = queue.target.take() {
                    break (target, queue.asked);
                }
                if queue.stopping {
                    return;
                }
                desk.wanted.wait(&mut queue);
            }
        };
        let began = Instant::now();
        let result = target.file.sync_data();
        duration.record(began.elapsed());
        count.increment(1);
        // The marks move before the writer is told: it may publish the next file's at once.
        let failed = match result {
            Ok(()) => {
                stages::passed(Stage::Synced, target.position);
                shared.synced(target.position);
                false
            }
            Err(error) => {
                shared.sync_failed(target.position.file, &error);
                true
            }
        };
        let mut queue = desk.queue.lock();
        if failed {
            queue.failed = true;
            queue.target = None;
        } else {
            queue.done = ticket;
        }
        desk.settled.notify_all();
        let idle = queue.target.is_none();
        drop(queue);
        // Under load not after each sync: it may say less than the truth.
        let now = target.position;
        let far = now.file != floor.file || now.offset >= floor.offset + FLOOR_STEP;
        if !failed && (idle || far) {
            shared.floor.raise(now);
            floor = now;
        }
    }
}

impl Shared {
    /// Everything up to `position` is durable.
    fn synced(&self, position: StorePosition) {
        self.catalogue.write().add_synced(position);
        self.marks
            .publish(|marks| marks.synced = marks.synced.max(position));
    }

    /// Nothing of `file` behind `synced` is, and nothing ever will be.
    fn sync_failed(&self, file: u32, error: &std::io::Error) {
        let synced = self.marks.now().synced;
        let error = Error::SyncFailed {
            file: file_name(file),
            synced,
            reason: error.to_string(),
        };
        tracing::error!(%error, "nothing behind the last sync counts any more");
        self.note_problem(Trouble::Sync, Some(error.to_string()));
        let generation = {
            let mut catalogue = self.catalogue.write();
            catalogue.take_back(synced);
            catalogue.generation
        };
        self.marks.publish(|marks| {
            marks.written = synced;
            marks.generation = generation;
        });
        self.marks.failed(&error);
    }
}
