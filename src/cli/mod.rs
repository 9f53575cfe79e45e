//! The command line: one file a command.
//!
//! Exit status, a contract with scripts: 0 done, 1 refused or failed (the reason on stderr), 2 wrong
//! usage, 3 no running proxy reached.

mod sandbox;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// A source, replicas and the proxy on this machine, to try things with.
    Sandbox {
        #[command(subcommand)]
        action: sandbox::Action,
    },
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    Refused(anyhow::Error),
    Usage(anyhow::Error),
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
        };
        eprintln!("ackline: {reason:#}");
        ExitCode::from(status)
    }
}

impl Cli {
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
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
