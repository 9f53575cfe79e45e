//! Acknowledgements: from what each voter confirmed to what may return to the application.
//!
//! ```text
//! capture: captured ─┐                                  ┌─► AckPermit ─► capture: ack to the source
//! store: marks ──────┤                                  ├─► released ──► ship: readers without a vote
//! ship, topology:    ├─► Engine ──(policy, quorum)──────┤
//!   confirm, … ──────┤                                  └─► parked ────► session: the OK goes out
//! app: tick, set_* ──┘
//! ```
//!
//! [`Acks`] is the handle: whoever learns something calls it, synchronously; the lock is held for the
//! arithmetic and never across an await or IO. [`engine`] decides, [`quorum`] counts, [`policy`] is
//! the language, [`demand`] is what sessions ask for beyond the policy, [`parked`] wakes, [`still`] keeps the source from
//! committing for a moment. The line "may this ack go out?" is [`permit::permit`].
//!
//! Invariants (promises 1, 3, 4 and 7 of DESIGN.md): see [`engine`]. Beyond those:
//! - A waiter is woken only after its GTID is in the released set; one that is dropped leaves nothing
//!   behind.
//! - What [`Acks::durable`] returns is one moment's truth: a transaction is in its released set or,
//!   after a restart, has to be released again. So a degraded commit is listed or not yet released.

mod degraded;
mod demand;
pub mod engine;
mod history;
mod parked;
mod permit;
pub mod policy;
pub mod quorum;
mod snapshot;
mod still;
mod voter;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::gtid::{Gtid, GtidSet, Position};
use crate::ids::{Epoch, Level, Machine, ServerName, StorePosition, Voice};
use crate::stages::{self, Stage};
use engine::{Engine, Event, Restored};
use parked::{Parked, Ticket};
use policy::{Mode, Requirement, Unmeetable};

pub use degraded::{DegradedCommit, LISTED};
pub use history::Confirmation;
use history::History;
pub use permit::AckPermit;
pub use policy::{Sync, SyncPatch};
pub use quorum::{Confirmed, Speech, Vote, Word};
pub use snapshot::Snapshot;
pub use still::Still;
pub use voter::Voter;

/// A commit that waits for longer than this makes a KILL likely; see capture's guard.
const STALLED: Duration = Duration::from_millis(5);
/// Nothing waits.
const NOBODY: u64 = u64::MAX;
/// Degraded commits are logged in bundles of this age.
const REPORT: Duration = Duration::from_secs(1);

/// The release gate. Clones are the same gate.
#[derive(Clone)]
pub struct Acks(Arc<Shared>);

struct Shared {
    gate: Mutex<Gate>,
    permits: watch::Sender<Option<AckPermit>>,
    released: watch::Sender<StorePosition>,
    /// Since when the oldest captured transaction waits, in nanoseconds of [`Shared::now`].
    oldest: AtomicU64,
    applied_wanted: watch::Sender<bool>,
    voices: AtomicU64,
    dumps: watch::Sender<u64>,
    started: Instant,
    /// Unix time at `started`.
    started_at: Duration,
}

struct Gate {
    engine: Engine,
    parked: Parked,
    /// Sessions that wait for what they asked for themselves.
    asking: HashMap<demand::Ticket, oneshot::Sender<()>>,
    epoch: Epoch,
    /// Degraded commits that no log line has named yet.
    unreported: GtidSet,
    reported_at: Duration,
    history: History,
    still: Option<still::Bound>,
    stills: u64,
}

/// What has to survive a restart, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    pub released: StorePosition,
    pub released_set: GtidSet,
    /// Oldest first, at most [`LISTED`].
    pub degraded: Vec<DegradedCommit>,
}

