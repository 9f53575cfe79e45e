//! `binlog.index`: the names of the files, oldest first, one a line, as the servers keep theirs.
//!
//! Replaced as a whole: after a crash the old or the new one is there. A file is created, headed and
//! synced *before* the index names it, and holds no transaction before that.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::binlog_file::{file_name, file_number};
use super::disk::Disk;

fn path(dir: &Path) -> PathBuf {
    dir.join("binlog.index")
}

/// The numbers that the index names; none where there is no index.
pub(super) fn load(dir: &Path) -> io::Result<Vec<u32>> {
    match std::fs::read_to_string(path(dir)) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|line| file_number(line.trim().trim_start_matches("./")))
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(super) fn save(disk: &Disk, dir: &Path, numbers: &[u32]) -> io::Result<()> {
    let mut text = String::with_capacity(numbers.len() * 16);
    for number in numbers {
        let _ = writeln!(text, "./{}", file_name(*number));
    }
    disk.replace(&path(dir), text.as_bytes())
}
