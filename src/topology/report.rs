//! What a server said of itself: one round of questions, parsed.
//!
//! Only statements that do not wait for locks of replication or of the binlog are asked, so that a
//! source whose commits wait for an ack answers as well (FACTS.md, section 2).

use std::collections::BTreeMap;

use super::variables;
use crate::gtid::Position;
use crate::ids::{Flavor, Machine, ServerId};
use crate::net;
use crate::net::admin::{Admin, Row};
use crate::protocol::semi_sync::Names;

/// The servers' own word for "never".
pub const ENDLESS: u64 = u64::MAX;

/// `rpl_semi_sync_master_*`, on MySQL `rpl_semi_sync_source_*`: variables and counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SemiSyncSource {
    /// On MySQL it is a plugin, which may not be there.
    pub installed: bool,
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

/// `rpl_semi_sync_slave_*`, on MySQL `rpl_semi_sync_replica_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SemiSyncReplica {
    pub installed: bool,
    pub enabled: bool,
    /// Whether its IO thread acknowledges now: a change of the setting takes a restart of the thread.
    pub active: bool,
}

/// What has to be set for GTIDs to be what they promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GtidMode {
    MariaDb {
        strict: bool,
    },
    MySql {
        /// `gtid_mode`.
        mode: String,
        /// `enforce_gtid_consistency`.
        consistency: String,
        /// Without it a replica may have applied a later transaction and not an earlier one.
        preserve_commit_order: bool,
    },
}

/// One row of SHOW ALL SLAVES STATUS, on MySQL SHOW REPLICA STATUS.
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
    /// 0: none.
    pub sql_errno: u32,
    pub seconds_behind: Option<u64>,
    /// `No`, `Slave_Pos` or `Current_Pos`; of MySQL's `Auto_Position`, `0` or `1`.
    pub using_gtid: String,
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
    /// `server_uuid`, of a MySQL server.
    pub uuid: Option<String>,
    /// On MySQL: `super_read_only` as well.
    pub read_only: bool,
    pub log_bin: bool,
    pub log_slave_updates: bool,
    pub gtid_mode: GtidMode,
    /// `gtid_slave_pos` or `gtid_executed`.
    pub applied: Position,
    pub binlog_format: String,
    pub binlog_row_image: String,
    /// Whether the statement is kept beside row images.
    pub row_statements: bool,
    pub binlog_checksum: String,
    pub sync_binlog: u64,
    pub flush_log_at_trx_commit: u64,
    pub sync_relay_log: u64,
    pub slave_skip_errors: String,
    pub slave_exec_mode: String,
    /// MariaDB's `replicate_events_marked_for_skip`.
    pub events_marked_for_skip: Option<String>,
    pub event_scheduler: String,
    pub max_connections: u64,
    pub connections: u64,
    /// Since the server started; smaller than last time means that it was started again.
    pub uptime_seconds: u64,
    /// It carries the mark of a copy that is not complete.
    pub unfinished_copy: bool,
    pub semi_sync_source: SemiSyncSource,
    pub semi_sync_replica: SemiSyncReplica,
    pub following: Following,
}

/// Whom it replicates from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Following {
    /// One entry a replication connection; none for a server that follows nobody.
    Known(Vec<Replication>),
    /// The account lacks SLAVE MONITOR, or MySQL's REPLICATION CLIENT.
    Denied,
    /// The question does not come back: it waits behind a STOP SLAVE that hangs.
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
    #[error("{statement} does not come back (does a STOP SLAVE or STOP REPLICA hang there?)")]
    FollowingHangs { statement: &'static str },
}

