//! `ackline adopt`: live servers are taken in, one replica after the other.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::Failure;
use super::client::Client;
use super::doctor::{self, Present, Visit};
use crate::ack::policy::{Mode, SyncPatch};
use crate::admin::status::{ReplicaRow, Status};
use crate::app;
use crate::config::{Config, write_sync};
use crate::failover::adopt::{self, Judged};
use crate::ids::{ServerId, ServerName};
use crate::net::admin::Admin;
use crate::topology::doctor::repair::{Outcome, repair};
use crate::topology::doctor::{Check, Examination, checks, option_file};
use crate::topology::{Role, ServerConfig};

/// For somebody to start the proxy.
const STARTED: Duration = Duration::from_secs(600);
const ATTACHED: Duration = Duration::from_secs(60);
/// So often it is said what is waited for.
const TOLD: Duration = Duration::from_secs(10);
const COMES: Duration = Duration::from_secs(60);
/// Its binlog is walked first.
const VOTES: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(100);

/// What is there before anything is done.
struct Found {
    visit: Visit,
    source: Examination,
    checks: Vec<Check>,
    replicas: Vec<(Examination, Judged)>,
}

pub(super) async fn run(path: &Path, mode: Option<&str>, dry_run: bool) -> Result<(), Failure> {
    if let Some(mode) = mode {
        mode.parse::<Mode>()
            .map_err(|error| Failure::Usage(anyhow!(error)))?;
    }
    let Present { config, attached } = doctor::present(path).await?;
    let servers: Vec<ServerConfig> = config.servers.iter().map(app::server_config).collect();
    let mut found = look(&config, &servers, attached).await?;
    let ready = found.show();
    let after = asked(&config.sync_keys, mode);
    // Commits go on waiting for those who follow us already.
    let becomes_async = !ready.is_empty() && !is_async(&config.sync_keys);
    if becomes_async {
        println!("While replicas are taken in the mode is async.");
    }
    println!("At the end: {}.", words(&after));
    if dry_run {
        let left: Vec<String> = found.left().map(|(name, _)| name.to_string()).collect();
        if !left.is_empty() && !is_async(&after) {
            return Err(anyhow!(
                "would not be done to its end: {} would be left out, and commits might wait there; mend what is said above",
                left.join(" and ")
            )
            .into());
        }
        println!("would be done");
        return Ok(());
    }
    found.prepare().await?;
    let client = Client::new(path)?;
    if becomes_async {
        println!(
            "If this is interrupted, give it again with --mode, since [sync] says async meanwhile."
        );
        go_async(path, &client).await?;
    }
    attach(path, &client, config.source().name.as_str()).await?;
    for name in &ready {
        let server = servers.iter().find(|server| server.name == *name);
        let server = server.with_context(|| format!("{name} is not configured"))?;
        take_in(&config, server, &client).await?;
    }
    let mut left: Vec<String> = found.left().map(|(name, _)| name.to_string()).collect();
    for row in without_a_vote(&config, &client, &left).await? {
        println!(
            "{}: without a vote: {}",
            row.name,
            row.objections.join("; ")
        );
        left.push(row.name);
    }
    if !left.is_empty() && !is_async(&after) {
        return Err(anyhow!(
            "{} did not come, or has no vote, so the mode is left as it is (ackline mode): commits might wait for it; mend what is said above and give the command again with --mode {}",
            left.join(" and "),
            after.mode.as_deref().unwrap_or("and the one that is wanted")
        )
        .into());
    }
    set(&client, &after).await?;
    println!(
        "done: {} in force. Let applications connect to {}; ackline doctor prints what belongs into the servers' configuration files.",
        words(&after),
        config.listen.mysql.join(", ")
    );
    Ok(())
}

/// What `[sync]` is to say at the end.
fn asked(keys: &SyncPatch, mode: Option<&str>) -> SyncPatch {
    match (mode, &keys.require) {
        (Some(mode), _) => SyncPatch {
            mode: Some(mode.to_owned()),
            ..SyncPatch::default()
        },
        (None, Some(require)) => SyncPatch {
            require: Some(require.clone()),
            ..SyncPatch::default()
        },
        (None, None) => SyncPatch {
            mode: Some(
                keys.mode
                    .clone()
                    .unwrap_or_else(|| Mode::SemiSync.to_string()),
            ),
            ..SyncPatch::default()
        },
    }
}

fn is_async(keys: &SyncPatch) -> bool {
    keys.require.is_none() && keys.mode.as_deref() == Some("async")
}

fn words(sync: &SyncPatch) -> String {
    match (&sync.mode, &sync.require) {
        (Some(mode), _) => format!("mode {mode}"),
        (None, Some(require)) => format!("require {require}"),
        (None, None) => "the same".to_owned(),
    }
}

