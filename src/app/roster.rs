//! Who of the configured servers is who among those who pull, and whose word counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ack::{Acks, Voter};
use crate::config::{self, Config};
use crate::gtid::mariadb::Position;
use crate::ids::{Level, ServerName, StorePosition};
use crate::net::admin::Account;
use crate::ship::{Identity, Roster};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::topology::{self, Health, Watched, applied, voter};

const POLL: Duration = Duration::from_secs(1);

/// Every watched server, changed as the configuration is.
pub struct Servers {
    watched: Mutex<BTreeMap<ServerName, (Watched, CancellationToken)>>,
    roster: watch::Sender<Arc<Roster>>,
    wanted: watch::Receiver<Position>,
    acks: Acks,
    store: Store,
    shutdown: Shutdown,
}

pub fn account(server: &config::Server) -> Account {
    Account {
        address: server.address.clone(),
        user: server.user.clone(),
        password: server.password.expose().to_owned(),
    }
}

pub fn voters(config: &Config) -> Vec<Voter> {
    config
        .servers
        .iter()
        .filter(|server| server.vote)
        .map(|server| Voter {
            name: server.name.clone(),
            zone: server.zone.as_deref().map(Into::into),
            is_source: server.role == config::Role::Source,
        })
        .collect()
}

impl Servers {
    pub fn new(
        acks: Acks,
        store: Store,
        wanted: watch::Receiver<Position>,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        Arc::new(Self {
            watched: Mutex::default(),
            roster: watch::Sender::new(Arc::default()),
            wanted,
            acks,
            store,
            shutdown,
        })
    }

    pub fn roster(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    pub fn list(&self) -> Vec<Watched> {
        self.watched
            .lock()
            .values()
            .map(|(watched, _)| watched.clone())
            .collect()
    }

    /// Starts and stops watching until the watched servers are the configured ones.
    pub fn configure(self: &Arc<Self>, config: &Config) {
        let mut watched = self.watched.lock();
        let wanted: BTreeMap<ServerName, topology::Server> = config
            .servers
            .iter()
            .map(|server| (server.name.clone(), described(server)))
            .collect();
        watched.retain(|name, (known, stop)| {
            let stays = wanted.get(name) == Some(&known.server);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for (name, server) in wanted {
            watched.entry(name).or_insert_with(|| {
                let stop = CancellationToken::new();
                let known = topology::watch_server(server, POLL, &self.shutdown, stop.clone());
                if known.server.role == topology::Role::Replica {
                    self.clone().follow(known.clone(), stop.clone());
                }
                (known, stop)
            });
        }
        drop(watched);
        self.acks.set_voters(voters(config));
        self.publish();
    }

    /// Hears of a replica's health and of what it has applied.
    fn follow(self: Arc<Self>, replica: Watched, stop: CancellationToken) {
        let shutdown = self.shutdown.clone();
        let ending = shutdown.clone();
        shutdown.spawn(async move {
            let name = replica.server.name.clone();
            let known = Mutex::new(StorePosition::ZERO);
            let tell = |position: Position| {
                let mut known = known.lock();
                *known = self.store.applied_up_to(*known, &position);
                if voter::objections(&replica.health.borrow()).is_empty() {
                    self.acks.confirm(&name, Level::Applied, *known);
                }
            };
            let mut health = replica.health.clone();
            let polled = async {
                while health.changed().await.is_ok() {
                    let position = match &*health.borrow_and_update() {
                        Health::Reachable(facts) => Some(facts.applied.clone()),
                        Health::Unreachable { .. } => None,
                    };
                    if let Some(position) = position {
                        tell(position);
                    }
                    self.publish();
                }
            };
            tokio::select! {
                () = polled => {}
                () = applied::follow(&replica.server.account, self.acks.applied_wanted(), self.wanted.clone(), tell) => {}
                () = stop.cancelled() => {}
                () = ending.cancelled() => {}
            }
        });
    }

    fn publish(&self) {
        let mut roster = Roster::new();
        for watched in self.list() {
            let health = watched.health.borrow().clone();
            let Some(facts) = health.facts() else {
                continue;
            };
            let replica = watched.server.role == topology::Role::Replica;
            let identity = Identity {
                name: watched.server.name.clone(),
                listed: replica,
                votes: replica && watched.server.vote && voter::objections(&health).is_empty(),
                durable: facts.variable("sync_relay_log") == "1",
            };
            roster.insert(facts.server_id, identity);
        }
        self.roster.send_if_modified(|known| {
            let changed = **known != roster;
            if changed {
                *known = Arc::new(roster);
            }
            changed
        });
    }
}

fn described(server: &config::Server) -> topology::Server {
    topology::Server {
        name: server.name.clone(),
        account: account(server),
        role: match server.role {
            config::Role::Source => topology::Role::Source,
            config::Role::Replica => topology::Role::Replica,
        },
        zone: server.zone.as_deref().map(Into::into),
        vote: server.vote,
    }
}
