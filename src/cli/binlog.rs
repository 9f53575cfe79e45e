//! `ackline binlog …`: what our binlog holds. One file a command.

mod audit;

use clap::Subcommand;

use super::{ConfigPath, Failure};

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
}

impl Action {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Audit { config, json } => audit::run(&config.config, json),
        }
    }
}
