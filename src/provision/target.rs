//! The server that a copy is made on. Nothing that is done there is logged by it.
//!
//! It carries a mark, the table `ackline.provision`: which run is at work there, and which of its pieces are in. It is
//! written in the piece's own transaction, and taken away when the server follows us, so that a copy that was left in the
//! middle is known for what it is.

use std::time::Duration;

use super::catalog::database_names;
use super::object::account_name;
use crate::gtid::Position;
use crate::ids::Flavor;
use crate::net;
use crate::net::admin::{self, Admin, literal};
use crate::tables::{Name, SYSTEM, quoted, travel};

/// A definition may be a long one, and a schema that is dropped large.
const ASK: Duration = Duration::from_secs(600);
/// ER_SERVER_SHUTDOWN, ER_CON_COUNT_ERROR, ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_CONNECTION_KILLED of both; and of a
/// full disk ER_DISK_FULL, ER_ERROR_ON_WRITE, ER_RECORD_FILE_FULL.
const PASSES: [u16; 9] = [1053, 1040, 1205, 1213, 1927, 3169, 1021, 1026, 1114];
const MARK: &str = "ackline.provision";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error("{statement}: {source}")]
    Statement {
        statement: String,
        source: net::Error,
    },
    #[error("{what}: error {code}")]
    Hidden { what: String, code: u16 },
    #[error("our account may not set it up: an administrator has to run there {0};")]
    Denied(String),
    #[error("its address leads to another machine than before, or somebody else provisions it now")]
    Another,
    #[error("it is the same machine as {0}")]
    Same(String),
    #[error("its binary log is off (log_bin)")]
    NoBinlog,
    #[error(
        "somebody else wrote there while it was copied to ({0}): find out who, keep clients away from it, then give the command again"
    )]
    Foreign(String),
    #[error(
        "{there} of {copied} ranges are there: it lost what it had committed (innodb_flush_log_at_trx_commit is not 1 there, or its disk lies); give the command again"
    )]
    Lost { there: u64, copied: u64 },
}

impl Error {
    /// It may take it later: it is away, or its disk is full.
    pub fn passes(&self) -> bool {
        match self {
            Self::Net(error) | Self::Statement { source: error, .. } => match error.server_code() {
                Some(code) => PASSES.contains(&code),
                None => true,
            },
            _ => false,
        }
    }
}

/// What is there before anything is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Schemas with tables, views or routines in them.
    pub schemas: Vec<String>,
    /// They are what an earlier copy has left.
    pub unfinished: bool,
}

/// Where an earlier copy was taken, whose donor was to be held there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub donor: String,
    pub position: String,
}

impl Held {
    pub fn is_at(&self, position: &Position) -> bool {
        Position::parse(position.flavor(), &self.position).is_ok_and(|held| held == *position)
    }
}

/// A table that no transaction keeps, and its checksum when it was on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summed {
    table: Name,
    sum: Option<String>,
}

/// A range as the target has marked it. Bounds are a JSON list of the key's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    pub piece: u64,
    pub table: Name,
    pub lower: Option<String>,
    pub upper: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Target {
    account: admin::Account,
    /// Of this copy.
    run: String,
}

impl Target {
    pub fn new(account: &admin::Account, run: &str) -> Self {
        Self {
            account: account.clone(),
            run: run.to_owned(),
        }
    }

    /// A session on a machine that is none of these: what names lead to is not believed.
    pub async fn apart(&self, others: &mut [(String, &mut Admin)]) -> Result<Admin, Error> {
        let mut admin = self.connect().await?;
        for (name, other) in others {
            if is_same(&mut admin, other, &self.run).await? {
                return Err(Error::Same(name.clone()));
            }
        }
        Ok(admin)
    }

