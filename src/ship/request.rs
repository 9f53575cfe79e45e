//! What a reader asks of its dump, and as whom.

use super::outbox::HeartbeatFormat;
use crate::ids::ServerId;
use crate::protocol::binlog_dump::BinlogDump;
use crate::protocol::binlog_dump_gtid::BinlogDumpGtid;

/// How a reader came to its dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registered {
    /// Not at all: a tool that copies files.
    No,
    /// With our account.
    As(ServerId),
    /// With an account of the source; it is nobody of ours, whatever it says.
    Guest(ServerId),
}

/// The dump that was asked for, by either command.
pub(super) struct Request {
    pub server_id: ServerId,
    /// Ends at the end of the last file instead of waiting for more.
    pub non_block: bool,
    /// Where there is no GTID to start from: an empty name is the first file.
    pub file: Vec<u8>,
    pub position: u64,
    pub heartbeat: HeartbeatFormat,
}

impl From<BinlogDump> for Request {
    fn from(dump: BinlogDump) -> Self {
        Self {
            server_id: dump.server_id,
            non_block: dump.flags & BinlogDump::NON_BLOCK != 0,
            file: dump.file,
            position: u64::from(dump.position),
            heartbeat: HeartbeatFormat::V1,
        }
    }
}

impl From<BinlogDumpGtid> for Request {
    fn from(dump: BinlogDumpGtid) -> Self {
        Self {
            server_id: dump.server_id,
            non_block: dump.flags & BinlogDumpGtid::NON_BLOCK != 0,
            file: dump.file,
            position: dump.position,
            heartbeat: if dump.flags & BinlogDumpGtid::HEARTBEAT_V2 != 0 {
                HeartbeatFormat::V2
            } else {
                HeartbeatFormat::V1
            },
        }
    }
}
