//! A session at a replica that writes rows anew as the source has them, while they are held there.
//!
//! It is one transaction for the rows that are held, in no binlog: what was taken away and what came in its place is compared
//! with the source's once more before it is committed. And it is committed only where, with these rows locked at the
//! replica, the source is the source still: nobody else can have written them before.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::holder::Holder;
use super::rows::{Differing, Digests, Reader};
use super::source::{FORGOTTEN, KEPT, LOCKED, SEES_ALIKE};
use crate::crash;
use crate::ids::Flavor;
use crate::net;
use crate::net::admin::{Account, Admin, bulk};
use crate::tables::{Name, Travel, travel};
use crate::topology::doctor::grants::Grants;

/// Whether the proxy serves from the source that we began with, and is not about to move it.
pub type Serves = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// For each question.
const ANSWERS: Duration = Duration::from_secs(30);
/// A statement names so many rows.
const NAMES: usize = 100;
/// Pieces of 64 KiB that were read and not written yet.
const AHEAD: usize = 16;
/// Its rows may be large.
const CARRIES: Duration = Duration::from_secs(60);
const SETTINGS: [&str; 2] = [
    // An applier that wants these rows waits for us, and we for it.
    "SET SESSION innodb_lock_wait_timeout=5",
    // The rows that are passed over on the way stay free.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

/// As replicas are; but should it be the source by then, it must not be closed.
const CLOSES: &str = "SET GLOBAL super_read_only=@@global.read_only";

/// Why rows were not mended.
#[derive(Debug)]
pub(super) enum Failed {
    /// The applier or somebody else was in the way.
    Locked(String),
    /// These rows; others may be.
    Rows(String),
    Server(String),
}

impl Failed {
    fn of(error: net::Error) -> Self {
        match error.server_code() {
            Some(code) if LOCKED.contains(&code) => Self::Locked(error.to_string()),
            _ => Self::Server(said(&error)),
        }
    }
}

fn said(error: &net::Error) -> String {
    match error.is_denied() {
        true => format!("our account may not mend there: {error}; see ackline help verify"),
        false => error.to_string(),
    }
}

/// What is mended at once.
pub(super) struct Rows<'a> {
    pub reader: &'a Reader,
    pub travel: &'a Travel,
    pub differing: &'a [Differing],
    /// What the holder holds of them.
    pub source: &'a Digests,
}

#[derive(Debug)]
pub(super) struct Mender {
    account: Account,
    admin: Admin,
    /// What makes the server as it was.
    restores: Vec<String>,
}

impl Mender {
    pub async fn open(account: &Account) -> Result<Self, String> {
        let said = |error: net::Error| said(&error);
        let admin = Admin::connect_for_bulk(account, ANSWERS).await;
        let mut mender = Self {
            account: account.clone(),
            admin: admin.map_err(said)?,
            restores: Vec::new(),
        };
        match mender.prepare().await {
            Ok(()) => Ok(mender),
            Err(error) => match mender.restore().await {
                Ok(()) => Err(said(error)),
                Err(open) => Err(format!("{}; {open}", said(error))),
            },
        }
    }

    async fn prepare(&mut self) -> Result<(), net::Error> {
        travel::prepare_to_load(&mut self.admin).await?;
        for setting in SETTINGS.iter().chain(&[SEES_ALIKE[0], KEPT]) {
            self.admin.execute(setting).await?;
        }
        crash::step("mend");
        let local = self.admin.value("SELECT @@global.local_infile").await?;
        if local.as_deref() == Some("0") {
            self.sets("SET GLOBAL local_infile=ON", "SET GLOBAL local_infile=OFF")
                .await?;
        }
        // Whether it may at all is known before a row is held.
        self.opens().await?;
        self.shuts().await
    }

    /// `back` is kept in mind, whatever comes of it.
    async fn sets(&mut self, statement: &str, back: &str) -> Result<(), net::Error> {
        self.restores.push(back.to_owned());
        self.admin.execute(statement).await
    }

    /// On MySQL we may write there, from now on.
    async fn opens(&mut self) -> Result<(), net::Error> {
        match self.admin.flavor() {
            Flavor::MariaDb => Ok(()),
            Flavor::MySql => self.sets("SET GLOBAL super_read_only=OFF", CLOSES).await,
        }
    }

    /// As soon as may be: while it is open, it has no vote.
    async fn shuts(&mut self) -> Result<(), net::Error> {
        if self.restores.last().is_some_and(|last| last == CLOSES) {
            self.admin.execute(CLOSES).await?;
            self.restores.pop();
        }
        Ok(())
    }

