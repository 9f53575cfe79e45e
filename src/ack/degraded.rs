//! Commits that returned under less than was asked: listed by GTID until they have caught up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::policy::Requirement;
use super::quorum::{Votes, satisfied};
use crate::gtid::Gtid;
use crate::ids::{Level, StorePosition};

/// The newest so many are listed by name; older ones are only counted, in memory and on disk.
pub const LISTED: usize = 10_000;

/// One of them, as `status` lists it and the state file keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DegradedCommit {
    pub gtid: Gtid,
    /// Since the Unix epoch: when it was answered, or when its vote was taken back.
    pub at: Duration,
}

#[derive(Debug)]
struct Entry {
    gtid: Gtid,
    at: Duration,
}

/// Those to which the same was owed.
#[derive(Debug)]
struct Owed {
    requirement: Requirement,
    commits: BTreeMap<StorePosition, Entry>,
    /// How many older ones fell out of the list, and where the newest of them ends.
    unlisted: u64,
    unlisted_up_to: StorePosition,
}

impl Owed {
    fn is_settled(&self) -> bool {
        self.commits.is_empty() && self.unlisted == 0
    }

    fn settle(&mut self, up_to: StorePosition) -> u64 {
        let mut settled = 0;
        if self.unlisted > 0 && self.unlisted_up_to <= up_to {
            settled += std::mem::take(&mut self.unlisted);
        }
        while let Some(oldest) = self.commits.first_entry() {
            if *oldest.key() > up_to {
                break;
            }
            oldest.remove();
            settled += 1;
        }
        settled
    }
}

/// The list. Each commit stays until *its own* requirement holds for it, whatever the policy has
/// become meanwhile: a change to `async` does not make the replicas have it.
///
/// Whatever is in it was fsynced here when it was added (`async` owes nothing), so no failed fsync
/// takes a position in it back.
#[derive(Debug, Default)]
pub(super) struct DegradedList {
    /// Few: one for each policy that was in force lately.
    owed: Vec<Owed>,
    /// From before our start: positions are not known, and they all end at or before this one.
    restored: VecDeque<DegradedCommit>,
    restored_unlisted: u64,
    restored_up_to: StorePosition,
    total: u64,
}

impl DegradedList {
    pub(super) fn restore(&mut self, commits: Vec<DegradedCommit>, up_to: StorePosition) {
        self.total = commits.len() as u64;
        self.restored = commits.into();
        while self.restored.len() > LISTED {
            self.restored.pop_front();
            self.restored_unlisted += 1;
        }
        self.restored_up_to = up_to;
    }

    /// False where it is listed already.
    pub(super) fn add(
        &mut self,
        owed: &Requirement,
        position: StorePosition,
        gtid: &Gtid,
        at: Duration,
    ) -> bool {
        let listed = |owed: &Owed| owed.commits.contains_key(&position);
        if self.owed.iter().any(listed) {
            return false;
        }
        self.total += 1;
        let entry = Entry {
            gtid: gtid.clone(),
            at,
        };
        match self.owed.iter_mut().find(|own| own.requirement == *owed) {
            Some(own) => {
                own.commits.insert(position, entry);
            }
            None => self.owed.push(Owed {
                requirement: owed.clone(),
                commits: BTreeMap::from([(position, entry)]),
                unlisted: 0,
                unlisted_up_to: StorePosition::ZERO,
            }),
        }
        self.bound();
        true
    }

    /// The oldest one of all makes room.
    fn bound(&mut self) {
        let listed: usize = self.owed.iter().map(|owed| owed.commits.len()).sum();
        if listed + self.restored.len() <= LISTED {
            return;
        }
        if self.restored.pop_front().is_some() {
            self.restored_unlisted += 1;
            return;
        }
        let oldest = self
            .owed
            .iter_mut()
            .filter(|owed| !owed.commits.is_empty())
            .min_by_key(|owed| owed.commits.keys().next().copied());
        if let Some(owed) = oldest
            && let Some((position, _)) = owed.commits.pop_first()
        {
            owed.unlisted += 1;
            owed.unlisted_up_to = owed.unlisted_up_to.max(position);
        }
    }

