//! From what voters confirmed to what a requirement holds for. Arithmetic, nothing else: no clock, no
//! memory, no IO.
//!
//! A position is how far somebody confirmed; `None` is nothing yet. The k-th best position of a group
//! is the furthest one that k of them confirmed.

use std::collections::BTreeMap;

use super::policy::{Requirement, Who};
use crate::ids::{Level, ServerName, StorePosition, Zone};

/// A server with `vote = true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub name: ServerName,
    pub zone: Option<Zone>,
    /// The present source: counted by MAJORITY only.
    pub is_source: bool,
}

/// What one voter said itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    pub received: Option<StorePosition>,
    pub durable: Option<StorePosition>,
    pub applied: Option<StorePosition>,
    pub connected: bool,
}

impl Confirmed {
    /// What is durable or applied was received. What is applied is not therefore durable.
    pub fn at(&self, level: Level) -> Option<StorePosition> {
        match level {
            Level::Received => self.received.max(self.durable).max(self.applied),
            Level::Durable => self.durable,
            Level::Applied => self.applied,
        }
    }
}

/// Everything the arithmetic looks at.
#[derive(Clone, Debug, Default)]
pub struct Votes {
    pub voters: Vec<Voter>,
    pub confirmed: BTreeMap<ServerName, Confirmed>,
    pub written: StorePosition,
    pub synced: StorePosition,
}

impl Default for Voter {
    fn default() -> Self {
        Self {
            name: ServerName::new(""),
            zone: None,
            is_source: false,
        }
    }
}

/// The position up to which the requirement holds; our own fsync is a condition of everything but
/// `LOCAL received` (promise 4).
pub fn satisfied(requirement: &Requirement, votes: &Votes) -> Option<StorePosition> {
    let position = held(requirement, votes)?;
    let own = if requirement.wants_synced() {
        votes.synced
    } else {
        votes.written
    };
    Some(position.min(own))
}

fn held(requirement: &Requirement, votes: &Votes) -> Option<StorePosition> {
    match requirement {
        Requirement::Local(Level::Received) => Some(votes.written),
        Requirement::Local(_) => Some(votes.synced),
        Requirement::Any { count, of, level } => kth(votes.positions(of, *level), *count),
        Requirement::First { count, of, level } => first(votes, of, *count, *level),
        Requirement::All { of, level } => {
            let positions = votes.positions(of, *level);
            let count = positions.len();
            // Nobody to wait for is not everybody's consent.
            if count == 0 {
                None
            } else {
                kth(positions, count)
            }
        }
        Requirement::Majority(level) => {
            let mut positions = votes.positions(&[Who::Everyone], *level);
            // The source has whatever it sent us.
            positions.extend(
                votes
                    .voters
                    .iter()
                    .filter(|v| v.is_source)
                    .map(|_| Some(votes.written)),
            );
            let majority = positions.len() / 2 + 1;
            kth(positions, majority)
        }
        Requirement::And(a, b) => Some(held(a, votes)?.min(held(b, votes)?)),
        Requirement::Or(a, b) => held(a, votes).max(held(b, votes)),
    }
}

/// The k-th best.
fn kth(mut positions: Vec<Option<StorePosition>>, k: usize) -> Option<StorePosition> {
    positions.sort_unstable_by(|a, b| b.cmp(a));
    *positions.get(k.checked_sub(1)?)?
}

/// The worst of the first k that are connected, in the order in which they are listed.
fn first(votes: &Votes, of: &[Who], count: usize, level: Level) -> Option<StorePosition> {
    let chosen: Vec<_> = votes
        .named(of)
        .into_iter()
        .filter_map(|name| votes.confirmed.get(name).filter(|c| c.connected))
        .take(count)
        .map(|c| c.at(level))
        .collect();
    if chosen.len() < count {
        None
    } else {
        kth(chosen, count)
    }
}

impl Votes {
    fn positions(&self, of: &[Who], level: Level) -> Vec<Option<StorePosition>> {
        self.named(of)
            .into_iter()
            .map(|name| self.confirmed.get(name).and_then(|c| c.at(level)))
            .collect()
    }

    /// Voters other than the source, each once, in the order of the list.
    pub fn named(&self, of: &[Who]) -> Vec<&ServerName> {
        let mut names: Vec<&ServerName> = Vec::new();
        for who in of {
            for voter in self.voters.iter().filter(|voter| !voter.is_source) {
                let meant = match who {
                    Who::Everyone => true,
                    Who::Zone(zone) => voter.zone.as_deref() == Some(zone.as_str()),
                    Who::Server(name) => voter.name == *name,
                };
                if meant && !names.contains(&&voter.name) {
                    names.push(&voter.name);
                }
            }
        }
        names
    }
}

