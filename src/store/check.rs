//! Reads all of a store that is not opened, and finds the first thing that is not as it should be.
//!
//! Of every file: the checksum of each event, whole transactions, each at most once, an end. Of all of
//! them: the index names what is there, without a gap, and each begins where the one before it ended.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use super::binlog_file::{self, FIRST_EVENT, file_name, file_number};
use super::inspect::{Extent, Inspected};
use super::scan::{Depth, Found, Scanner};
use super::{Error, recovery, watermark};
use crate::gtid::{GtidSet, State};
use crate::ids::StorePosition;

/// What was found where nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub files: usize,
    pub transactions: u64,
    pub bytes: u64,
    pub end: StorePosition,
    /// What a start will mend, in sentences.
    pub notes: Vec<String>,
}

/// The error names file, position and reason of the first fault. `progress` is told bytes done and bytes
/// in all, often.
pub fn check(dir: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Checked, Error> {
    let inspected = Inspected::of(dir)?;
    let mut checker = Checker {
        dir,
        inspected: &inspected,
        checked: Checked {
            end: inspected.end(),
            ..Checked::default()
        },
        total: inspected.files.iter().map(|file| file.end).sum(),
        state: State::default(),
        executed: GtidSet::new(),
    };
    checker.names()?;
    for file in &inspected.files {
        checker.file(file, &mut progress)?;
    }
    Ok(checker.checked)
}

struct Checker<'a> {
    dir: &'a Path,
    inspected: &'a Inspected,
    checked: Checked,
    total: u64,
    /// Behind the files that were read.
    state: State,
    executed: GtidSet,
}

impl Checker<'_> {
    /// The index against the folder.
    fn names(&mut self) -> Result<(), Error> {
        let named: Vec<u32> = (self.inspected.files.iter())
            .map(|file| file.number)
            .collect();
        for pair in named.windows(2) {
            if pair[1] != pair[0] + 1 {
                return Err(self.index(format!(
                    "{} follows {}",
                    file_name(pair[1]),
                    file_name(pair[0])
                )));
            }
        }
        let failed = |error| Error::io("read", self.dir, error);
        let mut there = BTreeSet::new();
        for entry in std::fs::read_dir(self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            there.extend(name.to_str().and_then(file_number));
        }
        for number in there.into_iter().filter(|number| !named.contains(number)) {
            let file = file_name(number);
            match (named.first(), named.last()) {
                // Being made, or being removed.
                _ if self.inspected.in_use => {}
                (Some(first), _) if number < *first => self.checked.notes.push(format!(
                    "{file} is no part of the binlog: a purge was to remove it"
                )),
                _ => (self.checked.notes).push(format!("{file} is not in the index yet")),
            }
        }
        let floor = watermark::known_floor(self.dir);
        if self.inspected.end() < floor && !self.inspected.in_use {
            return Err(Error::LostSynced {
                end: self.inspected.end(),
                floor,
            });
        }
        Ok(())
    }

    fn index(&self, reason: String) -> Error {
        Error::Corrupt {
            file: "binlog.index".to_owned(),
            at: 0,
            reason,
        }
    }

    fn file(&mut self, extent: &Extent, progress: &mut impl FnMut(u64, u64)) -> Result<(), Error> {
        let number = extent.number;
        let fault = |at, reason| Error::Corrupt {
            file: file_name(number),
            at,
            reason,
        };
        let head = self.inspected.head(number)?;
        if self.checked.files == 0 {
            self.executed = recovery::before(&self.inspected.state, &head.state);
        } else if self.state != head.state {
            return Err(fault(
                FIRST_EVENT,
                format!(
                    "it continues at '{}', the file before it ends at '{}'",
                    head.state, self.state
                ),
            ));
        }
        self.state = head.state;
        let path = binlog_file::path(self.dir, number);
        let file = File::open(&path).map_err(|error| Error::io("open", &path, error))?;
        let length = file.metadata();
        let length = length.map_err(|error| Error::io("look at", &path, error))?;
        if length.len() < extent.end {
            return Err(fault(
                length.len(),
                "it is shorter than what was synced".to_owned(),
            ));
        }
        let done = self.checked.bytes;
        let mut scanner = Scanner::new(file, FIRST_EVENT, extent.end, Depth::Checksums);
        let mut closed = None;
        loop {
            let found = scanner.next();
            match found.map_err(|error| Error::io("read", &path, error))? {
                Found::Transaction(found) => {
                    if self.executed.contains(&found.gtid) {
                        return Err(fault(
                            found.start,
                            format!("transaction {} is in the binlog already", found.gtid),
                        ));
                    }
                    self.executed.insert(&found.gtid);
                    self.state.update(&found.gtid);
                    self.checked.transactions += 1;
                    progress(done + found.end, self.total);
                }
                Found::Closing(end) => closed = Some(end),
                Found::End => break,
                Found::Broken { event, why, .. } => return Err(fault(event, why)),
            }
        }
        let newest = number == self.inspected.end().file;
        if !newest && !extent.cut && closed != Some(extent.end) {
            return Err(fault(
                extent.end,
                "it does not end with ROTATE or STOP, and another file follows".to_owned(),
            ));
        }
        self.checked.files += 1;
        self.checked.bytes += extent.end;
        progress(self.checked.bytes, self.total);
        Ok(())
    }
}
