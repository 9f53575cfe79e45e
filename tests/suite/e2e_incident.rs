//! The source changes a table that it cannot roll back and fails to log it (1705): it logs an INCIDENT instead.
//! Nobody is held for it, replicas are told as by the source itself, and it shows.

use std::time::{Duration, Instant};

use crate::support::{Flavor, Part, SOON, STAYS, Sandbox, Status, on_both_flavors, wait_until};

on_both_flavors!(it_is_carried_on_and_shown);

async fn it_is_carried_on_and_shown(flavor: Flavor) {
    let flavor_name = flavor.to_string();
    let options = [
        "--flavor",
        &flavor_name,
        "--mode",
        "async",
        "--replicas",
        "1",
    ];
    let sandbox = Sandbox::up(&options).await;
    sandbox.create_seen().await;
    let mut source = sandbox.source().connect().await;
    source.run("SET GLOBAL binlog_stmt_cache_size = 4096").await;
    source
        .run("SET GLOBAL max_binlog_stmt_cache_size = 4096")
        .await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE m (n INT AUTO_INCREMENT PRIMARY KEY, b LONGTEXT) ENGINE=MyISAM")
        .await;
    app.run("INSERT INTO seen VALUES (1)").await;
    sandbox.assert_equal().await;

    let before = source.gtid_position().await;
    // By rows, since it is unsafe.
    let insert = "INSERT INTO m (b) SELECT REPEAT(UUID(), 3000) FROM seen";
    let failed = app.try_run(insert).await.unwrap_err().to_string();
    assert!(failed.contains("1705"), "{failed}");
    sandbox.logged("INCIDENT").await;
    sandbox
        .status_until("it is named", SOON, |status| {
            let problems = status.list("problems");
            problems.iter().any(|problem| problem.contains("INCIDENT"))
        })
        .await;
    let mut incident = match flavor {
        // That of what comes behind it.
        Flavor::MariaDb => String::new(),
        Flavor::MySql => {
            let all = source.gtid_position().await;
            let question = format!("SELECT GTID_SUBTRACT('{all}', '{before}')");
            source.value(&question).await
        }
    };
    // It is asked for again from the last transaction, and comes again.
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (2)").await;
    if flavor == Flavor::MariaDb {
        incident = source.gtid_position().await;
    }

    // Once, and before what comes behind it.
    let mut replica = sandbox.replica(0).connect().await;
    let number = match flavor {
        Flavor::MariaDb => "1590",
        Flavor::MySql => "13119",
    };
    wait_until("its applier stops", SOON, async || {
        let running = replica.slave_status("Slave_SQL_Running").await;
        let found = replica.slave_status("Last_SQL_Errno").await;
        match running == "No" && found == number {
            true => Ok(()),
            false => Err(format!("{running}, {found}")),
        }
    })
    .await;
    assert_eq!(replica.count("seen").await, 1);
    sandbox
        .status_until("it has no vote", SOON, |status| {
            !status.replica("replica1").unwrap().flag("vote")
        })
        .await;
    let doctor = String::from_utf8(sandbox.ackline(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("stopped at an INCIDENT"), "{doctor}");

    match flavor {
        Flavor::MariaDb => {
            replica.run("SET GLOBAL sql_slave_skip_counter = 1").await;
            replica.run("START SLAVE").await;
        }
        Flavor::MySql => {
            // Its transaction has nothing else in it.
            replica.run(&format!("SET gtid_next = '{incident}'")).await;
            replica.run("BEGIN").await;
            replica.run("COMMIT").await;
            replica.run("SET gtid_next = AUTOMATIC").await;
            replica.run("START REPLICA").await;
        }
    }
    wait_until("it goes on", SOON, async || {
        match replica.count("seen").await {
            2 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(replica.count("m").await, 0);

    let named = format!("INCIDENT at {incident}");
    let has_no_vote = |status: &Status| {
        let replica = status.replica("replica1").unwrap();
        let objections = replica.list("objections");
        !replica.flag("vote") && objections.iter().any(|why| why.contains(&named))
    };
    sandbox
        .status_until("it has no vote, and why", SOON, has_no_vote)
        .await;

    let would = sandbox.ackline(&["switchover", "--to", "replica1", "--dry-run"]);
    let would = String::from_utf8(would.stdout).unwrap();
    let lacks = would.lines().find(|line| line.contains("it lacks"));
    let named_last = format!(" {incident}");
    assert!(
        lacks.is_some_and(|line| line.ends_with(&named_last)),
        "{would}"
    );

    // It executed all that our binlog has, and lacks rows all the same, also after we have begun anew and its
    // own binlog has expired.
    sandbox.kill(Part::Proxy);
    replica.run("FLUSH BINARY LOGS").await;
    wait_until("its binlog expires", SOON, async || {
        let mut files: Vec<mysql_async::Row> = replica.rows("SHOW BINARY LOGS").await;
        let last: String = files.pop().unwrap().get(0).unwrap();
        replica.run(&format!("PURGE BINARY LOGS TO '{last}'")).await;
        match files.len() {
            0 => Ok(()),
            more => Err(more),
        }
    })
    .await;
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    sandbox
        .status_until("it has no vote, and why", SOON, has_no_vote)
        .await;
    sandbox
        .status_until("its applier runs", SOON, |status| {
            let replica = status.replica("replica1").unwrap();
            replica.list("objections").len() == 1 && replica.text("state") == "streaming"
        })
        .await;
    let watched = Instant::now();
    while watched.elapsed() < STAYS {
        let status = sandbox.status().await;
        assert!(has_no_vote(&status), "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let other = sandbox.ackline(&["accept", "replica1", "--hole", &before]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    let accepted = sandbox.ackline(&["accept", "replica1", "--hole", &incident]);
    assert!(accepted.status.success(), "{accepted:?}");
    sandbox
        .status_until("it votes again", SOON, |status| {
            status.replica("replica1").unwrap().flag("vote")
        })
        .await;
    let output = sandbox.ackline(&["binlog", "check"]);
    assert!(output.status.success(), "{output:?}");
}
