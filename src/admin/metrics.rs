//! The metrics: their names in one place, and their way into Prometheus' text format.
//!
//! What happens (counters, histograms) is recorded where it happens, through the `metrics` crate.
//! What *is* (positions, lags, votes) is written out at each scrape from the status document, so that
//! a replica that was removed leaves no stale series behind.

use std::fmt::Write;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::provision::Row;
use super::state::State;
use super::status::Status;
use super::verify::Comparisons;
use crate::shutdown::Shutdown;

/// Seconds: from an fsync on a good disk to a commit that hangs.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];
/// How often histograms are folded, so that their memory is bounded also where nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be recorded: {0}")]
pub struct Error(#[from] metrics_exporter_prometheus::BuildError);

/// Makes this process record metrics. Before the parts start: handles made earlier record nothing.
pub fn install() -> Result<PrometheusHandle, Error> {
    let handle = builder()?.install_recorder()?;
    describe();
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, Error> {
    let suffix = Matcher::Suffix("_seconds".to_owned());
    Ok(PrometheusBuilder::new().set_buckets_for_metric(suffix, SECONDS)?)
}

/// To be run beside the handle, until shutdown.
pub async fn upkeep(handle: PrometheusHandle, shutdown: Shutdown) {
    while shutdown.sleep(UPKEEP).await {
        handle.run_upkeep();
    }
}

/// Every counter of every floor.
const COUNTERS: &[(&str, &str)] = &[
    // failover/
    (
        "ackline_moves_total",
        "Moves of the source, by kind and outcome.",
    ),
    // session/
    (
        "ackline_sessions_total",
        "Application connections accepted.",
    ),
    (
        "ackline_commands_total",
        "Commands relayed to the source, by kind.",
    ),
    (
        "ackline_refused_total",
        "Logins and commands that ackline refused itself, by error code.",
    ),
    // capture/
    (
        "ackline_captured_transactions_total",
        "Transactions received from the source.",
    ),
    (
        "ackline_captured_bytes_total",
        "Bytes of events received from the source.",
    ),
    (
        "ackline_source_attaches_total",
        "Times that capture attached to a source.",
    ),
    (
        "ackline_source_acks_total",
        "Acknowledgements sent to the source.",
    ),
    (
        "ackline_source_escapes_total",
        "Times that a commit may have returned at the source without an acknowledgement.",
    ),
    (
        "ackline_source_incidents_total",
        "INCIDENT events of the source: changes that it could not log, and that no replica has.",
    ),
    (
        "ackline_judged_statements_total",
        "Statements captured in statement format that were judged.",
    ),
    (
        "ackline_unsafe_statements_total",
        "Those that are unsafe in it, by reason.",
    ),
    (
        "ackline_schema_unjudged_statements_total",
        "Those that were not, or not wholly, judged for the reasons that take the schema.",
    ),
    (
        "ackline_origins_lost_total",
        "Transactions whose session could not be written beside our binlog.",
    ),
    // store/
    ("ackline_fsyncs_total", "Group fsyncs of our binlog."),
    (
        "ackline_fsync_failures_total",
        "Fsyncs of our binlog that failed.",
    ),
    (
        "ackline_binlog_purged_files_total",
        "Files of our binlog that were removed.",
    ),
    ("ackline_binlog_purged_bytes_total", "Their size."),
    // ack/
    (
        "ackline_transactions_released_total",
        "Transactions for which the policy in force held.",
    ),
    (
        "ackline_degraded_commits_total",
        "Commits that returned under a weaker policy than asked for.",
    ),
    (
        "ackline_commit_timeouts_total",
        "Times that a commit waited for longer than [sync] timeout.",
    ),
    (
        "ackline_degraded_episodes_total",
        "Times that the policy in force was lowered.",
    ),
    (
        "ackline_unconfirmed_commits_total",
        "Released commits whose confirmation a replica took back.",
    ),
    // ship/
    (
        "ackline_replica_acks_total",
        "Acknowledgements received, by replica.",
    ),
    (
        "ackline_replica_sent_bytes_total",
        "Bytes of events sent, by replica.",
    ),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    (
        "ackline_commit_wait_seconds",
        "From a transaction's arrival here to its release, by mode.",
    ),
    (
        "ackline_session_wait_seconds",
        "From a transaction's release to what its session asked for beyond the policy.",
    ),
    (
        "ackline_hold_seconds",
        "How long a hold kept a login, a command or an answer back.",
    ),
    ("ackline_fsync_seconds", "One group fsync of our binlog."),
];

fn describe() {
    for (name, text) in COUNTERS {
        describe_counter!(*name, *text);
    }
    for (name, text) in HISTOGRAMS {
        describe_histogram!(*name, Unit::Seconds, *text);
    }
}

/// The gauges, from the document that `status` shows.
pub(super) fn gauges(status: &Status) -> String {
    let mut page = Page::default();
    let flag = |yes: bool| f64::from(u8::from(yes));
    page.single(
        "ackline_sessions",
        "Application connections.",
        status.sessions as f64,
    );
    if let Some(limit) = status.sessions_limit {
        page.single(
            "ackline_sessions_limit",
            "One connection more is refused with error 1040.",
            limit as f64,
        );
    }
    page.single(
        "ackline_serving",
        "1 while sessions are served, 0 while they are held.",
        flag(status.hold.is_none()),
    );
    page.single(
        "ackline_degraded",
        "1 while the policy in force is weaker than asked for.",
        flag(status.degraded),
    );
    page.single(
        "ackline_epoch",
        "Grows with each move of the source.",
        status.epoch as f64,
    );
    page.single(
        "ackline_source_attached",
        "1 while capture is attached and the source is proven.",
        flag(status.source.state == "attached"),
    );
    page.single(
        "ackline_commits_waiting",
        "Captured transactions that are not released.",
        status.waiting.commits as f64,
    );
    page.single(
        "ackline_commit_oldest_wait_seconds",
        "How long the oldest of them has waited.",
        status.waiting.oldest_seconds,
    );
    page.single(
        "ackline_sessions_asking",
        "Sessions that wait for what they asked beyond the policy.",
        status.waiting.asking as f64,
    );
    page.single(
        "ackline_degraded_commits_unconfirmed",
        "Commits of a weaker policy that are not confirmed yet.",
        status.degraded_commits.unconfirmed.len() as f64,
    );
    if let Some(format) = &status.binlog.source_format {
        page.single(
            "ackline_source_format_differs",
            "1 while the source's binlog_format is not [binlog] format.",
            flag(!format.eq_ignore_ascii_case(&status.binlog.format)),
        );
    }
    page.single(
        "ackline_binlog_bytes",
        "Size of our binlog.",
        status.binlog.bytes as f64,
    );
    page.single(
        "ackline_binlog_files",
        "Files of our binlog.",
        status.binlog.files as f64,
    );
    let marks = [
        ("written", &status.binlog.written_position),
        ("synced", &status.binlog.synced_position),
        ("released", &status.binlog.released_position),
    ];
    let marks = marks.map(|(name, text)| (name, file_and_offset(text)));
    page.family(
        "ackline_binlog_file",
        "The file of our binlog that a mark is in.",
        "mark",
        marks
            .iter()
            .filter_map(|(name, at)| Some((*name, at.as_ref()?.0))),
    );
    page.family(
        "ackline_binlog_offset_bytes",
        "Where in that file.",
        "mark",
        marks
            .iter()
            .filter_map(|(name, at)| Some((*name, at.as_ref()?.1))),
    );
    let replicas = || status.replicas.iter();
    page.family(
        "ackline_replica_connected",
        "1 while it follows us.",
        "replica",
        replicas().map(|replica| (replica.name.as_str(), flag(replica.state == "streaming"))),
    );
    page.family(
        "ackline_replica_votes",
        "1 while its acknowledgements count.",
        "replica",
        replicas().map(|replica| (replica.name.as_str(), flag(replica.vote))),
    );
    page.family(
        "ackline_replica_lag_seconds",
        "How far what it has applied is behind.",
        "replica",
        replicas().filter_map(|replica| Some((replica.name.as_str(), replica.lag_seconds?))),
    );
    provisioning(&mut page, &status.provisioning);
    verified(&mut page, &status.verify);
    page.family(
        "ackline_certificate_not_after_seconds",
        "When a certificate that we show ends, in Unix time.",
        "file",
        status
            .certificates
            .iter()
            .map(|row| (row.file.as_str(), row.not_after_seconds as f64)),
    );
    page.text
}

fn provisioning(page: &mut Page, rows: &[Row]) {
    let mut family = |name: &str, help: &str, value: fn(&Row) -> f64| {
        let values = rows.iter().map(|row| (row.server.as_str(), value(row)));
        page.family(name, help, "replica", values);
    };
    family(
        "ackline_provisioning",
        "1 while a copy is made there, 0 when the last one has ended.",
        |row| f64::from(row.state == State::Running),
    );
    family(
        "ackline_provisioning_failed",
        "1 where the last copy ended without a replica.",
        |row| f64::from(row.state == State::Failed),
    );
    family(
        "ackline_provisioned_bytes",
        "Rows that are there, as text.",
        |row| row.progress.bytes as f64,
    );
    family(
        "ackline_provisioning_expected_bytes",
        "What the donor's tables hold, by its own estimate.",
        |row| row.progress.expected_bytes as f64,
    );
}

fn verified(page: &mut Page, comparisons: &Comparisons) {
    if let Some(row) = &comparisons.last {
        page.single(
            "ackline_verify_failed",
            "1 where the last comparison of rows did not come to its end.",
            f64::from(row.state == State::Failed),
        );
    }
    let Some(row) = &comparisons.whole else {
        return;
    };
    let counts = [
        ("equal", row.total.equal as f64),
        ("different", row.total.different as f64),
        ("not-compared", row.total.not_compared as f64),
    ];
    page.family(
        "ackline_verify_tables",
        "Tables of the last comparison of all rows, counted on each replica.",
        "result",
        counts.into_iter(),
    );
    page.single(
        "ackline_verify_ended_seconds",
        "When that comparison ended, in Unix time.",
        row.ended_seconds.unwrap_or_default() as f64,
    );
}

/// Of `binlog.000012:3456`.
fn file_and_offset(position: &str) -> Option<(f64, f64)> {
    let (file, offset) = position.rsplit_once(':')?;
    let number = file.rsplit_once('.')?.1;
    Some((number.parse().ok()?, offset.parse().ok()?))
}

/// Prometheus' text format, version 0.0.4.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn single(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, help);
        // Writing into a String does not fail.
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn family<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, help);
        for (of, value) in values {
            let of = of
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            let _ = writeln!(self.text, "{name}{{{label}=\"{of}\"}} {value}");
        }
    }

    fn head(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::admin::status::{CertificateRow, ReplicaRow};

    #[test]
    fn gauges_in_prometheus_own_format() {
        let mut status = Status {
            sessions: 3,
            sessions_limit: Some(151),
            replicas: vec![ReplicaRow {
                name: "a\"b".into(),
                state: "streaming".into(),
                lag_seconds: Some(0.25),
                ..ReplicaRow::default()
            }],
            certificates: vec![CertificateRow {
                file: "/etc/cert.pem".into(),
                not_after_seconds: 67_090_118_400,
                ..CertificateRow::default()
            }],
            ..Status::default()
        };
        status.binlog.released_position = "binlog.000012:3456".into();
        let text = gauges(&status);
        for line in [
            "# TYPE ackline_sessions gauge",
            "ackline_sessions 3",
            "ackline_sessions_limit 151",
            "ackline_serving 1",
            "ackline_binlog_file{mark=\"released\"} 12",
            "ackline_binlog_offset_bytes{mark=\"released\"} 3456",
            "ackline_replica_connected{replica=\"a\\\"b\"} 1",
            "ackline_certificate_not_after_seconds{file=\"/etc/cert.pem\"} 67090118400",
            "ackline_replica_lag_seconds{replica=\"a\\\"b\"} 0.25",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        // A mark that is not known yet is left out, not zero.
        assert!(!text.contains("mark=\"synced\""));
    }

    /// What is recorded anywhere is described here, and the other way round.
    #[test]
    fn what_is_described_is_recorded() {
        fn walk(dir: &std::path::Path, found: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if !path.ends_with("admin/metrics.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    for macro_call in ["counter!(", "histogram!("] {
                        for call in text.split(macro_call).skip(1) {
                            let name = call.trim_start().strip_prefix('"');
                            let name = name.and_then(|rest| rest.split('"').next());
                            found.extend(name.map(str::to_owned));
                        }
                    }
                }
            }
        }
        let mut recorded = BTreeSet::new();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        walk(source.as_ref(), &mut recorded);
        let described = COUNTERS.iter().chain(HISTOGRAMS);
        let described: BTreeSet<_> = described.map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(recorded, described);
    }

    #[test]
    fn waits_have_buckets() {
        let recorder = builder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::histogram!("ackline_fsync_seconds").record(0.000_3);
        });
        let text = recorder.handle().render();
        assert!(
            text.contains("ackline_fsync_seconds_bucket{le=\"0.0005\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("# HELP ackline_fsync_seconds One group fsync"),
            "{text}"
        );
    }
}
