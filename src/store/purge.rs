//! Which files go, and how they go.
//!
//! The decision is a pure function of the files, the rules, the floors and the time. Three kinds of floor
//! hold files back: what the store itself needs to go on after a crash (never given up), what voting
//! replicas have not applied yet, and the files that readers are in; the latter two give way to
//! `[binlog] keep_at_most` alone.
//!
//! The way of a purge, each step durable before the next:
//! 1. `ackline.state` gets the exact set of what the files that stay do not hold any more;
//! 2. `binlog.index` names only the files that stay: from here on the others are no part of the store;
//! 3. origins, then files, oldest first, are removed.
//!
//! A crash after the first step leaves a set that the files hold as well; one after the second leaves
//! files that [`super::recovery`] removes.

use super::binlog_file::{self, file_name};
use super::keep::Keep;
use super::state::Cut;
use super::{Error, FileInfo, Shared, Store, index, origins};
use crate::gtid::{GtidSet, Position};
use crate::ids::StorePosition;

/// Which files are no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// Beyond what is kept.
    Beyond(Keep),
    /// Those before this one.
    Before(u32),
    /// Those that were complete by then: Unix time in seconds.
    Until(u32),
}

/// Somebody whom we may not take files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub who: String,
    /// It has everything before; [`StorePosition::ZERO`] where that is not known.
    pub from: StorePosition,
}

/// A purge as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub unwanted: Unwanted,
    /// What is beyond goes though somebody needs it.
    pub at_most: Keep,
    /// What each voting replica has not applied yet, and where readers are.
    pub needs: Vec<Need>,
    /// Unix time in seconds.
    pub now: u32,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Oldest first.
    pub files: Vec<FileInfo>,
    /// Who holds back files that are no longer wanted.
    pub held_for: Vec<Need>,
    /// Who needed what is gone.
    pub taken_from: Vec<Need>,
}

/// The oldest file that stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    first: u32,
    held_for: Vec<Need>,
    taken_from: Vec<Need>,
}

/// The oldest of `files` that is still wanted; at least the newest is.
fn wanted(files: &[FileInfo], unwanted: Unwanted, now: u32) -> u32 {
    let mut left: u64 = files.iter().map(|file| file.bytes).sum();
    for pair in files.windows(2) {
        // The next one was made when it was complete.
        let (file, complete) = (&pair[0], pair[1].created);
        let goes = match unwanted {
            Unwanted::Beyond(keep) => {
                let old = |time: std::time::Duration| {
                    u64::from(now).saturating_sub(u64::from(complete)) >= time.as_secs().max(1)
                };
                keep.time.is_some_and(old) || keep.size.is_some_and(|size| left > size)
            }
            Unwanted::Before(number) => file.number < number,
            Unwanted::Until(time) => complete <= time,
        };
        if !goes {
            return file.number;
        }
        left -= file.bytes;
    }
    files.last().map_or(0, |file| file.number)
}

/// `own` is the first file that the store itself needs.
fn plan(files: &[FileInfo], own: u32, request: &Request) -> Plan {
    let most = wanted(files, Unwanted::Beyond(request.at_most), request.now).min(own);
    let wanted = wanted(files, request.unwanted, request.now)
        .min(own)
        .max(most);
    let needed = request.needs.iter().map(|need| need.from.file).min();
    let first = wanted.min(needed.unwrap_or(u32::MAX)).max(most);
    let oldest = files.first().map_or(0, |file| file.number);
    let behind = |file: u32| {
        let needs = request.needs.iter();
        needs.filter(move |need| need.from.file < file).cloned()
    };
    Plan {
        first,
        held_for: match first < wanted {
            true => behind(wanted).collect(),
            false => Vec::new(),
        },
        taken_from: match first > oldest {
            true => behind(first).collect(),
            false => Vec::new(),
        },
    }
}

impl Store {
    /// Removes files that are no longer wanted and that nobody needs, as `request` says; the store's own
    /// needs come on top. With `dry_run` it is only said which. Blocks on the disk.
    pub fn purge(&self, request: &Request, dry_run: bool) -> Result<Purged, Error> {
        self.shared.purge(request, dry_run)
    }

