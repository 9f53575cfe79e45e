//! `ackline mode [NAME]`: shows or changes the policy of the running proxy, in its file, and what the next commit will
//! wait for in vain.

use std::path::Path;

use serde_json::{Value, json};

use super::Failure;
use super::client::Client;
use crate::ack::policy::Mode;
use crate::admin::status::Status;

pub(super) async fn run(config: &Path, name: Option<&str>) -> Result<(), Failure> {
    let client = Client::new(config)?;
    let sync: Value = match name {
        None => client.get("/api/v1/sync").await?,
        Some(name) => {
            name.parse::<Mode>()
                .map_err(|error| Failure::Usage(anyhow::anyhow!(error)))?;
            client.put("/api/v1/sync", &json!({ "mode": name })).await?
        }
    };
    let text = |key: &str| sync[key].as_str().unwrap_or("-").to_owned();
    println!(
        "{}  ({}; timeout {}, then {})",
        text("mode"),
        text("require"),
        text("timeout"),
        text("on_timeout")
    );
    let status: Status = client.get("/api/v1/status").await?;
    if let Some(outlook) = status.outlook() {
        println!("warning: {outlook}");
    }
    Ok(())
}
