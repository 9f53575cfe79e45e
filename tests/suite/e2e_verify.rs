//! `ackline verify`: equal is said where rows are equal, while everybody writes, and each planted difference is named.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ackline::verify::witness::{self, Witness};
use serde_json::Value;

use crate::support::{
    ACKLINE, Account, Database, Flavor, Part, SOON, Sandbox, Status, on_both_flavors,
};

on_both_flavors![
    equal_while_everybody_writes,
    each_difference_is_found_and_named,
    rows_instead_of_statements_are_refused,
    rows_are_mended_while_everybody_writes,
    a_repair_that_is_killed_is_given_again,
    the_proxy_compares_by_itself,
    it_rests_while_a_replica_is_behind,
    who_wrote_a_row_last_is_told,
    whatever_dies_the_same_command_tells_all,
];

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn verify(sandbox: &Sandbox, arguments: &[&str], status: i32) -> String {
    let mut all = vec!["verify"];
    all.extend(arguments);
    let output = sandbox.ackline(&all);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

/// The same while clients of this process go on.
async fn aside(sandbox: &Sandbox, arguments: &'static [&'static str]) -> (Option<i32>, String) {
    let config = sandbox.config_path();
    let run = tokio::task::spawn_blocking(move || {
        Command::new(ACKLINE)
            .arg("verify")
            .args(arguments)
            .args(["--config", &config])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    (output.status.code(), text(&output))
}

async fn migrated(flavor: Flavor) -> Sandbox {
    let sandbox = Sandbox::of(flavor).await;
    let output = sandbox.ackline(&["migrate"]);
    assert!(output.status.success(), "{}", text(&output));
    sandbox
}

/// Of many types, each with values that are easy to get wrong.
const TYPES: &str = "CREATE TABLE types (
  a INT NOT NULL, b VARCHAR(20) CHARACTER SET latin1 NOT NULL,
  ti TINYINT UNSIGNED, bu BIGINT UNSIGNED, z INT(6) ZEROFILL, dc DECIMAL(30,10), f FLOAT, d DOUBLE, d2 DOUBLE(10,2),
  bi BIT(1), bits BIT(64), e ENUM('', 'a', 'b'), s SET('a', 'b', 'c'), y YEAR,
  da DATE, t TIME(3), dt DATETIME(6), ts TIMESTAMP(6) NULL,
  c CHAR(5), v VARCHAR(400), vb VARBINARY(20), bn BINARY(4), bl LONGBLOB, tx TEXT CHARACTER SET utf16, j JSON,
  g GEOMETRY, n VARCHAR(10),
  gv INT AS (a * 2) VIRTUAL, gs VARCHAR(40) AS (CONCAT(b, '!')) STORED, hidden INT {INVISIBLE} DEFAULT 7,
  PRIMARY KEY (a, b)) ENGINE=InnoDB";

const ROWS: [&str; 4] = [
    "(1, 'x', 255, 18446744073709551615, 7, 12345678901234567890.0123456789, 1.1, 0.1, 1.25, 1, 0xffffffffffffffff, 'b', 'a,c', 2024, \
     '2024-02-29', '-12:00:00.5', '2024-01-01 00:00:00.123456', '2024-01-01 12:00:00.654321', 'ab', 'ä€😀', 0x00ff, 'x', REPEAT(0x00ff27, 100000), \
     '😀', '{\"a\": [1, null, \"ä\"]}', ST_GeomFromText('POINT(1 2)'), '')",
    "(1, 'y#', 0, 0, 0, 0, 3.4e38, -0e0, 0, 0, 0, '', '', 1901, '1000-01-01', '00:00:00', '1000-01-01 00:00:00', NULL, '', '', '', '', '', '', '[]', NULL, NULL)",
    "(2, 'é', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "(-3, '', 1, 1, 1, -1.5, 1e-30, 1e300, -9.99, 1, 1, 'a', 'b', 2155, '9999-12-31', '838:59:59', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', 'a  ', '\\'\\\\', '#', 'N', 'N', 'N', '\"N\"', NULL, 'N')",
];

/// So far apart are the statements before which a repair is killed; 1 with ACKLINE_ROUNDS=2.
fn stride() -> usize {
    match std::env::var("ACKLINE_ROUNDS").as_deref() {
        Ok("2") => 1,
        _ => 11,
    }
}

const COLUMNS: &str = "a, b, ti, bu, z, dc, f, d, d2, bi, bits, e, s, y, da, t, dt, ts, c, v, vb, bn, bl, tx, j, g, n";

async fn create_types(source: &mut Database) {
    source.run(&TYPES.replace("{INVISIBLE}", "INVISIBLE")).await;
    for row in ROWS {
        source
            .run(&format!("INSERT INTO types ({COLUMNS}) VALUES {row}"))
            .await;
    }
}

/// Rows 0 to 4999 in `columns`, each made of `i`.
async fn fill(source: &mut Database, table: &str, values: &str) {
    let digits = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 \
         UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let insert = format!(
        "INSERT INTO {table} SELECT {values} FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS i \
         FROM {digits} AS a, {digits} AS b, {digits} AS c, {digits} AS e) AS numbers WHERE i < 5000"
    );
    source.run(&insert).await;
}

/// Writes until it is told to stop; how often.
async fn writer(app: Account, number: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut app = app.connect_again().await;
    let mut at = number;
    while !stop.load(Ordering::Relaxed) {
        at = (at * 7919 + number) % 5000;
        for statement in [
            format!(
                "UPDATE busy SET v = CONCAT('w', {number}, '-', {at}), n = n + 1 WHERE id = {at}"
            ),
            format!("REPLACE INTO busy VALUES ({}, 'new', {number})", 5000 + at),
            format!("DELETE FROM busy WHERE id = {}", 5000 + (at * 31) % 5000),
            format!("UPDATE types SET f = f + 1, j = '[{at}]' WHERE a = 1 AND b = 'x'"),
        ] {
            // Writers may lock each other out; then nothing was written.
            match app.try_run(&statement).await {
                Ok(_) => written.fetch_add(1, Ordering::Relaxed),
                // And where the connection is gone it must not spin.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    0
                }
            };
        }
    }
}

/// Four of them.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    all: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    fn start(sandbox: &Sandbox) -> Self {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let start = |number| {
            let (stop, written) = (stop.clone(), written.clone());
            tokio::spawn(writer(sandbox.app().clone(), number, stop, written))
        };
        Self {
            all: (1..=4).map(start).collect(),
            stop,
            written,
        }
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.all {
            writer.await.unwrap();
        }
    }
}

