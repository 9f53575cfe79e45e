//! `ack/` from its beginning: what was released and what was owed before, and the store's marks from then on.

use std::sync::OnceLock;
use std::time::Duration;

use super::roster;
use crate::ack::{self, Acks};
use crate::config::Config;
use crate::gtid::{Gtid, GtidSet};
use crate::ids::{Epoch, StorePosition};
use crate::store::{self, Batch, Marks, Observer, Place, Store};

/// With the transactions that earlier runs captured and did not release.
pub(super) fn begin(
    config: &Config,
    store: &Store,
    durable: &store::state::DurableState,
    epoch: Epoch,
) -> anyhow::Result<Acks> {
    let end = store.marks().borrow().written;
    // In mode async a power cut may take what was released.
    let released = durable.released.min(end);
    let pending = transactions(store, released, end)?;
    let mut unreleased = GtidSet::new();
    pending.iter().for_each(|(_, gtid)| unreleased.insert(gtid));
    let released_set = store
        .executed()
        .difference(&unreleased)
        .union(&durable.released_set);
    let degraded = durable
        .degraded
        .iter()
        .map(|commit| ack::DegradedCommit {
            gtid: commit.gtid.clone(),
            at: Duration::from_millis(commit.at),
            owed: owed(commit.owed.as_deref()),
        })
        .collect();
    let acks = Acks::new(
        config.sync.clone(),
        roster::voters(config),
        ack::Durable {
            released,
            released_set,
            degraded,
        },
        epoch,
    );
    for (end, gtid) in pending {
        acks.captured(end, gtid);
    }
    Ok(acks)
}

/// What can no more be read is as if it had not been kept.
fn owed(text: Option<&str>) -> Option<ack::policy::Requirement> {
    ack::policy::Requirement::parse(text?).ok()
}

fn transactions(
    store: &Store,
    from: StorePosition,
    to: StorePosition,
) -> anyhow::Result<Vec<(StorePosition, Gtid)>> {
    let mut found = Vec::new();
    if from >= to {
        return Ok(found);
    }
    let mut reader = store.reader(from)?;
    let mut batch = Batch::new();
    loop {
        reader.next_batch(to, 1 << 20, &mut batch)?;
        if batch.is_empty() {
            return Ok(found);
        }
        for (event, _) in batch.iter() {
            if let Place::End(gtid) = &event.place {
                found.push((event.end, gtid.clone()));
            }
        }
    }
}

/// Hands the store's marks to `acks`, which exists only after the store.
#[derive(Default)]
pub(super) struct Told {
    acks: OnceLock<Acks>,
    generation: std::sync::atomic::AtomicU64,
}

impl Told {
    pub(super) fn tell(&self, acks: Acks, marks: Marks) {
        acks.marks(marks.written, marks.synced);
        let _ = self.acks.set(acks);
    }
}

impl Observer for Told {
    fn marks(&self, marks: Marks) {
        let Some(acks) = self.acks.get() else {
            return;
        };
        if self
            .generation
            .swap(marks.generation, std::sync::atomic::Ordering::AcqRel)
            < marks.generation
        {
            acks.cut(marks.written);
        }
        acks.marks(marks.written, marks.synced);
    }

    fn failed(&self, what: &store::Error) {
        tracing::error!(error = %what, "our binlog cannot be made durable; nothing more is acknowledged until it can");
        metrics::counter!("ackline_fsync_failures_total").increment(1);
    }
}
