//! The status document, gathered from the parts.

use std::time::SystemTime;

use super::certificates::Shown;
use super::{App, moving};
use crate::ack::policy::Mode;
use crate::ack::{Confirmed, Snapshot, Speech};
use crate::admin::sentence::{Missing, Need, asking, sentence};
use crate::admin::status::{
    BinlogStatus, CertificateRow, DegradedCommits, ReplicaRow, SourceStatus, Status, Waiting,
};
use crate::capture::State;
use crate::ids::{Level, ServerName, StorePosition};
use crate::ship::{Progress, Reader};
use crate::topology::health::Member;
use crate::topology::identity::Identity;
use crate::topology::report::Thread;
use crate::topology::voter::{Reason, Repair};
use crate::topology::{Report, Role};

/// As it is now.
pub fn of(app: &App) -> Status {
    let acks = app.acks.snapshot();
    let config = app.config.load();
    let state = app.capture.state.borrow().clone();
    let source = config.source();
    let replicas = rows(app, &acks, &app.ship.readers.list());
    let hold = hold(app);
    let files = app.store.files();
    let mut problems: Vec<String> = app.store.problem().into_iter().collect();
    problems.extend(app.config_problem.lock().clone());
    problems.extend(moving::unfinished(app));
    problems.extend(app.store.durable().fenced.keys().map(|name| {
        format!("{name} was the source until a failover and is kept from writes: when it is up again, run ackline rejoin {name}")
    }));
    problems.extend(app.sessions.registry.caught());
    problems.extend(app.capture.incident.lock().clone());
    let verify = app.verifying.shown();
    problems.extend(verify.problems());
    let logging = app.logging.lock().clone();
    problems.extend(logging.deviations);
    problems.extend(app.purger.problems());
    let certificate = app.certificates.shown();
    let old = certificate.as_ref();
    problems.extend(old.and_then(|shown| shown.problem(SystemTime::now())));
    Status {
        mode: acks.sync.mode.to_string(),
        require: acks.sync.require.to_string(),
        degraded: acks.degraded,
        epoch: app.following.epoch().0,
        source: SourceStatus {
            name: source.name.to_string(),
            flavor: app.flavor().to_string(),
            address: source.address.clone(),
            state: state.word().to_owned(),
            reason: state.holds(&source.name),
        },
        binlog: BinlogStatus {
            dir: config.binlog.dir.display().to_string(),
            format: config.binlog.format.to_string(),
            source_format: logging.format,
            unsafe_statements: app.audited.unsafe_statements(),
            gtid: app.store.end().to_string(),
            released: acks.released_set.to_string(),
            files: files.len(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            written_position: acks.written.to_string(),
            synced_position: acks.synced.to_string(),
            released_position: acks.released.to_string(),
        },
        sessions: app.sessions.registry.len(),
        sessions_limit: app.sessions.registry.limit(),
        sessions_refused: app.sessions.registry.refused(),
        sessions_learned: app.sessions.registry.count_learned(),
        hold,
        moving: app.moving.sentence(),
        provisioning: app.provisioning.rows(),
        verify,
        waiting: waiting(&acks, &replicas),
        replicas,
        degraded_commits: DegradedCommits {
            total: acks.degraded_total,
            unconfirmed: acks
                .degraded_commits
                .iter()
                .map(|commit| commit.gtid.to_string())
                .collect(),
        },
        certificates: certificate.iter().map(certificate_row).collect(),
        problems,
    }
}

/// Why sessions are held.
pub fn hold(app: &App) -> Option<String> {
    let state: State = app.capture.state.borrow().clone();
    let held = state.holds(&app.config.load().source().name);
    match (held, state) {
        (None, _) if app.guard.is_open() => None,
        (None, _) => Some("a commit may have returned un-acknowledged at the source; results are held until everything there is released".into()),
        (Some(held), State::Connecting { .. }) => Some(format!(
            "{held}; if it does not come back, run ackline failover"
        )),
        (held, _) => held,
    }
}

fn rows(app: &App, acks: &Snapshot, readers: &[Reader]) -> Vec<ReplicaRow> {
    let members = app.servers.list();
    let fenced = app.store.durable().fenced;
    let mut rows: Vec<ReplicaRow> = members
        .iter()
        .zip(app.servers.identities())
        .filter(|(member, _)| member.config.role == Role::Replica)
        .map(|(member, mut identity)| {
            let mut connected = readers.iter();
            let reader = connected.rfind(|reader| reader.identity.name == identity.name);
            if identity.votes
                && let Some(why) = why_silent(app, &identity.name, reader)
            {
                identity.votes = false;
                identity.reasons.push(why);
            }
            let history = app.servers.histories().shown(&identity.name);
            let mut row = row(member, &identity, acks, reader);
            if row.state == "disconnected" && fenced.contains_key(&identity.name) {
                // By hand it would come with what only it has.
                row.reason = Some(format!("run ackline rejoin {}", identity.name));
            }
            ReplicaRow {
                base: history.base,
                unproven: history.unproven,
                accepted: history.accepted,
                ..row
            }
        })
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

fn certificate_row(shown: &Shown) -> CertificateRow {
    CertificateRow {
        file: shown.file.display().to_string(),
        not_after: shown.not_after.to_string(),
        not_after_seconds: shown.not_after.0,
    }
}

/// Why the word of a server that may vote does not count just now.
fn why_silent(app: &App, name: &ServerName, reader: Option<&Reader>) -> Option<Reason> {
    if let Some(what) = app.ship.contest(name) {
        let how = "give each server a server_id of its own, and leave each one channel to us";
        let repair = Repair::ByHand(how.into());
        return Some(Reason { what, repair });
    }
    let streams = reader.filter(|reader| matches!(reader.progress, Progress::Streaming { .. }));
    let heard = streams.is_none_or(|reader| reader.identity.votes);
    let what = match app.acks.speech(name) {
        Speech::Unverified(_) => {
            let trouble = app.servers.histories().trouble(name);
            trouble.unwrap_or_else(|| "its binlog is being walked".into())
        }
        Speech::Counts if heard => return None,
        // Who is away is not shown as streaming; what it confirmed counts.
        Speech::Silent if streams.is_none() => return None,
        Speech::Silent | Speech::Counts => "its binlog is about to be walked".into(),
    };
    let how = "its word counts as soon as that is done, by itself";
    let repair = Repair::ByHand(how.into());
    Some(Reason { what, repair })
}

fn row(
    member: &Member,
    identity: &Identity,
    acks: &Snapshot,
    reader: Option<&Reader>,
) -> ReplicaRow {
    let server = &member.config;
    let health = member.now();
    let confirmed = confirmed(acks, &server.name);
    let (state, reason) = match (reader, health.report()) {
        // Its dump connection may be half-open: what it says of itself counts for more.
        (_, _) if health.trouble().is_some() => {
            ("unreachable", health.trouble().map(str::to_owned))
        }
        (Some(reader), _) => progress(reader),
        (None, None) => ("unreachable", None),
        (None, Some(report)) => ("disconnected", Some(why_disconnected(report))),
    };
    // Who has nothing yet stands before the first file.
    let has = |level: Level| confirmed.at(level).filter(|at| *at > StorePosition::ZERO);
    let text = |level: Level| has(level).map(|at| at.to_string());
    let now = health.report().filter(|_| health.is_up());
    let lag_seconds = match now.and_then(|report| report.main_replication()) {
        // Its own clock counts whole seconds only.
        Some(_) if confirmed.applied >= Some(acks.written) => Some(0.0),
        Some(replication) => replication.seconds_behind.map(|seconds| seconds as f64),
        None => None,
    };
    ReplicaRow {
        name: server.name.to_string(),
        ship: server.ship.to_string(),
        state: state.into(),
        reason,
        zone: server.zone.as_ref().map(ToString::to_string),
        vote: identity.votes,
        objections: identity.reasons.iter().map(ToString::to_string).collect(),
        received: text(Level::Received),
        durable: text(Level::Durable),
        applied: text(Level::Applied),
        lag_seconds,
        ..ReplicaRow::default()
    }
}

/// It runs and does not follow us: what it says of its own replication threads.
fn why_disconnected(report: &Report) -> String {
    let Some(replication) = report.main_replication() else {
        return "it follows nobody: run CHANGE MASTER TO and START SLAVE on it (ackline doctor prints them)".into();
    };
    let errors = replication.io_error.iter().chain(&replication.sql_error);
    let errors: Vec<&str> = errors.map(String::as_str).collect();
    match (errors.is_empty(), replication.io) {
        (false, _) => errors.join("; "),
        (true, Thread::Stopped) => "its IO thread is stopped: run START SLAVE on it".into(),
        (true, _) => format!("it follows {}", replication.source_address()),
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

pub fn waiting(acks: &Snapshot, replicas: &[ReplicaRow]) -> Waiting {
    let mut waiting = waiting_for_policy(acks, replicas);
    if let Some((oldest, missing)) = &acks.oldest_asking {
        waiting.asking = acks.asking;
        let more = asking(acks.asking, *oldest, &missing.words);
        if !waiting.sentence.is_empty() {
            waiting.sentence.push_str(". ");
        }
        waiting.sentence.push_str(&more);
    }
    waiting
}

fn waiting_for_policy(acks: &Snapshot, replicas: &[ReplicaRow]) -> Waiting {
    let Some(oldest) = acks.oldest_wait.filter(|_| acks.waiting > 0) else {
        return Waiting::default();
    };
    let names: Vec<String> = acks.waits_for.iter().map(ToString::to_string).collect();
    let missing: Vec<Missing<'_>> = names
        .iter()
        .map(|name| Missing {
            name: name.as_str(),
            state: match replicas.iter().find(|row| row.name == *name) {
                Some(row) if !row.vote && row.state != "unreachable" => "without a vote now",
                Some(row) => &row.state,
                None => "the source",
            },
        })
        .collect();
    let level = |of_mode: Level| acks.sync.level.unwrap_or(of_mode).to_string();
    let need = match acks.sync.mode {
        Mode::SemiSync => Need::Of {
            count: acks.sync.acks,
            level: level(Level::Received),
        },
        Mode::Quorum => Need::Majority {
            level: level(Level::Received),
        },
        Mode::Sync => Need::All {
            level: level(Level::Applied),
        },
        Mode::Async | Mode::Custom => Need::Text(acks.sync.require.to_string()),
    };
    let mode = acks.sync.mode.to_string();
    let blocked = oldest > acks.sync.timeout;
    let mut sentence = sentence(acks.waiting, oldest, &mode, &need, &missing);
    // One without a vote now cannot help it.
    let voting = |name: &String| (replicas.iter()).find(|row| row.name == *name && row.vote);
    let mut can_help = names.iter().filter_map(voting);
    if blocked && can_help.all(|row| row.state == "unreachable") {
        sentence.push_str(
            ". Whoever cannot wait for that runs ackline mode async: commits are then at the source and here only",
        );
    }
    Waiting {
        commits: acks.waiting,
        asking: 0,
        oldest_seconds: oldest.as_secs_f64(),
        blocked,
        sentence,
        r#for: names
            .into_iter()
            .filter(|name| voting(name).is_some())
            .collect(),
    }
}
