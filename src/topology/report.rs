//! What a server said of itself: one round of questions, parsed.
//!
//! Only statements that do not wait for locks of replication or of the binlog are asked, so that a
//! source whose commits wait for an ack answers as well (FACTS.md, section 2).

use std::collections::BTreeMap;

use crate::gtid::mariadb::{BinlogState, Position};
use crate::ids::{Flavor, ServerId};
use crate::net::admin::{Admin, Row};
use crate::net::{self};

/// Variables that a MariaDB 10.11 has; asked for by name, since SHOW VARIABLES computes all of them.
const MARIADB_VARIABLES: &[&str] = &[
    "server_id",
    "version",
    "read_only",
    "log_bin",
    "log_slave_updates",
    "gtid_strict_mode",
    "gtid_domain_id",
    "gtid_slave_pos",
    "gtid_binlog_pos",
    "gtid_binlog_state",
    "binlog_format",
    "binlog_row_image",
    "binlog_annotate_row_events",
    "binlog_checksum",
    "sync_binlog",
    "innodb_flush_log_at_trx_commit",
    "sync_relay_log",
    "slave_skip_errors",
    "slave_exec_mode",
    "replicate_events_marked_for_skip",
    "rpl_semi_sync_master_enabled",
    "rpl_semi_sync_master_timeout",
    "rpl_semi_sync_master_wait_point",
    "rpl_semi_sync_master_wait_no_slave",
    "rpl_semi_sync_slave_enabled",
    "event_scheduler",
    "max_connections",
];

/// The servers' own word for "never".
pub const ENDLESS: u64 = u64::MAX;

/// `rpl_semi_sync_master_*`, variables and counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SemiSyncSource {
    pub enabled: bool,
    pub timeout_ms: u64,
    pub wait_point: String,
    pub wait_no_replica: bool,
    /// Attached semi-sync replicas.
    pub clients: u64,
    /// Whether commits are waited for now.
    pub active: bool,
    /// Commits that returned without an ack since the server started.
    pub no_tx: u64,
    /// Sessions that wait for an ack now.
    pub waiting: u64,
}

/// One row of SHOW ALL SLAVES STATUS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// Empty for the default connection.
    pub connection: String,
    pub source_host: String,
    pub source_port: u16,
    pub io: Thread,
    pub sql: Thread,
    pub io_error: Option<String>,
    pub sql_error: Option<String>,
    pub seconds_behind: Option<u64>,
    /// `No`, `Slave_Pos` or `Current_Pos`.
    pub using_gtid: String,
    /// What it has asked for or received last.
    pub io_position: Option<Position>,
    /// `name=value` of each filter that is set.
    pub filters: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thread {
    Running,
    Connecting,
    #[default]
    Stopped,
}

impl Thread {
    fn parse(text: &str) -> Self {
        match text {
            "Yes" => Self::Running,
            "Connecting" | "Preparing" => Self::Connecting,
            _ => Self::Stopped,
        }
    }
}

/// Everything that a server said in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub flavor: Flavor,
    pub version: String,
    pub server_id: ServerId,
    pub read_only: bool,
    pub log_bin: bool,
    pub log_slave_updates: bool,
    pub gtid_strict_mode: bool,
    pub gtid_domain_id: u32,
    pub gtid_slave_pos: Position,
    pub gtid_binlog_pos: Position,
    pub gtid_binlog_state: BinlogState,
    pub binlog_format: String,
    pub binlog_row_image: String,
    pub binlog_annotate_row_events: bool,
    pub binlog_checksum: String,
    pub sync_binlog: u64,
    pub flush_log_at_trx_commit: u64,
    pub sync_relay_log: u64,
    pub slave_skip_errors: String,
    pub slave_exec_mode: String,
    pub events_marked_for_skip: String,
    pub event_scheduler: String,
    pub max_connections: u64,
    pub connections: u64,
    /// Since the server started; smaller than last time means that it was started again.
    pub uptime_seconds: u64,
    pub semi_sync_source: SemiSyncSource,
    pub semi_sync_replica: bool,
    /// Whether its IO thread acknowledges now: a change of the setting takes a restart of the thread.
    pub semi_sync_replica_active: bool,
    pub following: Following,
}

/// Whom it replicates from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Following {
    /// One entry a replication connection; none for a server that follows nobody.
    Known(Vec<Replication>),
    /// The account lacks SLAVE MONITOR.
    Denied,
    /// SHOW ALL SLAVES STATUS does not come back: it waits behind a STOP SLAVE that hangs.
    Hangs,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error("{variable} is '{value}', which this version of ackline does not understand")]
    Unexpected {
        variable: &'static str,
        value: String,
    },
    #[error("SHOW ALL SLAVES STATUS does not come back (does a STOP SLAVE hang there?)")]
    FollowingHangs,
    #[error("MySQL servers are not supported yet, only MariaDB (the server says it is {version})")]
    MySql { version: String },
}

