//! Moves of the source: one at a time, from the order to its end. What is decided and done on the way is
//! [`failover`](crate::failover)'s.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::App;
use super::proxy::AppProxy;
use crate::capture::State;
use crate::crash;
use crate::failover::hands::{self, MovingHands};
use crate::failover::plan::{Refused, Serves};
use crate::failover::proof::Verdict;
use crate::failover::{Course, Facts, Moved, Order, Plan, Step, inquiry, mover};
use crate::store::state::{Intent, MoveKind};

const LOOK_FOR_INTENT: Duration = Duration::from_secs(1);
/// A source to which a proxy attaches that has just been started.
const OPENS: Duration = Duration::from_secs(5);
const FREE_AGAIN: Duration = Duration::from_secs(2);

/// At most one move at a time.
#[derive(Default)]
pub struct Moving {
    one: tokio::sync::Mutex<()>,
    /// What is under way was left in the middle, and nobody has asked for it now.
    ends_another: AtomicBool,
    now: Mutex<Option<(String, Step, Instant)>>,
}

impl Moving {
    /// As long as the guard lives no move begins.
    pub fn try_begin(&self) -> Result<impl Sized, tokio::sync::TryLockError> {
        self.one.try_lock()
    }

    /// The same for somebody's order. Whoever gives a command again after a crash is not told to do that once more: what
    /// was left in the middle is ended first. What it is where another order is under way.
    pub async fn begin(&self) -> Result<impl Sized, String> {
        match self.one.try_lock() {
            Ok(one) => Ok(one),
            Err(_) if self.ends_another.load(Ordering::Relaxed) => Ok(self.one.lock().await),
            Err(_) => Err(self
                .sentence()
                .unwrap_or_else(|| "it has just begun".into())),
        }
    }

    /// The same, as soon as none is under way.
    pub async fn ended(&self) -> impl Sized {
        self.one.lock().await
    }

    /// What is under way, for `status`.
    pub fn sentence(&self) -> Option<String> {
        let now = self.now.lock();
        let (plan, step, since) = now.as_ref()?;
        Some(format!(
            "{plan}: {step} (since {:.1} s)",
            since.elapsed().as_secs_f64()
        ))
    }
}

/// Why a move did not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("a move is under way: {0}")]
    Busy(String),
}

/// How long running transactions may go on, and what a switchover may take to catch up.
#[derive(Clone, Copy, Debug)]
pub struct Patience(pub Duration);

pub async fn plan(app: &Arc<App>, order: Order) -> Result<(Plan, Facts), NotBegun> {
    let serves = || match *app.capture.state.borrow() {
        // It answers, and its replicas may have what we do not.
        State::Attached | State::TakingOver { .. } => Serves::Yes,
        State::Connecting { .. } | State::CatchingUp { .. } => Serves::Perhaps,
        State::Refused(_) | State::Resting | State::Stalled { .. } => Serves::No,
    };
    Ok(inquiry::plan(&AppProxy(app.clone()), order, serves).await?)
}

/// A move that ended before its end, until it is finished or taken back.
pub fn unfinished(app: &App) -> Option<String> {
    let intent = app.store.durable().moving?;
    app.moving.sentence().is_none().then(|| {
        format!(
            "the {} from {} to {} is not finished: it goes on as soon as {} is open",
            intent.kind,
            intent.from,
            intent.to,
            app.following.present().server.name
        )
    })
}

/// From the order to its end; goes on though the one who gave it leaves.
pub async fn carry_out(app: Arc<App>, order: Order, patience: Patience) -> Result<Moved, NotBegun> {
    let _one = app.moving.begin().await.map_err(NotBegun::Busy)?;
    // A move that was left in the middle would be forgotten with its servers as they are.
    if let Some(intent) = app.store.durable().moving
        && may_be_ended(&app, order.kind).await
    {
        end_one(&app, &intent).await;
    }
    let (plan, _) = plan(&app, order).await?;
    tracing::warn!("{plan} begins");
    let course = Course::begin(plan.order.kind);
    let mut moved = run(&app, &plan, course, patience).await;
    if let Some(proof) = &moved.proof
        && proof.verdict == Verdict::LossAccepted
    {
        let written = write_loss(&app, &moved, &proof.missing);
        let sentence = match written {
            Ok(path) => format!("what is lost is listed in {}", path.display()),
            Err(error) => format!("the list of what is lost could not be written: {error}"),
        };
        moved.warnings.push(sentence);
    }
    Ok(moved)
}

