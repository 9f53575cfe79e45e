//! `ackline provision`: a server that has nothing, or nothing that is wanted, becomes a voting replica while everybody
//! writes; and whatever ends it in the middle, the same command mends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

mod large;

use crate::support::load::{Clients, Load, assert_there};
use crate::support::{
    ACKLINE, Account, Commit, Flavor, Part, SOON, Sandbox, on_both_flavors, unpacked, wait_equal,
    wait_until,
};

on_both_flavors![
    an_empty_server_becomes_a_replica_while_everybody_writes,
    data_is_dropped_only_if_that_is_wanted,
    nothing_is_dropped_at_the_source_by_another_name,
    whatever_dies_the_same_command_mends,
    a_table_that_is_altered_meanwhile_is_named,
    who_needs_it_is_provisioned_by_itself,
    an_old_source_with_transactions_of_its_own_comes_home,
    the_first_replica_is_a_copy_of_the_source,
    a_full_disk_is_waited_for,
    beside_a_donor_that_is_held_a_copy_goes_on,
    a_server_that_is_killed_behind_the_rows_is_waited_for,
];

fn said(sandbox: &Sandbox, arguments: &[&str]) -> (i32, String) {
    let output = sandbox.ackline(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("{arguments:?}: {said}");
    (output.status.code().unwrap_or(-1), said)
}

fn provision(sandbox: &Sandbox, arguments: &[&str], status: i32, words: &[&str]) -> String {
    let (found, said) = said(sandbox, &[&["provision"], arguments].concat());
    assert_eq!(found, status, "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "'{word}' is not in {said}");
    }
    said
}

/// As the refusal says it.
async fn grant(server: &Account, privileges: &str) {
    let mut server = server.connect().await;
    for statement in [
        "SET SESSION sql_log_bin=0",
        &format!("GRANT {privileges} ON *.* TO ackline@'%' WITH GRANT OPTION"),
    ] {
        if server.flavor() == Flavor::MySql {
            server.run("SET GLOBAL super_read_only=OFF").await;
        }
        server.run(statement).await;
        if server.flavor() == Flavor::MySql {
            server.run("SET GLOBAL super_read_only=ON").await;
        }
    }
}

/// Ours may do all that it takes at both replicas.
async fn granted(sandbox: &Sandbox) {
    for replica in sandbox.replicas() {
        grant(&replica, "ALL PRIVILEGES").await;
    }
}

/// Nothing is kept from the binlog there.
async fn grant_at_source(sandbox: &Sandbox) {
    let mut source = sandbox.source().connect().await;
    let grant = "GRANT ALL PRIVILEGES ON *.* TO ackline@'%' WITH GRANT OPTION";
    for statement in ["SET SESSION sql_log_bin=0", grant] {
        source.run(statement).await;
    }
}

/// As a new server is.
async fn emptied(replica: &Account) {
    let mut replica = replica.connect().await;
    let statements: &[&str] = match replica.flavor() {
        Flavor::MariaDb => &[
            "STOP SLAVE",
            "RESET SLAVE ALL",
            "SET SESSION sql_log_bin=0",
            "DROP DATABASE app",
            "DROP DATABASE IF EXISTS `sh op`",
            "RESET MASTER",
            "SET GLOBAL gtid_slave_pos=''",
        ],
        Flavor::MySql => &[
            "STOP REPLICA",
            "RESET REPLICA ALL",
            "SET GLOBAL super_read_only=OFF",
            "SET SESSION sql_log_bin=0",
            "DROP DATABASE app",
            "DROP DATABASE IF EXISTS `sh op`",
            "RESET BINARY LOGS AND GTIDS",
        ],
    };
    for statement in statements {
        replica.run(statement).await;
    }
}

async fn votes(sandbox: &Sandbox, name: &str) {
    sandbox
        .status_until("it votes", SOON, |status| {
            status
                .replica(name)
                .is_some_and(|row| row.flag("vote") && row.text("state") == "streaming")
        })
        .await;
}

/// What there is to be lost on the way, each with values that are easy to get wrong.
fn contents(flavor: Flavor) -> Vec<String> {
    let (special, values, more) = match flavor {
        Flavor::MariaDb => (
            "u UUID, i6 INET6, cm TEXT COMPRESSED",
            "'123e4567-e89b-12d3-a456-426655440000', '2001:db8::1', 'compressed'",
            &[
                "CREATE SEQUENCE numbers",
                "SELECT NEXTVAL(numbers)",
                "CREATE ROLE reader",
                "GRANT reader TO shop@'%'",
            ][..],
        ),
        Flavor::MySql => (
            "u VECTOR(3), i6 JSON, cm TEXT",
            "STRING_TO_VECTOR('[1,2.5,-3]'), '[1.5, \"ü\"]', 'text'",
            &[
                "CREATE ROLE reader",
                "GRANT reader TO shop@'%'",
                "SET DEFAULT ROLE reader TO shop@'%'",
            ][..],
        ),
    };
    let mut all = vec![
        format!(
            "CREATE TABLE types (a INT NOT NULL, b VARCHAR(20) CHARACTER SET latin1 NOT NULL, \
             ti TINYINT UNSIGNED, bu BIGINT UNSIGNED, z INT(6) ZEROFILL, dc DECIMAL(30,10), f FLOAT, d DOUBLE, d2 DOUBLE(10,2), \
             bi BIT(1), bits BIT(64), e ENUM('', 'a', 'b'), s SET('a', 'b', 'c'), y YEAR, \
             da DATE, t TIME(3), dt DATETIME(6), ts TIMESTAMP(6) NULL, \
             c CHAR(5), v VARCHAR(400) CHARACTER SET utf8mb4, vb VARBINARY(20), bn BINARY(4), bl LONGBLOB, \
             tx TEXT CHARACTER SET utf16, j JSON, g GEOMETRY, n VARCHAR(10), {special}, \
             gv INT AS (a * 2) VIRTUAL, gs VARCHAR(40) AS (CONCAT(b, '!')) STORED, hidden INT INVISIBLE DEFAULT 7, \
             PRIMARY KEY (a, b)) ENGINE=InnoDB"
        ),
        format!(
            "INSERT INTO types (a, b, ti, bu, z, dc, f, d, d2, bi, bits, e, s, y, da, t, dt, ts, c, v, vb, bn, bl, tx, j, g, n, u, i6, cm, hidden) VALUES \
             (1, 'x', 255, 18446744073709551615, 7, 12345678901234567890.0123456789, 1.1, 0.1, 1.25, 1, 0xffffffffffffffff, 'b', 'a,c', 2024, \
             '2024-02-29', '-12:00:00.5', '2024-01-01 00:00:00.123456', '2024-01-01 12:00:00.654321', 'ab', 'ä€😀', 0x00ff090a5c, 'x', REPEAT(0x00ff27090a5c, 3000000), \
             '😀', '{{\"a\": [1, null, \"ä\"]}}', ST_GeomFromText('POINT(1 2)'), '', {values}, 8)"
        ),
        "INSERT INTO types (a, b, f, d, d2, bits, e, s, y, v, n) VALUES (2, 'é', 3.4e38, -0e0, -9.99, 0x010a, '', '', 1901, '\\\\N\\t\\n\\\\', '\\\\N')".into(),
        "INSERT INTO types (a, b) VALUES (-3, '')".into(),
        "CREATE TABLE keyless (v VARCHAR(10), n INT) ENGINE=InnoDB".into(),
        "INSERT INTO keyless VALUES ('a', 1), ('a', 1), (NULL, NULL)".into(),
        "CREATE TABLE old (id INT PRIMARY KEY, v TEXT) ENGINE=MyISAM".into(),
        "INSERT INTO old VALUES (1, 'a'), (2, NULL)".into(),
        "CREATE TABLE tree (id INT PRIMARY KEY AUTO_INCREMENT, up INT, FOREIGN KEY (up) REFERENCES tree (id)) ENGINE=InnoDB".into(),
        "INSERT INTO tree VALUES (5, NULL), (6, 5), (7, 6)".into(),
        "UPDATE tree SET up = 7 WHERE id = 5".into(),
        "CREATE TABLE parts (id INT PRIMARY KEY, n INT) ENGINE=InnoDB PARTITION BY HASH (id) PARTITIONS 4".into(),
        "INSERT INTO parts VALUES (1, 1), (2, 2), (3, 3)".into(),
        "CREATE TABLE fired (n INT) ENGINE=InnoDB".into(),
        "CREATE TRIGGER fires AFTER INSERT ON keyless FOR EACH ROW INSERT INTO fired VALUES (NEW.n)".into(),
        "INSERT INTO keyless VALUES ('fires', 7)".into(),
        "CREATE VIEW a_view AS SELECT * FROM tree".into(),
        "CREATE VIEW `a` AS SELECT id FROM a_view WHERE id > 5".into(),
        "CREATE FUNCTION plus(a INT) RETURNS INT DETERMINISTIC RETURN a + 1".into(),
        "CREATE PROCEDURE says() SELECT 'ä' AS said".into(),
        "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO INSERT INTO fired VALUES (-1)".into(),
        "CREATE TABLE busy (id INT PRIMARY KEY, v VARCHAR(40), n INT) ENGINE=InnoDB".into(),
        "CREATE DATABASE `sh op` CHARACTER SET latin1".into(),
        "CREATE TABLE `sh op`.`or``ders` (k VARCHAR(30) CHARACTER SET utf8mb4 NOT NULL, l DOUBLE NOT NULL, m DATE NOT NULL, UNIQUE u (k, l, m)) ENGINE=InnoDB".into(),
        "CREATE USER shop@'%' IDENTIFIED BY 'shop'".into(),
        "GRANT SELECT ON app.* TO shop@'%'".into(),
    ];
    all.extend(more.iter().map(|statement| (*statement).to_owned()));
    let digits = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 \
         UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let numbers = format!(
        "(SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS i FROM {digits} AS a, {digits} AS b, {digits} AS c, {digits} AS e) AS numbers"
    );
    all.push(format!(
        "INSERT INTO busy SELECT i, CONCAT('v', i), i FROM {numbers}"
    ));
    all.push(format!(
        "INSERT INTO `sh op`.`or``ders` SELECT CONCAT('ä''\\\\', i MOD 50), i / 7, DATE('2024-01-01') + INTERVAL i DAY FROM {numbers}"
    ));
    all
}

/// Writes until it is told to stop. The longest write, in milliseconds.
async fn writer(app: Account, number: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) -> u128 {
    let mut app = app.connect_again().await;
    let (mut at, mut longest) = (number, 0);
    while !stop.load(Ordering::Relaxed) {
        at = (at * 7919 + number) % 10000;
        for statement in [
            format!(
                "UPDATE busy SET v = CONCAT('w', {number}, '-', {at}), n = n + 1 WHERE id = {at}"
            ),
            format!("REPLACE INTO busy VALUES ({}, 'new', {number})", 10000 + at),
            format!("DELETE FROM busy WHERE id = {}", 10000 + (at * 31) % 10000),
            format!("INSERT INTO keyless VALUES ('w', {at})"),
        ] {
            let begun = std::time::Instant::now();
            match app.try_run(&statement).await {
                Ok(()) => {
                    longest = longest.max(begun.elapsed().as_millis());
                    written.fetch_add(1, Ordering::Relaxed);
                }
                // They may lock each other out.
                Err(mysql_async::Error::Server(_)) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(_) => return longest,
            }
        }
    }
    longest
}

/// With all that, and `ackline`.
async fn types_and_the_like(flavor: Flavor) -> Sandbox {
    let sandbox = Sandbox::of(flavor).await;
    let mut source = sandbox.source().connect().await;
    for statement in contents(flavor) {
        source.run(&statement).await;
    }
    let (status, told) = said(&sandbox, &["migrate"]);
    assert_eq!(status, 0, "{told}");
    sandbox.assert_equal().await;
    sandbox
}

struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<u128>>,
}