impl Report {
    /// One round of questions; each has the connection's deadline. `following` is false where the
    /// question for SHOW ALL SLAVES STATUS did not come back lately: a thread that hangs in it
    /// cannot be killed, so it must not be asked again every second.
    pub async fn ask(admin: &mut Admin, following: bool) -> Result<Self, Error> {
        let version = admin.value("SELECT VERSION()").await?.unwrap_or_default();
        if !version.to_ascii_lowercase().contains("mariadb") {
            return Err(Error::MySql { version });
        }
        let list: Vec<String> = MARIADB_VARIABLES
            .iter()
            .map(|name| format!("@@global.{name} AS {name}"))
            .collect();
        let rows = admin.query(&format!("SELECT {}", list.join(", "))).await?;
        let variables = rows.into_iter().next().unwrap_or_default();
        let counters = admin
            .query(
                "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Uptime', \
                 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_master_status', \
                 'Rpl_semi_sync_master_no_tx', 'Rpl_semi_sync_master_wait_sessions', \
                 'Rpl_semi_sync_slave_status')",
            )
            .await?;
        let counters = counters
            .iter()
            .filter_map(|row| {
                let name = row.text("Variable_name")?.to_ascii_lowercase();
                Some((name, row.text("Value")?.to_owned()))
            })
            .collect();
        let following = match following {
            false => Following::Hangs,
            true => match admin.query("SHOW ALL SLAVES STATUS").await {
                Ok(rows) => Following::Known(rows.iter().map(Replication::of).collect()),
                Err(error) if is_denied(&error) => Following::Denied,
                Err(net::Error::Timeout { .. }) => return Err(Error::FollowingHangs),
                Err(error) => return Err(error.into()),
            },
        };
        Self::of(&variables, &counters, following)
    }

    fn of(
        row: &Row,
        counters: &BTreeMap<String, String>,
        following: Following,
    ) -> Result<Self, Error> {
        let text = |name: &str| row.text(name).unwrap_or_default().to_owned();
        let on = |name: &str| is_on(row.text(name).unwrap_or_default());
        let counter = |name: &str| {
            counters
                .get(name)
                .and_then(|value| value.parse().ok())
                .unwrap_or_default()
        };
        Ok(Self {
            flavor: Flavor::MariaDb,
            version: text("version"),
            server_id: ServerId(parsed(row, "server_id")?),
            read_only: on("read_only"),
            log_bin: on("log_bin"),
            log_slave_updates: on("log_slave_updates"),
            gtid_strict_mode: on("gtid_strict_mode"),
            gtid_domain_id: parsed(row, "gtid_domain_id")?,
            gtid_slave_pos: parsed(row, "gtid_slave_pos")?,
            gtid_binlog_pos: parsed(row, "gtid_binlog_pos")?,
            gtid_binlog_state: parsed(row, "gtid_binlog_state")?,
            binlog_format: text("binlog_format"),
            binlog_row_image: text("binlog_row_image"),
            binlog_annotate_row_events: on("binlog_annotate_row_events"),
            binlog_checksum: text("binlog_checksum"),
            sync_binlog: parsed(row, "sync_binlog")?,
            flush_log_at_trx_commit: parsed(row, "innodb_flush_log_at_trx_commit")?,
            sync_relay_log: parsed(row, "sync_relay_log")?,
            slave_skip_errors: text("slave_skip_errors"),
            slave_exec_mode: text("slave_exec_mode"),
            events_marked_for_skip: text("replicate_events_marked_for_skip"),
            event_scheduler: text("event_scheduler"),
            max_connections: parsed(row, "max_connections")?,
            connections: counter("threads_connected"),
            uptime_seconds: counter("uptime"),
            semi_sync_source: SemiSyncSource {
                enabled: on("rpl_semi_sync_master_enabled"),
                timeout_ms: parsed(row, "rpl_semi_sync_master_timeout")?,
                wait_point: text("rpl_semi_sync_master_wait_point"),
                wait_no_replica: on("rpl_semi_sync_master_wait_no_slave"),
                clients: counter("rpl_semi_sync_master_clients"),
                active: counters
                    .get("rpl_semi_sync_master_status")
                    .is_some_and(|value| is_on(value)),
                no_tx: counter("rpl_semi_sync_master_no_tx"),
                waiting: counter("rpl_semi_sync_master_wait_sessions"),
            },
            semi_sync_replica: on("rpl_semi_sync_slave_enabled"),
            semi_sync_replica_active: counters
                .get("rpl_semi_sync_slave_status")
                .is_some_and(|value| is_on(value)),
            following,
        })
    }

