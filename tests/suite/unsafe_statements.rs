//! What src/sql/unsafe_statement/mod.rs says of a statement, compared with what real servers warn of when they
//! log it in STATEMENT format: the corpus of tests/unsafe_statements.txt, every function that a server's
//! help knows, every variable, every table of `mysql`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::support::{mysql, session};
use ackline::ids::Flavor;
use ackline::sql::Server;
use ackline::sql::lexer::Backslash;
use ackline::sql::unsafe_statement::{Reading, Unsafe, judge};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};

const CORPUS: &str = include_str!("../unsafe_statements.txt");

const TABLES: [&str; 18] = [
    "CREATE DATABASE d",
    "USE d",
    "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, b VARCHAR(300)) ENGINE=InnoDB",
    "CREATE TABLE u (id INT PRIMARY KEY, b VARCHAR(300)) ENGINE=InnoDB",
    "CREATE TABLE k (a INT PRIMARY KEY, b INT UNIQUE) ENGINE=InnoDB",
    "CREATE TABLE kv (k INT, value INT) ENGINE=InnoDB",
    "CREATE TABLE n (a INT, b VARCHAR(300)) ENGINE=InnoDB",
    "CREATE TABLE src (id INT, b VARCHAR(300)) ENGINE=InnoDB",
    "CREATE TABLE version (a INT) ENGINE=InnoDB",
    "CREATE TABLE uuid (a INT) ENGINE=InnoDB",
    "CREATE TABLE tr (a INT) ENGINE=InnoDB",
    "CREATE TRIGGER fills AFTER INSERT ON tr FOR EACH ROW INSERT INTO t (b) VALUES ('x')",
    "INSERT INTO src VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "INSERT INTO n VALUES (1, 'q')",
    "INSERT INTO u VALUES (10, 'q')",
    "CREATE VIEW v AS SELECT * FROM src LIMIT 1",
    "CREATE FUNCTION fn() RETURNS VARCHAR(64) RETURN UUID()",
    "CREATE FUNCTION fsafe() RETURNS VARCHAR(64) DETERMINISTIC NO SQL RETURN 'x'",
];

/// What a warning says, as a reason of ours.
const SAID: [(&str, Unsafe); 15] = [
    ("uses a LIMIT clause", Unsafe::Limit),
    ("uses a system function", Unsafe::SystemFunction),
    ("uses a system variable", Unsafe::SystemVariable),
    ("uses the general log, slow query log", Unsafe::SystemTable),
    ("depending on ACL table", Unsafe::AclTable),
    ("INSERT IGNORE... SELECT", Unsafe::InsertIgnoreSelect),
    (
        "INSERT... SELECT... ON DUPLICATE KEY",
        Unsafe::InsertSelectUpdate,
    ),
    ("REPLACE... SELECT", Unsafe::ReplaceSelect),
    ("CREATE... IGNORE SELECT", Unsafe::CreateIgnoreSelect),
    ("CREATE... REPLACE SELECT", Unsafe::CreateReplaceSelect),
    (
        "CREATE TABLE... SELECT...  on a table with an auto-increment",
        Unsafe::CreateSelectAutoIncrement,
    ),
    ("UPDATE IGNORE is unsafe", Unsafe::UpdateIgnore),
    ("SKIP LOCKED", Unsafe::SkipLocked),
    ("NOWAIT", Unsafe::NoWait),
    ("inside a XA transaction", Unsafe::Xa),
];

/// Those that no text tells.
const TAKES_THE_SCHEMA: [&str; 4] = [
    "nontransactional table",
    "on a table with more than one UNIQUE KEY",
    "Statements writing to a table with an auto-increment column after selecting",
    "invokes a trigger or a stored function",
];

/// A server, asked directly.
struct Oracle {
    server: Server,
    conn: Conn,
    compared: usize,
    wrong: String,
}

/// How much more may be said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    None,
    ByTheServer,
    ByUs,
}

