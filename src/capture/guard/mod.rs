//! Whether what the source shows may be shown to clients.
//!
//! Gate 1 lets nobody see an un-acknowledged commit, with two measured exceptions: a KILL given at the
//! source lets a waiting commit through, and somebody may switch semi-sync off. Both move the source's
//! own counters. So while commits wait for long enough that somebody could want to kill them, or a
//! session was ended in the middle of a command, each result is passed on only after a look at the
//! counters that *started after the result came in*; at other times a slow poll does. A session that
//! gets the OK of an unreleased commit tells us at once. A moved counter closes the guard and asks
//! capture for a new attach, which opens it again once everything in the source's binlog is released.
//!
//! Invariants:
//! - Only an [`Attempt`] opens the guard, and only if nothing was suspected since it began; it is
//!   subscribed from its first moment, so that no suspicion falls between its beginning and the waiting.
//! - A suspicion is a level, not an edge: whoever looks later sees it, however often it is looked at.
//! - An attempt that is gone leaves the guard closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::console::{Console, Counters};
use crate::shutdown::Shutdown;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    open: bool,
    /// Grows with each suspicion.
    suspicions: u64,
}

#[derive(Default)]
pub struct Guard {
    state: watch::Sender<State>,
    /// `state`'s, for the way of every result.
    open: AtomicBool,
    baseline: Mutex<Counters>,
    /// How many sessions were ended in the middle of a command.
    doubts: AtomicU64,
    /// How many of these a look at the counters has cleared.
    cleared: AtomicU64,
}

/// An attach from its beginning to its end. Dropped, it leaves the guard closed.
#[must_use]
pub struct Attempt {
    guard: Arc<Guard>,
    begun: u64,
    state: watch::Receiver<State>,
}

/// A commit may have returned un-acknowledged since the attempt began: only a new attach can settle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Suspected;

impl Attempt {
    pub fn begin(guard: &Arc<Guard>) -> Self {
        let state = guard.state.subscribe();
        let begun = guard.change(|state| {
            state.open = false;
            state.suspicions
        });
        Self {
            guard: guard.clone(),
            begun,
            state,
        }
    }

    /// What the counters are at a moment at which nothing has got past the gate.
    pub fn baseline(&self, counters: Counters) {
        *self.guard.baseline.lock() = counters;
    }

    /// Resolves when something was suspected since the beginning, now or earlier. Cancel-safe.
    pub async fn suspected(&mut self) -> Suspected {
        let begun = self.begun;
        // The sender lives in our guard.
        let _ = self.state.wait_for(|now| now.suspicions != begun).await;
        Suspected
    }

    /// Everything of this attach is proven and released.
    pub fn open(&self) -> Result<(), Suspected> {
        self.guard.change(|state| {
            if state.suspicions != self.begun {
                return Err(Suspected);
            }
            state.open = true;
            Ok(())
        })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.guard.change(|state| state.open = false);
    }
}

impl Guard {
    /// One load: the way of every result.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Cancel-safe.
    pub async fn opened(&self) {
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| state.open).await;
    }

    /// The only way to change it: both views change under one lock.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut result = None;
        self.state.send_if_modified(|state| {
            let before = *state;
            result = Some(change(state));
            self.open.store(state.open, Ordering::Release);
            *state != before
        });
        result.expect("it was called")
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

    /// What was shown is not known to be wrong, and what comes might be.
    fn doubted(&self, why: &str) {
        if self.is_open() {
            tracing::warn!(
                "{why}: all results are held until everything in the source's binlog is released"
            );
        }
        self.suspect();
    }

    /// Closed until capture has attached anew.
    fn suspect(&self) {
        self.change(|state| {
            state.open = false;
            state.suspicions += 1;
        });
    }

    /// The source ended a session that was in the middle of a command. A KILL CONNECTION looks like
    /// this and lets a commit through, and so does much that lets nothing through: the counters tell.
    pub fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a look at the counters is due before anything is shown.
    pub fn is_in_doubt(&self) -> bool {
        self.cleared.load(Ordering::Acquire) != self.doubts.load(Ordering::Acquire)
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
        } else if now.clients == 0 {
            Judgement::Doubtful("our dump is gone at the source")
        } else if now.connection != baseline.connection {
            // A host that was replaced says nothing; its crash recovery shows what nobody acknowledged.
            Judgement::Doubtful(
                "the source had to be connected to again: it may be another, or have been started again",
            )
        } else {
            Judgement::Clean
        }
    }

    /// Passes once a look at the source's counters, begun after this call, found them unmoved.
    pub async fn verified(&self, console: &Console) {
        loop {
            self.opened().await;
            let doubts = self.doubts.load(Ordering::Acquire);
            match self.judge(console.counters().await) {
                // Closed meanwhile: what came before it has to wait for the new attach.
                Judgement::Clean if self.is_open() => {
                    self.cleared.fetch_max(doubts, Ordering::AcqRel);
                    return;
                }
                Judgement::Clean => {}
                // Closed meanwhile: somebody else has seen it.
                Judgement::Escaped(_) | Judgement::Doubtful(_) if !self.is_open() => {}
                Judgement::Escaped(how) => self.escaped(how),
                Judgement::Doubtful(why) => self.doubted(why),
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
    /// Whatever was seen so far, the source may be another by now.
    Doubtful(&'static str),
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn is_ready(future: impl Future) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(pin!(future).poll(&mut context), Poll::Ready(_))
    }

    #[test]
    fn a_suspicion_during_an_attach_keeps_the_guard_closed() {
        let guard = Arc::new(Guard::default());
        let first = Attempt::begin(&guard);
        guard.suspect();
        assert_eq!(first.open(), Err(Suspected));
        drop(first);
        let second = Attempt::begin(&guard);
        assert_eq!(second.open(), Ok(()));
        assert!(guard.is_open());
        guard.suspect();
        assert!(!guard.is_open());
    }

    /// It came before anybody waited for it: that is where sessions were once held for ever.
    #[test]
    fn a_suspicion_of_before_the_waiting_is_seen_every_time() {
        let guard = Arc::new(Guard::default());
        let mut attempt = Attempt::begin(&guard);
        assert!(!is_ready(attempt.suspected()));
        guard.suspect();
        assert!(is_ready(attempt.suspected()));
        assert!(is_ready(attempt.suspected()));
    }

    #[test]
    fn an_attempt_that_is_gone_leaves_the_guard_closed() {
        let guard = Arc::new(Guard::default());
        let attempt = Attempt::begin(&guard);
        assert_eq!(attempt.open(), Ok(()));
        assert!(is_ready(guard.opened()));
        drop(attempt);
        assert!(!guard.is_open() && !is_ready(guard.opened()));
    }

    #[test]
    fn moved_counters_are_an_escape() {
        let guard = Arc::new(Guard::default());
        let fine = Counters {
            no_tx: 4,
            clients: 1,
            active: true,
            connection: 7,
        };
        Attempt::begin(&guard).baseline(fine);
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
        let gone = Counters { clients: 0, ..fine };
        let anew = Counters {
            connection: 8,
            ..fine
        };
        for doubtful in [gone, anew] {
            assert!(matches!(guard.judge(doubtful), Judgement::Doubtful(_)));
        }
    }
}
