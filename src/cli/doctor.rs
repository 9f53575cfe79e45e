//! `ackline doctor [--fix]`: what each server is set to, against what is needed, as SQL to run.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;

use super::client::Client;
use super::table::aligned;
use super::{Failure, with_causes};
use crate::admin::status::Status;
use crate::app;
use crate::config::Config;
use crate::ids::{Flavor, ServerName};
use crate::net::admin::Admin;
use crate::net::connect::split_address;
use crate::net::tls::{Mode, own};
use crate::store::state::DurableState;
use crate::topology::doctor::certificates::{self, File};
use crate::topology::doctor::checks::{self, by_server};
use crate::topology::doctor::repair::{Outcome, repair};
use crate::topology::doctor::{Check, Endpoint, Examination, Fix, Wanted, option_file};
use crate::topology::{Role, ServerConfig};

const DEADLINE: Duration = Duration::from_secs(5);
const REPLICATION_PORT: u16 = 3308;
/// Some repairs show what else is wrong: an IO thread has to be restarted once semi-sync is on.
const ROUNDS: usize = 2;

/// 0 where all is well (afterwards, with `fix`).
pub(super) async fn run(config: &Path, fix: bool) -> Result<(), Failure> {
    let Present { config, attached } = present(config).await?;
    let wanted = wanted(&config);
    let servers: Vec<ServerConfig> = config.servers.iter().map(app::server_config).collect();
    let mut rounds = if fix { ROUNDS } else { 0 };
    loop {
        let mut visit = Visit::of(&servers, attached).await;
        let flavor = visit.flavor();
        let mut checks = checks::all(&visit.examined(), &wanted);
        let to_run = checks.iter().any(|check| !check.fix_sql().is_empty());
        if rounds > 0 && to_run {
            rounds -= 1;
            if visit.repair(&checks).await {
                continue;
            }
        }
        checks.extend(visit.unreached);
        checks.extend(visit.certificates);
        let now = SystemTime::now();
        checks.extend(files(&config).iter().map(|file| file.check(now)));
        print!("{}", report(&checks, &wanted, &servers, flavor));
        let bad = checks.iter().filter(|check| !check.ok).count();
        return match bad {
            0 => Ok(()),
            bad => {
                Err(anyhow!("{bad} of {} checks are not as they should be", checks.len()).into())
            }
        };
    }
}

pub(super) struct Present {
    /// With the roles as they are by now: a running proxy says so, else what it keeps beside its binlog.
    pub config: Config,
    /// By its own word. A dump of ours at the source may be one that a dead proxy left behind.
    pub attached: bool,
}

pub(super) async fn present(path: &Path) -> Result<Present, Failure> {
    let told = Config::load(path)?.source().name.clone();
    let present = silently_present(path).await?;
    let source = &present.config.source().name;
    if *source != told {
        println!(
            "The source is {source} by now, and is looked at as such; role = \"source\" of {told} in {} is for a first start.\n",
            path.display()
        );
    }
    Ok(present)
}

/// For output that a server reads.
pub(super) async fn silently_present(path: &Path) -> Result<Present, Failure> {
    let config = Config::load(path)?;
    let told = config.source().name.clone();
    let (source, attached) = followed(path, &config).await;
    let Some(source) = source.filter(|name| *name != told) else {
        return Ok(Present { config, attached });
    };
    let moved = config.with_source(&source);
    let config = moved.ok_or_else(|| {
        anyhow!(
            "{source} is the source by now, and no [[server]] of the configuration has that name"
        )
    })?;
    Ok(Present { config, attached })
}

/// Who, and whether the proxy is attached to it.
async fn followed(path: &Path, config: &Config) -> (Option<ServerName>, bool) {
    let asked = async {
        let client = Client::new(path).ok()?;
        let status: Status = client.get("/api/v1/status").await.ok()?;
        Some(status.source)
    };
    if let Ok(Some(source)) = tokio::time::timeout(DEADLINE, asked).await {
        let attached = ["attached", "catching-up"].contains(&source.state.as_str());
        return (Some(ServerName::new(&source.name)), attached);
    }
    let kept = DurableState::load(&config.binlog.dir).ok();
    let source = kept.and_then(|kept| kept.source);
    (source.map(|source| source.name), false)
}

/// The certificates in our files, each once.
fn files(config: &Config) -> Vec<File> {
    let tls = &config.tls;
    let mut files = Vec::new();
    match &tls.files {
        Some(ours) => {
            files.push(File::Shown(ours.cert.clone()));
            files.extend(ours.client_ca.clone().map(File::Authority));
        }
        None if [tls.mode, tls.replication] == [Mode::Off; 2] => {}
        None => {
            files.push(File::Own(own::certificate(&config.binlog.dir)));
            files.extend(tls.client_ca.clone().map(File::Authority));
        }
    }
    for server in &config.servers {
        let towards = server.tls.files();
        if towards.mode == Mode::Off {
            continue;
        }
        files.extend(towards.ca.clone().map(File::Authority));
        let identity = towards.identity.clone();
        files.extend(identity.map(|(cert, _)| File::Identity(cert)));
    }
    let mut once: Vec<File> = Vec::new();
    for file in files {
        if !once.contains(&file) {
            once.push(file);
        }
    }
    once
}

