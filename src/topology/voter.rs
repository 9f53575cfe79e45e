//! What a replica must be before its acknowledgements count (DESIGN.md): a function of what it said.
//!
//! A server that fails here is served all the same, with what is released, and `status` says why it
//! has no vote.

use std::fmt;

use super::health::Health;
use super::report::{Following, GtidMode, Replication, Report, Thread};
use super::{plugins, variables};
use crate::ids::Flavor;
use crate::protocol::semi_sync::Names;

/// One thing that keeps a server from voting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In plain words, without the server's name.
    pub what: String,
    pub repair: Repair,
}

/// What makes it good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// To be run there; the order matters.
    Sql(Vec<String>),
    /// Lines of `[mysqld]` or `[mariadbd]` in the server's configuration file, and a restart.
    Restart(Vec<String>),
    /// Nothing that may be done blindly.
    ByHand(String),
}

impl Reason {
    fn sql(what: impl Into<String>, statements: &[&str]) -> Self {
        let statements = statements.iter().map(ToString::to_string).collect();
        Self {
            what: what.into(),
            repair: Repair::Sql(statements),
        }
    }

    fn restart(what: impl Into<String>, lines: &[&str]) -> Self {
        let lines = lines.iter().map(ToString::to_string).collect();
        Self {
            what: what.into(),
            repair: Repair::Restart(lines),
        }
    }

    fn by_hand(what: impl Into<String>, how: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            repair: Repair::ByHand(how.into()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.repair)
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(statements) => write!(f, "run {}", statements.join("; ")),
            Self::Restart(lines) => write!(
                f,
                "put {} into its configuration file and restart it",
                lines.join(", ")
            ),
            Self::ByHand(how) => f.write_str(how),
        }
    }
}

/// Rows are missing there for good; no setting brings them back.
const REBUILD: &str =
    "remove it, then run ackline provision with --replace: what it skipped so far is missing there";

/// Whether a replica of this health may vote, and everything that speaks against it.
pub fn may_vote(health: &Health) -> Result<(), Vec<Reason>> {
    match health.report() {
        Some(report) => check(report),
        None => {
            let what = match health.trouble() {
                Some(trouble) => format!("it cannot be asked what it is set to ({trouble})"),
                None => "it has not said yet what it is set to".to_owned(),
            };
            let how = "start it, or give it the right address, user and password in the config";
            Err(vec![Reason::by_hand(what, how)])
        }
    }
}

/// The same from a report.
pub fn check(report: &Report) -> Result<(), Vec<Reason>> {
    let reasons: Vec<Reason> = conditions(report)
        .into_iter()
        .filter_map(|condition| condition.fault)
        .collect();
    if reasons.is_empty() {
        Ok(())
    } else {
        Err(reasons)
    }
}

/// Of the condition that no variable stands for.
pub const APPLIER: &str = "applier";

/// Likewise.
const COPY: &str = "copy";

/// Likewise.
pub const PLUGINS: &str = "semi-sync plugins";

/// One thing that a voter has to be: the variable, what it is, what it should be. `doctor` shows them
/// all, the proxy looks at the faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub name: &'static str,
    pub found: String,
    pub wanted: &'static str,
    pub fault: Option<Reason>,
}

impl Condition {
    fn flag(name: &'static str, found: bool, wanted: bool, fault: Reason) -> Self {
        let word = |on: bool| if on { "ON" } else { "OFF" };
        Self {
            name,
            found: word(found).to_owned(),
            wanted: word(wanted),
            fault: (found != wanted).then_some(fault),
        }
    }

    fn text(name: &'static str, found: &str, wanted: &'static str, fault: Reason) -> Self {
        let fits = found.eq_ignore_ascii_case(wanted) || (found.is_empty() && wanted == "OFF");
        Self {
            name,
            found: found.to_owned(),
            wanted,
            fault: (!fits).then_some(fault),
        }
    }
}

