//! Servers that are made replicas of: one copy of each at a time, to its end though whoever ordered it leaves.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::App;
use super::proxy::AppProxy;
use crate::admin::provision::Row;
use crate::admin::state::State;
use crate::config::Provision;
use crate::failover::provision::{self, Data, Failed, Plan, Provisioned, Refused, STREAMS, Wish};
use crate::failover::proxy::Proxy as _;
use crate::ids::{ServerName, StorePosition};
use crate::provision::{Method, Progress};
use crate::shutdown::Shutdown;
use crate::store::Need;
use crate::topology::Role;
use crate::workers::Worker;

/// Whether somebody has need of a copy is looked at so often.
const LOOK: Duration = Duration::from_secs(2);
/// Somebody may have mended why it was refused.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Nor is a copy that failed begun again at once.
const FAILED_FOR: Duration = Duration::from_secs(300);

/// Why a copy did not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{0} is being provisioned already, or is the donor of another one (ackline status)")]
    Busy(ServerName),
    #[error("{0} is being provisioned itself (ackline status): name another donor (--from)")]
    Unfinished(ServerName),
}

/// Each server's last one, since the proxy was started.
///
/// They have a thread of their own: turning a row of many megabytes into text takes as long as many commits.
pub struct Provisioning {
    runs: Mutex<BTreeMap<ServerName, Run>>,
    worker: Worker,
}

struct Run {
    donor: ServerName,
    progress: Arc<Progress>,
    /// Our files from there on are needed when it is there.
    from: StorePosition,
    end: Option<Result<Provisioned, String>>,
}

impl Provisioning {
    pub fn start(shutdown: &Shutdown) -> io::Result<Self> {
        Ok(Self {
            runs: Mutex::default(),
            worker: Worker::start("provisioning", shutdown)?,
        })
    }

    /// Who needs which of our files.
    pub fn needs(&self) -> Vec<Need> {
        let runs = self.runs.lock();
        let running = runs.iter().filter(|(_, run)| run.end.is_none());
        running
            .map(|(name, run)| Need {
                who: format!("the provisioning of {name}"),
                from: run.from,
            })
            .collect()
    }

    /// Whether a copy is made there now.
    pub fn runs_at(&self, name: &ServerName) -> bool {
        self.runs
            .lock()
            .get(name)
            .is_some_and(|run| run.end.is_none())
    }

    pub fn rows(&self) -> Vec<Row> {
        let runs = self.runs.lock();
        runs.iter()
            .map(|(name, run)| Row {
                server: name.to_string(),
                from: run.donor.to_string(),
                state: match &run.end {
                    None => State::Running,
                    Some(Ok(_)) => State::Done,
                    Some(Err(_)) => State::Failed,
                },
                progress: run.progress.shown(),
                provisioned: run.end.as_ref().and_then(|end| end.clone().ok()),
                reason: run.end.as_ref().and_then(|end| end.clone().err()),
            })
            .collect()
    }

    fn begin(&self, name: &ServerName, run: Run) -> Result<(), NotBegun> {
        let mut runs = self.runs.lock();
        for (target, running) in runs.iter().filter(|(_, run)| run.end.is_none()) {
            if target == name || running.donor == *name {
                return Err(NotBegun::Busy(name.clone()));
            }
            if *target == run.donor {
                return Err(NotBegun::Unfinished(run.donor));
            }
        }
        runs.insert(name.clone(), run);
        Ok(())
    }

    fn ended(&self, name: &ServerName, end: Result<Provisioned, String>) {
        match &end {
            Ok(done) => tracing::warn!("{}", done.sentence()),
            Err(reason) => tracing::error!(server = %name, %reason, "provisioning failed"),
        }
        if let Some(run) = self.runs.lock().get_mut(name) {
            run.end = Some(end);
        }
    }
}

/// When a server was last tried to be provisioned by itself, and why that was refused.
struct Tried {
    at: Instant,
    refused: Option<String>,
}

impl Tried {
    fn may_be_again(&self) -> bool {
        let pause = match self.refused {
            Some(_) => REFUSED_FOR,
            None => FAILED_FOR,
        };
        self.at.elapsed() >= pause
    }
}

