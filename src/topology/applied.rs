//! What a pull replica has applied, where the policy counts it: one standing question a replica.
//!
//! `MASTER_GTID_WAIT(newest, 1)`, on MySQL `WAIT_FOR_EXECUTED_GTID_SET`, stands at the replica until it has applied the newest wanted position
//! or the second is over; nothing else is asked meanwhile, and nothing at all once everything wanted is
//! applied. Under load the questions follow each other as fast as the replica applies, each for all
//! that came since, so their number does not grow with the number of commits.
//!
//! Where nobody counts `applied`, what [`super::health`] reads once a second is enough for `status`.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::gtid::Position;
use crate::ids::{Flavor, Machine, ServerId, ServerName};
use crate::net;
use crate::net::admin::{Account, Admin};

/// How long one question stands, in seconds: a shutdown and a vanished replica are noticed within it.
const STANDS: u32 = 1;
const DEADLINE: Duration = Duration::from_secs(3);
const SHORTEST: Duration = Duration::from_millis(50);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What the question needs.
pub struct Question<R> {
    pub name: ServerName,
    pub account: Account,
    /// Whether the policy counts `applied` now.
    pub counts: watch::Receiver<bool>,
    /// The newest position whose application is wanted.
    pub wanted: watch::Receiver<Position>,
    /// Told of each position that the replica has applied. It may repeat, and may lie before the
    /// one before (after RESET, or a new provisioning).
    pub report: R,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub machine: Machine,
    pub applied: Position,
    /// It was so at this moment or later.
    pub asked: Instant,
}

impl<R: FnMut(&ServerName, Answer)> Question<R> {
    /// Asks until one of the two watches has no sender any more. May be dropped at any moment: the
    /// connection goes with it, and there is no other state.
    pub async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        // Ends when nobody is there to want anything.
        while self.counts.wait_for(|counts| *counts).await.is_ok() {
            let end = self.ask_on(&mut retry).await;
            match end {
                Ok(Idle::NotCounted) => {}
                Ok(Idle::Gone) => return,
                Err(error) => {
                    tracing::debug!(server = %self.name, %error, "a replica cannot be asked what it has applied");
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    /// Over one connection.
    async fn ask_on(&mut self, retry: &mut Duration) -> Result<Idle, net::Error> {
        let mut admin = Admin::connect(&self.account, DEADLINE).await?;
        let machine = machine(&mut admin, &self.account).await?;
        let mut applied: Option<Position> = None;
        loop {
            if !*self.counts.borrow_and_update() {
                return Ok(Idle::NotCounted);
            }
            let wanted = self.wanted.borrow_and_update().clone();
            if wanted.is_empty()
                || wanted.flavor() != admin.flavor()
                || applied.as_ref().is_some_and(|has| has.covers(&wanted))
            {
                tokio::select! {
                    // Both cancel-safe: a change that comes meanwhile is seen next time.
                    changed = self.wanted.changed() => if changed.is_err() { return Ok(Idle::Gone) },
                    changed = self.counts.changed() => if changed.is_err() { return Ok(Idle::Gone) },
                }
                continue;
            }
            // In its own format a position has no quotes.
            let wait = match admin.flavor() {
                Flavor::MariaDb => format!("SELECT MASTER_GTID_WAIT('{wanted}', {STANDS})"),
                Flavor::MySql => {
                    format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{wanted}', {STANDS})")
                }
            };
            let asked;
            let position = match admin.value(&wait).await?.as_deref() {
                // Yes or not yet. A MariaDB server says yes to every GTID with a smaller number than its own,
                // whoever wrote that, so what counts is where it stands.
                Some("0" | "-1" | "1") => {
                    asked = Instant::now();
                    has_applied(&mut admin).await?
                }
                // NULL, at once: asking again at once would be a storm.
                _ => return Err(unexpected(format!("{wait} has no answer"))),
            };
            *retry = FIRST_RETRY;
            if applied.as_ref() != Some(&position) {
                let answer = Answer {
                    machine: machine.clone(),
                    applied: position.clone(),
                    asked,
                };
                (self.report)(&self.name, answer);
                applied = Some(position);
            }
        }
    }
}

/// Why nothing is asked any more.
enum Idle {
    NotCounted,
    Gone,
}

/// Who answers there.
async fn machine(admin: &mut Admin, account: &Account) -> Result<Machine, net::Error> {
    let flavor = admin.flavor();
    let id = admin.value("SELECT @@global.server_id").await?;
    let id = id.unwrap_or_default();
    let uuid = match flavor {
        Flavor::MariaDb => None,
        Flavor::MySql => admin.value("SELECT @@global.server_uuid").await?,
    };
    Ok(Machine {
        address: account.address.clone(),
        server_id: ServerId(
            id.parse()
                .map_err(|_| unexpected(format!("server_id is '{id}'")))?,
        ),
        uuid,
    })
}

/// What a replica says that it has applied.
pub async fn has_applied(admin: &mut Admin) -> Result<Position, net::Error> {
    let variable = match admin.flavor() {
        Flavor::MariaDb => "gtid_slave_pos",
        Flavor::MySql => "gtid_executed",
    };
    let text = admin.value(&format!("SELECT @@global.{variable}")).await?;
    let text = text.unwrap_or_default();
    Position::parse(admin.flavor(), &text)
        .map_err(|_| unexpected(format!("{variable} is '{text}'")))
}

/// Whether it has applied all of it in time.
pub async fn comes_to(
    admin: &mut Admin,
    position: &Position,
    within: Duration,
) -> Result<bool, net::Error> {
    if position.is_empty() {
        return Ok(true);
    }
    // For MySQL 0 is for ever.
    let seconds = within.max(SHORTEST).as_secs_f64();
    let question = match admin.flavor() {
        Flavor::MariaDb => format!("SELECT MASTER_GTID_WAIT('{position}', {seconds})"),
        Flavor::MySql => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {seconds})"),
    };
    let rows = admin
        .query_within(&question, within + Duration::from_secs(5))
        .await?;
    Ok(rows.first().and_then(|row| row.at(0)) == Some("0"))
}

fn unexpected(what: String) -> net::Error {
    net::Error::Io(std::io::Error::other(what))
}
