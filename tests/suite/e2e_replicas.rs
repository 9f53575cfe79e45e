//! Who may vote: a replica that is not what a voter must be is served without a vote, and a reader that
//! nobody listed is shown as such and gets what is released only.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    Commit, Flavor, Part, SOON, Sandbox, Signal, Status, mysql, on_both_flavors, wait_until,
};

on_both_flavors![
    a_replica_that_may_not_vote_is_served_and_told_why,
    a_replica_that_connects_before_it_is_known_becomes_a_connected_voter,
    a_transaction_that_came_half_comes_whole
];

async fn prepared(flavor: Flavor) -> Sandbox {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    sandbox
}

async fn insert(sandbox: &Sandbox, n: u32) -> Commit {
    Commit::begin(sandbox.app(), &format!("INSERT INTO seen VALUES ({n})")).await
}

/// replica2 streams, and its vote does not count, for a reason that holds this word; or it counts.
async fn vote_of_second(sandbox: &Sandbox, objection: Option<&str>) {
    let what = format!("replica2's vote: {objection:?}");
    let as_wanted = |status: &Status| {
        let Some(row) = status.replica("replica2") else {
            return false;
        };
        let objections = row.list("objections");
        let votes = match objection {
            Some(word) => !row.flag("vote") && objections.iter().any(|says| says.contains(word)),
            None => row.flag("vote") && objections.is_empty(),
        };
        votes && row.text("state") == "streaming"
    };
    sandbox.status_until(&what, SOON, as_wanted).await;
}

async fn a_vote_once_shown_is_not_taken_back(sandbox: &Sandbox) {
    let shown = async || {
        let status = sandbox.status().await;
        let row = status.replica("replica2").unwrap();
        (row.flag("vote"), row.list("objections").join("; "))
    };
    let begun = Instant::now();
    while !shown().await.0 {
        assert!(begun.elapsed() < SOON, "replica2 gets no vote");
    }
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(300) {
        let (votes, objections) = shown().await;
        assert!(votes, "after {:?}: {objections}", since.elapsed());
    }
}

/// With ROW it writes nothing of a statement that changes no row (MySQL: an empty transaction), as if it had been skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_logs_nothing_but_rows() {
    for flavor in [Flavor::MariaDb, Flavor::MySql] {
        if flavor == Flavor::MySql
            && mysql::programs("a_replica_that_logs_nothing_but_rows").is_none()
        {
            continue;
        }
        let sandbox = prepared(flavor).await;
        vote_of_second(&sandbox, None).await;
        let mut replica = sandbox.replica(1).connect().await;
        let noun = if flavor == Flavor::MariaDb {
            "SLAVE"
        } else {
            "REPLICA"
        };
        for statement in [
            format!("STOP {noun} SQL_THREAD"),
            "SET GLOBAL binlog_format = ROW".to_owned(),
            format!("START {noun} SQL_THREAD"),
        ] {
            replica.run(&statement).await;
        }
        vote_of_second(&sandbox, Some("binlog_format=ROW")).await;
        let fixed = sandbox.ackline(&["doctor", "--fix"]);
        let said = String::from_utf8_lossy(&fixed.stdout).into_owned();
        assert!(said.contains("SET GLOBAL binlog_format=MIXED"), "{said}");
        vote_of_second(&sandbox, None).await;
        let mut app = sandbox.app().connect().await;
        // Logged as a statement, and nothing comes of it.
        app.run("UPDATE seen SET n = n + 1 WHERE n = 4711").await;
        insert(&sandbox, 1).await.succeeds_within(SOON).await;
        is_at_second(&sandbox, 1).await;
        // The proof is by its own binlog, from the beginning.
        let before = sandbox.proxy_log().len();
        sandbox.kill(Part::Proxy);
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
        vote_of_second(&sandbox, None).await;
        let since = &sandbox.proxy_log()[before..];
        assert!(!since.contains("claims to have executed"), "{since}");

        // A source that logs rows comes back as a replica that does not.
        sandbox.stop(Part::Proxy);
        sandbox.edit_config("dir = \"binlog\"", "dir = \"binlog\"\nformat = \"row\"");
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
        let mut source = sandbox.source().connect().await;
        assert_eq!(source.value("SELECT @@global.binlog_format").await, "ROW");
        sandbox
            .status_until("replica1 votes", SOON, |status| {
                status
                    .replica("replica1")
                    .is_some_and(|row| row.flag("vote"))
            })
            .await;
        let moved = sandbox.ackline(&["switchover", "--to", "replica1"]);
        assert!(moved.status.success(), "{moved:?}");
        sandbox
            .status_until("the old source votes", SOON, |status| {
                status.replica("source").is_some_and(|row| row.flag("vote"))
            })
            .await;
    }
}