async fn equal_while_everybody_writes(flavor: Flavor) {
    let sandbox = migrated(flavor).await;
    let mut source = sandbox.source().connect().await;
    create_types(&mut source).await;
    source
        .run("CREATE TABLE nothing (id INT PRIMARY KEY) ENGINE=InnoDB")
        .await;
    source
        .run("CREATE TABLE keyless (v VARCHAR(10), n INT) ENGINE=InnoDB")
        .await;
    source
        .run("INSERT INTO keyless VALUES ('a', 1), ('a', 1), (NULL, NULL)")
        .await;
    source
        .run("CREATE TABLE busy (id INT PRIMARY KEY, v VARCHAR(40), n INT) ENGINE=InnoDB")
        .await;
    fill(&mut source, "busy", "i, CONCAT('v', i), i").await;
    source
        .run("CREATE TABLE `od d` (k VARCHAR(30) CHARACTER SET utf8mb4 NOT NULL, l DOUBLE NOT NULL, m DATE NOT NULL, UNIQUE u (k, l, m)) ENGINE=InnoDB")
        .await;
    fill(
        &mut source,
        "`od d`",
        "CONCAT('ä''\\\\', i MOD 50), i / 7, DATE('2024-01-01') + INTERVAL i DAY",
    )
    .await;
    source.run("CREATE VIEW seen AS SELECT * FROM busy").await;

    let told = verify(&sandbox, &[], 0);
    for line in [
        "app.busy: equal on replica1",
        "app.types: equal on replica2 (1 chunks, 4 rows)",
        "app.nothing: equal on replica1 (1 chunks, 0 rows)",
        "app.keyless: equal on replica1 (1 chunks, 3 rows)",
        "app.od d: equal on replica2",
        "10 tables (counted on each replica): 10 equal, 0 different, 0 not compared",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(
        !told.contains("app.od d: equal on replica2 (1 chunks"),
        "{told}"
    );

    let writers = Writers::start(&sandbox);
    for _ in 0..4 {
        let before = writers.written();
        let config = sandbox.config_path();
        let run = tokio::task::spawn_blocking(move || {
            Command::new(crate::support::ACKLINE)
                .args(["verify", "--json", "--config", &config])
                .stdin(Stdio::null())
                .output()
                .unwrap()
        });
        let output = run.await.unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["total"]["equal"], 10, "{report}");
        let during = writers.written() - before;
        assert!(during > 4, "nobody wrote meanwhile: {during}");
    }
    writers.end().await;
    // What it wrote came everywhere, and is no unsafe statement.
    sandbox.assert_equal().await;
    let status = sandbox.status().await;
    assert_eq!(status.number("binlog.unsafe_statements"), 0);
    let audit = sandbox.ackline(&["binlog", "audit"]);
    assert!(audit.status.success(), "{}", text(&audit));

    // Without the privilege it says which one.
    let all = match flavor {
        Flavor::MariaDb => "BINLOG ADMIN, SUPER",
        Flavor::MySql => "SYSTEM_VARIABLES_ADMIN",
    };
    source
        .run(&format!("REVOKE {all} ON *.* FROM ackline@'%'"))
        .await;
    let denied = verify(&sandbox, &[], 1);
    assert!(
        denied.contains("our account may not run SET SESSION binlog_format='STATEMENT'")
            && denied.contains("an administrator has to run there GRANT "),
        "{denied}"
    );
}

/// A table, what is planted in it at one replica, and what is said then.
const PLANTED: [(&str, &str, &str, &str); 13] = [
    (
        "one_byte",
        "id INT PRIMARY KEY, v VARBINARY(20)",
        "UPDATE one_byte SET v = 'v1234\\0' WHERE id = 1234",
        "rows on both, with other content",
    ),
    (
        "missing",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "DELETE FROM missing WHERE id = 4321",
        "rows there, ",
    ),
    (
        "extra",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "INSERT INTO extra VALUES (70000, 'v70000')",
        "rows there, ",
    ),
    (
        "null_for_empty",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "UPDATE null_for_empty SET v = NULL WHERE id = 17",
        "rows on both, with other content",
    ),
    (
        "last_bit",
        "id INT PRIMARY KEY, v FLOAT",
        "UPDATE last_bit SET v = 16777215 WHERE id = 5",
        "rows on both, with other content",
    ),
    (
        "letter",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "UPDATE letter SET v = 'V77' WHERE id = 77",
        "rows on both, with other content",
    ),
    (
        "blank",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "UPDATE blank SET v = 'v77 ' WHERE id = 77",
        "rows on both, with other content",
    ),
    (
        "swapped",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "UPDATE swapped SET v = CONCAT('v', 5 - id) WHERE id IN (2, 3)",
        "rows on both, with other content",
    ),
    (
        "bigger",
        "id INT PRIMARY KEY, v BIGINT UNSIGNED",
        "UPDATE bigger SET v = 18446744073709551614 WHERE id = 9",
        "rows on both, with other content",
    ),
    (
        "twice",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "UPDATE twice SET v = 'same' WHERE id IN (10, 11)",
        "rows on both, with other content",
    ),
    (
        "moved",
        "id INT PRIMARY KEY, v VARCHAR(20), w VARCHAR(20)",
        "UPDATE moved SET v = CONCAT(v, LEFT(w, 1)), w = SUBSTR(w, 2) WHERE id = 44",
        "rows on both, with other content",
    ),
    (
        "wider",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "ALTER TABLE wider MODIFY v VARCHAR(30)",
        "DEFINITION DIFFERS on replica2: v: varchar(30) there, varchar(20) at the source",
    ),
    (
        "narrower",
        "id INT PRIMARY KEY, v VARCHAR(20)",
        "ALTER TABLE narrower DROP COLUMN v",
        "DEFINITION DIFFERS on replica2: column v is not there",
    ),
];

