//! Who gives commands, and what a proxy makes of them and of what it finds at its start: as
//! `app::moving` does it.

use std::fmt;

use rand::Rng;

use super::hands::{Shared, SimulatedHands};
use super::server::{index, name};
use crate::failover::plan::{Refused, Serves};
use crate::failover::proof::Verdict;
use crate::failover::{Course, Moved, Order, Plan, mover};
use crate::ids::Epoch;
use crate::store::state::MoveKind;

/// In looks.
const FREE_AGAIN: u32 = 10;

/// What became of a command, in a sentence.
#[derive(Debug)]
pub enum Ended {
    Busy,
    Refused(String),
    Moved { done: bool, sentence: String },
}

impl Ended {
    /// A command that is given again would end the same way.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Moved { done: true, .. })
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("a move is under way"),
            Self::Refused(sentence) | Self::Moved { sentence, .. } => f.write_str(sentence),
        }
    }
}

/// At most one move at a time.
struct OneMove(Shared);

impl OneMove {
    fn try_begin(shared: &Shared) -> Option<Self> {
        let mut world = shared.world();
        let free = !std::mem::replace(&mut world.proxy.moving, true);
        free.then(|| Self(shared.clone()))
    }
}

impl Drop for OneMove {
    fn drop(&mut self) {
        self.0.world().proxy.moving = false;
    }
}

pub fn some_order(shared: &Shared) -> Order {
    let random = &mut shared.world().random;
    let kind = match random.random_bool(0.5) {
        true => MoveKind::Switchover,
        false => MoveKind::Failover,
    };
    let named = kind == MoveKind::Switchover || random.random_bool(0.5);
    Order {
        kind,
        to: named.then(|| name(random.random_range(0..3))),
        force: random.random_bool(0.5),
        accept_loss: random.random_bool(0.2),
        accept_unproven: random.random_bool(0.5),
    }
}

pub async fn carry_out(shared: Shared, order: Order) -> Ended {
    let Some(_one) = OneMove::try_begin(&shared) else {
        return Ended::Busy;
    };
    let mut planned = Err(Refused::NoTarget);
    for _ in 0..5 {
        let facts = shared.facts().await;
        let serves = match shared.world().proxy.is_open() {
            true => Serves::Yes,
            false => Serves::No,
        };
        planned = Plan::make(order.clone(), &facts, serves);
        if !matches!(planned, Err(Refused::NoCandidate(_))) {
            break;
        }
    }
    let plan = match planned {
        Ok(plan) => plan,
        Err(refused) => {
            shared.world().counted.refused += 1;
            return Ended::Refused(refused.to_string());
        }
    };
    let moved = run(&shared, &plan, Course::begin(plan.order.kind)).await;
    Ended::Moved {
        done: moved.is_done(),
        sentence: moved.sentence(),
    }
}

/// Takes back or finishes what a stopped proxy, or a new source that did not open in time, has left behind.
pub async fn finish_later(shared: Shared) {
    loop {
        let left = shared.world().proxy.durable.moving.is_some();
        if left {
            finish_one(&shared).await;
        }
        yield_now().await;
    }
}

async fn finish_one(shared: &Shared) {
    // Under the lock: another order may have made a replica of it meanwhile. And again and again: it may have come
    // back with its replication threads running.
    while let Some(to) = committed(shared) {
        if let Some(_one) = OneMove::try_begin(shared)
            && committed(shared) == Some(to)
        {
            shared.free(to).await;
        }
        if shared.opened(FREE_AGAIN).await {
            break;
        }
    }
    let _one = loop {
        if let Some(one) = OneMove::try_begin(shared) {
            break one;
        }
        yield_now().await;
    };
    let (intent, (present, epoch)) = {
        let world = shared.world();
        (world.proxy.durable.moving.clone(), world.proxy.present)
    };
    let Some(intent) = intent else {
        return;
    };
    shared.world().counted.resumed += 1;
    let course = Course::resume(&intent, &name(present));
    let plan = Plan::resume(&intent, Epoch(epoch));
    run(shared, &plan, course).await;
}

/// To whom a move that was left in the middle has led.
fn committed(shared: &Shared) -> Option<usize> {
    let world = shared.world();
    let intent = world.proxy.durable.moving.as_ref()?;
    let to = index(&intent.to);
    (world.proxy.present.0 == to).then_some(to)
}

async fn run(shared: &Shared, plan: &Plan, course: Course) -> Moved {
    let hands = SimulatedHands::new(shared.clone());
    let begins = |step| shared.world().note(format!("{plan}: {step}"));
    let moved = mover::run(&hands, plan, course, begins).await;
    let ended = format!("{} {:?}", moved.sentence(), moved.warnings);
    shared.world().note(ended);
    let counted = &mut shared.world().counted;
    match moved.outcome.as_str() {
        "done" => counted.done += 1,
        "taken-back" => counted.taken_back += 1,
        _ => counted.unopened += 1,
    }
    match moved.proof.as_ref().map(|proof| &proof.verdict) {
        Some(Verdict::Adopts) => counted.adopted += 1,
        Some(Verdict::Refused) => counted.proofs_refused += 1,
        _ => {}
    }
    moved
}

async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut yielded, true) {
        true => std::task::Poll::Ready(()),
        false => std::task::Poll::Pending,
    })
    .await;
}
