//! What the admin API shows, gathered from the parts.

use std::sync::Arc;
use std::time::Duration;

use super::App;
use crate::ack::policy::Mode;
use crate::ack::{Confirmed, Snapshot};
use crate::admin::status::{
    BinlogStatus, DegradedCommits, ReplicaRow, SourceStatus, Status, Waiting,
};
use crate::admin::{Backend, Change, Refusal};
use crate::capture::State;
use crate::config::{SyncPatch, WriteError, write_sync};
use crate::ids::{Flavor, Level, ServerName, StorePosition};
use crate::ship::{Progress, Reader};
use crate::topology::{Health, Role, Watched, voter};

pub struct AppBackend(pub Arc<App>);

impl Backend for AppBackend {
    fn status(&self) -> Status {
        let app = &self.0;
        let acks = app.acks.snapshot();
        let config = app.config.load();
        let state = app.capture.state.borrow().clone();
        let source = config.source();
        let readers = app.ship.readers.list();
        let hold = self.not_ready();
        let files = app.store.files();
        let mut problems: Vec<String> = app.store.problem().into_iter().collect();
        problems.extend(app.config_problem.lock().clone());
        Status {
            mode: acks.sync.mode.to_string(),
            require: acks.sync.require.to_string(),
            degraded: acks.degraded,
            epoch: app.epoch.0,
            source: SourceStatus {
                name: source.name.to_string(),
                flavor: Flavor::MariaDb.to_string(),
                address: source.address.clone(),
                state: state.word().to_owned(),
                reason: state.holds(&source.name),
            },
            replicas: rows(app, &acks, &readers),
            binlog: BinlogStatus {
                dir: config.binlog.dir.display().to_string(),
                format: config.binlog.format.to_string(),
                gtid: app.store.end().to_string(),
                released: acks.released_set.to_string(),
                files: files.len(),
                bytes: files.iter().map(|file| file.bytes).sum(),
                written_position: acks.written.to_string(),
                synced_position: acks.synced.to_string(),
                released_position: acks.released.to_string(),
            },
            sessions: app.sessions.registry.len(),
            hold,
            waiting: waiting(&acks, &readers, &app.health()),
            degraded_commits: DegradedCommits {
                total: acks.degraded_total,
                unconfirmed: acks
                    .degraded_commits
                    .iter()
                    .map(|commit| commit.gtid.to_string())
                    .collect(),
            },
            problems,
        }
    }

    fn not_ready(&self) -> Option<String> {
        let app = &self.0;
        let state: State = app.capture.state.borrow().clone();
        let reason = state.holds(&app.config.load().source().name);
        match reason {
            None if app.guard.is_open() => None,
            None => Some("a commit may have returned un-acknowledged at the source; results are held until everything there is released".into()),
            some => some,
        }
    }

    fn metrics(&self) -> String {
        let app = &self.0;
        let acks = app.acks.snapshot();
        let gauge = |name: &'static str, value: f64| metrics::gauge!(name).set(value);
        gauge("ackline_sessions", app.sessions.registry.len() as f64);
        gauge("ackline_commits_waiting", acks.waiting as f64);
        gauge(
            "ackline_commit_oldest_wait_seconds",
            acks.oldest_wait.unwrap_or_default().as_secs_f64(),
        );
        gauge("ackline_degraded", f64::from(u8::from(acks.degraded)));
        gauge("ackline_serving", f64::from(u8::from(app.guard.is_open())));
        metrics::counter!("ackline_degraded_commits_total").absolute(acks.degraded_total);
        for (which, position) in [
            ("written", acks.written),
            ("synced", acks.synced),
            ("released", acks.released),
        ] {
            metrics::gauge!("ackline_binlog_file", "mark" => which).set(f64::from(position.file));
            metrics::gauge!("ackline_binlog_offset_bytes", "mark" => which)
                .set(position.offset as f64);
        }
        for row in rows(app, &acks, &app.ship.readers.list()) {
            metrics::gauge!("ackline_replica_connected", "replica" => row.name.clone())
                .set(f64::from(u8::from(row.state == "streaming")));
            metrics::gauge!("ackline_replica_votes", "replica" => row.name.clone())
                .set(f64::from(u8::from(row.vote)));
            if let Some(lag) = row.lag_seconds {
                metrics::gauge!("ackline_replica_lag_seconds", "replica" => row.name.clone())
                    .set(lag);
            }
        }
        app.metrics.render()
    }

    fn sync(&self) -> serde_json::Value {
        let sync = self.0.acks.sync();
        serde_json::json!({
            "mode": sync.mode.to_string(),
            "require": sync.require.to_string(),
            "acks": sync.acks,
            "level": sync.level.map(|level| level.to_string()),
            "timeout": format!("{}ms", sync.timeout.as_millis()),
            "on_timeout": sync.on_timeout.to_string(),
        })
    }

    fn change_sync(&self, change: Change) -> Result<serde_json::Value, Refusal> {
        let patch: SyncPatch =
            serde_json::from_value(change).map_err(|error| Refusal::Invalid(error.to_string()))?;
        match write_sync(&self.0.path, &patch) {
            Ok(config) => {
                self.0.apply(config);
                Ok(self.sync())
            }
            Err(WriteError::Invalid(errors)) => Err(Refusal::Invalid(errors.to_string())),
            Err(error) => Err(Refusal::Failed(error.to_string())),
        }
    }

