//! Carries out moves of the source: what [`failover`](crate::failover) decides is done here, with the parts of the proxy.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::following::Present;
use super::{App, commands, roster};
use crate::capture::State;
use crate::config::Server;
use crate::failover::course::Answer;
use crate::failover::plan::Refused;
use crate::failover::proof::Verdict;
use crate::failover::{Course, Facts, Hands, Moved, Order, Plan, Said, Seen, Step, mover, servers};
use crate::gtid::Position;
use crate::ids::{Epoch, ServerName};
use crate::net::admin::{Account, Admin};
use crate::store::state::{FollowedSource, Intent, MoveKind};
use crate::topology::doctor::Endpoint;

/// For a server's answer while nobody may write.
const ASK: Duration = Duration::from_secs(2);
/// For one that is left because it does not answer.
const ASK_THE_DEAD: Duration = Duration::from_millis(300);
/// For an attach, to the new source or back to the old one.
const OPEN: Duration = Duration::from_secs(15);
/// The old one goes on; where it is dead, nobody has to wait for that.
const GO_ON: Duration = Duration::from_secs(3);
/// Replicas that come back to a proxy that has just been started.
const COME_BACK: Duration = Duration::from_secs(5);
const LOOK_FOR_INTENT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);
/// How long the new source may apply without getting on.
const STUCK: Duration = Duration::from_secs(30);

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

