//! Moves of the source: one at a time, from the order to its end. What is decided and done on the way is
//! [`failover`](crate::failover)'s.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::App;
use super::proxy::AppProxy;
use crate::capture::State;
use crate::failover::hands::{self, MovingHands};
use crate::failover::plan::Refused;
use crate::failover::proof::Verdict;
use crate::failover::{Course, Facts, Moved, Order, Plan, Step, inquiry, mover};

const LOOK_FOR_INTENT: Duration = Duration::from_secs(1);

/// At most one move at a time.
#[derive(Default)]
pub struct Moving {
    one: tokio::sync::Mutex<()>,
    now: Mutex<Option<(String, Step, Instant)>>,
}

impl Moving {
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
    let serves = *app.capture.state.borrow() == State::Attached;
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
    let busy = || NotBegun::Busy(app.moving.sentence().unwrap_or_default());
    let Ok(_one) = app.moving.one.try_lock() else {
        return Err(busy());
    };
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
    // While a move runs, what it has left to do is its own.
    let is_left = app.moving.one.try_lock().is_ok();
    if is_left && is_committed(app) {
        if let Some(intent) = app.store.durable().moving {
            hands::free(&AppProxy(app.clone()), &intent.to).await;
        }
        // Without the lock: whoever gives another order meanwhile does not wait for a source that does not open.
        app.guard.opened().await;
    }
    let _one = app.moving.one.lock().await;
    // By now another order may have ended it.
    let Some(intent) = app.store.durable().moving else {
        return;
    };
    let present = app.following.present();
    let course = Course::resume(&intent, &present.server.name);
    let plan = Plan::resume(&intent, present.epoch);
    tracing::warn!("{plan}: it was left in the middle");
    run(app, &plan, course, Patience(hands::OPEN)).await;
}

fn is_committed(app: &App) -> bool {
    let followed = app.following.present().server.name.clone();
    (app.store.durable().moving).is_some_and(|intent| intent.to == followed)
}

async fn run(app: &Arc<App>, plan: &Plan, course: Course, patience: Patience) -> Moved {
    let hands = MovingHands::new(AppProxy(app.clone()), patience.0);
    let now = &app.moving.now;
    let begins = |step| *now.lock() = Some((plan.to_string(), step, Instant::now()));
    let moved = mover::run(&hands, plan, course, begins).await;
    *now.lock() = None;
    metrics::counter!("ackline_moves_total", "kind" => moved.kind.clone(), "outcome" => moved.outcome.clone()).increment(1);
    match moved.is_done() {
        true => tracing::warn!("{}", moved.sentence()),
        false => tracing::error!("{}", moved.sentence()),
    }
    moved
}
