//! Gate 2: who waits for which transaction, and which ones are released.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::gtid::{Gtid, GtidSet};

/// Names one waiter, for its leaving early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Invariant: no GTID of `waiters` is in `released`, and none has an empty list.
#[derive(Debug, Default)]
pub(super) struct Parked {
    released: GtidSet,
    waiters: HashMap<Gtid, Vec<(Ticket, oneshot::Sender<()>)>>,
    next: u64,
}

impl Parked {
    pub(super) fn new(released: GtidSet) -> Self {
        Self {
            released,
            ..Self::default()
        }
    }

    pub(super) fn released(&self) -> &GtidSet {
        &self.released
    }

    /// None where there is nothing to wait for.
    pub(super) fn park(&mut self, gtid: &Gtid) -> Option<(Ticket, oneshot::Receiver<()>)> {
        if self.released.contains(gtid) {
            return None;
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        let (sender, receiver) = oneshot::channel();
        let waiters = self.waiters.entry(gtid.clone()).or_default();
        waiters.push((ticket, sender));
        Some((ticket, receiver))
    }

    /// The waiter has left; its sender is for the caller to drop, outside of any lock.
    pub(super) fn leave(&mut self, gtid: &Gtid, ticket: Ticket) -> Option<oneshot::Sender<()>> {
        let waiters = self.waiters.get_mut(gtid)?;
        let index = waiters.iter().position(|(own, _)| *own == ticket)?;
        let (_, sender) = waiters.swap_remove(index);
        if waiters.is_empty() {
            self.waiters.remove(gtid);
        }
        Some(sender)
    }

    /// Whom to wake, outside of any lock.
    pub(super) fn release(&mut self, gtid: &Gtid, wake: &mut Vec<oneshot::Sender<()>>) {
        self.released.insert(gtid);
        if let Some(waiters) = self.waiters.remove(gtid) {
            wake.extend(waiters.into_iter().map(|(_, sender)| sender));
        }
    }

    /// The same for all of a set.
    pub(super) fn release_all(&mut self, set: &GtidSet, wake: &mut Vec<oneshot::Sender<()>>) {
        self.released.merge(set);
        let freed: Vec<Gtid> = self
            .waiters
            .keys()
            .filter(|gtid| set.contains(gtid))
            .cloned()
            .collect();
        for gtid in freed {
            self.release(&gtid, wake);
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiters.values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gtid(text: &str) -> Gtid {
        text.parse().unwrap()
    }

    #[test]
    fn a_released_transaction_wakes_all_who_wait_for_it_and_nobody_else() {
        let mut parked = Parked::new("0-1-1..4".parse().unwrap());
        assert!(parked.park(&gtid("0-1-4")).is_none(), "released before");
        let (_, mut first) = parked.park(&gtid("0-1-5")).unwrap();
        let (_, mut second) = parked.park(&gtid("0-1-5")).unwrap();
        let (_, mut other) = parked.park(&gtid("0-2-5")).unwrap();
        let mut wake = Vec::new();
        parked.release(&gtid("0-1-5"), &mut wake);
        for sender in wake.drain(..) {
            sender.send(()).unwrap();
        }
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(other.try_recv().is_err());
        assert_eq!(parked.len(), 1);
        assert!(parked.park(&gtid("0-1-5")).is_none());
        parked.release_all(&"0-2-1..9".parse().unwrap(), &mut wake);
        assert_eq!((parked.len(), wake.len()), (0, 1));
    }

    #[test]
    fn who_leaves_leaves_nothing_behind() {
        let mut parked = Parked::default();
        let (first, _r1) = parked.park(&gtid("0-1-5")).unwrap();
        let (second, _r2) = parked.park(&gtid("0-1-5")).unwrap();
        assert!(parked.leave(&gtid("0-1-5"), first).is_some());
        assert!(parked.leave(&gtid("0-1-5"), first).is_none(), "once");
        assert_eq!(parked.len(), 1);
        assert!(parked.leave(&gtid("0-1-5"), second).is_some());
        assert!(parked.waiters.is_empty());
    }
}
