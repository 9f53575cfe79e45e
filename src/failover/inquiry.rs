//! Asks everybody, before a move is planned and whenever it has to be proven.

use std::time::Duration;

use tokio::time::Instant;

use super::facts::{Facts, Said, Seen};
use super::plan::{Order, Plan, Refused};
use super::proxy::Proxy;
use super::servers;
use crate::ids::ServerName;
use crate::store::state::MoveKind;

/// For a server's answer while nobody may write.
const ASK: Duration = Duration::from_secs(2);
/// For one that is left because it does not answer.
const ASK_THE_DEAD: Duration = Duration::from_millis(300);
/// Replicas that come back to a proxy that has just been started.
const COME_BACK: Duration = Duration::from_secs(5);

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

/// `serves`: sessions are served from the present source now.
pub async fn plan(
    proxy: &impl Proxy,
    order: Order,
    serves: bool,
) -> Result<(Plan, Facts), Refused> {
    let (source, _) = proxy.followed();
    let hopeless = (order.kind == MoveKind::Failover && !serves).then_some(&source);
    let deadline = Instant::now() + COME_BACK;
    loop {
        let facts = facts(proxy, hopeless).await;
        match Plan::make(order.clone(), &facts, serves) {
            Ok(plan) => return Ok((plan, facts)),
            Err(Refused::NoCandidate(_)) if Instant::now() < deadline => {}
            Err(refused) => return Err(refused),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
