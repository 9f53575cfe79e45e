//! What single sessions ask for beyond the policy: each waits until its own requirement holds for one
//! released transaction. Pure, like the engine that it is a part of.
//!
//! Invariants:
//! - A demand is met only while the transaction that it names is in our store, and its own requirement
//!   holds up to there.
//! - Of a transaction that a failed fsync took back, nothing holds until it has come again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::policy::Requirement;
use super::quorum::{Votes, satisfied};
use crate::gtid::Gtid;
use crate::ids::{Level, StorePosition};

/// Names one waiting session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Demand {
    ticket: Ticket,
    gtid: Gtid,
    since: Duration,
    /// Where the transaction ends; none while it is not released, or has to come again.
    position: Option<StorePosition>,
}

/// Those that ask for the same.
#[derive(Debug)]
struct Asked {
    requirement: Requirement,
    demands: Vec<Demand>,
}

/// The demand that waits longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Oldest {
    pub(super) since: Duration,
    pub(super) requirement: Requirement,
    pub(super) position: Option<StorePosition>,
}

#[derive(Debug, Default)]
pub(super) struct Demands {
    /// Few: one for each requirement that sessions name.
    asked: Vec<Asked>,
    /// Released, and taken back by a failed fsync.
    again: HashSet<Gtid>,
    next: u64,
}

impl Demands {
    /// `position` is where the transaction ends, if it is released; what has to come again counts
    /// only then.
    pub(super) fn ask(
        &mut self,
        gtid: &Gtid,
        requirement: &Requirement,
        position: Option<StorePosition>,
        now: Duration,
    ) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let demand = Demand {
            ticket,
            gtid: gtid.clone(),
            since: now,
            position: position.filter(|_| !self.again.contains(gtid)),
        };
        let same = |asked: &&mut Asked| asked.requirement == *requirement;
        match self.asked.iter_mut().find(same) {
            Some(asked) => asked.demands.push(demand),
            None => self.asked.push(Asked {
                requirement: requirement.clone(),
                demands: vec![demand],
            }),
        }
        ticket
    }

    pub(super) fn leave(&mut self, ticket: Ticket) {
        for asked in &mut self.asked {
            asked.demands.retain(|demand| demand.ticket != ticket);
        }
        self.asked.retain(|asked| !asked.demands.is_empty());
    }

    /// A transaction is released, for the first time or again.
    pub(super) fn released(&mut self, gtid: &Gtid, position: StorePosition) {
        if self.asked.is_empty() && self.again.is_empty() {
            return;
        }
        self.again.remove(gtid);
        for demand in self.asked.iter_mut().flat_map(|asked| &mut asked.demands) {
            if demand.position.is_none() && demand.gtid == *gtid {
                demand.position = Some(position);
            }
        }
    }

    /// A failed fsync: what is behind `end` is gone; `gone` are the released ones of it.
    pub(super) fn take_back<'a>(
        &mut self,
        end: StorePosition,
        gone: impl Iterator<Item = &'a Arc<Gtid>>,
    ) {
        self.again.extend(gone.map(|gtid| Gtid::clone(gtid)));
        for demand in self.asked.iter_mut().flat_map(|asked| &mut asked.demands) {
            demand.position = demand.position.filter(|position| *position <= end);
        }
    }

    /// Takes out those that are met: who, and since when it waited.
    pub(super) fn settle(&mut self, votes: &Votes) -> Vec<(Ticket, Duration)> {
        let mut met = Vec::new();
        for asked in &mut self.asked {
            let Some(up_to) = satisfied(&asked.requirement, votes) else {
                continue;
            };
            asked.demands.retain(|demand| {
                let holds = demand.position.is_some_and(|position| position <= up_to);
                if holds {
                    met.push((demand.ticket, demand.since));
                }
                !holds
            });
        }
        if !met.is_empty() {
            self.asked.retain(|asked| !asked.demands.is_empty());
        }
        met
    }

    pub(super) fn len(&self) -> usize {
        self.asked.iter().map(|asked| asked.demands.len()).sum()
    }

    pub(super) fn uses(&self, level: Level) -> bool {
        self.asked.iter().any(|asked| asked.requirement.uses(level))
    }

    pub(super) fn oldest(&self) -> Option<Oldest> {
        let all = self
            .asked
            .iter()
            .flat_map(|asked| asked.demands.iter().map(move |demand| (asked, demand)));
        let (asked, demand) = all.min_by_key(|(_, demand)| demand.since)?;
        Some(Oldest {
            since: demand.since,
            requirement: asked.requirement.clone(),
            position: demand.position,
        })
    }
}
