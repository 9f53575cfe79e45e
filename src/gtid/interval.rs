//! Sorted, disjoint, non-adjacent inclusive intervals: the numbers of one origin.

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.covers(number, number)
    }

    /// Whether all of `first..=last` is in here; being non-adjacent, one interval must hold it.
    pub(super) fn covers(&self, first: u64, last: u64) -> bool {
        let after = self.0.partition_point(|&(start, _)| start <= first);
        after > 0 && self.0[after - 1].1 >= last
    }

    pub(super) fn insert(&mut self, first: u64, last: u64) {
        debug_assert!(first <= last);
        // The way of a running store: the next number of the last interval.
        match self.0.last_mut() {
            None => return self.0.push((first, last)),
            Some(tail) if first > tail.1 => {
                if first == tail.1 + 1 {
                    tail.1 = last;
                } else {
                    self.0.push((first, last));
                }
                return;
            }
            Some(_) => {}
        }
        // All intervals that touch or adjoin the new one become one with it.
        let from = self
            .0
            .partition_point(|&(_, end)| end < first.saturating_sub(1));
        let to = self
            .0
            .partition_point(|&(start, _)| start <= last.saturating_add(1));
        let mut merged = (first, last);
        for &(start, end) in &self.0[from..to] {
            merged = (merged.0.min(start), merged.1.max(end));
        }
        self.0.splice(from..to, [merged]);
    }

    pub(super) fn remove(&mut self, first: u64, last: u64) {
        debug_assert!(first <= last);
        let from = self.0.partition_point(|&(_, end)| end < first);
        let to = self.0.partition_point(|&(start, _)| start <= last);
        if from >= to {
            return;
        }
        let head = (self.0[from].0 < first).then(|| (self.0[from].0, first - 1));
        let tail = (self.0[to - 1].1 > last).then(|| (last + 1, self.0[to - 1].1));
        self.0.splice(from..to, head.into_iter().chain(tail));
    }
}