    /// Takes off what has caught up; how many.
    pub(super) fn settle(&mut self, base: &Requirement, votes: &Votes) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let mut settled = 0;
        for owed in &mut self.owed {
            if let Some(up_to) = satisfied(&owed.requirement, votes) {
                settled += owed.settle(up_to);
            }
        }
        self.owed.retain(|owed| !owed.is_settled());
        // What was owed to these is not known any more; `async` owes nothing and so proves nothing.
        let proves = *base != Requirement::LOCAL_RECEIVED;
        let restored = self.restored.len() as u64 + self.restored_unlisted;
        if restored > 0 && proves && satisfied(base, votes) >= Some(self.restored_up_to) {
            self.restored.clear();
            self.restored_unlisted = 0;
            settled += restored;
        }
        settled
    }

    pub(super) fn uses(&self, level: Level) -> bool {
        self.owed.iter().any(|owed| owed.requirement.uses(level))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty() && self.count() == 0
    }

    /// Listed or not.
    pub(super) fn count(&self) -> u64 {
        let owed = self.owed.iter();
        let owed: u64 = owed
            .map(|owed| owed.commits.len() as u64 + owed.unlisted)
            .sum();
        owed + self.restored.len() as u64 + self.restored_unlisted
    }

    /// All that ever were on it.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Oldest first.
    pub(super) fn list(&self) -> Vec<DegradedCommit> {
        let mut known: Vec<(&StorePosition, &Entry)> = self
            .owed
            .iter()
            .flat_map(|owed| owed.commits.iter())
            .collect();
        known.sort_unstable_by_key(|(position, _)| **position);
        let known = known.into_iter().map(|(_, entry)| DegradedCommit {
            gtid: entry.gtid.clone(),
            at: entry.at,
        });
        self.restored.iter().cloned().chain(known).collect()
    }
}

/// The last transactions released, for the case that a voter takes back what it confirmed.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(StorePosition, Arc<Gtid>)>);

impl Recent {
    pub(super) fn push(&mut self, position: StorePosition, gtid: Arc<Gtid>) {
        if self.0.len() == LISTED {
            self.0.pop_front();
        }
        self.0.push_back((position, gtid));
    }

    /// Those that end after `after` and not after `up_to`.
    pub(super) fn between(
        &self,
        after: Option<StorePosition>,
        up_to: StorePosition,
    ) -> impl Iterator<Item = &(StorePosition, Arc<Gtid>)> {
        let first = self.0.partition_point(|(end, _)| Some(*end) <= after);
        self.0
            .range(first..)
            .take_while(move |(end, _)| *end <= up_to)
    }

    /// Those that end after `end`.
    pub(super) fn behind(&self, end: StorePosition) -> impl Iterator<Item = &Arc<Gtid>> {
        let first = self.0.partition_point(|(own, _)| *own <= end);
        self.0.range(first..).map(|(_, gtid)| gtid)
    }

    /// Where this one ends; the newest are looked at first.
    pub(super) fn find(&self, gtid: &Gtid) -> Option<StorePosition> {
        let mut newest = self.0.iter().rev();
        newest.find(|(_, own)| **own == *gtid).map(|(end, _)| *end)
    }

    pub(super) fn newest(&self) -> Option<&Arc<Gtid>> {
        self.0.back().map(|(_, gtid)| gtid)
    }

    /// Where the newest of them ends.
    pub(super) fn last(&self) -> Option<StorePosition> {
        self.0.back().map(|(end, _)| *end)
    }

    pub(super) fn cut(&mut self, end: StorePosition) {
        while self.0.back().is_some_and(|(last, _)| *last > end) {
            self.0.pop_back();
        }
    }
}