impl Writers {
    fn begin(sandbox: &Sandbox, count: u64) -> Self {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let task = |number| {
            let app = sandbox.app().clone();
            tokio::spawn(writer(app, number, stop.clone(), written.clone()))
        };
        let tasks = (1..=count).map(task).collect();
        Self {
            stop,
            written,
            tasks,
        }
    }

    /// How many statements were answered.
    async fn end(self) -> u64 {
        let answered = self.written.load(Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
        let mut longest = 0;
        for task in self.tasks {
            longest = longest.max(task.await.unwrap());
        }
        println!("{answered} statements were answered meanwhile, the longest in {longest} ms");
        answered
    }
}

async fn an_empty_server_becomes_a_replica_while_everybody_writes(flavor: Flavor) {
    let sandbox = types_and_the_like(flavor).await;

    let donor = sandbox.replica(0);
    emptied(&sandbox.replica(1)).await;
    let target = Account {
        database: None,
        ..sandbox.replica(1)
    };
    let mut admin = target.connect().await;
    for statement in [
        "SET SESSION sql_log_bin=0",
        "DROP USER shop@'%'",
        "DROP ROLE reader",
    ] {
        admin.run(statement).await;
    }
    provision(
        &sandbox,
        &["replica2"],
        1,
        &[
            "SET SESSION sql_log_bin=0; GRANT ALL PRIVILEGES ON *.* TO 'ackline'@'%' WITH GRANT OPTION;",
        ],
    );
    grant(&target, "ALL PRIVILEGES").await;
    let lacks = match flavor {
        Flavor::MariaDb => "GRANT LOCK TABLES ON *.* TO 'ackline'@'%';",
        Flavor::MySql => "replica1 (the donor): our account sees only a part of it",
    };
    provision(&sandbox, &["replica2"], 1, &[lacks]);
    grant(&donor, "ALL PRIVILEGES").await;
    provision(
        &sandbox,
        &["replica2", "--dry-run"],
        0,
        &["replica1 would be copied to replica2: "],
    );
    assert_eq!(
        target
            .connect()
            .await
            .value("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'app'")
            .await,
        "0"
    );

    let writers = Writers::begin(&sandbox, 4);
    let told = provision(
        &sandbox,
        &["replica2"],
        0,
        &["replica2 is a copy of replica1 as of "],
    );
    assert!(!told.contains("left out"), "{told}");
    votes(&sandbox, "replica2").await;
    let during = writers.end().await;
    assert!(during > 20, "{during}");

    wait_equal(&sandbox.source(), &sandbox.replicas(), SOON)
        .await
        .unwrap();
    let (_, told) = said(&sandbox, &["verify", "replica2"]);
    let end = match flavor {
        // A sequence.
        Flavor::MariaDb => {
            "9 tables (counted on each replica): 8 equal, 0 different, 1 not compared"
        }
        Flavor::MySql => "8 tables (counted on each replica): 8 equal, 0 different, 0 not compared",
    };
    assert!(told.contains(end), "{told}");
    let mut target = target.connect().await;
    for (question, answer) in [
        (
            "SELECT COUNT(*) FROM information_schema.EVENTS WHERE STATUS LIKE '%SIDE_DISABLED'",
            "1",
        ),
        ("SELECT app.plus(6)", "7"),
        ("SELECT MAX(id) FROM app.a", "7"),
        (
            "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_NAME = 'fires'",
            "1",
        ),
        (
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'ackline' AND TABLE_NAME = 'provision'",
            "0",
        ),
        (
            "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'app'",
            "1",
        ),
        (
            "SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'sh op'",
            "latin1",
        ),
    ] {
        assert_eq!(target.value(question).await, answer, "{question}");
    }
    let grants: Vec<String> = target.rows("SHOW GRANTS FOR shop@'%'").await;
    assert!(
        grants.iter().any(|grant| grant.contains("SELECT ON `app`")),
        "{grants:?}"
    );
    assert!(
        grants.iter().any(|grant| grant.contains("reader")),
        "{grants:?}"
    );
    if flavor == Flavor::MariaDb {
        let next = "SELECT next_not_cached_value FROM app.numbers";
        let theirs = target.value(next).await;
        assert_eq!(theirs, sandbox.source().connect().await.value(next).await);
    }

    let (status, told) = said(&sandbox, &["switchover", "--to", "replica2"]);
    assert_eq!(status, 0, "{told}");
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO keyless VALUES ('moved', 1)").await;
    app.run("INSERT INTO tree (up) VALUES (5)").await;
    let others = [sandbox.source(), sandbox.replica(0)];
    wait_equal(&sandbox.replica(1), &others, SOON)
        .await
        .unwrap();
}

async fn data_is_dropped_only_if_that_is_wanted(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1), (2), (3)").await;
    sandbox.assert_equal().await;
    granted(&sandbox).await;
    provision(&sandbox, &["nobody"], 1, &["nobody is no [[server]]"]);
    provision(&sandbox, &["source"], 1, &["source is the source"]);
    provision(
        &sandbox,
        &["replica2", "--from", "replica2"],
        1,
        &["its own donor"],
    );
    provision(
        &sandbox,
        &["replica2", "--streams", "0"],
        1,
        &["--streams is 1 to"],
    );
    provision(&sandbox, &["replica2", "--rate", "fast"], 1, &["fast"]);
    provision(
        &sandbox,
        &["replica2"],
        1,
        &["replica2 has data (app): with --replace"],
    );
    // Transactions of its own.
    let target = sandbox.replica(1);
    let mut own = target.connect().await;
    let unlocked = match flavor {
        Flavor::MariaDb => "SET GLOBAL read_only=OFF",
        Flavor::MySql => "SET GLOBAL super_read_only=OFF",
    };
    own.run(unlocked).await;
    own.run("SET GLOBAL read_only=OFF").await;
    own.run("INSERT INTO app.seen VALUES (666)").await;
    sandbox
        .status_until("its own transaction is found", SOON, |status| {
            status.replica("replica2").is_some_and(|row| {
                row.list("objections")
                    .iter()
                    .any(|objection| objection.contains("ackline provision replica2 --replace"))
            })
        })
        .await;
    provision(&sandbox, &["replica2"], 1, &["replica2 has data (app)"]);
    let told = provision(
        &sandbox,
        &["replica2", "--replace"],
        0,
        &["replica2 is a copy of replica1"],
    );
    let (_, file) = told
        .split_once("is written down in ")
        .expect("a file is named");
    let file = std::fs::read_to_string(file.lines().next().unwrap().trim()).unwrap();
    assert!(file.contains("666"), "{file}");
    votes(&sandbox, "replica2").await;
    app.run("INSERT INTO seen VALUES (4)").await;
    sandbox.assert_equal().await;
    assert_eq!(
        target
            .connect()
            .await
            .value("SELECT COUNT(*) FROM app.seen")
            .await,
        "4"
    );
}

