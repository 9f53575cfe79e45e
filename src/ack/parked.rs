//! Gate 2: the sessions whose commit is not released yet, parked by GTID.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::gtid::mariadb::Position;
use crate::gtid::{Gtid, GtidSet};

#[derive(Debug, Default)]
pub struct Parked {
    released: GtidSet,
    waiting: HashMap<Gtid, Vec<oneshot::Sender<()>>>,
}

impl Parked {
    pub fn new(released: GtidSet) -> Self {
        Self {
            released,
            waiting: HashMap::new(),
        }
    }

    pub fn is_released(&self, gtid: &Gtid) -> bool {
        self.released.contains(gtid)
    }

    /// Whether the last transaction of every domain of the position is released; in a domain they are
    /// released in order.
    pub fn is_position_released(&self, position: &Position) -> bool {
        position
            .iter()
            .all(|gtid| self.released.contains(&Gtid::MariaDb(gtid)))
    }

    /// None where there is nothing to wait for.
    pub fn park(&mut self, gtid: &Gtid) -> Option<oneshot::Receiver<()>> {
        if self.is_released(gtid) {
            return None;
        }
        let (wake, woken) = oneshot::channel();
        let waiters = self.waiting.entry(gtid.clone()).or_default();
        // Those who left (a client's disconnect) are not kept.
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(wake);
        Some(woken)
    }

    pub fn release(&mut self, gtid: &Gtid) {
        self.released.insert(gtid);
        for waiter in self.waiting.remove(gtid).unwrap_or_default() {
            // It may have left.
            let _ = waiter.send(());
        }
    }

    /// Forgets GTIDs that only those waited for who have left.
    pub fn sweep(&mut self) {
        self.waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
    }

    pub fn released(&self) -> &GtidSet {
        &self.released
    }
}