async fn is_at_second(sandbox: &Sandbox, n: u32) {
    let mut replica = sandbox.replica(1).connect().await;
    wait_until(
        &format!("row {n} is at replica2"),
        SOON,
        async || match replica
            .value(&format!("SELECT COUNT(*) FROM seen WHERE n = {n}"))
            .await
            .as_str()
        {
            "1" => Ok(()),
            _ => Err("it is not"),
        },
    )
    .await;
}

/// With the other replica stopped, replica2's acknowledgement releases nothing; it is served all the same.
async fn second_releases_nothing(sandbox: &Sandbox, n: u32) {
    sandbox.signal(Part::Replica(0), Signal::STOP);
    let mut commit = insert(sandbox, n).await;
    commit.stays_unanswered().await;
    let status = sandbox.status().await;
    assert!(status.list("waiting.for").contains(&"replica1"), "{status}");
    assert!(
        status
            .text("waiting.sentence")
            .contains("replica2 is without a vote"),
        "{status}"
    );
    assert_eq!(
        sandbox
            .replica(1)
            .connect()
            .await
            .value(&format!("SELECT COUNT(*) FROM seen WHERE n = {n}"))
            .await,
        "0",
        "it was sent what is not released"
    );
    sandbox.signal(Part::Replica(0), Signal::CONT);
    commit.succeeds_within(SOON).await;
    is_at_second(sandbox, n).await;
}

async fn a_replica_that_may_not_vote_is_served_and_told_why(flavor: Flavor) {
    let sandbox = prepared(flavor).await;
    let log_updates = match flavor {
        Flavor::MariaDb => "log_slave_updates",
        Flavor::MySql => "log_replica_updates",
    };
    vote_of_second(&sandbox, None).await;

    // Somebody could write to it.
    let mut second = sandbox.replica(1).connect().await;
    second.run("SET GLOBAL read_only=OFF").await;
    vote_of_second(&sandbox, Some("read_only")).await;
    second_releases_nothing(&sandbox, 1).await;
    let closed = match flavor {
        Flavor::MariaDb => "read_only",
        Flavor::MySql => "super_read_only",
    };
    second.run(&format!("SET GLOBAL {closed}=ON")).await;
    vote_of_second(&sandbox, None).await;
    // Scripts go on at the first word of its vote.
    for _ in 0..2 {
        second.run("SET GLOBAL read_only=OFF").await;
        vote_of_second(&sandbox, Some("read_only")).await;
        second.run(&format!("SET GLOBAL {closed}=ON")).await;
        a_vote_once_shown_is_not_taken_back(&sandbox).await;
    }
    sandbox.signal(Part::Replica(0), Signal::STOP);
    insert(&sandbox, 2).await.succeeds_within(SOON).await;
    sandbox.signal(Part::Replica(0), Signal::CONT);
    drop(second);

    // Its binlog would lack what it replicated.
    sandbox.kill(Part::Replica(1));
    sandbox.add_option(Part::Replica(1), &format!("skip_{log_updates}"));
    sandbox.start(Part::Replica(1));
    vote_of_second(&sandbox, Some(log_updates)).await;
    second_releases_nothing(&sandbox, 3).await;
    let shown = sandbox.ackline(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(log_updates), "{shown}");
    sandbox.assert_equal().await;
}