/// Refused where anything does not answer, or the source cannot be taken in.
async fn look(config: &Config, servers: &[ServerConfig], attached: bool) -> Result<Found, Failure> {
    let mut visit = Visit::of(servers, attached).await;
    if let Some(silent) = visit.unreached.first() {
        let why = silent.note.as_deref().unwrap_or_default();
        return Err(anyhow!("{} does not answer: {why}", silent.server).into());
    }
    let examined = visit.examined();
    let checks = checks::all(&examined, &doctor::wanted(config));
    let (sources, replicas): (Vec<_>, Vec<_>) = examined
        .into_iter()
        .partition(|server| server.role == Role::Source);
    let source = sources.into_iter().next().context("no source")?;
    let objections = adopt::objections(&source, &checks);
    if !objections.is_empty() {
        return Err(anyhow!("{}: {}", source.name, objections.join("; ")).into());
    }
    let attached: BTreeSet<ServerId> = adopt::attached(visit.admin(&source.name)?).await?;
    let flavor = source.report.flavor;
    let judged = replicas.into_iter().map(|replica| {
        let judged = adopt::judge(&replica, &checks, flavor, &attached);
        (replica, judged)
    });
    Ok(Found {
        replicas: judged.collect(),
        visit,
        source,
        checks,
    })
}

impl Found {
    /// Prints what will become of each; who is to be taken in.
    fn show(&self) -> Vec<ServerName> {
        println!("{}: the source", self.source.name);
        self.show_settings(&self.source.name);
        let mut ready = Vec::new();
        for (replica, judged) in &self.replicas {
            let name = &replica.name;
            match judged {
                Judged::Ours => println!("{name}: follows ackline already"),
                Judged::Ready => {
                    println!("{name}: follows the source, will follow ackline");
                    self.show_settings(name);
                    ready.push(name.clone());
                }
                Judged::Left(why) => println!("{name}: left as it is: {why}"),
            }
        }
        ready
    }

    /// What will be run at a server for its settings, and what is left to its administrator.
    fn show_settings(&self, server: &ServerName) {
        let of_server = |check: &&Check| check.server == *server;
        let checks = self.checks.iter().filter(of_server);
        for statement in checks.flat_map(Check::fix_sql) {
            println!("  {statement}");
        }
        let lines = option_file(self.checks.iter().filter(of_server));
        if !lines.is_empty() {
            println!(
                "  belongs into its configuration file before it is started again: {}",
                lines.join(", ")
            );
        }
    }

    fn left(&self) -> impl Iterator<Item = (&ServerName, &str)> {
        self.replicas
            .iter()
            .filter_map(|(replica, judged)| match judged {
                Judged::Left(why) => Some((&replica.name, why.as_str())),
                Judged::Ours | Judged::Ready => None,
            })
    }

    /// The source's settings; and nobody acknowledges there any more but us.
    async fn prepare(&mut self) -> Result<(), Failure> {
        let source = self.visit.admin(&self.source.name)?;
        for check in &self.checks {
            if check.server != self.source.name || check.fix_sql().is_empty() {
                continue;
            }
            match repair(source, check, &self.source).await {
                Outcome::Done => println!("{}: done: {}", check.server, check.fix_sql().join("; ")),
                Outcome::Denied { statement, grant } => {
                    return Err(anyhow!(
                        "our account may not run {statement} at {}: {grant}",
                        check.server
                    )
                    .into());
                }
                Outcome::Failed { statement, reason } => {
                    return Err(anyhow!("{}: {statement} failed: {reason}", check.server).into());
                }
            }
        }
        if self.source.dumps.ours > 0 {
            return Ok(());
        }
        if self.source.report.semi_sync_source.enabled {
            println!(
                "{}: its own semi-sync is off until ackline attaches",
                self.source.name
            );
            adopt::source_waits_for_nobody(source).await?;
        }
        for (replica, judged) in &self.replicas {
            if *judged != Judged::Ours && replica.report.semi_sync_replica.enabled {
                println!(
                    "{}: acknowledges nothing at the source any more",
                    replica.name
                );
                adopt::acknowledges_nothing(self.visit.admin(&replica.name)?).await?;
            }
        }
        let source = self.visit.admin(&self.source.name)?;
        if adopt::nobody_acknowledges(source).await? {
            return Ok(());
        }
        Err(anyhow!(
            "somebody else is a semi-sync replica of {} and would acknowledge in our place ({}): switch its semi-sync off and restart its IO thread; if that is done, give the command again",
            self.source.name,
            self.source.dumps.others.join(", ")
        )
        .into())
    }
}

/// Of the running proxy, or in its file.
async fn go_async(path: &Path, client: &Client) -> Result<(), Failure> {
    let to_async = SyncPatch {
        mode: Some("async".into()),
        ..SyncPatch::default()
    };
    match set(client, &to_async).await {
        Err(Failure::NotReached(_)) => {
            write_sync(path, &to_async).map_err(anyhow::Error::from)?;
            Ok(())
        }
        done => done,
    }
}

async fn set(client: &Client, sync: &SyncPatch) -> Result<(), Failure> {
    let body = serde_json::to_value(sync).context("the request")?;
    client
        .put::<serde_json::Value>("/api/v1/sync", &body)
        .await
        .map(|_| ())
}

