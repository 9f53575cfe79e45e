//! `ackline binlog purge`: by the running proxy, or, where none runs, by ourselves under the same floors.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::{ConfigPath, folder};
use crate::admin::purge::{Answer, Order};
use crate::app;
use crate::cli::Failure;
use crate::cli::client::Client;
use crate::config::{Config, Role};
use crate::ids::StorePosition;
use crate::net::admin::Admin;
use crate::store::{self, Need, Options, PurgeRequest, Store};
use crate::topology::applied;
use crate::units::show_size;

/// For each replica, where nobody has asked it before.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(in crate::cli) struct Asked {
    /// Files that were complete by then, in UTC: 2026-11-23T18:10:00Z.
    #[arg(long, value_name = "TIME", group = "what")]
    before: Option<String>,
    /// Files before this one.
    #[arg(long, value_name = "FILE", group = "what")]
    to: Option<String>,
    /// Files beyond a time ("7d"), a size ("50GiB") or both; by default [binlog] keep.
    #[arg(long, value_name = "KEEP", group = "what")]
    keep: Option<String>,
    /// Says what would go.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    config: ConfigPath,
}

impl Asked {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let order = Order {
            before: self.before,
            to: self.to,
            keep: self.keep,
            dry_run: self.dry_run,
        };
        let path = &self.config.config;
        let config = Config::load(path)?;
        order
            .unwanted(config.binlog.keep)
            .map_err(|error| Failure::Usage(anyhow::anyhow!(error)))?;
        let client = Client::new(path)?;
        let body = serde_json::to_value(&order)?;
        let answer = match client.post("/api/v1/binlog/purge", &body).await {
            Err(Failure::NotReached(unreached)) => match alone(&config, &order).await {
                // It runs, and cannot be asked.
                Err(Failure::Refused(error))
                    if matches!(error.downcast_ref(), Some(store::Error::Locked { .. })) =>
                {
                    return Err(Failure::NotReached(unreached));
                }
                done => done?,
            },
            asked => asked?,
        };
        print!("{}", told(&answer, self.dry_run));
        Ok(())
    }
}

/// Under the lock of the folder. What replicas have applied, they are asked.
async fn alone(config: &Config, order: &Order) -> Result<Answer, Failure> {
    folder(&config.path)?;
    let options = Options {
        dir: config.binlog.dir.clone(),
        file_size: config.binlog.file_size,
    };
    let (store, _writer, _) = Store::open(options, std::sync::Arc::new(()))?;
    let mut needs = Vec::new();
    let voters = config.servers.iter();
    for server in voters.filter(|server| server.vote && server.role == Role::Replica) {
        let said = async {
            let account = app::server_config(server).account;
            let mut admin = Admin::connect(&account, DEADLINE).await?;
            let position = applied::has_applied(&mut admin).await?;
            admin.close().await;
            Ok::<_, crate::net::Error>(position)
        };
        let from = match said.await {
            // What is in no place of ours needs everything.
            Ok(position) => store
                .applied_up_to(StorePosition::ZERO, &position)
                .unwrap_or(StorePosition::ZERO),
            Err(error) => {
                eprintln!(
                    "ackline: {} cannot be asked what it has applied: {error}",
                    server.name
                );
                StorePosition::ZERO
            }
        };
        needs.push(Need {
            who: server.name.to_string(),
            from,
        });
    }
    let unwanted = order
        .unwanted(config.binlog.keep)
        .map_err(|error| Failure::Usage(anyhow::anyhow!(error)))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let request = PurgeRequest {
        unwanted,
        at_most: config.binlog.keep_at_most,
        needs,
        now: since.map_or(0, |since| since.as_secs() as u32),
    };
    Ok(store.purge(&request, order.dry_run)?.into())
}

fn told(answer: &Answer, dry_run: bool) -> String {
    let mut text = String::new();
    for file in &answer.files {
        text.push_str(&format!("{}  {}\n", file.name, file.bytes));
    }
    let bytes = answer.files.iter().map(|file| file.bytes).sum();
    text.push_str(&format!(
        "{} files, {}{}\n",
        answer.files.len(),
        show_size(bytes),
        if dry_run { " would go" } else { " purged" }
    ));
    for need in &answer.held_for {
        text.push_str(&format!("{} holds files back: {}\n", need.who, need.has()));
    }
    for need in &answer.taken_from {
        text.push_str(&format!(
            "{} needed what {}, beyond [binlog] keep_at_most: {}\n",
            need.who,
            if dry_run { "would go" } else { "is gone" },
            need.has()
        ));
    }
    text
}
