//! Whether what the source shows may be shown to clients.
//!
//! Gate 1 lets nobody see an un-acknowledged commit, with two measured exceptions: a KILL given at the
//! source lets a waiting commit through, and somebody may switch semi-sync off. Both move the source's
//! own counters. So while commits wait for long enough that somebody could want to kill them, each
//! result is passed on only after a look at the counters that *started after the result came in*; at
//! other times a slow poll does. A session that gets the OK of an unreleased commit, or loses its
//! source in the middle of a command, tells us at once. A moved counter closes the guard and asks capture for a new attach,
//! which opens it again once everything in the source's binlog is released.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::console::{Console, Counters};
use crate::shutdown::Shutdown;

/// An attach that was begun; it may open the guard only if nothing was suspected since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(u64);

pub struct Guard {
    open: AtomicBool,
    /// Grows with each suspicion.
    suspicions: AtomicU64,
    baseline: Mutex<Counters>,
    /// Both for waiting: the guard's state, and capture's wake-up call.
    changed: watch::Sender<()>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            open: AtomicBool::new(false),
            suspicions: AtomicU64::new(0),
            baseline: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }
}

impl Guard {
    /// One load: the way of every result.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Cancel-safe.
    pub async fn opened(&self) {
        let mut changed = self.changed.subscribe();
        while !self.is_open() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn begin(&self) -> Attempt {
        self.open.store(false, Ordering::Release);
        Attempt(self.suspicions.load(Ordering::Acquire))
    }

    pub(super) fn baseline(&self, counters: Counters) {
        *self.baseline.lock() = counters;
    }

    /// Everything of this attach is proven and released. False where a suspicion came in between.
    pub(super) fn open(&self, attempt: Attempt) -> bool {
        // The lock orders this against `suspect`.
        let _order = self.baseline.lock();
        if self.suspicions.load(Ordering::Acquire) != attempt.0 {
            return false;
        }
        self.open.store(true, Ordering::Release);
        self.changed.send_replace(());
        true
    }

    pub(super) fn is_suspected_since(&self, attempt: Attempt) -> bool {
        self.suspicions.load(Ordering::Acquire) != attempt.0
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Somebody saw a commit that returned from the source before its acknowledgement went out.
    pub fn escaped(&self, how: &str) {
        if self.is_open() {
            tracing::error!(
                "{how}: all results are held until everything in the source's binlog is released"
            );
            metrics::counter!("ackline_source_escapes_total").increment(1);
        }
        self.suspect();
    }

    /// Closed until capture has attached anew.
    fn suspect(&self) {
        let _order = self.baseline.lock();
        self.open.store(false, Ordering::Release);
        self.suspicions.fetch_add(1, Ordering::AcqRel);
        self.changed.send_replace(());
    }

    fn judge(&self, now: Counters) -> Judgement {
        let baseline = *self.baseline.lock();
        if now.no_tx != baseline.no_tx {
            Judgement::Escaped(
                "a commit returned at the source without its acknowledgement (a KILL given there?)",
            )
        } else if !now.active {
            Judgement::Escaped("semi-sync was switched off at the source")
        } else if now.clients > 1 {
            Judgement::Escaped("another semi-sync replica attached to the source")
        } else {
            Judgement::Clean
        }
    }

    /// Passes once a look at the source's counters, begun after this call, found them unmoved.
    pub async fn verified(&self, console: &Console) {
        loop {
            self.opened().await;
            match self.judge(console.counters().await) {
                // Closed meanwhile: what came before it has to wait for the new attach.
                Judgement::Clean if self.is_open() => return,
                Judgement::Clean => {}
                // Closed meanwhile: somebody else has seen it.
                Judgement::Escaped(_) if !self.is_open() => {}
                Judgement::Escaped(how) => self.escaped(how),
            }
        }
    }

    /// The slow look, for all the time in which nobody has a reason to look closer.
    pub async fn poll(&self, console: &Console, every: Duration, shutdown: &Shutdown) {
        while shutdown.sleep(every).await {
            if self.is_open() {
                tokio::select! {
                    () = self.verified(console) => {}
                    () = shutdown.cancelled() => return,
                }
            }
        }
    }
}

enum Judgement {
    Clean,
    Escaped(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspicion_during_an_attach_keeps_the_guard_closed() {
        let guard = Guard::default();
        let first = guard.begin();
        guard.suspect();
        assert!(!guard.open(first));
        let second = guard.begin();
        assert!(guard.open(second));
        assert!(guard.is_open());
        guard.suspect();
        assert!(!guard.is_open());
    }

    #[test]
    fn moved_counters_are_an_escape() {
        let guard = Guard::default();
        let fine = Counters {
            no_tx: 4,
            clients: 1,
            active: true,
        };
        guard.baseline(fine);
        assert!(matches!(guard.judge(fine), Judgement::Clean));
        assert!(matches!(
            guard.judge(Counters { no_tx: 5, ..fine }),
            Judgement::Escaped(_)
        ));
        assert!(matches!(
            guard.judge(Counters {
                active: false,
                ..fine
            }),
            Judgement::Escaped(_)
        ));
        assert!(matches!(
            guard.judge(Counters { clients: 2, ..fine }),
            Judgement::Escaped(_)
        ));
    }
}