pub(super) fn wanted(config: &Config) -> Wanted {
    let listen = config.listen.replication.first();
    Wanted {
        binlog_format: config.binlog.format.to_string(),
        server_id: config.replication.server_id,
        endpoint: endpoint(config, listen.map_or("", String::as_str)),
        send_proxy_protocol: config.source().send_proxy_protocol,
    }
}

/// Our replication port, by this address of it.
pub(super) fn endpoint(config: &Config, address: &str) -> Endpoint {
    let (host, port) = split_address(address, REPLICATION_PORT);
    Endpoint::new(&host, port, &config.replication.user).encrypted(config.tls.is_for_replicas())
}

/// One look at all servers.
pub(super) struct Visit {
    reached: Vec<(Admin, Examination)>,
    /// A check that is not ok for each of the others.
    pub unreached: Vec<Check>,
    /// Of those that showed one.
    certificates: Vec<Check>,
}

impl Visit {
    /// `attached`: the proxy is, to the source.
    pub async fn of(servers: &[ServerConfig], attached: bool) -> Self {
        let mut visit = Self {
            reached: Vec::new(),
            unreached: Vec::new(),
            certificates: Vec::new(),
        };
        // The source last: what a replica has beyond it is its own.
        let of = |role| servers.iter().filter(move |server| server.role == role);
        for server in of(Role::Replica).chain(of(Role::Source)) {
            let certificate = certificates::presented(&server.account, DEADLINE);
            let (reached, certificate) = tokio::join!(Self::server(server), certificate);
            let flavor = reached.as_ref().map(|(_, found)| found.report.flavor).ok();
            visit.certificates.extend(
                certificate.map(|der| {
                    certificates::of_server(&server.name, &der, flavor, SystemTime::now())
                }),
            );
            match reached {
                Ok((admin, mut found)) => {
                    if !attached {
                        found.dumps.ours = 0;
                    }
                    visit.reached.push((admin, found));
                }
                Err(error) => visit.unreached.push(unreached(server, &error)),
            }
        }
        // It is shown first. The sort is stable.
        visit
            .reached
            .sort_by_key(|(_, found)| found.role == Role::Replica);
        visit
    }

    async fn server(server: &ServerConfig) -> anyhow::Result<(Admin, Examination)> {
        let mut admin = Admin::connect(&server.account, DEADLINE).await?;
        let examination = Examination::of(server, &mut admin).await?;
        Ok((admin, examination))
    }

    pub fn examined(&self) -> Vec<Examination> {
        self.reached
            .iter()
            .map(|(_, found)| found.clone())
            .collect()
    }

    pub fn admin(&mut self, name: &ServerName) -> anyhow::Result<&mut Admin> {
        let mut reached = self.reached.iter_mut();
        let found = reached.find(|(_, server)| server.name == *name);
        let (admin, _) = found.ok_or_else(|| anyhow!("{name} does not answer"))?;
        Ok(admin)
    }

    /// Of the servers that answered; they are all alike.
    fn flavor(&self) -> Flavor {
        self.reached
            .first()
            .map_or(Flavor::MariaDb, |(_, found)| found.report.flavor)
    }

    /// Runs what may be run and says so; whether anything was done.
    async fn repair(&mut self, checks: &[Check]) -> bool {
        let mut done = false;
        for (admin, examination) in &mut self.reached {
            let of_server = |check: &&Check| check.server == examination.name;
            for check in checks.iter().filter(of_server) {
                if check.fix_sql().is_empty() {
                    continue;
                }
                let outcome = repair(admin, check, examination).await;
                done |= outcome == Outcome::Done;
                print!("{}", said(check, &outcome));
            }
        }
        println!();
        done
    }
}

fn unreached(server: &ServerConfig, error: &anyhow::Error) -> Check {
    let user = &server.account.user;
    Check {
        server: server.name.clone(),
        name: "reachable".to_owned(),
        found: "no".to_owned(),
        wanted: format!("{} as {user}", server.account.address),
        ok: false,
        fix: Fix::ByHand(format!(
            "start it, or correct address, user and password of [[server]] {} in the config",
            server.name
        )),
        note: Some(with_causes(error)),
        option_file: Vec::new(),
    }
}

