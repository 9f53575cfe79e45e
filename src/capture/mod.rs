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
//!   holds and that an [`AckPermit`] of *this* epoch covers.
//! - `acks.captured` comes before the flush that publishes a transaction, so nothing is released that
//!   the engine has not heard of.
//! - Sessions are held from the begin of an attach until everything that the source had in its binlog
//!   then is released; the source is opened for writing after that and not before.
//! - A transaction that was cut off in the middle never reaches a reader: `written` moves at ends only.

pub mod attach;
pub mod audit;
mod console;
mod coordinates;
mod dump_request;
mod feed;
mod guard;
pub mod history;
mod ledger;
pub mod statement;
pub mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::ack::Acks;
use crate::event::incident::Incident;
use crate::event::{self, EventType, Header};
use crate::gtid::{Gtid, Position, mariadb};
use crate::ids::{Epoch, ServerId, ServerName, SourcePosition, StorePosition};
use crate::net::admin::{Account, Admin};
use crate::net::{self, PacketReader, PacketWriter};
use crate::protocol::err::ErrPacket;
use crate::protocol::register_slave::RegisterSlave;
use crate::protocol::semi_sync::{Ack, EventPacket};
use crate::shutdown::Shutdown;
use crate::stages::{self, Stage};
use crate::store::state::{DurableState, Point};
use crate::store::{self, Store, Writer};

pub use attach::{Refusal, Source};
use console::Counters;
pub use console::{Console, Victim, read_position};
use dump_request::DumpRequest;
use feed::{Action, Expected, Feed};
pub use guard::Guard;
use guard::{Attempt, Suspected};
use ledger::Ledger;

/// Whom capture follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    pub name: ServerName,
    pub account: Account,
    /// Grows with every move; acks go out under this one only.
    pub epoch: Epoch,
}

/// What capture needs from the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[replication] server_id`: what we register as at the source.
    pub server_id: ServerId,
    /// `[binlog] format`, as the source calls it: MIXED, ROW or STATEMENT.
    pub binlog_format: String,
    /// The source proves that it lives at least this often.
    pub heartbeat: Duration,
}

/// Where capture is, for `status` and for the holds of the sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not attached: the source cannot be reached, or left.
    Connecting { reason: String },
    /// The source answered and must not be served.
    Refused(Refusal),
    /// Attached; what the source had is being captured and released.
    CatchingUp { until: Position },
    /// Everything is proven; the source takes writes.
    Attached,
    /// The source is being moved: nobody is followed, and nobody acknowledged to.
    Resting,
    /// Our own disk: nothing can be stored, so nothing is acknowledged.
    Stalled { reason: String },
}

impl State {
    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Refused(_) => "refused",
            Self::CatchingUp { .. } => "catching-up",
            Self::Attached => "attached",
            Self::Resting => "resting",
            Self::Stalled { .. } => "stalled",
        }
    }

    /// Why sessions are held, if they are.
    pub fn holds(&self, source: &ServerName) -> Option<String> {
        match self {
            Self::Attached => None,
            Self::Connecting { reason } => Some(format!("{source} is not attached: {reason}")),
            Self::Refused(refusal) => Some(format!("{source} is refused: {refusal}")),
            Self::CatchingUp { until } => Some(format!(
                "everything up to {until} in the binlog of {source} must be captured and released first"
            )),
            Self::Resting => Some("the source is being moved".to_owned()),
            Self::Stalled { reason } => Some(format!("our binlog cannot be written: {reason}")),
        }
    }
}

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
const DISK_RETRY: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_secs(10);
const COUNTED: Duration = Duration::from_millis(10);
/// Buffered events are written at the latest after this much; a transaction may be larger.
const FLUSH_AT: usize = 1 << 20;

