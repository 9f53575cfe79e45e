//! HEARTBEAT_V2 (41): MySQL's heartbeat for a reader that asked for it in its dump's flags; the position
//! has 64 bits.
//!
//! Fields of `type | length | value`, all three length-encoded where they are numbers, until a type of
//! 0 (`codecs::binary::Heartbeat` in the server's sources).

use super::{Error, EventType, Header, put_lenenc};
use crate::ids::ServerId;

const END: u64 = 0;
const FILE: u64 = 1;
const POSITION: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatV2<'a> {
    pub file: &'a [u8],
    pub position: u64,
}

impl<'a> HeartbeatV2<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let mut body = super::body(event, EventType::HEARTBEAT_V2)?;
        let (mut file, mut position) = (None, None);
        loop {
            let kind = body.lenenc_int()?;
            if kind == END {
                break;
            }
            let value = body.lenenc_bytes()?;
            match kind {
                FILE => file = Some(value),
                POSITION => position = Some(crate::cursor::Cursor::new(value).lenenc_int()?),
                // Whatever a later server adds.
                _ => {}
            }
        }
        match (file, position) {
            // A checksum that does not fit, for one: then nothing of it is to be believed.
            _ if !body.is_empty() => {
                Err(Error::Malformed("a heartbeat that goes on behind its end"))
            }
            (Some(file), Some(position)) => Ok(Self { file, position }),
            _ => Err(Error::Malformed("a heartbeat without file or position")),
        }
    }

    /// To be sealed, as servers do, with the position's lower half as `end_log_pos`.
    pub fn write(&self, server_id: ServerId) -> Vec<u8> {
        let mut event = Vec::with_capacity(64);
        Header::begin(EventType::HEARTBEAT_V2, server_id, 0).write(&mut event);
        let mut position = Vec::with_capacity(9);
        put_lenenc(&mut position, self.position);
        for (kind, value) in [(FILE, self.file), (POSITION, &position)] {
            put_lenenc(&mut event, kind);
            put_lenenc(&mut event, value.len() as u64);
            event.extend_from_slice(value);
        }
        put_lenenc(&mut event, END);
        event
    }
}