impl Oracle {
    async fn new(flavor: Flavor, port: u16) -> Self {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(port)
            .user(Some(session::USER))
            .pass(Some(session::PASSWORD))
            .prefer_socket(false);
        let mut conn = Conn::new(options).await.unwrap();
        let version: String = conn.query_first("SELECT @@version").await.unwrap().unwrap();
        for statement in TABLES {
            let done = conn.query_drop(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        if flavor == Flavor::MariaDb {
            conn.query_drop("CREATE SEQUENCE s").await.unwrap();
        }
        for statement in ["SET binlog_format=STATEMENT", "SET max_error_count=65535"] {
            conn.query_drop(statement).await.unwrap();
        }
        Self {
            server: Server::of(flavor, &version),
            conn,
            compared: 0,
            wrong: String::new(),
        }
    }

    /// The reasons that the server names; None where it does not run the statement.
    async fn warned(&mut self, text: &str) -> Option<BTreeSet<Unsafe>> {
        self.conn.query_drop("BEGIN").await.unwrap();
        let ran = self.conn.query_drop(text).await.is_ok();
        let rows: Vec<Row> = self.conn.query("SHOW WARNINGS").await.unwrap();
        self.conn.query_drop("ROLLBACK").await.unwrap();
        if !ran {
            return None;
        }
        let mut reasons = BTreeSet::new();
        for row in rows {
            let (_, code, message): (String, u16, String) = mysql_async::from_row(row);
            if code != 1592 || TAKES_THE_SCHEMA.iter().any(|said| message.contains(said)) {
                continue;
            }
            let reason = SAID.iter().find(|(said, _)| message.contains(said));
            reasons.insert(reason.unwrap_or_else(|| panic!("{text}: {message}")).1);
        }
        Some(reasons)
    }

    async fn compare(&mut self, text: &str, more: More) -> bool {
        let Some(warned) = self.warned(text).await else {
            return false;
        };
        let reading = Reading {
            server: self.server,
            backslash: Backslash::Escapes,
            ignores_space: false,
        };
        let (_, verdict) = judge(reading, text.as_bytes());
        let told: BTreeSet<Unsafe> = verdict.reasons.iter().collect();
        let fits = match more {
            More::None => told == warned,
            More::ByTheServer => told.is_subset(&warned),
            More::ByUs => told.is_superset(&warned),
        };
        self.compared += 1;
        if !fits {
            let _ = writeln!(self.wrong, "{text}\n  we: {told:?}\n  it: {warned:?}");
        }
        true
    }

    async fn corpus(&mut self, file: &Path) -> BTreeSet<&'static str> {
        let mut refused = BTreeSet::new();
        for line in CORPUS.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (more, text) = match line.as_bytes()[0] {
                b'~' => (More::ByTheServer, &line[1..]),
                b'+' => (More::ByUs, &line[1..]),
                _ => (More::None, line),
            };
            let text = text.replace("@FILE@", file.to_str().unwrap());
            if !self.compare(&text, more).await {
                refused.insert(line);
            }
            let clean = match () {
                () if text.contains(" c1") => "DROP TABLE IF EXISTS c1",
                () => continue,
            };
            let _ = self.conn.query_drop("DROP VIEW IF EXISTS c1").await;
            self.conn.query_drop(clean).await.unwrap();
        }
        refused
    }

