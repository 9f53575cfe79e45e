//! The order of the steps of a move, what each answer leads to, and what a restart makes of an intent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ServerName;
use crate::store::state::{Intent, MoveKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The intent is kept beside the store.
    Intend,
    /// New transactions wait. In a switchover, running ones come to their end.
    Hold,
    /// `[failover] fence_command`.
    Fence,
    /// The old source takes no writes: event scheduler off, `read_only` on.
    ReadOnly,
    /// Everything that the old source has is captured and released; nobody waits for an ack there.
    Settle,
    /// The new one has applied everything that our binlog holds.
    CatchUp,
    /// Its IO thread, then its applier, which has nothing left to do.
    StopReplication,
    /// The new one forgets whom it replicated from. Before the commit point: with a restart of that server its
    /// threads would start again, and nobody is served from a source that replicates.
    Forget,
    /// Capture leaves the old source; nobody is acknowledged to.
    Rest,
    /// Containment, in both directions.
    Prove,
    /// **The commit point**: the new source and its epoch are kept beside the store, then followed.
    Follow,
    /// Gate 1 is raised there, its dump is attached and compared, everything is released, it takes writes.
    Open,
    /// Sessions go on.
    LetGo,
    /// The old source becomes a pull replica.
    Demote,
    /// The new source's event scheduler runs what the old one's ran. Behind `Demote`: the old source may be the
    /// only one who acknowledges what is written for that.
    EnableEvents,
    /// `[failover] after_command`.
    After,
    /// The intent is gone.
    Finish,

    // The way back.
    /// Containment once more, now of the old source: it must not come back with less.
    ProveBack,
    /// The old source is the source again, in an epoch of its own: the new one could not be opened.
    FollowBack,
    /// The replication threads of the one that was to be the source.
    StartReplication,
    /// The old source is followed as before, and with that takes writes again.
    FollowOn,
    /// Its event scheduler is on again, if it was.
    Events,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Intend => "keep the intent",
            Self::Hold => "hold new transactions",
            Self::Fence => "run fence_command",
            Self::ReadOnly => "make the old source read-only",
            Self::Settle => "capture and release all of the old source",
            Self::CatchUp => "let the new source apply all of our binlog",
            Self::StopReplication => "stop its replication",
            Self::Rest => "leave the old source",
            Self::Prove => "prove containment",
            Self::Follow => "keep the new source and its epoch",
            Self::Open => "attach to the new source and open it for writing",
            Self::Forget => "let it forget its own source",
            Self::LetGo => "let sessions go on",
            Self::Demote => "make the old source a replica",
            Self::EnableEvents => "let events run at the new source",
            Self::After => "run after_command",
            Self::Finish => "drop the intent",
            Self::ProveBack => "prove containment for the way back",
            Self::FollowBack => "keep the old source and an epoch of its own",
            Self::StartReplication => "start its replication again",
            Self::FollowOn => "attach to the old source again",
            Self::Events => "start the event scheduler again",
        })
    }
}

const SWITCHOVER: &[Step] = &[
    Step::Intend,
    Step::Hold,
    Step::ReadOnly,
    Step::Settle,
    Step::CatchUp,
    Step::StopReplication,
    Step::Forget,
    Step::Rest,
    Step::Prove,
    Step::Follow,
    Step::Open,
    Step::LetGo,
    Step::Demote,
    Step::EnableEvents,
    Step::After,
    Step::Finish,
];

/// From the second step on nobody acknowledges to the old source.
const FAILOVER: &[Step] = &[
    Step::Intend,
    Step::Rest,
    Step::Hold,
    Step::Fence,
    Step::CatchUp,
    Step::StopReplication,
    Step::Forget,
    Step::Prove,
    Step::Follow,
    Step::Open,
    Step::LetGo,
    Step::EnableEvents,
    Step::After,
    Step::Finish,
];

const BACK: &[Step] = &[
    Step::StartReplication,
    Step::FollowOn,
    Step::Events,
    Step::LetGo,
    Step::Finish,
];

/// From a new source that does not open, while the old one lacks nothing: [`Step::FollowBack`] is a commit
/// point as [`Step::Follow`] is.
const HOME: &[Step] = &[
    Step::Rest,
    Step::ProveBack,
    Step::FollowBack,
    Step::StartReplication,
    Step::FollowOn,
    Step::Events,
    Step::LetGo,
    Step::Finish,
];

