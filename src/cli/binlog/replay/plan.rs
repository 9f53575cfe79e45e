//! What is to be replayed onto a server, or why nothing may be. No IO.

use std::fmt;

use anyhow::{anyhow, bail};

use super::stop::Stop;
use crate::gtid::{Gtid, GtidSet, Position, State};
use crate::ids::{Flavor, ServerId};
use crate::units::show_utc;

/// What a server says of itself.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub name: String,
    pub flavor: Flavor,
    pub server_id: ServerId,
    /// `gtid_slave_pos` or `gtid_executed`.
    pub has: Position,
    /// A replication thread of its own runs there.
    pub replicates: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    name: String,
    from: Position,
    /// What the server has when all is done, of what is ours.
    pub until: Position,
    /// Those that it lacks.
    transactions: GtidSet,
    at: Option<u32>,
}

impl Plan {
    pub fn make(stop: &Stop, facts: &Facts) -> anyhow::Result<Self> {
        let Facts { name, has, .. } = facts;
        if facts.flavor != stop.state.flavor() {
            bail!(
                "{name} is a {} server and our binlog is one of {}",
                facts.flavor,
                stop.state.flavor()
            );
        }
        if facts.replicates {
            bail!(
                "{name} replicates already: a replay is for a server that was restored from a backup. \
                 Stop its replication first"
            );
        }
        let stop_at = stop.state.position();
        let transactions = lacking(&stop.transactions, has);
        if !transactions.is_empty() && stop.servers.contains(&facts.server_id) {
            bail!(
                "{name} has server_id {}, under which transactions in our binlog were written, and would \
                 silently skip them as its own: run SET GLOBAL server_id=<another one> there first",
                facts.server_id
            );
        }
        let gone = match &stop.base {
            State::MariaDb(base) => base.position().iter().map(Gtid::MariaDb).collect(),
            State::MySql(set) => set
                .difference(&claimed(has))
                .iter()
                .take(1)
                .collect::<Vec<_>>(),
        };
        if let Some(first) = gone.iter().find(|gtid| !has.contains(gtid)) {
            let set = match facts.flavor {
                Flavor::MariaDb => "SET GLOBAL gtid_slave_pos='...'",
                Flavor::MySql => "SET GLOBAL gtid_purged='...'",
            };
            return Err(anyhow!(
                "{name} stands at '{has}' and lacks {first}, which is before the beginning of our binlog: \
                 restore a newer backup, or tell the server what its backup holds ({set})"
            ));
        }
        if let (Position::MariaDb(has), Position::MariaDb(until)) = (has, &stop_at)
            && let Some(ahead) = has
                .iter()
                .find(|gtid| (until.get(gtid.domain)).is_some_and(|until| until.seq < gtid.seq))
        {
            bail!("{name} has {ahead} already, which is behind the place to stop at ({until})");
        }
        Ok(Self {
            name: name.clone(),
            from: has.clone(),
            until: stop_at,
            transactions,
            at: stop.at,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    pub fn total(&self) -> u64 {
        self.transactions.len()
    }

    /// How many of them a server at this position lacks.
    pub fn left(&self, has: &Position) -> u64 {
        lacking(&self.transactions, has).len()
    }

    /// MySQL: those to stop after.
    pub fn set(&self) -> &GtidSet {
        &self.transactions
    }
}

fn claimed(has: &Position) -> GtidSet {
    match has {
        Position::MySql(set) => set.clone(),
        Position::MariaDb(_) => GtidSet::new(),
    }
}

/// A MariaDB position knows only the highest number of each domain.
fn lacking(transactions: &GtidSet, has: &Position) -> GtidSet {
    let Position::MariaDb(position) = has else {
        return transactions.difference(&claimed(has));
    };
    let mut left = GtidSet::new();
    for (origin, first, last) in transactions.ranges() {
        let reached = match origin.gtid(first) {
            Gtid::MariaDb(gtid) => position.get(gtid.domain).map_or(0, |last| last.seq),
            Gtid::MySql(_) => 0,
        };
        let first = first.max(reached + 1);
        if first <= last {
            left.insert_range(origin.clone(), first, last);
        }
    }
    left
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return write!(
                f,
                "{} has all of it already (it stands at '{}')",
                self.name, self.from
            );
        }
        write!(
            f,
            "{} transactions onto {}, from '{}' to '{}'",
            self.total(),
            self.name,
            self.from,
            self.until
        )?;
        match self.at {
            Some(at) => write!(f, ", the last one of {}", show_utc(at)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gtid::mariadb::BinlogState;

    fn stop(base: &str, transactions: &str) -> Stop {
        let base: BinlogState = base.parse().unwrap();
        let mut stop = Stop {
            base: State::MariaDb(base.clone()),
            state: State::MariaDb(base),
            transactions: transactions.parse().unwrap(),
            servers: [ServerId(1)].into(),
            last: None,
            at: Some(0),
            next: None,
        };
        for gtid in stop.transactions.clone().iter() {
            stop.state.update(&gtid);
        }
        stop
    }

    fn server(has: &str) -> Facts {
        Facts {
            name: "restored".into(),
            flavor: Flavor::MariaDb,
            server_id: ServerId(9),
            has: Position::parse(Flavor::MariaDb, has).unwrap(),
            replicates: false,
        }
    }

    fn refused(stop: &Stop, facts: &Facts) -> String {
        Plan::make(stop, facts).unwrap_err().to_string()
    }

    #[test]
    fn only_what_it_lacks() {
        let stop = stop("0-1-10", "0-1-11..20");
        let plan = Plan::make(&stop, &server("0-1-15")).unwrap();
        assert_eq!((plan.total(), plan.until.to_string()), (5, "0-1-20".into()));
        assert_eq!(plan.left(&server("0-1-19").has), 1);
        assert!(Plan::make(&stop, &server("0-1-20")).unwrap().is_empty());
    }

    #[test]
    fn what_would_go_wrong_is_refused() {
        let stop = stop("0-1-10", "0-1-11..20");
        assert!(refused(&stop, &server("0-1-9")).contains("lacks 0-1-10"));
        assert!(refused(&stop, &server("")).contains("gtid_slave_pos"));
        assert!(refused(&stop, &server("0-1-21")).contains("has 0-1-21 already"));
        let own = Facts {
            server_id: ServerId(1),
            ..server("0-1-12")
        };
        assert!(refused(&stop, &own).contains("server_id 1"));
        let replica = Facts {
            replicates: true,
            ..server("0-1-12")
        };
        assert!(refused(&stop, &replica).contains("replicates already"));
        let other = Facts {
            flavor: Flavor::MySql,
            ..server("")
        };
        assert!(refused(&stop, &other).contains("is a"));
    }
}