impl Report {
    /// One round of questions; each has the connection's deadline. `following` is false where the
    /// question for SHOW ALL SLAVES STATUS did not come back lately: a thread that hangs in it
    /// cannot be killed, so it must not be asked again every second.
    pub async fn ask(admin: &mut Admin, following: bool) -> Result<Self, Error> {
        let flavor = admin.flavor();
        let names = Names::of(flavor);
        let rows = admin.query(&variables::query(flavor)).await?;
        let variables = rows.into_iter().next().unwrap_or_default();
        // On MySQL they are there only with their plugins.
        let semi_sync = by_name(
            admin
                .query("SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync%'")
                .await?,
        );
        let counters = admin
            .query(&format!(
                "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Uptime', \
                 '{}', '{}', '{}', '{}', '{}')",
                names.clients, names.active, names.no_tx, names.waiting, names.replica_active
            ))
            .await?;
        let counters = by_name(counters);
        let statement = match flavor {
            Flavor::MariaDb => "SHOW ALL SLAVES STATUS",
            Flavor::MySql => "SHOW REPLICA STATUS",
        };
        let following = match following {
            false => Following::Hangs,
            true => match admin.query(statement).await {
                Ok(rows) => Following::Known(
                    rows.iter()
                        .map(|row| Replication::of(row, flavor))
                        .collect(),
                ),
                Err(error) if is_denied(&error) => Following::Denied,
                Err(net::Error::Timeout { .. }) => {
                    return Err(Error::FollowingHangs { statement });
                }
                Err(error) => return Err(error.into()),
            },
        };
        let answers = Answers {
            flavor,
            version: admin.version(),
            row: &variables,
            semi_sync: &semi_sync,
            counters: &counters,
        };
        answers.report(following)
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

    /// Who answered at this address.
    pub fn machine(&self, address: &str) -> Machine {
        Machine {
            address: address.to_owned(),
            server_id: self.server_id,
            uuid: self.uuid.clone(),
        }
    }

    /// Whether it applies transactions that carry its own server id, instead of dropping them without a word
    /// (FACTS.md, sections 10 and 13).
    pub fn accepts_own(&self) -> bool {
        match self.gtid_mode {
            GtidMode::MariaDb { strict } => strict && self.semi_sync_replica.enabled,
            GtidMode::MySql { .. } => false,
        }
    }

    /// Settings, with their values, by which a source may lack after a power cut what it has committed. MariaDB's 3 syncs
    /// more often than 1.
    pub fn loses_by(&self) -> Vec<(&'static str, u64)> {
        let binlog = ("sync_binlog", self.sync_binlog);
        let log = (
            "innodb_flush_log_at_trx_commit",
            self.flush_log_at_trx_commit,
        );
        let loses = |of: &(&str, u64)| of.1 != 1 && !(of.0 == log.0 && of.1 == 3);
        [binlog, log].into_iter().filter(loses).collect()
    }

    /// Whether what it acknowledges is fsynced first.
    pub fn acks_durably(&self) -> bool {
        self.sync_relay_log == 1
    }
}

/// Lower-case name to value, of SHOW VARIABLES and SHOW STATUS.
fn by_name(rows: Vec<Row>) -> BTreeMap<String, String> {
    rows.iter()
        .filter_map(|row| {
            let name = row.text("Variable_name")?.to_ascii_lowercase();
            Some((name, row.text("Value")?.to_owned()))
        })
        .collect()
}

/// One round of answers, as they came.
struct Answers<'a> {
    flavor: Flavor,
    version: &'a str,
    row: &'a Row,
    semi_sync: &'a BTreeMap<String, String>,
    counters: &'a BTreeMap<String, String>,
}

impl Answers<'_> {
    fn report(&self, following: Following) -> Result<Report, Error> {
        let names = Names::of(self.flavor);
        let applied = self.text("applied");
        Ok(Report {
            flavor: self.flavor,
            version: self.version.to_owned(),
            server_id: ServerId(self.parsed("server_id")?),
            uuid: self.row.text("server_uuid").map(str::to_owned),
            unfinished_copy: self.on("unfinished_copy"),
            read_only: match self.flavor {
                Flavor::MariaDb => self.on("read_only"),
                Flavor::MySql => self.on("read_only") && self.on("super_read_only"),
            },
            log_bin: self.on("log_bin"),
            log_slave_updates: self.on("log_updates"),
            gtid_mode: match self.flavor {
                Flavor::MariaDb => GtidMode::MariaDb {
                    strict: self.on("gtid_strict_mode"),
                },
                Flavor::MySql => GtidMode::MySql {
                    mode: self.text("gtid_mode"),
                    consistency: self.text("enforce_gtid_consistency"),
                    preserve_commit_order: self.on("preserve_commit_order"),
                },
            },
            applied: Position::parse(self.flavor, &applied).map_err(|_| Error::Unexpected {
                variable: variables::name(self.flavor, "applied"),
                value: applied,
            })?,
            binlog_format: self.text("binlog_format"),
            binlog_row_image: self.text("binlog_row_image"),
            row_statements: self.on("row_statements"),
            binlog_checksum: self.text("binlog_checksum"),
            sync_binlog: self.parsed("sync_binlog")?,
            flush_log_at_trx_commit: self.parsed("innodb_flush_log_at_trx_commit")?,
            sync_relay_log: self.parsed("sync_relay_log")?,
            slave_skip_errors: self.text("skip_errors"),
            slave_exec_mode: self.text("exec_mode"),
            events_marked_for_skip: self.row.text("events_marked_for_skip").map(str::to_owned),
            event_scheduler: self.text("event_scheduler"),
            max_connections: self.parsed("max_connections")?,
            connections: self.counter("threads_connected"),
            uptime_seconds: self.counter("uptime"),
            semi_sync_source: SemiSyncSource {
                installed: self.semi_sync.contains_key(names.enabled),
                enabled: is_set(self.semi_sync, names.enabled),
                timeout_ms: number(self.semi_sync, names.timeout),
                wait_point: self
                    .semi_sync
                    .get(names.wait_point)
                    .cloned()
                    .unwrap_or_default(),
                wait_no_replica: is_set(self.semi_sync, names.wait_no_replica),
                clients: self.counter(names.clients),
                active: is_set(self.counters, names.active),
                no_tx: self.counter(names.no_tx),
                waiting: self.counter(names.waiting),
            },
            semi_sync_replica: SemiSyncReplica {
                installed: self.semi_sync.contains_key(names.replica_enabled),
                enabled: is_set(self.semi_sync, names.replica_enabled),
                active: is_set(self.counters, names.replica_active),
            },
            following,
        })
    }

    fn text(&self, key: &str) -> String {
        self.row.text(key).unwrap_or_default().to_owned()
    }

    fn on(&self, key: &str) -> bool {
        is_on(self.row.text(key).unwrap_or_default())
    }

    fn parsed<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, Error> {
        let value = self.text(key);
        value.parse().map_err(|_| Error::Unexpected {
            variable: variables::name(self.flavor, key),
            value,
        })
    }

    fn counter(&self, name: &str) -> u64 {
        number(self.counters, name)
    }
}

