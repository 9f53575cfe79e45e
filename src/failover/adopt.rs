//! Takes live servers in: a source that writes, and replicas that follow it natively, without a copy of anything.
//!
//! ```text
//! judged      everything that can be known is known before anything is touched
//! native semi-sync off, at the source and at its replicas: they would acknowledge in our place
//! ackline attaches (mode async), its binlog beginning where the slowest replica is
//! each replica in turn: settings, then it follows us, until it streams
//! the mode that was asked for
//! ```
//!
//! Every step may be found done, so whoever gives the command again goes on where it ended.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::servers;
pub use crate::capture::beginning::attached;
use crate::ids::{Flavor, ServerId};
use crate::net;
use crate::net::admin::Admin;
use crate::protocol::semi_sync::Names;
use crate::topology::doctor::{Check, Endpoint, Examination, Fix};
use crate::topology::report::Thread;
use crate::topology::voter;

/// Until the source counts no semi-sync replica any more.
const LEAVE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);
const FLUSHES: u32 = 3;
/// Checks of doctor's that the way itself makes good.
const ON_THE_WAY: [&str; 2] = ["follows", "replication threads"];

/// What is to be done with one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It follows us already.
    Ours,
    /// It follows the source, and everything that speaks against it can be set while it runs.
    Ready,
    /// It is left as it is, for this.
    Left(String),
}

/// Why the source cannot be taken in as it is; each with what to do.
pub fn objections(source: &Examination, checks: &[Check]) -> Vec<String> {
    let mut objections: Vec<String> = of_server(source, checks)
        .filter(|check| {
            let is_ours = ["binlog filters", voter::PLUGINS].contains(&check.name.as_str());
            is_ours || !matches!(check.fix, Fix::ByHand(_))
        })
        .filter_map(speaks_against)
        .collect();
    if let Some(replication) = source.report.main_replication()
        && replication.io != Thread::Stopped
    {
        objections.push(format!(
            "it replicates from {}: a source must follow nobody",
            replication.source_address()
        ));
    }
    objections
}

/// `attached`: who pulls from the source, by server id.
pub fn judge(
    replica: &Examination,
    checks: &[Check],
    flavor: Flavor,
    attached: &BTreeSet<ServerId>,
) -> Judged {
    let report = &replica.report;
    if report.flavor != flavor {
        return Judged::Left(format!("it is a {} server", report.flavor));
    }
    if of_server(replica, checks).any(|check| check.name == "follows" && check.ok) {
        return Judged::Ours;
    }
    let Some(replication) = report.main_replication() else {
        return Judged::Left(
            "it follows nobody: when the proxy runs, ackline provision makes a replica of it"
                .into(),
        );
    };
    let problem = replication
        .io_error
        .as_ref()
        .or(replication.sql_error.as_ref());
    let mut reasons = Vec::new();
    if let Some(problem) = problem {
        reasons.push(problem.clone());
    } else if replication.io != Thread::Running || replication.sql != Thread::Running {
        reasons.push("its replication threads do not run: start them, and let it catch up".into());
    } else if !attached.contains(&report.server_id) {
        reasons.push(format!(
            "it follows {}, which is not the source",
            replication.source_address()
        ));
    }
    reasons.extend(
        of_server(replica, checks)
            .filter(|check| !ON_THE_WAY.contains(&check.name.as_str()))
            .filter(|check| check.name != Names::of(flavor).replica_enabled)
            .filter_map(speaks_against),
    );
    match reasons.is_empty() {
        true => Judged::Ready,
        false => Judged::Left(reasons.join("; ")),
    }
}

/// What the way itself does not make good.
fn speaks_against(check: &Check) -> Option<String> {
    let name = &check.name;
    match &check.fix {
        _ if check.ok => None,
        Fix::Restart => Some(format!(
            "{name} is {}: put {} into its configuration file and restart it",
            check.found,
            check.option_file.join(", ")
        )),
        Fix::Grant(grant) => Some(format!("our account lacks privileges: {grant}")),
        Fix::ByHand(how) => Some(format!("{name}: {how}")),
        Fix::Nothing | Fix::Sql(_) | Fix::OptionFile => None,
    }
}

fn of_server<'a>(server: &'a Examination, checks: &'a [Check]) -> impl Iterator<Item = &'a Check> {
    checks.iter().filter(|check| check.server == server.name)
}

/// Nobody waits at the source for replicas that are about to leave it.
pub async fn source_waits_for_nobody(source: &mut Admin) -> Result<(), net::Error> {
    let enabled = Names::of(source.flavor()).enabled;
    source.execute(&format!("SET GLOBAL {enabled}=OFF")).await
}

/// It goes on following the source, and acknowledges nothing there.
pub async fn acknowledges_nothing(replica: &mut Admin) -> Result<(), net::Error> {
    let word = servers::noun(replica.flavor());
    let enabled = Names::of(replica.flavor()).replica_enabled;
    replica
        .execute(&format!("SET GLOBAL {enabled}=OFF"))
        .await?;
    replica.execute(&format!("STOP {word} IO_THREAD")).await?;
    replica.execute(&format!("START {word} IO_THREAD")).await
}

/// The source counts a replica that left until the next event or heartbeat to it. Whether all have left.
pub async fn nobody_acknowledges(source: &mut Admin) -> Result<bool, net::Error> {
    let clients = Names::of(source.flavor()).clients;
    let deadline = Instant::now() + LEAVE;
    let mut flushed = 0;
    loop {
        let rows = source
            .query(&format!("SHOW GLOBAL STATUS LIKE '{clients}'"))
            .await?;
        match rows.first().and_then(|row| row.text("Value")) {
            Some("0") | None => return Ok(true),
            Some(_) if Instant::now() >= deadline => return Ok(false),
            Some(_) => {
                // Where nobody writes this is an event. Who has left is met by the second one; without RELOAD it is the
                // heartbeat that is waited for.
                if flushed < FLUSHES {
                    flushed += 1;
                    let _ = source.execute("FLUSH BINARY LOGS").await;
                }
                tokio::time::sleep(LOOK * 4).await;
            }
        }
    }
}

/// A replica that follows the source natively follows us, from where it has applied to. Its relay log is fetched anew.
pub async fn follow_us(
    replica: &mut Admin,
    endpoint: &Endpoint,
    password: &str,
) -> Result<(), servers::Error> {
    let word = servers::noun(replica.flavor());
    // First, or it would come back to the source as a semi-sync replica.
    replica.execute(&format!("STOP {word}")).await?;
    if let Err(error) = servers::make_voter(replica).await {
        replica.execute(&format!("START {word}")).await?;
        return Err(error);
    }
    servers::follow(replica, endpoint, password).await
}

/// Why its IO thread does not run, if it says so.
pub async fn io_error(replica: &mut Admin) -> Option<String> {
    servers::io_error(replica).await
}

/// The address that we have there.
pub async fn seen_from(server: &mut Admin) -> Result<String, net::Error> {
    let host = server
        .value("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        .await?;
    Ok(host.unwrap_or_default())
}
