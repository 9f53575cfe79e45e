//! What a move of the source needs of us.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::following::Present;
use super::lost_and_found::{self, Owner};
use super::{App, keeper, roster};
use crate::ack::{Speech, Still};
use crate::capture::State;
use crate::failover::facts::Walked;
use crate::failover::proxy::{Proxy, Replication, Server, Settings};
use crate::gtid::{GtidSet, Position};
use crate::ids::{Epoch, Flavor, Machine, ServerName};
use crate::net::admin::Account;
use crate::session::SessionInfo;
use crate::store::state::{DurableState, FollowedSource, Intent, Point, Schedule};

#[derive(Clone)]
pub struct AppProxy(pub Arc<App>);

impl Proxy for AppProxy {
    fn settings(&self) -> Settings {
        let config = self.0.config.load();
        let servers = config.servers.iter().map(|server| Server {
            name: server.name.clone(),
            promotable: server.promotable,
            account: roster::account(server),
        });
        Settings {
            servers: servers.collect(),
            replication: Replication {
                listen: config.listen.replication.first().cloned(),
                user: config.replication.user.clone(),
                password: config.replication.password.expose().to_owned(),
                tls: config.tls.is_for_replicas(),
            },
            fence_command: config.failover.fence_command.clone(),
            after_command: config.failover.after_command.clone(),
        }
    }

    fn flavor(&self) -> Flavor {
        self.0.flavor()
    }

    fn stored(&self) -> GtidSet {
        self.0.store.executed()
    }

    fn end(&self) -> Position {
        self.0.store.end()
    }

    fn released(&self) -> GtidSet {
        self.0.acks.snapshot().released_set
    }

    fn until_released(&self, position: &Position) -> impl Future<Output = ()> + Send {
        self.0.acks.wait_position(position)
    }

    fn still(&self, longest: Duration) -> Option<Still> {
        self.0.acks.still(longest)
    }

    fn followed(&self) -> (ServerName, Epoch) {
        let present = self.0.following.present();
        (present.server.name.clone(), present.epoch)
    }

    fn schedule(&self) -> Option<Schedule> {
        self.0.store.durable().schedule
    }

    fn readers(&self) -> Vec<ServerName> {
        let readers = self.0.ship.readers.list().into_iter();
        readers.map(|reader| reader.identity.name).collect()
    }

    fn voting(&self) -> Vec<ServerName> {
        let heard = self.0.ship.readers.list().into_iter();
        let heard: Vec<ServerName> = heard
            .filter(|reader| reader.identity.votes)
            .map(|reader| reader.identity.name)
            .collect();
        let votes = self.0.servers.identities().into_iter();
        let votes = votes.filter(|identity| identity.votes);
        let votes = votes.map(|identity| identity.name);
        votes
            .filter(|name| heard.contains(name) && self.0.acks.speech(name) == Speech::Counts)
            .collect()
    }

    fn bears_without(&self, silent: &[&ServerName]) -> bool {
        self.0.acks.bears_without(silent)
    }

    async fn prove(&self, name: &ServerName, account: &Account) -> Result<Walked, String> {
        self.0.servers.histories().prove(name, account).await
    }

    fn point(&self, name: &ServerName) -> Option<Point> {
        self.0.servers.histories().point(name)
    }

    async fn export(
        &self,
        name: &ServerName,
        account: &Account,
        extra: &GtidSet,
    ) -> Result<PathBuf, String> {
        let dir = self.0.config.load().binlog.dir.clone();
        let owner = Owner {
            name: name.clone(),
            address: account.address.clone(),
            epoch: self.0.following.epoch(),
        };
        let exported = lost_and_found::export(dir, owner, account, extra).await;
        exported.map_err(|error| error.to_string())
    }

    fn hold(&self) {
        self.0.sessions.registry.hold().begin();
    }

    fn let_go(&self) {
        let registry = &self.0.sessions.registry;
        registry.leave_behind(self.0.following.epoch());
        registry.hold().end();
    }

    fn in_the_way(&self) -> Vec<SessionInfo> {
        self.0.sessions.registry.in_the_way()
    }

    fn expel(&self, session: u64) {
        self.0.sessions.registry.expel(session);
    }

    fn connections(&self) -> Vec<u32> {
        let sessions = self.0.sessions.registry.list().into_iter();
        sessions.map(|session| session.connection).collect()
    }

    async fn intend(&self, intent: Option<Intent>) -> Result<(), String> {
        let source = keeper::present(&self.0.capture, &self.0.following);
        self.keep(|state| {
            // A move may come before the first look of the keeper; whom it leaves has to be fenced all the same.
            if intent.is_some() && state.source.is_none() {
                state.source = source;
            }
            state.moving = intent;
        })
        .await
    }

    async fn rest(&self) -> Result<(), String> {
        self.0.following.rest();
        let mut state = self.0.capture.state.clone();
        let left = state.wait_for(|state| matches!(state, State::Resting));
        left.await.map(drop).map_err(|error| error.to_string())
    }

    async fn follow(
        &self,
        source: FollowedSource,
        epoch: Epoch,
        fences: bool,
    ) -> Result<(), String> {
        let name = &source.name;
        let config = self.0.config.load_full();
        let server = config.server(name).cloned();
        let gone = || format!("{name} is no [[server]] of the configuration any more");
        let server = server.ok_or_else(gone)?;
        self.keep(move |state| {
            state.epoch = epoch;
            state.fenced.remove(&source.name);
            let left = state.source.replace(source);
            if let Some(left) = left.filter(|_| fences)
                && let Some(server) = config.server(&left.name)
            {
                let machine = Machine {
                    address: server.address.clone(),
                    server_id: left.server_id,
                    uuid: left.uuid,
                };
                state.fenced.insert(left.name, machine);
            }
        })
        .await?;
        self.0.follow(Present { server, epoch });
        Ok(())
    }

    async fn came_home(&self, name: &ServerName) -> Result<(), String> {
        let name = name.clone();
        self.keep(move |state| drop(state.fenced.remove(&name)))
            .await
    }

    async fn follow_on(&self) {
        let following = &self.0.following;
        following.follow((*following.present()).clone());
        let _ = self.0.capture.state.clone().changed().await;
    }

    async fn opened(&self) {
        self.0.guard.opened().await;
    }

    fn holds(&self, source: &ServerName) -> String {
        let state = self.0.capture.state.borrow().clone();
        let held = state.holds(source);
        held.unwrap_or_else(|| "its commits are looked at".into())
    }
}

impl AppProxy {
    /// Three fsyncs.
    pub(super) async fn keep(
        &self,
        change: impl FnOnce(&mut DurableState) + Send + 'static,
    ) -> Result<(), String> {
        let store = self.0.store.clone();
        let kept = tokio::task::spawn_blocking(move || store.change_durable(change)).await;
        let kept = kept.map_err(anyhow::Error::from);
        let kept = kept.and_then(|kept| kept.map_err(anyhow::Error::from));
        kept.map(drop).map_err(|error| format!("{error:#}"))
    }
}

impl App {
    /// Everybody turns to this server, in its epoch. What is kept says so already.
    fn follow(&self, present: Present) {
        let _changing = self.changing.lock();
        self.acks.set_epoch(present.epoch);
        let name = present.server.name.clone();
        self.console.follow(roster::account(&present.server));
        self.following.follow(present);
        if let Some(config) = (**self.config.load()).clone().with_source(&name) {
            self.servers.configure(&config);
            self.config.store(Arc::new(config));
        }
    }
}