    /// What a replica at this position needs and the store does not have any more.
    pub fn purged_beyond(&self, replica: &Position) -> GtidSet {
        let catalogue = self.shared.catalogue.read();
        let Some(first) = catalogue.files.first() else {
            return GtidSet::new();
        };
        match replica {
            Position::MySql(replica) => first.start.claimed().difference(replica),
            Position::MariaDb(replica) => match first.start.position() {
                Position::MariaDb(start) => {
                    let gone = start.iter().filter(|base| !replica.contains(*base));
                    gone.map(Into::into).collect()
                }
                Position::MySql(_) => GtidSet::new(),
            },
        }
    }
}

impl Shared {
    fn purge(&self, request: &Request, dry_run: bool) -> Result<Purged, Error> {
        let _one_at_a_time = self.purging.lock();
        let files = self.files();
        let Plan {
            first,
            held_for,
            taken_from,
        } = plan(&files, self.own_need(), request);
        let gone: Vec<FileInfo> = (files.into_iter())
            .take_while(|file| file.number < first)
            .collect();
        let purged = Purged {
            files: gone,
            held_for,
            taken_from,
        };
        if !dry_run && !purged.files.is_empty() {
            self.remember_purged(first)?;
            self.drop_before(first)?;
            self.remove(&purged.files)?;
        }
        Ok(purged)
    }

    /// The first file that a start after a crash needs: what is not released, and the last transaction,
    /// from which the source is compared with us.
    fn own_need(&self) -> u32 {
        let released = self.durable.lock().released.file;
        let catalogue = self.catalogue.read();
        let newest = catalogue.last_file().map_or(0, |file| file.number);
        [&catalogue.written, &catalogue.synced]
            .map(|progress| progress.last.as_ref().map_or(0, |last| last.start.file))
            .into_iter()
            .fold(newest.min(released), u32::min)
    }

    fn remember_purged(&self, first: u32) -> Result<(), Error> {
        let before = {
            let catalogue = self.catalogue.read();
            let Some(file) = catalogue.file(first) else {
                return Err(Error::Misuse("a purge up to a file that is not there"));
            };
            let claimed = file.start.claimed();
            // A list of GTIDs claims more than is true where several servers wrote in one domain.
            claimed.difference(&claimed.difference(&catalogue.executed))
        };
        self.change_durable(|state| state.purged = before)
    }

    fn drop_before(&self, first: u32) -> Result<(), Error> {
        let _index = self.index.lock();
        let mut numbers = self.catalogue.read().numbers();
        numbers.retain(|number| *number >= first);
        index::save(&self.disk, &self.dir, &numbers)
            .map_err(|source| Error::io("write the index of", &self.dir, source))?;
        let mut catalogue = self.catalogue.write();
        catalogue.files.retain(|file| file.number >= first);
        Ok(())
    }

    fn remove(&self, files: &[FileInfo]) -> Result<(), Error> {
        for file in files {
            remove_files(&self.disk, &self.dir, file.number)?;
            metrics::counter!("ackline_binlog_purged_files_total").increment(1);
            metrics::counter!("ackline_binlog_purged_bytes_total").increment(file.bytes);
        }
        self.disk
            .sync_dir(&self.dir)
            .map_err(|source| Error::io("sync", &self.dir, source))?;
        let gone = |cut: &Cut| files.iter().any(|file| file.number == cut.file);
        if self.durable.lock().cuts.iter().any(gone) {
            self.change_durable(|state| state.cuts.retain(|cut| !gone(cut)))?;
        }
        Ok(())
    }
}

