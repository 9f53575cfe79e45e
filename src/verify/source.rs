//! Our session at the source.

use std::time::{Duration, Instant};

use super::statement::Place;
use crate::gtid::Position;
use crate::ids::Flavor;
use crate::net;
use crate::net::admin::Admin;
use crate::tables::{Bound, Definition, LEFT_OUT, Name, Ordered, Range, definition};
use crate::topology::doctor::grants::{self, Grants};

/// For each question, and for each commit with its acknowledgements.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// A table without a key that orders its rows is taken in one piece up to here.
pub(super) const UNORDERED: u64 = 10_000;
/// ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK.
pub(super) const LOCKED: [u16; 2] = [1205, 1213];
pub(super) const ATTEMPTS: u32 = 20;

/// Whoever reads rows to compare them sees them so. A day that there is not may bound a range.
pub(super) const SEES_ALIKE: [&str; 2] = [
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    "SET SESSION sql_mode='ALLOW_INVALID_DATES', time_zone='+00:00'",
];

/// Of a session that holds rows, while it does: should we be stopped, or our machine be gone, the server lets go by itself.
pub(super) const FORGOTTEN: &str = "SET SESSION wait_timeout=30";
/// And else: it is asked again after whatever it takes.
pub(super) const KEPT: &str = "SET SESSION wait_timeout=28800";

/// How what we write is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logged {
    AsStatements,
    /// For replicas that take nothing else.
    AsRows,
}

impl Logged {
    fn format(self) -> &'static str {
        match self {
            Self::AsStatements => "STATEMENT",
            Self::AsRows => "ROW",
        }
    }
}

/// What a statement's result depends on, besides the rows. Without a strict `sql_mode`, nothing that a replica computes
/// is an error there. Locks are waited for shortly, since who comes behind us waits as well.
const SETTINGS: [&str; 4] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION innodb_lock_wait_timeout=1, lock_wait_timeout=5, autocommit=1",
    // While replicas are waited for, it has nothing to say.
    KEPT,
    "USE ackline",
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("our account may not run {statement}: an administrator has to run there {grant};")]
    Denied { statement: String, grant: String },
    #[error(
        "our account sees only a part of the tables: an administrator has to run there {0}; (or name tables with --tables)"
    )]
    SeesNotAll(String),
    #[error(
        "it logs nothing of what we write, or not as it is told (binlog_format {format}, sql_log_bin {logs})"
    )]
    NotSo { format: String, logs: String },
    #[error("another ackline verify is at work there")]
    Locked,
    #[error("it is read-only by now: another server is the source (ackline status)")]
    ReadOnly,
    #[error(
        "{statement} did not return within {} s: its commit may wait for acknowledgements (ackline status)", DEADLINE.as_secs()
    )]
    Waits { statement: String },
    #[error(transparent)]
    Net(#[from] net::Error),
}

/// A table as the source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub name: Name,
    /// `BASE TABLE`, or what the server has of its own.
    pub kind: String,
    pub engine: String,
}

impl Listed {
    pub fn is_innodb(&self) -> bool {
        self.engine.eq_ignore_ascii_case("InnoDB")
    }
}

/// How a statement of ours ended that did not end the run.
pub(super) enum Ran {
    In(Duration),
    /// Why nothing is known of this table.
    Not(String),
}

#[derive(Debug)]
pub(super) struct Source {
    admin: Admin,
}

impl Source {
    pub async fn prepare(mut admin: Admin, logged: Logged) -> Result<Self, Error> {
        let format = format!("SET SESSION binlog_format='{}'", logged.format());
        let settings = SEES_ALIKE.iter().chain(&SETTINGS).copied();
        for setting in std::iter::once(format.as_str()).chain(settings) {
            match admin.execute(setting).await {
                Err(error) if error.is_denied() => {
                    let privilege = grants::named_in_refusal(&error.to_string());
                    let privilege = privilege.as_deref().unwrap_or("SUPER");
                    let statement = setting.to_owned();
                    let grant = grants::statement(&[privilege], &account(&mut admin).await?);
                    return Err(Error::Denied { statement, grant });
                }
                done => done?,
            }
        }
        // MariaDB knows no such thing, and MySQL would pack what we look for in our binlog.
        if admin.flavor() == Flavor::MySql {
            admin
                .execute("SET SESSION binlog_transaction_compression=OFF")
                .await?;
        }
        let told = admin
            .query("SELECT @@session.binlog_format, @@session.sql_log_bin")
            .await?;
        let at = |index| told.first().and_then(|row| row.at(index)).unwrap_or("?");
        if (at(0), at(1)) != (logged.format(), "1") {
            return Err(Error::NotSo {
                format: at(0).to_owned(),
                logs: at(1).to_owned(),
            });
        }
        let lock = admin.value("SELECT GET_LOCK('ackline_verify', 0)").await?;
        match lock.as_deref() {
            Some("1") => Ok(Self { admin }),
            _ => Err(Error::Locked),
        }
    }

    /// As the server counts them, ourselves among them.
    pub async fn running(&mut self) -> Result<u64, Error> {
        let rows = self
            .admin
            .query("SHOW GLOBAL STATUS LIKE 'Threads_running'")
            .await?;
        let count = rows.first().and_then(|row| row.at(1)?.parse().ok());
        Ok(count.unwrap_or_default())
    }

