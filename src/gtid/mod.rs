//! Global transaction ids of both flavors, and sets of them.
//!
//! ```text
//! Gtid                   one transaction: MariaDB "0-1-187", MySQL "uuid:5" or "uuid:tag:5"
//! mariadb::Position      what a replica says it has: the last GTID of each domain
//! mariadb::BinlogState   what a binlog says it has: the last sequence per (domain, server), and
//!                        which server wrote last in each domain (gtid_binlog_state, GTID_LIST)
//! Position, State        either flavor's answer to the same two questions
//! encoding               MySQL's binary form of a set
//! GtidSet                exact membership, as intervals per (domain, server) or per uuid[:tag]
//! ```
//!
//! The first two of MariaDB are *claims by the highest number*: a position `0-1-100` does not tell
//! whether `0-2-60` is in it. So nothing that decides whether a transaction is safe may compare
//! positions: it asks a [`GtidSet`] (DESIGN.md, promise 5).
//!
//! Invariant of [`GtidSet`]: each origin's intervals are sorted, disjoint, not adjacent and never
//! empty, and no origin is listed without an interval. So two sets are equal exactly when their
//! fields are.

pub mod encoding;
mod interval;
pub mod mariadb;
pub mod mysql;
mod position;
mod set;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::ids::Flavor;

pub use encoding::EncodingError;
pub use position::{Position, State};
pub use set::{GtidSet, Origin};

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is not {expected}")]
pub struct ParseError {
    text: String,
    expected: &'static str,
}

impl ParseError {
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        // Whatever a peer sent may be long; the message need not be.
        let text = text.chars().take(80).collect();
        Self { text, expected }
    }
}

/// One transaction's id, of either flavor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gtid {
    MariaDb(mariadb::Gtid),
    MySql(mysql::Gtid),
}

impl Gtid {
    /// Who numbered this transaction: numbers are compared within one origin only.
    pub fn origin(&self) -> Origin {
        match self {
            Self::MariaDb(gtid) => Origin::MariaDb {
                domain: gtid.domain,
                server: gtid.server,
            },
            Self::MySql(gtid) => Origin::MySql {
                uuid: gtid.uuid,
                tag: gtid.tag.clone(),
            },
        }
    }

    pub fn number(&self) -> u64 {
        match self {
            Self::MariaDb(gtid) => gtid.seq,
            Self::MySql(gtid) => gtid.number,
        }
    }

    pub fn flavor(&self) -> Flavor {
        match self {
            Self::MariaDb(_) => Flavor::MariaDb,
            Self::MySql(_) => Flavor::MySql,
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MariaDb(gtid) => gtid.fmt(f),
            Self::MySql(gtid) => gtid.fmt(f),
        }
    }
}

impl FromStr for Gtid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.contains(':') {
            text.parse().map(Self::MySql)
        } else {
            text.parse().map(Self::MariaDb)
        }
    }
}

impl From<mariadb::Gtid> for Gtid {
    fn from(gtid: mariadb::Gtid) -> Self {
        Self::MariaDb(gtid)
    }
}

impl From<mysql::Gtid> for Gtid {
    fn from(gtid: mysql::Gtid) -> Self {
        Self::MySql(gtid)
    }
}

#[cfg(test)]
mod tests;