/// As somebody's name service may have it.
async fn nothing_is_dropped_at_the_source_by_another_name(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1)").await;
    sandbox.assert_equal().await;
    granted(&sandbox).await;
    grant(&sandbox.source(), "ALL PRIVILEGES").await;
    if flavor == Flavor::MySql {
        // What granting has left.
        let mut source = sandbox.source().connect().await;
        source.run("SET GLOBAL super_read_only=OFF").await;
        source.run("SET GLOBAL read_only=OFF").await;
    }
    let [source, target] = [sandbox.source(), sandbox.replica(1)];
    let config = sandbox.config();
    let theirs = format!("127.0.0.1:{}", target.port);
    assert!(config.contains(&theirs), "{config}");
    sandbox.save_config(&config.replace(&theirs, &format!("localhost:{}", source.port)));
    wait_until("the configuration is read", SOON, async || {
        let (_, said) = said(&sandbox, &["provision", "replica2", "--replace"]);
        match said.contains("it is the same machine as source") {
            true => Ok(()),
            false => Err(said),
        }
    })
    .await;
    assert_eq!(
        source
            .connect()
            .await
            .value("SELECT COUNT(*) FROM app.seen")
            .await,
        "1"
    );
}

/// Tables enough for a copy that takes a while at this rate.
const SLOWLY: [&str; 4] = ["--rate", "256KiB", "--streams", "2"];

