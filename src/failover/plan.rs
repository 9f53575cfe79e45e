//! What is asked for, and whether it can be begun.

use std::fmt;

use super::candidate::{self, NoCandidate};
use super::facts::Facts;
use crate::ids::{Epoch, ServerName};
use crate::store::state::{Intent, MoveKind};

/// A command, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub kind: MoveKind,
    /// Failover finds one by itself.
    pub to: Option<ServerName>,
    /// Switchover: cut transactions that do not end in time. Failover: though the source answers.
    pub force: bool,
    /// Failover: go on where completeness cannot be proven.
    pub accept_loss: bool,
    /// Also one of whose binlog a part was gone before we had read it.
    pub accept_unproven: bool,
}

/// A move that may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub order: Order,
    pub from: ServerName,
    pub to: ServerName,
    /// The one that begins with the move.
    pub epoch: Epoch,
    /// Where the new source followed us: the old one will, too.
    pub endpoint: Option<(String, u16)>,
    /// The event scheduler of the old source is on, and has to be again if the move is taken back.
    pub events: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0} is the source already")]
    AlreadySource(ServerName),
    #[error("say where to: --to NAME")]
    NoTarget,
    #[error("{0}")]
    Silent(String),
    #[error(
        "{0} answers and serves: use switchover, which loses nothing and waits for nobody; or failover --force"
    )]
    SourceServes(ServerName),
    #[error(transparent)]
    NoCandidate(#[from] NoCandidate),
}

impl Plan {
    /// `serves`: sessions are served from the present source now.
    pub fn make(order: Order, facts: &Facts, serves: bool) -> Result<Self, Refused> {
        let from = facts.source.clone();
        if order.to.as_ref() == Some(&from) {
            return Err(Refused::AlreadySource(from));
        }
        let source = facts.said(&from);
        let to = match order.kind {
            MoveKind::Switchover => {
                source.clone().map_err(Refused::Silent)?;
                let to = order.to.clone().ok_or(Refused::NoTarget)?;
                candidate::fit(&to, facts, order.accept_unproven)?;
                to
            }
            MoveKind::Failover => {
                if serves && source.is_ok() && !order.force {
                    return Err(Refused::SourceServes(from));
                }
                candidate::choose(order.to.as_ref(), facts, order.accept_unproven)?
            }
        };
        Ok(Self {
            epoch: Epoch(facts.epoch.0 + 1),
            events: source.is_ok_and(|said| said.events),
            endpoint: facts
                .said(&to)
                .ok()
                .and_then(|said| said.source_address.clone()),
            order,
            from,
            to,
        })
    }
}

impl Plan {
    /// Of a move that was begun and left.
    pub fn resume(intent: &Intent, epoch: Epoch) -> Self {
        Self {
            order: Order {
                kind: intent.kind,
                to: Some(intent.to.clone()),
                force: false,
                accept_loss: false,
                accept_unproven: true,
            },
            from: intent.from.clone(),
            to: intent.to.clone(),
            epoch,
            endpoint: intent.endpoint.clone(),
            events: intent.events,
        }
    }

    /// The same two servers the other way round, both asked as in a switchover.
    pub fn back(&self) -> Self {
        Self {
            order: Order {
                kind: MoveKind::Switchover,
                to: Some(self.from.clone()),
                force: false,
                accept_loss: false,
                // It was good enough for the way there.
                accept_unproven: true,
            },
            from: self.to.clone(),
            to: self.from.clone(),
            epoch: Epoch(self.epoch.0 + 1),
            ..self.clone()
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            order,
            from,
            to,
            epoch,
            ..
        } = self;
        write!(f, "{} from {from} to {to}, epoch {epoch}", order.kind)
    }
}
