//! The test suites of Django and SQLAlchemy: what becomes of each of their tests directly at the source
//! must become of it through the proxy, in the same order.
//!
//! `cargo test --test orm -- [--long] [--flavor mysql] [--mode MODE] [NAME…]`; without a name all.
//!
//! Standing: the labels and paths in `tests/orm/*/short.txt`, `async`, no replica. `--long` (or
//! ACKLINE_ORM_LONG): those in `long.txt`, and with more drivers. Any other MODE has a replica, which
//! must have replicated all of it at the end. What is not installed (`tests/orm/install.sh`) is skipped
//! and counted so.

// A test that cannot go on shall stop where it is.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use support::{Account, Sandbox, mysql};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/orm");
/// One way of one suite.
const WITHIN: Duration = Duration::from_secs(600);
const LONG_WITHIN: Duration = Duration::from_secs(3 * 60 * 60);
/// So many tests of a suite must have been run and passed, or it shows nothing.
const LEAST: usize = 500;
/// Lines of a runner's own words, where it did not come to its tests.
const WORDS_SHOWN: usize = 30;
/// The same at both addresses: what an account may do is a part of what these tests see.
const USER: &str = "orm";
const PASSWORD: &str = "orm";
/// What SQLAlchemy wants to be there, and what Django calls its own.
const DATABASES: [&str; 2] = ["test", "test_schema"];
const LEFT_OVER: [&str; 2] = ["test_django", "test_django_other"];

struct Suite {
    name: &'static str,
    framework: Framework,
    only_long: bool,
}

enum Framework {
    /// Over PyMySQL.
    Django,
    SqlAlchemy {
        driver: &'static str,
    },
}

const SUITES: [Suite; 4] = [
    Suite {
        name: "django",
        framework: Framework::Django,
        only_long: false,
    },
    Suite {
        name: "sqlalchemy",
        framework: Framework::SqlAlchemy { driver: "pymysql" },
        only_long: false,
    },
    Suite {
        name: "sqlalchemy-mysqlconnector",
        framework: Framework::SqlAlchemy {
            driver: "mysqlconnector",
        },
        only_long: true,
    },
    Suite {
        name: "sqlalchemy-asyncmy",
        framework: Framework::SqlAlchemy { driver: "asyncmy" },
        only_long: true,
    },
];

struct Orders {
    long: bool,
    flavor: support::Flavor,
    mode: String,
    names: Vec<String>,
}

impl Orders {
    fn read() -> Result<Self, String> {
        let mut orders = Self {
            long: std::env::var_os("ACKLINE_ORM_LONG").is_some_and(|value| !value.is_empty()),
            flavor: support::Flavor::MariaDb,
            mode: "async".to_owned(),
            names: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--long" => orders.long = true,
                "--flavor" => orders.flavor = arguments.next().unwrap_or_default().parse()?,
                "--mode" => orders.mode = arguments.next().ok_or("--mode takes a mode")?,
                // The test runner's own.
                _ if argument.starts_with("--") => {}
                _ => orders.names.push(argument),
            }
        }
        let known = |name: &String| SUITES.iter().any(|suite| suite.name == name);
        match orders.names.iter().find(|name| !known(name)) {
            Some(name) => Err(format!("there is no suite {name}")),
            None => Ok(orders),
        }
    }

    fn wants(&self, suite: &Suite) -> bool {
        if self.names.is_empty() {
            self.long || !suite.only_long
        } else {
            self.names.iter().any(|name| name == suite.name)
        }
    }

    async fn sandbox(&self) -> Sandbox {
        let flavor = self.flavor.to_string();
        let replicas = if self.mode == "async" { "0" } else { "1" };
        Sandbox::up(&[
            "--flavor",
            &flavor,
            "--mode",
            &self.mode,
            "--replicas",
            replicas,
            // These tests create tables by the thousand, and none of them pulls a plug.
            "--server-option",
            "innodb_flush_log_at_trx_commit=0",
            "--server-option",
            "sync_binlog=0",
        ])
        .await
    }
}

/// ACKLINE_ORM, as tests/orm/install.sh decides it.
fn installed() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(orm) = variable("ACKLINE_ORM") {
        return PathBuf::from(orm);
    }
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    cache.unwrap_or_default().join("ackline/orm")
}

