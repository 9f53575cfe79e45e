//! Why and whether sessions are held: one watch, with a fast way for the case that they are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use crate::gtid::GtidSet;

/// Whether sessions are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    Open,
    /// For now: it passes by itself (the source is attached to, its binlog caught up with, …).
    Held {
        reason: String,
        since: Instant,
    },
    /// Until somebody has repaired it.
    Refused {
        reason: String,
        /// What the source lacks, where that is the reason; else empty.
        missing: GtidSet,
        since: Instant,
    },
}

impl Hold {
    /// Why sessions are not served.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Held { reason, .. } | Self::Refused { reason, .. } => Some(reason),
        }
    }

    pub fn since(&self) -> Option<Instant> {
        match self {
            Self::Open => None,
            Self::Held { since, .. } | Self::Refused { since, .. } => Some(*since),
        }
    }

    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Held { .. } => "held",
            Self::Refused { .. } => "refused",
        }
    }
}

/// The hold of all sessions. Clones are the same.
#[derive(Clone)]
pub struct Holds(Arc<Shared>);

struct Shared {
    /// Follows `hold`, so that each result costs one load.
    open: AtomicBool,
    hold: watch::Sender<Hold>,
}

impl Holds {
    /// Held, with the reason that we have only just started.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            open: AtomicBool::new(false),
            hold: watch::Sender::new(Hold::Held {
                reason: "starting".to_owned(),
                since: Instant::now(),
            }),
        }))
    }

    /// One load: the way of every command.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire)
    }

    /// Returns once sessions are served. Cancel-safe.
    pub async fn opened(&self) {
        let mut hold = self.0.hold.subscribe();
        // We hold the sender ourselves: it cannot be gone.
        let _ = hold.wait_for(|hold| *hold == Hold::Open).await;
    }

    pub fn current(&self) -> Hold {
        self.0.hold.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Hold> {
        self.0.hold.subscribe()
    }

    pub fn open(&self) {
        self.set(Hold::Open);
    }

    pub fn hold(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.set(Hold::Held {
            reason,
            since: Instant::now(),
        });
    }

    pub fn refuse(&self, reason: impl Into<String>, missing: GtidSet) {
        let reason = reason.into();
        self.set(Hold::Refused {
            reason,
            missing,
            since: Instant::now(),
        });
    }

    fn set(&self, mut new: Hold) {
        self.0.hold.send_if_modified(|hold| {
            // Another reason is no new beginning: who waits, waits since the first.
            if let (Some(began), Hold::Held { since, .. } | Hold::Refused { since, .. }) =
                (hold.since(), &mut new)
            {
                *since = began;
            }
            if *hold == new {
                return false;
            }
            // Inside the watch's lock, so that the two cannot end up different.
            self.0.open.store(new == Hold::Open, Ordering::Release);
            *hold = new;
            true
        });
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_goes_on_when_it_opens() {
        let holds = Holds::new();
        assert!(!holds.is_open());
        let waiting = tokio::spawn({
            let holds = holds.clone();
            async move { holds.opened().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        holds.open();
        waiting.await.unwrap();
        assert!(holds.is_open());
        holds.opened().await;
    }

    #[test]
    fn another_reason_is_no_new_beginning() {
        let holds = Holds::new();
        holds.open();
        holds.hold("a");
        let since = holds.current().since().unwrap();
        std::thread::sleep(Duration::from_millis(5));
        holds.refuse("b", "0-1-1..3".parse().unwrap());
        assert_eq!(holds.current().since(), Some(since));
        assert_eq!(holds.current().reason(), Some("b"));
        assert!(!holds.is_open());
        holds.open();
        holds.hold("c");
        assert!(holds.current().since() > Some(since));
    }

    #[test]
    fn the_same_again_wakes_nobody() {
        let holds = Holds::new();
        holds.hold("a");
        let mut watch = holds.watch();
        watch.borrow_and_update();
        holds.hold("a");
        assert!(!watch.has_changed().unwrap());
        holds.hold("b");
        assert!(watch.has_changed().unwrap());
    }
}
