//! Which privileges Ackline's account needs on a server, and which it has.

use std::collections::BTreeSet;

use crate::ids::Flavor;
use crate::net::admin::literal;

/// MariaDB 10.11, measured one statement and one privilege at a time. The same on every server, since
/// each replica may become the source.
pub const MARIADB: &[(&str, &str)] = &[
    ("REPLICATION SLAVE", "attach as a replica"),
    ("REPLICATION MASTER ADMIN", "rpl_semi_sync_master_*"),
    (
        "REPLICATION SLAVE ADMIN",
        "rpl_semi_sync_slave_enabled, gtid_strict_mode, START and STOP SLAVE",
    ),
    ("BINLOG MONITOR", "SHOW MASTER STATUS"),
    ("BINLOG ADMIN", "binlog_format, sync_binlog"),
    ("SLAVE MONITOR", "SHOW ALL SLAVES STATUS"),
    ("READ_ONLY ADMIN", "read_only: not even SUPER suffices"),
    (
        "CONNECTION ADMIN",
        "end old dumps; log in where max_connections is reached",
    ),
    ("PROCESS", "see who else is attached"),
];

/// MySQL 9.7, measured likewise.
pub const MYSQL: &[(&str, &str)] = &[
    ("REPLICATION SLAVE", "attach as a replica"),
    (
        "BINLOG MONITOR",
        "REPLICATION CLIENT: SHOW REPLICA STATUS, SHOW BINARY LOG STATUS",
    ),
    ("REPLICATION_SLAVE_ADMIN", "START and STOP REPLICA"),
    (
        "SYSTEM_VARIABLES_ADMIN",
        "rpl_semi_sync_*, read_only, binlog_format and the like",
    ),
    ("BINLOG_ADMIN", "binlog settings"),
    (
        "CONNECTION_ADMIN",
        "end old dumps; log in where max_connections is reached",
    ),
    ("PROCESS", "see who else is attached"),
];

pub fn needed(flavor: Flavor) -> &'static [(&'static str, &'static str)] {
    match flavor {
        Flavor::MariaDb => MARIADB,
        Flavor::MySql => MYSQL,
    }
}

/// Without these a move works, and events do not run at the new source. Measured: an ALTER EVENT that leaves the
/// definer alone makes us the definer; naming another one needs SET USER (until MariaDB 10.11 SUPER has it; `event_scheduler`
/// needs SUPER in any case) or SET_ANY_DEFINER, and SYSTEM_USER where that one has it.
pub fn events(flavor: Flavor) -> &'static [&'static str] {
    match flavor {
        Flavor::MariaDb => &["EVENT", "SET USER", "SUPER"],
        Flavor::MySql => &[
            "EVENT",
            "SET_ANY_DEFINER",
            "ALLOW_NONEXISTENT_DEFINER",
            "SYSTEM_USER",
        ],
    }
}

/// What a server is read with that another one is a copy of. Without one of these a part of it would be left out without
/// a word.
pub fn donor(flavor: Flavor) -> &'static [(&'static str, &'static str)] {
    match flavor {
        Flavor::MariaDb => &[
            ("SELECT", "rows, routines and accounts"),
            ("SHOW VIEW", "views"),
            ("TRIGGER", "triggers"),
            ("EVENT", "events"),
            ("LOCK TABLES", "tables that no snapshot holds"),
        ],
        Flavor::MySql => &[
            ("SELECT", "rows and accounts"),
            ("SHOW VIEW", "views"),
            ("TRIGGER", "triggers"),
            ("EVENT", "events"),
            ("SHOW_ROUTINE", "routines"),
            ("RELOAD", "FLUSH TABLES WITH READ LOCK, for a moment"),
        ],
    }
}

/// What MySQL's CLONE INSTANCE takes at the server that is cloned.
pub const CLONE_DONOR: &[(&str, &str)] = &[("BACKUP_ADMIN", "CLONE INSTANCE FROM it")];

/// And at the one that becomes its copy.
pub const CLONE_TARGET: &[(&str, &str)] = &[
    ("CLONE_ADMIN", "CLONE INSTANCE"),
    ("SYSTEM_VARIABLES_ADMIN", "clone_valid_donor_list"),
];

