//! A vote, a proof and a hold rest on what a machine holds: not on a name, a position, a connection or a
//! notification. Each of these once let a commit return, or a server be promoted, that had not the rows, or
//! held everybody for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::support::{
    Account, Commit, Database, Flavor, Part, SOON, Sandbox, Status, free_port, on_both_flavors,
    wait_until,
};
use serde_json::json;

on_both_flavors![
    semi_sync_switched_off_at_the_source_holds_nobody_for_ever,
    a_replica_that_was_moved_forward_by_hand_has_no_vote_and_is_not_promoted,
    a_vote_does_not_follow_a_name_to_another_address,
    idle_sessions_that_the_source_ends_suspect_nobody,
    the_sources_address_leads_to_a_replica,
    a_voter_that_changes_its_looks_votes_again_by_itself,
    a_replica_whose_binlog_begins_anew_is_promotable,
    a_hole_that_somebody_answers_for_is_none,
    a_replica_whose_binlog_expired_unread_is_taken_only_if_that_is_accepted,
    a_source_that_was_restored_is_held_until_it_is_accepted,
    two_machines_under_one_server_id_have_no_voice,
    a_rewound_source_gets_its_own_transactions_or_is_told,
    a_word_counts_by_what_the_server_is_since_its_dump_began,
];

/// Within which a voter has its vote again.
const REGAINS: Duration = Duration::from_secs(5);
/// A busy machine under other tests is given more.
const WITHIN: Duration = SOON;

struct Words {
    stop: &'static str,
    start: &'static str,
    writable: &'static str,
    read_only: &'static str,
}

fn words(flavor: Flavor) -> Words {
    match flavor {
        Flavor::MariaDb => Words {
            stop: "STOP SLAVE",
            start: "START SLAVE",
            writable: "SET GLOBAL read_only=OFF",
            read_only: "SET GLOBAL read_only=ON",
        },
        Flavor::MySql => Words {
            stop: "STOP REPLICA",
            start: "START REPLICA",
            writable: "SET GLOBAL super_read_only=OFF",
            read_only: "SET GLOBAL super_read_only=ON",
        },
    }
}

async fn insert(sandbox: &Sandbox, n: u32) -> Commit {
    let statement = format!("INSERT INTO seen VALUES ({n})");
    Commit::begin(sandbox.app(), &statement).await
}

async fn returns(sandbox: &Sandbox, n: u32) {
    insert(sandbox, n).await.succeeds_within(SOON).await;
}

fn votes(status: &Status, name: &str) -> bool {
    status.replica(name).is_some_and(|row| row.flag("vote"))
}

async fn until_votes(sandbox: &Sandbox, name: &str, vote: bool) -> Status {
    let what = format!("{name} has a vote: {vote}");
    sandbox
        .status_until(&what, WITHIN, |status| votes(status, name) == vote)
        .await
}

/// Its objections as one text.
fn objections(status: &Status, name: &str) -> String {
    let row = status.replica(name).expect("it is listed");
    row.list("objections").join("; ")
}

async fn at(account: &Account, statements: &[&str]) -> Database {
    let mut database = account.connect().await;
    for statement in statements {
        database.run(statement).await;
    }
    database
}

/// What is kept beside the store is kept within a second, on a busy machine later: all that is released, and where the
/// last transaction stood at the source.
async fn is_kept(sandbox: &Sandbox) {
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let path = sandbox.manifest.binlog_dir.join("ackline.state");
    wait_until("all that is released is kept", SOON, async || {
        let released = sandbox.status().await.text("binlog.released").to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, json) = text.split_once('\n').expect("a line before the JSON");
        let kept: serde_json::Value = serde_json::from_str(json).unwrap();
        match kept["released_set"] == released.as_str() {
            true => Ok(()),
            false => Err(format!("{released} is released, kept is {text}")),
        }
    })
    .await;
}

