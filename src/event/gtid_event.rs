//! MariaDB's GTID (162): opens a transaction; there is no BEGIN in a MariaDB binlog.
//!
//! `sequence u64 | domain u32 | flags u8 | [commit id u64] | [XID] | [extra flags u8 …]`, filled with
//! zeros to 19 bytes (`Gtid_log_event` in the server's `log_event.cc`).

use super::{Error, EventType, Header};
use crate::gtid::mariadb::Gtid;

/// The flags of the event's post-header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GtidFlags(pub u8);

impl GtidFlags {
    /// One statement without COMMIT behind it: DDL, XA COMMIT.
    pub const STANDALONE: u8 = 0x01;
    /// A commit id of its group commit follows.
    pub const GROUP_COMMIT_ID: u8 = 0x02;
    /// Can be rolled back: no non-transactional engine takes part.
    pub const TRANSACTIONAL: u8 = 0x04;
    pub const ALLOW_PARALLEL: u8 = 0x08;
    /// The transaction had to wait for another one's row locks.
    pub const WAITED: u8 = 0x10;
    pub const DDL: u8 = 0x20;
    pub const PREPARED_XA: u8 = 0x40;
    pub const COMPLETED_XA: u8 = 0x80;

    pub fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    pub fn is_standalone(self) -> bool {
        self.has(Self::STANDALONE)
    }
}

/// One half of `binlog_alter_two_phase`: an ALTER whose end comes as a transaction of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterPhase {
    Start,
    /// Ends the ALTER that the named sequence began.
    Commit(u64),
    Rollback(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GtidEvent {
    pub gtid: Gtid,
    pub flags: GtidFlags,
    pub commit_id: Option<u64>,
    pub alter: Option<AlterPhase>,
}

const EXTRA_MULTI_ENGINE: u8 = 0x01;
const EXTRA_START_ALTER: u8 = 0x02;
const EXTRA_COMMIT_ALTER: u8 = 0x04;
const EXTRA_ROLLBACK_ALTER: u8 = 0x08;

impl GtidEvent {
    pub fn parse(event: &[u8]) -> Result<Self, Error> {
        let server = Header::parse(event)?.server_id.0;
        let mut body = super::body(event, EventType::GTID)?;
        let seq = body.u64()?;
        let domain = body.u32()?;
        let flags = GtidFlags(body.u8()?);
        let commit_id = match flags.has(GtidFlags::GROUP_COMMIT_ID) {
            true => Some(body.u64()?),
            false => None,
        };
        if flags.has(GtidFlags::PREPARED_XA | GtidFlags::COMPLETED_XA) {
            body.skip(4)?;
            let lengths = usize::from(body.u8()?) + usize::from(body.u8()?);
            body.skip(lengths)?;
        }
        // Older servers end here.
        let extra = if body.is_empty() { 0 } else { body.u8()? };
        if extra & EXTRA_MULTI_ENGINE != 0 {
            body.skip(1)?;
        }
        let alter = if extra & EXTRA_START_ALTER != 0 {
            Some(AlterPhase::Start)
        } else if extra & EXTRA_COMMIT_ALTER != 0 {
            Some(AlterPhase::Commit(body.u64()?))
        } else if extra & EXTRA_ROLLBACK_ALTER != 0 {
            Some(AlterPhase::Rollback(body.u64()?))
        } else {
            None
        };
        Ok(Self {
            gtid: Gtid::new(domain, server, seq),
            flags,
            commit_id,
            alter,
        })
    }
}
