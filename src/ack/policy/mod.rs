//! What must be confirmed before a commit returns: the `require` language and the short `mode`s.
//!
//! ```text
//! require := and { OR and }
//! and     := term { AND term }
//! term    := LOCAL received|durable
//!          | ANY k "(" who {"," who} ")" level
//!          | FIRST k "(" who {"," who} ")" level
//!          | ALL [ "(" who {"," who} ")" ] level
//!          | MAJORITY level
//!          | "(" require ")"
//! who     := a server's name | zone:NAME | *
//! level   := received | durable | applied
//! ```
//!
//! AND binds closer than OR; keywords are read in any case and printed in capitals.

mod require;
mod sync;

use std::fmt;
use std::num::NonZeroUsize;

use thiserror::Error;

use super::voter::Voter;
use crate::ids::{Level, ServerName, Zone};

pub use require::ParseError;
pub use sync::{DEFAULT_TIMEOUT, Mode, OnTimeout, Sync, SyncError, SyncPatch};

/// Whom a condition speaks of; always voters other than the present source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// `*`
    Everyone,
    /// `zone:NAME`
    Zone(Zone),
    Name(ServerName),
}

impl Who {
    pub fn matches(&self, name: &ServerName, zone: Option<&Zone>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Zone(wanted) => zone == Some(wanted),
            Self::Name(wanted) => name == wanted,
        }
    }
}

/// A condition on who has confirmed what. Positions in, a position out: see [`super::quorum`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// Our own store: `received` is written, `durable` is fsynced.
    Local(Level),
    /// At least `count` of `among`.
    Any {
        count: NonZeroUsize,
        among: Vec<Who>,
        level: Level,
    },
    /// Each of the first `count` of `among`, in that order, that are connected.
    First {
        count: NonZeroUsize,
        among: Vec<Who>,
        level: Level,
    },
    /// Each of `among`, connected or not.
    All { among: Vec<Who>, level: Level },
    /// More than half of all voters, the source counted.
    Majority(Level),
    /// At least two parts, none of them an `And`.
    And(Vec<Requirement>),
    /// At least two parts, none of them an `Or`.
    Or(Vec<Requirement>),
}

impl Requirement {
    pub const LOCAL_RECEIVED: Self = Self::Local(Level::Received);
    pub const LOCAL_DURABLE: Self = Self::Local(Level::Durable);

    /// Reads the `require` language; the error shows the column and says what to write.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        require::parse(text)
    }

    /// All of them hold. Nested `And`s are laid flat, so equal texts are equal values.
    pub fn and(parts: Vec<Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        single(&mut flat).unwrap_or(Self::And(flat))
    }

    /// One of them holds.
    pub fn or(parts: Vec<Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        single(&mut flat).unwrap_or(Self::Or(flat))
    }

    /// With `LOCAL durable`, which every mode but `async` implies.
    pub fn with_local_durable(&self) -> Self {
        let says_so = match self {
            Self::And(parts) => parts.contains(&Self::LOCAL_DURABLE),
            other => *other == Self::LOCAL_DURABLE,
        };
        if says_so {
            self.clone()
        } else {
            Self::and(vec![Self::LOCAL_DURABLE, self.clone()])
        }
    }

    /// The same with `FIRST` read as `ANY`: holds for what enough voters have, whoever is connected
    /// just now. Never less than the original.
    pub fn whoever_is_connected(&self) -> Self {
        match self {
            Self::First {
                count,
                among,
                level,
            } => Self::Any {
                count: *count,
                among: among.clone(),
                level: *level,
            },
            Self::And(parts) => Self::And(parts.iter().map(Self::whoever_is_connected).collect()),
            Self::Or(parts) => Self::Or(parts.iter().map(Self::whoever_is_connected).collect()),
            other => other.clone(),
        }
    }

    /// Whether some condition asks for `level`.
    pub fn uses(&self, level: Level) -> bool {
        match self {
            Self::Local(own) | Self::Majority(own) => *own == level,
            Self::Any { level: own, .. }
            | Self::First { level: own, .. }
            | Self::All { level: own, .. } => *own == level,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.uses(level)),
        }
    }

    /// Whether the configured voters can ever meet it: unknown names, and counts that are too high,
    /// would make commits wait for ever.
    pub fn validate(&self, voters: &[Voter]) -> Result<(), Unmeetable> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Any { count, among, .. } | Self::First { count, among, .. } => {
                enough(self, count.get(), among, voters)
            }
            Self::All { among, .. } => enough(self, 1, among, voters),
            Self::Majority(_) if voters.is_empty() => Err(Unmeetable::TooFew {
                condition: self.to_string(),
                wanted: 1,
                found: 0,
            }),
            Self::Majority(_) => Ok(()),
            Self::And(parts) | Self::Or(parts) => {
                parts.iter().try_for_each(|part| part.validate(voters))
            }
        }
    }
}

/// The only element, taken out.
fn single(parts: &mut Vec<Requirement>) -> Option<Requirement> {
    (parts.len() == 1).then(|| parts.pop()).flatten()
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unmeetable {
    #[error("'{name}' is no [[server]] with vote = true; the voters are: {voters}")]
    UnknownName { name: ServerName, voters: String },
    #[error("no [[server]] with vote = true has zone = \"{zone}\"")]
    UnknownZone { zone: Zone },
    #[error(
        "'{condition}' needs {wanted} voting servers besides the source, and {found} are listed; \
         list more [[server]] entries, ask for fewer, or use mode = \"async\""
    )]
    TooFew {
        condition: String,
        wanted: usize,
        found: usize,
    },
}

fn enough(
    condition: &Requirement,
    wanted: usize,
    among: &[Who],
    voters: &[Voter],
) -> Result<(), Unmeetable> {
    for who in among {
        if voters
            .iter()
            .any(|voter| who.matches(&voter.name, voter.zone.as_ref()))
        {
            continue;
        }
        match who {
            Who::Everyone => {}
            Who::Zone(zone) => return Err(Unmeetable::UnknownZone { zone: zone.clone() }),
            Who::Name(name) => {
                let names: Vec<&str> = voters.iter().map(|voter| voter.name.as_str()).collect();
                return Err(Unmeetable::UnknownName {
                    name: name.clone(),
                    voters: names.join(", "),
                });
            }
        }
    }
    let found = voters
        .iter()
        .filter(|voter| !voter.is_source)
        .filter(|voter| {
            let zone = voter.zone.as_ref();
            among.iter().any(|who| who.matches(&voter.name, zone))
        })
        .count();
    if found < wanted {
        return Err(Unmeetable::TooFew {
            condition: condition.to_string(),
            wanted,
            found,
        });
    }
    Ok(())
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("*"),
            Self::Zone(zone) => write!(f, "zone:{zone}"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(level) => write!(f, "LOCAL {level}"),
            Self::Any {
                count,
                among,
                level,
            } => write!(f, "ANY {count} ({}) {level}", List(among)),
            Self::First {
                count,
                among,
                level,
            } => write!(f, "FIRST {count} ({}) {level}", List(among)),
            Self::All { among, level } if *among == [Who::Everyone] => write!(f, "ALL {level}"),
            Self::All { among, level } => write!(f, "ALL ({}) {level}", List(among)),
            Self::Majority(level) => write!(f, "MAJORITY {level}"),
            Self::And(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" AND ")?;
                    }
                    match part {
                        Self::Or(_) => write!(f, "({part})")?,
                        _ => part.fmt(f)?,
                    }
                }
                Ok(())
            }
            Self::Or(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" OR ")?;
                    }
                    part.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

struct List<'a>(&'a [Who]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, who) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            who.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
