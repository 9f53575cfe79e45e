//! What a driver's program said, and what it is expected to say: lines "name: value".

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use crate::support::Flavor;

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

/// The values of each name, in the order in which they were said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<String, Vec<String>>);

impl Facts {
    pub fn parse(text: &str) -> Self {
        let mut facts = Self::default();
        for line in text.lines() {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            let values = facts.0.entry(name.to_owned()).or_default();
            values.push(value.to_owned());
        }
        facts
    }

    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// With the changes in a file's text: other values of a name, new names, and after `- ` names that
    /// are not said.
    fn changed_by(mut self, text: &str) -> Self {
        let (gone, changes): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("- "));
        for name in gone {
            self.0.remove(name.trim_start_matches("- "));
        }
        self.0.extend(Self::parse(&changes.join("\n")).0);
        self
    }

    /// The text that changes `self` into `other`.
    fn changes_to(&self, other: &Self) -> String {
        let mut text = String::new();
        for (name, values) in &other.0 {
            if self.0.get(name) != Some(values) {
                for value in values {
                    writeln!(text, "{name}: {value}").unwrap();
                }
            }
        }
        for name in self.0.keys() {
            if !other.0.contains_key(name) {
                writeln!(text, "- {name}").unwrap();
            }
        }
        text
    }

    /// The names about which they differ, and how.
    fn differences(&self, here: &str, other: &Self, there: &str) -> Vec<String> {
        let shown = |values: Option<&Vec<String>>| {
            values.map_or("(nothing)".to_owned(), |values| values.join(" | "))
        };
        let mut names: Vec<&String> = self.0.keys().chain(other.0.keys()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .map(|name| {
                let (left, right) = (shown(self.0.get(name)), shown(other.0.get(name)));
                format!("{name}: {here} {left}; {there} {right}")
            })
            .collect()
    }
}

/// What one run of a program said, or several runs together.
#[derive(Debug, Default)]
pub struct Said {
    pub facts: Facts,
    pub failures: Vec<String>,
    pub took: Duration,
    text: String,
}

impl Said {
    pub fn of(output: &Output, took: Duration) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let failure =
            (!output.status.success()).then(|| format!("{}\n{}", output.status, errors.trim()));
        Self {
            facts: Facts::parse(&text),
            failures: failure.into_iter().collect(),
            took,
            text,
        }
    }

    pub fn failed(failure: String, took: Duration) -> Self {
        Self {
            failures: vec![failure],
            took,
            ..Self::default()
        }
    }

    pub fn and(&self, other: Self) -> Self {
        let text = format!("{}{}", self.text, other.text);
        Self {
            facts: Facts::parse(&text),
            failures: [self.failures.clone(), other.failures].concat(),
            took: self.took + other.took,
            text,
        }
    }
}

/// What kind of run it is: each has facts of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Clear,
    /// As in clear, but for what was measured otherwise at a server with TLS.
    Tls,
    /// The proxy is killed and started again meanwhile.
    Restart,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "clear",
            Self::Tls => "tls",
            Self::Restart => "restart",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Clear, Self::Tls, Self::Restart]
            .into_iter()
            .find(|kind| kind.to_string() == name)
            .ok_or_else(|| format!("clear, restart or tls, not {name:?}"))
    }
}

/// Whether the MariaDB that the tests start says other things than 10.11.
fn is_mariadb_11() -> bool {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let said = Command::new("mariadbd").arg("--version").output();
        said.map_or_else(
            |_| String::new(),
            |said| String::from_utf8_lossy(&said.stdout).into_owned(),
        )
    });
    VERSION.contains("Ver 11.")
}

/// The facts that a driver is expected to say.
pub struct Expected {
    /// `facts/NAME.txt`: MariaDB 10.11, in clear.
    base: Facts,
    /// Files of changes, each on top of those before.
    changes: Vec<PathBuf>,
}

impl Expected {
    pub fn of(folder: &Path, driver: &str, flavor: Flavor, kind: Kind) -> Self {
        let file = |below: &str| folder.join(below).join(format!("{driver}.txt"));
        let server = match flavor {
            Flavor::MySql => Some("mysql"),
            Flavor::MariaDb => is_mariadb_11().then_some("mariadb-11.8"),
        };
        let mut changes = match (kind, server) {
            (Kind::Clear, None) => vec![],
            (Kind::Tls, None) => vec![file("tls")],
            (Kind::Clear, Some(server)) => vec![file(server)],
            (Kind::Tls, Some(server)) => {
                vec![file(server), file("tls"), file(&format!("{server}/tls"))]
            }
            (Kind::Restart, _) => vec![file("restart")],
        };
        // What a client of MariaDB 11 says of a lost connection is its own, whatever the server.
        if flavor == Flavor::MySql
            && kind == Kind::Tls
            && driver == "mariadb-client"
            && is_mariadb_11()
        {
            changes.push(file("mariadb-11.8/tls"));
        }
        let base = match kind {
            Kind::Restart => Facts::default(),
            _ => Facts::parse(&std::fs::read_to_string(file("")).unwrap_or_default()),
        };
        Self { base, changes }
    }

    fn up_to(&self, files: usize) -> Facts {
        let changes = self.changes[..files].iter();
        changes.fold(self.base.clone(), |facts, file| {
            facts.changed_by(&std::fs::read_to_string(file).unwrap_or_default())
        })
    }

    pub fn facts(&self) -> Facts {
        self.up_to(self.changes.len())
    }

    /// Takes what was said for expected from now on. `base` is the file of MariaDB in clear.
    pub fn write(&self, base: &Path, said: &Said) {
        let Some(last) = self.changes.last() else {
            std::fs::write(base, &said.text).unwrap();
            return;
        };
        let changes = self.up_to(self.changes.len() - 1).changes_to(&said.facts);
        if changes.is_empty() {
            let _ = std::fs::remove_file(last);
        } else {
            std::fs::create_dir_all(last.parent().unwrap()).unwrap();
            std::fs::write(last, changes).unwrap();
        }
    }
}

/// What is wrong with what it said on each of these ways, side by side.
pub fn judge(expected: &Facts, kind: Kind, ways: &[(&str, &Said)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (way, said) in ways {
        wrong.extend(
            said.failures
                .iter()
                .map(|failure| format!("{way}: {failure}")),
        );
        wrong.extend(expected.differences("expected", &said.facts, way));
    }
    if let [(one, first), (other, second)] = ways {
        wrong.extend(first.facts.differences(one, &second.facts, other));
    }
    let says = |subject: &str| expected.0.keys().any(|name| name.starts_with(subject));
    let silent = match kind {
        Kind::Restart => ["restart"]
            .into_iter()
            .filter(|subject| !says(subject))
            .collect(),
        Kind::Clear | Kind::Tls => {
            let subjects = SUBJECTS.into_iter();
            subjects
                .filter(|subject| !says(subject))
                .collect::<Vec<_>>()
        }
    };
    wrong.extend(
        silent
            .iter()
            .map(|subject| format!("no fact about {subject}")),
    );
    wrong
}
