//! Writes beside our binlog which session each transaction came from, and who confirmed it when.

use std::path::Path;
use std::time::Duration;

use metrics::{Counter, counter};

use crate::ack::{Acks, Confirmation};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::store::origins::{Acknowledged, OriginWriter, Pending, PendingOrigins};

const PERIOD: Duration = Duration::from_millis(250);

/// Until shutdown; sessions have ended before. For a thread where nobody waits.
pub(super) async fn keep(
    store: Store,
    dir: Box<Path>,
    pending: PendingOrigins,
    acks: Acks,
    shutdown: Shutdown,
) {
    let mut writer = OriginWriter::new(&dir);
    let lost = counter!("ackline_origins_lost_total");
    let mut failed = false;
    loop {
        let last = !shutdown.sleep(PERIOD).await;
        let confirmed = acks.take_confirmations();
        write(
            &mut writer,
            &store,
            pending.take(),
            &confirmed,
            &lost,
            &mut failed,
        );
        if last {
            return;
        }
    }
}

fn write(
    writer: &mut OriginWriter,
    store: &Store,
    taken: Pending,
    confirmed: &[Confirmation],
    lost: &Counter,
    failed: &mut bool,
) {
    lost.increment(taken.lost);
    if taken.origins.is_empty() && confirmed.is_empty() {
        return;
    }
    let oldest = store.files().first().map_or(1, |file| file.number);
    let number = store.marks().borrow().written.file.max(oldest);
    let acknowledged: Vec<Acknowledged> = confirmed.iter().map(acknowledged).collect();
    match writer.write(number, oldest, &taken.origins, &acknowledged) {
        Ok(()) => *failed = false,
        Err(error) => {
            lost.increment(taken.origins.len() as u64);
            if !std::mem::replace(failed, true) {
                tracing::warn!(%error, "the origins of transactions cannot be written beside our binlog, and are lost");
            }
        }
    }
}

fn acknowledged(confirmed: &Confirmation) -> Acknowledged {
    Acknowledged {
        at: confirmed.at.as_millis() as u64,
        voter: confirmed.voter.to_string(),
        level: confirmed.level,
        position: confirmed.position,
    }
}
