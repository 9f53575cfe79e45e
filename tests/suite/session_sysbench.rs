//! A short run of sysbench through the session listener, with and without prepared statements.

use std::process::{Command, Output};

use crate::support::session::{PASSWORD, Proxy, Server, USER};

fn sysbench(proxy: &Proxy, arguments: &[&str]) -> Output {
    Command::new("sysbench")
        .args([
            "oltp_read_write",
            "--mysql-host=127.0.0.1",
            "--db-driver=mysql",
        ])
        .args([
            format!("--mysql-port={}", proxy.port),
            format!("--mysql-user={USER}"),
            format!("--mysql-password={PASSWORD}"),
        ])
        .args(["--tables=2", "--table-size=2000", "--threads=8"])
        .args(arguments)
        .output()
        .expect("sysbench")
}

#[test]
fn read_write_with_and_without_prepared_statements() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let prepared = sysbench(&proxy, &["prepare"]);
    assert!(prepared.status.success(), "{prepared:?}");
    for mode in ["--db-ps-mode=auto", "--db-ps-mode=disable"] {
        // Deadlocks are the workload's own; sysbench retries them.
        let run = sysbench(&proxy, &[mode, "--time=4", "run"]);
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success(), "{mode}: {run:?}");
        assert!(
            text.contains("reconnects:                          0"),
            "{mode}: {text}"
        );
    }
    let asked = proxy.gate.asked();
    let commits = asked
        .iter()
        .filter(|what| what.starts_with("released"))
        .count();
    assert!(commits > 20, "{commits} commits carried a GTID");
}
