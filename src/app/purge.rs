//! Removes binlog files that `[binlog] keep` lets go, and says who holds back which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::App;
use crate::ids::{ServerName, StorePosition};
use crate::ship::Progress;
use crate::shutdown::Shutdown;
use crate::store::{self, Need, PurgeRequest, Purged, Unwanted, file_name};

/// A look at the list of files costs nothing; so a file goes soon after the one that made it one too many.
const EVERY: Duration = Duration::from_secs(1);

/// Who is a moment behind is no problem.
const WORTH_SAYING: Duration = Duration::from_secs(5);

/// What there is to say about it.
#[derive(Debug, Default)]
pub struct Purging {
    /// Replicas whose position we do not know, and that needed what is gone.
    taken_from: BTreeSet<String>,
    /// Since when somebody holds files back.
    held_for: BTreeMap<String, Instant>,
    /// In sentences, for `status`.
    pub problems: Vec<String>,
}

pub(super) fn start(app: &Arc<App>, shutdown: &Shutdown) {
    let (app, ending) = (app.clone(), shutdown.clone());
    shutdown.spawn(async move {
        while ending.sleep(EVERY).await {
            let app = app.clone();
            let _ = tokio::task::spawn_blocking(move || by_rule(&app)).await;
        }
    });
}

/// As the configuration says.
fn by_rule(app: &App) {
    let keep = app.config.load().binlog.keep;
    let problems = match purge(app, Unwanted::Beyond(keep), false) {
        Ok(purged) => held(&purged, &mut app.purging.lock().held_for, Instant::now()),
        Err(error) => {
            let problem = format!("binlog files cannot be purged: {error}");
            if !app.purging.lock().problems.contains(&problem) {
                tracing::error!("{problem}");
            }
            vec![problem]
        }
    };
    let lacking = lacking(app);
    let mut purging = app.purging.lock();
    purging.problems = problems;
    purging.problems.extend(lacking);
}

/// Removes what is unwanted as far as voters, readers and the store itself do not need it.
pub(super) fn purge(app: &App, unwanted: Unwanted, dry_run: bool) -> Result<Purged, store::Error> {
    let config = app.config.load();
    let voters = app.servers.voters_applied(&config).into_iter();
    let voters = voters.map(|(name, applied)| Need {
        who: name.to_string(),
        from: applied.up_to,
    });
    let readers = app.ship.readers.list().into_iter();
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
        needs: voters.chain(readers).collect(),
        now: now(),
    };
    let purged = app.store.purge(&request, dry_run)?;
    if !dry_run {
        say(app, &purged);
    }
    Ok(purged)
}

fn say(app: &App, purged: &Purged) {
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
        app.purging.lock().taken_from.insert(need.who.clone());
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

/// Voters that need what is gone.
fn lacking(app: &App) -> Vec<String> {
    let Some(first) = app.store.files().first().map(|file| file.number) else {
        return Vec::new();
    };
    let voters = app.servers.voters_applied(&app.config.load());
    let mut purging = app.purging.lock();
    let mut lacks = |name: &ServerName, applied: &super::roster::Applied| match &applied.said {
        Some(said) => {
            purging.taken_from.remove(name.as_str());
            !app.store.purged_beyond(said).is_empty()
        }
        None => purging.taken_from.contains(name.as_str()),
    };
    let voters = voters.iter().filter(|(name, applied)| lacks(name, applied));
    voters
        .map(|(name, _)| {
            format!(
                "{name} needs binlog files before {}, which are purged: set it up anew from a copy of the source",
                file_name(first)
            )
        })
        .collect()
}

fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as u32)
}
