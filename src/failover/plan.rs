//! What is asked for, and whether it can be begun.

use std::fmt;

use super::candidate::{self, NoCandidate};
use super::facts::Facts;
use crate::gtid::Gtid;
use crate::ids::{Epoch, ServerName};
use crate::store::state::{Intent, MoveKind, Schedule};

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
    /// What the old source's event scheduler runs, as far as it is known.
    pub schedule: Option<Schedule>,
    /// What does not keep it from beginning, and should be known.
    pub warnings: Vec<String>,
}

/// Whether sessions are served from the present source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    Yes,
    /// It is being attached to: a proxy that has just been started does not know yet.
    Perhaps,
    No,
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
    #[error(
        "{0} answers, and is not attached yet: look again (ackline status); or failover --force"
    )]
    SourceAnswers(ServerName),
    #[error(
        "{to}'s own binlog does not hold {end}, our last transaction, with which we would begin to follow it (it was purged there, restored or skipped): let one more commit reach it"
    )]
    LacksEnd { to: ServerName, end: Gtid },
    #[error(transparent)]
    NoCandidate(#[from] NoCandidate),
}

impl Plan {
    pub fn make(order: Order, facts: &Facts, serves: Serves) -> Result<Self, Refused> {
        let from = facts.source.clone();
        if order.to.as_ref() == Some(&from) {
            return Err(Refused::AlreadySource(from));
        }
        let source = facts.said(&from);
        let to = match order.kind {
            MoveKind::Switchover => {
                source.clone().map_err(Refused::Silent)?;
                let to = order.to.clone().ok_or(Refused::NoTarget)?;
                let said = candidate::fit(&to, facts, order.accept_unproven)?;
                // What the proof would find when nobody may write any more is refused before that.
                if let Some(end) = candidate::lacks_end(said, facts) {
                    return Err(Refused::LacksEnd { to, end });
                }
                to
            }
            MoveKind::Failover => {
                match serves {
                    Serves::Yes if source.is_ok() && !order.force => {
                        return Err(Refused::SourceServes(from));
                    }
                    Serves::Perhaps if source.is_ok() && !order.force => {
                        return Err(Refused::SourceAnswers(from));
                    }
                    Serves::Yes | Serves::Perhaps | Serves::No => {}
                }
                candidate::choose(order.to.as_ref(), facts, order.accept_unproven)?
            }
        };
        Ok(Self {
            epoch: Epoch(facts.epoch.0 + 1),
            events: source.is_ok_and(|said| said.events),
            // Asked when it is certain that the move may begin.
            schedule: None,
            endpoint: facts
                .said(&to)
                .ok()
                .and_then(|said| said.source_address.clone()),
            warnings: Vec::new(),
            order,
            from,
            to,
        })
    }
}

impl Plan {
    /// What a restart has to know of it.
    pub fn intent(&self) -> Intent {
        Intent {
            kind: self.order.kind,
            from: self.from.clone(),
            to: self.to.clone(),
            events: self.events,
            endpoint: self.endpoint.clone(),
            schedule: self.schedule.clone(),
        }
    }

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
            schedule: intent.schedule.clone(),
            warnings: Vec::new(),
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