/// More of them, in tables of a few rows: its columns, the rows, what is planted, and how that is said.
const ALSO: [(&str, &str, &str, &str, &str); 18] = [
    (
        "tenth_digit",
        "id INT PRIMARY KEY, v DECIMAL(30,10)",
        "(1, 12345678901234567890.0123456789), (2, 0)",
        "UPDATE tenth_digit SET v = 12345678901234567890.0123456788 WHERE id = 1",
        "id = 1: v is 12345678901234567890.0123456788 there, 12345678901234567890.0123456789 at the source",
    ),
    (
        "double_bit",
        "id INT PRIMARY KEY, v DOUBLE",
        "(1, 0.1), (2, 0.1)",
        "UPDATE double_bit SET v = 0.10000000000000002 WHERE id = 2",
        "id = 2: v is 0.10000000000000002 there, 0.1 at the source",
    ),
    (
        "microsecond",
        "id INT PRIMARY KEY, v DATETIME(6)",
        "(1, '2024-02-29 23:59:59.999999'), (2, NULL)",
        "UPDATE microsecond SET v = '2024-02-29 23:59:59.999998' WHERE id = 1",
        "id = 1: v is 2024-02-29 23:59:59.999998 there, 2024-02-29 23:59:59.999999 at the source",
    ),
    (
        "before_noon",
        "id INT PRIMARY KEY, v TIME(3)",
        "(1, '-12:00:00.5'), (2, '00:00:00')",
        "UPDATE before_noon SET v = '12:00:00.5' WHERE id = 1",
        "id = 1: v is 12:00:00.500 there, -12:00:00.500 at the source",
    ),
    (
        "an_hour",
        "id INT PRIMARY KEY, v TIMESTAMP NULL",
        "(1, '2024-07-01 12:00:00'), (2, NULL)",
        "UPDATE an_hour SET v = v + INTERVAL 1 HOUR WHERE id = 1",
        "id = 1: v is 2024-07-01 ",
    ),
    (
        "in_order",
        "id INT PRIMARY KEY, v JSON",
        r#"(1, '{"a": [1, null]}'), (2, '[]')"#,
        r#"UPDATE in_order SET v = '{"a": [null, 1]}' WHERE id = 1"#,
        r#"id = 1: v is '{"a": [null, 1]}' there, '{"a": [1, null]}' at the source"#,
    ),
    (
        "last_byte",
        "id INT PRIMARY KEY, v LONGBLOB",
        "(1, REPEAT('\\0x', 300000)), (2, '')",
        "UPDATE last_byte SET v = CONCAT(LEFT(v, 599999), 'y') WHERE id = 1",
        "id = 1: v is ",
    ),
    (
        "sixty_fourth",
        "id INT PRIMARY KEY, v BIT(64)",
        "(1, 0x8000000000000001), (2, 0)",
        "UPDATE sixty_fourth SET v = 1 WHERE id = 1",
        "id = 1: v is 1 there, 9223372036854775809 at the source",
    ),
    (
        "no_such",
        "id INT PRIMARY KEY, v ENUM('', 'a')",
        "(1, ''), (2, 'a')",
        // Shown alike by every client.
        "UPDATE no_such SET v = 0 WHERE id = 1",
        "id = 1: v is 0 there, 1 at the source",
    ),
    (
        "some_of_them",
        "id INT PRIMARY KEY, v SET('a', 'b', 'c')",
        "(1, 'a,c'), (2, '')",
        "UPDATE some_of_them SET v = 'a,b' WHERE id = 1",
        "id = 1: v is 3 there, 5 at the source",
    ),
    (
        "same_to_the_key",
        "id VARCHAR(20) PRIMARY KEY, v INT",
        "('a', 1), ('b', 2)",
        "UPDATE same_to_the_key SET id = 'B' WHERE id = 'b'",
        "id = 'b': it is not there\n    id = 'B': it is there only",
    ),
    (
        "of_two",
        "a INT, b VARCHAR(20), v INT, PRIMARY KEY (a, b)",
        "(1, 'x', 1), (1, 'y', 1)",
        "UPDATE of_two SET b = 'z' WHERE b = 'y'",
        "(a, b) = (1, 'z'): it is there only",
    ),
    (
        "unseen",
        "id INT PRIMARY KEY, v INT INVISIBLE DEFAULT 7",
        "(1), (2)",
        "UPDATE unseen SET v = 8 WHERE id = 2",
        "id = 2: v is 8 there, 7 at the source",
    ),
    (
        "point",
        "id INT PRIMARY KEY, v GEOMETRY",
        "(1, ST_GeomFromText('POINT(1 2)')), (2, NULL)",
        "UPDATE point SET v = ST_GeomFromText('POINT(2 1)') WHERE id = 1",
        "id = 1: v is ",
    ),
    (
        "nothing_left",
        "id INT PRIMARY KEY, v INT",
        "(1, 1), (2, 2)",
        "TRUNCATE TABLE nothing_left",
        "id = 2: it is not there",
    ),
    (
        "of_letters",
        "id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET latin1",
        "(1, 'a')",
        "ALTER TABLE of_letters MODIFY v VARCHAR(20) CHARACTER SET utf8mb4",
        "DEFINITION DIFFERS on replica2: v: character set utf8mb4 there, character set latin1 at the source",
    ),
    (
        "signed",
        "id INT PRIMARY KEY, v BIGINT UNSIGNED",
        "(1, 1)",
        "ALTER TABLE signed MODIFY v BIGINT",
        "DEFINITION DIFFERS on replica2: v: bigint",
    ),
    (
        "computed",
        "id INT PRIMARY KEY, v INT AS (id * 2) STORED",
        "(1, DEFAULT)",
        "ALTER TABLE computed MODIFY v INT AS (id * 3) STORED",
        "DEFINITION DIFFERS on replica2: v: generated ",
    ),
];

async fn plant(replica: &mut Database, flavor: Flavor, statement: &str) {
    // MySQL's replicas are closed to administrators as well.
    if flavor == Flavor::MySql {
        replica.run("SET GLOBAL super_read_only = OFF").await;
    }
    replica.run("SET SESSION sql_log_bin = 0").await;
    replica.run(statement).await;
}

/// By us, but for definitions, which are an administrator's. The servers' own sums agree.
async fn each_difference_is_mended(sandbox: &Sandbox, replica: &mut Database) {
    for statement in [
        "GRANT ALL PRIVILEGES ON *.* TO ackline@'%' WITH GRANT OPTION",
        "ALTER TABLE wider MODIFY v VARCHAR(20)",
        "ALTER TABLE narrower ADD COLUMN v VARCHAR(20)",
        "ALTER TABLE of_letters MODIFY v VARCHAR(20) CHARACTER SET latin1",
        "ALTER TABLE signed MODIFY v BIGINT UNSIGNED",
        "ALTER TABLE computed MODIFY v INT AS (id * 2) STORED",
        "DROP TABLE only_there",
    ] {
        replica.run(statement).await;
    }
    let told = verify(sandbox, &["replica2", "--repair", "apply"], 0);
    assert!(
        told.contains(": 32 equal, 0 different, 0 not compared"),
        "{told}"
    );
    sandbox.assert_equal().await;
}

