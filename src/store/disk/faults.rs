//! A disk that fails on demand, for unit tests.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

use super::Operation;

#[derive(Debug, Default)]
pub(crate) struct Faults {
    plan: Mutex<Plan>,
}

/// The `nth` operation of a kind, counted from 0, and those that follow it, fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) operation: Operation,
    pub(crate) nth: usize,
    /// How many do; then all is well again.
    pub(crate) times: usize,
    /// 5 for EIO, 28 for ENOSPC.
    pub(crate) errno: i32,
    /// Bytes that a failing write still takes.
    pub(crate) takes: usize,
}

/// What a byte of a file would be after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    Durable,
    Dirty,
    /// A sync failed while it was dirty. The kernel takes it for clean now: no later sync writes it.
    Lost,
}

/// A file's bytes: where each stretch ends and what it is.
#[derive(Debug, Default)]
struct Content {
    stretches: Vec<(u64, Byte)>,
}

impl Content {
    fn length(&self) -> u64 {
        self.stretches.last().map_or(0, |(end, _)| *end)
    }

    /// What lay between its end and `from` was never written, and is dirty too.
    fn set(&mut self, from: u64, to: u64, byte: Byte) {
        let from = from.min(self.length());
        let mut stretches = Vec::new();
        let mut start = 0;
        for (end, kept) in self.stretches.drain(..) {
            if start < from {
                stretches.push((end.min(from), kept));
            }
            if end > to {
                if start <= to {
                    stretches.push((to, byte));
                }
                stretches.push((end, kept));
            }
            start = end;
        }
        if stretches.last().is_none_or(|(end, _)| *end < to) {
            stretches.push((to, byte));
        }
        self.stretches = stretches;
    }

    fn truncate(&mut self, length: u64) {
        if length > self.length() {
            return self.set(self.length(), length, Byte::Dirty);
        }
        let mut start = 0;
        self.stretches.retain_mut(|(end, _)| {
            let kept = start < length;
            start = *end;
            *end = length.min(*end);
            kept
        });
    }

    /// Up to where all is durable.
    fn durable(&self) -> u64 {
        let durable = self
            .stretches
            .iter()
            .take_while(|(_, byte)| *byte == Byte::Durable);
        durable.last().map_or(0, |(end, _)| *end)
    }

    fn turn(&mut self, what: Byte, into: Byte) {
        let turned = self.stretches.iter_mut().filter(|(_, byte)| *byte == what);
        turned.for_each(|(_, byte)| *byte = into);
    }

    fn has_lost(&self) -> bool {
        self.stretches.iter().any(|(_, byte)| *byte == Byte::Lost)
    }
}

#[derive(Debug, Default)]
struct Plan {
    /// Operations that still work; from then on the machine is dead, its last write half done.
    steps_to_crash: Option<usize>,
    done: usize,
    /// Bytes that still fit.
    room: Option<u64>,
    failing: Vec<Operation>,
    /// What survives a power cut: per file, its length at the last sync.
    synced: HashMap<PathBuf, u64>,
    outage: Option<Outage>,
    /// Operations of the outage's kind so far.
    counted: usize,
    files: HashMap<PathBuf, Content>,
    slow: Option<(PathBuf, Duration)>,
}