    /// The connection by which it follows a source; None where it follows nobody, or where the
    /// account may not know.
    pub fn main_replication(&self) -> Option<&Replication> {
        let Following::Known(all) = &self.following else {
            return None;
        };
        all.iter()
            .find(|one| one.connection.is_empty())
            .or_else(|| all.first())
    }

    /// Whether what it acknowledges is fsynced first.
    pub fn acks_durably(&self) -> bool {
        self.sync_relay_log == 1
    }
}

impl Replication {
    fn of(row: &Row) -> Self {
        let text = |name: &str| row.text(name).unwrap_or_default().to_owned();
        let error = |name: &str| row.text(name).filter(|e| !e.is_empty()).map(str::to_owned);
        Self {
            connection: text("Connection_name"),
            source_host: text("Master_Host"),
            source_port: text("Master_Port").parse().unwrap_or_default(),
            io: Thread::parse(&text("Slave_IO_Running")),
            sql: Thread::parse(&text("Slave_SQL_Running")),
            io_error: error("Last_IO_Error"),
            sql_error: error("Last_SQL_Error"),
            seconds_behind: text("Seconds_Behind_Master").parse().ok(),
            using_gtid: text("Using_Gtid"),
            io_position: text("Gtid_IO_Pos").parse().ok(),
            filters: row
                .columns()
                .iter()
                .enumerate()
                // Every column of a filter begins so, in each version; there are no others.
                .filter(|(_, name)| name.starts_with("Replicate_"))
                .filter_map(|(at, name)| {
                    let value = row.at(at).filter(|value| !value.is_empty())?;
                    Some(format!("{}={value}", name.to_ascii_lowercase()))
                })
                .collect(),
        }
    }

    pub fn source_address(&self) -> String {
        format!("{}:{}", self.source_host, self.source_port)
    }
}

/// Whether the account lacks a privilege, as opposed to the server being in trouble.
pub fn is_denied(error: &net::Error) -> bool {
    matches!(error.server_code(), Some(1044 | 1045 | 1142 | 1227))
}

fn is_on(text: &str) -> bool {
    // Later versions of MariaDB have words for degrees of read_only: anything but off is on.
    !matches!(text.to_ascii_uppercase().as_str(), "" | "0" | "OFF" | "NO")
}

fn parsed<T: std::str::FromStr>(row: &Row, variable: &'static str) -> Result<T, Error> {
    let value = row.text(variable).unwrap_or_default();
    value.parse().map_err(|_| Error::Unexpected {
        variable,
        value: value.to_owned(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A replica as it should be, following 127.0.0.1:3308.
    pub(crate) fn good_replica() -> Report {
        Report {
            flavor: Flavor::MariaDb,
            version: "10.11.19-MariaDB-log".into(),
            server_id: ServerId(2),
            read_only: true,
            log_bin: true,
            log_slave_updates: true,
            gtid_strict_mode: true,
            gtid_domain_id: 0,
            gtid_slave_pos: "0-1-7".parse().unwrap(),
            gtid_binlog_pos: "0-1-7".parse().unwrap(),
            gtid_binlog_state: "0-1-7".parse().unwrap(),
            binlog_format: "MIXED".into(),
            binlog_row_image: "FULL".into(),
            binlog_annotate_row_events: true,
            binlog_checksum: "CRC32".into(),
            sync_binlog: 1,
            flush_log_at_trx_commit: 1,
            sync_relay_log: 10_000,
            slave_skip_errors: "OFF".into(),
            slave_exec_mode: "STRICT".into(),
            events_marked_for_skip: "REPLICATE".into(),
            event_scheduler: "OFF".into(),
            max_connections: 151,
            connections: 3,
            uptime_seconds: 100,
            semi_sync_source: SemiSyncSource {
                enabled: false,
                timeout_ms: 10_000,
                wait_point: "AFTER_COMMIT".into(),
                wait_no_replica: true,
                ..SemiSyncSource::default()
            },
            semi_sync_replica: true,
            semi_sync_replica_active: true,
            following: Following::Known(vec![Replication {
                source_host: "127.0.0.1".into(),
                source_port: 3308,
                io: Thread::Running,
                sql: Thread::Running,
                seconds_behind: Some(0),
                using_gtid: "Slave_Pos".into(),
                ..Replication::default()
            }]),
        }
    }

    #[test]
    fn words_for_on_and_off() {
        for off in ["0", "OFF", "off", ""] {
            assert!(!is_on(off), "{off}");
        }
        for on in ["1", "ON", "NO_LOCK_NO_ADMIN"] {
            assert!(is_on(on), "{on}");
        }
    }
}