impl Acks {
    /// `durable` is what the state file says. Nothing is released before the first [`Acks::marks`].
    /// What the store holds beyond `released` must be told by [`Acks::captured`], like anything else.
    pub fn new(sync: Sync, voters: Vec<Voter>, durable: Durable, epoch: Epoch) -> Self {
        let released = durable.released;
        let restored = Restored {
            released,
            degraded: durable.degraded,
        };
        let engine = Engine::new(sync, voters, restored);
        let applied_wanted = engine.applied_wanted();
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH);
        let started_at = started_at.unwrap_or_default();
        Self(Arc::new(Shared {
            gate: Mutex::new(Gate {
                engine,
                parked: Parked::new(durable.released_set),
                asking: HashMap::new(),
                epoch,
                unreported: GtidSet::new(),
                reported_at: started_at,
                history: History::default(),
                still: None,
                stills: 0,
            }),
            permits: watch::Sender::new(None),
            released: watch::Sender::new(released),
            oldest: AtomicU64::new(NOBODY),
            applied_wanted: watch::Sender::new(applied_wanted),
            voices: AtomicU64::default(),
            dumps: watch::Sender::new(0),
            started: Instant::now(),
            started_at,
        }))
    }

    /// A whole transaction, ending at `position` of our binlog. To be called *before* the flush that
    /// publishes it.
    pub fn captured(&self, position: StorePosition, gtid: Gtid) {
        self.change(|gate, now| gate.engine.captured(position, gtid, now));
    }

    /// Every move of the store's marks, in order, none left out: a fall of `written` is a failed
    /// fsync (see [`Acks::cut`]), and a new file ends whatever of the old one is not written by then.
    pub fn marks(&self, written: StorePosition, synced: StorePosition) {
        self.change(|gate, now| gate.engine.marks(written, synced, now));
    }

    /// After a failed fsync the store ends at `end`: what was captured behind comes again, and nobody
    /// has confirmed it.
    pub fn cut(&self, end: StorePosition) {
        self.change(|gate, now| gate.engine.cut(end, now));
    }

    /// `voter` itself said that it has all up to `position`. Per level it only grows; a position
    /// that is not ours (yet), and a word that is not the voter's own, is ignored and counted.
    pub fn confirm(
        &self,
        voter: &ServerName,
        word: Word<'_>,
        level: Level,
        position: StorePosition,
    ) {
        self.change(|gate, now| gate.engine.confirm(voter, word, level, position, now));
    }

    /// The machine that was met at the voter's address. Another one than before has confirmed nothing.
    pub fn identified(&self, voter: &ServerName, machine: &Machine) {
        self.change(|gate, now| gate.engine.identified(voter, machine, now));
    }

    /// The next dump's place in the order of all.
    pub fn next_voice(&self) -> Voice {
        Voice(self.0.voices.fetch_add(1, Ordering::AcqRel))
    }

    /// `voter` asks for what follows `position`: it has nothing more, whatever it said before. False where
    /// a newer dump of it has come meanwhile.
    #[must_use]
    pub fn reconnected(&self, voter: &ServerName, voice: Voice, position: StorePosition) -> bool {
        let came = self.change(|gate, now| gate.engine.reconnected(voter, voice, position, now));
        self.0.dumps.send_modify(|count| *count += 1);
        came
    }

    /// Who speaks for this server, if anybody does.
    pub fn speech(&self, voter: &ServerName) -> Speech {
        let gate = self.0.gate.lock();
        let mut votes = gate.engine.votes().voters.iter();
        votes
            .find(|vote| vote.voter.name == *voter)
            .map_or(Speech::Silent, Vote::speech)
    }

    /// The server's own binlog was walked since this dump began, and has all that it claims.
    pub fn verified(&self, voter: &ServerName, voice: Voice) {
        self.change(|gate, now| gate.engine.verified(voter, voice, now));
    }

    /// Moves with every dump of a voter that begins.
    pub fn dumps(&self) -> watch::Receiver<u64> {
        self.0.dumps.subscribe()
    }

    pub fn disconnected(&self, voter: &ServerName, voice: Voice) {
        self.change(|gate, now| gate.engine.disconnected(voter, voice, now));
    }

    /// The machine at the voter's address has less than it said before.
    pub fn fallen(&self, voter: &ServerName, machine: &Machine, position: StorePosition) {
        self.change(|gate, now| gate.engine.fallen(voter, machine, position, now));
    }

    /// Whether `voter` is what a voter must be (read-only, no filters, …). One that is not keeps its
    /// seat in the roster, so that majorities do not shrink, and what it confirmed does not count.
    pub fn eligible(&self, voter: &ServerName, yes: bool) {
        self.change(|gate, now| gate.engine.eligible(voter, yes, now));
    }

    /// All servers with `vote = true`, in the config's order.
    pub fn set_voters(&self, voters: Vec<Voter>) {
        self.change(|gate, now| gate.engine.set_voters(voters, now));
    }

    /// In force at once, for everything that is not released yet.
    pub fn set_sync(&self, sync: Sync) {
        self.change(|gate, now| gate.engine.set_sync(sync, now));
    }

    pub fn sync(&self) -> Sync {
        self.0.gate.lock().engine.sync().clone()
    }

    /// The source moved: permits of the old epoch are worth nothing.
    pub fn set_epoch(&self, epoch: Epoch) {
        self.change(|gate, _| gate.epoch = epoch);
    }

    /// Transactions that count as released though we never captured them: those before the beginning
    /// of our binlog.
    pub fn assume_released(&self, set: &GtidSet) {
        let mut wake = Vec::new();
        self.0.gate.lock().parked.release_all(set, &mut wake);
        wake_all(wake);
    }

    /// Every 10 ms or so: timeouts are noticed here.
    pub fn tick(&self) {
        let report = self.change(|gate, now| {
            gate.engine.tick(now);
            gate.history.look(gate.engine.votes(), now);
            gate.still = gate.still.filter(|bound| !bound.is_over(now));
            let due = now.saturating_sub(gate.reported_at) >= REPORT;
            (due && !gate.unreported.is_empty()).then(|| {
                gate.reported_at = now;
                std::mem::take(&mut gate.unreported)
            })
        });
        if let Some(gtids) = report {
            tracing::warn!(count = gtids.len(), %gtids, "commits returned with fewer acknowledgements than asked for");
        }
    }

    /// Who has confirmed what since the last call, to the tick.
    pub fn take_confirmations(&self) -> Vec<Confirmation> {
        self.0.gate.lock().history.take()
    }

    /// What may be acknowledged to the source; none before the store has told how far it is.
    pub fn permits(&self) -> watch::Receiver<Option<AckPermit>> {
        self.0.permits.subscribe()
    }

    pub fn released(&self) -> watch::Receiver<StorePosition> {
        self.0.released.subscribe()
    }

    /// Gate 2: resolves once `gtid` is released. Cancel-safe: dropped, it leaves nothing behind.
    pub fn wait_released(
        &self,
        gtid: &Gtid,
    ) -> impl Future<Output = ()> + Send + std::marker::Sync + 'static {
        let acks = self.clone();
        let gtid = gtid.clone();
        async move {
            let parked = acks.0.gate.lock().parked.park(&gtid);
            if let Some((ticket, woken)) = parked {
                let _waiter = Waiter { acks, gtid, ticket };
                // The sender is in the gate, which `_waiter` holds, until it is used.
                let _ = woken.await;
            }
        }
    }

    /// Resolves once everything up to `position` is released. Cancel-safe.
    ///
    /// Transactions are released in the order of the binlog, so it is enough that the last ones are:
    /// of each MariaDB domain one, of a MySQL set those that end what is missing of it.
    pub fn wait_position(
        &self,
        position: &Position,
    ) -> impl Future<Output = ()> + Send + std::marker::Sync + 'static {
        let acks = self.clone();
        let position = position.clone();
        async move {
            match position {
                Position::MariaDb(position) => {
                    for gtid in position.iter().map(Gtid::MariaDb) {
                        acks.wait_released(&gtid).await;
                    }
                }
                Position::MySql(set) => {
                    while let Some(gtid) = acks.last_unreleased(&set) {
                        acks.wait_released(&gtid).await;
                    }
                }
            }
        }
    }

    /// Resolves once `gtid` is released and `requirement`, which is beyond the policy, holds for it.
    /// Cancel-safe: dropped, it leaves nothing behind.
    pub fn wait_met(
        &self,
        gtid: &Gtid,
        requirement: Arc<Requirement>,
    ) -> impl Future<Output = ()> + Send + std::marker::Sync + 'static {
        let acks = self.clone();
        let gtid = gtid.clone();
        async move {
            acks.wait_released(&gtid).await;
            let (sender, met) = oneshot::channel();
            let ticket = acks.change(|gate, now| {
                let ticket = gate.engine.ask(&gtid, &requirement, now);
                gate.asking.insert(ticket, sender);
                ticket
            });
            let _asking = Asking { acks, ticket };
            // The sender is in the gate, which `_asking` holds, until it is used.
            let _ = met.await;
        }
    }

    /// The same for everything up to `position`: for the last of it.
    pub fn wait_position_met(
        &self,
        position: &Position,
        requirement: Arc<Requirement>,
    ) -> impl Future<Output = ()> + Send + std::marker::Sync + 'static {
        let acks = self.clone();
        let position = position.clone();
        async move {
            acks.wait_position(&position).await;
            let last = acks.0.gate.lock().engine.last_of(&position);
            if let Some(last) = last {
                acks.wait_met(&last, requirement).await;
            }
        }
    }

    /// Whether the voters as they are configured can ever meet a requirement.
    pub fn validate(&self, requirement: &Requirement) -> Result<(), Unmeetable> {
        let gate = self.0.gate.lock();
        let votes = gate.engine.votes().voters.iter();
        let voters: Vec<Voter> = votes.map(|vote| vote.voter.clone()).collect();
        requirement.validate(&voters)
    }

    /// Whether commits would return still, were these voters silent from now on.
    pub fn bears_without(&self, silent: &[&ServerName]) -> bool {
        let gate = self.0.gate.lock();
        let asked = gate.engine.sync().effective();
        quorum::bears_without(&asked, gate.engine.votes(), silent)
    }

    fn last_unreleased(&self, set: &GtidSet) -> Option<Gtid> {
        let gate = self.0.gate.lock();
        let missing = set.difference(gate.parked.released());
        let (origin, _, last) = missing.ranges().last()?;
        Some(origin.gtid(last))
    }

    /// Whether `gtid` is released.
    pub fn is_released(&self, gtid: &Gtid) -> bool {
        self.0.gate.lock().parked.released().contains(gtid)
    }

    /// Whether a commit waits for so long that somebody might want to kill it. One load and a look
    /// at the clock.
    pub fn stalled(&self) -> bool {
        match self.0.oldest.load(Ordering::Acquire) {
            NOBODY => false,
            since => self.0.now().saturating_sub(Duration::from_nanos(since)) > STALLED,
        }
    }

    /// Whether anything waits for what replicas have applied, so that somebody should ask them.
    pub fn applied_wanted(&self) -> watch::Receiver<bool> {
        self.0.applied_wanted.subscribe()
    }

    /// What has to be saved so that a restart forgets nothing.
    pub fn durable(&self) -> Durable {
        let gate = self.0.gate.lock();
        Durable {
            released: gate.engine.released(),
            released_set: gate.parked.released().clone(),
            degraded: gate.engine.degraded(),
        }
    }

    /// Up to where it is released, and what that is.
    pub fn released_point(&self) -> (StorePosition, GtidSet) {
        let gate = self.0.gate.lock();
        (gate.engine.released(), gate.parked.released().clone())
    }

    pub fn snapshot(&self) -> Snapshot {
        let gate = self.0.gate.lock();
        Snapshot::of(&gate.engine, &gate.parked, gate.epoch, self.0.now())
    }

    /// The only way to the engine: whatever changed, permits, watches and waiters follow before the
    /// call returns.
    fn change<R>(&self, change: impl FnOnce(&mut Gate, Duration) -> R) -> R {
        let now = self.0.now();
        let mut wake = Vec::new();
        let mut gate = self.0.gate.lock();
        let result = change(&mut gate, now);
        let events = gate.engine.take_events();
        for event in &events {
            match event {
                Event::Released { gtid, degraded, .. } => {
                    gate.parked.release(gtid, &mut wake);
                    if *degraded {
                        gate.unreported.insert(gtid);
                    }
                }
                Event::Met { ticket, .. } => wake.extend(gate.asking.remove(ticket)),
                _ => {}
            }
        }
        self.0.publish(&gate);
        let mode = gate.engine.sync().mode;
        drop(gate);
        wake_all(wake);
        report(&events, mode);
        result
    }
}