/// A binlog file and what stands beside it; what is gone already is no error.
pub(super) fn remove_files(
    disk: &super::disk::Disk,
    dir: &std::path::Path,
    number: u32,
) -> Result<(), Error> {
    for path in [origins::path(dir, number), binlog_file::path(dir, number)] {
        match disk.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path, error));
            }
            _ => {}
        }
    }
    tracing::debug!(file = file_name(number), "binlog file removed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOUR: u32 = 3600;

    /// Five of 100 bytes, made at 1, 2, 3, 4 and 5 o'clock; the first has number 3.
    fn files() -> Vec<FileInfo> {
        (0..5)
            .map(|index| FileInfo {
                number: 3 + index,
                name: file_name(3 + index),
                bytes: 100,
                created: (1 + index) * HOUR,
            })
            .collect()
    }

    fn need(who: &str, file: u32) -> Need {
        Need {
            who: who.to_owned(),
            from: StorePosition::new(file, u64::from(file > 0) * 77),
        }
    }

    fn request(unwanted: Unwanted, needs: &[Need]) -> Request {
        Request {
            unwanted,
            at_most: Keep::ALL,
            needs: needs.to_vec(),
            now: 6 * HOUR,
        }
    }

    fn first(unwanted: Unwanted) -> u32 {
        plan(&files(), 7, &request(unwanted, &[])).first
    }

    #[test]
    fn by_age_size_name_and_time() {
        let hours = |hours: u64| Unwanted::Beyond(Keep::time(Duration::from_secs(hours * 3600)));
        // The first was complete when the second was made, at 2 o'clock.
        assert_eq!(
            [5, 4, 3, 2, 1, 0].map(|h| first(hours(h))),
            [3, 4, 5, 6, 7, 7]
        );
        let bytes = |bytes| Unwanted::Beyond(Keep::size(bytes));
        assert_eq!(
            [500, 499, 400, 399, 100, 0].map(|size| first(bytes(size))),
            [3, 4, 4, 5, 7, 7]
        );
        let both = "2h, 450B".parse().unwrap();
        assert_eq!(first(Unwanted::Beyond(both)), 6);
        assert_eq!(first(Unwanted::Beyond(Keep::ALL)), 3);
        assert_eq!(
            [1, 3, 4, 99].map(|file| first(Unwanted::Before(file))),
            [3, 3, 4, 7]
        );
        let until = |time| first(Unwanted::Until(time));
        assert_eq!(
            [0, 2 * HOUR - 1, 2 * HOUR, u32::MAX].map(until),
            [3, 3, 4, 7]
        );
    }

    #[test]
    fn nothing_goes_that_the_store_or_somebody_needs() {
        let all = Unwanted::Before(99);
        assert_eq!(plan(&files(), 5, &request(all, &[])).first, 5);
        assert_eq!(plan(&files(), 0, &request(all, &[])).first, 0);
        let needs = [need("db2", 6), need("db3", 4)];
        let held = plan(&files(), 7, &request(all, &needs));
        assert_eq!((held.first, held.held_for), (4, needs.to_vec()));
        assert!(held.taken_from.is_empty());
        // Nobody has heard of where it is.
        let held = plan(&files(), 7, &request(all, &[need("db2", 0)]));
        assert_eq!(held.first, 3);
        // What is wanted is held for nobody.
        let wanted = plan(&files(), 7, &request(Unwanted::Before(4), &needs));
        assert_eq!((wanted.first, wanted.held_for), (4, vec![]));
    }

    #[test]
    fn beyond_the_utmost_files_go_though_somebody_needs_them() {
        let needs = [need("db2", 6), need("db3", 4)];
        let mut request = request(Unwanted::Before(7), &needs);
        request.at_most = Keep::size(300);
        let taken = plan(&files(), 7, &request);
        assert_eq!(taken.first, 5);
        assert_eq!(taken.taken_from, needs[1..]);
        assert_eq!(taken.held_for, needs);
        // But not what the store needs.
        assert_eq!(plan(&files(), 4, &request).first, 4);
        // It goes also where more is wanted.
        request.unwanted = Unwanted::Beyond(Keep::ALL);
        assert_eq!(plan(&files(), 7, &request).first, 5);
        // Who is behind for long is not told again.
        request.needs = vec![need("db3", 2)];
        request.at_most = Keep::ALL;
        assert!(plan(&files(), 7, &request).taken_from.is_empty());
    }

    #[test]
    fn an_empty_store_has_nothing_to_purge() {
        let plan = plan(&[], 0, &request(Unwanted::Before(9), &[need("db2", 0)]));
        assert_eq!(plan, Plan::default());
    }

    proptest! {
        #[test]
        fn floors_hold(own in 0u32..9, voters in prop::collection::vec(0u32..9, 0..4), wanted in 0u32..12, most in 0u64..700) {
            let needs: Vec<Need> = voters.iter().map(|file| need("db", *file)).collect();
            let mut request = request(Unwanted::Before(wanted), &needs);
            let least = voters.iter().copied().min().unwrap_or(9);
            let held = plan(&files(), own, &request).first;
            prop_assert!(held <= own && held <= least.max(3) && held <= wanted.max(3));
            request.at_most = Keep::size(most);
            let plan = plan(&files(), own, &request);
            prop_assert!(plan.first <= own);
            if plan.first > least && plan.first > 3 {
                prop_assert!(!plan.taken_from.is_empty());
            }
        }
    }
}
