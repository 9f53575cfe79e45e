//! Who has to say what before a commit returns, and who waits for it.
//!
//! ```text
//! store marks ─┐                     ┌─► released (watch) ─► readers without a vote
//! acks ────────┼─► Engine ─ Outcome ─┼─► AckPermit (watch) ─► capture ─► source
//! clock ───────┘  (pure)             └─► Parked: sessions by GTID
//! ```
//!
//! [`policy`] is the language, [`quorum`] the arithmetic, [`engine`] the state machine;
//! [`Acks`] puts a lock around it. Whoever learns something calls `Acks` directly: nothing in here
//! waits, so the lock is held for a few comparisons, and no ack travels through a queue.
//!
//! The line "may this ack go out?" is `Engine::may_be_released`; the type that carries the answer is
//! [`AckPermit`], which only this folder can make.

pub mod engine;
pub mod parked;
mod permit;
pub mod policy;
pub mod quorum;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::gtid::mariadb::Position;
use crate::gtid::{Gtid, GtidSet};
use crate::ids::{Epoch, Level, ServerName, StorePosition};

use engine::{Degraded, Engine, Notice, Outcome};
use parked::Parked;
pub use permit::AckPermit;
pub use policy::Sync;
pub use quorum::{Confirmed, Voter};

/// A commit that waits for longer than this makes a KILL likely; see capture's guard.
const STALLED: Duration = Duration::from_millis(5);
/// Nothing waits.
const NOBODY: u64 = u64::MAX;

/// For `status` and metrics.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub sync: Sync,
    /// The policy in force is lower than the config's.
    pub degraded: bool,
    pub degraded_commits: Vec<Gtid>,
    pub degraded_total: u64,
    pub written: StorePosition,
    pub synced: StorePosition,
    pub released: StorePosition,
    pub released_set: GtidSet,
    pub waiting: usize,
    pub oldest_wait: Option<Duration>,
    /// Whom the oldest waiting commit waits for.
    pub waits_for: Vec<ServerName>,
    pub confirmed: Vec<(ServerName, Confirmed)>,
}

/// The handle that everyone shares.
#[derive(Clone)]
pub struct Acks(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    epoch: Epoch,
    started: Instant,
    released: watch::Sender<StorePosition>,
    permits: watch::Sender<Option<AckPermit>>,
    /// Since when the oldest captured transaction waits, in nanoseconds after `started`.
    oldest: AtomicU64,
    applied_wanted: watch::Sender<bool>,
}

struct State {
    engine: Engine,
    parked: Parked,
}

