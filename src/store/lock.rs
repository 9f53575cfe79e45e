//! One process per directory.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Error;

/// Held as long as it lives; the kernel lets go of it with the process, however that ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    pub(super) fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("ackline.lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| Error::io("open", &path, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(Errno::WOULDBLOCK) => Err(Error::Locked {
                dir: dir.to_owned(),
            }),
            Err(errno) => Err(Error::io("lock", &path, errno.into())),
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child that was just forked and has not yet closed
        // its copy of the descriptor.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
