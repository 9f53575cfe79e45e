//! Our own log: on stderr, as text or JSON, in UTC.

use crate::config::{Config, LogFormat};

/// Begins it; what is returned changes its level.
pub(super) fn start(config: &Config) -> Box<dyn Fn(&str) + Send + Sync> {
    use tracing_subscriber::fmt::time::UtcTime;
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::{EnvFilter, fmt, reload};
    // The client library logs each of its connections; its errors reach us as errors.
    let filter = |level: &str| EnvFilter::new(format!("{level},mysql_async=warn"));
    let (filtered, handle) = reload::Layer::new(filter(&config.log.level));
    let registry = tracing_subscriber::registry().with(filtered);
    let started = match config.log.format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(false)
                    .with_timer(UtcTime::rfc_3339()),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .with_writer(std::io::stderr)
                    .with_timer(UtcTime::rfc_3339()),
            )
            .try_init(),
    };
    if let Err(error) = started {
        eprintln!("ackline: the log was not started: {error}");
    }
    Box::new(move |level| {
        if let Err(error) = handle.reload(filter(level)) {
            tracing::warn!(%error, "the log level was not changed");
        }
    })
}
