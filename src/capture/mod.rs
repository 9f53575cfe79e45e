//! Our side of the source's dump: receive, append, ack.
//!
//! ```text
//! source ── packets ──► feed ── events ──► store::Writer ── flush ──► (fsync thread)
//!    ▲                   │                     │                          │
//!    │                   └── ledger ◄──────────┴── acks.captured ──► acks.marks
//!    └──── ack ◄────────── due ◄────────────────────────── AckPermit ◄────┘
//! ```
//!
//! Capture is one task on a thread of its own: it owns the writer, so appending is a plain call, and a
//! slow disk stalls nobody but the source, which is the point of back pressure here.
//!
//! Invariants:
//! - An ack leaves only in [`Link::acknowledge`], for a position that the ledger of *this* connection
//!   holds and that an [`AckPermit`](crate::ack::AckPermit) of *this* epoch covers.
//! - `acks.captured` comes before the flush that publishes a transaction, so nothing is released that
//!   the engine has not heard of.
//! - Where very much is missing it is taken over before we make the source's commits wait
//!   ([`Capture::take_over`]); nothing of it is acknowledged.
//! - Sessions are held from the begin of an attach until everything that the source had in its binlog
//!   then is released; the source is opened for writing after that and not before.
//! - A transaction that was cut off in the middle never reaches a reader: `written` moves at ends only.

pub mod attach;
pub mod audit;
pub mod beginning;
mod console;
mod coordinates;
mod dump_request;
mod end;
pub mod extract;
mod feed;
mod following;
mod guard;
pub mod history;
mod ledger;
mod link;
mod state;
pub mod statement;
pub mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::ack::Acks;
use crate::gtid::{Position, mariadb};
use crate::ids::{Epoch, ServerId, ServerName, StorePosition};
use crate::net::admin::{Account, Admin};
use crate::shutdown::Shutdown;
use crate::store::state::Point;
use crate::store::{self, Store, Writer};

pub use attach::{Refusal, Source};
pub use console::{Console, Counters, Victim, read_counters, read_position};
use end::End;
use feed::Expected;
use guard::Attempt;
pub use guard::Guard;
use link::{Ask, Link};
pub use state::State;

/// Whom capture follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    pub name: ServerName,
    pub account: Account,
    /// Grows with every move; acks go out under this one only.
    pub epoch: Epoch,
}

/// The configured replicas, as they are now.
pub type Replicas = Arc<dyn Fn() -> Vec<(ServerName, Account)> + Send + Sync>;

/// What capture needs from the configuration.
#[derive(Clone)]
pub struct Config {
    /// `[replication] server_id`: what we register as at the source.
    pub server_id: ServerId,
    /// `[binlog] format`, as the source calls it: MIXED, ROW or STATEMENT.
    pub binlog_format: String,
    /// The source proves that it lives at least this often.
    pub heartbeat: Duration,
    /// An empty store begins far enough back for them.
    pub replicas: Replicas,
}

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
const DISK_RETRY: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_secs(10);

/// So many transactions, or more, are taken over before we make the source's commits wait.
const FAR: u64 = 1000;

/// To the source's dump.
enum Attached {
    /// Whatever is newer waits for our acknowledgement.
    Gated(Link, Admin),
    /// We have not made its commits wait, since so much is missing.
    FarBehind {
        link: Link,
        until: Position,
        missing: u64,
    },
}

pub struct Capture {
    config: Config,
    /// None during a move: nobody is followed, and nobody acknowledged to.
    orders: watch::Receiver<Option<Followed>>,
    store: Store,
    /// Shared with the thread that rotates, while one does.
    writer: Arc<Mutex<Writer>>,
    acks: Acks,
    guard: Arc<Guard>,
    console: Console,
    state: watch::Sender<State>,
    source: watch::Sender<Option<Source>>,
    shutdown: Shutdown,
    counted: Counted,
    /// The newest transaction of each MariaDB domain.
    newest: BTreeMap<u32, mariadb::Gtid>,
    /// So many transactions were missing before some were taken over, since the source was open.
    taken_over: Option<u64>,
    anchor: Anchor,
    incident: Incidents,
}

