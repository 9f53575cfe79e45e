//! A changed configuration takes effect.

use std::sync::Arc;

use super::{App, following};
use crate::config::{Config, Server};

impl App {
    /// **The one way to change the configuration**, one change after the other, moves of the source included: what
    /// is read, or computed from the present source, is applied before that is another.
    pub fn configure<E>(
        &self,
        change: impl FnOnce(&following::Present) -> Result<Config, E>,
    ) -> Result<(), E> {
        let _changing = self.changing.lock();
        let config = change(&self.following.present())?;
        self.apply(config);
        Ok(())
    }

    /// Of what takes a restart, as it was at the start; the source as it is followed.
    fn in_use(&self, old: &Config) -> Config {
        let mut in_use = self.begun_with.clone();
        in_use.servers = old.servers.clone();
        let present = self.following.present();
        let is_present = |server: &&mut Server| server.name == present.server.name;
        if let Some(source) = in_use.servers.iter_mut().find(is_present) {
            *source = Server {
                role: source.role,
                ..present.server.clone()
            };
        }
        in_use
    }

    /// Everything a changed configuration may change in a running proxy.
    fn apply(&self, new: Config) {
        let old = self.config.load_full();
        let restart = self.in_use(&old).needs_restart(&new);
        if !restart.is_empty() {
            tracing::warn!(
                sections = restart.join(", "),
                "changed in the file, takes effect at the next start"
            );
        }
        if old.sync != new.sync {
            let (was, is) = (&old.sync, &new.sync);
            tracing::warn!(
                mode = %is.mode, require = %is.require, on_timeout = %is.on_timeout,
                was = %was.mode, required = %was.require, "what a commit waits for has changed"
            );
            self.acks.set_sync(new.sync.clone());
        }
        if old.allow_hazards != new.allow_hazards {
            tracing::info!(users = ?new.allow_hazards, "who may run replication hazards has changed");
            self.sessions.allowed.set(new.allow_hazards.clone());
        }
        if old.max_connections != new.max_connections {
            let limit = self.descriptors.limit_of_sessions(new.max_connections);
            tracing::info!(?limit, "the limit of connections has changed");
            self.sessions.registry.set_limit(limit);
        }
        if old.log.level != new.log.level {
            (self.log_level)(&new.log.level);
        }
        if old.servers != new.servers {
            self.servers.configure(&new);
        }
        if (old.binlog.keep, old.binlog.keep_at_most) != (new.binlog.keep, new.binlog.keep_at_most)
        {
            let (keep, at_most) = (new.binlog.keep, new.binlog.keep_at_most);
            tracing::info!(%keep, keep_at_most = %at_most, "what is kept of our binlog has changed");
        }
        if old.verify != new.verify {
            tracing::info!(every = ?new.verify.every, max_lag = ?new.verify.max_lag, "when rows are compared has changed");
        }
        if old.binlog.provision != new.binlog.provision {
            tracing::info!(provision = ?new.binlog.provision, "who provisions replicas has changed");
        }
        *self.config_problem.lock() = (!restart.is_empty()).then(|| {
            let sections = restart.join(", ");
            format!("changed in the configuration file, and takes effect at the next start only: {sections}")
        });
        self.config.store(Arc::new(new));
    }
}
