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
    /// What it fell short of. Not known of a commit in a state file of before it was kept there.
    pub owed: Option<Requirement>,
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

/// Those of before our start to which the same was owed. Where each ends is not known.
#[derive(Debug)]
struct Restored {
    owed: Option<Requirement>,
    /// Oldest first.
    commits: VecDeque<DegradedCommit>,
    unlisted: u64,
}

impl Restored {
    fn count(&self) -> u64 {
        self.commits.len() as u64 + self.unlisted
    }

    /// Whether all of them have caught up, which end at or before this position.
    fn is_settled(&self, up_to: StorePosition, base: &Requirement, votes: &Votes) -> bool {
        let owed = match &self.owed {
            Some(owed) => owed,
            // `async` owes nothing and so proves nothing.
            None if *base == Requirement::LOCAL_RECEIVED => return false,
            None => base,
        };
        satisfied(owed, votes) >= Some(up_to)
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
    restored: Vec<Restored>,
    restored_up_to: StorePosition,
    total: u64,
}

impl DegradedList {
    pub(super) fn restore(&mut self, commits: Vec<DegradedCommit>, up_to: StorePosition) {
        self.total = commits.len() as u64;
        self.restored_up_to = up_to;
        for commit in commits {
            let same = self.restored.iter_mut().find(|own| own.owed == commit.owed);
            match same {
                Some(own) => own.commits.push_back(commit),
                None => self.restored.push(Restored {
                    owed: commit.owed.clone(),
                    commits: VecDeque::from([commit]),
                    unlisted: 0,
                }),
            }
        }
        while self.restored_listed() > LISTED && self.forget_restored() {}
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

    fn restored_listed(&self) -> usize {
        self.restored.iter().map(|own| own.commits.len()).sum()
    }

    /// The oldest of before our start leaves the list; false where none is on it.
    fn forget_restored(&mut self) -> bool {
        let oldest = self
            .restored
            .iter_mut()
            .filter(|own| !own.commits.is_empty())
            .min_by_key(|own| own.commits.front().map(|commit| commit.at));
        match oldest {
            Some(own) => {
                own.commits.pop_front();
                own.unlisted += 1;
                true
            }
            None => false,
        }
    }

    /// The oldest one of all makes room.
    fn bound(&mut self) {
        let listed: usize = self.owed.iter().map(|owed| owed.commits.len()).sum();
        if listed + self.restored_listed() <= LISTED || self.forget_restored() {
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
        let up_to = self.restored_up_to;
        self.restored.retain(|own| {
            let is_settled = own.is_settled(up_to, base, votes);
            settled += if is_settled { own.count() } else { 0 };
            !is_settled
        });
        settled
    }

    pub(super) fn uses(&self, level: Level) -> bool {
        let restored = self.restored.iter().filter_map(|own| own.owed.as_ref());
        let owed = self.owed.iter().map(|own| &own.requirement);
        owed.chain(restored).any(|owed| owed.uses(level))
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
        owed + self.restored.iter().map(Restored::count).sum::<u64>()
    }

    /// All that ever were on it.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Oldest first.
    pub(super) fn list(&self) -> Vec<DegradedCommit> {
        let mut known: Vec<_> = self
            .owed
            .iter()
            .flat_map(|own| {
                own.commits
                    .iter()
                    .map(move |entry| (&own.requirement, entry))
            })
            .collect();
        known.sort_unstable_by_key(|(_, (position, _))| **position);
        let known = known.into_iter().map(|(owed, (_, entry))| DegradedCommit {
            gtid: entry.gtid.clone(),
            at: entry.at,
            owed: Some(owed.clone()),
        });
        let restored = self.restored.iter().flat_map(|own| &own.commits);
        let mut restored: Vec<_> = restored.cloned().collect();
        restored.sort_by_key(|commit| commit.at);
        restored.into_iter().chain(known).collect()
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

    pub(super) fn newest_of(&self, wanted: impl Fn(&Gtid) -> bool) -> Option<&Arc<Gtid>> {
        let mut newest = self.0.iter().rev().map(|(_, gtid)| gtid);
        newest.find(|gtid| wanted(gtid))
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
