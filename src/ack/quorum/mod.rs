//! From what each voter confirmed to the position up to which a requirement holds. Pure arithmetic.
//!
//! Each voter's confirmation is a position, meaning all up to there, so each condition is one too:
//! `ANY k` is the k-th largest, `ALL` and `AND` the smallest, `OR` the largest. "No position" (never
//! heard of, or too few voters) is less than every position and holds for nothing.
//!
//! Invariants (tested): the result never falls when a voter's position rises, and it is never above
//! what enough voters confirmed.

use std::cmp::Reverse;
use std::fmt;
use std::num::NonZeroUsize;

use super::policy::{Requirement, Who};
use super::voter::Voter;
use crate::ids::{Level, Machine, ServerName, StorePosition, Voice};

/// What one server itself said it has, per level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    pub received: Option<StorePosition>,
    pub durable: Option<StorePosition>,
    pub applied: Option<StorePosition>,
}

impl Confirmed {
    /// What counts at `level`: whatever is durable or applied has been received; but applied is not
    /// durable.
    pub fn at(&self, level: Level) -> Option<StorePosition> {
        match level {
            Level::Received => self.received.max(self.durable).max(self.applied),
            Level::Durable => self.durable,
            Level::Applied => self.applied,
        }
    }

    /// The farther of both, level by level.
    pub fn max(self, other: Self) -> Self {
        Self {
            received: self.received.max(other.received),
            durable: self.durable.max(other.durable),
            applied: self.applied.max(other.applied),
        }
    }

    /// Nothing beyond `position`.
    pub fn min(self, position: StorePosition) -> Self {
        let least = |said: Option<StorePosition>| said.map(|said| said.min(position));
        Self {
            received: least(self.received),
            durable: least(self.durable),
            applied: least(self.applied),
        }
    }

    /// Exactly what was said for `level`.
    pub fn said(&mut self, level: Level) -> &mut Option<StorePosition> {
        match level {
            Level::Received => &mut self.received,
            Level::Durable => &mut self.durable,
            Level::Applied => &mut self.applied,
        }
    }
}

/// How a server said something of itself.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// Over a dump connection of ours.
    Dump(Voice),
    /// Asked at its address, where this machine was.
    Answer(&'a Machine),
}

/// A voter and all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub voter: Voter,
    /// `FIRST` skips who is not. What it confirmed stays true.
    pub connected: bool,
    /// Whether it is, just now, what a voter must be. Who is not keeps its seat, so a majority does
    /// not shrink, but what it confirmed does not count.
    pub eligible: bool,
    /// Whose word counts: that of the machine at its address,
    pub machine: Option<Machine>,
    /// and that of its newest dump connection.
    pub voice: Option<Voice>,
    /// Whether its own binlog was walked since that dump began, and has all that it claims.
    pub verified: bool,
    pub confirmed: Confirmed,
    /// What it said since that dump began, while it was not verified.
    pub heard: Confirmed,
}

/// What the dump of a server is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// None of its dumps has begun.
    Silent,
    /// Its binlog was not walked since its dump began.
    Unverified(Voice),
    Counts,
}

impl Vote {
    pub fn new(voter: Voter) -> Self {
        Self {
            voter,
            connected: false,
            eligible: true,
            machine: None,
            voice: None,
            verified: false,
            confirmed: Confirmed::default(),
            heard: Confirmed::default(),
        }
    }

    /// Nobody speaks for it.
    pub fn fall_silent(&mut self) {
        (self.voice, self.connected, self.verified) = (None, false, false);
        self.heard = Confirmed::default();
    }

    pub fn speech(&self) -> Speech {
        match self.voice {
            None => Speech::Silent,
            Some(voice) if !self.verified => Speech::Unverified(voice),
            Some(_) => Speech::Counts,
        }
    }

    /// Whether it is this server that speaks.
    pub fn hears(&self, word: &Word<'_>) -> bool {
        match word {
            Word::Dump(voice) => self.voice == Some(*voice),
            Word::Answer(machine) => self.machine.as_ref() == Some(machine),
        }
    }

