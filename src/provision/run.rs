//! One copy, from the first look to a server that stands at the read point.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::catalog;
use super::clone;
use super::copy::{self, Away, COMES_BACK, Copier, Rate, Way};
use super::indexes::Later;
use super::life::Life;
use super::making;
use super::object::{Account, Catalog, Kind, Object, Rows, Table};
use super::order::{Copied, Method, Order, Server, locked};
use super::pieces::Pieces;
use super::point::{self, AtSource, Donor};
use super::progress::Progress;
use super::target::{self, Found, Held, Summed, Target};
use super::there::There;
use crate::gtid::Position;
use crate::ids::ServerName;
use crate::net;
use crate::net::admin::Admin;
use crate::tables::{Name, travel};

/// What a copy is known by; nobody else's has it.
pub fn run_name() -> String {
    let mut bytes = [0; 12];
    // Without the system's randomness nothing else of us works either.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Somebody altered a table between two looks.
const TRIES: usize = 5;
/// Writers of tables that no snapshot holds wait while they are copied: applications at the source, the applier at a
/// replica.
const LOCKED_AT_THE_SOURCE: u64 = 16 << 20;
const LOCKED_AT_A_REPLICA: u64 = 1 << 30;
/// A target that goes away is not waited for meanwhile.
const WHILE_LOCKED: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} (the donor): {1}")]
    Catalog(ServerName, catalog::Error),
    #[error("{0} (the donor): {1}")]
    Point(ServerName, point::Error),
    #[error("{0}: {1}")]
    Target(ServerName, target::Error),
    #[error("{0}: {1}")]
    Net(ServerName, net::Error),
    #[error(transparent)]
    Copy(#[from] copy::Error),
    #[error("{0}: {1}")]
    Clone(ServerName, clone::Error),
    #[error("tables were altered at {donor} in each of {TRIES} tries, the last: {what} …")]
    Restless { donor: ServerName, what: String },
    #[error("{0}")]
    Locked(String),
    #[error(
        "{donor}: {what} since the read point: rows of another one may have been copied; give the command again"
    )]
    Renamed { donor: ServerName, what: String },
    #[error(
        "{0} was started anew meanwhile, and tables that no transaction keeps ({1}) are not as they were copied; give the command again"
    )]
    Restarted(ServerName, String),
}

/// What would be copied, and onto what. Nothing is changed.
#[derive(Clone, Debug)]
pub struct Looked {
    pub found: Found,
    pub catalog: Catalog,
}

impl Order {
    fn target(&self) -> Target {
        Target::new(&self.target.account, &self.run)
    }

    fn of_target(&self) -> impl Fn(target::Error) -> Error {
        let name = self.target.name.clone();
        move |error| Error::Target(name.clone(), error)
    }

    fn of_donor(&self) -> impl Fn(catalog::Error) -> Error {
        let name = self.donor.name.clone();
        move |error| Error::Catalog(name.clone(), error)
    }

    fn reads_the_source(&self) -> bool {
        (self.source)() == self.donor.name
    }

    /// `source`: the target must not be that one, whatever its name leads to.
    pub async fn look(&self, source: &Server) -> Result<Looked, Error> {
        let mut others = Others::connect([source, &self.donor]).await?;
        let target = self.target();
        let found = target.examine(&mut others.named()).await;
        let found = found.map_err(self.of_target())?;
        let mut donor = connect(&self.donor).await?;
        let seen = catalog::sees_all(&mut donor).await;
        seen.map_err(self.of_donor())?;
        let catalog = catalog::read(&mut donor, self.accounts).await;
        let catalog = catalog.map_err(self.of_donor())?;
        match self.method {
            Method::Copy => self.may_lock(&catalog)?,
            Method::Clone => {
                let mut target = connect(&self.target).await?;
                let looked = clone::look(self, &mut donor, &mut target, &catalog).await;
                looked.map_err(|error| Error::Clone(self.target.name.clone(), error))?;
            }
        }
        Ok(Looked { found, catalog })
    }

    /// A session at the target, which is none of these machines.
    pub async fn apart(&self, others: &mut Others) -> Result<Admin, Error> {
        let apart = self.target().apart(&mut others.named()).await;
        apart.map_err(self.of_target())
    }

    /// From here on it is nobody's replica, and ours to fill.
    pub async fn take(&self, admin: &mut Admin) -> Result<(), Error> {
        let taken = self.target().take(admin, self.goes_on.is_some()).await;
        taken.map_err(self.of_target())
    }

