//! Statements and a schema, without a server: tests/suite/e2e_binlog_audit.rs compares with real ones.

use proptest::prelude::*;

use super::*;
use crate::sql::Server;
use crate::sql::lexer::Backslash;
use crate::sql::unsafe_statement::Reading;

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

fn name(name: &str) -> Name {
    Name {
        database: "d".into(),
        name: name.into(),
    }
}

fn named(flavor: Flavor, text: &str) -> Option<Named> {
    Named::of(reading(flavor), "d", text.as_bytes())
}

fn table(columns: &[&str], numbered: Option<bool>, unique_keys: &[&[&str]]) -> Table {
    let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    Table {
        columns: owned(columns),
        auto_increment: numbered.map(|is_first| AutoIncrement {
            column: columns[0].into(),
            is_first,
        }),
        unique_keys: unique_keys
            .iter()
            .map(|key| key.iter().map(|part| Some(part.to_string())).collect())
            .collect(),
        triggers: Vec::new(),
    }
}

fn schema(flavor: Flavor) -> Schema {
    let body = |text: &str| Body::of(reading(flavor), "d", text.as_bytes());
    let fires = |events, text| Table {
        triggers: vec![Trigger {
            name: "fires".into(),
            events,
            body: body(text),
        }],
        ..table(&["a"], None, &[&["a"]])
    };
    let mut schema = Schema::default();
    for (called, shape) in [
        ("src", Shape::Table(table(&["id", "b"], None, &[&["id"]]))),
        ("one", Shape::Table(table(&["a", "b"], None, &[&["a"]]))),
        (
            "two",
            Shape::Table(table(&["a", "b", "c"], None, &[&["a"], &["b"]])),
        ),
        (
            "ai",
            Shape::Table(table(&["id", "b"], Some(true), &[&["id"]])),
        ),
        (
            "au",
            Shape::Table(table(&["id", "b", "c"], Some(true), &[&["id"], &["b"]])),
        ),
        (
            "last",
            Shape::Table(table(&["id", "b"], Some(false), &[&["b", "id"]])),
        ),
        (
            "fired",
            Shape::Table(fires(Events::INSERT, "INSERT INTO ai (b) VALUES (NEW.a)")),
        ),
        (
            "changed",
            Shape::Table(fires(
                Events::UPDATE,
                "BEGIN IF NEW.a > 1 THEN SET NEW.a = SLEEP(0); ELSE INSERT INTO fired VALUES (1); END IF; END",
            )),
        ),
        // Each other's, as no server lets them be.
        (
            "ping",
            Shape::Table(fires(Events::INSERT, "INSERT INTO pong VALUES (1)")),
        ),
        (
            "pong",
            Shape::Table(fires(Events::INSERT, "INSERT INTO ping VALUES (1)")),
        ),
        (
            "chosen",
            Shape::View(body("select `d`.`src`.`id` AS `id` from `d`.`src` limit 1")),
        ),
        (
            "plain",
            Shape::View(body("select `d`.`ai`.`id` AS `id` from `d`.`ai`")),
        ),
        ("secret", Shape::Hidden),
    ] {
        schema.add(Object::Table(name(called)), shape);
    }
    for (called, shape) in [
        ("makes", Shape::Function(body("RETURN UUID()"))),
        ("same", Shape::Function(body("RETURN 'x'"))),
        (
            "asks",
            Shape::Function(body("RETURN (SELECT MAX(b) FROM src)")),
        ),
        (
            "numbers",
            Shape::Function(body(
                "BEGIN DECLARE i INT DEFAULT 0; WHILE i < 3 DO INSERT INTO ai (b) VALUES \
                 (CASE WHEN i THEN 'x' ELSE 'y' END); SET i = i + 1; END WHILE; RETURN 1; END",
            )),
        ),
        ("again", Shape::Function(body("RETURN again()"))),
        ("max", Shape::NoFunction),
        ("uuid", Shape::NoFunction),
        ("sleep", Shape::NoFunction),
    ] {
        schema.add(Object::Function(name(called)), shape);
    }
    schema
}

fn verdict(flavor: Flavor, text: &str) -> BySchema {
    let named = named(flavor, text).unwrap_or_else(|| panic!("{text}"));
    match judge(flavor, &named, &schema(flavor)) {
        Outcome::Judged(verdict) => verdict,
        Outcome::Asks(asks) => panic!("{text}: {asks:?}"),
    }
}

fn reasons(flavor: Flavor, text: &str) -> String {
    let reasons = verdict(flavor, text).reasons;
    let names: Vec<&str> = reasons.iter().map(Unsafe::name).collect();
    names.join(" ")
}

