//! Our own disk fails: no acknowledgement goes out for what is not safely on it, the log and the status say
//! why, and it goes on by itself when the disk does.

use crate::support::{
    Commit, FailingDisk, Flavor, Mode, Part, SOON, Sandbox, Status, events, on_both_flavors,
    print_all, wait_until,
};

struct Scene {
    sandbox: Sandbox,
    disk: FailingDisk,
}

impl Scene {
    async fn prepare() -> Self {
        let sandbox = Sandbox::up(&["--mode", "semi-sync"]).await;
        sandbox.create_seen().await;
        let disk = FailingDisk::build(&sandbox.manifest.binlog_dir);
        let scene = Self { sandbox, disk };
        scene.sandbox.kill(Part::Proxy);
        scene.start_proxy().await;
        scene.insert(1).await.succeeds_within(SOON).await;
        scene
    }

    async fn start_proxy(&self) {
        self.sandbox
            .start_with(Part::Proxy, &self.disk.environment());
        self.sandbox.serves().await;
    }

    async fn insert(&self, n: u32) -> Commit {
        Commit::begin(
            self.sandbox.app(),
            &format!("INSERT INTO seen VALUES ({n})"),
        )
        .await
    }

    async fn is_visible(&self, n: u32) -> bool {
        let mut source = self.sandbox.source().connect().await;
        source
            .value(&format!("SELECT COUNT(*) FROM seen WHERE n = {n}"))
            .await
            == "1"
    }

    /// A commit that gets no acknowledgement while the disk is as it is; the status says why in these words.
    async fn assert_waits(&self, commit: &mut Commit, n: u32, words: &str) {
        commit.stays_unanswered().await;
        assert!(
            !self.is_visible(n).await,
            "{n} is visible at the source, so it was acknowledged"
        );
        let says = |status: &Status| status.0.to_string().contains(words);
        let status = self
            .sandbox
            .status_until(&format!("the status says '{words}'"), SOON, says)
            .await;
        let somewhere = [
            status.text("source.reason"),
            status.text("hold"),
            &status.list("problems").join("; "),
        ]
        .join("; ");
        assert!(
            somewhere.contains(words),
            "'{words}' is not among the reasons: {status}"
        );
        self.sandbox.logged(words).await;
        assert!(!commit.is_answered());
    }

    /// Everything is well again, and nothing was lost, doubled, or left half on the way.
    async fn assert_well(&self, rows: &[u32]) {
        self.sandbox.serves().await;
        self.sandbox
            .status_until("there are no problems left", SOON, |status| {
                status.list("problems").is_empty()
            })
            .await;
        let found: Vec<u32> = self
            .sandbox
            .app()
            .connect()
            .await
            .rows("SELECT n FROM seen ORDER BY n")
            .await;
        assert_eq!(found, rows);
        self.sandbox.assert_equal().await;
        let printed = print_all(&self.sandbox.manifest).unwrap();
        for n in rows {
            let row = format!("INSERT INTO seen VALUES ({n})");
            let times: usize = printed
                .iter()
                .map(|file| file.text.matches(&row).count())
                .sum();
            assert_eq!(times, 1, "{row} is in our binlog {times} times");
        }
        self.disk.assert_no_sync_after_a_failed_one();
    }

