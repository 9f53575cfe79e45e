//! Random schedules of moves: three servers, a proxy and an operator, with messages that are lost or come late,
//! crashes of each of them between any two awaits, power cuts, and commands that are given again. What decides is
//! the real thing: [`Plan`](super::Plan), [`candidate`](super::candidate), [`prove`](super::proof::prove),
//! [`Course`](super::Course) and [`mover`](super::mover); only the hands are simulated.
//!
//! Checked all the time: promises 1, 3 and 5, and that whoever becomes the source has all that was released. At the
//! end, when nothing goes wrong any more and the last command has been given again: one source, open, nothing
//! lost, no move left in the middle.
//!
//! Each planted [`Bug`] must be found.

mod acknowledging;
mod hands;
mod operator;
mod proxy;
mod server;
mod world;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rand::Rng;

use self::hands::Shared;
use self::operator::{Ended, carry_out, finish_later, some_order};
use self::server::name;
use self::world::{Counted, World};
use super::Order;
use crate::store::state::MoveKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Past the commit point, the old source is still acknowledged to.
    AckInOldEpoch,
    /// The proof is taken for passed, whatever was found.
    PromotionUnproven,
}

const BUGS: [Bug; 2] = [Bug::AckInOldEpoch, Bug::PromotionUnproven];

/// While things go wrong, and until everybody has calmed down.
const TURNS: u32 = 700;
const CALM_TURNS: u32 = 4_000;

type Task<T> = Pin<Box<dyn Future<Output = T>>>;

/// The proxy's own tasks: a kill drops them wherever they are.
struct Play {
    shared: Shared,
    command: Option<Task<Ended>>,
    finisher: Option<Task<()>>,
    last: Order,
    ended: Option<Ended>,
}

