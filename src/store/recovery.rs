//! Finds out, at start, what the directory holds, and mends what a crash may leave.
//!
//! What a crash can leave, and what becomes of it:
//! - a *torn tail* of the last file (no whole transaction behind the damage): cut off;
//! - damage with a whole transaction behind it: a write that never reached the disk while a later one
//!   did (it shows as a hole of zeros) is a torn tail too. Anything else is corruption: the store
//!   does not open, and says where. So it is with any damage below the known synced floor;
//! - a file that the index does not name yet: created by a rotation that got no further, and so
//!   without a transaction: removed. One with transactions is kept: the index was lost, not the file;
//! - files older than those that the index names: a purge got no further: removed;
//! - a name in the index without its file, at the end: dropped, it cannot have held a transaction;
//! - a file with a durable cut: counts up to there, and is never appended to.
//!
//! All files are read by their headers, to know the executed set exactly; only the last one can be
//! torn (a next file is made when the one before is synced whole), so only there every checksum
//! counts.

use std::fs::File;
use std::path::Path;

use super::binlog_file::{self, file_name, file_number};
use super::catalogue::{Catalogue, End, FileEntry, Progress, Transaction};
use super::disk::Disk;
use super::scan::{self, Depth, Found, Head, Scanner};
use super::state::DurableState;
use super::{Error, index, purge};
use crate::event::format_description::FormatDescription;
use crate::gtid::{Gtid, GtidSet, State};
use crate::ids::StorePosition;

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub files: usize,
    /// Whole transactions, all of which count from now on.
    pub transactions: u64,
    pub executed: GtidSet,
    pub end: StorePosition,
    /// Of the source that the newest file was written for.
    pub server_version: Option<String>,
    pub torn: Option<TornTail>,
    /// What else was mended, one sentence each, for the log.
    pub notes: Vec<String>,
}

impl Recovery {
    pub(super) fn log(&self, dir: &Path) {
        for note in &self.notes {
            tracing::warn!("{note}");
        }
        if let Some(torn) = &self.torn {
            tracing::warn!(
                file = torn.file,
                at = torn.at,
                bytes = torn.bytes,
                "torn tail cut off: {}",
                torn.why
            );
        }
        let (files, transactions, end) = (self.files, self.transactions, self.end);
        tracing::info!(dir = %dir.display(), files, transactions, %end, "binlog opened");
    }
}

/// What was cut off the last file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub file: String,
    /// Where the last whole transaction ends: the file's length now.
    pub at: u64,
    pub bytes: u64,
    pub why: String,
}

pub(super) struct Recovered {
    pub(super) catalogue: Catalogue,
    pub(super) template: Option<FormatDescription>,
    /// Where MySQL's logical clock stands in the last file.
    pub(super) clock: Option<u64>,
    pub(super) end: StorePosition,
    pub(super) report: Recovery,
}

pub(super) struct Recoverer<'a> {
    pub(super) dir: &'a Path,
    pub(super) disk: &'a Disk,
    pub(super) state: &'a DurableState,
    /// Up to here everything was synced once.
    pub(super) floor: StorePosition,
    pub(super) report: Recovery,
}

struct LastFile {
    head: Head,
    transactions: Vec<Transaction>,
    clock: Option<u64>,
    end: End,
    length: u64,
}