#[test]
fn reasons_by_the_schema() {
    let select = "auto-increment-select";
    let inside = "auto-increment-inside";
    let several = "several-unique-keys";
    for (text, in_mariadb, in_mysql) in [
        ("INSERT INTO ai (b) VALUES ('x')", "", ""),
        ("INSERT INTO one SELECT id, 1 FROM src", "", ""),
        ("INSERT INTO ai (b) SELECT b FROM src", select, select),
        (
            "REPLACE INTO ai (b) SELECT b FROM src ORDER BY id",
            select,
            select,
        ),
        ("INSERT INTO ai (b) SELECT b FROM ai", select, select),
        ("INSERT INTO ai (b) SELECT 'x'", "", ""),
        (
            "INSERT INTO ai (b) WITH q AS (SELECT 1) SELECT 1 FROM q",
            "",
            "",
        ),
        (
            "INSERT INTO ai (b) SELECT table_name FROM information_schema.tables",
            "",
            "",
        ),
        (
            "INSERT INTO ai (b) VALUES ((SELECT MAX(b) FROM src))",
            select,
            select,
        ),
        ("INSERT INTO ai (b) VALUES (asks())", select, select),
        (
            "UPDATE ai JOIN src ON ai.id = src.id SET ai.b = src.b",
            select,
            select,
        ),
        ("UPDATE ai JOIN src ON ai.id = src.id SET src.b = 1", "", ""),
        (
            "DELETE q FROM ai q JOIN src ON q.id = src.id",
            select,
            select,
        ),
        ("DELETE FROM src WHERE id IN (SELECT id FROM ai)", "", ""),
        (
            "INSERT INTO last (b) VALUES (1)",
            "auto-increment-not-first",
            "auto-increment-not-first",
        ),
        // Unique keys.
        (
            "INSERT INTO one VALUES (1, 1) ON DUPLICATE KEY UPDATE b = 1",
            "",
            "",
        ),
        (
            "INSERT INTO two VALUES (1, 1, 1) ON DUPLICATE KEY UPDATE c = 1",
            several,
            several,
        ),
        (
            "INSERT INTO two SET a = 1, c = 1 ON DUPLICATE KEY UPDATE c = 1",
            "",
            several,
        ),
        (
            "INSERT INTO two (A, `B`) VALUES (1, 1) ON DUPLICATE KEY UPDATE c = 1",
            several,
            several,
        ),
        (
            "INSERT INTO au VALUES (NULL, 1, 1), (0, 2, 1) ON DUPLICATE KEY UPDATE c = 1",
            several,
            several,
        ),
        (
            "INSERT INTO au VALUES (NULL, 1, 1), (7, 2, 1) ON DUPLICATE KEY UPDATE c = 1",
            several,
            several,
        ),
        (
            "INSERT INTO au (b) VALUES (1) ON DUPLICATE KEY UPDATE c = 1",
            several,
            several,
        ),
        (
            "INSERT INTO au (c) VALUES (1) ON DUPLICATE KEY UPDATE c = 1",
            "",
            several,
        ),
        (
            "INSERT INTO two SELECT 1, 1, 1 FROM src WHERE id = 1 ON DUPLICATE KEY UPDATE c = 1",
            "",
            "",
        ),
        ("INSERT IGNORE INTO two VALUES (1, 1, 1)", "", ""),
        ("REPLACE INTO two VALUES (1, 1, 1)", "", ""),
        // Triggers, views, functions.
        ("INSERT INTO fired VALUES (1)", inside, inside),
        ("REPLACE INTO fired VALUES (1)", inside, inside),
        ("UPDATE fired SET a = 2", "", ""),
        ("INSERT INTO changed VALUES (1)", "", ""),
        (
            "UPDATE changed SET a = 2",
            "system-function auto-increment-inside",
            "system-function auto-increment-inside",
        ),
        (
            "INSERT INTO changed VALUES (1) ON DUPLICATE KEY UPDATE a = 1",
            "system-function auto-increment-inside",
            "system-function auto-increment-inside",
        ),
        ("INSERT INTO ping VALUES (1)", "", ""),
        ("INSERT INTO one SELECT id, 1 FROM chosen", "limit", "limit"),
        ("INSERT INTO plain SELECT id FROM src", select, select),
        (
            "INSERT INTO one VALUES (1, makes())",
            "system-function",
            "system-function",
        ),
        (
            "INSERT INTO one VALUES (1, d.MAKES())",
            "system-function",
            "system-function",
        ),
        ("INSERT INTO one VALUES (1, same())", "", ""),
        ("INSERT INTO one VALUES (1, again())", "", ""),
        ("INSERT INTO one VALUES (1, numbers())", inside, inside),
        (
            "CREATE TABLE made SELECT makes() AS a",
            "system-function",
            "system-function",
        ),
    ] {
        assert_eq!(reasons(Flavor::MariaDb, text), in_mariadb, "{text}");
        assert_eq!(reasons(Flavor::MySql, text), in_mysql, "{text}");
    }
}

