//! A session's part of `ackline trace`: when its commit was relayed, answered and shown.

use std::time::Instant;

use crate::gtid::Gtid;
use crate::stages;

/// Of one command, while stamps are kept.
#[derive(Debug)]
pub(super) struct Stamp {
    relayed: Instant,
    committed: Option<(Gtid, Instant)>,
}

impl Stamp {
    /// The command is at the source.
    pub(super) fn relayed() -> Option<Box<Self>> {
        stages::is_on().then(|| {
            Box::new(Self {
                relayed: Instant::now(),
                committed: None,
            })
        })
    }

    pub(super) fn answered(&mut self, gtid: &Gtid) {
        self.committed = Some((gtid.clone(), Instant::now()));
    }

    /// The client has its answer.
    pub(super) fn shown(self) {
        if let Some((gtid, answered)) = self.committed {
            let session = stages::Session {
                relayed: self.relayed,
                answered,
                shown: Instant::now(),
            };
            stages::session(&gtid, session);
        }
    }
}
