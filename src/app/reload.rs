//! Signals, and the configuration file and the certificates as they change under a running proxy.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use super::following::Present;
use super::{App, certificates, following};
use crate::config::Config;

/// How often the files are looked at; a change takes effect within a second.
const LOOK: Duration = Duration::from_millis(250);

/// Returns at SIGTERM or SIGINT.
pub(super) async fn run_until_stopped(app: &Arc<App>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut look = tokio::time::interval(LOOK);
    let mut seen = Fingerprints::of(app);
    loop {
        // Cancel-safe, all of them.
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                // Before the files are read: what changes meanwhile is seen at the next look.
                seen = Fingerprints::of(app);
                reload(app, true);
            }
            _ = look.tick() => {
                let now = Fingerprints::of(app);
                if now != seen {
                    reload(app, now.certificates != seen.certificates);
                    seen = now;
                }
            }
        }
    }
}

/// Editors replace a file or write into it; both change one of these.
type Fingerprint = Option<(SystemTime, u64, u64)>;

#[derive(PartialEq, Eq)]
struct Fingerprints {
    config: Fingerprint,
    certificates: Vec<Fingerprint>,
}

impl Fingerprints {
    fn of(app: &App) -> Self {
        let config = app.config.load();
        Self {
            config: fingerprint(&app.path),
            certificates: certificates::files(&config.tls)
                .map(|path| fingerprint(path))
                .collect(),
        }
    }
}

fn fingerprint(path: &Path) -> Fingerprint {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// `renewed`: the certificates may be others under the same names.
fn reload(app: &App, renewed: bool) {
    if let Err(error) = app.configure(|present| read(app, present, renewed)) {
        refuse(app, &error.to_string());
    }
}

fn read(app: &App, present: &Present, renewed: bool) -> anyhow::Result<Config> {
    let config = following::as_it_is(Config::load(&app.path)?, &present.server.name)?;
    let old = app.config.load();
    if renewed || old.tls != config.tls {
        app.certificates.renew(&config.tls)?;
        if config.tls.files.is_some() {
            tracing::info!("certificates are read anew");
        }
    }
    if config != **old {
        tracing::info!("the configuration file has changed");
    }
    Ok(config)
}

fn refuse(app: &App, error: &str) {
    tracing::error!(%error, "the changed configuration file is refused; the old configuration stays in force");
    *app.config_problem.lock() = Some(format!(
        "the configuration file is refused, the old one stays in force: {error}"
    ));
}
