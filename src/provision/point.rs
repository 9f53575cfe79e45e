//! The read point: snapshots that all show the same moment, and that moment's GTID position.
//!
//! MariaDB tells of each snapshot at which byte of the binlog it was taken, on a source as on a replica, and nothing waits
//! for it. They are taken until all say the same. On MySQL nothing tells that, so commits are kept out while they are
//! taken. On a replica by FLUSH TABLES WITH READ LOCK, which holds up its applier for a moment. At a source that would hang
//! behind a commit that waits for its acknowledgement; there nothing is acknowledged for a moment ([`Still`]). A commit
//! behind that is in neither the tables nor `gtid_executed` (AFTER_SYNC), so as soon as the server has executed exactly
//! what was acknowledged, it stands still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::object::Table;
use crate::ack::Still;
use crate::capture::{Counters, read_counters};
use crate::gtid::{GtidSet, Position};
use crate::ids::Flavor;
use crate::net::admin::{Account, Admin, literal};
use crate::protocol::semi_sync::Names;
use crate::tables::SYSTEM;
use crate::{gtid, net};

/// A server with very many tables takes its time.
const ASK: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(20);
const BETWEEN: Duration = Duration::from_millis(50);
/// For the lock; behind us the applier waits for it as well.
const LOCK: Duration = Duration::from_secs(10);
const TRIES: usize = 200;
/// Commits at a MySQL source wait for at most so long,
const STILL: Duration = Duration::from_millis(300);
/// and are let go earlier where it does not come to rest in this time.
const RESTS: Duration = Duration::from_millis(60);
const LOOK: Duration = Duration::from_millis(1);

/// Tries in a row that end for the same reason.
const STAYS: usize = 20;

/// Keeps acknowledgements from the source for so long.
pub type Stills = Arc<dyn Fn(Duration) -> Option<Still> + Send + Sync>;

/// The donor is the source.
pub struct AtSource<'a> {
    pub stills: &'a Stills,
    /// Whether it still is.
    pub is_source: &'a (dyn Fn() -> bool + Send + Sync),
}

/// Whether commits wait there, and for whom; and how many ever did not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SemiSync {
    counters: Counters,
    wait_point: Option<String>,
}

impl SemiSync {
    async fn of(admin: &mut Admin) -> Result<Self, net::Error> {
        let wait_point = Names::of(admin.flavor()).wait_point;
        Ok(Self {
            counters: read_counters(admin).await?,
            wait_point: admin
                .value(&format!("SELECT @@global.{wait_point}"))
                .await?,
        })
    }

    /// Why commits do not wait for us.
    fn lets_pass(&self) -> Option<String> {
        let Counters {
            active, clients, ..
        } = self.counters;
        let holds = active && clients == 1 && self.wait_point.as_deref() == Some("AFTER_SYNC");
        (!holds).then(|| {
            "its commits do not wait for our acknowledgement alone, before they are visible (semi-sync: ackline doctor)".to_owned()
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error(
        "its address leads to more than one machine: connections that shall read the same moment came to different ones"
    )]
    TwoMachines,
    #[error(
        "its snapshots did not meet in {TRIES} tries, it commits too often: name another donor (--from), a replica"
    )]
    NeverMeets,
    #[error(
        "it does not say what the position {0} is as a GTID: its binlog is off, or was purged meanwhile"
    )]
    NoGtid(String),
    #[error("its GTID position cannot be read: {0}")]
    Position(#[from] gtid::ParseError),
    #[error(
        "it did not come to rest: {0}; give the command again, or name another donor (--from), a replica"
    )]
    NeverRests(String),
    #[error("it is the source no longer: give the command again")]
    NoSource,
    #[error(
        "{0} XA transactions are prepared there, whose rows no snapshot shows: end them (XA RECOVER), or name another donor (--from)"
    )]
    Prepared(usize),
    #[error(
        "its applier holds {0} temporary tables, which statements to come may name: give the command again later, or name another donor (--from)"
    )]
    TemporaryTables(String),
    #[error("FLUSH TABLES WITH READ LOCK did not come within {} s: something runs there for long", LOCK.as_secs())]
    Locked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Xa {
    prepared: usize,
    /// So many were committed since the server's start.
    ended: Option<String>,
}

