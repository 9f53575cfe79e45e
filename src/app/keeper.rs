//! Keeps what must survive a restart: `released`, the degraded list, whom we follow.
//!
//! Not for every commit: `released` is kept as a lower bound, since what lies between it and the end
//! of our binlog is confirmed anew after a restart. The degraded list is written when it changes.

use std::sync::Arc;
use std::time::Duration;

use super::following::Following;
use crate::ack::Acks;
use crate::capture::View;
use crate::shutdown::Shutdown;
use crate::store::state::{DegradedCommit, FollowedSource};
use crate::store::{self, Store};

const EVERY: Duration = Duration::from_secs(1);

/// From the parts that know it into the store.
#[derive(Clone)]
pub struct Keeper {
    pub acks: Acks,
    pub capture: View,
    pub following: Arc<Following>,
    pub store: Store,
}

pub(super) fn start(keeper: Keeper, shutdown: &Shutdown) {
    let ending = shutdown.clone();
    shutdown.spawn(async move {
        let mut problem = None;
        while ending.sleep(EVERY).await {
            let keeper = keeper.clone();
            // Three fsyncs.
            let kept = tokio::task::spawn_blocking(move || keep(&keeper)).await;
            let now = kept.ok().and_then(Result::err).map(|error| error.to_string());
            match (&problem, &now) {
                (before, Some(error)) if before.as_ref() != Some(error) => {
                    tracing::warn!(%error, "the state beside our binlog cannot be written; it is tried again every second");
                }
                (Some(_), None) => tracing::info!("the state beside our binlog can be written again"),
                _ => {}
            }
            problem = now;
        }
    });
}

/// Whom we are attached to, or were last.
pub(super) fn present(capture: &View, following: &Following) -> Option<FollowedSource> {
    let source = capture.source.borrow();
    source.as_ref().map(|source| FollowedSource {
        name: following.present().server.name.clone(),
        server_id: source.server_id,
        uuid: source.uuid.clone(),
        anchor: None,
    })
}

pub(super) fn keep_at_the_end(keeper: &Keeper) {
    if let Err(error) = keep(keeper) {
        tracing::warn!(%error, "the state beside our binlog could not be written");
    }
}

fn keep(keeper: &Keeper) -> Result<(), store::Error> {
    let Keeper {
        acks,
        capture,
        following,
        store,
    } = keeper;
    let snapshot = acks.snapshot();
    let source = self::present(capture, following);
    let present = following.present();
    store.change_durable(|state| {
        // Not beyond what is on disk: after a power cut there must be nothing of it that we lack.
        state.released = snapshot.released.min(snapshot.synced).max(state.released);
        state.released_set = snapshot.released_set.clone();
        // A move writes both itself, before anybody follows.
        if state.source.is_none() && state.moving.is_none() {
            state.epoch = following.epoch();
            state.source = source.clone();
        }
        // Captured in the present epoch, so from whom is followed now. Looked at in here: it may just have been
        // taken back.
        let anchor = capture.anchor.lock().clone();
        if let (Some((epoch, anchor)), Some(kept), Some(found)) =
            (anchor, &mut state.source, source)
            && epoch == state.epoch
            && epoch == present.epoch
            && kept.name == present.server.name
        {
            *kept = FollowedSource {
                name: kept.name.clone(),
                anchor: Some(anchor),
                ..found
            };
        }
        state.degraded = snapshot
            .degraded_commits
            .iter()
            .map(|commit| DegradedCommit {
                gtid: commit.gtid.clone(),
                at: commit.at.as_millis() as u64,
                owed: commit.owed.as_ref().map(ToString::to_string),
            })
            .collect();
    })
}
