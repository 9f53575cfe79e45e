//! What is said to a server on the way of a move, in both flavors. Each may be said twice.

use std::time::Duration;

use super::facts::Said;
use crate::capture::attach;
use crate::gtid::Position;
use crate::ids::Flavor;
use crate::net;
use crate::net::admin::{Account, Admin, Row};
use crate::protocol::semi_sync::Names;
use crate::topology::doctor::change_master::{Endpoint, PASSWORD};
use crate::topology::doctor::grants;
use crate::topology::plugins::{self, Plugin};
use crate::topology::{Report, applied, voter};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error(transparent)]
    Report(#[from] crate::topology::report::Error),
    #[error(transparent)]
    Attach(#[from] attach::Error),
    #[error("{0}")]
    Other(String),
}

/// What it says of itself now. Whether it follows us is known on our side.
pub async fn look(account: &Account, deadline: Duration) -> Result<Said, Error> {
    let mut admin = Admin::connect(account, deadline).await?;
    let report = Report::ask(&mut admin, true).await?;
    let source = attach::read(&mut admin).await?;
    let objections: Vec<String> = match voter::check(&report) {
        Ok(()) => Vec::new(),
        Err(reasons) => reasons.into_iter().map(|reason| reason.what).collect(),
    };
    let source_address = report
        .main_replication()
        .map(|replication| (replication.source_host.clone(), replication.source_port));
    Ok(Said {
        state: source.state,
        server_id: source.server_id,
        uuid: source.uuid,
        follows_us: false,
        source_address,
        objections,
        waiting: report.semi_sync_source.waiting,
        events: report.event_scheduler.eq_ignore_ascii_case("ON"),
        walked: None,
    })
}

/// Nobody but those with READ ONLY ADMIN (MySQL: nobody) begins a write here afterwards. It waits for statements that run,
/// and gives up by itself, so that it does not take effect after everybody has gone back.
pub async fn make_read_only(admin: &mut Admin, within: Duration) -> Result<(), net::Error> {
    let seconds = within.as_secs().max(1);
    admin
        .execute(&format!("SET SESSION lock_wait_timeout={seconds}"))
        .await?;
    admin.execute(read_only(admin.flavor())).await
}

pub fn read_only(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MariaDb => "SET GLOBAL read_only=ON",
        Flavor::MySql => "SET GLOBAL super_read_only=ON",
    }
}

/// Events write on a read-only server.
pub async fn set_events(admin: &mut Admin, on: bool) -> Result<(), net::Error> {
    let found = admin.value("SELECT @@global.event_scheduler").await?;
    let found = found.unwrap_or_default();
    let wanted = if on { "ON" } else { "OFF" };
    if found.eq_ignore_ascii_case("DISABLED") || found.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    admin
        .execute(&format!("SET GLOBAL event_scheduler={wanted}"))
        .await
}

/// Sessions that wait for an acknowledgement.
pub async fn waiting(admin: &mut Admin) -> Result<u64, net::Error> {
    let value = admin.status(Names::of(admin.flavor()).waiting).await?;
    Ok(value
        .and_then(|value| value.parse().ok())
        .unwrap_or_default())
}

/// The IO thread first, so that the applier has come to an end when it stops.
pub async fn stop_replication(admin: &mut Admin, end: &Position) -> Result<(), Error> {
    let noun = noun(admin.flavor());
    admin.execute(&format!("STOP {noun} IO_THREAD")).await?;
    if !applied::comes_to(admin, end, Duration::from_secs(5)).await? {
        return Err(Error::Other(format!("it has not applied all up to {end}")));
    }
    admin.execute(&format!("STOP {noun}")).await?;
    if admin.flavor() == Flavor::MariaDb {
        // Behind RESET MASTER its own next number would be 1, a GTID that may be released already; set
        // anew, to the same value too, it goes on above it (FACTS.md, section 13).
        admin
            .execute("SET GLOBAL gtid_slave_pos=@@global.gtid_slave_pos")
            .await?;
    }
    Ok(())
}

/// Why its IO thread does not run, if it says so.
pub async fn io_error(admin: &mut Admin) -> Option<String> {
    let report = Report::ask(admin, true).await.ok()?;
    report.main_replication()?.io_error.clone()
}

/// The server's number of a connection, of a row of its process list.
pub fn id_of(row: &Row) -> Option<u32> {
    row.text("Id").and_then(|id| id.parse().ok())
}

/// Connections of clients, by the server's number: all but replicas, the server's own threads, and those of our account.
pub async fn clients(admin: &mut Admin) -> Result<Vec<(u32, Row)>, net::Error> {
    /// Who is not a client, or not yet.
    const OTHERS: [&str; 3] = ["system user", "event_scheduler", "unauthenticated user"];
    let own = admin.user().await?;
    let is_client = |row: &Row| {
        let user = row.text("User").unwrap_or_default();
        let is_daemon = row.text("Command") == Some("Daemon");
        !(OTHERS.contains(&user) || user == own || is_daemon || row.is_dump())
    };
    let clients = admin.processes().await?.into_iter().filter(is_client);
    Ok(clients
        .filter_map(|row| Some((id_of(&row)?, row)))
        .collect())
}