/// `hopeless`: most likely it does not answer, so that little time is given to it.
pub async fn facts(app: &App, hopeless: Option<&ServerName>) -> Facts {
    let config = app.config.load_full();
    let readers = app.ship.readers.list();
    let questions: Vec<_> = config
        .servers
        .iter()
        .map(|server| {
            let account = roster::account(server);
            let within = match hopeless == Some(&server.name) {
                true => ASK_THE_DEAD,
                false => ASK,
            };
            let histories = app.servers.histories().clone();
            let name = server.name.clone();
            let is_source = name == app.following.present().server.name;
            tokio::spawn(async move {
                let mut said = servers::look(&account, within).await?;
                if !is_source {
                    said.walked = Some(histories.prove(&name, &account).await);
                }
                Ok::<_, servers::Error>(said)
            })
        })
        .collect();
    let mut servers = Vec::new();
    for (server, question) in config.servers.iter().zip(questions) {
        let follows_us = readers
            .iter()
            .any(|reader| reader.identity.name == server.name);
        let said = match question.await {
            Ok(Ok(said)) => Ok(Said { follows_us, ..said }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        servers.push(Seen {
            name: server.name.clone(),
            promotable: server.promotable,
            said,
        });
    }
    // After the servers: what came meanwhile is no transaction that only they have.
    let present = app.following.present();
    Facts {
        epoch: present.epoch,
        source: present.server.name.clone(),
        stored: app.store.executed(),
        released: app.acks.snapshot().released_set,
        servers,
    }
}

pub async fn plan(app: &App, order: Order) -> Result<(Plan, Facts), NotBegun> {
    let serves = *app.capture.state.borrow() == State::Attached;
    let source = app.following.present().server.name.clone();
    let hopeless = (order.kind == MoveKind::Failover && !serves).then_some(&source);
    let deadline = Instant::now() + COME_BACK;
    loop {
        let facts = facts(app, hopeless).await;
        match Plan::make(order.clone(), &facts, serves) {
            Ok(plan) => return Ok((plan, facts)),
            Err(Refused::NoCandidate(_)) if Instant::now() < deadline => {}
            Err(refused) => return Err(refused.into()),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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
        // Its replication threads may have started with the server, and one with such is not attached to.
        if let Some(intent) = app.store.durable().moving
            && let Some(server) = app.config.load().server(&intent.to)
            && let Ok(mut admin) = Admin::connect(&roster::account(server), ASK).await
            && let Err(error) = servers::forget_source(&mut admin).await
        {
            tracing::warn!(server = %intent.to, %error, "it could not be told to follow nobody");
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
    let plan = Plan {
        order: Order {
            kind: intent.kind,
            to: Some(intent.to.clone()),
            force: false,
            accept_loss: false,
            accept_unproven: true,
        },
        from: intent.from.clone(),
        to: intent.to.clone(),
        epoch: present.epoch,
        endpoint: intent.endpoint.clone(),
        events: intent.events,
    };
    tracing::warn!("{plan}: it was left in the middle");
    run(app, &plan, course, Patience(OPEN)).await;
}

fn is_committed(app: &App) -> bool {
    let followed = app.following.present().server.name.clone();
    (app.store.durable().moving).is_some_and(|intent| intent.to == followed)
}

async fn run(app: &Arc<App>, plan: &Plan, course: Course, patience: Patience) -> Moved {
    let hands = ProxyHands {
        app: app.clone(),
        patience: patience.0,
        plan: plan.to_string(),
        stored_at_commit: Mutex::new(None),
    };
    let moved = mover::run(&hands, plan, course).await;
    *app.moving.now.lock() = None;
    metrics::counter!("ackline_moves_total", "kind" => moved.kind.clone(), "outcome" => moved.outcome.clone()).increment(1);
    match moved.is_done() {
        true => tracing::warn!("{}", moved.sentence()),
        false => tracing::error!("{}", moved.sentence()),
    }
    moved
}

struct ProxyHands {
    app: Arc<App>,
    patience: Duration,
    plan: String,
    /// How much our binlog held at the commit point: an old source that lacks nothing can be gone back to.
    stored_at_commit: Mutex<Option<u64>>,
}

impl Hands for ProxyHands {
    async fn facts(&self, plan: &Plan) -> Facts {
        let hopeless = (plan.order.kind == MoveKind::Failover).then_some(&plan.from);
        facts(&self.app, hopeless).await
    }

    fn begins(&self, step: Step) {
        *self.app.moving.now.lock() = Some((self.plan.clone(), step, Instant::now()));
    }

    async fn perform(&self, step: Step, plan: &Plan) -> Answer {
        let done = match step {
            Step::Intend => self.intend(plan).await,
            Step::Hold => self.hold(plan).await,
            Step::Fence => self.command(plan, commands::Hook::Fence).await,
            Step::ReadOnly => self.read_only(plan).await,
            Step::Settle => self.settle(plan).await,
            Step::CatchUp => self.catch_up(plan).await,
            Step::StopReplication => self.stop_replication(plan).await,
            Step::Rest => self.rest().await,
            // Decided, not done: the mover's.
            Step::Prove | Step::ProveBack => Ok(()),
            Step::Follow => self.follow(&plan.to, plan.epoch).await,
            Step::Open => return self.open_new().await,
            Step::Forget => self.forget(plan).await,
            Step::LetGo => self.let_go(),
            Step::Demote => self.demote(plan).await,
            Step::After => self.command(plan, commands::Hook::After).await,
            Step::Finish => self.finish().await,
            Step::FollowBack => self.follow(&plan.from, Epoch(plan.epoch.0 + 1)).await,
            Step::StartReplication => self.start_replication(plan).await,
            Step::FollowOn => self.follow_on().await,
            Step::Events => self.events(plan).await,
        };
        match done {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(format!("{error:#}")),
        }
    }
}

type Done = anyhow::Result<()>;

impl ProxyHands {
    fn server(&self, name: &ServerName) -> anyhow::Result<Server> {
        let config = self.app.config.load();
        let server = config.server(name).cloned();
        server
            .ok_or_else(|| anyhow::anyhow!("{name} is no [[server]] of the configuration any more"))
    }

    fn account(&self, name: &ServerName) -> anyhow::Result<Account> {
        Ok(roster::account(&self.server(name)?))
    }

    async fn admin(&self, name: &ServerName) -> anyhow::Result<Admin> {
        Ok(Admin::connect(&self.account(name)?, ASK).await?)
    }

    async fn intend(&self, plan: &Plan) -> Done {
        let intent = Intent {
            kind: plan.order.kind,
            from: plan.from.clone(),
            to: plan.to.clone(),
            events: plan.events,
            endpoint: plan.endpoint.clone(),
        };
        self.keep(move |state| state.moving = Some(intent)).await
    }

    async fn finish(&self) -> Done {
        self.keep(|state| state.moving = None).await
    }

    /// Three fsyncs.
    async fn keep(
        &self,
        change: impl FnOnce(&mut crate::store::state::DurableState) + Send + 'static,
    ) -> Done {
        let store = self.app.store.clone();
        Ok(tokio::task::spawn_blocking(move || store.change_durable(change)).await??)
    }

    async fn hold(&self, _plan: &Plan) -> Done {
        Ok(())
    }

    fn let_go(&self) -> Done {
        Ok(())
    }

    async fn command(&self, plan: &Plan, hook: commands::Hook) -> Done {
        let config = self.app.config.load_full();
        let Some(command) = hook.of(&config.failover) else {
            return Ok(());
        };
        let address = |name: &ServerName| {
            config
                .server(name)
                .map_or("", |server| server.address.as_str())
        };
        let environment = [
            ("ACKLINE_MOVE", plan.order.kind.to_string()),
            ("ACKLINE_EPOCH", plan.epoch.to_string()),
            ("ACKLINE_OLD_SOURCE", plan.from.to_string()),
            ("ACKLINE_OLD_ADDRESS", address(&plan.from).to_owned()),
            ("ACKLINE_NEW_SOURCE", plan.to.to_string()),
            ("ACKLINE_NEW_ADDRESS", address(&plan.to).to_owned()),
        ];
        commands::run(hook, command, &environment).await
    }

    async fn read_only(&self, plan: &Plan) -> Done {
        let mut admin = Admin::connect(&self.account(&plan.from)?, self.patience.max(ASK)).await?;
        servers::set_events(&mut admin, false).await?;
        Ok(servers::make_read_only(&mut admin, self.patience).await?)
    }

    /// Whoever may write in spite of `read_only` does not come to an end here.
    async fn settle(&self, plan: &Plan) -> Done {
        let mut admin = self.admin(&plan.from).await?;
        let deadline = Instant::now() + self.patience;
        loop {
            let position = crate::capture::read_position(&mut admin).await?;
            let released = self.app.acks.wait_position(&position);
            if tokio::time::timeout_at(deadline, released).await.is_err() {
                anyhow::bail!(
                    "not everything up to {position} is released within {:?}",
                    self.patience
                );
            }
            if servers::waiting(&mut admin).await? == 0
                && crate::capture::read_position(&mut admin).await? == position
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                anyhow::bail!("somebody goes on writing in spite of read_only");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn catch_up(&self, plan: &Plan) -> Done {
        let mut admin = self.admin(&plan.to).await?;
        let mut seen: Option<Position> = None;
        let mut since = Instant::now();
        let begun = Instant::now();
        loop {
            let end = self.app.store.end();
            if servers::has_applied(&mut admin, &end, Duration::from_millis(500)).await? {
                return Ok(());
            }
            let now = crate::capture::read_position(&mut admin).await?;
            if seen.as_ref() != Some(&now) {
                (seen, since) = (Some(now.clone()), Instant::now());
            }
            let in_time = match plan.order.kind {
                MoveKind::Switchover => begun.elapsed() < self.patience,
                // Nobody is served anyway.
                MoveKind::Failover => since.elapsed() < STUCK,
            };
            if !in_time {
                anyhow::bail!("{} has applied up to {now} only, of {end}", plan.to);
            }
        }
    }

    async fn stop_replication(&self, plan: &Plan) -> Done {
        let mut admin = Admin::connect(&self.account(&plan.to)?, OPEN).await?;
        Ok(servers::stop_replication(&mut admin, &self.app.store.end()).await?)
    }

    async fn start_replication(&self, plan: &Plan) -> Done {
        let mut admin = self.admin(&plan.to).await?;
        match servers::start_replication(&mut admin).await {
            // It was made to forget whom it followed already.
            Err(error) if error.server_code() == Some(servers::FOLLOWS_NOBODY) => {
                let config = self.app.config.load_full();
                let endpoint = self.app.endpoint(plan.endpoint.as_ref())?;
                let password = config.replication.password.expose();
                Ok(servers::become_replica(&mut admin, &endpoint, password).await?)
            }
            started => Ok(started?),
        }
    }

    async fn rest(&self) -> Done {
        self.app.following.rest();
        // What it has read by then is in the store.
        let mut state = self.app.capture.state.clone();
        let left = state.wait_for(|state| matches!(state, State::Resting));
        tokio::time::timeout(OPEN, left).await??;
        Ok(())
    }

    /// The commit point, and what follows from it.
    async fn follow(&self, name: &ServerName, epoch: Epoch) -> Done {
        let server = self.server(name)?;
        let said = servers::look(&roster::account(&server), ASK).await?;
        *self.stored_at_commit.lock() = Some(self.app.store.executed().len());
        let source = FollowedSource {
            name: name.clone(),
            server_id: said.server_id,
            uuid: said.uuid,
            // Walked for the proof, a moment ago.
            anchor: self.app.servers.histories().point(name),
        };
        self.keep(move |state| {
            state.epoch = epoch;
            state.source = Some(source);
        })
        .await?;
        self.app.follow(Present { server, epoch });
        Ok(())
    }

    async fn open_new(&self) -> Answer {
        match self.opened(OPEN).await {
            Ok(()) => Answer::Done,
            Err(reason) => {
                let untouched =
                    *self.stored_at_commit.lock() == Some(self.app.store.executed().len());
                match untouched {
                    true => Answer::Failed(reason),
                    false => Answer::FailedForGood(reason),
                }
            }
        }
    }

    async fn opened(&self, within: Duration) -> Result<(), String> {
        let name = self.app.following.present().server.name.clone();
        let opened = tokio::time::timeout(within, self.app.guard.opened()).await;
        opened.map_err(|_| {
            let state = self.app.capture.state.borrow().clone();
            state
                .holds(&name)
                .unwrap_or_else(|| "its commits are looked at".into())
        })
    }

    async fn follow_on(&self) -> Done {
        let present = self.app.following.present();
        self.app.following.follow((*present).clone());
        // The guard closes when capture hears of it.
        let mut state = self.app.capture.state.clone();
        let _ = tokio::time::timeout(ASK, state.changed()).await;
        self.opened(GO_ON).await.map_err(anyhow::Error::msg)
    }

    async fn events(&self, plan: &Plan) -> Done {
        if !plan.events {
            return Ok(());
        }
        let mut admin = self.admin(&plan.from).await?;
        Ok(servers::set_events(&mut admin, true).await?)
    }

    async fn forget(&self, plan: &Plan) -> Done {
        let mut admin = self.admin(&plan.to).await?;
        Ok(servers::forget_source(&mut admin).await?)
    }

    async fn demote(&self, plan: &Plan) -> Done {
        let account = self.account(&plan.from)?;
        let said = servers::look(&account, ASK).await?;
        let beyond = said.beyond(&self.app.store.executed());
        if !beyond.is_empty() {
            anyhow::bail!(
                "{} has transactions that nobody acknowledged: {beyond}",
                plan.from
            );
        }
        if said.waiting > 0 {
            anyhow::bail!(
                "{} commits wait for an acknowledgement at {}",
                said.waiting,
                plan.from
            );
        }
        let config = self.app.config.load_full();
        let endpoint = self.app.endpoint(plan.endpoint.as_ref())?;
        let mut admin = Admin::connect(&account, OPEN).await?;
        servers::become_replica(&mut admin, &endpoint, config.replication.password.expose())
            .await?;
        Ok(())
    }
}

impl App {
    /// Everybody turns to this server, in its epoch. What is kept says so already.
    fn follow(&self, present: Present) {
        let _changing = self.changing.lock();
        self.acks.set_epoch(present.epoch);
        let name = present.server.name.clone();
        self.console.follow(roster::account(&present.server));
        self.following.follow(present);
        if let Some(config) = (**self.config.load()).clone().with_source(&name) {
            self.servers.configure(&config);
            self.config.store(Arc::new(config));
        }
    }

    /// How a replica reaches us: as another one did, or by what we listen on.
    fn endpoint(&self, known: Option<&(String, u16)>) -> anyhow::Result<Endpoint> {
        let config = self.config.load();
        let user = &config.replication.user;
        let tls = config.tls.is_for_replicas();
        let endpoint = match known {
            Some((host, port)) => Endpoint::new(host, *port, user),
            None => {
                let listen = config.listen.replication.first();
                let listen =
                    listen.ok_or_else(|| anyhow::anyhow!("[listen] replication is empty"))?;
                let (host, port) = crate::net::connect::split_address(listen, 3308);
                Endpoint::new(&host, port, user)
            }
        };
        if endpoint.host.is_none() {
            anyhow::bail!(
                "by which address replicas reach us is not known ([listen] replication names every address): run CHANGE MASTER TO there, ackline doctor prints it"
            );
        }
        Ok(endpoint.encrypted(tls))
    }
}
