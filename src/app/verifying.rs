//! Comparisons of rows: what one takes, for `ackline verify`, too; and those that the proxy makes itself, when asked or
//! each `[verify] every`, one at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::roster::server_config;
use super::{App, status};
use crate::admin::state::State;
use crate::admin::status::Status;
use crate::admin::verify::{Comparisons, Row};
use crate::config::Config;
use crate::ids::ServerName;
use crate::migrations;
use crate::net;
use crate::net::admin::Admin;
use crate::store::Store;
use crate::topology::{Role, ServerConfig};
use crate::verify::{self, Looks, News, Request, Run, Server, Serves, Wish};

/// For each question, and for each commit with its acknowledgements.
const ANSWERS: Duration = Duration::from_secs(60);
const REACHED_WITHIN: Duration = Duration::from_secs(5);
/// Whether it is time is looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// Somebody may have mended why one failed.
const AGAIN: Duration = Duration::from_secs(600);
/// By so much, clocks are set back now and then.
const CLOCKS: u64 = 3600;
/// Beside our binlog. Its loss costs a comparison.
const KEPT_IN: &str = "ackline.verified";

/// Why nothing is compared.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    #[error("the proxy is not attached to {0}: see ackline status")]
    NotAttached(ServerName),
    #[error("{0} is no replica of the configuration")]
    NoReplica(ServerName),
    #[error("there is no replica")]
    NoReplicas,
    #[error("{0} does not answer: {1}")]
    Unreached(ServerName, net::Error),
    #[error("{0}: {1}")]
    Schema(ServerName, migrations::Error),
    #[error("the schema ackline is not there yet: run ackline migrate")]
    NoSchema,
    #[error("{0}: {1}")]
    Run(ServerName, verify::Error),
    #[error("a comparison is under way (ackline status)")]
    Runs,
}

/// How a run looks at the proxy.
pub struct Present<'a> {
    pub config: &'a Config,
    pub status: &'a Status,
    pub attached: bool,
}

/// What somebody wants of a run.
pub struct Order {
    pub wish: Wish,
    pub looks: Looks,
    pub narrow: bool,
    pub mend: Option<Serves>,
}

/// A run that may begin.
pub async fn prepare(present: &Present<'_>, order: Order) -> Result<Run, NotBegun> {
    let Present {
        config,
        status,
        attached,
    } = present;
    let source = server_config(config.source());
    let name = &source.name;
    if !attached {
        return Err(NotBegun::NotAttached(name.clone()));
    }
    let Order { wish, .. } = order;
    let replicas = replicas(config, &wish.replicas, status)?;
    let unreached = |error| NotBegun::Unreached(name.clone(), error);
    let mut admin = Admin::connect(&source.account, REACHED_WITHIN)
        .await
        .map_err(unreached)?;
    let missing = migrations::missing(&mut admin).await;
    let missing = missing.map_err(|error| NotBegun::Schema(name.clone(), error))?;
    if !missing.is_empty() {
        return Err(NotBegun::NoSchema);
    }
    admin.close().await;
    // Its questions may take longer.
    let admin = Admin::connect(&source.account, ANSWERS)
        .await
        .map_err(unreached)?;
    let request = Request {
        dir: config.binlog.dir.clone(),
        source: source.account.clone(),
        replicas,
        tables: wish.tables,
        wait: wish.wait,
        looks: order.looks,
        narrow: order.narrow,
        mend: order.mend,
    };
    let run = Run::begin(admin, request).await;
    run.map_err(|error| NotBegun::Run(name.clone(), error))
}

/// All of them, and which are meant.
fn replicas(
    config: &Config,
    meant: &[ServerName],
    status: &Status,
) -> Result<Vec<Server>, NotBegun> {
    let servers: Vec<ServerConfig> = config.servers.iter().map(server_config).collect();
    let replicas = servers.iter().filter(|server| server.role == Role::Replica);
    for name in meant {
        if !replicas.clone().any(|replica| replica.name == *name) {
            return Err(NotBegun::NoReplica(name.clone()));
        }
    }
    let replicas: Vec<Server> = replicas
        .map(|replica| Server {
            name: replica.name.clone(),
            account: replica.account.clone(),
            wanted: meant.is_empty() || meant.contains(&replica.name),
            stray: stray(status, &replica.name),
        })
        .collect();
    match replicas.is_empty() {
        true => Err(NotBegun::NoReplicas),
        false => Ok(replicas),
    }
}