    pub fn flavor(&self) -> Flavor {
        self.admin.flavor()
    }

    /// A table that we may not see would be left out without a word.
    pub async fn sees_all(&mut self) -> Result<(), Error> {
        let lines = self.admin.query("SHOW GRANTS").await?;
        let lines: Vec<&str> = lines.iter().filter_map(|row| row.at(0)).collect();
        // MySQL's partial_revokes.
        let revoked = lines.iter().any(|line| line.starts_with("REVOKE "));
        if !revoked && Grants::parse(lines).has("SELECT") {
            return Ok(());
        }
        let account = account(&mut self.admin).await?;
        Err(Error::SeesNotAll(grants::statement(&["SELECT"], &account)))
    }

    pub async fn tables(&mut self) -> Result<Vec<Listed>, Error> {
        let question = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES \
             WHERE TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW', 'TEMPORARY') AND TABLE_SCHEMA NOT IN ({LEFT_OUT}) \
             ORDER BY TABLE_SCHEMA, TABLE_NAME"
        );
        let rows = self.admin.query(&question).await?;
        let listed = |row: &net::admin::Row| {
            Some(Listed {
                name: Name {
                    database: row.at(0)?.to_owned(),
                    table: row.at(1)?.to_owned(),
                },
                kind: row.at(2)?.to_owned(),
                engine: row.at(3).unwrap_or_default().to_owned(),
            })
        };
        Ok(rows.iter().filter_map(listed).collect())
    }

    pub async fn definition(&mut self, table: &Name) -> Result<Option<Definition>, Error> {
        Ok(definition::ask(&mut self.admin, table).await?)
    }

    /// Up to one more than [`UNORDERED`].
    pub async fn rows(&mut self, table: &Name) -> Result<u64, Error> {
        let question = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT {}) AS counted",
            table.quoted(),
            UNORDERED + 1
        );
        let count = self.admin.value(&question).await?;
        Ok(count
            .and_then(|count| count.parse().ok())
            .unwrap_or(UNORDERED + 1))
    }

    /// The key that comes `rows` rows behind the range's beginning; None where the range ends before.
    pub async fn bound(
        &mut self,
        key: &Ordered,
        table: &Name,
        within: &Range,
        rows: u64,
    ) -> Result<Option<Bound>, net::Error> {
        let question = key.question(&table.quoted(), within, rows);
        let answer = self.admin.query(&question).await?;
        Ok(answer.first().and_then(|row| key.bound(|at| row.at(at))))
    }

    pub async fn result(&mut self, question: &str) -> Result<Option<(u64, String)>, Error> {
        let rows = self.admin.query(question).await?;
        Ok(rows
            .first()
            .and_then(|row| Some((row.at(0)?.parse().ok()?, row.at(1)?.to_owned()))))
    }

    /// All that it has committed.
    pub async fn stands_at(&mut self) -> Result<Option<Position>, Error> {
        let variable = match self.flavor() {
            Flavor::MariaDb => "gtid_binlog_pos",
            Flavor::MySql => "gtid_executed",
        };
        let question = format!("SELECT @@global.{variable}");
        let text = self.admin.value(&question).await?.unwrap_or_default();
        Ok(Position::parse(self.flavor(), &text).ok())
    }

    /// Commits a mark: where the source stands then, all is before it that was committed so far. Or why not.
    pub async fn passes(
        &mut self,
        place: &Place<'_>,
        time: u64,
    ) -> Result<Result<Position, String>, Error> {
        if let Ran::Not(why) = self.log(&place.passes(time)).await? {
            return Ok(Err(why));
        }
        let position = self.stands_at().await?;
        Ok(position.ok_or_else(|| "the source's GTID position cannot be read".to_owned()))
    }

    /// Runs a statement that is logged. Who was locked out begins again.
    pub async fn log(&mut self, statement: &str) -> Result<Ran, Error> {
        for attempt in 1..=ATTEMPTS {
            // Our account may write at a server that has become a replica, and must not.
            if self.admin.is_read_only().await? {
                return Err(Error::ReadOnly);
            }
            let begun = Instant::now();
            match self.admin.execute(statement).await {
                Ok(()) => return Ok(Ran::In(begun.elapsed())),
                Err(error)
                    if error
                        .server_code()
                        .is_some_and(|code| LOCKED.contains(&code)) =>
                {
                    tokio::time::sleep(Duration::from_millis(10) * attempt).await;
                }
                Err(net::Error::Timeout { .. }) => {
                    let statement = statement.chars().take(60).collect();
                    return Err(Error::Waits { statement });
                }
                Err(error) if error.server_code().is_some() => {
                    return Ok(Ran::Not(format!("the source refused it: {error}")));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Ran::Not(locked_out()))
    }
}

pub(super) fn locked_out() -> String {
    format!("others held locks on it at the source: {ATTEMPTS} attempts in vain")
}

async fn account(admin: &mut Admin) -> Result<String, net::Error> {
    let account = admin.value("SELECT CURRENT_USER()").await?;
    Ok(account.unwrap_or_default())
}
