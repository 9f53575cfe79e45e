//! The files of a store that is not opened: a proxy may be writing them, or none may run.
//!
//! Beside a running proxy the newest file counts up to what is known to be synced; without one, to its
//! end, which a kill may have left torn.

use std::io;
use std::path::{Path, PathBuf};

use super::binlog_file::{self, FIRST_EVENT, file_name};
use super::scan::{self, Head};
use super::skim::{Skim, Skimmed};
use super::state::DurableState;
use super::{Error, index, lock, watermark};
use crate::event::{EventType, Step, TransactionTracker};
use crate::gtid::{Gtid, State};
use crate::ids::StorePosition;

/// What the index names, oldest first.
#[derive(Clone, Debug)]
pub struct Inspected {
    dir: PathBuf,
    pub files: Vec<Extent>,
    /// A process has the store open.
    pub in_use: bool,
    pub(super) state: DurableState,
}

/// How far a file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub number: u32,
    pub end: u64,
    /// A failed fsync made what was behind void.
    pub cut: bool,
}

/// One file, as people want to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub name: String,
    pub bytes: u64,
    pub transactions: u64,
    pub first: Option<Gtid>,
    pub last: Option<Gtid>,
    /// Of the first and the last transaction: Unix time in seconds, by the source's clock.
    pub times: Option<(u32, u32)>,
    pub ending: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing will be added.
    Sealed,
    /// More is or will be written.
    Active,
    /// It cannot be read to its end.
    Damaged { at: u64, reason: String },
}

impl Inspected {
    /// Reads the index and looks at the files' lengths.
    pub fn of(dir: &Path) -> Result<Self, Error> {
        let in_use = lock::is_taken(dir)?;
        let state = DurableState::load(dir)?;
        let mut inspected = Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            in_use,
            state,
        };
        loop {
            let numbers =
                index::load(dir).map_err(|error| Error::io("read the index in", dir, error))?;
            let synced = watermark::known_floor(dir);
            match inspected.extents(&numbers, synced) {
                Ok(files) => inspected.files = files,
                // A purge was faster.
                Err(Error::Missing { .. }) if index_changed(dir, &numbers) => continue,
                Err(error) => return Err(error),
            }
            return Ok(inspected);
        }
    }

    fn extents(&self, numbers: &[u32], synced: StorePosition) -> Result<Vec<Extent>, Error> {
        let newest = numbers.last();
        let extent = |number: &u32| {
            let path = binlog_file::path(&self.dir, *number);
            let length = match std::fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::Missing {
                        file: file_name(*number),
                    });
                }
                Err(error) => return Err(Error::io("look at", &path, error)),
            };
            let cut = self.state.cut_of(*number);
            let end = match cut {
                Some(cut) => cut.min(length),
                None if self.in_use && Some(number) == newest => match synced.file.cmp(number) {
                    std::cmp::Ordering::Less => self.head(*number)?.end,
                    std::cmp::Ordering::Equal => synced.offset.min(length),
                    // It was followed by another one since the index was read.
                    std::cmp::Ordering::Greater => length,
                },
                None => length,
            };
            Ok(Extent {
                number: *number,
                end,
                cut: cut.is_some(),
            })
        };
        numbers.iter().map(extent).collect()
    }

    /// Where all of it ends.
    pub fn end(&self) -> StorePosition {
        let last = self.files.last();
        last.map_or(StorePosition::ZERO, |file| {
            StorePosition::new(file.number, file.end)
        })
    }

    pub fn file(&self, number: u32) -> Option<&Extent> {
        self.files.iter().find(|file| file.number == number)
    }

    /// From a file's beginning.
    fn skim(&self, number: u32) -> Skim {
        Skim::new(&self.dir, StorePosition::new(number, FIRST_EVENT))
    }

    /// Goes through the events of this file and of those behind it.
    pub fn walk(&self, first: u32) -> Walk<'_> {
        let from = self.files.partition_point(|file| file.number < first);
        Walk {
            inspected: self,
            rest: self.files[from..].iter(),
            skim: Skim::new(&self.dir, StorePosition::ZERO),
            limit: StorePosition::ZERO,
            sure: StorePosition::ZERO,
            whole: false,
            written: false,
        }
    }

    /// The newest file that does not have `gtid` before its beginning, so where it is if it is anywhere.
    pub fn may_hold(&self, gtid: &Gtid) -> Result<Option<u32>, Error> {
        for file in self.files.iter().rev() {
            if !self.state_before(file.number)?.contains(gtid) {
                return Ok(Some(file.number));
            }
        }
        Ok(None)
    }

    /// What came before a file.
    pub fn state_before(&self, number: u32) -> Result<State, Error> {
        Ok(self.head(number)?.state)
    }

    pub(super) fn head(&self, number: u32) -> Result<Head, Error> {
        let path = binlog_file::path(&self.dir, number);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing {
                file: file_name(number),
            },
            _ => Error::io("read", &path, error),
        };
        let file = std::fs::File::open(&path).map_err(failed)?;
        let head = scan::read_head(&file).map_err(failed)?;
        head.map_err(|reason| Error::Corrupt {
            file: file_name(number),
            at: 0,
            reason,
        })
    }

    /// Goes through one file by its headers.
    pub fn summary(&self, file: &Extent) -> Result<Summary, Error> {
        let mut summary = Summary {
            name: file_name(file.number),
            bytes: file.end,
            transactions: 0,
            first: None,
            last: None,
            times: None,
            ending: match self.files.last() {
                Some(newest) if newest.number == file.number && !file.cut => Ending::Active,
                _ => Ending::Sealed,
            },
        };
        let mut skim = self.skim(file.number);
        let mut tracker = TransactionTracker::new();
        let mut open = None;
        let limit = StorePosition::new(file.number, file.end);
        loop {
            let at = skim.position().offset;
            let event = match skim.next(limit) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(summary),
                Err(Error::Corrupt { at, reason, .. }) => {
                    summary.ending = Ending::Damaged { at, reason };
                    return Ok(summary);
                }
                Err(error) => return Err(error),
            };
            let time = event.header.timestamp;
            match tracker.feed(event.body()) {
                Ok(Step::GroupStart(start)) => open = Some((start.gtid, time)),
                Ok(Step::InGroup) => {}
                Ok(Step::GroupEnd) => {
                    if let Some((gtid, time)) = open.take() {
                        summary.transactions += 1;
                        let since = summary.times.map_or(time, |(since, _)| since);
                        summary.times = Some((since, time));
                        summary.first.get_or_insert_with(|| gtid.clone());
                        summary.last = Some(gtid);
                    }
                }
                Ok(Step::Outside) => {
                    if matches!(event.header.kind, EventType::ROTATE | EventType::STOP) {
                        summary.ending = Ending::Sealed;
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    summary.ending = Ending::Damaged { at, reason };
                    return Ok(summary);
                }
            }
        }
    }
}

