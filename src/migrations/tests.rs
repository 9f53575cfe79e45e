use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::ids::Flavor;

const FLAVORS: [Flavor; 2] = [Flavor::MariaDb, Flavor::MySql];

/// A released file is never changed: who changes one has to add another instead.
const RELEASED: &[(&str, &str)] = &[
    (
        "mariadb/0001_schema",
        "65f74a58622c0a2afbbe719ed85bfac77b0f95316714214cae53c0e35cbd4c86",
    ),
    (
        "mysql/0001_schema",
        "65f74a58622c0a2afbbe719ed85bfac77b0f95316714214cae53c0e35cbd4c86",
    ),
];

#[test]
fn released_files_are_as_they_were() {
    let mut found = Vec::new();
    for flavor in FLAVORS {
        for migration in known(flavor) {
            found.push((format!("{flavor}/{}", migration.name), migration.checksum()));
        }
    }
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(name, checksum)| (name.as_str(), checksum.as_str()))
        .collect();
    assert_eq!(found, RELEASED);
}

#[test]
fn each_file_of_the_folder_is_known_and_numbered() {
    for flavor in FLAVORS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("migrations/{flavor}"));
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let named = known(flavor)
            .iter()
            .map(|migration| format!("{}.sql", migration.name));
        assert_eq!(files, named.collect::<BTreeSet<_>>());
        for (migration, number) in known(flavor).iter().zip(1..) {
            assert_eq!(migration.number, number);
            assert!(migration.name.starts_with(&format!("{number:04}_")));
        }
    }
}

/// Whoever died between two statements is gone on for by running all of them again.
#[test]
fn each_statement_may_run_twice_and_is_logged() {
    for flavor in FLAVORS {
        for migration in known(flavor) {
            let sql = migration.sql;
            assert!(sql.ends_with(";\n"), "{}", migration.name);
            assert!(!sql.to_lowercase().contains("sql_log_bin"));
            for statement in migration.statements() {
                let twice = [
                    "CREATE DATABASE IF NOT EXISTS ",
                    "CREATE TABLE IF NOT EXISTS ",
                ];
                assert!(
                    twice.iter().any(|begin| statement.starts_with(begin)),
                    "{statement}"
                );
            }
        }
    }
}

#[test]
fn statements_end_with_a_semicolon_at_the_end_of_a_line() {
    let migration = Migration {
        number: 1,
        name: "0001_a",
        sql: "-- why;\n\nCREATE TABLE a (\n  b TEXT DEFAULT ';'\n);  \n-- more\nCREATE TABLE c (d INT);\nleft",
    };
    assert_eq!(
        migration.statements(),
        [
            "CREATE TABLE a (\n  b TEXT DEFAULT ';'\n)",
            "CREATE TABLE c (d INT)",
            "left"
        ]
    );
}

const THREE: &[Migration] = &[
    of(1, "0001_a", "a;"),
    of(2, "0002_b", "b;"),
    of(3, "0003_c", "c;"),
];

const fn of(number: u32, name: &'static str, sql: &'static str) -> Migration {
    Migration { number, name, sql }
}

fn applied(numbers: &[u32]) -> Vec<Recorded> {
    let row = |number: &u32| {
        let name = format!("000{number}");
        let known = THREE.iter().find(|migration| migration.number == *number);
        Recorded {
            number: *number,
            name: known.map_or(name, |known| known.name.to_owned()),
            checksum: known.map(Migration::checksum).unwrap_or_default(),
        }
    };
    numbers.iter().map(row).collect()
}

#[test]
fn what_is_missing_in_its_order() {
    for (numbers, next) in [
        (&[][..], THREE),
        (&[1], &THREE[1..]),
        // As a server may list them.
        (&[2, 1], &THREE[2..]),
        (&[1, 2, 3], &[]),
    ] {
        assert_eq!(pending(THREE, &applied(numbers)), Ok(next), "{numbers:?}");
    }
}

#[test]
fn what_is_refused() {
    let says = |recorded: &[Recorded]| pending(THREE, recorded).unwrap_err().to_string();
    let newer = says(&applied(&[1, 2, 3, 4]));
    assert!(
        newer.contains("0004 was applied there by a newer ackline"),
        "{newer}"
    );
    let gap = says(&applied(&[1, 3]));
    assert!(gap.contains("has 0003_c and not 0002_b"), "{gap}");
    let mut changed = applied(&[1, 2]);
    changed[0].checksum = "0".repeat(64);
    let changed = says(&changed);
    assert!(
        changed.contains("0001_a was applied there with another content"),
        "{changed}"
    );
    assert_eq!(pending(&[], &[]), Ok(&[][..]));
}
