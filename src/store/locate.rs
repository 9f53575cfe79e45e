//! Finds places in the binlog by GTID.

use std::fs::File;
use std::sync::Arc;

use super::binlog_file::{self, file_name};
use super::catalogue::{Catalogue, FileEntry, Transaction};
use super::scan::{Depth, Found, Scanner};
use super::{Batch, Error, Shared, Trouble};
use crate::gtid::{Gtid, GtidSet, Position, State, mariadb};
use crate::ids::StorePosition;

/// Where a dump for a replica begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// Everything before it is in the replica's position. With several domains that are not equally
    /// far, what follows may hold transactions that it has: send only those that its position does
    /// not contain.
    At(StorePosition),
    /// It has transactions that the store does not have (yet): hold it.
    Ahead { missing: Vec<Gtid> },
    /// What it needs is before the store's beginning.
    Purged {
        /// One that is gone; of MariaDB the last one of its domain.
        gone: Gtid,
    },
    /// It has a transaction where the store has another one: it is on another branch of history.
    Diverged { theirs: Vec<Gtid> },
}

impl Shared {
    pub(super) fn locate(&self, replica: &Position) -> Result<Located, Error> {
        let (files, written) = {
            let catalogue = self.catalogue.read();
            let start = catalogue.files.first().map(|file| &file.start);
            let start = start.unwrap_or(&catalogue.written.state);
            let unfit = match replica {
                Position::MariaDb(replica) => unfit_position(replica, start, &catalogue),
                Position::MySql(replica) => unfit_set(replica, start, &catalogue.executed),
            };
            if let Some(located) = unfit {
                return Ok(located);
            }
            if replica.covers(&catalogue.written.state.position()) {
                return Ok(Located::At(self.marks.now().written));
            }
            (catalogue.files.clone(), self.marks.now().written)
        };
        // All before the newest file that starts within the replica's position is in it.
        let within = |file: &&FileEntry| replica.covers(&file.start.position());
        let Some(file) = files.iter().rev().find(within) else {
            return Err(Error::Misuse("a replica that is not purged fits no file"));
        };
        let from = StorePosition::new(file.number, file.head_end);
        let has = |gtid: &Gtid| replica.contains(gtid);
        Ok(Located::At(self.first_without(&files, from, written, has)?))
    }

    /// The largest position from which on `has` is not always true.
    fn first_without(
        &self,
        files: &[FileEntry],
        from: StorePosition,
        written: StorePosition,
        has: impl Fn(&Gtid) -> bool,
    ) -> Result<StorePosition, Error> {
        let mut at = from;
        self.walk(files, from, written, |transaction| {
            let had = has(&transaction.gtid);
            if had {
                at = transaction.end;
            }
            had
        })?;
        Ok(at)
    }

