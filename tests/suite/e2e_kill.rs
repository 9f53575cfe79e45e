//! A KILL makes a MariaDB source commit what waits for its acknowledgement; a MySQL source goes on
//! waiting. Nobody who comes through the proxy may get to see it, or an OK for it, before the
//! acknowledgement is there.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{
    Account, Commit, Flavor, SOON, Sandbox, Signal, mysql, on_both_flavors, wait_until,
};

on_both_flavors![
    a_kill_through_the_proxy_does_not_reach_a_commit_that_waits,
    ctrl_c_does_not_make_a_waiting_commit_visible,
];

const COUNT: &str = "SELECT COUNT(*) FROM seen";

async fn prepared(flavor: Flavor) -> Sandbox {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    sandbox.freeze_replicas();
    sandbox
}

/// A commit that the source holds until an acknowledgement comes.
async fn waiting(sandbox: &Sandbox, statement: &str) -> Commit {
    let commit = Commit::begin(sandbox.app(), statement).await;
    waits_at_source(sandbox, commit.connection).await;
    commit
}

async fn waits_at_source(sandbox: &Sandbox, connection: u32) {
    let mut source = sandbox.source().connect().await;
    let query = format!("SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = {connection}");
    wait_until(
        "the commit waits for its acknowledgement",
        SOON,
        async || {
            let state = tokio::time::timeout(SOON, source.try_value(&query))
                .await
                .map_err(|error| error.to_string())?;
            match state {
                Ok(state) if state.contains("semi-sync") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await;
}

/// Asks over and over while the commit must wait: whoever gets an answer gets one without the row.
async fn nobody_sees(sandbox: &Sandbox, account: &Account, count: u64, of: Duration) {
    let watched = async {
        let mut database = account.connect().await;
        loop {
            assert_eq!(
                database.value(COUNT).await,
                count.to_string(),
                "an unreleased row is visible through port {}",
                account.port
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // A held result or a held login is as good an answer as one without the row.
    let _ = tokio::time::timeout(of, watched).await;
    let status = sandbox.status().await;
    assert!(!status.text("binlog.released").is_empty(), "{status}");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// In the very moment in which the commit begins to wait.
    AtOnce,
    SeenWaiting,
}

/// A KILL that takes effect at the source. Only a KILL QUERY leaves a client that waits for its answer.
async fn killed(
    by: fn(&Sandbox) -> Account,
    kill: fn(u32) -> String,
    moment: Moment,
    answered_with_ok: bool,
) {
    let sandbox = prepared(Flavor::MariaDb).await;
    let mut reader = sandbox.app().connect().await;
    assert_eq!(reader.value(COUNT).await, "0");
    let mut commit = waiting(&sandbox, "INSERT INTO seen VALUES (1)").await;
    if moment == Moment::SeenWaiting {
        commit.stays_unanswered().await;
    }
    let mut killer = by(&sandbox).connect().await;
    // Its own result may be held as well.
    let _ = tokio::time::timeout(
        Duration::from_secs(2),
        killer.try_run(&kill(commit.connection)),
    )
    .await;
    let mut source = sandbox.source().connect().await;
    // The source has let it through; the gate of the sessions is what is left.
    wait_until(
        "the source shows what was killed",
        SOON,
        async || match source.try_value(COUNT).await {
            Ok(count) if count == "1" => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;

    // One that was logged in before, and one that comes now.
    let (old, new) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(4), reader.try_value(COUNT)),
        nobody_sees(&sandbox, sandbox.app(), 0, Duration::from_secs(4)),
    );
    assert!(
        !matches!(&old, Ok(Ok(count)) if count != "0"),
        "an unreleased row is visible: {old:?}"
    );
    let () = new;
    if answered_with_ok {
        commit.stays_unanswered().await;
    }

    sandbox.thaw_replicas();
    let answer = commit.answer_within(SOON).await;
    assert_eq!(answer.is_ok(), answered_with_ok, "{:?}", answer.err());
    sandbox.serves().await;
    let count = sandbox.app().connect().await.count("seen").await;
    assert_eq!(count, 1, "it is released now");
    sandbox.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_query_directly_at_the_source() {
    let kill = |id| format!("KILL QUERY {id}");
    killed(Sandbox::source, kill, Moment::SeenWaiting, true).await;
    killed(Sandbox::source, kill, Moment::AtOnce, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_connection_directly_at_the_source() {
    let kill = |id| format!("KILL CONNECTION {id}");
    killed(Sandbox::source, kill, Moment::SeenWaiting, false).await;
    killed(Sandbox::source, kill, Moment::AtOnce, false).await;
}

/// Text that no proxy can read: the gate of the sessions is what holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_query_in_disguise_through_the_proxy() {
    let kill = |id| format!("EXECUTE IMMEDIATE CONCAT('KI', 'LL QUERY {id}')");
    killed(|sandbox| sandbox.app().clone(), kill, Moment::AtOnce, true).await;
}

/// A MySQL source keeps a killed commit waiting; only the client of a KILL CONNECTION is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_directly_at_a_mysql_source() {
    if mysql::programs("a_kill_directly_at_a_mysql_source").is_none() {
        return;
    }
    for (kill, leaves_a_client) in [("KILL QUERY", true), ("KILL CONNECTION", false)] {
        let sandbox = prepared(Flavor::MySql).await;
        let mut commit = waiting(&sandbox, "INSERT INTO seen VALUES (1)").await;
        let mut source = sandbox.source().connect().await;
        source.run(&format!("{kill} {}", commit.connection)).await;
        let at_source = sandbox.source();
        tokio::join!(
            nobody_sees(&sandbox, &at_source, 0, Duration::from_secs(3)),
            nobody_sees(&sandbox, sandbox.app(), 0, Duration::from_secs(3)),
        );
        if leaves_a_client {
            commit.stays_unanswered().await;
        }
        sandbox.thaw_replicas();
        let answer = commit.answer_within(SOON).await;
        if leaves_a_client {
            answer.unwrap();
        }
        sandbox.serves().await;
        // Of a connection that was killed nobody hears when its commit has come to its end.
        wait_until("it is released", SOON, async || {
            match sandbox.app().connect().await.count("seen").await {
                1 => Ok(()),
                other => Err(format!("{other} rows")),
            }
        })
        .await;
        sandbox.assert_equal().await;
    }
}

async fn a_kill_through_the_proxy_does_not_reach_a_commit_that_waits(flavor: Flavor) {
    let sandbox = prepared(flavor).await;
    let mut killer = sandbox.app().connect().await;
    let mut commit = waiting(&sandbox, "INSERT INTO seen VALUES (1)").await;
    let kills: &[&str] = match flavor {
        Flavor::MariaDb => &[
            "KILL QUERY",
            "KILL",
            "KILL SOFT QUERY",
            "/* x */ kill /*!50000 hard */ connection",
        ],
        Flavor::MySql => &["KILL QUERY", "KILL", "/* x */ kill /*!50000 connection */"],
    };
    for kill in kills {
        let statement = format!("{kill} {}", commit.connection);
        let error = killer
            .try_run(&statement)
            .await
            .expect_err(&statement)
            .to_string();
        assert!(error.contains("ackline:"), "{statement}: {error}");
    }
    if flavor == Flavor::MariaDb {
        killer
            .try_run("KILL USER app")
            .await
            .expect_err("KILL USER");
    }
    commit.stays_unanswered().await;
    assert_eq!(
        sandbox.source().connect().await.value(COUNT).await,
        "0",
        "a KILL made the row visible"
    );
    sandbox.thaw_replicas();
    commit.succeeds_within(SOON).await;

    // One that does not wait for an ack is killed as ever.
    let sleeper = Commit::begin(sandbox.app(), "DO SLEEP(600)").await;
    let mut source = sandbox.source().connect().await;
    let query = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {} AND STATE = 'User sleep'",
        sleeper.connection
    );
    wait_until("it sleeps", SOON, async || {
        if source.value(&query).await == "1" {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    killer
        .run(&format!("KILL QUERY {}", sleeper.connection))
        .await;
    let _ = sleeper.answer_within(SOON).await;
}

/// Ctrl-C in the command line client opens a second connection and sends KILL QUERY.
async fn ctrl_c_does_not_make_a_waiting_commit_visible(flavor: Flavor) {
    let sandbox = prepared(flavor).await;
    let mut client = match flavor {
        Flavor::MariaDb => Command::new("mariadb"),
        Flavor::MySql => Command::new(mysql::program("mysql")),
    };
    let child = client
        .args(sandbox.app().arguments())
        .args(["app", "--execute", "INSERT INTO seen VALUES (1)"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let mut source = sandbox.source().connect().await;
    wait_until("the commit waits for its acknowledgement", SOON, async || {
        let query = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND STATE LIKE '%semi-sync%'";
        if source.value(query).await == "1" { Ok(()) } else { Err("not yet") }
    })
    .await;
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    nobody_sees(&sandbox, &sandbox.source(), 0, Duration::from_secs(3)).await;
    nobody_sees(&sandbox, sandbox.app(), 0, Duration::from_secs(1)).await;
    sandbox.thaw_replicas();
    let output = child.wait_with_output().unwrap();
    println!(
        "the client said: {} {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    wait_until("the commit is through", SOON, async || {
        if source.value(COUNT).await == "1" {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    sandbox.assert_equal().await;
}
