//! MySQL's two plugins of semi-sync. A server needs both, since it may be source and replica in turn. MariaDB has both
//! built in.

use super::report::Report;
use crate::ids::Flavor;
use crate::protocol::semi_sync::Names;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plugin {
    pub name: &'static str,
    library: &'static str,
    /// A variable that is there if the plugin is.
    pub variable: &'static str,
}

impl Plugin {
    /// Remembered by the server; not in its binlog.
    pub fn install(&self) -> String {
        let Self { name, library, .. } = self;
        format!("INSTALL PLUGIN {name} SONAME '{library}'")
    }
}

pub fn needed(flavor: Flavor) -> Vec<Plugin> {
    let names = Names::of(flavor);
    match flavor {
        Flavor::MariaDb => Vec::new(),
        Flavor::MySql => vec![
            Plugin {
                name: "rpl_semi_sync_source",
                library: "semisync_source.so",
                variable: names.enabled,
            },
            Plugin {
                name: "rpl_semi_sync_replica",
                library: "semisync_replica.so",
                variable: names.replica_enabled,
            },
        ],
    }
}

pub fn missing(report: &Report) -> Vec<Plugin> {
    let is_there = |plugin: &Plugin| {
        let names = Names::of(report.flavor);
        match plugin.variable == names.enabled {
            true => report.semi_sync_source.installed,
            false => report.semi_sync_replica.installed,
        }
    };
    let needed = needed(report.flavor).into_iter();
    needed.filter(|plugin| !is_there(plugin)).collect()
}

const OPENS: &str = "SET GLOBAL super_read_only=OFF";
/// Also where one that stands before it does not work.
pub const CLOSES: &str = "SET GLOBAL super_read_only=ON";

/// How they are installed. `closed`: while `super_read_only` is on nothing is, not even by those who may write then.
pub fn install(missing: &[Plugin], closed: bool) -> Vec<String> {
    let mut statements: Vec<String> = missing.iter().map(Plugin::install).collect();
    if closed && !statements.is_empty() {
        statements.insert(0, OPENS.into());
        statements.push(CLOSES.into());
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_server_is_opened_for_it() {
        let both = needed(Flavor::MySql);
        assert!(needed(Flavor::MariaDb).is_empty());
        assert!(install(&[], true).is_empty());
        assert_eq!(
            install(&both[1..], false),
            ["INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'"]
        );
        assert_eq!(
            install(&both[..1], true),
            [
                "SET GLOBAL super_read_only=OFF",
                "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
                "SET GLOBAL super_read_only=ON"
            ]
        );
    }
}
