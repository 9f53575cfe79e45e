//! Removes binlog files that `[binlog] keep` lets go, and says who holds back which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::provisioning::Provisioning;
use super::roster::{Applied, Servers};
use crate::config::Config;
use crate::ids::{ServerName, StorePosition};
use crate::ship::{Progress, Ship};
use crate::shutdown::Shutdown;
use crate::store::{self, Need, PurgeRequest, Purged, Store, Unwanted, file_name};

/// A look at the list of files costs nothing; so a file goes soon after the one that made it one too many.
const EVERY: Duration = Duration::from_secs(1);

/// Who is a moment behind is no problem.
const WORTH_SAYING: Duration = Duration::from_secs(5);

/// Who knows what is needed, and what there is to say about it.
pub struct Purger {
    config: Arc<ArcSwap<Config>>,
    store: Store,
    servers: Arc<Servers>,
    ship: Arc<Ship>,
    provisioning: Arc<Provisioning>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Replicas whose position we do not know, and that needed what is gone.
    taken_from: BTreeSet<String>,
    /// Since when somebody holds files back.
    held_for: BTreeMap<String, Instant>,
    /// In sentences, for `status`.
    problems: Vec<String>,
}

impl Purger {
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        store: Store,
        servers: Arc<Servers>,
        ship: Arc<Ship>,
        provisioning: Arc<Provisioning>,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            store,
            servers,
            ship,
            provisioning,
            found: Mutex::default(),
        })
    }

    pub fn start(self: &Arc<Self>, shutdown: &Shutdown) {
        let (purger, ending) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            while ending.sleep(EVERY).await {
                let purger = purger.clone();
                let _ = tokio::task::spawn_blocking(move || purger.by_rule()).await;
            }
        });
    }

    /// In sentences, for `status`.
    pub fn problems(&self) -> Vec<String> {
        self.found.lock().problems.clone()
    }

    /// As the configuration says.
    fn by_rule(&self) {
        let keep = self.config.load().binlog.keep;
        let problems = match self.purge(Unwanted::Beyond(keep), false) {
            Ok(purged) => held(&purged, &mut self.found.lock().held_for, Instant::now()),
            Err(error) => {
                let problem = format!("binlog files cannot be purged: {error}");
                if !self.found.lock().problems.contains(&problem) {
                    tracing::error!("{problem}");
                }
                vec![problem]
            }
        };
        let lacking = self.lacking();
        let mut found = self.found.lock();
        found.problems = problems;
        found.problems.extend(lacking);
    }

    /// Removes what is unwanted as far as voters, readers and the store itself do not need it.
    pub fn purge(&self, unwanted: Unwanted, dry_run: bool) -> Result<Purged, store::Error> {
        let config = self.config.load();
        let voters = self.servers.voters_applied(&config).into_iter();
        let voters = voters.map(|(name, applied)| Need {
            who: name.to_string(),
            from: applied.up_to,
        });
        let readers = self.ship.readers.list().into_iter();
        let readers = readers.filter_map(|reader| match reader.progress {
            Progress::Streaming { sent } => Some(Need {
                who: match reader.identity.listed {
                    true => reader.identity.name.to_string(),
                    false => format!("the reader {} at {}", reader.identity.name, reader.peer),
                },
                from: sent,
            }),
            Progress::Held { .. } | Progress::Refused { .. } => None,
        });
        let request = PurgeRequest {
            unwanted,
            at_most: config.binlog.keep_at_most,
            needs: voters
                .chain(readers)
                .chain(self.provisioning.needs())
                .collect(),
            now: now(),
        };
        let purged = self.store.purge(&request, dry_run)?;
        if !dry_run {
            self.say(&purged);
        }
        Ok(purged)
    }

    fn say(&self, purged: &Purged) {
        let (Some(first), Some(last)) = (purged.files.first(), purged.files.last()) else {
            return;
        };
        let (first, last) = (&first.name, &last.name);
        tracing::info!(
            first,
            last,
            files = purged.files.len(),
            "binlog files purged"
        );
        for need in &purged.taken_from {
            tracing::warn!(server = need.who, first, last, had = %from(need), "purged though it needed them: [binlog] keep_at_most");
            self.found.lock().taken_from.insert(need.who.clone());
        }
    }

    /// Voters that need what is gone.
    fn lacking(&self) -> Vec<String> {
        let Some(first) = self.store.files().first().map(|file| file.number) else {
            return Vec::new();
        };
        let voters = self.servers.voters_applied(&self.config.load());
        let mut found = self.found.lock();
        let mut lacks = |name: &ServerName, applied: &Applied| match &applied.said {
            Some(said) => {
                found.taken_from.remove(name.as_str());
                !self.store.purged_beyond(said).is_empty()
            }
            None => found.taken_from.contains(name.as_str()),
        };
        // One that was the source has its own transactions in its binlog's position only, until it is brought home.
        let fenced = self.store.durable().fenced;
        let voters = voters
            .iter()
            .filter(|(name, applied)| !fenced.contains_key(name) && lacks(name, applied));
        voters
            .map(|(name, _)| {
                format!(
                    "{name} needs binlog files before {}, which are purged: run ackline provision {name} --replace",
                    file_name(first)
                )
            })
            .collect()
    }
}

fn from(need: &Need) -> String {
    match need.from {
        StorePosition::ZERO => "it has not said what it has applied".to_owned(),
        from => format!("it has applied up to {from}"),
    }
}

/// Who holds files back that `keep` lets go, and has for a while.
fn held(purged: &Purged, since: &mut BTreeMap<String, Instant>, now: Instant) -> Vec<String> {
    since.retain(|who, _| purged.held_for.iter().any(|need| need.who == *who));
    let mut problems = Vec::new();
    for need in &purged.held_for {
        let since = *since.entry(need.who.clone()).or_insert(now);
        if now.duration_since(since) >= WORTH_SAYING {
            problems.push(format!(
                "{} holds binlog files back that [binlog] keep lets go: {}",
                need.who,
                from(need)
            ));
        }
    }
    problems
}

fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as u32)
}
