//! Carries rows from the donor's snapshots to the target, several ranges at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::pieces::{Piece, Pieces};
use super::progress::Progress;
use super::target::{self, Target};
use crate::net;
use crate::net::admin::Admin;
use crate::tables::{Name, travel};

/// Pieces of 64 KiB that were read and not written yet.
const AHEAD: usize = 16;
/// Nothing moved for so long: one of both hangs.
const STALLED: Duration = Duration::from_secs(120);
/// The rows were sent, and the target makes its indexes of them.
const FINISHES: Duration = Duration::from_secs(4 * 3600);
/// A target that was killed is waited for.
pub(super) const COMES_BACK: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_millis(500);
/// Of a table that was altered behind the snapshot: ER_TABLE_DEF_CHANGED, ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR, and where
/// its key is gone ER_KEY_DOES_NOT_EXIST.
const ALTERED: [u16; 4] = [1412, 1146, 1054, 1176];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the donor fails: {0}; its snapshot is gone, so give the command again")]
    Donor(net::Error),
    #[error("{0} was altered or dropped while it was copied: give the command again")]
    Altered(Name),
    #[error("the target fails: {0}")]
    Target(#[from] target::Error),
    #[error("one who copies has ended: {0}")]
    Ended(#[from] tokio::task::JoinError),
    #[error("the target did not come back in time: {0}; start it, then give the command again")]
    StaysAway(target::Error),
    #[error("{table}: the target took {came} of {sent} rows")]
    Lost { table: Name, sent: u64, came: u64 },
    #[error(
        "{table}: the target does not take a value as it is: {warning}; it is not in order at the donor either (ackline verify), or the servers' versions or settings differ"
    )]
    Warned { table: Name, warning: String },
    #[error("{table}: nothing moved for {} s; the donor or the target hangs", STALLED.as_secs())]
    Stalled { table: Name },
}

/// How fast, all in all.
#[derive(Debug)]
pub struct Rate {
    begun: Instant,
    /// Bytes in a second; None: as fast as it goes.
    most: Option<u64>,
    sent: AtomicU64,
}

impl Rate {
    pub fn new(most: Option<u64>) -> Self {
        Self {
            begun: Instant::now(),
            most,
            sent: AtomicU64::new(0),
        }
    }

    /// Until what was sent so far may have been sent.
    async fn allows(&self, more: u64) {
        let sent = self.sent.fetch_add(more, Ordering::Relaxed) + more;
        if let Some(most) = self.most {
            let due = Duration::from_secs_f64(sent as f64 / most.max(1) as f64);
            tokio::time::sleep(due.saturating_sub(self.begun.elapsed())).await;
        }
    }
}

/// One of those who copy.
pub struct Copier {
    pub donor: Admin,
    pub target: Target,
    pub pieces: Arc<Pieces>,
    pub progress: Arc<Progress>,
    pub rate: Arc<Rate>,
}

impl Copier {
    /// Until nothing is left.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut session = None;
        let failed = Error::Donor;
        self.donor
            .execute(travel::AS_IT_LIES)
            .await
            .map_err(failed)?;
        loop {
            // Behind it, a piece's locks on the table's definition are let go; one ALTER would hang the donor's applier.
            self.donor
                .execute("SAVEPOINT piece")
                .await
                .map_err(failed)?;
            let piece = self.pieces.next(&mut self.donor).await;
            let Some(piece) = piece.map_err(|(table, error)| of_donor(&table, error))? else {
                return Ok(());
            };
            let target = &self.target;
            let way = Way {
                target,
                progress: &self.progress,
                patience: COMES_BACK,
            };
            let sent = way.carry(&mut self.donor, &mut session, &piece).await?;
            self.donor
                .execute("ROLLBACK TO SAVEPOINT piece")
                .await
                .map_err(failed)?;
            self.rate.allows(sent).await;
        }
    }
}

/// To the target, though that goes away meanwhile.
pub struct Way<'a> {
    pub target: &'a Target,
    pub progress: &'a Progress,
    /// How long it is waited for.
    pub patience: Duration,
}