/// Until the proxy runs and has attached to the source.
async fn attach(path: &Path, client: &Client, source: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut asked_for = false;
    let (mut captured, mut since) = (None, Instant::now());
    let mut told = None;
    loop {
        match client.get::<Status>("/api/v1/status").await {
            Ok(status) => {
                if status.source.state == "attached" {
                    println!("{source}: ackline is attached");
                    return Ok(());
                }
                // Much may have to be taken over first.
                let now = Some(status.binlog.written_position);
                if captured != now {
                    (captured, since) = (now, Instant::now());
                }
                let catches_up = status.source.state == "catching-up";
                let why = status.source.reason.unwrap_or(status.source.state);
                let is_told = told.is_some_and(|told: Instant| told.elapsed() < TOLD);
                if catches_up && !is_told {
                    told = Some(Instant::now());
                    println!("{source}: {why}");
                }
                if since.elapsed() > ATTACHED {
                    return Err(anyhow!("ackline does not attach to {source}: {why}").into());
                }
            }
            Err(Failure::NotReached(error)) if begun.elapsed() > STARTED => {
                return Err(Failure::NotReached(error));
            }
            Err(Failure::NotReached(_)) => {
                if !std::mem::replace(&mut asked_for, true) {
                    println!(
                        "Start the proxy now (systemctl start ackline, or ackline serve --config {}); this goes on by itself.",
                        path.display()
                    );
                }
            }
            Err(other) => return Err(other),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn take_in(config: &Config, server: &ServerConfig, client: &Client) -> Result<(), Failure> {
    let begun = Instant::now();
    let name = &server.name;
    let listen = config.listen.replication.first();
    let mut endpoint = doctor::endpoint(config, listen.map_or("", String::as_str));
    let mut admin = Admin::connect(&server.account, DEADLINE).await?;
    if endpoint.host.is_none() {
        // We listen on every address: the one that it sees us come from is one of them.
        endpoint.host = Some(adopt::seen_from(&mut admin).await?);
    }
    let password = config.replication.password.expose();
    let moved = adopt::follow_us(&mut admin, &endpoint, password).await;
    moved.with_context(|| format!("{name} could not be told to follow ackline"))?;
    let mut streams = None;
    loop {
        let row = row(client, name).await?;
        if row.state == "streaming" {
            let since = *streams.get_or_insert_with(Instant::now);
            if row.vote {
                println!(
                    "{name}: follows ackline since {} ms, and votes",
                    begun.elapsed().as_millis()
                );
                return Ok(());
            }
            // It does not have to vote to be taken in; but the mode waits for that.
            if since.elapsed() > VOTES {
                println!(
                    "{name}: follows ackline since {} ms",
                    begun.elapsed().as_millis()
                );
                return Ok(());
            }
        } else if begun.elapsed() > COMES {
            let io = adopt::io_error(&mut admin).await;
            let why = io.or(row.reason).unwrap_or(row.state);
            return Err(anyhow!(
                "{name} does not stream from {} ({why}); it goes on trying. To send it back: CHANGE MASTER TO (MySQL: CHANGE REPLICATION SOURCE TO) the source, with the account that it had",
                endpoint.address()
            )
            .into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Of the replicas whose vote is wanted. A word that counted a moment ago may have to be proven once more.
async fn without_a_vote(
    config: &Config,
    client: &Client,
    left: &[String],
) -> Result<Vec<ReplicaRow>, Failure> {
    let wanted = |row: &ReplicaRow| {
        let mut servers = config.servers.iter();
        let server = servers.find(|server| server.name.as_str() == row.name);
        server.is_some_and(|server| server.vote) && !left.contains(&row.name)
    };
    let begun = Instant::now();
    loop {
        let status: Status = client.get("/api/v1/status").await?;
        let rows = status.replicas.into_iter();
        let silent: Vec<ReplicaRow> = rows.filter(|row| !row.vote && wanted(row)).collect();
        if silent.is_empty() || begun.elapsed() > VOTES {
            return Ok(silent);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn row(client: &Client, name: &ServerName) -> Result<ReplicaRow, Failure> {
    let status: Status = client.get("/api/v1/status").await?;
    let mut rows = status.replicas.into_iter();
    let row = rows.find(|row| row.name == name.as_str());
    Ok(row.with_context(|| {
        format!("the running proxy does not know {name}: let it read its configuration (SIGHUP)")
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_before_comes_back() {
        let keys = |text: &str| toml::from_str::<SyncPatch>(text).unwrap();
        for (before, mode, after) in [
            ("", None, "mode semi-sync"),
            ("mode = 'quorum'\nacks = 2", None, "mode quorum"),
            ("require = 'ALL applied'", None, "require ALL applied"),
            ("require = 'ALL applied'", Some("sync"), "mode sync"),
            ("mode = 'async'", None, "mode async"),
        ] {
            assert_eq!(words(&asked(&keys(before), mode)), after, "{before}");
        }
        assert!(is_async(&keys("mode = 'async'")) && !is_async(&keys("")));
    }
}
