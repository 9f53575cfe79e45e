//! One transaction takes the source's binlog file beyond 4 GiB, where `end_log_pos` wraps. Long: each test
//! writes some 20 GB. To run them:
//!
//! ```text
//! cargo test --test suite e2e_beyond_4_gib -- --ignored --nocapture
//! ```

use std::time::{Duration, Instant};

use crate::support::{Database, Flavor, Part, SOON, Sandbox, Status, process};

/// Each with a BLOB of 1 MiB, which an update does not touch but logs twice.
const ROWS: u64 = 100;
const UPDATES: usize = 22;
/// A debug build, and a disk that others use as well.
const LONG: Duration = Duration::from_secs(900);
/// Whatever the transaction's size: the store's buffer, and what is on its way to a replica.
const PEAK: u64 = 256 << 20;

macro_rules! long_on_both_flavors {
    ($($test:ident),*) => {
        mod on_mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "writes 20 GB"]
            async fn $test() {
                super::$test(crate::support::Flavor::MariaDb).await;
            })*
        }
        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "writes 20 GB"]
            async fn $test() {
                if crate::support::mysql::programs(module_path!()).is_some() {
                    super::$test(crate::support::Flavor::MySql).await;
                }
            })*
        }
    };
}

long_on_both_flavors!(
    it_is_acknowledged_and_pulled,
    it_is_acknowledged_after_a_restart
);

async fn prepared(flavor: Flavor) -> Sandbox {
    let sandbox = Sandbox::up(&["--flavor", &flavor.to_string(), "--replicas", "1"]).await;
    let mut source = sandbox.source().connect().await;
    source.run("SET GLOBAL binlog_format = ROW").await;
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE large (id INT PRIMARY KEY, n INT, b LONGBLOB) ENGINE=InnoDB")
        .await;
    for id in 1..=ROWS {
        let insert = format!("INSERT INTO large VALUES ({id}, 0, REPEAT('x', 1048576))");
        app.run(&insert).await;
    }
    sandbox
}

fn peak(sandbox: &Sandbox) -> u64 {
    let pid = sandbox.pid(Part::Proxy).unwrap();
    process::memory(pid).peak
}

fn is_stored(status: &Status) -> bool {
    status.number("binlog.bytes") > 4 << 30
}

/// Whether anybody is still held at the source, and whether the replica has all.
async fn all_is_well(sandbox: &Sandbox) {
    let began = Instant::now();
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1000)").await;
    println!("the next commit took {:?}", began.elapsed());
    let mut source = sandbox.source().connect().await;
    let position = source.gtid_position().await;
    let waiting = match source.flavor() {
        Flavor::MariaDb => "rpl_semi_sync_master_wait_sessions",
        Flavor::MySql => "rpl_semi_sync_source_wait_sessions",
    };
    let rows: Vec<(String, String)> = source.rows(&format!("SHOW STATUS LIKE '{waiting}'")).await;
    assert_eq!(rows[0].1, "0", "{rows:?}");
    let mut replica = sandbox.replica(0).connect().await;
    replica.applies_until(&position, LONG).await.unwrap();
    sandbox.assert_equal().await;
    let peak = peak(sandbox);
    println!("peak memory of the proxy: {} MiB", peak >> 20);
    assert!(peak < PEAK, "{peak}");
}

async fn update(mut app: Database) -> Result<(), mysql_async::Error> {
    app.run("BEGIN").await;
    for _ in 0..UPDATES {
        app.run("UPDATE large SET n = n + 1").await;
    }
    app.try_run("COMMIT").await
}

async fn insert(mut app: Database) -> Result<(), mysql_async::Error> {
    app.try_run("INSERT INTO seen VALUES (1)").await
}

async fn it_is_acknowledged_and_pulled(flavor: Flavor) {
    let sandbox = prepared(flavor).await;
    let began = Instant::now();
    let app = sandbox.app().connect().await;
    let inserted = tokio::time::timeout(LONG, update(app)).await;
    inserted.expect("it returns").unwrap();
    println!("more than 4 GiB took {:?}", began.elapsed());
    assert!(is_stored(&sandbox.status().await));
    all_is_well(&sandbox).await;
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
}

async fn it_is_acknowledged_after_a_restart(flavor: Flavor) {
    let sandbox = prepared(flavor).await;
    let (stop, start) = match flavor {
        Flavor::MariaDb => ("STOP SLAVE", "START SLAVE"),
        Flavor::MySql => ("STOP REPLICA", "START REPLICA"),
    };
    let mut replica = sandbox.replica(0).connect().await;
    replica.run(stop).await;
    let app = sandbox.app().connect().await;
    let large = tokio::spawn(update(app));
    let stored = sandbox.status_until("it is stored", LONG, is_stored).await;
    // MySQL writes it into the same file, where no dump can be asked to begin.
    let app = sandbox.app().connect().await;
    let small = tokio::spawn(insert(app));
    let stored = stored.text("binlog.written_position");
    sandbox
        .status_until("the next one is stored", SOON, |status| {
            status.text("binlog.written_position") != stored
        })
        .await;
    assert!(!large.is_finished() && !small.is_finished());

    sandbox.kill(Part::Proxy);
    let began = Instant::now();
    sandbox.start(Part::Proxy);
    sandbox
        .status_until("it attaches", LONG, |status| {
            // What waits for its acknowledgement is not in MySQL's gtid_executed: there is nothing to catch up on.
            ["catching-up", "attached"].contains(&status.text("source.state"))
        })
        .await;
    println!("attached {:?} after the start", began.elapsed());
    replica.run(start).await;
    sandbox
        .status_until("it takes writes", LONG, |status| {
            status.text("source.state") == "attached"
        })
        .await;
    // Their proxy died before they were answered.
    assert!(large.await.unwrap().is_err() && small.await.unwrap().is_err());
    all_is_well(&sandbox).await;
}
