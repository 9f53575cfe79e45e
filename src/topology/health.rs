//! How the servers are: one task a server keeps an administration connection open and asks about once
//! a second, with a deadline on each question, so that a server that vanished half-open is noticed.
//!
//! ```text
//! Unknown ──answer──► Up ──no answer in time──► Silent ──STANDS──► Down
//!                     │ ◄──────answer────────────┘                  │
//!                     ├──connection lost, and a second try fails───►│
//!                     └◄──────────────────answer────────────────────┘
//! ```
//!
//! A slow answer is not a restart: while a server is only silent, what it said last stands. A lost
//! connection may be a restart, which on MariaDB undoes every SET GLOBAL, so it ends the last verdict
//! as soon as the server cannot be asked anew at once.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::report::{Error, Report};
use super::roster::ServerConfig;
use crate::ids::ServerName;
use crate::net;
use crate::net::admin::{Account, Admin};
use crate::shutdown::Shutdown;

/// Between two rounds of questions to a server that answers.
pub const PERIOD: Duration = Duration::from_secs(1);
/// For connecting, and for each question.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// How long the last report of a silent server stands.
pub const STANDS: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);
const LAST_FOLLOWING_RETRY: Duration = Duration::from_secs(60);

/// What is known of a server now.
#[derive(Clone, Debug)]
pub enum Health {
    /// Not answered yet, since we started or since it was added.
    Unknown,
    Up {
        report: Arc<Report>,
        /// When it was asked: the server was so then or later.
        at: Instant,
    },
    /// It does not answer in time; `report`, taken at `at`, stands for a while.
    Silent {
        report: Arc<Report>,
        at: Instant,
        reason: String,
    },
    /// It cannot be asked; `last` is for show only.
    Down {
        reason: String,
        since: Instant,
        last: Option<Arc<Report>>,
    },
}

impl Health {
    /// What decisions may rest on.
    pub fn report(&self) -> Option<&Arc<Report>> {
        match self {
            Self::Up { report, .. } | Self::Silent { report, .. } => Some(report),
            Self::Unknown | Self::Down { .. } => None,
        }
    }

    /// The newest word of the server, however old: for `status`, and for its version string.
    pub fn last_report(&self) -> Option<&Arc<Report>> {
        match self {
            Self::Down { last, .. } => last.as_ref(),
            _ => self.report(),
        }
    }

    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up { .. } => "up",
            Self::Silent { .. } => "silent",
            Self::Down { .. } => "down",
        }
    }

    /// Why it is not up.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Silent { reason, .. } | Self::Down { reason, .. } => Some(reason),
            Self::Unknown | Self::Up { .. } => None,
        }
    }

    /// What follows from a failed round at `now`.
    fn after(&self, failure: &Failure, now: Instant) -> Self {
        let reason = failure.reason.clone();
        match self {
            Self::Up { report, at } | Self::Silent { report, at, .. }
                if failure.silent && now.duration_since(*at) < STANDS =>
            {
                Self::Silent {
                    report: report.clone(),
                    at: *at,
                    reason,
                }
            }
            Self::Down { since, last, .. } => Self::Down {
                reason,
                since: *since,
                last: last.clone(),
            },
            _ => Self::Down {
                reason,
                since: now,
                last: self.last_report().cloned(),
            },
        }
    }
}

/// Why a round of questions failed.
#[derive(Clone, Debug)]
struct Failure {
    reason: String,
    /// No answer in time, as opposed to a lost connection or a refusal.
    silent: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let silent = matches!(
            error,
            Error::FollowingHangs { .. } | Error::Net(net::Error::Timeout { .. })
        );
        Self {
            reason: error.to_string(),
            silent,
        }
    }
}

/// One server of the roster and its health.
#[derive(Clone, Debug)]
pub struct Member {
    pub config: ServerConfig,
    pub health: watch::Receiver<Health>,
    wake: Arc<Notify>,
    stop: CancellationToken,
}

impl Member {
    /// Health as of now, without holding the watch's lock.
    pub fn now(&self) -> Health {
        self.health.borrow().clone()
    }
}

/// All servers, watched. Clones are the same.
#[derive(Clone)]
pub struct Topology(Arc<Shared>);

struct Shared {
    members: Mutex<Vec<Member>>,
    /// Counts what changed: a server's health or the roster.
    changes: watch::Sender<u64>,
    shutdown: Shutdown,
}

impl Topology {
    /// Starts to ask each of them; the tasks end with `shutdown`.
    pub fn start(servers: Vec<ServerConfig>, shutdown: &Shutdown) -> Self {
        let topology = Self(Arc::new(Shared {
            members: Mutex::default(),
            changes: watch::Sender::new(0),
            shutdown: shutdown.clone(),
        }));
        topology.set_servers(servers);
        topology
    }

