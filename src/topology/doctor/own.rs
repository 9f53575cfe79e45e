//! Transactions that a replica has and its source has not.

use std::collections::BTreeMap;

use crate::gtid::{Gtid, GtidSet, Origin, State};
use crate::ids::{Flavor, ServerId};
use crate::net;
use crate::net::admin::Admin;

/// The first events of a file.
const FIRST: u32 = 10;

/// What a server's binlog holds by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    pub state: State,
    /// Of each MariaDB domain the number from which on its binlog has everything. MySQL's set is exact.
    pub whole_behind: BTreeMap<u32, u64>,
}

impl Executed {
    pub async fn ask(admin: &mut Admin, is_source: bool) -> Result<Option<Self>, net::Error> {
        let flavor = admin.flavor();
        let state = match flavor {
            Flavor::MariaDb => {
                let text = admin.value("SELECT @@global.gtid_binlog_state").await?;
                State::parse(flavor, &text.unwrap_or_default()).ok()
            }
            Flavor::MySql => executed_and_owned(admin).await?.map(State::MySql),
        };
        let Some(state) = state else {
            return Ok(None);
        };
        let whole_behind = match (flavor, is_source) {
            (Flavor::MariaDb, true) => whole_behind(admin).await?,
            _ => BTreeMap::new(),
        };
        Ok(Some(Self {
            state,
            whole_behind,
        }))
    }
}

/// What waits for its acknowledgement is owned, and may be at a replica that has a vote. Owned before executed: what
/// moves from one to the other meanwhile is in both.
async fn executed_and_owned(admin: &mut Admin) -> Result<Option<GtidSet>, net::Error> {
    let rows = admin
        .query("SELECT @@global.gtid_owned, @@global.gtid_executed")
        .await?;
    let text = |index| rows.first().and_then(|row| row.at(index)).unwrap_or("");
    let (owned, executed) = (GtidSet::of_owned(text(0)), text(1).parse::<GtidSet>());
    Ok(owned
        .ok()
        .zip(executed.ok())
        .map(|(owned, executed)| owned.union(&executed)))
}