    fn may_lock(&self, catalog: &Catalog) -> Result<(), Error> {
        let locked: Vec<&Table> = locked(catalog);
        let bytes: u64 = locked.iter().map(|table| table.bytes).sum();
        let (most, who) = match self.reads_the_source() {
            true => (LOCKED_AT_THE_SOURCE, "is the source: its writers"),
            false => (LOCKED_AT_A_REPLICA, "is a replica: its applier"),
        };
        if bytes <= most {
            return Ok(());
        }
        let names: Vec<String> = locked.iter().map(|table| table.name.to_string()).collect();
        Err(Error::Locked(format!(
            "{} hold {} MiB that no snapshot holds, and {} {who} would wait for the copy (at most {} MiB); take another donor (--from), or ALTER TABLE … ENGINE=InnoDB",
            names.join(", "),
            bytes >> 20,
            self.donor.name,
            most >> 20
        )))
    }
}

/// What an earlier copy has left there, where that may be gone on with.
pub async fn held(target: &Server) -> Result<Option<Held>, Error> {
    let held = Target::new(&target.account, "").held().await;
    held.map_err(|error| Error::Target(target.name.clone(), error))
}

/// Where a replica has come to.
pub async fn stands_at(server: &Server) -> Result<Position, Error> {
    let position = point::stands_at(&server.account).await;
    position.map_err(|error| Error::Point(server.name.clone(), error))
}

/// Other servers, each with a session.
pub struct Others(Vec<(ServerName, Admin)>);

impl Others {
    /// All of them have to answer.
    pub async fn connect<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Result<Self, Error> {
        let mut others = Vec::new();
        for server in servers {
            others.push((server.name.clone(), connect(server).await?));
        }
        Ok(Self(others))
    }

    fn named(&mut self) -> Vec<(String, &mut Admin)> {
        let named = self.0.iter_mut();
        named
            .map(|(name, admin)| (name.to_string(), admin))
            .collect()
    }
}

async fn connect(server: &Server) -> Result<Admin, Error> {
    let admin = point::session(&server.account).await;
    admin.map_err(|error| Error::Net(server.name.clone(), error))
}

/// To a server that was [taken](Order::take). What it holds is dropped first.
pub async fn copy(
    order: &Order,
    mut admin: Admin,
    progress: &Arc<Progress>,
) -> Result<Copied, Error> {
    let target = order.target();
    if order.method == Method::Clone {
        // MySQL 9.7 would drop it itself, and fails at a name with a backtick in it.
        progress.enters("empties the server");
        target.clear(&mut admin).await.map_err(order.of_target())?;
        let cloned = clone::clone(order, admin, progress).await;
        return cloned.map_err(|error| Error::Clone(order.target.name.clone(), error));
    }
    let held = match order.goes_on {
        Some(_) => target.held().await.map_err(order.of_target())?,
        None => None,
    };
    let (mut differs, mut goes_on) = (None, held.as_ref());
    for _ in 0..TRIES {
        if !admin.is_usable() {
            admin = target.session().await.map_err(order.of_target())?;
        }
        if goes_on.is_none() {
            progress.enters("empties the server");
            target.clear(&mut admin).await.map_err(order.of_target())?;
        }
        match try_copy(order, &target, &mut admin, goes_on, progress).await? {
            Tried::Copied(copied) => return Ok(copied),
            Tried::Altered(what) => differs = Some(what),
        }
        goes_on = None;
    }
    Err(Error::Restless {
        donor: order.donor.name.clone(),
        what: differs.unwrap_or_default(),
    })
}

enum Tried {
    Copied(Copied),
    /// Before rows were copied.
    Altered(String),
}