    fn at(&self, level: Level) -> Option<StorePosition> {
        self.eligible.then(|| self.confirmed.at(level)).flatten()
    }

    fn is_among(&self, among: &[Who]) -> bool {
        let (name, zone) = (&self.voter.name, self.voter.zone.as_ref());
        !self.voter.is_source && among.iter().any(|who| who.matches(name, zone))
    }
}

/// Everything that a requirement is judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// Our own store: handed to the kernel. The source has sent us as much, so it has it.
    pub written: StorePosition,
    /// Our own store: fsynced.
    pub synced: StorePosition,
    /// In the order of the config.
    pub voters: Vec<Vote>,
}

impl Votes {
    /// Each voter of `among` once; not the source.
    fn members<'a>(&'a self, among: &'a [Who]) -> impl Iterator<Item = &'a Vote> {
        self.voters.iter().filter(|vote| vote.is_among(among))
    }

    /// In the order of `among`, and within a zone or `*` in that of the config.
    fn first<'a>(&'a self, count: NonZeroUsize, among: &'a [Who]) -> Vec<&'a Vote> {
        let mut first: Vec<&Vote> = Vec::with_capacity(count.get().min(self.voters.len()));
        for who in among {
            for vote in self.members(std::slice::from_ref(who)) {
                if first.len() == count.get() {
                    return first;
                }
                let seen = first
                    .iter()
                    .any(|other| other.voter.name == vote.voter.name);
                if vote.connected && vote.eligible && !seen {
                    first.push(vote);
                }
            }
        }
        first
    }

    fn source_or_voter(&self, vote: &Vote, level: Level) -> Option<StorePosition> {
        if vote.voter.is_source {
            Some(self.written)
        } else {
            vote.at(level)
        }
    }

    fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }
}

/// The position up to which `requirement` holds; none where it holds for nothing.
pub fn satisfied(requirement: &Requirement, votes: &Votes) -> Option<StorePosition> {
    match requirement {
        Requirement::Local(Level::Received) => Some(votes.written),
        Requirement::Local(_) => Some(votes.synced),
        Requirement::Any {
            count,
            among,
            level,
        } => {
            let positions = votes.members(among).map(|vote| vote.at(*level));
            largest(count.get(), positions.collect())
        }
        Requirement::First {
            count,
            among,
            level,
        } => {
            let first = votes.first(*count, among);
            if first.len() < count.get() {
                return None;
            }
            first.iter().map(|vote| vote.at(*level)).min().flatten()
        }
        // With nobody to confirm it, nothing is confirmed: not "all of none".
        Requirement::All { among, level } => {
            let positions = votes.members(among).map(|vote| vote.at(*level));
            positions.min().flatten()
        }
        Requirement::Majority(level) => {
            let voters = votes.voters.iter();
            let positions = voters.map(|vote| votes.source_or_voter(vote, *level));
            largest(votes.majority(), positions.collect())
        }
        Requirement::And(parts) => {
            let positions = parts.iter().map(|part| satisfied(part, votes));
            positions.min().flatten()
        }
        Requirement::Or(parts) => {
            let positions = parts.iter().map(|part| satisfied(part, votes));
            positions.max().flatten()
        }
    }
}

/// Whether it could be met by those whose word counts now, were these silent.
pub fn bears_without(requirement: &Requirement, votes: &Votes, silent: &[&ServerName]) -> bool {
    let mut votes = votes.clone();
    let all = Some(votes.written);
    for vote in &mut votes.voters {
        vote.eligible &= !silent.contains(&&vote.voter.name);
        let counts = vote.eligible && vote.connected && vote.speech() == Speech::Counts;
        let confirmed = if counts { all } else { None };
        vote.confirmed = Confirmed {
            received: confirmed,
            durable: confirmed,
            applied: confirmed,
        };
    }
    satisfied(requirement, &votes).is_some()
}

