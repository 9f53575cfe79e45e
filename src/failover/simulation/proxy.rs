//! The proxy's parts that a move works with: its binlog, what it keeps beside it, capture, and the
//! acknowledgements.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Bug;
use super::server::Transaction;
use crate::store::state::Intent;

/// What is kept beside the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    pub epoch: u64,
    pub source: usize,
    pub moving: Option<Intent>,
}

/// A dump of the source's, and where it is.
#[derive(Clone, Debug)]
pub struct Link {
    pub server: usize,
    pub epoch: u64,
    /// How much of the source's binlog it has sent.
    pub read: usize,
    /// How much of it has to be released before the source takes writes.
    pub until: Option<usize>,
    pub open: bool,
}

pub struct Proxy {
    pub up: bool,
    pub store: Vec<Transaction>,
    pub synced: usize,
    pub released: usize,
    /// What a restart knows of it.
    pub kept_released: usize,
    pub durable: Durable,
    /// Whom everybody turns to, in which epoch.
    pub present: (usize, u64),
    /// Capture is to follow it.
    pub follows: bool,
    pub link: Option<Link>,
    /// Of a planted bug.
    pub old_link: Option<Link>,
    pub dumps: [bool; 3],
    pub confirmed: [usize; 3],
    /// A move is under way.
    pub moving: bool,
    /// The policy: how many, and whether they must have applied it.
    pub need: usize,
    pub applied: bool,
}

impl Proxy {
    pub fn new(random: &mut ChaCha8Rng) -> Self {
        let durable = Durable {
            epoch: 1,
            source: 0,
            moving: None,
        };
        Self {
            up: true,
            store: Vec::new(),
            synced: 0,
            released: 0,
            kept_released: 0,
            durable,
            present: (0, 1),
            follows: true,
            link: None,
            old_link: None,
            dumps: [false; 3],
            confirmed: [0; 3],
            moving: false,
            need: random.random_range(1..=2),
            applied: random.random_bool(0.3),
        }
    }

    pub fn is_open(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.open)
    }

    /// A replica's dump has ended.
    pub fn hang_up(&mut self, server: usize) {
        self.dumps[server] = false;
        self.confirmed[server] = 0;
    }

    /// The connection to the source has ended.
    pub fn lose(&mut self, server: usize) {
        for link in [&mut self.link, &mut self.old_link] {
            if link.as_ref().is_some_and(|link| link.server == server) {
                *link = None;
            }
        }
    }

    /// Nobody is acknowledged to from here on.
    pub fn rest(&mut self, bug: Option<Bug>) {
        self.follows = false;
        if bug == Some(Bug::AckInOldEpoch) {
            self.old_link = self.link.take();
        }
    }

    pub fn follow(&mut self, server: usize, epoch: u64) {
        self.present = (server, epoch);
        self.follows = true;
        self.link = None;
    }
}
