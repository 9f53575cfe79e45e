//! STOP: the server was shut down cleanly; the file ends here, the next one is not named.

use super::{EventType, Header};
use crate::ids::ServerId;

/// To be sealed.
pub fn write(server_id: ServerId, timestamp: u32) -> Vec<u8> {
    let mut event = Vec::with_capacity(32);
    Header::begin(EventType::STOP, server_id, timestamp).write(&mut event);
    event
}
