//! Which transactions are released: the whole decision, without IO and without a clock.
//!
//! ```text
//! captured ─► pending ──(position ≤ what the policy in force holds for)──► released
//! marks, confirm, identified, reconnected, verified, disconnected, set_voters, set_sync, tick: each looks again
//! ```
//!
//! Instants are handed in as a [`Duration`] since any fixed moment; they only have to grow.
//!
//! Invariants:
//! - `released` never goes back, and a step forward ends at or before `written`; in every mode but
//!   `async` also at or before `synced`.
//! - A step forward is covered by the policy in force at that moment: the policy asked for, or
//!   `LOCAL durable` while it is lowered (`on_timeout = "degrade"`).
//! - What is released while the policy asked for does not hold for it is in the degraded list
//!   until that policy holds for it.
//! - A vote is a machine's: it is the word of the machine at the voter's address, or of the newest of its dump
//!   connections, and of nobody else; and it counts only while that machine's own binlog is known to have
//!   what it claims.
//! - Of what a failed fsync took back, nothing is pending and no voter has it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::degraded::{DegradedCommit, DegradedList, Recent};
use super::demand::{Demands, Oldest, Ticket};
use super::policy::{Mode, OnTimeout, Requirement, Sync};
use super::quorum::{self, Confirmed, Missing, Vote, Votes, Word, satisfied};
use super::voter::Voter;
use crate::gtid::{Gtid, Position};
use crate::ids::{Level, Machine, ServerName, StorePosition, Voice};

/// A lowered policy is raised again when the voters have all that was written this long ago. Under
/// load they never have all that is written *now*; whatever they lack then, commits wait for again.
const CAUGHT_UP: Duration = Duration::from_millis(100);

/// What others have to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Released {
        gtid: Arc<Gtid>,
        /// Since it was captured.
        waited: Duration,
        /// Under less than was asked.
        degraded: bool,
    },
    /// The oldest transaction has waited for longer than `timeout`; once until it is released.
    Overdue {
        gtid: Arc<Gtid>,
        waited: Duration,
        waits_for: Missing,
    },
    /// The policy in force has fallen to `LOCAL durable`.
    Lowered { waits_for: Missing },
    /// The policy asked for is in force again.
    Raised,
    /// Released before, and a voter took back what it had confirmed.
    Unconfirmed { gtids: Vec<Arc<Gtid>> },
    /// So many degraded commits have caught up.
    CaughtUp { count: u64 },
    /// What a session asked for beyond the policy holds for its transaction.
    Met { ticket: Ticket, waited: Duration },
    /// So many captured transactions were not stored after all; they come again.
    TakenBack { count: usize },
}

#[derive(Debug)]
struct Pending {
    position: StorePosition,
    gtid: Arc<Gtid>,
    since: Duration,
}

/// The policy in force is `LOCAL durable`, not what was asked for.
#[derive(Clone, Copy, Debug)]
struct Lowered {
    since: Duration,
    /// Where the last transaction written ended a short time ago, and when that was.
    sample: (Duration, StorePosition),
}

#[derive(Debug)]
pub struct Engine {
    sync: Sync,
    /// Of `sync`, with what is implied.
    requirement: Requirement,
    lowered: Option<Lowered>,
    votes: Votes,
    /// The store has told how far it is. Before that, nothing can be released.
    started: bool,
    /// Where the last transaction up to `written` ends; a file's head may follow.
    last_end: StorePosition,
    /// Oldest first, by position.
    pending: VecDeque<Pending>,
    released: StorePosition,
    /// This episode of waiting too long has been reported.
    overdue: bool,
    recent: Recent,
    degraded: DegradedList,
    demands: Demands,
    ignored: u64,
    events: Vec<Event>,
}

/// What a new engine knows from the state file.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    pub released: StorePosition,
    /// Oldest first.
    pub degraded: Vec<DegradedCommit>,
}

impl Engine {
    pub fn new(sync: Sync, voters: Vec<Voter>, restored: Restored) -> Self {
        let mut degraded = DegradedList::default();
        degraded.restore(restored.degraded, restored.released);
        Self {
            requirement: sync.effective(),
            sync,
            lowered: None,
            votes: Votes {
                voters: voters.into_iter().map(Vote::new).collect(),
                ..Votes::default()
            },
            started: false,
            last_end: StorePosition::ZERO,
            pending: VecDeque::new(),
            released: restored.released,
            overdue: false,
            recent: Recent::default(),
            degraded,
            demands: Demands::default(),
            ignored: 0,
            events: Vec::new(),
        }
    }

