//! Asks everybody, before a move is planned and whenever it has to be proven.

use std::time::Duration;

use tokio::time::Instant;

use super::candidate::NoCandidate;
use super::facts::{Facts, Said, Seen};
use super::plan::{Order, Plan, Refused, Serves};
use super::proxy::Proxy;
use super::{events, quiet, servers};
use crate::ids::ServerName;
use crate::net::admin::Admin;
use crate::store::state::{MoveKind, Schedule};

/// For a server's answer while nobody may write.
const ASK: Duration = Duration::from_secs(2);
/// For one that is left because it does not answer.
const ASK_THE_DEAD: Duration = Duration::from_millis(300);
/// Replicas that come back to a proxy that has just been started.
const COME_BACK: Duration = Duration::from_secs(5);
/// One that is back already: what speaks against it stays, unless its threads are only just starting.
const IS_BACK: Duration = Duration::from_millis(500);

/// `hopeless`: most likely it does not answer, so that little time is given to it.
pub async fn facts(proxy: &impl Proxy, hopeless: Option<&ServerName>) -> Facts {
    let servers = proxy.settings().servers;
    let readers = proxy.readers();
    let questions: Vec<_> = servers
        .iter()
        .map(|server| {
            let within = match hopeless == Some(&server.name) {
                true => ASK_THE_DEAD,
                false => ASK,
            };
            let (proxy, server) = (proxy.clone(), server.clone());
            let is_source = server.name == proxy.followed().0;
            tokio::spawn(async move {
                let mut said = servers::look(&server.account, within).await?;
                if !is_source {
                    said.walked = Some(proxy.prove(&server.name, &server.account).await);
                }
                Ok::<_, servers::Error>(said)
            })
        })
        .collect();
    let mut seen = Vec::new();
    for (server, question) in servers.into_iter().zip(questions) {
        let follows_us = readers.contains(&server.name);
        let said = match question.await {
            Ok(Ok(said)) => Ok(Said { follows_us, ..said }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        seen.push(Seen {
            name: server.name,
            promotable: server.promotable,
            said,
        });
    }
    // After the servers: what came meanwhile is no transaction that only they have.
    let (source, epoch) = proxy.followed();
    Facts {
        epoch,
        source,
        stored: proxy.stored(),
        released: proxy.released(),
        servers: seen,
    }
}

/// `serves` is asked again and again: a proxy that has just been started may be about to serve.
pub async fn plan(
    proxy: &impl Proxy,
    order: Order,
    serves: impl Fn() -> Serves,
) -> Result<(Plan, Facts), Refused> {
    let (source, _) = proxy.followed();
    let is_dead = order.kind == MoveKind::Failover && serves() != Serves::Yes;
    let hopeless = is_dead.then_some(&source);
    let begun = Instant::now();
    loop {
        let facts = facts(proxy, hopeless).await;
        let serves = match serves() {
            // It had its time.
            Serves::Perhaps if begun.elapsed() >= COME_BACK => Serves::No,
            serves => serves,
        };
        match Plan::make(order.clone(), &facts, serves) {
            Ok(plan) => {
                let warnings = past_us(proxy, &plan).await;
                let plan = schedule(proxy, Plan { warnings, ..plan }, &facts).await;
                return Ok((plan, facts));
            }
            Err(Refused::SourceAnswers(_)) => {}
            Err(Refused::NoCandidate(why)) if begun.elapsed() < patience(&why, &order, &facts) => {}
            Err(refused) => return Err(refused),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How long a candidate is waited for.
fn patience(why: &NoCandidate, order: &Order, facts: &Facts) -> Duration {
    let is_back = |said: &Said| said.follows_us && matches!(said.walked, Some(Ok(_)));
    let asked = order.to.as_ref().map(|to| facts.said(to));
    match (why, asked) {
        (NoCandidate::Unfit(_), Some(Ok(said))) if is_back(said) => IS_BACK,
        _ => COME_BACK,
    }
}

/// What runs at the source: it is asked, or, dead, was asked before.
async fn schedule(proxy: &impl Proxy, mut plan: Plan, facts: &Facts) -> Plan {
    let known = proxy.schedule();
    plan.schedule = known.filter(|known| known.server == plan.from);
    if facts.said(&plan.from).is_ok() {
        let asked = async {
            let settings = proxy.settings();
            let account = settings.account(&plan.from)?;
            let admin = Admin::connect(account, ASK).await;
            let mut admin = admin.map_err(|error| error.to_string())?;
            let read = events::read(&mut admin, &plan.from).await;
            read.map_err(|error| error.to_string())
        };
        match asked.await {
            Ok(schedule) => plan.schedule = Some(schedule),
            Err(error) => plan.warnings.push(format!(
                "which events {} has now is not known: {error}",
                plan.from
            )),
        }
    }
    plan.events |= plan.schedule.as_ref().is_some_and(|known| known.on);
    let hidden = |known: &Schedule| known.on && known.events.is_none();
    if plan.schedule.as_ref().is_some_and(hidden) {
        plan.warnings.push(format!(
            "event_scheduler is on at {}, and our account may not see its events: they do not run at {} until each is \
             enabled there (ackline doctor prints the GRANT)",
            plan.from, plan.to
        ));
    }
    plan
}

/// They are not held by a switchover: what they write meets error 1290, or goes on in spite of `read_only`.
async fn past_us(proxy: &impl Proxy, plan: &Plan) -> Vec<String> {
    if plan.order.kind == MoveKind::Failover {
        return Vec::new();
    }
    let asked = async {
        let settings = proxy.settings();
        let account = settings.account(&plan.from)?;
        let admin = Admin::connect(account, ASK).await;
        let mut admin = admin.map_err(|error| error.to_string())?;
        let past = quiet::past_us(proxy, &mut admin).await;
        past.map_err(|error| error.to_string())
    };
    match asked.await {
        Ok(connections) => connections
            .into_iter()
            .map(|one| format!("{one} is at {} past ackline, and is not held", plan.from))
            .collect(),
        Err(error) => vec![format!(
            "who is connected to {} past ackline is not known: {error}",
            plan.from
        )],
    }
}
