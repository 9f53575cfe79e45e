//! `config.toml`: what it may say, what is assumed where it is silent, and what is wrong with it.
//!
//! Every key is read by [`section`], which knows where it stands; so an error names file, line and
//! column and says what to write. Relative paths start at the file's folder. What a running proxy can
//! take over is [`Config::reloadable_diff`]; `[sync]` is written back by [`write_sync`].
//!
//! The committed `config.toml` is the complete example; a test holds that it says the defaults.

mod address;
mod changes;
mod edit;
mod read;
mod secret;
mod section;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::ack::Voter;
use crate::ack::policy::Sync;
use crate::ids::{ServerId, ServerName, Zone};
use crate::net::connect::split_address;
use crate::net::tls;
use crate::verify::MAX_LAG;

pub use crate::ack::policy::SyncPatch;
pub use crate::store::Keep;
pub use changes::{Changes, NeedsRestart};
pub use edit::{WriteError, write_sync};
pub use secret::Secret;
pub use section::{Error, Errors};

/// The id under which Ackline registers at the source, and which replicas see as their source's. High,
/// so that it is nobody's by accident; a second Ackline at the same source needs another one.
pub const DEFAULT_SERVER_ID: ServerId = ServerId(4_294_900_001);

pub const DEFAULT_MYSQL_PORT: u16 = 3307;
pub const DEFAULT_REPLICATION_PORT: u16 = 3308;
pub const DEFAULT_ADMIN_PORT: u16 = 3309;
const DEFAULT_FILE_SIZE: u64 = 128 << 20;
/// The smallest useful file holds some transactions; the largest is what 32-bit offsets can name.
const FILE_SIZES: std::ops::RangeInclusive<u64> = (64 << 10)..=(2 << 30);
/// Before MariaDB's and MySQL's own connect_timeout (10 s) strikes: those count as connect errors of ours.
const DEFAULT_LOGIN_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a login waits while nobody may be served, by default.
const DEFAULT_HOLD: Duration = Duration::from_secs(10);
const DEFAULT_KEEP: Keep = Keep::time(Duration::from_secs(7 * 86_400));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Replica,
}

/// `[listen]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Applications.
    pub mysql: Vec<String>,
    /// The same, by unix socket.
    pub socket: Option<PathBuf>,
    /// Who passes applications on and begins with a PROXY header.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Replicas that pull, and dump tools.
    pub replication: Vec<String>,
    pub admin: Vec<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            mysql: vec![format!("0.0.0.0:{DEFAULT_MYSQL_PORT}")],
            socket: None,
            proxy_protocol_from: Vec::new(),
            replication: vec![format!("0.0.0.0:{DEFAULT_REPLICATION_PORT}")],
            admin: vec![format!("127.0.0.1:{DEFAULT_ADMIN_PORT}")],
        }
    }
}

/// `[[server]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: ServerName,
    /// `host:port`; a name is resolved at each connect.
    pub address: String,
    pub role: Role,
    pub zone: Option<Zone>,
    pub vote: bool,
    pub promotable: bool,
    /// Ackline's account there.
    pub user: String,
    pub password: Secret,
    /// Sessions tell it the client's address.
    pub send_proxy_protocol: bool,
    /// `tls` and the keys that begin with it.
    pub tls: tls::Connector,
}

/// `[tls]`: towards those who connect to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Applications.
    pub mode: tls::Mode,
    /// Replicas and dump tools.
    pub replication: tls::Mode,
    /// Without them we make a certificate for ourselves.
    pub files: Option<tls::ServerFiles>,
    /// Beside a certificate of our own making.
    pub client_ca: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            mode: tls::Mode::Preferred,
            replication: tls::Mode::Preferred,
            files: None,
            client_ca: None,
        }
    }
}

impl Tls {
    /// Whether replicas that we set up shall come encrypted. Where nobody has asked for it, they come as their
    /// server does by itself.
    pub fn is_for_replicas(&self) -> bool {
        match self.replication {
            tls::Mode::Off => false,
            tls::Mode::Preferred => self.files.is_some(),
            tls::Mode::Required => true,
        }
    }
}

/// `[binlog]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binlog {
    pub dir: PathBuf,
    pub format: BinlogFormat,
    /// A file that has grown to this many bytes is followed by a new one.
    pub file_size: u64,
    /// What stays though nobody needs it any more.
    pub keep: Keep,
    /// What is beyond goes though a voting replica needs it.
    pub keep_at_most: Keep,
    pub provision: Provision,
}

/// Who makes a replica of a listed server that is empty, or whose files are purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provision {
    /// `ackline provision`.
    Manual,
    /// We do by ourselves; never of one that has anything of its own.
    Auto,
}