impl Play {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let shared = Shared::new(World::new(seed, bug));
        Self {
            last: some_order(&shared),
            finisher: Some(Box::pin(finish_later(shared.clone()))),
            command: None,
            ended: None,
            shared,
        }
    }

    fn give(&mut self, order: Order) {
        self.last = order.clone();
        self.ended = None;
        self.command = Some(Box::pin(carry_out(self.shared.clone(), order)));
    }

    /// Something happens, and the proxy's tasks get on.
    fn turn(&mut self) {
        self.shared.world().turn();
        let mut context = Context::from_waker(Waker::noop());
        if let Some(task) = &mut self.command
            && let Poll::Ready(ended) = task.as_mut().poll(&mut context)
        {
            self.command = None;
            self.ended = Some(ended);
        }
        if let Some(task) = &mut self.finisher {
            let _ = task.as_mut().poll(&mut context);
        }
    }

    /// What somebody does to the whole.
    fn meddle(&mut self) {
        let mut world = self.shared.world();
        let up = world.proxy.up;
        let draw = world.random.random_range(0..300);
        let server = world.random.random_range(0..3);
        drop(world);
        match draw {
            0..1 if up => self.kill(),
            3..43 if !up => self.start(),
            43..60 if up && self.command.is_none() => {
                let again = self.shared.world().random.random_bool(0.4);
                let order = match again {
                    true => self.last.clone(),
                    false => some_order(&self.shared),
                };
                self.give(order);
            }
            60..64 => self.shared.world().rejoin(server),
            _ => {}
        }
    }

    fn kill(&mut self) {
        self.shared.world().count_kill();
        self.command = None;
        self.finisher = None;
        self.shared.world().kill_proxy();
    }

    fn start(&mut self) {
        self.shared.world().start_proxy();
        self.finisher = Some(Box::pin(finish_later(self.shared.clone())));
    }

    /// Until `is`, or for ever.
    fn until(&mut self, turns: u32, is: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..turns {
            if is(self) || self.shared.world().violation.is_some() {
                return true;
            }
            self.turn();
        }
        false
    }

    fn is_settled(&self) -> bool {
        let world = self.shared.world();
        let proxy = &world.proxy;
        self.command.is_none() && !proxy.moving && proxy.durable.moving.is_none()
    }

    fn is_open(&self) -> bool {
        self.shared.world().proxy.is_open()
    }

    /// Nothing goes wrong any more, everything is started, and the last command is given until it is done or refused.
    fn calm_down(&mut self) -> Result<(), String> {
        let up = {
            let mut world = self.shared.world();
            world.calm = true;
            world.note("all is well from here on".into());
            world.late.clear();
            (0..3).for_each(|server| world.come_back(server));
            world.proxy.up
        };
        if !up {
            self.start();
        }
        if !self.until(CALM_TURNS, |play| play.command.is_none()) {
            return Err("a command does not end".into());
        }
        for _ in 0..3 {
            self.give(self.last.clone());
            if !self.until(CALM_TURNS, |play| play.command.is_none()) {
                return Err(format!("{:?} does not end", self.last));
            }
            if self.ended.as_ref().is_none_or(Ended::is_final) {
                break;
            }
            self.until(200, |_| false);
        }
        // The policy may need each of them.
        self.rejoin_all();
        if self.until(CALM_TURNS, |play| play.is_open() && play.is_settled()) {
            return Ok(());
        }
        if self.shared.world().is_servable() {
            return Err(format!("nobody is served, {}", self.ended()));
        }
        // A power cut took from the source what we have: nobody is served from it.
        for _ in 0..5 {
            self.rejoin_all();
            self.give(Order {
                kind: MoveKind::Failover,
                to: None,
                force: false,
                accept_loss: false,
                accept_unproven: false,
            });
            self.until(CALM_TURNS, |play| play.command.is_none());
            if self.until(CALM_TURNS, |play| play.is_open() && play.is_settled()) {
                return Ok(());
            }
        }
        Err(format!("nobody is the source, {}", self.ended()))
    }

    fn rejoin_all(&mut self) {
        for _ in 0..3 {
            self.until(100, |_| false);
            for server in 0..3 {
                self.shared.world().rejoin(server);
            }
        }
        self.until(200, |_| false);
    }

    fn ended(&self) -> String {
        let ended = self.ended.as_ref().map(Ended::to_string);
        ended.unwrap_or_default()
    }

    fn play(&mut self) -> Result<(), String> {
        for _ in 0..TURNS {
            self.turn();
            self.meddle();
            if self.shared.world().violation.is_some() {
                return Ok(());
            }
        }
        self.calm_down()?;
        self.check_end()
    }

    fn check_end(&self) -> Result<(), String> {
        let world = self.shared.world();
        let proxy = &world.proxy;
        let source = &world.servers[proxy.durable.source];
        if proxy.present != (proxy.durable.source, proxy.durable.epoch) || source.read_only {
            return Err(format!("{} is not the source", name(proxy.durable.source)));
        }
        let mut kept = world.ledger.iter().chain(&world.answered);
        match kept.find(|own| !source.has(own)) {
            Some(lost) => Err(format!("{lost:?} is lost")),
            None => Ok(()),
        }
    }
}

fn run(seed: u64, bug: Option<Bug>) -> Result<Counted, String> {
    let mut play = Play::new(seed, bug);
    let told = play.play();
    let world = play.shared.world();
    // What was seen first is the cause.
    match world.violation.clone().map_or(told, Err) {
        Ok(()) => Ok(world.counted),
        Err(what) => {
            let notes = world.notes.join("\n");
            let servers = &world.servers;
            Err(format!("{notes}\n{servers:?}\nseed {seed}: {what}"))
        }
    }
}

#[test]
fn one_source_remains_and_nothing_is_lost() {
    let seeds = std::env::var("ACKLINE_SEEDS");
    let seeds = seeds.map_or(1_000, |text| text.parse().expect("a number"));
    let mut all = Counted::default();
    for seed in 0..seeds {
        all.add(&run(seed, None).unwrap_or_else(|what| panic!("{what}")));
    }
    println!("{all:?}");
    // A schedule in which nothing happens proves nothing.
    assert!(all.answered > seeds, "{all:?}");
    assert!(all.done > seeds && all.taken_back > seeds / 4, "{all:?}");
    assert!(
        all.killed_while_moving > seeds / 4 && all.resumed > seeds / 4,
        "{all:?}"
    );
}

#[test]
fn each_planted_bug_is_found_soon() {
    for bug in BUGS {
        let found = (0..500).find_map(|seed| run(seed, Some(bug)).err());
        let last = found.as_ref().and_then(|found| found.lines().last());
        println!("{bug:?}: {last:?}");
        assert!(found.is_some(), "{bug:?}");
    }
}