/// After a restart of the proxy the replicas may be there before anybody has asked them who they are.
async fn a_replica_that_connects_before_it_is_known_becomes_a_connected_voter(flavor: Flavor) {
    let sandbox = prepared(flavor).await;
    sandbox.edit_config(
        "mode = ",
        "require = \"LOCAL durable AND FIRST 1 (*) received\"",
    );
    let known = sandbox.config();
    let mut unknown = known.clone();
    for index in 0..2 {
        let address = &sandbox.manifest.replicas[index].account.port.to_string();
        unknown = unknown.replace(
            &format!("127.0.0.1:{address}"),
            &format!("127.0.0.1:{}", index + 1),
        );
    }
    // It keeps what is released: nobody could release it anew.
    sandbox.stop(Part::Proxy);
    sandbox.save_config(&unknown);
    sandbox.start(Part::Proxy);
    let streams = |status: &Status| {
        let row = status.replica("unlisted-2");
        row.is_some_and(|row| row.text("state") == "streaming")
    };
    let what = "replica1 streams as somebody unknown";
    sandbox.status_until(what, SOON, streams).await;
    let mut commit = insert(&sandbox, 1).await;
    commit.stays_unanswered().await;
    sandbox.save_config(&known);
    commit.succeeds_within(SOON).await;
    insert(&sandbox, 2).await.succeeds_within(SOON).await;
    sandbox.assert_equal().await;
}

struct Tool(Child);

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlisted_reader_has_no_vote_and_sees_what_is_released() {
    let sandbox = prepared(Flavor::MariaDb).await;
    let folder = sandbox.dir.join("copied");
    fs::create_dir(&folder).unwrap();
    let reader = Command::new("mariadb-binlog")
        .args(
            sandbox
                .manifest
                .replication
                .arguments()
                .into_iter()
                .filter(|argument| !argument.starts_with("--protocol")),
        )
        .args([
            "--read-from-remote-server",
            "--raw",
            "--stop-never",
            "--stop-never-slave-server-id=4711",
        ])
        .arg(format!("--result-file={}/", folder.display()))
        .arg("binlog.000001")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let _reader = Tool(reader);
    let copied = || {
        let text = fs::read(folder.join("binlog.000001")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    };
    let contains = async |n: u32| {
        wait_until(&format!("row {n} is in the copy"), SOON, async || {
            if copied().contains(&format!("INSERT INTO seen VALUES ({n})")) {
                Ok(())
            } else {
                Err("it is not")
            }
        })
        .await;
    };
    insert(&sandbox, 1).await.succeeds_within(SOON).await;
    contains(1).await;
    let status = sandbox.status().await;
    let row = status
        .replica("unlisted-4711")
        .unwrap_or_else(|| panic!("no row unlisted-4711 in {status}"));
    assert!(!row.flag("vote"), "{status}");

    sandbox.freeze_replicas();
    let mut commit = insert(&sandbox, 2).await;
    commit.stays_unanswered().await;
    assert!(
        !copied().contains("VALUES (2)"),
        "a reader without a vote was sent what is not released"
    );
    assert_eq!(
        sandbox.status().await.list("waiting.for"),
        ["replica1", "replica2"]
    );
    sandbox.thaw_replicas();
    commit.succeeds_within(SOON).await;
    contains(2).await;
}

/// A proxy that is killed in the middle of sending: MySQL's applier of several threads has the beginning of
/// a transaction then, and must be made to let go of it.
async fn a_transaction_that_came_half_comes_whole(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE large (id INT AUTO_INCREMENT PRIMARY KEY, a LONGTEXT)")
        .await;
    for _ in 0..2 {
        // More than the buffers of a connection hold.
        sandbox.signal(Part::Replica(1), Signal::STOP);
        let mut app = sandbox.app().connect().await;
        for _ in 0..24 {
            app.run("INSERT INTO large (a) SELECT REPEAT(UUID(), 7000)")
                .await;
        }
        sandbox.kill(Part::Proxy);
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
        sandbox.signal(Part::Replica(1), Signal::CONT);
        sandbox.assert_equal().await;
    }
}
