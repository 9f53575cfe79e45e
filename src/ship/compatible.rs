//! MariaDB's events for readers that do not know GTIDs (`@mariadb_slave_capability` below 4, as CDC
//! readers have that know MySQL only): what they cannot read is left out, and a transaction begins
//! with BEGIN, as it did before there were GTIDs. The source does the same for them.
//!
//! Positions stay those of our files: each event says where it ends.

use std::borrow::Cow;

use crate::event::gtid_event::GtidEvent;
use crate::event::{CHECKSUM_LENGTH, EventType, HEADER_LENGTH, checksum};

/// `MARIA_SLAVE_CAPABILITY_GTID`; MariaDB's replicas since 10.0.
pub(super) const KNOWS_GTID: u8 = 4;

/// None where nothing is sent in its place.
pub(super) fn of(kind: EventType, event: &[u8]) -> Option<Cow<'_, [u8]>> {
    match kind {
        EventType::GTID => begin(event).map(Cow::Owned),
        EventType::GTID_LIST
        | EventType::BINLOG_CHECKPOINT
        | EventType::ANNOTATE_ROWS
        | EventType::START_ENCRYPTION => None,
        _ => Some(Cow::Borrowed(event)),
    }
}

/// None for a statement that is a transaction of its own.
fn begin(event: &[u8]) -> Option<Vec<u8>> {
    let gtid = GtidEvent::parse(event.get(..event.len().checked_sub(CHECKSUM_LENGTH)?)?).ok()?;
    if gtid.flags.is_standalone() {
        return None;
    }
    let end = u32::from_le_bytes(event.get(13..17)?.try_into().ok()?);
    let mut query = event.get(..HEADER_LENGTH)?.to_vec();
    query[4] = EventType::QUERY.0;
    // Thread, seconds, length of the database's name, error, length of the status variables; its NUL.
    query.extend_from_slice(&[0; 4 + 4 + 1 + 2 + 2 + 1]);
    query.extend_from_slice(b"BEGIN");
    checksum::seal(&mut query, end).ok()?;
    Some(query)
}
