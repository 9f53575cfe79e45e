//! Who comes to the replication port with an account of the source: a reader of binlogs (CDC) that
//! asks its source other things, too.
//!
//! Who it is and what it may is for the source to say, so its session is one with the source; when it
//! asks for events it is handed back to us.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::net::stream::Stream;
use crate::protocol::HandshakeResponse;

/// A connection after its login packet, to which nothing was answered.
pub struct Guest {
    pub id: u32,
    pub stream: Stream,
    /// What was read of it behind the login packet.
    pub ahead: Vec<u8>,
    pub peer: SocketAddr,
    pub login: HandshakeResponse,
    /// Of the login packet.
    pub sequence: u8,
}

/// Runs a guest's session to its end. Given by who knows sessions.
pub type Guests = Arc<dyn Fn(Guest) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;
