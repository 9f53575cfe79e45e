//! `[failover] fence_command` and `after_command`: what the DBA wants to be run on the way of a move.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use crate::config::Failover;

/// Whoever fences through a slow management network may be slow.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before anything is promoted: the move is taken back where it fails.
    Fence,
    /// After all: where it fails the move stands.
    After,
}

impl Hook {
    pub fn of(self, failover: &Failover) -> Option<&str> {
        match self {
            Self::Fence => failover.fence_command.as_deref(),
            Self::After => failover.after_command.as_deref(),
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Fence => "fence_command",
            Self::After => "after_command",
        }
    }
}

/// By the shell; what it says goes to our own stderr.
pub async fn run(hook: Hook, command: &str, environment: &[(&str, String)]) -> anyhow::Result<()> {
    let key = hook.key();
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("[failover] {key} cannot be started"))?;
    let status = match tokio::time::timeout(LONGEST, child.wait()).await {
        Ok(status) => status?,
        Err(_) => anyhow::bail!("[failover] {key} takes longer than {} s", LONGEST.as_secs()),
    };
    if !status.success() {
        anyhow::bail!("[failover] {key} failed: {status}");
    }
    Ok(())
}
