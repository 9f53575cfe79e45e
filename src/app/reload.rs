//! Signals, and the configuration file as it changes under a running proxy.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use super::App;
use crate::config::Config;

/// How often the file is looked at; a change takes effect within a second.
const LOOK: Duration = Duration::from_millis(250);

/// Returns at SIGTERM or SIGINT.
pub(super) async fn run_until_stopped(app: &Arc<App>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut look = tokio::time::interval(LOOK);
    let mut seen = fingerprint(app);
    loop {
        // Cancel-safe, all of them.
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload(app),
            _ = look.tick() => {
                let now = fingerprint(app);
                if now != seen {
                    seen = now;
                    reload(app);
                }
            }
        }
    }
}

/// Editors replace the file or write into it; both change one of these.
fn fingerprint(app: &App) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(&app.path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn reload(app: &App) {
    match Config::load(&app.path) {
        Ok(config) if config == **app.config.load() => *app.config_problem.lock() = None,
        Ok(config) => {
            tracing::info!("the configuration file has changed");
            app.apply(config);
        }
        Err(error) => {
            tracing::error!(%error, "the changed configuration file is refused; the old configuration stays in force");
            *app.config_problem.lock() = Some(format!(
                "the configuration file is refused, the old one stays in force: {error}"
            ));
        }
    }
}
