//! A source that is not the one we know: emptied, restored from an older copy, after RESET MASTER, with
//! another history. Nobody is served from it, the status says why and which transactions are missing, and
//! after the repair it goes on by itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{self, Flavor, Part, SOON, Sandbox, Status, on_both_flavors, wait_until};

on_both_flavors![
    a_source_that_lost_its_history_serves_nobody,
    a_source_that_leaves_changes_out_of_its_binlog_serves_nobody,
    a_source_that_is_connected_to_anew_is_proven_anew,
];

const SOURCE: Part = Part::Source;

async fn commit(sandbox: &Sandbox, n: u32) -> String {
    let mut app = sandbox.app().connect().await;
    app.run(&format!("INSERT INTO seen VALUES ({n})")).await;
    app.last_gtid().await
}

/// A copy of the source's data as it is now; the source comes back.
async fn copy_source(sandbox: &Sandbox, name: &str) {
    sandbox.stop_soon(SOURCE);
    sandbox.keep_data(SOURCE, name);
    sandbox.start(SOURCE);
    sandbox.serves().await;
}

/// `0-1-17`, or `uuid:17`: what is before the number, with its separator, and the number.
fn split(gtid: &str) -> (&str, u64) {
    let at = gtid.rfind(|c: char| !c.is_ascii_digit()).unwrap() + 1;
    (&gtid[..at], gtid[at..].parse().unwrap())
}

/// The GTIDs from that number to this GTID, as status prints them.
fn range(from: u64, to: &str) -> String {
    let (origin, last) = split(to);
    match origin.ends_with(':') {
        true => format!("{origin}{from}-{last}"),
        false => format!("{origin}{from}..{last}"),
    }
}

/// Refused, with a reason that holds these words, and nobody gets in or anything out.
async fn assert_refused(sandbox: &Sandbox, words: &[&str]) -> Status {
    let refused = |status: &Status| {
        let reason = status.text("source.reason");
        status.text("source.state") == "refused" && words.iter().all(|word| reason.contains(word))
    };
    let status = sandbox
        .status_until(
            &format!("the source is refused for {words:?}"),
            SOON,
            refused,
        )
        .await;
    println!("refused: {}", status.text("source.reason"));
    assert!(!status.text("hold").is_empty(), "{status}");
    let ready = sandbox.request("GET", "/readyz", "").await.unwrap();
    assert_eq!(ready.status, 503, "{}", ready.body);
    for word in words {
        sandbox.logged(word).await;
    }
    match tokio::time::timeout(SOON, sandbox.app().try_connect())
        .await
        .expect("a refusal, in time")
    {
        Err(error) => assert!(error.to_string().contains("ackline:"), "{error}"),
        Ok(mut database) => panic!(
            "served: {:?}",
            database.try_value("SELECT COUNT(*) FROM seen").await
        ),
    }
    // It was not opened for writing either.
    assert_eq!(
        sandbox
            .source()
            .connect()
            .await
            .value("SELECT @@global.read_only")
            .await,
        "1"
    );
    status
}

async fn repaired(sandbox: &Sandbox, n: u32) {
    sandbox.serves().await;
    commit(sandbox, n).await;
    sandbox.assert_equal().await;
    let status = sandbox.status().await;
    assert!(status.at("source.reason").is_null(), "{status}");
}

