//! `ackline rejoin`: a server that was the source follows us again.

use std::path::Path;

use anyhow::Context;

use super::Failure;
use super::client::Client;
use crate::admin::moves::Rejoin;
use crate::failover::rejoin::Home;

pub(super) async fn run(config: &Path, server: String, json: bool) -> Result<(), Failure> {
    let client = Client::new(config)?;
    let body = serde_json::to_value(Rejoin { server }).context("the request")?;
    let (done, answer) = client.order("/api/v1/rejoin", &body).await?;
    if json {
        println!("{answer:#}");
    }
    if !done {
        let reason = answer["error"].as_str();
        let reason = reason.unwrap_or("the proxy gives no reason");
        return Err(Failure::Refused(anyhow::anyhow!(
            "rejoin refused: {reason}"
        )));
    }
    let home: Home = serde_json::from_value(answer)
        .context("the proxy's answer is not what it should be; is it another version?")?;
    if !json {
        if home.let_go > 0 || home.cut > 0 {
            println!(
                "{} commits that waited for an acknowledgement were let go, {} connections were cut",
                home.let_go, home.cut
            );
        }
        println!("{}", home.sentence());
    }
    Ok(())
}