    /// Each with several lists of arguments, one of which will be right.
    async fn functions(&mut self) {
        let names = match self.server.flavor {
            Flavor::MariaDb => {
                "SELECT FUNCTION FROM information_schema.SQL_FUNCTIONS \
                 UNION SELECT WORD FROM information_schema.KEYWORDS"
            }
            Flavor::MySql => {
                "SELECT CONVERT(name USING utf8mb4) FROM mysql.help_topic \
                 UNION SELECT CONVERT(WORD USING utf8mb4) FROM information_schema.KEYWORDS"
            }
        };
        let names: Vec<String> = self.conn.query(names).await.unwrap();
        let mut called = 0;
        for name in names {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if !name.bytes().all(is_name) {
                continue;
            }
            for arguments in [
                "()",
                "",
                "(1)",
                "(1, 1)",
                "(1, 1, 1)",
                "('a')",
                "('a', 'a')",
            ] {
                let call = format!("{name}{arguments}");
                let first = format!("INSERT INTO n VALUES (1, IF(0, {call}, 'x'))");
                // Where the types do not fit.
                let second =
                    format!("INSERT INTO n SELECT 1, 'x' FROM src WHERE 1 OR ({call}) IS NULL");
                if self.compare(&first, More::None).await || self.compare(&second, More::None).await
                {
                    called += 1;
                }
            }
        }
        assert!(called > 300, "{called}");
    }

    async fn variables(&mut self) {
        let names: Vec<(String, String)> = self.conn.query("SHOW VARIABLES").await.unwrap();
        for (name, _) in names {
            for scope in ["", "session.", "global."] {
                let text = format!("INSERT INTO n SELECT 1, IF(@@{scope}{name} IS NULL, 'a', 'b')");
                self.compare(&text, More::None).await;
            }
        }
    }

    async fn tables(&mut self) {
        let tables = "SELECT CONVERT(TABLE_NAME USING utf8mb4) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mysql'";
        let names: Vec<String> = self.conn.query(tables).await.unwrap();
        for name in names {
            let text = format!("INSERT INTO n SELECT 1, COUNT(*) FROM mysql.{name}");
            // MariaDB's mysql.user is a view.
            self.compare(&text, More::None).await;
        }
    }

    async fn everything(mut self, folder: &Path) -> BTreeSet<&'static str> {
        let began = Instant::now();
        let file = folder.join("rows");
        std::fs::write(&file, "50\tfive\n").unwrap();
        let refused = self.corpus(&file).await;
        self.functions().await;
        self.variables().await;
        self.tables().await;
        let flavor = self.server.flavor;
        println!(
            "{flavor}: {} statements in {:?}",
            self.compared,
            began.elapsed()
        );
        assert!(self.wrong.is_empty(), "{flavor}:\n{}", self.wrong);
        refused
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_name_what_the_servers_name() {
    let server = session::Server::start(&[
        "--secure-file-priv=",
        "--log-bin-trust-function-creators=1",
        "--sync-binlog=0",
        "--innodb-flush-log-at-trx-commit=0",
        "--log-warnings=0",
    ]);
    let oracle = Oracle::new(Flavor::MariaDb, server.port).await;
    let mut refused = oracle.everything(&server.folder()).await;
    drop(server);

    let Some(programs) = mysql::programs("we_name_what_the_servers_name (MySQL)") else {
        return;
    };
    let server = session::Server::start_mysql_with(
        &programs,
        &[
            "--log-bin-trust-function-creators=1",
            "--log-error-verbosity=1",
        ],
    );
    let mut oracle = Oracle::new(Flavor::MySql, server.port).await;
    // Whatever it is, it is unsafe there.
    let text = "INSERT INTO n VALUES (1, 'x')";
    oracle.conn.query_drop("XA START 'x'").await.unwrap();
    oracle.conn.query_drop(text).await.unwrap();
    let rows: Vec<(String, u16, String)> = oracle.conn.query("SHOW WARNINGS").await.unwrap();
    assert!(
        rows.iter().any(|row| row.2.contains("XA transaction")),
        "{rows:?}"
    );
    oracle.conn.query_drop("XA END 'x'").await.unwrap();
    oracle.conn.query_drop("XA ROLLBACK 'x'").await.unwrap();

    let by_mysql = oracle.everything(&server.folder()).await;
    refused.retain(|line| by_mysql.contains(line));
    // They are there to be read, not to be run.
    let nobody: Vec<_> = refused.into_iter().collect();
    println!("run by neither: {nobody:#?}");
}
