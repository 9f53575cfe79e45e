//! From what everybody said to what is released. A pure state machine: positions and instants go in,
//! [`Outcome`]s come out; it does no IO and knows no clock.
//!
//! Invariants, checked after every input in debug builds:
//! - `released` never goes back.
//! - `released <= written`, and `released <= synced` whenever it moved under a policy that is not
//!   `LOCAL received`.
//! - It moves only to where the policy in force holds ([`Engine::may_be_released`]).
//! - What was released under less than the policy asked for is on the degraded list until the policy
//!   itself holds for it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::policy::{OnTimeout, Requirement, Sync};
use super::quorum::{self, Voter, Votes};
use crate::gtid::Gtid;
use crate::ids::{Level, ServerName, StorePosition};

/// Time since the process started; handed in, never read.
pub type Instant = Duration;

/// How many degraded commits are kept by name; beyond that they are counted only.
pub const DEGRADED_KEPT: usize = 10_000;

/// A transaction that is in our store and not yet released.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    end: StorePosition,
    gtid: Gtid,
    since: Instant,
}

/// A commit that returned under a weaker policy than asked, or whose votes were taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    pub gtid: Gtid,
    pub end: StorePosition,
}

/// What happened that somebody should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Commits wait for longer than `timeout`; said once an episode.
    TimedOut { oldest: Gtid },
    /// The policy in force is now `LOCAL durable`.
    DegradedBegins { oldest: Gtid },
    /// The voters have caught up.
    DegradedEnds,
}

/// What one input led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Released by it, oldest first.
    pub released: Vec<Gtid>,
    pub notices: Vec<Notice>,
}

/// Whether the policy of the config is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    Full,
    /// Lowered to `LOCAL durable` until the voters have caught up.
    Lowered,
}

#[derive(Debug)]
pub struct Engine {
    sync: Sync,
    votes: Votes,
    force: Force,
    released: StorePosition,
    pending: VecDeque<Pending>,
    degraded: VecDeque<Degraded>,
    /// All that ever were, also those that fell off the list.
    degraded_total: u64,
    /// Said for the present episode of waiting.
    warned: bool,
    refused_confirmations: u64,
}

impl Engine {
    pub fn new(
        sync: Sync,
        voters: Vec<Voter>,
        released: StorePosition,
        degraded: Vec<Degraded>,
    ) -> Self {
        let total = degraded.len() as u64;
        Self {
            sync,
            votes: Votes {
                voters,
                ..Votes::default()
            },
            force: Force::Full,
            released,
            pending: VecDeque::new(),
            degraded: degraded.into(),
            degraded_total: total,
            warned: false,
            refused_confirmations: 0,
        }
    }

    /// A transaction is in the store and ends at `end`; not necessarily written yet.
    pub fn captured(&mut self, end: StorePosition, gtid: Gtid, now: Instant) {
        debug_assert!(self.pending.back().is_none_or(|last| last.end < end));
        if end > self.released {
            self.pending.push_back(Pending {
                end,
                gtid,
                since: now,
            });
        }
    }

    /// How far our own store is.
    pub fn marks(
        &mut self,
        written: StorePosition,
        synced: StorePosition,
        now: Instant,
    ) -> Outcome {
        self.votes.written = written;
        self.votes.synced = synced.min(written);
        self.advance(now)
    }

    /// A failed fsync took back everything past `end`: it comes again under other positions.
    pub fn cut(&mut self, end: StorePosition) {
        self.votes.written = self.votes.written.min(end);
        self.votes.synced = self.votes.synced.min(end);
        self.pending.retain(|pending| pending.end <= end);
        for confirmed in self.votes.confirmed.values_mut() {
            for position in [
                &mut confirmed.received,
                &mut confirmed.durable,
                &mut confirmed.applied,
            ] {
                *position = position.map(|position| position.min(end));
            }
        }
    }

    /// A voter said so itself. What was not written cannot have been received: such a word counts for
    /// nothing.
    pub fn confirm(
        &mut self,
        voter: &ServerName,
        level: Level,
        position: StorePosition,
        now: Instant,
    ) -> Outcome {
        if position > self.votes.written {
            self.refused_confirmations += 1;
            return Outcome::default();
        }
        let confirmed = self.votes.confirmed.entry(voter.clone()).or_default();
        let known = match level {
            Level::Received => &mut confirmed.received,
            Level::Durable => &mut confirmed.durable,
            Level::Applied => &mut confirmed.applied,
        };
        if *known >= Some(position) {
            return Outcome::default();
        }
        *known = Some(position);
        self.advance(now)
    }

    /// A replica came again and asked for what follows `position`: more than that it does not have,
    /// whatever it said before (it may have thrown its relay log away).
    pub fn reconnected(
        &mut self,
        voter: &ServerName,
        position: StorePosition,
        now: Instant,
    ) -> Outcome {
        let position = position.min(self.votes.written);
        let confirmed = self.votes.confirmed.entry(voter.clone()).or_default();
        confirmed.received = Some(position);
        confirmed.durable = confirmed.durable.map(|durable| durable.min(position));
        confirmed.applied = confirmed.applied.map(|applied| applied.min(position));
        self.advance(now)
    }