async fn each_difference_is_found_and_named(flavor: Flavor) {
    let sandbox = migrated(flavor).await;
    let mut source = sandbox.source().connect().await;
    for (table, columns, ..) in PLANTED {
        source
            .run(&format!("CREATE TABLE {table} ({columns}) ENGINE=InnoDB"))
            .await;
        let values = match table {
            "null_for_empty" => "i, ''",
            "last_bit" => "i, 16777216",
            "bigger" => "i, 18446744073709551615",
            "moved" => "i, CONCAT('v', i), CONCAT('w', i)",
            _ => "i, CONCAT('v', i)",
        };
        fill(&mut source, table, values).await;
    }
    for (table, columns, rows, ..) in ALSO {
        for statement in [
            format!("CREATE TABLE {table} ({columns}) ENGINE=InnoDB"),
            format!("INSERT INTO {table} VALUES {rows}"),
        ] {
            source.run(&statement).await;
        }
    }
    source.run("CREATE TABLE alike LIKE missing").await;
    sandbox.assert_equal().await;
    let mut replica = sandbox.replica(1).connect().await;
    let planted = PLANTED.iter().map(|(_, _, statement, _)| statement);
    plant(&mut replica, flavor, "SET SESSION sql_mode=''").await;
    for statement in planted.chain(ALSO.iter().map(|(_, _, _, statement, _)| statement)) {
        plant(&mut replica, flavor, statement).await;
    }
    plant(
        &mut replica,
        flavor,
        "CREATE TABLE only_there (id INT PRIMARY KEY)",
    )
    .await;

    let told = verify(&sandbox, &[], 1);
    let line = |table: &str, replica: &str| {
        let begins = format!("app.{table}: ");
        let on = format!(" on {replica}");
        let mut lines = told.lines();
        let found = lines.find(|line| line.starts_with(&begins) && line.contains(&on));
        found.unwrap_or_else(|| panic!("{table} on {replica}\n{told}"))
    };
    for (table, _, _, says) in PLANTED {
        let found = line(table, "replica2");
        assert!(found.contains(says), "{found}");
        if !says.starts_with("DEFINITION") {
            assert!(found.contains(": DIFFERENT on replica2: chunk "), "{found}");
            assert!(!found.contains("; chunk"), "one chunk only: {found}");
        }
        // Its statement would have stopped replica2.
        let equal = match table {
            "narrower" => "NOT COMPARED on replica1: replica2 does not have its column v",
            _ => "equal on replica1",
        };
        let found = line(table, "replica1");
        assert!(found.contains(equal), "{found}");
    }
    assert!(line("alike", "replica1").contains(": equal on"), "{told}");
    assert!(line("alike", "replica2").contains(": equal on"), "{told}");
    assert!(
        line("only_there", "replica2").contains("there is no such table at the source"),
        "{told}"
    );
    assert!(
        told.contains(
            "65 tables (counted on each replica): 32 equal, 32 different, 1 not compared"
        ),
        "{told}"
    );
    // Where it is: row 1234 is not among the first thousand.
    let found = line("one_byte", "replica2");
    assert!(!found.contains("(id <"), "{found}");

    for row in [
        " at the source\n    id = 4321: it is not there\n",
        "\n    id = 1234: v is 0x763132333400 there, 'v1234' at the source\n",
        "\n    id = 70000: it is there only\n",
        "\n    id = 17: v is NULL there, '' at the source\n",
        "\n    id = 5: v is 16777215 there, 16777216 at the source\n",
        "\n    id = 77: v is 'V77' there, 'v77' at the source\n",
        "\n    id = 77: v is 'v77 ' there, 'v77' at the source\n",
        "\n    id = 2: v is 'v3' there, 'v2' at the source\n    id = 3: v is 'v2' there, 'v3' at the source\n",
        "\n    id = 9: v is 18446744073709551614 there, 18446744073709551615 at the source\n",
        "\n    id = 44: v is 'v44w' there, 'v44' at the source; w is '44' there, 'w44' at the source\n",
    ] {
        assert!(told.contains(row), "{row}\n{told}");
    }
    for (table, _, _, _, says) in ALSO {
        let begins = format!("app.{table}: ");
        let of_it = told.split_once(&begins).unwrap().1;
        let of_it = of_it.split("\napp.").find(|part| part.contains("replica2"));
        assert!(of_it.unwrap().contains(says), "{table}: {says}\n{told}");
    }
    each_difference_is_mended(&sandbox, &mut replica).await;

    // The other replica alone, and one table.
    let told = verify(
        &sandbox,
        &["replica1", "--tables", "app.missing,app.extra"],
        0,
    );
    assert_eq!(told.lines().count(), 3, "{told}");
    for (arguments, status, says) in [
        (
            &["nobody"][..],
            2,
            "nobody is no replica of the configuration",
        ),
        (
            &["--tables", "app.none"],
            1,
            "app.none: there is no such table",
        ),
        (&["--tables", "none"], 2, "write the database and the table"),
    ] {
        let told = verify(&sandbox, arguments, status);
        assert!(told.contains(says), "{told}");
    }
    // It stopped nobody.
    for replica in sandbox.replicas() {
        let mut replica = replica.connect().await;
        assert_eq!(replica.slave_status("Slave_SQL_Running").await, "Yes");
    }

    // A table without a key, too large for one piece.
    source
        .run("CREATE TABLE keyless (v INT) ENGINE=InnoDB")
        .await;
    for _ in 0..3 {
        fill(&mut source, "keyless", "i").await;
    }
    let told = verify(&sandbox, &["--tables", "app.keyless"], 1);
    assert!(
        told.contains("NOT COMPARED on replica1: it has no key that orders its rows"),
        "{told}"
    );

    // Who does not come is not compared, and what it has is not said to be equal.
    let (stop, start) = match flavor {
        Flavor::MariaDb => ("STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD"),
        Flavor::MySql => ("STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD"),
    };
    replica.run(stop).await;
    let told = verify(
        &sandbox,
        &["--tables", "app.missing,app.alike", "--wait", "4s"],
        1,
    );
    for table in ["missing", "alike"] {
        assert!(
            told.contains(&format!("app.{table}: equal on replica1")),
            "{told}"
        );
        assert!(
            told.contains(&format!(
                "app.{table}: NOT COMPARED on replica2: it has not applied "
            )),
            "{told}"
        );
    }
    replica.run(start).await;

    // Who follows somebody else might have that one's results.
    let (stop, start) = (stop.replace("SQL", "IO"), start.replace("SQL", "IO"));
    replica.run(&stop).await;
    sandbox
        .status_until("replica2 does not follow", SOON, |status| {
            status.0["replicas"][1]["state"] == "disconnected"
        })
        .await;
    let told = verify(&sandbox, &["--tables", "app.alike"], 1);
    let says = "app.alike: NOT COMPARED on replica2: it does not follow the proxy (disconnected)";
    assert!(told.contains(says), "{told}");
    replica.run(&start).await;

    sandbox.stop(crate::support::Part::Proxy);
    let told = verify(&sandbox, &[], 3);
    assert!(told.contains("no running proxy"), "{told}");
}

