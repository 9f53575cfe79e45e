use super::*;
use crate::ids::ServerName;
use crate::topology::doctor::examine::Dumps;
use crate::topology::doctor::features::{Features, SEES_APPLIERS};
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
        last_is_own: None,
        executed: None,
        features: Features::default(),
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
fn what_only_a_replica_has_is_named() {
    let executed = |text| {
        let state = crate::gtid::State::parse(Flavor::MariaDb, text).ok()?;
        let whole_behind = [(0, 3)].into();
        Some(own::Executed {
            state,
            whole_behind,
        })
    };
    let (mut source, mut replica) = (source(), replica());
    source.executed = executed("0-1-12");
    replica.executed = executed("0-2-5,0-1-9");
    let checks = all(&[source, replica], &wanted());
    let check = checks.iter().find(|check| !check.ok).unwrap();
    assert_eq!(
        (check.server.as_str(), check.found.as_str()),
        ("db2", "0-2-5")
    );
    assert!(matches!(&check.fix, Fix::ByHand(how) if how.contains("provision db2 --replace")));
}

#[test]
fn a_replica_that_may_become_the_source_says_what_it_needs_then() {
    let mut server = replica();
    server.report.sync_binlog = 0;
    assert!(bad(server.clone()).is_empty());
    let checks = all(&[server], &wanted());
    let check = checks.iter().find(|check| check.name == "sync_binlog");
    let note = check.and_then(|check| check.note.as_ref()).unwrap();
    assert!(note.contains("SET GLOBAL sync_binlog=1 when it becomes the source"));
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

fn of_version(version: &str, features: Features) -> Examination {
    let mut server = replica();
    server.report.version = version.into();
    server.report.flavor = Flavor::of_version(version);
    server.features = features;
    server
}

fn release_checks(server: &Examination) -> Vec<Check> {
    let mut checks = vec![release::tested(server)];
    checks.extend(release::unsupported(server));
    checks
}

#[test]
fn a_series_that_is_not_known_is_served() {
    for tested in [
        "10.11.14-MariaDB-0+deb12u2-log",
        "5.5.5-10.11.14-MariaDB",
        "11.8.9-MariaDB-0+deb13u1 from Debian",
        "9.7.4",
        "9.7.4.1",
    ] {
        let checks = release_checks(&of_version(tested, Features::default()));
        assert!(checks.iter().all(|check| check.ok), "{checks:?}");
        assert_eq!(checks[0].note, None, "{tested}");
    }
    for (other, named) in [
        ("26.10.0", "MySQL 26.10"),
        ("12.3.1-MariaDB", "MariaDB 12.3"),
        ("8.0.36-28.1", "MySQL 8.0"),
        ("9.70.1", "MySQL 9.70"),
    ] {
        let checks = release_checks(&of_version(other, Features::default()));
        assert!(checks.iter().all(|check| check.ok), "{checks:?}");
        let note = checks[0].note.as_ref().unwrap();
        assert!(note.starts_with(&format!("{named} is served")), "{note}");
    }
}

#[test]
fn a_binlog_inside_innodb() {
    let inside = |engine: &str| {
        let features = Features {
            binlog_engine: Some(engine.into()),
            ..Features::default()
        };
        release_checks(&of_version("12.3.1-MariaDB", features))
    };
    // As it is without it.
    assert_eq!(inside("").len(), 1);
    let checks = inside("InnoDB");
    assert_eq!(
        (checks[1].name.as_str(), checks[1].found.as_str()),
        ("binlog_storage_engine", "InnoDB")
    );
    let Fix::ByHand(how) = &checks[1].fix else {
        panic!("{checks:?}");
    };
    assert!(!checks[1].ok && how.contains("not supported yet"), "{how}");
}

#[test]
fn the_applier_of_change_streams() {
    let with = |version: &str, appliers: Option<&[(&str, &str)]>| {
        let text = |(channel, version): &(&str, &str)| (channel.to_string(), version.to_string());
        let features = Features {
            binlog_engine: None,
            appliers: appliers.map(|some| some.iter().map(text).collect()),
        };
        release_checks(&of_version(version, features))
    };
    assert_eq!(with("26.7.0", Some(&[("", "1"), ("other", "0")])).len(), 1);
    let checks = with("26.7.0", Some(&[("", "2")]));
    assert_eq!(checks[1].name, "APPLIER_VERSION");
    let Fix::ByHand(how) = &checks[1].fix else {
        panic!("{checks:?}");
    };
    assert!(!checks[1].ok && how.contains("not supported yet"), "{how}");
    assert!(how.contains("APPLIER_VERSION=1 FOR CHANNEL ''"), "{how}");
    // Where it may not be asked, that is said of servers that could have it.
    assert_eq!(with("9.7.4", None).len(), 1);
    let checks = with("26.10.0", None);
    assert!(checks[1].ok);
    assert!(checks[1].note.as_ref().unwrap().contains(SEES_APPLIERS));
}

#[test]
fn what_would_break_a_running_replica_is_not_fixed() {
    let check = |server: &Examination, name: &str| {
        let checks = super::replica(server, &wanted(), None);
        checks.into_iter().find(|check| check.name == name).unwrap()
    };
    let mut loose = replica();
    loose.report.gtid_mode = GtidMode::MariaDb { strict: false };
    assert!(!check(&loose, "gtid_strict_mode").fix_sql().is_empty());
    loose.last_is_own = Some("0-2-7".into());
    let refused = check(&loose, "gtid_strict_mode");
    assert!(refused.fix_sql().is_empty() && !refused.ok, "{refused:?}");
    let name = "rpl_semi_sync_slave_enabled";
    let mut quiet = replica();
    quiet.report.semi_sync_replica.enabled = false;
    assert!(!check(&quiet, name).fix_sql().is_empty());
    let mut elsewhere = following(|replication| replication.source_port += 1);
    elsewhere.report.semi_sync_replica.enabled = false;
    let refused = check(&elsewhere, name);
    assert!(refused.fix_sql().is_empty() && !refused.ok, "{refused:?}");
}
