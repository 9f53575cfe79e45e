//! Names and positions that every floor shares.
//!
//! They are newtypes so that a server id cannot be handed over where a file offset is meant, and so
//! that the compiler, not a reviewer, tells our own positions from the source's.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a `[[server]]` of the config, or `unlisted-<server id>` for a reader that is in none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Arc<str>);

impl ServerName {
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// What `status` calls a dump connection that belongs to no listed server.
    pub fn unlisted(id: ServerId) -> Self {
        Self(format!("unlisted-{id}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A failure zone (`[[server]] zone`).
pub type Zone = Arc<str>;

/// `@@server_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerId(pub u32);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The machine behind a name, as far as it can be told without reading its binlog: where it was met, and who
/// it says it is there. Names move from one to another; what a machine confirmed stays with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub address: String,
    pub server_id: ServerId,
    /// `@@server_uuid`, of a MySQL server.
    pub uuid: Option<String>,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server_id {}", self.server_id)?;
        if let Some(uuid) = &self.uuid {
            write!(f, ", uuid {uuid}")?;
        }
        write!(f, " at {}", self.address)
    }
}

/// A dump connection's place in the order in which dumps were accepted. Of each listed server only the
/// newest is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Voice(pub u64);

/// Which family a server belongs to; its GTIDs, events and variables follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    MariaDb,
    MySql,
}

impl Flavor {
    /// By `VERSION()`, or by the version in a greeting or a format description.
    pub fn of_version(version: &str) -> Self {
        if version.to_ascii_lowercase().contains("mariadb") {
            Self::MariaDb
        } else {
            Self::MySql
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        })
    }
}

impl FromStr for Flavor {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "mariadb" => Ok(Self::MariaDb),
            "mysql" => Ok(Self::MySql),
            _ => Err(format!("'{s}' is not a flavor: use mariadb or mysql")),
        }
    }
}

/// Grows by one with every move of the source; an ack made in an older epoch is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A place in **our** binlog: the number in `binlog.NNNNNN` and a byte offset in that file.
///
/// The order of positions is the order of transactions, so the arithmetic of acknowledgements is
/// arithmetic on this type. A position always names the *end* of a transaction (or of a file's
/// header, where none has been written yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StorePosition {
    pub file: u32,
    pub offset: u64,
}

impl StorePosition {
    /// Before everything: file numbers start at 1.
    pub const ZERO: Self = Self { file: 0, offset: 0 };

    pub fn new(file: u32, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl fmt::Display for StorePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "binlog.{:06}:{}", self.file, self.offset)
    }
}

/// A place in the **source's** binlog, as the source itself named it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourcePosition {
    pub file: Arc<str>,
    pub offset: u64,
}

impl SourcePosition {
    /// As COM_BINLOG_DUMP has it, in 32 bits. None of a place that no dump can be asked to begin at.
    pub fn dump_offset(&self) -> Option<u32> {
        u32::try_from(self.offset).ok()
    }
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// How far a server's confirmation of a transaction goes. Each level implies the ones before it
/// only where that server said so: `applied` without a binlog on disk is not `durable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// In the replica's relay log (page cache), or in our own store's page cache.
    Received,
    /// Fsynced there.
    Durable,
    /// Committed in the replica's engine, visible to its readers.
    Applied,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Received => "received",
            Self::Durable => "durable",
            Self::Applied => "applied",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.to_ascii_lowercase().as_str() {
            "received" => Ok(Self::Received),
            "durable" => Ok(Self::Durable),
            "applied" => Ok(Self::Applied),
            _ => Err(format!(
                "'{s}' is not a level: use received, durable or applied"
            )),
        }
    }
}
