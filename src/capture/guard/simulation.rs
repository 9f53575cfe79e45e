//! The guard, an attach that goes as capture's does, and sessions that are held, in thousands of orders: at
//! every await others may go on, the source may be lost, and a commit may get past the gate.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Attempt, Guard, Suspected};
use crate::capture::console::Counters;

const SESSIONS: usize = 3;

struct World {
    random: RefCell<ChaCha8Rng>,
    /// Commits that got past the gate.
    escaped: RefCell<u64>,
    /// Those among them that the running attach has covered.
    covered: RefCell<u64>,
    /// No more bad luck from here on.
    calm: RefCell<bool>,
    attempts: RefCell<u32>,
}

impl World {
    fn one_in(&self, many: u32) -> bool {
        !*self.calm.borrow() && self.random.borrow_mut().random_ratio(1, many)
    }

    /// Others go on meanwhile.
    async fn step(&self) {
        let mut turns = self.random.borrow_mut().random_range(0..4);
        std::future::poll_fn(|_| {
            turns -= 1;
            if turns < 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// A question to the source.
    async fn ask(&self) -> Result<(), Lost> {
        self.step().await;
        if self.one_in(8) { Err(Lost) } else { Ok(()) }
    }
}

struct Lost;

impl From<Suspected> for Lost {
    fn from(_: Suspected) -> Self {
        Self
    }
}

/// In capture's order: `Capture::attach_and_follow`.
async fn attach_and_follow(world: &World, guard: &Arc<Guard>) -> Result<(), Lost> {
    let mut attempt = Attempt::begin(guard);
    *world.attempts.borrow_mut() += 1;
    for _ in 0..4 {
        world.ask().await?;
    }
    attempt.baseline(Counters::default());
    world.ask().await?;
    // The position up to which everything is captured and released before the opening.
    let until = *world.escaped.borrow();
    let opening = async {
        world.step().await;
        world.ask().await?;
        world.covered.replace(until);
        Ok::<_, Lost>(())
    };
    tokio::pin!(opening);
    let mut open = false;
    loop {
        tokio::select! {
            biased;
            suspected = attempt.suspected() => return Err(suspected.into()),
            opened = &mut opening, if !open => {
                opened?;
                open = true;
                attempt.open()?;
            }
            lost = world.ask(), if open => lost?,
        }
    }
}

async fn capture(world: Rc<World>, guard: Arc<Guard>) {
    loop {
        let _ = attach_and_follow(&world, &guard).await;
        world.step().await;
    }
}

/// Somebody at the source.
async fn trouble(world: Rc<World>, guard: Arc<Guard>) {
    loop {
        world.step().await;
        if world.one_in(6) {
            *world.escaped.borrow_mut() += 1;
            guard.escaped("a test");
        }
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

#[test]
fn whoever_is_held_is_let_go_once_everything_is_proven() {
    let (mut opened, mut attempts) = (0, 0);
    let seeds = std::env::var("ACKLINE_SEEDS");
    let seeds: u64 = seeds.map_or(10_000, |text| text.parse().expect("a number"));
    for seed in 0..seeds {
        let world = Rc::new(World {
            random: RefCell::new(ChaCha8Rng::seed_from_u64(seed)),
            escaped: RefCell::default(),
            covered: RefCell::default(),
            calm: RefCell::default(),
            attempts: RefCell::default(),
        });
        let guard = Arc::new(Guard::default());
        let mut tasks: Vec<Option<Task>> = vec![
            Some(Box::pin(capture(world.clone(), guard.clone()))),
            Some(Box::pin(trouble(world.clone(), guard.clone()))),
        ];
        for _ in 0..SESSIONS {
            let guard = guard.clone();
            tasks.push(Some(Box::pin(async move { guard.opened().await })));
        }
        let mut context = Context::from_waker(Waker::noop());
        for turn in 0..400 {
            if turn == 100 {
                *world.calm.borrow_mut() = true;
            }
            let at = world.random.borrow_mut().random_range(0..tasks.len());
            if let Some(task) = &mut tasks[at]
                && task.as_mut().poll(&mut context).is_ready()
            {
                tasks[at] = None;
                opened += 1;
            }
            if guard.is_open() {
                let covered = *world.covered.borrow();
                assert_eq!(
                    covered,
                    *world.escaped.borrow(),
                    "seed {seed}: open too early"
                );
            }
        }
        assert!(guard.is_open(), "seed {seed}: closed for ever");
        let held = tasks[2..].iter().filter(|task| task.is_some()).count();
        assert_eq!(held, 0, "seed {seed}: held for ever");
        attempts += *world.attempts.borrow();
    }
    // A schedule in which nothing happens proves nothing.
    assert_eq!(opened, seeds as usize * SESSIONS);
    assert!(u64::from(attempts) > 3 * seeds, "{attempts}");
}
