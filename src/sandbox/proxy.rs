//! The proxy of the sandbox: its configuration, its process, and the proof that it works.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use super::folder::{tail, write_private};
use super::plan::Plan;
use super::process::{self, Process};
use super::server::Server;
use super::startup::{cannot_run, detached};
use super::{Error, Folder, Report};
use crate::net::admin::{Account, Admin};
use crate::net::tls::Connector;

const COMMITS_WITHIN: Duration = Duration::from_secs(90);
const REPORT_EVERY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);
const SERVES_WITHIN: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(10);
/// Ours among the replication ids of the sandbox; the servers count from 1.
const SERVER_ID: u32 = 13306;
/// What proves a commit leaves nothing behind.
const PROBE: [&str; 4] = [
    "DROP TABLE IF EXISTS ackline_sandbox_probe",
    "CREATE TABLE ackline_sandbox_probe (id INT PRIMARY KEY) ENGINE=InnoDB",
    "INSERT INTO ackline_sandbox_probe VALUES (1)",
    "DROP TABLE ackline_sandbox_probe",
];

pub(super) fn running(folder: &Folder) -> Option<Process> {
    process::proxies_of(folder).pop()
}

pub(super) fn write_config(folder: &Folder, plan: &Plan) -> Result<(), Error> {
    if folder.config().exists() {
        return Ok(());
    }
    write_private(&folder.config(), &config(folder, plan))
}

fn config(folder: &Folder, plan: &Plan) -> String {
    let (proxy, replication, admin) = (
        plan.ports.proxy(),
        plan.ports.replication(),
        plan.ports.admin(),
    );
    let mut text = format!(
        "\
# The sandbox's proxy. Saving this file changes [sync] at once; `ackline mode NAME` does so too.

[listen]
mysql = [\"127.0.0.1:{proxy}\"]
replication = [\"127.0.0.1:{replication}\"]
admin = [\"127.0.0.1:{admin}\"]

[sync]
mode = \"{mode}\"

[binlog]
dir = \"binlog\"

[replication]
user = \"{user}\"
password = \"{password}\"
server_id = {SERVER_ID}

[admin]
token = \"{token}\"
",
        mode = plan.mode,
        user = plan.replication.user,
        password = plan.replication.password,
        token = plan.token,
    );
    for server in Server::all(folder, plan) {
        let role = if server.is_source() {
            "source"
        } else {
            "replica"
        };
        text.push_str(&format!(
            "
[[server]]
name = \"{name}\"
address = \"127.0.0.1:{port}\"
role = \"{role}\"
user = \"{user}\"
password = \"{password}\"
",
            name = server.name,
            port = server.port,
            user = plan.ackline.user,
            password = plan.ackline.password,
        ));
    }
    text
}

/// Starts the proxy where it does not run, and waits until it serves. Where that takes longer, it may need the replicas.
pub(super) async fn begin(
    folder: &Folder,
    plan: &Plan,
    report: Report<'_>,
) -> Result<Option<Child>, Error> {
    if running(folder).is_some() {
        return Ok(None);
    }
    report("the proxy starts");
    let mut child = spawn(folder, &folder.proxy_log())?;
    let deadline = Instant::now() + SERVES_WITHIN;
    let account = app(plan);
    while matches!(child.try_wait(), Ok(None)) {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, Admin::connect(&account, left)).await {
            Ok(Ok(admin)) => {
                admin.close().await;
                break;
            }
            Ok(Err(_)) => tokio::time::sleep(LOOK).await,
            Err(_) => break,
        }
    }
    Ok(Some(child))
}

/// Waits for a commit through the proxy, which is started where it does not run.
pub(super) async fn commits(
    folder: &Folder,
    plan: &Plan,
    mut child: Option<Child>,
    report: Report<'_>,
) -> Result<Process, Error> {
    let log = folder.proxy_log();
    let deadline = Instant::now() + COMMITS_WITHIN;
    let mut next_report = Instant::now() + REPORT_EVERY;
    let mut probe = Box::pin(probe(plan, deadline));
    loop {
        // Looked at each time: one that was just killed is seen for a moment longer.
        if child.is_none() && running(folder).is_none() {
            report("the proxy starts");
            child = Some(spawn(folder, &log)?);
        }
        // The probe keeps its connection, and a commit that waits, across these looks.
        match tokio::time::timeout(POLL, &mut probe).await {
            Ok(Ok(())) => break,
            Ok(Err(last)) => {
                return Err(Error::NoCommit {
                    seconds: COMMITS_WITHIN.as_secs(),
                    last,
                    tail: tail(&log),
                    log,
                });
            }
            Err(_) => {}
        }
        if let Some(child) = &mut child
            && !matches!(child.try_wait(), Ok(None))
        {
            return Err(died(&log));
        }
        if Instant::now() > next_report {
            next_report += REPORT_EVERY;
            report("waiting for a commit through the proxy");
        }
    }
    running(folder).ok_or_else(|| died(&log))
}

fn spawn(folder: &Folder, log: &Path) -> Result<Child, Error> {
    let program = std::env::current_exe().map_err(Error::io("finding our own program"))?;
    detached(program.as_os_str(), log)?
        .args(["serve", "--config"])
        .arg(folder.config())
        .spawn()
        .map_err(|error| cannot_run("setsid".as_ref(), error))
}

fn died(log: &Path) -> Error {
    Error::Died {
        name: "the proxy".into(),
        log: log.into(),
        tail: tail(log),
    }
}

/// As the application logs in.
fn app(plan: &Plan) -> Account {
    Account {
        address: format!("127.0.0.1:{}", plan.ports.proxy()),
        user: plan.app.user.clone(),
        password: plan.app.password.clone(),
        tls: Connector::default(),
    }
}

/// Commits as the application would; the error is what was last in the way at the deadline.
async fn probe(plan: &Plan, deadline: Instant) -> Result<(), String> {
    let account = app(plan);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match commit(&account, &plan.database, left).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() + POLL >= deadline => return Err(error.to_string()),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

async fn commit(
    account: &Account,
    database: &str,
    within: Duration,
) -> Result<(), crate::net::Error> {
    let mut admin = Admin::connect(account, within).await?;
    admin.execute(&format!("USE {database}")).await?;
    for statement in PROBE {
        admin.execute(statement).await?;
    }
    admin.close().await;
    Ok(())
}
