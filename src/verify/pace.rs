//! How many rows a range has, so that its statement takes about as long as it should.

use std::time::Duration;

const FEWEST: u64 = 100;
const MOST: u64 = 100_000;
const FIRST: u64 = 1000;
/// One quick range does not make the next one a hundred times as long.
const STEP: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    rows: u64,
    /// So long a range may take.
    wanted: Duration,
}

impl Pace {
    pub fn new(wanted: Duration) -> Self {
        Self {
            rows: FIRST,
            wanted,
        }
    }

    pub fn wants(&mut self, range: Duration) {
        self.wanted = range;
    }

    pub fn rows(self) -> u64 {
        self.rows
    }

    /// After a range that was begun with [`Self::rows`]. `tell` is what the second statement took, which does no work but
    /// commits as the first one does.
    pub fn took(&mut self, compute: Duration, tell: Duration) {
        let work = compute.saturating_sub(tell).max(Duration::from_millis(1));
        let rows = u128::from(self.rows) * self.wanted.as_micros() / work.as_micros();
        let rows = u64::try_from(rows).unwrap_or(MOST);
        self.rows = rows
            .clamp(self.rows / STEP, self.rows * STEP)
            .clamp(FEWEST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_to_the_wanted_time_and_stays_within_bounds() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(ms(50));
        // 10 us a row, and a commit that takes 30 ms.
        for _ in 0..10 {
            let compute = Duration::from_micros(10 * pace.rows()) + ms(30);
            pace.took(compute, ms(30));
        }
        assert_eq!(pace.rows(), 5000);
        for _ in 0..10 {
            pace.took(ms(1), ms(30));
        }
        assert_eq!(pace.rows(), MOST);
        pace.took(ms(60_000), ms(1));
        assert_eq!(pace.rows(), MOST / STEP);
        for _ in 0..10 {
            pace.took(ms(60_000), ms(1));
        }
        assert_eq!(pace.rows(), FEWEST);
    }
}
