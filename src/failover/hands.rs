//! Carries out the steps of a course: what is said to servers, and what is asked of the proxy.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::commands::{self, Hook};
use super::course::{Answer, Step};
use super::events;
use super::facts::Facts;
use super::inquiry;
use super::mover::Hands;
use super::plan::Plan;
use super::proxy::Proxy;
use super::quiet;
use super::servers::{self, Error};
use crate::capture::read_position;
use crate::gtid::Position;
use crate::ids::{Epoch, ServerName};
use crate::net::admin::{Account, Admin};
use crate::store::state::{FollowedSource, MoveKind};
use crate::topology::applied;

/// For a server's answer while nobody may write.
const ASK: Duration = Duration::from_secs(2);
/// For an attach, to the new source or back to the old one.
pub const OPEN: Duration = Duration::from_secs(15);
/// The old one goes on; where it is dead, nobody has to wait for that.
const GO_ON: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(5);
/// How long the new source may apply without getting on.
const STUCK: Duration = Duration::from_secs(30);

type Done = Result<(), Error>;

/// Of one move.
pub struct MovingHands<P> {
    proxy: P,
    /// How long running transactions may go on, and what a switchover may take to catch up.
    patience: Duration,
    /// How much our binlog held at the commit point: an old source that lacks nothing can be gone back to.
    stored_at_commit: Mutex<Option<u64>>,
}

impl<P: Proxy> Hands for MovingHands<P> {
    async fn facts(&self, plan: &Plan) -> Facts {
        let hopeless = (plan.order.kind == MoveKind::Failover).then_some(&plan.from);
        inquiry::facts(&self.proxy, hopeless).await
    }

    /// **A step is carried out** here; the proofs are [`mover`](super::mover)'s.
    async fn perform(&self, step: Step, plan: &Plan) -> Answer {
        let done = match step {
            Step::Intend => self.intend(plan).await,
            Step::Hold => self.hold(plan).await,
            Step::LetGo => {
                self.proxy.let_go();
                Ok(())
            }
            Step::Fence => self.command(plan, Hook::Fence).await,
            Step::ReadOnly => self.read_only(plan).await,
            Step::Settle => self.settle(plan).await,
            Step::CatchUp => self.catch_up(plan).await,
            Step::StopReplication => self.stop_replication(plan).await,
            Step::Rest => self.rest().await,
            // Decided, not done: the mover's.
            Step::Prove | Step::ProveBack => Ok(()),
            Step::Follow => {
                let fences = plan.order.kind == MoveKind::Failover;
                self.follow(&plan.to, plan.epoch, fences).await
            }
            Step::Open => return self.open_new().await,
            Step::Forget => self.forget(plan).await,
            Step::Demote => self.demote(plan).await,
            Step::EnableEvents => self.enable_events(plan).await,
            Step::After => self.command(plan, Hook::After).await,
            Step::Finish => self.proxy.intend(None).await.map_err(Error::Other),
            Step::FollowBack => {
                self.follow(&plan.from, Epoch(plan.epoch.0 + 1), false)
                    .await
            }
            Step::StartReplication => self.start_replication(plan).await,
            Step::FollowOn => self.follow_on().await,
            Step::Events => self.events(plan).await,
        };
        match done {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(with_causes(&error)),
        }
    }
}

/// Before a source that was just moved to opens: its replication threads may have started with the server, and
/// one with such is not attached to. One that cannot be reached is met again.
pub async fn free(proxy: &impl Proxy, source: &ServerName) {
    if let Ok(account) = account(proxy, source)
        && let Ok(mut admin) = Admin::connect(&account, ASK).await
        && let Err(error) = servers::forget_source(&mut admin).await
    {
        // Met again in two seconds; `status` says what the source waits for.
        tracing::debug!(server = %source, %error, "it could not be told to follow nobody");
    }
}

fn account(proxy: &impl Proxy, name: &ServerName) -> Result<Account, Error> {
    let settings = proxy.settings();
    settings.account(name).cloned().map_err(Error::Other)
}

impl<P: Proxy> MovingHands<P> {
    pub fn new(proxy: P, patience: Duration) -> Self {
        Self {
            proxy,
            patience,
            stored_at_commit: Mutex::new(None),
        }
    }

    fn account(&self, name: &ServerName) -> Result<Account, Error> {
        account(&self.proxy, name)
    }

    async fn admin(&self, name: &ServerName) -> Result<Admin, Error> {
        Ok(Admin::connect(&self.account(name)?, ASK).await?)
    }

    async fn intend(&self, plan: &Plan) -> Done {
        let kept = self.proxy.intend(Some(plan.intent())).await;
        kept.map_err(Error::Other)
    }

    async fn command(&self, plan: &Plan, hook: Hook) -> Done {
        let ended = commands::run(hook, &self.proxy.settings(), plan).await;
        ended.map_err(Error::Other)
    }

    async fn hold(&self, plan: &Plan) -> Done {
        self.proxy.hold();
        match plan.order.kind {
            // What runs at a dead source does not come to its end.
            MoveKind::Failover => Ok(()),
            MoveKind::Switchover => {
                let mut admin = self.admin(&plan.from).await?;
                let force = plan.order.force;
                quiet::settled(&self.proxy, &mut admin, self.patience, force).await
            }
        }
    }

