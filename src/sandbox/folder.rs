//! Where everything of a sandbox lies.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Error;

/// How much of a log an error quotes.
const TAIL_LINES: usize = 12;

pub(super) struct Folder {
    /// Absolute, without symbolic links: processes are recognised by it.
    pub root: PathBuf,
}

impl Folder {
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let what = format!("creating {}", dir.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(Error::io(&what))?;
        let folder = Self::open(dir)?;
        if !folder.plan().exists() && folder.holds_files()? {
            return Err(Error::Foreign(folder.root));
        }
        Ok(folder)
    }

    pub fn open(dir: &Path) -> Result<Self, Error> {
        match fs::canonicalize(dir) {
            Ok(root) => Ok(Self { root }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::NoSandbox(dir.into())),
            Err(error) => Err(Error::io(format!("opening {}", dir.display()))(error)),
        }
    }

    fn holds_files(&self) -> Result<bool, Error> {
        let entries = fs::read_dir(&self.root)
            .map_err(Error::io(format!("reading {}", self.root.display())))?;
        // What an `up` that was killed before it had a plan leaves behind.
        Ok(entries
            .flatten()
            .any(|entry| entry.path() != self.lock() && !is_temporary(&entry.path())))
    }

    pub fn lock(&self) -> PathBuf {
        self.root.join(".lock")
    }

    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    pub fn manifest(&self) -> PathBuf {
        self.root.join("sandbox.json")
    }

    pub fn binlog(&self) -> PathBuf {
        self.root.join("binlog")
    }

    pub fn proxy_log(&self) -> PathBuf {
        self.root.join("proxy.log")
    }

    pub fn server(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A complete data directory that every server starts from; gone once all have their copy.
    pub fn template(&self) -> PathBuf {
        self.root.join("template")
    }
}

fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp")
}

/// Replaces a file that holds passwords in one step: it is there whole, or not at all.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let what = || format!("writing {}", path.display());
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(what())(error)),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(Error::io(what()))
}

/// The last lines of a log, indented, for an error message.
pub(super) fn tail(log: &Path) -> String {
    quote(log, |_| true)
}

/// The last lines of a log that name an error: the installer's end with advice instead.
pub(super) fn errors(log: &Path) -> String {
    quote(log, |line| line.contains("ERROR") || line.contains("rror:"))
}

fn quote(log: &Path, which: impl Fn(&str) -> bool) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text
        .lines()
        .filter(|line| which(line))
        .map(|line| format!("  {line}"))
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
