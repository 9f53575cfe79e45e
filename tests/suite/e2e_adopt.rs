//! The first day: a source that writes and replicas that follow it natively, in semi-sync of their own, are taken in
//! while it goes on writing, and none has to be set up anew.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    ACKLINE, Account, Flavor, Part, SOON, Sandbox, Status, on_both_flavors, wait_until,
};

on_both_flavors![
    live_replicas_are_taken_in_while_the_source_writes,
    a_replica_that_stands_still_is_left_and_taken_in_later,
];

/// Writers may be held no longer than this: whoever is held until the source's semi-sync gives up is held longer.
const PAUSE: Duration = Duration::from_secs(10);
const GIVES_UP: Duration = Duration::from_secs(15);
/// More than are captured behind gate 1 at the first attach.
const BACKLOG: u32 = 12_000;

struct Words {
    semi_sync_source: &'static str,
    semi_sync_replica: &'static str,
    stop: &'static str,
    start: &'static str,
}

fn words(flavor: Flavor) -> Words {
    match flavor {
        Flavor::MariaDb => Words {
            semi_sync_source: "rpl_semi_sync_master",
            semi_sync_replica: "rpl_semi_sync_slave",
            stop: "STOP SLAVE",
            start: "START SLAVE",
        },
        Flavor::MySql => Words {
            semi_sync_source: "rpl_semi_sync_source",
            semi_sync_replica: "rpl_semi_sync_replica",
            stop: "STOP REPLICA",
            start: "START REPLICA",
        },
    }
}

/// As it is before anybody has heard of us: replicas follow the source, the first by GTID and the second by file and
/// position, both in semi-sync.
async fn native(flavor: Flavor) -> Sandbox {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    sandbox.stop(Part::Proxy);
    std::fs::remove_dir_all(&sandbox.manifest.binlog_dir).unwrap();
    let names = words(flavor);
    let mut source = sandbox.source().connect().await;
    for setting in ["enabled=OFF", "timeout=1000", "enabled=ON"] {
        let set = format!("SET GLOBAL {}_{setting}", names.semi_sync_source);
        source.run(&set).await;
    }
    source.run("SET GLOBAL read_only=OFF").await;
    let Account {
        user,
        password,
        host,
        port,
        ..
    } = sandbox.source();
    let show = match flavor {
        Flavor::MariaDb => "SHOW MASTER STATUS",
        Flavor::MySql => "SHOW BINARY LOG STATUS",
    };
    for (index, account) in sandbox.replicas().iter().enumerate() {
        let mut replica = account.connect().await;
        // Nobody writes now, and both have everything.
        let row: (String, u64) = {
            let rows: Vec<mysql_async::Row> = source.rows(show).await;
            (rows[0].get(0).unwrap(), rows[0].get(1).unwrap())
        };
        let by_gtid = index == 0;
        let change = match (flavor, by_gtid) {
            (Flavor::MariaDb, true) => format!(
                "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='{user}', \
                 MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos"
            ),
            (Flavor::MariaDb, false) => format!(
                "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='{user}', \
                 MASTER_PASSWORD='{password}', MASTER_USE_GTID=no, MASTER_LOG_FILE='{}', MASTER_LOG_POS={}",
                row.0, row.1
            ),
            (Flavor::MySql, true) => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={port}, SOURCE_USER='{user}', \
                 SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
            ),
            (Flavor::MySql, false) => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={port}, SOURCE_USER='{user}', \
                 SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=0, SOURCE_LOG_FILE='{}', SOURCE_LOG_POS={}, \
                 GET_SOURCE_PUBLIC_KEY=1",
                row.0, row.1
            ),
        };
        for statement in [
            names.stop,
            &format!("SET GLOBAL {}_enabled=ON", names.semi_sync_replica),
            &change,
            names.start,
        ] {
            replica.run(statement).await;
        }
    }
    source.run("CREATE TABLE earlier (n INT PRIMARY KEY)").await;
    if flavor == Flavor::MariaDb {
        // Another server was the source for a while: within the domain its numbers go on over both.
        source.run("SET SESSION server_id=77").await;
        source.run("INSERT INTO earlier VALUES (1)").await;
        source.run("SET SESSION server_id=@@global.server_id").await;
    }
    source.run("INSERT INTO earlier VALUES (2)").await;
    wait_until(
        "both replicas acknowledge to the source",
        SOON,
        async || {
            let mut source = sandbox.source().connect().await;
            let status = format!(
                "SHOW GLOBAL STATUS LIKE '{}_clients'",
                match flavor {
                    Flavor::MariaDb => "Rpl_semi_sync_master",
                    Flavor::MySql => "Rpl_semi_sync_source",
                }
            );
            let rows: Vec<(String, String)> = source.rows(&status).await;
            match rows[0].1.as_str() {
                "2" => Ok(()),
                other => Err(other.to_owned()),
            }
        },
    )
    .await;
    // Only now: until here nobody may have been there to acknowledge.
    let set = format!(
        "SET GLOBAL {}_timeout={}",
        names.semi_sync_source,
        GIVES_UP.as_millis()
    );
    source.run(&set).await;
    sandbox
}

