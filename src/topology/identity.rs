//! Which `[[server]]` a dump connection belongs to: by the server id that we read at its address
//! (DESIGN.md, "Details"). Whoever is in no list is a reader without a vote.

use std::collections::BTreeMap;

use super::health::Health;
use super::roster::{Role, ServerConfig};
use super::voter::{self, Reason, Repair};
use crate::ids::{Flavor, Machine, ServerId, ServerName};

/// What is known of one listed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: ServerName,
    /// None until the server has said it.
    pub server_id: Option<ServerId>,
    /// Of a MySQL server.
    pub uuid: Option<String>,
    /// None until the server has answered at its address.
    pub machine: Option<Machine>,
    /// Whether it applies transactions that carry its own server id; none while it is not known.
    pub accepts_own: Option<bool>,
    /// Whether its acknowledgements are wanted (`vote`) and count.
    pub votes: bool,
    /// Why it has no vote although the config gives it one.
    pub reasons: Vec<Reason>,
    /// Whether what it has received is fsynced there when it says so (`sync_relay_log=1`).
    pub durable: bool,
}

/// One entry a server, in order.
pub fn identify<'a>(
    servers: impl IntoIterator<Item = (&'a ServerConfig, &'a Health)>,
) -> Vec<Identity> {
    let mut identities: Vec<Identity> = servers
        .into_iter()
        .map(|(config, health)| {
            let verdict = match config.role {
                // Whether a source may be followed is proven at each attach, by capture.
                Role::Source => Ok(()),
                Role::Replica => voter::may_vote(health),
            };
            let reasons = match (config.vote, verdict) {
                (true, Err(reasons)) => reasons,
                _ => Vec::new(),
            };
            Identity {
                name: config.name.clone(),
                server_id: health.last_report().map(|report| report.server_id),
                uuid: health.last_report().and_then(|report| report.uuid.clone()),
                machine: (health.last_report())
                    .map(|report| report.machine(&config.account.address)),
                accepts_own: match health.last_report() {
                    // Nothing that could be set there would change it.
                    Some(report) if report.flavor == Flavor::MySql => Some(false),
                    // A restart may have undone what it was set to.
                    _ => health.report().map(|report| report.accepts_own()),
                },
                votes: config.vote && reasons.is_empty(),
                reasons,
                durable: health.report().is_some_and(|report| report.acks_durably()),
            }
        })
        .collect();
    refuse_shared_ids(&mut identities);
    identities
}

/// Of two servers with one id nobody can say whose acknowledgement it is.
fn refuse_shared_ids(identities: &mut [Identity]) {
    let mut by_id: BTreeMap<ServerId, Vec<usize>> = BTreeMap::new();
    for (at, identity) in identities.iter().enumerate() {
        if let Some(id) = identity.server_id {
            by_id.entry(id).or_default().push(at);
        }
    }
    for (id, places) in by_id {
        if places.len() < 2 {
            continue;
        }
        let names: Vec<String> = places
            .iter()
            .map(|&at| identities[at].name.to_string())
            .collect();
        let names = names.join(" and ");
        for at in places {
            identities[at].votes = false;
            identities[at].reasons.push(Reason {
                what: format!("{names} have the same server_id {id}"),
                repair: Repair::ByHand(
                    "give each server its own server_id in its configuration file, and restart it"
                        .into(),
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::admin::Account;
    use crate::topology::Ship;
    use crate::topology::report::tests::good_replica;
    use tokio::time::Instant;

    fn server(name: &str, role: Role) -> ServerConfig {
        ServerConfig {
            name: ServerName::new(name),
            role,
            zone: None,
            vote: true,
            ship: Ship::Pull,
            account: Account {
                address: "127.0.0.1:3306".into(),
                user: "a".into(),
                password: "b".into(),
                tls: Default::default(),
            },
        }
    }

    fn up(id: u32) -> Health {
        let mut report = good_replica();
        report.server_id = ServerId(id);
        Health::Up {
            report: Arc::new(report),
            at: Instant::now(),
        }
    }

    #[test]
    fn a_shared_server_id_takes_both_votes() {
        let (a, b, c) = (
            server("a", Role::Replica),
            server("b", Role::Replica),
            server("c", Role::Replica),
        );
        let (one, two) = (up(1), up(2));
        let found = identify([(&a, &one), (&b, &one), (&c, &two)]);
        let votes: Vec<bool> = found.iter().map(|identity| identity.votes).collect();
        assert_eq!(votes, [false, false, true]);
        assert!(found[0].reasons[0].what.contains("a and b"));
        assert_eq!(found[2].server_id, Some(ServerId(2)));
    }

    #[test]
    fn only_a_replica_is_judged_and_only_where_it_should_vote() {
        let source = server("s", Role::Source);
        let mut reader = server("r", Role::Replica);
        reader.vote = false;
        let found = identify([(&source, &Health::Unknown), (&reader, &Health::Unknown)]);
        assert!(found[0].votes);
        assert!(!found[1].votes && found[1].reasons.is_empty());
    }
}
