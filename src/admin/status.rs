//! The status document (`GET /api/v1/status`): names and shapes that scripts rely on. `ackline status`
//! reads the same types.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::ServerName;
use crate::units::show_duration;
use crate::verify::Look;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    pub mode: String,
    pub require: String,
    /// The policy in force is lower than `require`.
    pub degraded: bool,
    pub epoch: u64,
    pub source: SourceStatus,
    pub replicas: Vec<ReplicaRow>,
    pub binlog: BinlogStatus,
    pub sessions: usize,
    /// One more is refused: `[sessions] max_connections`, or what our open files are enough for.
    pub sessions_limit: Option<usize>,
    /// How many were refused for that.
    pub sessions_refused: u64,
    /// Of how many the login has taught us enough to repeat it on another server.
    pub sessions_learned: usize,
    /// Why sessions are held; null where they are not.
    pub hold: Option<String>,
    /// The move of the source that is under way; null otherwise.
    pub moving: Option<String>,
    /// Servers that are made replicas of, or were since the proxy was started; none of an older proxy.
    #[serde(default)]
    pub provisioning: Vec<super::provision::Row>,
    /// The proxy's own comparisons of rows.
    #[serde(default)]
    pub verify: super::verify::Comparisons,
    pub waiting: Waiting,
    pub degraded_commits: DegradedCommits,
    /// Those that we show; none where no TLS is offered, or by an older proxy.
    #[serde(default)]
    pub certificates: Vec<CertificateRow>,
    /// What somebody should look at, in sentences.
    pub problems: Vec<String>,
}

impl Status {
    /// What awaits the next commit, where it will wait for somebody who is not there.
    pub fn outlook(&self) -> Option<String> {
        let mode = &self.mode;
        let absent = self.replicas.iter().filter(|replica| !replica.vote);
        // One that is not to vote has no objections.
        let missed = absent.filter(|it| !it.objections.is_empty() || it.state != "streaming");
        let missed: Vec<&str> = missed.map(|it| it.name.as_str()).collect();
        let votes = self.replicas.iter().any(|replica| replica.vote);
        match mode.as_str() {
            "async" => None,
            _ if !votes => Some(format!(
                "mode {mode}, and no replica has a vote now: commits wait until one has (ackline status says why)"
            )),
            "sync" if !missed.is_empty() => Some(format!(
                "mode sync waits for every voter, and {} has no vote now: commits wait for it (ackline status says why)",
                missed.join(", ")
            )),
            _ => None,
        }
    }

    /// How the servers fare, for a comparison of rows. `replicas`: those that are compared; none: all.
    pub fn look(&self, replicas: &[ServerName], max_lag: Duration) -> Look {
        Look {
            busy: self.busy(replicas, max_lag),
            range: Duration::from_millis(match self.mode.as_str() {
                "async" => 500,
                // Every commit waits for the appliers, which compute the range as well.
                _ if self.require.contains("applied") => 20,
                _ => 50,
            }),
        }
    }

