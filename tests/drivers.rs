//! Real drivers, each in a program of its own below `tests/drivers/`: what one says directly at the
//! source, it must say through the proxy, line by line, and both must say what `tests/drivers/facts/`
//! holds (for MySQL, MariaDB 11.8 and over TLS: but for the changes in their folders). Then the proxy is killed and
//! started again under their open pools. Then each says it again through the proxy over TLS, which lets
//! nobody in without, and nobody who trusts somebody else gets there.
//!
//! `cargo test --test drivers -- [--long] [--flavor FLAVOR] [--only clear|restart|tls] [--write-facts]
//! [NAME…]`; without a name all, without a flavor both. What is not installed
//! (`tests/drivers/install.sh`) is skipped and counted so. `--long`: over TLS directly as well, to be
//! compared side by side. `--write-facts` takes what is said directly for the facts, first those of
//! MariaDB in clear: review them before they are committed.
//!
//! Through somebody else's address instead of a sandbox: ACKLINE_DIRECT and ACKLINE_PROXIED, both
//! `user:password@host:port`, and ACKLINE_DIRECT_TLS_CA and ACKLINE_PROXIED_TLS_CA where TLS is to be
//! used. The user may create databases.

// A test that cannot go on shall stop where it is.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "drivers/driver.rs"]
mod driver;
#[path = "drivers/said.rs"]
mod said;
#[path = "drivers/ways.rs"]
mod ways;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use driver::{DRIVERS, Driver, Part};
use parking_lot::Mutex;
use said::{Kind, Said};
use support::{Flavor, SOON, mysql, wait_until};
use ways::{TlsWays, Way, Ways};

struct Orders {
    long: bool,
    writes: bool,
    /// None: all.
    only: Option<Kind>,
    flavors: Vec<Flavor>,
    names: Vec<String>,
}

impl Orders {
    fn read() -> Result<Self, String> {
        let mut orders = Self {
            long: false,
            writes: false,
            only: None,
            flavors: vec![Flavor::MariaDb, Flavor::MySql],
            names: Vec::new(),
        };
        if ways::are_given() {
            orders.flavors.truncate(1);
        }
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--long" => orders.long = true,
                "--write-facts" => orders.writes = true,
                "--flavor" => {
                    orders.flavors = vec![arguments.next().unwrap_or_default().parse()?];
                }
                "--only" => orders.only = Some(arguments.next().unwrap_or_default().parse()?),
                // The test runner's own.
                _ if argument.starts_with("--") => {}
                _ => orders.names.push(argument),
            }
        }
        let known = |name: &String| DRIVERS.iter().any(|driver| driver.name == name);
        match orders.names.iter().find(|name| !known(name)) {
            Some(name) => Err(format!("there is no driver {name}")),
            None => Ok(orders),
        }
    }

    fn takes(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }

    fn wants(&self, driver: &Driver, flavor: Flavor) -> bool {
        let named = self.names.iter().any(|name| name == driver.name);
        driver.is_for(flavor) && (named || self.names.is_empty())
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    left_out: usize,
}

/// One flavor.
struct Round<'a> {
    orders: &'a Orders,
    flavor: Flavor,
    drivers: Vec<&'static Driver>,
    tally: Mutex<&'a mut Tally>,
}

