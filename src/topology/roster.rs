//! The configured servers, as this floor needs them; `app/` makes them from `[[server]]`.

use std::fmt;

use crate::ids::{ServerName, Zone};
use crate::net::admin::Account;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Source,
    Replica,
}

/// How a server gets the binlog (`[[server]] ship`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ship {
    /// A native replica that dumps from our replication port.
    Pull,
    Push,
    Witness,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Replica => "replica",
        })
    }
}

impl fmt::Display for Ship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Witness => "witness",
        })
    }
}

/// One `[[server]]`. Its `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    pub name: ServerName,
    pub role: Role,
    pub zone: Option<Zone>,
    /// Whether its acknowledgements are wanted; whether they count is [`super::voter`]'s to say.
    pub vote: bool,
    pub ship: Ship,
    /// Address, and Ackline's own account there.
    pub account: Account,
}