/// What the schema of our own takes (`migrations/`), ON ackline.*. Without these there is none, and all else works.
pub const SCHEMA: &[&str] = &["CREATE", "SELECT", "INSERT", "UPDATE", "DELETE"];

/// `GRANT a, b ON *.* TO account`; the account as CURRENT_USER() says it.
pub fn statement(privileges: &[&str], account: &str) -> String {
    on("*.*", privileges, account)
}

/// The same for the schema of our own.
pub fn statement_in_schema(privileges: &[&str], account: &str) -> String {
    on("ackline.*", privileges, account)
}

/// For INSTALL PLUGIN.
pub fn statement_for_plugins(account: &str) -> String {
    on("mysql.plugin", &["INSERT"], account)
}

fn on(scope: &str, privileges: &[&str], account: &str) -> String {
    format!(
        "GRANT {} ON {scope} TO {}",
        privileges.join(", "),
        quoted(account)
    )
}

/// `user@host` with each part quoted. A user may contain an @, a host may not.
fn quoted(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    format!("{}@{}", literal(user), literal(host))
}

/// The privileges of an account, globally and in the schema of our own, by the words of SHOW GRANTS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    all: bool,
    names: BTreeSet<String>,
    in_schema: BTreeSet<String>,
    /// In `mysql.plugin`.
    in_plugins: BTreeSet<String>,
    /// There is a role, or a pattern of schemas: who has more than these lines show.
    more: bool,
}

/// What a line of SHOW GRANTS is about.
enum Scope {
    Global,
    OurSchema,
    /// `mysql.plugin`, or its schema.
    Plugins,
    /// A pattern of schemas.
    Schemas,
    Other,
}

impl Scope {
    fn of(object: &str) -> Self {
        if object == "*.*" {
            return Self::Global;
        }
        if ["mysql.plugin", "mysql.*"].contains(&object.replace('`', "").as_str()) {
            return Self::Plugins;
        }
        let Some(schema) = object.strip_suffix(".*") else {
            return Self::Other;
        };
        match schema.trim_matches(['`', '"']) {
            "ackline" => Self::OurSchema,
            pattern if pattern.contains(['%', '_']) => Self::Schemas,
            _ => Self::Other,
        }
    }
}

impl Grants {
    /// From the lines of SHOW GRANTS. They hold the password's hash: nothing else of them is kept.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut grants = Self::default();
        for line in lines {
            let Some(line) = line.strip_prefix("GRANT ") else {
                continue;
            };
            let on = line.split_once(" ON ");
            let Some((list, (object, _))) =
                on.and_then(|(list, rest)| Some((list, rest.split_once(" TO ")?)))
            else {
                grants.more = true;
                continue;
            };
            let privileges = list.split(',').map(|name| name.trim().to_ascii_uppercase());
            match Scope::of(object) {
                Scope::Global => {
                    for privilege in privileges {
                        grants.all |= privilege == "ALL PRIVILEGES";
                        grants.names.insert(modern(&privilege).to_owned());
                    }
                }
                Scope::OurSchema => grants.in_schema.extend(privileges),
                Scope::Plugins => grants.in_plugins.extend(privileges),
                Scope::Schemas => grants.more = true,
                Scope::Other => {}
            }
        }
        grants
    }

    pub fn has(&self, privilege: &str) -> bool {
        self.all || self.names.contains(privilege)
    }

    /// Those of [`SCHEMA`] that are not there for sure.
    pub fn lacks_in_schema(&self) -> Vec<&'static str> {
        if self.more || self.in_schema.contains("ALL PRIVILEGES") {
            return Vec::new();
        }
        let lacks = |name: &&str| !self.has(name) && !self.in_schema.contains(*name);
        SCHEMA.iter().copied().filter(lacks).collect()
    }

    /// INSTALL PLUGIN, where that shows.
    pub fn may_install_plugins(&self) -> bool {
        let there = ["INSERT", "ALL PRIVILEGES"];
        self.more || self.has("INSERT") || there.iter().any(|name| self.in_plugins.contains(*name))
    }

    /// Those of `needed` that are not there.
    pub fn lacks<'a>(&self, needed: &[(&'a str, &str)]) -> Vec<&'a str> {
        needed
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| !self.has(name))
            .collect()
    }
}

