//! `ackline status`: the table that a DBA looks at first.

use std::path::Path;
use std::time::Duration;

use super::Failure;
use super::client::Client;
use super::table::aligned;
use crate::admin::provision::Row;
use crate::admin::status::Status;

const EVERY: Duration = Duration::from_secs(1);
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) async fn run(config: &Path, json: bool, watch: bool) -> Result<(), Failure> {
    let client = Client::new(config)?;
    loop {
        let text = if json {
            let status: serde_json::Value = client.get("/api/v1/status").await?;
            format!("{}\n", serde_json::to_string_pretty(&status)?)
        } else {
            table(&client.get("/api/v1/status").await?)
        };
        if !watch {
            print!("{text}");
            return Ok(());
        }
        print!("{}{text}", if json { "" } else { CLEAR });
        tokio::time::sleep(EVERY).await;
    }
}

fn table(status: &Status) -> String {
    let source = &status.source;
    let mut text = format!(
        "mode      {}  ({}){}\nsource    {}  {}  {}  {}\nsessions  {}\nreleased  {}  (synced {}, written {}; {} files, {:.1} MiB)\n",
        status.mode,
        status.require,
        if status.degraded {
            "  DEGRADED: commits return on our own binlog alone"
        } else {
            ""
        },
        source.name,
        source.flavor,
        source.address,
        source.state,
        sessions(status),
        status.binlog.released_position,
        status.binlog.synced_position,
        status.binlog.written_position,
        status.binlog.files,
        status.binlog.bytes as f64 / f64::from(1 << 20),
    );
    text.push('\n');
    let mut rows = vec![
        [
            "replica", "state", "vote", "received", "durable", "applied", "lag",
        ]
        .map(str::to_owned),
    ];
    for replica in &status.replicas {
        let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        rows.push([
            replica.name.clone(),
            replica.state.clone(),
            if replica.vote { "yes" } else { "no" }.into(),
            or_dash(&replica.received),
            or_dash(&replica.durable),
            or_dash(&replica.applied),
            replica
                .lag_seconds
                .map_or_else(|| "-".into(), |lag| format!("{lag} s")),
        ]);
    }
    text.push_str(&aligned(&rows));
    for replica in &status.replicas {
        for why in replica.reason.iter().chain(&replica.objections) {
            text.push_str(&format!("  {}: {why}\n", replica.name));
        }
        if let Some(unproven) = &replica.unproven {
            text.push_str(&format!(
                "  {}: not proven: {unproven}, which it has by {}\n",
                replica.name,
                replica.base.as_deref().unwrap_or_default()
            ));
        }
        if let Some(accepted) = &replica.accepted {
            text.push_str(&format!("  {}: accepted holes: {accepted}\n", replica.name));
        }
    }
    let mut notes: Vec<String> = status
        .hold
        .iter()
        .map(|hold| format!("sessions are held: {hold}"))
        .collect();
    notes.extend(status.moving.clone());
    notes.extend(status.provisioning.iter().map(Row::sentence));
    notes.extend(status.verify.sentences());
    notes.extend(Some(status.waiting.sentence.clone()).filter(|sentence| !sentence.is_empty()));
    if !status.degraded_commits.unconfirmed.is_empty() {
        notes.push(format!(
            "{} commits returned under a weaker policy and are not confirmed yet, the last: {}",
            status.degraded_commits.unconfirmed.len(),
            status
                .degraded_commits
                .unconfirmed
                .last()
                .map_or("", String::as_str)
        ));
    }
    if status.binlog.unsafe_statements > 0 {
        notes.push(format!(
            "{} unsafe statements were logged as statements since the start: see ackline binlog audit",
            status.binlog.unsafe_statements
        ));
    }
    notes.extend(status.problems.iter().cloned());
    for note in notes {
        text.push_str(&format!("\n{note}\n"));
    }
    text
}

fn sessions(status: &Status) -> String {
    let mut text = status.sessions.to_string();
    if let Some(limit) = status.sessions_limit {
        text.push_str(&format!(" of {limit}"));
    }
    if status.sessions_refused > 0 {
        text.push_str(&format!("  ({} refused)", status.sessions_refused));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::{ReplicaRow, Waiting};

    #[test]
    fn the_table_is_aligned_and_says_whom_commits_wait_for() {
        let status = Status {
            mode: "semi-sync".into(),
            sessions: 150,
            sessions_limit: Some(151),
            sessions_refused: 2,
            replicas: vec![
                ReplicaRow {
                    name: "replica1".into(),
                    state: "streaming".into(),
                    vote: true,
                    received: Some("binlog.000001:900".into()),
                    lag_seconds: Some(0.0),
                    ..ReplicaRow::default()
                },
                ReplicaRow {
                    name: "r2".into(),
                    state: "disconnected".into(),
                    reason: Some("IO thread No".into()),
                    ..ReplicaRow::default()
                },
            ],
            waiting: Waiting {
                commits: 1,
                sentence: "1 commit waits for 3.0 s: for r2".into(),
                ..Waiting::default()
            },
            ..Status::default()
        };
        let text = table(&status);
        assert!(
            text.contains("\nsessions  150 of 151  (2 refused)\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "\nreplica   state         vote  received           durable  applied  lag\n"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "\nreplica1  streaming     yes   binlog.000001:900  -        -        0 s\n"
            ),
            "{text}"
        );
        assert!(text.contains("  r2: IO thread No\n"), "{text}");
        assert!(
            text.ends_with("\n1 commit waits for 3.0 s: for r2\n"),
            "{text}"
        );
    }
}