impl Suite {
    fn folder(&self) -> &'static str {
        match self.framework {
            Framework::Django => "django",
            Framework::SqlAlchemy { .. } => "sqlalchemy",
        }
    }

    /// Labels or paths.
    fn chosen(&self, long: bool) -> Vec<String> {
        let list = if long { "long.txt" } else { "short.txt" };
        std::fs::read_to_string(Path::new(FOLDER).join(self.folder()).join(list))
            .unwrap()
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(ToOwned::to_owned)
            .collect()
    }

    fn command(
        &self,
        address: &Account,
        outcomes: &Path,
        orders: &Orders,
    ) -> tokio::process::Command {
        let installed = installed();
        let mut command = tokio::process::Command::new(installed.join("python/bin/python"));
        // Not what the user has installed for himself: that may be another version of the same.
        command.arg("-s");
        match self.framework {
            Framework::Django => command
                .args(["runtests.py", "--settings=ackline_settings", "--noinput"])
                .arg("--parallel=1")
                .current_dir(installed.join("django/tests")),
            Framework::SqlAlchemy { driver } => command
                .args(["-m", "pytest", "--quiet", "--tb=short"])
                .args(["-p", "no:cacheprovider", "-p", "ackline_outcomes"])
                // Their own configuration gives up after 250.
                .args(["--maxfail=100000", "--backend-only", "--dburi"])
                .arg(format!(
                    "{}+{driver}://{USER}:{PASSWORD}@{}:{}/{}?charset=utf8mb4",
                    orders.flavor, address.host, address.port, DATABASES[0]
                ))
                .current_dir(installed.join("sqlalchemy")),
        };
        command
            .args(self.chosen(orders.long))
            .env("PYTHONPATH", Path::new(FOLDER).join(self.folder()))
            .env("PYTHONPYCACHEPREFIX", installed.join("compiled"))
            // The same order of sets both ways.
            .env("PYTHONHASHSEED", "0")
            .env("ACKLINE_OUTCOMES", outcomes)
            .env("ACKLINE_DB_HOST", &address.host)
            .env("ACKLINE_DB_PORT", address.port.to_string())
            .env("ACKLINE_DB_USER", USER)
            .env("ACKLINE_DB_PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, address: &Account, orders: &Orders) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("outcomes");
        let within = if orders.long { LONG_WITHIN } else { WITHIN };
        let began = Instant::now();
        let mut command = self.command(address, &file, orders);
        let words = match tokio::time::timeout(within, command.output()).await {
            Ok(Ok(output)) => {
                let all = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&all).into_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not end within {} s", within.as_secs()),
        };
        Ran {
            outcomes: Outcome::all(&std::fs::read_to_string(&file).unwrap_or_default()),
            took: began.elapsed(),
            words,
        }
    }
}

/// What became of one test.
struct Outcome {
    test: String,
    outcome: String,
    why: String,
}

impl Outcome {
    /// As `ackline_runner.py` and `ackline_outcomes.py` write them.
    fn all(text: &str) -> Vec<Self> {
        text.lines()
            .map(|line| {
                let mut parts = line.splitn(3, '\t').map(ToOwned::to_owned);
                let mut next = || parts.next().unwrap_or_default();
                let (outcome, test, why) = (next(), next(), next());
                Self { test, outcome, why }
            })
            .collect()
    }

    fn is_well(&self) -> bool {
        ["passed", "skipped", "failed as expected"].contains(&self.outcome.as_str())
    }
}

struct Ran {
    outcomes: Vec<Outcome>,
    took: Duration,
    /// What the runner printed.
    words: String,
}

impl Ran {
    fn count(&self, outcome: &str) -> usize {
        let same = |one: &&Outcome| one.outcome == outcome;
        self.outcomes.iter().filter(same).count()
    }

    /// A test that has subtests, or fails twice, has several.
    fn by_test(&self) -> BTreeMap<&str, Vec<&Outcome>> {
        let mut all = BTreeMap::<&str, Vec<&Outcome>>::new();
        for outcome in &self.outcomes {
            all.entry(&outcome.test).or_default().push(outcome);
        }
        all
    }

    fn summary(&self) -> String {
        let (passed, skipped) = (self.count("passed"), self.count("skipped"));
        let others = self.outcomes.len() - passed - skipped;
        let seconds = self.took.as_secs_f32();
        format!("{passed} passed, {skipped} skipped, {others} others in {seconds:.0} s")
    }
}

