//! Round after round of moves under load. Short here; the long form is `ACKLINE_ROUNDS=50 cargo test --test suite --
//! e2e_move_rounds --nocapture`.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::support::load::{Clients, Load, MOVED, assert_there};
use crate::support::sysbench::Sysbench;
use crate::support::{
    Account, Commit, Flavor, Part, SOON, STAYS, Sandbox, Signal, on_both_flavors, wait_equal,
    wait_until,
};

on_both_flavors![
    switchovers,
    sources_that_are_killed,
    two_sources_that_are_killed_in_a_row,
    sources_that_freeze,
    proxies_that_are_killed_on_the_way,
    a_replica_that_is_far_behind_is_completed_from_our_binlog,
];

const CLIENTS: Clients = Clients {
    writing: 12,
    in_transactions: 4,
    reading: 4,
};
/// They write in tables of their own beside the others.
const SYSBENCH: u32 = 4;
const BETWEEN: usize = 50;
/// The steps of a move that takes longer are shown.
const SLOW: Duration = Duration::from_millis(800);

fn rounds() -> u32 {
    let rounds = std::env::var("ACKLINE_ROUNDS").ok();
    rounds.map_or(1, |text| text.parse().expect("ACKLINE_ROUNDS is a number"))
}

/// Its exit status, and what it said.
fn ackline(sandbox: &Sandbox, arguments: &[&str]) -> (i32, String) {
    let output = sandbox.ackline(arguments);
    let said = [output.stdout, output.stderr].concat();
    let status = output.status.code().unwrap();
    (status, String::from_utf8_lossy(&said).into_owned())
}

fn done(sandbox: &Sandbox, arguments: &[&str]) {
    let (status, said) = ackline(sandbox, arguments);
    assert_eq!(status, 0, "{arguments:?}: {said}");
}

/// In milliseconds: the median and the longest.
fn told(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |index: usize| times.get(index).map_or(0, Duration::as_millis);
    println!(
        "{what}: {} rounds, median {} ms, longest {} ms",
        times.len(),
        at(times.len() / 2),
        at(times.len().saturating_sub(1))
    );
}

/// The server of this name.
fn part(name: &str) -> Part {
    match name.strip_prefix("replica") {
        Some(number) => Part::Replica(number.parse::<usize>().unwrap() - 1),
        None => Part::Source,
    }
}

fn account(sandbox: &Sandbox, name: &str) -> Account {
    match part(name) {
        Part::Replica(index) => sandbox.replica(index),
        _ => sandbox.source(),
    }
}

async fn source_of(sandbox: &Sandbox) -> String {
    sandbox.status().await.text("source.name").to_owned()
}

/// On the source through us; and once all others have caught up, they hold what it holds.
async fn assert_everywhere(sandbox: &Sandbox, acknowledged: &[u32]) {
    assert_there(sandbox, acknowledged).await;
    let present = source_of(sandbox).await;
    let replicas = (1..=sandbox.replicas().len()).map(|number| format!("replica{number}"));
    let others = replicas
        .chain(["source".to_owned()])
        .filter(|name| *name != present);
    let others: Vec<Account> = others.map(|name| account(sandbox, &name)).collect();
    let equal = wait_equal(&account(sandbox, &present), &others, SOON).await;
    assert_eq!(equal, Ok(()), "{present} is the source");
}

async fn switchovers(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let sysbench = Sysbench {
        mix: "oltp_read_write",
        account: sandbox.app().clone(),
        tables: 2,
        rows: 1_000,
        threads: SYSBENCH,
    };
    sysbench.prepare();
    each_second_a_tick(&sandbox).await;
    let sysbench = sysbench.begin();
    let load = Load::of(sandbox.app(), CLIENTS);
    let mut pauses = Vec::new();
    for number in 0..rounds() {
        load.goes_on(BETWEEN).await;
        let to = ["replica1", "replica2", "source"][number as usize % 3];
        let began = Instant::now();
        done(&sandbox, &["switchover", "--to", to]);
        load.goes_on(BETWEEN).await;
        pauses.push(load.longest_pause(began));
        println!(
            "{flavor} round {number} to {to}: {:?}, {} clients heard of it, {} transactions of sysbench",
            pauses.last(),
            load.heard_of_moves(1),
            sysbench.transactions(),
        );
        sandbox.all_vote().await;
        ticks_at(&sandbox, to).await;
        let before = sysbench.transactions();
        wait_until("sysbench goes on", SOON, async || {
            match sysbench.transactions() {
                now if now > before => Ok(()),
                now => Err(now),
            }
        })
        .await;
    }
    let acknowledged = load.end().await;
    let transactions = sysbench.transactions();
    let ended = sysbench.end();
    assert!(ended.len() <= rounds() as usize, "{ended:?}");
    let moved = |said: &String| said.contains(&MOVED.to_string());
    assert!(ended.iter().all(moved), "{ended:?}");
    assert!(
        transactions > u64::from(rounds()),
        "{transactions} transactions of sysbench"
    );
    told(&format!("{flavor}: write pause of a switchover"), pauses);
    sandbox.app().connect().await.run("DROP EVENT tick").await;
    assert_everywhere(&sandbox, &acknowledged).await;
}

