//! What no server is needed for: see `tests/suite/unsafe_statements.rs` for all the rest.

use proptest::prelude::*;

use super::*;
use crate::ids::Flavor;

fn reading(flavor: Flavor) -> Reading {
    Reading {
        server: Server {
            flavor,
            version: match flavor {
                Flavor::MariaDb => 101_119,
                Flavor::MySql => 90_704,
            },
        },
        backslash: Backslash::Escapes,
        ignores_space: false,
    }
}

fn names(flavor: Flavor, text: &str) -> String {
    let (_, verdict) = judge(reading(flavor), text.as_bytes());
    let names: Vec<&str> = verdict.reasons.iter().map(Unsafe::name).collect();
    names.join(" ")
}

#[test]
fn reasons() {
    for (text, in_mariadb, in_mysql) in [
        ("INSERT INTO t VALUES (1, 'uuid()')", "", ""),
        ("INSERT INTO t VALUES (RAND())", "", "system-function"),
        ("DELETE FROM t LIMIT 1", "limit", "limit"),
        ("DELETE FROM t LIMIT 0", "", "limit"),
        (
            "REPLACE INTO t SELECT @@hostname",
            "system-variable replace-select",
            "system-variable replace-select",
        ),
        ("INSERT INTO user (version) VALUES (1)", "", ""),
        ("INSERT INTO t SELECT user FROM mysql.user", "", "acl-table"),
        ("DELETE FROM mysql.user WHERE user = 'x'", "", ""),
        (
            "UPDATE IGNORE t SET a = 1",
            "update-ignore",
            "update-ignore",
        ),
        ("UPDATE IGNORE t, u SET t.a = 1", "", ""),
        ("CREATE TABLE t (a INT)", "", ""),
    ] {
        assert_eq!(names(Flavor::MariaDb, text), in_mariadb, "{text}");
        assert_eq!(names(Flavor::MySql, text), in_mysql, "{text}");
    }
}

#[test]
fn the_culprit_is_named() {
    let text = b"insert into t select q.user, Sleep(1), uuid() from q";
    let (_, verdict) = judge(reading(Flavor::MariaDb), text);
    assert_eq!(verdict.culprit, Some(&b"Sleep"[..]));
}

#[test]
fn what_is_judged() {
    let is_judged = |text: &str| judge(reading(Flavor::MySql), text.as_bytes()).0 == Subject::Rows;
    for text in [
        "insert into t values (1)",
        "with a as (select 1) delete from t",
        "create table t select 1",
        "create temporary table if not exists t (a int) as (select 1)",
        "set statement max_statement_time=1 for delete from t",
    ] {
        assert!(is_judged(text), "{text}");
    }
    for text in [
        "",
        "BEGIN",
        "COMMIT",
        "create table t (a int default (uuid()))",
        "create table t (a int auto_increment primary key) with system versioning",
        "create trigger x before insert on t for each row set @a = uuid()",
        "grant select on t to u identified by 'x'",
        "(select 1)",
        "with a as (select 1) select * from a",
        "set statement a = (1",
    ] {
        assert!(!is_judged(text), "{text}");
    }
}

#[test]
fn every_reason_is_in_the_list_once() {
    let mut all = Reasons::default();
    for reason in Unsafe::ALL {
        assert!(!all.contains(reason));
        all.add(reason);
    }
    assert_eq!(all.iter().count(), Unsafe::ALL.len());
}

/// Depth is counted, nothing is kept by it.
#[test]
fn a_long_statement_takes_no_longer_by_the_byte() {
    let text = "insert into t values ((".to_owned() + &"(uuid(".repeat(1 << 18);
    let began = std::time::Instant::now();
    assert_eq!(names(Flavor::MySql, &text), "system-function");
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        judge(reading(Flavor::MariaDb), &bytes);
    }

    #[test]
    fn any_words(words in prop::collection::vec(
        prop::sample::select(vec![
            "insert", "replace", "update", "delete", "create", "table", "with", "as", "ignore",
            "into", "t", "(", ")", ",", ".", "@", "`", "'", "select", "from", "limit", "0", "uuid",
            "on", "duplicate", "key", "set", "offset", "fetch", "first", "rows", "mysql", "user",
            "for", "skip", "locked", "statement", "load", "values", "join", "using", "previous",
        ]),
        0..30,
    )) {
        let text = words.join(" ");
        for flavor in [Flavor::MariaDb, Flavor::MySql] {
            let (_, verdict) = judge(reading(flavor), text.as_bytes());
            prop_assert!(verdict.culprit.is_none() || !verdict.is_safe());
        }
    }
}
