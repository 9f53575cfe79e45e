//! One moment of the gate, for `status`, the log and the metrics.

use std::time::Duration;

use super::degraded::DegradedCommit;
use super::engine::Engine;
use super::parked::Parked;
use super::policy::Sync;
use super::quorum::{Missing, Vote};
use crate::gtid::GtidSet;
use crate::ids::{Epoch, ServerName, StorePosition};
use crate::units;

#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What is asked for.
    pub sync: Sync,
    /// What a commit is held to now, in the `require` language.
    pub in_force: String,
    /// The policy in force is less than what is asked for.
    pub degraded: bool,
    /// For how long.
    pub degraded_for: Option<Duration>,
    pub epoch: Epoch,
    pub written: StorePosition,
    pub synced: StorePosition,
    pub released: StorePosition,
    pub released_set: GtidSet,
    /// Captured transactions that are not released.
    pub waiting: usize,
    /// Sessions that wait at gate 2.
    pub parked: usize,
    /// Sessions whose transaction is released, and who asked for more themselves.
    pub asking: usize,
    /// How long the oldest of them waits, and for whom.
    pub oldest_asking: Option<(Duration, Missing)>,
    pub oldest_wait: Option<Duration>,
    /// That wait is longer than `timeout`.
    pub overdue: bool,
    /// Whose confirmation the oldest one lacks.
    pub waits_for: Vec<ServerName>,
    /// A sentence, where commits wait.
    pub sentence: Option<String>,
    /// Who votes, and what each of them confirmed.
    pub votes: Vec<Vote>,
    /// Oldest first, bounded.
    pub degraded_commits: Vec<DegradedCommit>,
    /// All of them, also those that the list has no room for.
    pub degraded_count: u64,
    /// All that ever were, since the list that was restored.
    pub degraded_total: u64,
    pub ignored_confirmations: u64,
}

impl Snapshot {
    pub(super) fn of(engine: &Engine, parked: &Parked, epoch: Epoch, now: Duration) -> Self {
        let votes = engine.votes();
        let oldest = engine.oldest();
        let waiting = engine.waiting();
        let sentence = oldest.as_ref().map(|(gtid, since, missing)| {
            let waited = round(now.saturating_sub(*since));
            let (commits, wait) = match waiting {
                1 => ("commit", "waits"),
                _ => ("commits", "wait"),
            };
            let waited = units::show_duration(waited);
            let words = &missing.words;
            format!("{waiting} {commits} {wait}, the oldest ({gtid}) for {waited}, for {words}.")
        });
        Self {
            sync: engine.sync().clone(),
            in_force: engine.in_force().to_string(),
            degraded: engine.lowered_since().is_some(),
            degraded_for: engine.lowered_since().map(|at| now.saturating_sub(at)),
            epoch,
            written: votes.written,
            synced: votes.synced,
            released: engine.released(),
            released_set: parked.released().clone(),
            waiting,
            parked: parked.len(),
            asking: engine.asking(),
            oldest_asking: engine
                .oldest_asking()
                .map(|(since, missing)| (now.saturating_sub(since), missing)),
            oldest_wait: oldest
                .as_ref()
                .map(|(_, since, _)| now.saturating_sub(*since)),
            overdue: engine.is_overdue(),
            waits_for: oldest
                .map(|(_, _, missing)| missing.servers)
                .unwrap_or_default(),
            sentence,
            votes: votes.voters.clone(),
            degraded_commits: engine.degraded(),
            degraded_count: engine.degraded_count(),
            degraded_total: engine.degraded_total(),
            ignored_confirmations: engine.ignored(),
        }
    }
}

/// Whole seconds, once it is seconds: nobody reads "12345ms".
fn round(wait: Duration) -> Duration {
    match wait.as_secs() {
        0 => wait,
        seconds => Duration::from_secs(seconds),
    }
}