fn write_loss(app: &App, moved: &Moved, missing: &str) -> std::io::Result<PathBuf> {
    let dir = app.config.load().binlog.dir.clone();
    let path = dir.join(format!("lost-in-epoch-{}.txt", moved.epoch));
    std::fs::write(&path, format!("# {}\n{missing}\n", moved.sentence()))?;
    std::fs::File::open(&path)?.sync_all()?;
    Ok(path)
}

/// Takes back or finishes what a stopped proxy, or a new source that did not open in time, has left behind.
pub async fn finish_later(app: Arc<App>) {
    loop {
        if app.store.durable().moving.is_some() {
            finish_one(&app).await;
        }
        tokio::time::sleep(LOOK_FOR_INTENT).await;
    }
}

async fn finish_one(app: &Arc<App>) {
    while is_committed(app) && !app.guard.is_open() {
        // While a move runs, what it has left to do is its own; and another order may have made a replica of it.
        app.moving.ends_another.store(true, Ordering::Relaxed);
        if let Ok(_one) = app.moving.one.try_lock()
            && is_committed(app)
            && let Some(intent) = app.store.durable().moving
        {
            // Each time: it may have come back with its replication threads running.
            hands::free(&AppProxy(app.clone()), &intent.to).await;
        }
        app.moving.ends_another.store(false, Ordering::Relaxed);
        // Without the lock: whoever gives another order meanwhile does not wait for a source that does not open.
        let _ = tokio::time::timeout(FREE_AGAIN, app.guard.opened()).await;
    }
    let _one = app.moving.one.lock().await;
    // By now another order may have ended it.
    if let Some(intent) = app.store.durable().moving {
        end_one(app, &intent).await;
    }
}

/// Takes a move back that was left in the middle; or finishes it, behind its commit point.
async fn end_one(app: &Arc<App>, intent: &Intent) {
    let present = app.following.present();
    let course = Course::resume(intent, &present.server.name);
    let plan = Plan::resume(intent, present.epoch);
    tracing::warn!("{plan}: it was left in the middle");
    app.moving.ends_another.store(true, Ordering::Relaxed);
    run(app, &plan, course, Patience(hands::OPEN)).await;
    app.moving.ends_another.store(false, Ordering::Relaxed);
}

/// Behind its commit point only once the new source is open. A proxy that has just been started is about to open it; a
/// failover from one that has died since waits for nothing.
async fn may_be_ended(app: &App, wanted: MoveKind) -> bool {
    if is_committed(app) && wanted == MoveKind::Switchover {
        let _ = tokio::time::timeout(OPENS, app.guard.opened()).await;
    }
    !is_committed(app) || app.guard.is_open()
}

fn is_committed(app: &App) -> bool {
    let followed = app.following.present().server.name.clone();
    (app.store.durable().moving).is_some_and(|intent| intent.to == followed)
}

async fn run(app: &Arc<App>, plan: &Plan, course: Course, patience: Patience) -> Moved {
    let hands = MovingHands::new(AppProxy(app.clone()), patience.0);
    let now = &app.moving.now;
    let begins = |step| {
        crash::step(&format!("{step:?}"));
        *now.lock() = Some((plan.to_string(), step, Instant::now()));
    };
    let moved = mover::run(&hands, plan, course, begins).await;
    *now.lock() = None;
    metrics::counter!("ackline_moves_total", "kind" => moved.kind.clone(), "outcome" => moved.outcome.clone()).increment(1);
    match moved.is_done() {
        true => tracing::warn!("{}", moved.sentence()),
        false => tracing::error!("{}", moved.sentence()),
    }
    moved
}
