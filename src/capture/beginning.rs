//! Where an empty store begins: behind what every listed replica has applied, so that none has to be set up anew
//! because our binlog begins after what it needs next.
//!
//! Asked and walked before gate 1 is raised, so nobody waits meanwhile. A server that has nothing of the source's
//! history is no replica yet and moves nothing, nor does one that needs what the source has purged: both have to be
//! set up from a copy, whatever we do.

use std::collections::BTreeSet;

use super::STEP;
use super::attach::Source;
use super::feed::{Action, Feed};
use super::walk::{self, Error, FIRST_EVENT};
use crate::event::format_description::FormatDescription;
use crate::event::{Algorithm, EventType, Header, checksum, gtid_list};
use crate::gtid::mariadb::{BinlogState, Position};
use crate::gtid::{self, GtidSet, State};
use crate::ids::{Flavor, ServerId, ServerName, SourcePosition};
use crate::net::admin::{Account, Admin};
use crate::protocol::err::ErrPacket;
use crate::protocol::semi_sync::EventPacket;

/// A listed replica, and what it has applied.
type Applied = (ServerName, gtid::Position);

/// The state of the source's binlog from which on ours has everything.
pub(super) async fn choose(
    source: &Source,
    account: &Account,
    replicas: Vec<(ServerName, Account)>,
) -> State {
    if source.base.is_empty() {
        return source.base.clone();
    }
    let asked = replicas
        .into_iter()
        .map(|(name, account)| tokio::spawn(async move { (name, applied(&account).await) }));
    let mut known = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        match asked.await {
            Ok((name, Ok(position))) => known.push((name, position)),
            Ok((name, Err(error))) => tracing::warn!(
                server = %name, %error,
                "it cannot be asked what it has; if it is behind the source now, our binlog begins too late for it"
            ),
            Err(error) => tracing::error!(%error, "asking a replica ended"),
        }
    }
    let begun = match &source.base {
        State::MariaDb(now) => of_mariadb(now, account, known).await.map(State::MariaDb),
        State::MySql(now) => of_mysql(now, account, known).await.map(State::MySql),
    };
    begun.unwrap_or_else(|error| {
        tracing::warn!(%error, "our binlog begins at the source's present position: its own binlog cannot be read back");
        source.base.clone()
    })
}

/// Those of the replicas that pull from the source itself.
pub(super) async fn native(
    source: &mut Admin,
    replicas: Vec<(ServerName, Account)>,
) -> Result<Vec<ServerName>, crate::net::Error> {
    let attached = attached(source).await?;
    let mut native = Vec::new();
    for (name, account) in replicas {
        let asked = async {
            let mut admin = Admin::connect(&account, STEP).await?;
            admin.value("SELECT @@global.server_id").await
        };
        // One that does not answer may be dead: whoever waits for it is told so.
        let id = asked.await.ok().flatten().and_then(|id| id.parse().ok());
        if id.is_some_and(|id| attached.contains(&ServerId(id))) {
            native.push(name);
        }
    }
    Ok(native)
}

/// Who is registered at the source as a replica.
pub async fn attached(source: &mut Admin) -> Result<BTreeSet<ServerId>, crate::net::Error> {
    let statement = match source.flavor() {
        Flavor::MariaDb => "SHOW SLAVE HOSTS",
        Flavor::MySql => "SHOW REPLICAS",
    };
    let rows = source.query(statement).await?;
    let ids = rows.iter().filter_map(|row| {
        let id = row.text("Server_id").or(row.text("Server_Id"))?;
        Some(ServerId(id.parse().ok()?))
    });
    Ok(ids.collect())
}

async fn applied(account: &Account) -> Result<gtid::Position, Error> {
    let mut admin = Admin::connect(account, STEP).await?;
    let variable = match admin.flavor() {
        Flavor::MariaDb => "gtid_slave_pos",
        Flavor::MySql => "gtid_executed",
    };
    walk::ask(&mut admin, variable).await
}

async fn of_mysql(
    now: &GtidSet,
    account: &Account,
    replicas: Vec<Applied>,
) -> Result<GtidSet, Error> {
    let mut admin = Admin::connect(account, STEP).await?;
    let purged = match walk::ask(&mut admin, "gtid_purged").await? {
        gtid::Position::MySql(purged) => purged,
        gtid::Position::MariaDb(_) => GtidSet::new(),
    };
    let mut base = now.clone();
    for (name, position) in replicas {
        let gtid::Position::MySql(has) = position else {
            continue;
        };
        let lacks = now.difference(&has);
        if lacks == *now || !purged.is_subset(&has) {
            too_far(&name);
            continue;
        }
        base = base.difference(&lacks);
    }
    Ok(base)
}

async fn of_mariadb(
    now: &BinlogState,
    account: &Account,
    replicas: Vec<Applied>,
) -> Result<BinlogState, Error> {
    let mut positions: Vec<(ServerName, Position)> = Vec::new();
    for (name, position) in replicas {
        match position {
            gtid::Position::MariaDb(position) if !position.is_empty() => {
                positions.push((name, position));
            }
            _ => too_far(&name),
        }
    }
    let all_have = |state: &BinlogState, positions: &[(ServerName, Position)]| {
        lowest(state, positions).is_none()
    };
    if all_have(now, &positions) {
        return Ok(now.clone());
    }
    let mut admin = Admin::connect(account, STEP).await?;
    let files = walk::files(&mut admin).await?;
    admin.close().await;
    // The newest file at whose head everybody is.
    let mut start = None;
    for file in files.iter().rev() {
        let head = head(account, file).await?;
        if all_have(&head, &positions) {
            start = Some((file, head));
            break;
        }
        if Some(file) == files.first() {
            while let Some(name) = lowest(&head, &positions) {
                too_far(&name);
                positions.retain(|(other, _)| *other != name);
            }
            start = Some((file, head));
        }
    }
    let Some((file, head)) = start.filter(|_| !positions.is_empty()) else {
        return Ok(now.clone());
    };
    let search = Search {
        state: head,
        positions,
    };
    search.run(account, file).await
}

