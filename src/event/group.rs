//! Where transactions begin and end in a binlog of either flavor: the type of the GTID that opens a
//! transaction tells whose rules hold for it.

use super::transaction::Step;
use super::{Error, EventType, Header, gtid_event, mysql_gtid, mysql_transaction, transaction};
use crate::gtid::Gtid;

/// What the event says that opens a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub gtid: Gtid,
    /// MySQL's logical clock: what a replica's parallel applier orders transactions by. It grows
    /// within a file of the source and begins anew with the next, and a replica stops for good when
    /// it goes back within one file.
    pub clock: Option<u64>,
}

impl Start {
    /// Of a GTID event of either flavor.
    pub fn parse(event: &[u8]) -> Result<Self, Error> {
        if is_mysql(Header::parse(event)?.kind) {
            mysql_gtid::GtidEvent::parse(event).map(Self::from)
        } else {
            gtid_event::GtidEvent::parse(event).map(Self::from)
        }
    }
}

impl From<gtid_event::GtidEvent> for Start {
    fn from(event: gtid_event::GtidEvent) -> Self {
        Self {
            gtid: Gtid::MariaDb(event.gtid),
            clock: None,
        }
    }
}

impl From<mysql_gtid::GtidEvent> for Start {
    fn from(event: mysql_gtid::GtidEvent) -> Self {
        Self {
            gtid: Gtid::MySql(event.gtid),
            clock: Some(event.sequence_number).filter(|number| *number > 0),
        }
    }
}

/// Whether only MySQL opens transactions like that.
fn is_mysql(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::MYSQL_GTID | EventType::MYSQL_TAGGED_GTID | EventType::ANONYMOUS_GTID
    )
}

/// Follows a stream event by event.
#[derive(Clone, Debug)]
pub enum TransactionTracker {
    MariaDb(transaction::TransactionTracker),
    MySql(mysql_transaction::TransactionTracker),
}

impl Default for TransactionTracker {
    fn default() -> Self {
        Self::MariaDb(Default::default())
    }
}

impl TransactionTracker {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_inside(&self) -> bool {
        match self {
            Self::MariaDb(tracker) => tracker.is_inside(),
            Self::MySql(tracker) => tracker.is_inside(),
        }
    }

    /// Takes the next event, without checksum. After an error the stream makes no sense.
    pub fn feed(&mut self, event: &[u8]) -> Result<Step<Start>, Error> {
        if !self.is_inside() {
            match (Header::parse(event)?.kind, &self) {
                (EventType::GTID, Self::MySql(_)) => *self = Self::MariaDb(Default::default()),
                (kind, Self::MariaDb(_)) if is_mysql(kind) => {
                    *self = Self::MySql(Default::default());
                }
                _ => {}
            }
        }
        match self {
            Self::MariaDb(tracker) => Ok(tracker.feed(event)?.map(Start::from)),
            Self::MySql(tracker) => Ok(tracker.feed(event)?.map(Start::from)),
        }
    }
}