/// The `k`-th largest.
fn largest(k: usize, mut positions: Vec<Option<StorePosition>>) -> Option<StorePosition> {
    positions.sort_unstable_by_key(|position| Reverse(*position));
    positions.get(k.checked_sub(1)?).copied().flatten()
}

/// Who could let a waiting position go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Servers whose confirmation is lacking, each once.
    pub servers: Vec<ServerName>,
    /// Our own store has not written or fsynced it.
    pub local: bool,
    /// What is lacking, in words: "1 of db2, db3 to confirm received".
    pub words: String,
}

impl Missing {
    fn add(&mut self, other: Self, joined_by: &str) {
        for name in other.servers {
            if !self.servers.contains(&name) {
                self.servers.push(name);
            }
        }
        self.local |= other.local;
        if !self.words.is_empty() && !other.words.is_empty() {
            self.words.push_str(joined_by);
        }
        self.words.push_str(&other.words);
    }

    fn of(wanted: usize, level: Level, lacking: &[&Vote]) -> Self {
        let servers: Vec<ServerName> = lacking.iter().map(|vote| vote.voter.name.clone()).collect();
        let words = match servers.len() {
            0 => format!("{wanted} more voters to confirm {level}"),
            len if len == wanted => format!("{} to confirm {level}", Names(&servers)),
            _ => format!("{wanted} of {} to confirm {level}", Names(&servers)),
        };
        Self {
            servers,
            local: false,
            words,
        }
    }
}

struct Names<'a>(&'a [ServerName]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            name.fmt(f)?;
        }
        Ok(())
    }
}

/// For whom `position` waits; none where `requirement` holds for it.
pub fn missing(
    requirement: &Requirement,
    votes: &Votes,
    position: StorePosition,
) -> Option<Missing> {
    if satisfied(requirement, votes) >= Some(position) {
        return None;
    }
    let lacks = |vote: &&Vote, level: Level| votes.source_or_voter(vote, level) < Some(position);
    Some(match requirement {
        Requirement::Local(level) => Missing {
            servers: Vec::new(),
            local: true,
            words: match level {
                Level::Received => "our own binlog to be written".to_owned(),
                _ => "our own binlog to be fsynced".to_owned(),
            },
        },
        Requirement::Any {
            count,
            among,
            level,
        } => {
            let lacking: Vec<&Vote> = votes.members(among).filter(|v| lacks(v, *level)).collect();
            let have = votes.members(among).count() - lacking.len();
            Missing::of(count.get() - have, *level, &lacking)
        }
        Requirement::First {
            count,
            among,
            level,
        } => {
            let first = votes.first(*count, among);
            if first.len() < count.get() {
                let away: Vec<&Vote> = votes
                    .members(among)
                    .filter(|vote| !(vote.connected && vote.eligible))
                    .collect();
                Missing::of(count.get() - first.len(), *level, &away)
            } else {
                let lacking: Vec<&Vote> = first.into_iter().filter(|v| lacks(v, *level)).collect();
                Missing::of(lacking.len(), *level, &lacking)
            }
        }
        Requirement::All { among, level } => {
            let lacking: Vec<&Vote> = votes.members(among).filter(|v| lacks(v, *level)).collect();
            Missing::of(lacking.len().max(1), *level, &lacking)
        }
        Requirement::Majority(level) => {
            let lacking: Vec<&Vote> = votes.voters.iter().filter(|v| lacks(v, *level)).collect();
            let have = votes.voters.len() - lacking.len();
            Missing::of(votes.majority().saturating_sub(have), *level, &lacking)
        }
        Requirement::And(parts) => joined(parts, votes, position, " and for "),
        Requirement::Or(parts) => joined(parts, votes, position, ", or for "),
    })
}

fn joined(
    parts: &[Requirement],
    votes: &Votes,
    position: StorePosition,
    joined_by: &str,
) -> Missing {
    let mut all = Missing::default();
    for part in parts {
        if let Some(missing) = missing(part, votes, position) {
            all.add(missing, joined_by);
        }
    }
    all
}

#[cfg(test)]
mod tests;
