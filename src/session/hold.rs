//! A move holds new transactions in the sessions, so that the source may change without anybody's error.
//!
//! Who holds: whoever moves the source. It begins the hold, and then looks at the
//! [registry](super::registry) for sessions that are in the way. Who is held: a session, before it begins
//! something new. It writes that it runs, and then looks at the hold. Both orders are sequentially consistent, so one
//! of the two sees the other: a command that passed is seen, and one that is not seen waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Cheap to clone; all clones are one hold.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// `changed`'s, for the way of every command.
    on: AtomicBool,
    changed: watch::Sender<bool>,
}

impl Hold {
    /// Nothing new begins from here on.
    pub fn begin(&self) {
        self.set(true);
    }

    /// It may be ended twice.
    pub fn end(&self) {
        self.set(false);
    }

    fn set(&self, on: bool) {
        self.0.changed.send_if_modified(|now| {
            self.0.on.store(on, Ordering::SeqCst);
            std::mem::replace(now, on) != on
        });
    }

    pub fn is_on(&self) -> bool {
        self.0.on.load(Ordering::SeqCst)
    }

    /// Cancel-safe.
    pub async fn ended(&self) {
        let mut changed = self.0.changed.subscribe();
        // The sender lives in us.
        let _ = changed.wait_for(|on| !on).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_let_go() {
        let hold = Hold::default();
        hold.ended().await;
        hold.begin();
        assert!(hold.is_on());
        let waits = tokio::spawn({
            let hold = hold.clone();
            async move { hold.ended().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        hold.end();
        hold.end();
        waits.await.unwrap();
        assert!(!hold.is_on());
    }
}
