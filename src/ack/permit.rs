//! The right to acknowledge to the source.

use super::engine::Engine;
use super::still::Bound;
use crate::ids::{Epoch, StorePosition};

/// May be turned into acks to the source of this epoch, for everything up to this position of ours.
///
/// Only [`permit`] makes one, so whoever holds one need not ask again whether the policy held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckPermit {
    epoch: Epoch,
    position: StorePosition,
}

impl AckPermit {
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn position(&self) -> StorePosition {
        self.position
    }
}

/// **May this ack go out?** Decided here and nowhere else (promise 3): up to where everything is in
/// our store, fsynced unless the mode is `async`, and released under the policy in force
/// (`Engine::acknowledgeable`), and nothing beyond the place where somebody keeps the source still
/// ([`Bound`]). That the position was sent on the connection that is acked is capture's half of the promise
/// (`capture::link`, `Link::acknowledge`).
pub(super) fn permit(engine: &Engine, epoch: Epoch, still: Option<&Bound>) -> Option<AckPermit> {
    let position = engine.acknowledgeable()?;
    let position = still.map_or(position, |bound| position.min(bound.at));
    Some(AckPermit { epoch, position })
}
