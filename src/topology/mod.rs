//! The servers of the configuration: who they are, how they are, and who may vote.
//!
//! One task a server asks it every second over an administration connection, with statements that do
//! not hang on a source whose commits wait. What it learns is a [`Health`]; whether its owner may vote
//! is a pure function of that ([`voter::objections`]).
//!
//! Invariants: a server id counts as a server of ours only as long as it was read at that server's
//! own address; a server that cannot be asked keeps its identity (its acknowledgements come over its
//! own connection) but is shown as unreachable.

pub mod applied;
mod health;
pub mod voter;

use std::time::Duration;

use tokio::sync::watch;

use crate::ids::{ServerName, Zone};
use crate::net::admin::Account;
use crate::shutdown::Shutdown;

pub use health::{Facts, Health, ReplicaStatus};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Replica,
}

/// One server of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: ServerName,
    pub account: Account,
    pub role: Role,
    pub zone: Option<Zone>,
    pub vote: bool,
}

/// A server that is being watched.
#[derive(Clone, Debug)]
pub struct Watched {
    pub server: Server,
    pub health: watch::Receiver<Health>,
}

/// Starts watching a server; ends with `stop` or at shutdown.
pub fn watch_server(
    server: Server,
    every: Duration,
    shutdown: &Shutdown,
    stop: tokio_util::sync::CancellationToken,
) -> Watched {
    let (sender, health) = watch::channel(Health::Unreachable {
        reason: "not asked yet".into(),
        last: None,
    });
    let account = server.account.clone();
    let name = server.name.clone();
    let ending = shutdown.clone();
    shutdown.spawn(async move {
        tokio::select! {
            () = health::poll(&name, &account, every, &sender) => {}
            () = stop.cancelled() => {}
            () = ending.cancelled() => {}
        }
    });
    Watched { server, health }
}
