//! Packets over streams: the only floor (with the store) that does IO below the parts.
//!
//! - [`packets`], whole packets over a stream, for control and dump connections. A session relays
//!   with its own buffers, because it must not gather what it passes on.
//! - [`connect`], [`listener`]: sockets and their options; names are resolved at each connect
//! - [`stream`], a connection of any kind, and its [`halves`]; [`tls`], the encrypted one;
//!   [`compression`], the compressed one
//! - [`login`], our side of a login at a server; [`serve_login`]: a server's side of one at us
//! - [`admin`], questions to a server (mysql_async), for health checks, `doctor` and GTID waits

pub mod admin;
pub mod binlog_filters;
pub mod compression;
pub mod connect;
pub mod halves;
pub mod listener;
pub mod login;
pub mod packets;
pub mod serve_login;
pub mod stream;
pub mod tls;

pub use packets::{PacketReader, PacketStream, PacketWriter};

use crate::protocol::{self, ErrPacket};

/// What can go wrong on a connection, told apart by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network or the peer went away: trying again may help.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The peer closed the connection between two packets.
    #[error("the connection was closed")]
    Closed,
    /// The peer's bytes are not the protocol: the connection is of no more use.
    #[error(transparent)]
    Protocol(#[from] protocol::Error),
    /// The server answered with an error.
    #[error("the server says: {0}")]
    Server(ErrPacket),
    #[error("{address} cannot be resolved: {source}")]
    Resolve {
        address: String,
        source: std::io::Error,
    },
    #[error("no answer from {what} within {seconds:.1} s")]
    Timeout { what: String, seconds: f64 },
    /// A packet is larger than this connection takes.
    #[error("a packet of more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("TLS with the server: {0}")]
    Tls(std::io::Error),
    #[error("TLS is required, and the server offers none")]
    NoTls,
    #[error(
        "the certificate shown is not that of the server that knows our password: somebody is in between (if the server itself lost what it proved before, as after a downgrade, start ackline again; tls_ca names who signs)"
    )]
    Impostor,
    #[error("the server asks for the authentication plugin '{0}', which is not supported here")]
    AuthPlugin(String),
    /// An administration query failed in the client library.
    #[error(transparent)]
    Admin(mysql_async::Error),
}

impl From<mysql_async::Error> for Error {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            // Its own words say twice what it is.
            mysql_async::Error::Io(mysql_async::IoError::Io(error)) => Self::Io(error),
            other => Self::Admin(other),
        }
    }
}

impl Error {
    /// The code of an error that the server itself gave.
    pub fn server_code(&self) -> Option<u16> {
        match self {
            Self::Server(error) => Some(error.code),
            Self::Admin(mysql_async::Error::Server(error)) => Some(error.code),
            _ => None,
        }
    }

    /// Whether the account lacks a privilege for what was asked.
    pub fn is_denied(&self) -> bool {
        matches!(self.server_code(), Some(1044 | 1142 | 1227))
    }
}
