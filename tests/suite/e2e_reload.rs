//! The configuration changes, by the file and by PUT, while the source moves: what is in force in the end is what
//! came last of both, and the roles are those of the last move.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::load::{Clients, Load, assert_there};
use crate::support::{
    ACKLINE, Commit, Flavor, Part, SOON, STAYS, Sandbox, Signal, Status, on_both_flavors,
    wait_equal,
};

on_both_flavors!(a_reload_that_meets_a_move);

/// Epoch 1 is the sandbox's own source.
const WENT_TO: [&str; 5] = ["source", "replica1", "source", "replica2", "replica1"];
/// A move has two changes to make, of which `status` may see the first alone.
const LOOKS: usize = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

async fn a_reload_that_meets_a_move(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    sandbox.edit_config("mode", "mode = \"semi-sync\"\nacks = 1\ntimeout = \"10s\"");
    sandbox.edit_config("dir = ", "dir = \"binlog\"\nkeep = \"7d\"");
    let load = Load::of(sandbox.app(), Clients::writing(4));
    load.goes_on(20).await;

    let changes = AtomicU32::new(0);
    for name in &WENT_TO[1..] {
        sandbox.all_vote().await;
        let switchover = tokio::process::Command::new(ACKLINE)
            .args([
                "switchover",
                "--to",
                name,
                "--config",
                &sandbox.config_path(),
            ])
            .kill_on_drop(true)
            .output();
        let before = changes.load(Ordering::Relaxed);
        let output = tokio::select! {
            output = switchover => output.unwrap(),
            () = change_again_and_again(&sandbox, &changes) => unreachable!("it does not end"),
        };
        let made = changes.load(Ordering::Relaxed) - before;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        println!("{made} changes meanwhile: {said}");
        assert!(output.status.success() && made > 3, "{made}: {said}");
        assert_eq!(disagrees(&sandbox.status().await), None);
        load.goes_on(20).await;
    }
    sandbox.edit_config("timeout", "timeout = \"77s\"");
    sandbox.edit_config("keep", "keep = \"9d\"");
    sandbox.sync(json!({"acks": 1, "timeout": "78s"})).await;
    let acknowledged = load.end().await;

    // Nor does an older one come through later.
    tokio::time::sleep(STAYS).await;
    let sync = sandbox.request("GET", "/api/v1/sync", "").await.unwrap();
    let sync: serde_json::Value = serde_json::from_str(&sync.body).unwrap();
    assert_eq!(
        (&sync["acks"], &sync["timeout"]),
        (&json!(1), &json!("78000ms"))
    );
    let log = sandbox.proxy_log();
    let kept = log
        .lines()
        .rfind(|line| line.contains("what is kept of our binlog has changed"));
    assert!(kept.is_some_and(|line| line.contains("9d")), "{kept:?}");
    let status = sandbox.status().await;
    assert_eq!(disagrees(&status), None);
    assert_eq!(status.number("epoch"), WENT_TO.len() as u64, "{status}");
    assert!(status.list("problems").is_empty(), "{status}");

    assert_there(&sandbox, &acknowledged).await;
    let replicas = [sandbox.source(), sandbox.replica(1)];
    wait_equal(&sandbox.replica(0), &replicas, SOON)
        .await
        .unwrap();

    // Two of three: the old source is no voter by what it once wrote.
    sandbox.sync(json!({"mode": "quorum"})).await;
    sandbox.kill(Part::Source);
    sandbox.signal(Part::Replica(1), Signal::STOP);
    let mut commit = Commit::begin(sandbox.app(), "INSERT INTO seen VALUES (0)").await;
    commit.stays_unanswered().await;
    sandbox.signal(Part::Replica(1), Signal::CONT);
    commit.succeeds_within(SOON).await;
}

/// By the file, as an editor saves it, and by PUT; looks each time whether the roles are the move's.
async fn change_again_and_again(sandbox: &Sandbox, changes: &AtomicU32) {
    loop {
        let n = changes.fetch_add(1, Ordering::Relaxed);
        if n.is_multiple_of(4) {
            sandbox.edit_config("timeout", &format!("timeout = \"{}s\"", 10 + n));
            sandbox.edit_config("keep", &format!("keep = \"{}d\"", 7 + n));
        }
        let change = json!({"acks": 1 + n % 2, "timeout": format!("{}s", 20 + n)});
        sandbox.sync(change).await;
        for look in 1.. {
            match disagrees(&sandbox.status().await) {
                None => break,
                Some(why) => assert!(look < LOOKS, "{why}"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// The source is not the one that the epoch's move went to.
fn disagrees(status: &Status) -> Option<String> {
    let (epoch, source) = (status.number("epoch"), status.text("source.name"));
    let moved_to = WENT_TO[epoch as usize - 1];
    (source != moved_to)
        .then(|| format!("in epoch {epoch} the source is {moved_to}; status says {source}"))
}