impl Recoverer<'_> {
    pub(super) fn run(mut self) -> Result<Recovered, Error> {
        let (mut numbers, indexed) = self.list()?;
        let mut catalogue = Catalogue::default();
        let mut progress = Progress::default();
        let last = loop {
            let Some(&number) = numbers.last() else {
                break None;
            };
            match self.last_file(number, indexed.contains(&number))? {
                Some(last) => break Some((number, last)),
                None => {
                    let _ = numbers.pop();
                }
            }
        };
        let Some((last_number, last)) = last else {
            self.refuse_below_floor(StorePosition::ZERO)?;
            if !indexed.is_empty() {
                self.save_index(&[])?;
            }
            return Ok(Recovered {
                catalogue,
                template: None,
                clock: None,
                end: StorePosition::ZERO,
                report: self.report,
            });
        };

        for &number in &numbers[..numbers.len() - 1] {
            self.closed_file(number, &mut catalogue, &mut progress)?;
        }
        self.enter(last_number, &last.head, &mut catalogue, &mut progress)?;
        self.absorb(&last.transactions, &mut catalogue, &mut progress);
        catalogue.files.push(FileEntry {
            number: last_number,
            head_end: last.head.end,
            created: last.head.created,
            start: last.head.state,
            end: last.end,
        });
        catalogue.written = progress.clone();
        catalogue.synced = progress;
        let end = match last.transactions.last() {
            Some(transaction) => transaction.end,
            None => StorePosition::new(last_number, last.head.end),
        };
        self.refuse_below_floor(end)?;
        if numbers != indexed {
            self.save_index(&numbers)?;
        }
        if !matches!(last.end, End::Cut(_)) {
            self.make_durable(last_number, last.length)?;
        }
        self.report.files = numbers.len();
        self.report.executed = catalogue.executed.clone();
        self.report.end = end;
        self.report.server_version = Some(last.head.description.server_version().to_owned());
        Ok(Recovered {
            catalogue,
            template: Some(last.head.description),
            clock: last.clock,
            end,
            report: self.report,
        })
    }

    /// The numbers of the files that are there, without a gap, and those that the index names.
    fn list(&mut self) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let failed = |source| Error::io("read", self.dir, source);
        let indexed = index::load(self.dir).map_err(failed)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            found.extend(name.to_str().and_then(file_number));
        }
        found.sort_unstable();
        if indexed.is_empty() && !found.is_empty() {
            self.note(format!(
                "binlog.index names no file, but {} are there: it is made anew",
                found.len()
            ));
        }
        // What a purge had still to remove is no longer part of the store.
        let first = indexed.iter().find(|number| found.contains(number));
        if let Some(first) = first {
            let stay = found.partition_point(|number| number < first);
            for number in found.drain(..stay) {
                purge::remove_files(self.disk, self.dir, number)?;
                self.report.notes.push(format!(
                    "{} was being purged when we stopped: removed",
                    file_name(number)
                ));
            }
        }
        for pair in found.windows(2) {
            if pair[1] != pair[0] + 1 {
                return Err(Error::Missing {
                    file: file_name(pair[0] + 1),
                });
            }
        }
        for number in indexed.iter().filter(|number| !found.contains(number)) {
            self.report.notes.push(format!(
                "binlog.index names {}, which is not there: dropped from it",
                file_name(*number)
            ));
        }
        Ok((found, indexed))
    }

    /// Reads the newest file and mends its end. `None`: it holds nothing and is gone now.
    fn last_file(&mut self, number: u32, indexed: bool) -> Result<Option<LastFile>, Error> {
        let path = binlog_file::path(self.dir, number);
        let failed = |source| Error::io("read", &path, source);
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let head = match scan::read_head(&file).map_err(failed)? {
            Ok(head) => head,
            Err(why) => {
                let whole = scan::find_transaction(&file, 0, length).map_err(failed)?;
                if self.floor.file >= number || whole.is_some() {
                    return Err(corrupt(number, 0, why));
                }
                self.note(format!(
                    "{} was being created when we stopped ({why}): removed",
                    file_name(number)
                ));
                self.disk
                    .remove(&path)
                    .map_err(|source| Error::io("remove", &path, source))?;
                return Ok(None);
            }
        };
        let cut = self.state.cut_of(number);
        let limit = cut.map_or(length, |cut| cut.min(length));
        let copy = file.try_clone().map_err(failed)?;
        let mut scanner = Scanner::new(copy, head.end, limit, Depth::Checksums);
        let mut transactions = Vec::new();
        let mut clock = None;
        let mut closed = None;
        let (at, torn) = loop {
            match scanner.next().map_err(failed)? {
                Found::Transaction(found) => {
                    clock = found.clock.or(clock);
                    transactions.push(Transaction::new(number, found));
                }
                Found::Closing(end) => closed = Some(end),
                Found::End => break (limit, None),
                Found::Broken { at, event, why } => break (at, Some((event, why))),
            }
        };
        if let Some((event, why)) = torn {
            self.judge(number, &file, at, event, limit, &why)?;
            self.report.torn = Some(TornTail {
                file: file_name(number),
                at,
                bytes: length - at,
                why,
            });
        }
        if !indexed {
            if transactions.is_empty() && self.floor.file < number {
                self.note(format!(
                    "{} was created and not yet in use when we stopped: removed",
                    file_name(number)
                ));
                self.disk
                    .remove(&path)
                    .map_err(|source| Error::io("remove", &path, source))?;
                self.report.torn = None;
                return Ok(None);
            }
            self.note(format!("{} is added to binlog.index", file_name(number)));
        }
        if at < length {
            let file = self.disk.open(&path).map_err(failed)?;
            file.set_len(at)
                .map_err(|source| Error::io("truncate", &path, source))?;
        }
        Ok(Some(LastFile {
            head,
            transactions,
            clock,
            end: match (cut, closed) {
                (Some(_), _) => End::Cut(at),
                (None, Some(end)) if end == at => End::Closed(at),
                _ => End::Open,
            },
            length: at,
        }))
    }

    /// Whether the damage at `event`, behind the last whole transaction's end `at`, may be cut off.
    fn judge(
        &self,
        number: u32,
        file: &File,
        at: u64,
        event: u64,
        end: u64,
        why: &str,
    ) -> Result<(), Error> {
        if StorePosition::new(number, at) < self.floor || self.state.cut_of(number).is_some() {
            return Err(corrupt(
                number,
                event,
                format!("{why}; this was safe on disk before"),
            ));
        }
        let path = binlog_file::path(self.dir, number);
        let failed = |source| Error::io("read", &path, source);
        let Some(whole) = scan::find_transaction(file, event + 1, end).map_err(failed)? else {
            return Ok(());
        };
        if scan::has_hole(file, event, whole).map_err(failed)? {
            return Ok(());
        }
        Err(corrupt(
            number,
            event,
            format!("{why}, and a whole transaction follows at {whole}"),
        ))
    }

    /// Reads a file that has a next one.
    fn closed_file(
        &mut self,
        number: u32,
        catalogue: &mut Catalogue,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let path = binlog_file::path(self.dir, number);
        let failed = |source| Error::io("read", &path, source);
        let file = File::open(&path).map_err(failed)?;
        let head = scan::read_head(&file)
            .map_err(failed)?
            .map_err(|why| corrupt(number, 0, why))?;
        self.enter(number, &head, catalogue, progress)?;
        let length = file.metadata().map_err(failed)?.len();
        let cut = self.state.cut_of(number);
        let limit = cut.unwrap_or(length);
        if limit > length {
            return Err(corrupt(
                number,
                length,
                "it is shorter than what was synced".to_owned(),
            ));
        }
        let mut scanner = Scanner::new(file, head.end, limit, Depth::Headers);
        let mut transactions = Vec::new();
        loop {
            match scanner.next().map_err(failed)? {
                Found::Transaction(found) => transactions.push(Transaction::new(number, found)),
                Found::Closing(_) => {}
                Found::End => break,
                Found::Broken { event, why, .. } => return Err(corrupt(number, event, why)),
            }
        }
        self.absorb(&transactions, catalogue, progress);
        catalogue.files.push(FileEntry {
            number,
            head_end: head.end,
            created: head.created,
            start: head.state,
            end: match cut {
                Some(cut) => End::Cut(cut),
                None => End::Closed(limit),
            },
        });
        Ok(())
    }

    /// The next file continues exactly where the one before ended; the first one says what came
    /// before the store.
    fn enter(
        &self,
        number: u32,
        head: &Head,
        catalogue: &mut Catalogue,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        if catalogue.files.is_empty() {
            progress.state = head.state.clone();
            catalogue.executed = before(self.state, &head.state);
        } else if progress.state != head.state {
            return Err(corrupt(
                number,
                0,
                format!(
                    "it continues at '{}', the file before it ends at '{}'",
                    head.state, progress.state
                ),
            ));
        }
        Ok(())
    }

    fn absorb(
        &mut self,
        found: &[Transaction],
        catalogue: &mut Catalogue,
        progress: &mut Progress,
    ) {
        progress.advance(found.iter().cloned());
        for transaction in found {
            catalogue.executed.insert(&transaction.gtid);
            catalogue.remember(transaction.clone());
        }
        self.report.transactions += found.len() as u64;
    }

    fn refuse_below_floor(&self, end: StorePosition) -> Result<(), Error> {
        if end < self.floor {
            return Err(Error::LostSynced {
                end,
                floor: self.floor,
            });
        }
        Ok(())
    }

    /// What was read may be in the page cache only, and a sync of it may have failed in the process
    /// before us, whose error nobody else is told. So it is written and synced once more, from the
    /// floor on.
    fn make_durable(&self, number: u32, length: u64) -> Result<(), Error> {
        use std::os::unix::fs::FileExt as _;
        let path = binlog_file::path(self.dir, number);
        let file = self
            .disk
            .open(&path)
            .map_err(|source| Error::io("open", &path, source))?;
        let mut at = if self.floor.file == number {
            self.floor.offset
        } else {
            0
        };
        let mut chunk = vec![0; 256 * 1024];
        while at < length {
            let piece = chunk.len().min((length - at) as usize);
            let piece = &mut chunk[..piece];
            file.file()
                .read_exact_at(piece, at)
                .map_err(|source| Error::io("read", &path, source))?;
            file.write_all_at(piece, at)
                .map_err(|source| Error::io("write", &path, source))?;
            at += piece.len() as u64;
        }
        file.sync_data()
            .map_err(|source| Error::io("sync", &path, source))
    }

    fn save_index(&self, numbers: &[u32]) -> Result<(), Error> {
        index::save(self.disk, self.dir, numbers)
            .map_err(|source| Error::io("write the index of", self.dir, source))
    }

    fn note(&mut self, note: String) {
        self.report.notes.push(note);
    }
}

/// What came before the oldest file: exactly as a purge noted it, else all that the list claims.
pub(super) fn before(noted: &DurableState, start: &State) -> GtidSet {
    let purged = &noted.purged;
    let is_noted = match start {
        State::MariaDb(start) => {
            (start.to_list().into_iter()).all(|gtid| purged.contains(&Gtid::MariaDb(gtid)))
        }
        State::MySql(start) => start.is_subset(purged),
    };
    match is_noted {
        true => purged.clone(),
        false => start.claimed().union(purged),
    }
}

fn corrupt(number: u32, at: u64, reason: String) -> Error {
    Error::Corrupt {
        file: file_name(number),
        at,
        reason,
    }
}
