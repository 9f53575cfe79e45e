//! Questions to a server over an ordinary client connection (mysql_async).
//!
//! Every question has a deadline; a connection whose question ran into it is in the middle of an
//! answer and is thrown away. Nothing here may set `rpl_semi_sync_slave` in its session (the library
//! panics on the packets that follow), nor run what hangs at a source that waits for an ack (SHOW
//! MASTER STATUS and its like, FACTS.md section 2).

pub mod bulk;

use std::time::Duration;

use mysql_async::DriverError::NoClientSslFlagFromServer;
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, OptsBuilder, SslOpts, Value};
use tokio::runtime::Handle;

use super::tls::{Connector, Mode};
use super::{Error, connect};
use crate::crash;
use crate::ids::Flavor;

/// Where and as whom to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// `host:port`; the name is resolved at each connect.
    pub address: String,
    pub user: String,
    pub password: String,
    pub tls: Connector,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No password in logs.
        write!(f, "{}@{}", self.user, self.address)
    }
}

/// One connection. Dropped, it is closed soon.
#[derive(Debug)]
pub struct Admin {
    connection: Option<Conn>,
    version: String,
    address: String,
    timeout: Duration,
}

/// A server that is away does not hear it.
const GOODBYE: Duration = Duration::from_secs(1);
/// No row of a question of ours is larger.
const LARGEST: usize = 1 << 24;
/// The servers' own limit.
const LARGEST_OF_ALL: usize = 1 << 30;

/// A text as it stands in a statement, with its quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// A row: values as text, by column name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Row {
    columns: std::sync::Arc<[String]>,
    values: Vec<Option<String>>,
}

impl Row {
    /// The value of a column (its name in any case); None for NULL and for a column that is not there.
    pub fn text(&self, column: &str) -> Option<&str> {
        let index = self
            .columns
            .iter()
            .position(|name| name.eq_ignore_ascii_case(column))?;
        self.at(index)
    }

    /// Of `Admin::processes`: whether it is sent a binlog.
    pub fn is_dump(&self) -> bool {
        let command = self.text("Command").unwrap_or_default();
        command.starts_with("Binlog Dump")
    }

    /// The value at a place, counted from 0.
    pub fn at(&self, index: usize) -> Option<&str> {
        self.values.get(index)?.as_deref()
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }
}

impl Admin {
    /// Connects and logs in within `timeout`, which then holds for each question as well.
    pub async fn connect(account: &Account, timeout: Duration) -> Result<Self, Error> {
        Self::connect_for(account, timeout, LARGEST).await
    }

    /// The same for rows of any size.
    pub async fn connect_for_bulk(account: &Account, timeout: Duration) -> Result<Self, Error> {
        Self::connect_for(account, timeout, LARGEST_OF_ALL).await
    }

