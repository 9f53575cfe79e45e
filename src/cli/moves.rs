//! `ackline switchover` and `ackline failover`: one line for what came of it, the proof and the steps before it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Failure;
use super::client::Client;
use crate::admin::moves::Request;
use crate::admin::status::Status;
use crate::failover::mover::{Moved, Rehearsal};
use crate::failover::proof::Proof;
use crate::store::state::MoveKind;

pub(super) async fn run(
    config: &Path,
    kind: MoveKind,
    request: &Request,
    json: bool,
) -> Result<(), Failure> {
    let client = Client::new(config)?;
    let body = serde_json::to_value(request).context("the request")?;
    let (done, answer) = client.order(&format!("/api/v1/{kind}"), &body).await?;
    if json {
        println!("{answer:#}");
    }
    if request.dry_run && done {
        let rehearsal: Rehearsal = serde_json::from_value(answer).context(UNREADABLE)?;
        if !json {
            print!("{}", rehearsed(&rehearsal));
            println!("would be done");
        }
        return Ok(());
    }
    if answer.get("outcome").is_none() {
        let reason = answer["error"]
            .as_str()
            .unwrap_or("the proxy gives no reason");
        if request.dry_run && !json {
            println!("would be refused: {reason}");
        }
        return Err(Failure::Refused(anyhow::anyhow!(
            "{kind} refused: {reason}"
        )));
    }
    let moved: Moved = serde_json::from_value(answer).context(UNREADABLE)?;
    if !json {
        print!("{}", told(&moved));
    }
    match moved.is_done() {
        true => {
            if !json {
                println!("{}", moved.sentence());
                if let Some(outlook) = outlook(&client).await {
                    println!("warning: {outlook}");
                }
            }
            Ok(())
        }
        false => {
            let sentence = anyhow::anyhow!(moved.sentence());
            Err(match moved.outcome.as_str() {
                "taken-back" => Failure::TakenBack(sentence),
                _ => Failure::Unopened(sentence),
            })
        }
    }
}

/// After replicas had the time to come.
async fn outlook(client: &Client) -> Option<String> {
    let begun = Instant::now();
    loop {
        let status: Status = client.get("/api/v1/status").await.ok()?;
        let outlook = status.outlook()?;
        if begun.elapsed() > SETTLES {
            return Some(outlook);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Replicas come to a new source, and are judged anew.
const SETTLES: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(100);

const UNREADABLE: &str = "the proxy's answer is not what it should be; is it another version?";

fn rehearsed(rehearsal: &Rehearsal) -> String {
    let mut text = format!("{}, nothing is changed (dry run)\n", rehearsal.plan);
    for warning in &rehearsal.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    for step in &rehearsal.steps {
        text.push_str(&format!("  would {step}\n"));
    }
    if let Some(proof) = &rehearsal.proof {
        text.push_str(&shown(proof, "it lacks now"));
    }
    text
}

fn told(moved: &Moved) -> String {
    let mut text = String::new();
    for took in &moved.steps {
        let failure = took
            .failure
            .as_deref()
            .map(|why| format!("  FAILED: {why}"));
        text.push_str(&format!(
            "{:>6} ms  {}{}\n",
            took.milliseconds,
            took.step,
            failure.unwrap_or_default()
        ));
    }
    if let Some(proof) = &moved.proof {
        text.push_str(&shown(proof, "it lacks"));
    }
    for warning in &moved.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

fn shown(proof: &Proof, lacks: &str) -> String {
    let set = |set: &str| match set {
        "" => "(none)".to_owned(),
        set => set.to_owned(),
    };
    let mut text = format!(
        "proof\n  released        {}\n  our binlog      {}\n  new source      {}\n  {lacks:<16}{}\n  it has besides  {}\n",
        set(&proof.released),
        set(&proof.stored),
        set(&proof.candidate),
        set(&proof.missing),
        set(&proof.beyond),
    );
    if !proof.base.is_empty() {
        text.push_str(&format!(
            "  what is older than its binlog is known by {}\n",
            proof.base
        ));
    }
    if !proof.unproven.is_empty() {
        text.push_str(&format!("  not proven      {}\n", proof.unproven));
    }
    if let Some(old) = &proof.old_beyond {
        text.push_str(&format!("  old source has besides  {}\n", set(old)));
    }
    text
}
