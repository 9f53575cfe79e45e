//! `ackline provision`: a server becomes a replica, as a copy of another one.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::Failure;
use super::client::Client;
use crate::admin::provision::{Begun, Request, Row};
use crate::admin::state::State;
use crate::admin::status::Status;

const LOOK: Duration = Duration::from_millis(500);
/// Where nobody looks at a terminal, a line in so many looks.
const LINE_EACH: u32 = 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server that becomes a replica: a [[server]].
    name: String,
    /// The server that is copied; without it, a replica that votes, else the source.
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Drops the data that the server has; what only its binlog has is written down before.
    #[arg(long)]
    replace: bool,
    /// What would be copied and dropped; nothing is touched.
    #[arg(long)]
    dry_run: bool,
    /// By MySQL's CLONE INSTANCE: faster, and the server starts anew for it; where nothing supervises it, it has to be
    /// started by hand.
    #[arg(long)]
    clone: bool,
    /// The donor's applier stands still until the copy is complete: is the proxy killed, the same command goes on with
    /// what is there. The donor has no vote meanwhile.
    #[arg(long)]
    hold_donor: bool,
    /// How many ranges of rows are copied at a time.
    #[arg(long, value_name = "N")]
    streams: Option<usize>,
    /// How much in a second, as 50MiB; without it, as fast as it goes.
    #[arg(long, value_name = "SIZE")]
    rate: Option<String>,
    /// Leaves out the accounts that the server has not.
    #[arg(long)]
    without_accounts: bool,
    /// What the proxy answers, whole.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Path, args: Args) -> Result<(), Failure> {
    let client = Client::new(config)?;
    let request = Request {
        server: args.name,
        from: args.from,
        replace: args.replace,
        dry_run: args.dry_run,
        clone: args.clone,
        hold_donor: args.hold_donor,
        streams: args.streams,
        rate: args.rate,
        without_accounts: args.without_accounts,
    };
    let body = serde_json::to_value(&request).context("the request")?;
    let (done, answer) = client.order("/api/v1/provision", &body).await?;
    if !done {
        let reason = answer["error"].as_str();
        let reason = reason.unwrap_or("the proxy gives no reason");
        return Err(Failure::Refused(anyhow!("provision refused: {reason}")));
    }
    if args.json && !answer["begun"].as_bool().unwrap_or_default() {
        println!("{answer:#}");
        return Ok(());
    }
    let begun: Begun = serde_json::from_value(answer)
        .context("the proxy's answer is not what it should be; is it another version?")?;
    if !args.json {
        println!("{}", plan(&begun));
    }
    if !begun.begun {
        return Ok(());
    }
    let row = follow(&client, &begun.plan.server, args.json).await?;
    if args.json {
        println!("{:#}", serde_json::to_value(&row).context("the answer")?);
    }
    match row.state {
        State::Done => {
            if !args.json {
                for warning in row.provisioned.iter().flat_map(|done| &done.warnings) {
                    println!("left out: {warning}");
                }
                if let Some(file) = row
                    .provisioned
                    .as_ref()
                    .and_then(|done| done.exported.as_ref())
                {
                    println!("what only it had is written down in {}", file.display());
                }
                println!("{}", row.sentence());
            }
            Ok(())
        }
        _ => Err(Failure::Refused(anyhow!("{}", row.sentence()))),
    }
}

fn plan(Begun { plan, begun }: &Begun) -> String {
    let verb = match (plan.clone, *begun) {
        (false, true) => "is copied",
        (false, false) => "would be copied",
        (true, true) => "is cloned",
        (true, false) => "would be cloned",
    };
    let mut text = format!(
        "{} {verb} to {}: {} tables, about {:.1} MiB, {} accounts",
        plan.from,
        plan.server,
        plan.tables,
        plan.bytes as f64 / f64::from(1 << 20),
        plan.accounts
    );
    if plan.hold_donor {
        let verb = if *begun { "is" } else { "would be" };
        text.push_str(&format!(
            "\n{} {verb} held until then, without a vote",
            plan.from
        ));
    }
    if plan.goes_on {
        text.push_str("\nwith what an earlier copy has left");
    }
    if !plan.drops.is_empty() && !plan.goes_on {
        let verb = if *begun {
            "are dropped"
        } else {
            "would be dropped"
        };
        text.push_str(&format!("\nthere {verb}: {}", plan.drops.join(", ")));
    }
    text
}

/// Until it has ended.
async fn follow(client: &Client, server: &str, quiet: bool) -> Result<Row, Failure> {
    let terminal = std::io::stdout().is_terminal();
    let mut looks = 0;
    loop {
        let status: Status = client.get("/api/v1/status").await?;
        let row = status
            .provisioning
            .into_iter()
            .find(|row| row.server == server);
        let row = row.ok_or_else(|| {
            anyhow!("the proxy was started again meanwhile and knows nothing of it: give the command again")
        })?;
        let running = row.state == State::Running;
        if !quiet && terminal {
            let line = if running {
                row.sentence()
            } else {
                String::new()
            };
            print!("\r\x1b[K{line}");
            let _ = std::io::stdout().flush();
        } else if !quiet && running && looks % LINE_EACH == 0 {
            println!("{}", row.sentence());
        }
        if !running {
            return Ok(row);
        }
        looks += 1;
        tokio::time::sleep(LOOK).await;
    }
}