fn io_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Faults {
    pub(crate) fn crash_after(&self, steps: usize) {
        self.plan.lock().steps_to_crash = Some(steps);
    }

    /// Operations done so far.
    pub(crate) fn steps(&self) -> usize {
        self.plan.lock().done
    }

    pub(crate) fn leave_room(&self, bytes: Option<u64>) {
        self.plan.lock().room = bytes;
    }

    pub(crate) fn fail(&self, operations: &[Operation]) {
        self.plan.lock().failing = operations.to_vec();
    }

    /// The lengths that a power cut leaves.
    pub(crate) fn survivors(&self) -> HashMap<PathBuf, u64> {
        self.plan.lock().synced.clone()
    }

    pub(crate) fn plan_outage(&self, outage: Outage) {
        let mut plan = self.plan.lock();
        plan.counted = 0;
        plan.outage = Some(outage);
    }

    /// Whether it has begun; there is none any more.
    pub(crate) fn end_outage(&self) -> bool {
        let mut plan = self.plan.lock();
        let begun = plan.outage.is_some_and(|outage| plan.counted > outage.nth);
        plan.outage = None;
        begun
    }

    /// How many bytes from its beginning on a file would have after a power cut.
    pub(crate) fn durable_length(&self, path: &Path) -> u64 {
        let plan = self.plan.lock();
        plan.files.get(path).map_or(0, Content::durable)
    }

    /// Whether a power cut would take nothing of a file.
    pub(crate) fn is_durable(&self, path: &Path) -> bool {
        let plan = self.plan.lock();
        let content = plan.files.get(path);
        content.is_none_or(|content| content.durable() == content.length())
    }

    pub(super) fn synced(&self, path: &Path, length: u64) {
        let mut plan = self.plan.lock();
        plan.synced.insert(path.to_owned(), length);
        let content = plan.files.entry(path.to_owned()).or_default();
        assert!(!content.has_lost(), "promise 9: {path:?} is synced again");
        content.turn(Byte::Dirty, Byte::Durable);
    }

    /// From now on a sync of this file takes so long.
    pub(crate) fn slow_syncs(&self, path: PathBuf, takes: Duration) {
        self.plan.lock().slow = Some((path, takes));
    }

    pub(super) fn before(&self, operation: Operation, path: &Path) -> io::Result<()> {
        let slow = self.plan.lock().slow.clone();
        if let Some((slow, takes)) = slow
            && operation == Operation::Sync
            && slow == path
        {
            std::thread::sleep(takes);
        }
        let mut plan = self.plan.lock();
        if plan.crashes() || plan.failing.contains(&operation) {
            plan.lose(operation, path);
            return Err(io_error());
        }
        if let Some(outage) = plan.strikes(operation) {
            plan.lose(operation, path);
            return Err(io::Error::from_raw_os_error(outage.errno));
        }
        plan.done += 1;
        if matches!(operation, Operation::Create | Operation::Remove) {
            plan.files.remove(path);
        }
        Ok(())
    }

    pub(super) fn renamed(&self, from: &Path, to: &Path) {
        let mut plan = self.plan.lock();
        let content = plan.files.remove(from).unwrap_or_default();
        plan.files.insert(to.to_owned(), content);
    }

    pub(super) fn truncated(&self, path: &Path, length: u64) {
        let mut plan = self.plan.lock();
        let content = plan.files.entry(path.to_owned()).or_default();
        content.truncate(length);
    }

    pub(super) fn write(
        &self,
        file: &File,
        path: &Path,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        let dead = self.plan.lock().was_dead();
        if let Err(error) = self.before(Operation::Write, path) {
            let mut plan = self.plan.lock();
            // The crash itself tears the write in two.
            if !dead && plan.steps_to_crash.is_some() {
                file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
                plan.die();
            } else if let Some(outage) = plan.outage {
                let taken = &bytes[..outage.takes.min(bytes.len())];
                file.write_all_at(taken, offset)?;
                plan.dirty(path, offset, taken.len());
            }
            return Err(error);
        }
        let mut plan = self.plan.lock();
        let fits = match &mut plan.room {
            Some(room) => {
                let fits = (*room).min(bytes.len() as u64);
                *room -= fits;
                fits as usize
            }
            None => bytes.len(),
        };
        file.write_all_at(&bytes[..fits], offset)?;
        plan.dirty(path, offset, fits);
        if fits < bytes.len() {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }
}

const DEAD: usize = usize::MAX;

impl Plan {
    fn crashes(&mut self) -> bool {
        self.steps_to_crash
            .is_some_and(|steps| self.done >= steps || steps == DEAD)
    }

    fn was_dead(&self) -> bool {
        self.steps_to_crash == Some(DEAD)
    }

    fn die(&mut self) {
        self.steps_to_crash = Some(DEAD);
    }

    /// The outage, if this operation is one that it strikes.
    fn strikes(&mut self, operation: Operation) -> Option<Outage> {
        let outage = self.outage.filter(|outage| outage.operation == operation)?;
        let number = self.counted;
        self.counted += 1;
        let strikes = outage.nth..outage.nth.saturating_add(outage.times);
        strikes.contains(&number).then_some(outage)
    }

    fn dirty(&mut self, path: &Path, offset: u64, length: usize) {
        let content = self.files.entry(path.to_owned()).or_default();
        content.set(offset, offset + length as u64, Byte::Dirty);
    }

    /// A sync failed.
    fn lose(&mut self, operation: Operation, path: &Path) {
        if operation == Operation::Sync
            && let Some(content) = self.files.get_mut(path)
        {
            content.turn(Byte::Dirty, Byte::Lost);
        }
    }
}
