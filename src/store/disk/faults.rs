//! A disk that fails on demand, for unit tests.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::Operation;

#[derive(Debug, Default)]
pub(crate) struct Faults {
    plan: Mutex<Plan>,
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

    pub(super) fn synced(&self, path: &Path, length: u64) {
        self.plan.lock().synced.insert(path.to_owned(), length);
    }

    pub(super) fn before(&self, operation: Operation, _path: &Path) -> io::Result<()> {
        let mut plan = self.plan.lock();
        if plan.crashes() || plan.failing.contains(&operation) {
            return Err(io_error());
        }
        plan.done += 1;
        Ok(())
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
            // The crash itself tears the write in two.
            if !dead && self.plan.lock().steps_to_crash.is_some() {
                file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
                self.plan.lock().die();
            }
            return Err(error);
        }
        let mut plan = self.plan.lock();
        let Some(room) = &mut plan.room else {
            return file.write_all_at(bytes, offset);
        };
        let fits = (*room).min(bytes.len() as u64) as usize;
        *room -= fits as u64;
        file.write_all_at(&bytes[..fits], offset)?;
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
}