/// The new source stays; the intent too, so that whatever is left is done later.
const STAY: &[Step] = &[Step::FollowOn];

/// What a proxy that starts with a committed move has left to do. The new source may have been told to replicate
/// again, on the way back from a commit point whose write failed and was there all the same.
const TIDY_SWITCHOVER: &[Step] = &[
    Step::Open,
    Step::LetGo,
    Step::Forget,
    Step::Demote,
    Step::EnableEvents,
    Step::After,
    Step::Finish,
];
const TIDY_FAILOVER: &[Step] = &[
    Step::Open,
    Step::LetGo,
    Step::Forget,
    Step::EnableEvents,
    Step::After,
    Step::Finish,
];

/// Where a move is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    script: &'static [Step],
    at: usize,
    outcome: Outcome,
    /// What went wrong on the way and did not change it.
    warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The state before is back.
    TakenBack {
        step: Step,
        reason: String,
    },
    /// The commit point is behind us, and the new source does not open yet; the proxy goes on trying.
    Unopened {
        reason: String,
    },
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Failed(String),
    /// Of [`Step::Open`]: it failed, and something of the new source is in our binlog already, so that the old one lacks it.
    FailedForGood(String),
}

impl Course {
    pub fn begin(kind: MoveKind) -> Self {
        Self::of(match kind {
            MoveKind::Switchover => SWITCHOVER,
            MoveKind::Failover => FAILOVER,
        })
    }

    /// After a restart of the proxy in the middle of a move: `followed` is the source that is kept beside the store.
    pub fn resume(intent: &Intent, followed: &ServerName) -> Self {
        if *followed != intent.to {
            let mut course = Self::of(BACK);
            course.outcome = Outcome::TakenBack {
                step: Step::Intend,
                reason: "the proxy was stopped in the middle of it".into(),
            };
            return course;
        }
        Self::of(match intent.kind {
            MoveKind::Switchover => TIDY_SWITCHOVER,
            MoveKind::Failover => TIDY_FAILOVER,
        })
    }

    fn of(script: &'static [Step]) -> Self {
        Self {
            script,
            at: 0,
            outcome: Outcome::Done,
            warnings: Vec::new(),
        }
    }

    /// What is to be done now; none at the end.
    pub fn step(&self) -> Option<Step> {
        self.script.get(self.at).copied()
    }

