//! `ackline binlog replay`: point-in-time recovery. A server that was restored from a backup becomes, for
//! as long as it takes, a replica of ours that stops where it was told to; so its own applier does the
//! work, exactly and in parallel, and what it has of it survives a crash.
//!
//! ```text
//! our files ─► stop (which transaction is the last) ─┐
//! the server ─► target (who is it, what has it) ─────┴─► plan ─► START SLAVE UNTIL ─► progress ─► RESET
//! ```

mod plan;
mod progress;
mod stop;
mod target;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;

use crate::app;
use crate::cli::client::Client;
use crate::cli::{ConfigPath, Failure};
use crate::config::Config;
use crate::gtid::{Gtid, GtidSet};
use crate::net::admin::Account;
use crate::net::tls::{ClientFiles, Connector};
use crate::units::{parse_utc, show_utc};

use plan::Plan;
use stop::{Limit, Stop};
use target::Target;

#[derive(Debug, Args)]
#[group(id = "limit", required = true, multiple = false, args = ["to_gtid", "before_gtid", "to_time"])]
pub(in crate::cli) struct Replay {
    #[command(flatten)]
    config: ConfigPath,
    /// A [[server]] of the config, or HOST:PORT of another one.
    #[arg(long, value_name = "SERVER")]
    onto: String,
    /// The last transaction to replay.
    #[arg(long, value_name = "GTID")]
    to_gtid: Option<Gtid>,
    /// The first transaction not to replay, such as a DROP TABLE by mistake.
    #[arg(long, value_name = "GTID")]
    before_gtid: Option<Gtid>,
    /// Up to the first transaction of this moment or later: "2026-03-01 14:30:00" (UTC).
    #[arg(long, value_name = "TIME", value_parser = parse_utc)]
    to_time: Option<u32>,
    /// The account at HOST:PORT; its password comes from --password-file or MYSQL_PWD.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// HOST:PORT at which that server reaches our replication port, if not as [listen] says.
    #[arg(long, value_name = "ADDRESS")]
    through: Option<String>,
    /// Only says what would be done.
    #[arg(long)]
    dry_run: bool,
}

impl Replay {
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.config.config)?;
        let account = self.account(&config)?;
        let client = Client::new(&self.config.config)?;
        let status: serde_json::Value = client.get("/api/v1/status").await?;
        let released = status["binlog"]["released"].as_str().unwrap_or_default();
        let released: GtidSet = released
            .parse()
            .context("the proxy's released set cannot be read")?;

        let stop = self.stop(&config.binlog.dir)?;
        stop.must_be_released(&released)?;
        let mut target = Target::connect(&self.onto, &account).await?;
        let plan = Plan::make(&stop, &target.facts)?;
        println!("{plan}");
        if plan.is_empty() || self.dry_run {
            return Ok(());
        }
        let port = target::ReplicationPort::of(&config, self.through.as_deref())?;
        target.begin(&port, &plan).await?;
        let done = tokio::select! {
            done = progress::watch(&mut target, &plan) => done,
            _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted; the same command goes on from here")),
        };
        // What has been applied stays, and with it the server's position.
        target.end().await;
        println!("{}", done?);
        Ok(())
    }

    fn account(&self, config: &Config) -> Result<Account, Failure> {
        let named = (config.servers.iter()).find(|server| server.name.as_str() == self.onto);
        if let Some(server) = named {
            return Ok(app::server_config(server).account);
        }
        let usage = |what: String| Failure::Usage(anyhow!(what));
        if !self.onto.contains(':') {
            return Err(usage(format!(
                "there is no [[server]] {}; write HOST:PORT for another server",
                self.onto
            )));
        }
        let Some(user) = &self.user else {
            return Err(usage(format!(
                "as whom at {}? Write --user, and --password-file or MYSQL_PWD",
                self.onto
            )));
        };
        Ok(Account {
            address: self.onto.clone(),
            user: user.clone(),
            password: self.password()?,
            tls: Connector::new(ClientFiles::default()),
        })
    }

    fn password(&self) -> anyhow::Result<String> {
        let Some(path) = &self.password_file else {
            return Ok(std::env::var("MYSQL_PWD").unwrap_or_default());
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn stop(&self, dir: &Path) -> anyhow::Result<Stop> {
        let limit = match (&self.to_gtid, &self.before_gtid, self.to_time) {
            (Some(gtid), ..) => Limit::To(gtid.clone()),
            (_, Some(gtid), _) => Limit::Before(gtid.clone()),
            (_, _, Some(time)) => Limit::Time(time),
            _ => return Err(anyhow!("where is it to end?")),
        };
        let stop = stop::find(dir, &limit)?;
        match (&limit, stop.next) {
            (Limit::Time(time), None) => eprintln!(
                "ackline: our binlog ends before {}: all of it is replayed",
                show_utc(*time)
            ),
            (Limit::Time(_), Some(next)) => {
                eprintln!("ackline: the next transaction began at {}", show_utc(next));
            }
            _ => {}
        }
        Ok(stop)
    }
}
