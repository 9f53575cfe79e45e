//! The proxy's host and the source lose power after a transaction was shipped and before our fsync of it:
//! the replicas have what our binlog has no longer.

use crate::support::{
    Commit, FailingDisk, Flavor, Mode, Part, SOON, Sandbox, Status, on_both_flavors, print_all,
    wait_until,
};

on_both_flavors![replicas_that_are_ahead_are_held_and_go_on];

async fn replicas_that_are_ahead_are_held_and_go_on(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let disk = FailingDisk::build(&sandbox.manifest.binlog_dir);
    sandbox.kill(Part::Proxy);
    sandbox.start_with(Part::Proxy, &disk.environment());
    sandbox.serves().await;
    sandbox
        .app()
        .connect()
        .await
        .run("INSERT INTO seen VALUES (1)")
        .await;
    sandbox.assert_equal().await;

    // The disk hangs; what comes now is shipped and applied, and not released.
    disk.set(Mode::HangSync);
    let mut commit = Commit::begin(sandbox.app(), "INSERT INTO seen VALUES (2)").await;
    for replica in sandbox.replicas() {
        let mut replica = replica.connect().await;
        wait_until("the replica has the row", SOON, async || {
            match replica.count("seen").await {
                2 => Ok(()),
                count => Err(format!("{count} rows")),
            }
        })
        .await;
    }
    commit.stays_unanswered().await;
    assert_eq!(
        sandbox.source().connect().await.count("seen").await,
        1,
        "visible at the source before our fsync"
    );
    let status = sandbox.status().await;
    assert_eq!(status.number("waiting.commits"), 1, "{status}");
    assert!(status.text("waiting.sentence").contains("disk"), "{status}");

    // The power goes.
    sandbox.kill(Part::Proxy);
    sandbox.kill(Part::Source);
    let lost = disk.cut_power();
    println!("lost with the power: {lost:?}");
    assert!(
        lost.iter()
            .any(|lost| lost.starts_with("binlog.0") && lost.contains("bytes")),
        "nothing was lost: {lost:?}"
    );
    let answer = commit.answer_within(SOON).await;
    assert!(answer.is_err(), "OK for a commit that was not safe");

    // The proxy comes back first: the replicas ask for what it lacks, and are held, not refused.
    sandbox.start(Part::Proxy);
    let held = |status: &Status| {
        ["replica1", "replica2"].iter().all(|name| {
            status
                .replica(name)
                .is_some_and(|row| row.text("state") == "held")
        })
    };
    let status = sandbox
        .status_until("both replicas are held", SOON, held)
        .await;
    println!(
        "held: {}",
        status.replica("replica1").unwrap().text("reason")
    );
    for replica in sandbox.replicas() {
        assert_ne!(
            replica
                .connect()
                .await
                .slave_status("Slave_IO_Running")
                .await,
            "No"
        );
    }

    // Then the source, whose own disk has it: everything goes on without a hand.
    sandbox.start(Part::Source);
    sandbox.serves().await;
    let streaming = |status: &Status| {
        ["replica1", "replica2"].iter().all(|name| {
            status
                .replica(name)
                .is_some_and(|row| row.text("state") == "streaming")
        })
    };
    sandbox
        .status_until("both replicas stream again", SOON, streaming)
        .await;
    let (mut app, _) = Commit::begin(sandbox.app(), "INSERT INTO seen VALUES (3)")
        .await
        .succeeds_within(SOON)
        .await;
    let rows: Vec<u32> = app.rows("SELECT n FROM seen ORDER BY n").await;
    assert_eq!(rows, [1, 2, 3]);
    sandbox.assert_equal().await;
    for replica in sandbox.replicas() {
        let mut replica = replica.connect().await;
        assert_eq!(replica.slave_status("Slave_IO_Running").await, "Yes");
        assert_eq!(replica.slave_status("Last_IO_Error").await, "");
    }
    let printed = print_all(&sandbox.manifest).unwrap();
    for n in 1..=3 {
        let row = format!("INSERT INTO seen VALUES ({n})");
        let times: usize = printed
            .iter()
            .map(|file| file.text.matches(&row).count())
            .sum();
        assert_eq!(times, 1, "{row} is in our binlog {times} times");
    }
}
