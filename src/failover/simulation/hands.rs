//! The hands of a move, as [`MovingHands`](crate::failover::hands) are, step by step and in their order. At every
//! await others go on, and the proxy may be killed there.

use std::sync::Arc;
use std::task::Poll;

use parking_lot::{Mutex, MutexGuard};
use rand::Rng;

use super::Bug;
use super::proxy::Durable;
use super::server::{Life, Statement, index, name, set_of};
use super::world::World;
use crate::failover::course::{Answer, Step};
use crate::failover::facts::{Facts, Said, Seen, Walked};
use crate::failover::mover::Hands;
use crate::failover::plan::Plan;
use crate::gtid::GtidSet;
use crate::ids::Epoch;

/// In looks, each after a moment.
const OPEN: u32 = 30;
const GO_ON: u32 = 8;
const APPLIES: u32 = 20;

type Done = Result<(), String>;

#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock()
    }

    /// Others go on meanwhile.
    pub async fn pause(&self) {
        let mut turns = self.world().random.random_range(0..3);
        std::future::poll_fn(|_| {
            turns -= 1;
            match turns < 0 {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// A statement to a server.
    async fn say(&self, server: usize, statement: Statement) -> Done {
        self.pause().await;
        let said = self.world().ask(server, statement);
        self.pause().await;
        said
    }

    async fn look(&self, server: usize) -> Result<Said, String> {
        self.pause().await;
        self.world().look(server)
    }

    /// Whether it became true in time.
    async fn wait(&self, looks: u32, mut is: impl FnMut(&mut World) -> bool) -> bool {
        for _ in 0..looks {
            if is(&mut self.world()) {
                return true;
            }
            // As long as it takes others to do something.
            for _ in 0..4 {
                self.pause().await;
            }
        }
        false
    }

    async fn keep(&self, change: impl FnOnce(&mut Durable)) -> Done {
        self.pause().await;
        let kept = self.world().keep(change);
        self.pause().await;
        kept
    }

    /// Everybody is asked, and ourselves at the end.
    pub async fn facts(&self) -> Facts {
        let mut servers = Vec::new();
        for server in 0..3 {
            servers.push(Seen {
                name: name(server),
                promotable: true,
                said: self.look(server).await,
            });
        }
        self.pause().await;
        let world = self.world();
        let proxy = &world.proxy;
        Facts {
            epoch: Epoch(proxy.present.1),
            source: name(proxy.present.0),
            stored: set_of(&proxy.store, world.flavor),
            released: set_of(&proxy.store[..proxy.released], world.flavor),
            servers,
        }
    }

    /// Before a source that was just moved to opens.
    pub async fn free(&self, server: usize) {
        let _ = self.say(server, Statement::Forget).await;
    }
}

/// Of one move.
pub struct SimulatedHands {
    shared: Shared,
    patience: u32,
    stored_at_commit: Mutex<Option<usize>>,
}

impl Hands for SimulatedHands {
    async fn facts(&self, _: &Plan) -> Facts {
        let mut facts = self.shared.facts().await;
        if self.shared.world().bug == Some(Bug::PromotionUnproven) {
            pretend(&mut facts);
        }
        facts
    }

    async fn perform(&self, step: Step, plan: &Plan) -> Answer {
        let (from, to) = (index(&plan.from), index(&plan.to));
        let done = match step {
            Step::Intend => self.intend(plan).await,
            Step::Hold | Step::LetGo => Ok(()),
            Step::Fence | Step::After => self.command().await,
            Step::ReadOnly => self.read_only(from).await,
            Step::Settle => self.settle(from).await,
            Step::CatchUp => self.catch_up(to).await,
            Step::StopReplication => self.stop_replication(to).await,
            Step::Rest => self.rest().await,
            Step::Prove | Step::ProveBack => Ok(()),
            Step::Follow => self.follow(to, plan.epoch).await,
            Step::Open => return self.open_new().await,
            Step::Forget => self.shared.say(to, Statement::Forget).await,
            Step::Demote => self.demote(from).await,
            Step::Finish => self.shared.keep(|durable| durable.moving = None).await,
            Step::FollowBack => self.follow(from, Epoch(plan.epoch.0 + 1)).await,
            Step::StartReplication => self.start_replication(to).await,
            Step::FollowOn => self.follow_on().await,
            Step::Events if plan.events => self.shared.say(from, Statement::Events(true)).await,
            Step::Events | Step::EnableEvents => Ok(()),
        };
        match done {
            Ok(()) => Answer::Done,
            Err(reason) => Answer::Failed(reason),
        }
    }
}

/// The planted bug: whatever was found, all is well.
fn pretend(facts: &mut Facts) {
    let has = facts.stored.union(&facts.released);
    for seen in &mut facts.servers {
        if let Ok(said) = &mut seen.said {
            said.state = crate::gtid::State::empty(said.state.flavor());
            said.walked = Some(Ok(Walked {
                has: has.clone(),
                beyond: GtidSet::new(),
                ..Walked::default()
            }));
        }
    }
}

impl SimulatedHands {
    pub fn new(shared: Shared) -> Self {
        let patience = shared.world().random.random_range(10..40);
        Self {
            shared,
            patience,
            stored_at_commit: Mutex::new(None),
        }
    }

    async fn intend(&self, plan: &Plan) -> Done {
        let intent = plan.intent();
        {
            let mut world = self.shared.world();
            let left = world.proxy.durable.moving.as_ref();
            let other = left.is_some_and(|left| (&left.from, &left.to) != (&plan.from, &plan.to));
            world.counted.overwritten += u64::from(other);
        }
        self.shared
            .keep(|durable| durable.moving = Some(intent))
            .await
    }

    async fn command(&self) -> Done {
        self.shared.pause().await;
        match self.shared.world().one_in(30) {
            true => Err("the command failed".into()),
            false => Ok(()),
        }
    }

    /// Gives up where a commit waits all the time.
    async fn make_read_only(&self, server: usize, looks: u32) -> Done {
        let mut said = Err("not asked".into());
        let shared = &self.shared;
        shared.world().reach(server)?;
        shared
            .wait(looks, |world| {
                said = world.ask(server, Statement::MakeReadOnly);
                said.is_ok() || world.servers[server].waiting.is_empty()
            })
            .await;
        said
    }

    async fn read_only(&self, from: usize) -> Done {
        self.shared.say(from, Statement::Events(false)).await?;
        self.make_read_only(from, self.patience).await
    }

    async fn settle(&self, from: usize) -> Done {
        let shared = &self.shared;
        for _ in 0..3 {
            let length = {
                let mut world = shared.world();
                world.reach(from)?;
                world.servers[from].binlog.len()
            };
            let all_released = |world: &mut World| {
                let released = &world.proxy.store[..world.proxy.released];
                let position = world.servers[from].binlog.get(..length);
                position.is_none_or(|all| all.iter().all(|own| released.contains(own)))
            };
            if !shared.wait(self.patience, all_released).await {
                return Err("not everything is released".into());
            }
            shared.pause().await;
            let mut world = shared.world();
            world.reach(from)?;
            let source = &world.servers[from];
            if source.waiting.is_empty() && source.binlog.len() == length {
                return Ok(());
            }
        }
        Err("somebody goes on writing in spite of read_only".into())
    }

    async fn catch_up(&self, to: usize) -> Done {
        self.shared.world().reach(to)?;
        let applied = |world: &mut World| has_applied(world, to);
        match self.shared.wait(self.patience, applied).await {
            true => Ok(()),
            false => Err("it has not applied all of our binlog".into()),
        }
    }

    async fn stop_replication(&self, to: usize) -> Done {
        self.shared.say(to, Statement::StopReceiving).await?;
        let applied = |world: &mut World| has_applied(world, to);
        if !self.shared.wait(APPLIES, applied).await {
            return Err("it has not applied all of our binlog".into());
        }
        self.shared.say(to, Statement::StopReplication).await
    }

    async fn start_replication(&self, to: usize) -> Done {
        self.make_read_only(to, 3).await?;
        self.shared.say(to, Statement::Gate(false)).await?;
        let follows = self.shared.world().servers[to].follows;
        match follows {
            true => self.shared.say(to, Statement::StartReplication).await,
            false => self.become_replica(to).await,
        }
    }

    async fn become_replica(&self, server: usize) -> Done {
        self.make_read_only(server, 3).await?;
        let follow = [
            Statement::Events(false),
            Statement::Gate(false),
            Statement::StopReplication,
            Statement::Follow,
        ];
        for statement in follow {
            self.shared.say(server, statement).await?;
        }
        Ok(())
    }

    async fn rest(&self) -> Done {
        {
            let mut world = self.shared.world();
            let bug = world.bug;
            world.proxy.rest(bug);
        }
        let left = |world: &mut World| world.proxy.link.is_none();
        match self.shared.wait(OPEN, left).await {
            true => Ok(()),
            false => Err("capture does not leave".into()),
        }
    }

    async fn follow(&self, server: usize, epoch: Epoch) -> Done {
        self.shared.look_at(server).await?;
        let stored = self.shared.world().proxy.store.len();
        *self.stored_at_commit.lock() = Some(stored);
        let kept = |durable: &mut Durable| (durable.epoch, durable.source) = (epoch.0, server);
        self.shared.pause().await;
        {
            let mut world = self.shared.world();
            world.keep(kept)?;
            world.committed(server);
        }
        self.shared.pause().await;
        self.shared.world().proxy.follow(server, epoch.0);
        Ok(())
    }

    async fn open_new(&self) -> Answer {
        if self.shared.opened(OPEN).await {
            return Answer::Done;
        }
        let stored = self.shared.world().proxy.store.len();
        match *self.stored_at_commit.lock() == Some(stored) {
            true => Answer::Failed("it does not open".into()),
            false => Answer::FailedForGood("it does not open".into()),
        }
    }

    async fn follow_on(&self) -> Done {
        {
            let mut world = self.shared.world();
            let (server, epoch) = world.proxy.present;
            world.proxy.follow(server, epoch);
        }
        match self.shared.opened(GO_ON).await {
            true => Ok(()),
            false => Err("it does not open".into()),
        }
    }

    async fn demote(&self, from: usize) -> Done {
        let said = self.shared.look(from).await?;
        let beyond = {
            let world = self.shared.world();
            said.beyond(&set_of(&world.proxy.store, world.flavor))
        };
        if !beyond.is_empty() || said.waiting > 0 {
            return Err("it has transactions that nobody acknowledged".into());
        }
        self.become_replica(from).await
    }
}

impl Shared {
    /// Whether it answers.
    async fn look_at(&self, server: usize) -> Done {
        self.pause().await;
        self.world().reach(server)
    }

    pub async fn opened(&self, looks: u32) -> bool {
        self.wait(looks, |world| world.proxy.is_open()).await
    }
}

fn has_applied(world: &mut World, server: usize) -> bool {
    let one = &world.servers[server];
    one.life == Life::Up && one.has_applied(&world.proxy.store, world.flavor)
}
