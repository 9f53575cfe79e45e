//! [binlog] format, brought about at the source and said when the source does otherwise; the audit of
//! statements that are unsafe in statement format, beside the proxy and by `ackline binlog audit`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use crate::support::{
    self, Account, Flavor, Part, SOON, Sandbox, mysql, on_both_flavors, wait_until,
};
use serde_json::Value;

on_both_flavors!(
    unsafe_statements_are_found,
    the_schema_is_asked_for,
    a_source_that_logs_otherwise_is_reported
);

/// A sandbox whose source is asked for this format.
async fn with_format(flavor: Flavor, format: &str) -> Sandbox {
    let sandbox = Sandbox::of(flavor).await;
    set_format(&sandbox, format);
    sandbox.stop(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    sandbox
}

/// For the next start.
fn set_format(sandbox: &Sandbox, format: &str) {
    let config = sandbox.config();
    assert!(!config.contains("\nformat = "), "{config}");
    let section = "[binlog]\n";
    let asked = format!("{section}format = \"{format}\"\n");
    assert!(config.contains(section));
    sandbox.save_config(&config.replacen(section, &asked, 1));
}

struct Audit {
    status: i32,
    lines: Vec<Value>,
    text: String,
    error: String,
}

fn audit(sandbox: &Sandbox) -> Audit {
    let json = sandbox.ackline(&["binlog", "audit", "--json"]);
    let table = sandbox.ackline(&["binlog", "audit"]);
    assert_eq!(json.status.code(), table.status.code());
    let lines = String::from_utf8(json.stdout).unwrap();
    Audit {
        status: json.status.code().unwrap(),
        lines: lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        text: String::from_utf8(table.stdout).unwrap(),
        error: String::from_utf8(json.stderr).unwrap(),
    }
}

fn command(flavor: Flavor) -> PathBuf {
    match flavor {
        Flavor::MariaDb => "mariadb".into(),
        Flavor::MySql => mysql::program("mysql"),
    }
}

fn run_command(flavor: Flavor, account: &Account, statement: &str) {
    let output = Command::new(command(flavor))
        .args(account.arguments())
        .args([account.database.as_deref().unwrap(), "-e", statement])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

async fn metric(sandbox: &Sandbox, name: &str) -> Option<f64> {
    let page = sandbox.request("GET", "/metrics", "").await.unwrap().body;
    let line = page.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    line.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

async fn unsafe_statements_are_found(flavor: Flavor) {
    let sandbox = with_format(flavor, "statement").await;
    let mut source = sandbox.source().connect().await;
    assert_eq!(
        source.value("SELECT @@global.binlog_format").await,
        "STATEMENT"
    );
    assert_eq!(audit(&sandbox).status, 0);

    let mut app = sandbox.app().connect().await;
    for statement in [
        "CREATE TABLE t (id INT PRIMARY KEY, b VARCHAR(5000)) ENGINE=InnoDB",
        "INSERT INTO t VALUES (1, 'safe: uuid()')",
        "INSERT INTO t VALUES (2, NOW(6)), (3, @@time_zone)",
        "UPDATE t SET b = 'x' WHERE id = 1",
        "CREATE TABLE c (a VARCHAR(100) DEFAULT (UUID()))",
    ] {
        app.run(statement).await;
    }
    let mut expected = Vec::new();
    for (statement, reasons) in [
        (
            "INSERT INTO t VALUES (4, CONCAT('secret', UUID()))",
            vec!["system-function"],
        ),
        (
            "DELETE FROM t WHERE id > 100 OR id = 2 LIMIT 1",
            vec!["limit"],
        ),
        (
            "REPLACE INTO t SELECT id + 10, @@hostname FROM t",
            vec!["system-variable", "replace-select"],
        ),
        (
            "CREATE TABLE made SELECT USER() AS a",
            vec!["system-function"],
        ),
    ] {
        app.run(statement).await;
        expected.push((app.last_gtid_written().await, reasons));
    }
    // A backslash is a backslash in this session, and the quote ends its string.
    app.run("SET sql_mode = 'NO_BACKSLASH_ESCAPES'").await;
    app.run(r"INSERT INTO t VALUES (50, '\'), (51, SLEEP(0)), (52, '\')")
        .await;
    expected.push((app.last_gtid_written().await, vec!["system-function"]));
    app.run("SET sql_mode = DEFAULT").await;
    match flavor {
        Flavor::MariaDb => {
            source.run("SET GLOBAL log_bin_compress_min_len = 10").await;
            source.run("SET GLOBAL log_bin_compress = ON").await;
            let mut app = sandbox.app().connect().await;
            let long = "y".repeat(2000);
            app.run(&format!(
                "INSERT INTO t VALUES (60, CONCAT('{long}', UUID()))"
            ))
            .await;
            expected.push((app.last_gtid_written().await, vec!["system-function"]));
        }
        Flavor::MySql => {
            let mut app = sandbox.app().connect().await;
            for statement in [
                "XA START 'x'",
                "INSERT INTO t VALUES (60, 'x')",
                "XA END 'x'",
                "XA PREPARE 'x'",
            ] {
                app.run(statement).await;
            }
            expected.push((app.last_gtid_written().await, vec!["xa"]));
            app.run("XA COMMIT 'x'").await;
        }
    }
    // Who may and says so logs rows.
    source
        .run(&match flavor {
            Flavor::MariaDb => format!("GRANT BINLOG ADMIN ON *.* TO '{}'@'%'", sandbox.app().user),
            Flavor::MySql => format!(
                "GRANT SESSION_VARIABLES_ADMIN ON *.* TO '{}'@'%'",
                sandbox.app().user
            ),
        })
        .await;
    let mut other = sandbox.app().connect().await;
    other.run("SET SESSION binlog_format = 'ROW'").await;
    other.run("INSERT INTO t VALUES (70, UUID())").await;

    // The commands name themselves in their connection attributes; at the source itself nobody is known.
    let by_command = "REPLACE INTO t SELECT id + 1000, 'x' FROM t";
    run_command(flavor, sandbox.app(), by_command);
    source
        .run("REPLACE INTO t SELECT id + 2000, 'y' FROM t")
        .await;

    let count = expected.len() as u64 + 2;
    let status = sandbox
        .status_until("all are judged", SOON, |status| {
            status.number("binlog.unsafe_statements") == count
                && status.text("binlog.source_format") == "statement"
        })
        .await;
    assert_eq!(status.text("binlog.format"), "statement");
    let by = |reason: &str| format!("ackline_unsafe_statements_total{{reason=\"{reason}\"}}");
    let functions = expected
        .iter()
        .filter(|(_, reasons)| reasons == &["system-function"])
        .count();
    assert_eq!(
        metric(&sandbox, &by("system-function")).await,
        Some(functions as f64)
    );
    assert_eq!(metric(&sandbox, &by("limit")).await, Some(1.0));
    assert!(metric(&sandbox, "ackline_judged_statements_total").await > Some(count as f64));
    assert_eq!(
        metric(&sandbox, "ackline_source_format_differs").await,
        Some(0.0)
    );
    let log = sandbox.proxy_log();
    let first = &expected[0].0;
    let line = log
        .lines()
        .find(|line| line.contains("an unsafe statement was logged"))
        .unwrap();
    assert!(
        line.contains(first) && line.contains("system-function"),
        "{line}"
    );
    // One line for each reason, however many there are.
    let lines = log
        .lines()
        .filter(|line| line.contains("an unsafe statement was logged"));
    assert!(lines.count() < expected.len(), "{log}");

    // Origins follow a moment later.
    wait_until("the origins are written", SOON, async || {
        let lines = audit(&sandbox).lines;
        match lines.iter().filter(|line| line["origin"].is_null()).count() {
            1 => Ok(()),
            missing => Err(format!("{missing} have none")),
        }
    })
    .await;

    // The same from the files; the proxy need not run.
    for running in [true, false] {
        if !running {
            sandbox.kill(Part::Proxy);
        }
        let audit = audit(&sandbox);
        assert_eq!(audit.status, 1, "{}", audit.error);
        assert!(
            audit.error.contains(&format!("{count} of ")),
            "{}",
            audit.error
        );
        let found: Vec<(String, Vec<&str>)> = audit
            .lines
            .iter()
            .map(|line| {
                let reasons = line["reasons"].as_array().unwrap();
                (
                    line["gtid"].as_str().unwrap().to_owned(),
                    reasons
                        .iter()
                        .map(|reason| reason.as_str().unwrap())
                        .collect(),
                )
            })
            .collect();
        assert_eq!(found[..expected.len()], expected);
        assert_eq!(audit.lines[0]["culprit"], "UUID");
        assert_eq!(
            audit.lines[0]["origin"]["user"],
            sandbox.app().user.as_str()
        );
        assert_eq!(
            audit.lines[0]["origin"]["connection"],
            audit.lines[0]["connection"]
        );
        let client = audit.lines[0]["origin"]["client"].as_str().unwrap();
        assert!(client.starts_with("127.0.0.1:"), "{client}");
        let (first_ones, last_ones) = audit.lines.split_at(expected.len());
        assert!(first_ones.iter().all(|line| line["origin"].is_object()));
        assert_eq!(last_ones[0]["origin"]["program"], "mysql");
        assert!(last_ones[1]["origin"].is_null(), "{last_ones:?}");
        assert_eq!(
            audit.lines[0]["statement"],
            "INSERT INTO t VALUES (4, CONCAT('…', UUID()))"
        );
        assert!(
            audit.text.contains(first) && !audit.text.contains("secret"),
            "{}",
            audit.text
        );
        assert!(!log.contains("secret"));
    }
}

async fn a_source_that_logs_otherwise_is_reported(flavor: Flavor) {
    let sandbox = with_format(flavor, "row").await;
    let mut source = sandbox.source().connect().await;
    assert_eq!(source.value("SELECT @@global.binlog_format").await, "ROW");
    let all_is_well = |status: &support::Status| {
        status.list("problems").is_empty() && status.text("binlog.source_format") == "row"
    };
    sandbox
        .status_until("nothing is wrong", SOON, all_is_well)
        .await;

    // By somebody who goes to the source itself; through us it is refused.
    let mut app = sandbox.app().connect().await;
    let refused = app.try_run("SET GLOBAL binlog_format = 'MIXED'").await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("ackline: Access denied")
    );
    let statements = match flavor {
        Flavor::MariaDb => "binlog_annotate_row_events",
        Flavor::MySql => "binlog_rows_query_log_events",
    };
    source.run("SET GLOBAL binlog_format = 'MIXED'").await;
    source.run(&format!("SET GLOBAL {statements} = OFF")).await;
    let status = sandbox
        .status_until("it is reported", SOON, |status| {
            status.list("problems").len() == 2
        })
        .await;
    assert_eq!(status.text("binlog.format"), "row");
    assert_eq!(status.text("binlog.source_format"), "mixed");
    assert!(
        status.list("problems")[0].contains("binlog_format is MIXED"),
        "{status}"
    );
    assert_eq!(
        metric(&sandbox, "ackline_source_format_differs").await,
        Some(1.0)
    );
    sandbox
        .logged("the source's binlog_format is MIXED and [binlog] format is \"row\"")
        .await;

    let doctor = sandbox.ackline(&["doctor", "--fix"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        said.contains("done: SET GLOBAL binlog_format=ROW"),
        "{said}"
    );
    assert!(
        said.contains(&format!("done: SET GLOBAL {statements}=ON")),
        "{said}"
    );
    sandbox
        .status_until("it is as asked again", SOON, all_is_well)
        .await;
    sandbox
        .logged("the source logs as it is asked to again")
        .await;
    let log = sandbox.proxy_log();
    assert_eq!(
        log.matches("the source's binlog_format is MIXED").count(),
        1,
        "{log}"
    );
}

/// MariaDB only: on MySQL the same privilege is needed to serve at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_may_not_is_served_and_told() {
    let sandbox = Sandbox::of(Flavor::MariaDb).await;
    let mut source = sandbox.source().connect().await;
    let account =
        "SELECT CONCAT('`', User, '`@`', Host, '`') FROM mysql.user WHERE User = 'ackline'";
    let account = source.value(account).await;
    // On 10.11 SUPER is enough for it.
    source
        .run(&format!("REVOKE BINLOG ADMIN, SUPER ON *.* FROM {account}"))
        .await;
    sandbox.stop(Part::Proxy);
    set_format(&sandbox, "statement");
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let status = sandbox
        .status_until("it is reported", SOON, |status| {
            !status.list("problems").is_empty()
        })
        .await;
    assert_eq!(status.text("binlog.source_format"), "mixed");
    sandbox
        .logged("does not let us SET GLOBAL binlog_format=STATEMENT")
        .await;
    let doctor = sandbox.ackline(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        said.contains("SET GLOBAL binlog_format=STATEMENT;"),
        "{said}"
    );
    assert!(said.contains("GRANT BINLOG ADMIN"), "{said}");
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE t (a INT PRIMARY KEY)").await;
}

/// What a warning of the server says, as a reason of ours.
const SAID: [(&str, &str); 8] = [
    ("uses a LIMIT clause", "limit"),
    ("uses a system function", "system-function"),
    ("REPLACE... SELECT", "replace-select"),
    ("INSERT IGNORE... SELECT", "insert-ignore-select"),
    (
        "after selecting from another table",
        "auto-increment-select",
    ),
    (
        "invokes a trigger or a stored function",
        "auto-increment-inside",
    ),
    (
        "not the first part in the composed",
        "auto-increment-not-first",
    ),
    ("more than one UNIQUE KEY", "several-unique-keys"),
];

/// By warning 1592 of the last statement.
async fn warned(app: &mut support::Database) -> BTreeSet<String> {
    let rows: Vec<(String, u16, String)> = app.rows("SHOW WARNINGS").await;
    let warnings = rows.into_iter().filter(|(_, code, _)| *code == 1592);
    let reasons = warnings.map(|(_, _, message)| {
        let reason = SAID.iter().find(|(said, _)| message.contains(said));
        reason.map_or(message.clone(), |(_, reason)| (*reason).to_owned())
    });
    reasons.collect()
}

struct Judged {
    statements: u64,
    by_reason: BTreeMap<String, u64>,
}

async fn judged(sandbox: &Sandbox) -> Judged {
    let page = sandbox.request("GET", "/metrics", "").await.unwrap().body;
    let mut judged = Judged {
        statements: 0,
        by_reason: BTreeMap::new(),
    };
    for line in page.lines() {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let value = || value.parse::<f64>().unwrap() as u64;
        let by = "ackline_unsafe_statements_total{reason=\"";
        if name == "ackline_judged_statements_total" {
            judged.statements = value();
        } else if let Some(reason) = name.strip_prefix(by) {
            let reason = reason.trim_end_matches("\"}").to_owned();
            judged.by_reason.insert(reason, value());
        }
    }
    judged
}

/// The reasons that the proxy finds in one statement, and those that the server warns of.
async fn both(
    sandbox: &Sandbox,
    app: &mut support::Database,
    statement: &str,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let before = judged(sandbox).await;
    app.run(statement).await;
    let warned = warned(app).await;
    wait_until("it is judged", SOON, async || {
        match judged(sandbox).await.statements {
            now if now == before.statements + 1 => Ok(()),
            now => Err(format!("{statement}: {now} after {}", before.statements)),
        }
    })
    .await;
    let after = judged(sandbox).await.by_reason;
    let found = after
        .into_iter()
        .filter(|(reason, count)| before.by_reason.get(reason).copied().unwrap_or(0) < *count)
        .map(|(reason, _)| reason);
    (found.collect(), warned)
}

async fn the_schema_is_asked_for(flavor: Flavor) {
    let sandbox = with_format(flavor, "statement").await;
    let database = sandbox.app().database.clone().unwrap();
    let mut source = sandbox.source().connect().await;
    source.run(&format!("USE {database}")).await;
    let account =
        "SELECT CONCAT('`', User, '`@`', Host, '`') FROM mysql.user WHERE User = 'ackline'";
    let account = source.value(account).await;
    let schema = "SELECT, SHOW VIEW, TRIGGER ON *.*";
    source.run(&format!("REVOKE {schema} FROM {account}")).await;
    for statement in [
        "CREATE TABLE ai (id INT AUTO_INCREMENT PRIMARY KEY, b VARCHAR(99)) ENGINE=InnoDB",
        "CREATE TABLE src (id INT PRIMARY KEY, b VARCHAR(99)) ENGINE=InnoDB",
        "CREATE TABLE one (a INT PRIMARY KEY, b INT) ENGINE=InnoDB",
        "CREATE TABLE two (a INT PRIMARY KEY, b INT UNIQUE, c INT) ENGINE=InnoDB",
        "CREATE TABLE au (id INT AUTO_INCREMENT PRIMARY KEY, b INT UNIQUE, c INT) ENGINE=InnoDB",
        "CREATE TABLE fired (a INT PRIMARY KEY) ENGINE=InnoDB",
        "CREATE TABLE changed (a INT PRIMARY KEY) ENGINE=InnoDB",
        "CREATE TRIGGER fires AFTER INSERT ON fired FOR EACH ROW INSERT INTO ai (b) VALUES ('t')",
        "CREATE TRIGGER changes BEFORE UPDATE ON changed FOR EACH ROW BEGIN \
           IF NEW.a > 1 THEN SET @slept = SLEEP(0); ELSE INSERT INTO ai (b) VALUES ('t'); END IF; END",
        "CREATE VIEW chosen AS SELECT id, b FROM src ORDER BY id LIMIT 1",
        "CREATE VIEW plain AS SELECT id, b FROM src",
        "CREATE FUNCTION makes() RETURNS VARCHAR(64) DETERMINISTIC RETURN UUID()",
        "CREATE FUNCTION same() RETURNS VARCHAR(64) DETERMINISTIC RETURN 'same'",
        "CREATE FUNCTION asks() RETURNS VARCHAR(64) DETERMINISTIC READS SQL DATA \
           RETURN (SELECT MAX(b) FROM src)",
        "CREATE FUNCTION numbers() RETURNS INT DETERMINISTIC MODIFIES SQL DATA \
           BEGIN INSERT INTO ai (b) VALUES ('f'); RETURN 1; END",
        "INSERT INTO src VALUES (1, 'a'), (2, 'b')",
    ] {
        source.run(statement).await;
    }
    let mut app = sandbox.app().connect().await;

    wait_until(
        "what stands before is judged",
        SOON,
        async || match judged(&sandbox).await.statements {
            1 => Ok(()),
            other => Err(format!("{other}")),
        },
    )
    .await;

    // Our account sees no tables yet: nothing is found, and that is said.
    let selects = "INSERT INTO ai (b) SELECT b FROM src";
    let (found, warned) = both(&sandbox, &mut app, selects).await;
    assert_eq!(found, BTreeSet::new());
    assert_eq!(warned, BTreeSet::from(["auto-increment-select".to_owned()]));
    sandbox
        .logged("our account may not see all of the source's schema")
        .await;
    let unjudged = "ackline_schema_unjudged_statements_total";
    let before = metric(&sandbox, unjudged).await;
    assert!(before > Some(0.0), "{before:?}");
    source.run(&format!("GRANT {schema} TO {account}")).await;

    let by_mysql = |reason| match flavor {
        Flavor::MariaDb => "",
        Flavor::MySql => reason,
    };
    let mut wrong = Vec::new();
    for (statement, expected) in [
        ("INSERT INTO ai (b) VALUES ('x'), (UPPER('y'))", ""),
        (selects, "auto-increment-select"),
        (
            "INSERT INTO ai (b) SELECT b FROM plain ORDER BY id",
            "auto-increment-select",
        ),
        ("INSERT INTO ai (b) SELECT 'x'", ""),
        ("INSERT INTO one SELECT id, id FROM src", ""),
        (
            "INSERT INTO ai (b) VALUES ((SELECT MAX(b) FROM src))",
            "auto-increment-select",
        ),
        (
            "INSERT INTO ai (b) VALUES (asks())",
            "auto-increment-select",
        ),
        (
            "UPDATE ai SET b = (SELECT MAX(b) FROM src)",
            "auto-increment-select",
        ),
        (
            "UPDATE ai JOIN src ON ai.id = src.id SET ai.b = src.b",
            "auto-increment-select",
        ),
        ("UPDATE ai JOIN src ON ai.id = src.id SET src.b = 'z'", ""),
        (
            "DELETE FROM ai WHERE id IN (SELECT id + 1 FROM src)",
            "auto-increment-select",
        ),
        (
            "REPLACE INTO ai (b) SELECT b FROM src",
            "auto-increment-select replace-select",
        ),
        (
            "INSERT INTO one VALUES (1, 5) ON DUPLICATE KEY UPDATE b = 5",
            "",
        ),
        (
            "INSERT INTO two VALUES (1, 1, 1) ON DUPLICATE KEY UPDATE c = 1",
            "several-unique-keys",
        ),
        (
            "INSERT INTO two (a, c) VALUES (2, 1) ON DUPLICATE KEY UPDATE c = 1",
            by_mysql("several-unique-keys"),
        ),
        (
            "INSERT INTO two (a, c) VALUES (3, 1) ON DUPLICATE KEY UPDATE b = 33",
            "several-unique-keys",
        ),
        (
            "INSERT INTO au (b, c) VALUES (1, 1) ON DUPLICATE KEY UPDATE c = 1",
            "several-unique-keys",
        ),
        (
            "INSERT INTO au VALUES (NULL, 2, 1) ON DUPLICATE KEY UPDATE c = 1",
            "several-unique-keys",
        ),
        (
            "INSERT INTO au (c) VALUES (9) ON DUPLICATE KEY UPDATE c = 1",
            by_mysql("several-unique-keys"),
        ),
        (
            "INSERT INTO au VALUES (70, 3, 1) ON DUPLICATE KEY UPDATE c = 1",
            "several-unique-keys",
        ),
        ("INSERT IGNORE INTO two VALUES (1, 1, 1)", ""),
        ("REPLACE INTO two VALUES (1, 1, 2)", ""),
        ("INSERT INTO fired VALUES (1)", "auto-increment-inside"),
        ("UPDATE fired SET a = 2", ""),
        ("INSERT INTO changed VALUES (1)", ""),
        (
            "UPDATE changed SET a = 2",
            "auto-increment-inside system-function",
        ),
        ("INSERT INTO one SELECT id + 100, id FROM chosen", "limit"),
        ("INSERT INTO src VALUES (50, makes())", "system-function"),
        ("INSERT INTO src VALUES (51, same())", ""),
        (
            "INSERT INTO one VALUES (60, numbers())",
            "auto-increment-inside",
        ),
    ] {
        let (found, warned) = both(&sandbox, &mut app, statement).await;
        let expected: BTreeSet<String> = expected.split_whitespace().map(str::to_owned).collect();
        if found != warned || found != expected {
            wrong.push(format!(
                "{statement}\n  we: {found:?}\n  it: {warned:?}\n  expected: {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(metric(&sandbox, unjudged).await, before);

    // What a definition changes is asked for anew.
    let upsert = "INSERT INTO one VALUES (1, 6) ON DUPLICATE KEY UPDATE b = 6";
    both(&sandbox, &mut app, "DELETE FROM one WHERE a > 1").await;
    for (definition, expected) in [
        (
            "ALTER TABLE one ADD UNIQUE second (b)",
            &["several-unique-keys"][..],
        ),
        ("ALTER TABLE one DROP INDEX second", &[]),
    ] {
        source.run(definition).await;
        let (found, warned) = both(&sandbox, &mut app, upsert).await;
        assert!(found.iter().eq(expected), "{definition}: {found:?}");
        assert_eq!(found, warned, "{definition}");
    }

    // The files have no schema, and the command says so.
    let audit = audit(&sandbox);
    assert!(
        audit.text.contains("judged by their text alone"),
        "{}",
        audit.text
    );
    let schemas = ["several-unique-keys", "auto-increment-select"];
    assert!(!schemas.iter().any(|reason| audit.text.contains(reason)));
}