/// A move by the command line: whether it was done, and what was said.
fn moves(sandbox: &Sandbox, arguments: &[&str]) -> (bool, String) {
    let output = sandbox.ackline(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("{arguments:?}: {said}");
    (output.status.success(), said)
}

/// A suspicion that comes between the beginning of an attach and its opening once held every session until a
/// restart of the proxy.
async fn semi_sync_switched_off_at_the_source_holds_nobody_for_ever(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let off = match flavor {
        Flavor::MariaDb => "SET GLOBAL rpl_semi_sync_master_enabled=OFF",
        Flavor::MySql => "SET GLOBAL rpl_semi_sync_source_enabled=OFF",
    };
    let over = Arc::new(AtomicBool::new(false));
    let slow = |ms: u64| {
        let (app, over) = (sandbox.app().clone(), over.clone());
        tokio::spawn(async move {
            let mut database = app.connect_again().await;
            while !over.load(Ordering::Relaxed) {
                let statement = format!("SELECT SLEEP({}.{:03})", ms / 1000, ms % 1000);
                if database.try_run(&statement).await.is_err() {
                    database = app.connect_again().await;
                }
            }
        })
    };
    let load: Vec<_> = [150, 230, 310, 400].map(slow).into();
    let mut source = sandbox.source().connect().await;
    for n in 1..=8 {
        source.run(off).await;
        // Also in the middle of the attach that follows from it.
        tokio::time::sleep(Duration::from_millis(n * 17)).await;
        source.run(off).await;
        returns(&sandbox, n as u32).await;
        sandbox
            .status_until("nobody is held", WITHIN, |status| {
                status.at("hold").is_null() && status.text("source.state") == "attached"
            })
            .await;
    }
    over.store(true, Ordering::Relaxed);
    for one in load {
        one.await.unwrap();
    }
    returns(&sandbox, 100).await;
}

/// By a position, or MySQL by an injected transaction: the rows of what was passed over are not there.
async fn a_replica_that_was_moved_forward_by_hand_has_no_vote_and_is_not_promoted(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let Words { stop, start, .. } = words(flavor);
    let replicas = sandbox.replicas();
    for replica in &replicas {
        at(replica, &[stop]).await;
    }
    let before = sandbox.source().connect().await.gtid_position().await;
    // It waits: both replicas are stopped.
    let mut commit = insert(&sandbox, 1).await;
    commit.stays_unanswered().await;
    let gtid = wait_until("the commit is in our binlog", SOON, async || {
        let text = sandbox.status().await.text("binlog.gtid").to_owned();
        let mut source = sandbox.source().connect().await;
        let visible = source.gtid_position().await;
        let is_there = match flavor {
            Flavor::MariaDb => visible != before && text == visible,
            // Its source does not show it yet.
            Flavor::MySql => text != visible,
        };
        match is_there {
            true => Ok(text),
            false => Err(format!("{text}; before it {before}, now {visible}")),
        }
    })
    .await;
    let mut jumper = replicas[1].connect().await;
    if flavor == Flavor::MariaDb {
        // A number that nobody wrote covers every number, and a real one claims what was not executed.
        jumper.run("SET GLOBAL gtid_slave_pos='0-99-1000000'").await;
        commit.stays_unanswered().await;
        jumper
            .run(&format!("SET GLOBAL gtid_slave_pos='{gtid}'"))
            .await;
    } else {
        let (uuid, last) = gtid
            .rsplit_once('-')
            .unwrap_or_else(|| gtid.rsplit_once(':').unwrap());
        let uuid = uuid.split(':').next().unwrap();
        jumper.run("SET GLOBAL super_read_only=OFF").await;
        jumper.run(&format!("SET gtid_next='{uuid}:{last}'")).await;
        for statement in ["BEGIN", "COMMIT", "SET gtid_next=AUTOMATIC"] {
            jumper.run(statement).await;
        }
        jumper.run("SET GLOBAL super_read_only=ON").await;
    }
    commit.stays_unanswered().await;
    jumper.run(start).await;
    commit.stays_unanswered().await;
    sandbox
        .status_until("it has no vote, and why", WITHIN, |status| {
            let said = objections(status, "replica2");
            !votes(status, "replica2") && said.contains("its own binlog has nothing of it")
        })
        .await;
    // The other one has it in a moment.
    at(&replicas[0], &[start]).await;
    commit.succeeds_within(WITHIN).await;
    returns(&sandbox, 2).await;
    let number = |text: &str| text.rsplit(['-', ':', '.']).next().unwrap().to_owned();
    let (done, said) = moves(&sandbox, &["switchover", "--to", "replica2"]);
    assert!(!done && said.contains(&number(&gtid)), "{said}");
    let (_, said) = moves(&sandbox, &["switchover", "--to", "replica2", "--dry-run"]);
    assert!(said.contains(&number(&gtid)), "{said}");
    let status = sandbox.status().await;
    assert_eq!(status.text("source.name"), "source", "{status}");
    let (done, said) = moves(&sandbox, &["switchover", "--to", "replica1"]);
    assert!(done, "{said}");
    let mut app = sandbox.app().connect().await;
    assert_eq!(app.count("seen").await, 2);
}

/// Two replicas are required and one is stopped; their addresses are swapped in the saved file.
async fn a_vote_does_not_follow_a_name_to_another_address(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    sandbox.sync(json!({"require": "ANY 2 (*) received"})).await;
    returns(&sandbox, 1).await;
    let Words { stop, start, .. } = words(flavor);
    let replicas = sandbox.replicas();
    at(&replicas[1], &[stop]).await;
    let mut commit = insert(&sandbox, 2).await;
    commit.stays_unanswered().await;
    let address = |replica: &Account| format!("{}:{}", replica.host, replica.port);
    let [first, second] = [address(&replicas[0]), address(&replicas[1])];
    let swapped = sandbox
        .config()
        .replace(&first, "\u{0}")
        .replace(&second, &first)
        .replace('\u{0}', &second);
    assert_ne!(swapped, sandbox.config());
    sandbox.save_config(&swapped);
    // The name moves to the other address, and stays without the other's word.
    let until = Instant::now() + REGAINS;
    while Instant::now() < until {
        commit.stays_unanswered().await;
    }
    at(&replicas[1], &[start]).await;
    commit.succeeds_within(WITHIN).await;
    returns(&sandbox, 3).await;
    sandbox.assert_equal().await;
}

async fn attaches(sandbox: &Sandbox) -> u64 {
    let answer = sandbox.request("GET", "/metrics", "").await.unwrap();
    let name = "ackline_source_attaches_total ";
    let line = answer.body.lines().find(|line| line.starts_with(name));
    line.unwrap()[name.len()..].trim().parse().unwrap()
}

/// Any account can have sessions that reach their `wait_timeout`.
async fn idle_sessions_that_the_source_ends_suspect_nobody(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    returns(&sandbox, 0).await;
    let before = attaches(&sandbox).await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        let mut session = sandbox.app().connect().await;
        session.run("SET SESSION wait_timeout=2").await;
        idle.push(session);
    }
    let until = Instant::now() + Duration::from_secs(4);
    let mut n = 1;
    let mut app = sandbox.app().connect().await;
    while Instant::now() < until {
        app.run(&format!("INSERT INTO seen VALUES ({n})")).await;
        n += 1;
    }
    // They are gone, and others were ended in the middle of a command.
    for session in &mut idle {
        assert!(session.try_run("SELECT 1").await.is_err());
    }
    for _ in 0..5 {
        let sleeper = Commit::begin(sandbox.app(), "SELECT SLEEP(30)").await;
        let mut source = sandbox.source().connect().await;
        let kill = format!("KILL {}", sleeper.connection);
        source.run(&kill).await;
        let _ = sleeper.answer_within(SOON).await;
        app.run(&format!("INSERT INTO seen VALUES ({n})")).await;
        n += 1;
    }
    assert_eq!(attaches(&sandbox).await, before, "nobody attached anew");
}

