//! Our binlog for those who pull it: the replication port.
//!
//! ```text
//! replica ── login ── questions ── COM_BINLOG_DUMP ──► dump ◄── store::Reader (limit: see below)
//!    └────────────── acks ──► ack_receiver ──► Acks::confirm
//! ```
//!
//! One task a reader, and nothing shared between them but the store's files: a slow reader holds back
//! its own socket only, and costs one bounded batch of memory.
//!
//! Invariants:
//! - A voter is sent what is written, since its answer is what releases it. Everybody else is sent
//!   only what is released and synced, so nobody without a vote is ever ahead of the truth.
//! - Who votes is said by the roster that is handed in, by the registered server id; it may change
//!   while a dump runs.
//! - An acknowledgement counts only up to what was sent on the same connection, and only while that is its
//!   server's voice ([`voices`]).
//! - A transaction with the reader's own server id goes only to a reader that is known to accept such: others
//!   drop it without a word, and acknowledge what comes after it.
//! - Who logs in with an account of the source ([`Guest`]: CDC readers) never counts as one of our
//!   servers, whatever it registers as.
//! - A replica that has what our store lacks is held with heartbeats, never sent error 1236: on it a
//!   MariaDB replica would stop for good.

pub mod about;
mod ack_receiver;
mod compatible;
mod connection;
mod dump;
mod error;
mod framer;
mod guest;
mod guest_session;
mod outbox;
mod progress;
pub mod questions;
mod request;
mod start;
mod until;
mod voices;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ack::Acks;
use crate::gtid::mysql::Uuid;
use crate::ids::{ServerId, ServerName};
use crate::net::listener::{Listeners, Peer};
use crate::net::stream::Stream;
use crate::net::tls::Acceptor;
use crate::shutdown::Shutdown;
use crate::store::Store;

pub use guest::{Guest, Guests};
pub use progress::{Identity, Progress, Reader, Readers};
use voices::Voices;

/// How long a drain waits for a replica that has not asked for the dump yet.
const LAST_QUESTIONS: Duration = Duration::from_millis(500);

/// Who is who among those who pull: server id → identity.
pub type Roster = HashMap<ServerId, Identity>;

pub struct Config {
    pub user: String,
    pub password: String,
    pub server_id: ServerId,
    /// What replicas are offered; changes while we run.
    pub tls: Acceptor,
}

impl Config {
    /// What MySQL replicas know us by: the same at each start, another one for each server id
    /// (version 5 of RFC 9562).
    fn server_uuid(&self) -> Uuid {
        use sha1::{Digest, Sha1};
        let digest = Sha1::digest(format!("ackline server_id {}", self.server_id));
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&digest[..16]);
        uuid[6] = uuid[6] & 0x0f | 0x50;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        Uuid(uuid)
    }
}

/// What the source last said of itself; kept while it is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFacts {
    /// It has said so, now or to an earlier start of ours: until then not even its flavor is known.
    pub known: bool,
    /// As a greeting says it.
    pub version: String,
    pub gtid_domain_id: u32,
}

/// What every connection of the replication port works with.
pub struct Ship {
    config: Config,
    store: Store,
    acks: Acks,
    roster: watch::Receiver<Arc<Roster>>,
    source: watch::Receiver<SourceFacts>,
    pub readers: Readers,
    voices: Mutex<Voices>,
    shutdown: Shutdown,
    next_connection: AtomicU32,
    /// For `KILL`: STOP SLAVE ends its dump from a second connection.
    connections: Mutex<HashMap<u32, CancellationToken>>,
}

impl Ship {
    pub fn new(
        config: Config,
        store: Store,
        acks: Acks,
        roster: watch::Receiver<Arc<Roster>>,
        source: watch::Receiver<SourceFacts>,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            store,
            acks,
            roster,
            source,
            readers: Readers::default(),
            voices: Mutex::default(),
            shutdown,
            next_connection: AtomicU32::new(1),
            connections: Mutex::default(),
        })
    }

    /// Accepts until shutdown. Who has no account of ours is one of `guests`.
    pub async fn listen(self: Arc<Self>, listeners: Listeners, guests: Guests) {
        loop {
            let (stream, peer) = tokio::select! {
                // Cancel-safe.
                accepted = listeners.accept() => accepted,
                () = self.shutdown.cancelled() => return,
            };
            if let Peer::Tcp(peer) = peer {
                self.clone().serve(stream, peer, guests.clone());
            }
        }
    }

    fn serve(self: Arc<Self>, stream: Stream, peer: SocketAddr, guests: Guests) {
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let killed = CancellationToken::new();
        self.connections.lock().insert(id, killed.clone());
        let shutdown = self.shutdown.clone();
        shutdown.clone().spawn(async move {
            let stage = watch::Sender::new(Stage::Login);
            let served = tokio::select! {
                served = connection::serve(&self, id, stream, peer, &guests, &stage) => served,
                () = killed.cancelled() => Ok(()),
                () = until_it_may_leave(&shutdown, &stage) => Ok(()),
            };
            self.connections.lock().remove(&id);
            if let Err(error) = served {
                tracing::info!(connection = id, %peer, %error, "a connection of the replication port ended");
            }
        });
    }

    /// Whether there was such a connection.
    fn kill(&self, id: u32) -> bool {
        match self.connections.lock().get(&id) {
            Some(token) => {
                token.cancel();
                true
            }
            None => false,
        }
    }

    /// Why a listed server has no voice though it is connected.
    pub fn contest(&self, name: &ServerName) -> Option<String> {
        self.voices.lock().contest(name)
    }

    /// Whether the server of this name is registered under another id by now.
    fn has_other_id(&self, name: &ServerName, id: ServerId) -> bool {
        let roster = self.roster.borrow();
        let mut servers = roster.iter();
        servers.any(|(known, identity)| identity.name == *name && *known != id)
    }

    /// Who registered so. A MySQL server shows its uuid as well; two can have the same id.
    fn identify(&self, id: ServerId, uuid: Option<&str>) -> Identity {
        let roster = self.roster.borrow();
        let listed = roster.get(&id).filter(|known| match &known.uuid {
            Some(known) => uuid.is_some_and(|uuid| uuid.eq_ignore_ascii_case(known)),
            None => true,
        });
        listed.cloned().unwrap_or_else(|| Identity::unlisted(id))
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Login,
    /// What a replica asks before it asks for the dump.
    Questions,
    /// Asked for.
    Dump,
}

/// A MariaDB replica that loses its source between its last question and its request for the dump gives up for
/// good, without an error in its status. So at a drain it is let come that far.
async fn until_it_may_leave(shutdown: &Shutdown, stage: &watch::Sender<Stage>) {
    shutdown.cancelled().await;
    let mut stage = stage.subscribe();
    let asked = stage.wait_for(|stage| *stage != Stage::Questions);
    let _ = tokio::time::timeout(LAST_QUESTIONS, asked).await;
}