async fn many_tables(sandbox: &Sandbox) {
    let mut source = sandbox.source().connect().await;
    for table in 0..16 {
        source
            .run(&format!("CREATE TABLE t{table} (id INT PRIMARY KEY AUTO_INCREMENT, v VARBINARY(50000)) ENGINE=InnoDB"))
            .await;
        source
            .run(&format!(
                "INSERT INTO t{table} (v) VALUES (REPEAT('x', 50000)), (REPEAT('y', 50000))"
            ))
            .await;
    }
    sandbox.assert_equal().await;
}

fn slowly(sandbox: &Sandbox, more: &[&str]) -> Child {
    in_the_background(sandbox, &[&SLOWLY, more].concat())
}

fn in_the_background(sandbox: &Sandbox, more: &[&str]) -> Child {
    let child = Command::new(ACKLINE)
        .args(["provision", "replica2", "--config", &sandbox.config_path()])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    child.unwrap()
}

fn ended(child: Child) -> (bool, String) {
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("provision: {said}");
    (output.status.success(), said)
}

/// Of the one that runs.
async fn until_tables(sandbox: &Sandbox, tables: u64) {
    sandbox
        .status_until("some tables are there", SOON, |status| {
            let rows = status
                .at("provisioning")
                .as_array()
                .cloned()
                .unwrap_or_default();
            rows.iter()
                .any(|row| row["state"] == "running" && row["tables"].as_u64() >= Some(tables))
        })
        .await;
}

async fn whatever_dies_the_same_command_mends(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    many_tables(&sandbox).await;
    granted(&sandbox).await;
    let [donor, target] = [0, 1].map(Part::Replica);

    // The target, twice: it goes on where it was.
    let child = slowly(&sandbox, &["--replace"]);
    for tables in [3, 7] {
        until_tables(&sandbox, tables).await;
        sandbox.kill(target);
        tokio::time::sleep(Duration::from_millis(700)).await;
        sandbox.start(target);
    }
    let (done, said) = ended(child);
    assert!(done, "{said}");
    votes(&sandbox, "replica2").await;
    sandbox.assert_equal().await;

    // The source, of which the copy has no need.
    let child = slowly(&sandbox, &["--replace"]);
    until_tables(&sandbox, 3).await;
    sandbox.kill(Part::Source);
    let (done, said) = ended(child);
    sandbox.start(Part::Source);
    sandbox.serves().await;
    assert!(done, "{said}");
    votes(&sandbox, "replica2").await;
    sandbox.assert_equal().await;

    // The donor: its snapshots are gone.
    let child = slowly(&sandbox, &["--replace", "--from", "replica1"]);
    until_tables(&sandbox, 3).await;
    sandbox.kill(donor);
    let (done, said) = ended(child);
    assert!(!done && said.contains("give the command again"), "{said}");
    sandbox.start(donor);
    votes(&sandbox, "replica1").await;

    // The proxy. What there is now is a part of a copy, and known for that.
    let child = slowly(&sandbox, &[]);
    until_tables(&sandbox, 3).await;
    sandbox.kill(Part::Proxy);
    let (done, said) = ended(child);
    assert!(!done, "{said}");
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    // Somebody leads it to us by hand: it gets no vote.
    let half = Account {
        database: None,
        ..sandbox.replica(1)
    };
    let mut half = half.connect().await;
    half.run(&sandbox.change_master()).await;
    sandbox
        .status_until("the part of a copy has no vote", SOON, |status| {
            status.replica("replica2").is_some_and(|row| {
                !row.flag("vote")
                    && row
                        .list("objections")
                        .iter()
                        .any(|objection| objection.contains("part of a copy"))
            })
        })
        .await;
    votes(&sandbox, "replica1").await;
    provision(
        &sandbox,
        &["replica2"],
        0,
        &["replica2 is a copy of replica1"],
    );
    votes(&sandbox, "replica2").await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO t0 (v) VALUES ('after all')").await;
    sandbox.assert_equal().await;
}