/// What `status` says of the newest INCIDENT since the start, if there was one.
pub type Incidents = Arc<Mutex<Option<String>>>;

/// The last transaction that was captured, and that can be asked for by its place, where it stands in the binlog
/// of its epoch's source.
pub type Anchor = Arc<Mutex<Option<(Epoch, Point)>>>;

struct Counted {
    transactions: Counter,
    bytes: Counter,
}

/// What others see of capture.
#[derive(Clone)]
pub struct View {
    pub state: watch::Receiver<State>,
    pub source: watch::Receiver<Option<Source>>,
    pub anchor: Anchor,
    pub incident: Incidents,
}

impl Capture {
    pub fn new(
        config: Config,
        orders: watch::Receiver<Option<Followed>>,
        store: Store,
        writer: Writer,
        acks: Acks,
        (guard, console): (Arc<Guard>, Console),
        shutdown: Shutdown,
    ) -> (Self, View) {
        let (state, state_view) = watch::channel(State::Connecting {
            reason: "starting".into(),
        });
        let (source, source_view) = watch::channel(None);
        let capture = Self {
            config,
            orders,
            store,
            writer: Arc::new(Mutex::new(writer)),
            acks,
            guard,
            console,
            state,
            source,
            shutdown,
            newest: BTreeMap::new(),
            taken_over: None,
            anchor: Anchor::default(),
            incident: Incidents::default(),
            counted: Counted {
                transactions: counter!("ackline_captured_transactions_total"),
                bytes: counter!("ackline_captured_bytes_total"),
            },
        };
        let view = View {
            state: state_view,
            source: source_view,
            anchor: capture.anchor.clone(),
            incident: capture.incident.clone(),
        };
        (capture, view)
    }