    pub async fn examine(&self, others: &mut [(String, &mut Admin)]) -> Result<Found, Error> {
        let mut admin = self.apart(others).await?;
        may_set_up(&mut admin).await?;
        if admin.value("SELECT @@global.log_bin").await?.as_deref() != Some("1") {
            return Err(Error::NoBinlog);
        }
        let question = format!(
            "SELECT DISTINCT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ({0}, 'ackline') \
             UNION SELECT ROUTINE_SCHEMA FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN ({0}, 'ackline')",
            SYSTEM
        );
        let rows = admin.query(&question).await?;
        let marked = match admin.value(&format!("SELECT COUNT(*) FROM {MARK}")).await {
            Ok(count) => count.is_some_and(|count| count != "0"),
            // ER_BAD_DB_ERROR, ER_NO_SUCH_TABLE.
            Err(error) if matches!(error.server_code(), Some(1049 | 1146)) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(Found {
            schemas: rows
                .iter()
                .filter_map(|row| Some(row.at(0)?.to_owned()))
                .collect(),
            unfinished: marked,
        })
    }

    async fn connect(&self) -> Result<Admin, net::Error> {
        let mut admin = Admin::connect_for_bulk(&self.account, ASK).await?;
        travel::prepare_to_load(&mut admin).await?;
        admin.execute("SET SESSION unique_checks=0").await?;
        Ok(admin)
    }

    /// On the machine that carries our mark.
    pub async fn session(&self) -> Result<Admin, Error> {
        let mut admin = self.connect().await?;
        match has_piece(&mut admin, &self.run, 0).await {
            Ok(true) => {
                self.open(&mut admin).await?;
                Ok(admin)
            }
            Ok(false) => Err(Error::Another),
            Err(error) if matches!(error.server_code(), Some(1049 | 1146)) => Err(Error::Another),
            Err(error) => Err(error.into()),
        }
    }

    /// It follows nobody, claims to have nothing, and carries our mark: from here on nobody takes it for a replica, and
    /// it is known for a copy's beginning however this ends.
    ///
    /// `goes_on`: what an earlier copy has left is ours now, unless somebody else has written there.
    pub async fn take(&self, admin: &mut Admin, goes_on: bool) -> Result<(), Error> {
        let noun = match admin.flavor() {
            Flavor::MariaDb => "SLAVE",
            Flavor::MySql => "REPLICA",
        };
        run(admin, &format!("STOP {noun}")).await?;
        run(admin, &format!("RESET {noun} ALL")).await?;
        self.open(admin).await?;
        let is_as_left = match untouched(admin, None).await {
            Ok(()) => true,
            Err(Error::Foreign(_)) => false,
            Err(error) => return Err(error),
        };
        if goes_on && is_as_left {
            let ours = format!("UPDATE {MARK} SET run = {}", literal(&self.run));
            run(admin, &ours).await?;
        } else {
            self.begin(admin).await?;
        }
        // What it confirmed while it had that counts no more as soon as it says so itself.
        self.has_nothing(admin).await
    }

    async fn begin(&self, admin: &mut Admin) -> Result<(), Error> {
        run(admin, "CREATE DATABASE IF NOT EXISTS ackline").await?;
        run(admin, &format!("DROP TABLE IF EXISTS {MARK}")).await?;
        let mark = format!(
            "CREATE TABLE {MARK} (run VARCHAR(64) NOT NULL, piece BIGINT UNSIGNED NOT NULL, db_name VARBINARY(256) NULL, \
             table_name VARBINARY(256) NULL, lower_boundary LONGBLOB NULL, upper_boundary LONGBLOB NULL, \
             donor VARBINARY(256) NULL, position LONGBLOB NULL, PRIMARY KEY (run, piece)) ENGINE=InnoDB"
        );
        run(admin, &mark).await?;
        let run_name = literal(&self.run);
        let first = format!("INSERT INTO {MARK} (run, piece) VALUES ({run_name}, 0)");
        run(admin, &first).await
    }

    /// What an earlier copy has left, where that may be gone on with.
    pub async fn held(&self) -> Result<Option<Held>, Error> {
        let mut admin = self.connect().await?;
        let question =
            format!("SELECT donor, position FROM {MARK} WHERE piece = 0 AND position IS NOT NULL");
        let rows = match admin.query(&question).await {
            Ok(rows) => rows,
            // ER_BAD_DB_ERROR, ER_NO_SUCH_TABLE; ER_BAD_FIELD_ERROR of an earlier release's.
            Err(error) if matches!(error.server_code(), Some(1049 | 1146 | 1054)) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let held = |row: &admin::Row| {
            Some(Held {
                donor: row.at(0)?.to_owned(),
                position: row.at(1)?.to_owned(),
            })
        };
        Ok(rows.first().and_then(held))
    }

    /// What comes from now on may be gone on with.
    pub async fn holds(&self, admin: &mut Admin, held: &Held) -> Result<(), Error> {
        let set = format!(
            "UPDATE {MARK} SET donor = {}, position = {} WHERE run = {} AND piece = 0",
            literal(&held.donor),
            literal(&held.position),
            literal(&self.run)
        );
        run(admin, &set).await
    }

    /// Ranges that are there.
    pub async fn marked(&self, admin: &mut Admin) -> Result<Vec<Marked>, Error> {
        let question = format!(
            "SELECT piece, db_name, table_name, lower_boundary, upper_boundary FROM {MARK} WHERE run = {} AND piece > 0",
            literal(&self.run)
        );
        let rows = admin.query(&question).await?;
        let marked = |row: &admin::Row| {
            Some(Marked {
                piece: row.at(0)?.parse().ok()?,
                table: Name {
                    database: row.at(1)?.to_owned(),
                    table: row.at(2)?.to_owned(),
                },
                lower: row.at(3).map(str::to_owned),
                upper: row.at(4).map(str::to_owned),
            })
        };
        Ok(rows.iter().filter_map(marked).collect())
    }

    /// They are there no more.
    pub async fn unmark_pieces(&self, admin: &mut Admin, pieces: &[u64]) -> Result<(), Error> {
        let pieces: Vec<String> = pieces.iter().map(u64::to_string).collect();
        let delete = format!(
            "DELETE FROM {MARK} WHERE run = {} AND piece IN ({})",
            literal(&self.run),
            pieces.join(", ")
        );
        run(admin, &delete).await
    }

    /// We may write there, and nobody else. After a restart again.
    async fn open(&self, admin: &mut Admin) -> Result<(), Error> {
        if admin.flavor() == Flavor::MySql {
            run(admin, "SET GLOBAL super_read_only=OFF").await?;
        }
        run(admin, "SET GLOBAL read_only=ON").await?;
        run(admin, "SET GLOBAL local_infile=ON").await
    }

    async fn has_nothing(&self, admin: &mut Admin) -> Result<(), Error> {
        let statements: &[&str] = match admin.flavor() {
            Flavor::MariaDb => &["RESET MASTER", "SET GLOBAL gtid_slave_pos=''"],
            Flavor::MySql => &["RESET BINARY LOGS AND GTIDS"],
        };
        for statement in statements {
            run(admin, statement).await?;
        }
        Ok(())
    }

    /// Everything but the mark.
    pub async fn clear(&self, admin: &mut Admin) -> Result<(), Error> {
        for statement in [
            format!("UPDATE {MARK} SET donor = NULL, position = NULL"),
            format!("DELETE FROM {MARK} WHERE piece > 0"),
        ] {
            run(admin, &statement).await?;
        }
        for database in database_names(admin).await? {
            if database == "ackline" {
                for table in ours(admin).await? {
                    run(admin, &table).await?;
                }
            } else {
                run(admin, &format!("DROP DATABASE {}", quoted(&database))).await?;
            }
        }
        Ok(())
    }

    /// Goes into the piece's transaction. An error where the server belongs to another copy by now.
    pub async fn mark(&self, admin: &mut Admin, marked: &Marked) -> Result<(), Error> {
        let Marked { piece, table, .. } = marked;
        let or_null = |bound: &Option<String>| {
            bound
                .as_ref()
                .map_or_else(|| "NULL".to_owned(), |bound| literal(bound))
        };
        let mark = format!(
            "INSERT INTO {MARK} (run, piece, db_name, table_name, lower_boundary, upper_boundary) \
             SELECT run, {piece}, {}, {}, {}, {} FROM {MARK} WHERE run = {} AND piece = 0",
            literal(&table.database),
            literal(&table.table),
            or_null(&marked.lower),
            or_null(&marked.upper),
            literal(&self.run)
        );
        named(admin, &mark, &format!("the mark of a range of {table}")).await?;
        match self.has(admin, *piece).await? {
            true => Ok(()),
            false => Err(Error::Another),
        }
    }

    pub async fn has(&self, admin: &mut Admin, piece: u64) -> Result<bool, Error> {
        Ok(has_piece(admin, &self.run, piece).await?)
    }

    /// From now on tables that no transaction keeps go to the disk with each statement. How it was before.
    pub async fn syncs(&self, admin: &mut Admin) -> Result<Option<String>, Error> {
        let before = admin.value("SELECT @@global.flush").await?;
        run(admin, "SET GLOBAL flush=ON").await?;
        Ok(before)
    }

    /// Closes them, so that nothing of them is in memory only.
    pub async fn closes(
        &self,
        admin: &mut Admin,
        tables: &[&Name],
        before: Option<&str>,
    ) -> Result<Vec<Summed>, Error> {
        let mut summed = Vec::new();
        for table in tables {
            run(admin, &format!("FLUSH TABLES {}", table.quoted())).await?;
            summed.push(Summed {
                table: (*table).clone(),
                sum: checksum(admin, table).await?,
            });
        }
        let flush = format!("SET GLOBAL flush={}", before.unwrap_or("0"));
        run(admin, &flush).await?;
        Ok(summed)
    }

    /// Those that are not what they were then.
    pub async fn lost(&self, admin: &mut Admin, then: &[Summed]) -> Result<Vec<Name>, Error> {
        let mut lost = Vec::new();
        for Summed { table, sum } in then {
            let now = checksum(admin, table).await?;
            if now.is_none() || now != *sum {
                lost.push(table.clone());
            }
        }
        Ok(lost)
    }

    /// All that was copied is there still, though the server was away in between.
    pub async fn has_all(&self, admin: &mut Admin, copied: u64) -> Result<(), Error> {
        let question = format!(
            "SELECT COUNT(*) FROM {MARK} WHERE run = {} AND piece > 0",
            literal(&self.run)
        );
        let there = admin.value(&question).await?;
        let there = there.and_then(|there| there.parse().ok()).unwrap_or(0);
        match there == copied {
            true => Ok(()),
            false => Err(Error::Lost { there, copied }),
        }
    }

    /// From now on it stands at this position, and its binlog begins there.
    pub async fn stands_at(&self, admin: &mut Admin, position: &Position) -> Result<(), Error> {
        if !self.has(admin, 0).await? {
            return Err(Error::Another);
        }
        untouched(admin, Some(position)).await?;
        let text = literal(&position.to_string());
        let statements = match position.flavor() {
            Flavor::MariaDb => vec![
                format!("SET GLOBAL gtid_binlog_state={text}"),
                format!("SET GLOBAL gtid_slave_pos={text}"),
            ],
            Flavor::MySql => vec![
                // Its own default.
                "SET GLOBAL local_infile=OFF".to_owned(),
                format!("SET GLOBAL gtid_purged={text}"),
            ],
        };
        self.has_nothing(admin).await?;
        for statement in statements {
            run(admin, &statement).await?;
        }
        Ok(())
    }

    /// It is a copy's beginning no longer.
    pub async fn unmark(&self) -> Result<(), Error> {
        let mut admin = self.connect().await?;
        if !self.has(&mut admin, 0).await? {
            return Err(Error::Another);
        }
        let drop = format!("DROP TABLE {MARK}");
        if admin.flavor() == Flavor::MariaDb {
            return run(&mut admin, &drop).await;
        }
        run(&mut admin, "SET GLOBAL super_read_only=OFF").await?;
        let dropped = run(&mut admin, &drop).await;
        run(&mut admin, "SET GLOBAL super_read_only=ON").await?;
        dropped
    }
}

/// Whoever logs there has written between our rows; we never do. `set`: unless it was set to that already.
async fn untouched(admin: &mut Admin, set: Option<&Position>) -> Result<(), Error> {
    let (variable, channels) = match admin.flavor() {
        Flavor::MariaDb => ("gtid_binlog_pos", "SHOW ALL SLAVES STATUS"),
        Flavor::MySql => ("gtid_executed", "SHOW REPLICA STATUS"),
    };
    let logged = admin.value(&format!("SELECT @@global.{variable}")).await?;
    let is_set = |logged: &str| {
        let logged = Position::parse(admin.flavor(), logged);
        set.is_some_and(|set| logged.is_ok_and(|logged| logged == *set))
    };
    if let Some(logged) = logged.filter(|logged| !logged.is_empty() && !is_set(logged)) {
        return Err(Error::Foreign(logged));
    }
    match admin.query(channels).await?.is_empty() {
        true => Ok(()),
        false => Err(Error::Foreign("it was told to follow a source".into())),
    }
}

/// Statements that drop what `ackline` holds besides the mark.
async fn ours(admin: &mut Admin) -> Result<Vec<String>, net::Error> {
    let question = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = 'ackline' AND TABLE_NAME <> 'provision'";
    let rows = admin.query(question).await?;
    let drop = |row: &admin::Row| {
        let kind = if row.at(1) == Some("VIEW") {
            "VIEW"
        } else {
            "TABLE"
        };
        Some(format!("DROP {kind} ackline.{}", quoted(row.at(0)?)))
    };
    Ok(rows.iter().filter_map(drop).collect())
}

/// NULL, with a warning, where it cannot be read.
async fn checksum(admin: &mut Admin, table: &Name) -> Result<Option<String>, net::Error> {
    let rows = admin
        .query(&format!("CHECKSUM TABLE {} EXTENDED", table.quoted()))
        .await?;
    Ok(rows.first().and_then(|row| row.at(1)).map(str::to_owned))
}

async fn has_piece(admin: &mut Admin, run: &str, piece: u64) -> Result<bool, net::Error> {
    let question = format!(
        "SELECT COUNT(*) FROM {MARK} WHERE run = {} AND piece = {piece}",
        literal(run)
    );
    Ok(admin.value(&question).await?.as_deref() == Some("1"))
}

/// A lock that one of them takes is seen at the other one only if they are the same.
async fn is_same(one: &mut Admin, other: &mut Admin, lock: &str) -> Result<bool, net::Error> {
    let lock = literal(&format!("ackline-{lock}"));
    one.value(&format!("SELECT GET_LOCK({lock}, 0)")).await?;
    let seen = other.value(&format!("SELECT IS_USED_LOCK({lock})")).await;
    one.value(&format!("SELECT RELEASE_LOCK({lock})")).await?;
    Ok(seen?.is_some())
}

/// All privileges, with GRANT OPTION: what it makes is everything.
async fn may_set_up(admin: &mut Admin) -> Result<(), Error> {
    let lines = admin.query("SHOW GRANTS").await?;
    let suffices = |line: &str| match admin.flavor() {
        Flavor::MariaDb => line.starts_with("GRANT ALL PRIVILEGES ON *.* TO "),
        // It lists them one by one.
        Flavor::MySql => line.contains("CREATE USER") && line.contains(" ON *.* TO "),
    } && line.ends_with("WITH GRANT OPTION");
    if lines.iter().filter_map(|row| row.at(0)).any(suffices) {
        return Ok(());
    }
    let account = admin
        .value("SELECT CURRENT_USER()")
        .await?
        .unwrap_or_default();
    let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
    let grant = format!(
        "GRANT ALL PRIVILEGES ON *.* TO {} WITH GRANT OPTION",
        account_name(user, Some(host))
    );
    Err(Error::Denied(unlogged(admin.flavor(), &grant)))
}

/// What an administrator runs there and nowhere else: logged, it would be a transaction of its own.
pub(super) fn unlogged(flavor: Flavor, statement: &str) -> String {
    let unlogged = match flavor {
        Flavor::MariaDb => "SET SESSION sql_log_bin=0",
        Flavor::MySql => "SET GLOBAL super_read_only=OFF; SET SESSION sql_log_bin=0",
    };
    format!("{unlogged}; {statement}")
}

pub(super) async fn run(admin: &mut Admin, statement: &str) -> Result<(), Error> {
    named(admin, statement, statement).await
}

/// A statement that is shown by another name, as it is long.
pub(super) async fn named(admin: &mut Admin, statement: &str, shown: &str) -> Result<(), Error> {
    named_within(admin, statement, shown, ASK).await
}

pub(super) async fn named_within(
    admin: &mut Admin,
    statement: &str,
    shown: &str,
    longest: Duration,
) -> Result<(), Error> {
    let done = admin.execute_within(statement, longest).await;
    done.map_err(|source| Error::Statement {
        statement: shown.to_owned(),
        source,
    })
}