/// Whether it was still there.
pub async fn kill(admin: &mut Admin, connection: u32) -> Result<bool, net::Error> {
    /// ER_NO_SUCH_THREAD.
    const NO_SUCH_THREAD: u16 = 1094;
    match admin.execute(&format!("KILL {connection}")).await {
        Err(error) if error.server_code() == Some(NO_SUCH_THREAD) => Ok(false),
        killed => killed.map(|()| true),
    }
}

/// ER_BAD_SLAVE, of both: there is nothing to start.
pub const FOLLOWS_NOBODY: u16 = 1200;

/// A replica as it was, though somebody had begun to make a source of it.
pub async fn start_replication(admin: &mut Admin) -> Result<(), net::Error> {
    let noun = noun(admin.flavor());
    make_read_only(admin, Duration::from_secs(5)).await?;
    let enabled = Names::of(admin.flavor()).enabled;
    admin.execute(&format!("SET GLOBAL {enabled}=OFF")).await?;
    admin.execute(&format!("START {noun}")).await
}

/// A source that is started again must not follow anybody.
pub async fn forget_source(admin: &mut Admin) -> Result<(), net::Error> {
    let noun = noun(admin.flavor());
    admin.execute(&format!("STOP {noun}")).await?;
    admin.execute(&format!("RESET {noun} ALL")).await
}

/// A server that holds nothing of its own any more follows us.
pub async fn become_replica(
    admin: &mut Admin,
    endpoint: &Endpoint,
    password: &str,
) -> Result<(), Error> {
    set_events(admin, false).await?;
    make_voter(admin).await?;
    if admin.flavor() == Flavor::MariaDb {
        admin
            .execute(&format!("STOP {}", noun(Flavor::MariaDb)))
            .await?;
        // Its own transactions are in its binlog's position only.
        admin
            .execute("SET GLOBAL gtid_slave_pos=@@global.gtid_current_pos")
            .await?;
    }
    follow(admin, endpoint, password).await
}

/// Semi-sync source off: an applier would wait for an ack of its own. Semi-sync replica on: besides its acks, that is
/// what lets MariaDB apply events that carry its own server id, with strict mode.
pub async fn make_voter(admin: &mut Admin) -> Result<(), Error> {
    let names = Names::of(admin.flavor());
    install_plugins(admin).await?;
    make_read_only(admin, Duration::from_secs(5)).await?;
    let mut settings = vec![
        format!("{}=OFF", names.enabled),
        format!("{}=ON", names.replica_enabled),
    ];
    if admin.flavor() == Flavor::MariaDb {
        settings.push("gtid_strict_mode=ON".into());
    }
    for setting in settings {
        admin.execute(&format!("SET GLOBAL {setting}")).await?;
    }
    // As the source it had what `[binlog] format` says, if it let us.
    if let Err(error) = admin.execute("SET GLOBAL binlog_format=MIXED").await {
        tracing::warn!(%error, "binlog_format is not set at a replica, which may cost it its vote");
    }
    Ok(())
}

/// What is missing of them.
async fn install_plugins(admin: &mut Admin) -> Result<(), Error> {
    let needed = plugins::needed(admin.flavor());
    if needed.is_empty() {
        return Ok(());
    }
    let there = admin
        .query("SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync%enabled'")
        .await?;
    let is_there = |plugin: &Plugin| there.iter().any(|row| row.at(0) == Some(plugin.variable));
    let missing: Vec<Plugin> = needed.into_iter().filter(|one| !is_there(one)).collect();
    let closed = admin.value("SELECT @@global.super_read_only").await?;
    let closed = closed.as_deref() == Some("1");
    for statement in plugins::install(&missing, closed) {
        let Err(error) = admin.execute(&statement).await else {
            continue;
        };
        if closed {
            admin.execute(plugins::CLOSES).await?;
        }
        let account = admin.value("SELECT CURRENT_USER()").await?;
        return Err(Error::Other(format!(
            "{statement}: {error} (an administrator may run it there, with super_read_only off, or {} at the source)",
            grants::statement_for_plugins(&account.unwrap_or_default())
        )));
    }
    Ok(())
}

/// From what it has applied on.
pub async fn follow(admin: &mut Admin, endpoint: &Endpoint, password: &str) -> Result<(), Error> {
    let [stop, change, start] = endpoint.statements(admin.flavor());
    admin.execute(&stop).await?;
    let password = password.replace('\\', r"\\").replace('\'', "''");
    admin.execute(&change.replace(PASSWORD, &password)).await?;
    Ok(admin.execute(&start).await?)
}

pub(super) fn noun(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MariaDb => "SLAVE",
        Flavor::MySql => "REPLICA",
    }
}
