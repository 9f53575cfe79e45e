//! ROTATE: this file ends, the next one is named; artificial at the start of every dump.

use super::{Error, EventType, Flags, Header};
use crate::ids::ServerId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotate<'a> {
    /// Offset in the next file, 4 but for a dump that starts in the middle of one.
    pub position: u64,
    /// As the server names it: a file name, by no rule UTF-8.
    pub file: &'a [u8],
}

impl<'a> Rotate<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let mut body = super::body(event, EventType::ROTATE)?;
        Ok(Self {
            position: body.u64()?,
            file: body.rest(),
        })
    }

    fn write(&self, server_id: ServerId, timestamp: u32, flags: u16) -> Vec<u8> {
        let mut event = Vec::with_capacity(64);
        let mut header = Header::begin(EventType::ROTATE, server_id, timestamp);
        header.flags = flags;
        header.write(&mut event);
        event.extend_from_slice(&self.position.to_le_bytes());
        event.extend_from_slice(self.file);
        event
    }

    /// The last event of a file, to be sealed.
    pub fn end_of_file(&self, server_id: ServerId, timestamp: u32) -> Vec<u8> {
        self.write(server_id, timestamp, 0)
    }

    /// The first event of a dump, to be sealed with `end_log_pos` 0: it has no time and stands in no
    /// file. Servers send it without checksum to who has not asked for one (FACTS.md 7).
    pub fn artificial(&self, server_id: ServerId) -> Vec<u8> {
        self.write(server_id, 0, Flags::ARTIFICIAL)
    }
}
