//! Real drivers, each in a program of its own below `tests/drivers/`: what one says directly at the
//! source, it must say through the proxy, line by line, and both must say what `tests/drivers/facts/`
//! holds. Then each says it again through the proxy over TLS, which lets nobody in without.
//!
//! `cargo test --test drivers -- [--write-facts] [NAME…]`; without a name all. What is not installed
//! (`tests/drivers/install.sh`) is skipped and counted so. `--write-facts` takes what is said directly
//! for the facts: review them before they are committed.
//!
//! Through somebody else's address instead of a sandbox: ACKLINE_DIRECT and ACKLINE_PROXIED, both
//! `user:password@host:port`, and ACKLINE_DIRECT_TLS_CA and ACKLINE_PROXIED_TLS_CA where TLS is to be
//! used. The user may create databases.

// A test that cannot go on shall stop where it is.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "support/certificates.rs"]
#[allow(dead_code)]
mod certificates;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use certificates::Authority;
use support::{Account, Part, SOON, Sandbox, wait_until};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers");
/// A driver that says nothing for so long hangs.
const WITHIN: Duration = Duration::from_secs(300);
/// What every driver has to have said something about.
const SUBJECTS: [&str; 8] = [
    "connect",
    "types",
    "prepared",
    "blob",
    "transaction",
    "error",
    "big",
    "kill",
];

struct Driver {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    /// What has to be there for it to run.
    needs: Needs,
}

enum Needs {
    /// A file in the folder of installed drivers.
    Installed(&'static str),
    /// A command that succeeds.
    Command(&'static [&'static str]),
}

const DRIVERS: [Driver; 9] = [
    Driver {
        name: "mariadb-client",
        program: "bash",
        arguments: &["command_line/client.sh", "mariadb"],
        needs: Needs::Command(&["mariadb", "--version"]),
    },
    Driver {
        name: "PyMySQL",
        program: "{installed}/python/bin/python",
        arguments: &["python/pymysql_smoke.py"],
        needs: Needs::Installed("python/.made-of"),
    },
    Driver {
        name: "mysql-connector-python",
        program: "{installed}/python/bin/python",
        arguments: &["python/connector_smoke.py"],
        needs: Needs::Installed("python/.made-of"),
    },
    Driver {
        name: "asyncmy",
        program: "{installed}/python/bin/python",
        arguments: &["python/asyncmy_smoke.py"],
        needs: Needs::Installed("python/.made-of"),
    },
    Driver {
        name: "npm-mysql2",
        program: "node",
        arguments: &["node/mysql2.js"],
        needs: Needs::Installed("node/.made-of"),
    },
    Driver {
        name: "npm-mariadb",
        program: "node",
        arguments: &["node/mariadb.js"],
        needs: Needs::Installed("node/.made-of"),
    },
    Driver {
        name: "DBD-MariaDB",
        program: "perl",
        arguments: &["perl/dbd.pl", "MariaDB"],
        needs: Needs::Command(&["perl", "-MDBD::MariaDB", "-e1"]),
    },
    Driver {
        name: "DBD-mysql",
        program: "perl",
        arguments: &["perl/dbd.pl", "mysql"],
        needs: Needs::Command(&["perl", "-MDBD::mysql", "-e1"]),
    },
    Driver {
        name: "connector-j",
        program: "java",
        arguments: &[
            "-Dfile.encoding=UTF-8",
            "-cp",
            "{installed}/java:/usr/share/java/mariadb-java-client.jar",
            "Smoke",
        ],
        needs: Needs::Installed("java/.made-of"),
    },
];

/// Where a driver connects to.
struct Way {
    name: &'static str,
    account: Account,
    tls_ca: Option<String>,
}

/// ACKLINE_DRIVERS, as tests/drivers/install.sh decides it.
fn installed() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(drivers) = variable("ACKLINE_DRIVERS") {
        return PathBuf::from(drivers);
    }
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    cache.unwrap_or_default().join("ackline/drivers")
}

impl Driver {
    fn is_installed(&self) -> bool {
        match self.needs {
            Needs::Installed(file) => installed().join(file).is_file(),
            Needs::Command(command) => Command::new(command[0])
                .args(&command[1..])
                .stdin(Stdio::null())
                .output()
                .is_ok_and(|output| output.status.success()),
        }
    }

    async fn run(&self, way: &Way) -> Said {
        let installed = installed().display().to_string();
        let here = |text: &str| text.replace("{installed}", &installed);
        let mut command = tokio::process::Command::new(here(self.program));
        command
            .args(self.arguments.iter().map(|argument| here(argument)))
            .current_dir(FOLDER)
            .env("ACKLINE_DRIVERS", &installed)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore")
            .env("ACKLINE_DB_HOST", &way.account.host)
            .env("ACKLINE_DB_PORT", way.account.port.to_string())
            .env("ACKLINE_DB_USER", &way.account.user)
            .env("ACKLINE_DB_PASSWORD", &way.account.password)
            .env(
                "ACKLINE_DB_DATABASE",
                way.account.database.as_deref().unwrap(),
            )
            .env_remove("ACKLINE_DB_TLS_CA")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(ca) = &way.tls_ca {
            command.env("ACKLINE_DB_TLS_CA", ca);
        }
        let began = Instant::now();
        let output = match tokio::time::timeout(WITHIN, command.output()).await {
            Ok(output) => output.unwrap_or_else(|error| panic!("{}: {error}", self.name)),
            Err(_) => {
                return Said {
                    facts: Vec::new(),
                    failure: Some(format!("it hangs ({} s)", WITHIN.as_secs())),
                    took: began.elapsed(),
                };
            }
        };
        Said::of(&output, began.elapsed())
    }

