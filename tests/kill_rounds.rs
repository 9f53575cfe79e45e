//! Rounds of: eight clients insert numbered rows through the proxy while one of source, proxy and replicas
//! is killed with kill -9 at a random moment and started again, as an init system would.
//!
//! After each round, with the clients at rest: every row whose commit was answered OK is on the source
//! and, after catching up, on every replica; our binlog has it exactly once, its GTIDs are the source's, and so
//! is every event of it, byte for byte but for its place; and the flavor's dump tool reads every file of ours to
//! the end without a warning. Each kill must have met a commit in flight.
//!
//!     cargo test --test kill_rounds -- --rounds 100 --seed 7 --victim proxy

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::events::Reading;
use support::{
    Account, Database, Flavor, Part, SOON, Sandbox, events, mysql, print_all, wait_until,
};

const CLIENTS: usize = 8;
const ROUNDS: u32 = 3;
/// Commits that must be answered after a kill before its round counts as survived.
const GO_ON: usize = 40;
const RECOVERS_WITHIN: Duration = Duration::from_secs(120);
/// A statement that is not answered for so long is given up; a hang shows as a round that does not go on.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
const TABLE: &str = "kill_rounds";

struct Orders {
    rounds: u32,
    seed: u64,
    /// None: both.
    flavor: Option<Flavor>,
    victims: Victims,
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victims {
    All,
    Proxy,
}

impl Orders {
    /// Other arguments are the test runner's and mean nothing here.
    fn read() -> Result<Self, String> {
        let parse = |name: &str, text: Option<String>| -> Result<u64, String> {
            text.as_deref()
                .and_then(|text| text.parse().ok())
                .ok_or(format!("{name} takes a number"))
        };
        let mut orders = Self {
            rounds: ROUNDS,
            seed: rand::random::<u32>().into(),
            flavor: None,
            victims: Victims::All,
        };
        if let Ok(text) = std::env::var("ACKLINE_ROUNDS") {
            orders.rounds = parse("ACKLINE_ROUNDS", Some(text))? as u32;
        }
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => orders.rounds = parse("--rounds", arguments.next())? as u32,
                "--flavor" => {
                    orders.flavor = Some(arguments.next().unwrap_or_default().parse()?);
                }
                "--victim" => match arguments.next().as_deref() {
                    Some("proxy") => orders.victims = Victims::Proxy,
                    _ => return Err("--victim takes 'proxy'; without it, all are killed".into()),
                },
                "--seed" => orders.seed = parse("--seed", arguments.next())?,
                _ => {}
            }
        }
        Ok(orders)
    }
}

/// What the clients did, as they saw it.
#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    /// Numbers whose COMMIT was sent and is not answered.
    in_flight: Mutex<BTreeSet<u64>>,
    answered_ok: Mutex<BTreeSet<u64>>,
    ok: AtomicUsize,
    /// Clients that are between two transactions and stay there.
    resting: AtomicUsize,
    rest: AtomicBool,
    stop: AtomicBool,
    last_error: Mutex<String>,
}

