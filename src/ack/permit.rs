//! The right to acknowledge. Its fields are private to this folder, so nothing else in the program
//! can make one: where an ack goes out to the source, the policy has held.

use crate::ids::{Epoch, StorePosition};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckPermit {
    epoch: Epoch,
    position: StorePosition,
}

impl AckPermit {
    pub(super) fn new(epoch: Epoch, position: StorePosition) -> Self {
        Self { epoch, position }
    }

    /// The epoch in which it was given; worth nothing in another one.
    pub fn epoch(self) -> Epoch {
        self.epoch
    }

    /// Everything up to here is released.
    pub fn position(self) -> StorePosition {
        self.position
    }
}
