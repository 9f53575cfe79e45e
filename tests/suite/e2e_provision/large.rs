//! A database of size: 40 tables, one of which holds half of the rows, become a replica while sysbench and 16 clients
//! write. Short here; the long form is `ACKLINE_MIB=2048 cargo test --test suite -- e2e_provision::large --nocapture`,
//! before which `CARGO_BIN_EXE_ackline` may be replaced by an optimized build.

use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use super::{granted, in_the_background, provision, said, types_and_the_like, votes};
use crate::support::load::{Clients, Load, assert_there};
use crate::support::sysbench::Sysbench;
use crate::support::{Account, Flavor, Part, Sandbox, on_both_flavors, process, wait_equal};

on_both_flavors![a_large_database_becomes_a_replica];

const SHORT: u64 = 8;
const CLIENTS: usize = 16;
const STREAMS: u64 = 4;
/// `--streams` times what a range may hold in memory.
const BOUND: u64 = STREAMS * (16 << 20);
const TABLES: u64 = 40;

fn mib() -> u64 {
    let mib = std::env::var("ACKLINE_MIB").ok();
    mib.map_or(SHORT, |text| text.parse().expect("ACKLINE_MIB is a number"))
}

/// For servers of any size.
fn long() -> Duration {
    Duration::from_secs(60 + mib())
}

/// Rows of 1 KiB each. The replicas compute them as well, so that little is logged. (No generated column: MariaDB's
/// CHECKSUM TABLE is another one the first time then, seen on 10.11.)
pub(super) async fn fill(source: &Account, table: &str, rows: u64) {
    let mut source = source.connect().await;
    source
        .run(&format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, a INT, b VARCHAR(1100) CHARACTER SET utf8mb4, c DATETIME(3), d DOUBLE, KEY (a)) ENGINE=InnoDB"
        ))
        .await;
    source
        .run(&format!(
            "INSERT INTO {table} (id, a, b, c, d) VALUES (1, 1, REPEAT('ä€', 400), '2024-02-29 12:00:00.5', 0.1)"
        ))
        .await;
    let mut have = 1;
    while have < rows {
        // Larger ones would be large transactions.
        let more = have.min(rows - have).min(32768);
        source
            .run(&format!(
                "INSERT INTO {table} (id, a, b, c, d) SELECT id + {have}, (a * 31 + id) % 1000000, \
                 CONCAT('ä€', REPEAT(SHA2(CONCAT(b, id), 512), 8)), c + INTERVAL id SECOND, d * 1.1 FROM {table} WHERE id <= {more}"
            ))
            .await;
        have += more;
    }
    // So that it is known how much it is.
    source.run(&format!("ANALYZE TABLE {table}")).await;
}

/// With views, triggers, events and routines beside them.
async fn filled(flavor: Flavor) -> (Sandbox, Sysbench) {
    let sandbox = types_and_the_like(flavor).await;
    sandbox.create_seen().await;
    let mut source = sandbox.source().connect().await;
    for statement in [
        "CREATE TABLE hen (id INT PRIMARY KEY, egg INT) ENGINE=InnoDB",
        "CREATE TABLE egg (id INT PRIMARY KEY, hen INT, FOREIGN KEY (hen) REFERENCES hen (id)) ENGINE=InnoDB",
        "ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg (id)",
        "INSERT INTO hen VALUES (1, NULL), (2, NULL)",
        "INSERT INTO egg VALUES (1, 2), (2, 1)",
        "UPDATE hen SET egg = id",
    ] {
        source.run(statement).await;
    }
    let sysbench = Sysbench {
        mix: "oltp_read_write",
        account: sandbox.app().clone(),
        tables: 4,
        rows: 2000,
        threads: 4,
    };
    sysbench.prepare();
    let there = source
        .value("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA IN ('app', 'sh op')")
        .await;
    let rest = TABLES - 1 - there.parse::<u64>().unwrap();
    let rows = mib() * 1024;
    fill(&sandbox.source(), "big", rows / 2).await;
    for number in 1..=rest {
        fill(&sandbox.source(), &format!("rest{number}"), rows / 2 / rest).await;
    }
    wait_equal(&sandbox.source(), &sandbox.replicas(), long())
        .await
        .unwrap();
    (sandbox, sysbench)
}

/// The longest time that a client was without an answer. What was acknowledged is there.
async fn pause_while(sandbox: &Sandbox, work: impl AsyncFnOnce()) -> Duration {
    let load = Load::of(sandbox.app(), Clients::writing(CLIENTS));
    load.goes_on(100).await;
    work().await;
    let longest = load.longest_wait();
    let errors = load.errors();
    assert!(errors.is_empty(), "{errors:?}");
    assert_there(sandbox, &load.end().await).await;
    // The next ones begin with 1 again.
    let mut app = sandbox.app().connect().await;
    app.run("DELETE FROM seen").await;
    longest
}

