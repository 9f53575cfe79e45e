//! Where transactions begin and end in a stream of MySQL's events.
//!
//! As the server's `Transaction_boundary_parser` (`sql/rpl_trx_boundary_parser.cc`) sees it: a GTID
//! opens a group. What follows is BEGIN or XA START, and then the group goes on until XID, XA_PREPARE, or
//! a COMMIT or ROLLBACK statement; or it is all there is: one statement (with what prepares it) or one
//! compressed transaction.

use super::mysql_gtid::GtidEvent;
use super::query::{Query, Statement};
use super::transaction::{Step, is_of_the_stream};
use super::{Error, EventType, Flags, Header};
use crate::gtid::Gtid;
use crate::gtid::mysql;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    /// Behind the GTID, or behind what prepares its one statement.
    Opened(mysql::Gtid),
    /// Behind BEGIN or XA START.
    Begun(mysql::Gtid),
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
    pub fn feed(&mut self, event: &[u8]) -> Result<Step<GtidEvent>, Error> {
        let header = Header::parse(event)?;
        if is_of_the_stream(header.kind) {
            return Ok(Step::Outside);
        }
        match &self.state {
            State::Outside => self.open(header, event),
            State::Opened(gtid) | State::Begun(gtid) if is_gtid(header.kind) => {
                Err(Error::Nested(Gtid::MySql(gtid.clone())))
            }
            State::Opened(gtid) => match first(header, event)? {
                First::Prepares => Ok(Step::InGroup),
                First::Begins => {
                    self.state = State::Begun(gtid.clone());
                    Ok(Step::InGroup)
                }
                First::IsAll => Ok(self.end()),
            },
            State::Begun(_) => {
                let ends = match header.kind {
                    EventType::XID | EventType::XA_PREPARE => true,
                    EventType::QUERY => Query::parse(event)?.ending().is_some(),
                    _ => false,
                };
                Ok(if ends { self.end() } else { Step::InGroup })
            }
        }
    }

    fn open(&mut self, header: Header, event: &[u8]) -> Result<Step<GtidEvent>, Error> {
        match header.kind {
            EventType::MYSQL_GTID | EventType::MYSQL_TAGGED_GTID => {
                let start = GtidEvent::parse(event)?;
                self.state = State::Opened(start.gtid.clone());
                Ok(Step::GroupStart(start))
            }
            EventType::ANONYMOUS_GTID => Err(Error::Anonymous),
            EventType::INCIDENT => Ok(Step::Outside),
            _ if is_unknown_and_ignorable(header) => Ok(Step::Outside),
            other => Err(Error::OutsideTransaction(other)),
        }
    }

    fn end(&mut self) -> Step<GtidEvent> {
        self.state = State::Outside;
        Step::GroupEnd
    }
}

fn is_gtid(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::MYSQL_GTID | EventType::MYSQL_TAGGED_GTID | EventType::ANONYMOUS_GTID
    )
}

/// A type that came after this table of them, and that its server lets us skip.
fn is_unknown_and_ignorable(header: Header) -> bool {
    header.kind.name().is_none() && header.flags & Flags::IGNORABLE != 0
}

/// What an event behind a GTID is to the group.
enum First {
    Prepares,
    Begins,
    IsAll,
}

fn first(header: Header, event: &[u8]) -> Result<First, Error> {
    match header.kind {
        EventType::INTVAR | EventType::RAND | EventType::USER_VAR | EventType::ROWS_QUERY => {
            Ok(First::Prepares)
        }
        EventType::QUERY => Ok(match Query::parse(event)?.statement {
            Statement::Text(text) if begins(text) => First::Begins,
            _ => First::IsAll,
        }),
        EventType::TRANSACTION_PAYLOAD | EventType::INCIDENT => Ok(First::IsAll),
        _ if is_unknown_and_ignorable(header) => Ok(First::Prepares),
        _ => Err(Error::Malformed(
            "a transaction begins neither with BEGIN nor with one statement",
        )),
    }
}

fn begins(statement: &[u8]) -> bool {
    statement == b"BEGIN" || statement.starts_with(b"XA START")
}