async fn each_second_a_tick(sandbox: &Sandbox) {
    let mut app = sandbox.app().connect().await;
    for statement in [
        "CREATE TABLE ticks (n INT AUTO_INCREMENT PRIMARY KEY, server INT UNSIGNED)",
        "CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND DO INSERT INTO ticks (server) VALUES (@@server_id)",
    ] {
        app.run(statement).await;
    }
    let mut source = sandbox.source().connect().await;
    source.run("SET GLOBAL event_scheduler=ON").await;
}

/// The event goes on there: one more of its rows comes.
async fn ticks_at(sandbox: &Sandbox, name: &str) {
    let id = account(sandbox, name)
        .connect()
        .await
        .value("SELECT @@server_id")
        .await;
    let query = format!("SELECT COUNT(*) FROM ticks WHERE server = {id}");
    let mut app = sandbox.app().connect().await;
    let before = app.value(&query).await;
    wait_until(&format!("a tick at {name}"), SOON, async || {
        match app.value(&query).await {
            now if now != before => Ok(()),
            now => Err(now),
        }
    })
    .await;
}

async fn sources_that_are_killed(flavor: Flavor) {
    let mut pauses = Vec::new();
    let (mut home, mut extra) = (0, 0);
    let mut left = rounds();
    while left > 0 {
        let sandbox = Sandbox::of(flavor).await;
        sandbox.create_seen().await;
        let load = Load::of(sandbox.app(), CLIENTS);
        let mut whole = true;
        while left > 0 && whole {
            left -= 1;
            load.goes_on(BETWEEN).await;
            let old = source_of(&sandbox).await;
            sandbox.kill(part(&old));
            let began = Instant::now();
            let (status, said) = ackline(&sandbox, &["failover"]);
            assert_eq!(status, 0, "{said}");
            let pause = load.first_since(began).await;
            if pause > SLOW {
                println!("{flavor}: {pause:?}: {said}");
            }
            pauses.push(pause);
            load.goes_on(BETWEEN).await;
            sandbox.start(part(&old));
            account(&sandbox, &old).connect().await;
            let (status, said) = ackline(&sandbox, &["rejoin", &old]);
            println!(
                "{flavor}, {left} left: {:?}, rejoin of {old}: {said}",
                pauses.last()
            );
            whole = status == 0;
            match whole {
                true => {
                    home += 1;
                    sandbox.all_vote().await;
                }
                false => {
                    extra += 1;
                    assert!(said.contains("transactions that nobody else has"), "{said}");
                    // Set up anew, as a DBA would.
                }
            }
        }
        let acknowledged = load.end().await;
        match whole {
            true => assert_everywhere(&sandbox, &acknowledged).await,
            false => assert_there(&sandbox, &acknowledged).await,
        }
    }
    println!("{flavor}: {home} came home, {extra} had transactions of their own");
    told(
        &format!("{flavor}: from failover to the next commit"),
        pauses,
    );
}

