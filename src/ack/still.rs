//! A moment in which nothing more is acknowledged to the source, so that nothing is committed there: who copies it reads
//! all its rows as of one GTID set. Commits wait as long, so it is short, and ends by itself.

use std::time::Duration;

use super::Acks;
use crate::gtid::GtidSet;
use crate::ids::StorePosition;

/// Permits end here until then, whoever forgets them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub at: StorePosition,
    until: Duration,
    number: u64,
}

impl Bound {
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.until
    }
}

/// Acknowledgements go out again when it is dropped, or its time is over.
pub struct Still {
    acks: Acks,
    number: u64,
    released: GtidSet,
}

impl Acks {
    /// None where somebody else has a moment like this, or not all that is released may be acknowledged yet.
    pub fn still(&self, longest: Duration) -> Option<Still> {
        self.change(|gate, now| {
            let at = gate.engine.acknowledgeable()?;
            if gate.still.is_some() || at != gate.engine.released() {
                return None;
            }
            gate.stills += 1;
            let number = gate.stills;
            gate.still = Some(Bound {
                at,
                until: now + longest,
                number,
            });
            Some(Still {
                acks: self.clone(),
                number,
                released: gate.parked.released().clone(),
            })
        })
    }
}

impl Still {
    /// All that the source was told, or will be, that we have.
    pub fn released(&self) -> &GtidSet {
        &self.released
    }

    /// Whether nothing more went out up to now.
    pub fn stands(&self) -> bool {
        let gate = self.acks.0.gate.lock();
        gate.still.is_some_and(|bound| bound.number == self.number)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.acks.change(|gate, _| {
            gate.still = gate.still.filter(|bound| bound.number != self.number);
        });
    }
}
