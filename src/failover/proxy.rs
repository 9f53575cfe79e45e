//! What a move needs of the proxy: what our binlog holds, whom we follow, and how servers are reached.

use std::path::PathBuf;
use std::time::Duration;

use super::facts::Walked;
use crate::ack::Still;
use crate::gtid::{GtidSet, Position};
use crate::ids::{Epoch, Flavor, ServerName};
use crate::net::admin::Account;
use crate::net::connect::split_address;
use crate::session::SessionInfo;
use crate::store::state::{FollowedSource, Intent, Point, Schedule};
use crate::topology::doctor::Endpoint;

/// The proxy, as whoever moves its source needs it. An error is a sentence.
pub trait Proxy: Clone + Send + Sync + 'static {
    /// As configured now.
    fn settings(&self) -> Settings;

    fn flavor(&self) -> Flavor;
    /// Everything that our binlog holds or stands for.
    fn stored(&self) -> GtidSet;
    /// The same as a replica is asked for it.
    fn end(&self) -> Position;
    fn released(&self) -> GtidSet;
    /// Until everything up to `position` is released.
    fn until_released(&self, position: &Position) -> impl Future<Output = ()> + Send;

    /// For at most so long nothing is acknowledged to the source, so nothing is committed there. None where that cannot
    /// begin just now.
    fn still(&self, longest: Duration) -> Option<Still>;

    /// The present source, and the epoch since which it is that.
    fn followed(&self) -> (ServerName, Epoch);
    /// What its event scheduler runs, as it was last asked.
    fn schedule(&self) -> Option<Schedule>;
    /// Who pulls from us.
    fn readers(&self) -> Vec<ServerName>;
    /// Replicas whose word counts now.
    fn voting(&self) -> Vec<ServerName>;
    /// Whether commits would return still, were these silent.
    fn bears_without(&self, silent: &[&ServerName]) -> bool;
    /// Walks the binlog of a server that is not the source.
    fn prove(
        &self,
        name: &ServerName,
        account: &Account,
    ) -> impl Future<Output = Result<Walked, String>> + Send;
    /// The last transaction that was met there when it was walked.
    fn point(&self, name: &ServerName) -> Option<Point>;

    /// Writes down what these transactions did there, for people, durably; in which file.
    fn export(
        &self,
        name: &ServerName,
        account: &Account,
        extra: &GtidSet,
    ) -> impl Future<Output = Result<PathBuf, String>> + Send;

    /// Sessions begin nothing new from here on, and new ones are not let in.
    fn hold(&self);
    /// They do again; those whose server is no longer the source are ended.
    fn let_go(&self);
    /// While they are held: sessions that run something, or keep something at the source.
    fn in_the_way(&self) -> Vec<SessionInfo>;
    /// Ends a session, by our own number.
    fn expel(&self, session: u64);
    /// The source's numbers of all sessions' connections.
    fn connections(&self) -> Vec<u32>;

    /// Kept beside the store; none when the move has ended.
    fn intend(&self, intent: Option<Intent>) -> impl Future<Output = Result<(), String>> + Send;
    /// Nobody is acknowledged to from here on. Until capture has left the source: what it has read by
    /// then is in the store.
    fn rest(&self) -> impl Future<Output = Result<(), String>> + Send;
    /// **The commit point**: kept beside the store, then everybody turns to it. `fences`: the one that is left may come
    /// back without knowing of it, and is kept from writes until it is home again.
    fn follow(
        &self,
        source: FollowedSource,
        epoch: Epoch,
        fences: bool,
    ) -> impl Future<Output = Result<(), String>> + Send;
    /// A server is a replica of ours again.
    fn came_home(&self, name: &ServerName) -> impl Future<Output = Result<(), String>> + Send;
    /// The present source is followed again. Until capture has heard of it.
    fn follow_on(&self) -> impl Future<Output = ()> + Send;
    /// Until sessions are served from the present source.
    fn opened(&self) -> impl Future<Output = ()> + Send;
    /// Why sessions are not served from this source.
    fn holds(&self, source: &ServerName) -> String;
}

/// Of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In the config's order, the source among them.
    pub servers: Vec<Server>,
    pub replication: Replication,
    /// `[failover] fence_command`.
    pub fence_command: Option<String>,
    /// `[failover] after_command`.
    pub after_command: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub name: ServerName,
    pub promotable: bool,
    pub account: Account,
}

/// How replicas follow us.
#[derive(Clone, Debug)]
pub struct Replication {
    /// The first address of `[listen] replication`.
    pub listen: Option<String>,
    pub user: String,
    pub password: String,
    /// They shall come encrypted.
    pub tls: bool,
}

impl Settings {
    pub fn account(&self, name: &ServerName) -> Result<&Account, String> {
        let server = self.servers.iter().find(|server| server.name == *name);
        let account = server.map(|server| &server.account);
        account.ok_or_else(|| format!("{name} is no [[server]] of the configuration any more"))
    }
}

impl Replication {
    /// How a replica reaches us: as another one did, or by what we listen on.
    pub fn endpoint(&self, known: Option<&(String, u16)>) -> Result<Endpoint, String> {
        let endpoint = match known {
            Some((host, port)) => Endpoint::new(host, *port, &self.user),
            None => {
                let listen = self.listen.as_deref();
                let listen = listen.ok_or("[listen] replication is empty")?;
                let (host, port) = split_address(listen, 3308);
                Endpoint::new(&host, port, &self.user)
            }
        };
        if endpoint.host.is_none() {
            return Err(
                "by which address replicas reach us is not known ([listen] replication names every address): run CHANGE MASTER TO there, ackline doctor prints it".into(),
            );
        }
        Ok(endpoint.encrypted(self.tls))
    }
}
