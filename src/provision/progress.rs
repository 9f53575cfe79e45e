//! How far a copy is, for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Counted by those who copy.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    copying: Mutex<Option<Instant>>,
    phase: Mutex<String>,
    waits_for: Mutex<Option<String>>,
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    pub tables: AtomicU64,
    expected_bytes: AtomicU64,
    expected_tables: AtomicU64,
}

/// As `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What is done now, for people.
    pub phase: String,
    /// Why the server takes nothing now; null where it does.
    pub waits_for: Option<String>,
    pub seconds: u64,
    pub rows: u64,
    /// Of their text, as it was sent.
    pub bytes: u64,
    /// What the donor's tables hold, by its own estimate.
    pub expected_bytes: u64,
    /// Of all of them, so many are complete.
    pub tables: u64,
    pub expected_tables: u64,
    /// By the rate so far; null until that tells anything.
    pub left_seconds: Option<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            copying: Mutex::default(),
            phase: Mutex::default(),
            waits_for: Mutex::default(),
            rows: AtomicU64::default(),
            bytes: AtomicU64::default(),
            tables: AtomicU64::default(),
            expected_bytes: AtomicU64::default(),
            expected_tables: AtomicU64::default(),
        }
    }
}

impl Progress {
    pub fn enters(&self, phase: impl Into<String>) {
        let phase = phase.into();
        tracing::info!(%phase, "provisioning goes on");
        *self.phase.lock() = phase;
    }

    /// The server takes nothing for this reason; None: it does again.
    pub fn waits(&self, why: Option<String>) {
        let mut waits_for = self.waits_for.lock();
        if *waits_for != why {
            if let Some(why) = &why {
                tracing::warn!(%why, "the server that is provisioned is waited for");
            }
            *waits_for = why;
        }
    }

    /// Rows are on their way from now on. What was copied before is not: the read point is a new one.
    pub fn copies(&self, bytes: u64, tables: u64) {
        *self.copying.lock() = Some(Instant::now());
        self.expected_bytes.store(bytes, Ordering::Relaxed);
        self.expected_tables.store(tables, Ordering::Relaxed);
        for counter in [&self.rows, &self.bytes, &self.tables] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// So much is to come, by what the server says now.
    pub fn expects(&self, bytes: u64) {
        self.copying.lock().get_or_insert_with(Instant::now);
        self.expected_bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn shown(&self) -> Shown {
        let [rows, bytes, tables, expected_bytes, expected_tables] = [
            &self.rows,
            &self.bytes,
            &self.tables,
            &self.expected_bytes,
            &self.expected_tables,
        ]
        .map(|counter| counter.load(Ordering::Relaxed));
        let copying = self.copying.lock().map(|begun| begun.elapsed());
        Shown {
            phase: self.phase.lock().clone(),
            waits_for: self.waits_for.lock().clone(),
            seconds: self.begun.elapsed().as_secs(),
            rows,
            bytes,
            expected_bytes,
            tables,
            expected_tables,
            left_seconds: copying.and_then(|elapsed| left(elapsed, bytes, expected_bytes)),
        }
    }
}

fn left(elapsed: Duration, bytes: u64, expected: u64) -> Option<u64> {
    let rest = expected.saturating_sub(bytes);
    let tells = bytes > 0 && rest > 0 && elapsed > Duration::from_secs(2);
    tells.then(|| (elapsed.as_secs_f64() * rest as f64 / bytes as f64).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_the_rate() {
        let seconds = Duration::from_secs;
        assert_eq!(left(seconds(10), 100, 300), Some(20));
        assert_eq!(left(seconds(1), 100, 300), None);
        assert_eq!(left(seconds(10), 0, 300), None);
        // More than it was thought to be.
        assert_eq!(left(seconds(10), 400, 300), None);
    }
}