#[test]
fn the_culprit_is_named_and_what_is_hidden() {
    let verdict = |text| verdict(Flavor::MySql, text);
    let found = verdict("INSERT INTO fired SELECT 1 FROM secret");
    assert_eq!(found.culprit.as_deref(), Some("ai"));
    assert_eq!(found.hidden, Some(Object::Table(name("secret"))));
    let found = verdict("INSERT INTO one VALUES (1, makes())");
    assert_eq!(found.culprit.as_deref(), Some("makes"));
    assert_eq!(found.hidden, None);
}

#[test]
fn what_is_not_known_is_asked_for_once() {
    let text = "INSERT INTO x.t SELECT F(a), f(b) FROM t, T, y.v";
    let named = named(Flavor::MariaDb, text).unwrap();
    let table = |database: &str, name: &str| {
        Object::Table(Name {
            database: database.into(),
            name: name.into(),
        })
    };
    assert_eq!(
        judge(Flavor::MariaDb, &named, &Schema::default()),
        Outcome::Asks(vec![
            table("d", "T"),
            table("d", "t"),
            table("x", "t"),
            table("y", "v"),
            Object::Function(name("f")),
        ])
    );
}

#[test]
fn what_the_parser_may_take_for_something_else_is_left_alone() {
    for text in [
        "UPDATE LOW_PRIORITY t SET a = 1",
        "DELETE QUICK FROM t",
        "INSERT INTO t VALUES (1) /*!50000 ON DUPLICATE KEY UPDATE a = 1 */",
        "INSERT INTO t VALUES (1) /*M! RETURNING a */",
        "UPDATE a JOIN b ON a.x = b.x SET y = 1",
        "INSERT INTO t VALUES (1); DELETE FROM t",
        "SAVEPOINT a",
        "",
        "(((",
    ] {
        assert_eq!(named(Flavor::MariaDb, text), None, "{text}");
    }
    let bytes = b"INSERT INTO t VALUES ('\xff')";
    assert_eq!(Named::of(reading(Flavor::MariaDb), "d", bytes), None);
    assert_eq!(
        Named::of(reading(Flavor::MariaDb), "", b"DELETE FROM t"),
        None
    );
}

/// They would need as much of the stack as they are long.
#[test]
fn no_depth_takes_the_stack() {
    let long = |part: &str, count| format!("INSERT INTO one VALUES (1, {}1)", part.repeat(count));
    assert!(named(Flavor::MySql, &long("1 + ", 200)).is_some());
    for part in [
        "1 + ",
        "(",
        "NOT ",
        "- ",
        "f(",
        "1 = ALL (SELECT ",
        "a AND ",
    ] {
        for count in [22, 100, 245, 10_000, 1 << 20] {
            named(Flavor::MySql, &long(part, count));
        }
    }
    let union = "SELECT 1 UNION ".repeat(10_000);
    assert_eq!(
        named(Flavor::MySql, &format!("INSERT INTO one {union} SELECT 2")),
        None
    );
    let rows = "(1, 1 + 1), ".repeat(1000);
    assert!(
        named(
            Flavor::MySql,
            &format!("INSERT INTO one VALUES {rows} (2, 2)")
        )
        .is_some()
    );
}

#[test]
fn it_is_bounded() {
    let mut schema = Schema::default();
    for number in 0..3 * MOST {
        let object = Object::Table(name(&number.to_string()));
        schema.add(object, Shape::Hidden);
        assert!(schema.len() <= MOST);
    }
}

proptest! {
    #[test]
    fn any_words(words in prop::collection::vec(
        prop::sample::select(vec![
            "insert", "replace", "update", "delete", "into", "one", "two", "ai", "fired", "chosen",
            "(", ")", ",", ".", ";", "begin", "end", "case", "when", "then", "else", "if", "select",
            "from", "makes", "numbers", "values", "on", "duplicate", "key", "set", "=", "join", "as",
            "return", "declare", "cursor", "for", "while", "do", "repeat", "until", "'", "`", "1",
        ]),
        0..30,
    )) {
        let text = words.join(" ");
        for flavor in [Flavor::MariaDb, Flavor::MySql] {
            if let Some(named) = named(flavor, &text) {
                judge(flavor, &named, &schema(flavor));
            }
            Body::of(reading(flavor), "d", text.as_bytes());
        }
    }
}