impl Shared {
    /// Unix time that only grows.
    fn now(&self) -> Duration {
        self.started_at + self.started.elapsed()
    }

    /// Under the lock, so that watchers see the changes in their order.
    fn publish(&self, gate: &Gate) {
        let permit = permit::permit(&gate.engine, gate.epoch, gate.still.as_ref());
        self.permits
            .send_if_modified(|old| std::mem::replace(old, permit) != permit);
        let released = gate.engine.released();
        let moved = self
            .released
            .send_if_modified(|old| std::mem::replace(old, released) != released);
        if moved {
            stages::passed(Stage::Released, released);
        }
        let since = gate.engine.waiting_since();
        let since = since.map_or(NOBODY, |since| since.as_nanos() as u64);
        self.oldest.store(since, Ordering::Release);
        let wanted = gate.engine.applied_wanted();
        self.applied_wanted
            .send_if_modified(|old| std::mem::replace(old, wanted) != wanted);
    }
}

/// Takes its place back when its future is dropped.
struct Waiter {
    acks: Acks,
    gtid: Gtid,
    ticket: Ticket,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let left = self
            .acks
            .0
            .gate
            .lock()
            .parked
            .leave(&self.gtid, self.ticket);
        drop(left);
    }
}

/// The same for what a session asked for itself.
struct Asking {
    acks: Acks,
    ticket: demand::Ticket,
}