async fn a_table_that_is_altered_meanwhile_is_named(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    many_tables(&sandbox).await;
    granted(&sandbox).await;
    let child = slowly(&sandbox, &["--replace"]);
    until_tables(&sandbox, 3).await;
    let mut app = sandbox.app().connect().await;
    for table in 0..16 {
        let statement = match table % 2 {
            0 => format!("ALTER TABLE t{table} ADD COLUMN more INT, FORCE"),
            _ => format!("TRUNCATE TABLE t{table}"),
        };
        app.run(&statement).await;
    }
    let (done, said) = ended(child);
    assert!(!done, "{said}");
    assert!(
        said.contains("was altered or dropped while it was copied: give the command again"),
        "{said}"
    );
    // Its applier was not held up by that.
    votes(&sandbox, "replica1").await;
    provision(&sandbox, &["replica2"], 0, &["replica2 is a copy of "]);
    votes(&sandbox, "replica2").await;
    app.run("INSERT INTO t0 (v, more) VALUES ('after all', 1)")
        .await;
    sandbox.assert_equal().await;
}

/// On MySQL; and the server is killed while it makes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_are_made_behind_the_rows() {
    if crate::support::mysql::programs("indexes_are_made_behind_the_rows").is_none() {
        return;
    }
    let sandbox = Sandbox::of(Flavor::MySql).await;
    let mut app = sandbox.app().connect().await;
    for statement in [
        "CREATE TABLE wide (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(900), c INT AS (a * 2) VIRTUAL, \
         UNIQUE KEY u (id, a), KEY (a), KEY `by``b` (b(20), a), KEY made (c), KEY back (a DESC, b(3)), FULLTEXT KEY f (b)) ENGINE=InnoDB",
        "INSERT INTO wide (a, b) VALUES (1, REPEAT('word ', 160))",
    ] {
        app.run(statement).await;
    }
    for _ in 0..15 {
        app.run("INSERT INTO wide (a, b) SELECT a + id, CONCAT(id, b) FROM wide")
            .await;
    }
    app.run("ANALYZE TABLE wide").await;
    sandbox.assert_equal().await;
    granted(&sandbox).await;
    let child = in_the_background(&sandbox, &["--replace"]);
    until_phase(&sandbox, "makes the indexes of 1 tables").await;
    sandbox.kill(Part::Replica(1));
    sandbox.start(Part::Replica(1));
    let (done, said) = ended(child);
    assert!(done, "{said}");
    votes(&sandbox, "replica2").await;
    app.run("INSERT INTO wide (a, b) VALUES (0, 'after all')")
        .await;
    sandbox.assert_equal().await;
    let create = async |server: Account| {
        let rows: Vec<(String, String)> =
            server.connect().await.rows("SHOW CREATE TABLE wide").await;
        rows[0].1.clone()
    };
    assert_eq!(
        create(sandbox.replica(1)).await,
        create(sandbox.source()).await
    );
}

/// It is fenced until then, again and again.
async fn an_old_source_with_transactions_of_its_own_comes_home(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1), (2)").await;
    sandbox.assert_equal().await;
    granted(&sandbox).await;
    // Nobody acknowledges this one, and it is the old source's alone.
    sandbox.freeze_replicas();
    let waits = Commit::begin(sandbox.app(), "INSERT INTO seen VALUES (666)").await;
    sandbox
        .status_until("a commit waits", SOON, |status| {
            status.number("waiting.commits") > 0
        })
        .await;
    sandbox.kill(Part::Proxy);
    sandbox.kill(Part::Source);
    sandbox.thaw_replicas();
    drop(waits);
    // Its binlog has what ours lost: as after a power cut without an fsync.
    sandbox.start(Part::Source);
    let mut old = sandbox.source().connect().await;
    let unlock: &[&str] = match flavor {
        Flavor::MariaDb => &["SET GLOBAL read_only=OFF"],
        Flavor::MySql => &["SET GLOBAL super_read_only=OFF", "SET GLOBAL read_only=OFF"],
    };
    for statement in unlock.iter().chain(&["INSERT INTO seen VALUES (667)"]) {
        old.run(statement).await;
    }
    drop(old);
    sandbox.kill(Part::Source);
    sandbox.start(Part::Proxy);
    sandbox
        .status_until("the proxy answers", SOON, |_| true)
        .await;
    let (status, told) = said(&sandbox, &["failover"]);
    assert_eq!(status, 0, "{told}");
    let mut app = sandbox.app().connect_again().await;
    app.run("INSERT INTO seen VALUES (3)").await;
    sandbox.start(Part::Source);
    grant(&sandbox.source(), "ALL PRIVILEGES").await;
    let (status, told) = said(&sandbox, &["rejoin", "source"]);
    assert_eq!(status, 1, "{told}");
    assert!(
        told.contains("run ackline provision source --replace"),
        "{told}"
    );
    let told = provision(
        &sandbox,
        &["source", "--replace"],
        0,
        &["source is a copy of "],
    );
    assert!(told.contains("is written down in "), "{told}");
    votes(&sandbox, "source").await;
    assert_eq!(sandbox.status().await.list("problems"), Vec::<&str>::new());
    // Its own binlog begins with this one.
    app.run("INSERT INTO seen VALUES (4)").await;
    wait_until(
        "the old source may become the source",
        SOON,
        async || match said(&sandbox, &["switchover", "--to", "source"]) {
            (0, _) => Ok(()),
            (_, told) => Err(told),
        },
    )
    .await;
    app = sandbox.app().connect_again().await;
    app.run("INSERT INTO seen VALUES (5)").await;
    assert_eq!(
        app.value("SELECT COUNT(*) FROM seen WHERE n = 667").await,
        "0"
    );
    sandbox.assert_equal().await;
}