    /// A whole transaction is in the store's hands, not yet written; before the marks that include
    /// it. After a restart also: one that the store holds and that was not released yet.
    pub fn captured(&mut self, position: StorePosition, gtid: Gtid, now: Duration) {
        debug_assert!(
            (self.pending.back()).is_none_or(|last| last.position < position),
            "captured {position} out of order"
        );
        self.pending.push_back(Pending {
            position,
            gtid: Arc::new(gtid),
            since: now,
        });
        if position <= self.votes.written {
            self.last_end = self.last_end.max(position);
        }
        // After a restart, where the policy asks for no more than our own store.
        if position <= self.released {
            let asked = satisfied(&self.requirement, &self.votes);
            self.release_pending(asked, now);
        }
    }

    /// How far the store is. Every move must be told, in order.
    pub fn marks(&mut self, written: StorePosition, synced: StorePosition, now: Duration) {
        debug_assert!(synced <= written);
        let before = self.votes.written;
        if !self.started {
            self.started = true;
            // After a power cut the store may hold less than was released in `async`; what follows
            // at the same positions has yet to earn its release.
            self.released = self.released.min(written);
        } else if written < before {
            self.take_back(written);
        } else if written.file > before.file {
            // A new file begins when the one before it is whole or cut. Whatever was captured into
            // the old one and is not written now went with a failed fsync.
            let lost = |pending: &Pending| {
                pending.position > before && pending.position.file < written.file
            };
            let count = self.pending.iter().filter(|pending| lost(pending)).count();
            self.pending.retain(|pending| !lost(pending));
            self.note_taken_back(count);
        }
        let mut newest = self.pending.iter().rev();
        if let Some(last) = newest.find(|pending| pending.position <= written) {
            self.last_end = self.last_end.max(last.position);
        }
        self.votes.written = written;
        self.votes.synced = synced;
        self.look(now);
    }

    /// A failed fsync: the store ends at `end`, and what was behind comes again in a new file.
    pub fn cut(&mut self, end: StorePosition, now: Duration) {
        self.take_back(end);
        self.votes.written = self.votes.written.min(end);
        self.votes.synced = self.votes.synced.min(end);
        self.look(now);
    }

    fn take_back(&mut self, end: StorePosition) {
        let kept = self
            .pending
            .partition_point(|pending| pending.position <= end);
        let count = self.pending.len() - kept;
        self.pending.truncate(kept);
        self.demands.take_back(end, self.recent.behind(end));
        self.recent.cut(end);
        let waiting = self.pending.back().map(|pending| pending.position);
        self.last_end = waiting.or(self.recent.last()).unwrap_or_default();
        if let Some(lowered) = &mut self.lowered {
            lowered.sample.1 = lowered.sample.1.min(self.last_end);
        }
        for vote in &mut self.votes.voters {
            vote.confirmed = vote.confirmed.min(end);
            vote.heard = vote.heard.min(end);
        }
        self.note_taken_back(count);
    }

    fn note_taken_back(&mut self, count: usize) {
        if count > 0 {
            self.events.push(Event::TakenBack { count });
        }
    }

    /// `voter` itself said that it has everything up to `position` at `level`. Who is no voter, what
    /// another machine or an older dump says in its name, and what we never had ourselves, does not
    /// count.
    pub fn confirm(
        &mut self,
        voter: &ServerName,
        word: Word<'_>,
        level: Level,
        position: StorePosition,
        now: Duration,
    ) {
        // A reader may see a transaction, and answer, a moment before its marks arrive here.
        if position > self.last_known() {
            self.ignored += 1;
            return;
        }
        let Some(vote) = self.vote(voter).filter(|vote| vote.hears(&word)) else {
            self.ignored += 1;
            return;
        };
        let verified = vote.verified;
        let said = match verified {
            true => vote.confirmed.said(level),
            false => vote.heard.said(level),
        };
        if Some(position) > *said {
            *said = Some(position);
            if verified {
                self.look(now);
            }
        }
    }

    /// Which machine is behind the name. Another one has confirmed nothing: what the name's votes were
    /// worth counts as unconfirmed until this one has said it, too.
    pub fn identified(&mut self, voter: &ServerName, machine: &Machine, now: Duration) {
        let before = self.held_by_enough();
        let Some(vote) = self.vote(voter) else {
            return;
        };
        if vote.machine.as_ref() == Some(machine) {
            return;
        }
        vote.machine = Some(machine.clone());
        vote.fall_silent();
        vote.confirmed = Confirmed::default();
        self.list_unconfirmed(before, now);
        self.look(now);
    }

