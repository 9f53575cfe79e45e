//! Who confirmed what, and when, to the tick: for the record beside our binlog. Nothing is decided by it.

use std::collections::HashMap;
use std::time::Duration;

use super::quorum::Votes;
use crate::ids::{Level, ServerName, StorePosition};

/// More are lost where nobody takes them.
const MOST: usize = 64 * 1024;

/// Of everything up to `position`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Unix time.
    pub at: Duration,
    pub voter: ServerName,
    pub level: Level,
    pub position: StorePosition,
}

#[derive(Debug, Default)]
pub(super) struct History {
    seen: HashMap<(ServerName, Level), StorePosition>,
    pending: Vec<Confirmation>,
}

impl History {
    /// What has moved since the last look.
    pub fn look(&mut self, votes: &Votes, now: Duration) {
        for vote in votes.voters.iter().filter(|vote| !vote.voter.is_source) {
            for level in [Level::Received, Level::Durable, Level::Applied] {
                let Some(position) = vote.confirmed.at(level) else {
                    continue;
                };
                let voter = vote.voter.name.clone();
                let before = self.seen.insert((voter.clone(), level), position);
                // What was taken back says nothing; it is confirmed anew.
                if before.is_none_or(|before| before < position) && self.pending.len() < MOST {
                    self.pending.push(Confirmation {
                        at: now,
                        voter,
                        level,
                        position,
                    });
                }
            }
        }
    }

    pub fn take(&mut self) -> Vec<Confirmation> {
        std::mem::take(&mut self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::super::quorum::Vote;
    use super::super::voter::Voter;
    use super::*;

    #[test]
    fn each_step_forward_is_noted_once() {
        let voter = Voter {
            name: ServerName::new("db2"),
            zone: None,
            is_source: false,
        };
        let mut votes = Votes {
            voters: vec![Vote::new(voter)],
            ..Votes::default()
        };
        let mut history = History::default();
        let mut at = |votes: &Votes, seconds| {
            history.look(votes, Duration::from_secs(seconds));
            let taken = history.take();
            taken
                .iter()
                .map(|it| (it.level, it.position.offset))
                .collect::<Vec<_>>()
        };
        assert_eq!(at(&votes, 1), []);
        votes.voters[0].confirmed.received = Some(StorePosition::new(1, 100));
        assert_eq!(at(&votes, 2), [(Level::Received, 100)]);
        assert_eq!(at(&votes, 3), []);
        // Taken back, and confirmed again.
        votes.voters[0].confirmed.received = Some(StorePosition::new(1, 50));
        assert_eq!(at(&votes, 4), []);
        votes.voters[0].confirmed.received = Some(StorePosition::new(1, 100));
        assert_eq!(at(&votes, 5), [(Level::Received, 100)]);
    }
}
