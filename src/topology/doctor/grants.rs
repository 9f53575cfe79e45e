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

/// `GRANT a, b ON *.* TO account`; the account as CURRENT_USER() says it.
pub fn statement(privileges: &[&str], account: &str) -> String {
    format!(
        "GRANT {} ON *.* TO {}",
        privileges.join(", "),
        quoted(account)
    )
}

/// `user@host` with each part quoted. A user may contain an @, a host may not.
fn quoted(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    format!("{}@{}", literal(user), literal(host))
}

/// The global privileges of an account, by the words of SHOW GRANTS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    all: bool,
    names: BTreeSet<String>,
}

impl Grants {
    /// From the lines of SHOW GRANTS. They hold the password's hash: nothing else of them is kept.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut grants = Self::default();
        for line in lines {
            let Some((list, _)) = line
                .strip_prefix("GRANT ")
                .and_then(|rest| rest.split_once(" ON *.* TO "))
            else {
                continue;
            };
            for privilege in list.split(',') {
                let privilege = privilege.trim().to_ascii_uppercase();
                grants.all |= privilege == "ALL PRIVILEGES";
                grants.names.insert(modern(&privilege).to_owned());
            }
        }
        grants
    }

    pub fn has(&self, privilege: &str) -> bool {
        self.all || self.names.contains(privilege)
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
        assert_eq!(
            Grants::parse(["GRANT `role` TO `a`@`%`"]),
            Grants::default()
        );
    }

    #[test]
    fn the_statement_to_run() {
        assert_eq!(
            statement(&["BINLOG ADMIN", "PROCESS"], "ack'line@10.0.0.%"),
            "GRANT BINLOG ADMIN, PROCESS ON *.* TO 'ack''line'@'10.0.0.%'"
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
