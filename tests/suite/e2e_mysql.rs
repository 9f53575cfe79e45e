//! What only MySQL has, from the application to the replicas and the tools: a logical clock, tags,
//! compressed transactions, XA, its own dump tool.

use std::fs;
use std::process::Command;

use crate::support::{
    self, Account, Flavor, Part, SOON, Sandbox, Status, mysql, print_all, wait_until,
};
use mysql_async::prelude::Queryable;

/// Statements of every kind of transaction that MySQL logs differently (FACTS.md, section 5).
const WORKLOAD: &[&str] = &[
    "CREATE TABLE rows_ (id INT AUTO_INCREMENT PRIMARY KEY, j JSON, v VARCHAR(400), d DECIMAL(20,6), t TIMESTAMP(6) NULL) ENGINE=InnoDB",
    "INSERT INTO rows_ (j, v, d) VALUES ('{\"a\": 1}', 'eins', 1.5), ('{\"b\": [1,2,3]}', 'zwei', -2.25)",
    "UPDATE rows_ SET j = JSON_SET(j, '$.c', 'new'), t = NOW(6)",
    // Unsafe as statements: rows in MIXED format.
    "INSERT INTO rows_ (v) VALUES (UUID())",
    "INSERT INTO rows_ (v) SELECT CONCAT(v, RAND()) FROM rows_ ORDER BY id LIMIT 2",
    "SET @v = 'from a variable'",
    "INSERT INTO rows_ (v) VALUES (@v)",
    "CREATE TEMPORARY TABLE temporary_ (v VARCHAR(200))",
    "INSERT INTO temporary_ VALUES ('temporary')",
    "INSERT INTO rows_ (v) SELECT v FROM temporary_",
    "DROP TEMPORARY TABLE temporary_",
    "CREATE TABLE copy_ SELECT id, v FROM rows_",
    "ALTER TABLE copy_ ADD COLUMN w INT DEFAULT 7",
    "CREATE TABLE plain_ (id INT PRIMARY KEY) ENGINE=MyISAM",
    "INSERT INTO plain_ VALUES (1), (2)",
    "XA START 'one'",
    "INSERT INTO rows_ (v) VALUES ('xa')",
    "XA END 'one'",
    "XA PREPARE 'one'",
    "XA COMMIT 'one'",
    "XA START 'two'",
    "INSERT INTO rows_ (v) VALUES ('xa in one phase')",
    "XA END 'two'",
    "XA COMMIT 'two' ONE PHASE",
    "SET SESSION binlog_transaction_compression = ON",
    "BEGIN",
    "INSERT INTO rows_ (v) VALUES (REPEAT('compressed', 20)), (REPEAT('compressed', 19)), (UUID())",
    "UPDATE rows_ SET v = CONCAT(v, '!') WHERE v LIKE 'compressed%'",
    "COMMIT",
    "SET SESSION binlog_transaction_compression = OFF",
    "BEGIN",
    "INSERT INTO rows_ (v) VALUES ('kept')",
    "SAVEPOINT here",
    "INSERT INTO rows_ (v) VALUES ('taken back')",
    "ROLLBACK TO here",
    "COMMIT",
    "CREATE PROCEDURE twice() BEGIN INSERT INTO rows_ (v) VALUES ('first'); INSERT INTO rows_ (v) VALUES ('second'); END",
    "CALL twice()",
    "TRUNCATE copy_",
    "DROP TABLE plain_",
    "ANALYZE TABLE rows_",
];

/// Through the proxy, as somebody who may compress transactions.
async fn work(sandbox: &Sandbox) {
    let administrator = Account {
        port: sandbox.app().port,
        ..sandbox.source()
    };
    let mut app = administrator.connect().await;
    for statement in WORKLOAD {
        app.run(statement).await;
    }
    for table in ["rows_", "copy_"] {
        app.run(&format!("DROP TABLE {table}")).await;
    }
    app.run("DROP PROCEDURE twice").await;
    for statement in &WORKLOAD[..6] {
        app.run(statement).await;
    }
    app.run("RENAME TABLE rows_ TO kept_").await;
}

