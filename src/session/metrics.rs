//! What sessions count.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::sql::Kind;

/// Handles are looked up once; counting is one atomic addition.
#[derive(Clone)]
pub struct Metrics {
    sessions: Counter,
    reads: Counter,
    writes: Counter,
    commits: Counter,
    others: Counter,
    hold: Histogram,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers with the recorder that is installed at this moment.
    pub fn new() -> Self {
        let commands = |kind| counter!("ackline_commands_total", "kind" => kind);
        Self {
            sessions: counter!("ackline_sessions_total"),
            reads: commands("read"),
            writes: commands("write"),
            commits: commands("commit"),
            others: commands("other"),
            hold: histogram!("ackline_hold_seconds"),
        }
    }

    pub fn session(&self) {
        self.sessions.increment(1);
    }

    pub fn command(&self, kind: Kind) {
        match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
            Kind::Commit => &self.commits,
            _ => &self.others,
        }
        .increment(1);
    }

    /// How long a hold kept a login, a command or an answer back.
    pub fn hold(&self, wait: Duration) {
        self.hold.record(wait);
    }

    /// A login or command that we refused ourselves.
    pub fn refused(&self, code: u16) {
        counter!("ackline_refused_total", "code" => code.to_string()).increment(1);
    }
}