    fn busy(&self, replicas: &[ServerName], max_lag: Duration) -> Option<String> {
        if self.waiting.blocked {
            return Some("commits wait for acknowledgements".to_owned());
        }
        if let Some(moving) = &self.moving {
            return Some(moving.clone());
        }
        let lag = |row: &ReplicaRow| row.lag_seconds.unwrap_or_default();
        let late = self.replicas.iter().find(|row| {
            let meant =
                replicas.is_empty() || replicas.iter().any(|name| name.as_str() == row.name);
            meant && row.state == "streaming" && lag(row) > max_lag.as_secs_f64()
        })?;
        Some(format!(
            "{} is {} s behind, and max_lag is {}",
            late.name,
            lag(late),
            show_duration(max_lag)
        ))
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CertificateRow {
    pub file: String,
    /// Its end, as `2036-01-01T00:00:00Z`.
    pub not_after: String,
    /// The same in Unix time.
    pub not_after_seconds: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    pub flavor: String,
    pub address: String,
    /// `connecting`, `refused`, `catching-up`, `attached` or `stalled`.
    pub state: String,
    /// What the present state comes from; null where all is well.
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReplicaRow {
    pub name: String,
    pub ship: String,
    /// `streaming`, `held`, `refused`, `disconnected` or `unreachable`.
    pub state: String,
    pub reason: Option<String>,
    pub zone: Option<String>,
    /// Whether its acknowledgements count now.
    pub vote: bool,
    /// Why they do not, though the configuration says so.
    pub objections: Vec<String>,
    /// Positions in our binlog, as `binlog.000001:1234`.
    pub received: Option<String>,
    pub durable: Option<String>,
    pub applied: Option<String>,
    pub lag_seconds: Option<f64>,
    /// What tells what it executed before its own binlog begins; null until that was walked.
    pub base: Option<String>,
    /// A GTID set: what it has by that alone, though more was known of its binlog once.
    pub unproven: Option<String>,
    /// A GTID set: holes that somebody answers for (`ackline accept`).
    pub accepted: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BinlogStatus {
    pub dir: String,
    /// What the source is asked to log.
    pub format: String,
    /// What it logs for new sessions; null while it cannot be asked.
    pub source_format: Option<String>,
    /// Unsafe statements captured in statement format since the start.
    pub unsafe_statements: u64,
    /// GTID position of the last transaction captured.
    pub gtid: String,
    /// GTID set of everything released.
    pub released: String,
    pub files: usize,
    pub bytes: u64,
    pub written_position: String,
    pub synced_position: String,
    pub released_position: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Waiting {
    pub commits: usize,
    pub oldest_seconds: f64,
    /// It has waited for longer than `[sync] timeout`.
    #[serde(default)]
    pub blocked: bool,
    /// The servers that the oldest one waits for.
    pub r#for: Vec<String>,
    /// Sessions that wait for what they asked beyond the policy, which has released their commits.
    pub asking: usize,
    /// All of it for people; empty where nothing waits.
    pub sentence: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DegradedCommits {
    /// All that ever returned under a weaker policy than asked.
    pub total: u64,
    /// Those that the voters have not confirmed since, newest last.
    pub unconfirmed: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts rely on these names and shapes: whoever changes this text changes a contract.
    const GOLDEN: &str = r#"{
  "mode": "semi-sync",
  "require": "LOCAL durable AND ANY 1 (*) received",
  "degraded": false,
  "epoch": 1,
  "source": {
    "name": "db1",
    "flavor": "mariadb",
    "address": "127.0.0.1:3306",
    "state": "attached",
    "reason": null
  },
  "replicas": [
    {
      "name": "db2",
      "ship": "pull",
      "state": "streaming",
      "reason": null,
      "zone": "b",
      "vote": true,
      "objections": [],
      "received": "binlog.000001:900",
      "durable": null,
      "applied": "binlog.000001:800",
      "lag_seconds": 0.5,
      "base": "its gtid_purged: nothing",
      "unproven": null,
      "accepted": "0-1-5"
    }
  ],
  "binlog": {
    "dir": "/var/lib/ackline",
    "format": "mixed",
    "source_format": "row",
    "unsafe_statements": 3,
    "gtid": "0-1-7",
    "released": "0-1-1..7",
    "files": 1,
    "bytes": 900,
    "written_position": "binlog.000001:900",
    "synced_position": "binlog.000001:900",
    "released_position": "binlog.000001:800"
  },
  "sessions": 3,
  "sessions_limit": 151,
  "sessions_refused": 2,
  "sessions_learned": 1,
  "hold": null,
  "moving": null,
  "provisioning": [
    {
      "server": "db3",
      "from": "db2",
      "state": "running",
      "phase": "copies rows as of 0-1-7",
      "waits_for": null,
      "seconds": 3,
      "rows": 1000,
      "bytes": 2000,
      "expected_bytes": 4000,
      "tables": 1,
      "expected_tables": 2,
      "left_seconds": 3,
      "provisioned": null,
      "reason": null
    }
  ],
  "verify": {
    "running": null,
    "last": null,
    "whole": {
      "state": "done",
      "everything": true,
      "seconds": 12,
      "ended_seconds": 1795912200,
      "table": null,
      "tables": 3,
      "expected_tables": 3,
      "equal": 2,
      "different": 1,
      "not_compared": 0,
      "differing": [
        "shop.orders on db2"
      ],
      "left_out": [],
      "reason": null
    },
    "failed": null,
    "waits_for": null
  },
  "waiting": {
    "commits": 1,
    "oldest_seconds": 12.4,
    "blocked": false,
    "for": [
      "db2"
    ],
    "asking": 0,
    "sentence": "1 commit waits"
  },
  "degraded_commits": {
    "total": 1,
    "unconfirmed": [
      "0-1-5"
    ]
  },
  "certificates": [
    {
      "file": "/etc/ackline/cert.pem",
      "not_after": "2036-01-01T00:00:00Z",
      "not_after_seconds": 2082758400
    }
  ],
  "problems": [
    "disk full"
  ]
}"#;

    #[test]
    fn what_awaits_the_next_commit() {
        let replica = |name: &str, vote, state: &str| ReplicaRow {
            name: name.into(),
            vote,
            state: state.into(),
            ..ReplicaRow::default()
        };
        let told = |mode: &str, replicas: &[ReplicaRow]| {
            let status: Status = serde_json::from_str(GOLDEN).unwrap();
            let status = Status {
                mode: mode.into(),
                replicas: replicas.to_vec(),
                ..status
            };
            status.outlook().unwrap_or_default()
        };
        let both = [
            replica("db2", true, "streaming"),
            replica("db3", false, "unreachable"),
        ];
        assert_eq!(told("semi-sync", &both), "");
        assert!(told("sync", &both).contains("every voter, and db3 has no vote now"));
        // It is not to vote.
        let reader = [
            replica("db2", true, "streaming"),
            replica("db3", false, "streaming"),
        ];
        assert_eq!(told("sync", &reader), "");
        let none = [replica("db2", false, "disconnected")];
        assert!(told("quorum", &none).contains("no replica has a vote now"));
        assert_eq!(told("async", &none), "");
    }

    #[test]
    fn it_rests_while_others_wait() {
        let max = Duration::from_secs(10);
        let mut status = Status::default();
        let of = |name: &str, lag| ReplicaRow {
            name: name.into(),
            state: "streaming".into(),
            lag_seconds: Some(lag),
            ..ReplicaRow::default()
        };
        status.replicas = vec![of("db2", 3.0), of("db3", 3600.0)];
        let only = [ServerName::new("db2")];
        assert_eq!(status.look(&only, max).busy, None);
        let why = status.look(&[], max).busy.unwrap();
        assert_eq!(why, "db3 is 3600 s behind, and max_lag is 10s");
        status.waiting.blocked = true;
        let why = status.look(&only, max).busy.unwrap();
        assert!(why.contains("commits wait"));
    }

    #[test]
    fn the_policy_says_how_long_rows_are_locked() {
        let status = |mode: &str, require: &str| Status {
            mode: mode.into(),
            require: require.into(),
            ..Status::default()
        };
        let range = |status: Status| status.look(&[], Duration::ZERO).range.as_millis();
        assert_eq!(range(status("async", "")), 500);
        assert_eq!(range(status("semi-sync", "ANY 1 (*) received")), 50);
        assert_eq!(range(status("custom", "ALL applied")), 20);
    }

    #[test]
    fn the_document_is_a_contract() {
        let status: Status = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(status.replicas[0].zone.as_deref(), Some("b"));
        let again = serde_json::to_string_pretty(&status).unwrap();
        assert_eq!(again, GOLDEN);
    }
}
