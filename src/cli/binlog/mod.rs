//! `ackline binlog …`: what our binlog holds. One file a command.

mod audit;
mod check;
mod dump;
mod list;
mod purge;
mod replay;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Subcommand;

use super::{ConfigPath, Failure, small_runtime};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// The statements in our binlog that may make other rows on a replica; exit status 1 if there are any.
    ///
    /// They are judged by their text. Reasons that take the schema (AUTO_INCREMENT, unique keys, triggers,
    /// views, functions) are judged by the running proxy only.
    Audit {
        #[command(flatten)]
        config: ConfigPath,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// The files: size, GTIDs, times.
    List {
        #[command(flatten)]
        config: ConfigPath,
        #[arg(long)]
        json: bool,
    },
    /// Reads every byte of our binlog; names the first fault, if there is one, and exits with 1.
    Check {
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Transactions as people read them: GTID, time, origin, statements, tables.
    Dump(dump::Asked),
    /// Removes old files, but none that a voting replica or the proxy itself still needs.
    Purge(purge::Asked),
    /// Point-in-time recovery: replays our binlog onto a server that was restored from a backup.
    Replay(Box<replay::Replay>),
}

impl Action {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Audit { config, json } => audit::run(&config.config, json),
            Self::List { config, json } => list::run(&config.config, json),
            Self::Check { config } => check::run(&config.config),
            Self::Dump(asked) => asked.run(),
            Self::Purge(asked) => small_runtime()?.block_on(asked.run()),
            Self::Replay(replay) => small_runtime()?.block_on(replay.run()),
        }
    }
}

/// Where our binlog is; an error where there is none.
fn folder(config: &Path) -> Result<PathBuf, Failure> {
    let dir = Config::load(config)?.binlog.dir;
    match dir.is_dir() {
        true => Ok(dir),
        false => Err(anyhow!("there is no folder {}", dir.display()).into()),
    }
}

/// Whether the reader has gone (`| head`), which is no failure.
fn stopped(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        other => other.map(|()| false),
    }
}