    fn token(&self) -> Option<String> {
        self.0
            .config
            .load()
            .admin_token
            .as_ref()
            .map(|token| token.expose().to_owned())
    }
}

fn rows(app: &App, acks: &Snapshot, readers: &[Reader]) -> Vec<ReplicaRow> {
    let mut rows: Vec<ReplicaRow> = app
        .health()
        .iter()
        .filter(|watched| watched.server.role == Role::Replica)
        .map(|watched| row(watched, acks, readers))
        .collect();
    for reader in readers.iter().filter(|reader| !reader.identity.listed) {
        let (state, reason) = progress(reader);
        rows.push(ReplicaRow {
            name: reader.identity.name.to_string(),
            ship: "pull".into(),
            state: state.into(),
            reason,
            received: reader.acked.map(|at| at.to_string()),
            ..ReplicaRow::default()
        });
    }
    rows
}

fn row(watched: &Watched, acks: &Snapshot, readers: &[Reader]) -> ReplicaRow {
    let server = &watched.server;
    let health = watched.health.borrow().clone();
    let confirmed = confirmed(acks, &server.name);
    let reader = readers
        .iter()
        .rfind(|reader| reader.identity.name == server.name);
    let (state, reason) = match (reader, &health) {
        (Some(reader), _) => progress(reader),
        (None, Health::Unreachable { reason, .. }) => ("unreachable", Some(reason.clone())),
        (None, Health::Reachable(facts)) => (
            "disconnected",
            Some(match &facts.replica {
                Some(replica) if replica.error.is_empty() => format!(
                    "follows {}, IO thread {}, SQL thread {}",
                    replica.follows, replica.io_running, replica.sql_running
                ),
                Some(replica) => replica.error.clone(),
                None => "it follows nobody: run CHANGE MASTER TO and START SLAVE on it".into(),
            }),
        ),
    };
    let objections = voter::objections(&health);
    let text = |level: Level| confirmed.at(level).map(|at: StorePosition| at.to_string());
    let lag = match &health {
        Health::Reachable(facts) if confirmed.applied >= Some(acks.written) => {
            facts.seconds_behind.map(|_| 0.0).or(Some(0.0))
        }
        Health::Reachable(facts) => facts.seconds_behind.map(|seconds| seconds as f64),
        Health::Unreachable { .. } => None,
    };
    ReplicaRow {
        name: server.name.to_string(),
        ship: "pull".into(),
        state: state.into(),
        reason,
        zone: server.zone.as_ref().map(ToString::to_string),
        vote: server.vote && objections.is_empty(),
        objections: if server.vote { objections } else { Vec::new() },
        received: text(Level::Received),
        durable: text(Level::Durable),
        applied: text(Level::Applied),
        lag_seconds: lag,
    }
}

fn progress(reader: &Reader) -> (&'static str, Option<String>) {
    match &reader.progress {
        Progress::Streaming { .. } => ("streaming", None),
        Progress::Held { reason } => ("held", Some(reason.clone())),
        Progress::Refused { reason } => ("refused", Some(reason.clone())),
    }
}

fn confirmed(acks: &Snapshot, name: &ServerName) -> Confirmed {
    acks.votes
        .iter()
        .find(|vote| vote.voter.name == *name)
        .map(|vote| vote.confirmed)
        .unwrap_or_default()
}

fn waiting(acks: &Snapshot, readers: &[Reader], servers: &[Watched]) -> Waiting {
    let Some(oldest) = acks.oldest_wait.filter(|_| acks.waiting > 0) else {
        return Waiting::default();
    };
    let for_whom: Vec<String> = acks.waits_for.iter().map(ToString::to_string).collect();
    Waiting {
        commits: acks.waiting,
        oldest_seconds: oldest.as_secs_f64(),
        sentence: sentence(acks, oldest, readers, servers),
        r#for: for_whom,
    }
}

/// "2 commits wait, the oldest for 12.4 s: semi-sync (…) waits for replica1 (disconnected)".
fn sentence(acks: &Snapshot, oldest: Duration, readers: &[Reader], servers: &[Watched]) -> String {
    let commits = if acks.waiting == 1 {
        "1 commit waits".to_owned()
    } else {
        format!("{} commits wait, the oldest", acks.waiting)
    };
    let policy = match acks.sync.mode {
        Mode::Custom => acks.sync.require.to_string(),
        mode => format!("{mode} ({})", acks.sync.require),
    };
    let whom = if acks.waits_for.is_empty() {
        "our own disk".to_owned()
    } else {
        let named = |name: &ServerName| {
            let reachable = servers.iter().any(|watched| {
                watched.server.name == *name
                    && matches!(*watched.health.borrow(), Health::Reachable(_))
            });
            let state = match readers.iter().rfind(|reader| reader.identity.name == *name) {
                Some(reader) if !reader.identity.votes => "has no vote now",
                Some(reader) => progress(reader).0,
                None => "disconnected",
            };
            if reachable {
                format!("{name} ({state})")
            } else {
                format!("{name} ({state}, unreachable)")
            }
        };
        acks.waits_for
            .iter()
            .map(named)
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!(
        "{commits} for {:.1} s: {policy} waits for {whom}",
        oldest.as_secs_f64()
    )
}
