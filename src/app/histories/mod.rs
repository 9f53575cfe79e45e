//! What the servers' own binlogs tell of them: each replica's is walked when its dump begins, and now and
//! then, so that its word is known to be worth something and a move need not walk far.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::ack::{Acks, Speech};
use crate::capture::history::{History, Kept};
use crate::capture::statement;
use crate::capture::walk::{self, Before, Walked, holes};
use crate::failover::facts;
use crate::gtid::{Gtid, GtidSet, Origin};
use crate::ids::ServerName;
use crate::net::admin::Account;
use crate::session::BoxFuture;
use crate::shutdown::Shutdown;
use crate::store::state::Point;
use crate::store::{self, Store};
use crate::topology::voter::{Reason, Repair};
use crate::workers::Worker;

/// Between two walks of a server at which nothing happens.
const EVERY: Duration = Duration::from_secs(10);
/// After one that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Of one that lacks something, or has too much: that may change.
const AGAIN: Duration = Duration::from_secs(2);
/// GTID, BEGIN, COMMIT: MySQL's transaction with nothing in it.
const EVENTS_OF_NOTHING: usize = 3;
/// So many holes are named with what they are.
const NAMED: usize = 3;
/// Beside our binlog. Its loss costs a walk, and what was accepted.
const KEPT_IN: &str = "ackline.histories";
const KEPT_WITHIN: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Entry {
    address: String,
    history: Kept,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    unproven: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    accepted: String,
}

