//! The server that is replayed onto: what it says, and the replication connection that it gets for a while.

use std::time::Duration;

use anyhow::{Context, anyhow};

use super::plan::{Facts, Plan};
use crate::cli::doctor::endpoint;
use crate::config::Config;
use crate::gtid::Position;
use crate::ids::Flavor;
use crate::net::admin::{Account, Admin, literal};
use crate::topology::Report;
use crate::topology::doctor::Endpoint;
use crate::topology::report::{Following, Replication, Thread};

const DEADLINE: Duration = Duration::from_secs(10);
/// Of the replication connection, beside whatever else the server has.
const CHANNEL: &str = "ackline_replay";

/// Where and as whom the server pulls.
pub(super) struct ReplicationPort {
    endpoint: Endpoint,
    password: String,
}

impl ReplicationPort {
    pub fn of(config: &Config, through: Option<&str>) -> anyhow::Result<Self> {
        let listen = config.listen.replication.first().map(String::as_str);
        let address = through.or(listen).unwrap_or_default();
        let endpoint = endpoint(config, address);
        if endpoint.host.is_none() {
            return Err(anyhow!(
                "we listen on every address: write --through HOST:PORT, as that server reaches us"
            ));
        }
        Ok(Self {
            endpoint,
            password: config.replication.password.expose().to_owned(),
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
    pub channel: Replication,
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
        let ReplicationPort { endpoint, password } = port;
        let host = literal(endpoint.host.as_deref().unwrap_or_default());
        let (user, password) = (literal(&endpoint.user), literal(password));
        let (number, tls) = (endpoint.port, u8::from(endpoint.tls));
        let statements = match self.facts.flavor {
            Flavor::MariaDb => [
                format!(
                    "CHANGE MASTER '{CHANNEL}' TO MASTER_HOST={host}, MASTER_PORT={number}, \
                     MASTER_USER={user}, MASTER_PASSWORD={password}, MASTER_CONNECT_RETRY=1, \
                     MASTER_SSL={tls}, MASTER_USE_GTID=slave_pos"
                ),
                format!(
                    "START SLAVE '{CHANNEL}' UNTIL master_gtid_pos='{}'",
                    plan.until
                ),
            ],
            Flavor::MySql => [
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST={host}, SOURCE_PORT={number}, \
                     SOURCE_USER={user}, SOURCE_PASSWORD={password}, SOURCE_CONNECT_RETRY=1, \
                     SOURCE_SSL={tls}, GET_SOURCE_PUBLIC_KEY=1, SOURCE_AUTO_POSITION=1 FOR CHANNEL '{CHANNEL}'"
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
        let channel = rows.first().map(|row| Replication::of(row, flavor));
        let has = self.admin.value(position).await?.unwrap_or_default();
        Ok(Threads {
            has: Position::parse(flavor, &has)?,
            channel: channel.unwrap_or_default(),
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
