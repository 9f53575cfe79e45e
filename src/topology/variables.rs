//! What the flavors call the variables that we ask for.

use crate::ids::Flavor;

/// A key of ours, and the server's name.
type Variable = (&'static str, &'static str);

const BOTH: &[Variable] = &[
    ("server_id", "server_id"),
    ("read_only", "read_only"),
    ("log_bin", "log_bin"),
    ("binlog_format", "binlog_format"),
    ("binlog_row_image", "binlog_row_image"),
    ("binlog_checksum", "binlog_checksum"),
    ("sync_binlog", "sync_binlog"),
    (
        "innodb_flush_log_at_trx_commit",
        "innodb_flush_log_at_trx_commit",
    ),
    ("sync_relay_log", "sync_relay_log"),
    ("event_scheduler", "event_scheduler"),
    ("max_connections", "max_connections"),
];

/// MariaDB 10.11.
const MARIADB: &[Variable] = &[
    ("log_updates", "log_slave_updates"),
    ("applied", "gtid_slave_pos"),
    ("row_statements", "binlog_annotate_row_events"),
    ("skip_errors", "slave_skip_errors"),
    ("exec_mode", "slave_exec_mode"),
    ("events_marked_for_skip", "replicate_events_marked_for_skip"),
    ("gtid_strict_mode", "gtid_strict_mode"),
];

/// MySQL 9.7.
const MYSQL: &[Variable] = &[
    ("log_updates", "log_replica_updates"),
    ("applied", "gtid_executed"),
    ("row_statements", "binlog_rows_query_log_events"),
    ("skip_errors", "replica_skip_errors"),
    ("exec_mode", "replica_exec_mode"),
    ("super_read_only", "super_read_only"),
    ("gtid_mode", "gtid_mode"),
    ("enforce_gtid_consistency", "enforce_gtid_consistency"),
    ("preserve_commit_order", "replica_preserve_commit_order"),
    ("server_uuid", "server_uuid"),
];

fn of_flavor(flavor: Flavor) -> &'static [Variable] {
    match flavor {
        Flavor::MariaDb => MARIADB,
        Flavor::MySql => MYSQL,
    }
}

/// What the server calls `key`.
pub fn name(flavor: Flavor, key: &'static str) -> &'static str {
    of_flavor(flavor)
        .iter()
        .chain(BOTH)
        .find(|(known, _)| *known == key)
        .map_or(key, |(_, name)| name)
}

/// The mark that a server carries while it is provisioned.
const UNFINISHED_COPY: &str = "SELECT COUNT(*) FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = 'ackline' AND TABLE_NAME = 'provision'";

/// One row with a column a key. Asked for by name, since SHOW VARIABLES computes all of them.
pub(super) fn query(flavor: Flavor) -> String {
    let columns: Vec<String> = BOTH
        .iter()
        .chain(of_flavor(flavor))
        .map(|(key, name)| format!("@@global.{name} AS {key}"))
        .collect();
    format!(
        "SELECT {}, ({UNFINISHED_COPY}) AS unfinished_copy",
        columns.join(", ")
    )
}