    fn facts_file(&self) -> PathBuf {
        Path::new(FOLDER).join(format!("facts/{}.txt", self.name))
    }

    fn expected(&self) -> Vec<String> {
        let facts = std::fs::read_to_string(self.facts_file()).unwrap_or_default();
        facts.lines().map(ToOwned::to_owned).collect()
    }

    /// The same over TLS, but for what `facts/tls/` holds: measured directly at a server with TLS.
    fn expected_tls(&self) -> Vec<String> {
        let file = Path::new(FOLDER).join(format!("facts/tls/{}.txt", self.name));
        let others = std::fs::read_to_string(file).unwrap_or_default();
        let name = |fact: &str| fact.split_once(": ").map(|(name, _)| name.to_owned());
        let other = |fact: &String| others.lines().find(|other| name(other) == name(fact));
        let same = self.expected().into_iter();
        same.map(|fact| other(&fact).map_or(fact, ToOwned::to_owned))
            .collect()
    }

    /// What is wrong with what it said over TLS.
    fn judge_tls(&self, said: &Said) -> Vec<String> {
        let failure = said.failure.iter().map(|failure| format!("TLS: {failure}"));
        let differ = differences("expected", &self.expected_tls(), "over TLS", &said.facts);
        failure.chain(differ).collect()
    }

    /// What is wrong with what it said.
    fn judge(&self, direct: &Said, proxied: &Said) -> Vec<String> {
        let mut wrong = Vec::new();
        for (way, said) in [("directly", direct), ("proxied", proxied)] {
            if let Some(failure) = &said.failure {
                wrong.push(format!("{way}: {failure}"));
            }
        }
        wrong.extend(differences(
            "directly",
            &direct.facts,
            "proxied",
            &proxied.facts,
        ));
        let expected = self.expected();
        wrong.extend(differences(
            "expected",
            &expected,
            "directly",
            &direct.facts,
        ));
        for subject in SUBJECTS {
            let of_subject = |fact: &String| fact.starts_with(subject);
            if !expected.iter().any(of_subject) {
                wrong.push(format!("no fact about {subject}"));
            }
        }
        wrong
    }
}

/// The facts that a program printed.
struct Said {
    facts: Vec<String>,
    failure: Option<String>,
    took: Duration,
}

impl Said {
    fn of(output: &Output, took: Duration) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let failure =
            (!output.status.success()).then(|| format!("{}\n{}", output.status, errors.trim()));
        Self {
            facts: text.lines().map(ToOwned::to_owned).collect(),
            failure,
            took,
        }
    }
}

/// Facts by name, where one has more or says something else.
fn differences(one: &str, first: &[String], other: &str, second: &[String]) -> Vec<String> {
    fn by_name(facts: &[String]) -> BTreeMap<(&str, usize), &str> {
        let mut seen = BTreeMap::<&str, usize>::new();
        let mut all = BTreeMap::new();
        for fact in facts {
            let (name, value) = fact.split_once(": ").unwrap_or((fact, ""));
            let times = seen.entry(name).or_default();
            all.insert((name, *times), value);
            *times += 1;
        }
        all
    }
    let (left, right) = (by_name(first), by_name(second));
    let mut names: Vec<_> = left.keys().chain(right.keys()).collect();
    names.sort();
    names.dedup();
    let shown = |value: Option<&&str>| value.map_or("(nothing)".to_owned(), ToString::to_string);
    names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name))
        .map(|name| {
            let (left, right) = (shown(left.get(name)), shown(right.get(name)));
            format!("{}: {one} {left}; {other} {right}", name.0)
        })
        .collect()
}

/// Both ways to one source, each in a database of its own, so that they can be gone side by side.
struct Ways {
    direct: Way,
    proxied: Way,
    sandbox: Option<Sandbox>,
}

