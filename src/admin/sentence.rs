//! Where commits wait: one sentence that says how many, for how long, and for whom.

use std::time::Duration;

/// A server whose confirmation is missing, and what it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing<'a> {
    pub name: &'a str,
    /// As in the status document: `disconnected`, `streaming`, …
    pub state: &'a str,
}

/// What the policy asks for, as far as a sentence about it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// So many of them, at this level.
    Of {
        count: usize,
        level: String,
    },
    Majority {
        level: String,
    },
    All {
        level: String,
    },
    /// A requirement of its own, in its own words.
    Text(String),
}

/// "3 commits wait, the oldest for 12.4 s: mode semi-sync needs 1 of replica1, replica2 (received);
/// both are disconnected". Empty where nothing waits.
pub fn sentence(
    commits: usize,
    oldest: Duration,
    mode: &str,
    need: &Need,
    missing: &[Missing<'_>],
) -> String {
    if commits == 0 {
        return String::new();
    }
    let waited = oldest.as_secs_f64();
    let who_waits = match commits {
        1 => format!("1 commit waits for {waited:.1} s"),
        more => format!("{more} commits wait, the oldest for {waited:.1} s"),
    };
    if missing.is_empty() {
        return format!("{who_waits}: our own binlog is not on disk yet");
    }
    let names = missing
        .iter()
        .map(|server| server.name)
        .collect::<Vec<_>>()
        .join(", ");
    let needs = match need {
        Need::Of { count, level } => format!("needs {count} of {names} ({level})"),
        Need::Majority { level } => {
            format!("needs a majority and lacks {names} ({level})")
        }
        Need::All { level } => format!("needs {names} ({level})"),
        Need::Text(requirement) => format!("needs {requirement} and lacks {names}"),
    };
    format!("{who_waits}: mode {mode} {needs}; {}", states(missing))
}

/// "2 sessions wait for more than the policy asks, the oldest for 3.2 s: replica2 to confirm
/// applied". Empty where none does.
pub fn asking(sessions: usize, oldest: Duration, lacks: &str) -> String {
    let waited = oldest.as_secs_f64();
    match sessions {
        0 => String::new(),
        1 => format!("1 session has waited {waited:.1} s for more than the policy asks: {lacks}"),
        more => format!(
            "{more} sessions wait for more than the policy asks, the oldest for {waited:.1} s: {lacks}"
        ),
    }
}

fn states(missing: &[Missing<'_>]) -> String {
    let all_the_same = missing
        .windows(2)
        .all(|pair| pair[0].state == pair[1].state);
    match missing {
        [] => String::new(),
        [one] => format!("it is {}", one.state),
        [one, _] if all_the_same => format!("both are {}", one.state),
        [one, ..] if all_the_same => format!("all of them are {}", one.state),
        several => several
            .iter()
            .map(|server| format!("{} is {}", server.name, server.state))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn server<'a>(name: &'a str, state: &'a str) -> Missing<'a> {
        Missing { name, state }
    }

    #[test]
    fn says_what_sessions_ask() {
        let wait = Duration::from_millis(3_210);
        assert_eq!(asking(0, wait, ""), "");
        assert_eq!(
            asking(1, wait, "db2 to confirm applied"),
            "1 session has waited 3.2 s for more than the policy asks: db2 to confirm applied"
        );
        assert!(
            asking(2, wait, "db2")
                .starts_with("2 sessions wait for more than the policy asks, the")
        );
    }

    #[test]
    fn says_for_whom() {
        let one = Need::Of {
            count: 1,
            level: "received".into(),
        };
        let all = Need::All {
            level: "applied".into(),
        };
        let majority = Need::Majority {
            level: "received".into(),
        };
        let custom = Need::Text("ANY 1 (zone:b) durable".into());
        let (gone, here) = (
            server("replica1", "disconnected"),
            server("replica2", "streaming"),
        );
        let both = [gone, server("replica2", "disconnected")];
        let wait = Duration::from_millis(12_400);
        for (commits, mode, need, missing, says) in [
            (0, "semi-sync", &one, &both[..], ""),
            (
                3,
                "semi-sync",
                &one,
                &both,
                "3 commits wait, the oldest for 12.4 s: mode semi-sync needs 1 of replica1, replica2 (received); both are disconnected",
            ),
            (
                1,
                "sync",
                &all,
                &[gone],
                "1 commit waits for 12.4 s: mode sync needs replica1 (applied); it is disconnected",
            ),
            (
                2,
                "quorum",
                &majority,
                &[gone, here],
                "2 commits wait, the oldest for 12.4 s: mode quorum needs a majority and lacks replica1, replica2 (received); replica1 is disconnected, replica2 is streaming",
            ),
            (
                1,
                "custom",
                &custom,
                &[here],
                "1 commit waits for 12.4 s: mode custom needs ANY 1 (zone:b) durable and lacks replica2; it is streaming",
            ),
            (
                1,
                "semi-sync",
                &one,
                &[],
                "1 commit waits for 12.4 s: our own binlog is not on disk yet",
            ),
        ] {
            assert_eq!(sentence(commits, wait, mode, need, missing), says);
        }
    }
}