/// `[binlog] provision = "auto"`.
async fn who_needs_it_is_provisioned_by_itself(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    let small = "[binlog]\nfile_size = \"64KiB\"\nkeep = \"200KiB\"\nkeep_at_most = \"200KiB\"\nprovision = \"auto\"\n";
    sandbox.save_config(&sandbox.config().replacen("[binlog]\n", small, 1));
    sandbox.stop(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    sandbox.create_seen().await;
    granted(&sandbox).await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, b TEXT) ENGINE=InnoDB")
        .await;
    let what_it_needs_is_purged = async || {
        let row = "x".repeat(8 << 10);
        let mut app = sandbox.app().connect().await;
        for _ in 0..80 {
            app.run(&format!("INSERT INTO t (b) VALUES ('{row}')"))
                .await;
        }
        sandbox
            .status_until("files are purged", SOON, |status| {
                status.number("binlog.bytes") <= 200 << 10
            })
            .await;
    };

    // Its files are gone when it comes back.
    sandbox.assert_equal().await;
    sandbox.stop(Part::Replica(1));
    what_it_needs_is_purged().await;
    sandbox.start(Part::Replica(1));
    votes(&sandbox, "replica2").await;
    sandbox.assert_equal().await;

    // An empty one.
    emptied(&sandbox.replica(1)).await;
    votes(&sandbox, "replica2").await;
    sandbox.assert_equal().await;

    // One that has something of its own is left alone.
    let own = sandbox.replica(1);
    let [stop, unlock, start] = match flavor {
        Flavor::MariaDb => ["STOP SLAVE", "SET GLOBAL read_only=OFF", "START SLAVE"],
        Flavor::MySql => [
            "STOP REPLICA",
            "SET GLOBAL super_read_only=OFF",
            "START REPLICA",
        ],
    };
    let mut own = own.connect().await;
    for statement in [stop, unlock, "INSERT INTO seen VALUES (666)"] {
        own.run(statement).await;
    }
    what_it_needs_is_purged().await;
    own.run(start).await;
    sandbox
        .status_until("its own transaction is named", SOON, |status| {
            status.replica("replica2").is_some_and(|row| {
                let objections = row.list("objections").join(";");
                objections.contains("ackline provision replica2 --replace")
            })
        })
        .await;
    // More than two looks.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        own.value("SELECT COUNT(*) FROM seen WHERE n = 666").await,
        "1"
    );
}

/// How often the source is copied; ACKLINE_ROUNDS.
fn rounds() -> u32 {
    let rounds = std::env::var("ACKLINE_ROUNDS").ok();
    rounds.and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// No replica votes, so nothing else can be read; and it is read while everybody writes.
async fn the_first_replica_is_a_copy_of_the_source(flavor: Flavor) {
    let sandbox = types_and_the_like(flavor).await;
    sandbox.sync(serde_json::json!({"mode": "async"})).await;
    granted(&sandbox).await;
    grant_at_source(&sandbox).await;
    for replica in sandbox.replicas() {
        emptied(&replica).await;
    }
    let writers = Writers::begin(&sandbox, 8);
    let of_source = &["is a copy of source as of "];
    provision(&sandbox, &["replica1"], 0, of_source);
    votes(&sandbox, "replica1").await;
    sandbox.sync(serde_json::json!({"mode": "semi-sync"})).await;
    provision(&sandbox, &["replica2", "--from", "source"], 0, of_source);
    for _ in 1..rounds() {
        votes(&sandbox, "replica2").await;
        let again = ["replica2", "--from", "source", "--replace"];
        provision(&sandbox, &again, 0, of_source);
    }
    votes(&sandbox, "replica2").await;
    let during = writers.end().await;
    assert!(during > 100, "{during}");
    wait_equal(&sandbox.source(), &sandbox.replicas(), SOON)
        .await
        .unwrap();
    let (_, told) = said(&sandbox, &["verify"]);
    assert!(told.contains(" 0 different"), "{told}");
}

/// MySQL's own way: the server has to be started in the end, since nothing supervises it here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_by_mysqls_own_means() {
    if crate::support::mysql::programs("a_clone_by_mysqls_own_means").is_none() {
        return;
    }
    let plugin = "plugin_load_add=mysql_clone.so";
    let sandbox = Sandbox::up(&[
        "--mode",
        "semi-sync",
        "--flavor",
        "mysql",
        "--server-option",
        plugin,
    ])
    .await;
    let mut source = sandbox.source().connect().await;
    for statement in contents(Flavor::MySql) {
        source.run(&statement).await;
    }
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    let clone = ["--clone", "--replace"];
    let clone_replica2 = ["replica2", "--clone", "--replace"];
    provision(
        &sandbox,
        &clone_replica2,
        1,
        &["GRANT ALL PRIVILEGES ON *.* TO 'ackline'@'%' WITH GRANT OPTION"],
    );
    granted(&sandbox).await;

    // What it would leave empty, enable, or not bring.
    provision(
        &sandbox,
        &clone_replica2,
        1,
        &["leaves tables empty", "app.old"],
    );
    app.run("DROP TABLE old").await;
    sandbox.assert_equal().await;
    provision(
        &sandbox,
        &["replica2", "--clone"],
        1,
        &["replica2 has data (app"],
    );
    let source = ["replica2", "--clone", "--replace", "--from", "source"];
    grant_at_source(&sandbox).await;
    provision(&sandbox, &source, 1, &["source has events that run there"]);
    let without = ["replica2", "--clone", "--replace", "--without-accounts"];
    provision(&sandbox, &without, 1, &["without --without-accounts"]);
    let dry = ["replica2", "--clone", "--replace", "--dry-run"];
    provision(&sandbox, &dry, 0, &["replica1 would be cloned to replica2"]);

    let mut target = sandbox.replica(1).connect().await;
    let uuid = target.value("SELECT @@server_uuid").await;
    for statement in [
        "SET GLOBAL super_read_only=OFF",
        "INSERT INTO app.seen VALUES (666)",
        "SET GLOBAL super_read_only=ON",
    ] {
        target.run(statement).await;
    }
    drop(target);
    let load = Load::of(sandbox.app(), Clients::writing(4));
    load.goes_on(50).await;
    let child = in_the_background(&sandbox, &clone);
    started_anew(&sandbox).await;
    let (done, said) = ended(child);
    assert!(
        done && said.contains("replica2 is a copy of replica1"),
        "{said}"
    );
    let (_, file) = said
        .split_once("is written down in ")
        .expect("a file is named");
    let file = std::fs::read_to_string(file.lines().next().unwrap().trim()).unwrap();
    assert!(file.contains("666"), "{file}");
    votes(&sandbox, "replica2").await;
    load.goes_on(50).await;
    let acknowledged = load.end().await;
    assert_there(&sandbox, &acknowledged).await;
    sandbox.assert_equal().await;
    let mut target = sandbox.replica(1).connect().await;
    assert_eq!(target.value("SELECT @@server_uuid").await, uuid);

    // The proxy dies while the server waits to be started: it needs nobody then.
    let child = in_the_background(&sandbox, &clone);
    until_it_has_ended(&sandbox).await;
    sandbox.kill(Part::Proxy);
    let (done, said) = ended(child);
    assert!(!done, "{said}");
    sandbox.start(Part::Replica(1));
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    votes(&sandbox, "replica2").await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (-1)").await;
    sandbox.assert_equal().await;

    // The server is killed on the way: it says so, and the same command begins anew.
    let child = slowly(&sandbox, &clone);
    until_phase(&sandbox, "clones replica1").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // No password of ours is seen there.
    let server = Account {
        database: None,
        ..sandbox.replica(1)
    };
    let mut server = server.connect().await;
    let seen: Vec<String> = server
        .rows("SELECT COALESCE(INFO, '') FROM information_schema.PROCESSLIST")
        .await;
    assert!(
        !seen.iter().any(|info| info.contains("IDENTIFIED")),
        "{seen:?}"
    );
    sandbox.kill(Part::Replica(1));
    sandbox.start(Part::Replica(1));
    let (done, said) = ended(child);
    assert!(!done && said.contains("give the command again"), "{said}");
    let child = in_the_background(&sandbox, &clone);
    started_anew(&sandbox).await;
    let (done, said) = ended(child);
    assert!(done, "{said}");
    votes(&sandbox, "replica2").await;
    sandbox.assert_equal().await;
}

