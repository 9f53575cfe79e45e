//! From what the servers answered to what is to be done. No IO.

use std::collections::BTreeMap;

use super::examine::{Examination, Origin};
use super::{Check, Endpoint, Fix, grants, own, release};
use crate::ids::{Flavor, ServerId};
use crate::protocol::semi_sync::Names;
use crate::sql::unsafe_statement::schema;
use crate::topology::report::{ENDLESS, GtidMode, Report, Thread};
use crate::topology::roster::Role;
use crate::topology::variables;
use crate::topology::voter::{self, Repair};

/// What the proxy's configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `[binlog] format`: mixed, row or statement.
    pub binlog_format: String,
    /// `[replication] server_id`: ours.
    pub server_id: ServerId,
    /// Where replicas are to pull from.
    pub endpoint: Endpoint,
    /// The source's `send_proxy_protocol`.
    pub send_proxy_protocol: bool,
}

/// Everything, server by server.
pub fn all(servers: &[Examination], wanted: &Wanted) -> Vec<Check> {
    let source_of_all = servers.iter().find(|server| server.role == Role::Source);
    let mut checks = Vec::new();
    for server in servers {
        checks.push(release::tested(server));
        checks.extend(release::unsupported(server));
        checks.push(privileges(server));
        checks.push(server_id(server, servers, wanted));
        match server.role {
            Role::Source => {
                checks.extend(source(server, wanted));
                checks.extend(clients(server, wanted));
            }
            Role::Replica => {
                let address = source_of_all.map(|source| source.address.as_str());
                checks.extend(replica(server, wanted, address));
                checks.extend(source_of_all.and_then(|source| own_transactions(server, source)));
            }
        }
    }
    checks
}

/// Whether applications can log in through us.
fn clients(server: &Examination, wanted: &Wanted) -> Option<Check> {
    let accounts = server.accounts.as_ref()?;
    Some(match wanted.send_proxy_protocol {
        true => accounts.check_networks(&server.name),
        false => accounts.check_hosts(&server.name),
    })
}

fn privileges(server: &Examination) -> Check {
    let lacks = server.grants.lacks(grants::needed(server.report.flavor));
    if lacks.is_empty() {
        let mut notes = Vec::new();
        let events = grants::events(server.report.flavor);
        for (purpose, privileges) in [
            (
                "the audit of statements would see the schema",
                &schema::PRIVILEGES[..],
            ),
            ("events would go on at a new source", events),
        ] {
            let lacks = |privilege: &&str| !server.grants.has(privilege);
            let optional: Vec<&str> = privileges.iter().copied().filter(lacks).collect();
            if !optional.is_empty() {
                let grant = grants::statement(&optional, &server.account);
                notes.push(format!("{purpose} by {grant}"));
            }
        }
        let clones = [grants::CLONE_DONOR, grants::CLONE_TARGET].concat();
        let clone = server.grants.lacks(&clones);
        if server.report.flavor == Flavor::MySql && !clone.is_empty() {
            let grant = grants::statement(&clone, &server.account);
            notes.push(format!(
                "ackline provision --clone would work by {grant}, with the plugin clone"
            ));
        }
        let in_schema = server.grants.lacks_in_schema();
        if !in_schema.is_empty() {
            let grant = grants::statement_in_schema(&in_schema, &server.account);
            notes.push(format!("ackline migrate would work by {grant}"));
        }
        let check = Check::new(&server.name, "grants", "all that are needed", "");
        return match notes.is_empty() {
            true => check,
            false => check.note(notes.join("; ")),
        };
    }
    Check::new(
        &server.name,
        "grants",
        format!("lacks {}", lacks.join(", ")),
        "all of them",
    )
    .fails(Fix::Grant(grants::statement(&lacks, &server.account)))
}

fn server_id(server: &Examination, servers: &[Examination], wanted: &Wanted) -> Check {
    let id = server.report.server_id;
    let mut same: Vec<String> = servers
        .iter()
        .filter(|other| other.name != server.name && other.report.server_id == id)
        .map(|other| other.name.to_string())
        .collect();
    if id == wanted.server_id {
        same.push("[replication] server_id".to_owned());
    }
    let check = Check::new(&server.name, "server_id", id.to_string(), "one of its own");
    if same.is_empty() {
        return check;
    }
    check
        .note(format!("{} has the same", same.join(" and ")))
        .lines(&["server_id = <a number that no other server has>"])
        .fails(Fix::Restart)
}

/// A variable that SET GLOBAL changes and a restart forgets.
struct Setting<'a> {
    name: &'a str,
    found: String,
    wanted: &'a str,
}

