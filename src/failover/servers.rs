//! What is said to a server on the way of a move, in both flavors. Each may be said twice.

use std::time::Duration;

use super::facts::Said;
use crate::capture::attach;
use crate::gtid::Position;
use crate::ids::Flavor;
use crate::net;
use crate::net::admin::{Account, Admin};
use crate::protocol::semi_sync::Names;
use crate::topology::doctor::change_master::{Endpoint, PASSWORD};
use crate::topology::{Report, voter};

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
    let mut objections: Vec<String> = match voter::check(&report) {
        Ok(()) => Vec::new(),
        Err(reasons) => reasons.into_iter().map(|reason| reason.what).collect(),
    };
    if !report.semi_sync_source.installed {
        objections.push("it has no semi-sync source plugin".into());
    }
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
    let variable = match admin.flavor() {
        Flavor::MariaDb => "read_only",
        Flavor::MySql => "super_read_only",
    };
    admin.execute(&format!("SET GLOBAL {variable}=ON")).await
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
    let name = Names::of(admin.flavor()).waiting;
    let rows = admin
        .query(&format!("SHOW GLOBAL STATUS LIKE '{name}'"))
        .await?;
    let value = rows.first().and_then(|row| row.text("Value"));
    Ok(value
        .and_then(|value| value.parse().ok())
        .unwrap_or_default())
}

/// Whether it has applied all of it within a moment.
pub async fn has_applied(
    admin: &mut Admin,
    position: &Position,
    within: Duration,
) -> Result<bool, net::Error> {
    if position.is_empty() {
        return Ok(true);
    }
    let seconds = within.as_secs_f64();
    let question = match admin.flavor() {
        Flavor::MariaDb => format!("SELECT MASTER_GTID_WAIT('{position}', {seconds})"),
        Flavor::MySql => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {seconds})"),
    };
    let rows = admin
        .query_within(&question, within + Duration::from_secs(5))
        .await?;
    Ok(rows.first().and_then(|row| row.at(0)) == Some("0"))
}

/// The IO thread first, so that the applier has come to an end when it stops.
pub async fn stop_replication(admin: &mut Admin, end: &Position) -> Result<(), Error> {
    let noun = noun(admin.flavor());
    admin.execute(&format!("STOP {noun} IO_THREAD")).await?;
    if !has_applied(admin, end, Duration::from_secs(5)).await? {
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

/// A server that holds nothing of its own any more follows us. Semi-sync source off: an applier would wait for an ack of
/// its own. Semi-sync replica on: besides its acks, that is what lets MariaDB apply events that carry its own server id.
pub async fn become_replica(
    admin: &mut Admin,
    endpoint: &Endpoint,
    password: &str,
) -> Result<(), Error> {
    let flavor = admin.flavor();
    let names = Names::of(flavor);
    make_read_only(admin, Duration::from_secs(5)).await?;
    set_events(admin, false).await?;
    admin
        .execute(&format!("SET GLOBAL {}=OFF", names.enabled))
        .await?;
    admin
        .execute(&format!("SET GLOBAL {}=ON", names.replica_enabled))
        .await?;
    let [stop, change, start] = endpoint.statements(flavor);
    admin.execute(&stop).await?;
    if flavor == Flavor::MariaDb {
        admin.execute("SET GLOBAL gtid_strict_mode=ON").await?;
        // Its own transactions are in its binlog's position only.
        admin
            .execute("SET GLOBAL gtid_slave_pos=@@global.gtid_current_pos")
            .await?;
    }
    let password = password.replace('\\', r"\\").replace('\'', "''");
    admin.execute(&change.replace(PASSWORD, &password)).await?;
    Ok(admin.execute(&start).await?)
}

fn noun(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MariaDb => "SLAVE",
        Flavor::MySql => "REPLICA",
    }
}