    /// `voter` asks, with a new dump, for what follows `position`: it has nothing else, and whether it has
    /// everything before is not known until it is [`Self::verified`]. A replica throws away what it had
    /// only received when its threads restart, and may have been moved over that by hand: until then what it
    /// once said lets nothing more out. False where a newer dump of it has come meanwhile.
    #[must_use]
    pub fn reconnected(
        &mut self,
        voter: &ServerName,
        voice: Voice,
        position: StorePosition,
        now: Duration,
    ) -> bool {
        let position = position.min(self.last_known());
        let before = self.held_by_enough();
        let released = self.released();
        let Some(vote) = self.vote(voter) else {
            // Listed, and without a vote.
            return true;
        };
        if vote.voice > Some(voice) {
            return false;
        }
        (vote.voice, vote.connected, vote.verified) = (Some(voice), true, false);
        let said = vote.confirmed.min(position);
        vote.confirmed = said.min(released);
        vote.heard = Confirmed {
            received: Some(position),
            ..said
        };
        self.list_unconfirmed(before, now);
        self.look(now);
        true
    }

    /// Since this dump began, the server's own binlog was walked, and it has all that it claims: its word
    /// counts.
    pub fn verified(&mut self, voter: &ServerName, voice: Voice, now: Duration) {
        if let Some(vote) = self.vote(voter)
            && vote.voice == Some(voice)
            && !vote.verified
        {
            vote.verified = true;
            vote.confirmed = vote.confirmed.max(std::mem::take(&mut vote.heard));
            self.look(now);
        }
    }

    /// This dump is gone, or must not be listened to any more. What it confirmed stays true.
    pub fn disconnected(&mut self, voter: &ServerName, voice: Voice, now: Duration) {
        if let Some(vote) = self.vote(voter)
            && vote.voice == Some(voice)
        {
            vote.fall_silent();
            self.look(now);
        }
    }

    /// The machine at the voter's address has less than it said before: it was set up anew, or its history
    /// was reset. Whatever was received there went with it.
    pub fn fallen(
        &mut self,
        voter: &ServerName,
        machine: &Machine,
        position: StorePosition,
        now: Duration,
    ) {
        let before = self.held_by_enough();
        let Some(vote) = self.vote(voter) else {
            return;
        };
        if vote.hears(&Word::Answer(machine)) {
            vote.confirmed = vote.confirmed.min(position);
            vote.heard = vote.heard.min(position);
            self.list_unconfirmed(before, now);
            self.look(now);
        }
    }

    /// Whether `voter` is, just now, what a voter must be.
    pub fn eligible(&mut self, voter: &ServerName, yes: bool, now: Duration) {
        if let Some(vote) = self.vote(voter)
            && vote.eligible != yes
        {
            vote.eligible = yes;
            self.look(now);
        }
    }

    /// The roster. Who stays keeps what he confirmed; who goes takes his vote along; who becomes the
    /// source, or stops being it, begins anew.
    pub fn set_voters(&mut self, voters: Vec<Voter>, now: Duration) {
        let before = self.held_by_enough();
        let mut old = std::mem::take(&mut self.votes.voters);
        let stays = |vote: &Vote| {
            let same = |voter: &Voter| {
                voter.name == vote.voter.name && voter.is_source == vote.voter.is_source
            };
            voters.iter().any(same)
        };
        old.retain(stays);
        // First only without those who go: that takes votes back. New seats do not.
        self.votes.voters = old.clone();
        self.list_unconfirmed(before, now);
        self.votes.voters = voters
            .into_iter()
            .map(
                |voter| match old.iter().position(|v| v.voter.name == voter.name) {
                    Some(index) => Vote {
                        voter,
                        ..old.swap_remove(index)
                    },
                    None => Vote::new(voter),
                },
            )
            .collect();
        self.look(now);
    }

    /// A new policy is in force at once, for all that is not released yet.
    pub fn set_sync(&mut self, sync: Sync, now: Duration) {
        if sync == self.sync {
            return;
        }
        self.requirement = sync.effective();
        self.sync = sync;
        self.lowered = None;
        self.overdue = false;
        self.look(now);
    }