/// After a restart of the proxy: a replica that has caught up has all that a source must have.
async fn the_sources_address_leads_to_a_replica(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    returns(&sandbox, 1).await;
    sandbox.assert_equal().await;
    is_kept(&sandbox).await;
    sandbox.kill(Part::Proxy);
    let (source, replica) = (sandbox.source(), sandbox.replica(0));
    let [of_source, of_replica] = [&source, &replica].map(|a| format!("{}:{}", a.host, a.port));
    let right = sandbox.config();
    let wrong = right
        .replace(&of_replica, "\u{0}")
        .replace(&of_source, &of_replica)
        .replace('\u{0}', &of_source);
    sandbox.save_config(&wrong);
    sandbox.start(Part::Proxy);
    let refused = |words: &'static str| {
        move |status: &Status| {
            let reason = status.text("source.reason");
            status.text("source.state") == "refused" && reason.contains(words)
        }
    };
    sandbox
        .status_until("it is refused", SOON, refused("it replicates from"))
        .await;
    let Words { stop, start, .. } = words(flavor);
    let mut replica = at(&replica, &[stop]).await;
    let status = sandbox
        .status_until(
            "it is another machine",
            SOON,
            refused("another server answers"),
        )
        .await;
    println!("{}", status.text("source.reason"));
    assert_eq!(replica.value("SELECT @@global.read_only").await, "1");
    let variable = match flavor {
        Flavor::MariaDb => "SELECT @@global.rpl_semi_sync_master_enabled",
        Flavor::MySql => "SELECT @@global.rpl_semi_sync_source_enabled",
    };
    assert_eq!(replica.value(variable).await, "0", "it was not touched");
    sandbox.kill(Part::Proxy);
    sandbox.save_config(&right);
    sandbox.start(Part::Proxy);
    replica.run(start).await;
    sandbox.serves().await;
    returns(&sandbox, 2).await;
    sandbox.assert_equal().await;
}