/// The server that is cloned to has all files.
async fn until_it_has_ended(sandbox: &Sandbox) {
    let pid = sandbox.pid(Part::Replica(1)).expect("replica2 runs");
    until_phase(sandbox, "start it").await;
    sandbox.wait_dead(pid);
}

async fn started_anew(sandbox: &Sandbox) {
    until_it_has_ended(sandbox).await;
    sandbox.start(Part::Replica(1));
}

async fn until_phase(sandbox: &Sandbox, words: &str) {
    sandbox
        .status_until(words, SOON, |status| {
            let rows = status.at("provisioning").as_array().cloned();
            let phases = rows.unwrap_or_default().into_iter();
            let mut phases = phases.filter_map(|row| row["phase"].as_str().map(str::to_owned));
            phases.any(|phase| phase.contains(words))
        })
        .await;
}

/// Some of its views and accounts were made then.
async fn a_server_that_is_killed_behind_the_rows_is_waited_for(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut source = sandbox.source().connect().await;
    for number in 0..400 {
        let view = format!("CREATE VIEW app.v{number} AS SELECT n + {number} AS m FROM app.seen");
        source.run(&view).await;
    }
    sandbox.assert_equal().await;
    granted(&sandbox).await;
    let account = "CREATE USER late@'%' IDENTIFIED BY 'late'";
    for statement in [account, "GRANT SELECT ON app.* TO late@'%'"] {
        source.run(statement).await;
    }
    sandbox.assert_equal().await;
    plant(&sandbox.replica(1), "DROP USER late@'%'").await;
    let child = in_the_background(&sandbox, &["--replace"]);
    until_phase(&sandbox, "creates views").await;
    sandbox.kill(Part::Replica(1));
    sandbox.start(Part::Replica(1));
    let (done, said) = ended(child);
    assert!(done, "{said}");
    assert!(!said.contains("left out"), "{said}");
    assert!(sandbox.proxy_log().contains("is waited for"));
    votes(&sandbox, "replica2").await;
    let mut replica = sandbox.replica(1).connect().await;
    let views = "SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'app'";
    assert_eq!(replica.value(views).await, "400");
    let grants: Vec<String> = replica.rows("SHOW GRANTS FOR late@'%'").await;
    assert!(
        grants.iter().any(|grant| grant.contains("`app`")),
        "{grants:?}"
    );
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1)").await;
    sandbox.assert_equal().await;
}

/// Without a word in its binlog.
async fn plant(replica: &Account, statement: &str) {
    let mut replica = replica.connect().await;
    let is_closed = replica.flavor() == Flavor::MySql;
    if is_closed {
        replica.run("SET GLOBAL super_read_only=OFF").await;
    }
    replica.run("SET SESSION sql_log_bin=0").await;
    replica.run(statement).await;
    if is_closed {
        replica.run("SET GLOBAL super_read_only=ON").await;
    }
}

