//! A server that was the source until a failover: it takes no writes, comes home where it has nothing of its own, and
//! what it has of its own is named.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::support::{
    Account, Commit, Flavor, Part, SOON, STAYS, Sandbox, Signal, on_both_flavors, wait_until,
};

on_both_flavors![
    an_old_source_comes_home_and_may_be_the_source_again,
    what_only_the_old_source_has_is_named,
    a_frozen_source_takes_no_writes_when_it_answers_again,
    an_old_source_comes_home_by_itself,
    a_stranger_is_not_touched,
];

fn ackline(sandbox: &Sandbox, arguments: &[&str], status: i32, words: &[&str]) {
    let output = sandbox.ackline(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{arguments:?}: {said}");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "'{word}' is not in {said}");
    }
}

async fn insert(sandbox: &Sandbox, n: u32) {
    let mut app = sandbox.app().connect().await;
    app.run(&format!("INSERT INTO seen VALUES ({n})")).await;
}

/// Nobody writes: what was answered is all there is.
async fn failed_over(flavor: Flavor) -> Sandbox {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    insert(&sandbox, 1).await;
    sandbox.kill(Part::Source);
    ackline(&sandbox, &["failover"], 0, &["failover done"]);
    insert(&sandbox, 2).await;
    sandbox
}

async fn is_read_only(server: &Account) -> bool {
    server
        .connect()
        .await
        .value("SELECT @@global.read_only")
        .await
        == "1"
}

async fn votes(sandbox: &Sandbox, name: &str) {
    sandbox
        .status_until("the old source votes", SOON, |status| {
            status.replica(name).is_some_and(|row| row.flag("vote"))
        })
        .await;
}

async fn an_old_source_comes_home_and_may_be_the_source_again(flavor: Flavor) {
    let sandbox = failed_over(flavor).await;
    ackline(
        &sandbox,
        &["rejoin", "source"],
        1,
        &["source does not answer"],
    );
    ackline(&sandbox, &["rejoin", "nobody"], 1, &["no [[server]]"]);
    let status = sandbox.status().await;
    let present = status.text("source.name").to_owned();
    ackline(&sandbox, &["rejoin", &present], 1, &["is the source"]);
    let fenced = status.list("problems").join(";");
    assert!(fenced.contains("ackline rejoin source"), "{status}");
    sandbox.start(Part::Source);
    sandbox.source().connect().await;
    ackline(
        &sandbox,
        &["rejoin", "source"],
        0,
        &["source follows ackline again"],
    );
    ackline(
        &sandbox,
        &["rejoin", "source"],
        0,
        &["source follows ackline already"],
    );
    votes(&sandbox, "source").await;
    assert_eq!(sandbox.status().await.list("problems"), Vec::<&str>::new());
    insert(&sandbox, 3).await;
    ackline(
        &sandbox,
        &["switchover", "--to", "source"],
        0,
        &["switchover done"],
    );
    insert(&sandbox, 4).await;
    let mut app = sandbox.app().connect().await;
    let rows: Vec<u32> = app.rows("SELECT n FROM seen ORDER BY n").await;
    assert_eq!(rows, [1, 2, 3, 4]);
    sandbox.assert_equal().await;
}

/// It boots read-only, and is kept so: whoever writes there all the same has to try. The statement's GTID.
async fn write_to_the_old(sandbox: &Sandbox, session: &[&str], statement: &str) -> String {
    let old = sandbox.source();
    wait_until(statement, SOON, async || {
        let mut old = old.try_connect().await?;
        if old.flavor() == Flavor::MySql {
            old.try_run("SET GLOBAL super_read_only=OFF").await?;
        }
        old.try_run("SET GLOBAL read_only=OFF").await?;
        // Each is in a file of its own, none in the oldest.
        old.try_run("FLUSH BINARY LOGS").await?;
        for setting in session {
            old.try_run(setting).await?;
        }
        old.try_run(statement).await?;
        Ok::<_, mysql_async::Error>(old.last_gtid().await)
    })
    .await
}