/// Whom we do not send our binlog to, that one follows nobody, or somebody else.
fn stray(status: &Status, name: &ServerName) -> Option<String> {
    let rows = &status.replicas;
    let row = rows.iter().find(|row| row.name == name.as_str());
    let state = row.map_or("unknown to it", |row| &row.state);
    let follows = ["streaming", "held"].contains(&state);
    (!follows).then(|| format!("it does not follow the proxy ({state})"))
}

/// One at a time.
pub struct Verifying(Mutex<Known>);

#[derive(Default)]
struct Known {
    running: Option<Running>,
    ended: Ended,
    /// Why one that is due does not begin.
    waits_for: Option<String>,
}

struct Running {
    begun: Instant,
    row: Row,
}

/// What outlives the proxy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Ended {
    last: Option<Row>,
    whole: Option<Row>,
    #[serde(default)]
    failed: Option<Row>,
}

impl Verifying {
    /// As it was kept.
    pub fn of(store: &Store) -> Self {
        let kept = store.beside(KEPT_IN);
        let ended = kept.and_then(|text| serde_json::from_slice(&text).ok());
        Self(Mutex::new(Known {
            ended: ended.unwrap_or_default(),
            ..Known::default()
        }))
    }

    pub fn shown(&self) -> Comparisons {
        let state = self.0.lock();
        let running = state.running.as_ref().map(|running| Row {
            seconds: running.begun.elapsed().as_secs(),
            ..running.row.clone()
        });
        Comparisons {
            running,
            last: state.ended.last.clone(),
            whole: state.ended.whole.clone(),
            failed: state.ended.failed.clone(),
            waits_for: state.waits_for.clone(),
        }
    }

    /// None while one is under way.
    fn begin(self: &Arc<Self>, wish: &Wish) -> Option<Begun> {
        let mut state = self.0.lock();
        if state.running.is_some() {
            return None;
        }
        state.waits_for = None;
        state.running = Some(Running {
            begun: Instant::now(),
            row: Row {
                everything: wish.replicas.is_empty() && wish.tables.is_empty(),
                ..Row::default()
            },
        });
        Some(Begun(self.clone()))
    }

    fn hears(&self, news: News) {
        let mut state = self.0.lock();
        let Some(Running { row, .. }) = state.running.as_mut() else {
            return;
        };
        match news {
            News::Begins { table, number, of } => {
                row.table = Some(table.to_string());
                (row.tables, row.expected_tables) = (number as u64, of as u64);
            }
            News::Found(finding) => row.add(&finding),
        }
    }
}

/// There is one while there is a [`Running`], which goes with it, however it ends.
struct Begun(Arc<Verifying>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.0.lock().running = None;
    }
}