fn too_far(name: &ServerName) {
    tracing::warn!(
        server = %name,
        "it has nothing of the source's history, or needs what the source has purged: it has to be set up from a copy"
    );
}

/// Somebody who lacks something of it.
fn lowest(state: &BinlogState, positions: &[(ServerName, Position)]) -> Option<ServerName> {
    let state = state.position();
    let lacking = positions.iter().find(|(_, has)| !has.covers(&state));
    lacking.map(|(name, _)| name.clone())
}

/// MariaDB: through one of the source's files and those behind it, to the first transaction that somebody lacks.
struct Search {
    /// Of all that came so far.
    state: BinlogState,
    positions: Vec<(ServerName, Position)>,
}

impl Search {
    async fn run(mut self, account: &Account, file: &str) -> Result<BinlogState, Error> {
        let mut feed = Feed::new(false, None);
        let start = beginning_of(file);
        let (mut reader, _writer) = walk::dump(account, Flavor::MariaDb, &start).await?;
        loop {
            let ready = tokio::time::timeout(STEP, reader.ready()).await;
            ready.map_err(|_| stopped())??;
            while let Some(packet) = reader.try_next()? {
                if ends(packet.payload)? {
                    return Ok(self.state);
                }
                let seen = match feed.packet(packet.payload)? {
                    Action::Commit { gtid, .. } => Some((gtid, true)),
                    _ => feed.running().cloned().map(|gtid| (gtid, false)),
                };
                if let Some((gtid::Gtid::MariaDb(gtid), ended)) = seen {
                    if self.is_lacked(gtid) {
                        return Ok(self.state);
                    }
                    if ended {
                        self.state.update(gtid);
                    }
                }
            }
        }
    }

    fn is_lacked(&self, gtid: gtid::mariadb::Gtid) -> bool {
        self.positions.iter().any(|(_, has)| !has.contains(gtid))
    }
}

fn beginning_of(file: &str) -> SourcePosition {
    SourcePosition {
        file: file.into(),
        offset: FIRST_EVENT,
    }
}

fn stopped() -> Error {
    Error::Said("it stopped sending its binary log".into())
}

/// Whether this is the end of what there is.
fn ends(payload: &[u8]) -> Result<bool, Error> {
    match payload.first() {
        Some(&ErrPacket::FIRST) => Err(Error::Said(ErrPacket::parse(payload)?.to_string())),
        first => Ok(first == Some(&0xfe) && payload.len() < 9),
    }
}

/// What was written before this file.
async fn head(account: &Account, file: &str) -> Result<BinlogState, Error> {
    let start = beginning_of(file);
    let (mut reader, _writer) = walk::dump(account, Flavor::MariaDb, &start).await?;
    let mut algorithm = Algorithm::Crc32;
    loop {
        let ready = tokio::time::timeout(STEP, reader.ready()).await;
        ready.map_err(|_| stopped())??;
        while let Some(packet) = reader.try_next()? {
            if ends(packet.payload)? {
                return Err(Error::Said(format!("{file} has no list of GTIDs")));
            }
            let event = EventPacket::parse(packet.payload, false)?.event;
            match Header::parse(event)?.kind {
                EventType::FORMAT_DESCRIPTION => {
                    algorithm = FormatDescription::parse(event)?.algorithm();
                }
                EventType::GTID_LIST => {
                    let list = gtid_list::parse(checksum::strip(event, algorithm)?)?;
                    return Ok(BinlogState::from_list(&list));
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(texts: &[&str]) -> Vec<(ServerName, Position)> {
        let named = texts.iter().enumerate();
        named
            .map(|(number, text)| {
                (
                    ServerName::new(&format!("r{number}")),
                    text.parse().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn who_lacks_something_is_found_in_each_domain() {
        let state: BinlogState = "0-1-100,1-1-7".parse().unwrap();
        let fits = positions(&["0-1-100,1-1-7", "0-2-140,1-3-9"]);
        assert_eq!(lowest(&state, &fits), None);
        for lacking in ["0-1-99,1-1-7", "0-1-100,1-1-6", "0-1-100"] {
            let found = lowest(&state, &positions(&["0-1-100,1-1-7", lacking]));
            assert_eq!(found, Some(ServerName::new("r1")), "{lacking}");
        }
    }

    #[test]
    fn a_search_stops_before_what_the_slowest_lacks() {
        let search = Search {
            state: BinlogState::new(),
            positions: positions(&["0-1-100", "0-1-90,1-1-3"]),
        };
        for (gtid, lacked) in [("0-1-90", false), ("0-1-91", true), ("1-1-1", true)] {
            assert_eq!(search.is_lacked(gtid.parse().unwrap()), lacked, "{gtid}");
        }
    }
}