    async fn read_only(&self, plan: &Plan) -> Done {
        let mut admin = Admin::connect(&self.account(&plan.from)?, self.patience.max(ASK)).await?;
        servers::set_events(&mut admin, false).await?;
        let deadline = Instant::now() + self.patience;
        servers::make_read_only(&mut admin, self.patience).await?;
        quiet::queue_is_empty(&mut admin, deadline).await
    }

    /// Whoever may write in spite of `read_only` does not come to an end here.
    async fn settle(&self, plan: &Plan) -> Done {
        let mut admin = self.admin(&plan.from).await?;
        let deadline = Instant::now() + self.patience;
        loop {
            let position = read_position(&mut admin).await?;
            let released = self.proxy.until_released(&position);
            if tokio::time::timeout_at(deadline, released).await.is_err() {
                return failed(format!(
                    "not everything up to {position} is released within {:?}",
                    self.patience
                ));
            }
            if servers::waiting(&mut admin).await? == 0
                && read_position(&mut admin).await? == position
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return failed("somebody goes on writing in spite of read_only");
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
            let end = self.proxy.end();
            if applied::comes_to(&mut admin, &end, Duration::from_millis(500)).await? {
                return Ok(());
            }
            let now = read_position(&mut admin).await?;
            if seen.as_ref() != Some(&now) {
                (seen, since) = (Some(now.clone()), Instant::now());
            }
            let in_time = match plan.order.kind {
                MoveKind::Switchover => begun.elapsed() < self.patience,
                // Nobody is served anyway.
                MoveKind::Failover => since.elapsed() < STUCK,
            };
            if !in_time {
                return failed(format!(
                    "{} has applied up to {now} only, of {end}",
                    plan.to
                ));
            }
        }
    }

    async fn stop_replication(&self, plan: &Plan) -> Done {
        let mut admin = Admin::connect(&self.account(&plan.to)?, OPEN).await?;
        servers::stop_replication(&mut admin, &self.proxy.end()).await
    }

    async fn start_replication(&self, plan: &Plan) -> Done {
        let mut admin = self.admin(&plan.to).await?;
        match servers::start_replication(&mut admin).await {
            // It was made to forget whom it followed already.
            Err(error) if error.server_code() == Some(servers::FOLLOWS_NOBODY) => {
                self.become_replica(&mut admin, plan).await
            }
            started => Ok(started?),
        }
    }

    /// Of this proxy.
    async fn become_replica(&self, admin: &mut Admin, plan: &Plan) -> Done {
        let replication = self.proxy.settings().replication;
        let endpoint = replication.endpoint(plan.endpoint.as_ref());
        let endpoint = endpoint.map_err(Error::Other)?;
        servers::become_replica(admin, &endpoint, &replication.password).await
    }

    async fn rest(&self) -> Done {
        match tokio::time::timeout(OPEN, self.proxy.rest()).await {
            Ok(left) => left.map_err(Error::Other),
            Err(elapsed) => failed(elapsed.to_string()),
        }
    }

    /// The commit point, and what follows from it.
    async fn follow(&self, name: &ServerName, epoch: Epoch, fences: bool) -> Done {
        let said = servers::look(&self.account(name)?, ASK).await?;
        *self.stored_at_commit.lock() = Some(self.proxy.stored().len());
        let source = FollowedSource {
            name: name.clone(),
            server_id: said.server_id,
            uuid: said.uuid,
            // Walked for the proof, a moment ago.
            anchor: self.proxy.point(name),
        };
        let followed = self.proxy.follow(source, epoch, fences).await;
        followed.map_err(Error::Other)
    }

    async fn open_new(&self) -> Answer {
        match self.opened(OPEN).await {
            Ok(()) => Answer::Done,
            Err(reason) => {
                let untouched = *self.stored_at_commit.lock() == Some(self.proxy.stored().len());
                match untouched {
                    true => Answer::Failed(reason),
                    false => Answer::FailedForGood(reason),
                }
            }
        }
    }

    async fn opened(&self, within: Duration) -> Result<(), String> {
        let (source, _) = self.proxy.followed();
        let opened = tokio::time::timeout(within, self.proxy.opened()).await;
        opened.map_err(|_| self.proxy.holds(&source))
    }

    async fn follow_on(&self) -> Done {
        // The guard closes when capture hears of it.
        let _ = tokio::time::timeout(ASK, self.proxy.follow_on()).await;
        self.opened(GO_ON).await.map_err(Error::Other)
    }

    async fn enable_events(&self, plan: &Plan) -> Done {
        let mut admin = Admin::connect(&self.account(&plan.to)?, OPEN).await?;
        events::hand_over(&mut admin, plan).await
    }

    /// In a failover nothing was turned off.
    async fn events(&self, plan: &Plan) -> Done {
        if !plan.events || plan.order.kind == MoveKind::Failover {
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
        let beyond = said.beyond(&self.proxy.stored());
        if !beyond.is_empty() {
            return failed(format!(
                "{} has transactions that nobody acknowledged: {beyond}",
                plan.from
            ));
        }
        if said.waiting > 0 {
            return failed(format!(
                "{} commits wait for an acknowledgement at {}",
                said.waiting, plan.from
            ));
        }
        let mut admin = Admin::connect(&account, OPEN).await?;
        self.become_replica(&mut admin, plan).await
    }
}

fn failed(reason: impl Into<String>) -> Done {
    Err(Error::Other(reason.into()))
}

/// In one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