/// Names and columns of tables. Where a name comes to stand for another table, old or new, or a column's for another
/// column, a snapshot shows rows of both under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    names: BTreeMap<String, String>,
    columns: BTreeMap<String, Vec<String>>,
}

impl Tables {
    /// What has another name now.
    pub fn renamed(&self, now: &Self) -> Option<String> {
        let renamed = self.names.iter().find_map(|(id, name)| {
            let new = now.names.get(id).filter(|new| *new != name)?;
            Some(format!("{name} is {new}"))
        });
        let swapped = || {
            self.columns.iter().find_map(|(table, columns)| {
                let new = now.columns.get(table)?;
                let still = new.iter().filter(|column| columns.contains(column));
                (!still.eq(columns.iter())).then(|| format!("columns of {table}"))
            })
        };
        renamed.or_else(swapped)
    }
}

/// A donor, and the session that everything else is asked in.
pub struct Donor {
    account: Account,
    control: Admin,
    /// Held by `control`: who sees it is on the same machine.
    mark: String,
    /// One that holds tables locked, where there are such.
    locks: Option<Admin>,
    snapshots: Vec<Admin>,
}

impl Donor {
    /// `mark` names a lock that nobody else takes.
    pub async fn connect(account: &Account, mark: &str) -> Result<Self, net::Error> {
        let mut control = session(account).await?;
        control
            .value(&format!("SELECT GET_LOCK({}, 0)", literal(mark)))
            .await?;
        Ok(Self {
            account: account.clone(),
            control,
            mark: mark.to_owned(),
            locks: None,
            snapshots: Vec::new(),
        })
    }

    pub fn flavor(&self) -> Flavor {
        self.control.flavor()
    }

    /// For questions about what it holds.
    pub fn control(&mut self) -> &mut Admin {
        &mut self.control
    }

    /// One more session, on the same machine.
    async fn another(&self) -> Result<Admin, Error> {
        let mut admin = session(&self.account).await?;
        let holder = admin
            .value(&format!("SELECT IS_USED_LOCK({})", literal(&self.mark)))
            .await?;
        let ours = self.control.id().map(|id| id.to_string());
        match holder.is_some() && holder == ours {
            true => Ok(admin),
            false => Err(Error::TwoMachines),
        }
    }

    /// So many sessions that see the moment at this position. `locked`: tables that no snapshot holds, which stay as they
    /// are until [`Self::unlock`]. `of_source`: the donor is the source.
    pub async fn take(
        &mut self,
        streams: usize,
        locked: &[&Table],
        of_source: Option<&AtSource<'_>>,
    ) -> Result<Position, Error> {
        while self.snapshots.len() < streams {
            let snapshot = self.another().await?;
            self.snapshots.push(snapshot);
        }
        self.open_temporary_tables().await?;
        match (self.flavor(), of_source) {
            (Flavor::MariaDb, _) => {
                self.lock(locked).await?;
                self.meet().await
            }
            (Flavor::MySql, None) => self.behind_a_lock(locked).await,
            (Flavor::MySql, Some(source)) => self.unacknowledged(locked, source).await,
        }
    }

    /// A statement behind the read point may name a temporary table that was made before it.
    async fn open_temporary_tables(&mut self) -> Result<(), Error> {
        let name = match self.flavor() {
            Flavor::MariaDb => "Slave_open_temp_tables",
            Flavor::MySql => "Replica_open_temp_tables",
        };
        match self.control.status(name).await?.as_deref() {
            None | Some("0") => Ok(()),
            Some(count) => Err(Error::TemporaryTables(count.to_owned())),
        }
    }

    /// Prepared ones have their rows in no snapshot, and on MariaDB the ends of all, so that a position may have them and
    /// a snapshot of it not.
    async fn xa(&mut self) -> Result<Xa, Error> {
        let prepared = self.control.query("XA RECOVER").await?.len();
        let ended = self.control.status("Com_xa_commit").await?;
        Ok(Xa { prepared, ended })
    }

