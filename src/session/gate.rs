//! What a session asks of the rest of Ackline. `app/` ties it to capture, topology and `ack/`.
//!
//! Each question has a quick form without waiting, which the relay asks for every packet, and a form
//! that waits. All waits are cancel-safe: a client that leaves drops them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::ack::policy::{Requirement, Unmeetable};
use crate::gtid::Gtid;
use crate::ids::Epoch;
use crate::net;
use crate::net::tls::Connector;
use crate::protocol::StoredHash;
use crate::sql::KillTarget;
use crate::store::origins::Origin;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The server that sessions are relayed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `host:port`; the name is resolved at each connect.
    pub address: String,
    pub tls: Connector,
    /// Tell the server the client's address in front of everything else (`proxy_protocol_networks`).
    pub send_proxy_protocol: bool,
    /// Sessions of an older epoch are ended: their server may be fenced.
    pub epoch: Epoch,
}

pub trait Gate: Send + Sync + 'static {
    /// No hold is in force: logins and commands may be relayed, answers passed on.
    fn is_open(&self) -> bool;
    /// Waits until no hold is in force.
    fn opened(&self) -> BoxFuture<'_, ()>;
    /// Why we hold, in words for the one who waits.
    fn hold_reason(&self) -> String;

    /// None while nobody is the source.
    fn source(&self) -> Option<Source>;
    /// The epoch of [`Self::source`], cheaply.
    fn epoch(&self) -> Epoch;

    /// Results may be shown: no commit is suspected to have slipped past the source's own gate.
    fn may_show_now(&self) -> bool;
    /// Waits until what was read from the source before this call may be shown.
    fn may_show(&self) -> BoxFuture<'_, ()>;

    /// The hashes of the passwords of those accounts of this name whose plugin we know, as far as they may be read.
    /// `again`: those that were told before do not fit.
    fn stored_hashes(&self, _user: Vec<u8>, _again: bool) -> BoxFuture<'_, Vec<StoredHash>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Asks the source for proof that the certificate which it shows now is its own.
    fn vouches_anew(&self) -> BoxFuture<'_, Result<(), net::Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// A session has seen which transaction it committed. On the way of the commit: it must be quick.
    fn committed(&self, _gtid: &Gtid, _origin: &Arc<Origin>) {}

    fn is_released_now(&self, gtid: &Gtid) -> bool;
    /// Waits until the policy in force has released this transaction.
    fn released(&self, gtid: Gtid) -> BoxFuture<'_, ()>;
    /// Waits until everything that the source has committed up to this call is released.
    fn everything_now(&self) -> BoxFuture<'_, ()>;

    /// Whether the voters, as they are configured, can ever meet what a session asks beyond the policy.
    fn can_be_met(&self, requirement: &Requirement) -> Result<(), Unmeetable>;
    /// Waits until this transaction is released and what the session asks holds for it.
    fn met(&self, gtid: Gtid, requirement: Arc<Requirement>) -> BoxFuture<'_, ()>;
    /// The same for everything that the source has committed up to this call.
    fn everything_met(&self, requirement: Arc<Requirement>) -> BoxFuture<'_, ()>;

    /// Whether a session that this KILL would hit waits at the source for its acknowledgement (then
    /// the KILL would make its commit visible without one).
    fn waits_for_ack(&self, target: KillTarget) -> BoxFuture<'_, bool>;

    /// How far our binlog is, for people.
    fn moment(&self) -> String {
        String::new()
    }

    /// The source of this epoch ended a session that was in the middle of a command.
    fn source_left(&self, epoch: Epoch);
}