    /// To be called every few milliseconds: this is where waiting too long is noticed.
    pub fn tick(&mut self, now: Duration) {
        if let Some(lowered) = &mut self.lowered
            && now.saturating_sub(lowered.sample.0) >= CAUGHT_UP
        {
            lowered.sample = (now, self.last_end);
        }
        self.look(now);
        let timeout = self.sync.timeout;
        let late = |oldest: &&Pending| now.saturating_sub(oldest.since) >= timeout;
        let Some(oldest) = self.pending.front().filter(late) else {
            self.overdue = false;
            return;
        };
        let waited = now.saturating_sub(oldest.since);
        let (position, gtid) = (oldest.position, Arc::clone(&oldest.gtid));
        let waits_for = self.missing(position);
        if self.may_lower(position) {
            let sample = (now, self.last_end);
            self.lowered = Some(Lowered { since: now, sample });
            self.events.push(Event::Lowered { waits_for });
            self.look(now);
        } else if !self.overdue {
            self.overdue = true;
            self.events.push(Event::Overdue {
                gtid,
                waited,
                waits_for,
            });
        }
    }

    /// Lowering is for missing voters; it does not help where our own disk is what is missing.
    fn may_lower(&self, position: StorePosition) -> bool {
        self.sync.on_timeout == OnTimeout::Degrade
            && self.sync.mode != Mode::Async
            && self.lowered.is_none()
            && satisfied(&Requirement::LOCAL_DURABLE, &self.votes) >= Some(position)
    }

    /// Looks at everything again; whatever has changed, this is all that follows from it.
    fn look(&mut self, now: Duration) {
        if !self.started {
            return;
        }
        let asked = satisfied(&self.requirement, &self.votes);
        if self.lowered.is_some_and(|low| asked >= Some(low.sample.1)) {
            self.lowered = None;
            self.events.push(Event::Raised);
        }
        let in_force = match self.lowered {
            None => asked,
            Some(_) => satisfied(&Requirement::LOCAL_DURABLE, &self.votes),
        };
        if let Some(position) = in_force {
            self.release(position.min(self.votes.written), asked, now);
        }
        let count = self.degraded.settle(&self.requirement, &self.votes);
        if count > 0 {
            self.events.push(Event::CaughtUp { count });
        }
        for (ticket, since) in self.demands.settle(&self.votes) {
            let waited = now.saturating_sub(since);
            self.events.push(Event::Met { ticket, waited });
        }
    }

    /// A session asks for more than the policy: [`Event::Met`] tells when `requirement` holds for this
    /// transaction and everything before it.
    pub fn ask(&mut self, gtid: &Gtid, requirement: &Requirement, now: Duration) -> Ticket {
        let waits = self.pending.iter().any(|pending| *pending.gtid == *gtid);
        // One that is not known any more was released long ago, so before the last one that was.
        let known = || self.recent.find(gtid).unwrap_or(self.released);
        let position = (!waits).then(known);
        let ticket = self.demands.ask(gtid, requirement, position, now);
        self.look(now);
        ticket
    }

    /// The one of `position`, all of which is released, that was released last. Where that was long ago or before the
    /// start, any of it: it is asked for like what is released.
    pub fn last_of(&self, position: &Position) -> Option<Gtid> {
        let newest = self.recent.newest_of(|gtid| position.contains(gtid));
        newest
            .map(|gtid| Gtid::clone(gtid))
            .or_else(|| position.any())
    }

    /// Whoever asked does not wait any more.
    pub fn leave(&mut self, ticket: Ticket) {
        self.demands.leave(ticket);
    }

    fn release(&mut self, up_to: StorePosition, asked: Option<StorePosition>, now: Duration) {
        if up_to <= self.released {
            return;
        }
        debug_assert!(self.sync.mode == Mode::Async || up_to <= self.votes.synced);
        self.released = up_to;
        self.release_pending(asked, now);
    }

    fn release_pending(&mut self, asked: Option<StorePosition>, now: Duration) {
        let released = self.released;
        let due = |oldest: &Pending| oldest.position <= released;
        while self.pending.front().is_some_and(due)
            && let Some(oldest) = self.pending.pop_front()
        {
            let Pending {
                position,
                gtid,
                since,
            } = oldest;
            let degraded = Some(position) > asked;
            if degraded {
                self.degraded.add(&self.requirement, position, &gtid, now);
            }
            self.demands.released(&gtid, position);
            self.recent.push(position, Arc::clone(&gtid));
            self.events.push(Event::Released {
                gtid,
                waited: now.saturating_sub(since),
                degraded,
            });
        }
    }

