//! What a commit waits for in each mode, with replicas that are stopped, and changes of mode while it
//! waits.

use std::time::{Duration, Instant};

use crate::support::{Commit, Flavor, Part, SOON, STAYS, Sandbox, Signal, Status, on_both_flavors};
use serde_json::json;

on_both_flavors![
    each_mode_waits_for_its_voters,
    the_mode_changes_while_a_commit_waits,
    a_change_that_is_wrong_changes_nothing,
    after_the_timeout_it_degrades_and_says_so,
    after_the_timeout_block_only_warns,
];

const AT_ONCE: Duration = Duration::from_secs(8);

fn insert(n: u32) -> String {
    format!("INSERT INTO seen VALUES ({n})")
}

/// With a connection of its own at the source, round the proxy.
async fn is_visible(sandbox: &Sandbox, n: u32) -> bool {
    let mut source = sandbox.source().connect().await;
    source
        .value(&format!("SELECT COUNT(*) FROM seen WHERE n = {n}"))
        .await
        == "1"
}

/// A commit that must neither return nor show at the source.
async fn waiting(sandbox: &Sandbox, n: u32) -> Commit {
    let mut commit = Commit::begin(sandbox.app(), &insert(n)).await;
    commit.stays_unanswered().await;
    assert!(
        !is_visible(sandbox, n).await,
        "{n} is visible at the source before its acknowledgement"
    );
    commit
}

async fn returns(sandbox: &Sandbox, n: u32) {
    Commit::begin(sandbox.app(), &insert(n))
        .await
        .succeeds_within(AT_ONCE)
        .await;
    assert!(is_visible(sandbox, n).await);
}