/// A restart, other ids, another port, a binlog that has expired.
async fn a_voter_that_changes_its_looks_votes_again_by_itself(flavor: Flavor) {
    let sandbox = Sandbox::up(&[
        "--mode",
        "semi-sync",
        "--replicas",
        "1",
        "--flavor",
        &flavor.to_string(),
    ])
    .await;
    sandbox.create_seen().await;
    returns(&sandbox, 1).await;
    let voter = Part::Replica(0);
    let account = sandbox.replica(0);
    let mut n = 2;
    let regains = async |what: &str, n: &mut u32| {
        let began = Instant::now();
        until_votes(&sandbox, "replica1", true).await;
        returns(&sandbox, *n).await;
        *n += 1;
        println!("{what}: a commit returned after {:?}", began.elapsed());
        assert!(began.elapsed() < WITHIN);
    };

    sandbox.stop(voter);
    sandbox.start(voter);
    account.connect().await;
    regains("a restart", &mut n).await;

    let mut replica = account.connect().await;
    replica.run("SET GLOBAL server_id=77").await;
    regains("another server_id", &mut n).await;

    expire(flavor, &mut replica).await;
    let Words { stop, start, .. } = words(flavor);
    replica.run(stop).await;
    replica.run(start).await;
    regains("binlogs that have expired", &mut n).await;

    // Another port, and back.
    let mut here = account.port;
    for port in [free_port(), account.port] {
        sandbox.stop_soon(voter);
        sandbox.add_option(voter, &format!("port={port}"));
        let (old, new) = (format!(":{here}\""), format!(":{port}\""));
        sandbox.save_config(&sandbox.config().replace(&old, &new));
        sandbox.start(voter);
        here = port;
        Account {
            port,
            ..account.clone()
        }
        .connect()
        .await;
        regains("another port", &mut n).await;
    }

    if flavor == Flavor::MySql {
        sandbox.stop_soon(voter);
        std::fs::remove_file(sandbox.server_dir(voter).join("data/auto.cnf")).unwrap();
        sandbox.start(voter);
        account.connect().await;
        regains("another uuid", &mut n).await;
    }

    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    regains("a restart of the proxy", &mut n).await;
    sandbox.assert_equal().await;
}