    /// What is still ahead, if all goes well.
    pub fn ahead(&self) -> &'static [Step] {
        &self.script[self.at..]
    }

    /// **What comes next?** Decided here and nowhere else, from what came of the present step.
    pub fn answered(&mut self, answer: Answer) {
        let Some(step) = self.step() else {
            return;
        };
        let (reason, for_good) = match answer {
            Answer::Done => return self.at += 1,
            Answer::Failed(reason) => (reason, false),
            Answer::FailedForGood(reason) => (reason, true),
        };
        match step {
            Step::Rest | Step::ProveBack | Step::FollowBack if self.script == HOME => {
                self.outcome = Outcome::Unopened { reason };
                self.script = STAY;
                self.at = 0;
            }
            Step::Intend => {
                // Nothing has been touched.
                self.outcome = Outcome::TakenBack { step, reason };
                self.at = self.script.len();
            }
            Step::Hold
            | Step::Fence
            | Step::ReadOnly
            | Step::Settle
            | Step::CatchUp
            | Step::StopReplication
            | Step::Rest
            | Step::Prove
            | Step::Follow => {
                self.outcome = Outcome::TakenBack { step, reason };
                self.script = BACK;
                self.at = 0;
            }
            Step::Open if !for_good && self.script == SWITCHOVER => {
                self.outcome = Outcome::TakenBack { step, reason };
                self.script = HOME;
                self.at = 0;
            }
            // The intent stays: whatever is left is done by the next start, or by the next command.
            Step::Open => {
                self.outcome = Outcome::Unopened { reason };
                self.at = self.script.len();
            }
            Step::Forget if self.script == SWITCHOVER || self.script == FAILOVER => {
                self.outcome = Outcome::TakenBack { step, reason };
                self.script = BACK;
                self.at = 0;
            }
            Step::Forget
            | Step::LetGo
            | Step::Demote
            | Step::EnableEvents
            | Step::After
            | Step::Finish
            | Step::StartReplication
            | Step::FollowOn
            | Step::Events
            | Step::ProveBack
            | Step::FollowBack => {
                self.warnings.push(format!("{step}: {reason}"));
                self.at += 1;
            }
        }
    }

    pub fn end(self) -> (Outcome, Vec<String>) {
        (self.outcome, self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        mut course: Course,
        fails: &[Step],
        answer: fn(String) -> Answer,
    ) -> (Vec<Step>, Outcome) {
        let mut taken = Vec::new();
        while let Some(step) = course.step() {
            taken.push(step);
            course.answered(match fails.contains(&step) {
                true => answer("no".into()),
                false => Answer::Done,
            });
        }
        (taken, course.end().0)
    }

    #[test]
    fn whatever_fails_before_the_commit_point_is_taken_back() {
        for kind in [MoveKind::Switchover, MoveKind::Failover] {
            let (script, outcome) = run(Course::begin(kind), &[], Answer::Failed);
            assert_eq!(outcome, Outcome::Done);
            let commit = script
                .iter()
                .position(|step| *step == Step::Follow)
                .unwrap();
            for step in &script[1..=commit] {
                let (taken, outcome) = run(Course::begin(kind), &[*step], Answer::Failed);
                assert!(taken.ends_with(BACK), "{step}: {taken:?}");
                assert!(matches!(outcome, Outcome::TakenBack { step: at, .. } if at == *step));
            }
        }
    }

    #[test]
    fn the_proof_is_taken_while_nobody_is_acknowledged_to() {
        for script in [SWITCHOVER, FAILOVER] {
            let place = |step| script.iter().position(|at| *at == step).unwrap();
            assert!(place(Step::Rest) < place(Step::Prove));
            assert!(place(Step::Prove) < place(Step::Follow));
            assert!(place(Step::StopReplication) < place(Step::Prove));
            assert!(place(Step::Forget) < place(Step::Follow));
            assert_eq!(place(Step::Intend), 0);
            assert_eq!(place(Step::Finish), script.len() - 1);
        }
        for script in [SWITCHOVER, FAILOVER, TIDY_SWITCHOVER, TIDY_FAILOVER] {
            let place = |step| script.iter().position(|at| *at == step).unwrap();
            assert!(place(Step::LetGo) < place(Step::EnableEvents));
        }
    }

    #[test]
    fn a_new_source_that_does_not_open_is_left_again_while_it_has_nothing_of_its_own() {
        let (taken, outcome) = run(
            Course::begin(MoveKind::Switchover),
            &[Step::Open],
            Answer::Failed,
        );
        assert!(taken.contains(&Step::FollowBack));
        assert!(matches!(
            outcome,
            Outcome::TakenBack {
                step: Step::Open,
                ..
            }
        ));
        let place = |step| taken.iter().rposition(|at| *at == step).unwrap();
        assert!(place(Step::Open) < place(Step::Rest));
        assert!(place(Step::Rest) < place(Step::ProveBack));
        assert!(place(Step::ProveBack) < place(Step::FollowBack));
        // Where the way back cannot be proven, the new source stays, and is followed again.
        for step in [Step::ProveBack, Step::FollowBack] {
            let course = Course::begin(MoveKind::Switchover);
            let (taken, outcome) = run(course, &[Step::Open, step], Answer::Failed);
            assert_eq!(taken[taken.len() - 2..], [step, Step::FollowOn]);
            assert!(matches!(outcome, Outcome::Unopened { .. }));
            assert!(!taken.contains(&Step::StartReplication));
        }
        let (taken, outcome) = run(
            Course::begin(MoveKind::Switchover),
            &[Step::Open],
            Answer::FailedForGood,
        );
        assert!(!taken.contains(&Step::FollowBack));
        assert!(matches!(outcome, Outcome::Unopened { .. }));
        // A dead source is not gone back to.
        let (taken, _) = run(
            Course::begin(MoveKind::Failover),
            &[Step::Open],
            Answer::Failed,
        );
        assert!(!taken.contains(&Step::FollowBack));
    }

    #[test]
    fn a_restart_takes_back_or_finishes() {
        let intent = Intent {
            kind: MoveKind::Switchover,
            from: ServerName::new("db1"),
            to: ServerName::new("db2"),
            events: true,
            endpoint: None,
            schedule: None,
        };
        assert_eq!(Course::resume(&intent, &intent.from).ahead(), BACK);
        assert_eq!(Course::resume(&intent, &intent.to).ahead(), TIDY_SWITCHOVER);
    }
}
