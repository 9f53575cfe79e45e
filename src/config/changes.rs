//! What a running proxy can take over from a changed file.

use thiserror::Error;

use super::{Config, Keep, Log, Provision, Server, Tls, Verify};
use crate::ack::policy::Sync;
use crate::ids::ServerName;

/// Each of them none or empty where it stayed as it was. To be applied in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Gone from the file. A replica whose entry changed is in `removed` and in `added`.
    pub removed: Vec<ServerName>,
    pub added: Vec<Server>,
    /// `vote` or `zone` of the source changed, which does not touch its connections.
    pub source: Option<Server>,
    pub sync: Option<Sync>,
    pub keep: Option<Keep>,
    pub keep_at_most: Option<Keep>,
    pub provision: Option<Provision>,
    pub verify: Option<Verify>,
    /// The whole list.
    pub allow_hazards: Option<Vec<String>>,
    pub max_connections: Option<usize>,
    /// Certificates and modes; connections that are there keep what they have.
    pub tls: Option<Tls>,
    pub log: Option<Log>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the roster of voters must be set again.
    pub fn roster(&self) -> bool {
        !self.removed.is_empty() || !self.added.is_empty() || self.source.is_some()
    }
}

/// Nothing is taken over: these need a restart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a running proxy cannot take over {}: restart it, or undo the change", .0.join(", "))]
pub struct NeedsRestart(pub Vec<&'static str>);

pub(super) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut restart = Vec::new();
    let mut needs = |changed: bool, what: &'static str| {
        if changed {
            restart.push(what);
        }
    };
    needs(old.listen != new.listen, "[listen]");
    needs(old.binlog.dir != new.binlog.dir, "[binlog] dir");
    needs(old.binlog.format != new.binlog.format, "[binlog] format");
    needs(
        old.binlog.file_size != new.binlog.file_size,
        "[binlog] file_size",
    );
    needs(old.replication != new.replication, "[replication]");
    needs(old.admin_token != new.admin_token, "[admin]");
    needs(old.failover.hold != new.failover.hold, "[failover] hold");
    needs(
        old.login_timeout != new.login_timeout,
        "[sessions] login_timeout",
    );
    needs(old.users != new.users, "[[user]]");
    needs(old.log.format != new.log.format, "[log] format");
    let (old_source, new_source) = (old.source(), new.source());
    let roster_only = Server {
        vote: new_source.vote,
        zone: new_source.zone.clone(),
        promotable: new_source.promotable,
        ..old_source.clone()
    };
    needs(roster_only != *new_source, "the source's [[server]]");
    restart
}

pub(super) fn between(old: &Config, new: &Config) -> Result<Changes, NeedsRestart> {
    let restart = needs_restart(old, new);
    if !restart.is_empty() {
        return Err(NeedsRestart(restart));
    }
    let (old_source, new_source) = (old.source(), new.source());
    let mut changes = Changes {
        source: (old_source != new_source).then(|| new_source.clone()),
        sync: (old.sync != new.sync).then(|| new.sync.clone()),
        keep: (old.binlog.keep != new.binlog.keep).then_some(new.binlog.keep),
        keep_at_most: (old.binlog.keep_at_most != new.binlog.keep_at_most)
            .then_some(new.binlog.keep_at_most),
        provision: (old.binlog.provision != new.binlog.provision).then_some(new.binlog.provision),
        verify: (old.verify != new.verify).then(|| new.verify.clone()),
        allow_hazards: (old.allow_hazards != new.allow_hazards).then(|| new.allow_hazards.clone()),
        max_connections: (old.max_connections != new.max_connections)
            .then_some(new.max_connections),
        tls: (old.tls != new.tls).then(|| new.tls.clone()),
        log: (old.log != new.log).then(|| new.log.clone()),
        ..Changes::default()
    };
    for server in &old.servers {
        if server.name != old_source.name && !new.servers.contains(server) {
            changes.removed.push(server.name.clone());
        }
    }
    for server in &new.servers {
        if server.name != new_source.name && !old.servers.contains(server) {
            changes.added.push(server.clone());
        }
    }
    Ok(changes)
}
