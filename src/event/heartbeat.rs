//! HEARTBEAT (27): the source is there and has sent all up to here.
//!
//! The position is the header's `end_log_pos`. Where it needs more than 32 bits, MariaDB puts 0 there and the
//! whole of it, in 64 bits, before the file's name (`send_heartbeat_event` in the server's sources).

use super::{Error, EventType, Header};
use crate::ids::ServerId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    pub file: &'a [u8],
    pub position: u64,
}

impl<'a> Heartbeat<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let mut body = super::body(event, EventType::HEARTBEAT)?;
        let position = match Header::parse(event)?.next_position {
            0 => body.u64()?,
            position => position.into(),
        };
        Ok(Self {
            file: body.rest(),
            position,
        })
    }

    /// To be sealed with [`Heartbeat::end_log_pos`].
    pub fn write(&self, server_id: ServerId) -> Vec<u8> {
        let mut event = Vec::with_capacity(64);
        let mut header = Header::begin(EventType::HEARTBEAT, server_id, 0);
        header.next_position = self.end_log_pos();
        header.write(&mut event);
        if header.next_position == 0 {
            event.extend_from_slice(&self.position.to_le_bytes());
        }
        event.extend_from_slice(self.file);
        event
    }

    pub fn end_log_pos(&self) -> u32 {
        u32::try_from(self.position).unwrap_or(0)
    }
}