/// Transactions of every kind, and what is written down of each, in its order.
async fn write_its_own(flavor: Flavor, sandbox: &Sandbox) -> Vec<(String, Vec<String>)> {
    let packed: &[&str] = match flavor {
        Flavor::MariaDb => &["SET GLOBAL log_bin_compress=ON"],
        Flavor::MySql => &["SET SESSION binlog_transaction_compression=ON"],
    };
    let rows: &[&str] = &["SET SESSION binlog_format=ROW"];
    let long = format!("INSERT INTO own VALUES (7, '{}')", "x".repeat(400));
    let mut own = Vec::new();
    for (settings, statement, shown) in [
        (
            &[][..],
            "INSERT INTO seen VALUES (99)",
            &["    app: INSERT INTO seen VALUES (99)\n"][..],
        ),
        (
            rows,
            "UPDATE seen SET n = 98 WHERE n = 99",
            &["    app.seen updated: 1 row(s)\n      - (99)\n      + (98)\n"],
        ),
        (
            rows,
            "DELETE FROM seen WHERE n IN (1, 98)",
            &["    app.seen deleted: 2 row(s)\n      - (1)\n      - (98)\n"],
        ),
        (
            &[],
            "CREATE TABLE own (id INT PRIMARY KEY, a VARCHAR(400))",
            &["    app: CREATE TABLE own (id INT PRIMARY KEY, a VARCHAR(400))\n"],
        ),
        (packed, &long, &[&format!("    app: {long}\n")]),
        (
            &[],
            "CREATE USER own@localhost IDENTIFIED BY 'Geheim.1'",
            &["(not shown: it may hold a password)\n"],
        ),
    ] {
        let gtid = write_to_the_old(sandbox, settings, statement).await;
        own.push((gtid, shown.iter().map(ToString::to_string).collect()));
    }
    own
}

/// Below each transaction's GTID what it did.
fn read_lost_and_found(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match (line.split_once("  "), found.last_mut()) {
            (Some((gtid, _)), _) if !gtid.is_empty() => {
                found.push((gtid.to_owned(), String::new()))
            }
            (Some(_), Some((_, did))) => did.push_str(&format!("{line}\n")),
            _ => assert_eq!(line, ""),
        }
    }
    found
}

async fn what_only_the_old_source_has_is_named(flavor: Flavor) {
    let sandbox = failed_over(flavor).await;
    sandbox.start(Part::Source);
    let own = write_its_own(flavor, &sandbox).await;
    let (last, _) = own.last().unwrap();
    let last = last.rsplit(['-', ':']).next().unwrap();
    let epoch = sandbox.status().await.number("epoch");
    let file = format!("lost-and-found-source-{epoch}.txt");
    let file: PathBuf = sandbox.manifest.binlog_dir.join(file);
    let mut before = None;
    for _ in 0..2 {
        ackline(
            &sandbox,
            &["rejoin", "source"],
            1,
            &[
                "rejoin refused",
                "transactions that nobody else has",
                last,
                file.to_str().unwrap(),
            ],
        );
        let text = std::fs::read_to_string(&file).unwrap();
        println!("{text}");
        let found = read_lost_and_found(&text);
        let gtids = |of: &[(String, String)]| -> Vec<String> {
            of.iter().map(|(gtid, _)| gtid.clone()).collect()
        };
        let written: Vec<String> = own.iter().map(|(gtid, _)| gtid.clone()).collect();
        assert_eq!(gtids(&found), written);
        for ((gtid, did), (_, parts)) in found.iter().zip(&own) {
            for part in parts {
                assert!(did.contains(part), "{gtid}: '{part}' is not in {did}");
            }
        }
        assert!(text.contains("# 6 transaction(s) found\n") && !text.contains("Not found"));
        assert!(!text.contains("Geheim"));
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(before.is_none_or(|before| before == found), "another text");
        before = Some(found);
    }
    let status = sandbox
        .status_until("status says what to do with it", SOON, |status| {
            let row = status.replica("source").unwrap();
            row.text("reason") == "run ackline rejoin source"
        })
        .await;
    let problems = status.list("problems").join("; ");
    assert!(!problems.contains("purged"), "{problems}");
    // Led to us by hand it is not at home, either.
    let mut old = sandbox.source().connect().await;
    old.run(&sandbox.change_master()).await;
    let start = match flavor {
        Flavor::MariaDb => "START SLAVE",
        Flavor::MySql => "START REPLICA",
    };
    old.run(start).await;
    tokio::time::sleep(STAYS).await;
    let extra = ["transactions that nobody else has", last];
    ackline(&sandbox, &["rejoin", "source"], 1, &extra);
    assert!(is_read_only(&sandbox.source()).await);
    insert(&sandbox, 3).await;
    let mut app = sandbox.app().connect().await;
    let rows: Vec<u32> = app.rows("SELECT n FROM seen ORDER BY n").await;
    assert_eq!(rows, [1, 2, 3]);
}

