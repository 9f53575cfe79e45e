//! What on-call people and other tools run: `deploy/*.sh`, and the unit of systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::support::{Part, Sandbox, unpacked::skipped};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

fn script(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(format!("{DEPLOY}/{name}"));
    command.args(arguments).envs(environment.iter().copied());
    command.output().unwrap()
}

/// In place of `ackline`: notes what it is called with, each call a line, and refuses what is to be refused.
const RECORDER: &str = r#"#!/bin/sh
echo "$*" >>"$RECORD"
case "$*" in *refused*) echo "ackline: refused" >&2; exit 1 ;; esac
exit "${STATUS:-0}"
"#;

#[test]
fn hooks_call_ackline_with_what_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = dir.path().join("ackline");
    fs::write(&recorder, RECORDER).unwrap();
    fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755)).unwrap();
    let record = dir.path().join("record");
    let orchestrator = [
        ("ORC_FAILED_HOST", "10.0.0.1"),
        ("ORC_FAILED_PORT", "3306"),
        ("ORC_SUCCESSOR_HOST", "10.0.0.2"),
        ("ORC_SUCCESSOR_PORT", "3306"),
    ];
    let failed = [("STATUS", "4")];
    let none: &[(&str, &str)] = &[];
    for (name, arguments, environment, calls, status) in [
        (
            "switchover.sh",
            &["db2", "--deadline", "5s"][..],
            none,
            "switchover --to db2 --dry-run --deadline 5s --config /c\n\
             switchover --to db2 --deadline 5s --config /c\n",
            0,
        ),
        (
            "switchover.sh",
            &["refused"],
            none,
            "switchover --to refused --dry-run --config /c\n",
            1,
        ),
        ("switchover.sh", &[], none, "", 2),
        ("switchover.sh", &["--force"], none, "", 2),
        ("failover.sh", &[], none, "failover --config /c\n", 0),
        (
            "failover.sh",
            &["--accept-loss"],
            none,
            "failover --accept-loss --config /c\n",
            0,
        ),
        (
            "failover.sh",
            &["db2"],
            &failed,
            "failover --to db2 --config /c\n",
            4,
        ),
        (
            "failover.sh",
            &[],
            &orchestrator,
            "failover --to 10.0.0.2:3306 --config /c\n",
            0,
        ),
        ("failover.sh", &["--help"], none, "", 2),
        (
            "rejoin.sh",
            &["db1"],
            &orchestrator,
            "rejoin db1 --config /c\n",
            0,
        ),
        (
            "rejoin.sh",
            &[],
            &orchestrator,
            "rejoin 10.0.0.1:3306 --config /c\n",
            0,
        ),
        ("rejoin.sh", &[], none, "", 2),
    ] {
        fs::write(&record, "").unwrap();
        let fixed = [
            ("ACKLINE", recorder.to_str().unwrap()),
            ("ACKLINE_CONFIG", "/c"),
            ("RECORD", record.to_str().unwrap()),
        ];
        let output = script(name, arguments, &[&fixed[..], environment].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let called = fs::read_to_string(&record).unwrap();
        assert_eq!(called, calls, "{name} {arguments:?}: {said}");
        assert_eq!(
            output.status.code(),
            Some(status),
            "{name} {arguments:?}: {said}"
        );
        if status == 2 {
            assert!(said.contains(name) && !said.contains("set -eu"), "{said}");
        }
    }
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let text = fs::read_to_string(format!("{DEPLOY}/ackline.service")).unwrap();
    let installed = "/usr/local/bin/ackline";
    assert!(
        text.contains(&format!("ExecStart={installed} serve ")),
        "{text}"
    );
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("ackline.service");
    // It says so of a program that is not installed, too.
    let text = text.replace(installed, env!("CARGO_BIN_EXE_ackline"));
    fs::write(&unit, text).unwrap();
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .output();
    let Ok(verified) = verified else {
        return skipped(
            "deploy_scripts::the_unit_is_one_that_systemd_takes",
            "no systemd-analyze",
        );
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_by_scripts() {
    let sandbox = Sandbox::up(&["--mode", "semi-sync"]).await;
    sandbox.create_seen().await;
    let config = sandbox.config_path();
    let environment = [
        ("ACKLINE", env!("CARGO_BIN_EXE_ackline")),
        ("ACKLINE_CONFIG", config.as_str()),
    ];
    let run = |name: &str, arguments: &[&str]| {
        let output = script(name, arguments, &environment);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{name} {arguments:?}: {said}");
        said
    };
    // By the address, as other tools know it.
    let replica = format!("127.0.0.1:{}", sandbox.replica(0).port);
    assert!(run("switchover.sh", &[&replica]).contains("replica1 is the source"));
    sandbox.kill(Part::Replica(0));
    assert!(run("failover.sh", &[]).contains("failover done"));
    sandbox.start(Part::Replica(0));
    sandbox.replica(0).connect().await;
    assert!(run("rejoin.sh", &[&replica]).contains("replica1 follows ackline again"));
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1)").await;
}