fn parsed(text: &[u8]) -> BTreeMap<ServerName, Known> {
    let kept: BTreeMap<String, Entry> = serde_json::from_slice(text).unwrap_or_default();
    let known = kept.into_iter().filter_map(|(name, entry)| {
        let known = Known {
            address: entry.address,
            history: Some(History::try_from(entry.history).ok()?),
            unproven: entry.unproven.parse().ok()?,
            accepted: entry.accepted.parse().ok()?,
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
    /// The source is asked to log in STATEMENT format.
    by_statement: bool,
    /// Much may have to be read.
    worker: Worker,
    shutdown: Shutdown,
    known: Arc<Mutex<BTreeMap<ServerName, Known>>>,
    /// Somebody is about to keep them.
    to_be_kept: Arc<AtomicBool>,
    /// One writes at a time.
    keeping: Arc<Mutex<()>>,
    /// Changed when something was accepted.
    accepting: watch::Sender<()>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// Where it was walked.
    address: String,
    history: Option<History>,
    /// What it has by its base's word alone, since its binlog was gone before it was walked.
    unproven: GtidSet,
    /// What it may lack: somebody has answered for that.
    accepted: GtidSet,
    found: Found,
    /// Why its word counts for nothing.
    reasons: Vec<Reason>,
    /// Why it could not be walked the last time.
    trouble: Option<String>,
}

/// What speaks against a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    /// What it claims and has not.
    holes: GtidSet,
    /// What it has and we have not.
    own: GtidSet,
}

/// Why nothing was accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the binlog of {0} was not walked yet, or it is no replica of the configuration")]
    Unknown(ServerName),
    #[error("nothing is accepted: {name} has no hole at '{others}'; its holes: '{holes}'")]
    NoHoles {
        name: ServerName,
        others: String,
        holes: String,
    },
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What is shown of a server's history. GTID sets, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// What tells what lies before its binlog.
    pub base: Option<String>,
    pub unproven: Option<String>,
    pub accepted: Option<String>,
}

/// Why a server's word counts for nothing.
enum Unproven {
    /// It could not be walked, and will be in a moment.
    Unknown,
    /// It lacks what it claims, or has what we have not.
    Lacks,
}

impl Histories {
    pub fn new(
        acks: Acks,
        store: Store,
        by_statement: bool,
        worker: Worker,
        shutdown: Shutdown,
    ) -> Self {
        let known = store.beside(KEPT_IN).map(|text| parsed(&text));
        Self {
            acks,
            store,
            by_statement,
            worker,
            shutdown,
            known: Arc::new(Mutex::new(known.unwrap_or_default())),
            to_be_kept: Arc::default(),
            keeping: Arc::default(),
            accepting: watch::Sender::new(()),
        }
    }

    /// So that a restart of the proxy does not walk everything again.
    fn keep_soon(&self) {
        if self.to_be_kept.swap(true, Ordering::AcqRel) {
            return;
        }
        let histories = self.clone();
        self.shutdown.spawn(async move {
            histories.shutdown.sleep(KEPT_WITHIN).await;
            histories.to_be_kept.store(false, Ordering::Release);
            // Two fsyncs.
            let kept = tokio::task::spawn_blocking(move || histories.keep());
            if let Ok(Err(error)) = kept.await {
                tracing::warn!(%error, "what the servers' binlogs told could not be kept");
            }
        });
    }

    /// Durable when this returns. Whoever comes later knows more.
    fn keep(&self) -> Result<(), store::Error> {
        let _one = self.keeping.lock();
        let kept: BTreeMap<String, Entry> = {
            let known = self.known.lock();
            let entries = known.iter().filter_map(|(name, known)| {
                let entry = Entry {
                    address: known.address.clone(),
                    history: Kept::from(known.history.as_ref()?),
                    unproven: known.unproven.to_string(),
                    accepted: known.accepted.to_string(),
                };
                Some((name.to_string(), entry))
            });
            entries.collect()
        };
        let text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        self.store.keep_beside(KEPT_IN, &text)
    }

    /// From now on it may lack these, which must be holes that were found: whoever accepts them answers for
    /// what they did. Blocks on the disk.
    pub fn accept(&self, name: &ServerName, holes: &GtidSet) -> Result<GtidSet, Refused> {
        let accepted = {
            let mut known = self.known.lock();
            let found = known
                .get_mut(name)
                .ok_or_else(|| Refused::Unknown(name.clone()))?;
            let there = found.found.holes.union(&self.incidents(found));
            let others = holes.difference(&there.union(&found.accepted));
            if !others.is_empty() || holes.is_empty() {
                return Err(Refused::NoHoles {
                    name: name.clone(),
                    others: others.to_string(),
                    holes: there.to_string(),
                });
            }
            found.accepted.merge(holes);
            found.accepted.clone()
        };
        self.keep()?;
        tracing::warn!(server = %name, %holes, "accepted: it counts as if it had these");
        self.accepting.send_replace(());
        Ok(accepted)
    }

    /// Walks this replica until the future is dropped. `judged` asks it what it is, for its word counts only by what
    /// it is since its dump began: a server may have been restarted a moment ago.
    pub async fn follow(
        self,
        name: ServerName,
        account: Account,
        judged: impl Fn() -> BoxFuture<'static, bool>,
    ) {
        let (mut dumps, mut accepting) = (self.acks.dumps(), self.accepting.subscribe());
        loop {
            dumps.borrow_and_update();
            accepting.borrow_and_update();
            let voice = match self.acks.speech(&name) {
                Speech::Unverified(voice) => Some(voice),
                Speech::Silent | Speech::Counts => None,
            };
            let judged = voice.is_none() || judged().await;
            let walked = self.walk(&name, &account).await;
            let pause = match (&walked, voice) {
                // It waits for nothing but that.
                (Err(Unproven::Unknown), Some(_)) => RETRY,
                (Err(Unproven::Lacks), _) => AGAIN,
                _ if !judged => RETRY,
                _ => EVERY,
            };
            if walked.is_ok()
                && judged
                && let Some(voice) = voice
            {
                self.acks.verified(&name, voice);
                tracing::info!(server = %name, "its binlog was walked since its dump began");
            }
            tokio::select! {
                // Cancel-safe: watches and a timer.
                _ = dumps.changed() => {}
                _ = accepting.changed() => {}
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
    pub fn reasons(&self, name: &ServerName) -> Vec<Reason> {
        let known = self.known.lock();
        let Some(known) = known.get(name) else {
            return Vec::new();
        };
        let incidents = self.incidents(known);
        let incident = (!incidents.is_empty()).then(|| Reason {
            what: format!(
                "what the source could not log (INCIDENT at {incidents}) never came to it, whatever it executed behind that"
            ),
            repair: Repair::ByHand(format!(
                "run ackline provision {name} --replace; or, once you have brought the tables in question over, run ackline accept {name} --hole {incidents}"
            )),
        });
        known.reasons.iter().cloned().chain(incident).collect()
    }

    /// Of ours, those that it lacks, and that nobody answers for.
    fn incidents(&self, known: &Known) -> GtidSet {
        let incidents = self.store.durable().incidents;
        let Some(history) = known.history.as_ref().filter(|_| !incidents.is_empty()) else {
            return GtidSet::new();
        };
        let lost = history.lost(&incidents, &self.store.executed());
        // Its binlog may have expired since.
        let proven = incidents.difference(&known.unproven);
        let unproven = incidents.difference(&proven);
        lost.union(&unproven).difference(&known.accepted)
    }

    /// Why it could not be walked, if it could not.
    pub fn trouble(&self, name: &ServerName) -> Option<String> {
        self.known.lock().get(name)?.trouble.clone()
    }

    pub fn shown(&self, name: &ServerName) -> Shown {
        let known = self.known.lock();
        let Some(known) = known.get(name) else {
            return Shown::default();
        };
        let set = |set: &GtidSet| (!set.is_empty()).then(|| set.to_string());
        Shown {
            base: known.history.as_ref().map(History::base),
            unproven: set(&known.unproven),
            accepted: set(&known.accepted),
        }
    }

    /// What the server has now, from where the last walk ended.
    pub async fn prove(
        &self,
        name: &ServerName,
        account: &Account,
    ) -> Result<facts::Walked, String> {
        let walked = self.walked(name, account).await?;
        let ours = self.store.executed();
        let beyond = walked.beyond(&ours);
        let has = self.has(name, &walked.history, &ours);
        let last = self.store.before_last().map(|last| last.gtid);
        let known = self.known.lock();
        Ok(facts::Walked {
            has,
            beyond,
            base: walked.history.base(),
            end: last.filter(|last| !walked.history.has_seen(last, |gtid| self.is_empty(gtid))),
            unproven: known
                .get(name)
                .map(|known| known.unproven.clone())
                .unwrap_or_default(),
        })
    }

    /// All that it has of ours, or that somebody answers for.
    fn has(&self, name: &ServerName, history: &History, ours: &GtidSet) -> GtidSet {
        let has = history.has(ours, |gtid| self.is_empty(gtid));
        match self.known.lock().get(name) {
            Some(known) => has
                .difference(&self.incidents(known))
                .union(&known.accepted),
            None => has,
        }
    }

    /// Whether it has all that it claims.
    async fn walk(&self, name: &ServerName, account: &Account) -> Result<(), Unproven> {
        let walked = self.walked(name, account).await;
        let walked = walked.map_err(|_| Unproven::Unknown)?;
        let ours = self.store.executed();
        let has = self.has(name, &walked.history, &ours);
        let incidents = self.store.durable().incidents;
        let found = Found {
            // Those of incidents are known without a walk.
            holes: holes(&walked, &ours, &has).difference(&incidents),
            // Before our binlog has begun everybody is ahead of it.
            own: match self.store.durable().source.is_some() {
                true => in_domains_of(&walked.beyond(&ours), &ours),
                false => GtidSet::new(),
            },
        };
        let is_new = (self.known.lock().get(name)).is_none_or(|known| known.found != found);
        if is_new {
            // It reads our files.
            let reasons = self.told(name, &found).await;
            if reasons.is_empty() {
                tracing::info!(server = %name, "its binlog has all that it claims");
            }
            // Who follows the source itself may be ahead of us.
            let follows_us = !matches!(self.acks.speech(name), Speech::Silent);
            for reason in &reasons {
                match follows_us {
                    true => tracing::error!(server = %name, "{}; it has no vote", reason.what),
                    false => tracing::info!(server = %name, "{}", reason.what),
                }
            }
            let mut known = self.known.lock();
            let known = known.entry(name.clone()).or_default();
            known.found = found;
            known.reasons = reasons;
        }
        match self.reasons(name).is_empty() {
            true => Ok(()),
            false => Err(Unproven::Lacks),
        }
    }

    async fn told(&self, name: &ServerName, found: &Found) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let Found { holes, own } = found;
        if !holes.is_empty() {
            let statements = self.statements(holes).await;
            reasons.push(Reason {
                what: format!(
                    "it claims to have executed {holes} of our binlog{statements}, and its own binlog has nothing of it: it was moved over them by hand, or skipped them, or its binlog_format was ROW and they changed no row there"
                ),
                repair: Repair::ByHand(format!(
                    "run ackline provision {name} --replace, since what it skipped is missing there; or, if you know that nothing is, run ackline accept {name} --hole with the GTIDs"
                )),
            });
        }
        if !own.is_empty() {
            reasons.push(Reason {
                what: format!(
                    "it has {own}, transactions of its own that our binlog has not: something wrote there, or a dump was loaded into its binlog"
                ),
                repair: Repair::ByHand(format!(
                    "run ackline provision {name} --replace, which writes them down first"
                )),
            });
        }
        reasons
    }

    /// What the first of them are, for a sentence.
    async fn statements(&self, holes: &GtidSet) -> String {
        let first: Vec<Gtid> = holes.iter().take(NAMED).collect();
        let store = self.store.clone();
        let words = move |gtid: Gtid| {
            let text = statement::of(&store, &gtid)?;
            let harmless = match statement::creates_if_not_there(&text) {
                true => ", harmless if the table stands there as it does here",
                false => "",
            };
            Some(format!("{gtid} is {text}{harmless}"))
        };
        let read = tokio::task::spawn_blocking(move || {
            first.into_iter().filter_map(words).collect::<Vec<String>>()
        });
        let statements = read.await.unwrap_or_default().join("; ");
        match statements.is_empty() {
            true => String::new(),
            false => format!(" ({statements})"),
        }
    }

    async fn walked(&self, name: &ServerName, account: &Account) -> Result<Walked, String> {
        let known = self.known.lock().get(name).cloned().unwrap_or_default();
        let history = known.history.filter(|_| known.address == account.address);
        let before = history.clone();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let task = {
            let account = account.clone();
            async move {
                let _ = sender.send(walk::walk(&account, history).await);
            }
        };
        self.worker.spawn(&self.shutdown, task);
        let walked = receiver.await.map_err(|error| error.to_string())?;
        let ours = self.store.executed();
        let done = {
            let mut known = self.known.lock();
            let known = known.entry(name.clone()).or_default();
            match walked {
                Ok(walked) => {
                    match (walked.before, before) {
                        (Before::Stands, _) => {}
                        (Before::Purged, Some(before)) => {
                            let has = before.has(&ours, |gtid| self.is_empty(gtid));
                            let lost = before.lost(&self.store.durable().incidents, &ours);
                            let proven = has.difference(&lost.union(&known.unproven));
                            known.unproven = walked.history.untold(&ours).difference(&proven);
                        }
                        // Another binlog, which inherits nothing.
                        (Before::Purged | Before::Other, _) => {
                            known.unproven = GtidSet::new();
                            known.accepted = GtidSet::new();
                        }
                    }
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
        self.keep_soon();
        done
    }

    fn is_empty(&self, gtid: &Gtid) -> bool {
        self.store.events_of(gtid) == Some(EVENTS_OF_NOTHING)
            || statement::may_leave_nothing(&self.store, gtid, self.by_statement)
    }
}

/// A MariaDB domain of which our binlog has nothing speaks neither for nor against a server.
fn in_domains_of(beyond: &GtidSet, ours: &GtidSet) -> GtidSet {
    let mut known = GtidSet::new();
    for (origin, first, last) in beyond.ranges() {
        let counts = match origin {
            Origin::MariaDb { domain, .. } => ours.iter_domains().any(|own| own == *domain),
            Origin::MySql { .. } => true,
        };
        if counts {
            known.insert_range(origin.clone(), first, last);
        }
    }
    known
}

#[cfg(test)]
mod simulation;