/// Inserts until told to stop; connects again whenever its connection is lost.
async fn client(account: Account, ledger: Arc<Ledger>) {
    let mut connection: Option<Database> = None;
    while !ledger.stop.load(Ordering::Acquire) {
        if ledger.rest.load(Ordering::Acquire) {
            ledger.resting.fetch_add(1, Ordering::AcqRel);
            while ledger.rest.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            ledger.resting.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let step = match connection.take() {
            Some(database) => tokio::time::timeout(ANSWERS_WITHIN, insert(database, &ledger)).await,
            None => tokio::time::timeout(ANSWERS_WITHIN, account.try_connect()).await,
        };
        match step {
            Ok(Ok(database)) => connection = Some(database),
            Ok(Err(error)) => *ledger.last_error.lock() = error.to_string(),
            Err(_) => {
                *ledger.last_error.lock() =
                    format!("no answer within {} s", ANSWERS_WITHIN.as_secs())
            }
        }
        if connection.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn insert(mut database: Database, ledger: &Ledger) -> Result<Database, mysql_async::Error> {
    let number = ledger.next.fetch_add(1, Ordering::Relaxed) + 1;
    database.try_run("BEGIN").await?;
    database
        .try_run(&format!("INSERT INTO {TABLE} VALUES ({number})"))
        .await?;
    ledger.in_flight.lock().insert(number);
    let answer = database.try_run("COMMIT").await;
    ledger.in_flight.lock().remove(&number);
    answer?;
    ledger.answered_ok.lock().insert(number);
    ledger.ok.fetch_add(1, Ordering::AcqRel);
    Ok(database)
}

struct Harness {
    sandbox: Sandbox,
    ledger: Arc<Ledger>,
    random: ChaCha8Rng,
    victims: Victims,
    /// Our binlog and the source's.
    reading: (Reading, Reading),
}

impl Harness {
    async fn start(orders: &Orders, flavor: Flavor) -> Self {
        let sandbox = Sandbox::of(flavor).await;
        sandbox
            .app()
            .connect()
            .await
            .run(&format!(
                "CREATE TABLE {TABLE} (n BIGINT PRIMARY KEY) ENGINE=InnoDB"
            ))
            .await;
        let ledger = Arc::<Ledger>::default();
        for _ in 0..CLIENTS {
            tokio::spawn(client(sandbox.app().clone(), ledger.clone()));
        }
        Self {
            sandbox,
            ledger,
            random: ChaCha8Rng::seed_from_u64(orders.seed),
            victims: orders.victims,
            reading: Default::default(),
        }
    }

    async fn round(&mut self) -> Result<String, String> {
        let began = Instant::now();
        self.go_on("before the kill").await?;
        tokio::time::sleep(Duration::from_millis(self.random.random_range(0..1500))).await;
        let victim = self.choose();
        let met = self.kill(victim).await?;
        tokio::time::sleep(Duration::from_millis(self.random.random_range(0..1000))).await;
        let before = self.ledger.ok.load(Ordering::Acquire);
        self.sandbox.start(victim);
        self.go_on("after the kill").await?;
        let recovered = began.elapsed();
        self.rest().await?;
        let rows = self.verify().await?;
        self.ledger.rest.store(false, Ordering::Release);
        let after = self.ledger.ok.load(Ordering::Acquire) - before;
        Ok(format!(
            "{victim:?} killed with {met} commits in flight, {after} commits since; verified: {rows} rows ({:.1} s, {:.1} s)",
            recovered.as_secs_f64(),
            began.elapsed().as_secs_f64()
        ))
    }

    fn choose(&mut self) -> Part {
        if self.victims == Victims::Proxy {
            return Part::Proxy;
        }
        let parts = 2 + self.sandbox.manifest.replicas.len();
        match self.random.random_range(0..parts) {
            0 => Part::Source,
            1 => Part::Proxy,
            replica => Part::Replica(replica - 2),
        }
    }

    /// Commits are answered.
    async fn go_on(&self, when: &str) -> Result<(), String> {
        let enough = self.ledger.ok.load(Ordering::Acquire) + GO_ON;
        let deadline = Instant::now() + RECOVERS_WITHIN;
        while self.ledger.ok.load(Ordering::Acquire) < enough {
            if Instant::now() > deadline {
                let status = self
                    .sandbox
                    .try_status()
                    .await
                    .map_or_else(|error| error, |status| status.to_string());
                let error = self.ledger.last_error.lock().clone();
                return Err(format!(
                    "commits do not go on {when}; the last error of a client: {error}; {status}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Kills if commits are in flight; whom, and how many are. An answer is noted under the same lock, so
    /// what is in flight here is so at the signal.
    fn kill_in_flight(&self, victim: Part) -> Option<(i32, usize)> {
        let in_flight = self.ledger.in_flight.lock();
        match in_flight.len() {
            0 => None,
            met => Some((self.sandbox.kill_now(victim), met)),
        }
    }

    /// kill -9 while a commit is under way; how many were.
    async fn kill(&self, victim: Part) -> Result<usize, String> {
        let deadline = Instant::now() + SOON;
        let (pid, met) = loop {
            match self.kill_in_flight(victim) {
                None if Instant::now() > deadline => return Err("no commit is under way".into()),
                None => tokio::task::yield_now().await,
                Some(met) => break met,
            }
        };
        self.sandbox.wait_dead(pid);
        Ok(met)
    }

    async fn rest(&self) -> Result<(), String> {
        self.ledger.rest.store(true, Ordering::Release);
        let deadline = Instant::now() + RECOVERS_WITHIN;
        while self.ledger.resting.load(Ordering::Acquire) < CLIENTS {
            if Instant::now() > deadline {
                return Err(format!("a client hangs: {}", self.ledger.last_error.lock()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn verify(&mut self) -> Result<usize, String> {
        let answered = self.ledger.answered_ok.lock().clone();
        let mut source = self.sandbox.source().connect().await;
        let position = source.gtid_position().await;
        let at_source = rows(&mut source).await;
        let missing = |rows: &BTreeSet<u64>| {
            answered
                .difference(rows)
                .take(10)
                .copied()
                .collect::<Vec<_>>()
        };
        if !answered.is_subset(&at_source) {
            return Err(format!(
                "answered OK and not on the source: {:?}",
                missing(&at_source)
            ));
        }
        for (index, replica) in self.sandbox.replicas().into_iter().enumerate() {
            let mut replica = replica.connect().await;
            let name = format!("replica{}", index + 1);
            replica.start_again_where_it_gave_up().await;
            replica
                .applies_until(&position, RECOVERS_WITHIN)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            let found = rows(&mut replica).await;
            if found != at_source {
                let differs: Vec<_> = found.symmetric_difference(&at_source).take(10).collect();
                return Err(format!(
                    "{name} differs from the source in {differs:?}; of those answered OK it lacks {:?}",
                    missing(&found)
                ));
            }
        }
        self.verify_binlog(&position, &at_source).await?;
        Ok(at_source.len())
    }

    async fn verify_binlog(
        &mut self,
        position: &str,
        at_source: &BTreeSet<u64>,
    ) -> Result<(), String> {
        wait_until("our binlog has all that the source has", SOON, async || {
            let status = self.sandbox.try_status().await?;
            match status.text("binlog.gtid") {
                gtid if gtid == position
                    && status.text("binlog.written_position")
                        == status.text("binlog.synced_position") =>
                {
                    Ok(())
                }
                _ => Err(format!("the source is at {position}: {status}")),
            }
        })
        .await;
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        let insert = format!("INSERT INTO {TABLE} VALUES (");
        for printed in print_all(&self.sandbox.manifest)? {
            for (at, label) in printed.text.match_indices(&insert) {
                let number = support::number(&printed.text[at + label.len()..])
                    .ok_or(format!("{}: an insert without a number", printed.file))?;
                *times.entry(number).or_default() += 1;
            }
        }
        let wrong: Vec<_> = at_source
            .iter()
            .filter(|number| times.get(number) != Some(&1))
            .take(10)
            .map(|number| (number, times.get(number)))
            .collect();
        if !wrong.is_empty() {
            return Err(format!("not exactly once in our binlog: {wrong:?}"));
        }
        let too_many: Vec<_> = times
            .keys()
            .filter(|number| !at_source.contains(number))
            .take(10)
            .collect();
        if !too_many.is_empty() {
            return Err(format!("in our binlog and not on the source: {too_many:?}"));
        }
        let (ours, theirs) = &mut self.reading;
        let ours = ours.contents(&events::ours(&self.sandbox))?;
        let theirs = theirs.contents(&events::theirs(&self.sandbox))?;
        events::same(&ours, &theirs)?;
        Ok(())
    }
}

async fn rows(database: &mut Database) -> BTreeSet<u64> {
    database
        .rows(&format!("SELECT n FROM {TABLE}"))
        .await
        .into_iter()
        .collect()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let orders = match Orders::read() {
        Ok(orders) => orders,
        Err(error) => {
            eprintln!("kill_rounds: {error}");
            return ExitCode::from(2);
        }
    };
    let flavors = match orders.flavor {
        Some(flavor) => vec![flavor],
        None => vec![Flavor::MariaDb, Flavor::MySql],
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for flavor in flavors {
        if flavor == Flavor::MySql && !mysql::is_installed() {
            println!("SKIPPED: kill_rounds --flavor mysql: no MySQL, see deploy/install.sh mysql");
            skipped += orders.rounds;
            continue;
        }
        let done = rounds(&orders, flavor).await;
        passed += done;
        if done < orders.rounds {
            failed += 1;
            skipped += orders.rounds - done - 1;
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How many passed before one failed.
async fn rounds(orders: &Orders, flavor: Flavor) -> u32 {
    println!(
        "kill_rounds: --rounds {} --seed {} --flavor {flavor}",
        orders.rounds, orders.seed
    );
    let mut harness = Harness::start(orders, flavor).await;
    let mut passed = 0;
    let mut failure = None;
    while passed < orders.rounds && failure.is_none() {
        match harness.round().await {
            Ok(said) => {
                passed += 1;
                println!("round {passed}: {said}");
            }
            Err(error) => failure = Some(error),
        }
    }
    harness.ledger.stop.store(true, Ordering::Release);
    harness.ledger.rest.store(false, Ordering::Release);
    if let Some(error) = failure {
        println!(
            "round {}: FAILED (seed {}): {error}",
            passed + 1,
            orders.seed
        );
        harness.sandbox.show_logs();
    }
    passed
}