/// What the source is asked to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinlogFormat {
    Mixed,
    Row,
    Statement,
}

impl fmt::Display for BinlogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mixed => "mixed",
            Self::Row => "row",
            Self::Statement => "statement",
        })
    }
}

/// `[replication]`: who may dump from us, and who we are to replicas and to the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    pub user: String,
    /// Empty only where `[listen] replication` is.
    pub password: Secret,
    pub server_id: ServerId,
}

/// `[failover]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// How long a login or a command waits while nobody may be served.
    pub hold: Duration,
    /// A source that comes back after a failover, with nothing of its own, becomes a replica by itself.
    pub auto_rejoin: bool,
    /// Run by the shell before anything is promoted; where it fails, the move is taken back.
    pub fence_command: Option<String>,
    /// The same after a move; where it fails, the move stands.
    pub after_command: Option<String>,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            hold: DEFAULT_HOLD,
            auto_rejoin: false,
            fence_command: None,
            after_command: None,
        }
    }
}

/// `[verify]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// The proxy compares all rows by itself, so long after the end of the last time. None: it does not.
    pub every: Option<Duration>,
    /// It rests while a replica is farther behind.
    pub max_lag: Duration,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            every: None,
            max_lag: MAX_LAG,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// `[[user]]`: an application account whose login teaches us nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: Secret,
}

/// A whole, valid file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub path: PathBuf,
    pub listen: Listen,
    /// In the file's order; exactly one is the source.
    pub servers: Vec<Server>,
    pub sync: Sync,
    /// `[sync]` as it is written.
    pub sync_keys: SyncPatch,
    pub binlog: Binlog,
    pub replication: Replication,
    /// `[admin] token`. None: calls that change something are off.
    pub admin_token: Option<Secret>,
    pub failover: Failover,
    pub verify: Verify,
    /// `[sessions] allow_hazards`: users whose replication hazards are not refused.
    pub allow_hazards: Vec<String>,
    /// `[sessions] max_connections`; 0 leaves it to the source.
    pub max_connections: usize,
    /// `[sessions] login_timeout`: for the login packet, and for each answer in the dialogue after it.
    pub login_timeout: Duration,
    pub tls: Tls,
    pub log: Log,
    pub users: Vec<User>,
}

impl Config {
    pub fn load(path: &Path) -> Result<Self, Errors> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) => Err(Errors(vec![Error {
                path: path.to_owned(),
                line: 1,
                column: 1,
                message: format!("cannot be read: {error}"),
            }])),
        }
    }

    /// `path` is where the text comes from: for messages, and for relative paths in it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Errors> {
        read::config(path, text)
    }

    /// The server with `role = "source"`: where a proxy without a history begins.
    pub fn source(&self) -> &Server {
        let source = self.servers.iter().find(|s| s.role == Role::Source);
        // `read` lets no file through without one.
        source.unwrap_or(&self.servers[0])
    }

    /// The same with another one as the source. None if there is no such server.
    #[must_use]
    pub fn with_source(mut self, name: &ServerName) -> Option<Self> {
        self.server(name)?;
        for server in &mut self.servers {
            server.role = match server.name == *name {
                true => Role::Source,
                false => Role::Replica,
            };
        }
        Some(self)
    }

    /// The server that somebody means by its name, or by its address (`host:port`, or the host alone) as other tools know
    /// it; the text as a name where it is not exactly one.
    pub fn meant(&self, text: &str) -> ServerName {
        let name = ServerName::new(text);
        if self.server(&name).is_some() {
            return name;
        }
        let host = |server: &Server| split_address(&server.address, 3306).0;
        let is_meant = |server: &&Server| server.address == text || host(server) == text;
        let mut meant = self.servers.iter().filter(is_meant);
        match (meant.next(), meant.next()) {
            (Some(server), None) => server.name.clone(),
            _ => name,
        }
    }

    pub fn server(&self, name: &ServerName) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == *name)
    }

    /// All servers with `vote = true`, in the file's order, while `source` is the source.
    pub fn voters(&self, source: &ServerName) -> Vec<Voter> {
        voters(&self.servers, source)
    }

    /// What of `new` takes effect only at the next start.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        changes::needs_restart(self, new)
    }

    /// What a running proxy has to do to go from this file to `new`.
    pub fn reloadable_diff(&self, new: &Self) -> Result<Changes, NeedsRestart> {
        changes::between(self, new)
    }
}

fn voters(servers: &[Server], source: &ServerName) -> Vec<Voter> {
    servers
        .iter()
        .filter(|server| server.vote)
        .map(|server| Voter {
            name: server.name.clone(),
            zone: server.zone.clone(),
            is_source: server.name == *source,
        })
        .collect()
}

#[cfg(test)]
mod tests;