impl Setting<'_> {
    fn check(&self, server: &Examination) -> Check {
        let Self {
            name,
            found,
            wanted,
        } = self;
        let line = option_line(name, wanted);
        let check = Check::new(&server.name, *name, found.as_str(), *wanted);
        if !found.eq_ignore_ascii_case(wanted) {
            return check
                .lines(&[&line])
                .fails(Fix::Sql(vec![format!("SET GLOBAL {name}={wanted}")]));
        }
        keeps(check, server, name, &line)
    }
}

/// Says where a restart would undo it.
fn keeps(check: Check, server: &Examination, variable: &str, line: &str) -> Check {
    match server.origin(variable) {
        Origin::RunTime => check
            .lines(&[line])
            .note("set at run time: a restart undoes it unless the configuration file has it too"),
        Origin::Boot | Origin::Default => check,
    }
}

fn option_line(variable: &str, value: &str) -> String {
    // A server without the plugin would not start.
    let of_a_plugin = ["rpl_semi_sync_source", "rpl_semi_sync_replica"];
    let loose = match of_a_plugin.iter().any(|name| variable.starts_with(name)) {
        true => "loose_",
        false => "",
    };
    match value {
        "ON" => format!("{loose}{variable}"),
        "OFF" => format!("{loose}skip_{variable}"),
        value => format!("{loose}{variable} = {value}"),
    }
}

fn on_off(on: bool) -> String {
    if on { "ON" } else { "OFF" }.to_owned()
}

fn source(server: &Examination, wanted: &Wanted) -> Vec<Check> {
    let report = &server.report;
    let format = wanted.binlog_format.to_ascii_uppercase();
    let mut checks = vec![log_bin(server)];
    checks.extend(binlog_filters(server));
    let mut settings = vec![
        (
            "binlog_format",
            report.binlog_format.clone(),
            format.as_str(),
        ),
        ("binlog_row_image", report.binlog_row_image.clone(), "FULL"),
        (
            variables::name(report.flavor, "row_statements"),
            on_off(report.row_statements),
            "ON",
        ),
        ("binlog_checksum", report.binlog_checksum.clone(), "CRC32"),
        ("sync_binlog", report.sync_binlog.to_string(), "1"),
        (
            "innodb_flush_log_at_trx_commit",
            report.flush_log_at_trx_commit.to_string(),
            "1",
        ),
    ];
    // What is as good as asked for.
    settings.retain(|(name, found, wanted)| {
        let loses = |(lossy, _): &(&str, u64)| lossy == name;
        *wanted != "1" || found == wanted || report.loses_by().iter().any(loses)
    });
    match &report.gtid_mode {
        GtidMode::MariaDb { strict } => settings.push(("gtid_strict_mode", on_off(*strict), "ON")),
        GtidMode::MySql {
            mode, consistency, ..
        } => checks.push(gtid_mode(server, mode, consistency)),
    }
    for (name, found, wanted) in settings {
        let setting = Setting {
            name,
            found,
            wanted,
        };
        checks.push(setting.check(server));
    }
    let plugins = voter::plugins(&server.report);
    checks.extend(plugins.map(|condition| voting(server, condition)));
    checks.extend(gate(server));
    checks.push(other_dumps(server));
    checks.push(boots_closed(server));
    checks.extend(as_a_replica_later(server));
    checks
}

/// MySQL's way to them goes over several values and a look at each server in between: by hand.
fn gtid_mode(server: &Examination, mode: &str, consistency: &str) -> Check {
    let check = Check::new(
        &server.name,
        "gtid_mode",
        format!("{mode}, enforce_gtid_consistency {consistency}"),
        "ON, enforce_gtid_consistency ON",
    );
    if mode.eq_ignore_ascii_case("ON") && consistency.eq_ignore_ascii_case("ON") {
        return check;
    }
    check
        .lines(&["gtid_mode = ON", "enforce_gtid_consistency = ON"])
        .fails(Fix::Restart)
}

fn log_bin(server: &Examination) -> Check {
    let check = Check::new(&server.name, "log_bin", on_off(server.report.log_bin), "ON");
    if server.report.log_bin {
        return check;
    }
    check.lines(&["log_bin"]).fails(Fix::Restart)
}