/// So many commits at the source, as fast as it can.
async fn write_backlog(sandbox: &Sandbox, flavor: Flavor) {
    let mut source = sandbox.source().connect().await;
    let gate = format!("SET GLOBAL {}_enabled", words(flavor).semi_sync_source);
    source.run(&format!("{gate}=OFF")).await;
    for setting in ["sync_binlog", "innodb_flush_log_at_trx_commit"] {
        source.run(&format!("SET GLOBAL {setting}=0")).await;
    }
    source.run("CREATE TABLE backlog (n INT PRIMARY KEY)").await;
    source
        .run(&format!(
            "CREATE PROCEDURE backlog() BEGIN DECLARE i INT DEFAULT 0; \
             WHILE i < {BACKLOG} DO INSERT INTO backlog VALUES (i); SET i = i + 1; END WHILE; END"
        ))
        .await;
    source.run("CALL backlog()").await;
    for setting in ["sync_binlog", "innodb_flush_log_at_trx_commit"] {
        source.run(&format!("SET GLOBAL {setting}=1")).await;
    }
    source.run(&format!("{gate}=ON")).await;
}

/// How often the source's own semi-sync was seen untouched while much is taken over, until we are attached.
async fn look_at_the_gate(sandbox: &Sandbox, flavor: Flavor) -> u32 {
    let mut source = sandbox.source().connect().await;
    let timeout = format!("SELECT @@global.{}_timeout", words(flavor).semi_sync_source);
    let takes_over = |status: &Status| status.text("source.reason").contains("taken over");
    let mut open = 0;
    loop {
        let Ok(before) = sandbox.try_status().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if before.text("source.state") == "attached" {
            return open;
        }
        let now = source.value(&timeout).await;
        let after = sandbox.status().await;
        if takes_over(&before) && takes_over(&after) {
            assert_eq!(now, GIVES_UP.as_millis().to_string(), "{after}");
            open += 1;
        }
    }
}

/// Writes at the source itself, one row after the other.
struct Writer {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(u32, Duration)>,
}

async fn write(account: Account, stopped: Arc<AtomicBool>, from: u32) -> (u32, Duration) {
    let mut source = account.connect_again().await;
    let (mut n, mut longest) = (from, Duration::ZERO);
    while !stopped.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let insert = format!("INSERT INTO seen VALUES ({n})");
        source.try_run(&insert).await.unwrap();
        longest = longest.max(begun.elapsed());
        n += 1;
    }
    (n - from, longest)
}

impl Writer {
    fn begin(sandbox: &Sandbox, from: u32) -> Self {
        let (account, stop) = (sandbox.source(), Arc::<AtomicBool>::default());
        let stopped = stop.clone();
        let task = tokio::spawn(write(account, stopped, from));
        Self { stop, task }
    }

