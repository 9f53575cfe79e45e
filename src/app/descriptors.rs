//! Open files: how many we may have, and how many sessions that is enough for.
//!
//! Without a descriptor no binlog file can be begun, and no replica or administrator is let in. So
//! sessions, which need two each, leave some to the rest.

use rustix::process::{Resource, getrlimit, setrlimit};

/// For binlog files, replicas, questions to servers and the admin port; fewer where there are few.
const RESERVED: u64 = 256;

/// How many open files we may have. None: as many as we like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors(Option<u64>);

/// Raises the soft limit to the hard one, and says so.
pub fn raise() -> Descriptors {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        let raised = rustix::process::Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => {
                tracing::info!(?before, now = ?raised.current, "open files: the soft limit is raised to the hard one");
                limit = raised;
            }
            Err(error) => tracing::warn!(%error, "open files: the soft limit was not raised"),
        }
    }
    Descriptors(limit.current)
}

impl Descriptors {
    /// `configured` is 0 where only the descriptors limit them.
    pub fn limit_of_sessions(self, configured: usize) -> Option<usize> {
        let fit = self.0.map(|all| {
            let reserved = RESERVED.min(all / 4);
            usize::try_from((all - reserved) / 2).unwrap_or(usize::MAX)
        });
        let wanted = (configured > 0).then_some(configured);
        if let (Some(fit), Some(wanted)) = (fit, wanted)
            && wanted > fit
        {
            tracing::warn!(
                max_connections = wanted,
                fit,
                "open files are not enough for max_connections: raise the hard limit (ulimit -Hn, LimitNOFILE)"
            );
        }
        fit.into_iter().chain(wanted).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_leave_some_descriptors_to_the_rest() {
        for (all, configured, limit) in [
            (Some(20_000), 0, Some(9_872)),
            (Some(20_000), 151, Some(151)),
            (Some(20_000), 10_000, Some(9_872)),
            (Some(256), 0, Some(96)),
            (Some(0), 0, Some(0)),
            (Some(u64::MAX), 0, Some((usize::MAX - 256) / 2)),
            (None, 0, None),
            (None, 7, Some(7)),
        ] {
            let found = Descriptors(all).limit_of_sessions(configured);
            assert_eq!(found, limit, "{all:?} {configured}");
        }
    }
}
