//! `[failover] fence_command` and `after_command`: what the DBA wants to be run on the way of a move.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::plan::Plan;
use super::proxy::Settings;
use crate::ids::ServerName;

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
    fn of(self, settings: &Settings) -> Option<&str> {
        match self {
            Self::Fence => settings.fence_command.as_deref(),
            Self::After => settings.after_command.as_deref(),
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Fence => "fence_command",
            Self::After => "after_command",
        }
    }
}

/// By the shell, if there is one; what it says goes to our own stderr.
pub async fn run(hook: Hook, settings: &Settings, plan: &Plan) -> Result<(), String> {
    let Some(command) = hook.of(settings) else {
        return Ok(());
    };
    let key = hook.key();
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .envs(environment(settings, plan))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("[failover] {key} cannot be started: {error}"))?;
    let status = match tokio::time::timeout(LONGEST, child.wait()).await {
        Ok(status) => status.map_err(|error| error.to_string())?,
        Err(_) => {
            let seconds = LONGEST.as_secs();
            return Err(format!("[failover] {key} takes longer than {seconds} s"));
        }
    };
    match status.success() {
        true => Ok(()),
        false => Err(format!("[failover] {key} failed: {status}")),
    }
}

fn environment(settings: &Settings, plan: &Plan) -> [(&'static str, String); 6] {
    let address = |name: &ServerName| match settings.account(name) {
        Ok(account) => account.address.clone(),
        Err(_) => String::new(),
    };
    [
        ("ACKLINE_MOVE", plan.order.kind.to_string()),
        ("ACKLINE_EPOCH", plan.epoch.to_string()),
        ("ACKLINE_OLD_SOURCE", plan.from.to_string()),
        ("ACKLINE_OLD_ADDRESS", address(&plan.from)),
        ("ACKLINE_NEW_SOURCE", plan.to.to_string()),
        ("ACKLINE_NEW_ADDRESS", address(&plan.to)),
    ]
}