async fn a_frozen_source_takes_no_writes_when_it_answers_again(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    insert(&sandbox, 1).await;
    // Somebody who goes past us.
    let direct = Account {
        port: sandbox.source().port,
        ..sandbox.app().clone()
    };
    let (first, second) = (direct.connect().await, direct.connect().await);
    sandbox.signal(Part::Source, Signal::STOP);
    ackline(&sandbox, &["failover"], 0, &["failover done"]);
    let mut first = Commit::begin_on(first, "INSERT INTO seen VALUES (98)");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    sandbox.signal(Part::Source, Signal::CONT);
    first.stays_unanswered().await;
    let mut old = sandbox.source().connect().await;
    wait_until("the fence is raised", SOON, async || {
        let pending = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SET GLOBAL%read_only%'";
        match old.value(pending).await.as_str() {
            "0" => Err("nobody asks for it"),
            _ => Ok(()),
        }
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let mut second = Commit::begin_on(second, "INSERT INTO seen VALUES (99)");
    second.stays_unanswered().await;
    let refused = ["rejoin refused", "transactions that nobody else has"];
    ackline(&sandbox, &["rejoin", "source"], 1, &refused);
    for commit in [first, second] {
        let answer = commit.answer_within(SOON).await;
        assert!(answer.is_err(), "a write was answered at the old source");
    }
    assert!(is_read_only(&sandbox.source()).await);
    let mut old = sandbox.source().connect().await;
    let rows: Vec<u32> = old.rows("SELECT n FROM seen ORDER BY n").await;
    assert_eq!(
        rows,
        [1, 98],
        "what was queued behind the fence was written"
    );
}

async fn an_old_source_comes_home_by_itself(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let config = sandbox.config();
    assert!(!config.contains("[failover]"), "{config}");
    sandbox.save_config(&format!("{config}\n[failover]\nauto_rejoin = true\n"));
    sandbox.stop(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    insert(&sandbox, 1).await;
    sandbox.kill(Part::Source);
    ackline(&sandbox, &["failover"], 0, &["failover done"]);
    insert(&sandbox, 2).await;
    sandbox.start(Part::Source);
    votes(&sandbox, "source").await;
    insert(&sandbox, 3).await;
}

/// Emptied, it says nothing of what it was.
async fn a_stranger_is_not_touched(flavor: Flavor) {
    let sandbox = failed_over(flavor).await;
    sandbox.start(Part::Source);
    let mut old = sandbox.source().connect().await;
    let reset = match flavor {
        Flavor::MariaDb => "RESET MASTER",
        Flavor::MySql => "RESET BINARY LOGS AND GTIDS",
    };
    old.run(reset).await;
    ackline(
        &sandbox,
        &["rejoin", "source"],
        1,
        &["nothing of our history"],
    );
    let mut old = sandbox.source().connect().await;
    let follows = match flavor {
        Flavor::MariaDb => "SHOW ALL SLAVES STATUS",
        Flavor::MySql => "SHOW REPLICA STATUS",
    };
    assert_eq!(old.rows::<mysql_async::Row>(follows).await.len(), 0);
}
