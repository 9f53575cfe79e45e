//! What a donor holds besides rows: the statements that make it anew.

use std::collections::HashSet;

use crate::ids::Flavor;
use crate::net::admin::literal;
use crate::tables::{Definition, Name, Travel, quoted};

/// What stands in a schema and holds no rows, in the order in which it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Sequence,
    Function,
    Procedure,
    Package,
    PackageBody,
    View,
    Trigger,
    Event,
}

impl Kind {
    /// As statements name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sequence => "SEQUENCE",
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
            Self::Event => "EVENT",
        }
    }

    /// Of SHOW CREATE's answer, the column that holds the statement.
    pub fn column(self) -> String {
        match self {
            Self::Trigger => "SQL Original Statement".to_owned(),
            // A sequence is shown as the table that it is.
            Self::Sequence => "Create Table".to_owned(),
            kind => format!("Create {}", kind.word()),
        }
    }

    /// By the words of `information_schema`.
    pub fn of_routine(word: &str) -> Option<Self> {
        [
            Self::Function,
            Self::Procedure,
            Self::Package,
            Self::PackageBody,
        ]
        .into_iter()
        .find(|kind| kind.word() == word)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub kind: Kind,
    pub name: Name,
    pub create: String,
    /// What the session has to be while it is made.
    pub settings: Vec<String>,
}

impl Object {
    /// As people name it.
    pub fn shown(&self) -> String {
        format!("{} {}", self.kind.word().to_lowercase(), self.name)
    }

    /// An event is made such that it does not run: it runs at the source.
    pub fn statement(&self, flavor: Flavor) -> String {
        let disabled = match flavor {
            Flavor::MariaDb => "PRESERVE DISABLE ON SLAVE",
            Flavor::MySql => "PRESERVE DISABLE ON REPLICA",
        };
        match self.kind {
            Kind::Event => self.create.replacen("PRESERVE ENABLE", disabled, 1),
            _ => self.create.clone(),
        }
    }
}

/// Where a table's rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A snapshot holds them still.
    Snapshot,
    /// Only a lock does.
    Lock,
    /// It has none.
    None,
}

impl Rows {
    /// None of an engine whose tables stand for something outside.
    pub fn of(engine: &str) -> Option<Self> {
        match engine.to_ascii_lowercase().as_str() {
            "innodb" => Some(Self::Snapshot),
            "myisam" | "aria" | "csv" | "archive" | "memory" => Some(Self::Lock),
            "blackhole" => Some(Self::None),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub name: Name,
    pub create: String,
    pub definition: Definition,
    pub travel: Travel,
    pub rows: Rows,
    /// Estimates, both.
    pub bytes: u64,
    pub row_count: u64,
}

/// An account or a role, with what it may do. Not to be shown: hashes of passwords are in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// As statements name it.
    pub name: String,
    pub create: String,
    pub grants: Vec<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// All that a server holds, but for rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Names and statements.
    pub databases: Vec<(String, String)>,
    pub tables: Vec<Table>,
    pub objects: Vec<Object>,
    pub accounts: Vec<Account>,
}

impl Catalog {
    /// What must be the same before and after the read point was taken. Counters go on.
    pub fn shape(&self) -> Vec<String> {
        let databases = self
            .databases
            .iter()
            .map(|(name, create)| format!("schema {name}: {create}"));
        let tables = self
            .tables
            .iter()
            .map(|table| format!("table {}: {}", table.name, without_counter(&table.create)));
        let objects = self
            .objects
            .iter()
            .map(|object| format!("{}: {}", object.shown(), object.create));
        let accounts = self
            .accounts
            .iter()
            .map(|account| format!("{}: {} {:?}", account.name, account.create, account.grants));
        databases
            .chain(tables)
            .chain(objects)
            .chain(accounts)
            .collect()
    }

    /// The first thing that is other, or only here or there, by its name.
    pub fn differs(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (self.shape(), other.shape());
        // Its name; behind that may stand a password's hash.
        let only = |these: &[String], those: &[String]| {
            let those: HashSet<&String> = those.iter().collect();
            let found = these.iter().find(|shape| !those.contains(shape));
            found.map(|shape| {
                shape
                    .split_once(": ")
                    .map_or("", |(name, _)| name)
                    .to_owned()
            })
        };
        (ours != theirs)
            .then(|| only(&ours, &theirs).or_else(|| only(&theirs, &ours)))
            .flatten()
    }

    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// A table's statement without what the next row's number will be.
fn without_counter(create: &str) -> String {
    const COUNTER: &str = " AUTO_INCREMENT=";
    let Some(at) = create.rfind(COUNTER) else {
        return create.to_owned();
    };
    let (head, tail) = create.split_at(at);
    let tail = tail[COUNTER.len()..].trim_start_matches(|letter: char| letter.is_ascii_digit());
    format!("{head}{tail}")
}

/// `SHOW CREATE` of a thing, by its kind's word.
pub fn show_create(word: &str, name: &Name) -> String {
    format!("SHOW CREATE {word} {}", name.quoted())
}

/// An account as statements name it; a role of MariaDB has no host.
pub fn account_name(user: &str, host: Option<&str>) -> String {
    match host {
        Some(host) => format!("{}@{}", literal(user), literal(host)),
        None => quoted(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(table: &str) -> Name {
        Name {
            database: "d".into(),
            table: table.into(),
        }
    }

    #[test]
    fn an_event_does_not_run() {
        let event = |create: &str| Object {
            kind: Kind::Event,
            name: name("e"),
            create: create.into(),
            settings: Vec::new(),
        };
        let on = event(
            "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE EVERY 1 DAY STARTS '2024-01-01 00:00:00' ON COMPLETION NOT PRESERVE ENABLE DO SELECT 'PRESERVE ENABLE'",
        );
        assert!(
            on.statement(Flavor::MariaDb)
                .contains("NOT PRESERVE DISABLE ON SLAVE DO SELECT 'PRESERVE ENABLE'")
        );
        let off = event(
            "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE DISABLE DO DO 0",
        );
        assert_eq!(off.statement(Flavor::MySql), off.create);
    }

    #[test]
    fn counters_go_on() {
        let create = "CREATE TABLE `t` (\n  `a` int DEFAULT ' AUTO_INCREMENT=3'\n) ENGINE=InnoDB AUTO_INCREMENT=123 DEFAULT CHARSET=utf8mb4";
        assert_eq!(
            without_counter(create),
            "CREATE TABLE `t` (\n  `a` int DEFAULT ' AUTO_INCREMENT=3'\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
        );
        assert_eq!(without_counter("CREATE TABLE t"), "CREATE TABLE t");
    }

    #[test]
    fn what_is_other_is_named() {
        let with = |create: &str| Catalog {
            databases: vec![("d".into(), create.into())],
            ..Catalog::default()
        };
        assert_eq!(with("a").differs(&with("a")), None);
        assert_eq!(with("a").differs(&with("b")).as_deref(), Some("schema d"));
        let nothing = Catalog::default();
        assert_eq!(nothing.differs(&with("b")).as_deref(), Some("schema d"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let account = Account {
            name: "'a'@'%'".into(),
            create: "CREATE USER 'a'@'%' IDENTIFIED BY PASSWORD '*123'".into(),
            grants: Vec::new(),
        };
        assert_eq!(format!("{account:?}"), "'a'@'%'");
    }
}
