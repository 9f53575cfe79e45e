//! Applications on the way of a move: what runs comes to its end, what is new waits, and nobody hears more than once that
//! the source has moved.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::load::{Clients, Load, MOVED, assert_there, code};
use crate::support::{
    Commit, Database, Flavor, Part, SOON, Sandbox, Signal, on_both_flavors, wait_until,
};

on_both_flavors![
    a_transaction_comes_to_its_end_and_what_is_new_waits,
    who_stands_in_the_way_is_named_and_all_goes_on,
    who_stands_in_the_way_is_cut_with_force,
    each_client_hears_of_a_move_at_most_once,
    sessions_of_a_frozen_source_are_let_go,
    a_rehearsal_says_what_would_come_of_it,
    doctor_and_sandbox_follow_the_present_source,
];

/// Where it has to go by, and the hold has to be seen before.
const DEADLINE: &str = "3s";

struct Move(Child);

impl Move {
    fn begin(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_ackline"))
            .args(arguments)
            .args(["--config", &sandbox.config_path()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    async fn ends(mut self) -> Said {
        wait_until("the move ends", SOON, async || match self.is_over() {
            true => Ok(()),
            false => Err("it goes on"),
        })
        .await;
        Said::of(&self.0.wait_with_output().unwrap())
    }
}

#[derive(Debug)]
struct Said {
    status: i32,
    text: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        let said = Self {
            status: output.status.code().unwrap(),
            text: String::from_utf8_lossy(&text).into_owned(),
        };
        println!("{said:?}");
        said
    }

    fn assert(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, status, "{}", self.text);
        for word in words {
            assert!(self.text.contains(word), "'{word}' is not in {}", self.text);
        }
    }
}

/// By the next command of a session that was idle.
async fn hears_once(mut database: Database) {
    let error = database.try_run("SELECT 1").await.unwrap_err();
    assert_eq!(code(&error), Some(MOVED), "{error}");
    assert!(error.to_string().contains("08S01"), "{error}");
}

/// Where all are compared.
async fn back_home(sandbox: &Sandbox) {
    sandbox.all_vote().await;
    let moving = Move::begin(sandbox, &["switchover", "--to", "source"]);
    moving.ends().await.assert(0, &["switchover done"]);
    sandbox.assert_equal().await;
}

/// A switchover that waits for this session.
async fn begun(sandbox: &Sandbox, deadline: &str, more: &[&str]) -> Move {
    let arguments = ["switchover", "--to", "replica1", "--deadline", deadline];
    let moving = Move::begin(sandbox, &[&arguments[..], more].concat());
    sandbox
        .status_until("new transactions are held", SOON, |status| {
            let moving = status.at("moving").as_str();
            moving.is_some_and(|step| step.contains("hold new transactions"))
        })
        .await;
    moving
}

async fn a_transaction_comes_to_its_end_and_what_is_new_waits(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    let idle = sandbox.app().connect().await;
    let other = sandbox.app().connect().await;
    app.run("BEGIN").await;
    app.run("INSERT INTO seen VALUES (1)").await;
    let mut moving = begun(&sandbox, "20s", &[]).await;
    let mut held = Commit::begin_on(other, "INSERT INTO seen VALUES (2)");
    for n in 10..13 {
        app.run(&format!("INSERT INTO seen VALUES ({n})")).await;
        assert!(!held.is_answered());
    }
    held.stays_unanswered().await;
    assert!(!moving.is_over());
    app.run("COMMIT").await;
    moving.ends().await.assert(0, &["switchover done"]);
    let error = held.answer_within(SOON).await.unwrap_err();
    assert_eq!(code(&error), Some(MOVED), "{error}");
    hears_once(app).await;
    hears_once(idle).await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (3)").await;
    let rows: Vec<u32> = app.rows("SELECT n FROM seen ORDER BY n").await;
    assert_eq!(rows, [1, 3, 10, 11, 12]);
    back_home(&sandbox).await;
}

async fn who_stands_in_the_way_is_named_and_all_goes_on(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    // Past us, so that the move does not look at it.
    let mut direct = sandbox.source().connect().await;
    direct.run("DO GET_LOCK('slow', 600)").await;
    let open_xa = "XA START 'x'; INSERT INTO seen VALUES (90); XA END 'x'";
    for (taken, given, words) in [
        (
            "BEGIN; INSERT INTO seen VALUES (91)",
            "ROLLBACK",
            "is in a transaction",
        ),
        (open_xa, "XA ROLLBACK 'x'", "is in a transaction"),
        (
            "SELECT GET_LOCK('a', 1)",
            "SELECT RELEASE_LOCK('a')",
            "keeps a lock",
        ),
        ("LOCK TABLES seen READ", "UNLOCK TABLES", "keeps a lock"),
        ("HANDLER seen OPEN", "HANDLER seen CLOSE", "keeps a lock"),
        ("SELECT GET_LOCK('slow', 600) AS slept", "", "runs"),
    ] {
        println!("{taken}");
        let mut app = sandbox.app().connect().await;
        let connection = app.conn.id();
        let sleeps = taken.contains("slept");
        let running = match sleeps {
            true => Some(Commit::begin_on(app, taken)),
            false => {
                for statement in taken.split("; ") {
                    app.run(statement).await;
                }
                sandbox_gives_back(&sandbox, app, given, words, connection).await;
                None
            }
        };
        if let Some(running) = running {
            wait_until("it runs", SOON, async || {
                let list = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%AS slept'";
                match direct.value(list).await.as_str() {
                    "1" => Ok(()),
                    other => Err(other.to_owned()),
                }
            })
            .await;
            let moving = begun(&sandbox, DEADLINE, &[]).await;
            let connection = running.connection;
            let named = format!("connection {connection} (user 'app' from 127.0.0.1:");
            moving
                .ends()
                .await
                .assert(4, &["taken back", &named, words, "slept"]);
            direct.run("DO RELEASE_LOCK('slow')").await;
            running.succeeds_within(SOON).await;
        }
    }
    // A read would not tell whether the old source takes writes again.
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1)").await;
    sandbox.assert_equal().await;
    let status = sandbox.status().await;
    assert_eq!(status.text("source.name"), "source", "{status}");
    assert_eq!(status.number("epoch"), 1, "{status}");
}