async fn a_source_that_leaves_changes_out_of_its_binlog_serves_nobody(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    let hold = format!("{}\n[failover]\nhold = \"1s\"\n", sandbox.config());
    sandbox.save_config(&hold);
    sandbox.stop(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    sandbox.create_seen().await;
    let path = sandbox.dir.join("source/my.cnf");
    let options = std::fs::read_to_string(&path).unwrap();
    for filter in ["binlog_do_db", "binlog_ignore_db"] {
        sandbox.stop(SOURCE);
        std::fs::write(&path, format!("{options}\n{filter} = scratch\n")).unwrap();
        sandbox.start(SOURCE);
        assert_refused(&sandbox, &[filter, "scratch"]).await;
    }
    sandbox.stop(SOURCE);
    std::fs::write(&path, options).unwrap();
    sandbox.start(SOURCE);
    repaired(&sandbox, 1).await;
}

async fn a_source_that_lost_its_history_serves_nobody(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    // Refusals are waited for below; they need not take as long as a failover may.
    sandbox.save_config(&format!(
        "{}\n[failover]\nhold = \"1s\"\n",
        sandbox.config()
    ));
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    sandbox.create_seen().await;
    commit(&sandbox, 1).await;
    copy_source(&sandbox, "older").await;
    let lost = [
        commit(&sandbox, 2).await,
        commit(&sandbox, 3).await,
        commit(&sandbox, 4).await,
    ];
    let missing = range(split(&lost[0]).1, &lost[2]);
    let all = range(1, &lost[2]);
    copy_source(&sandbox, "whole").await;

    // Restored from an older copy.
    sandbox.kill(SOURCE);
    sandbox.restore_data(SOURCE, "older");
    sandbox.start(SOURCE);
    assert_refused(&sandbox, &[&missing]).await;

    // As many transactions as we know, but others: somebody wrote to the restored copy.
    let mut source = sandbox.source().connect().await;
    if flavor == Flavor::MySql {
        source.run("SET GLOBAL super_read_only=OFF").await;
    }
    for n in [12, 13, 14] {
        source.run(&format!("INSERT INTO seen VALUES ({n})")).await;
    }
    assert_eq!(source.last_gtid().await, lost[2]);
    assert_refused(&sandbox, &["different", &lost[2]]).await;
    sandbox.kill(SOURCE);
    sandbox.restore_data(SOURCE, "whole");
    sandbox.start(SOURCE);
    sandbox.serves().await;

    // Restarted empty: the sandbox makes a new data directory, and cannot prove a commit through it.
    sandbox.kill(SOURCE);
    sandbox.remove_data(SOURCE);
    let mut up = Command::new(support::ACKLINE)
        .args(["sandbox", "up", "--dir"])
        .arg(&sandbox.dir)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let empty = assert_refused(&sandbox, &[&all]).await;
    assert!(empty.text("source.reason").contains("lacks"), "{empty}");
    up.kill().unwrap();
    up.wait().unwrap();
    sandbox.kill(SOURCE);
    sandbox.restore_data(SOURCE, "whole");
    sandbox.start(SOURCE);
    repaired(&sandbox, 5).await;

    // RESET MASTER under the running proxy.
    copy_source(&sandbox, "whole").await;
    let last = sandbox.source().connect().await.last_gtid_written().await;
    let mut app = sandbox.app().connect().await;
    let mut source = sandbox.source().connect().await;
    // It waits for our dump to leave, so it may not return by itself.
    let reset = match flavor {
        Flavor::MariaDb => "RESET MASTER",
        Flavor::MySql => "RESET BINARY LOGS AND GTIDS",
    };
    let reset = tokio::spawn(async move { source.try_run(reset).await });
    let reset_is_seen = wait_until("RESET MASTER is noticed", SOON, async || {
        match sandbox.status().await.text("source.state") {
            "refused" => Ok(()),
            state => {
                // A session that was there before gets no answer that could come from the emptied binlog's time.
                let _ = tokio::time::timeout(Duration::from_millis(100), app.try_value("SELECT 1"))
                    .await;
                Err(format!(
                    "the source is {state}; RESET MASTER returned: {}",
                    reset.is_finished()
                ))
            }
        }
    });
    reset_is_seen.await;
    reset.abort();
    let all = range(1, &last);
    let status = sandbox
        .status_until("the missing transactions are named", SOON, |status| {
            status.text("source.reason").contains(&all)
        })
        .await;
    println!("refused: {}", status.text("source.reason"));
    match tokio::time::timeout(SOON, sandbox.app().try_connect())
        .await
        .expect("a refusal, in time")
    {
        Err(error) => assert!(error.to_string().contains("ackline:"), "{error}"),
        Ok(mut database) => panic!(
            "served: {:?}",
            database.try_value("SELECT COUNT(*) FROM seen").await
        ),
    }
    sandbox.kill(SOURCE);
    sandbox.restore_data(SOURCE, "whole");
    sandbox.start(SOURCE);
    repaired(&sandbox, 6).await;
    let rows: Vec<u32> = sandbox
        .app()
        .connect()
        .await
        .rows("SELECT n FROM seen ORDER BY n")
        .await;
    assert_eq!(rows, [1, 2, 3, 4, 5, 6]);
}

/// Over a new connection another machine may answer, or the same one behind its crash recovery.
async fn a_source_that_is_connected_to_anew_is_proven_anew(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut source = sandbox.source().connect().await;
    let ours: Vec<u64> = source
        .rows("SELECT id FROM information_schema.processlist WHERE user = 'ackline' AND command = 'Sleep'")
        .await;
    assert!(!ours.is_empty());
    for id in ours {
        // Some of ours ask one question and leave.
        if let Err(error) = source.try_run(&format!("KILL {id}")).await {
            assert!(error.to_string().contains("1094"), "{error}");
        }
    }
    sandbox.logged("had to be connected to again").await;
    repaired(&sandbox, 1).await;
    let attaches = sandbox
        .proxy_log()
        .matches("attached to the source's dump")
        .count();
    assert!(attaches >= 2, "{attaches}");
}
