//! Who of the configured servers is who among those who pull, and whose word counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::histories::Histories;
use crate::ack::{Acks, Voter, Word};
use crate::config::{self, Config};
use crate::gtid::Position;
use crate::ids::{Level, ServerName, StorePosition};
use crate::net::admin::Account;
use crate::session::BoxFuture;
use crate::ship::{Identity, Roster};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::topology::health::Member;
use crate::topology::identity::{self, identify};
use crate::topology::voter::Reason;
use crate::topology::{Health, Role, ServerConfig, Ship, Topology, applied};

/// Every configured server, changed as the configuration is.
pub struct Servers {
    topology: Topology,
    roster: watch::Sender<Arc<Roster>>,
    wanted: watch::Receiver<Position>,
    acks: Acks,
    store: Store,
    histories: Histories,
    /// The replicas that are asked what they have applied.
    asked: Mutex<BTreeMap<ServerName, Asked>>,
    shutdown: Shutdown,
}

struct Asked {
    account: Account,
    /// How far it has applied, on its way to `acks`.
    applied: Arc<Mutex<Applied>>,
    _stop: DropGuard,
}

/// What a replica has applied, as it last said itself.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    pub said: Option<Position>,
    /// When the answer came.
    pub said_at: Option<Instant>,
    /// Up to there it has everything that our binlog holds; [`StorePosition::ZERO`] until it has said so.
    pub up_to: StorePosition,
}