/// A statement of ours that came to be logged as rows hands replicas the source's result.
async fn rows_instead_of_statements_are_refused(flavor: Flavor) {
    let sandbox = migrated(flavor).await;
    let mut source = sandbox.source().connect().await;
    let statement = |chunk: u64| {
        format!(
            "INSERT INTO ackline.checksums (db_name, table_name, chunk, this_cnt, this_crc, run, checked_at) \
             SELECT 'app', 't', {chunk}, COUNT(*), '0', 'r', UTC_TIMESTAMP(6) FROM information_schema.SCHEMATA"
        )
    };
    let within = Duration::from_secs(20);
    for (chunk, format) in [(1, "STATEMENT"), (2, "ROW")] {
        let text = statement(chunk);
        let mut witness = Witness::begin(&sandbox.manifest.binlog_dir).unwrap();
        source
            .run(&format!("SET SESSION binlog_format = '{format}'"))
            .await;
        source.run(&text).await;
        let found = witness.find([text].into(), within).await;
        match (format, &found) {
            ("STATEMENT", Ok(gtids)) => {
                let last = source.last_gtid().await;
                assert!(gtids.contains(&last.parse().unwrap()), "{gtids}");
            }
            ("ROW", Err(error @ witness::Error::Rows(_))) => {
                assert!(
                    error.to_string().contains("was logged as row events"),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    // What is not there at all is not taken for granted either.
    let mut witness = Witness::begin(&sandbox.manifest.binlog_dir).unwrap();
    let never = witness.find([statement(3)].into(), Duration::from_millis(100));
    let error = never.await.unwrap_err().to_string();
    assert!(error.contains("were not found in our binlog"), "{error}");
}

/// On MySQL: its applier would stop at a statement, so none is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_rows_only_is_compared() {
    let name = "e2e_verify::a_replica_that_takes_rows_only_is_compared";
    if crate::support::mysql::programs(name).is_none() {
        return;
    }
    let sandbox = migrated(Flavor::MySql).await;
    let mut source = sandbox.source().connect().await;
    create_types(&mut source).await;
    for statement in [
        "CREATE TABLE busy (id INT PRIMARY KEY, v VARCHAR(40), n INT) ENGINE=InnoDB",
        "CREATE TABLE keyless (v VARCHAR(10), n INT) ENGINE=InnoDB",
        "INSERT INTO keyless VALUES ('a', 1), ('a', 1), (NULL, NULL)",
        "CREATE TABLE old (id INT PRIMARY KEY) ENGINE=MyISAM",
        "INSERT INTO old VALUES (1)",
    ] {
        source.run(statement).await;
    }
    fill(&mut source, "busy", "i, CONCAT('v', i), i").await;
    // What an earlier run left, and this replica has lost.
    verify(&sandbox, &[], 0);
    let mut replica = sandbox.replica(1).connect().await;
    plant(&mut replica, Flavor::MySql, "DELETE FROM ackline.checksums").await;
    sandbox.edit_config("dir = \"binlog\"", "dir = \"binlog\"\nformat = \"row\"");
    sandbox.stop(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    for statement in [
        "STOP REPLICA",
        "CHANGE REPLICATION SOURCE TO REQUIRE_ROW_FORMAT=1",
        "START REPLICA",
        "GRANT ALL PRIVILEGES ON *.* TO ackline@'%' WITH GRANT OPTION",
        "SET GLOBAL super_read_only = ON",
    ] {
        replica.run(statement).await;
    }
    sandbox.all_vote().await;

    let writers = Writers::start(&sandbox);
    let before = writers.written();
    let (status, told) = aside(&sandbox, &[]).await;
    assert!(writers.written() > before + 4);
    assert_eq!(status, Some(1), "{told}");
    for line in [
        "app.busy: equal on replica1",
        "app.busy: equal on replica2",
        "app.types: equal on replica2 (1 chunks, 4 rows)",
        "app.keyless: equal on replica2 (1 chunks, 3 rows)",
        "app.old: NOT COMPARED on replica2: a replica takes no statements, and the rows of its engine cannot be held",
        "8 tables (counted on each replica): 6 equal, 0 different, 2 not compared",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }

    for statement in [
        "SET GLOBAL super_read_only = OFF",
        "DELETE FROM busy WHERE id = 4321",
        "UPDATE types SET v = 'other' WHERE a = 2",
        "INSERT INTO keyless VALUES ('b', 2)",
        "SET GLOBAL super_read_only = ON",
    ] {
        replica.run(statement).await;
    }
    let (status, told) = aside(&sandbox, &["replica2", "--repair", "apply"]).await;
    assert_eq!(status, Some(1), "{told}");
    for line in [
        "id = 4321: it is not there",
        "v is 'other' there",
        "app.keyless: DIFFERENT on replica2",
        "it has no key by which a row could be named",
        "4 tables (counted on each replica): 2 equal, 1 different, 1 not compared",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    writers.end().await;
    plant(
        &mut replica,
        Flavor::MySql,
        "DELETE FROM keyless WHERE v = 'b'",
    )
    .await;
    // Nothing of it is left.
    let left = "SELECT COUNT(*) FROM ackline.checksums WHERE chunk > 1000000";
    assert_eq!(source.value(left).await, "0");
    source.run("TRUNCATE TABLE ackline.checksums").await;
    sandbox.assert_equal().await;
}

/// What is planted at one replica, beside rows that are written all the time, and how each is named.
const BESIDE: [(&str, &str); 9] = [
    (
        "UPDATE types SET f = f + 1, bl = CONCAT(bl, 'x'), tx = 'ä€' WHERE a = -3",
        "(a, b) = (-3, ''): ",
    ),
    (
        "DELETE FROM types WHERE a = 2",
        "(a, b) = (2, 0xE9): it is not there",
    ),
    (
        "UPDATE types SET b = 'Y#' WHERE a = 1 AND b = 'y#'",
        "(a, b) = (1, 'Y#'): it is there only",
    ),
    (
        "UPDATE busy SET v = 'another' WHERE id = -2",
        "id = -2: v is 'another' there, 'v' at the source",
    ),
    ("DELETE FROM busy WHERE id = -3", "id = -3: it is not there"),
    (
        "INSERT INTO busy VALUES (-10, 'more', 1)",
        "id = -10: it is there only",
    ),
    (
        "UPDATE uniques SET u = 4 WHERE id = 1",
        "id = 1: u is 4 there, 1 at the source",
    ),
    (
        "UPDATE uniques SET u = 1 WHERE id = 2",
        "id = 2: u is 1 there, 2 at the source",
    ),
    (
        "DELETE FROM parents WHERE id = 1",
        "id = 1: it is not there",
    ),
];

async fn rows_are_mended_while_everybody_writes(flavor: Flavor) {
    let sandbox = migrated(flavor).await;
    let mut source = sandbox.source().connect().await;
    create_types(&mut source).await;
    for statement in [
        "CREATE TABLE busy (id INT PRIMARY KEY, v VARCHAR(40), n INT) ENGINE=InnoDB",
        "INSERT INTO busy VALUES (-1, 'v', 0), (-2, 'v', 0), (-3, 'v', 0)",
        "CREATE TABLE uniques (id INT PRIMARY KEY, u INT UNIQUE) ENGINE=InnoDB",
        "INSERT INTO uniques VALUES (1, 1), (2, 2), (3, 3)",
        "CREATE TABLE parents (id INT PRIMARY KEY) ENGINE=InnoDB",
        "CREATE TABLE children (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parents (id) ON DELETE CASCADE) ENGINE=InnoDB",
        "INSERT INTO parents VALUES (1), (2)",
        "INSERT INTO children VALUES (1, 1), (2, 2)",
        "CREATE TABLE watched (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
        "INSERT INTO watched VALUES (1, 1)",
        "CREATE TABLE seen (id INT) ENGINE=InnoDB",
        "CREATE TRIGGER watches AFTER INSERT ON watched FOR EACH ROW INSERT INTO seen VALUES (NEW.id)",
    ] {
        source.run(statement).await;
    }
    fill(&mut source, "busy", "i, CONCAT('v', i), i").await;
    sandbox.assert_equal().await;
    let mut replica = sandbox.replica(1).connect().await;
    plant(&mut replica, flavor, "SET SESSION foreign_key_checks = 0").await;
    for (statement, _) in BESIDE {
        replica.run(statement).await;
    }
    replica.run("UPDATE watched SET v = 2").await;
    if flavor == Flavor::MySql {
        replica.run("SET GLOBAL super_read_only = ON").await;
    }
    let writers = Writers::start(&sandbox);

    let (status, told) = aside(&sandbox, &["--repair", "print"]).await;
    assert_eq!(status, Some(1), "{told}");
    for (_, named) in BESIDE {
        assert!(told.contains(&format!("\n    {named}")), "{named}\n{told}");
    }
    assert!(told.contains("(apply would insert it)"), "{told}");
    assert!(!told.contains("on replica1: chunk"), "{told}");

    let (status, told) = aside(&sandbox, &["replica2", "--repair", "apply"]).await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("our account may not mend there: "), "{told}");

    replica.run("SET SESSION sql_log_bin = 0").await;
    if flavor == Flavor::MySql {
        replica.run("SET GLOBAL super_read_only = OFF").await;
    }
    replica
        .run("GRANT ALL PRIVILEGES ON *.* TO ackline@'%' WITH GRANT OPTION")
        .await;
    if flavor == Flavor::MySql {
        replica.run("SET GLOBAL super_read_only = ON").await;
    }
    let before = writers.written();
    let (status, told) = aside(&sandbox, &["replica2", "--repair", "apply"]).await;
    assert!(writers.written() > before + 4);
    assert_eq!(status, Some(1), "{told}");
    let line = |table: &str| {
        let begins = format!("app.{table}: ");
        let from = told
            .find(&begins)
            .unwrap_or_else(|| panic!("{table}\n{told}"));
        let rest = &told[from..];
        rest[..rest[1..].find("\napp.").map_or(rest.len(), |at| at + 1)].to_owned()
    };
    for (table, rows) in [("types", 4), ("busy", 3), ("uniques", 2), ("parents", 1)] {
        let said = line(table);
        assert!(said.contains(": equal on replica2"), "{said}");
        let mended = format!("{rows} rows were mended, and the table compared again");
        assert!(said.contains(&mended), "{said}");
    }
    assert!(line("children").contains(": equal on replica2"), "{told}");
    let said = line("watched");
    for part in [
        "DIFFERENT",
        "id = 1: v is 2 there, 1 at the source",
        "it has triggers, which would fire there",
    ] {
        assert!(said.contains(part), "{said}");
    }
    writers.end().await;

    // The server is as it was: closed, and without a transaction of its own.
    let (log, own) = match flavor {
        Flavor::MariaDb => ("gtid_binlog_state", "server_id"),
        Flavor::MySql => ("gtid_executed", "server_uuid"),
    };
    let log = replica.value(&format!("SELECT @@global.{log}")).await;
    let own = replica.value(&format!("SELECT @@global.{own}")).await;
    let is_own = match flavor {
        Flavor::MariaDb => log.contains(&format!("-{own}-")),
        Flavor::MySql => log.contains(&own),
    };
    assert!(!is_own, "{log}");
    if flavor == Flavor::MySql {
        for (variable, wanted) in [("super_read_only", "1"), ("local_infile", "0")] {
            let value = replica.value(&format!("SELECT @@global.{variable}")).await;
            assert_eq!(value, wanted, "{variable}");
        }
    }
    assert_eq!(replica.slave_status("Slave_SQL_Running").await, "Yes");
    if flavor == Flavor::MySql {
        replica.run("SET GLOBAL super_read_only = OFF").await;
    }
    replica.run("UPDATE watched SET v = 1").await;
    let told = verify(&sandbox, &[], 0);
    assert!(told.contains(" 0 different, 0 not compared"), "{told}");
    // By the servers' own word as well, and with what ackline.checksums holds by now.
    sandbox.assert_equal().await;
}

/// Killed before one statement after another: the replica goes on, and the same command mends what is left.
async fn a_repair_that_is_killed_is_given_again(flavor: Flavor) {
    let sandbox = migrated(flavor).await;
    let mut source = sandbox.source().connect().await;
    for statement in [
        "CREATE TABLE busy (id INT PRIMARY KEY, v VARCHAR(40), n INT) ENGINE=InnoDB",
        "CREATE TABLE uniques (id INT PRIMARY KEY, u INT UNIQUE) ENGINE=InnoDB",
        "INSERT INTO uniques VALUES (1, 1), (2, 2), (3, 3)",
    ] {
        source.run(statement).await;
    }
    fill(&mut source, "busy", "i, CONCAT('v', i), i").await;
    sandbox.assert_equal().await;
    let mut replica = sandbox.replica(1).connect().await;
    let grant = "GRANT ALL PRIVILEGES ON *.* TO ackline@'%' WITH GRANT OPTION";
    plant(&mut replica, flavor, grant).await;
    let planted = [
        "UPDATE busy SET v = 'another' WHERE id = 7",
        "DELETE FROM busy WHERE id = 4000",
        "INSERT IGNORE INTO busy VALUES (9000, 'more', 1)",
        "UPDATE uniques SET u = 9 WHERE id = 1",
        "UPDATE uniques SET u = 1 WHERE id = 2",
    ];
    let mut killed = 0;
    for number in (1..).step_by(stride()) {
        for statement in planted {
            plant(&mut replica, flavor, statement).await;
        }
        if flavor == Flavor::MySql {
            replica.run("SET GLOBAL super_read_only = ON").await;
        }
        let output = Command::new(crate::support::ACKLINE)
            .args(["verify", "replica2", "--repair", "apply", "--config"])
            .arg(sandbox.config_path())
            .env("ACKLINE_CRASH_AT", format!("statement {number}"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = text(&output);
        assert_eq!(replica.slave_status("Slave_SQL_Running").await, "Yes");
        if output.status.code().is_some() {
            assert!(output.status.success(), "statement {number}: {said}");
            break;
        }
        killed += 1;
        // What it left is closed by the next one.
        let told = verify(&sandbox, &["replica2", "--repair", "apply"], 0);
        assert!(told.contains(" 0 different, 0 not compared"), "{told}");
        if flavor == Flavor::MySql {
            let closed = replica.value("SELECT @@global.super_read_only").await;
            assert!(
                closed == "1" || !told.contains("were mended"),
                "{said}\n{told}"
            );
        }
    }
    println!("{flavor}: killed {killed} times");
    assert!(killed >= 3, "killed {killed} times");
    sandbox.assert_equal().await;
}

/// A table of 5000 rows.
async fn with_busy(flavor: Flavor) -> Sandbox {
    let sandbox = migrated(flavor).await;
    sandbox.create_seen().await;
    let mut source = sandbox.app().connect().await;
    source
        .run("CREATE TABLE busy (id INT PRIMARY KEY, v VARCHAR(40), n INT)")
        .await;
    fill(&mut source, "busy", "i, CONCAT('v', i), i").await;
    sandbox
}

async fn the_proxy_compares_by_itself(flavor: Flavor) {
    let sandbox = with_busy(flavor).await;
    let told = |status: &Status, which: &str| status.0["verify"][which].clone();
    assert!(told(&sandbox.status().await, "last").is_null());
    let anybody = sandbox.request("POST", "/api/v1/verify", "{}").await;
    assert_eq!(anybody.unwrap().status, 401);
    for wrong in [
        serde_json::json!({"tables": ["busy"]}),
        serde_json::json!({"replicas": ["nobody"]}),
        serde_json::json!({"wait": "soon"}),
        serde_json::json!({"repair": "apply"}),
    ] {
        let answer = sandbox.post("/api/v1/verify", &wrong).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    // Who asked for what there is not has changed nothing.
    assert!(told(&sandbox.status().await, "last").is_null());
    let asked = serde_json::json!({"tables": ["app.busy"]});
    let answer = sandbox.post("/api/v1/verify", &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let done = |status: &Status| told(status, "last")["state"] == "done";
    let status = sandbox.status_until("it has compared", SOON, done).await;
    let row = told(&status, "last");
    assert_eq!(
        (&row["equal"], &row["different"]),
        (&2.into(), &0.into()),
        "{row}"
    );
    assert!(told(&status, "whole").is_null(), "one table is not all");

    // By the file, from now on.
    let without = sandbox.config();
    sandbox.save_config(&format!("{without}\n[verify]\nevery = \"1s\"\n"));
    let mut replica = sandbox.replica(1).connect().await;
    plant(
        &mut replica,
        flavor,
        "UPDATE busy SET v = 'planted' WHERE id = 4711",
    )
    .await;
    let found = |status: &Status| {
        let row = told(status, "whole");
        let tables = row["differing"].as_array().cloned().unwrap_or_default();
        row["different"] == 1 && tables.contains(&"app.busy on replica2".into())
    };
    let status = sandbox.status_until("it is found", SOON, found).await;
    assert!(!status.to_string().contains("planted"), "{status}");
    let shown = text(&sandbox.ackline(&["status"]));
    assert!(shown.contains("app.busy on replica2"), "{shown}");
    let metrics = sandbox.request("GET", "/metrics", "").await.unwrap().body;
    let counted = "ackline_verify_tables{result=\"different\"} 1";
    assert!(metrics.contains(counted), "{metrics}");

    // It outlives the proxy, and one of a few tables says nothing of the others.
    sandbox.save_config(&without);
    let idle = |status: &Status| told(status, "running").is_null();
    sandbox.status_until("none runs", SOON, idle).await;
    sandbox.stop(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let streams = |status: &Status| {
        let row = status.replica("replica2");
        row.is_some_and(|row| row.text("state") == "streaming")
    };
    sandbox
        .status_until("replica2 is back", SOON, streams)
        .await;
    assert!(found(&sandbox.status().await));
    let other = serde_json::json!({"tables": ["app.seen"]});
    let answer = sandbox.post("/api/v1/verify", &other).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    sandbox.status_until("it has compared", SOON, idle).await;
    assert!(found(&sandbox.status().await));
    let rows = verify(&sandbox, &["replica2"], 1);
    assert!(rows.contains("id = 4711: v is 'planted' there"), "{rows}");
}

async fn it_rests_while_a_replica_is_behind(flavor: Flavor) {
    let sandbox = with_busy(flavor).await;
    let mut replica = sandbox.replica(1).connect().await;
    replica.run("FLUSH TABLES WITH READ LOCK").await;
    let mut app = sandbox.app().connect().await;
    app.run("UPDATE busy SET n = 0 WHERE id = 1").await;
    let behind = |status: &Status| {
        let row = status.replica("replica2").unwrap();
        row.at("lag_seconds").as_f64().is_some_and(|lag| lag > 1.0)
    };
    sandbox
        .status_until("replica2 is behind", SOON, behind)
        .await;
    let mut child = Command::new(ACKLINE)
        // Were anything asked of replica2 meanwhile, it would be "not compared".
        .args(["verify", "--tables", "app.busy", "--max-lag", "1s"])
        .args(["--wait", "3s"])
        .args(["--config", &sandbox.config_path()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(child.try_wait().unwrap().is_none(), "it does not wait");
    replica.run("UNLOCK TABLES").await;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
    let output = output.unwrap().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// A key of many types, as a server tells them and as row events have them.
const KEYED: &str = "CREATE TABLE keyed (
  id BIGINT UNSIGNED, t VARCHAR(10) CHARACTER SET latin1, c CHAR(5), b BINARY(4), vb VARBINARY(4), m DECIMAL(12,3),
  s DATETIME(3), ts TIMESTAMP, f DOUBLE, e ENUM('x', 'y'), v INT,
  PRIMARY KEY (id, t, c, b, vb, m, s, ts, f, e))";

async fn who_wrote_a_row_last_is_told(flavor: Flavor) {
    let sandbox = migrated(flavor).await;
    let mut source = sandbox.source().connect().await;
    source.run(KEYED).await;
    source.run("SET SESSION binlog_format='ROW'").await;
    let key = |id: &str| {
        format!(
            "{id}, 'é', 'ab ', 0x6100, 0x6100, -7.5, '2024-02-29 12:00:00.125', '2024-03-01 00:00:01', 0.1, 'y'"
        )
    };
    let large = u64::MAX.to_string();
    let mut last = Vec::new();
    for statement in [
        format!(
            "INSERT INTO keyed VALUES ({}, 1), ({}, 1)",
            key("1"),
            key("2")
        ),
        format!(
            "INSERT INTO keyed VALUES ({}, 1), ({}, 1)",
            key("3"),
            key(&large)
        ),
        "UPDATE keyed SET v = 2 WHERE id = 2".to_owned(),
        "DELETE FROM keyed WHERE id = 3".to_owned(),
    ] {
        source.run(&statement).await;
        last.push(source.last_gtid().await);
    }
    source.run("SET SESSION binlog_format='STATEMENT'").await;
    source.run("CREATE TABLE keyed_too (n INT)").await;

    sandbox.assert_equal().await;
    let mut replica = sandbox.replica(0).connect().await;
    if flavor == Flavor::MySql {
        replica.run("SET GLOBAL super_read_only = OFF").await;
    }
    replica.run("SET SESSION sql_log_bin = 0").await;
    replica.run("UPDATE keyed SET v = 9").await;
    let planted = format!("INSERT INTO keyed VALUES ({}, 1)", key("3"));
    replica.run(&planted).await;
    let told = verify(&sandbox, &["replica1", "--tables", "app.keyed"], 1);
    for (id, how) in [
        (
            "1",
            format!(
                "v is 9 there, 1 at the source; last inserted by {} (",
                last[0]
            ),
        ),
        (
            "2",
            format!(
                "v is 9 there, 2 at the source; last updated by {} (",
                last[2]
            ),
        ),
        (
            "3",
            format!("it is there only; last deleted by {} (", last[3]),
        ),
        (
            &large,
            format!(
                "v is 9 there, 1 at the source; last inserted by {} (",
                last[1]
            ),
        ),
    ] {
        let row = format!("({id}, ");
        let line = told.lines().find(|line| line.contains(&row));
        let line = line.unwrap_or_else(|| panic!("no row {id}: {told}"));
        assert!(line.contains(&how), "{how}: {line}");
    }
    assert!(!told.contains("the last statement"), "{told}");

    // Of a statement nobody knows which rows it wrote.
    source.run("UPDATE keyed SET v = v + 1 WHERE id > 1").await;
    source.run("UPDATE app.keyed_too SET n = 1").await;
    let told = verify(
        &sandbox,
        &["replica1", "--tables", "app.keyed", "--json"],
        1,
    );
    let json = &told[..=told.rfind("\n}").unwrap() + 1];
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    let narrowed = &report["tables"][0]["narrowed"];
    assert_eq!(narrowed["named"][0]["written"]["gtid"], last[0].as_str());
    assert_eq!(narrowed["named"][0]["written"]["change"], "inserted");
    assert_eq!(
        narrowed["statement"]["statement"],
        "UPDATE keyed SET v = v + 1 WHERE id > 1"
    );
}

/// One after the other is killed when the first tables are compared, while clients write.
async fn whatever_dies_the_same_command_tells_all(flavor: Flavor) {
    let sandbox = migrated(flavor).await;
    let mut source = sandbox.source().connect().await;
    for table in ["busy", "types", "a", "b", "c", "d", "e"] {
        let columns = "id INT PRIMARY KEY, v VARCHAR(40), n INT";
        source
            .run(&format!("CREATE TABLE {table} ({columns}) ENGINE=InnoDB"))
            .await;
        fill(&mut source, table, "i, CONCAT('v', i), i").await;
    }
    sandbox.assert_equal().await;
    for victim in [
        None,
        Some(Part::Replica(1)),
        Some(Part::Source),
        Some(Part::Proxy),
    ] {
        let writers = Writers::start(&sandbox);
        let mut child = Command::new(ACKLINE)
            .args(["verify", "--wait", "5s", "--config", &sandbox.config_path()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        match victim {
            None => child.kill().unwrap(),
            Some(part) => sandbox.kill(part),
        }
        // Without it the source's commits wait, and so does the run.
        if victim == Some(Part::Proxy) {
            sandbox.start(Part::Proxy);
        }
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        println!("{victim:?}: {first}\n{}\n{said}", rest.join("\n"));
        match victim {
            Some(Part::Proxy) => {}
            Some(part) => {
                assert!(!output.status.success());
                sandbox.start(part);
            }
            None => assert!(!output.status.success()),
        }
        // Who asked a dead source for its position waits until it is back.
        writers.end().await;
        for server in sandbox.replicas().into_iter().chain([sandbox.source()]) {
            server.connect_again().await;
        }
        sandbox.serves().await;
        sandbox.all_vote().await;
        let told = verify(&sandbox, &[], 0);
        assert!(told.contains(" 0 different, 0 not compared"), "{told}");
    }
    sandbox.assert_equal().await;
}