async fn sandbox(test: &str) -> Option<Sandbox> {
    mysql::programs(test)?;
    Some(Sandbox::of(Flavor::MySql).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_mysql_logs_reaches_the_replicas_and_its_tools() {
    let Some(sandbox) =
        sandbox("everything_that_mysql_logs_reaches_the_replicas_and_its_tools").await
    else {
        return;
    };
    work(&sandbox).await;
    sandbox.assert_equal().await;

    // The source's logical clock begins anew with each of its files.
    let mut source = sandbox.source().connect().await;
    for n in 0..3 {
        source.run("FLUSH BINARY LOGS").await;
        let mut app = sandbox.app().connect().await;
        app.run(&format!("CREATE TABLE after_{n} (n INT PRIMARY KEY)"))
            .await;
        for row in 0..20 {
            app.run(&format!("INSERT INTO after_{n} VALUES ({row})"))
                .await;
        }
    }
    // GTIDs with a tag of a user's own.
    source.run("SET gtid_next = 'AUTOMATIC:invoices'").await;
    source
        .run("CREATE TABLE app.tagged (n INT PRIMARY KEY)")
        .await;
    source.run("INSERT INTO app.tagged VALUES (1)").await;
    source.run("SET gtid_next = 'AUTOMATIC'").await;
    sandbox.assert_equal().await;
    let status = sandbox.status().await;
    assert!(
        status.text("binlog.gtid").contains(":invoices:1-2"),
        "{status}"
    );

    // A restart of every part, one after the other.
    for part in [Part::Proxy, Part::Source, Part::Replica(0)] {
        sandbox.kill(part);
        sandbox.start(part);
        sandbox.serves().await;
        let mut app = sandbox.app().connect().await;
        app.run("CREATE TABLE again (n INT PRIMARY KEY)").await;
        app.run("DROP TABLE again").await;
        sandbox.assert_equal().await;
    }
    let streaming = |status: &Status| {
        ["replica1", "replica2"].iter().all(|name| {
            let row = status.replica(name);
            row.is_some_and(|row| row.text("state") == "streaming" && row.flag("vote"))
        })
    };
    sandbox
        .status_until("both replicas stream and vote", support::SOON, streaming)
        .await;

    // MySQL's own tool reads our files, and gets them byte for byte from our port.
    print_all(&sandbox.manifest).unwrap();
    let copies = sandbox.dir.join("copies");
    fs::create_dir(&copies).unwrap();
    let remote = |more: &[&str]| {
        let output = Command::new(mysql::program("mysqlbinlog"))
            .args(
                sandbox
                    .manifest
                    .replication
                    .arguments()
                    .into_iter()
                    .filter(|argument| !argument.starts_with("--protocol")),
            )
            .args(["--ssl-mode=DISABLED", "--read-from-remote-server"])
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "mysqlbinlog {more:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let result = format!("--result-file={}/", copies.display());
    remote(&["--raw", &result, "--to-last-log", "binlog.000001"]);
    let index = fs::read_to_string(sandbox.manifest.binlog_dir.join("binlog.index")).unwrap();
    let names: Vec<&str> = index
        .lines()
        .map(|name| name.trim_start_matches("./"))
        .collect();
    assert!(names.len() > 3, "{names:?}");
    for name in &names {
        let own = fs::read(sandbox.manifest.binlog_dir.join(name)).unwrap();
        let copied = fs::read(copies.join(name)).unwrap();
        assert_eq!(own.len(), copied.len(), "{name}");
        assert!(own == copied, "{name} was copied wrong");
    }
    let printed = remote(&["--verify-binlog-checksum", "--to-last-log", "binlog.000001"]);
    for text in ["XA PREPARE", "invoices", "Previous-GTIDs", "RENAME TABLE"] {
        assert!(printed.contains(text), "no {text} in what it printed");
    }
}

/// A proxy without a history does not know yet of which flavor the source is; by another one's greeting a replica would be
/// refused with 1236, for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_comes_before_anything_is_known_of_the_source() {
    let Some(sandbox) =
        sandbox("a_replica_that_comes_before_anything_is_known_of_the_source").await
    else {
        return;
    };
    sandbox.kill(Part::Proxy);
    sandbox.kill(Part::Source);
    fs::remove_dir_all(&sandbox.manifest.binlog_dir).unwrap();
    sandbox.start(Part::Proxy);
    let mut replica = sandbox.replica(0).connect().await;
    let until = std::time::Instant::now() + support::STAYS + support::STAYS;
    while std::time::Instant::now() < until {
        assert_ne!(replica.slave_status("Slave_IO_Running").await, "No");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    sandbox.start(Part::Source);
    sandbox
        .status_until("the replica streams", SOON, |status| {
            let row = status.replica("replica1");
            row.is_some_and(|row| row.text("state") == "streaming")
        })
        .await;
}

/// MySQL's `information_schema.PROCESSLIST` fails meanwhile, and it is there that old dumps are looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attaching_while_a_statement_runs_that_is_not_text() {
    let Some(sandbox) = sandbox("attaching_while_a_statement_runs_that_is_not_text").await else {
        return;
    };
    let mut blob = sandbox.source().connect().await;
    let statement = b"SELECT SLEEP(600), _binary'\x80\x81\x82\x83'".to_vec();
    let sleeping = tokio::spawn(async move { blob.conn.query_drop(statement).await });
    let mut source = sandbox.source().connect().await;
    wait_until("MySQL cannot list its sessions", SOON, async || {
        let listed = "SELECT COUNT(*) FROM information_schema.PROCESSLIST";
        match source.try_value(listed).await {
            Ok(_) => Err("it lists them"),
            Err(_) => Ok(()),
        }
    })
    .await;
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    sandbox
        .app()
        .connect()
        .await
        .run("CREATE TABLE after_it (n INT)")
        .await;
    assert!(!sleeping.is_finished());
    sleeping.abort();
}