/// Its binlog is emptied and its position kept. Within the second in which the server began its binlog the head of the
/// new one is the same byte for byte.
async fn begin_anew(flavor: Flavor, replica: &Account) {
    let Words { stop, start, .. } = words(flavor);
    let mut replica = at(replica, &[stop]).await;
    match flavor {
        Flavor::MariaDb => replica.run("RESET MASTER").await,
        Flavor::MySql => {
            let executed = replica.gtid_position().await;
            replica.run("RESET BINARY LOGS AND GTIDS").await;
            replica
                .run(&format!("SET GLOBAL gtid_purged='{executed}'"))
                .await;
        }
    }
    replica.run(start).await;
}

/// RESET MASTER with the position kept, as a restored server has it; then two moves, and no GTID is used twice.
async fn a_replica_whose_binlog_begins_anew_is_promotable(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    for n in 1..=5 {
        returns(&sandbox, n).await;
    }
    sandbox.assert_equal().await;
    begin_anew(flavor, &sandbox.replica(0)).await;
    until_votes(&sandbox, "replica1", true).await;
    returns(&sandbox, 6).await;
    let (done, said) = moves(&sandbox, &["switchover", "--to", "replica1"]);
    assert!(done, "{said}");
    for n in 7..=9 {
        returns(&sandbox, n).await;
    }
    // A binlog that begins behind the move says nothing of what came before it.
    begin_anew(flavor, &sandbox.source()).await;
    until_votes(&sandbox, "source", true).await;
    returns(&sandbox, 10).await;
    let (done, said) = moves(&sandbox, &["switchover", "--to", "source"]);
    assert!(done, "{said}");
    returns(&sandbox, 11).await;
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    returns(&sandbox, 12).await;
    let mut app = sandbox.app().connect().await;
    assert_eq!(app.count("seen").await, 12);
    let released = sandbox.status().await.text("binlog.released").to_owned();
    println!("released: {released}");
    let check = sandbox.ackline(&["binlog", "check"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{said}");
}

/// A clone that is in no list, with the server_id of one that is.
async fn two_machines_under_one_server_id_have_no_voice(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let config = sandbox.config();
    let last = config.rfind("[[server]]").unwrap();
    assert!(config[last..].contains("replica2"), "{config}");
    sandbox.save_config(&config[..last]);
    sandbox
        .status_until("replica2 is not listed", SOON, |status| {
            status.replica("replica2").is_none()
        })
        .await;
    let Words { stop, start, .. } = words(flavor);
    let [first, clone] = [0, 1].map(|index| sandbox.replica(index));
    let id = first
        .connect()
        .await
        .value("SELECT @@global.server_id")
        .await;
    let set = format!("SET GLOBAL server_id={id}");
    let mut clone = at(&clone, &[stop, &set, start]).await;
    if flavor == Flavor::MySql {
        // It has another uuid, so it is nobody of ours.
        let nobody = format!("unlisted-{id}");
        sandbox
            .status_until("the clone is a reader", WITHIN, |status| {
                status.replica(&nobody).is_some() && votes(status, "replica1")
            })
            .await;
        returns(&sandbox, 1).await;
        return;
    }
    sandbox
        .status_until("they are named", WITHIN, |status| {
            objections(status, "replica1").contains("take the place of replica1")
                && !votes(status, "replica1")
        })
        .await;
    let mut commit = insert(&sandbox, 1).await;
    commit.stays_unanswered().await;
    clone.run(stop).await;
    commit.succeeds_within(WITHIN).await;
    until_votes(&sandbox, "replica1", true).await;
    returns(&sandbox, 2).await;
}

/// The old source comes back with an older data directory, and lacks what it once wrote itself.
async fn a_rewound_source_gets_its_own_transactions_or_is_told(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    returns(&sandbox, 1).await;
    sandbox.stop_soon(Part::Source);
    sandbox.keep_data(Part::Source, "older");
    sandbox.start(Part::Source);
    sandbox.serves().await;
    for n in 2..=4 {
        returns(&sandbox, n).await;
    }
    let (done, said) = moves(&sandbox, &["switchover", "--to", "replica1"]);
    assert!(done, "{said}");
    sandbox.stop_soon(Part::Source);
    sandbox.restore_data(Part::Source, "older");
    sandbox.start(Part::Source);
    let mut old = sandbox.source().connect().await;
    match flavor {
        Flavor::MariaDb => {
            old.run("SET GLOBAL gtid_slave_pos=@@global.gtid_binlog_pos")
                .await;
            old.run(&sandbox.change_master()).await;
            old.run("START SLAVE").await;
        }
        Flavor::MySql => {
            old.run(&sandbox.change_master()).await;
            old.run("START REPLICA").await;
            let said = wait_until("it is told", WITHIN, async || {
                let said = old.slave_status("Last_IO_Error").await;
                match said.contains("this replica's own") {
                    true => Ok(said),
                    false => Err(said),
                }
            })
            .await;
            println!("{said}");
            let refused = |status: &Status| {
                let row = status.replica("source").unwrap();
                row.text("state") == "disconnected"
                    && row.text("reason").contains("this replica's own")
            };
            sandbox
                .status_until("status says why it does not stream", WITHIN, refused)
                .await;
            old.run("STOP REPLICA").await;
            old.run("SET GLOBAL server_id=99").await;
            old.run("START REPLICA").await;
        }
    }
    until_votes(&sandbox, "source", true).await;
    returns(&sandbox, 5).await;
    wait_until("it has every row", WITHIN, async || {
        match old.count("seen").await {
            5 => Ok(()),
            rows => Err(format!("{rows} rows")),
        }
    })
    .await;
}

/// On MariaDB a natural one: a table stands on one replica only, and is then created where it does not
/// stand. On MySQL that is no hole, so the transaction's place is taken by an empty one.
async fn a_hole_that_somebody_answers_for_is_none(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    returns(&sandbox, 1).await;
    let Words {
        writable,
        read_only,
        ..
    } = words(flavor);
    let database = sandbox.app().database.clone().unwrap();
    let create = format!("CREATE TABLE {database}.early (n INT PRIMARY KEY)");
    let steps = [writable, "SET sql_log_bin=0", &create, read_only];
    let mut replica = at(&sandbox.replica(1), &steps).await;
    let Words { stop, start, .. } = words(flavor);
    if flavor == Flavor::MySql {
        replica.run(stop).await;
    }
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE IF NOT EXISTS early (n INT PRIMARY KEY)")
        .await;
    let mut gtid = sandbox.status().await.text("binlog.gtid").to_owned();
    if flavor == Flavor::MySql {
        let (uuids, last) = gtid.rsplit_once('-').unwrap();
        gtid = format!("{}:{last}", uuids.rsplit_once(':').unwrap().0);
        for statement in [
            writable,
            "SET sql_log_bin=1",
            &format!("SET gtid_next='{gtid}'"),
            "BEGIN",
            "COMMIT",
            "SET gtid_next=AUTOMATIC",
            read_only,
            start,
        ] {
            replica.run(statement).await;
        }
    }
    let gtid = gtid;
    let status = sandbox
        .status_until("the hole is named", WITHIN, |status| {
            objections(status, "replica2").contains("claims to have executed")
        })
        .await;
    assert!(!votes(&status, "replica2"));
    let said = objections(&status, "replica2");
    assert!(said.contains("CREATE TABLE IF NOT EXISTS early"), "{said}");
    assert!(
        said.contains("harmless if the table stands there"),
        "{said}"
    );
    assert!(said.contains(&gtid), "{said}");
    assert!(said.contains("ackline accept replica2 --hole"), "{said}");
    let (done, said) = moves(&sandbox, &["switchover", "--to", "replica2", "--dry-run"]);
    assert!(done && said.contains(&gtid), "{said}");
    assert!(
        said.contains("what is older than its binlog is known by "),
        "{said}"
    );

    for (arguments, words) in [
        (["accept", "replica2", "--hole", "0-7-7777"], "no hole"),
        (["accept", "replica1", "--hole", &gtid], "no hole"),
        (["accept", "nobody", "--hole", &gtid], "no replica"),
        (["accept", "replica2", "--hole", "all"], "no GTID set"),
    ] {
        let (done, said) = moves(&sandbox, &arguments);
        assert!(!done && said.contains(words), "{said}");
    }
    let (done, said) = moves(&sandbox, &["accept", "replica2", "--hole", &gtid]);
    assert!(done, "{said}");
    let accepted = |status: &Status| {
        let row = status.replica("replica2").unwrap();
        assert_eq!(row.text("accepted"), gtid, "{status}");
        assert!(!row.text("base").is_empty());
    };
    accepted(&until_votes(&sandbox, "replica2", true).await);
    // It is kept.
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    accepted(&until_votes(&sandbox, "replica2", true).await);
    // Its own binlog must end as ours does.
    let (done, said) = moves(&sandbox, &["switchover", "--to", "replica2"]);
    assert!(!done && said.contains(&gtid), "{said}");
    returns(&sandbox, 2).await;
    let (done, said) = moves(&sandbox, &["switchover", "--to", "replica2"]);
    assert!(done, "{said}");
    returns(&sandbox, 3).await;
    let mut app = sandbox.app().connect().await;
    assert_eq!(app.count("seen").await, 3);
}

/// Its binlog is gone between what was read of it and its oldest file.
async fn a_replica_whose_binlog_expired_unread_is_taken_only_if_that_is_accepted(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    returns(&sandbox, 1).await;
    until_votes(&sandbox, "replica2", true).await;
    // It is walked at the proxy's start, and what was walked is kept a second later.
    sandbox.kill(Part::Proxy);
    let started = SystemTime::now();
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    until_votes(&sandbox, "replica2", true).await;
    let histories = sandbox.manifest.binlog_dir.join("ackline.histories");
    wait_until("what was walked is kept", SOON, async || {
        let kept = std::fs::metadata(&histories).and_then(|file| file.modified());
        match kept.is_ok_and(|kept| kept > started) {
            true => Ok(()),
            false => Err("not yet"),
        }
    })
    .await;
    for n in 2..=4 {
        returns(&sandbox, n).await;
    }
    sandbox.assert_equal().await;
    sandbox.kill(Part::Proxy);
    expire(flavor, &mut sandbox.replica(1).connect().await).await;
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    // It votes all the same.
    let status = until_votes(&sandbox, "replica2", true).await;
    let unproven = status.replica("replica2").unwrap();
    println!("not proven: {}", unproven.text("unproven"));
    assert!(!unproven.text("unproven").is_empty(), "{status}");
    let (done, said) = moves(&sandbox, &["switchover", "--to", "replica2"]);
    assert!(!done && said.contains("--accept-unproven"), "{said}");
    // Its binlog has nothing yet of what we would begin with.
    let anyway = ["switchover", "--to", "replica2", "--accept-unproven"];
    let (done, said) = moves(&sandbox, &anyway);
    assert!(!done && said.contains("let one more commit"), "{said}");
    returns(&sandbox, 5).await;
    sandbox.assert_equal().await;
    // The other one is taken first.
    sandbox.kill(Part::Source);
    let rehearse = ["failover", "--dry-run", "--accept-unproven"];
    let (done, said) = moves(&sandbox, &rehearse);
    assert!(done && said.contains("to replica1"), "{said}");
    let forced = ["failover", "--to", "replica2", "--accept-unproven"];
    let (done, said) = moves(&sandbox, &forced);
    assert!(done && said.contains("not proven"), "{said}");
    returns(&sandbox, 6).await;
}

/// Of its binlog an empty file is left. MariaDB keeps the one before until its engines are done with it.
async fn expire(flavor: Flavor, database: &mut Database) {
    database.run("FLUSH BINARY LOGS").await;
    wait_until("the binlog's files are gone", WITHIN, async || {
        let files: Vec<String> = match flavor {
            Flavor::MariaDb => {
                let rows: Vec<(String, u64)> = database.rows("SHOW BINARY LOGS").await;
                rows.into_iter().map(|(name, _)| name).collect()
            }
            Flavor::MySql => {
                let rows: Vec<(String, u64, String)> = database.rows("SHOW BINARY LOGS").await;
                rows.into_iter().map(|(name, ..)| name).collect()
            }
        };
        let last = files.last().unwrap();
        let purge = format!("PURGE BINARY LOGS TO '{last}'");
        database.run(&purge).await;
        match files.len() {
            1 => Ok(()),
            _ => Err(format!("{files:?}")),
        }
    })
    .await;
}

/// Its data directory is that of a replica: the same ids, all transactions, and other bytes at their place.
async fn a_source_that_was_restored_is_held_until_it_is_accepted(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    for n in 1..=3 {
        returns(&sandbox, n).await;
    }
    sandbox.assert_equal().await;
    is_kept(&sandbox).await;
    let (source, replica) = (Part::Source, Part::Replica(0));
    let accept = ["source", "accept", "source"];
    let (done, said) = moves(&sandbox, &accept);
    assert!(!done && said.contains("nothing to accept"), "{said}");
    sandbox.kill(Part::Proxy);
    sandbox.stop_soon(source);
    sandbox.stop_soon(replica);
    let identity = sandbox.data(source).join("auto.cnf");
    let own = std::fs::read(&identity).unwrap_or_default();
    sandbox.copy_data(replica, source);
    if flavor == Flavor::MySql {
        std::fs::write(&identity, own).unwrap();
    }
    sandbox.start(replica);
    sandbox.start(source);
    let forget = match flavor {
        Flavor::MariaDb => "RESET SLAVE ALL",
        Flavor::MySql => "RESET REPLICA ALL",
    };
    at(&sandbox.source(), &[words(flavor).stop, forget]).await;
    sandbox.start(Part::Proxy);
    let status = sandbox
        .status_until("it is held", SOON, |status| {
            status
                .text("source.reason")
                .contains("ackline source accept")
        })
        .await;
    println!("{}", status.text("source.reason"));
    let (done, said) = moves(&sandbox, &["source", "accept", "replica1"]);
    assert!(!done && said.contains("is not the source"), "{said}");
    let (done, said) = moves(&sandbox, &accept);
    assert!(done, "{said}");
    sandbox.serves().await;
    returns(&sandbox, 4).await;
    returns(&sandbox, 5).await;
    is_kept(&sandbox).await;
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    returns(&sandbox, 6).await;
    sandbox.assert_equal().await;
}

/// What it was when it was asked last, up to a second ago, says nothing of what came back.
async fn a_word_counts_by_what_the_server_is_since_its_dump_began(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    returns(&sandbox, 0).await;
    let Words {
        stop,
        start,
        writable,
        read_only,
    } = words(flavor);
    let _stopped = at(&sandbox.replica(1), &[stop]).await;
    for n in 1..=3 {
        until_votes(&sandbox, "replica1", true).await;
        let mut replica = at(&sandbox.replica(0), &[stop]).await;
        let mut waiting = insert(&sandbox, n).await;
        replica.run(writable).await;
        replica.run(start).await;
        // It gets and acknowledges it at once.
        waiting.stays_unanswered().await;
        until_votes(&sandbox, "replica1", false).await;
        replica.run(read_only).await;
        waiting.succeeds_within(WITHIN).await;
    }
}