impl Acks {
    /// `released` and its set are what the store kept of earlier runs.
    pub fn new(
        sync: Sync,
        voters: Vec<Voter>,
        released: StorePosition,
        released_set: GtidSet,
        degraded: Vec<Degraded>,
        epoch: Epoch,
    ) -> Self {
        let applied_wanted = sync.require.uses(Level::Applied);
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                engine: Engine::new(sync, voters, released, degraded),
                parked: Parked::new(released_set),
            }),
            epoch,
            started: Instant::now(),
            released: watch::Sender::new(released),
            permits: watch::Sender::new(Some(AckPermit::new(epoch, released))),
            oldest: AtomicU64::new(NOBODY),
            applied_wanted: watch::Sender::new(applied_wanted),
        }))
    }

    /// A transaction was appended and ends at `position`; to be called before it is published.
    pub fn captured(&self, position: StorePosition, gtid: Gtid) {
        let mut state = self.0.state.lock();
        state.engine.captured(position, gtid, self.now());
        self.note_oldest(&state.engine);
    }

    pub fn marks(&self, written: StorePosition, synced: StorePosition) {
        self.input(|engine, now| engine.marks(written, synced, now));
    }

    /// A failed fsync took back what lies past `end`.
    pub fn cut(&self, end: StorePosition) {
        let mut state = self.0.state.lock();
        state.engine.cut(end);
        self.note_oldest(&state.engine);
    }

    pub fn confirm(&self, voter: &ServerName, level: Level, position: StorePosition) {
        self.input(|engine, now| engine.confirm(voter, level, position, now));
    }

    pub fn reconnected(&self, voter: &ServerName, position: StorePosition) {
        self.input(|engine, now| engine.reconnected(voter, position, now));
    }

    pub fn connected(&self, voter: &ServerName, yes: bool) {
        self.input(|engine, now| engine.connected(voter, yes, now));
    }

    pub fn set_voters(&self, voters: Vec<Voter>) {
        self.input(|engine, now| engine.set_voters(voters, now));
    }

    pub fn set_sync(&self, sync: Sync) {
        let applied = sync.require.uses(Level::Applied);
        tracing::info!(mode = %sync.mode, require = %sync.require, on_timeout = %sync.on_timeout, "the policy is changed");
        self.input(|engine, now| engine.set_sync(sync, now));
        self.0.applied_wanted.send_replace(applied);
    }

    pub fn sync(&self) -> Sync {
        self.0.state.lock().engine.sync().clone()
    }

    /// To be called every 10 ms or so: timeouts have no other clock.
    pub fn tick(&self) {
        self.input(|engine, now| engine.tick(now));
        self.0.state.lock().parked.sweep();
    }

    /// Whether a commit waits for so long that somebody might want to kill it. One load and a look at
    /// the clock.
    pub fn stalled(&self) -> bool {
        match self.0.oldest.load(Ordering::Acquire) {
            NOBODY => false,
            since => self.now().saturating_sub(Duration::from_nanos(since)) > STALLED,
        }
    }

    pub fn is_anyone_waiting(&self) -> bool {
        self.0.oldest.load(Ordering::Acquire) != NOBODY
    }

    fn note_oldest(&self, engine: &Engine) {
        let (_, oldest) = engine.waiting();
        let since = oldest.map_or(NOBODY, |since| since.as_nanos() as u64);
        self.0.oldest.store(since, Ordering::Release);
    }

    /// Whether the policy looks at `applied`.
    pub fn applied_wanted(&self) -> watch::Receiver<bool> {
        self.0.applied_wanted.subscribe()
    }

    pub fn permits(&self) -> watch::Receiver<Option<AckPermit>> {
        self.0.permits.subscribe()
    }

    pub fn released(&self) -> watch::Receiver<StorePosition> {
        self.0.released.subscribe()
    }

    pub fn is_released(&self, gtid: &Gtid) -> bool {
        self.0.state.lock().parked.is_released(gtid)
    }

    /// Gate 2. Cancel-safe.
    pub async fn wait_released(&self, gtid: &Gtid) {
        loop {
            let Some(woken) = self.0.state.lock().parked.park(gtid) else {
                return;
            };
            // An error means that it was dropped un-woken: look again.
            if woken.await.is_ok() {
                return;
            }
        }
    }

    /// Until everything up to a GTID position of the source is released. Cancel-safe.
    pub async fn wait_position(&self, position: &Position) {
        let mut released = self.0.released.subscribe();
        loop {
            released.borrow_and_update();
            if self.0.state.lock().parked.is_position_released(position) {
                return;
            }
            if released.changed().await.is_err() {
                return;
            }
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let now = self.now();
        let state = self.0.state.lock();
        let engine = &state.engine;
        let (waiting, oldest) = engine.waiting();
        Snapshot {
            sync: engine.sync().clone(),
            degraded: engine.is_degraded(),
            degraded_commits: engine
                .degraded()
                .map(|commit| commit.gtid.clone())
                .collect(),
            degraded_total: engine.degraded_total(),
            written: engine.votes().written,
            synced: engine.votes().synced,
            released: engine.released(),
            released_set: state.parked.released().clone(),
            waiting,
            oldest_wait: oldest.map(|since| now.saturating_sub(since)),
            waits_for: engine.waits_for(),
            confirmed: engine
                .confirmed()
                .iter()
                .map(|(name, confirmed)| (name.clone(), confirmed.clone()))
                .collect(),
        }
    }

    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn input(&self, change: impl FnOnce(&mut Engine, Duration) -> Outcome) {
        let now = self.now();
        let mut state = self.0.state.lock();
        let before = state.engine.released();
        let outcome = change(&mut state.engine, now);
        for gtid in &outcome.released {
            state.parked.release(gtid);
        }
        self.note_oldest(&state.engine);
        let released = state.engine.released();
        if released > before || !outcome.released.is_empty() {
            // Under the lock, so that watchers never see it go back.
            self.0.released.send_replace(released);
            self.0
                .permits
                .send_replace(Some(AckPermit::new(self.0.epoch, released)));
        }
        drop(state);
        if !outcome.released.is_empty() {
            metrics::counter!("ackline_transactions_released_total")
                .increment(outcome.released.len() as u64);
        }
        outcome.notices.into_iter().for_each(announce);
    }
}

fn announce(notice: Notice) {
    match notice {
        Notice::TimedOut { oldest } => {
            metrics::counter!("ackline_commit_timeouts_total").increment(1);
            tracing::warn!(gtid = %oldest, "commits wait for longer than [sync] timeout");
        }
        Notice::DegradedBegins { oldest } => {
            metrics::counter!("ackline_degraded_episodes_total").increment(1);
            tracing::error!(gtid = %oldest, "voters are missing: commits return on our own binlog alone until they have caught up (on_timeout = \"degrade\")");
        }
        Notice::DegradedEnds => {
            tracing::warn!("the voters have caught up: the policy is in force again")
        }
    }
}

#[cfg(test)]
mod tests;
