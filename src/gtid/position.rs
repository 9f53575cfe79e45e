//! Where a server stands, of either flavor.

use std::fmt;

use super::{Gtid, GtidSet, ParseError, mariadb};
use crate::ids::Flavor;

/// What a replica says it has, and where a dump by GTID begins: MariaDB names the last GTID of each
/// domain, MySQL the exact set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    MariaDb(mariadb::Position),
    MySql(GtidSet),
}

impl Position {
    /// As the flavor's servers print it.
    pub fn parse(flavor: Flavor, text: &str) -> Result<Self, ParseError> {
        match flavor {
            Flavor::MariaDb => text.parse().map(Self::MariaDb),
            Flavor::MySql => text.parse().map(Self::MySql),
        }
    }

    /// Of a history in which the numbers of each MariaDB domain grow.
    pub fn of_history(flavor: Flavor, set: &GtidSet) -> Self {
        match flavor {
            Flavor::MySql => Self::MySql(set.clone()),
            Flavor::MariaDb => {
                let mut position = mariadb::Position::new();
                for (origin, _, last) in set.ranges() {
                    if let Gtid::MariaDb(gtid) = origin.gtid(last)
                        && position
                            .get(gtid.domain)
                            .is_none_or(|known| known.seq < gtid.seq)
                    {
                        position.set(gtid);
                    }
                }
                Self::MariaDb(position)
            }
        }
    }

    pub fn flavor(&self) -> Flavor {
        match self {
            Self::MariaDb(_) => Flavor::MariaDb,
            Self::MySql(_) => Flavor::MySql,
        }
    }

    /// Whether a server here claims to have `gtid`. It has nothing of the other flavor.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::MariaDb(position), Gtid::MariaDb(gtid)) => position.contains(*gtid),
            (Self::MySql(set), gtid @ Gtid::MySql(_)) => set.contains(gtid),
            _ => false,
        }
    }

    /// Whether everything up to `other` is claimed as well.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::MariaDb(own), Self::MariaDb(other)) => own.covers(other),
            (Self::MySql(own), Self::MySql(other)) => other.is_subset(own),
            (_, other) => other.is_empty(),
        }
    }

    /// How many transactions up to `other` are not claimed: in MariaDB's domains numbers may be left out, so there it is
    /// at most that. Who has the other flavor's has none of them.
    pub fn lacks(&self, other: &Self) -> u64 {
        match (self, other) {
            (Self::MySql(own), Self::MySql(other)) => other.difference(own).len(),
            (_, Self::MySql(other)) => other.len(),
            (_, Self::MariaDb(other)) => {
                let own = |domain| match self {
                    Self::MariaDb(own) => own.get(domain).map_or(0, |own| own.seq),
                    Self::MySql(_) => 0,
                };
                let beyond = other
                    .iter()
                    .map(|last| last.seq.saturating_sub(own(last.domain)));
                beyond.fold(0, u64::saturating_add)
            }
        }
    }

    /// One GTID of it.
    pub fn any(&self) -> Option<Gtid> {
        match self {
            Self::MariaDb(position) => position.iter().next().map(Gtid::MariaDb),
            Self::MySql(set) => set
                .ranges()
                .next()
                .map(|(origin, _, last)| origin.gtid(last)),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::MariaDb(position) => position.is_empty(),
            Self::MySql(set) => set.is_empty(),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MariaDb(position) => position.fmt(f),
            Self::MySql(set) => set.fmt(f),
        }
    }
}

/// What a binlog holds up to one place: MariaDB's `gtid_binlog_state`, MySQL's executed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    MariaDb(mariadb::BinlogState),
    MySql(GtidSet),
}

impl State {
    pub fn empty(flavor: Flavor) -> Self {
        match flavor {
            Flavor::MariaDb => Self::MariaDb(mariadb::BinlogState::new()),
            Flavor::MySql => Self::MySql(GtidSet::new()),
        }
    }

    pub fn parse(flavor: Flavor, text: &str) -> Result<Self, ParseError> {
        match flavor {
            Flavor::MariaDb => text.parse().map(Self::MariaDb),
            Flavor::MySql => text.parse().map(Self::MySql),
        }
    }

    pub fn flavor(&self) -> Flavor {
        match self {
            Self::MariaDb(_) => Flavor::MariaDb,
            Self::MySql(_) => Flavor::MySql,
        }
    }

    /// `gtid` has been written, as the newest.
    pub fn update(&mut self, gtid: &Gtid) {
        match (&mut *self, gtid) {
            (Self::MariaDb(state), Gtid::MariaDb(gtid)) => state.update(*gtid),
            (Self::MySql(set), gtid @ Gtid::MySql(_)) => set.insert(gtid),
            // What was empty takes the flavor of its first transaction. A binlog never mixes them:
            // a source of another flavor is refused at the attach.
            (state, gtid) => {
                debug_assert!(state.is_empty(), "{gtid} in a binlog of the other flavor");
                if state.is_empty() {
                    *state = Self::empty(gtid.flavor());
                    state.update(gtid);
                }
            }
        }
    }

    /// Whether `gtid` is claimed to be in it.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::MariaDb(state), Gtid::MariaDb(gtid)) => state.contains(*gtid),
            (Self::MySql(set), gtid @ Gtid::MySql(_)) => set.contains(gtid),
            _ => false,
        }
    }

    pub fn position(&self) -> Position {
        match self {
            Self::MariaDb(state) => Position::MariaDb(state.position()),
            Self::MySql(set) => Position::MySql(set.clone()),
        }
    }

    /// All that it claims, as a set.
    pub fn claimed(&self) -> GtidSet {
        match self {
            Self::MariaDb(state) => GtidSet::claimed_by(state),
            Self::MySql(set) => set.clone(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::MariaDb(state) => state.is_empty(),
            Self::MySql(set) => set.is_empty(),
        }
    }
}

/// Of no flavor in particular: nothing was written yet.
impl Default for State {
    fn default() -> Self {
        Self::empty(Flavor::MariaDb)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MariaDb(state) => state.fmt(f),
            Self::MySql(set) => set.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_counted() {
        let mariadb = |text| Position::parse(Flavor::MariaDb, text).unwrap();
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let mysql = |ranges: &str| {
            let text = match ranges {
                "" => String::new(),
                ranges => format!("{uuid}:{ranges}"),
            };
            Position::parse(Flavor::MySql, &text).unwrap()
        };
        let here = mariadb("0-1-100,2-1-7");
        assert_eq!(here.lacks(&mariadb("0-1-100")), 0);
        assert_eq!(here.lacks(&mariadb("0-3-150,2-1-5,9-1-3")), 53);
        assert_eq!(mysql("1-100:201-300").lacks(&mysql("1-250:400")), 101);
        assert_eq!(mysql("1-5").lacks(&mysql("2-5")), 0);
        for (empty, full) in [(mariadb(""), mysql("1-10")), (mysql(""), mariadb("0-1-10"))] {
            assert_eq!(empty.lacks(&full), 10);
        }
    }
}