/// What was copied before the proxy was killed is not copied again.
async fn beside_a_donor_that_is_held_a_copy_goes_on(flavor: Flavor) {
    let name = flavor.to_string();
    let three = ["--mode", "semi-sync", "--flavor", &name, "--replicas", "3"];
    let sandbox = Sandbox::up(&three).await;
    sandbox.create_seen().await;
    many_tables(&sandbox).await;
    large::fill(&sandbox.source(), "large", 16 << 10).await;
    for replica in sandbox.replicas() {
        grant(&replica, "ALL PRIVILEGES").await;
    }
    sandbox.assert_equal().await;
    let hold = ["--replace", "--hold-donor", "--from", "replica1"];
    let source = ["replica2", "--replace", "--hold-donor", "--from", "source"];
    provision(
        &sandbox,
        &source,
        1,
        &["source is the source, which cannot be held"],
    );
    // All of them are asked for.
    sandbox.sync(json!({"mode": "sync"})).await;
    let mut needed = vec!["replica2"];
    needed.extend(hold);
    provision(&sandbox, &needed, 1, &["all commits would wait"]);
    sandbox.sync(json!({"mode": "semi-sync"})).await;

    let load = Load::of(sandbox.app(), Clients::writing(2));
    load.goes_on(10).await;
    let slowly = [&hold[..], &["--rate", "3MiB", "--streams", "1"]].concat();
    let child = in_the_background(&sandbox, &slowly);
    large::until(&sandbox, 0.4).await;
    sandbox.kill(Part::Proxy);
    let (done, said) = ended(child);
    assert!(!done, "{said}");
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    // The other one votes, this one does not.
    load.goes_on(10).await;
    let mut donor = sandbox.replica(0).connect().await;
    assert_eq!(donor.slave_status("Slave_SQL_Running").await, "No");
    let status = sandbox.status().await;
    assert!(!status.replica("replica1").unwrap().flag("vote"));

    let again = ["replica2", "--hold-donor"];
    let told = provision(
        &sandbox,
        &[&again[..], &["--dry-run"]].concat(),
        0,
        &[
            "replica1 would be held until then",
            "with what an earlier copy has left",
        ],
    );
    assert!(
        told.contains("replica1 would be copied to replica2"),
        "{told}"
    );
    provision(
        &sandbox,
        &again,
        0,
        &[
            "with what an earlier copy has left",
            "replica2 is a copy of replica1",
        ],
    );
    let status = sandbox.status().await;
    let rows = status.at("provisioning")[0]["rows"].as_u64().unwrap();
    println!("{rows} rows were copied by the second one");
    // One range at least, of 8 MiB, was there.
    assert!(rows < 10000, "{rows}");
    votes(&sandbox, "replica1").await;
    votes(&sandbox, "replica2").await;
    load.goes_on(10).await;
    load.end().await;
    sandbox.assert_equal().await;

    // Where it does not stand there any more, everything comes anew.
    let child = in_the_background(&sandbox, &slowly);
    large::until(&sandbox, 0.2).await;
    sandbox.kill(Part::Proxy);
    ended(child);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let start = match flavor {
        Flavor::MariaDb => "START SLAVE SQL_THREAD",
        Flavor::MySql => "START REPLICA SQL_THREAD",
    };
    donor.run(start).await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO t0 (v) VALUES ('meanwhile')").await;
    votes(&sandbox, "replica1").await;
    let told = provision(&sandbox, &again, 0, &["replica2 is a copy of replica1"]);
    assert!(!told.contains("with what an earlier"), "{told}");
    votes(&sandbox, "replica2").await;
    sandbox.assert_equal().await;
}

/// A server's data on a disk of its own, which only root can make.
struct OwnDisk(PathBuf);

impl OwnDisk {
    /// None where we may not.
    fn of(sandbox: &Sandbox, part: Part) -> Option<Self> {
        sandbox.stop(part);
        let data = sandbox.data(part);
        let away = data.with_extension("away");
        std::fs::rename(&data, &away).unwrap();
        std::fs::create_dir(&data).unwrap();
        let disk = ran(
            "mount",
            &["-t", "tmpfs", "-o", "size=4G", "ackline-test"],
            &data,
        )
        .then(|| Self(data.clone()));
        if disk.is_some() {
            assert!(ran("cp", &["-aT", away.to_str().unwrap()], &data));
            std::fs::remove_dir_all(away).unwrap();
        } else {
            std::fs::remove_dir(&data).unwrap();
            std::fs::rename(&away, &data).unwrap();
        }
        sandbox.start(part);
        disk
    }

    /// So much more than there is on it now.
    fn leave(&self, bytes: u64) {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        let used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize;
        let size = format!("remount,size={}", used + bytes);
        assert!(ran("mount", &["-o", &size], &self.0));
    }
}

impl Drop for OwnDisk {
    fn drop(&mut self) {
        ran("umount", &["--lazy"], &self.0);
    }
}

fn ran(program: &str, arguments: &[&str], path: &Path) -> bool {
    let status = Command::new(program).args(arguments).arg(path).status();
    status.is_ok_and(|status| status.success())
}

/// The copy says so, and goes on when there is room.
async fn a_full_disk_is_waited_for(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    large::fill(&sandbox.source(), "large", 40 << 10).await;
    sandbox.assert_equal().await;
    granted(&sandbox).await;
    let Some(disk) = OwnDisk::of(&sandbox, Part::Replica(1)) else {
        let name = "e2e_provision::a_full_disk_is_waited_for";
        return unpacked::skipped(name, "it takes root, to mount a disk");
    };
    votes(&sandbox, "replica2").await;
    let child = in_the_background(&sandbox, &["--replace", "--rate", "8MiB"]);
    large::until(&sandbox, 0.1).await;
    disk.leave(2 << 20);
    let status = sandbox
        .status_until("the full disk is told", SOON, |status| {
            let rows = status.at("provisioning").as_array().cloned();
            rows.unwrap_or_default()
                .iter()
                .any(|row| !row["waits_for"].is_null())
        })
        .await;
    let told = status.at("provisioning").to_string();
    println!("{told}");
    assert!(told.to_lowercase().contains("full"), "{told}");
    // Nobody else minds.
    let mut app = sandbox.app().connect().await;
    app.run("UPDATE large SET a = 7 WHERE id < 100").await;
    disk.leave(2 << 30);
    let (done, said) = ended(child);
    assert!(done, "{said}");
    votes(&sandbox, "replica2").await;
    sandbox.assert_equal().await;
    sandbox.stop(Part::Replica(1));
}
