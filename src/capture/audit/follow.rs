//! The audit beside a running proxy, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, counter};

use super::catalog::{Catalog, WhomToAsk};
use super::{Auditor, Finding, Judged};
use crate::event;
use crate::ids::StorePosition;
use crate::shutdown::Shutdown;
use crate::sql::unsafe_statement::Unsafe;
use crate::store::{self, Skim, Store};

/// Commits are many, and nobody waits: it looks a few times a second, not at each of them.
const PERIOD: Duration = Duration::from_millis(250);
/// So much is read before it is asked whether we shall end.
const AT_ONCE: u64 = 16 << 20;
/// One line in so long, for each reason; how many there were stands in it.
const QUIET: Duration = Duration::from_secs(10);

/// Since the start.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<AtomicU64>);

impl Counts {
    pub fn unsafe_statements(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Event(#[from] event::Error),
}

/// Judges what is synced after this call, until shutdown. It reads files and asks the source: for a thread
/// where nobody waits.
pub fn follow(
    store: Store,
    source: WhomToAsk,
    counts: Counts,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let from = store.marks().borrow().synced;
    run(store, from, Catalog::new(source), counts, shutdown)
}

async fn run(
    store: Store,
    mut from: StorePosition,
    mut catalog: Catalog,
    counts: Counts,
    shutdown: Shutdown,
) {
    let marks = store.marks();
    let mut log = Log::default();
    let judged = counter!("ackline_judged_statements_total");
    let by_reason = Unsafe::ALL
        .map(|reason| counter!("ackline_unsafe_statements_total", "reason" => reason.name()));
    let mut stream: Option<(Skim, Auditor)> = None;
    loop {
        let synced = marks.borrow().synced;
        let mut more = false;
        if synced > from && synced != StorePosition::ZERO {
            let (skim, auditor) = stream.get_or_insert_with(|| begin(&store, from));
            let read = read(skim, auditor, &mut catalog, synced, |found| {
                if let Judged::Unsafe(finding) = found {
                    counts.0.fetch_add(1, Ordering::Relaxed);
                    count(&by_reason, &finding);
                    log.write(&finding, Instant::now());
                }
                judged.increment(1);
            });
            // A source that answers slowly is not waited for at the end.
            let read = tokio::select! {
                read = read => read,
                () = shutdown.cancelled() => return,
            };
            match read {
                Ok(all) => {
                    more = !all;
                    from = skim.position();
                }
                Err(error) => {
                    tracing::warn!(%error, %from, to = %synced, "a part of our binlog is not audited; ackline binlog audit reads all of it");
                    stream = None;
                    from = synced;
                }
            }
        }
        if more {
            tokio::task::yield_now().await;
            if shutdown.is_cancelled() {
                return;
            }
            continue;
        }
        if !shutdown.sleep(PERIOD).await {
            return;
        }
    }
}

fn begin(store: &Store, from: StorePosition) -> (Skim, Auditor) {
    let first = store.files().first().map_or(1, |file| file.number);
    let from = match from {
        StorePosition::ZERO => StorePosition::new(first, crate::event::MAGIC.len() as u64),
        from => from,
    };
    (store.skim(from), Auditor::with_schema())
}

/// Whether all of it is read.
async fn read(
    skim: &mut Skim,
    auditor: &mut Auditor,
    catalog: &mut Catalog,
    limit: StorePosition,
    mut found: impl FnMut(Judged),
) -> Result<bool, Error> {
    let mut bytes = 0;
    while bytes < AT_ONCE {
        let Some(event) = skim.next(limit)? else {
            return Ok(true);
        };
        bytes += u64::from(event.header.length);
        let judged = auditor.event(&event)?;
        catalog.renew(auditor.definitions());
        match judged {
            None => {}
            Some(Judged::Open(open)) => {
                let by_schema = catalog.judge(&open).await;
                found(open.settle(by_schema));
            }
            Some(judged) => found(judged),
        }
    }
    Ok(false)
}

fn count(by_reason: &[Counter; Unsafe::ALL.len()], finding: &Finding) {
    for (reason, counter) in Unsafe::ALL.iter().zip(by_reason) {
        if finding.reasons.contains(*reason) {
            counter.increment(1);
        }
    }
}

/// Lets no flood of lines through.
#[derive(Debug, Default)]
struct Log {
    /// By first reason: when it was last written, and how many were not.
    last: [Option<(Instant, u64)>; Unsafe::ALL.len()],
}

impl Log {
    fn write(&mut self, finding: &Finding, now: Instant) {
        let Some(reason) = finding.reasons.iter().next() else {
            return;
        };
        let Some(left_out) = self.admit(reason, now) else {
            return;
        };
        let culprit = finding.culprit.as_deref().unwrap_or_default();
        tracing::warn!(gtid = %finding.gtid, connection = finding.thread_id, reason = reason.name(), culprit, statement = finding.statement, left_out, "an unsafe statement was logged as a statement, and replicas may make other rows of it: {reason}");
    }

    /// How many were left out since the last line; None if this one is to be.
    fn admit(&mut self, reason: Unsafe, now: Instant) -> Option<u64> {
        let last = &mut self.last[reason as usize];
        match last {
            Some((at, left_out)) if now.duration_since(*at) < QUIET => {
                *left_out += 1;
                None
            }
            _ => {
                let left_out = last.map_or(0, |(_, left_out)| left_out);
                *last = Some((now, 0));
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_few_and_say_how_many_were_left_out() {
        let mut log = Log::default();
        let start = Instant::now();
        assert_eq!(log.admit(Unsafe::Limit, start), Some(0));
        for _ in 0..1000 {
            assert_eq!(log.admit(Unsafe::Limit, start), None);
        }
        assert_eq!(log.admit(Unsafe::NoWait, start), Some(0));
        assert_eq!(log.admit(Unsafe::Limit, start + QUIET), Some(1000));
        assert_eq!(log.admit(Unsafe::Limit, start + QUIET * 2), Some(0));
    }
}