/// DESIGN's list, in the order in which a DBA repairs it.
pub fn conditions(report: &Report) -> Vec<Condition> {
    let name = |key| variables::name(report.flavor, key);
    let semi_sync = Names::of(report.flavor);
    let skipped = &report.slave_skip_errors;
    let mode = &report.slave_exec_mode;
    let log_updates = name("log_updates");
    let (exec_mode, skip_errors) = (name("exec_mode"), name("skip_errors"));
    let mut conditions = vec![
        Condition::flag(
            "log_bin",
            report.log_bin,
            true,
            Reason::restart("its binary log is off (log_bin)", &["log_bin"]),
        ),
        Condition::flag(
            log_updates,
            report.log_slave_updates,
            true,
            Reason::restart(
                format!("its binlog lacks what it replicates ({log_updates} is off)"),
                &[log_updates],
            ),
        ),
        read_only(report),
    ];
    conditions.extend(gtid_mode(&report.gtid_mode));
    conditions.extend(plugins(report));
    conditions.push(acknowledges(report));
    conditions.push(Condition::flag(
        semi_sync.enabled,
        report.semi_sync_source.enabled,
        false,
        Reason::sql(
            format!(
                "its applier would wait for acknowledgements of its own ({})",
                semi_sync.enabled
            ),
            &[&format!("SET GLOBAL {}=OFF", semi_sync.enabled)],
        ),
    ));
    conditions.push(format(report));
    conditions.push(Condition::text(
        exec_mode,
        mode,
        "STRICT",
        Reason::sql(
            format!("it hides errors ({exec_mode}={mode})"),
            &[&format!("SET GLOBAL {exec_mode}='STRICT'")],
        ),
    ));
    conditions.push(Condition::text(
        skip_errors,
        skipped,
        "OFF",
        Reason::by_hand(
            format!("it skips errors ({skip_errors}={skipped})"),
            REBUILD,
        ),
    ));
    if let Some(marked) = &report.events_marked_for_skip {
        conditions.push(Condition::text(
            "replicate_events_marked_for_skip",
            marked,
            "REPLICATE",
            Reason::by_hand(
                format!("it leaves out marked events (replicate_events_marked_for_skip={marked})"),
                REBUILD,
            ),
        ));
    }
    conditions.extend(following(&report.following));
    conditions.extend(applier(report.flavor, &report.following));
    conditions.extend(report.unfinished_copy.then(|| Condition {
        name: COPY,
        found: "unfinished".into(),
        wanted: "complete",
        fault: Some(Reason::by_hand(
            "it holds a part of a copy: its provisioning goes on, or was ended in the middle",
            "run ackline provision again if it does not go on (ackline status)",
        )),
    }));
    conditions
}

/// What a replica only keeps in its relay log, its next start may throw away (FACTS.md, section 10), and nobody is
/// served from it.
/// With ROW, a statement of ours that changes no row leaves nothing in the replica's binlog (MySQL: an empty transaction),
/// which then looks as if it had been skipped. With STATEMENT the applier stops at row events (1666).
fn format(report: &Report) -> Condition {
    let found = &report.binlog_format;
    let noun = match report.flavor {
        Flavor::MariaDb => "SLAVE",
        Flavor::MySql => "REPLICA",
    };
    let set = "SET GLOBAL binlog_format=MIXED".to_owned();
    // Appliers take it when they begin.
    let statements = match report.main_replication() {
        Some(_) => vec![
            format!("STOP {noun} SQL_THREAD"),
            set,
            format!("START {noun} SQL_THREAD"),
        ],
        None => vec![set],
    };
    let fault = Reason {
        what: format!(
            "a statement that changes no row would be missing in its binlog (binlog_format={found})"
        ),
        repair: Repair::Sql(statements),
    };
    Condition::text("binlog_format", found, "MIXED", fault)
}

fn applier(flavor: Flavor, following: &Following) -> Option<Condition> {
    let Following::Known(connections) = following else {
        return None;
    };
    let stopped = connections.iter().find(|one| one.sql == Thread::Stopped)?;
    let start = match flavor {
        Flavor::MariaDb => "START SLAVE SQL_THREAD",
        Flavor::MySql => "START REPLICA SQL_THREAD",
    };
    let (found, reason) = match &stopped.sql_error {
        // Whoever lets it pass there lacks rows; until then everybody can see that it stopped.
        _ if stopped.is_at_incident() => (
            "stopped at an INCIDENT",
            Reason::by_hand(
                "its applier stopped where the source could not log what it changed (INCIDENT)",
                REBUILD,
            ),
        ),
        Some(error) => (
            "stopped by an error",
            Reason::by_hand(
                format!("its applier stopped: {error}"),
                format!("mend that, and run {start}"),
            ),
        ),
        None => ("stopped", Reason::sql("its applier is stopped", &[start])),
    };
    Some(Condition {
        name: APPLIER,
        found: found.into(),
        wanted: "running",
        fault: Some(reason),
    })
}

fn read_only(report: &Report) -> Condition {
    let name = match report.flavor {
        Flavor::MariaDb => "read_only",
        // It takes read_only along, and stops even those who may write in spite of that.
        Flavor::MySql => "super_read_only",
    };
    Condition::flag(
        name,
        report.read_only,
        true,
        Reason::sql(
            format!("it takes writes of its own ({name} is off)"),
            &[&format!("SET GLOBAL {name}=ON")],
        ),
    )
}

