//! The client/server protocol of MySQL and MariaDB: bytes in, bytes out.
//!
//! Nothing in here does IO or knows a clock. One message a file: its constants, how it is parsed, how
//! it is written, its tests. Bytes from a peer never panic; they become an [`Error`].
//!
//! - [`packet`], the 4-byte header and what happens at 2^24-1 bytes; [`compressed_packet`], the frame
//!   around compressed ones
//! - [`capabilities`], what both ends agreed on, MariaDB's upper half included
//! - [`handshake`], [`handshake_response`], [`auth`]: the login; [`change_user`], another one
//! - [`command`], what a client may send; [`query_attributes`], what may stand before its text
//! - [`response`], the state machine that says what each packet of an answer is
//! - [`ok`], [`err`], [`session_state`]: the ends of answers
//! - [`result_set`], writing small text results (the replication port answers with these)
//! - [`register_slave`], [`binlog_dump`], [`binlog_dump_gtid`], [`semi_sync`]: replication
//!
//! Layouts: "Client/Server Protocol" of MySQL's source documentation, "MariaDB Protocol" of MariaDB's
//! knowledge base, and what the servers really sent (see the golden bytes in the tests).

pub mod auth;
pub mod binlog_dump;
pub mod binlog_dump_gtid;
pub mod caching_sha2;
pub mod capabilities;
pub mod change_user;
pub mod command;
pub mod compressed_packet;
pub mod err;
pub mod fields;
pub mod handshake;
pub mod handshake_response;
pub mod ok;
pub mod packet;
pub mod password;
pub mod password_key;
pub mod proxy_header;
pub mod query_attributes;
pub mod register_slave;
pub mod response;
pub mod result_set;
pub mod semi_sync;
pub mod session_state;
pub mod stored_hash;

pub use capabilities::Capabilities;
pub use change_user::ChangeUser;
pub use command::Command;
pub use err::ErrPacket;
pub use handshake::Handshake;
pub use handshake_response::HandshakeResponse;
pub use ok::OkPacket;
pub use stored_hash::StoredHash;

/// A peer's bytes are not what the protocol says; the connection they came on is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{what} ends too early")]
    Truncated { what: &'static str },
    #[error("{what} is malformed: {why}")]
    Malformed {
        what: &'static str,
        why: &'static str,
    },
    #[error("a peer of protocol version {0} is too old")]
    Version(u8),
    #[error("packet {got} came where packet {expected} belongs")]
    Sequence { expected: u8, got: u8 },
}