/// What is wrong with the two of them.
fn judge(direct: &Ran, proxied: &Ran) -> Vec<String> {
    let mut wrong = differences(direct, proxied);
    for (way, ran) in [("directly", direct), ("proxied", proxied)] {
        let passed = ran.count("passed");
        if passed < LEAST {
            wrong.push(format!("{way}: {passed} tests passed, wanted {LEAST}"));
            let words: Vec<&str> = ran.words.lines().collect();
            let first = words.len().saturating_sub(WORDS_SHOWN);
            wrong.extend(words[first..].iter().map(|word| format!("  {word}")));
        }
    }
    let order = |ran: &Ran| -> Vec<String> {
        let tests = ran.outcomes.iter();
        tests.map(|outcome| outcome.test.clone()).collect()
    };
    if wrong.is_empty() && order(direct) != order(proxied) {
        wrong.push("the same tests in another order".to_owned());
    }
    wrong
}

/// The tests that ended otherwise, by name.
fn differences(direct: &Ran, proxied: &Ran) -> Vec<String> {
    fn shown(outcomes: Option<&Vec<&Outcome>>) -> String {
        let Some(outcomes) = outcomes else {
            return "(not run)".to_owned();
        };
        let each = outcomes
            .iter()
            .map(|one| format!("{} {}", one.outcome, one.why).trim().to_owned());
        each.collect::<Vec<_>>().join("; ")
    }
    fn kinds<'a>(outcomes: Option<&Vec<&'a Outcome>>) -> Option<Vec<&'a str>> {
        outcomes.map(|all| all.iter().map(|one| one.outcome.as_str()).collect())
    }
    let (left, right) = (direct.by_test(), proxied.by_test());
    let mut tests: Vec<_> = left.keys().chain(right.keys()).collect();
    tests.sort();
    tests.dedup();
    tests
        .into_iter()
        .filter(|test| kinds(left.get(*test)) != kinds(right.get(*test)))
        .map(|test| {
            let (left, right) = (shown(left.get(test)), shown(right.get(test)));
            format!("{test}: directly {left}; proxied {right}")
        })
        .collect()
}

/// As if nobody had been there.
async fn clear(source: &Account) {
    let mut admin = source.connect().await;
    for database in DATABASES.iter().chain(&LEFT_OVER) {
        admin
            .run(&format!("DROP DATABASE IF EXISTS {database}"))
            .await;
    }
    for database in DATABASES {
        admin
            .run(&format!("CREATE DATABASE {database} CHARSET utf8mb4"))
            .await;
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let orders = match Orders::read() {
        Ok(orders) => orders,
        Err(error) => {
            eprintln!("tests/orm.rs: {error}");
            return ExitCode::from(2);
        }
    };
    let suites: Vec<&Suite> = SUITES.iter().filter(|suite| orders.wants(suite)).collect();
    let missing = if !installed().join(".made-of").is_file() {
        Some("its suite is not installed, see tests/orm/install.sh")
    } else if orders.flavor == support::Flavor::MySql && !mysql::is_installed() {
        Some("no MySQL, see deploy/install.sh mysql")
    } else {
        None
    };
    if let Some(missing) = missing {
        for suite in &suites {
            println!("SKIPPED: orm: {}: {missing}", suite.name);
        }
        println!("0 passed, 0 failed, {} skipped", suites.len());
        return ExitCode::SUCCESS;
    }
    let (passed, failed) = run(&orders, &suites).await;
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Both ways through all of them.
async fn run(orders: &Orders, suites: &[&Suite]) -> (usize, usize) {
    let sandbox = orders.sandbox().await;
    let source = Account {
        database: None,
        ..sandbox.source()
    };
    let mut admin = source.connect().await;
    admin
        .run(&format!(
            "CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'"
        ))
        .await;
    admin.run(&format!("GRANT ALL ON *.* TO {USER}@'%'")).await;

    let mut failed = 0;
    for suite in suites {
        clear(&source).await;
        let direct = suite.run(&source, orders).await;
        clear(&source).await;
        let proxied = suite.run(sandbox.app(), orders).await;
        let wrong = judge(&direct, &proxied);
        let outcome = if wrong.is_empty() { "ok" } else { "FAILED" };
        println!("test orm::{} ... {outcome}", suite.name);
        println!("    directly {}", direct.summary());
        println!("    proxied {}", proxied.summary());
        wrong.iter().for_each(|line| println!("    {line}"));
        if wrong.is_empty() {
            for both in direct.outcomes.iter().filter(|outcome| !outcome.is_well()) {
                println!("    both ways {}: {}", both.outcome, both.test);
            }
        } else {
            failed += 1;
        }
    }
    sandbox.assert_equal().await;
    (suites.len() - failed, failed)
}
