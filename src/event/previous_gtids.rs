//! MySQL's PREVIOUS_GTIDS (35): the GTIDs in all files before this one. A dump sends an empty one for
//! files that it skips.

use super::{Error, EventType, Flags, Header};
use crate::gtid::{GtidSet, encoding};
use crate::ids::ServerId;

pub fn parse(event: &[u8]) -> Result<GtidSet, Error> {
    let set = super::body(event, EventType::PREVIOUS_GTIDS)?.rest();
    Ok(encoding::decode(set)?)
}

/// To be sealed.
pub fn write(set: &GtidSet, server_id: ServerId, timestamp: u32) -> Vec<u8> {
    let mut event = Vec::with_capacity(64);
    let mut header = Header::begin(EventType::PREVIOUS_GTIDS, server_id, timestamp);
    header.flags = Flags::IGNORABLE;
    header.write(&mut event);
    event.extend_from_slice(&encoding::encode(set));
    event
}
