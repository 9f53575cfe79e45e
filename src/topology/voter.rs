//! What a replica must be before its acknowledgements count.

use super::{Facts, Health};

/// Why it may not vote, in words with the remedy; empty where it may.
pub fn objections(health: &Health) -> Vec<String> {
    match health.facts() {
        Some(facts) => of_facts(facts),
        None => vec!["it was never reached at its address, so nobody knows its server id".into()],
    }
}

fn of_facts(facts: &Facts) -> Vec<String> {
    let mut objections = Vec::new();
    let mut must = |holds: bool, says: &str| {
        if !holds {
            objections.push(says.to_owned());
        }
    };
    must(
        facts.is_on("log_bin"),
        "its binary log is off (log_bin): it could never be promoted",
    );
    must(
        facts.is_on("log_slave_updates"),
        "log_slave_updates is off: its binary log would lack what it replicated",
    );
    must(
        facts.is_on("read_only"),
        "read_only is off: somebody could write there (SET GLOBAL read_only=ON)",
    );
    must(
        facts.is_on("gtid_strict_mode"),
        "gtid_strict_mode is off (SET GLOBAL gtid_strict_mode=ON)",
    );
    must(
        facts.is_on("rpl_semi_sync_slave_enabled"),
        "rpl_semi_sync_slave_enabled is off: it sends no acknowledgements and would skip events that it once wrote itself (SET GLOBAL rpl_semi_sync_slave_enabled=ON, then restart its IO thread)",
    );
    must(
        !facts.is_on("rpl_semi_sync_master_enabled"),
        "rpl_semi_sync_master_enabled is on: its applier would wait for acknowledgements of its own (SET GLOBAL rpl_semi_sync_master_enabled=OFF)",
    );
    must(
        matches!(facts.variable("slave_skip_errors"), "" | "OFF"),
        "slave_skip_errors is set: it would skip what fails",
    );
    must(
        facts.variable("slave_exec_mode") != "IDEMPOTENT",
        "slave_exec_mode is IDEMPOTENT: it would hide differences (SET GLOBAL slave_exec_mode=STRICT)",
    );
    let filters = [
        "replicate_do_db",
        "replicate_ignore_db",
        "replicate_do_table",
        "replicate_ignore_table",
        "replicate_wild_do_table",
        "replicate_wild_ignore_table",
    ];
    must(
        filters
            .iter()
            .all(|filter| facts.variable(filter).is_empty()),
        "it has replication filters: it does not hold everything",
    );
    objections
}

#[cfg(test)]
pub(super) fn fit() -> Facts {
    let on = [
        "log_bin",
        "log_slave_updates",
        "read_only",
        "gtid_strict_mode",
        "rpl_semi_sync_slave_enabled",
    ];
    Facts {
        variables: on
            .into_iter()
            .map(|name| (name.to_owned(), "ON".to_owned()))
            .collect(),
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_is_looked_at() {
        assert_eq!(of_facts(&fit()), Vec::<String>::new());
        for (name, value) in [
            ("log_bin", "OFF"),
            ("log_slave_updates", "OFF"),
            ("read_only", "OFF"),
            ("gtid_strict_mode", "OFF"),
            ("rpl_semi_sync_slave_enabled", "OFF"),
            ("rpl_semi_sync_master_enabled", "ON"),
            ("slave_skip_errors", "1062"),
            ("slave_exec_mode", "IDEMPOTENT"),
            ("replicate_wild_do_table", "app.%"),
        ] {
            let mut facts = fit();
            facts.variables.insert(name.into(), value.into());
            let objections = of_facts(&facts);
            assert_eq!(objections.len(), 1, "{name}: {objections:?}");
            assert!(
                objections[0].contains(name) || name.starts_with("replicate"),
                "{objections:?}"
            );
        }
        assert_eq!(
            objections(&Health::Unreachable {
                reason: "down".into(),
                last: None
            })
            .len(),
            1
        );
    }
}