    /// The server is as it was; or what has to be run there by hand.
    pub async fn restore(mut self) -> Result<(), String> {
        let mut left = Vec::new();
        for statement in self.restores.iter().rev() {
            if !self.admin.is_usable()
                && let Ok(again) = Admin::connect(&self.account, ANSWERS).await
            {
                self.admin = again;
            }
            if let Err(error) = self.admin.execute(statement).await {
                left.push(format!("{statement} ({error})"));
            }
        }
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("run there by hand: {}", left.join("; "))),
        }
    }

    /// Why a table is not mended there: triggers would fire, which they do not where a replica applies rows.
    pub async fn spares(&mut self, table: &Name) -> Result<(), String> {
        let said = |error: net::Error| said(&error);
        let lines = self.admin.query("SHOW GRANTS").await.map_err(said)?;
        if !Grants::parse(lines.iter().filter_map(|row| row.at(0))).has("TRIGGER") {
            return Err("our account does not see its triggers there: GRANT TRIGGER ON *.*".into());
        }
        let question = format!(
            "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE {}",
            table.is_in("EVENT_OBJECT_SCHEMA", "EVENT_OBJECT_TABLE")
        );
        let count = self.admin.value(&question).await.map_err(said)?;
        match count.as_deref() {
            Some("0") => Ok(()),
            _ => Err(
                "it has triggers, which would fire there: ackline provision NAME --replace copies it anew"
                    .into(),
            ),
        }
    }

    pub async fn mend(
        &mut self,
        rows: &Rows<'_>,
        holder: &mut Holder,
        serves: &Serves,
    ) -> Result<(), Failed> {
        let mended = async {
            self.opens().await.map_err(Failed::of)?;
            self.write(rows, holder).await?;
            // These rows are ours by now, and who has become the source since did not have them written before.
            let source_closed = holder.is_read_only().await.map_err(Failed::Server)?;
            let closed = self.admin.is_read_only().await.map_err(Failed::of)?;
            if source_closed || !closed || !serves().await {
                return Err(Failed::Server("the source is moved meanwhile".to_owned()));
            }
            self.admin.execute("COMMIT").await.map_err(Failed::of)
        };
        let mended = mended.await;
        if self.admin.is_usable() {
            let after = async {
                self.admin.execute("ROLLBACK").await?;
                self.admin.execute(KEPT).await?;
                self.shuts().await
            };
            if let Err(error) = after.await {
                return mended.and(Err(Failed::Server(error.to_string())));
            }
        }
        mended
    }

    /// Up to the commit.
    async fn write(&mut self, rows: &Rows<'_>, holder: &mut Holder) -> Result<(), Failed> {
        let Rows {
            reader,
            travel,
            differing: rows,
            source,
        } = rows;
        let table = reader.table().quoted();
        for statement in [FORGOTTEN, "START TRANSACTION"] {
            self.admin.execute(statement).await.map_err(Failed::of)?;
        }
        for some in rows.chunks(NAMES) {
            let delete = format!("DELETE FROM {table} WHERE {}", reader.among(some));
            self.admin.execute(&delete).await.map_err(Failed::of)?;
        }
        let wanted: Vec<Differing> = rows.iter().filter(|row| row.at_source).cloned().collect();
        for some in wanted.chunks(NAMES) {
            let among = reader.among(some);
            let select = format!("SELECT {} FROM {table} WHERE {among}", travel.select);
            self.carry(holder, &select, &travel.load(&table)).await?;
        }
        for some in rows.chunks(NAMES) {
            let question = reader.digests(&reader.among(some));
            let now = self.admin.query(&question).await.map_err(Failed::of)?;
            // By a collation a key may mean another one's row as well.
            let now = reader.read_digests(&now).unwrap_or_default();
            let alike = |row: &Differing| {
                let key = row.key.text();
                let wanted = source.get(&key).filter(|_| row.at_source);
                now.get(&key) == wanted
            };
            if let Some(row) = some.iter().find(|row| !alike(row)) {
                return Err(Failed::Rows(format!(
                    "{} would not be the same there as at the source",
                    reader.key().named(&row.key)
                )));
            }
        }
        Ok(())
    }

    async fn carry(&mut self, holder: &mut Holder, select: &str, load: &str) -> Result<(), Failed> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let write = |values: &bulk::Values, to: &mut Vec<u8>| travel::line(values, to);
        let both = async {
            let read = holder.session().send_rows(select, sender, write);
            tokio::join!(read, self.admin.load(load, receiver))
        };
        let Ok((sent, loaded)) = tokio::time::timeout(CARRIES, both).await else {
            let seconds = CARRIES.as_secs();
            return Err(Failed::Server(format!(
                "its rows did not get there within {seconds} s"
            )));
        };
        sent.map_err(|error| Failed::Server(format!("the source: {error}")))?;
        match loaded.map_err(Failed::of)? {
            (_, None) => Ok(()),
            (_, Some(warning)) => Err(Failed::Rows(format!(
                "it does not take a row as it is: {warning}"
            ))),
        }
    }
}
