//! `ackline accept` and `ackline source accept`: somebody answers for what cannot be proven.

use std::path::Path;

use anyhow::Context;

use super::Failure;
use super::client::Client;
use crate::admin::accept::{Accepted, Holes, Source};

pub(super) async fn holes(config: &Path, asked: &Holes) -> Result<(), Failure> {
    let client = Client::new(config)?;
    let body = serde_json::to_value(asked).context("the request")?;
    let done: Accepted = client.post("/api/v1/accept", &body).await?;
    println!("{}: accepted holes: {}", done.server, done.accepted);
    Ok(())
}

pub(super) async fn source(config: &Path, name: &str) -> Result<(), Failure> {
    let client = Client::new(config)?;
    let asked = Source {
        server: name.to_owned(),
    };
    let body = serde_json::to_value(asked).context("the request")?;
    let done: Source = client.post("/api/v1/source/accept", &body).await?;
    println!(
        "{}: its binlog is taken as it is; what our binlog has must be there all the same (ackline status)",
        done.server
    );
    Ok(())
}