impl Ways {
    async fn open() -> Self {
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (direct, proxied, sandbox) = match (given("ACKLINE_DIRECT"), given("ACKLINE_PROXIED")) {
            (Some(direct), Some(proxied)) => (account(&direct), account(&proxied), None),
            _ => {
                let sandbox = Sandbox::up(&["--mode", "semi-sync"]).await;
                let source = sandbox.source();
                // The same account both ways: what it may do is a part of what drivers see.
                let direct = Account {
                    host: source.host.clone(),
                    port: source.port,
                    ..sandbox.app().clone()
                };
                let proxied = sandbox.app().clone();
                let mut admin = source.connect().await;
                for database in ["drivers_direct", "drivers_proxied"] {
                    let user = &direct.user;
                    admin.run(&format!("CREATE DATABASE {database}")).await;
                    admin
                        .run(&format!("GRANT ALL ON {database}.* TO {user}@'%'"))
                        .await;
                }
                (direct, proxied, Some(sandbox))
            }
        };
        if sandbox.is_none() {
            let mut admin = direct.connect().await;
            for database in ["drivers_direct", "drivers_proxied"] {
                admin
                    .run(&format!("CREATE DATABASE IF NOT EXISTS {database}"))
                    .await;
            }
        }
        let way = |name: &'static str, account: Account, database: &str, ca| Way {
            name,
            account: Account {
                database: Some(database.to_owned()),
                ..account
            },
            tls_ca: given(ca),
        };
        Self {
            direct: way("direct", direct, "drivers_direct", "ACKLINE_DIRECT_TLS_CA"),
            proxied: way(
                "proxied",
                proxied,
                "drivers_proxied",
                "ACKLINE_PROXIED_TLS_CA",
            ),
            sandbox,
        }
    }

    /// The proxy again, with a certificate and for TLS only: a driver that gets in is encrypted. None
    /// where the proxy is not ours.
    async fn require_tls(&self) -> Option<(Way, tempfile::TempDir)> {
        let sandbox = self.sandbox.as_ref()?;
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "ca");
        let ours = authority.issue("proxy");
        // Replicas stay as they are.
        let tls = format!(
            "{}\n[tls]\nmode = \"required\"\nreplication = \"off\"\ncert = {:?}\nkey = {:?}\n",
            sandbox.config(),
            ours.cert.display().to_string(),
            ours.key.display().to_string(),
        );
        sandbox.stop(Part::Proxy);
        sandbox.save_config(&tls);
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
        let way = Way {
            name: "proxied over TLS",
            account: self.proxied.account.clone(),
            tls_ca: Some(authority.cert().display().to_string()),
        };
        let clear = || {
            Command::new("mariadb")
                .args(["--no-defaults", "--skip-ssl", "--execute=SELECT 1"])
                .arg(format!("--host={}", way.account.host))
                .arg(format!("--port={}", way.account.port))
                .arg(format!("--user={}", way.account.user))
                .env("MYSQL_PWD", &way.account.password)
                .stdin(Stdio::null())
                .output()
                .expect("mariadb")
        };
        wait_until(
            "the proxy refuses what is not encrypted",
            SOON,
            async || {
                let output = clear();
                let told = String::from_utf8_lossy(&output.stderr).into_owned();
                if !output.status.success() && told.contains("ERROR 3159") {
                    Ok(())
                } else {
                    Err(told)
                }
            },
        )
        .await;
        Some((way, folder))
    }
}

/// `user:password@host:port`.
fn account(text: &str) -> Account {
    let parse = || {
        let (login, address) = text.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (host, port) = address.rsplit_once(':')?;
        Some(Account {
            host: host.to_owned(),
            port: port.parse().ok()?,
            user: user.to_owned(),
            password: password.to_owned(),
            database: None,
        })
    };
    parse().expect("user:password@host:port")
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let writes = arguments.iter().any(|argument| argument == "--write-facts");
    let names: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let wanted =
        |driver: &&Driver| names.is_empty() || names.iter().any(|name| **name == driver.name);

    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let (ready, missing): (Vec<&Driver>, Vec<&Driver>) = DRIVERS
        .iter()
        .filter(wanted)
        .partition(|driver| driver.is_installed());
    for driver in missing {
        skipped += 1;
        println!(
            "SKIPPED: drivers: {} is not installed, see tests/drivers/install.sh",
            driver.name
        );
    }
    if !ready.is_empty() {
        let ways = Ways::open().await;
        println!("ways: {} and {}", ways.direct.name, ways.proxied.name);
        for driver in &ready {
            let (direct, proxied) =
                tokio::join!(driver.run(&ways.direct), driver.run(&ways.proxied));
            if writes {
                std::fs::write(driver.facts_file(), direct.facts.join("\n") + "\n").unwrap();
            }
            let wrong = driver.judge(&direct, &proxied);
            let outcome = if wrong.is_empty() { "ok" } else { "FAILED" };
            println!("test drivers::{} ... {outcome}", driver.name);
            println!(
                "    {} facts, {:.1} s direct, {:.1} s proxied",
                direct.facts.len(),
                direct.took.as_secs_f32(),
                proxied.took.as_secs_f32()
            );
            wrong.iter().for_each(|line| println!("    {line}"));
            if wrong.is_empty() {
                passed += 1;
            } else {
                failed += 1;
            }
        }
        if let Some((way, _certificates)) = ways.require_tls().await {
            for driver in &ready {
                let said = driver.run(&way).await;
                let wrong = driver.judge_tls(&said);
                let outcome = if wrong.is_empty() { "ok" } else { "FAILED" };
                println!("test drivers::{}::tls ... {outcome}", driver.name);
                println!(
                    "    {} facts, {:.1} s {}",
                    said.facts.len(),
                    said.took.as_secs_f32(),
                    way.name
                );
                wrong.iter().for_each(|line| println!("    {line}"));
                if wrong.is_empty() {
                    passed += 1;
                } else {
                    failed += 1;
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
