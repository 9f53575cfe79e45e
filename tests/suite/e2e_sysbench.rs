//! sysbench through the proxy, without an error; then source and replicas hold the same.
//! `ACKLINE_SECONDS` says for how long.

use std::process::Command;

use crate::support::Sandbox;

const THREADS: u32 = 16;
const TABLES: u32 = 4;
const ROWS: u32 = 5_000;

fn sysbench(sandbox: &Sandbox, seconds: u64, action: &str) -> String {
    let app = sandbox.app();
    let output = Command::new("sysbench")
        .args([
            "oltp_read_write",
            "--db-driver=mysql",
            "--report-interval=10",
        ])
        .arg(format!("--mysql-host={}", app.host))
        .arg(format!("--mysql-port={}", app.port))
        .arg(format!("--mysql-user={}", app.user))
        .arg(format!("--mysql-password={}", app.password))
        .arg(format!("--mysql-db={}", app.database.as_deref().unwrap()))
        .args([format!("--tables={TABLES}"), format!("--table-size={ROWS}")])
        .args([format!("--threads={THREADS}"), format!("--time={seconds}")])
        .arg(action)
        .output()
        .expect("sysbench");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && !said.contains("FATAL"),
        "sysbench {action}: {said}"
    );
    said
}

/// The number behind a label of sysbench's report.
fn reported(said: &str, label: &str) -> u64 {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix(label))
        .unwrap_or_else(|| panic!("no {label} in {said}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_write_without_an_error() {
    let seconds = std::env::var("ACKLINE_SECONDS").map_or(10, |text| {
        text.parse().expect("ACKLINE_SECONDS is a number")
    });
    let sandbox = Sandbox::up(&["--mode", "semi-sync"]).await;
    sysbench(&sandbox, seconds, "prepare");
    let said = sysbench(&sandbox, seconds, "run");
    println!("{said}");
    assert_eq!(reported(&said, "reconnects:"), 0, "{said}");
    assert!(reported(&said, "transactions:") > 0, "{said}");
    sandbox.assert_equal().await;
    assert_eq!(
        sandbox.source().connect().await.checksums().await.len(),
        TABLES as usize
    );
    let status = sandbox.status().await;
    assert_eq!(status.number("degraded_commits.total"), 0, "{status}");
    assert!(status.list("problems").is_empty(), "{status}");
}
