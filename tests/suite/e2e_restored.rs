//! A replica that was set up anew from a copy, or runs another version since: it votes and may become the source, or it is refused with what
//! to do. Then two moves, and no GTID is used twice.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    Account, Commit, Database, Flavor, Part, SOON, Sandbox, Status, mysql, on_both_flavors,
    unpacked, wait_until,
};

on_both_flavors![
    a_dump_that_was_loaded_without_the_binlog,
    a_dump_that_was_loaded_into_the_binlog,
    a_cold_copy_of_another_replica,
];

const WITHIN: Duration = SOON;
const VOTER: Part = Part::Replica(1);

async fn returns(sandbox: &Sandbox, n: u32) {
    let statement = format!("INSERT INTO seen VALUES ({n})");
    let commit = Commit::begin(sandbox.app(), &statement).await;
    commit.succeeds_within(SOON).await;
}

async fn until(sandbox: &Sandbox, what: &str, is: impl Fn(&Status) -> bool) -> Status {
    sandbox.status_until(what, WITHIN, is).await
}

async fn until_it_votes(sandbox: &Sandbox) {
    let votes = |status: &Status| {
        let row = status.replica("replica2");
        row.is_some_and(|row| row.flag("vote"))
    };
    until(sandbox, "replica2 has a vote", votes).await;
}

fn ackline(sandbox: &Sandbox, arguments: &[&str]) -> (bool, String) {
    let output = sandbox.ackline(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("{arguments:?}: {said}");
    (output.status.success(), said)
}

/// Five rows; then replica2 is emptied, as a new server is, and the source is dumped.
async fn emptied(flavor: Flavor) -> (Sandbox, Vec<u8>) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    for n in 1..=5 {
        returns(&sandbox, n).await;
    }
    sandbox.assert_equal().await;
    let database = sandbox.app().database.clone().unwrap();
    let mut replica = sandbox.replica(1).connect().await;
    let drop = format!("DROP DATABASE {database}");
    let statements = match flavor {
        Flavor::MariaDb => [
            "STOP SLAVE",
            "RESET SLAVE ALL",
            "SET GLOBAL read_only=OFF",
            &drop,
            "RESET MASTER",
            "SET GLOBAL gtid_slave_pos=''",
        ],
        Flavor::MySql => [
            "STOP REPLICA",
            "RESET REPLICA ALL",
            "SET GLOBAL super_read_only=OFF",
            &drop,
            "RESET BINARY LOGS AND GTIDS",
            "SET GLOBAL super_read_only=OFF",
        ],
    };
    for statement in statements {
        replica.run(statement).await;
    }
    let (mut program, options) = match flavor {
        Flavor::MariaDb => {
            let mut program = Command::new("mariadb-dump");
            program.args(sandbox.source().arguments()).arg("--skip-ssl");
            (program, &["--master-data=1", "--gtid"][..])
        }
        Flavor::MySql => {
            let mut program = Command::new(mysql::program("mysqldump"));
            program.args(sandbox.source().arguments());
            // What sets gtid_purged also keeps what is loaded out of the binlog.
            (program, &["--set-gtid-purged=ON"][..])
        }
    };
    let output = program
        .args(["--single-transaction", "--databases", &database])
        .args(options)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    (sandbox, output.stdout)
}

/// Whether all of it could be loaded, and what was said.
fn load(flavor: Flavor, into: &Account, dump: &[u8]) -> (bool, String) {
    let mut client = match flavor {
        Flavor::MariaDb => {
            let mut client = Command::new("mariadb");
            client.args(into.arguments()).arg("--skip-ssl");
            client
        }
        Flavor::MySql => {
            let mut client = Command::new(mysql::program("mysql"));
            client.args(into.arguments());
            client
        }
    };
    let mut child = client
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(dump).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("loaded: {said}");
    (output.status.success(), said)
}

/// It follows us from the position that it has.
async fn follows(sandbox: &Sandbox) {
    let mut replica = sandbox.replica(1).connect().await;
    let (read_only, start) = match sandbox.manifest.flavor {
        Flavor::MariaDb => ("SET GLOBAL read_only=ON", "START SLAVE"),
        Flavor::MySql => ("SET GLOBAL super_read_only=ON", "START REPLICA"),
    };
    for statement in [&*sandbox.change_master(), read_only, start] {
        replica.run(statement).await;
    }
}

/// Its vote alone lets a commit return; then it becomes the source, and the old one does again.
async fn votes_and_moves(sandbox: &Sandbox) {
    until_it_votes(sandbox).await;
    let stop = match sandbox.manifest.flavor {
        Flavor::MariaDb => ["STOP SLAVE", "START SLAVE"],
        Flavor::MySql => ["STOP REPLICA", "START REPLICA"],
    };
    let mut other = sandbox.replica(0).connect().await;
    other.run(stop[0]).await;
    returns(sandbox, 6).await;
    other.run(stop[1]).await;
    sandbox.all_vote().await;
    let (done, said) = ackline(sandbox, &["switchover", "--to", "replica2"]);
    assert!(done, "{said}");
    returns(sandbox, 7).await;
    sandbox.all_vote().await;
    let (done, said) = ackline(sandbox, &["switchover", "--to", "source"]);
    assert!(done, "{said}");
    returns(sandbox, 8).await;
    sandbox.assert_equal().await;
    let mut app = sandbox.app().connect().await;
    assert_eq!(app.count("seen").await, 8);
    let (whole, said) = ackline(sandbox, &["binlog", "check"]);
    assert!(whole, "{said}");
    // Each transaction once: the numbers of a set are as many as there are transactions.
    let listed = sandbox.ackline(&["binlog", "dump", "--json"]);
    let mut gtids: Vec<String> = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["gtid"].to_string())
        .collect();
    let count = gtids.len();
    gtids.sort();
    gtids.dedup();
    assert!(count > 8 && gtids.len() == count, "{count} {}", gtids.len());
}

