use super::*;
use crate::ids::ServerName;
use crate::topology::doctor::examine::Dumps;
use crate::topology::doctor::grants::Grants;
use crate::topology::doctor::option_file;
use crate::topology::report::tests::good_replica;
use crate::topology::report::{Following, Replication};

fn wanted() -> Wanted {
    Wanted {
        binlog_format: "mixed".into(),
        server_id: ServerId(900),
        endpoint: Endpoint::new("0.0.0.0", 3308, "repl"),
        send_proxy_protocol: false,
    }
}

fn good(name: &str, id: u32, role: Role) -> Examination {
    let mut report = good_replica();
    report.server_id = ServerId(id);
    let mut origins = BTreeMap::new();
    if role == Role::Source {
        report.following = Following::Known(Vec::new());
        report.semi_sync_source.wait_point = "AFTER_SYNC".into();
    }
    origins.insert("read_only".to_owned(), Origin::Boot);
    Examination {
        name: ServerName::new(name),
        role,
        address: "127.0.0.1:3306".into(),
        report,
        account: "ackline@%".into(),
        grants: Grants::parse(["GRANT ALL PRIVILEGES ON *.* TO `ackline`@`%`"]),
        origins,
        dumps: Dumps::default(),
        binlog_filters: Some(Vec::new()),
        accounts: None,
    }
}

fn source() -> Examination {
    good("db1", 1, Role::Source)
}

fn replica() -> Examination {
    good("db2", 2, Role::Replica)
}

/// The checks that are not ok, of one server alone.
fn bad(server: Examination) -> Vec<Check> {
    let checks = all(&[server], &wanted());
    checks.into_iter().filter(|check| !check.ok).collect()
}

fn only(server: Examination) -> Check {
    let mut found = bad(server);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[test]
fn good_servers_have_nothing_to_repair() {
    let checks = all(&[source(), replica()], &wanted());
    let bad: Vec<&Check> = checks.iter().filter(|check| !check.ok).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(checks.iter().all(|check| check.fix == Fix::Nothing));
}

#[test]
fn a_source_as_it_comes_out_of_the_box() {
    // MariaDB 10.11's defaults.
    let mut server = source();
    server.report.log_bin = false;
    server.report.read_only = false;
    server.report.gtid_mode = GtidMode::MariaDb { strict: false };
    server.report.log_slave_updates = false;
    server.report.semi_sync_replica.enabled = false;
    server.report.sync_binlog = 0;
    server.report.semi_sync_source.wait_point = "AFTER_COMMIT".into();
    server.origins.clear();
    server.grants = Grants::default();
    let found: Vec<(String, String)> = bad(server)
        .iter()
        .map(|check| (check.name.clone(), check.fix_sql().join("; ")))
        .collect();
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("grants", ""),
            ("log_bin", ""),
            ("sync_binlog", "SET GLOBAL sync_binlog=1"),
            ("gtid_strict_mode", "SET GLOBAL gtid_strict_mode=ON"),
            (
                "rpl_semi_sync_master_wait_point",
                "SET GLOBAL rpl_semi_sync_master_wait_point=AFTER_SYNC"
            ),
            ("boots read_only", ""),
        ]
    );
}

#[test]
fn nobody_raises_the_gate_where_no_proxy_is_attached() {
    let mut server = source();
    server.report.semi_sync_source.enabled = false;
    server.report.semi_sync_source.timeout_ms = 10_000;
    let checks = all(&[server], &wanted());
    assert!(checks.iter().all(|check| check.fix_sql().is_empty()));
    let gate = checks
        .iter()
        .find(|check| check.name == "rpl_semi_sync_master_enabled")
        .unwrap();
    assert!(gate.ok && gate.note.as_ref().unwrap().contains("raises this itself"));
}

#[test]
fn an_attached_proxy_has_its_gate_up() {
    let mut server = source();
    server.dumps.ours = 1;
    server.report.semi_sync_source.clients = 1;
    server.report.semi_sync_source.enabled = false;
    let statements: Vec<String> = bad(server)
        .iter()
        .flat_map(|check| check.fix_sql().to_vec())
        .collect();
    // Last of all it is switched on.
    assert_eq!(
        statements,
        [
            "SET GLOBAL rpl_semi_sync_master_timeout=18446744073709551615",
            "SET GLOBAL rpl_semi_sync_master_enabled=ON",
        ]
    );
}

