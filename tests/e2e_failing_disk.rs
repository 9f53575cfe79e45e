//! Our own disk fails: no acknowledgement goes out for what is not safely on it, the log and the status say
//! why, and it goes on by itself when the disk does.

mod support;

use support::{Commit, FailingDisk, Mode, Part, SOON, Sandbox, Status, print_all, wait_until};

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
