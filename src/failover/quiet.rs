//! Until the old source is quiet: new transactions are held in the sessions, running ones come to their end.
//!
//! Only then is it made read-only, so that nobody who comes through us meets error 1290. Who stands in the way at the
//! deadline is named, or with `--force` cut, but for a commit that waits for its acknowledgement: a KILL would make that
//! visible without one.

use std::time::Duration;

use tokio::time::Instant;

use super::proxy::Proxy;
use super::servers::{self, Error};
use crate::net;
use crate::net::admin::{Admin, Row};
use crate::session::SessionInfo;
use crate::session::registry::{Activity, Keeps};
use crate::sql::lexer::Backslash;
use crate::sql::{Server, shortened};

const LOOK: Duration = Duration::from_millis(2);
/// For whoever was cut.
const LEAVE: Duration = Duration::from_secs(2);
/// So much of a statement is shown, without its literals.
const SHOWN: usize = 100;
/// What stands in the way is named up to this number.
const MOST_NAMED: usize = 5;

/// Sessions are held: until none runs anything at the source, or keeps anything there.
pub async fn settled(
    proxy: &impl Proxy,
    admin: &mut Admin,
    patience: Duration,
    force: bool,
) -> Result<(), Error> {
    let left = left_after(proxy, Instant::now() + patience).await;
    if left.is_empty() {
        return Ok(());
    }
    let server = Server::of(admin.flavor(), admin.version());
    let processes = admin.processes().await?;
    if !force {
        let stands = in_the_way(server, &left, &processes, patience);
        return Err(Error::Other(stands));
    }
    let is_cut = |session: &&SessionInfo| !of(session, &processes).is_some_and(waits_for_ack);
    let cut: Vec<&SessionInfo> = left.iter().filter(is_cut).collect();
    for session in &cut {
        tracing::warn!(
            connection = session.connection,
            user = session.user,
            client = session.peer,
            "cut, since it stands in the way of a switchover"
        );
        proxy.expel(session.id);
    }
    // First they hear why, from us.
    let left = left_after(proxy, Instant::now() + LEAVE).await;
    for session in &cut {
        servers::kill(admin, session.connection).await?;
    }
    if left.is_empty() {
        return Ok(());
    }
    let processes = admin.processes().await?;
    let stands = in_the_way(server, &left, &processes, patience);
    Err(Error::Other(stands))
}

async fn left_after(proxy: &impl Proxy, deadline: Instant) -> Vec<SessionInfo> {
    loop {
        let left = proxy.in_the_way();
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// After `read_only` is on: a write that came while that was pending, past us, is queued behind it and would run all the
/// same (FACTS.md, section 13), and its client may be long gone.
pub async fn queue_is_empty(admin: &mut Admin, deadline: Instant) -> Result<(), Error> {
    loop {
        let processes = admin.processes().await?;
        let queued: Vec<&Row> = processes.iter().filter(|row| is_queued(row)).collect();
        let Some(first) = queued.first() else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            return Err(Error::Other(format!(
                "{} was begun before read_only and did not end",
                process(first)
            )));
        }
        for row in &queued {
            if let Some(id) = servers::id_of(row) {
                servers::kill(admin, id).await?;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// MariaDB's backup lock, MySQL's global read lock.
fn is_queued(row: &Row) -> bool {
    let state = row.text("State").unwrap_or_default();
    ["backup lock", "global read lock", "commit lock"]
        .iter()
        .any(|lock| state.contains(lock))
}

fn waits_for_ack(row: &Row) -> bool {
    row.text("State")
        .unwrap_or_default()
        .contains("semi-sync ACK")
}

fn of<'a>(session: &SessionInfo, processes: &'a [Row]) -> Option<&'a Row> {
    let id = session.connection.to_string();
    processes
        .iter()
        .find(|row| row.text("Id") == Some(id.as_str()))
}

fn in_the_way(
    server: Server,
    left: &[SessionInfo],
    processes: &[Row],
    patience: Duration,
) -> String {
    let named = left.iter().take(MOST_NAMED);
    let named: Vec<_> = named
        .map(|session| stands(server, session, of(session, processes)))
        .collect();
    let more = match left.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!(
        "after {patience:?} (--deadline) these were still there: {}{more}; end them, give a longer deadline, or cut \
         them with --force",
        named.join("; ")
    )
}

fn stands(server: Server, session: &SessionInfo, process: Option<&Row>) -> String {
    let does = match (session.activity, session.keeps) {
        _ if process.is_some_and(waits_for_ack) => "waits for the acknowledgement of its commit",
        (Activity::Running | Activity::Waiting | Activity::Withheld, _) => "runs",
        (_, Keeps::Locks) => "keeps a lock (GET_LOCK, LOCK TABLES or HANDLER)",
        _ => "is in a transaction",
    };
    let statement = match process.and_then(|row| row.text("Info")) {
        None => String::new(),
        Some(text) => {
            let text = text.as_bytes();
            let shown = shortened::shorten(server, text, Backslash::Escapes, SHOWN);
            format!(": {shown}")
        }
    };
    format!(
        "connection {} (user '{}' from {}, connected for {:.0} s) {does} since {:.1} s{statement}",
        session.connection,
        session.user,
        session.peer,
        session.age.as_secs_f64(),
        session.since.as_secs_f64(),
    )
}

fn process(row: &Row) -> String {
    let text = |name| row.text(name).unwrap_or("?").to_owned();
    format!(
        "connection {} (user '{}' from {})",
        text("Id"),
        text("User"),
        text("Host")
    )
}

/// Connections that did not come through us: a move does not hold them.
pub async fn past_us(proxy: &impl Proxy, admin: &mut Admin) -> Result<Vec<String>, net::Error> {
    let ours = proxy.connections();
    let clients = servers::clients(admin).await?.into_iter();
    let past = clients.filter(|(id, _)| !ours.contains(id));
    Ok(past.map(|(_, row)| process(&row)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Flavor;

    #[test]
    fn who_stands_in_the_way_is_named() {
        let session = SessionInfo {
            id: 1,
            connection: 17,
            user: "app".into(),
            peer: "10.0.0.1:4000".into(),
            learned: false,
            activity: Activity::Idle,
            keeps: Keeps::Transaction,
            since: Duration::from_millis(1500),
            age: Duration::from_secs(60),
        };
        let locks = SessionInfo {
            keeps: Keeps::Locks,
            ..session.clone()
        };
        let many: Vec<_> = std::iter::repeat_n(session, 5).chain([locks]).collect();
        let server = Server::of(Flavor::MariaDb, "10.11.14-MariaDB");
        let said = in_the_way(server, &many[4..], &[], Duration::from_secs(5));
        assert_eq!(
            said,
            "after 5s (--deadline) these were still there: connection 17 (user 'app' from 10.0.0.1:4000, connected for \
             60 s) is in a transaction since 1.5 s; connection 17 (user 'app' from 10.0.0.1:4000, connected for 60 s) \
             keeps a lock (GET_LOCK, LOCK TABLES or HANDLER) since 1.5 s; end them, give a longer deadline, or cut them \
             with --force"
        );
        assert!(in_the_way(server, &many, &[], Duration::from_secs(5)).contains("; and 1 more;"));
    }
}