async fn try_copy(
    order: &Order,
    target: &Target,
    admin: &mut Admin,
    goes_on: Option<&Held>,
    progress: &Arc<Progress>,
) -> Result<Tried, Error> {
    let of_point = |error| Error::Point(order.donor.name.clone(), error);
    progress.enters("creates schemas and tables");
    let donor = Donor::connect(&order.donor.account, &order.run).await;
    let mut donor = donor.map_err(|error| of_point(error.into()))?;
    let before = match read(order, &mut donor).await? {
        Ok(catalog) => catalog,
        Err(altered) => return Ok(Tried::Altered(altered)),
    };
    order.may_lock(&before)?;
    let later = Later::of(&before, admin.flavor());
    if goes_on.is_none() {
        let made = making::tables(admin, &before, &later).await;
        made.map_err(order.of_target())?;
    }

    progress.enters("waits for a moment to read at");
    let locked = locked(&before);
    let tables = donor
        .tables()
        .await
        .map_err(|error| of_point(error.into()))?;
    order.may_lock(&before)?;
    // It may have become the source.
    let source = AtSource {
        stills: &order.stills,
        is_source: &|| order.reads_the_source(),
    };
    let source = order.reads_the_source().then_some(&source);
    if order.holds {
        let held = donor.hold().await;
        held.map_err(|error| of_point(error.into()))?;
    }
    let position = match donor.take(order.streams, &locked, source).await {
        Ok(position) => position,
        Err(error) => {
            if let Err(why) = release(order, &mut donor).await {
                tracing::warn!(why, "the donor is held still");
            }
            return Err(of_point(error));
        }
    };
    if goes_on.is_some_and(|held| !held.is_at(&position)) {
        let name = &order.donor.name;
        return Ok(Tried::Altered(format!("{name} was not held")));
    }
    progress.copies(before.bytes(), with_rows(&before));
    progress.enters(format!("copies rows as of {position}"));
    let life = Life::of(admin).await;
    let life = life.map_err(|error| order.of_target()(error.into()))?;
    let kept = match donor.locks() {
        Some(locks) => copy_locked(order, locks, target, &locked, progress).await?,
        None => Vec::new(),
    };
    donor.unlock();
    let after = match read(order, &mut donor).await? {
        Ok(catalog) => catalog,
        Err(altered) => return Ok(Tried::Altered(altered)),
    };
    if let Some(what) = before.differs(&after) {
        return Ok(Tried::Altered(what));
    }
    let mut sequences = Vec::new();
    let is_sequence = |object: &&Object| object.kind == Kind::Sequence;
    for object in after.objects.iter().filter(is_sequence) {
        let row = catalog::sequence(donor.control(), &object.name).await;
        sequences.push(row.map_err(order.of_donor())?);
    }
    let there = match goes_on {
        Some(_) => There::tidied(target, admin, in_snapshots(&after)).await,
        None if order.holds => {
            let held = Held {
                donor: order.donor.name.to_string(),
                position: position.to_string(),
            };
            target.holds(admin, &held).await.map(|()| There::default())
        }
        None => Ok(There::default()),
    };
    let there = there.map_err(order.of_target())?;
    let pieces = copy_rows(order, target, &mut donor, &after, &there, progress).await?;
    let now = donor
        .tables()
        .await
        .map_err(|error| of_point(error.into()))?;
    if let Some(what) = tables.renamed(&now) {
        return Err(Error::Renamed {
            donor: order.donor.name.clone(),
            what,
        });
    }
    // Nothing more is read there.
    let released = release(order, &mut donor).await;
    drop(donor);
    later.make(target, order.streams, progress).await?;

    let rest = Rest {
        order,
        target,
        catalog: &after,
        sequences: &sequences,
        pieces,
        life,
        kept: &kept,
        position: &position,
    };
    let mut warnings = rest.make(progress).await?;
    warnings.extend(released.err());
    Ok(Tried::Copied(Copied { position, warnings }))
}

/// What is made when all rows are there.
struct Rest<'a> {
    order: &'a Order,
    target: &'a Target,
    catalog: &'a Catalog,
    /// Statements that set them.
    sequences: &'a [String],
    /// So many are to be there.
    pieces: u64,
    /// The target's, when tables that no transaction keeps were copied,
    life: Life,
    /// and what it had of them then.
    kept: &'a [Summed],
    position: &'a Position,
}

