//! `config.toml`: every key, its default and its check. Parsed, not validated later: what is loaded
//! can be served.
//!
//! Unknown keys are errors; an error says file, line and column, and what to write instead. Relative
//! paths start at the config file's folder.

mod edit;
mod raw;
mod units;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ack::Sync;
use crate::ids::{ServerId, ServerName};

pub use edit::{SyncPatch, write_sync};

/// A password or token: shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// To be used where it goes over the wire and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The parser's own words carry line and column.
    #[error("{}: {message}", path.display())]
    Parse { path: PathBuf, message: String },
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Replica,
}

/// One `[[server]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: ServerName,
    pub address: String,
    pub role: Role,
    pub zone: Option<String>,
    pub vote: bool,
    pub promotable: bool,
    pub user: String,
    pub password: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub mysql: Vec<String>,
    pub socket: Option<PathBuf>,
    pub replication: Vec<String>,
    pub admin: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    pub user: String,
    pub password: Secret,
    pub server_id: ServerId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinlogFormat {
    Statement,
    Row,
    Mixed,
}

impl fmt::Display for BinlogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Statement => "statement",
            Self::Row => "row",
            Self::Mixed => "mixed",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binlog {
    pub dir: PathBuf,
    pub format: BinlogFormat,
    pub file_size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub listen: Listen,
    pub servers: Vec<Server>,
    pub sync: Sync,
    pub binlog: Binlog,
    pub replication: Replication,
    pub admin_token: Option<Secret>,
    /// How long a login waits while nobody may be served.
    pub hold: Duration,
    pub log: Log,
}

impl Config {
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        raw::parse(&text, path)
    }

    /// There is exactly one.
    pub fn source(&self) -> &Server {
        self.servers
            .iter()
            .find(|server| server.role == Role::Source)
            .unwrap_or(&self.servers[0])
    }

    pub fn replicas(&self) -> impl Iterator<Item = &Server> {
        self.servers
            .iter()
            .filter(|server| server.role == Role::Replica)
    }

    /// What a running proxy would need a restart for; `[sync]`, `[log]` level and the replicas it
    /// takes as they come.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        let mut differs = |name, differs: bool| {
            if differs {
                changed.push(name);
            }
        };
        differs("[listen]", self.listen != new.listen);
        differs("the source's [[server]]", self.source() != new.source());
        differs("[binlog]", self.binlog != new.binlog);
        differs("[replication]", self.replication != new.replication);
        differs("[admin]", self.admin_token != new.admin_token);
        differs("[failover]", self.hold != new.hold);
        differs("[log] format", self.log.format != new.log.format);
        changed
    }
}

#[cfg(test)]
mod tests;
