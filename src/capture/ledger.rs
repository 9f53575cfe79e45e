//! What the source sent on **this** connection and still waits for.
//!
//! Promise 3: an ack names only a position that was sent to us on this connection. A ledger lives as
//! long as one dump connection and knows no other positions, so an ack it hands out cannot break that
//! half of the promise; the other half (released, synced) is the permit's.

use std::collections::VecDeque;

use crate::ids::{SourcePosition, StorePosition};

#[derive(Debug, Default)]
pub struct Ledger {
    /// Oldest first. Only transactions whose last event asked for an ack: a source that does not
    /// wait needs none, so a long catch-up does not fill this queue.
    waiting: VecDeque<(StorePosition, SourcePosition)>,
    /// The newest that an ack went out for.
    acked: Option<SourcePosition>,
    /// It went out with too low a number.
    again: bool,
}

impl Ledger {
    /// A transaction that ends at `ours` in our store and at `theirs` in the source's binlog, for
    /// which the source waits.
    pub fn wanted(&mut self, ours: StorePosition, theirs: SourcePosition) {
        debug_assert!(self.waiting.back().is_none_or(|(last, _)| *last <= ours));
        self.waiting.push_back((ours, theirs));
    }

    /// The one ack that answers for everything permitted: acks are cumulative.
    pub fn due(&mut self, permitted: StorePosition) -> Option<SourcePosition> {
        let mut ack = None;
        if std::mem::take(&mut self.again) {
            ack = self.acked.clone();
        }
        while let Some((ours, _)) = self.waiting.front() {
            if *ours > permitted {
                break;
            }
            ack = self.waiting.pop_front().map(|(_, theirs)| theirs);
        }
        if ack.is_some() {
            self.acked.clone_from(&ack);
        }
        ack
    }

    /// What was told of this file has higher numbers: the source counts beyond what its events say.
    pub fn raise(&mut self, file: &str, by: u64) {
        let waiting = self.waiting.iter_mut().map(|(_, theirs)| theirs);
        for theirs in waiting.filter(|theirs| *theirs.file == *file) {
            theirs.offset += by;
        }
        if let Some(acked) = self.acked.as_mut().filter(|acked| *acked.file == *file) {
            acked.offset += by;
            self.again = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theirs(offset: u64) -> SourcePosition {
        SourcePosition {
            file: "bin.000001".into(),
            offset,
        }
    }

    #[test]
    fn one_ack_answers_for_all_up_to_the_permit_and_none_beyond() {
        let mut ledger = Ledger::default();
        for n in 1..=4 {
            ledger.wanted(StorePosition::new(1, n * 100), theirs(n * 10));
        }
        assert_eq!(ledger.due(StorePosition::new(1, 99)), None);
        assert_eq!(ledger.due(StorePosition::new(1, 399)), Some(theirs(30)));
        assert_eq!(
            ledger.due(StorePosition::new(1, 399)),
            None,
            "an ack is sent once"
        );
        assert_eq!(ledger.due(StorePosition::new(2, 0)), Some(theirs(40)));
        assert!(ledger.waiting.is_empty());
    }

    #[test]
    fn an_ack_with_too_low_a_number_is_sent_again() {
        let mut ledger = Ledger::default();
        let permitted = StorePosition::new(1, 100);
        ledger.wanted(permitted, theirs(10));
        ledger.wanted(StorePosition::new(1, 200), theirs(20));
        assert_eq!(ledger.due(permitted), Some(theirs(10)));
        ledger.raise("bin.000002", 1 << 32);
        assert_eq!(ledger.due(permitted), None);
        ledger.raise("bin.000001", 1 << 32);
        assert_eq!(ledger.due(permitted), Some(theirs((1 << 32) + 10)));
        assert_eq!(ledger.due(permitted), None);
        let all = StorePosition::new(1, 200);
        assert_eq!(ledger.due(all), Some(theirs((1 << 32) + 20)));
    }
}