/// The servers take two names for some privileges.
fn modern(privilege: &str) -> &str {
    match privilege {
        "REPLICATION REPLICA" => "REPLICATION SLAVE",
        "REPLICATION REPLICA ADMIN" => "REPLICATION SLAVE ADMIN",
        "REPLICA MONITOR" => "SLAVE MONITOR",
        "REPLICATION CLIENT" => "BINLOG MONITOR",
        other => other,
    }
}

/// The privileges that the server's refusal names (error 1227); SUPER only where nothing less would
/// do.
pub fn named_in_refusal(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("(at least one of) the ")?;
    let (list, _) = rest.split_once(" privilege(s)")?;
    let names: Vec<&str> = list.split(", ").collect();
    let least = names.iter().find(|name| **name != "SUPER");
    Some((*least.or(names.first())?).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_show_grants_says() {
        // As MariaDB 10.11.19 says it.
        let grants = Grants::parse([
            "GRANT PROCESS, REPLICATION SLAVE, BINLOG MONITOR, CONNECTION ADMIN, READ_ONLY ADMIN ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*B69'",
            "GRANT BINLOG ADMIN ON `shop`.* TO `a`@`%`",
        ]);
        assert!(grants.has("READ_ONLY ADMIN"));
        assert_eq!(
            grants.lacks(MARIADB),
            [
                "REPLICATION MASTER ADMIN",
                "REPLICATION SLAVE ADMIN",
                "BINLOG ADMIN",
                "SLAVE MONITOR"
            ]
        );
        let all = Grants::parse(["GRANT ALL PRIVILEGES ON *.* TO `b`@`localhost`"]);
        assert!(all.lacks(MARIADB).is_empty());
        let role = Grants::parse(["GRANT `role` TO `a`@`%`"]);
        assert_eq!(role.lacks(MARIADB).len(), MARIADB.len());
    }

    #[test]
    fn what_show_grants_says_of_our_schema() {
        for (line, lacks) in [
            ("GRANT USAGE ON *.* TO `a`@`%`", SCHEMA),
            ("GRANT ALL PRIVILEGES ON `shop`.* TO `a`@`%`", SCHEMA),
            (
                "GRANT SELECT, CREATE ON `ackline`.* TO `a`@`%`",
                &["INSERT", "UPDATE", "DELETE"],
            ),
            (
                "GRANT SELECT, PROCESS, INSERT ON *.* TO `a`@`%`",
                &["CREATE", "UPDATE", "DELETE"],
            ),
            ("GRANT ALL PRIVILEGES ON `ackline`.* TO `a`@`%`", &[]),
            ("GRANT ALL PRIVILEGES ON *.* TO `a`@`%`", &[]),
            // Only the server can tell.
            ("GRANT `role`@`%` TO `a`@`%`", &[]),
            ("GRANT SELECT ON `ack%`.* TO `a`@`%`", &[]),
        ] {
            assert_eq!(Grants::parse([line]).lacks_in_schema(), lacks, "{line}");
        }
    }

    #[test]
    fn the_statement_to_run() {
        assert_eq!(
            statement(&["BINLOG ADMIN", "PROCESS"], "ack'line@10.0.0.%"),
            "GRANT BINLOG ADMIN, PROCESS ON *.* TO 'ack''line'@'10.0.0.%'"
        );
        assert_eq!(
            statement_in_schema(&["CREATE", "SELECT"], "a@%"),
            "GRANT CREATE, SELECT ON ackline.* TO 'a'@'%'"
        );
    }

    #[test]
    fn the_least_privilege_of_a_refusal() {
        let says = |list: &str| {
            format!(
                "Access denied; you need (at least one of) the {list} privilege(s) for this operation"
            )
        };
        for (list, least) in [
            ("SUPER, BINLOG ADMIN", "BINLOG ADMIN"),
            ("SUPER", "SUPER"),
            ("READ_ONLY ADMIN", "READ_ONLY ADMIN"),
        ] {
            assert_eq!(named_in_refusal(&says(list)).as_deref(), Some(least));
        }
        assert_eq!(named_in_refusal("something else"), None);
    }
}
