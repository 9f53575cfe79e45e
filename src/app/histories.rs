//! What the servers' own binlogs tell of them: each replica's is walked when its dump begins, and now and
//! then, so that its word is known to be worth something and a move need not walk far.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::ack::Acks;
use crate::capture::history::{History, Kept};
use crate::capture::walk::{self, Walked, holes};
use crate::failover::facts;
use crate::gtid::Gtid;
use crate::ids::ServerName;
use crate::net::admin::Account;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::store::state::Point;
use crate::workers::Worker;

/// Between two walks of a server at which nothing happens.
const EVERY: Duration = Duration::from_secs(10);
/// After one that failed.
const RETRY: Duration = Duration::from_millis(500);
/// GTID, BEGIN, COMMIT: MySQL's transaction with nothing in it.
const EVENTS_OF_NOTHING: usize = 3;
/// Beside our binlog. Its loss costs a walk.
const KEPT_IN: &str = "ackline.histories";
const KEPT_EVERY: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Entry {
    address: String,
    history: Kept,
}

fn parsed(text: &[u8]) -> BTreeMap<ServerName, Known> {
    let kept: BTreeMap<String, Entry> = serde_json::from_slice(text).unwrap_or_default();
    let known = kept.into_iter().filter_map(|(name, entry)| {
        let known = Known {
            address: entry.address,
            history: Some(History::try_from(entry.history).ok()?),
            ..Known::default()
        };
        Some((ServerName::new(&name), known))
    });
    known.collect()
}

/// Clones are the same.
#[derive(Clone)]
pub struct Histories {
    acks: Acks,
    store: Store,
    /// Much may have to be read.
    worker: Worker,
    shutdown: Shutdown,
    known: Arc<Mutex<BTreeMap<ServerName, Known>>>,
    /// When they were kept the last time.
    kept: Arc<Mutex<Option<Instant>>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// Where it was walked.
    address: String,
    history: Option<History>,
    /// Why its word counts for nothing.
    problem: Option<String>,
    /// Why it could not be walked the last time.
    trouble: Option<String>,
}

/// Why a server's word counts for nothing.
enum Unproven {
    /// It could not be walked, and will be in a moment.
    Unknown,
    /// It lacks what it claims.
    Lacks,
}

impl Histories {
    pub fn new(acks: Acks, store: Store, worker: Worker, shutdown: Shutdown) -> Self {
        let known = store.beside(KEPT_IN).map(|text| parsed(&text));
        Self {
            acks,
            store,
            worker,
            shutdown,
            known: Arc::new(Mutex::new(known.unwrap_or_default())),
            kept: Arc::default(),
        }
    }

    /// So that a restart of the proxy does not walk everything again.
    fn keep(&self) {
        let kept: BTreeMap<String, Entry> = {
            let mut last = self.kept.lock();
            if last.is_some_and(|last| last.elapsed() < KEPT_EVERY) {
                return;
            }
            *last = Some(Instant::now());
            let known = self.known.lock();
            let entries = known.iter().filter_map(|(name, known)| {
                let entry = Entry {
                    address: known.address.clone(),
                    history: Kept::from(known.history.as_ref()?),
                };
                Some((name.to_string(), entry))
            });
            entries.collect()
        };
        let store = self.store.clone();
        // Two fsyncs.
        tokio::task::spawn_blocking(move || {
            let text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
            if let Err(error) = store.keep_beside(KEPT_IN, &text) {
                tracing::warn!(%error, "what the servers' binlogs told could not be kept");
            }
        });
    }

    /// Walks this replica until the future is dropped.
    pub async fn follow(self, name: ServerName, account: Account) {
        let mut dumps = self.acks.dumps();
        loop {
            dumps.borrow_and_update();
            let voice = self.acks.unverified(&name);
            let walked = self.walk(&name, &account).await;
            let pause = match (&walked, voice) {
                // It waits for nothing but that.
                (Err(Unproven::Unknown), Some(_)) => RETRY,
                _ => EVERY,
            };
            if walked.is_ok()
                && let Some(voice) = voice
            {
                self.acks.verified(&name, voice);
            }
            tokio::select! {
                // Cancel-safe: a watch and a timer.
                _ = dumps.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The last transaction in its binlog when it was last walked.
    pub fn point(&self, name: &ServerName) -> Option<Point> {
        let known = self.known.lock();
        known.get(name)?.history.as_ref()?.point().cloned()
    }

    /// Why its word counts for nothing, if that is known.
    pub fn problem(&self, name: &ServerName) -> Option<String> {
        self.known.lock().get(name)?.problem.clone()
    }

    /// Why it could not be walked, if it could not.
    pub fn trouble(&self, name: &ServerName) -> Option<String> {
        self.known.lock().get(name)?.trouble.clone()
    }

    /// What the server has now, from where the last walk ended.
    pub async fn prove(
        &self,
        name: &ServerName,
        account: &Account,
    ) -> Result<facts::Walked, String> {
        let walked = self.walked(name, account).await?;
        let ours = self.store.executed();
        Ok(facts::Walked {
            has: walked.history.has(&ours, |gtid| self.is_empty(gtid)),
            beyond: walked.history.beyond(&ours),
        })
    }

    /// Whether it has all that it claims.
    async fn walk(&self, name: &ServerName, account: &Account) -> Result<(), Unproven> {
        let walked = self.walked(name, account).await;
        let walked = walked.map_err(|_| Unproven::Unknown)?;
        let ours = self.store.executed();
        let has = walked.history.has(&ours, |gtid| self.is_empty(gtid));
        let holes = holes(&walked, &ours, &has);
        let problem = (!holes.is_empty()).then(|| {
            format!(
                "it claims to have executed {holes} of our binlog, and its own binlog has nothing of it: it was moved over them by hand, or skipped them"
            )
        });
        let mut known = self.known.lock();
        let known = known.entry(name.clone()).or_default();
        if known.problem != problem {
            match &problem {
                Some(problem) => tracing::error!(server = %name, "{problem}; it has no vote"),
                None => tracing::info!(server = %name, "its binlog has all that it claims"),
            }
            known.problem = problem.clone();
        }
        match problem {
            Some(_) => Err(Unproven::Lacks),
            None => Ok(()),
        }
    }

    async fn walked(&self, name: &ServerName, account: &Account) -> Result<Walked, String> {
        let known = self.known.lock().get(name).cloned().unwrap_or_default();
        let history = known.history.filter(|_| known.address == account.address);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let task = {
            let account = account.clone();
            async move {
                let _ = sender.send(walk::walk(&account, history).await);
            }
        };
        self.worker.spawn(&self.shutdown, task);
        let walked = receiver.await.map_err(|error| error.to_string())?;
        let done = {
            let mut known = self.known.lock();
            let known = known.entry(name.clone()).or_default();
            match walked {
                Ok(walked) => {
                    known.address.clone_from(&account.address);
                    known.history = Some(walked.history.clone());
                    known.trouble = None;
                    Ok(walked)
                }
                Err(error) => {
                    let trouble = format!("its binlog cannot be walked: {error}");
                    tracing::debug!(server = %name, "{trouble}");
                    known.trouble = Some(trouble.clone());
                    Err(trouble)
                }
            }
        };
        self.keep();
        done
    }

    fn is_empty(&self, gtid: &Gtid) -> bool {
        self.store.events_of(gtid) == Some(EVENTS_OF_NOTHING)
    }
}
