//! One application connection: login, relay, tracked state, commit gate, hold.
//!
//! ```text
//! arrival    the client's address, perhaps by PROXY header
//! login      the source's greeting and the client's answer are relayed; capabilities are patched
//! request    what a command is, and whether it may pass            (pure)
//! large      commands in parts                                 (pure)
//! relay      the states of a session: idle, sending, answering, …
//! answer     what the client sees of the source's answer           (pure)
//! tracking   last_gtid behind the client's back
//! gate       what a session asks of the rest: holds, releases, KILL
//! credentials  what logins teach
//! allowed    who may run replication hazards
//! registry   who is connected
//! hold       new transactions wait while the source is moved
//! locks      what a session keeps beyond its transaction          (pure)
//! guest      readers of our binlog with an account of the source
//! requirement  what a session asks beyond the policy              (pure)
//! ```
//!
//! Invariants:
//! - An OK that names a GTID, and everything behind it, is passed on only after `gate.released`.
//!   Where an answer may have committed and named nothing, only after `gate.everything_now`.
//! - The same OK waits for what its session asks beyond the policy, after what the policy asks.
//! - Nothing of a result is passed on while a hold is in force, or while a commit is suspected to
//!   have slipped past the source's own gate (`gate.may_show`), or when the source has moved.
//! - One command at a time is at the source; what a client sends ahead stays in order, bounded.
//! - Either end's leaving ends the other at once, whatever is under way.
//! - A statement that would make an acknowledgement a lie ([`crate::sql::hazard`]) reaches the source
//!   only from users who are listed for that.
//! - An idle session holds no buffer, and no session more than what it reads ahead: who does not read
//!   or write is waited for, as the source waits.

mod abandon;
mod agreed;
mod allowed;
pub mod answer;
mod arrival;
mod buffer;
mod config;
pub mod credentials;
pub mod gate;
pub mod guest;
pub mod hold;
pub mod large;
mod locks;
mod login;
mod metrics;
mod peers;
mod reader;
mod refusal;
pub mod registry;
mod relay;
pub mod request;
pub mod requirement;
mod tracking;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use allowed::AllowedUsers;
pub use config::Config;
pub use credentials::{KnownPasswords, LazyKey};
pub use gate::{BoxFuture, Gate, Source};
pub use metrics::Metrics;
pub use registry::{Activity, Full, Registry, SessionInfo};

use crate::net::listener::{Listeners, Peer as Address};
use crate::net::stream::Stream;
use crate::protocol::{self, ErrPacket};
use crate::shutdown::Shutdown;
use crate::sql::hazard::SessionVariable;
use crate::workers::Workers;
use peers::Peer;
use relay::Relay;

/// A client that was turned away has so long to hear it.
const LINGER: Duration = Duration::from_millis(500);

/// What all sessions share.
#[derive(Clone)]
pub struct Shared {
    pub gate: Arc<dyn Gate>,
    pub config: Arc<Config>,
    pub allowed: AllowedUsers,
    pub metrics: Metrics,
    pub registry: Registry,
    pub passwords: KnownPasswords,
    pub password_key: LazyKey,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    #[error("the client said goodbye")]
    Quit,
    #[error("the client left: {0}")]
    ClientLeft(io::Error),
    #[error("no TLS with the client: {0}")]
    ClientTls(io::Error),
    #[error("the source left: {0}")]
    SourceLeft(io::Error),
    /// In the middle of what it said.
    #[error("the source cut the connection: {0}")]
    SourceCut(io::Error),
    #[error("the client does not speak the protocol: {0}")]
    ClientProtocol(protocol::Error),
    #[error("the source does not speak the protocol: {0}")]
    SourceProtocol(protocol::Error),
    #[error("refused with error {0}")]
    Refused(u16),
    #[error("refused by the source")]
    RefusedBySource,
    /// It let the client in, and `init_connect` failed.
    #[error("given up by the source: {}", .0.message)]
    SourceAborts(ErrPacket),
    /// The server it was on is no longer the source.
    #[error("the source has moved")]
    Moved { between_commands: bool },
    /// A guest of the replication port asked for our binlog.
    #[error("it reads our binlog from here on")]
    Dump,
    /// By the source's word it has set a variable that it may not.
    #[error("it has set {} behind our back", .0.name())]
    Hazard(SessionVariable),
    #[error("shutting down")]
    Drained,
}

impl End {
    fn client(error: io::Error) -> Self {
        Self::ClientLeft(error)
    }

    fn source(error: io::Error) -> Self {
        Self::SourceLeft(error)
    }

    fn client_protocol(error: protocol::Error) -> Self {
        Self::ClientProtocol(error)
    }

    fn source_protocol(error: protocol::Error) -> Self {
        Self::SourceProtocol(error)
    }

    fn is_clients(&self) -> bool {
        matches!(
            self,
            Self::ClientLeft(_) | Self::ClientTls(_) | Self::ClientProtocol(_)
        )
    }
}

/// Accepts until shutdown, and serves each session on one of `workers`; after that sessions end at
/// their next command boundary. Returns when no more are accepted; `shutdown` waits for the sessions
/// themselves.
pub async fn serve(listeners: Listeners, workers: Workers, shared: Shared, shutdown: Shutdown) {
    loop {
        let (stream, peer) = tokio::select! {
            // Cancel-safe: a connection that was not accepted stays in the kernel's queue.
            accepted = listeners.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let Some(worker) = workers.idlest() else {
            break;
        };
        match stream.move_to(worker) {
            Ok(stream) => worker.spawn(&shutdown, run(stream, peer, shared.clone())),
            Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
        }
    }
    drop(listeners);
    shared.registry.drain();
}

/// Told why before it is cut. A close before its bytes are read (a PROXY header) would be a reset, and
/// those are faster than words.
async fn turn_away(mut client: Peer, full: Full, shared: &Shared) {
    let error = refusal::too_many(full);
    let words = async {
        let _ = login::refuse_unmet::<()>(&mut client, &error, shared).await;
        client.linger().await
    };
    let _ = tokio::time::timeout(LINGER, words).await;
}

/// One session from its first byte to its last.
async fn run(stream: Stream, peer: Address, shared: Shared) {
    shared.metrics.session();
    let mut client = Peer::new(stream);
    let entry = match shared.registry.enter(peer.to_string()) {
        Ok(entry) => entry,
        Err(full) => return Box::pin(turn_away(client, full, &shared)).await,
    };
    let id = entry.id();
    let (end, peer) = match arrival::ends(&mut client, &shared.config).await {
        Ok(ends) => {
            let peer = ends.map_or(peer, |ends| Address::Tcp(ends.client));
            entry.set_peer(peer.to_string());
            // Boxed, as all that is rare: its room would be the session's as long as it lives.
            let login = Box::pin(login::begin(client, ends, &shared, &entry));
            let end = match login.await {
                Ok((peers, agreed, lesson)) => {
                    Relay::new(peers, agreed, shared, entry).run(lesson).await
                }
                Err(end) => end,
            };
            (end, peer)
        }
        Err(end) => (end, peer),
    };
    match end {
        End::SourceProtocol(_) => tracing::warn!(session = id, %peer, "session ended: {end}"),
        End::ClientTls(_) => tracing::info!(session = id, %peer, "session ended: {end}"),
        _ => tracing::debug!(session = id, %peer, "session ended: {end}"),
    }
}
