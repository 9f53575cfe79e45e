//! The command line: one file a command.
//!
//! Exit status, a contract with scripts: 0 done, 1 refused or failed (the reason on stderr), 2 wrong
//! usage, 3 no running proxy reached.

mod binlog;
mod client;
mod doctor;
mod mode;
mod sandbox;
mod status;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app;
use crate::config::Config;

/// A MySQL/MariaDB proxy that lets a commit return only when the acknowledgements that the DBA asked
/// for have arrived.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the proxy until SIGTERM or SIGINT; SIGHUP reads the configuration again.
    Serve(ConfigPath),
    /// Reads the configuration and says what is wrong with it.
    Check(ConfigPath),
    /// Every server's settings, grants and replication against what is needed, as SQL to run.
    Doctor {
        #[command(flatten)]
        config: ConfigPath,
        /// Runs what can be set at run time.
        #[arg(long)]
        fix: bool,
    },
    /// What the running proxy does, and for whom commits wait.
    Status {
        #[command(flatten)]
        config: ConfigPath,
        /// The whole status document.
        #[arg(long)]
        json: bool,
        /// Again every second.
        #[arg(long)]
        watch: bool,
    },
    /// Shows what a commit waits for, or changes it.
    Mode {
        /// async, semi-sync, quorum or sync.
        name: Option<String>,
        #[command(flatten)]
        config: ConfigPath,
    },
    /// What our binlog holds.
    Binlog {
        #[command(subcommand)]
        action: binlog::Action,
    },
    /// A source, replicas and the proxy on this machine, to try things with.
    Sandbox {
        #[command(subcommand)]
        action: sandbox::Action,
    },
}

#[derive(Debug, Args)]
struct ConfigPath {
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    config: PathBuf,
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    Refused(anyhow::Error),
    Usage(anyhow::Error),
    NotReached(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Failure {
    /// Says why on stderr.
    pub fn exit(&self) -> ExitCode {
        let (reason, status) = match self {
            Self::Refused(reason) => (reason, 1),
            Self::Usage(reason) => (reason, 2),
            Self::NotReached(reason) => (reason, 3),
        };
        eprintln!("ackline: {reason:#}");
        ExitCode::from(status)
    }
}

impl Cli {
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(path) => Ok(small_runtime()?.block_on(app::serve(&path.config))?),
            Command::Check(path) => {
                let config = Config::load(&path.config)?;
                println!(
                    "{}: {} servers, {} ({})",
                    path.config.display(),
                    config.servers.len(),
                    config.sync.mode,
                    config.sync.require
                );
                Ok(())
            }
            Command::Doctor { config, fix } => {
                small_runtime()?.block_on(doctor::run(&config.config, fix))
            }
            Command::Status {
                config,
                json,
                watch,
            } => small_runtime()?.block_on(status::run(&config.config, json, watch)),
            Command::Mode { name, config } => {
                small_runtime()?.block_on(mode::run(&config.config, name.as_deref()))
            }
            Command::Binlog { action } => action.run(),
            Command::Sandbox { action } => small_runtime()?.block_on(action.run()),
        }
    }
}

/// For commands that ask a few questions and leave.
fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