/// The move is taken back, and neither who stood in its way nor who was held hears anything of it.
async fn sandbox_gives_back(
    sandbox: &Sandbox,
    mut app: Database,
    given: &str,
    words: &str,
    connection: u32,
) {
    let other = sandbox.app().connect().await;
    let moving = begun(sandbox, DEADLINE, &[]).await;
    let held = Commit::begin_on(other, "SELECT COUNT(*) FROM seen");
    let named = format!("connection {connection} (user 'app' from 127.0.0.1:");
    let said = moving.ends().await;
    said.assert(4, &["taken back", &named, words, "--force"]);
    held.succeeds_within(SOON).await;
    app.run(given).await;
}

async fn who_stands_in_the_way_is_cut_with_force(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    app.run("BEGIN").await;
    app.run("INSERT INTO seen VALUES (1)").await;
    let sleeps = Commit::begin_on(sandbox.app().connect().await, "SELECT SLEEP(600)");
    let moving = begun(&sandbox, DEADLINE, &["--force"]).await;
    moving.ends().await.assert(0, &["switchover done"]);
    hears_once(app).await;
    let error = sleeps.answer_within(SOON).await.unwrap_err();
    assert_eq!(code(&error), Some(MOVED), "{error}");
    let mut app = sandbox.app().connect().await;
    assert_eq!(app.count("seen").await, 0);
    back_home(&sandbox).await;
}

async fn each_client_hears_of_a_move_at_most_once(flavor: Flavor) {
    const CLIENTS: Clients = Clients {
        writing: 4,
        in_transactions: 4,
        reading: 2,
    };
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let load = Load::of(sandbox.app(), CLIENTS);
    for to in ["replica1", "source", "replica1", "source"] {
        sandbox.all_vote().await;
        load.goes_on(100).await;
        let began = Instant::now();
        let moving = Move::begin(&sandbox, &["switchover", "--to", to]);
        moving.ends().await.assert(0, &["switchover done"]);
        load.goes_on(100).await;
        println!(
            "{flavor}: {} heard of it, no commit returned for {:?}",
            load.heard_of_moves(1),
            load.longest_pause(began)
        );
    }
    let acknowledged = load.end().await;
    assert_there(&sandbox, &acknowledged).await;
    sandbox.assert_equal().await;
}

