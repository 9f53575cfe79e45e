//! Binlog events (format v4) of both flavors: bytes in, structs out, no IO.
//!
//! ```text
//! header (19) | post-header and body | CRC32 (4, where the file's checksum algorithm is CRC32)
//! ```
//!
//! An event travels in one of two shapes. As *it came* it still ends with its checksum:
//! [`checksum::strip`] verifies and cuts it. All parsers below take the event *without* checksum;
//! [`checksum::seal`] is the way back. Only [`format_description`] is read as it came, since it is
//! what says whether there are checksums.
//!
//! MariaDB's [`gtid_event`], [`gtid_list`] and [`transaction`] have their counterparts of MySQL in
//! [`mysql_gtid`], [`previous_gtids`] and [`mysql_transaction`]; [`group`] serves both. A compressed
//! transaction is carried as it is, and unpacked by [`transaction_payload`] for who looks inside. Changed rows
//! are in [`rows`], read by the [`table_map`] before them.
//!
//! Formats: MariaDB's `sql/log_event.h` and <https://mariadb.com/kb/en/replication-protocol/>, MySQL's
//! "Binlog Event" chapter of the internals manual; what was seen of real servers is in
//! `tests/golden/`.
//!
//! Invariants: no input makes a parser panic, or take more memory than a small multiple of the event's
//! bytes; what is compressed unpacks to the limit that the caller names and not beyond
//! (`tests/suite/event_mutations.rs`); [`Header::length`] is never less than the header's own
//! [`HEADER_LENGTH`]; what `write` makes, the server's own tools read.

pub mod checksum;
pub mod digest;
mod event_type;
pub mod execute_load_query;
pub mod format_description;
pub mod group;
pub mod gtid_event;
pub mod gtid_list;
mod header;
pub mod heartbeat;
pub mod heartbeat_v2;
pub mod incident;
pub mod mysql_gtid;
pub mod mysql_transaction;
pub mod previous_gtids;
pub mod query;
pub mod rotate;
pub mod rows;
pub mod stop;
pub mod table_map;
pub mod transaction;
pub mod transaction_payload;
pub mod unpack;

use thiserror::Error;

pub use checksum::{Algorithm, CHECKSUM_LENGTH, seal, verify_checksum};
pub use event_type::EventType;
pub use group::{Start, TransactionTracker};
pub use header::{Flags, HEADER_LENGTH, Header};
pub use transaction::Step;

/// What every binlog file begins with.
pub const MAGIC: [u8; 4] = *b"\xfebin";

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("event is cut short: {0}")]
    Truncated(#[from] crate::cursor::Error),
    #[error("event of {bytes} bytes says that it has {says}")]
    Length { says: u32, bytes: usize },
    #[error("event of {0} bytes does not fit the format's 32-bit length")]
    TooLong(usize),
    #[error("checksum is {found:#010x}, the bytes make {computed:#010x}")]
    Checksum { found: u32, computed: u32 },
    #[error("{0} is no checksum algorithm that is known here")]
    Algorithm(u8),
    #[error("expected {expected}, found {found}")]
    Kind {
        expected: EventType,
        found: EventType,
    },
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0} is not decoded here")]
    ColumnType(table_map::ColumnType),
    #[error("rows of table {rows}, the table map is of {map}")]
    Table { rows: u64, map: u64 },
    #[error("{0} outside of any transaction")]
    OutsideTransaction(EventType),
    #[error("a transaction begins inside of {0}")]
    Nested(crate::gtid::Gtid),
    #[error("a transaction without GTID (is the source's gtid_mode ON?)")]
    Anonymous,
    #[error(transparent)]
    GtidSet(#[from] crate::gtid::EncodingError),
}

/// Where everything behind the header begins.
fn body(event: &[u8], expected: EventType) -> Result<crate::cursor::Cursor<'_>, Error> {
    let header = Header::parse(event)?;
    if header.kind != expected {
        return Err(Error::Kind {
            expected,
            found: header.kind,
        });
    }
    Ok(crate::cursor::Cursor::new(&event[HEADER_LENGTH..]))
}

/// The way back of [`crate::cursor::Cursor::lenenc_int`].
fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    let (head, length) = match value {
        0..=0xfa => (None, 1),
        0xfb..=0xffff => (Some(0xfc), 2),
        0x1_0000..=0xff_ffff => (Some(0xfd), 3),
        _ => (Some(0xfe), 8),
    };
    out.extend(head);
    out.extend_from_slice(&value.to_le_bytes()[..length]);
}

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod mysql_tests;
#[cfg(test)]
mod tests;
