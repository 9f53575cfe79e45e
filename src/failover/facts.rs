//! What is known when a move is decided: ours, and what each server says of itself now.

use crate::gtid::{Gtid, GtidSet, Origin, State};
use crate::ids::{Epoch, ServerId, ServerName};

#[derive(Clone, Debug)]
pub struct Facts {
    pub epoch: Epoch,
    pub source: ServerName,
    /// Everything that our binlog holds or stands for.
    pub stored: GtidSet,
    pub released: GtidSet,
    /// In the config's order, the source among them.
    pub servers: Vec<Seen>,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub name: ServerName,
    pub promotable: bool,
    /// Why it does not answer.
    pub said: Result<Said, String>,
}

#[derive(Clone, Debug)]
pub struct Said {
    /// What its own binlog holds, acknowledged or not.
    pub state: State,
    pub server_id: ServerId,
    /// Of a MySQL server.
    pub uuid: Option<String>,
    /// Whether its replication threads follow us.
    pub follows_us: bool,
    /// Where they connect to.
    pub source_address: Option<(String, u16)>,
    /// What keeps it from being a source.
    pub objections: Vec<String>,
    /// Commits that wait for an acknowledgement.
    pub waiting: u64,
    /// `event_scheduler` is on.
    pub events: bool,
    /// What its own binlog proves; of the present source, which cannot be walked while commits wait there,
    /// its word is taken.
    pub walked: Option<Result<Walked, String>>,
}

/// By exact GTID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// What it has of our binlog.
    pub has: GtidSet,
    pub beyond: GtidSet,
    /// What tells what lies before its binlog, in words.
    pub base: String,
    /// The last transaction of our binlog, where its own does not hold it: a source's dump begins with that.
    pub end: Option<Gtid>,
    /// What of `has` nobody has read there: its binlog was gone before.
    pub unproven: GtidSet,
}

impl Facts {
    pub fn server(&self, name: &ServerName) -> Option<&Seen> {
        self.servers.iter().find(|server| server.name == *name)
    }

    pub fn said(&self, name: &ServerName) -> Result<&Said, String> {
        match self.server(name) {
            Some(Seen { said: Ok(said), .. }) => Ok(said),
            Some(Seen { said: Err(why), .. }) => Err(format!("{name} does not answer: {why}")),
            None => Err(format!("{name} is no [[server]] of the configuration")),
        }
    }
}

impl Said {
    /// Whether transactions of this origin were written there first.
    pub fn writes_as(&self, origin: &Origin) -> bool {
        match origin {
            Origin::MariaDb { server, .. } => *server == self.server_id.0,
            Origin::MySql { uuid, .. } => self
                .uuid
                .as_ref()
                .is_some_and(|own| own.eq_ignore_ascii_case(&uuid.to_string())),
        }
    }

    /// What of `set` was written there first.
    pub fn own(&self, set: &GtidSet) -> GtidSet {
        let mut own = GtidSet::new();
        for (origin, first, last) in set.ranges() {
            if self.writes_as(origin) {
                own.insert_range(origin.clone(), first, last);
            }
        }
        own
    }

    /// What it lacks of `set`; of a binlog that cannot be walked nothing is known.
    pub fn lacks(&self, set: &GtidSet) -> GtidSet {
        match &self.walked {
            None => set.difference(&self.state.claimed()),
            Some(Ok(walked)) => set.difference(&walked.has),
            Some(Err(_)) => set.clone(),
        }
    }

    /// What it has beyond `set`, as far as its own word goes. MariaDB's lists the last of each domain and server, and
    /// numbers are shared by the servers of a domain: not every smaller number exists, so what is between our last one of
    /// that server and its last one stands for those that do.
    pub fn beyond(&self, set: &GtidSet) -> GtidSet {
        let mut beyond = self.claims_beyond(set);
        if let Some(Ok(walked)) = &self.walked {
            beyond.merge(&walked.beyond.difference(set));
        }
        beyond
    }

    fn claims_beyond(&self, set: &GtidSet) -> GtidSet {
        match &self.state {
            State::MySql(executed) => executed.difference(set),
            State::MariaDb(state) => {
                let mut beyond = GtidSet::new();
                for gtid in state.to_list() {
                    let gtid = Gtid::MariaDb(gtid);
                    if set.contains(&gtid) {
                        continue;
                    }
                    let origin: Origin = gtid.origin();
                    let known = set.last(&origin).filter(|last| *last < gtid.number());
                    match known {
                        Some(last) => beyond.insert_range(origin, last + 1, gtid.number()),
                        None => beyond.insert(&gtid),
                    }
                }
                beyond
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Flavor;

    fn said(flavor: Flavor, state: &str) -> Said {
        Said {
            state: State::parse(flavor, state).unwrap(),
            server_id: ServerId(1),
            uuid: None,
            follows_us: true,
            source_address: None,
            objections: Vec::new(),
            waiting: 0,
            events: false,
            walked: None,
        }
    }

    #[test]
    fn numbers_of_another_server_in_the_domain_are_not_missing_ones() {
        // 1 was the source up to 7, 2 since then.
        let stored: GtidSet = "0-1-1..7,0-2-8..9".parse().unwrap();
        let same = said(Flavor::MariaDb, "0-1-7,0-2-9");
        assert!(same.beyond(&stored).is_empty());
        assert!(same.lacks(&stored).is_empty());
        let more = said(Flavor::MariaDb, "0-1-9,0-2-9");
        assert_eq!(more.beyond(&stored).to_string(), "0-1-8..9");
        let other = said(Flavor::MariaDb, "0-1-7,0-2-9,0-3-10");
        assert_eq!(other.beyond(&stored).to_string(), "0-3-10");
        let less = said(Flavor::MariaDb, "0-1-7,0-2-8");
        assert_eq!(less.lacks(&stored).to_string(), "0-2-9");
    }

    #[test]
    fn what_was_walked_counts_and_not_what_is_claimed() {
        let stored: GtidSet = "0-1-1..7,0-2-8..9".parse().unwrap();
        let mut jumped = said(Flavor::MariaDb, "0-1-7,0-2-9");
        jumped.walked = Some(Ok(Walked {
            has: "0-1-1..3,0-2-8..9".parse().unwrap(),
            beyond: "0-3-4".parse().unwrap(),
            ..Walked::default()
        }));
        assert_eq!(jumped.lacks(&stored).to_string(), "0-1-4..7");
        assert_eq!(jumped.beyond(&stored).to_string(), "0-3-4");
        jumped.walked = Some(Err("no".into()));
        assert_eq!(jumped.lacks(&stored), stored);
    }

    #[test]
    fn mysql_says_each_number() {
        let uuid = "4cd677b2-e70c-11f1-a00a-02fc00000001";
        let stored: GtidSet = format!("{uuid}:1-7").parse().unwrap();
        let holes = said(Flavor::MySql, &format!("{uuid}:1-3:5-9"));
        assert_eq!(holes.lacks(&stored).to_string(), format!("{uuid}:4"));
        assert_eq!(holes.beyond(&stored).to_string(), format!("{uuid}:8-9"));
    }
}