    /// Only FIRST asks who is there; what a voter confirmed stays true while it is away.
    pub fn connected(&mut self, voter: &ServerName, yes: bool, now: Instant) -> Outcome {
        self.votes
            .confirmed
            .entry(voter.clone())
            .or_default()
            .connected = yes;
        self.advance(now)
    }

    pub fn set_voters(&mut self, voters: Vec<Voter>, now: Instant) -> Outcome {
        self.votes
            .confirmed
            .retain(|name, _| voters.iter().any(|voter| voter.name == *name));
        self.votes.voters = voters;
        self.advance(now)
    }

    /// Weaker releases at once; stronger holds for what is not released yet.
    pub fn set_sync(&mut self, sync: Sync, now: Instant) -> Outcome {
        self.sync = sync;
        self.force = Force::Full;
        self.warned = false;
        self.advance(now)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Outcome {
        self.advance(now)
    }

    /// **May this ack go out?** Up to here, and not a byte further: what the policy in force holds for,
    /// within what is written, and fsynced in every mode but `async`.
    fn may_be_released(&self) -> StorePosition {
        let lowered = Requirement::Local(Level::Durable);
        let in_force = match self.force {
            Force::Full => &self.sync.require,
            Force::Lowered => &lowered,
        };
        let holds = quorum::satisfied(in_force, &self.votes).unwrap_or(StorePosition::ZERO);
        holds.max(self.released)
    }

    /// Where the policy of the config holds, whatever is in force.
    fn asked_for(&self) -> StorePosition {
        quorum::satisfied(&self.sync.require, &self.votes).unwrap_or(StorePosition::ZERO)
    }

    fn advance(&mut self, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        self.expire(now, &mut outcome);
        let before = self.released;
        self.released = self.may_be_released();
        let asked_for = self.asked_for();
        while let Some(pending) = self.pending.front() {
            if pending.end > self.released {
                break;
            }
            let Some(Pending { end, gtid, .. }) = self.pending.pop_front() else {
                break;
            };
            if end > asked_for {
                self.degraded_total += 1;
                self.list(Degraded {
                    gtid: gtid.clone(),
                    end,
                });
            }
            outcome.released.push(gtid);
        }
        if !outcome.released.is_empty() {
            self.warned = false;
        }
        self.degraded.retain(|commit| commit.end > asked_for);
        if self.force == Force::Lowered && asked_for >= self.votes.written {
            self.force = Force::Full;
            outcome.notices.push(Notice::DegradedEnds);
        }
        debug_assert!(self.released >= before);
        outcome
    }

    /// The first expiry warns, or lowers the policy in force.
    fn expire(&mut self, now: Instant, outcome: &mut Outcome) {
        let Some(oldest) = self.pending.front() else {
            return;
        };
        if self.warned
            || now.saturating_sub(oldest.since) < self.sync.timeout
            || oldest.end <= self.may_be_released()
        {
            return;
        }
        let oldest = oldest.gtid.clone();
        self.warned = true;
        match (self.sync.on_timeout, self.force) {
            // Our own disk keeps it waiting: there is nothing weaker to fall back to.
            (OnTimeout::Degrade, Force::Full) => {
                self.force = Force::Lowered;
                outcome.notices.push(Notice::DegradedBegins { oldest });
            }
            _ => outcome.notices.push(Notice::TimedOut { oldest }),
        }
    }

    fn list(&mut self, commit: Degraded) {
        if self.degraded.len() == DEGRADED_KEPT {
            self.degraded.pop_front();
        }
        self.degraded.push_back(commit);
    }

    pub fn released(&self) -> StorePosition {
        self.released
    }

    pub fn sync(&self) -> &Sync {
        &self.sync
    }

    pub fn votes(&self) -> &Votes {
        &self.votes
    }

    pub fn is_degraded(&self) -> bool {
        self.force == Force::Lowered
    }

    pub fn degraded(&self) -> impl Iterator<Item = &Degraded> {
        self.degraded.iter()
    }

    pub fn degraded_total(&self) -> u64 {
        self.degraded_total
    }

    /// How many transactions wait, and since when the oldest does.
    pub fn waiting(&self) -> (usize, Option<Instant>) {
        (
            self.pending.len(),
            self.pending.front().map(|pending| pending.since),
        )
    }

    /// The voters that keep the oldest waiting transaction from being released.
    pub fn waits_for(&self) -> Vec<ServerName> {
        match self.pending.front() {
            Some(pending) => quorum::missing(&self.sync.require, &self.votes, pending.end)
                .into_iter()
                .cloned()
                .collect(),
            None => Vec::new(),
        }
    }

    /// Votes by name, for `status`.
    pub fn confirmed(&self) -> &BTreeMap<ServerName, quorum::Confirmed> {
        &self.votes.confirmed
    }
}
