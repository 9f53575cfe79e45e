//! A CDC reader (mysql-replication) snapshots a table through the application port and streams on from where
//! the replication port said that it stood, while clients write and acknowledgements are late.
//!
//! It takes the way of Debezium and of `mariadb-dump --master-data`: FLUSH TABLES WITH READ LOCK, START
//! TRANSACTION WITH CONSISTENT SNAPSHOT, the position, UNLOCK TABLES, the rows. The lock comes when the commits
//! that wait for an acknowledgement have returned, and holds up new ones; so all that is visible is released,
//! and what the replication port tells is what the snapshot has. Even rounds begin by file and position, odd
//! ones by GTID. `ACKLINE_SNAPSHOTS` says how many rounds.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::readers::installed;
use crate::support::{Account, Flavor, SOON, Sandbox, on_both_flavors};

on_both_flavors!(every_row_comes_exactly_once);

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers/snapshot.py");
const CLIENTS: usize = 4;
/// So many rows of each client stay.
const KEPT: usize = 100;
/// How long both replicas stand still, each time; in between they have as long as the shortest.
const PAUSES: [u64; 5] = [50, 120, 300, 80, 200];
const ROUND_AT_MOST: Duration = Duration::from_secs(10);

async fn every_row_comes_exactly_once(flavor: Flavor) {
    let Some(python) = installed("python/lib").and(installed("python/bin/python")) else {
        eprintln!(
            "\nSKIPPED HERE: readers_snapshot: tests/drivers/install.sh could not install it"
        );
        return;
    };
    let rounds = std::env::var("ACKLINE_SNAPSHOTS").map_or(10, |text| {
        text.parse().expect("ACKLINE_SNAPSHOTS is a number")
    });
    let sandbox = Sandbox::of(flavor).await;
    let mut source = sandbox.source().connect().await;
    source.run("SET GLOBAL binlog_format = ROW").await;
    source.run("SET GLOBAL binlog_row_metadata = FULL").await;
    source.run("CREATE USER cdc@'%' IDENTIFIED BY 'cdc'").await;
    let status = match flavor {
        Flavor::MariaDb => "BINLOG MONITOR",
        Flavor::MySql => "REPLICATION CLIENT",
    };
    let grant =
        format!("GRANT REPLICATION SLAVE, {status}, SELECT, INSERT, RELOAD ON *.* TO cdc@'%'");
    source.run(&grant).await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE marker (n INT PRIMARY KEY)").await;
    app.run("CREATE TABLE numbers (client INT, n INT, v INT, PRIMARY KEY (client, n))")
        .await;
    sandbox.assert_equal().await;

    let (stop, late) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(write(
            client,
            sandbox.app().clone(),
            stop.clone(),
            late.clone(),
        ));
    }
    let reader = tokio::process::Command::new(python)
        .arg(PROGRAM)
        .args([flavor.to_string(), rounds.to_string(), KEPT.to_string()])
        .arg(sandbox.app().database.as_ref().unwrap())
        .args([sandbox.app().port, sandbox.manifest.replication.port].map(|port| port.to_string()))
        .args(["cdc", "cdc"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let within = SOON + ROUND_AT_MOST * rounds;
    let output = tokio::select! {
        output = tokio::time::timeout(within, reader.wait_with_output()) => {
            output.expect("the reader ends in time").unwrap()
        }
        () = stand_still_now_and_then(&sandbox) => unreachable!("it does not end"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{told}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    println!(
        "{flavor}: {said}, {} commits were late",
        late.load(Ordering::Relaxed)
    );
    assert!(
        said["streamed"].as_u64() > Some(rounds.into()),
        "nobody wrote: {said}"
    );
    assert!(
        late.load(Ordering::Relaxed) > 0,
        "no acknowledgement was late"
    );

    sandbox.thaw_replicas();
    stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    sandbox.assert_equal().await;
}

/// As `snapshot.py` expects it; counts the commits that waited for a replica that stood still.
async fn write(client: usize, app: Account, stop: Arc<AtomicBool>, late: Arc<AtomicUsize>) {
    let mut app = app.connect_again().await;
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        for statement in [
            "BEGIN".to_owned(),
            format!("INSERT INTO numbers VALUES ({client}, {n}, 0)"),
            format!("UPDATE numbers SET v = v + 1 WHERE client = {client} AND n = {n} - 1"),
            format!("DELETE FROM numbers WHERE client = {client} AND n = {n} - {KEPT}"),
        ] {
            app.try_run(&statement).await.unwrap();
        }
        let began = Instant::now();
        app.try_run("COMMIT").await.unwrap();
        if began.elapsed() >= Duration::from_millis(PAUSES[0]) {
            late.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn stand_still_now_and_then(sandbox: &Sandbox) {
    for pause in PAUSES.into_iter().cycle() {
        sandbox.freeze_replicas();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        sandbox.thaw_replicas();
        tokio::time::sleep(Duration::from_millis(PAUSES[0])).await;
    }
}