async fn sources_that_freeze(flavor: Flavor) {
    let mut times = Vec::new();
    let rounds = rounds();
    for left in (0..rounds).rev() {
        let sandbox = Sandbox::of(flavor).await;
        sandbox.create_seen().await;
        let load = Load::of(sandbox.app(), CLIENTS);
        load.goes_on(BETWEEN).await;
        let direct = Account {
            port: sandbox.source().port,
            ..sandbox.app().clone()
        };
        let direct = direct.connect().await;
        sandbox.signal(Part::Source, Signal::STOP);
        let began = Instant::now();
        done(&sandbox, &["failover"]);
        let took = began.elapsed();
        load.goes_on(BETWEEN).await;
        let hung = load.longest_wait();
        assert!(
            hung <= took + Duration::from_secs(1),
            "a client hung for {hung:?}, the failover took {took:?}"
        );
        times.push(took);
        sandbox.signal(Part::Source, Signal::CONT);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut late = Commit::begin_on(direct, "INSERT INTO seen VALUES (0)");
        let answered = tokio::time::timeout(STAYS, async {
            while !late.is_answered() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if answered.await.is_ok() {
            let answer = late.answer_within(SOON).await;
            assert!(answer.is_err(), "a write was answered at the old source");
        } else {
            late.stays_unanswered().await;
        }
        let (status, said) = ackline(&sandbox, &["rejoin", "source"]);
        println!("{flavor}, {left} left: {took:?}, rejoin: {status} {said}");
        let mut old = sandbox.source().connect().await;
        assert_eq!(old.value("SELECT @@global.read_only").await, "1");
        if status == 0 {
            sandbox.all_vote().await;
        }
        let errors = load.errors();
        assert!(
            errors.keys().all(|code| [MOVED, 0].contains(code)),
            "{errors:?}"
        );
        let acknowledged = load.end().await;
        match status {
            0 => assert_everywhere(&sandbox, &acknowledged).await,
            _ => assert_there(&sandbox, &acknowledged).await,
        }
    }
    told(&format!("{flavor}: failover from a frozen source"), times);
}

/// The second one right after the first has been left; then both come home.
async fn two_sources_that_are_killed_in_a_row(flavor: Flavor) {
    let mut pauses = Vec::new();
    for left in (0..rounds()).rev() {
        let flavor = flavor.to_string();
        let options = [
            "--mode",
            "semi-sync",
            "--replicas",
            "3",
            "--flavor",
            &flavor,
        ];
        let sandbox = Sandbox::up(&options).await;
        sandbox.create_seen().await;
        let load = Load::of(sandbox.app(), CLIENTS);
        let mut old = Vec::new();
        for _ in 0..2 {
            load.goes_on(BETWEEN).await;
            let dies = source_of(&sandbox).await;
            sandbox.kill(part(&dies));
            let began = Instant::now();
            done(&sandbox, &["failover"]);
            pauses.push(load.first_since(began).await);
            old.push(dies);
        }
        load.goes_on(BETWEEN).await;
        let mut home = true;
        for name in old {
            sandbox.start(part(&name));
            account(&sandbox, &name).connect().await;
            let (status, said) = ackline(&sandbox, &["rejoin", &name]);
            println!("{flavor}, {left} left: rejoin of {name}: {said}");
            assert!(
                status == 0 || said.contains("transactions that nobody else has"),
                "{said}"
            );
            home &= status == 0;
        }
        let acknowledged = load.end().await;
        match home {
            true => {
                sandbox.all_vote().await;
                assert_everywhere(&sandbox, &acknowledged).await;
            }
            false => assert_there(&sandbox, &acknowledged).await,
        }
    }
    told(
        &format!("{flavor}: from failover to the next commit, two in a row"),
        pauses,
    );
}

/// Dies at the point, is started again, and is given the same command again. Whether the point was met.
async fn dies_at(sandbox: &Sandbox, point: &str, command: &[&str]) -> (bool, i32, String) {
    sandbox.stop(Part::Proxy);
    let variable = ("ACKLINE_CRASH_AT".to_owned(), point.to_owned());
    sandbox.start_with(Part::Proxy, &[variable]);
    wait_until("the proxy answers", SOON, async || {
        sandbox.try_status().await.map(|_| ())
    })
    .await;
    let (status, said) = ackline(sandbox, command);
    let died = match sandbox.pid(Part::Proxy) {
        _ if status == 0 => false,
        Some(pid) if status == 3 => {
            sandbox.wait_dead(pid);
            true
        }
        Some(_) => panic!("{point}: {command:?}: {status}: {said}"),
        None => true,
    };
    if !died {
        sandbox.stop(Part::Proxy);
    }
    sandbox.start(Part::Proxy);
    wait_until("the proxy answers", SOON, async || {
        sandbox.try_status().await.map(|_| ())
    })
    .await;
    let (status, said) = ackline(sandbox, command);
    (died, status, said)
}

/// Killed before each step, and before each statement that changes a server: starting it again and giving the command
/// again ends well.
async fn proxies_that_are_killed_on_the_way(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let load = Load::of(
        sandbox.app(),
        Clients {
            in_transactions: 1,
            ..Clients::writing(3)
        },
    );
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    println!("{flavor}: seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut met = 0;
    for point in points(&SWITCHOVER, &mut random) {
        load.goes_on(10).await;
        let present = source_of(&sandbox).await;
        let to = if present == "replica1" {
            "replica2"
        } else {
            "replica1"
        };
        let command = ["switchover", "--to", to, "--deadline", "20s"];
        let (died, status, said) = dies_at(&sandbox, &point, &command).await;
        println!("{flavor}: switchover, {point}: {}", shown(died));
        let is_there = status == 0 || said.contains("is the source already");
        assert!(is_there, "{point}: {said}");
        sandbox.serves().await;
        assert_eq!(source_of(&sandbox).await, to, "{point}");
        sandbox.all_vote().await;
        met += u32::from(died);
    }
    for (failover, rejoin) in points(&FAILOVER, &mut random)
        .into_iter()
        .zip(points_of_rejoin(&mut random))
    {
        load.goes_on(10).await;
        let old = source_of(&sandbox).await;
        // What nobody acknowledged would keep it from coming home.
        load.pause().await;
        sandbox.kill(part(&old));
        let (died, status, said) = dies_at(&sandbox, &failover, &["failover"]).await;
        println!("{flavor}: failover, {failover}: {}", shown(died));
        let present = source_of(&sandbox).await;
        assert!(present != old, "{failover}: {status}: {said}");
        sandbox.serves().await;
        met += u32::from(died);
        sandbox.start(part(&old));
        account(&sandbox, &old).connect().await;
        let (died, status, said) = dies_at(&sandbox, &rejoin, &["rejoin", &old]).await;
        println!("{flavor}: rejoin, {rejoin}: {}", shown(died));
        assert_eq!(status, 0, "{rejoin}: {said}");
        sandbox.all_vote().await;
        met += u32::from(died);
        load.resume();
    }
    assert!(met > 0, "no point was met");
    let acknowledged = load.end().await;
    assert_everywhere(&sandbox, &acknowledged).await;
}

fn shown(died: bool) -> &'static str {
    match died {
        true => "died there",
        false => "not met",
    }
}

/// All of them in the long form; else two.
fn points(steps: &[&str], random: &mut ChaCha8Rng) -> Vec<String> {
    let steps = steps.iter().map(ToString::to_string);
    let statements = (1..=STATEMENTS).map(|number| format!("statement {number}"));
    chosen(steps.chain(statements).collect(), random)
}

fn points_of_rejoin(random: &mut ChaCha8Rng) -> Vec<String> {
    let steps = REJOIN.iter().map(ToString::to_string);
    let statements = (1..=STATEMENTS).map(|number| format!("statement {number}"));
    let all = steps
        .chain(statements)
        .cycle()
        .take(FAILOVER.len() + STATEMENTS);
    chosen(all.collect(), random)
}

fn chosen(all: Vec<String>, random: &mut ChaCha8Rng) -> Vec<String> {
    match rounds() {
        1 => all.choose_multiple(random, 2).cloned().collect(),
        _ => all,
    }
}

/// More than a move has; what is beyond its last one is not met.
const STATEMENTS: usize = 24;

const SWITCHOVER: [&str; 16] = [
    "Intend",
    "Hold",
    "ReadOnly",
    "Settle",
    "CatchUp",
    "StopReplication",
    "Forget",
    "Rest",
    "Prove",
    "Follow",
    "Open",
    "LetGo",
    "Demote",
    "EnableEvents",
    "After",
    "Finish",
];

const FAILOVER: [&str; 14] = [
    "Intend",
    "Rest",
    "Hold",
    "Fence",
    "CatchUp",
    "StopReplication",
    "Forget",
    "Prove",
    "Follow",
    "Open",
    "LetGo",
    "EnableEvents",
    "After",
    "Finish",
];

const REJOIN: [&str; 5] = [
    "rejoin begins",
    "rejoin quiets",
    "rejoin changes",
    "rejoin waits",
    "rejoin ends",
];

/// The other one is gone: what it lacks it gets from us, before it becomes the source.
async fn a_replica_that_is_far_behind_is_completed_from_our_binlog(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let load = Load::of(sandbox.app(), Clients::writing(4));
    load.goes_on(50).await;
    sandbox.signal(Part::Replica(0), Signal::STOP);
    load.goes_on(400).await;
    sandbox.kill(Part::Replica(1));
    sandbox.kill(Part::Source);
    sandbox.signal(Part::Replica(0), Signal::CONT);
    let (status, said) = ackline(&sandbox, &["failover"]);
    println!("{flavor}: {said}");
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("replica1 is the source"), "{said}");
    assert!(said.contains("it lacks        (none)"), "{said}");
    sandbox.start(Part::Replica(1));
    load.goes_on(50).await;
    let acknowledged = load.end().await;
    assert_there(&sandbox, &acknowledged).await;
}
