//! `POST /api/v1/trace`: where the time of commits goes, stage by stage, seen for a few seconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stages::{self, Commit, STEPS};

/// An answer comes before the request is given up.
const LONGEST: f64 = 20.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    pub seconds: f64,
}

impl Default for Request {
    fn default() -> Self {
        Self { seconds: 5.0 }
    }
}

/// Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Seen from their command to their OK; one that nobody acknowledged, as in async, is not.
    pub commits: usize,
    /// In the order of a commit's way. Fsync and replica work side by side.
    pub steps: Vec<Step>,
    /// From the command to its OK.
    pub whole: Step,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub median_us: u64,
    pub p95_us: u64,
}

impl Request {
    pub fn duration(&self) -> Result<Duration, String> {
        match self.seconds {
            seconds if seconds > 0.0 && seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
            _ => Err(format!("'seconds' is more than 0 and at most {LONGEST}")),
        }
    }
}

/// None while another one runs.
pub(super) async fn run(duration: Duration) -> Option<Trace> {
    let recording = stages::record()?;
    tokio::time::sleep(duration).await;
    Some(Trace::of(&recording.end()))
}

impl Trace {
    fn of(commits: &[Commit]) -> Self {
        let step = |(number, name): (usize, &&str)| {
            Step::of(name, commits.iter().map(|commit| commit.steps[number]))
        };
        Self {
            commits: commits.len(),
            steps: STEPS.iter().enumerate().map(step).collect(),
            whole: Step::of(
                "relayed to shown",
                commits.iter().map(|commit| commit.whole),
            ),
        }
    }
}

impl Step {
    fn of(name: &str, times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<u128> = times.map(|time| time.as_micros()).collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let place = times.len().saturating_sub(1) * percent / 100;
            times.get(place).map_or(0, |time| *time as u64)
        };
        Self {
            name: name.to_owned(),
            median_us: at(50),
            p95_us: at(95),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_few_and_of_none() {
        let micros =
            |times: &[u64]| Step::of("x", times.iter().copied().map(Duration::from_micros));
        let all: Vec<u64> = (0..=100).rev().collect();
        assert_eq!((micros(&all).median_us, micros(&all).p95_us), (50, 95));
        assert_eq!((micros(&[7]).median_us, micros(&[]).p95_us), (7, 0));
        let trace = Trace::of(&[]);
        assert_eq!((trace.commits, trace.steps.len()), (0, STEPS.len()));
        for seconds in [0.0, -1.0, 21.0, f64::NAN] {
            assert!(Request { seconds }.duration().is_err());
        }
    }
}