fn said(check: &Check, outcome: &Outcome) -> String {
    let server = &check.server;
    match outcome {
        Outcome::Done => format!("{server}: done: {}\n", check.fix_sql().join("; ")),
        Outcome::Denied { statement, grant } => format!(
            "{server}: our account may not run {statement}\n  as an administrator there: {grant};\n"
        ),
        Outcome::Failed { statement, reason } => {
            format!("{server}: {statement} failed: {reason}\n")
        }
    }
}

/// The table, and below it what is to be done.
fn report(checks: &[Check], wanted: &Wanted, servers: &[ServerConfig], flavor: Flavor) -> String {
    let mut rows = vec![["server", "check", "found", "wanted", ""].map(str::to_owned)];
    for check in checks {
        rows.push([
            check.server.to_string(),
            check.name.clone(),
            check.found.clone(),
            check.wanted.clone(),
            if check.ok { "ok" } else { "NOT OK" }.to_owned(),
        ]);
    }
    let mut text = aligned(&rows);
    for (server, checks) in by_server(checks) {
        text.push_str(&to_do(server, &checks, flavor));
    }
    let follows = |check: &Check| check.name == "follows" && !check.ok;
    let replicas = servers.iter().any(|server| server.role == Role::Replica);
    if replicas {
        let when = if checks.iter().any(follows) {
            "To make a replica follow this proxy, run there"
        } else {
            "What makes another replica follow this proxy"
        };
        let _ = writeln!(text, "\n{when}:");
        for statement in wanted.endpoint.statements(flavor) {
            let _ = writeln!(text, "  {statement};");
        }
    }
    text
}

/// One server's repairs and remarks. Empty where there are none.
fn to_do(server: &ServerName, checks: &[&Check], flavor: Flavor) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing into a String does not fail.
        let _ = writeln!(text, "  {line}");
    };
    for check in checks {
        if let Some(note) = &check.note {
            line(format!("-- {}: {note}", check.name));
        }
        match &check.fix {
            Fix::Sql(statements) => {
                for statement in statements {
                    line(format!("{statement};"));
                }
            }
            Fix::Grant(statement) => line(format!("{statement};  -- as an administrator")),
            // Printed once, for all replicas, below.
            Fix::ByHand(_) if check.name == "follows" => {}
            Fix::ByHand(how) => line(format!("-- {}: {how}", check.name)),
            Fix::Nothing | Fix::Restart | Fix::OptionFile => {}
        }
    }
    let lines = option_file(checks.iter().copied());
    if !lines.is_empty() {
        let restart = checks.iter().any(|check| check.fix == Fix::Restart);
        line(if restart {
            "-- into its configuration file, then restart it:".to_owned()
        } else {
            "-- into its configuration file, since SET GLOBAL does not survive a restart:"
                .to_owned()
        });
        line(match flavor {
            Flavor::MariaDb => "[mariadbd]".to_owned(),
            Flavor::MySql => "[mysqld]".to_owned(),
        });
        for option in lines {
            line(option.to_owned());
        }
    }
    if text.is_empty() {
        text
    } else {
        format!("\n{server}:\n{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, ok: bool, fix: Fix) -> Check {
        Check {
            server: ServerName::new("db2"),
            name: name.to_owned(),
            found: "OFF".to_owned(),
            wanted: "ON".to_owned(),
            ok,
            fix,
            note: None,
            option_file: vec![name.to_owned()],
        }
    }

    #[test]
    fn the_table_and_what_to_do() {
        let checks = [
            check("log_bin", false, Fix::Restart),
            check(
                "read_only",
                false,
                Fix::Sql(vec!["SET GLOBAL read_only=ON".into()]),
            ),
        ];
        let wanted = Wanted {
            binlog_format: "mixed".into(),
            server_id: crate::ids::ServerId(9),
            endpoint: Endpoint::new("10.0.0.1", 3308, "repl"),
            send_proxy_protocol: false,
        };
        assert_eq!(
            report(&checks, &wanted, &[], Flavor::MariaDb),
            "server  check      found  wanted\n\
             db2     log_bin    OFF    ON      NOT OK\n\
             db2     read_only  OFF    ON      NOT OK\n\
             \n\
             db2:\n  \
               SET GLOBAL read_only=ON;\n  \
               -- into its configuration file, then restart it:\n  \
               [mariadbd]\n  \
               log_bin\n  \
               read_only\n"
        );
    }

    #[test]
    fn a_refusal_comes_with_the_grant() {
        let denied = Outcome::Denied {
            statement: "SET GLOBAL sync_binlog=1".into(),
            grant: "GRANT BINLOG ADMIN ON *.* TO 'a'@'%'".into(),
        };
        let text = said(&check("sync_binlog", false, Fix::Nothing), &denied);
        assert!(text.contains("may not run SET GLOBAL sync_binlog=1\n"));
        assert!(text.contains("GRANT BINLOG ADMIN ON *.* TO 'a'@'%';"));
    }
}
