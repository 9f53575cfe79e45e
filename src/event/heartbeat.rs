//! HEARTBEAT (27): the source is there and has sent all up to here.

use super::{Error, EventType, Header};
use crate::ids::ServerId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    pub file: &'a [u8],
    /// Carried in the header's `end_log_pos`.
    pub position: u32,
}

impl<'a> Heartbeat<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let position = Header::parse(event)?.next_position;
        Ok(Self {
            file: super::body(event, EventType::HEARTBEAT)?.rest(),
            position,
        })
    }

    /// To be sealed with `end_log_pos` [`Heartbeat::position`].
    pub fn write(&self, server_id: ServerId) -> Vec<u8> {
        let mut event = Vec::with_capacity(64);
        let mut header = Header::begin(EventType::HEARTBEAT, server_id, 0);
        header.next_position = self.position;
        header.write(&mut event);
        event.extend_from_slice(self.file);
        event
    }
}