async fn each_mode_waits_for_its_voters(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let (first, second) = (Part::Replica(0), Part::Replica(1));

    // semi-sync: one replica is enough, none is not.
    sandbox.signal(first, Signal::STOP);
    returns(&sandbox, 1).await;
    sandbox.signal(second, Signal::STOP);
    let commit = waiting(&sandbox, 2).await;
    let status = sandbox
        .status_until("the status says who is missing", SOON, |status| {
            status.number("waiting.commits") == 1 && status.list("waiting.for").len() == 2
        })
        .await;
    assert_eq!(status.number("waiting.commits"), 1, "{status}");
    assert_eq!(
        status.list("waiting.for"),
        ["replica1", "replica2"],
        "{status}"
    );
    assert!(!status.text("waiting.sentence").is_empty(), "{status}");
    sandbox.signal(second, Signal::CONT);
    commit.succeeds_within(SOON).await;
    assert!(is_visible(&sandbox, 2).await);
    sandbox.signal(first, Signal::CONT);

    // quorum: three voters, the source counted.
    sandbox.sync(json!({"mode": "quorum"})).await;
    sandbox.signal(first, Signal::STOP);
    returns(&sandbox, 3).await;
    sandbox.signal(second, Signal::STOP);
    let commit = waiting(&sandbox, 4).await;
    sandbox.signal(first, Signal::CONT);
    commit.succeeds_within(SOON).await;
    sandbox.signal(second, Signal::CONT);

    // sync: applied everywhere, so it waits with one stopped, and is visible there when it returns.
    sandbox.sync(json!({"mode": "sync"})).await;
    returns(&sandbox, 5).await;
    for replica in sandbox.replicas() {
        assert_eq!(
            replica
                .connect()
                .await
                .value("SELECT COUNT(*) FROM seen WHERE n = 5")
                .await,
            "1"
        );
    }
    sandbox.signal(first, Signal::STOP);
    let commit = waiting(&sandbox, 6).await;
    sandbox
        .status_until("replica1 alone is missing", SOON, |status| {
            status.list("waiting.for") == ["replica1"]
        })
        .await;
    sandbox.signal(first, Signal::CONT);
    commit.succeeds_within(SOON).await;

    // Who asks for a mode is told what it will wait for.
    sandbox.kill(Part::Replica(0));
    sandbox
        .status_until("replica1 is missed", SOON, |status| {
            status
                .replica("replica1")
                .is_some_and(|row| !row.flag("vote"))
        })
        .await;
    for (mode, warns) in [("semi-sync", false), ("sync", true)] {
        let output = sandbox.ackline(&["mode", mode]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        let warning = "warning: mode sync waits for every voter, and replica1 has no vote now";
        assert_eq!(said.contains(warning), warns, "{said}");
    }
    sandbox.start(Part::Replica(0));

    // async: at once, with nobody there.
    sandbox.sync(json!({"mode": "async"})).await;
    sandbox.freeze_replicas();
    returns(&sandbox, 7).await;
    sandbox.thaw_replicas();
    sandbox.assert_equal().await;
}

async fn the_mode_changes_while_a_commit_waits(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    sandbox.freeze_replicas();

    // Saving the file.
    let commit = waiting(&sandbox, 1).await;
    let saved = Instant::now();
    sandbox.edit_config("mode", "mode = \"async\" # for now");
    commit.succeeds_within(AT_ONCE).await;
    println!("returned {:?} after the file was saved", saved.elapsed());
    assert_eq!(sandbox.status().await.text("mode"), "async");

    // PUT, which writes the file and keeps its comments.
    sandbox.sync(json!({"mode": "semi-sync"})).await;
    assert!(
        sandbox.config().contains("mode = \"semi-sync\" # for now"),
        "{}",
        sandbox.config()
    );
    let commit = waiting(&sandbox, 2).await;
    sandbox.sync(json!({"mode": "async"})).await;
    commit.succeeds_within(AT_ONCE).await;

    // The command.
    assert!(sandbox.ackline(&["mode", "semi-sync"]).status.success());
    let commit = waiting(&sandbox, 3).await;
    assert!(sandbox.ackline(&["mode", "async"]).status.success());
    commit.succeeds_within(AT_ONCE).await;
    assert_eq!(sandbox.ackline(&["mode", "fast"]).status.code(), Some(2));

    // SIGHUP.
    sandbox.sync(json!({"mode": "semi-sync"})).await;
    let commit = waiting(&sandbox, 4).await;
    sandbox.edit_config("mode", "mode = \"async\"");
    sandbox.signal(Part::Proxy, Signal::HUP);
    commit.succeeds_within(AT_ONCE).await;

    // Stronger again: later commits wait again.
    sandbox.sync(json!({"mode": "semi-sync"})).await;
    let commit = waiting(&sandbox, 5).await;
    sandbox.thaw_replicas();
    commit.succeeds_within(SOON).await;
    sandbox.assert_equal().await;
}

async fn a_change_that_is_wrong_changes_nothing(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let good = sandbox.config();

    for (change, code) in [
        (json!({"mode": "fast"}), 400),
        (json!({"mood": "async"}), 400),
        (json!({"require": "ANY 1 (nobody) received"}), 400),
    ] {
        let answer = sandbox.put_sync(change.clone()).await;
        assert_eq!(answer.status, code, "{change}: {}", answer.body);
    }
    let without_token = sandbox
        .request("PUT", "/api/v1/sync", "{\"mode\":\"async\"}")
        .await
        .unwrap();
    assert_eq!(without_token.status, 401, "{}", without_token.body);
    assert_eq!(sandbox.config(), good);

    // A broken file: the reason is in the log and in the status, with the line, and the old policy holds.
    let broken = good.replace("mode = \"semi-sync\"", "mode = \"asinc\"");
    let line = broken
        .lines()
        .position(|line| line.contains("asinc"))
        .unwrap()
        + 1;
    sandbox.save_config(&broken);
    sandbox.signal(Part::Proxy, Signal::HUP);
    let refused = |status: &Status| {
        status
            .list("problems")
            .iter()
            .any(|problem| problem.contains("asinc") && problem.contains(&format!(":{line}")))
    };
    sandbox
        .status_until("the refused file is a problem", SOON, refused)
        .await;
    sandbox.logged("asinc").await;
    assert_eq!(sandbox.status().await.text("mode"), "semi-sync");
    sandbox.freeze_replicas();
    let commit = waiting(&sandbox, 1).await;
    sandbox.thaw_replicas();
    commit.succeeds_within(SOON).await;
    let check = sandbox.ackline(&["check"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");

    sandbox.save_config(&good);
    sandbox
        .status_until("the repaired file is no problem", SOON, |status| {
            status.list("problems").is_empty()
        })
        .await;
}

/// Each reads the file and writes it: together they lose nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_time_are_all_made() {
    let sandbox = Sandbox::of(Flavor::MariaDb).await;
    for round in 1..=50 {
        let timeout = format!("{round}s");
        let on_timeout = if round % 2 == 0 { "degrade" } else { "block" };
        let acks = 1 + round % 2;
        tokio::join!(
            sandbox.sync(json!({ "timeout": timeout })),
            sandbox.sync(json!({ "on_timeout": on_timeout })),
            sandbox.sync(json!({ "acks": acks })),
        );
        let answer = sandbox.request("GET", "/api/v1/sync", "").await.unwrap();
        let sync: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(sync["timeout"], format!("{}ms", round * 1000), "{sync}");
        assert_eq!(sync["on_timeout"], on_timeout, "{sync}");
        assert_eq!(sync["acks"], acks, "{sync}");
        for line in [
            format!("timeout = \"{timeout}\""),
            format!("on_timeout = \"{on_timeout}\""),
        ] {
            assert!(
                sandbox.config().contains(&line),
                "{line}: {}",
                sandbox.config()
            );
        }
    }
}

async fn after_the_timeout_it_degrades_and_says_so(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    // Longer than a commit takes that does not wait for it.
    let timeout = Duration::from_secs(6);
    sandbox
        .sync(json!({"timeout": "6s", "on_timeout": "degrade"}))
        .await;
    returns(&sandbox, 1).await;
    assert_eq!(sandbox.status().await.number("degraded_commits.total"), 0);

    sandbox.freeze_replicas();
    let (mut client, took) = Commit::begin(sandbox.app(), &insert(2))
        .await
        .succeeds_within(SOON)
        .await;
    assert!(
        took >= timeout,
        "it returned after {took:?}, before the timeout"
    );
    let gtid = client.last_gtid().await;
    let status = sandbox
        .status_until("it is degraded", SOON, |status| {
            status.flag("degraded") && status.number("degraded_commits.total") > 0
        })
        .await;
    assert_eq!(status.number("degraded_commits.total"), 1, "{status}");
    assert_eq!(
        status.list("degraded_commits.unconfirmed"),
        [gtid.as_str()],
        "{status}"
    );
    sandbox.logged(&gtid).await;

    // The next one does not wait for the timeout again.
    let (mut client, took) = Commit::begin_on(client, &insert(3))
        .succeeds_within(SOON)
        .await;
    assert!(took < timeout, "it waited for the timeout again: {took:?}");
    let gtids = [gtid, client.last_gtid().await];
    drop(client);

    // The list survives a crash right after the answer.
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    let listed = |status: &Status| {
        gtids.iter().all(|gtid| {
            status
                .list("degraded_commits.unconfirmed")
                .contains(&gtid.as_str())
        })
    };
    sandbox
        .status_until("both commits are listed after a restart", SOON, listed)
        .await;

    // Caught up: nothing is degraded any more, the count stays.
    sandbox.thaw_replicas();
    let clear = |status: &Status| {
        !status.flag("degraded") && status.list("degraded_commits.unconfirmed").is_empty()
    };
    sandbox
        .status_until("the degraded commits are confirmed", SOON, clear)
        .await;
    sandbox.serves().await;
    sandbox.freeze_replicas();
    let began = Instant::now();
    let commit = Commit::begin(sandbox.app(), &insert(4)).await;
    let (_, took) = commit.succeeds_within(SOON).await;
    assert!(
        took >= timeout,
        "the full policy was in force again, but it returned after {took:?} ({:?})",
        began.elapsed()
    );
    sandbox.thaw_replicas();
    sandbox.assert_equal().await;
}

async fn after_the_timeout_block_only_warns(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    sandbox
        .sync(json!({"timeout": "500ms", "on_timeout": "block"}))
        .await;
    sandbox.freeze_replicas();
    let mut commit = waiting(&sandbox, 1).await;
    commit.stays_unanswered().await;
    // It waits since it was captured, a moment after it was sent.
    let status = sandbox
        .status_until("it waits for several timeouts", SOON, |status| {
            let waits = status.at("waiting.oldest_seconds").as_f64();
            waits.unwrap() >= (2 * STAYS).as_secs_f64()
        })
        .await;
    assert!(!status.flag("degraded"), "{status}");
    assert!(!commit.is_answered());
    assert!(
        sandbox.proxy_log().contains("WARN"),
        "the timeout is not in the log"
    );
    sandbox.thaw_replicas();
    commit.succeeds_within(SOON).await;
}
