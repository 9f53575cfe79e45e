//! One command at a time in a folder.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Error, Folder};

/// Long enough for a command that was just killed to be gone with all it had forked.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub async fn acquire(folder: &Folder) -> Result<Self, Error> {
        let what = || format!("locking {}", folder.lock().display());
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.lock())
            .map_err(Error::io(what()))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(Errno::WOULDBLOCK) => return Err(Error::Busy(folder.root.clone())),
                Err(error) => return Err(Error::io(what())(error.into())),
            }
        }
    }
}