impl Rest<'_> {
    /// Though the target goes away meanwhile. What could not be made.
    async fn make(&self, progress: &Progress) -> Result<Vec<String>, Error> {
        let mut away = Away::new(COMES_BACK);
        let (mut session, mut accounts) = (None, None);
        loop {
            match self.attempt(&mut session, &mut accounts, progress).await {
                Ok(warnings) => {
                    away.ends(progress);
                    return Ok(warnings);
                }
                Err(Error::Target(_, error)) if error.passes() => {
                    session = None;
                    away.waits(error, progress).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// `accounts`: those that the target had not at first.
    async fn attempt(
        &self,
        session: &mut Option<Admin>,
        accounts: &mut Option<Vec<Account>>,
        progress: &Progress,
    ) -> Result<Vec<String>, Error> {
        let Self { order, target, .. } = self;
        let admin = copy::session(target, session).await;
        let admin = admin.map_err(order.of_target())?;
        self.all_is_there(admin).await?;
        progress.enters("creates views, routines, triggers, events and accounts");
        let again = accounts.is_some();
        let missing = match accounts {
            Some(missing) => missing,
            None => {
                let missing = making::missing(admin, &self.catalog.accounts).await;
                accounts.insert(missing.map_err(order.of_target())?)
            }
        };
        if again {
            let dropped = making::forget(admin, missing, &self.catalog.objects).await;
            dropped.map_err(order.of_target())?;
        }
        let made = making::accounts(admin, missing).await;
        let mut warnings = made.map_err(order.of_target())?;
        let made = making::objects(admin, &self.catalog.objects).await;
        warnings.extend(made.map_err(order.of_target())?);
        for statement in self.sequences {
            let set = admin.execute(statement).await;
            set.map_err(|error| order.of_target()(error.into()))?;
        }
        let position = self.position;
        progress.enters(format!("sets its position to {position}"));
        let stands = target.stands_at(admin, position).await;
        stands.map_err(order.of_target())?;
        Ok(warnings)
    }

    async fn all_is_there(&self, admin: &mut Admin) -> Result<(), Error> {
        let Self { order, target, .. } = self;
        let has = target.has_all(admin, self.pieces).await;
        has.map_err(order.of_target())?;
        let now = Life::of(admin).await;
        let now = now.map_err(|error| order.of_target()(error.into()))?;
        if now.is_same(&self.life) {
            return Ok(());
        }
        let lost = target.lost(admin, self.kept).await;
        let lost = lost.map_err(order.of_target())?;
        if lost.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = lost.iter().map(Name::to_string).collect();
        Err(Error::Restarted(
            order.target.name.clone(),
            names.join(", "),
        ))
    }
}

/// What the donor holds; or what was altered or dropped while it was asked.
async fn read(order: &Order, donor: &mut Donor) -> Result<Result<Catalog, String>, Error> {
    match catalog::read(donor.control(), order.accounts).await {
        Ok(catalog) => Ok(Ok(catalog)),
        Err(error) if error.is_altered() => Ok(Err(error.to_string())),
        Err(error) => Err(order.of_donor()(error)),
    }
}

/// Where it was held.
async fn release(order: &Order, donor: &mut Donor) -> Result<(), String> {
    if !order.holds {
        return Ok(());
    }
    let released = donor.release().await;
    released.map_err(|error| {
        let [_, start] = point::applier(donor.flavor());
        format!("{}: {start}: {error}; run it there", order.donor.name)
    })
}

fn in_snapshots(catalog: &Catalog) -> impl Iterator<Item = &Table> {
    let tables = catalog.tables.iter();
    tables.filter(|table| table.rows == Rows::Snapshot)
}

fn with_rows(catalog: &Catalog) -> u64 {
    let tables = catalog.tables.iter();
    tables.filter(|table| table.rows != Rows::None).count() as u64
}

/// What the target then has of them.
async fn copy_locked(
    order: &Order,
    locks: &mut Admin,
    target: &Target,
    tables: &[&Table],
    progress: &Progress,
) -> Result<Vec<Summed>, Error> {
    locks
        .execute(travel::AS_IT_LIES)
        .await
        .map_err(copy::Error::Donor)?;
    let way = Way {
        target,
        progress,
        patience: WHILE_LOCKED,
    };
    let mut session = None;
    let admin = copy::session(target, &mut session).await;
    let before = target.syncs(admin.map_err(order.of_target())?).await;
    let before = before.map_err(order.of_target())?;
    for table in tables {
        way.carry(locks, &mut session, &Pieces::whole(table))
            .await?;
    }
    let names: Vec<&Name> = tables.iter().map(|table| &table.name).collect();
    let admin = copy::session(target, &mut session).await;
    let admin = admin.map_err(order.of_target())?;
    let summed = target.closes(admin, &names, before.as_deref()).await;
    summed.map_err(order.of_target())
}

/// How many pieces it was.
async fn copy_rows(
    order: &Order,
    target: &Target,
    donor: &mut Donor,
    catalog: &Catalog,
    there: &There,
    progress: &Arc<Progress>,
) -> Result<u64, Error> {
    let pieces = Pieces::of(in_snapshots(catalog), there);
    let (pieces, rate) = (Arc::new(pieces), Arc::new(Rate::new(order.rate)));
    let mut copiers = JoinSet::new();
    for donor in donor.snapshots() {
        let copier = Copier {
            donor,
            target: target.clone(),
            pieces: pieces.clone(),
            progress: progress.clone(),
            rate: rate.clone(),
        };
        copiers.spawn(copier.run());
    }
    while let Some(ended) = copiers.join_next().await {
        ended.map_err(copy::Error::from)??;
    }
    Ok(pieces.count().await)
}