    /// Other writers wait, of these tables.
    async fn lock(&mut self, tables: &[&Table]) -> Result<(), Error> {
        if tables.is_empty() {
            return Ok(());
        }
        let mut locks = self.another().await?;
        let tables: Vec<String> = tables
            .iter()
            .map(|table| table.name.quoted() + " READ")
            .collect();
        locks
            .execute(&format!("LOCK TABLES {}", tables.join(", ")))
            .await?;
        self.locks = Some(locks);
        Ok(())
    }

    /// Where nothing is committed between them.
    async fn meet(&mut self) -> Result<Position, Error> {
        let mut prepared = 0;
        for _ in 0..TRIES {
            let xa = self.xa().await?;
            // Of a domain that its binlog has nothing of, this is the position: what came since would be in its binlog.
            let before = self.control.value("SELECT @@global.gtid_slave_pos").await?;
            self.open().await?;
            let places = self.places().await?;
            if xa.prepared > 0 || xa != self.xa().await? {
                prepared = xa.prepared;
                tokio::time::sleep(BETWEEN).await;
                continue;
            }
            let meet = |first: &&(String, String)| places.iter().all(|place| place == *first);
            let Some((file, offset)) = places.first().filter(meet) else {
                continue;
            };
            let question = format!("SELECT BINLOG_GTID_POS({}, {offset})", literal(file));
            let logged = self.control.value(&question).await?;
            let logged = logged.ok_or_else(|| Error::NoGtid(format!("{file}:{offset}")))?;
            return Ok(united(
                &Position::parse(Flavor::MariaDb, &logged)?,
                &Position::parse(Flavor::MariaDb, &before.unwrap_or_default())?,
            ));
        }
        match prepared {
            0 => Err(Error::NeverMeets),
            prepared => Err(Error::Prepared(prepared)),
        }
    }

    /// All at once.
    async fn open(&mut self) -> Result<(), net::Error> {
        let opened = join_all(self.snapshots.iter_mut().map(async |snapshot| {
            snapshot
                .execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                .await
        }));
        opened.await.into_iter().collect()
    }

    /// Where in the binlog each was taken.
    async fn places(&mut self) -> Result<Vec<(String, String)>, net::Error> {
        let mut places = Vec::new();
        for snapshot in &mut self.snapshots {
            let rows = snapshot
                .query("SHOW STATUS LIKE 'binlog_snapshot_%'")
                .await?;
            let value = |name: &str| {
                let is_it = |found: &str| found.eq_ignore_ascii_case(name);
                let row = rows.iter().find(|row| row.at(0).is_some_and(is_it));
                row.and_then(|row| row.at(1)).unwrap_or_default().to_owned()
            };
            places.push((
                value("binlog_snapshot_file"),
                value("binlog_snapshot_position"),
            ));
        }
        Ok(places)
    }

    async fn behind_a_lock(&mut self, locked: &[&Table]) -> Result<Position, Error> {
        for _ in 0..TRIES {
            if self.xa().await?.prepared > 0 {
                tokio::time::sleep(BETWEEN).await;
                continue;
            }
            // It goes with its session, so in any case.
            let mut global = self.another().await?;
            let patience = format!("SET SESSION lock_wait_timeout={}", LOCK.as_secs());
            global.execute(&patience).await?;
            match global.execute("FLUSH TABLES WITH READ LOCK").await {
                Err(error) if error.server_code() == Some(1205) => return Err(Error::Locked),
                done => done?,
            }
            // One may have been prepared until then.
            if self.xa().await?.prepared > 0 {
                continue;
            }
            self.lock(locked).await?;
            self.open().await?;
            let executed = self.executed().await?;
            global.close().await;
            return Ok(Position::MySql(executed));
        }
        Err(Error::Prepared(self.xa().await?.prepared))
    }