/// The events of several files, of each as far as it counts.
#[derive(Debug)]
pub struct Walk<'a> {
    inspected: &'a Inspected,
    rest: std::slice::Iter<'a, Extent>,
    /// In the file that `limit` is the end of.
    skim: Skim,
    limit: StorePosition,
    /// What lies behind may be in the middle of a write.
    sure: StorePosition,
    whole: bool,
    written: bool,
}

impl Walk<'_> {
    /// See [`Skim::whole`].
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Beside a running proxy also what is not known to be synced, as far as it is whole: under load that
    /// is said of the newest commits a moment after they were answered.
    #[must_use]
    pub fn written(mut self) -> Self {
        self.written = true;
        self
    }

    pub fn next_event(&mut self) -> Result<Option<Skimmed<'_>>, Error> {
        while self.skim.position() >= self.limit {
            let Some(file) = self.rest.next() else {
                return Ok(None);
            };
            let skim = self.inspected.skim(file.number);
            self.skim = if self.whole { skim.whole() } else { skim };
            self.sure = StorePosition::new(file.number, file.end);
            self.limit = self.sure;
            if self.written && self.sure == self.inspected.end() && !file.cut {
                let path = binlog_file::path(&self.inspected.dir, file.number);
                let length = std::fs::metadata(&path);
                let length = length.map_err(|error| Error::io("look at", &path, error))?;
                self.limit.offset = length.len().max(file.end);
            }
        }
        match self.skim.next(self.limit) {
            Err(Error::Corrupt { at, .. }) if at >= self.sure.offset => Ok(None),
            event => event,
        }
    }
}

/// Whether the index names other files by now.
fn index_changed(dir: &Path, numbers: &[u32]) -> bool {
    index::load(dir).is_ok_and(|now| now != numbers)
}