    /// The new roster. A server whose account stays is not asked anew and keeps its health.
    pub fn set_servers(&self, servers: Vec<ServerConfig>) {
        {
            let mut members = self.0.members.lock();
            let mut old = std::mem::take(&mut *members);
            for config in servers {
                let kept = old.iter().position(|member| {
                    member.config.name == config.name && member.config.account == config.account
                });
                let member = match kept {
                    Some(at) => Member {
                        config,
                        ..old.swap_remove(at)
                    },
                    None => self.watch(config),
                };
                members.push(member);
            }
            for gone in old {
                gone.stop.cancel();
            }
        }
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn watch(&self, config: ServerConfig) -> Member {
        let (health, view) = watch::channel(Health::Unknown);
        let member = Member {
            config,
            health: view,
            wake: Arc::default(),
            stop: CancellationToken::new(),
        };
        let task = Watcher {
            name: member.config.name.clone(),
            account: member.config.account.clone(),
            health,
            changes: self.0.changes.clone(),
            wake: member.wake.clone(),
            admin: None,
            following: FollowingQuestion::default(),
        };
        let (stop, shutdown) = (member.stop.clone(), self.0.shutdown.clone());
        self.0.shutdown.spawn(async move {
            tokio::select! {
                // Nothing is lost by dropping it: a question in flight takes its connection along.
                () = task.run() => {}
                () = stop.cancelled() => {}
                () = shutdown.cancelled() => {}
            }
        });
        member
    }

    /// In the config's order.
    pub fn members(&self) -> Vec<Member> {
        self.0.members.lock().clone()
    }

    pub fn member(&self, name: &ServerName) -> Option<Member> {
        let members = self.0.members.lock();
        members
            .iter()
            .find(|member| member.config.name == *name)
            .cloned()
    }

    /// Moves whenever a server's health or the roster does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Asks this server now, not only when its next round is due, and waits for what it says. False where it
    /// does not answer.
    pub async fn ask_now(&self, name: &ServerName) -> bool {
        let Some(member) = self.member(name) else {
            return false;
        };
        let now = Instant::now();
        member.wake.notify_one();
        let mut health = member.health.clone();
        let answer =
            health.wait_for(|health| matches!(health, Health::Up { at, .. } if *at >= now));
        let answer = tokio::time::timeout(2 * DEADLINE, answer).await;
        matches!(answer, Ok(Ok(_)))
    }
}

/// The task of one server.
struct Watcher {
    name: ServerName,
    account: Account,
    health: watch::Sender<Health>,
    changes: watch::Sender<u64>,
    wake: Arc<Notify>,
    admin: Option<Admin>,
    following: FollowingQuestion,
}

impl Watcher {
    async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            let at = Instant::now();
            let pause = match self.ask().await {
                Ok(report) => {
                    retry = FIRST_RETRY;
                    self.publish(Health::Up {
                        report: Arc::new(report),
                        at,
                    });
                    PERIOD
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    let health = self.health.borrow().after(&failure, Instant::now());
                    self.publish(health);
                    let pause = retry;
                    retry = (retry * 2).min(LAST_RETRY);
                    pause
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Cancel-safe: a notification that comes meanwhile is kept.
                () = self.wake.notified() => {}
            }
        }
    }

    /// Over the connection of last time; where that was lost, over a new one at once.
    async fn ask(&mut self) -> Result<Report, Error> {
        if let Some(mut admin) = self.admin.take()
            && let Ok(report) = self.following.ask(&mut admin).await
        {
            self.admin = Some(admin);
            return Ok(report);
        }
        let mut admin = Admin::connect(&self.account, DEADLINE).await?;
        let report = self.following.ask(&mut admin).await?;
        self.admin = Some(admin);
        Ok(report)
    }

    fn publish(&self, health: Health) {
        match (self.health.borrow().is_up(), health.trouble()) {
            (true, Some(reason)) => {
                tracing::warn!(server = %self.name, state = health.word(), %reason, "a server cannot be asked");
            }
            (false, None) => tracing::info!(server = %self.name, "a server answers"),
            _ => {}
        }
        self.health.send_replace(health);
        self.changes.send_modify(|count| *count += 1);
    }
}

/// SHOW ALL SLAVES STATUS waits behind a STOP SLAVE that hangs, and a thread that waits so cannot be
/// killed. Asking each second would fill the server with such threads.
#[derive(Debug, Default)]
struct FollowingQuestion {
    not_before: Option<Instant>,
    pause: Duration,
}

impl FollowingQuestion {
    async fn ask(&mut self, admin: &mut Admin) -> Result<Report, Error> {
        let due = self.not_before.is_none_or(|at| Instant::now() >= at);
        let answer = Report::ask(admin, due).await;
        match &answer {
            Err(Error::FollowingHangs { .. }) => {
                self.pause = (self.pause * 2).clamp(PERIOD, LAST_FOLLOWING_RETRY);
                self.not_before = Some(Instant::now() + self.pause);
            }
            Ok(_) if due => *self = Self::default(),
            _ => {}
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::report::tests::good_replica;

    fn failure(silent: bool) -> Failure {
        Failure {
            reason: "no".into(),
            silent,
        }
    }

    #[test]
    fn the_last_word_of_a_silent_server_stands_for_a_while() {
        let at = Instant::now();
        let up = Health::Up {
            report: Arc::new(good_replica()),
            at,
        };
        let silent = up.after(&failure(true), at + Duration::from_secs(3));
        assert_eq!(silent.word(), "silent");
        assert!(silent.report().is_some());
        let down = silent.after(&failure(true), at + STANDS);
        assert_eq!(down.word(), "down");
        assert!(down.report().is_none());
        assert!(down.last_report().is_some());
    }

    #[test]
    fn a_lost_connection_ends_the_verdict_at_once() {
        let at = Instant::now();
        let up = Health::Up {
            report: Arc::new(good_replica()),
            at,
        };
        assert!(up.after(&failure(false), at).report().is_none());
        let silent = up.after(&failure(true), at);
        assert!(silent.after(&failure(false), at).report().is_none());
    }

    #[test]
    fn down_says_since_when() {
        let at = Instant::now();
        let down = Health::Unknown.after(&failure(false), at);
        let later = down.after(&failure(true), at + Duration::from_secs(9));
        assert!(matches!(later, Health::Down { since, last: None, .. } if since == at));
    }
}
