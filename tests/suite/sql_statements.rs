//! What src/sql/statement tells from the words of a statement, compared with what real servers do: each
//! statement of tests/statements.txt is run in an open transaction that holds a row (is it committed?),
//! and without one (does it reach the binlog? what does the session carry afterwards?).
//!
//! The tables of answers that may be more than what the server does are in src/sql/statement/mod.rs; "~" in
//! the corpus marks where they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{free_port, mysql, session};
use ackline::ids::Flavor;
use ackline::sql::lexer::Backslash;
use ackline::sql::statement::statements;
use ackline::sql::{Access, Server, States, Transaction};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};

const CORPUS: &str = include_str!("../statements.txt");
/// A statement that hangs would be a mistake in the corpus.
const HANGS: Duration = Duration::from_secs(20);

/// A line of the corpus.
#[derive(Debug)]
struct Line {
    /// The server does less than the classification says.
    writes_less: bool,
    commits_less: bool,
    fails: bool,
    setup: Vec<String>,
    text: String,
}

fn lines(section: &str, file: &Path) -> Vec<Line> {
    let mut in_section = false;
    let mut found = Vec::new();
    for line in CORPUS.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            in_section = name == "both" || name == section;
        } else if in_section && !line.is_empty() && !line.starts_with('#') {
            let columns: Vec<&str> = line.split(" | ").collect();
            let (text, columns) = columns.split_last().unwrap();
            let (text, setup) = text.split_once(" ;; ").unwrap_or((text, ""));
            found.push(Line {
                writes_less: columns[0].ends_with('~'),
                commits_less: columns[1].ends_with('~'),
                fails: text.starts_with('!'),
                setup: setup
                    .split("; ")
                    .filter(|statement| !statement.is_empty())
                    .map(str::to_owned)
                    .collect(),
                text: text
                    .trim_start_matches('!')
                    .replace("@FILE@", file.to_str().unwrap()),
            });
        }
    }
    found
}

/// Everything that the statements of the corpus speak of.
const TABLES: [&str; 22] = [
    "DROP DATABASE IF EXISTS corpus",
    "DROP DATABASE IF EXISTS corpus2",
    "CREATE DATABASE corpus",
    "USE corpus",
    "CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(100)) ENGINE=InnoDB",
    "CREATE TABLE u LIKE t",
    "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
    "INSERT INTO u VALUES (1, 'x'), (2, 'y')",
    "CREATE VIEW v AS SELECT a FROM t",
    "CREATE FUNCTION writes() RETURNS INT BEGIN INSERT INTO u VALUES (100, 'f'); RETURN 1; END",
    "CREATE FUNCTION counts() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM u)",
    "CREATE PROCEDURE does() INSERT INTO u VALUES (200, 'p')",
    "CREATE PROCEDURE commits() BEGIN INSERT INTO u VALUES (300, 'c'); COMMIT; END",
    "CREATE PROCEDURE sets() SET @inside = 5, sort_buffer_size = 262144",
    "DROP USER IF EXISTS u1, u8, u9@localhost",
    "DROP ROLE IF EXISTS r1, r9",
    "CREATE USER u1",
    "CREATE ROLE r1",
    "GRANT r1 TO root@localhost",
    "CREATE DATABASE IF NOT EXISTS probe",
    "CREATE TABLE IF NOT EXISTS probe.rows_seen (id INT PRIMARY KEY)",
    "SET GLOBAL sort_buffer_size = DEFAULT",
];

/// A server, asked directly.
struct Oracle {
    server: Server,
    options: OptsBuilder,
    /// Looks at what the others do.
    watcher: Conn,
    next: u32,
    /// Something of [`TABLES`] may have changed.
    dirty: bool,
}

impl Oracle {
    async fn new(flavor: Flavor, port: u16) -> Self {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(port)
            .user(Some("root"))
            .prefer_socket(false)
            .max_allowed_packet(Some(1 << 24))
            .wait_timeout(Some(28_800));
        let mut watcher = Conn::new(options.clone()).await.unwrap();
        let version: String = watcher
            .query_first("SELECT @@version")
            .await
            .unwrap()
            .unwrap();
        Self {
            server: Server::of(flavor, &version),
            options,
            watcher,
            next: 0,
            dirty: true,
        }
    }

    async fn position(&mut self) -> String {
        let query = match self.server.flavor {
            Flavor::MariaDb => "SELECT @@global.gtid_binlog_pos",
            Flavor::MySql => "SELECT @@global.gtid_executed",
        };
        self.watcher.query_first(query).await.unwrap().unwrap()
    }

