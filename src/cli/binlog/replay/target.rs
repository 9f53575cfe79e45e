//! The server that is replayed onto: what it says, and the replication connection that it gets for a while.

use std::time::Duration;

use anyhow::{Context, anyhow};

use super::plan::{Facts, Plan};
use crate::config::Config;
use crate::gtid::Position;
use crate::ids::Flavor;
use crate::net::admin::{Account, Admin, Row};
use crate::net::connect::split_address;
use crate::net::tls::Mode;
use crate::topology::Report;
use crate::topology::report::{Following, Thread};

const DEADLINE: Duration = Duration::from_secs(10);
/// Of the replication connection, beside whatever else the server has.
const CHANNEL: &str = "ackline_replay";
const DEFAULT_PORT: u16 = 3308;

/// Where and as whom the server pulls.
pub(super) struct ReplicationPort {
    host: String,
    port: u16,
    user: String,
    password: String,
    tls: bool,
}

impl ReplicationPort {
    pub fn of(config: &Config, through: Option<&str>) -> anyhow::Result<Self> {
        let listen = config.listen.replication.first().map(String::as_str);
        let address = through.or(listen).unwrap_or_default();
        let (host, port) = split_address(address, DEFAULT_PORT);
        if matches!(host.as_str(), "" | "0.0.0.0" | "::" | "[::]") {
            return Err(anyhow!(
                "we listen on every address: write --through HOST:PORT, as that server reaches us"
            ));
        }
        Ok(Self {
            host,
            port,
            user: config.replication.user.clone(),
            password: config.replication.password.expose().to_owned(),
            tls: config.tls.replication != Mode::Off,
        })
    }
}

pub(super) struct Target {
    pub facts: Facts,
    admin: Admin,
}

/// How the replication connection is.
pub(super) struct Threads {
    pub has: Position,
    pub sql: Thread,
    pub io_error: Option<String>,
    pub sql_error: Option<String>,
}

impl Target {
    pub async fn connect(name: &str, account: &Account) -> anyhow::Result<Self> {
        let mut admin = Admin::connect(account, DEADLINE)
            .await
            .with_context(|| format!("{name} cannot be reached"))?;
        let report = Report::ask(&mut admin, true).await?;
        let replicates = match &report.following {
            Following::Known(all) => all.iter().any(|one| {
                one.connection != CHANNEL
                    && (one.io != Thread::Stopped || one.sql != Thread::Stopped)
            }),
            Following::Denied | Following::Hangs => {
                return Err(anyhow!(
                    "our account at {name} may not ask whether it replicates (GRANT SLAVE MONITOR, MySQL: \
                     REPLICATION CLIENT)"
                ));
            }
        };
        let facts = Facts {
            name: name.to_owned(),
            flavor: report.flavor,
            server_id: report.server_id,
            has: report.applied,
            replicates,
        };
        let mut target = Self { facts, admin };
        // What an interrupted replay left.
        target.end().await;
        Ok(target)
    }

    pub async fn begin(&mut self, port: &ReplicationPort, plan: &Plan) -> anyhow::Result<()> {
        let quote = |text: &str| text.replace('\\', r"\\").replace('\'', "''");
        let (host, user) = (quote(&port.host), quote(&port.user));
        let (number, password) = (port.port, quote(&port.password));
        let statements = match self.facts.flavor {
            Flavor::MariaDb => [
                format!(
                    "CHANGE MASTER '{CHANNEL}' TO MASTER_HOST='{host}', MASTER_PORT={number}, \
                     MASTER_USER='{user}', MASTER_PASSWORD='{password}', MASTER_CONNECT_RETRY=1, \
                     MASTER_SSL={}, MASTER_USE_GTID=slave_pos",
                    u8::from(port.tls)
                ),
                format!(
                    "START SLAVE '{CHANNEL}' UNTIL master_gtid_pos='{}'",
                    plan.until
                ),
            ],
            Flavor::MySql => [
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={number}, \
                     SOURCE_USER='{user}', SOURCE_PASSWORD='{password}', SOURCE_CONNECT_RETRY=1, \
                     SOURCE_SSL={}, GET_SOURCE_PUBLIC_KEY=1, SOURCE_AUTO_POSITION=1 FOR CHANNEL '{CHANNEL}'",
                    u8::from(port.tls)
                ),
                format!(
                    "START REPLICA UNTIL SQL_AFTER_GTIDS='{}' FOR CHANNEL '{CHANNEL}'",
                    plan.set()
                ),
            ],
        };
        for (statement, what) in statements
            .iter()
            .zip(["CHANGE MASTER", "START SLAVE UNTIL"])
        {
            // The statement itself has a password in it.
            let ran = self.admin.execute(statement).await;
            ran.with_context(|| format!("{what} at {}", self.facts.name))?;
        }
        Ok(())
    }

    pub async fn threads(&mut self) -> anyhow::Result<Threads> {
        let flavor = self.facts.flavor;
        let (status, position) = match flavor {
            Flavor::MariaDb => (
                format!("SHOW SLAVE '{CHANNEL}' STATUS"),
                "SELECT @@global.gtid_slave_pos",
            ),
            Flavor::MySql => (
                format!("SHOW REPLICA STATUS FOR CHANNEL '{CHANNEL}'"),
                "SELECT @@global.gtid_executed",
            ),
        };
        let rows = self.admin.query(&status).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        let has = self.admin.value(position).await?.unwrap_or_default();
        let running = row
            .text("Slave_SQL_Running")
            .or(row.text("Replica_SQL_Running"));
        Ok(Threads {
            has: Position::parse(flavor, &has)?,
            sql: match running {
                Some("Yes") => Thread::Running,
                _ => Thread::Stopped,
            },
            io_error: error(&row, "Last_IO_Error"),
            sql_error: error(&row, "Last_SQL_Error"),
        })
    }

    /// Its own replication connections stay as they are.
    pub async fn end(&mut self) {
        let statements = match self.facts.flavor {
            Flavor::MariaDb => [
                format!("STOP SLAVE '{CHANNEL}'"),
                format!("RESET SLAVE '{CHANNEL}' ALL"),
            ],
            Flavor::MySql => [
                format!("STOP REPLICA FOR CHANNEL '{CHANNEL}'"),
                format!("RESET REPLICA ALL FOR CHANNEL '{CHANNEL}'"),
            ],
        };
        for statement in statements {
            // There may be none.
            let _ = self.admin.execute(&statement).await;
        }
    }
}

fn error(row: &Row, column: &str) -> Option<String> {
    let text = row.text(column).filter(|text| !text.is_empty());
    text.map(str::to_owned)
}
