//! Drives a course: one step after the other, each answered by the hands.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::course::{Answer, Course, Outcome, Step};
use super::facts::Facts;
use super::plan::Plan;
use super::proof::{Proof, prove};

/// What acts. Each step may be asked for twice, and after a crash at any place in it.
pub trait Hands: Send + Sync {
    /// Asks every server now.
    fn facts(&self, plan: &Plan) -> impl Future<Output = Facts> + Send;
    fn perform(&self, step: Step, plan: &Plan) -> impl Future<Output = Answer> + Send;
}

/// What became of a move. Scripts read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// `done`, `taken-back` or `unopened`.
    pub outcome: String,
    pub kind: String,
    pub from: String,
    pub to: String,
    pub epoch: u64,
    /// Why it is not done.
    pub reason: Option<String>,
    pub warnings: Vec<String>,
    pub proof: Option<Proof>,
    pub steps: Vec<Took>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    pub step: Step,
    pub milliseconds: u64,
    /// Null where it went well.
    pub failure: Option<String>,
}

impl Moved {
    pub fn is_done(&self) -> bool {
        self.outcome == "done"
    }

    /// One line.
    pub fn sentence(&self) -> String {
        let Self {
            kind,
            from,
            to,
            epoch,
            ..
        } = self;
        let reason = self.reason.as_deref().unwrap_or_default();
        match self.outcome.as_str() {
            "done" => format!("{kind} done: {to} is the source since epoch {epoch}, {from} is not"),
            "taken-back" => format!("{kind} to {to} taken back, {from} stays the source: {reason}"),
            _ => {
                format!("{kind}: {to} is the source since epoch {epoch} and not open yet: {reason}")
            }
        }
    }
}

/// `begins` is told of each step, for whoever watches.
pub async fn run(
    hands: &impl Hands,
    plan: &Plan,
    mut course: Course,
    begins: impl Fn(Step),
) -> Moved {
    let mut moved = Moved {
        kind: plan.order.kind.to_string(),
        from: plan.from.to_string(),
        to: plan.to.to_string(),
        epoch: plan.epoch.0,
        ..Moved::default()
    };
    while let Some(step) = course.step() {
        begins(step);
        let begun = Instant::now();
        let answer = match step {
            Step::Prove => {
                let (answer, proof) = judged(plan, &hands.facts(plan).await);
                moved.proof = proof;
                answer
            }
            Step::ProveBack => {
                let back = plan.back();
                judged(&back, &hands.facts(&back).await).0
            }
            step => hands.perform(step, plan).await,
        };
        let failure = match &answer {
            Answer::Done => None,
            Answer::Failed(reason) | Answer::FailedForGood(reason) => Some(reason.clone()),
        };
        match &failure {
            None => tracing::info!(%step, took = ?begun.elapsed(), "{plan}"),
            Some(reason) => tracing::warn!(%step, %reason, "{plan}"),
        }
        moved.steps.push(Took {
            step,
            milliseconds: milliseconds(begun.elapsed()),
            failure,
        });
        course.answered(answer);
    }
    let (outcome, warnings) = course.end();
    moved.warnings = plan.warnings.iter().cloned().chain(warnings).collect();
    (moved.outcome, moved.reason) = match outcome {
        Outcome::Done => ("done".into(), None),
        Outcome::TakenBack { step, reason } => {
            ("taken-back".into(), Some(format!("{step}: {reason}")))
        }
        Outcome::Unopened { reason } => ("unopened".into(), Some(reason)),
    };
    moved
}

fn judged(plan: &Plan, facts: &Facts) -> (Answer, Option<Proof>) {
    match prove(plan, facts) {
        Ok(proof) if proof.passes() => (Answer::Done, Some(proof)),
        Ok(proof) => (Answer::Failed(proof.reason(plan)), Some(proof)),
        Err(reason) => (Answer::Failed(reason), None),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What would be done, and what speaks against it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    pub plan: String,
    pub warnings: Vec<String>,
    pub steps: Vec<Step>,
    /// As of now: the new source may still be on its way.
    pub proof: Option<Proof>,
}

pub fn rehearse(plan: &Plan, facts: &Facts) -> Rehearsal {
    Rehearsal {
        plan: plan.to_string(),
        warnings: plan.warnings.clone(),
        steps: Course::begin(plan.order.kind).ahead().to_vec(),
        proof: prove(plan, facts).ok(),
    }
}