    async fn newest_file(&self) -> String {
        let status = self.sandbox.status().await;
        status
            .text("binlog.written_position")
            .split(':')
            .next()
            .unwrap()
            .to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_is_final_for_its_file() {
    let scene = Scene::prepare().await;
    let before = scene.newest_file().await;
    scene.disk.set(Mode::FailEverySync);
    let mut commit = scene.insert(2).await;
    scene
        .assert_waits(&mut commit, 2, "Input/output error")
        .await;
    scene.disk.set(Mode::Pass);
    commit.answer_within(SOON).await.ok();
    scene.sandbox.serves().await;
    wait_until("the row is released", SOON, async || {
        if scene.is_visible(2).await {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    assert_ne!(
        scene.newest_file().await,
        before,
        "it goes on in a new file"
    );
    scene.insert(3).await.succeeds_within(SOON).await;
    scene.assert_well(&[1, 2, 3]).await;
    assert!(!scene.disk.failed("sync", "EIO").is_empty());

    // Once only: it goes on by itself, in the next file.
    let before = scene.newest_file().await;
    let failures = scene.disk.failed("sync", "EIO").len();
    scene.disk.set(Mode::FailSync(1));
    scene.insert(4).await.answer_within(SOON).await.ok();
    wait_until("the row is released", SOON, async || {
        if scene.is_visible(4).await {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    assert_eq!(scene.disk.failed("sync", "EIO").len(), failures + 1);
    assert_ne!(
        scene.newest_file().await,
        before,
        "it goes on in a new file"
    );
    scene.assert_well(&[1, 2, 3, 4]).await;

    // The cut holds after a restart (a new process would count its failing syncs anew).
    scene.disk.set(Mode::Pass);
    scene.sandbox.kill(Part::Proxy);
    scene.start_proxy().await;
    scene.insert(5).await.succeeds_within(SOON).await;
    scene.assert_well(&[1, 2, 3, 4, 5]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_out() {
    let scene = Scene::prepare().await;
    scene.disk.set(Mode::NoSpaceAfter(40));
    let mut commit = scene.insert(2).await;
    scene
        .assert_waits(&mut commit, 2, "No space left on device")
        .await;
    assert!(!scene.disk.failed("write", "ENOSPC").is_empty());
    scene.disk.set(Mode::Pass);
    // Its session may have been ended meanwhile; the row must be there.
    commit.answer_within(SOON).await.ok();
    scene.insert(3).await.succeeds_within(SOON).await;
    scene.assert_well(&[1, 2, 3]).await;

    // Full, and then a crash.
    scene.disk.set(Mode::NoSpaceAfter(100));
    let mut commit = scene.insert(4).await;
    scene
        .assert_waits(&mut commit, 4, "No space left on device")
        .await;
    scene.sandbox.kill(Part::Proxy);
    commit
        .answer_within(SOON)
        .await
        .expect_err("the proxy died without an answer");
    scene.disk.set(Mode::Pass);
    scene.start_proxy().await;
    scene.assert_well(&[1, 2, 3, 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_write_is_cut_off() {
    let scene = Scene::prepare().await;
    // It fails, and the process lives.
    scene.disk.set(Mode::TornWrite(30));
    let commit = scene.insert(2).await;
    scene.sandbox.logged("Input/output error").await;
    commit.answer_within(SOON).await.ok();
    wait_until("the row is released", SOON, async || {
        if scene.is_visible(2).await {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    assert_eq!(scene.disk.failed("write", "EIO").len(), 1);
    scene.assert_well(&[1, 2]).await;

    // The process dies in the middle of a write, at different places of the transaction.
    let mut rows = vec![1, 2];
    for (n, bytes) in [(3, 1), (4, 19), (5, 60)] {
        scene.disk.set(Mode::TornKill(bytes));
        let commit = scene.insert(n).await;
        commit
            .answer_within(SOON)
            .await
            .expect_err("OK for a torn transaction");
        assert_eq!(scene.disk.failed("write", "killed").len(), 1);
        let gone = async || {
            if scene.sandbox.pid(Part::Proxy).is_none() {
                Ok(())
            } else {
                Err("it runs")
            }
        };
        wait_until("the proxy has died", SOON, gone).await;
        assert!(!scene.is_visible(n).await);
        scene.disk.set(Mode::Pass);
        scene.start_proxy().await;
        assert!(
            scene.sandbox.proxy_log().contains("torn"),
            "the torn tail is not in the log"
        );
        rows.push(n);
        wait_until("the row is released", SOON, async || {
            if scene.is_visible(n).await {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await;
        scene.assert_well(&rows).await;
    }
}

on_both_flavors![
    one_failure_at_any_place_of_a_run,
    a_commit_that_filled_a_file_is_acknowledged_on_a_later_connection,
    a_rotation_that_hangs_keeps_no_written_commit_waiting,
];

/// Commits of one run, large enough for several of our files.
const COMMITS: u32 = 8;
const BYTES: usize = 15_000;

/// An INSERT with so many bytes beside it in the binlog.
fn insert(n: u32, bytes: usize) -> String {
    format!("INSERT INTO seen VALUES ({n}) /* {} */", "-".repeat(bytes))
}

fn keep_files_small(sandbox: &Sandbox) {
    let small = "dir = \"binlog\"\nfile_size = \"64KiB\"";
    sandbox.edit_config("dir = \"binlog\"", small);
}

/// One fsync or one write of a run fails, at some places of it; with ACKLINE_EVERY=1 at each one. All
/// commits are answered OK nevertheless, and each is on disk then.
async fn one_failure_at_any_place_of_a_run(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    keep_files_small(&sandbox);
    sandbox.create_seen().await;
    let disk = FailingDisk::build(&sandbox.manifest.binlog_dir);
    sandbox.kill(Part::Proxy);
    let every = std::env::var_os("ACKLINE_EVERY").is_some();
    let mut next = 1;
    for (what, outcome, some) in [("sync", "EIO", [2, 9]), ("write", "ENOSPC", [3, 14])] {
        let places: Box<dyn Iterator<Item = u32>> = match every {
            true => Box::new(0..),
            false => Box::new(some.into_iter()),
        };
        for place in places {
            sandbox.start_with(Part::Proxy, &disk.environment());
            sandbox.serves().await;
            disk.set(match what {
                "sync" => Mode::NthSync(place),
                _ => Mode::NthWrite(place),
            });
            for _ in 0..COMMITS {
                insert_until_answered_ok(&sandbox, next).await;
                next += 1;
            }
            let met = !disk.failed(what, outcome).is_empty();
            println!(
                "{flavor}: {what} {place}: {}",
                if met { "failed" } else { "not met" }
            );
            disk.set(Mode::Pass);
            disk.assert_no_sync_after_a_failed_one();
            // All that is answered is on our disk, whatever the source has.
            sandbox.kill(Part::Proxy);
            disk.cut_power();
            let ours = events::contents(&events::ours(&sandbox)).unwrap();
            let theirs = events::contents(&events::theirs(&sandbox)).unwrap();
            let same = events::same(&ours, &theirs);
            assert!(same.is_ok(), "after {what} {place}: {same:?}");
            if !met {
                assert!(every, "{what} is not done {place} times");
                break;
            }
        }
    }
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    for replica in sandbox.replicas() {
        let mut replica = replica.connect().await;
        replica.start_again_where_it_gave_up().await;
    }
    sandbox.assert_equal().await;
    assert_eq!(
        sandbox.source().connect().await.count("seen").await,
        u64::from(next - 1)
    );
}

/// A session may be ended when the source is attached to again; then the row is there, or not.
async fn insert_until_answered_ok(sandbox: &Sandbox, n: u32) {
    wait_until("a commit is answered OK", 2 * SOON, async || {
        let mut app = sandbox.app().connect().await;
        let answer = match tokio::time::timeout(SOON / 2, app.try_run(&insert(n, BYTES))).await {
            Ok(answer) => answer,
            Err(_) => panic!("{n} is not answered: {}", sandbox.status().await),
        };
        match answer {
            Err(error) if error.to_string().contains("1062") => {
                // A commit of its own tells that what is before it is released.
                app.try_run(&format!("UPDATE seen SET n = n WHERE n = {n}"))
                    .await
            }
            answer => answer,
        }
    })
    .await;
}

/// Our binlog goes on in the next file, which is empty, when the source sends again what it waits for: the
/// acknowledgement is due for the transaction's end, not for where our binlog ends.
async fn a_commit_that_filled_a_file_is_acknowledged_on_a_later_connection(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    keep_files_small(&sandbox);
    sandbox.create_seen().await;
    sandbox.stop(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let replicas = ["replica1", "replica2"];
    sandbox
        .status_until("the replicas are back", SOON, |status| {
            let back = |name: &&str| status.replica(name).is_some_and(|row| row.flag("vote"));
            replicas.iter().all(back)
        })
        .await;
    sandbox.freeze_replicas();
    let commit = Commit::begin(sandbox.app(), &insert(1, 70_000)).await;
    sandbox
        .status_until("the commit waits, the next file is there", SOON, |status| {
            status.number("waiting.commits") == 1 && status.number("binlog.files") > 1
        })
        .await;
    let mut source = sandbox.source().connect().await;
    let dump = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    let dump = source.value(dump).await;
    source.run(&format!("KILL {dump}")).await;
    sandbox.logged("not attached to the source").await;
    sandbox.thaw_replicas();
    // Its session may have been ended; the row must be there.
    commit.answer_within(SOON).await.ok();
    wait_until("the row is released", SOON, async || {
        match sandbox.source().connect().await.count("seen").await {
            1 => Ok(()),
            count => Err(format!("{count} rows")),
        }
    })
    .await;
    sandbox.assert_equal().await;
}

/// The next file is begun, and its first fsync hangs: what is in the files before it is sent, confirmed and answered.
async fn a_rotation_that_hangs_keeps_no_written_commit_waiting(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    keep_files_small(&sandbox);
    sandbox.create_seen().await;
    let disk = FailingDisk::build(&sandbox.manifest.binlog_dir);
    sandbox.stop(Part::Proxy);
    sandbox.start_with(Part::Proxy, &disk.environment());
    sandbox.serves().await;
    // The first transaction of a start begins a file.
    Commit::begin(sandbox.app(), &insert(1, 10))
        .await
        .succeeds_within(SOON)
        .await;
    let status = sandbox
        .status_until("the replicas are back", SOON, |status| {
            let back = |name: &&str| status.replica(name).is_some_and(|row| row.flag("vote"));
            ["replica1", "replica2"].iter().all(back)
        })
        .await;
    let position = status.text("binlog.written_position");
    let (file, _) = position.split_once(':').unwrap();
    let next: u32 = file.rsplit('.').next().unwrap().parse::<u32>().unwrap() + 1;
    sandbox.freeze_replicas();
    disk.set(Mode::HangSyncOf(next));
    let commit = Commit::begin(sandbox.app(), &insert(2, 70_000)).await;
    wait_until("the rotation hangs", SOON, async || {
        match disk.failed("sync", "hangs").is_empty() {
            true => Err("no sync hangs".to_owned()),
            false => Ok(()),
        }
    })
    .await;
    sandbox.thaw_replicas();
    commit.succeeds_within(SOON).await;
    let mut behind = Commit::begin(sandbox.app(), &insert(3, 10)).await;
    behind.stays_unanswered().await;
    disk.set(Mode::Pass);
    behind.succeeds_within(SOON).await;
    sandbox.assert_equal().await;
}