async fn sessions_of_a_frozen_source_are_let_go(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let idle = sandbox.app().connect().await;
    let mut in_transaction = sandbox.app().connect().await;
    in_transaction.run("BEGIN").await;
    in_transaction.run("INSERT INTO seen VALUES (1)").await;
    let (reads, writes) = (sandbox.app().connect().await, sandbox.app().connect().await);
    sandbox.signal(Part::Source, Signal::STOP);
    let reads = Commit::begin_on(reads, "SELECT COUNT(*) FROM seen");
    let writes = Commit::begin_on(writes, "INSERT INTO seen VALUES (2)");
    let began = Instant::now();
    Move::begin(&sandbox, &["failover"])
        .ends()
        .await
        .assert(0, &["failover done"]);
    println!("{flavor}: the failover took {:?}", began.elapsed());
    // Who was let go has heard it long ago; who was not would never hear it.
    let at_once = Duration::from_secs(10);
    for commit in [reads, writes] {
        let error = commit.answer_within(at_once).await.unwrap_err();
        assert_eq!(code(&error), Some(MOVED), "{error}");
    }
    hears_once(idle).await;
    hears_once(in_transaction).await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (3)").await;
    let rows: Vec<u32> = app.rows("SELECT n FROM seen ORDER BY n").await;
    assert_eq!(rows, [3]);
    sandbox.signal(Part::Source, Signal::CONT);
}

async fn a_rehearsal_says_what_would_come_of_it(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let rehearse =
        |arguments: &[&str]| Said::of(&sandbox.ackline(&[arguments, &["--dry-run"]].concat()));
    let done = rehearse(&["switchover", "--to", "replica1"]);
    done.assert(0, &["would make the old source read-only"]);
    assert!(done.text.ends_with("would be done\n"), "{}", done.text);
    // The one whose applier stands is named; a failover takes the other one by itself.
    let stop = match flavor {
        Flavor::MariaDb => "STOP SLAVE SQL_THREAD",
        Flavor::MySql => "STOP REPLICA SQL_THREAD",
    };
    sandbox.replica(0).connect().await.run(stop).await;
    let refused = rehearse(&["switchover", "--to", "replica1"]);
    refused.assert(1, &["would be refused: ", "its applier is stopped"]);
    let status = sandbox
        .status_until("it has no vote", SOON, |status| {
            !status.replica("replica1").unwrap().flag("vote")
        })
        .await;
    let row = status.replica("replica1").unwrap();
    assert!(
        row.list("objections").join(";").contains("SQL_THREAD"),
        "{status}"
    );
    sandbox.kill(Part::Source);
    let began = Instant::now();
    let moved = Said::of(&sandbox.ackline(&["failover"]));
    moved.assert(0, &["failover done: replica2 is the source"]);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}

/// Whatever `role` says in the file, they leave the one alone that serves.
async fn doctor_and_sandbox_follow_the_present_source(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let moving = Move::begin(&sandbox, &["switchover", "--to", "replica1"]);
    moving.ends().await.assert(0, &["switchover done"]);
    // Asked of the proxy, then read from what it keeps.
    for proxy_runs in [true, false] {
        if !proxy_runs {
            sandbox.kill(Part::Proxy);
        }
        let said = Said::of(&sandbox.ackline(&["doctor", "--fix"]));
        assert!(
            said.text.contains("The source is replica1 by now"),
            "{}",
            said.text
        );
        for harm in ["super_read_only=ON", "read_only=ON", "CHANGE MASTER"] {
            let ran = format!("replica1: {harm}");
            assert!(!said.text.contains(&ran), "{}", said.text);
        }
    }
    let up = sandbox.up_again();
    Said::of(&up).assert(0, &[]);
    sandbox.serves().await;
    let mut app = sandbox.app().connect().await;
    app.run("INSERT INTO seen VALUES (1)").await;
    let status = sandbox.status().await;
    assert_eq!(status.text("source.name"), "replica1", "{status}");
}