fn gtid_mode(mode: &GtidMode) -> Vec<Condition> {
    match mode {
        GtidMode::MariaDb { strict } => vec![Condition::flag(
            "gtid_strict_mode",
            *strict,
            true,
            Reason::sql(
                "gtid_strict_mode is off",
                &["SET GLOBAL gtid_strict_mode=ON"],
            ),
        )],
        GtidMode::MySql {
            mode,
            consistency,
            preserve_commit_order,
        } => vec![
            Condition::text(
                "enforce_gtid_consistency",
                consistency,
                "ON",
                Reason::restart(
                    format!("enforce_gtid_consistency is {consistency}"),
                    &["enforce_gtid_consistency = ON"],
                ),
            ),
            Condition::text(
                "gtid_mode",
                mode,
                "ON",
                Reason::restart(
                    format!("it does not work by GTIDs (gtid_mode is {mode})"),
                    &["gtid_mode = ON", "enforce_gtid_consistency = ON"],
                ),
            ),
            Condition::flag(
                "replica_preserve_commit_order",
                *preserve_commit_order,
                true,
                Reason::sql(
                    "it may apply a later transaction before an earlier one (replica_preserve_commit_order is off)",
                    &[
                        "STOP REPLICA SQL_THREAD",
                        "SET GLOBAL replica_preserve_commit_order=ON",
                        "START REPLICA SQL_THREAD",
                    ],
                ),
            ),
        ],
    }
}

/// Without that of a source it cannot become one.
pub fn plugins(report: &Report) -> Option<Condition> {
    let missing = plugins::missing(report);
    if missing.is_empty() {
        return None;
    }
    let names: Vec<&str> = missing.iter().map(|plugin| plugin.name).collect();
    let names = names.join(" and ");
    Some(Condition {
        name: PLUGINS,
        found: format!("without {names}"),
        wanted: "both",
        fault: Some(Reason {
            what: format!("it is without the semi-sync plugin {names}"),
            repair: Repair::Sql(plugins::install(&missing, report.read_only)),
        }),
    })
}

/// On MariaDB it is also what makes a server accept events that it once wrote itself, together with
/// strict mode (FACTS.md, section 10).
fn acknowledges(report: &Report) -> Condition {
    let name = Names::of(report.flavor).replica_enabled;
    let set = format!("SET GLOBAL {name}=ON");
    let fault = Reason::sql(format!("it acknowledges nothing ({name} is off)"), &[&set]);
    Condition::flag(name, report.semi_sync_replica.enabled, true, fault)
}

fn following(following: &Following) -> [Condition; 2] {
    let (filters, sources) = match following {
        Following::Known(connections) => (filters(connections), sources(connections)),
        Following::Denied => {
            let reason = Reason::by_hand(
                "it cannot be asked for its replication filters",
                "GRANT SLAVE MONITOR (MySQL: REPLICATION CLIENT) ON *.* to our account there",
            );
            (
                ("unknown".to_owned(), Some(reason)),
                ("unknown".into(), None),
            )
        }
        Following::Hangs => {
            let reason = Reason::by_hand(
                "the state of its replication cannot be asked: the question does not come back",
                "see what hangs there with SHOW PROCESSLIST (a STOP SLAVE or STOP REPLICA?)",
            );
            (
                ("unknown".to_owned(), Some(reason)),
                ("unknown".into(), None),
            )
        }
    };
    [
        Condition {
            name: "replication filters",
            found: filters.0,
            wanted: "none",
            fault: filters.1,
        },
        Condition {
            name: "sources followed",
            found: sources.0,
            wanted: "one at most",
            fault: sources.1,
        },
    ]
}

fn filters(connections: &[Replication]) -> (String, Option<Reason>) {
    let filters: Vec<&str> = connections
        .iter()
        .flat_map(|connection| &connection.filters)
        .map(String::as_str)
        .collect();
    if filters.is_empty() {
        return ("none".to_owned(), None);
    }
    let filters = filters.join(", ");
    let reason = Reason::by_hand(format!("it has replication filters ({filters})"), REBUILD);
    (filters, Some(reason))
}

