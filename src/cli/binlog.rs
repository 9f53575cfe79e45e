//! `ackline binlog …`: what our binlog holds. One file a command.

mod audit;
mod replay;

use clap::Subcommand;

use super::{ConfigPath, Failure, small_runtime};

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// The statements in our binlog that may make other rows on a replica; exit status 1 if there are any.
    Audit {
        #[command(flatten)]
        config: ConfigPath,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Point-in-time recovery: replays our binlog onto a server that was restored from a backup.
    Replay(Box<replay::Replay>),
}

impl Action {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Audit { config, json } => audit::run(&config.config, json),
            Self::Replay(replay) => small_runtime()?.block_on(replay.run()),
        }
    }
}