    /// Of a MySQL source.
    async fn unacknowledged(
        &mut self,
        locked: &[&Table],
        source: &AtSource<'_>,
    ) -> Result<Position, Error> {
        let (mut why, mut stays) = (String::new(), 0);
        for _ in 0..TRIES {
            if !(source.is_source)() {
                return Err(Error::NoSource);
            }
            let tried = self.try_unacknowledged(locked, source).await?;
            let reason = match tried {
                Ok(position) => return Ok(position),
                Err(reason) => reason,
            };
            self.unlock();
            // Where commits come and go it would be another one.
            stays = if reason == why { stays + 1 } else { 0 };
            why = reason;
            if stays > STAYS {
                break;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Err(Error::NeverRests(why))
    }

    async fn try_unacknowledged(
        &mut self,
        locked: &[&Table],
        source: &AtSource<'_>,
    ) -> Result<Result<Position, String>, Error> {
        let prepared = self.xa().await?.prepared;
        if prepared > 0 {
            return Ok(Err(format!(
                "{prepared} XA transactions are prepared there"
            )));
        }
        self.lock(locked).await?;
        match (source.stills)(STILL) {
            Some(still) => self.at_rest(&still).await,
            None => {
                let why = "commits that are released wait for their acknowledgement, or another copy is made of it";
                Ok(Err(why.to_owned()))
            }
        }
    }

    /// Or why not. Who waits is let go as soon as this returns.
    async fn at_rest(&mut self, still: &Still) -> Result<Result<Position, String>, Error> {
        let begun = Instant::now();
        let released = still.released();
        let gate = SemiSync::of(&mut self.control).await?;
        if let Some(why) = gate.lets_pass() {
            return Ok(Err(why));
        }
        loop {
            let executed = self.executed().await?;
            if executed == *released {
                break;
            }
            if begun.elapsed() > RESTS {
                let more = executed.difference(released);
                return Ok(Err(match more.is_empty() {
                    true => format!("{} is not done", released.difference(&executed)),
                    false => format!("it has {more}, which is not released by our binlog"),
                }));
            }
            tokio::time::sleep(LOOK).await;
        }
        self.open().await?;
        let prepared = self.xa().await?.prepared > 0;
        let same = self.executed().await? == *released
            && SemiSync::of(&mut self.control).await? == gate
            && still.stands();
        tracing::debug!(
            milliseconds = begun.elapsed().as_millis(),
            same,
            "commits waited for a read point"
        );
        match same && !prepared {
            true => Ok(Ok(Position::MySql(released.clone()))),
            false => Ok(Err("something was committed meanwhile".to_owned())),
        }
    }

    async fn executed(&mut self) -> Result<GtidSet, Error> {
        let executed = self.control.value("SELECT @@global.gtid_executed").await?;
        Ok(executed.unwrap_or_default().parse()?)
    }

    /// Which table is which, by the number that it keeps for its life: of all of the server that are transactional.
    pub async fn tables(&mut self) -> Result<Tables, net::Error> {
        let from = match self.flavor() {
            Flavor::MariaDb => "INNODB_SYS_TABLES",
            Flavor::MySql => "INNODB_TABLES",
        };
        let ids = format!("SELECT NAME, TABLE_ID FROM information_schema.{from}");
        let columns = format!(
            "SELECT CONCAT(TABLE_SCHEMA, '/', TABLE_NAME), COLUMN_NAME FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA NOT IN ({SYSTEM}) ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
        );
        let mut tables = Tables::default();
        for row in self.control.query(&ids).await? {
            if let (Some(name), Some(id)) = (row.at(0), row.at(1)) {
                tables.names.insert(id.to_owned(), name.to_owned());
            }
        }
        for row in self.control.query(&columns).await? {
            if let (Some(name), Some(column)) = (row.at(0), row.at(1)) {
                let columns = tables.columns.entry(name.to_owned()).or_default();
                columns.push(column.to_owned());
            }
        }
        Ok(tables)
    }

    /// The session that sees locked tables as they were at the read point.
    pub fn locks(&mut self) -> Option<&mut Admin> {
        self.locks.as_mut()
    }

    /// Its applier stands still from here on, though we are gone.
    pub async fn hold(&mut self) -> Result<(), net::Error> {
        let [stop, _] = applier(self.flavor());
        self.control.execute(stop).await
    }

    /// It goes on.
    pub async fn release(&mut self) -> Result<(), net::Error> {
        let [_, start] = applier(self.flavor());
        self.control.execute(start).await
    }

    /// Everybody may write them again.
    pub fn unlock(&mut self) {
        // The server lets go of them as the connection ends.
        self.locks = None;
    }

    /// Each of them is somebody's; behind [`Self::take`].
    pub fn snapshots(&mut self) -> Vec<Admin> {
        std::mem::take(&mut self.snapshots)
    }
}

/// Stops and starts it.
pub fn applier(flavor: Flavor) -> [&'static str; 2] {
    match flavor {
        Flavor::MariaDb => ["STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD"],
        Flavor::MySql => ["STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD"],
    }
}

/// Where a replica has come to.
pub async fn stands_at(account: &Account) -> Result<Position, Error> {
    let mut admin = session(account).await?;
    let variable = match admin.flavor() {
        Flavor::MariaDb => "gtid_slave_pos",
        Flavor::MySql => "gtid_executed",
    };
    let position = admin.value(&format!("SELECT @@global.{variable}")).await?;
    Ok(Position::parse(
        admin.flavor(),
        &position.unwrap_or_default(),
    )?)
}

pub async fn session(account: &Account) -> Result<Admin, net::Error> {
    let connect = Admin::connect_for_bulk(account, ASK);
    let connected = tokio::time::timeout(CONNECT, connect).await;
    let mut admin = connected.map_err(|_| net::Error::Timeout {
        what: account.address.clone(),
        seconds: CONNECT.as_secs_f64(),
    })??;
    let of_flavor = match admin.flavor() {
        Flavor::MariaDb => {
            "SET SESSION max_statement_time=0, idle_transaction_timeout=0, idle_readonly_transaction_timeout=0"
        }
        Flavor::MySql => "SET SESSION max_execution_time=0",
    };
    for statement in [
        of_flavor,
        "SET SESSION sql_mode='', time_zone='+00:00', sql_quote_show_create=1, autocommit=1",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        // A snapshot stands still while the others work, and waits for the target.
        "SET SESSION wait_timeout=604800, net_write_timeout=3600, lock_wait_timeout=10",
    ] {
        admin.execute(statement).await?;
    }
    Ok(admin)
}

/// A position, and of domains that it does not name another one.
fn united(position: &Position, other: &Position) -> Position {
    match (position, other) {
        (Position::MariaDb(position), Position::MariaDb(other)) => {
            let named = |domain: u32| position.iter().any(|gtid| gtid.domain == domain);
            let more = other.iter().filter(|gtid| !named(gtid.domain));
            Position::MariaDb(position.iter().chain(more).collect())
        }
        (position, _) => position.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_under_another_name() {
        let tables = |names: &[(&str, &str)], columns: &[&str]| Tables {
            names: names
                .iter()
                .map(|(id, name)| ((*id).into(), (*name).into()))
                .collect(),
            columns: [(
                "d/t".to_owned(),
                columns.iter().map(|name| (*name).into()).collect(),
            )]
            .into(),
        };
        let before = tables(&[("1", "d/t"), ("2", "d/shadow")], &["a", "b"]);
        for (names, columns, renamed) in [
            (
                &[("1", "d/t"), ("2", "d/shadow")][..],
                &["a", "b"][..],
                None,
            ),
            // Made anew, dropped: the snapshot does not show it.
            (&[("3", "d/t")], &["a", "b"], None),
            (&[("1", "d/t"), ("2", "d/shadow")], &["a", "c", "b"], None),
            (
                &[("1", "d/shadow"), ("2", "d/t")],
                &["a", "b"],
                Some("d/t is d/shadow"),
            ),
            (
                &[("1", "d/t"), ("2", "d/shadow")],
                &["b", "a"],
                Some("columns of d/t"),
            ),
            (
                &[("1", "d/t"), ("2", "d/shadow")],
                &["a"],
                Some("columns of d/t"),
            ),
        ] {
            let now = tables(names, columns);
            assert_eq!(before.renamed(&now).as_deref(), renamed, "{now:?}");
        }
    }

    #[test]
    fn a_domain_that_the_binlog_has_nothing_of() {
        let position = |text: &str| Position::parse(Flavor::MariaDb, text).unwrap();
        for (logged, before, is) in [
            ("0-1-7", "0-1-5,3-2-9", "0-1-7,3-2-9"),
            ("", "0-1-5", "0-1-5"),
            ("0-1-7", "", "0-1-7"),
        ] {
            assert_eq!(united(&position(logged), &position(before)), position(is));
        }
    }
}
