//! Sessions that ask for more than the policy, with replicas that are stopped.

use std::time::Duration;

use crate::support::{
    Account, Commit, Database, Flavor, Part, SOON, Sandbox, Signal, on_both_flavors, wait_until,
};

/// Who waits does so for as long as the replica is stopped.
const AT_ONCE: Duration = Duration::from_secs(15);

fn insert(n: u32) -> String {
    format!("INSERT INTO seen VALUES ({n})")
}

async fn asking(account: &Account, requirement: &str) -> Database {
    let mut database = account.connect().await;
    let set = format!("SET @ackline_require = '{requirement}'");
    database.run(&set).await;
    database
}

on_both_flavors!(a_session_waits_for_what_it_asks_and_others_do_not);

async fn a_session_waits_for_what_it_asks_and_others_do_not(flavor: Flavor) {
    let sandbox = Sandbox::up(&["--mode", "async", "--flavor", &flavor.to_string()]).await;
    sandbox.create_seen().await;
    let app = sandbox.app();
    let stopped = Part::Replica(1);
    sandbox.signal(stopped, Signal::STOP);

    // The variable.
    let database = asking(app, "ANY 2 (*) received").await;
    let mut commit = Commit::begin_on(database, &insert(1));
    commit.stays_unanswered().await;
    let other = Commit::begin(app, &insert(2)).await;
    other.succeeds_within(AT_ONCE).await;
    // The policy has released it, and it is said who is missing.
    assert_eq!(app.connect().await.count("seen").await, 2);
    let status = sandbox
        .status_until("the status names who is missing", SOON, |status| {
            status
                .text("waiting.sentence")
                .contains("1 session has waited")
        })
        .await;
    assert_eq!(status.number("waiting.asking"), 1, "{status}");
    let sentence = status.text("waiting.sentence");
    assert!(sentence.contains("replica2"), "{status}");
    // A KILL does not reach it.
    let kill = format!("KILL {}", commit.connection);
    let error = app.connect().await.try_run(&kill).await.unwrap_err();
    assert!(error.to_string().contains("ackline:"), "{error}");
    commit.stays_unanswered().await;
    sandbox.signal(stopped, Signal::CONT);
    let (mut database, _) = commit.succeeds_within(SOON).await;

    // Cleared, it is one like any other.
    database.run("SET @ackline_require = NULL").await;
    sandbox.signal(stopped, Signal::STOP);
    let commit = Commit::begin_on(database, &insert(3));
    let (database, _) = commit.succeeds_within(AT_ONCE).await;

    // A hint, for one statement only; what replicas apply is asked though the policy does not count it.
    let hinted = format!("/* ackline: require=ALL applied */ {}", insert(4));
    let mut commit = Commit::begin_on(database, &hinted);
    commit.stays_unanswered().await;
    sandbox.signal(stopped, Signal::CONT);
    let (database, _) = commit.succeeds_within(SOON).await;
    for replica in sandbox.replicas() {
        let there = "SELECT COUNT(*) FROM seen WHERE n = 4";
        assert_eq!(replica.connect().await.value(there).await, "1");
    }
    sandbox.signal(stopped, Signal::STOP);
    let next = Commit::begin_on(database, &insert(5));
    // Held to the end, for the sessions to be counted.
    let _held = next.succeeds_within(AT_ONCE).await;

    // Who leaves while it waits is gone.
    let before = sandbox.status().await.number("sessions");
    let commit = Commit::begin_on(asking(app, "ALL received").await, &insert(6));
    sandbox
        .status_until("it waits", SOON, |status| {
            status.number("waiting.asking") == 1
        })
        .await;
    drop(commit);
    sandbox
        .status_until("it is gone", SOON, |status| {
            status.number("waiting.asking") == 0 && status.number("sessions") == before
        })
        .await;
    assert_eq!(sandbox.status().await.text("waiting.sentence"), "");

    sandbox.signal(stopped, Signal::CONT);
    wait_until("all are counted", SOON, async || {
        match app.connect().await.count("seen").await {
            6 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    sandbox.assert_equal().await;
}