fn is_set(values: &BTreeMap<String, String>, name: &str) -> bool {
    values.get(name).is_some_and(|value| is_on(value))
}

fn number(values: &BTreeMap<String, String>, name: &str) -> u64 {
    let value = values.get(name).and_then(|value| value.parse().ok());
    value.unwrap_or_default()
}

impl Replication {
    /// The applier stopped where the source could not log what it changed; that is missing there.
    pub fn is_at_incident(&self) -> bool {
        const ER_SLAVE_INCIDENT: u32 = 1590;
        const MYSQL_ER_REPLICA_INCIDENT: u32 = 13119;
        self.sql == Thread::Stopped
            && matches!(
                self.sql_errno,
                ER_SLAVE_INCIDENT | MYSQL_ER_REPLICA_INCIDENT
            )
    }

    pub fn of(row: &Row, flavor: Flavor) -> Self {
        // MariaDB's column, MySQL's column.
        let text = |mariadb: &str, mysql: &str| {
            let column = match flavor {
                Flavor::MariaDb => mariadb,
                Flavor::MySql => mysql,
            };
            row.text(column).unwrap_or_default().to_owned()
        };
        let error = |name: &str| row.text(name).filter(|e| !e.is_empty()).map(str::to_owned);
        Self {
            connection: text("Connection_name", "Channel_Name"),
            source_host: text("Master_Host", "Source_Host"),
            source_port: text("Master_Port", "Source_Port")
                .parse()
                .unwrap_or_default(),
            io: Thread::parse(&text("Slave_IO_Running", "Replica_IO_Running")),
            sql: Thread::parse(&text("Slave_SQL_Running", "Replica_SQL_Running")),
            io_error: error("Last_IO_Error"),
            sql_error: error("Last_SQL_Error"),
            sql_errno: text("Last_SQL_Errno", "Last_SQL_Errno")
                .parse()
                .unwrap_or_default(),
            seconds_behind: text("Seconds_Behind_Master", "Seconds_Behind_Source")
                .parse()
                .ok(),
            using_gtid: text("Using_Gtid", "Auto_Position"),
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

    /// Whether it asks by what it has, and not by file and offset.
    pub fn follows_by_gtid(&self) -> bool {
        self.using_gtid.eq_ignore_ascii_case("Slave_Pos") || self.using_gtid == "1"
    }

    pub fn source_address(&self) -> String {
        format!("{}:{}", self.source_host, self.source_port)
    }
}

/// Whether the account lacks a privilege, as opposed to the server being in trouble.
pub fn is_denied(error: &net::Error) -> bool {
    error.is_denied() || error.server_code() == Some(1045)
}

fn is_on(text: &str) -> bool {
    // Later versions of MariaDB have words for degrees of read_only: anything but off is on.
    !matches!(text.to_ascii_uppercase().as_str(), "" | "0" | "OFF" | "NO")
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
            uuid: None,
            gtid_mode: GtidMode::MariaDb { strict: true },
            applied: Position::parse(Flavor::MariaDb, "0-1-7").unwrap(),
            binlog_format: "MIXED".into(),
            binlog_row_image: "FULL".into(),
            row_statements: true,
            binlog_checksum: "CRC32".into(),
            sync_binlog: 1,
            flush_log_at_trx_commit: 1,
            sync_relay_log: 10_000,
            slave_skip_errors: "OFF".into(),
            slave_exec_mode: "STRICT".into(),
            events_marked_for_skip: Some("REPLICATE".into()),
            event_scheduler: "OFF".into(),
            max_connections: 151,
            connections: 3,
            uptime_seconds: 100,
            unfinished_copy: false,
            semi_sync_source: SemiSyncSource {
                installed: true,
                enabled: false,
                timeout_ms: 10_000,
                wait_point: "AFTER_COMMIT".into(),
                wait_no_replica: true,
                ..SemiSyncSource::default()
            },
            semi_sync_replica: SemiSyncReplica {
                installed: true,
                enabled: true,
                active: true,
            },
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
