//! The few ways in which the store touches the disk, in one place.
//!
//! Only `std::fs`, so each is one plain call of libc (`open`, `pwrite`, `fdatasync`, `ftruncate`,
//! `rename`), which a failing-disk layer can come between. In unit tests [`faults`] does.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(super) mod faults;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: Option<std::sync::Arc<faults::Faults>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Write,
    Sync,
    SyncDir,
    Truncate,
    Rename,
    Remove,
}

impl Disk {
    #[cfg(test)]
    fn before(&self, operation: Operation, path: &Path) -> io::Result<()> {
        match &self.faults {
            Some(faults) => faults.before(operation, path),
            None => Ok(()),
        }
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the hook of the tests"
    )]
    fn before(&self, _operation: Operation, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// A new file; what a crash left under that name is emptied.
    pub(super) fn create(&self, path: &Path) -> io::Result<DiskFile> {
        self.before(Operation::Create, path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        self.opened(options.open(path)?, path)
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<DiskFile> {
        self.opened(OpenOptions::new().read(true).write(true).open(path)?, path)
    }

    #[expect(clippy::unnecessary_wraps, reason = "closes both ways of opening")]
    fn opened(&self, file: File, path: &Path) -> io::Result<DiskFile> {
        Ok(DiskFile {
            file,
            path: path.to_owned(),
            disk: self.clone(),
        })
    }

    /// Makes creations, renames and removals in `dir` durable.
    pub(super) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.before(Operation::SyncDir, dir)?;
        File::open(dir)?.sync_all()
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.before(Operation::Remove, path)?;
        fs::remove_file(path)
    }

    /// Puts `content` in the place of the file at `path` so that after a crash either the old or
    /// the new content is there, whole.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = self.create(&temporary)?;
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        drop(file);
        self.before(Operation::Rename, path)?;
        fs::rename(&temporary, path)?;
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            faults.renamed(&temporary, path);
        }
        match path.parent() {
            Some(dir) => self.sync_dir(dir),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(super) struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl DiskFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(faults) = &self.disk.faults {
            return faults.write(&self.file, &self.path, bytes, offset);
        }
        self.disk.before(Operation::Write, &self.path)?;
        self.file.write_all_at(bytes, offset)
    }

    /// `fdatasync`: the data, and what is needed to read it back (the length).
    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.disk.before(Operation::Sync, &self.path)?;
        #[cfg(test)]
        if let Some(faults) = &self.disk.faults {
            faults.synced(&self.path, self.file.metadata()?.len());
        }
        self.file.sync_data()
    }

    pub(super) fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.before(Operation::Truncate, &self.path)?;
        #[cfg(test)]
        if let Some(faults) = &self.disk.faults {
            faults.truncated(&self.path, length);
        }
        self.file.set_len(length)
    }
}