fn binlog_filters(server: &Examination) -> Option<Check> {
    let filters = server.binlog_filters.as_ref()?;
    let found = match filters.as_slice() {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let check = Check::new(&server.name, "binlog filters", found, "none");
    if filters.is_empty() {
        return Some(check);
    }
    let how = "remove binlog_do_db and binlog_ignore_db from its configuration file and restart it: \
               what they leave out reaches no replica and waits for nobody";
    Some(check.fails(Fix::ByHand(how.to_owned())))
}

/// Gate 1; see the module's text for what is left to the proxy.
fn gate(server: &Examination) -> Vec<Check> {
    let gate = &server.report.semi_sync_source;
    let names = Names::of(server.report.flavor);
    if !gate.installed {
        // Its plugin is missing, which is a check of its own.
        return Vec::new();
    }
    let attached = server.dumps.ours > 0;
    let wait_point = {
        let fits = gate.wait_point.eq_ignore_ascii_case("AFTER_SYNC");
        let name = names.wait_point;
        let check = Check::new(&server.name, name, &gate.wait_point, "AFTER_SYNC");
        let line = option_line(name, "AFTER_SYNC");
        match (fits, attached) {
            // The proxy sets it at every attach: nothing depends on the file.
            (true, true) => check,
            (true, false) => keeps(check, server, name, &line),
            (false, _) => check
                .lines(&[&line])
                .fails(Fix::Sql(vec![format!("SET GLOBAL {name}=AFTER_SYNC")])),
        }
    };
    let timeout = match gate.timeout_ms {
        ENDLESS => "endless".to_owned(),
        milliseconds => format!("{milliseconds} ms"),
    };
    let settings = [
        (names.timeout, timeout, "endless", ENDLESS.to_string()),
        (
            names.wait_no_replica,
            on_off(gate.wait_no_replica),
            "ON",
            "ON".to_owned(),
        ),
        (names.enabled, on_off(gate.enabled), "ON", "ON".to_owned()),
    ];
    let mut checks = vec![wait_point];
    for (name, found, wanted, value) in settings {
        let fits = found == wanted;
        checks.push(if attached {
            let check = Check::new(&server.name, name, found, wanted);
            if fits {
                check
            } else {
                check.fails(Fix::Sql(vec![format!("SET GLOBAL {name}={value}")]))
            }
        } else {
            let check = Check::new(
                &server.name,
                name,
                found,
                format!("{wanted} while a proxy is attached"),
            );
            match (name == names.enabled, gate.enabled) {
                (true, false) => {
                    check.note("no proxy is attached; it raises this itself when it attaches")
                }
                (true, true) => check.note(
                    "no proxy is attached: commits wait here until one is, which is what fences a source",
                ),
                _ => check,
            }
        });
    }
    checks
}

/// Whoever else is a semi-sync replica of the source could acknowledge in our place.
fn other_dumps(server: &Examination) -> Check {
    let clients = server.report.semi_sync_source.clients;
    // The count outlives a lost connection until the next send: our own may be counted twice.
    let others = !server.dumps.others.is_empty() && clients > server.dumps.ours as u64;
    let found = match server.dumps.others.as_slice() {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let check = Check::new(
        &server.name,
        "replicas attached directly",
        found,
        "none in semi-sync",
    );
    if others {
        let how = format!(
            "make them follow this proxy (see below), or run SET GLOBAL {}=OFF and restart the IO \
             thread on them",
            Names::of(server.report.flavor).replica_enabled
        );
        check.fails(Fix::ByHand(how))
    } else if server.dumps.others.is_empty() {
        check
    } else {
        check.note("they are sent what is not released yet, and nobody waits for them")
    }
}

/// MariaDB forgets the gate at a restart: it has to come up read-only, and without a gate at which
/// nobody acknowledges.
fn boots_closed(server: &Examination) -> Check {
    let report = &server.report;
    let name = "boots read_only";
    let wanted = "read_only, semi-sync source off";
    let enabled = Names::of(report.flavor).enabled;
    if report.semi_sync_source.enabled && server.origin(enabled) == Origin::Boot {
        return Check::new(&server.name, name, "semi-sync source on", wanted)
            .note("commits hang after a restart until a proxy is attached, GRANT included")
            .lines(&["read_only", &option_line(enabled, "OFF")])
            .fails(Fix::OptionFile);
    }
    match (server.origin("read_only"), report.read_only) {
        (Origin::Boot, true) => Check::new(&server.name, name, "yes", wanted),
        // Opened by the proxy; the server does not tell any more what its file says.
        (Origin::RunTime, _) => Check::new(&server.name, name, "cannot be seen now", wanted)
            .note("set at run time since; see that the configuration file has read_only")
            .lines(&["read_only"]),
        (Origin::Boot | Origin::Default, _) => Check::new(&server.name, name, "no", wanted)
            .note(
                "after a restart, writes that bypass the proxy would be let in before it attaches",
            )
            .lines(&["read_only"])
            .fails(Fix::OptionFile),
    }
}

/// What the source needs only once it comes back as a replica.
fn as_a_replica_later(server: &Examination) -> Vec<Check> {
    let report = &server.report;
    let later = "needed before it may come back as a replica";
    let settings = [
        (
            variables::name(report.flavor, "log_updates"),
            report.log_slave_updates,
        ),
        (
            Names::of(report.flavor).replica_enabled,
            report.semi_sync_replica.enabled,
        ),
    ];
    settings
        .into_iter()
        .map(|(name, on)| {
            let check = Check::new(&server.name, name, on_off(on), "ON");
            if on {
                check
            } else {
                check.lines(&[&option_line(name, "ON")]).note(later)
            }
        })
        .collect()
}

/// What is durable at the source only. Replicas do well without: whatever they lose comes again.
fn as_the_source_later(server: &Examination) -> Vec<Check> {
    let loses = server.report.loses_by().into_iter();
    loses
        .map(|(name, found)| {
            let check = Check::new(&server.name, name, found.to_string(), "1 once it is the source");
            check.lines(&[&option_line(name, "1")]).note(format!("after a power cut a source with {name}={found} may lack what was acknowledged: run SET GLOBAL {name}=1 when it becomes the source, unless promotable = false is said of it"))
        })
        .collect()
}

fn replica(server: &Examination, wanted: &Wanted, source: Option<&str>) -> Vec<Check> {
    let ours = follows(server, wanted, source).ok;
    let mut checks: Vec<Check> = voter::conditions(&server.report)
        .into_iter()
        .map(|condition| voting(server, harmless(server, ours, condition)))
        .collect();
    checks.push(follows(server, wanted, source));
    checks.extend(threads(server));
    checks.push(sync_relay_log(&server.report, server));
    checks.extend(as_the_source_later(server));
    checks
}

/// The source must have been asked after the replica.
fn own_transactions(replica: &Examination, source: &Examination) -> Option<Check> {
    let (has, there) = (replica.executed.as_ref()?, source.executed.as_ref()?);
    if has.state.flavor() != there.state.flavor() {
        return None;
    }
    let own = own::beyond(replica.report.server_id, &has.state, there);
    let what = "transactions of its own";
    if own.is_empty() {
        return Some(Check::new(&replica.name, what, "none", "none"));
    }
    let how = format!(
        "{own} is not in the source's binlog: when the proxy runs, ackline provision {name} --replace writes it down and makes a new copy (where it was the source until a failover: ackline rejoin {name} says more)",
        name = replica.name
    );
    let check = Check::new(&replica.name, what, own.to_string(), "none");
    Some(check.fails(Fix::ByHand(how)))
}

/// What would break a running server is not for `--fix`. `ours`: it follows us.
fn harmless(server: &Examination, ours: bool, mut condition: voter::Condition) -> voter::Condition {
    let Some(reason) = &mut condition.fault else {
        return condition;
    };
    let semi_sync = Names::of(server.report.flavor).replica_enabled;
    let follows_another = !ours && server.report.main_replication().is_some();
    if condition.name == semi_sync && follows_another {
        reason.repair = Repair::ByHand(format!(
            "let it follow ackline first (below), then run SET GLOBAL {semi_sync}=ON: while it follows the source itself, it would acknowledge there in our place"
        ));
    }
    if condition.name == "gtid_strict_mode"
        && let Some(own) = &server.last_is_own
    {
        reason.repair = Repair::ByHand(format!(
            "set it up anew (ackline provision --replace): its last transaction ({own}) was written there, and with strict mode its replication would stop at the next one (error 1950)"
        ));
    }
    condition
}

/// One condition of a voter, as a check.
fn voting(server: &Examination, condition: voter::Condition) -> Check {
    let voter::Condition {
        name,
        found,
        wanted,
        fault,
    } = condition;
    let check = Check::new(&server.name, name, found, wanted);
    let line = option_line(name, wanted);
    let Some(reason) = fault else {
        let a_variable = server.origins.contains_key(name);
        return if a_variable {
            keeps(check, server, name, &line)
        } else {
            check
        };
    };
    let check = check.note(reason.what);
    match reason.repair {
        // What a condition is called is not always a variable.
        Repair::Sql(statements) if name == voter::APPLIER => check.fails(Fix::Sql(statements)),
        Repair::Sql(statements) if name == voter::PLUGINS => {
            match server.grants.may_install_plugins() {
                true => check.fails(Fix::Sql(statements)),
                false => check.fails(Fix::ByHand(format!(
                    "an administrator runs there {}; or {} at the source, and ackline does it",
                    statements.join("; "),
                    grants::statement_for_plugins(&server.account)
                ))),
            }
        }
        Repair::Sql(statements) => check.lines(&[&line]).fails(Fix::Sql(statements)),
        Repair::Restart(lines) => {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            check.lines(&lines).fails(Fix::Restart)
        }
        // A matter of when, not of what.
        Repair::ByHand(how) if name == Names::of(server.report.flavor).replica_enabled => {
            check.lines(&[&line]).fails(Fix::ByHand(how))
        }
        Repair::ByHand(how) => check.fails(Fix::ByHand(how)),
    }
}

fn follows(server: &Examination, wanted: &Wanted, source: Option<&str>) -> Check {
    let us = wanted.endpoint.address();
    let flavor = server.report.flavor;
    let change = || Fix::ByHand(wanted.endpoint.statements(flavor).join("; "));
    let Some(replication) = server.report.main_replication() else {
        return Check::new(&server.name, "follows", "nobody", us)
            .note(format!(
                "it must hold a copy of the source up to its {}",
                variables::name(flavor, "applied")
            ))
            .fails(change());
    };
    let address = replication.source_address();
    let check = Check::new(&server.name, "follows", &address, us);
    if replication.source_port != wanted.endpoint.port || Some(address.as_str()) == source {
        return check.fails(change());
    }
    if !replication.follows_by_gtid() {
        let note = match flavor {
            Flavor::MariaDb => format!(
                "it follows by MASTER_USE_GTID={}, not slave_pos",
                replication.using_gtid
            ),
            Flavor::MySql => "it follows by file and offset (SOURCE_AUTO_POSITION=0)".to_owned(),
        };
        return check.note(note).fails(change());
    }
    check
}

fn threads(server: &Examination) -> Option<Check> {
    let replication = server.report.main_replication()?;
    let running = |thread| match thread {
        Thread::Running => "running",
        Thread::Connecting => "connecting",
        Thread::Stopped => "stopped",
    };
    let found = format!(
        "IO {}, SQL {}",
        running(replication.io),
        running(replication.sql)
    );
    let check = Check::new(&server.name, "replication threads", found, "running");
    let errors = replication.io_error.iter().chain(&replication.sql_error);
    let errors: Vec<&str> = errors.map(String::as_str).collect();
    if !errors.is_empty() {
        let how = "see to the error, then start its replication again";
        return Some(
            check
                .note(errors.join("; "))
                .fails(Fix::ByHand(how.to_owned())),
        );
    }
    let semi_sync = server.report.semi_sync_replica;
    let word = match server.report.flavor {
        Flavor::MariaDb => "SLAVE",
        Flavor::MySql => "REPLICA",
    };
    Some(match (replication.io, replication.sql) {
        (Thread::Stopped, _) | (_, Thread::Stopped) => {
            check.fails(Fix::ByHand(format!("START {word}")))
        }
        // With the SQL thread running, the relay log outlives a restart of the IO thread.
        (Thread::Running, _) if semi_sync.enabled && !semi_sync.active => check
            .note("it was started before semi-sync was switched on: it acknowledges nothing")
            .fails(Fix::Sql(vec![
                format!("STOP {word} IO_THREAD"),
                format!("START {word} IO_THREAD"),
            ])),
        (Thread::Connecting, _) => check.note("is the proxy running?"),
        _ => check,
    })
}

fn sync_relay_log(report: &Report, server: &Examination) -> Check {
    let check = Check::new(
        &server.name,
        "sync_relay_log",
        report.sync_relay_log.to_string(),
        "any",
    );
    if report.acks_durably() {
        check.note("its acknowledgements count as durable")
    } else {
        check.note("its acknowledgements count as received; with 1 as durable, at the price of an fsync an event")
    }
}

/// By server, in the order of the checks.
pub fn by_server(checks: &[Check]) -> Vec<(&crate::ids::ServerName, Vec<&Check>)> {
    let mut order = Vec::new();
    let mut groups: BTreeMap<&crate::ids::ServerName, Vec<&Check>> = BTreeMap::new();
    for check in checks {
        let group = groups.entry(&check.server).or_default();
        if group.is_empty() {
            order.push(&check.server);
        }
        group.push(check);
    }
    order
        .into_iter()
        .filter_map(|name| groups.remove(name).map(|group| (name, group)))
        .collect()
}

#[cfg(test)]
mod tests;
