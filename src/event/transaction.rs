//! Where transactions begin and end in a stream of events.
//!
//! MariaDB (`Log_event::is_part_of_group` and the dump thread's skipping in the server's sources):
//! a GTID event opens a group. A standalone one ends with the first event that does not merely
//! prepare another one; any other ends with XID, XA_PREPARE, or a COMMIT or ROLLBACK statement.

use super::gtid_event::{GtidEvent, GtidFlags};
use super::query::Query;
use super::{Error, EventType, Header};
use crate::gtid::Gtid;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    Inside {
        gtid: crate::gtid::mariadb::Gtid,
        flags: GtidFlags,
    },
}

/// What an event is to the transactions around it; `G` is the flavor's GTID event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<G = GtidEvent> {
    /// Belongs to the file or the stream.
    Outside,
    GroupStart(G),
    InGroup,
    /// The last event of its transaction.
    GroupEnd,
}

impl<G> Step<G> {
    pub fn map<H>(self, convert: impl FnOnce(G) -> H) -> Step<H> {
        match self {
            Self::Outside => Step::Outside,
            Self::GroupStart(start) => Step::GroupStart(convert(start)),
            Self::InGroup => Step::InGroup,
            Self::GroupEnd => Step::GroupEnd,
        }
    }
}

/// Follows a stream event by event.
#[derive(Clone, Debug, Default)]
pub struct TransactionTracker {
    state: State,
}

impl TransactionTracker {
    pub fn is_inside(&self) -> bool {
        self.state != State::Outside
    }

    /// Takes the next event, without checksum. After an error the stream makes no sense.
    pub fn feed(&mut self, event: &[u8]) -> Result<Step, Error> {
        let header = Header::parse(event)?;
        if is_of_the_stream(header.kind) {
            return Ok(Step::Outside);
        }
        match self.state {
            State::Outside => self.open(header.kind, event),
            State::Inside { gtid, flags } => {
                if header.kind == EventType::GTID {
                    return Err(Error::Nested(Gtid::MariaDb(gtid)));
                }
                if ends(flags, header.kind, event)? {
                    self.state = State::Outside;
                    Ok(Step::GroupEnd)
                } else {
                    Ok(Step::InGroup)
                }
            }
        }
    }

    fn open(&mut self, kind: EventType, event: &[u8]) -> Result<Step, Error> {
        match kind {
            EventType::GTID => {
                let gtid = GtidEvent::parse(event)?;
                self.state = State::Inside {
                    gtid: gtid.gtid,
                    flags: gtid.flags,
                };
                Ok(Step::GroupStart(gtid))
            }
            // It belongs to none.
            EventType::INCIDENT => Ok(Step::Outside),
            other => Err(Error::OutsideTransaction(other)),
        }
    }
}

/// Events that describe a file or a stream, wherever they come.
pub(super) fn is_of_the_stream(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::FORMAT_DESCRIPTION
            | EventType::ROTATE
            | EventType::STOP
            | EventType::GTID_LIST
            | EventType::BINLOG_CHECKPOINT
            | EventType::START_ENCRYPTION
            | EventType::HEARTBEAT
            | EventType::HEARTBEAT_V2
            | EventType::PREVIOUS_GTIDS
            | EventType::IGNORABLE
    )
}

fn ends(flags: GtidFlags, kind: EventType, event: &[u8]) -> Result<bool, Error> {
    if flags.is_standalone() {
        return Ok(!matches!(
            kind,
            EventType::INTVAR
                | EventType::RAND
                | EventType::USER_VAR
                | EventType::TABLE_MAP
                | EventType::ANNOTATE_ROWS
        ));
    }
    Ok(match kind {
        EventType::XID | EventType::XA_PREPARE => true,
        EventType::QUERY => Query::parse(event)?.ending().is_some(),
        _ => false,
    })
}
