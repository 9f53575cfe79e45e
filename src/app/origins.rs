//! Writes beside our binlog which session each transaction came from.

use std::path::Path;
use std::time::Duration;

use metrics::{Counter, counter};

use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::store::origins::{OriginWriter, PendingOrigins};

const PERIOD: Duration = Duration::from_millis(250);

/// Until shutdown; sessions have ended before. For a thread where nobody waits.
pub(super) async fn keep(
    store: Store,
    dir: Box<Path>,
    pending: PendingOrigins,
    shutdown: Shutdown,
) {
    let mut writer = OriginWriter::new(&dir);
    let lost = counter!("ackline_origins_lost_total");
    let mut failed = false;
    loop {
        let last = tokio::select! {
            () = tokio::time::sleep(PERIOD) => false,
            () = shutdown.cancelled() => true,
        };
        write(&mut writer, &store, &pending, &lost, &mut failed);
        if last {
            return;
        }
    }
}

fn write(
    writer: &mut OriginWriter,
    store: &Store,
    pending: &PendingOrigins,
    lost: &Counter,
    failed: &mut bool,
) {
    let taken = pending.take();
    lost.increment(taken.lost);
    if taken.origins.is_empty() {
        return;
    }
    let oldest = store.files().first().map_or(1, |file| file.number);
    let number = store.marks().borrow().written.file.max(oldest);
    match writer.write(number, oldest, &taken.origins) {
        Ok(()) => *failed = false,
        Err(error) => {
            lost.increment(taken.origins.len() as u64);
            if !std::mem::replace(failed, true) {
                tracing::warn!(%error, "the origins of transactions cannot be written beside our binlog, and are lost");
            }
        }
    }
}
