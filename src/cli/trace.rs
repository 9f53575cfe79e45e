//! `ackline trace`: where the time of commits goes.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::Failure;
use super::client::Client;
use super::table::aligned;
pub(super) use crate::admin::trace::Request;
use crate::admin::trace::{Step, Trace};

pub(super) async fn run(config: &Path, request: &Request, json: bool) -> Result<(), Failure> {
    request
        .duration()
        .map_err(|error| Failure::Usage(anyhow::anyhow!(error)))?;
    let client = Client::new(config)?;
    let (done, answer) = client
        .order("/api/v1/trace", &serde_json::to_value(request)?)
        .await?;
    if !done {
        let reason = answer["error"].as_str().unwrap_or("no reason given");
        return Err(Failure::Refused(anyhow::anyhow!("{reason}")));
    }
    print(answer, json)
}

fn print(answer: Value, json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let trace: Trace = serde_json::from_value(answer).context("is the proxy another version?")?;
    let row = |step: &Step| {
        [
            step.name.clone(),
            step.median_us.to_string(),
            step.p95_us.to_string(),
        ]
    };
    let head = [
        format!("{} commits", trace.commits),
        "median us".to_owned(),
        "p95 us".to_owned(),
    ];
    let rows: Vec<_> = std::iter::once(head)
        .chain(trace.steps.iter().chain([&trace.whole]).map(row))
        .collect();
    print!("{}", aligned(&rows));
    Ok(())
}