fn sources(connections: &[Replication]) -> (String, Option<Reason>) {
    let found = match connections.len() {
        0 => "none".to_owned(),
        count => count.to_string(),
    };
    if connections.len() < 2 {
        return (found, None);
    }
    let sources: Vec<String> = connections
        .iter()
        .map(|one| format!("'{}' from {}", one.connection, one.source_address()))
        .collect();
    let reason = Reason::by_hand(
        format!("it follows several sources ({})", sources.join(", ")),
        "STOP SLAVE 'name'; RESET SLAVE 'name' ALL for each but ours (MySQL: STOP REPLICA FOR CHANNEL 'name'; RESET REPLICA ALL FOR CHANNEL 'name')",
    );
    (found, Some(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::report::tests::good_replica;

    fn only(change: impl FnOnce(&mut Report)) -> Reason {
        let mut report = good_replica();
        change(&mut report);
        let mut reasons = check(&report).unwrap_err();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons.remove(0)
    }

    #[test]
    fn a_good_replica_votes() {
        assert_eq!(check(&good_replica()), Ok(()));
    }

    #[test]
    fn one_reason_for_each_fault_with_its_repair() {
        let cases: [(Reason, &str, &str); 12] = [
            (
                only(|r| r.log_bin = false),
                "binary log is off",
                "put log_bin into",
            ),
            (
                only(|r| r.log_slave_updates = false),
                "log_slave_updates is off",
                "put log_slave_updates into",
            ),
            (
                only(|r| r.read_only = false),
                "takes writes",
                "run SET GLOBAL read_only=ON",
            ),
            (
                only(|r| r.gtid_mode = GtidMode::MariaDb { strict: false }),
                "gtid_strict_mode",
                "run SET GLOBAL gtid_strict_mode=ON",
            ),
            (
                only(|r| r.semi_sync_replica.enabled = false),
                "acknowledges nothing",
                "run SET GLOBAL rpl_semi_sync_slave_enabled=ON",
            ),
            (
                only(|r| r.semi_sync_source.enabled = true),
                "its applier would wait",
                "rpl_semi_sync_master_enabled=OFF",
            ),
            (
                only(|r| r.slave_skip_errors = "1062".into()),
                "skips errors (slave_skip_errors=1062)",
                "ackline provision",
            ),
            (
                only(|r| r.binlog_format = "ROW".into()),
                "binlog_format=ROW",
                "run STOP SLAVE SQL_THREAD; SET GLOBAL binlog_format=MIXED; START SLAVE SQL_THREAD",
            ),
            (
                only(|r| r.slave_exec_mode = "IDEMPOTENT".into()),
                "IDEMPOTENT",
                "slave_exec_mode='STRICT'",
            ),
            (
                only(|r| r.events_marked_for_skip = Some("FILTER_ON_SLAVE".into())),
                "FILTER_ON_SLAVE",
                "ackline provision",
            ),
            (
                only(|r| r.unfinished_copy = true),
                "part of a copy",
                "ackline provision again",
            ),
            (
                only(|r| r.following = Following::Denied),
                "filters",
                "GRANT SLAVE MONITOR",
            ),
        ];
        for (reason, what, repair) in cases {
            let text = reason.to_string();
            assert!(reason.what.contains(what), "{text}");
            assert!(reason.repair.to_string().contains(repair), "{text}");
        }
    }

    #[test]
    fn filters_and_several_sources() {
        let filtered = only(|r| {
            r.following = Following::Known(vec![Replication {
                filters: vec!["replicate_do_db=shop".into()],
                ..running()
            }]);
        });
        assert!(filtered.what.contains("replicate_do_db=shop"));
        let two = only(|r| {
            r.following = Following::Known(vec![
                running(),
                Replication {
                    connection: "other".into(),
                    source_host: "h".into(),
                    source_port: 1,
                    ..running()
                },
            ]);
        });
        assert!(two.what.contains("'other' from h:1"), "{two}");
    }

    fn running() -> Replication {
        Replication {
            sql: Thread::Running,
            ..Replication::default()
        }
    }

    #[test]
    fn an_applier_that_stands_is_told_with_its_reason() {
        let stopped = |sql_error: Option<&str>, sql_errno| {
            only(|report| {
                report.following = Following::Known(vec![Replication {
                    sql_error: sql_error.map(str::to_owned),
                    sql_errno,
                    ..Replication::default()
                }]);
            })
            .to_string()
        };
        assert_eq!(
            stopped(None, 0),
            "its applier is stopped: run START SLAVE SQL_THREAD"
        );
        assert_eq!(
            stopped(Some("Duplicate entry"), 1062),
            "its applier stopped: Duplicate entry: mend that, and run START SLAVE SQL_THREAD"
        );
        assert!(stopped(Some("Incident"), 1590).contains("INCIDENT"));
    }

    #[test]
    fn nobody_votes_unasked() {
        let reasons = may_vote(&Health::Unknown).unwrap_err();
        assert!(reasons[0].what.contains("not said yet"));
    }
}
