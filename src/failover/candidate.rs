//! Who may become the source.

use super::facts::{Facts, Said, Seen};
use crate::gtid::{Gtid, GtidSet};
use crate::ids::ServerName;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCandidate {
    #[error("{0}")]
    Unfit(String),
    #[error("no server can become the source: {}", .0.join("; "))]
    Nobody(Vec<String>),
    #[error(
        "{best} has transactions that neither our binlog nor {chosen} has ({missing}): fail over to {best}"
    )]
    OtherHasMore {
        best: ServerName,
        chosen: ServerName,
        missing: String,
    },
}

/// Whether this one can.
pub fn fit<'a>(
    name: &ServerName,
    facts: &'a Facts,
    accept_unproven: bool,
) -> Result<&'a Said, NoCandidate> {
    let said = facts.said(name).map_err(NoCandidate::Unfit)?;
    if facts.server(name).is_some_and(|server| !server.promotable) {
        return Err(NoCandidate::Unfit(format!(
            "{name} is not promotable, says its [[server]]"
        )));
    }
    if !said.objections.is_empty() {
        return Err(NoCandidate::Unfit(format!(
            "{name} is not fit to be the source: {}",
            said.objections.join("; ")
        )));
    }
    match &said.walked {
        Some(Ok(walked)) if !walked.unproven.is_empty() && !accept_unproven => {
            return Err(NoCandidate::Unfit(format!(
                "{name} is not proven to have {}: its binlog of that was gone before it was read (--accept-unproven takes it all the same)",
                walked.unproven
            )));
        }
        Some(Ok(_)) => {}
        Some(Err(why)) => return Err(NoCandidate::Unfit(format!("{name}: {why}"))),
        None => {
            return Err(NoCandidate::Unfit(format!(
                "what {name} has executed is not known: its binlog was not walked"
            )));
        }
    }
    let own = said.own(&said.beyond(&facts.stored));
    if !own.is_empty() {
        return Err(NoCandidate::Unfit(format!(
            "{name} has {own}, which it wrote itself and nobody else has: look at them in its own binlog (mariadb-binlog, mysqlbinlog), then run ackline provision {name} --replace"
        )));
    }
    if !said.follows_us {
        return Err(NoCandidate::Unfit(format!(
            "{name} does not follow us: what it lacks would not reach it (ackline doctor)"
        )));
    }
    Ok(said)
}

/// The one that a dead source is replaced by: it has most of what our binlog lacks (which is adopted), then it
/// lacks least of what our binlog has, then it can go on from there, then it is proven to have it, then it is first in the
/// configuration.
pub fn choose(
    asked: Option<&ServerName>,
    facts: &Facts,
    accept_unproven: bool,
) -> Result<ServerName, NoCandidate> {
    let others = || {
        facts
            .servers
            .iter()
            .filter(|server| server.name != facts.source)
    };
    let mut why = Vec::new();
    let mut fitting: Vec<(&Seen, &Said)> = Vec::new();
    for server in others() {
        match fit(&server.name, facts, accept_unproven) {
            Ok(said) => fitting.push((server, said)),
            Err(error) => why.push(error.to_string()),
        }
    }
    let best = fitting.iter().min_by_key(|(_, said)| {
        let more = adoptable(said, facts).len();
        let walked = said.walked.as_ref().and_then(|walked| walked.as_ref().ok());
        (
            std::cmp::Reverse(more),
            said.lacks(&facts.stored).len(),
            walked.is_none_or(|walked| walked.end.is_some()),
            walked.is_none_or(|walked| !walked.unproven.is_empty()),
        )
    });
    let Some((best, most)) = best else {
        return Err(NoCandidate::Nobody(why));
    };
    let chosen = match asked {
        None => &best.name,
        Some(asked) => {
            let said = fit(asked, facts, accept_unproven)?;
            let missing = said.lacks(&adoptable(most, facts));
            if !missing.is_empty() {
                return Err(NoCandidate::OtherHasMore {
                    best: best.name.clone(),
                    chosen: asked.clone(),
                    missing: missing.to_string(),
                });
            }
            asked
        }
    };
    Ok(chosen.clone())
}

/// Our last transaction, where it has all of ours and its own binlog does not hold that one: while it is still on its
/// way, nothing can be said.
pub fn lacks_end(said: &Said, facts: &Facts) -> Option<Gtid> {
    let walked = said.walked.as_ref()?.as_ref().ok()?;
    let has_all = said.lacks(&facts.stored).is_empty();
    walked.end.clone().filter(|_| has_all)
}

/// What it has of the old source's that our binlog lacks: a power cut may take the end of a binlog that nobody fsynced
/// (mode async). What it wrote itself is not part of that.
fn adoptable(said: &Said, facts: &Facts) -> GtidSet {
    let beyond = said.beyond(&facts.stored);
    beyond.difference(&said.own(&beyond))
}
