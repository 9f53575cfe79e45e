//! What kind of server it is: its series, and what of newer ones we cannot follow yet.

use super::features::SEES_APPLIERS;
use super::{Check, Examination, Fix};
use crate::ids::Flavor;
use crate::net::admin::literal;
use crate::topology::roster::Role;
use crate::version::Version;

/// Those that Ackline's own tests run with.
const MARIADB: &[(u32, u32)] = &[(10, 11), (11, 8)];
const MYSQL: &[(u32, u32)] = &[(9, 7)];
/// The first with APPLIER_VERSION (MySQL 26.7 Reference Manual, "Change Stream Applier").
const CHANGE_STREAMS: (u32, u32) = (26, 7);

/// Another series is served as well as it goes.
pub(super) fn tested(server: &Examination) -> Check {
    let report = &server.report;
    let (name, known) = match report.flavor {
        Flavor::MariaDb => ("MariaDB", MARIADB),
        Flavor::MySql => ("MySQL", MYSQL),
    };
    let series = Version::parse(&report.version).series();
    let listed: Vec<String> = known.iter().map(|(a, b)| format!("{a}.{b}")).collect();
    let wanted = format!("{name} {}", listed.join(" or "));
    let check = Check::new(&server.name, "version", &report.version, &wanted);
    if known.contains(&series) {
        return check;
    }
    let (major, minor) = series;
    check.note(format!(
        "{name} {major}.{minor} is served, but Ackline was not tested with it; it was with {wanted}"
    ))
}

/// What would end in an error that does not say where it comes from.
pub(super) fn unsupported(server: &Examination) -> Vec<Check> {
    let mut checks = Vec::new();
    let features = &server.features;
    if let Some(engine) = features.binlog_engine.as_ref().filter(|e| !e.is_empty()) {
        let how = "MariaDB's binlog inside of InnoDB is not supported yet: Ackline follows and acknowledges by \
                   file and offset, which such a server does not have; remove binlog_storage_engine from \
                   its configuration file and restart it";
        let check = Check::new(&server.name, "binlog_storage_engine", engine, "not set");
        checks.push(check.fails(Fix::ByHand(how.to_owned())));
    }
    const APPLIER: &str = "APPLIER_VERSION";
    let may_have = Version::parse(&server.report.version).series() >= CHANGE_STREAMS
        && server.report.flavor == Flavor::MySql;
    match &features.appliers {
        None if may_have && server.role == Role::Replica => checks.push(
            Check::new(&server.name, APPLIER, "may not be read", "1").note(format!(
                "2 is not supported yet: it stops at statements; with {SEES_APPLIERS} this says which it is"
            )),
        ),
        None => {}
        Some(appliers) => checks.extend(appliers.iter().filter(|(_, v)| is_newer(v)).map(
            |(channel, version)| {
                let channel = literal(channel);
                let how = format!(
                    "MySQL's change stream applier is not supported yet: it takes rows only, and Ackline's \
                     binlog has statements too; run STOP REPLICA FOR CHANNEL {channel}; CHANGE REPLICATION \
                     SOURCE TO APPLIER_VERSION=1 FOR CHANNEL {channel}; START REPLICA FOR CHANNEL {channel}"
                );
                Check::new(&server.name, APPLIER, version, "1").fails(Fix::ByHand(how))
            },
        )),
    }
    checks
}

/// 1 is the applier of before, 0 stands where none was chosen.
fn is_newer(applier: &str) -> bool {
    applier.parse().is_ok_and(|version: u32| version > 1)
}
