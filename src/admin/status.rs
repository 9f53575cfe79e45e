//! The status document (`GET /api/v1/status`): names and shapes that scripts rely on. `ackline status`
//! reads the same types.

use serde::{Deserialize, Serialize};

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
    /// Why sessions are held; null where they are not.
    pub hold: Option<String>,
    pub waiting: Waiting,
    pub degraded_commits: DegradedCommits,
    /// What somebody should look at, in sentences.
    pub problems: Vec<String>,
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
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BinlogStatus {
    pub dir: String,
    pub format: String,
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
    /// The servers that the oldest one waits for.
    pub r#for: Vec<String>,
    /// The same for people; empty where nothing waits.
    pub sentence: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DegradedCommits {
    /// All that ever returned under a weaker policy than asked.
    pub total: u64,
    /// Those that the voters have not confirmed since, newest last.
    pub unconfirmed: Vec<String>,
}