/// Why one attach ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("shutting down")]
    Shutdown,
    #[error("another server is followed")]
    Moved,
    #[error("{0}")]
    Lost(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the binlog store: {0}")]
    Store(#[from] store::Error),
}

impl From<attach::Error> for End {
    fn from(error: attach::Error) -> Self {
        match error {
            attach::Error::Refused(refusal) => Self::Refused(refusal),
            attach::Error::Admin(error) => Self::Lost(error.to_string()),
        }
    }
}

impl From<Suspected> for End {
    fn from(_: Suspected) -> Self {
        let reason =
            "attaching again, since a commit may have returned un-acknowledged at the source";
        Self::Lost(reason.into())
    }
}

impl From<net::Error> for End {
    fn from(error: net::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

pub struct Capture {
    config: Config,
    /// None during a move: nobody is followed, and nobody acknowledged to.
    orders: watch::Receiver<Option<Followed>>,
    store: Store,
    writer: Writer,
    acks: Acks,
    guard: Arc<Guard>,
    console: Console,
    state: watch::Sender<State>,
    source: watch::Sender<Option<Source>>,
    shutdown: Shutdown,
    counted: Counted,
    /// The newest transaction of each MariaDB domain.
    newest: BTreeMap<u32, mariadb::Gtid>,
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
            writer,
            acks,
            guard,
            console,
            state,
            source,
            shutdown,
            newest: BTreeMap::new(),
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
                    }
                    tracing::warn!(source = %followed.name, %reason, "not attached to the source");
                    State::Connecting { reason }
                }
                End::Refused(refusal) => {
                    if *self.state.borrow() != State::Refused(refusal.clone()) {
                        tracing::error!(source = %followed.name, reason = %refusal, "the source is refused: nobody is served from it");
                    }
                    State::Refused(refusal)
                }
                End::Store(error) => {
                    tracing::error!(%error, "the binlog store failed; nothing is acknowledged until it works again");
                    State::Stalled {
                        reason: error.to_string(),
                    }
                }
            };
            self.state.send_replace(state);
            if self.settle_store().await.is_err() {
                break;
            }
            if moved {
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
        if let Err(error) = self.writer.close() {
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
        self.writer.reopen()?;
        self.writer.abandon()?;
        Ok(self.writer.flush()?.written)
    }

    async fn attach_and_follow(
        &mut self,
        followed: &Followed,
    ) -> Result<std::convert::Infallible, End> {
        let shutdown = self.shutdown.clone();
        let mut attempt = Attempt::begin(&self.guard);
        let (mut link, mut admin) = tokio::select! {
            attached = self.attach(followed) => attached?,
            () = shutdown.cancelled() => return Err(End::Shutdown),
        };
        self.follow(&mut link, &mut admin, &mut attempt, followed)
            .await
    }

    /// Everything up to the dump's first bytes.
    async fn attach(&mut self, followed: &Followed) -> Result<(Link, Admin), End> {
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
        attach::raise_gate(&mut admin).await?;
        attach::set_logging(&mut admin, &self.config.binlog_format).await?;

        self.newest = match self.store.end() {
            Position::MariaDb(end) => end.iter().map(|gtid| (gtid.domain, gtid)).collect(),
            Position::MySql(_) => BTreeMap::new(),
        };
        let last = self.store.before_last();
        let from = match &last {
            Some(last) => last.position_before.clone(),
            None if self.store.files().is_empty() => self.choose_base(&source)?,
            None => self.store.end(),
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
        let link = Link::dump(
            &self.config,
            followed,
            &source,
            (&from, place),
            expected,
            self.acks.permits(),
        )
        .await?;
        tracing::info!(source = %followed.name, version = %source.version, %from, "attached to the source's dump");
        counter!("ackline_source_attaches_total").increment(1);
        self.source.send_replace(Some(source));
        Ok((link, admin))
    }

    /// An empty store begins at the source's present position: what is before it, replicas have to
    /// bring along. A source that never wrote is followed from its beginning.
    fn choose_base(&mut self, source: &Source) -> Result<Position, End> {
        self.writer.begin_base(&source.base)?;
        // It is nobody's to acknowledge any more.
        self.acks.assume_released(&source.base.claimed());
        Ok(source.base.position())
    }

    async fn follow(
        &mut self,
        link: &mut Link,
        admin: &mut Admin,
        attempt: &mut Attempt,
        followed: &Followed,
    ) -> Result<std::convert::Infallible, End> {
        // With an expected transaction the source is proven by its coming again; an empty store has
        // nothing to compare.
        if link.feed.is_comparing() {
            let mut seen = link.feed.events();
            let mut deadline = tokio::time::Instant::now() + STEP;
            while link.feed.is_comparing() {
                tokio::select! {
                    ready = tokio::time::timeout_at(deadline, link.reader.ready()) => {
                        ready.map_err(|_| End::Lost("the dump does not start with what our binlog ends with".into()))??;
                    }
                    () = self.shutdown.cancelled() => return Err(End::Shutdown),
                }
                self.take(link)?;
                // Heartbeats alone are no progress.
                if link.feed.events() > seen {
                    seen = link.feed.events();
                    deadline = tokio::time::Instant::now() + STEP;
                } else if tokio::time::Instant::now() >= deadline {
                    return Err(End::Lost(
                        "the dump does not start with what our binlog ends with".into(),
                    ));
                }
            }
            self.flush(link).await?;
        }
        let counters = tokio::select! {
            counters = tokio::time::timeout(STEP, self.baseline()) => counters.map_err(|_| {
                End::Lost("the source does not count us as its semi-sync replica".into())
            })??,
            () = self.shutdown.cancelled() => return Err(End::Shutdown),
        };
        // Read after our dump is attached: whatever is newer waits for our ack.
        let until = console::read_position(admin)
            .await
            .map_err(|error| End::Lost(error.to_string()))?;
        attempt.baseline(counters);
        self.state.send_replace(State::CatchingUp {
            until: until.clone(),
        });

        let acks = self.acks.clone();
        let opening = async {
            acks.wait_position(&until).await;
            attach::open_for_writing(admin).await
        };
        tokio::pin!(opening);
        let mut open = false;
        let mut disk = tokio::time::interval(DISK_RETRY);
        // While much is coming nothing below is looked at for many seconds; what counts is when it was heard last.
        let silence = self.config.heartbeat * 3 / 2;
        let mut heard = tokio::time::Instant::now();
        loop {
            link.acknowledge().await?;
            // Every arm is cancel-safe: `fill` keeps what it read, the others are watches and timers.
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(End::Shutdown),
                // A failed fsync shows at the next flush; with nothing to write it has to be asked for.
                _ = disk.tick() => self.flush(link).await?,
                suspected = attempt.suspected() => return Err(suspected.into()),
                Ok(()) = link.permits.changed() => {}
                filled = link.reader.ready() => {
                    filled?;
                    heard = tokio::time::Instant::now();
                    self.take(link)?;
                    self.flush(link).await?;
                }
                opened = &mut opening, if !open => {
                    opened?;
                    open = true;
                    tracing::info!(source = %followed.name, "the source takes writes");
                    self.state.send_replace(State::Attached);
                    attempt.open()?;
                }
                () = tokio::time::sleep_until(heard + silence) => {
                    return Err(End::Lost("the source sends neither events nor heartbeats".into()));
                }
            }
        }
    }

    /// By the console, which looks at the counters from then on. A source counts its replica a moment after the
    /// dump has begun.
    async fn baseline(&self) -> Result<Counters, End> {
        loop {
            if let Some(counters) = attach::baseline(self.console.counters().await)? {
                return Ok(counters);
            }
            tokio::time::sleep(COUNTED).await;
        }
    }

    /// Everything that has arrived whole.
    fn take(&mut self, link: &mut Link) -> Result<(), End> {
        let mut bytes = 0;
        let mut transactions = 0;
        while let Some(packet) = link.reader.try_next()? {
            let payload = packet.payload;
            bytes += payload.len();
            if let Some(end) = end_of_dump(payload) {
                return Err(end);
            }
            match link.feed.packet(payload).map_err(broken)? {
                Action::Nothing => {}
                Action::Higher { by } => link.ledger.raise(link.feed.file(), by),
                Action::Format(event) => self.writer.source_format(event)?,
                Action::Incident(event) => {
                    self.writer.incident(event)?;
                    link.incident |= self.tell_of_incident(event, &link.feed)?;
                }
                Action::Append(event) => {
                    self.writer.append(event)?;
                    link.incident |= self.tell_of_incident(event, &link.feed)?;
                    note(&mut link.transaction, &link.feed, payload)?;
                }
                Action::Commit {
                    event,
                    gtid,
                    position,
                    ack_wanted,
                } => {
                    self.grows(&gtid)?;
                    self.writer.append(event)?;
                    link.incident |= self.tell_of_incident(event, &link.feed)?;
                    if std::mem::take(&mut link.incident) {
                        // Before anybody is sent it.
                        let keep = |state: &mut DurableState| state.incidents.insert(&gtid);
                        self.store.change_durable(keep)?;
                    }
                    let ours = self.writer.commit(gtid.clone())?;
                    note(&mut link.transaction, &link.feed, payload)?;
                    if let (Some(point), _) = link.transaction.end(&gtid) {
                        *self.anchor.lock() = Some((link.epoch, point));
                    }
                    stages::captured(&gtid, ours);
                    self.acks.captured(ours, gtid);
                    transactions += 1;
                    if ack_wanted {
                        link.ledger.wanted(ours, position);
                    }
                }
                Action::Verified {
                    position,
                    ack_wanted,
                } => {
                    // Not `written`: that may be the head of a next file, which nothing releases.
                    if ack_wanted && let Some(last) = self.store.before_last() {
                        link.ledger.wanted(last.end, position);
                    }
                }
            }
            if bytes > FLUSH_AT {
                break;
            }
        }
        self.counted.transactions.increment(transactions);
        self.counted.bytes.increment(bytes as u64);
        Ok(())
    }

    /// What the source could not log is in nobody's binlog. MariaDB says so between transactions, MySQL in one that
    /// has nothing else in it. Whether it is one.
    fn tell_of_incident(&self, event: &[u8], feed: &Feed) -> Result<bool, End> {
        let broken = |error: event::Error| broken(error.into());
        if Header::parse(event).map_err(broken)?.kind != EventType::INCIDENT {
            return Ok(false);
        }
        let incident = Incident::parse(event).map_err(broken)?;
        let message = String::from_utf8_lossy(incident.message);
        let problem = format!(
            "the source could not log what it changed (INCIDENT at {} of its binlog: {message}): its replicas lack it and stop there (error 1590, MySQL: 13119); set them up anew, or compare their tables",
            feed.begin()
        );
        tracing::error!("{problem}");
        counter!("ackline_source_incidents_total").increment(1);
        *self.incident.lock() = Some(problem);
        Ok(true)
    }

    /// A GTID stands for one transaction, for ever: within a domain numbers only grow.
    fn grows(&mut self, gtid: &Gtid) -> Result<(), Refusal> {
        let Gtid::MariaDb(new) = gtid else {
            return Ok(());
        };
        match self.newest.get(&new.domain) {
            Some(last) if last.seq >= new.seq => Err(Refusal::DoesNotGrow {
                gtid: gtid.clone(),
                last: (*last).into(),
            }),
            _ => {
                self.newest.insert(new.domain, *new);
                Ok(())
            }
        }
    }

    /// Writes what is buffered; a full disk is waited out here, so the source feels it and nobody else.
    async fn flush(&mut self, link: &mut Link) -> Result<(), End> {
        let mut stalled = false;
        loop {
            match self.writer.flush() {
                Ok(marks) => {
                    stages::passed(Stage::Written, marks.written);
                    if stalled {
                        tracing::info!("our binlog can be written again");
                        self.state.send_replace(State::Connecting {
                            reason: "the disk had no room".into(),
                        });
                        // A new attach settles what the sessions may see.
                        return Err(End::Lost(
                            "attaching again after the disk had no room".into(),
                        ));
                    }
                    return Ok(());
                }
                Err(error @ store::Error::DiskFull { .. }) => {
                    if !std::mem::replace(&mut stalled, true) {
                        tracing::error!(%error, "our binlog cannot be written; commits wait");
                        self.state.send_replace(State::Stalled {
                            reason: error.to_string(),
                        });
                    }
                    link.acknowledge().await?;
                    tokio::select! {
                        () = tokio::time::sleep(DISK_RETRY) => {}
                        () = self.shutdown.cancelled() => return Err(End::Shutdown),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn broken(error: feed::Error) -> End {
    match error {
        feed::Error::Different { gtid } | feed::Error::Elsewhere { expected: gtid, .. } => {
            End::Refused(Refusal::Different { gtid })
        }
        other => End::Lost(other.to_string()),
    }
}

/// One more event of the running transaction.
fn note(transaction: &mut walk::Running, feed: &Feed, payload: &[u8]) -> Result<(), End> {
    let packet = EventPacket::parse(payload, true).map_err(net::Error::from)?;
    transaction.note(packet.event, feed.begin());
    Ok(())
}

/// The source ends a dump with an ERR (1236: it lacks what we ask for) or, shutting down, with EOF.
fn end_of_dump(payload: &[u8]) -> Option<End> {
    const ER_MASTER_FATAL: u16 = 1236;
    match payload.first() {
        Some(&ErrPacket::FIRST) => Some(match ErrPacket::parse(payload) {
            Ok(error) if error.code == ER_MASTER_FATAL => {
                End::Refused(Refusal::Cannot(error.message))
            }
            Ok(error) => End::Lost(format!("the source ended the dump: {error}")),
            Err(error) => End::Lost(error.to_string()),
        }),
        Some(0xfe) if payload.len() < 9 => Some(End::Lost("the source ended the dump".into())),
        _ => None,
    }
}

/// One dump connection.
struct Link {
    reader: PacketReader,
    writer: PacketWriter,
    feed: Feed,
    ledger: Ledger,
    /// The one that is being sent.
    transaction: walk::Running,
    /// An INCIDENT came before it, or within it.
    incident: bool,
    permits: watch::Receiver<Option<crate::ack::AckPermit>>,
    epoch: Epoch,
    acks_sent: Counter,
}

impl Link {
    /// Logs in, says what a replica of the flavor says, and asks for everything after `from`.
    async fn dump(
        config: &Config,
        followed: &Followed,
        source: &Source,
        (from, place): (&Position, Option<(&str, u32)>),
        expected: Option<Expected>,
        permits: watch::Receiver<Option<crate::ack::AckPermit>>,
    ) -> Result<Self, End> {
        let request = DumpRequest {
            flavor: source.flavor,
            server_id: config.server_id,
            // Twice as often as silence is taken for death.
            heartbeat: config.heartbeat / 2,
            from,
            place,
        };
        let login = async {
            let (mut stream, _) = net::login::connect_and_login(&followed.account, STEP).await?;
            for statement in request.statements() {
                stream.execute(&statement).await?;
            }
            let mut command = Vec::new();
            RegisterSlave::new(config.server_id).write(&mut command);
            stream.command(&command).await?;
            stream.expect_ok().await?;
            stream.command(&request.command()).await?;
            Ok::<_, net::Error>(stream.into_halves())
        };
        let (reader, writer) = tokio::time::timeout(STEP, login)
            .await
            .map_err(|_| End::Lost("the source does not answer the dump's login".into()))??;
        Ok(Self {
            reader,
            writer,
            feed: Feed::new(true, expected),
            ledger: Ledger::default(),
            transaction: walk::Running::default(),
            incident: false,
            permits,
            epoch: followed.epoch,
            acks_sent: counter!("ackline_source_acks_total"),
        })
    }

    /// **May this ack go out?** Here, and nowhere else, acks leave for the source.
    async fn acknowledge(&mut self) -> Result<(), End> {
        let Some(permit) = *self.permits.borrow_and_update() else {
            return Ok(());
        };
        if permit.epoch() != self.epoch {
            return Ok(());
        }
        if let Some(position) = self.ledger.due(permit.position()) {
            self.send(&position).await?;
            stages::passed(Stage::Acknowledged, permit.position());
            self.acks_sent.increment(1);
        }
        Ok(())
    }

    async fn send(&mut self, position: &SourcePosition) -> Result<(), End> {
        let mut ack = Vec::with_capacity(64);
        Ack {
            position: position.offset,
            file: position.file.as_bytes(),
        }
        .write(&mut ack);
        // Another sequence number than 0 and the source ignores it.
        self.writer.set_sequence(0);
        match tokio::time::timeout(STEP, self.writer.write(&ack)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Lost(
                "the source does not take our acknowledgement".into(),
            )),
        }
    }
}