    async fn prepare(&mut self) {
        if std::mem::take(&mut self.dirty) {
            for statement in TABLES {
                let done = self.watcher.query_drop(statement).await;
                done.unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
            if self.server.flavor == Flavor::MariaDb {
                let sequence = "CREATE SEQUENCE corpus.s";
                self.watcher.query_drop(sequence).await.unwrap();
            }
        }
    }

    async fn session(&self, line: &Line) -> Conn {
        let mut conn = Conn::new(self.options.clone()).await.unwrap();
        conn.query_drop("USE corpus").await.unwrap();
        for statement in &line.setup {
            let done = conn.query_drop(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        conn
    }

    /// In a transaction with a row: whether others see it afterwards, and whether the session still does.
    async fn in_transaction(&mut self, line: &Line) -> (bool, Option<bool>) {
        self.prepare().await;
        self.next += 1;
        let id = self.next;
        let before = self.position().await;
        let mut conn = self.session(line).await;
        if !line.setup.iter().any(|statement| statement == "BEGIN") {
            conn.query_drop("BEGIN").await.unwrap();
        }
        let insert = format!("INSERT INTO probe.rows_seen VALUES ({id})");
        // Not in what LOCK TABLES of a setup leaves out.
        conn.query_drop(insert).await.unwrap();
        // Whether it fails here is no question: some may not be run in a transaction.
        let _ = self.run(&mut conn, line).await;
        let look = format!("SELECT COUNT(*) FROM probe.rows_seen WHERE id = {id}");
        let others: u32 = self.watcher.query_first(&look).await.unwrap().unwrap();
        let own: Option<u32> = conn.query_first(&look).await.ok().flatten();
        conn.disconnect().await.unwrap();
        self.dirty |= self.position().await != before;
        (others == 1, own.map(|count| count == 1))
    }

    async fn run(&self, conn: &mut Conn, line: &Line) -> Result<(), mysql_async::Error> {
        let done = tokio::time::timeout(HANGS, conn.query_drop(&line.text)).await;
        done.unwrap_or_else(|_| panic!("it hangs: {}", line.text))
    }

    /// Without a transaction: whether it reached the binlog, and what is left behind.
    async fn alone(&mut self, line: &Line) -> (bool, States, Option<String>) {
        self.prepare().await;
        let mut conn = self.session(line).await;
        let before = (self.position().await, self.carried(&mut conn).await);
        let done = self.run(&mut conn, line).await;
        let moved = self.position().await != before.0;
        let after = self.carried(&mut conn).await;
        conn.disconnect().await.unwrap();
        self.dirty |= moved || !line.setup.is_empty();
        let error = done.err().map(|error| error.to_string());
        (moved, difference(&before.1, &after), error)
    }

    /// What can be asked of a session's state.
    async fn carried(&self, conn: &mut Conn) -> BTreeMap<String, String> {
        let mut carried = BTreeMap::new();
        let mut queries = vec![
            "SELECT 'database', DATABASE()",
            "SELECT 'role', CURRENT_ROLE()",
            "SELECT 'named_locks', IS_USED_LOCK('l') <=> CONNECTION_ID()",
        ];
        match self.server.flavor {
            Flavor::MariaDb => queries.extend([
                "SELECT 'transaction', @@in_transaction",
                "SELECT CONCAT('@', VARIABLE_NAME), VARIABLE_VALUE \
                 FROM information_schema.USER_VARIABLES",
                "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.SESSION_VARIABLES",
            ]),
            Flavor::MySql => queries.extend([
                "SELECT CONCAT('@', VARIABLE_NAME), VARIABLE_VALUE \
                 FROM performance_schema.user_variables_by_thread \
                 WHERE THREAD_ID = PS_CURRENT_THREAD_ID()",
                "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.session_variables",
            ]),
        }
        for query in queries {
            // Tables may be locked: then nothing can be asked.
            let rows: Vec<Row> = conn.query(query).await.unwrap_or_default();
            for row in rows {
                let (name, value): (String, Option<String>) = mysql_async::from_row(row);
                carried.insert(name.to_ascii_lowercase(), value.unwrap_or_default());
            }
        }
        carried
    }
}

fn difference(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> States {
    /// They change by themselves, or with every statement.
    const RESTLESS: [&str; 16] = [
        "timestamp",
        "last_insert_id",
        "identity",
        "insert_id",
        "warning_count",
        "error_count",
        "rand_seed1",
        "rand_seed2",
        "last_gtid",
        "in_transaction",
        "gtid_binlog_pos",
        "gtid_binlog_state",
        "gtid_current_pos",
        "gtid_executed",
        "statement_id",
        "gtid_slave_pos",
    ];
    let mut states = States::NONE;
    for (name, value) in after {
        if before.get(name) == Some(value) || RESTLESS.contains(&name.as_str()) {
            continue;
        }
        // Locked tables: it could not be asked before or after.
        if before.len() < 10 || after.len() < 10 {
            continue;
        }
        let state = match name.as_str() {
            "database" => States::DATABASE,
            "role" => States::ROLE,
            "named_locks" => States::NAMED_LOCKS,
            "transaction" => States::TRANSACTION,
            "tx_isolation" | "transaction_isolation" | "tx_read_only" | "transaction_read_only" => {
                States::ISOLATION
            }
            // Follows the database, where that has another one.
            "character_set_database" | "collation_database" => States::NONE,
            user if user.starts_with('@') => States::USER_VARIABLES,
            // Those of the server are among them.
            _ => States::VARIABLES,
        };
        states = states.and(state);
    }
    states
}

/// What the words say of all statements of a text together.
struct Told {
    writes: Option<bool>,
    commits: Option<bool>,
    rolls_back: bool,
    leaves: States,
    changes_server: bool,
}

fn told(server: Server, text: &str) -> Told {
    let all: Vec<_> = statements(server, text.as_bytes(), Backslash::Escapes).collect();
    let access = all.iter().map(|statement| statement.access).max();
    let any = |wanted: &[Transaction]| {
        all.iter()
            .any(|statement| wanted.contains(&statement.transaction))
    };
    let leaves =
        |states: States, statement: &ackline::sql::Statement<'_>| states.and(statement.leaves);
    Told {
        writes: match access {
            Some(Access::ReadOnly) => Some(false),
            Some(Access::Writes) => Some(true),
            _ => None,
        },
        commits: if any(&[Transaction::Commits, Transaction::CommitsImplicitly]) {
            Some(true)
        } else if any(&[Transaction::MayCommit]) {
            None
        } else {
            Some(false)
        },
        rolls_back: any(&[Transaction::RollsBack]),
        leaves: all.iter().fold(States::NONE, leaves),
        changes_server: access != Some(Access::ReadOnly),
    }
}

async fn compare(section: &str, oracle: &mut Oracle, folder: &Path) {
    let file = folder.join("rows");
    std::fs::write(&file, "50,five\n").unwrap();
    let lines = lines(section, &file);
    let mut wrong = String::new();
    let began = Instant::now();
    for line in &lines {
        let told = told(oracle.server, &line.text);
        let (committed, own) = oracle.in_transaction(line).await;
        let (wrote, left, error) = oracle.alone(line).await;
        let mut say = |what: &str| {
            let _ = writeln!(wrong, "{what}: {line:?}");
        };
        if error.is_some() != line.fails {
            say(&format!("the answer is {error:?}"));
        }
        match told.writes {
            Some(false) if wrote => say("it writes"),
            Some(true) if !wrote && !line.writes_less => say("does it write?"),
            _ => {}
        }
        match told.commits {
            Some(false) if committed => say("it commits"),
            Some(true) if !committed && !line.commits_less => say("does it commit?"),
            _ => {}
        }
        if told.rolls_back && own != Some(false) && !line.commits_less {
            say("does it roll back?");
        }
        if told.commits == Some(false) && !told.rolls_back && own == Some(false) {
            say("it rolls back");
        }
        let known = told.leaves.contains(States::UNKNOWN);
        let mut more = left.without(told.leaves);
        if told.changes_server {
            // SET GLOBAL shows among the variables of a session.
            more = more.without(States::VARIABLES);
        }
        if told.leaves.contains(States::ISOLATION) || told.leaves.contains(States::VARIABLES) {
            more = more.without(States::VARIABLES.and(States::ISOLATION));
        }
        if !known && !more.is_none() {
            say(&format!("it leaves {more} behind"));
        }
    }
    println!(
        "{section}: {} statements in {:?}",
        lines.len(),
        began.elapsed()
    );
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_does_what_the_words_say() {
    let server =
        session::Server::start(&["--secure-file-priv=", "--log-bin-trust-function-creators=1"]);
    let mut oracle = Oracle::new(Flavor::MariaDb, server.port).await;
    compare("mariadb", &mut oracle, &server.folder()).await;
}

/// MySQL's server, without accounts or replication.
struct Mysqld {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Mysqld {
    fn start(programs: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("statements-")
            .tempdir()
            .unwrap();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let as_user = rustix::process::geteuid()
            .is_root()
            .then_some("--user=root");
        let command = |log: &str| {
            let log = std::fs::File::create(folder.path().join(log)).unwrap();
            let mut command = Command::new(programs.join("mysqld"));
            command
                .env("TMPDIR", folder.path())
                .args(["--no-defaults", &data])
                .args(as_user)
                .stdout(Stdio::null())
                .stderr(log);
            command
        };
        let made = command("made").arg("--initialize-insecure").status();
        assert!(made.unwrap().success());
        let port = free_port();
        let process = command("log")
            .arg(format!("--socket={}", folder.path().join("s").display()))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--mysqlx=OFF",
                "--secure-file-priv=",
                "--log-bin=bin",
                "--server-id=2",
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                "--innodb-buffer-pool-size=64M",
                "--innodb-flush-log-at-trx-commit=2",
                "--sync-binlog=0",
                "--log-bin-trust-function-creators=1",
            ])
            .spawn()
            .unwrap();
        let started = Self {
            process,
            folder,
            port,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(started.folder.path().join("log"));
            assert!(Instant::now() < deadline, "{log:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        started
    }
}

impl Drop for Mysqld {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_does_what_the_words_say() {
    let Some(programs) = mysql::programs("mysql_does_what_the_words_say") else {
        return;
    };
    let server = Mysqld::start(&programs);
    let mut oracle = Oracle::new(Flavor::MySql, server.port).await;
    compare("mysql", &mut oracle, server.folder.path()).await;
}
