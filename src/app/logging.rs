//! Whether the source logs as it was asked to, and durably. Ackline sets the former at each attach; whoever may can set
//! it otherwise afterwards, and then it is said: once in the log, and in `status` as long as it lasts.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::roster::Servers;
use crate::capture::State;
use crate::config::Config;
use crate::ids::Flavor;
use crate::shutdown::Shutdown;
use crate::topology::{Health, Report, Role};

/// As often as servers are asked.
const PERIOD: Duration = Duration::from_secs(1);

/// The source's own word, newer than our attach; empty while there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// Its `binlog_format`.
    pub format: Option<String>,
    /// What it does otherwise, in sentences.
    pub deviations: Vec<String>,
}

/// What it takes to tell.
pub struct Watch {
    pub config: Arc<ArcSwap<Config>>,
    pub capture: watch::Receiver<State>,
    pub servers: Arc<Servers>,
    /// What there is to tell now.
    pub logging: Arc<Mutex<Logging>>,
}

/// What the source says that has been asked since then.
fn asked_since(watch: &Watch, since: Instant) -> Option<Logging> {
    let servers = watch.servers.list();
    let source = servers
        .iter()
        .find(|server| server.config.role == Role::Source)?;
    match source.now() {
        Health::Up { report, at } if at > since => Some(Logging {
            format: Some(report.binlog_format.to_ascii_lowercase()),
            deviations: compared(&report, &watch.config.load().binlog.format.to_string()),
        }),
        _ => None,
    }
}

fn compared(report: &Report, wanted: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !report.binlog_format.eq_ignore_ascii_case(wanted) {
        found.push(format!(
            "the source's binlog_format is {} and [binlog] format is \"{wanted}\": new sessions log in {} until \
             SET GLOBAL binlog_format={} is run there (ackline doctor --fix)",
            report.binlog_format,
            report.binlog_format,
            wanted.to_ascii_uppercase()
        ));
    }
    if !report.row_statements {
        let variable = match report.flavor {
            Flavor::MariaDb => "binlog_annotate_row_events",
            Flavor::MySql => "binlog_rows_query_log_events",
        };
        found.push(format!(
            "the source's {variable} is OFF: rows are logged without their statements until it is set ON there \
             (ackline doctor --fix)"
        ));
    }
    found.extend(report.loses_by().iter().map(|(variable, value)| {
        format!(
            "the source's {variable} is {value}: after a power cut it may lack what was acknowledged, and use its GTIDs \
             again, until SET GLOBAL {variable}=1 is run there (ackline doctor --fix)"
        )
    }));
    found
}

/// Keeps it up to date and writes a line at each change.
pub(super) fn start(watch: Watch, shutdown: &Shutdown) {
    let ending = shutdown.clone();
    shutdown.spawn(async move {
        let mut attached = None;
        // What was said last, across attaches.
        let mut said = Vec::new();
        while ending.sleep(PERIOD).await {
            if *watch.capture.borrow() != State::Attached {
                attached = None;
                *watch.logging.lock() = Logging::default();
                continue;
            }
            // An answer from before may be older than what the attach has set.
            let since = *attached.get_or_insert_with(Instant::now);
            let Some(logging) = asked_since(&watch, since) else {
                continue;
            };
            say(&said, &logging.deviations);
            said.clone_from(&logging.deviations);
            *watch.logging.lock() = logging;
        }
    });
}

fn say(before: &[String], now: &[String]) {
    for deviation in now.iter().filter(|new| !before.contains(new)) {
        tracing::warn!("{deviation}");
    }
    if now.is_empty() && !before.is_empty() {
        tracing::info!("the source logs as it is asked to again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::report::tests::good_replica;

    #[test]
    fn what_differs_is_said() {
        let mut report = good_replica();
        report.row_statements = true;
        report.binlog_format = "MIXED".into();
        assert!(compared(&report, "mixed").is_empty());
        let said = compared(&report, "row");
        assert!(said[0].contains("binlog_format is MIXED and [binlog] format is \"row\""));
        assert!(said[0].contains("SET GLOBAL binlog_format=ROW"));
        report.row_statements = false;
        assert_eq!(compared(&report, "mixed").len(), 1);
        report.row_statements = true;
        report.sync_binlog = 0;
        assert!(compared(&report, "mixed")[0].contains("SET GLOBAL sync_binlog=1"));
    }
}