    /// How many rows, and how long one took at most.
    async fn end(self) -> (u32, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// `ackline adopt`, line by line.
struct Adoption {
    child: Child,
    lines: tokio::sync::mpsc::UnboundedReceiver<String>,
    said: Vec<String>,
}

impl Adoption {
    fn begin(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut child = Command::new(ACKLINE)
            .arg("adopt")
            .args(arguments)
            .args(["--config", &sandbox.config_path()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                println!("adopt| {line}");
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    async fn says(&mut self, what: &str) {
        let until = async {
            while let Some(line) = self.lines.recv().await {
                self.said.push(line);
                if self.said.last().is_some_and(|line| line.contains(what)) {
                    return;
                }
            }
            panic!("it ended without '{what}': {:?}", self.said);
        };
        tokio::time::timeout(SOON, until)
            .await
            .unwrap_or_else(|_| panic!("it does not say '{what}'"));
    }

    async fn ends(self) -> Output {
        let waits = tokio::task::spawn_blocking(move || self.child.wait_with_output().unwrap());
        let ended = tokio::time::timeout(SOON * 2, waits).await;
        ended.expect("it does not end").unwrap()
    }
}

async fn live_replicas_are_taken_in_while_the_source_writes(flavor: Flavor) {
    let sandbox = native(flavor).await;
    let config = sandbox.config();
    // A rehearsal touches nothing.
    let rehearsed = sandbox.ackline(&["adopt", "--dry-run"]);
    assert!(rehearsed.status.success(), "{rehearsed:?}");
    assert_eq!(sandbox.config(), config);

    // Its applier stands, so it needs what was written long before we attach, in older files of the source.
    let mut behind = sandbox.replica(0).connect().await;
    behind.run("FLUSH TABLES WITH READ LOCK").await;
    write_backlog(&sandbox, flavor).await;
    let writer = Writer::begin(&sandbox, 1);
    let mut source = sandbox.source().connect().await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        source.run("FLUSH BINARY LOGS").await;
    }
    let mut adoption = Adoption::begin(&sandbox, &[]);
    adoption.says("Start the proxy now").await;
    sandbox.start(Part::Proxy);
    let looked = look_at_the_gate(&sandbox, flavor);
    let (open, ()) = tokio::join!(looked, adoption.says("ackline is attached"));
    assert!(
        open > 0,
        "nothing was taken over before the gate was raised"
    );
    behind.run("UNLOCK TABLES").await;
    let output = adoption.ends().await;
    let (rows, longest) = writer.end().await;
    println!(
        "{flavor}: {rows} rows meanwhile, the longest took {} ms",
        longest.as_millis()
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(longest < PAUSE, "a writer was held for {longest:?}");
    assert!(rows > 100, "{rows} rows");

    let status = sandbox.status().await;
    assert_eq!(status.text("mode"), "semi-sync");
    for replica in ["replica1", "replica2"] {
        assert!(status.replica(replica).unwrap().flag("vote"), "{replica}");
    }
    assert_eq!(sandbox.config().matches("mode = \"async\"").count(), 0);
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (0)").await;
    assert_eq!(app.count("seen").await, u64::from(rows) + 1);
    sandbox.assert_equal().await;
    // It comes to the same once more.
    let again = sandbox.ackline(&["adopt"]);
    assert!(again.status.success(), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("replica1: follows ackline already"));
}

async fn a_replica_that_stands_still_is_left_and_taken_in_later(flavor: Flavor) {
    let sandbox = native(flavor).await;
    let names = words(flavor);
    let mut stopped = sandbox.replica(1).connect().await;
    stopped.run(&format!("{} SQL_THREAD", names.stop)).await;
    // Who starts the proxy first stops nobody's writes.
    let mut source = sandbox.source().connect().await;
    let set = format!("SET GLOBAL {}_enabled=OFF", names.semi_sync_source);
    source.run(&set).await;
    for replica in sandbox.replicas() {
        let mut replica = replica.connect().await;
        for statement in [
            &format!("SET GLOBAL {}_enabled=OFF", names.semi_sync_replica),
            &format!("{} IO_THREAD", names.stop),
            &format!("{} IO_THREAD", names.start),
        ] {
            replica.run(statement).await;
        }
    }
    let rehearsed = sandbox.ackline(&["adopt", "--dry-run"]);
    let said = String::from_utf8_lossy(&rehearsed.stderr).into_owned();
    assert_eq!(rehearsed.status.code(), Some(1), "{said}");
    assert!(said.contains("replica2 would be left out"), "{said}");
    sandbox.start(Part::Proxy);
    sandbox
        .status_until("the source is refused", SOON, |status| {
            status.text("source.state") == "refused"
                && status.text("source.reason").contains("ackline adopt")
        })
        .await;
    let begun = Instant::now();
    source.run("INSERT INTO earlier VALUES (3)").await;
    assert!(begun.elapsed() < PAUSE);
    let mut adoption = Adoption::begin(&sandbox, &["--mode", "quorum"]);
    adoption
        .says("replica2: left as it is: its replication threads do not run")
        .await;
    adoption.says("replica1: follows ackline").await;
    let output = adoption.ends().await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("replica2 did not come, or has no vote"),
        "{said}"
    );
    assert_eq!(sandbox.status().await.text("mode"), "async");
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1)").await;

    stopped.run(&format!("{} SQL_THREAD", names.start)).await;
    let again = sandbox.ackline(&["adopt", "--mode", "quorum"]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(
        again.status.success(),
        "{said} {}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert!(said.contains("replica1: follows ackline already"), "{said}");
    let status = sandbox.status().await;
    assert_eq!(status.text("mode"), "quorum");
    assert!(status.replica("replica2").unwrap().flag("vote"));
    app.run("INSERT INTO seen VALUES (2)").await;
    sandbox.assert_equal().await;

    // What was written at a replica is told before it stands in anybody's way.
    let looked = |what: &str| {
        let output = sandbox.ackline(&["doctor"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.contains(what)
    };
    let own = "ackline provision replica2 --replace writes it down";
    assert!(!looked(own));
    stopped.run("SET GLOBAL read_only=OFF").await;
    stopped.run("CREATE DATABASE only_here").await;
    assert!(looked(own));
}

/// As Debian's packages leave them: no server has a plugin of semi-sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_servers_without_plugins_are_taken_in() {
    const PARTS: [Part; 3] = [Part::Source, Part::Replica(0), Part::Replica(1)];
    if crate::support::mysql::programs("mysql_servers_without_plugins_are_taken_in").is_none() {
        return;
    }
    let sandbox = native(Flavor::MySql).await;
    for part in PARTS {
        sandbox.stop(part);
        sandbox.remove_options(part, "semi");
        sandbox.start(part);
    }
    let mut source = sandbox.source().connect().await;
    source.run("SET GLOBAL super_read_only=OFF").await;
    source.run("SET GLOBAL read_only=OFF").await;
    for replica in sandbox.replicas() {
        let mut replica = replica.connect().await;
        wait_until("it follows the source", SOON, async || {
            match replica.slave_status("Slave_IO_Running").await.as_str() {
                "Yes" => Ok(()),
                other => Err(other.to_owned()),
            }
        })
        .await;
    }
    // What our account may not is known before anything is touched.
    let rehearsed = sandbox.ackline(&["adopt", "--dry-run"]);
    let said = String::from_utf8_lossy(&rehearsed.stderr).into_owned();
    assert_eq!(rehearsed.status.code(), Some(1), "{said}");
    let grant = "GRANT INSERT ON mysql.plugin TO 'ackline'@'%'";
    assert!(
        said.contains(grant) && said.contains("INSTALL PLUGIN rpl_semi_sync_source"),
        "{said}"
    );
    source.run(grant).await;

    let mut adoption = Adoption::begin(&sandbox, &["--mode", "semi-sync"]);
    adoption.says("Start the proxy now").await;
    sandbox.start(Part::Proxy);
    let output = adoption.ends().await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    sandbox.all_vote().await;
    let doctor = sandbox.ackline(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        said.contains("loose_rpl_semi_sync_replica_enabled"),
        "{said}"
    );

    // The night, with a source that lost what was installed there.
    source.run("UNINSTALL PLUGIN rpl_semi_sync_replica").await;
    sandbox.kill(Part::Source);
    let failover = sandbox.ackline(&["failover"]);
    assert!(failover.status.success(), "{failover:?}");
    sandbox.add_option(Part::Source, "loose_rpl_semi_sync_replica_enabled");
    sandbox.start(Part::Source);
    sandbox.source().connect().await;
    let rejoin = sandbox.ackline(&["rejoin", "source"]);
    assert!(rejoin.status.success(), "{rejoin:?}");
    sandbox.all_vote().await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1)").await;
    let status = sandbox.status().await;
    assert!(status.list("problems").is_empty(), "{status}");
}