    async fn connect_for(
        account: &Account,
        timeout: Duration,
        largest: usize,
    ) -> Result<Self, Error> {
        let (host, port) = connect::split_address(&account.address, 3306);
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(&account.user))
            .pass(Some(&account.password))
            // Without these two the library asks for them, and for the Unix socket, at each connect.
            .max_allowed_packet(Some(largest))
            .wait_timeout(Some(28_800))
            .prefer_socket(Some(false))
            .stmt_cache_size(Some(0))
            .tcp_nodelay(true);
        let login = async {
            let encrypted = options.clone().ssl_opts(ssl_options(&account.tls));
            let mut connection = match Conn::new(encrypted).await {
                Err(mysql_async::Error::Driver(NoClientSslFlagFromServer))
                    if account.tls.mode() == Mode::Preferred =>
                {
                    Conn::new(options).await?
                }
                done => done?,
            };
            let version: Option<String> = connection.query_first("SELECT VERSION()").await?;
            Ok::<_, mysql_async::Error>((connection, version.unwrap_or_default()))
        };
        match tokio::time::timeout(timeout, login).await {
            Ok(login) => {
                let (connection, version) = login?;
                Ok(Self {
                    connection: Some(connection),
                    version,
                    address: account.address.clone(),
                    timeout,
                })
            }
            Err(_) => Err(Error::Timeout {
                what: account.address.clone(),
                seconds: timeout.as_secs_f64(),
            }),
        }
    }

    /// The server's own number of this connection.
    pub fn id(&self) -> Option<u32> {
        self.connection.as_ref().map(Conn::id)
    }

    /// `VERSION()`, as the server says it.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn flavor(&self) -> Flavor {
        Flavor::of_version(&self.version)
    }

    /// False after a deadline passed or the connection broke: connect anew.
    pub fn is_usable(&self) -> bool {
        self.connection.is_some()
    }

    /// All rows of a statement.
    pub async fn query(&mut self, statement: &str) -> Result<Vec<Row>, Error> {
        self.query_within(statement, self.timeout).await
    }

    /// All rows, with another deadline (a wait for a GTID takes as long as it takes).
    pub async fn query_within(
        &mut self,
        statement: &str,
        timeout: Duration,
    ) -> Result<Vec<Row>, Error> {
        let rows: Vec<mysql_async::Row> = self
            .run(timeout, async |connection| {
                connection.query(statement).await
            })
            .await?;
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        let columns: std::sync::Arc<[String]> = first
            .columns_ref()
            .iter()
            .map(|column| column.name_str().into_owned())
            .collect();
        Ok(rows
            .into_iter()
            .map(|row| Row {
                columns: columns.clone(),
                values: row
                    .unwrap_raw()
                    .into_iter()
                    .map(|v| v.and_then(text))
                    .collect(),
            })
            .collect())
    }

    /// The first value of the first row.
    pub async fn value(&mut self, statement: &str) -> Result<Option<String>, Error> {
        let rows = self.query(statement).await?;
        Ok(rows.first().and_then(|row| row.at(0)).map(str::to_owned))
    }

    /// Whether it is closed to ordinary accounts. What it does not say clearly counts as closed.
    pub async fn is_read_only(&mut self) -> Result<bool, Error> {
        let value = self.value("SELECT @@global.read_only").await?;
        // MariaDB 12 has words for it.
        Ok(!matches!(value.as_deref(), Some("0" | "OFF")))
    }

    /// One of its counters (SHOW GLOBAL STATUS).
    pub async fn status(&mut self, name: &str) -> Result<Option<String>, Error> {
        let rows = self
            .query(&format!("SHOW GLOBAL STATUS LIKE {}", literal(name)))
            .await?;
        Ok(rows.first().and_then(|row| row.at(1)).map(str::to_owned))
    }

    /// The server's sessions, with columns `Id`, `User`, `Host`, `Command` and `State`. MySQL's
    /// `information_schema.PROCESSLIST` fails as a whole (ERR 3854) while any session runs a statement
    /// whose text is not UTF-8, such as one with a blob in it.
    pub async fn processes(&mut self) -> Result<Vec<Row>, Error> {
        self.query("SHOW PROCESSLIST").await
    }

    /// The user that we are logged in as.
    pub async fn user(&mut self) -> Result<String, Error> {
        let user = self.value("SELECT SUBSTRING_INDEX(USER(), '@', 1)").await?;
        Ok(user.unwrap_or_default())
    }

    /// A statement whose rows, if any, do not matter.
    pub async fn execute(&mut self, statement: &str) -> Result<(), Error> {
        self.execute_within(statement, self.timeout).await
    }

    /// The same with another deadline.
    pub async fn execute_within(
        &mut self,
        statement: &str,
        timeout: Duration,
    ) -> Result<(), Error> {
        crash::statement();
        self.run(timeout, async |connection| {
            connection.query_drop(statement).await
        })
        .await
    }

    /// Until the server has heard the goodbye; dropped, it hears it later.
    pub async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(self.timeout, connection.disconnect()).await;
        }
    }

    async fn run<T>(
        &mut self,
        timeout: Duration,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        // Taken out for the time of the question: if we are dropped or late in its middle, the
        // connection goes with it.
        let Some(mut connection) = self.connection.take() else {
            return Err(Error::Closed);
        };
        match tokio::time::timeout(timeout, work(&mut connection)).await {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                Ok(value)
            }
            Ok(Err(error)) => {
                if matches!(error, mysql_async::Error::Server(_)) {
                    self.connection = Some(connection);
                }
                Err(error.into())
            }
            Err(_) => Err(Error::Timeout {
                what: self.address.clone(),
                seconds: timeout.as_secs_f64(),
            }),
        }
    }
}

/// Servers write each connection that only breaks off into their error log.
impl Drop for Admin {
    fn drop(&mut self) {
        let goodbye = self.connection.take().zip(Handle::try_current().ok());
        if let Some((connection, runtime)) = goodbye {
            runtime.spawn(tokio::time::timeout(GOODBYE, connection.disconnect()));
        }
    }
}

/// As [`Connector`] does it, in the library's words.
fn ssl_options(tls: &Connector) -> Option<SslOpts> {
    let files = tls.files();
    if files.mode == Mode::Off {
        return None;
    }
    let options = match &files.ca {
        None => SslOpts::default().with_danger_accept_invalid_certs(true),
        Some(path) => SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_root_certs(vec![path.clone().into()]),
    };
    let options = options.with_danger_tls_hostname_override(files.name.clone());
    let identity = files.identity.clone();
    let identity = identity.map(|(cert, key)| ClientIdentity::new(cert.into(), key.into()));
    Some(options.with_client_identity(identity))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}