impl Begun {
    fn ended(self, end: Result<(), String>) -> Option<(Row, Ended)> {
        let mut state = self.0.0.lock();
        let Running { begun, row } = state.running.as_ref()?;
        let mut row = Row {
            seconds: begun.elapsed().as_secs(),
            ended_seconds: Some(now()),
            table: None,
            ..row.clone()
        };
        match end {
            Ok(()) => row.state = State::Done,
            Err(reason) => (row.state, row.reason) = (State::Failed, Some(reason)),
        }
        if row.everything {
            let (whole, failed) = match row.state {
                State::Done => (Some(row.clone()), None),
                _ => (state.ended.whole.take(), Some(row.clone())),
            };
            (state.ended.whole, state.ended.failed) = (whole, failed);
        }
        state.ended.last = Some(row.clone());
        Some((row, state.ended.clone()))
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Returns as soon as it has begun.
pub async fn begin(app: &Arc<App>, wish: Wish) -> Result<(), NotBegun> {
    let begun = app.verifying.begin(&wish).ok_or(NotBegun::Runs)?;
    let run = of_proxy(app, wish).await?;
    go_on(app, run, begun);
    Ok(())
}

/// Nobody asked, so why it does not begin is kept as its end.
async fn begin_by_itself(app: &Arc<App>, wish: Wish) {
    let Some(begun) = app.verifying.begin(&wish) else {
        return;
    };
    match of_proxy(app, wish).await {
        Ok(run) => go_on(app, run, begun),
        Err(error) => ended(app, begun, Err(error.to_string())).await,
    }
}

fn go_on(app: &Arc<App>, mut run: Run, begun: Begun) {
    tracing::info!(run = run.name(), "the replicas' rows are compared");
    let app = app.clone();
    app.shutdown.clone().spawn(async move {
        let end = tokio::select! {
            end = run.compare(|news| app.verifying.hears(news)) => end,
            // What was cut off says nothing of the rows, and leaves some of ackline.checksums behind.
            () = app.shutdown.cancelled() => return,
        };
        ended(&app, begun, end.map_err(|error| error.to_string())).await;
    });
}

async fn of_proxy(app: &Arc<App>, wish: Wish) -> Result<Run, NotBegun> {
    let (config, status) = (app.config.load_full(), status::of(app));
    let present = Present {
        config: &config,
        status: &status,
        attached: status.source.state == "attached",
    };
    let (its, replicas, max_lag) = (app.clone(), wish.replicas.clone(), wish.max_lag);
    let looks: Looks = Box::new(move || {
        let look = status::of(&its).look(&replicas, max_lag);
        Box::pin(std::future::ready(look))
    });
    let order = Order {
        wish,
        looks,
        // Rows are for the command to show.
        narrow: false,
        mend: None,
    };
    prepare(&present, order).await
}

async fn ended(app: &Arc<App>, begun: Begun, end: Result<(), String>) {
    let Some((row, ended)) = begun.ended(end) else {
        return;
    };
    match row.problem() {
        Some(problem) => tracing::warn!("{problem}"),
        None => tracing::info!("{}", row.sentence().unwrap_or_default()),
    }
    let text = serde_json::to_vec_pretty(&ended).unwrap_or_default();
    let store = app.store.clone();
    // Two fsyncs.
    let kept = tokio::task::spawn_blocking(move || store.keep_beside(KEPT_IN, &text));
    if let Ok(Err(error)) = kept.await {
        tracing::warn!(%error, "what verify found could not be kept");
    }
}

/// `[verify] every`, until the future is dropped.
pub async fn watch(app: Arc<App>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let (every, max_lag) = {
            let config = app.config.load();
            (config.verify.every, config.verify.max_lag)
        };
        let due = every.is_some_and(|every| is_due(&app.verifying.shown(), every, now()));
        let mut waits_for = None;
        if due {
            let status = status::of(&app);
            waits_for = match status.source.state.as_str() {
                "attached" => status.look(&[], max_lag).busy,
                state => Some(format!("the source is {state}")),
            };
        }
        app.verifying.0.lock().waits_for.clone_from(&waits_for);
        if due && waits_for.is_none() {
            let wish = Wish {
                max_lag,
                ..Wish::default()
            };
            begin_by_itself(&app, wish).await;
        }
    }
}

fn is_due(comparisons: &Comparisons, every: Duration, now: u64) -> bool {
    let Comparisons {
        running,
        whole,
        failed,
        ..
    } = comparisons;
    if running.is_some() {
        return false;
    }
    let since = |row: &Option<Row>| {
        let ended = row.as_ref()?.ended_seconds?;
        match now.checked_sub(ended) {
            // A clock that was set back a little; by much, nobody knows how long it was.
            None if ended - now < CLOCKS => Some(Duration::ZERO),
            since => since.map(Duration::from_secs),
        }
    };
    let rests = since(failed).is_some_and(|since| since < every.min(AGAIN));
    !rests && since(whole).is_none_or(|since| since >= every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_again() {
        let every = Duration::from_secs(86_400);
        let row = |state, ended| {
            Some(Row {
                state,
                everything: true,
                ended_seconds: Some(ended),
                ..Row::default()
            })
        };
        let due = |failed: Option<Row>, whole: Option<Row>, now| {
            let comparisons = Comparisons {
                failed,
                whole,
                ..Comparisons::default()
            };
            is_due(&comparisons, every, now)
        };
        let (done, failed) = (|at| row(State::Done, at), |at| row(State::Failed, at));
        assert!(due(None, None, 0));
        assert!(!due(None, done(1000), 87_399));
        assert!(due(None, done(1000), 87_400));
        assert!(!due(failed(87_000), done(1000), 87_400));
        assert!(due(failed(87_000), done(1000), 87_600));
        assert!(due(failed(1000), None, 1600));
        assert!(!due(None, done(2000), 1990));
        assert!(due(None, done(200_000), 1000));
        let running = Comparisons {
            running: Some(Row::default()),
            ..Comparisons::default()
        };
        assert!(!is_due(&running, every, 0));
    }
}
