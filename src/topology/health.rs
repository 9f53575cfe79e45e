//! What a server says of itself, asked every second.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::gtid::mariadb::Position;
use crate::ids::{ServerId, ServerName};
use crate::net;
use crate::net::admin::{Account, Admin};

const TIMEOUT: Duration = Duration::from_secs(3);
/// None of these statements hangs at a source whose commits wait (SHOW MASTER STATUS would).
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN (\
    'server_id','version','read_only','log_bin','log_slave_updates','gtid_strict_mode','sync_relay_log',\
    'rpl_semi_sync_slave_enabled','rpl_semi_sync_master_enabled','binlog_format','sync_binlog','binlog_checksum',\
    'innodb_flush_log_at_trx_commit','binlog_row_image','binlog_annotate_row_events','slave_skip_errors','slave_exec_mode',\
    'replicate_do_db','replicate_ignore_db','replicate_do_table','replicate_ignore_table','replicate_wild_do_table',\
    'replicate_wild_ignore_table','gtid_slave_pos','gtid_binlog_pos','skip_networking','rpl_semi_sync_master_wait_point',\
    'rpl_semi_sync_master_timeout')";

/// The state of the replication threads; absent where none is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub io_running: String,
    pub sql_running: String,
    pub error: String,
    pub follows: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub server_id: ServerId,
    pub version: String,
    pub variables: BTreeMap<String, String>,
    pub replica: Option<ReplicaStatus>,
    pub applied: Position,
    pub seconds_behind: Option<u64>,
}

impl Facts {
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    pub fn is_on(&self, name: &str) -> bool {
        matches!(self.variable(name), "ON" | "1")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Reachable(Box<Facts>),
    /// What it last said stays known: an identity does not end with a lost connection.
    Unreachable {
        reason: String,
        last: Option<Box<Facts>>,
    },
}

impl Health {
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Reachable(facts) => Some(facts),
            Self::Unreachable { last, .. } => last.as_deref(),
        }
    }
}

/// Never ends by itself.
pub(super) async fn poll(
    name: &ServerName,
    account: &Account,
    every: Duration,
    health: &watch::Sender<Health>,
) {
    let mut admin = None;
    loop {
        match ask(&mut admin, account).await {
            Ok(facts) => {
                let back = matches!(*health.borrow(), Health::Unreachable { last: Some(_), .. });
                if back {
                    tracing::info!(server = %name, "reachable again");
                }
                health.send_replace(Health::Reachable(Box::new(facts)));
            }
            Err(error) => {
                admin = None;
                let last = match &*health.borrow() {
                    Health::Reachable(facts) => {
                        tracing::warn!(server = %name, %error, "unreachable");
                        Some(facts.clone())
                    }
                    Health::Unreachable { last, .. } => last.clone(),
                };
                health.send_replace(Health::Unreachable {
                    reason: error.to_string(),
                    last,
                });
            }
        }
        tokio::time::sleep(every).await;
    }
}

async fn ask(admin: &mut Option<Admin>, account: &Account) -> Result<Facts, net::Error> {
    let admin = match admin {
        Some(admin) => admin,
        none => none.insert(Admin::connect(account, TIMEOUT).await?),
    };
    read(admin).await
}

pub(super) async fn read(admin: &mut Admin) -> Result<Facts, net::Error> {
    let variables: BTreeMap<String, String> = admin
        .query(VARIABLES)
        .await?
        .iter()
        .filter_map(|row| {
            Some((
                row.at(0)?.to_ascii_lowercase(),
                row.at(1).unwrap_or_default().to_owned(),
            ))
        })
        .collect();
    let status = admin.query("SHOW SLAVE STATUS").await?;
    let replica = status.first().map(|row| {
        let text = |column: &str| row.text(column).unwrap_or_default().to_owned();
        let errors = [text("Last_IO_Error"), text("Last_SQL_Error")];
        ReplicaStatus {
            io_running: text("Slave_IO_Running"),
            sql_running: text("Slave_SQL_Running"),
            error: errors
                .into_iter()
                .filter(|error| !error.is_empty())
                .collect::<Vec<_>>()
                .join("; "),
            follows: format!("{}:{}", text("Master_Host"), text("Master_Port")),
        }
    });
    let variable = |name: &str| variables.get(name).cloned().unwrap_or_default();
    Ok(Facts {
        server_id: ServerId(variable("server_id").parse().unwrap_or_default()),
        version: variable("version"),
        applied: variable("gtid_slave_pos").parse().unwrap_or_default(),
        seconds_behind: status
            .first()
            .and_then(|row| row.text("Seconds_Behind_Master")?.parse().ok()),
        replica,
        variables,
    })
}