/// By the list at the head of its oldest file, and by the first transaction in it.
async fn whole_behind(admin: &mut Admin) -> Result<BTreeMap<u32, u64>, net::Error> {
    let files = match admin.query("SHOW BINARY LOGS").await {
        Ok(files) => files,
        // It may not be ours to see, or there is none.
        Err(error) if error.server_code().is_some() => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let Some(oldest) = files.first().and_then(|row| row.at(0)) else {
        return Ok(BTreeMap::new());
    };
    let events = format!(
        "SHOW BINLOG EVENTS IN {} LIMIT {FIRST}",
        net::admin::literal(oldest)
    );
    let events = match admin.query(&events).await {
        Ok(events) => events,
        // It may be purged by now.
        Err(error) if error.server_code().is_some() => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let told = events
        .iter()
        .filter_map(|row| Some((row.text("Event_type")?, row.text("Info")?)));
    Ok(beginnings(told))
}

/// `Gtid_list` with `[0-1-5,1-2-9]`, `Gtid` with `BEGIN GTID 0-1-6`.
fn beginnings<'a>(events: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<u32, u64> {
    let mut whole = BTreeMap::new();
    let gtid = |text: &str| match text.parse() {
        Ok(Gtid::MariaDb(gtid)) => Some(gtid),
        _ => None,
    };
    for (kind, info) in events {
        match kind {
            "Gtid_list" => {
                for gtid in info.trim_matches(['[', ']']).split(',').filter_map(gtid) {
                    let last = whole.entry(gtid.domain).or_insert(gtid.seq);
                    *last = (*last).max(gtid.seq);
                }
            }
            "Gtid" => {
                let words = info.split_whitespace();
                if let Some(first) = words.filter_map(gtid).next() {
                    whole
                        .entry(first.domain)
                        .or_insert(first.seq.saturating_sub(1));
                }
            }
            _ => {}
        }
    }
    whole
}

/// What the replica with this `server_id` has beyond its source, which was asked later. A MariaDB server tells of each
/// origin only how far it came: one that the source has nothing of counts if it is the replica itself, behind the
/// place from which on the source's binlog tells of everything.
pub fn beyond(id: ServerId, replica: &State, source: &Executed) -> GtidSet {
    let theirs = source.state.claimed();
    let mut own = GtidSet::new();
    for (origin, first, last) in replica.claimed().difference(&theirs).ranges() {
        match origin {
            Origin::MySql { .. } => own.insert_range(origin.clone(), first, last),
            Origin::MariaDb { domain, server } => {
                let whole = source.whole_behind.get(domain);
                let would_tell = *server == id.0 && whole.is_some_and(|behind| last > *behind);
                if would_tell || theirs.last(origin).is_some() {
                    own.insert_range(origin.clone(), last, last);
                }
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(flavor: Flavor, replica: &str, source: &str, whole_behind: &[(u32, u64)]) -> String {
        let state = |text| State::parse(flavor, text).unwrap();
        let source = Executed {
            state: state(source),
            whole_behind: whole_behind.iter().copied().collect(),
        };
        beyond(ServerId(2), &state(replica), &source).to_string()
    }

    #[test]
    fn what_was_written_at_a_replica_is_its_own() {
        let mariadb = |replica, source| own(Flavor::MariaDb, replica, source, &[(0, 3)]);
        assert_eq!(mariadb("0-1-9", "0-1-12"), "");
        assert_eq!(mariadb("0-2-5,0-1-9", "0-1-12"), "0-2-5");
        // It was the source before the present one's binlog begins.
        assert_eq!(mariadb("0-2-3,0-1-9", "0-1-12"), "");
        // It was the source, and wrote on.
        assert_eq!(mariadb("0-2-7,0-1-9", "0-2-5,0-1-12"), "0-2-7");
        assert_eq!(mariadb("0-2-5,0-1-9", "0-2-5,0-1-12"), "");
        // Another one was; a domain of its own.
        assert_eq!(mariadb("0-3-5,0-1-9", "0-1-12"), "");
        assert_eq!(mariadb("9-2-5,0-1-9", "0-1-12"), "");
        let unknown = own(Flavor::MariaDb, "0-2-5,0-1-9", "0-1-12", &[]);
        assert_eq!(unknown, "");
        let mysql = |replica: &str, source: &str| own(Flavor::MySql, replica, source, &[]);
        let (a, b) = (
            "3e11fa47-71ca-11e1-9e33-c80aa9429562",
            "4e11fa47-71ca-11e1-9e33-c80aa9429562",
        );
        assert_eq!(mysql(&format!("{a}:1-9"), &format!("{a}:1-12")), "");
        let more = format!("{a}:1-9,{b}:1-2");
        assert_eq!(mysql(&more, &format!("{a}:1-12")), format!("{b}:1-2"));
    }

    #[test]
    fn where_a_binlog_begins_to_tell() {
        let begin = |events: &[(&'static str, &'static str)]| {
            let whole = beginnings(events.iter().copied());
            whole.into_iter().collect::<Vec<(u32, u64)>>()
        };
        let head = ("Format_desc", "Server ver: 10.11");
        assert_eq!(begin(&[head, ("Gtid_list", "[]")]), []);
        let list = ("Gtid_list", "[0-3-9,0-1-12,7-1-4]");
        let first = ("Gtid", "BEGIN GTID 0-1-13");
        assert_eq!(begin(&[head, list, first]), [(0, 12), (7, 4)]);
        // From a backup: its binlog was empty, and its history was not.
        let first = ("Gtid", "GTID 0-1-301");
        let second = ("Gtid", "GTID 0-1-302");
        let empty = ("Gtid_list", "[]");
        assert_eq!(begin(&[head, empty, first, second]), [(0, 300)]);
    }
}