    /// Up to where enough voters have it, whoever is connected: what a taken-back vote is judged by.
    fn held_by_enough(&self) -> Option<StorePosition> {
        satisfied(&self.requirement.whoever_is_connected(), &self.votes)
    }

    /// Promise 4: what was released and has lost its vote counts as degraded until it is confirmed
    /// again.
    fn list_unconfirmed(&mut self, before: Option<StorePosition>, now: Duration) {
        let after = self.held_by_enough();
        let Some(up_to) = before.filter(|before| Some(*before) > after) else {
            return;
        };
        let owed = self.requirement.whoever_is_connected();
        let mut gtids = Vec::new();
        for (position, gtid) in self.recent.between(after, up_to) {
            if self.degraded.add(&owed, *position, gtid, now) {
                gtids.push(Arc::clone(gtid));
            }
        }
        if !gtids.is_empty() {
            self.events.push(Event::Unconfirmed { gtids });
        }
    }

    fn vote(&mut self, name: &ServerName) -> Option<&mut Vote> {
        let mut votes = self.votes.voters.iter_mut();
        votes.find(|vote| vote.voter.name == *name)
    }

    /// The end of the last transaction that is ours, written or about to be.
    fn last_known(&self) -> StorePosition {
        let captured = self.pending.back().map(|pending| pending.position);
        captured.unwrap_or_default().max(self.votes.written)
    }

    fn missing(&self, position: StorePosition) -> Missing {
        quorum::missing(&self.requirement, &self.votes, position).unwrap_or_default()
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub fn released(&self) -> StorePosition {
        self.released
    }

    /// Up to where the source may be told that a replica has it: released, and on our disk unless
    /// nobody asked for that. None before the store has told how far it is.
    pub fn acknowledgeable(&self) -> Option<StorePosition> {
        let stored = match self.sync.mode {
            Mode::Async => self.votes.written,
            _ => self.votes.synced,
        };
        self.started.then(|| self.released.min(stored))
    }

    pub fn sync(&self) -> &Sync {
        &self.sync
    }

    /// What a commit is held to now.
    pub fn in_force(&self) -> &Requirement {
        match self.lowered {
            None => &self.requirement,
            Some(_) => &Requirement::LOCAL_DURABLE,
        }
    }

    pub fn lowered_since(&self) -> Option<Duration> {
        self.lowered.map(|lowered| lowered.since)
    }

    pub fn is_overdue(&self) -> bool {
        self.overdue
    }

    /// Whether anything waits for what replicas have applied.
    pub fn applied_wanted(&self) -> bool {
        self.requirement.uses(Level::Applied)
            || self.degraded.uses(Level::Applied)
            || self.demands.uses(Level::Applied)
    }

    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// The transaction that waits longest: what it is, since when, and for whom.
    pub fn oldest(&self) -> Option<(Arc<Gtid>, Duration, Missing)> {
        self.pending.front().map(|oldest| {
            let missing = self.missing(oldest.position);
            (Arc::clone(&oldest.gtid), oldest.since, missing)
        })
    }

    /// How many sessions wait for what they asked for themselves.
    pub fn asking(&self) -> usize {
        self.demands.len()
    }

    /// The one among them that waits longest: since when, and for whom.
    pub fn oldest_asking(&self) -> Option<(Duration, Missing)> {
        let Oldest {
            since,
            requirement,
            position,
        } = self.demands.oldest()?;
        // One that has to come again lacks everybody.
        let position = position.unwrap_or(StorePosition::new(u32::MAX, u64::MAX));
        let missing = quorum::missing(&requirement, &self.votes, position);
        Some((since, missing.unwrap_or_default()))
    }

    pub fn waiting_since(&self) -> Option<Duration> {
        self.pending.front().map(|oldest| oldest.since)
    }

    pub fn votes(&self) -> &Votes {
        &self.votes
    }

    /// Oldest first; the newest [`super::degraded::LISTED`].
    pub fn degraded(&self) -> Vec<DegradedCommit> {
        self.degraded.list()
    }

    /// Listed or not.
    pub fn degraded_count(&self) -> u64 {
        self.degraded.count()
    }

    /// All that ever were, since the list that was restored.
    pub fn degraded_total(&self) -> u64 {
        self.degraded.total()
    }

    /// Confirmations that named a position beyond ours, or came from who is no voter.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