async fn a_dump_that_was_loaded_without_the_binlog(flavor: Flavor) {
    let (sandbox, dump) = emptied(flavor).await;
    let dump = match flavor {
        Flavor::MariaDb => [b"SET sql_log_bin=0;\n", &dump[..]].concat(),
        Flavor::MySql => dump,
    };
    let (loaded, said) = load(flavor, &sandbox.replica(1), &dump);
    assert!(loaded, "{said}");
    follows(&sandbox).await;
    votes_and_moves(&sandbox).await;
}

/// The trap: everything that was loaded is a transaction of its own, and the position is not set.
async fn a_dump_that_was_loaded_into_the_binlog(flavor: Flavor) {
    let (sandbox, dump) = emptied(flavor).await;
    let dump = match flavor {
        Flavor::MariaDb => dump,
        Flavor::MySql => {
            let text = String::from_utf8(dump).unwrap();
            let lines = text.lines().filter(|line| !line.contains("SQL_LOG_BIN"));
            lines.collect::<Vec<_>>().join("\n").into_bytes()
        }
    };
    // Some versions end with error 1947, since the position stands at the dump's end.
    load(flavor, &sandbox.replica(1), &dump);
    follows(&sandbox).await;
    let status = wait_until("it is told", WITHIN, async || {
        let status = sandbox.status().await;
        let row = status.replica("replica2").unwrap();
        let said = format!(
            "{} {}",
            row.text("reason"),
            row.list("objections").join("; ")
        );
        match said.contains("transactions of its own") {
            true => Ok(said),
            false => Err(said),
        }
    })
    .await;
    println!("{status}");
    let (done, said) = ackline(&sandbox, &["switchover", "--to", "replica2"]);
    assert!(!done, "{said}");
    let status = sandbox.status().await;
    assert!(
        !status.replica("replica2").unwrap().flag("vote"),
        "{status}"
    );
    assert_eq!(status.text("source.name"), "source", "{status}");
    returns(&sandbox, 6).await;
}

async fn a_cold_copy_of_another_replica(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    for n in 1..=5 {
        returns(&sandbox, n).await;
    }
    sandbox.assert_equal().await;
    let other = Part::Replica(0);
    sandbox.stop(other);
    sandbox.stop(VOTER);
    sandbox.copy_data(other, VOTER);
    if flavor == Flavor::MySql {
        std::fs::remove_file(sandbox.data(VOTER).join("auto.cnf")).unwrap();
    }
    sandbox.start(other);
    sandbox.start(VOTER);
    votes_and_moves(&sandbox).await;
}

/// Server by server, the source last, as it is done: who was upgraded votes again by itself. (mariadb-upgrade
/// cannot run out of a folder of its own; it writes nothing into the binlog.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_upgraded_in_place() {
    let name = concat!(module_path!(), "::mariadb_upgraded_in_place");
    let Some(programs) = unpacked::mariadb_11_8(name) else {
        return;
    };
    let sandbox = Sandbox::up(&["--mode", "sync"]).await;
    let version = async |database: &mut Database| database.value("SELECT VERSION()").await;
    if version(&mut sandbox.source().connect().await)
        .await
        .starts_with("11.8")
    {
        return unpacked::skipped(name, "the machine's own MariaDB is as new");
    }
    sandbox.create_seen().await;
    returns(&sandbox, 1).await;
    let upgrade = async |part: Part, account: Account| {
        sandbox.stop(part);
        sandbox.start_by(part, Command::new(programs.join("mariadbd")));
        let began = Instant::now();
        let mut server = account.connect().await;
        assert!(version(&mut server).await.starts_with("11.8"));
        began
    };
    let votes = |status: &Status, name: &str| {
        let row = status.replica(name);
        row.is_some_and(|row| row.flag("vote"))
    };
    for index in [0, 1] {
        let began = upgrade(Part::Replica(index), sandbox.replica(index)).await;
        let replica = format!("replica{}", index + 1);
        until(&sandbox, "it votes again", |status| votes(status, &replica)).await;
        println!("{replica} votes {:?} after its start", began.elapsed());
        // Both have to have applied it.
        returns(&sandbox, 2 + index as u32).await;
    }
    let (done, said) = ackline(&sandbox, &["switchover", "--to", "replica1"]);
    assert!(done, "{said}");
    returns(&sandbox, 4).await;
    upgrade(Part::Source, sandbox.source()).await;
    until(&sandbox, "the old source votes", |status| {
        votes(status, "source")
    })
    .await;
    returns(&sandbox, 5).await;
    let (done, said) = ackline(&sandbox, &["switchover", "--to", "source"]);
    assert!(done, "{said}");
    returns(&sandbox, 6).await;
    sandbox.assert_equal().await;
}