/// Of proxy and donor, since it was set back.
fn peaks(sandbox: &Sandbox) -> [u64; 2] {
    [Part::Proxy, Part::Replica(0)].map(|part| process::memory(sandbox.pid(part).unwrap()).peak)
}

/// Until it is so far, by its rows.
pub(super) async fn until(sandbox: &Sandbox, part: f64) {
    sandbox
        .status_until("it is so far", long(), |status| {
            let rows = status.at("provisioning").as_array().cloned();
            rows.unwrap_or_default().iter().any(|row| {
                let [bytes, of] =
                    ["bytes", "expected_bytes"].map(|name| row[name].as_f64().unwrap());
                row["state"] == "running" && of > 0.0 && bytes >= of * part
            })
        })
        .await;
}

async fn a_large_database_becomes_a_replica(flavor: Flavor) {
    let (sandbox, sysbench) = filled(flavor).await;
    granted(&sandbox).await;
    let sysbench = sysbench.begin();
    let quiet = Duration::from_secs((mib() / 32).clamp(3, 60));
    let without = pause_while(&sandbox, async || tokio::time::sleep(quiet).await).await;

    let target = Part::Replica(1);
    let before = peaks(&sandbox);
    for part in [Part::Proxy, Part::Replica(0)] {
        process::forget_peak(sandbox.pid(part).unwrap());
    }
    let begun = Instant::now();
    let with = pause_while(&sandbox, async || {
        // A short one would be over before anybody is killed.
        let slowly = ["--replace", "--rate", "5MiB"];
        let arguments = if mib() == SHORT {
            &slowly[..]
        } else {
            &slowly[..1]
        };
        let child = in_the_background(&sandbox, arguments);
        for part in [0.2, 0.6] {
            until(&sandbox, part).await;
            // The clients go on meanwhile.
            block_in_place(|| sandbox.kill(target));
            tokio::time::sleep(Duration::from_millis(700)).await;
            block_in_place(|| sandbox.start(target));
        }
        let ended = tokio::task::spawn_blocking(move || super::ended(child));
        let (done, said) = ended.await.unwrap();
        assert!(done, "{said}");
        votes(&sandbox, "replica2").await;
    })
    .await;
    let after = peaks(&sandbox);
    println!(
        "{flavor}: {} MiB in {TABLES} tables, {:.1} s, the target killed twice; longest wait of {CLIENTS} clients {} ms without, {} ms with; peak memory of proxy and donor {:?} MiB before, {:?} MiB while it ran; sysbench: {} transactions",
        mib(),
        begun.elapsed().as_secs_f64(),
        without.as_millis(),
        with.as_millis(),
        before.map(|bytes| bytes >> 20),
        after.map(|bytes| bytes >> 20),
        sysbench.transactions(),
    );
    assert!(after[0] < before[0] + 2 * BOUND, "{before:?} {after:?}");
    assert!(sysbench.end().is_empty(), "sysbench ended before");
    // A short one has no quiet time to speak of.
    let more = if mib() == SHORT { 2000 } else { 200 };
    assert!(with <= without + Duration::from_millis(more));

    let (_, told) = said(&sandbox, &["verify", "replica2"]);
    assert!(told.contains(", 0 different, "), "{told}");
    let open = if flavor == Flavor::MariaDb { 1 } else { 0 };
    assert!(told.contains(&format!(", {open} not compared")), "{told}");
    wait_equal(&sandbox.source(), &sandbox.replicas(), long())
        .await
        .unwrap();

    // The proxy, in the middle: what is there is a part of a copy, and the same command begins anew.
    let child = in_the_background(&sandbox, &["--replace"]);
    until(&sandbox, 0.3).await;
    sandbox.kill(Part::Proxy);
    let (done, said) = super::ended(child);
    assert!(!done, "{said}");
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    votes(&sandbox, "replica1").await;
    provision(
        &sandbox,
        &["replica2"],
        0,
        &["replica2 is a copy of replica1"],
    );
    votes(&sandbox, "replica2").await;

    // Where nobody has written since, it holds nothing yet that we could begin with.
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO keyless VALUES ('before', 1)").await;
    let (status, told) = super::said(&sandbox, &["switchover", "--to", "replica2"]);
    assert_eq!(status, 0, "{told}");
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO keyless VALUES ('moved', 1)").await;
    wait_equal(
        &sandbox.replica(1),
        &[sandbox.source(), sandbox.replica(0)],
        long(),
    )
    .await
    .unwrap();
}