impl Round<'_> {
    fn judge(&self, driver: &Driver, kind: Kind, said: &[(&Way, Said)]) {
        if self.orders.writes {
            driver.write_facts(self.flavor, kind, &said[0].1);
        }
        let by_name: Vec<_> = said.iter().map(|(way, said)| (way.name, said)).collect();
        let expected = driver.expected(self.flavor, kind).facts();
        let wrong = said::judge(&expected, kind, &by_name);
        let outcome = if wrong.is_empty() { "ok" } else { "FAILED" };
        let (flavor, name) = (self.flavor, driver.name);
        println!("test drivers::{flavor}::{name}::{kind} ... {outcome}");
        let took = by_name.iter().map(|(way, said)| {
            let seconds = said.took.as_secs_f32();
            format!("{seconds:.1} s {way}")
        });
        let took = took.collect::<Vec<_>>().join(", ");
        println!("    {} facts, {took}", expected.count());
        wrong.iter().for_each(|line| println!("    {line}"));
        let mut tally = self.tally.lock();
        if wrong.is_empty() {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    }

    /// MySQL: each driver's login as the account's first. One after the other, as a server forgets all
    /// logins at once.
    async fn first_logins(&self, ways: &Ways, way: &Way) -> Vec<Said> {
        let mut all = Vec::new();
        for driver in &self.drivers {
            all.push(if self.flavor == Flavor::MySql && ways.are_ours() {
                ways.forget_logins().await;
                driver.run(way, &Part::Login("login.first")).await
            } else {
                Said::default()
            });
        }
        all
    }

    /// Each driver's login as one that trusts another authority.
    async fn wrong_logins(&self, way: &Way, wrong_ca: &str) -> Vec<Said> {
        let wrong = Way {
            tls_ca: Some(wrong_ca.to_owned()),
            ..way.clone()
        };
        let mut all = Vec::new();
        for driver in &self.drivers {
            all.push(driver.run(&wrong, &Part::Login("login.wrong_ca")).await);
        }
        all
    }

    /// All else, on these ways side by side, and judges it together with what each way's logins said.
    async fn all_else(&self, kind: Kind, ways: &[(&Way, Vec<Said>)]) {
        // The last of them takes longest.
        let queue = Mutex::new((0..self.drivers.len()).rev());
        let next = || queue.lock().next();
        let lane = async |number: usize| {
            while let Some(at) = next() {
                let driver = self.drivers[at];
                let all = ways.iter().map(|(way, _)| {
                    let way = way.in_lane(number);
                    tokio::spawn(async move { driver.run(&way, &Part::All).await })
                });
                let mut said = Vec::new();
                for ((way, logins), all) in ways.iter().zip(all.collect::<Vec<_>>()) {
                    said.push((*way, logins[at].and(all.await.unwrap())));
                }
                self.judge(driver, kind, &said);
            }
        };
        // In each there is much waiting.
        tokio::join!(lane(0), lane(1));
    }

    async fn clear(&self, ways: &Ways) {
        let direct = self.first_logins(ways, &ways.direct).await;
        let proxied = self.first_logins(ways, &ways.proxied).await;
        if self.flavor == Flavor::MySql && ways.are_ours() {
            ways.remember_logins().await;
        }
        let both = [(&ways.direct, direct), (&ways.proxied, proxied)];
        self.all_else(Kind::Clear, &both).await;
    }

    /// All at once, each with its pool; the proxy dies once.
    async fn restart(&self, ways: &Ways) {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let mut runs = Vec::new();
        for (number, driver) in self.drivers.iter().enumerate() {
            if driver.revives {
                let ready = folder.path().join(driver.name);
                runs.push((*driver, ways.beside(number).await, ready));
            }
        }
        if runs.is_empty() {
            return;
        }
        let all: Vec<_> = runs
            .iter()
            .map(|(driver, way, ready)| {
                let (driver, way, ready) = (*driver, way.clone(), ready.clone());
                let go = go.clone();
                tokio::spawn(async move {
                    let part = Part::Restart {
                        ready: ready.clone(),
                        go,
                    };
                    let said = driver.run(&way, &part).await;
                    // One that has failed is not waited for.
                    let _ = std::fs::write(ready, "");
                    said
                })
            })
            .collect();
        let readies = runs.iter().map(|(_, _, ready)| ready.as_path());
        all_there(readies.collect()).await;
        ways.restart_proxy().await;
        std::fs::write(&go, "").unwrap();
        for ((driver, way, _), said) in runs.iter().zip(all) {
            self.judge(driver, Kind::Restart, &[(way, said.await.unwrap())]);
        }
    }

    async fn tls(&self, ways: &Ways, tls: &TlsWays) {
        let mut all = Vec::new();
        for way in [&tls.direct, &tls.proxied] {
            let wrong = self.wrong_logins(way, &tls.wrong_ca).await;
            let first = self.first_logins(ways, way).await;
            let logins = wrong
                .iter()
                .zip(first)
                .map(|(wrong, first)| wrong.and(first));
            all.push((way, logins.collect()));
        }
        if !self.orders.long && !self.orders.writes {
            self.tally.lock().left_out += self.drivers.len();
            all.remove(0);
        }
        self.all_else(Kind::Tls, &all).await;
    }
}

async fn all_there(files: Vec<&Path>) {
    wait_until("all drivers have their pools", SOON, async || {
        let missing: Vec<_> = files.iter().filter(|file| !file.exists()).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{missing:?}"))
        }
    })
    .await;
}

/// One flavor's drivers, as far as they are there.
async fn round(orders: &Orders, flavor: Flavor, tally: &mut Tally) {
    let wanted: Vec<&Driver> = DRIVERS
        .iter()
        .filter(|driver| orders.wants(driver, flavor))
        .collect();
    let no_server = flavor == Flavor::MySql && !ways::are_given() && !mysql::is_installed();
    let (drivers, missing): (Vec<&Driver>, Vec<&Driver>) = wanted
        .into_iter()
        .partition(|driver| !no_server && driver.is_installed());
    for driver in missing {
        tally.skipped += 1;
        let why = if no_server {
            "no MySQL, see deploy/install.sh mysql"
        } else {
            "it is not installed, see tests/drivers/install.sh"
        };
        println!("SKIPPED: drivers: {} on {flavor}: {why}", driver.name);
    }
    if drivers.is_empty() {
        return;
    }
    let ways = Ways::open(flavor).await;
    let round = Round {
        orders,
        flavor,
        drivers,
        tally: Mutex::new(tally),
    };
    if orders.takes(Kind::Clear) {
        round.clear(&ways).await;
    }
    if orders.takes(Kind::Restart) && ways.are_ours() {
        round.restart(&ways).await;
    }
    if orders.takes(Kind::Tls) && ways.are_ours() {
        let tls = ways.require_tls().await;
        round.tls(&ways, &tls).await;
    }
    ways.assert_equal().await;
}

#[tokio::main]
async fn main() -> ExitCode {
    let orders = match Orders::read() {
        Ok(orders) => orders,
        Err(error) => {
            eprintln!("tests/drivers.rs: {error}");
            return ExitCode::from(2);
        }
    };
    let mut tally = Tally::default();
    for flavor in &orders.flavors {
        let began = Instant::now();
        round(&orders, *flavor, &mut tally).await;
        println!("{flavor}: {:.0} s", began.elapsed().as_secs_f32());
    }
    let Tally {
        passed,
        failed,
        skipped,
        left_out,
    } = tally;
    if left_out > 0 {
        println!("left out without --long: {left_out} directly over TLS");
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