pub fn account(server: &config::Server) -> Account {
    Account {
        address: server.address.clone(),
        user: server.user.clone(),
        password: server.password.expose().to_owned(),
        tls: server.tls.clone(),
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
        histories: Histories,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let servers = Arc::new(Self {
            topology: Topology::start(Vec::new(), &shutdown),
            roster: watch::Sender::new(Arc::default()),
            wanted,
            acks,
            store,
            histories,
            asked: Mutex::default(),
            shutdown,
        });
        servers.clone().follow();
        servers
    }

    pub fn roster(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    pub fn histories(&self) -> &Histories {
        &self.histories
    }

    /// In the config's order.
    pub fn list(&self) -> Vec<Member> {
        self.topology.members()
    }

    pub fn replicas(&self) -> Vec<(ServerName, Account)> {
        let members = self.list().into_iter().map(|member| member.config);
        let replicas = members.filter(|server| server.role == Role::Replica);
        replicas
            .map(|server| (server.name, server.account))
            .collect()
    }

    /// Who votes, and why not, in the config's order.
    pub fn identities(&self) -> Vec<identity::Identity> {
        let members = self.list();
        let health: Vec<Health> = members.iter().map(Member::now).collect();
        let mut identities = identify(members.iter().map(|member| &member.config).zip(&health));
        for (identity, member) in identities.iter_mut().zip(&members) {
            let reasons = match member.config.role {
                Role::Replica => self.histories.reasons(&identity.name),
                Role::Source => Vec::new(),
            };
            identity.votes &= reasons.is_empty();
            identity.reasons.extend(reasons);
        }
        identities
    }

    /// Starts and stops watching until the watched servers are the configured ones.
    pub fn configure(self: &Arc<Self>, config: &Config) {
        let servers: Vec<ServerConfig> = config.servers.iter().map(server_config).collect();
        {
            let mut asked = self.asked.lock();
            let replicas = servers.iter().filter(|server| server.role == Role::Replica);
            let mut known = std::mem::take(&mut *asked);
            for server in replicas {
                let kept = known
                    .remove(&server.name)
                    .filter(|asked| asked.account == server.account);
                let question = kept.unwrap_or_else(|| self.ask(server));
                asked.insert(server.name.clone(), question);
            }
        }
        self.topology.set_servers(servers);
        self.acks.set_voters(voters(config));
        self.publish();
    }

    /// One standing question to this replica, until the answer is dropped.
    fn ask(self: &Arc<Self>, server: &ServerConfig) -> Asked {
        let stop = CancellationToken::new();
        let known = Arc::new(Mutex::new(Applied::default()));
        let (servers, applied) = (self.clone(), known.clone());
        let question = applied::Question {
            name: server.name.clone(),
            account: server.account.clone(),
            counts: self.acks.applied_wanted(),
            wanted: self.wanted.clone(),
            report: move |name: &ServerName, answer| servers.applied(name, &applied, &answer),
        };
        let histories = self.histories.clone();
        let (servers, name) = (self.clone(), server.name.clone());
        let judged = move || -> BoxFuture<'static, bool> {
            let (servers, name) = (servers.clone(), name.clone());
            Box::pin(async move {
                let answered = servers.topology.ask_now(&name).await;
                servers.publish();
                answered
            })
        };
        let walks = histories.follow(server.name.clone(), server.account.clone(), judged);
        let stopped = stop.clone();
        self.shutdown.spawn_until_cancelled(async move {
            stopped.run_until_cancelled(question.run()).await;
        });
        let stopped = stop.clone();
        self.shutdown.spawn_until_cancelled(async move {
            stopped.run_until_cancelled(walks).await;
        });
        Asked {
            account: server.account.clone(),
            applied: known,
            _stop: stop.drop_guard(),
        }
    }

    /// Hears of each change of a server's health.
    fn follow(self: Arc<Self>) {
        self.shutdown.clone().spawn_until_cancelled(async move {
            let mut changes = self.topology.changes();
            while changes.changed().await.is_ok() {
                self.publish();
                self.polled();
            }
        });
    }

    fn polled(&self) {
        for member in self.list() {
            let Health::Up { report, at } = member.now() else {
                continue;
            };
            let name = &member.config.name;
            let known = self
                .asked
                .lock()
                .get(name)
                .map(|asked| asked.applied.clone());
            if let Some(known) = known {
                let answer = applied::Answer {
                    machine: report.machine(&member.config.account.address),
                    applied: report.applied.clone(),
                    asked: at,
                };
                self.applied(name, &known, &answer);
            }
        }
    }

    /// Of each replica that is configured to vote, whether it may just now or not.
    pub fn voters_applied(&self, config: &Config) -> Vec<(ServerName, Applied)> {
        let asked = self.asked.lock();
        let voters = config.servers.iter();
        voters
            .filter(|server| server.vote && server.role == config::Role::Replica)
            .map(|server| {
                let known = asked.get(&server.name);
                let known = known.map(|asked| asked.applied.lock().clone());
                (server.name.clone(), known.unwrap_or_default())
            })
            .collect()
    }

    fn applied(&self, name: &ServerName, known: &Mutex<Applied>, answer: &applied::Answer) {
        let mut known = known.lock();
        let position = &answer.applied;
        let falls = (known.said.as_ref()).is_some_and(|before| !position.covers(before));
        if falls && known.said_at.is_some_and(|said_at| answer.asked < said_at) {
            // It has said more since it was asked this.
            return;
        }
        let from = if falls {
            StorePosition::ZERO
        } else {
            known.up_to
        };
        let up_to = self.store.applied_up_to(from, position);
        if falls || (up_to.is_none() && known.up_to > StorePosition::ZERO) {
            // It was set up anew, its history was reset, or it is none of ours: what it had says nothing of
            // what it has.
            tracing::warn!(server = %name, said = ?known.said.as_ref().map(ToString::to_string), now = %position, "a server has not what it had: what it confirmed is taken back");
            let has = up_to.unwrap_or(StorePosition::ZERO);
            self.acks.fallen(name, &answer.machine, has);
        }
        known.up_to = up_to.unwrap_or(StorePosition::ZERO);
        known.said = Some(position.clone());
        known.said_at = Some(Instant::now());
        let votes = |identity: &Identity| identity.name == *name && identity.votes;
        if up_to.is_some() && self.roster.borrow().values().any(votes) {
            let word = Word::Answer(&answer.machine);
            self.acks.confirm(name, word, Level::Applied, known.up_to);
        }
    }

    fn publish(&self) {
        let members = self.list();
        let before = self.roster.borrow().clone();
        let voted: BTreeMap<&ServerName, bool> = (before.values())
            .map(|known| (&known.name, known.votes))
            .collect();
        let roster: Roster = members
            .iter()
            .zip(self.identities())
            .filter_map(|(member, identity)| {
                let listed = member.config.role == Role::Replica;
                let votes = listed && identity.votes;
                if let Some(voted) = voted.get(&identity.name)
                    && listed
                    && *voted != votes
                {
                    tell_of_vote(&identity.name, votes, &identity.reasons);
                }
                let known = Identity {
                    name: identity.name,
                    uuid: identity.uuid,
                    listed,
                    machine: identity.machine,
                    accepts_own: identity.accepts_own,
                    votes,
                    durable: identity.durable,
                };
                if listed {
                    // First who it is: what another machine confirmed under this name is not its own.
                    if let Some(machine) = &known.machine {
                        self.acks.identified(&known.name, machine);
                    }
                    self.acks.eligible(&known.name, known.votes);
                }
                Some((identity.server_id?, known))
            })
            .collect();
        self.roster.send_if_modified(|known| {
            let changed = **known != roster;
            if changed {
                *known = Arc::new(roster);
            }
            changed
        });
    }
}

fn tell_of_vote(server: &ServerName, votes: bool, reasons: &[Reason]) {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    match votes {
        true => tracing::info!(%server, "it is what a voter must be"),
        false => {
            tracing::warn!(%server, reasons = reasons.join("; "), "its word does not count any more");
        }
    }
}

/// A `[[server]]` as `topology/` needs it.
pub fn server_config(server: &config::Server) -> ServerConfig {
    ServerConfig {
        name: server.name.clone(),
        account: account(server),
        role: match server.role {
            config::Role::Source => Role::Source,
            config::Role::Replica => Role::Replica,
        },
        ship: Ship::Pull,
        zone: server.zone.as_deref().map(Into::into),
        vote: server.vote,
    }
}
