//! MariaDB's GTID_LIST (163): the binlog state before the first transaction of a file.
//!
//! `count u32, its upper 4 bits are flags | per GTID: domain u32, server u32, sequence u64`; of each
//! domain the one listed last was written last.

use super::{Error, EventType, Flags, HEADER_LENGTH, Header};
use crate::gtid::mariadb::{BinlogState, Gtid};
use crate::ids::ServerId;

const COUNT: u32 = 0x0fff_ffff;
const GTID_LENGTH: usize = 16;
const FLAGS_AT: usize = 17;

pub fn parse(event: &[u8]) -> Result<Vec<Gtid>, Error> {
    let mut body = super::body(event, EventType::GTID_LIST)?;
    let count = (body.u32()? & COUNT) as usize;
    // The count is a stranger's word: what cannot be there is not allocated for.
    let mut gtids = Vec::with_capacity(count.min(body.remaining() / GTID_LENGTH));
    for _ in 0..count {
        let domain = body.u32()?;
        let server = body.u32()?;
        gtids.push(Gtid::new(domain, server, body.u64()?));
    }
    Ok(gtids)
}

/// Of the count's upper bits: a replica that follows UNTIL stops here.
const UNTIL_REACHED: u32 = 1 << 28;

/// For a dump only, to be sealed: the last event of one that ends where it was asked to.
pub fn until_reached(state: &BinlogState, server_id: ServerId) -> Vec<u8> {
    let mut event = write(state, server_id, 0);
    let artificial = Flags::ARTIFICIAL.to_le_bytes();
    event[FLAGS_AT..FLAGS_AT + 2].copy_from_slice(&artificial);
    // The count's highest byte.
    event[HEADER_LENGTH + 3] |= (UNTIL_REACHED >> 24) as u8;
    event
}

/// To be sealed.
pub fn write(state: &BinlogState, server_id: ServerId, timestamp: u32) -> Vec<u8> {
    let gtids = state.to_list();
    let mut event = Vec::with_capacity(64 + gtids.len() * GTID_LENGTH);
    Header::begin(EventType::GTID_LIST, server_id, timestamp).write(&mut event);
    event.extend_from_slice(&(gtids.len() as u32 & COUNT).to_le_bytes());
    for gtid in &gtids {
        event.extend_from_slice(&gtid.domain.to_le_bytes());
        event.extend_from_slice(&gtid.server.to_le_bytes());
        event.extend_from_slice(&gtid.seq.to_le_bytes());
    }
    // The server pads an empty list to its minimal length (GTID_LIST_HEADER_LEN + 2).
    if gtids.is_empty() {
        event.extend_from_slice(&[0, 0]);
    }
    event
}