impl Way<'_> {
    /// Brings a piece over. How many bytes it was.
    pub async fn carry(
        &self,
        donor: &mut Admin,
        session: &mut Option<Admin>,
        piece: &Piece,
    ) -> Result<u64, Error> {
        let Self {
            target,
            progress,
            patience,
        } = self;
        let mut away = Away::new(*patience);
        loop {
            match attempt(donor, target, session, piece, away.since.is_some()).await {
                Ok(Carried { rows, bytes }) => {
                    away.ends(progress);
                    progress.rows.fetch_add(rows, Ordering::Relaxed);
                    progress.bytes.fetch_add(bytes, Ordering::Relaxed);
                    if piece.is_last {
                        progress.tables.fetch_add(1, Ordering::Relaxed);
                    }
                    return Ok(bytes);
                }
                Err(Error::Target(error)) if error.passes() => {
                    *session = None;
                    away.waits(error, progress).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A target that may come back.
pub(super) struct Away {
    since: Option<Instant>,
    patience: Duration,
}

impl Away {
    pub(super) fn new(patience: Duration) -> Self {
        let since = None;
        Self { since, patience }
    }

    /// A moment, then it may be tried again; an error where it has been away for too long.
    pub(super) async fn waits(
        &mut self,
        error: target::Error,
        progress: &Progress,
    ) -> Result<(), Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.patience {
            return Err(Error::StaysAway(error));
        }
        progress.waits(Some(error.to_string()));
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }

    pub(super) fn ends(&self, progress: &Progress) {
        if self.since.is_some() {
            progress.waits(None);
        }
    }
}

/// To the target, over the session that there is, if it is of use still.
pub(super) async fn session<'a>(
    target: &Target,
    session: &'a mut Option<Admin>,
) -> Result<&'a mut Admin, target::Error> {
    match session.take().filter(Admin::is_usable) {
        Some(usable) => Ok(session.insert(usable)),
        None => Ok(session.insert(target.session().await?)),
    }
}

fn of_donor(table: &Name, error: net::Error) -> Error {
    match error.server_code() {
        Some(code) if ALTERED.contains(&code) => Error::Altered(table.clone()),
        _ => Error::Donor(error),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    rows: u64,
    bytes: u64,
}

/// `again`: it may be in already, though nobody has heard that.
async fn attempt(
    donor: &mut Admin,
    target: &Target,
    session: &mut Option<Admin>,
    piece: &Piece,
    again: bool,
) -> Result<Carried, Error> {
    let to = self::session(target, session).await?;
    if again && !piece.empties && target.has(to, piece.number).await? {
        return Ok(Carried::default());
    }
    let net = |error: net::Error| Error::Target(error.into());
    match piece.empties {
        true => to
            .execute(&format!("TRUNCATE TABLE {}", piece.table.quoted()))
            .await
            .map_err(net)?,
        false => to.execute("START TRANSACTION").await.map_err(net)?,
    }
    let bytes = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::channel(AHEAD);
    let counter = bytes.clone();
    let write = move |values: &net::admin::bulk::Values, to: &mut Vec<u8>| {
        let before = to.len();
        travel::line(values, to);
        counter.fetch_add((to.len() - before) as u64, Ordering::Relaxed);
    };
    let all_read = AtomicBool::new(false);
    let both = async {
        let read = async {
            let sent = donor.send_rows(&piece.select, sender, write).await;
            all_read.store(true, Ordering::Relaxed);
            sent
        };
        tokio::join!(read, to.load(&piece.load, receiver))
    };
    let (sent, loaded) = unless_stalled(both, &bytes, &all_read)
        .await
        .ok_or_else(|| Error::Stalled {
            table: piece.table.clone(),
        })?;
    let sent = sent.map_err(|error| of_donor(&piece.table, error))?;
    let (came, warning) = loaded.map_err(net)?;
    let table = || piece.table.clone();
    if let Some(warning) = warning {
        return Err(Error::Warned {
            table: table(),
            warning,
        });
    }
    if came != sent {
        return Err(Error::Lost {
            table: table(),
            sent,
            came,
        });
    }
    if !piece.empties {
        target.mark(to, &piece.marked()).await?;
        to.execute("COMMIT").await.map_err(net)?;
    }
    Ok(Carried {
        rows: sent,
        bytes: bytes.load(Ordering::Relaxed),
    })
}

/// None where the counter stood still. Behind the last row the target may have much to do.
async fn unless_stalled<T>(
    work: impl Future<Output = T>,
    counter: &AtomicU64,
    all_read: &AtomicBool,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let (mut seen, mut moved) = (0, Instant::now());
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = tokio::time::sleep(STALLED) => {
                let now = counter.load(Ordering::Relaxed);
                let longest = match all_read.load(Ordering::Relaxed) {
                    true => FINISHES,
                    false => STALLED,
                };
                if now != seen {
                    (seen, moved) = (now, Instant::now());
                } else if moved.elapsed() >= longest {
                    return None;
                }
            }
        }
    }
}