    /// Hands over the transactions from `from` to `written` until `more` says no.
    fn walk(
        &self,
        files: &[FileEntry],
        from: StorePosition,
        written: StorePosition,
        mut more: impl FnMut(Transaction) -> bool,
    ) -> Result<(), Error> {
        for entry in files.iter().filter(|file| file.number >= from.file) {
            let path = binlog_file::path(&self.dir, entry.number);
            let failed = |source| Error::io("read", &path, source);
            let start = match entry.number == from.file {
                true => from.offset.max(entry.head_end),
                false => entry.head_end,
            };
            let file = File::open(&path).map_err(failed)?;
            let end = entry.readable(written);
            if start >= end {
                continue;
            }
            let mut scanner = Scanner::new(file, start, end, Depth::Headers);
            loop {
                match scanner.next().map_err(failed)? {
                    Found::Transaction(found) => {
                        if !more(Transaction::new(entry.number, found)) {
                            return Ok(());
                        }
                    }
                    Found::Closing(_) => {}
                    Found::End => break,
                    Found::Broken { event, why, .. } => {
                        return Err(Error::Corrupt {
                            file: file_name(entry.number),
                            at: event,
                            reason: why,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn transaction_of(&self, gtid: &Gtid) -> Result<Option<Transaction>, Error> {
        let (files, written) = {
            let catalogue = self.catalogue.read();
            if !catalogue.executed.contains(gtid) {
                return Ok(None);
            }
            let mut recent = catalogue.recent.iter().rev();
            if let Some(found) = recent.find(|recent| recent.gtid == *gtid) {
                return Ok(Some(found.clone()));
            }
            (catalogue.files.clone(), self.marks.now().written)
        };
        // It stands in the last file whose beginning does not have it yet.
        let before = |file: &&FileEntry| !file.start.contains(gtid);
        let Some(file) = files.iter().rev().find(before) else {
            return Ok(None);
        };
        let from = StorePosition::new(file.number, file.head_end);
        let mut found = None;
        self.walk(&files, from, written, |transaction| {
            if transaction.gtid == *gtid {
                found = Some(transaction);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    pub(super) fn applied_up_to(
        &self,
        from: StorePosition,
        position: &Position,
    ) -> Result<Option<StorePosition>, Error> {
        let (files, written) = {
            let catalogue = self.catalogue.read();
            let start = catalogue.files.first().map(|file| &file.start);
            let start = start.unwrap_or(&catalogue.written.state);
            // By the highest number a position claims whatever anybody ever wrote with a smaller one.
            if let Position::MariaDb(position) = position {
                let unfit = unfit_position(position, start, &catalogue);
                if let Some(Located::Ahead { .. } | Located::Diverged { .. }) = unfit {
                    return Ok(None);
                }
            }
            let recent = &catalogue.recent;
            let remembered = match recent.front() {
                Some(oldest) => from >= oldest.start,
                None => true,
            };
            if remembered {
                let next = recent.partition_point(|transaction| transaction.end <= from);
                let had = recent
                    .range(next..)
                    .take_while(|transaction| position.contains(&transaction.gtid));
                return Ok(Some(had.last().map_or(from, |transaction| transaction.end)));
            }
            (catalogue.files.clone(), self.marks.now().written)
        };
        let has = |gtid: &Gtid| position.contains(gtid);
        // What is before a file that begins within the position need not be read.
        let within =
            |file: &FileEntry| !file.start.is_empty() && position.covers(&file.start.position());
        let newest = files.iter().rposition(within).unwrap_or(0);
        if let Some(before) = newest.checked_sub(1).map(|index| &files[index]) {
            let start = StorePosition::new(before.number, before.head_end);
            let found = self.first_without(&files, start.max(from), written, has)?;
            if found > start {
                return Ok(Some(found.max(from)));
            }
        }
        self.first_without(&files, from, written, has).map(Some)
    }
}

/// **Where a MariaDB position stands in our history**: nowhere, unless each of its GTIDs is, exactly, one of ours
/// or of our base; says why it does not. Within our history numbers only grow in each domain, so a position
/// that stands there may be compared by its numbers, and no other. A domain of which we have nothing speaks neither
/// for nor against it, unless we have nothing at all.
fn unfit_position(
    replica: &mariadb::Position,
    start: &State,
    catalogue: &Catalogue,
) -> Option<Located> {
    let (State::MariaDb(start), State::MariaDb(written)) = (start, &catalogue.written.state) else {
        let missing: Vec<Gtid> = replica.iter().map(Gtid::MariaDb).collect();
        return (!missing.is_empty()).then_some(Located::Ahead { missing });
    };
    let (mut missing, mut theirs) = (Vec::new(), Vec::new());
    for gtid in replica.iter() {
        let base = start.last(gtid.domain);
        let own = written.last(gtid.domain);
        let exact = Gtid::MariaDb(gtid);
        match (base, own) {
            (_, None) if written.is_empty() => missing.push(exact),
            (_, None) => {}
            (_, Some(own)) if gtid.seq > own.seq => missing.push(exact),
            // Before the beginning; whether it is purged is looked at below.
            (Some(base), _) if gtid.seq < base.seq => {}
            (Some(base), _) if gtid.seq == base.seq && gtid != base => theirs.push(exact),
            _ if !catalogue.executed.contains(&exact) => theirs.push(exact),
            _ => {}
        }
    }
    if !theirs.is_empty() {
        return Some(Located::Diverged { theirs });
    }
    if !missing.is_empty() {
        return Some(Located::Ahead { missing });
    }
    let gone = start
        .position()
        .iter()
        .find(|base| !replica.contains(*base))?;
    Some(Located::Purged { gone: gone.into() })
}

/// Why a MySQL replica cannot be served, if it cannot. What it alone has under an origin that our
/// binlog has never seen is its own affair (an account made there): it costs it the vote, not the
/// service.
fn unfit_set(replica: &GtidSet, start: &State, executed: &GtidSet) -> Option<Located> {
    let (mut missing, mut theirs) = (Vec::new(), Vec::new());
    for (origin, first, _) in replica.difference(executed).ranges() {
        match executed.last(origin) {
            None => {}
            Some(last) if first < last => theirs.push(origin.gtid(first)),
            Some(_) => missing.push(origin.gtid(first)),
        }
    }
    if !theirs.is_empty() {
        return Some(Located::Diverged { theirs });
    }
    if !missing.is_empty() {
        return Some(Located::Ahead { missing });
    }
    let gone = start.claimed().difference(replica).iter().next()?;
    Some(Located::Purged { gone })
}

impl super::Store {
    /// Where to start sending to a replica at this position.
    pub fn locate(&self, replica: &Position) -> Result<Located, Error> {
        self.shared.locate(replica)
    }

    /// Where a transaction ends, if the store holds it: from memory for recent ones, else read from
    /// its file.
    pub fn position_of(&self, gtid: &Gtid) -> Option<StorePosition> {
        self.extent_of(gtid).map(|(_, end)| end)
    }

    /// Where a transaction begins and ends, if the store holds it.
    pub fn extent_of(&self, gtid: &Gtid) -> Option<(StorePosition, StorePosition)> {
        let found = self.shared.transaction_of(gtid);
        let found = found.unwrap_or_else(|error| self.shared.unreadable(&error, None))?;
        Some((found.start, found.end))
    }

    /// All that the store holds behind this transaction; none where it is not one of the newest.
    pub fn behind(&self, gtid: &Gtid) -> Option<GtidSet> {
        let catalogue = self.shared.catalogue.read();
        let at = (catalogue.recent.iter()).rposition(|recent| recent.gtid == *gtid)?;
        let newer = catalogue.recent.iter().skip(at + 1);
        Some(newer.map(|transaction| transaction.gtid.clone()).collect())
    }

    /// How many events a transaction has, if the store holds it.
    pub fn events_of(&self, gtid: &Gtid) -> Option<usize> {
        let (start, end) = self.extent_of(gtid)?;
        self.count_events(start, end)
            .unwrap_or_else(|error| self.shared.unreadable(&error, None))
    }

    fn count_events(
        &self,
        start: StorePosition,
        end: StorePosition,
    ) -> Result<Option<usize>, Error> {
        let (mut reader, mut batch, mut count) = (self.reader(start)?, Batch::new(), 0);
        while reader.position() < end {
            reader.next_batch(end, 256 * 1024, &mut batch)?;
            if batch.is_empty() {
                return Ok(None);
            }
            count += batch.len();
        }
        Ok(Some(count))
    }

    /// The largest position, not below `from`, up to which a server at `position` claims everything. None
    /// where it does not stand in our history: one of its GTIDs is none of ours. Where a file cannot be read, `from`: nothing is confirmed that was not seen.
    pub fn applied_up_to(&self, from: StorePosition, position: &Position) -> Option<StorePosition> {
        let found = self.shared.applied_up_to(from, position);
        found.unwrap_or_else(|error| self.shared.unreadable(&error, Some(from)))
    }

    /// A reader that starts at `from`, which [`Located::At`] named or an earlier reader reached.
    pub fn reader(&self, from: StorePosition) -> Result<super::Reader, Error> {
        super::Reader::new(Arc::clone(&self.shared), from)
    }
}

impl Shared {
    fn unreadable<T>(&self, error: &Error, instead: T) -> T {
        tracing::error!(%error, "the binlog cannot be searched");
        self.note_problem(Trouble::Read, Some(error.to_string()));
        instead
    }
}
