//! The 19 bytes that every event begins with.

use super::{Error, EventType};
use crate::cursor::Cursor;
use crate::ids::ServerId;

pub const HEADER_LENGTH: usize = 19;

/// Bits of [`Header::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags;

impl Flags {
    /// Of a format description: the file was not closed. Never set in our own files: they have their
    /// own recovery, and `mariadb-binlog` would warn of a crash. Left out of that event's checksum.
    pub const IN_USE: u16 = 0x01;
    /// The statement depends on its connection (temporary tables).
    pub const THREAD_SPECIFIC: u16 = 0x04;
    /// Made up for the stream: it is in no file and moves no position.
    pub const ARTIFICIAL: u16 = 0x20;
    /// A reader that does not know the type may skip it.
    pub const IGNORABLE: u16 = 0x80;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Unix time in seconds.
    pub timestamp: u32,
    pub kind: EventType,
    /// The server that wrote the transaction first, wherever it is read now.
    pub server_id: ServerId,
    /// Bytes of the whole event, checksum included.
    pub length: u32,
    /// Where the event ends in its file (the servers' `end_log_pos`); wraps beyond 4 GiB, 0 in
    /// artificial events.
    pub next_position: u32,
    pub flags: u16,
}

impl Header {
    /// Reads the header that `event` begins with; the bytes behind it may be missing.
    pub fn parse(event: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(event);
        let header = Self {
            timestamp: cursor.u32()?,
            kind: EventType(cursor.u8()?),
            server_id: ServerId(cursor.u32()?),
            length: cursor.u32()?,
            next_position: cursor.u32()?,
            flags: cursor.u16()?,
        };
        if (header.length as usize) < HEADER_LENGTH {
            return Err(Error::Length {
                says: header.length,
                bytes: event.len(),
            });
        }
        Ok(header)
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        out.push(self.kind.0);
        out.extend_from_slice(&self.server_id.0.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.next_position.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
    }

    /// A header for an event that is about to be written; [`super::seal`] fills in the rest.
    pub fn begin(kind: EventType, server_id: ServerId, timestamp: u32) -> Self {
        Self {
            timestamp,
            kind,
            server_id,
            length: HEADER_LENGTH as u32,
            next_position: 0,
            flags: 0,
        }
    }

    pub fn is_artificial(&self) -> bool {
        self.flags & Flags::ARTIFICIAL != 0
    }
}