impl Drop for Asking {
    fn drop(&mut self) {
        // One that was met is not there any more.
        self.acks.change(|gate, _| {
            gate.engine.leave(self.ticket);
            gate.asking.remove(&self.ticket)
        });
    }
}

fn wake_all(wake: Vec<oneshot::Sender<()>>) {
    for waiter in wake {
        // One that has left meanwhile needs no waking.
        let _ = waiter.send(());
    }
}

/// Metrics and log lines, outside of the lock. Degraded commits are logged by [`Acks::tick`].
fn report(events: &[Event], mode: Mode) {
    let (mut released, mut degraded) = (0, 0);
    for event in events {
        match event {
            Event::Released {
                waited,
                degraded: less,
                ..
            } => {
                metrics::histogram!("ackline_commit_wait_seconds", "mode" => mode.name())
                    .record(*waited);
                released += 1;
                degraded += u64::from(*less);
            }
            Event::Met { waited, .. } => {
                metrics::histogram!("ackline_session_wait_seconds").record(*waited);
            }
            Event::Overdue {
                gtid,
                waited,
                waits_for,
            } => {
                metrics::counter!("ackline_commit_timeouts_total").increment(1);
                let waited = waited.as_millis();
                tracing::warn!(%gtid, waited_ms = waited, waits_for = %waits_for.words, "commits wait for acknowledgements");
            }
            Event::Lowered { waits_for } => {
                metrics::counter!("ackline_commit_timeouts_total").increment(1);
                metrics::counter!("ackline_degraded_episodes_total").increment(1);
                tracing::warn!(waits_for = %waits_for.words, "voters are missing: commits return with LOCAL durable until they have caught up");
            }
            Event::Raised => {
                tracing::info!("the voters have caught up: the policy is in force again")
            }
            Event::Unconfirmed { gtids } => {
                let set: GtidSet = gtids.iter().map(|gtid| Gtid::clone(gtid)).collect();
                metrics::counter!("ackline_unconfirmed_commits_total").increment(set.len());
                tracing::warn!(count = set.len(), gtids = %set, "a replica took back what it had confirmed: released commits count as degraded until they are confirmed again");
            }
            Event::CaughtUp { count } => tracing::info!(count, "degraded commits have caught up"),
            Event::TakenBack { count } => {
                tracing::warn!(
                    count,
                    "captured transactions were lost with a failed fsync; they come again from the source"
                );
            }
        }
    }
    if released > 0 {
        metrics::counter!("ackline_transactions_released_total").increment(released);
    }
    if degraded > 0 {
        metrics::counter!("ackline_degraded_commits_total").increment(degraded);
    }
}

#[cfg(test)]
mod tests;
