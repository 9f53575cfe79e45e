//! Containment, in both directions, by exact GTID: the only thing that lets a move pass its commit point.

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::plan::Plan;
use crate::gtid::GtidSet;
use crate::store::state::MoveKind;

/// What was compared, for those who have to answer for it. GTID sets, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub released: String,
    /// Everything in our binlog, released or not.
    pub stored: String,
    pub candidate: String,
    /// What tells what the candidate has before its binlog begins, in words.
    #[serde(default)]
    pub base: String,
    /// What of it nobody has read there.
    #[serde(default)]
    pub unproven: String,
    /// The last transaction of our binlog, where the candidate's own does not hold it; null where it does.
    #[serde(default)]
    pub end: Option<String>,
    /// What our binlog has and the candidate lacks.
    pub missing: String,
    /// What the candidate has and our binlog lacks.
    pub beyond: String,
    /// What the old source has and our binlog lacks; null where it does not answer.
    pub old_beyond: Option<String>,
    /// Why the move may go on, or may not.
    pub verdict: Verdict,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The candidate has all of it and no more.
    Complete,
    /// The candidate has all of it, and more of the old source's that is captured from it.
    Adopts,
    /// Accepted by whoever gave the order.
    LossAccepted,
    #[default]
    Refused,
}

impl Proof {
    pub fn passes(&self) -> bool {
        self.verdict != Verdict::Refused
    }

    /// Why it does not.
    pub fn reason(&self, plan: &Plan) -> String {
        let (from, to) = (&plan.from, &plan.to);
        if !self.missing.is_empty() {
            format!(
                "{to} lacks {}, which our binlog has or was released",
                self.missing
            )
        } else if let Some(end) = &self.end {
            format!(
                "{to}'s own binlog does not hold {end}, our last transaction, with which we would begin to follow it (it was purged there, restored or skipped): let one more commit reach it"
            )
        } else if !self.beyond.is_empty() {
            format!(
                "{to} has {}, which nobody else has: something wrote there",
                self.beyond
            )
        } else {
            let more = self.old_beyond.as_deref().unwrap_or_default();
            format!(
                "{from} has {more}, which was written while it was to be left: somebody writes there in spite of read_only"
            )
        }
    }
}

/// To be called with facts that were gathered while nobody was acknowledged to.
pub fn prove(plan: &Plan, facts: &Facts) -> Result<Proof, String> {
    let said = facts.said(&plan.to)?;
    // What was released and is not in our binlog any more (mode async, a power cut) counts as well.
    let missing = said.lacks(&facts.stored.union(&facts.released));
    let beyond = said.beyond(&facts.stored);
    let old_beyond = facts
        .said(&plan.from)
        .ok()
        .map(|old| old.beyond(&facts.stored));
    let walked = said.walked.as_ref().and_then(|walked| walked.as_ref().ok());
    let walked = walked.cloned().unwrap_or_default();
    let verdict = match plan.order.kind {
        _ if walked.end.is_some() => Verdict::Refused,
        // Both ends are there to be asked: the three must be equal.
        MoveKind::Switchover => match old_beyond.as_ref().is_some_and(GtidSet::is_empty) {
            true if missing.is_empty() && beyond.is_empty() => Verdict::Complete,
            _ => Verdict::Refused,
        },
        MoveKind::Failover => match missing.is_empty() {
            true if beyond.is_empty() => Verdict::Complete,
            // A server that wrote for itself has an origin of its own.
            true if !beyond.ranges().any(|(origin, _, _)| said.writes_as(origin)) => {
                Verdict::Adopts
            }
            // What our binlog has need not be lost: a source without it could not be followed.
            false if plan.order.accept_loss && said.lacks(&facts.stored).is_empty() => {
                Verdict::LossAccepted
            }
            _ => Verdict::Refused,
        },
    };
    Ok(Proof {
        base: walked.base,
        unproven: walked.unproven.to_string(),
        end: walked.end.map(|end| end.to_string()),
        released: facts.released.to_string(),
        stored: facts.stored.to_string(),
        candidate: facts
            .stored
            .union(&facts.released)
            .difference(&missing)
            .union(&beyond)
            .to_string(),
        missing: missing.to_string(),
        beyond: beyond.to_string(),
        old_beyond: old_beyond.map(|set| set.to_string()),
        verdict,
    })
}