/// `[binlog] provision = "auto"`, until the future is dropped.
pub async fn watch(app: Arc<App>) {
    let mut tried: BTreeMap<ServerName, Tried> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        if app.config.load().binlog.provision != Provision::Auto {
            continue;
        }
        let in_need = in_need(&app);
        tried.retain(|server, _| in_need.contains(server));
        for server in in_need {
            let before = tried.get(&server);
            if before.is_some_and(|tried| !tried.may_be_again()) {
                continue;
            }
            let wish = Wish {
                server: server.clone(),
                method: Method::Copy,
                from: None,
                data: Data::ReplaceOurs,
                streams: STREAMS,
                rate: None,
                accounts: true,
                holds: false,
            };
            let begun = begin(&app, &wish).await;
            let refused = begun.err().map(|error| error.to_string());
            if let Some(reason) = &refused
                && before.and_then(|tried| tried.refused.as_ref()) != Some(reason)
            {
                tracing::warn!(%server, %reason, "it is not provisioned by itself");
            }
            let at = Instant::now();
            tried.insert(server, Tried { at, refused });
        }
    }
}

/// Replicas that answer and cannot follow us as they are: they hold nothing, a part of a copy, or need files that are
/// gone. One that was the source until a failover is `rejoin`'s.
fn in_need(app: &Arc<App>) -> Vec<ServerName> {
    let proxy = AppProxy(app.clone());
    let (readers, fenced) = (proxy.readers(), app.store.durable().fenced);
    let source = app.following.present().server.name.clone();
    let members = app.servers.list().into_iter();
    let others = members.filter(|member| {
        let name = &member.config.name;
        member.config.role == Role::Replica
            && *name != source
            && !readers.contains(name)
            && !fenced.contains_key(name)
    });
    let in_need = others.filter(|member| {
        let health = member.now();
        health
            .report()
            .filter(|_| health.is_up())
            .is_some_and(|report| {
                // One that follows somebody was complete.
                let follows = report.main_replication().is_some();
                (!follows && (report.applied.is_empty() || report.unfinished_copy))
                    || !app.store.purged_beyond(&report.applied).is_empty()
            })
    });
    in_need.map(|member| member.config.name.clone()).collect()
}

pub async fn plan(app: &Arc<App>, wish: &Wish) -> Result<Plan, NotBegun> {
    Ok(provision::plan(&AppProxy(app.clone()), wish).await?)
}

/// Returns as soon as it has begun.
pub async fn begin(app: &Arc<App>, wish: &Wish) -> Result<Plan, NotBegun> {
    let name = &wish.server;
    // Before the read point is taken.
    let from = app.acks.snapshot().written;
    let plan = plan(app, wish).await?;
    let progress = Arc::new(Progress::default());
    let run = Run {
        donor: plan.donor().clone(),
        progress: progress.clone(),
        from: has(app, plan.donor()).unwrap_or(from),
        end: None,
    };
    app.provisioning.begin(name, run)?;
    tracing::warn!(server = %name, from = %plan.donor(), "provisioning begins");
    let (worker, shutdown) = (app.provisioning.worker.clone(), app.shutdown.clone());
    let (app, name, its_plan) = (app.clone(), name.clone(), plan.clone());
    worker.spawn(&shutdown, async move {
        let end = tokio::select! {
            end = carry_out(&app, &its_plan, &progress) => end,
            () = app.shutdown.cancelled() => Err("the proxy was stopped".to_owned()),
        };
        app.provisioning.ended(&name, end);
    });
    Ok(plan)
}

/// Up to where a replica has applied everything. None of the source.
fn has(app: &App, donor: &ServerName) -> Option<StorePosition> {
    let voters = app.servers.voters_applied(&app.config.load());
    let donor = voters.into_iter().find(|(name, _)| name == donor);
    donor.map(|(_, applied)| applied.up_to)
}

async fn carry_out(
    app: &Arc<App>,
    plan: &Plan,
    progress: &Arc<Progress>,
) -> Result<Provisioned, String> {
    let proxy = AppProxy(app.clone());
    let sentence = |error: Failed| error.to_string();
    let written_down = provision::write_down(&proxy, plan, progress).await;
    let (file, beyond) = written_down.map_err(sentence)?.unzip();
    let taken = {
        let _one = app.moving.ended().await;
        provision::take(&proxy, plan, beyond.as_ref(), progress).await
    };
    let copied = provision::copy(&proxy, plan, taken.map_err(sentence)?, progress).await;
    progress.enters("leads the server to us");
    let mut done = copied.map_err(sentence)?;
    done.exported = file;
    let _one = app.moving.ended().await;
    let led = provision::lead(&proxy, plan).await;
    led.map(|()| done).map_err(sentence)
}
