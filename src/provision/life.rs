//! Whether a server was started anew.

use std::time::{Duration, Instant};

use crate::net;
use crate::net::admin::Admin;

/// A server's, from one start to its end: for how long it had run at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    at: Instant,
    uptime: Duration,
}

impl Life {
    /// It counts whole seconds.
    const WITHIN: Duration = Duration::from_secs(2);

    pub(super) async fn of(admin: &mut Admin) -> Result<Self, net::Error> {
        let uptime = admin.status("Uptime").await?;
        let seconds = uptime.and_then(|uptime| uptime.parse().ok()).unwrap_or(0);
        Ok(Self {
            at: Instant::now(),
            uptime: Duration::from_secs(seconds),
        })
    }

    pub(super) fn is_same(&self, earlier: &Self) -> bool {
        self.uptime + Self::WITHIN >= earlier.uptime + (self.at - earlier.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_known_by_the_uptime() {
        let at = Instant::now();
        let life = |after: u64, uptime: u64| Life {
            at: at + Duration::from_secs(after),
            uptime: Duration::from_secs(uptime),
        };
        for (now, is_same) in [
            (life(60, 65), true),
            (life(60, 64), true),
            // For longer than before, and not the same.
            (life(60, 40), false),
            (life(60, 0), false),
        ] {
            assert_eq!(now.is_same(&life(0, 5)), is_same, "{now:?}");
        }
    }
}
