//! One process per directory.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Error;

/// [`is_taken`] holds it for a moment.
const PATIENCE: Duration = Duration::from_millis(100);

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
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { file }),
                Err(Errno::WOULDBLOCK) if Instant::now() < until => {
                    std::thread::sleep(PATIENCE / 20);
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::Locked {
                        dir: dir.to_owned(),
                    });
                }
                Err(errno) => return Err(Error::io("lock", &path, errno.into())),
            }
        }
    }
}

/// Whether a process has the folder open.
pub(super) fn is_taken(dir: &Path) -> Result<bool, Error> {
    let path = dir.join("ackline.lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("open", &path, error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = flock(&file, FlockOperation::Unlock);
            Ok(false)
        }
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(Error::io("lock", &path, errno.into())),
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child that was just forked and has not yet closed
        // its copy of the descriptor.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
