//! `ackline binlog replay`: point-in-time recovery of a server whose copy is older, up to the transaction
//! before a mistake, and then to the end.

use std::process::Output;

use crate::support::{Flavor, Part, SOON, Sandbox, on_both_flavors, wait_until};

on_both_flavors!(a_restored_server_gets_everything_but_the_mistake);

fn replay(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let all = [&["binlog", "replay"], arguments].concat();
    sandbox.ackline(&all)
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

fn refused(sandbox: &Sandbox, arguments: &[&str], status: i32, why: &str) {
    let output = replay(sandbox, arguments);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(text.contains(why), "{text}");
}

async fn a_restored_server_gets_everything_but_the_mistake(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(100), at TIMESTAMP(6) DEFAULT NOW(6))")
        .await;
    app.run("INSERT INTO t (a) VALUES ('in the backup')").await;
    sandbox.assert_equal().await;

    // The second replica leaves: from here on it is what a backup would bring back.
    let restored = sandbox.replica(1);
    let mut there = restored.connect().await;
    refused(
        &sandbox,
        &["--onto", "replica2", "--to-time", "2100-01-01"],
        1,
        "replicates already",
    );
    let leave: &[&str] = match flavor {
        Flavor::MariaDb => &["STOP SLAVE", "RESET SLAVE ALL"],
        Flavor::MySql => &["STOP REPLICA", "RESET REPLICA ALL"],
    };
    for statement in leave {
        there.run(statement).await;
    }
    let at_the_backup = there.gtid_position().await;

    for n in 0..40 {
        app.run(&format!(
            "INSERT INTO t (a) VALUES (CONCAT('row ', {n}, UUID()))"
        ))
        .await;
        app.run("UPDATE t SET a = CONCAT(a, '!') ORDER BY id DESC LIMIT 3")
            .await;
    }
    app.run("CREATE TABLE made AS SELECT id, a FROM t WHERE id % 2 = 0")
        .await;
    app.run("BEGIN").await;
    app.run("DELETE FROM t WHERE id < 5").await;
    app.run("INSERT INTO t (a) VALUES (RAND())").await;
    app.run("COMMIT").await;
    let before = sandbox.source().connect().await.checksums().await;
    app.run("DROP TABLE t").await;
    let mistake = app.last_gtid().await;
    app.run("CREATE TABLE later (id INT PRIMARY KEY)").await;

    // The mistake, as one looks for it.
    let one = ["binlog", "dump", "--from", &mistake, "--to", &mistake];
    wait_until("its origin is written", SOON, async || {
        let dump = said(&sandbox.ackline(&one));
        let user = format!("  {} from 127.0.0.1", sandbox.app().user);
        let whole = [
            "DROP TABLE",
            &user,
            "    received by replica1 2",
            "    applied by replica1 2",
        ];
        match dump.starts_with(&mistake) && whole.iter().all(|part| dump.contains(part)) {
            true => Ok(()),
            false => Err(dump),
        }
    })
    .await;
    let all = said(&sandbox.ackline(&["binlog", "dump"]));
    assert!(
        all.contains("app.t inserted: 1 row(s)\n      + (2, 'row 0"),
        "{all}"
    );
    assert!(
        all.contains("app.t updated: ") && all.contains("      - ("),
        "{all}"
    );

    let until = ["--onto", "replica2", "--before-gtid", &mistake];
    let planned = replay(&sandbox, &[&until[..], &["--dry-run"]].concat());
    assert!(planned.status.success(), "{}", said(&planned));
    assert!(
        said(&planned).contains("transactions onto replica2"),
        "{}",
        said(&planned)
    );
    assert_eq!(there.gtid_position().await, at_the_backup);

    let done = replay(&sandbox, &until);
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains("replayed 8"), "{}", said(&done));
    assert_eq!(there.checksums().await, before);
    let status: Vec<mysql_async::Row> = there
        .rows(match flavor {
            Flavor::MariaDb => "SHOW ALL SLAVES STATUS",
            Flavor::MySql => "SHOW REPLICA STATUS",
        })
        .await;
    assert_eq!(status.len(), 0, "its replication connection is gone");
    let again = replay(&sandbox, &until);
    assert!(
        said(&again).contains("has all of it already"),
        "{}",
        said(&again)
    );

    // By address, and all the rest. The account that did it is the server's own.
    let address = format!("{}:{}", restored.host, restored.port);
    let onto = ["--onto", &address, "--to-time", "2100-01-01"];
    refused(&sandbox, &onto, 2, "--user");
    refused(
        &sandbox,
        &[
            "--onto",
            "replica2",
            "--to-gtid",
            &mistake.replace(|c: char| c.is_ascii_digit(), "9"),
        ],
        1,
        "does not have",
    );
    let file = std::env::temp_dir().join(format!("ackline-replay-{}", std::process::id()));
    std::fs::write(&file, format!("{}\n", restored.password)).unwrap();
    let account = [
        "--user",
        &restored.user,
        "--password-file",
        file.to_str().unwrap(),
    ];
    let done = replay(&sandbox, &[&onto[..], &account].concat());
    std::fs::remove_file(&file).unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let now = sandbox.source().connect().await.checksums().await;
    assert_eq!(there.checksums().await, now);
    assert!(
        !said(&done).contains(&restored.password)
            && !sandbox.proxy_log().contains(&restored.password)
    );

    // Nobody to pull from.
    sandbox.stop(Part::Proxy);
    refused(&sandbox, &until, 3, "");
    sandbox.start(Part::Proxy);
    wait_until("the proxy is back", SOON, async || {
        sandbox.try_status().await.map(|_| ())
    })
    .await;
}