/// Who keeps the requirement from holding at `position`: for the sentence that says whom commits wait
/// for.
pub fn missing<'a>(
    requirement: &Requirement,
    votes: &'a Votes,
    position: StorePosition,
) -> Vec<&'a ServerName> {
    let lacking = |of: &[Who], level: Level| -> Vec<&'a ServerName> {
        votes
            .named(of)
            .into_iter()
            .filter(|name| votes.confirmed.get(*name).and_then(|c| c.at(level)) < Some(position))
            .collect()
    };
    if held(requirement, votes) >= Some(position) {
        return Vec::new();
    }
    match requirement {
        Requirement::Local(_) => Vec::new(),
        Requirement::Any { of, level, .. }
        | Requirement::First { of, level, .. }
        | Requirement::All { of, level } => lacking(of, *level),
        Requirement::Majority(level) => lacking(&[Who::Everyone], *level),
        Requirement::And(a, b) | Requirement::Or(a, b) => {
            let mut names = missing(a, votes, position);
            for name in missing(b, votes, position) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `source s, then name[@zone]=received/durable/applied[!]` where `-` is nothing and `!` is
    /// "not connected".
    fn votes(written: u64, synced: u64, voters: &str) -> Votes {
        let at = |n: u64| StorePosition::new(1, n);
        let mut votes = Votes {
            written: at(written),
            synced: at(synced),
            ..Votes::default()
        };
        votes.voters.push(Voter {
            name: ServerName::new("s"),
            zone: None,
            is_source: true,
        });
        for word in voters.split_whitespace() {
            let (who, positions) = word.split_once('=').unwrap();
            let (name, zone) = who
                .split_once('@')
                .map_or((who, None), |(n, z)| (n, Some(z.into())));
            let connected = !positions.ends_with('!');
            let mut levels = positions
                .trim_end_matches('!')
                .split('/')
                .map(|p| p.parse().ok().map(at));
            votes.voters.push(Voter {
                name: ServerName::new(name),
                zone,
                is_source: false,
            });
            votes.confirmed.insert(
                ServerName::new(name),
                Confirmed {
                    received: levels.next().flatten(),
                    durable: levels.next().flatten(),
                    applied: levels.next().flatten(),
                    connected,
                },
            );
        }
        votes
    }

    #[test]
    fn cases_a_dba_can_review() {
        // requirement | written | synced | voters | holds up to
        let table = "
            LOCAL received                        | 90 | 50 |                          | 90
            LOCAL durable                         | 90 | 50 |                          | 50
            LOCAL durable AND ANY 1 (*) received  | 90 | 80 | a=60 b=70                | 70
            LOCAL durable AND ANY 1 (*) received  | 90 | 65 | a=60 b=70                | 65
            LOCAL durable AND ANY 2 (*) received  | 90 | 80 | a=60 b=70                | 60
            LOCAL durable AND ANY 3 (*) received  | 90 | 80 | a=60 b=70                | -
            ANY 1 (*) received                    | 90 | 10 | a=60                     | 10
            ANY 1 (a, a) received                 | 90 | 90 | a=60 b=70                | 60
            ANY 2 (a, a) received                 | 90 | 90 | a=60 b=70                | -
            MAJORITY received                     | 90 | 90 | a=60 b=70                | 70
            MAJORITY received                     | 90 | 90 | a=60 b=-                 | 60
            MAJORITY received                     | 90 | 90 | a=- b=-                  | -
            MAJORITY received                     | 90 | 90 | a=60 b=70 c=80 d=-       | 70
            MAJORITY received                     | 90 | 90 | a=60                     | 60
            MAJORITY received                     | 90 | 90 |                          | 90
            ALL applied                           | 90 | 90 | a=80/-/40 b=80/-/50      | 40
            ALL applied                           | 90 | 90 | a=80/-/40 b=80           | -
            ALL received                          | 90 | 90 |                          | -
            ALL durable                           | 90 | 90 | a=80/-/80                | -
            ALL received                          | 90 | 90 | a=-/30/40                | 40
            ANY 1 (zone:x) received               | 90 | 90 | a@x=30 b@y=70            | 30
            FIRST 1 (a, b) received               | 90 | 90 | a=30 b=70                | 30
            FIRST 1 (a, b) received               | 90 | 90 | a=30! b=70               | 70
            FIRST 2 (a, b, c) received            | 90 | 90 | a=30! b=70 c=50          | 50
            FIRST 2 (a, b) received               | 90 | 90 | a=30! b=70               | -
            ALL applied OR ANY 1 (*) durable      | 90 | 90 | a=80/70/40 b=-           | 70
            ANY 1 (s) received                    | 90 | 90 | a=60                     | -
        ";
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let columns: Vec<_> = line.split('|').map(str::trim).collect();
            let number = |i: usize| columns[i].parse::<u64>().unwrap();
            let votes = votes(number(1), number(2), columns[3]);
            let expected = columns[4].parse().ok().map(|n| StorePosition::new(1, n));
            assert_eq!(
                satisfied(&columns[0].parse().unwrap(), &votes),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn whom_commits_wait_for() {
        let votes = votes(90, 90, "a=60 b=90 c=-");
        let wait = |text: &str| {
            missing(&text.parse().unwrap(), &votes, StorePosition::new(1, 80))
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert!(wait("ANY 1 (*) received").is_empty());
        assert_eq!(wait("ANY 2 (*) received"), ["a", "c"]);
        assert_eq!(wait("LOCAL durable AND ALL received"), ["a", "c"]);
    }
}
