//! Connections to one server, or to the proxy, and comparing servers.

use std::collections::BTreeMap;
use std::time::Duration;

use ackline::gtid::GtidSet;
use ackline::ids::Flavor;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use serde::Deserialize;

use super::wait_until;

#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    #[serde(default)]
    pub database: Option<String>,
}

impl Account {
    /// Nothing is asked beside what the test asks, and never over a socket file: that would go round
    /// the proxy.
    fn options(&self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(self.user.clone()))
            .pass(Some(self.password.clone()))
            .db_name(self.database.clone())
            .prefer_socket(false)
            .max_allowed_packet(Some(1 << 24))
            .wait_timeout(Some(28_800))
    }

    pub async fn try_connect(&self) -> Result<Database, mysql_async::Error> {
        Ok(Database {
            conn: Conn::new(self.options()).await?,
        })
    }

    /// Waits for a server that is starting.
    pub async fn connect(&self) -> Database {
        wait_until(
            &format!("a login at port {}", self.port),
            super::SOON,
            async || self.try_connect().await,
        )
        .await
    }

    /// The same in a task of its own: `wait_until` cannot be sent to one.
    pub async fn connect_again(&self) -> Database {
        let deadline = std::time::Instant::now() + super::SOON;
        loop {
            match self.try_connect().await {
                Ok(database) => return database,
                Err(error) if std::time::Instant::now() > deadline => {
                    panic!("no login at port {}: {error}", self.port)
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// For the command line clients.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            "--no-defaults".into(),
            "--protocol=tcp".into(),
            format!("--host={}", self.host),
            format!("--port={}", self.port),
            format!("--user={}", self.user),
            format!("--password={}", self.password),
        ]
    }
}

#[derive(Debug)]
pub struct Database {
    pub conn: Conn,
}

impl Database {
    pub async fn run(&mut self, statement: &str) {
        self.try_run(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    pub async fn try_run(&mut self, statement: &str) -> Result<(), mysql_async::Error> {
        self.conn.query_drop(statement).await
    }

    pub async fn rows<T: FromRow + Send + 'static>(&mut self, query: &str) -> Vec<T> {
        self.conn
            .query(query)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The one value of the one row.
    pub async fn value(&mut self, query: &str) -> String {
        self.try_value(query)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    pub async fn try_value(&mut self, query: &str) -> Result<String, mysql_async::Error> {
        let value: Option<Option<String>> = self.conn.query_first(query).await?;
        Ok(value.flatten().unwrap_or_default())
    }

    pub async fn count(&mut self, table: &str) -> u64 {
        self.value(&format!("SELECT COUNT(*) FROM {table}"))
            .await
            .parse()
            .unwrap()
    }

    /// MariaDB's versions begin at 10.
    pub fn flavor(&self) -> Flavor {
        match self.conn.server_version() {
            (10.., ..) => Flavor::MariaDb,
            _ => Flavor::MySql,
        }
    }

    /// Everything in its binlog: the last transaction, or MySQL's set.
    pub async fn gtid_position(&mut self) -> String {
        let variable = match self.flavor() {
            Flavor::MariaDb => "gtid_binlog_pos",
            Flavor::MySql => "gtid_executed",
        };
        let text = self.value(&format!("SELECT @@global.{variable}")).await;
        text.replace('\n', "")
    }

    /// What this connection committed last; on MySQL, what the server did.
    pub async fn last_gtid(&mut self) -> String {
        match self.flavor() {
            Flavor::MariaDb => self.value("SELECT @@last_gtid").await,
            Flavor::MySql => self.last_gtid_written().await,
        }
    }

    /// The last one in its binlog; of MySQL's set, the one at its end.
    pub async fn last_gtid_written(&mut self) -> String {
        match self.flavor() {
            Flavor::MariaDb => self.gtid_position().await,
            Flavor::MySql => {
                let set: GtidSet = self.gtid_position().await.parse().unwrap();
                let (origin, _, last) = set.ranges().last().expect("a transaction");
                origin.gtid(last).to_string()
            }
        }
    }

    /// One line of SHOW SLAVE STATUS, by its name there also on MySQL.
    pub async fn slave_status(&mut self, field: &str) -> String {
        let (statement, field) = match self.flavor() {
            Flavor::MariaDb => ("SHOW SLAVE STATUS", field.to_owned()),
            Flavor::MySql => ("SHOW REPLICA STATUS", field.replace("Slave_", "Replica_")),
        };
        let row: Option<mysql_async::Row> = self.conn.query_first(statement).await.unwrap();
        let row = row.expect("it is a replica");
        row.get::<Option<String>, _>(field.as_str())
            .unwrap_or_else(|| panic!("no {field}"))
            .unwrap_or_default()
    }

    /// A MariaDB replica whose source goes away between its last question and its request for the dump
    /// gives up for good ("Failed on request_dump()", without an error in its status): as a DBA would.
    /// One that stopped with an error stays so.
    pub async fn start_again_where_it_gave_up(&mut self) {
        if self.flavor() == Flavor::MariaDb
            && self.slave_status("Slave_IO_Running").await == "No"
            && self.slave_status("Last_IO_Errno").await == "0"
        {
            println!("a replica gave up asking for the dump: started again");
            self.run("START SLAVE IO_THREAD").await;
        }
    }

    pub async fn applies_until(&mut self, position: &str, within: Duration) -> Result<(), String> {
        let seconds = within.as_secs();
        let (wait, applied) = match self.flavor() {
            Flavor::MariaDb => ("MASTER_GTID_WAIT", "gtid_slave_pos"),
            Flavor::MySql => ("WAIT_FOR_EXECUTED_GTID_SET", "gtid_executed"),
        };
        let wait = format!("SELECT {wait}('{position}', {seconds})");
        match self.value(&wait).await.as_str() {
            "0" => Ok(()),
            other => Err(format!(
                "not applied within {seconds} s (answer {other}): it is at {}, wanted {position}; IO: {} {}, SQL: {} {}",
                self.value(&format!("SELECT @@global.{applied}")).await,
                self.slave_status("Slave_IO_Running").await,
                self.slave_status("Last_IO_Error").await,
                self.slave_status("Slave_SQL_Running").await,
                self.slave_status("Last_SQL_Error").await,
            )),
        }
    }

    /// CHECKSUM TABLE of everything that is not the server's own.
    pub async fn checksums(&mut self) -> BTreeMap<String, Option<u64>> {
        let tables: Vec<String> = self
            .rows(
                "SELECT CONCAT('`', TABLE_SCHEMA, '`.`', REPLACE(TABLE_NAME, '`', '``'), '`') FROM information_schema.TABLES \
                 WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN \
                 ('mysql', 'information_schema', 'performance_schema', 'sys')",
            )
            .await;
        if tables.is_empty() {
            return BTreeMap::new();
        }
        self.rows::<(String, Option<u64>)>(&format!("CHECKSUM TABLE {}", tables.join(", ")))
            .await
            .into_iter()
            .collect()
    }
}

/// What SHOW SLAVE STATUS says of a replica that is well.
const CLEAN: [(&str, &str); 4] = [
    ("Slave_IO_Running", "Yes"),
    ("Slave_SQL_Running", "Yes"),
    ("Last_IO_Error", ""),
    ("Last_SQL_Error", ""),
];

/// Waits until the replicas have applied what the source has now; then all hold the same tables with
/// the same content, and replicate without an error.
pub async fn wait_equal(
    source: &Account,
    replicas: &[Account],
    within: Duration,
) -> Result<(), String> {
    let mut database = source.connect().await;
    let position = database.gtid_position().await;
    let expected = database.checksums().await;
    for replica in replicas {
        let mut database = replica.connect().await;
        let name = format!("the replica at port {}", replica.port);
        database
            .applies_until(&position, within)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        let found = database.checksums().await;
        if found != expected {
            return Err(format!(
                "{name} differs: it has {found:?}, the source {expected:?}"
            ));
        }
        // A reconnection may be under way.
        wait_until(
            &format!("{name} replicates without an error"),
            within,
            async || {
                let mut found = Vec::new();
                for (field, wanted) in CLEAN {
                    let value = database.slave_status(field).await;
                    if value != wanted {
                        found.push(format!("{field}: {value}"));
                    }
                }
                if found.is_empty() {
                    Ok(())
                } else {
                    Err(found.join("; "))
                }
            },
        )
        .await;
    }
    Ok(())
}