    /// Runs until shutdown; every attach that ends is followed by another.
    pub async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        // What was logged last: the same is not said again every two seconds.
        let mut lost = None;
        loop {
            let Some(followed) = self.order().await else {
                break;
            };
            // Seen up to this order, so that only the next one counts as a change.
            let mut orders = self.orders.clone();
            // Cancel-safe: its connections go, and what it left in the store is settled below.
            let end = tokio::select! {
                biased;
                _ = orders.changed() => End::Moved,
                followed = self.attach_and_follow(&followed) => match followed {
                    Ok(never) => match never {},
                    Err(end) => end,
                },
            };
            let moved = matches!(end, End::Moved);
            let state = match end {
                End::Shutdown => break,
                End::Moved => State::Connecting {
                    reason: "another server is followed".into(),
                },
                End::Lost(reason) => {
                    if *self.state.borrow() == State::Attached {
                        retry = FIRST_RETRY;
                        lost = None;
                    }
                    if lost.replace(reason.clone()).as_ref() != Some(&reason) {
                        tracing::warn!(source = %followed.name, %reason, "not attached to the source");
                    }
                    State::Connecting { reason }
                }
                End::Refused(refusal) => {
                    if *self.state.borrow() != State::Refused(refusal.clone()) {
                        tracing::error!(source = %followed.name, reason = %refusal, "the source is refused: nobody is served from it");
                    }
                    State::Refused(refusal)
                }
                End::Store(error) => {
                    let reason = error.to_string();
                    if lost.replace(reason.clone()).as_ref() != Some(&reason) {
                        tracing::error!(%error, "the binlog store failed; nothing is acknowledged until it works again");
                    }
                    State::Stalled { reason }
                }
            };
            self.state.send_replace(state);
            if self.settle_store().await.is_err() {
                break;
            }
            if moved {
                self.taken_over = None;
                retry = FIRST_RETRY;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(retry) => {}
                _ = orders.changed() => {}
                () = self.shutdown.cancelled() => break,
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
        if let Err(error) = self.writer.lock().close() {
            tracing::error!(%error, "our binlog was not closed cleanly; recovery will see to it");
        }
    }

    /// Whom to follow; rests while it is nobody. None at shutdown.
    async fn order(&mut self) -> Option<Followed> {
        let now = self.orders.borrow_and_update().clone();
        if now.is_some() {
            return now;
        }
        self.state.send_replace(State::Resting);
        let ending = self.shutdown.clone();
        tokio::select! {
            order = self.orders.wait_for(Option::is_some) => order.ok()?.clone(),
            () = ending.cancelled() => None,
        }
    }

    /// Before the source is asked again from the store's end, the store has to be there: in a new
    /// file after a failed fsync (promise 9), without the transaction that was cut off, and with those
    /// that were whole and could not be written.
    async fn settle_store(&mut self) -> Result<(), End> {
        let end = self.store.marks().borrow().written;
        loop {
            match self.mend() {
                Ok(now) => {
                    if now.file > end.file {
                        tracing::warn!(end = %now, "our binlog goes on in a new file; what was not synced comes again from the source");
                    }
                    return Ok(());
                }
                Err(error) => {
                    self.state.send_replace(State::Stalled {
                        reason: error.to_string(),
                    });
                    tokio::select! {
                        () = tokio::time::sleep(DISK_RETRY) => {}
                        () = self.shutdown.cancelled() => return Err(End::Shutdown),
                    }
                }
            }
        }
    }

    fn mend(&mut self) -> Result<StorePosition, store::Error> {
        let mut writer = self.writer.lock();
        writer.reopen()?;
        writer.abandon()?;
        Ok(writer.flush()?.written)
    }

    async fn attach_and_follow(
        &mut self,
        followed: &Followed,
    ) -> Result<std::convert::Infallible, End> {
        let shutdown = self.shutdown.clone();
        loop {
            let mut attempt = Attempt::begin(&self.guard);
            let attached = tokio::select! {
                attached = self.attach(followed) => attached?,
                () = shutdown.cancelled() => return Err(End::Shutdown),
            };
            match attached {
                Attached::Gated(mut link, mut admin) => {
                    let follows = self.follow(&mut link, &mut admin, &mut attempt, followed);
                    return follows.await;
                }
                Attached::FarBehind {
                    mut link,
                    until,
                    missing,
                } => {
                    tracing::warn!(source = %followed.name, missing, "far behind: taken over before its commits wait for us");
                    self.state.send_replace(State::TakingOver { missing });
                    self.take_over(&mut link, &until).await?;
                    self.settle_store().await?;
                    self.taken_over = Some(missing);
                    self.state.send_replace(State::Connecting {
                        reason: "attaching again, with less to take over".into(),
                    });
                }
            }
        }
    }

    /// Everything up to the dump's first bytes.
    async fn attach(&mut self, followed: &Followed) -> Result<Attached, End> {
        if *self.state.borrow() == State::Attached {
            self.state.send_replace(State::Connecting {
                reason: "attaching again".into(),
            });
        }
        let mut admin = Admin::connect(&followed.account, STEP)
            .await
            .map_err(|error| End::Lost(error.to_string()))?;
        let source = attach::read(&mut admin).await?;
        if source.server_id == self.config.server_id {
            return Err(Refusal::OwnServerId(source.server_id).into());
        }
        attach::same_flavor(&self.store.state(), &source)?;
        if !source.strict {
            return Err(Refusal::NotStrict.into());
        }
        attach::follows_nobody(&mut admin).await?;
        attach::logs_all(&mut admin).await?;
        let kept = self.store.durable().source;
        let kept = kept.filter(|kept| kept.name == followed.name);
        // A binlog only grows: where its last transaction that we know stands, all before that does, whatever
        // the state says of it (that of a restored copy begins with the copy).
        let anchor = match kept.as_ref().and_then(|kept| kept.anchor.as_ref()) {
            Some(anchor) if attach::stands(&followed.account, &source, anchor).await? => {
                Some(anchor)
            }
            _ => None,
        };
        let behind = anchor.and_then(|anchor| self.store.behind(&anchor.gtid));
        // What was released and is not in our binlog any more (mode async, a power cut) counts as well.
        let ours = self.store.executed();
        let lost = self.acks.durable().released_set.difference(&ours);
        let known = behind.unwrap_or(ours).union(&lost);
        attach::contains(&known, &source.state)?;
        if let Some(kept) = &kept {
            attach::is_whom_we_followed(&source, kept, anchor.is_some())?;
        }
        attach::end_old_dumps(&mut admin).await?;
        let is_empty = self.store.files().is_empty();
        // The mode may have changed while much was taken over.
        if is_empty || self.taken_over.is_some() {
            self.may_begin(&mut admin).await?;
        }
        let base = match is_empty {
            true => Some(self.choose_base(&source, followed).await?),
            false => None,
        };
        let until = source.state.position();
        let missing = self.store.end().lacks(&until);
        // One that writes faster than we take over has to wait in the end.
        let is_no_use = |before| missing > before / 2;
        let gates = missing < FAR || self.taken_over.is_some_and(is_no_use);
        if gates {
            attach::raise_gate(&mut admin).await?;
            attach::set_logging(&mut admin, &self.config.binlog_format).await?;
        }

        self.newest = match self.store.end() {
            Position::MariaDb(end) => end.iter().map(|gtid| (gtid.domain, gtid)).collect(),
            Position::MySql(_) => BTreeMap::new(),
        };
        let last = self.store.before_last();
        let from = match (&last, base) {
            (Some(last), _) => last.position_before.clone(),
            (None, Some(base)) => base,
            (None, None) => self.store.end(),
        };
        // What was just seen to stand there.
        let place = anchor
            .filter(|anchor| last.as_ref().is_some_and(|last| last.gtid == anchor.gtid))
            .and_then(|anchor| Some((&*anchor.place.file, anchor.place.dump_offset()?)));
        let expected = match last {
            Some(last) => {
                // It may be large, and replicas are served on this thread.
                let (store, gtid) = (self.store.clone(), last.gtid.clone());
                let digest = tokio::task::spawn_blocking(move || store.digest(&last)).await;
                let digest = digest.map_err(|error| End::Lost(error.to_string()))??;
                Some(Expected { digest, gtid })
            }
            None => None,
        };
        let ask = Ask {
            from: &from,
            place,
            expected,
            semi_sync: gates,
        };
        let permits = self.acks.permits();
        let link = Link::dump(&self.config, followed, &source, ask, permits).await?;
        self.source.send_replace(Some(source.clone()));
        if !gates {
            return Ok(Attached::FarBehind {
                link,
                until,
                missing,
            });
        }
        tracing::info!(source = %followed.name, version = %source.version, %from, "attached to the source's dump");
        counter!("ackline_source_attaches_total").increment(1);
        Ok(Attached::Gated(link, admin))
    }

    /// The first contact with a live source: behind gate 1 its commits wait for replicas that do not know us yet, those
    /// of applications that are still connected to it as well.
    async fn may_begin(&self, admin: &mut Admin) -> Result<(), End> {
        let needs_voters = self.acks.snapshot().sync.require.validate(&[]).is_err();
        if !needs_voters {
            return Ok(());
        }
        let replicas = (self.config.replicas)();
        let native = beginning::native(admin, replicas).await?;
        if native.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = native.iter().map(ServerName::as_str).collect();
        Err(Refusal::NativeReplicas(names.join(", ")).into())
    }

    /// An empty store begins where the slowest replica is: what is before that, replicas have to bring along. A source
    /// that never wrote is followed from its beginning.
    async fn choose_base(&mut self, source: &Source, followed: &Followed) -> Result<Position, End> {
        let replicas = (self.config.replicas)();
        let base = beginning::choose(source, &followed.account, replicas).await;
        self.writer.lock().begin_base(&base)?;
        // It is nobody's to acknowledge any more.
        self.acks.assume_released(&base.claimed());
        Ok(base.position())
    }
}
