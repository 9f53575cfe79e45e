//! The accounts that every server has from its first start on.
//!
//! They are part of the data directory, not of the binlog: all servers have them alike, and the
//! first transaction in the binlog is the user's own.

use super::plan::{Account, Plan};
use crate::ids::Flavor;
use crate::sql::unsafe_statement::schema;
use crate::topology::doctor::grants;

/// What the proxy's account needs, measured on MariaDB 10.11 one statement and one privilege at a
/// time.
const MARIADB: [&str; 10] = [
    // The dump.
    "REPLICATION SLAVE",
    // SET GLOBAL rpl_semi_sync_master_*, SHOW SLAVE HOSTS.
    "REPLICATION MASTER ADMIN",
    // CHANGE MASTER, START and STOP SLAVE, SET GLOBAL rpl_semi_sync_slave_enabled, gtid_strict_mode.
    "REPLICATION SLAVE ADMIN",
    // SHOW MASTER STATUS, SHOW BINARY LOGS.
    "BINLOG MONITOR",
    // SET GLOBAL binlog_format, sync_binlog, binlog_annotate_row_events.
    "BINLOG ADMIN",
    // SHOW SLAVE STATUS.
    "SLAVE MONITOR",
    // SET GLOBAL read_only: nothing else suffices, not even SUPER.
    "READ_ONLY ADMIN",
    // KILL of a connection of somebody else, and a login where max_connections is reached.
    "CONNECTION ADMIN",
    // The connections of others in PROCESSLIST.
    "PROCESS",
    // FLUSH BINARY LOGS, RESET SLAVE.
    "RELOAD",
];

/// The same, measured on MySQL 9.7.
const MYSQL: [&str; 8] = [
    // The dump, SHOW REPLICAS.
    "REPLICATION SLAVE",
    // SHOW BINARY LOG STATUS, SHOW BINARY LOGS, SHOW REPLICA STATUS.
    "REPLICATION CLIENT",
    // CHANGE REPLICATION SOURCE, START and STOP REPLICA.
    "REPLICATION_SLAVE_ADMIN",
    // SET GLOBAL rpl_semi_sync_*, super_read_only, read_only, event_scheduler, binlog_format; SET PERSIST.
    "SYSTEM_VARIABLES_ADMIN",
    // PURGE BINARY LOGS.
    "BINLOG_ADMIN",
    // KILL of a connection of somebody else, and a login where max_connections is reached.
    "CONNECTION_ADMIN",
    // The connections of others in PROCESSLIST.
    "PROCESS",
    // FLUSH BINARY LOGS, RESET REPLICA.
    "RELOAD",
];

/// One statement a line, as the server's bootstrap reads it.
pub(super) fn sql(plan: &Plan) -> String {
    let database = &plan.database;
    let ackline: &[&str] = match plan.flavor {
        Flavor::MariaDb => &MARIADB,
        Flavor::MySql => &MYSQL,
    };
    let mut lines = vec![
        // The bootstrap runs without grant tables; this loads them.
        "FLUSH PRIVILEGES;".to_owned(),
        // An anonymous account would shadow ours for clients on the same host.
        "DROP USER IF EXISTS ''@'localhost';".to_owned(),
        format!("CREATE DATABASE {database} CHARACTER SET utf8mb4;"),
    ];
    let mut account = |account: &Account, grants: &[String]| {
        let Account { user, password } = account;
        lines.push(format!(
            "CREATE USER {user}@'%' IDENTIFIED BY '{password}';"
        ));
        for grant in grants {
            lines.push(format!("GRANT {grant};"));
        }
    };
    let to = |account: &Account| format!("TO {}@'%'", account.user);
    account(
        &plan.admin,
        &[format!("ALL ON *.* {} WITH GRANT OPTION", to(&plan.admin))],
    );
    account(
        &plan.app,
        &[
            format!("CREATE ON *.* {}", to(&plan.app)),
            format!("ALL ON {database}.* {}", to(&plan.app)),
        ],
    );
    let ours = to(&plan.ackline);
    let mut grants = vec![
        format!("{} ON *.* {ours}", ackline.join(", ")),
        // The schema, for the audit of statements.
        format!("{} ON *.* {ours}", schema::PRIVILEGES.join(", ")),
        // Events go on at a new source.
        format!("{} ON *.* {ours}", grants::events(plan.flavor).join(", ")),
        // The schema of our own.
        format!("{} ON ackline.* {ours}", grants::SCHEMA.join(", ")),
    ];
    if plan.flavor == Flavor::MariaDb {
        // So that its clients believe our own certificate by their password. The one above holds it as well; this is
        // the least that is needed.
        grants.push(format!("SELECT ON mysql.user {ours}"));
    }
    account(&plan.ackline, &grants);
    if plan.flavor == Flavor::MySql {
        // It has no password (--initialize-insecure).
        lines.push("DROP USER 'root'@'localhost';".to_owned());
    }
    lines.join("\n") + "\n"
}
