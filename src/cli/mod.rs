//! The command line: one file a command.
//!
//! Exit status, a contract with scripts: 0 done, 1 refused or failed (the reason on stderr), 2 wrong
//! usage, 3 no running proxy reached.

mod accept;
mod adopt;
mod binlog;
mod client;
mod doctor;
mod help;
mod migrate;
mod mode;
mod moves;
mod provision;
mod rejoin;
mod sandbox;
mod status;
mod table;
mod trace;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::admin::accept::Holes;
use crate::admin::moves::Request;
use crate::app;
use crate::config::Config;
use crate::store::state::MoveKind;

/// A MySQL/MariaDB proxy that lets a commit return only when the acknowledgements that the DBA asked
/// for have arrived.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, disable_help_subcommand = true)]
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
    /// Makes another server the source while applications go on, and the present one its replica.
    Switchover {
        /// The new source: the name of a [[server]].
        #[arg(long, value_name = "NAME")]
        to: String,
        /// How long running transactions may go on; then the move is taken back.
        #[arg(long, value_name = "TIME")]
        deadline: Option<String>,
        /// Cuts transactions that do not end in time.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        move_: MoveArgs,
    },
    /// Makes another server the source because the present one is dead or cannot be reached.
    Failover {
        /// The new source; without it, the one that has most.
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        /// Though the source answers.
        #[arg(long)]
        force: bool,
        /// Goes on where it cannot be proven that nothing is lost; what is missing is written to a file.
        #[arg(long)]
        accept_loss: bool,
        #[command(flatten)]
        move_: MoveArgs,
    },
    /// Makes a replica of a server that was the source until a failover.
    Rejoin {
        /// A [[server]].
        name: String,
        /// What the proxy answers, whole.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Makes a replica of a server, as a copy of another one.
    Provision {
        #[command(flatten)]
        provision: provision::Args,
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Takes live servers in: the replicas follow the proxy one after the other, then the mode is set.
    Adopt {
        /// What [sync] is to say at the end; without it, what it says now.
        #[arg(long, value_name = "MODE")]
        mode: Option<String>,
        /// What would be done with each server; nothing is touched.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Makes what Ackline keeps in the databases themselves, the schema `ackline`, at the source.
    Migrate {
        #[command(flatten)]
        migrate: migrate::Args,
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Whether replicas hold the same rows as the source, while everybody writes.
    Verify {
        #[command(flatten)]
        verify: verify::Args,
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Answers for holes in what a replica executed: they cost it neither vote nor candidacy any more.
    Accept {
        /// A [[server]].
        name: String,
        /// GTIDs or sets of them, as ackline status names them; may be given more than once.
        #[arg(long = "hole", value_name = "GTID", required = true, num_args = 1..)]
        holes: Vec<String>,
        #[command(flatten)]
        config: ConfigPath,
    },
    /// The server that is followed.
    Source {
        #[command(subcommand)]
        action: SourceAction,
    },
    /// Where the time of commits goes, stage by stage.
    Trace {
        /// How long it looks, at most 20.
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// The proxy's answer, whole.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigPath,
    },
    /// What our binlog holds.
    Binlog {
        #[command(subcommand)]
        action: binlog::Action,
    },
    /// A page about a topic, or what a command takes.
    Help { topic: Vec<String> },
    /// A source, replicas and the proxy on this machine, to try things with.
    Sandbox {
        #[command(subcommand)]
        action: sandbox::Action,
    },
}

#[derive(Debug, Subcommand)]
enum SourceAction {
    /// Goes on with its binlog as it is now, though it is not the one that was captured from.
    Accept {
        /// The [[server]] that is the source.
        name: String,
        #[command(flatten)]
        config: ConfigPath,
    },
}

#[derive(Debug, Args)]
struct MoveArgs {
    #[command(flatten)]
    config: ConfigPath,
    /// The plan and every check's result; nothing is changed.
    #[arg(long)]
    dry_run: bool,
    /// Also a server of whose binlog a part was gone before it was read.
    #[arg(long)]
    accept_unproven: bool,
    /// What the proxy answers, whole.
    #[arg(long)]
    json: bool,
}

impl MoveArgs {
    fn run(self, kind: MoveKind, request: Request) -> Result<(), Failure> {
        let request = Request {
            dry_run: self.dry_run,
            accept_unproven: self.accept_unproven,
            ..request
        };
        let run = moves::run(&self.config.config, kind, &request, self.json);
        small_runtime()?.block_on(run)
    }
}

#[derive(Debug, Args)]
struct ConfigPath {
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    config: PathBuf,
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// Of a move: nothing was touched.
    Refused(anyhow::Error),
    Usage(anyhow::Error),
    NotReached(anyhow::Error),
    /// A move was begun, and all is as before it.
    TakenBack(anyhow::Error),
    /// A move is past its commit point, and the new source is not open yet.
    Unopened(anyhow::Error),
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
            Self::TakenBack(reason) => (reason, 4),
            Self::Unopened(reason) => (reason, 5),
        };
        eprintln!("ackline: {}", with_causes(reason));
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
            Command::Switchover {
                to,
                deadline,
                force,
                move_,
            } => {
                let request = Request {
                    to: Some(to),
                    deadline,
                    force,
                    ..Request::default()
                };
                move_.run(MoveKind::Switchover, request)
            }
            Command::Failover {
                to,
                force,
                accept_loss,
                move_,
            } => {
                let request = Request {
                    to,
                    force,
                    accept_loss,
                    ..Request::default()
                };
                move_.run(MoveKind::Failover, request)
            }
            Command::Rejoin { name, json, config } => {
                small_runtime()?.block_on(rejoin::run(&config.config, name, json))
            }
            Command::Provision { provision, config } => {
                small_runtime()?.block_on(provision::run(&config.config, provision))
            }
            Command::Adopt {
                mode,
                dry_run,
                config,
            } => small_runtime()?.block_on(adopt::run(&config.config, mode.as_deref(), dry_run)),
            Command::Migrate { migrate, config } => {
                small_runtime()?.block_on(migrate::run(&config.config, &migrate))
            }
            Command::Verify { verify, config } => {
                small_runtime()?.block_on(verify::run(&config.config, verify))
            }
            Command::Accept {
                name,
                holes,
                config,
            } => {
                let asked = Holes {
                    server: name,
                    holes,
                };
                small_runtime()?.block_on(accept::holes(&config.config, &asked))
            }
            Command::Source {
                action: SourceAction::Accept { name, config },
            } => small_runtime()?.block_on(accept::source(&config.config, &name)),
            Command::Trace {
                seconds,
                json,
                config,
            } => {
                let request = trace::Request { seconds };
                small_runtime()?.block_on(trace::run(&config.config, &request, json))
            }
            Command::Binlog { action } => action.run(),
            Command::Help { topic } => help::run(&topic),
            Command::Sandbox { action } => small_runtime()?.block_on(action.run()),
        }
    }
}

/// An error and what it comes from. Some libraries say the cause in their own sentence already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let between = if text.is_empty() { "" } else { ": " };
            text = text + between + &cause;
        }
    }
    text
}

/// For commands that ask a few questions and leave.
fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file").context("config.toml: no such file");
        let error = error.context("serve");
        assert_eq!(with_causes(&error), "serve: config.toml: no such file");
    }
}