#[test]
fn whoever_could_ack_in_our_place_is_named() {
    let mut server = source();
    server.dumps.others = vec!["repl@10.0.0.7:4711".into()];
    server.report.semi_sync_source.clients = 1;
    let check = only(server.clone());
    assert!(check.found.contains("repl@10.0.0.7:4711"));
    server.report.semi_sync_source.clients = 0;
    assert!(bad(server).is_empty());
}

#[test]
fn a_source_that_boots_with_the_gate_up() {
    let mut server = source();
    server.report.semi_sync_source.enabled = true;
    let variable = "rpl_semi_sync_master_enabled".to_owned();
    server.origins.insert(variable, Origin::Boot);
    let check = only(server);
    assert_eq!(check.fix, Fix::OptionFile);
    assert!(
        check
            .option_file
            .contains(&"skip_rpl_semi_sync_master_enabled".to_owned())
    );
}

#[test]
fn filters_of_the_binlog() {
    let mut server = source();
    server.binlog_filters = Some(vec!["binlog_ignore_db=logs".into()]);
    assert!(only(server).found.contains("binlog_ignore_db=logs"));
}

#[test]
fn what_was_set_at_run_time_says_so() {
    let mut server = source();
    let variable = "sync_binlog".to_owned();
    server.origins.insert(variable, Origin::RunTime);
    let checks = all(&[server], &wanted());
    let check = checks.iter().find(|c| c.name == "sync_binlog").unwrap();
    assert!(check.ok);
    assert!(check.note.as_ref().unwrap().contains("a restart undoes it"));
    assert_eq!(option_file(&checks), ["sync_binlog = 1"]);
}

#[test]
fn a_replica_as_it_comes_out_of_the_box() {
    let mut server = replica();
    server.report.log_bin = false;
    server.report.log_slave_updates = false;
    server.report.read_only = false;
    server.report.gtid_mode = GtidMode::MariaDb { strict: false };
    server.report.semi_sync_replica.enabled = false;
    server.report.following = Following::Known(Vec::new());
    server.origins.clear();
    let checks = bad(server);
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "log_bin",
            "log_slave_updates",
            "read_only",
            "gtid_strict_mode",
            "rpl_semi_sync_slave_enabled",
            "follows"
        ]
    );
    assert_eq!(
        option_file(&checks),
        [
            "log_bin",
            "log_slave_updates",
            "read_only",
            "gtid_strict_mode",
            "rpl_semi_sync_slave_enabled"
        ]
    );
    assert!(matches!(&checks[5].fix, Fix::ByHand(how) if how.contains("CHANGE MASTER TO")));
}

fn following(change: impl FnOnce(&mut Replication)) -> Examination {
    let mut server = replica();
    let Following::Known(connections) = &mut server.report.following else {
        unreachable!()
    };
    change(&mut connections[0]);
    server
}

#[test]
fn whom_a_replica_follows() {
    let elsewhere = only(following(|one| one.source_port = 3306));
    assert!(elsewhere.found.ends_with(":3306"));
    let by_file = only(following(|one| one.using_gtid = "No".into()));
    assert!(by_file.note.unwrap().contains("slave_pos"));
    let stopped = only(following(|one| one.io = Thread::Stopped));
    assert_eq!(stopped.fix, Fix::ByHand("START SLAVE".into()));
    let broken = only(following(|one| {
        one.sql_error = Some("Duplicate entry".into())
    }));
    assert!(broken.note.unwrap().contains("Duplicate entry"));
}

#[test]
fn a_thread_from_before_semi_sync_is_restarted() {
    let mut server = replica();
    server.report.semi_sync_replica.active = false;
    let check = only(server);
    assert_eq!(
        check.fix_sql(),
        ["STOP SLAVE IO_THREAD", "START SLAVE IO_THREAD"]
    );
}

#[test]
fn one_server_id_for_two() {
    let checks = all(&[source(), good("db2", 1, Role::Replica)], &wanted());
    let same: Vec<&Check> = checks.iter().filter(|check| !check.ok).collect();
    assert_eq!(same.len(), 2);
    assert!(same[1].note.as_ref().unwrap().contains("db1 has the same"));
    let ours = only(good("db1", 900, Role::Source));
    assert!(ours.note.unwrap().contains("[replication] server_id"));
}
