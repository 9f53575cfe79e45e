//! What is sent. Each step begins where the one before it left the connection. What one of the flavors
//! does not know is sent to it all the same: its error has to come through, too.

use ackline::ids::Flavor;

pub struct Step {
    pub name: String,
    pub act: Act,
    pub compare: Compare,
    /// The protocol knows no answer to it.
    pub silent: bool,
    /// So many bytes that packing them takes a while.
    pub large: bool,
}

pub enum Act {
    /// Commands, sent with one write.
    Send(Vec<Vec<u8>>),
    Prepare(&'static str),
    /// A command about the n-th statement that was prepared, counted from 1. Which number a server
    /// gives it is its own affair.
    OnStatement {
        command: u8,
        statement: u32,
        rest: Vec<u8>,
    },
    ChangeUser {
        user: &'static str,
        password: &'static str,
    },
    /// A query that asks for a file, and the file in packets.
    File {
        query: &'static str,
        content: Vec<&'static str>,
    },
}

pub enum Compare {
    All,
    /// What it says is of the moment (uptime, thread numbers): its kind only.
    Kind,
    /// The server lists what changed in the order of a hash table of addresses.
    AnyOrder,
    /// A GTID is in it: lengths only.
    Shape,
}

fn step(name: &str, act: Act) -> Step {
    Step {
        name: name.to_owned(),
        act,
        compare: Compare::All,
        silent: false,
        large: false,
    }
}

fn large(text: &str) -> Step {
    Step {
        large: true,
        ..query(text)
    }
}

fn send(name: &str, command: &[u8]) -> Step {
    step(name, Act::Send(vec![command.to_vec()]))
}

pub fn query(text: &str) -> Step {
    let name = text.chars().take(60).collect::<String>();
    send(&name, &[b"\x03", text.as_bytes()].concat())
}

fn prepare(text: &'static str) -> Step {
    step(&format!("prepare {text}"), Act::Prepare(text))
}

/// COM_STMT_EXECUTE with one BIGINT or none.
fn execute(name: &str, statement: u32, flags: u8, number: Option<i64>) -> Step {
    let mut rest = vec![flags];
    rest.extend(1u32.to_le_bytes());
    if let Some(number) = number {
        rest.extend([0, 1, 8, 0]);
        rest.extend(number.to_le_bytes());
    }
    on_statement(&format!("execute {name}"), 0x17, statement, &rest)
}

fn on_statement(name: &str, command: u8, statement: u32, rest: &[u8]) -> Step {
    let rest = rest.to_vec();
    step(
        name,
        Act::OnStatement {
            command,
            statement,
            rest,
        },
    )
}

/// A query of exactly so many bytes of payload, its answer small.
fn query_of(length: usize) -> Step {
    let (head, tail) = ("SELECT LENGTH('", "')");
    let filler = length - 1 - head.len() - tail.len();
    let mut step = query(&format!("{head}{}{tail}", "x".repeat(filler)));
    step.name = format!("a command of {length} bytes");
    step
}

const LAST: u32 = u32::MAX;

/// What the script makes, taken away.
pub const CLEAN: [&str; 4] = [
    "DROP TABLE IF EXISTS d",
    "DROP TABLE IF EXISTS f",
    "DROP PROCEDURE IF EXISTS two",
    "DROP PROCEDURE IF EXISTS fails",
];

/// A client that asks to be told of its GTIDs, and one that asks no longer.
fn told_of_gtids(flavor: Flavor) -> Vec<Step> {
    let (on, off) = match flavor {
        Flavor::MariaDb => (
            "SET session_track_system_variables = 'last_gtid,autocommit'",
            "SET session_track_system_variables = 'autocommit'",
        ),
        Flavor::MySql => (
            "SET SESSION session_track_gtids = OWN_GTID",
            "SET SESSION session_track_gtids = OFF",
        ),
    };
    let shape = |text: &str| Step {
        compare: Compare::Shape,
        ..query(text)
    };
    vec![
        query(on),
        shape("INSERT INTO d (name) VALUES ('told')"),
        query("SELECT COUNT(*) FROM d"),
        query("SET autocommit = 0"),
        query("INSERT INTO d (name) VALUES ('told later')"),
        shape("COMMIT"),
        query("SET autocommit = 1"),
        query(off),
        query("INSERT INTO d (name) VALUES ('not told')"),
    ]
}

/// MySQL's result metadata on demand; where it was not agreed on, it cannot be switched off.
fn without_metadata() -> Vec<Step> {
    vec![
        query("SET resultset_metadata = NONE"),
        query("SELECT id, name FROM d LIMIT 2"),
        query("SELECT id FROM d WHERE FALSE"),
        query("SELECT @@resultset_metadata"),
        send("field list without definitions", b"\x04d\0%"),
        query("CALL two(5, @m)"),
        query("CALL fails()"),
        query("SELECT 1 FROM d WHERE id = (SELECT id FROM d)"),
        execute("rows, prepared with definitions", 1, 0, Some(0)),
        execute("a cursor, prepared with definitions", 1, 1, Some(0)),
        on_statement("fetch without definitions", 0x1c, 1, &100u32.to_le_bytes()),
        prepare("SELECT id, name FROM d WHERE id > ? AND id < ?"),
        prepare("SELECT name, id FROM d WHERE id > ? ORDER BY id"),
        execute("rows, prepared without definitions", 7, 0, Some(0)),
        execute("no rows, prepared without definitions", 7, 0, Some(1000)),
        execute("a cursor, prepared without definitions", 7, 1, Some(0)),
        on_statement("fetch 2 without definitions", 0x1c, 7, &2u32.to_le_bytes()),
        on_statement(
            "fetch the rest without definitions",
            0x1c,
            7,
            &100u32.to_le_bytes(),
        ),
        prepare("SELECT 1, 2"),
        execute("no parameters, prepared without definitions", 8, 0, None),
        prepare("INSERT INTO d (price) VALUES (?)"),
        execute("an insert, prepared without definitions", 9, 0, Some(8)),
        prepare("DO 1"),
        prepare("CALL two(?, ?)"),
        execute("a procedure, prepared with definitions", 5, 0, Some(6)),
        // After it the proxy asks a question of its own.
        query("SET SESSION session_track_gtids = OFF"),
        query("SET resultset_metadata = FULL"),
        query("SELECT id, name FROM d LIMIT 2"),
        execute("rows with definitions again", 7, 0, Some(0)),
    ]
}

pub fn script(flavor: Flavor) -> Vec<Step> {
    let mut steps = vec![
        send("ping", b"\x0e"),
        send("init db", b"\x02shop"),
        send("init db that is not there", b"\x02nosuch"),
        query(
            "CREATE TABLE d (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20), j JSON, e ENUM('a','b'), b BLOB, at DATETIME(6), price DECIMAL(10,3))",
        ),
        query(
            "INSERT INTO d (name, j, e, b, at, price) VALUES ('one', '{}', 'a', x'00ff', '2026-01-02 03:04:05.678901', 1.5), (NULL, NULL, NULL, NULL, NULL, NULL), ('three', '[1]', 'b', '', '1000-01-01', -0.001)",
        ),
        query("SELECT * FROM d"),
        query("SELECT * FROM d WHERE FALSE"),
        query("SELECT id FROM d LIMIT 1"),
        query("UPDATE d SET name = 'one' WHERE id = 1"),
        query("UPDATE d SET name = 'uno' WHERE id = 1"),
        query("INSERT INTO d (id) VALUES (1)"),
        query("INSERT IGNORE INTO d (id, price) VALUES (9, 'much')"),
        query("SHOW WARNINGS"),
        query("SELECT 1 / 0, CAST('x' AS INT)"),
        query("SELEC 1"),
        query("SELECT * FROM nosuch"),
        query(""),
        query("-- nothing"),
        query("DO 1"),
        send("field list", b"\x04d\0%"),
        send("field list of nothing", b"\x04nosuch\0"),
        Step {
            compare: Compare::Kind,
            ..send("statistics", b"\x09")
        },
        Step {
            compare: Compare::Kind,
            ..send("process info", b"\x0a")
        },
        send("debug", b"\x0d"),
        query("SELECT 1; SELECT 2; SELEC; SELECT 3"),
        send("multi statements on", b"\x1b\0\0"),
        query("SELECT 1; INSERT INTO d (name) VALUES ('many'); SELECT * FROM nosuch; SELECT 3"),
        query("INSERT INTO d (name) VALUES ('more'); UPDATE d SET e = 'a'; SELECT ROW_COUNT()"),
        send("multi statements off", b"\x1b\x01\0"),
        query("SELECT 1; SELECT 2"),
        send("an option that is none", b"\x1b\x07\0"),
        send("a cut option", b"\x1b"),
        query("SET autocommit = 0"),
        query("INSERT INTO d (name) VALUES ('undone')"),
        query("ROLLBACK"),
        query("SET autocommit = 1"),
        query("BEGIN"),
        query("SELECT id FROM d LIMIT 1"),
        query("INSERT INTO d (name) VALUES ('kept')"),
        query("SELECT id FROM d LIMIT 1"),
        query("COMMIT"),
        query("START TRANSACTION READ ONLY"),
        query("SELECT id FROM d LIMIT 1"),
        query("INSERT INTO d (name) VALUES ('not here')"),
        query("ROLLBACK"),
        Step {
            compare: Compare::AnyOrder,
            ..query("SET NAMES latin1")
        },
        query("SELECT 'ä', @@character_set_client"),
        Step {
            compare: Compare::AnyOrder,
            ..query("SET NAMES utf8mb4")
        },
        query("USE mysql"),
        query("USE shop"),
        query("SET SESSION sql_mode = 'ANSI'"),
        query("SELECT \"id\" FROM d LIMIT 1"),
        query("SET STATEMENT max_statement_time = 10 FOR SELECT 1"),
        query("SET SESSION session_track_schema = OFF"),
        query("USE shop"),
        query("SELECT SLEEP(0), USER(), DATABASE()"),
        query(
            "SELECT CONNECTION_ID() = {id} AS mine, COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {id}",
        ),
        send("process kill of nobody", b"\x0c\xff\xff\xff\x7f"),
        query("KILL 2147483647"),
        query("KILL QUERY 2147483647"),
        query("KILL QUERY ID 2147483647"),
    ];
    steps.extend(told_of_gtids(flavor));
    steps.extend([
        // Prepared statements.
        prepare("SELECT id, name, at FROM d WHERE id > ? ORDER BY id"),
        execute("rows", 1, 0, Some(0)),
        execute("no rows", 1, 0, Some(1000)),
        execute("with a cursor", 1, 1, Some(0)),
        on_statement("fetch 2", 0x1c, 1, &2u32.to_le_bytes()),
        on_statement("fetch the rest", 0x1c, 1, &100u32.to_le_bytes()),
        on_statement("fetch too much", 0x1c, 1, &1u32.to_le_bytes()),
        on_statement("reset", 0x1a, 1, &[]),
        execute("with a cursor and no rows", 1, 1, Some(1000)),
        on_statement("fetch nothing", 0x1c, 1, &1u32.to_le_bytes()),
        prepare("INSERT INTO d (price) VALUES (?)"),
        execute("an insert", 2, 0, Some(7)),
        // MariaDB's, which MySQL does not know: two rows, the second with a NULL.
        on_statement(
            "bulk execute",
            0xfa,
            2,
            b"\x80\0\x08\0\0\x05\0\0\0\0\0\0\0\x01",
        ),
        on_statement(
            "bulk execute, a result of each row",
            0xfa,
            2,
            b"\xc0\0\x08\0\0\x05\0\0\0\0\0\0\0\x01",
        ),
        query("SELECT price FROM d ORDER BY id DESC LIMIT 2"),
        prepare("SELECT 1"),
        execute("without parameters", 3, 0, None),
        on_statement("bulk execute of a select", 0xfa, 3, b"\x80\0"),
        execute("the last one prepared", LAST, 0, None),
        prepare("SELEC"),
        prepare("SELECT ? FROM nosuch"),
        execute("a statement that is not there", 77, 0, None),
        on_statement("reset of one that is not there", 0x1a, 77, &[]),
        on_statement("fetch from one that is not there", 0x1c, 77, &[1, 0, 0, 0]),
        prepare("INSERT INTO d (b) VALUES (?)"),
        Step {
            silent: true,
            ..on_statement("long data", 0x18, 4, b"\0\0first")
        },
        Step {
            silent: true,
            ..on_statement("more long data", 0x18, 4, b"\0\0second")
        },
        on_statement(
            "execute with long data",
            0x17,
            4,
            &[0, 1, 0, 0, 0, 0, 1, 252, 0],
        ),
        query("SELECT b FROM d ORDER BY id DESC LIMIT 1"),
        Step {
            silent: true,
            ..on_statement("close", 0x19, 4, &[])
        },
        execute("a closed statement", 4, 0, None),
        send("a cut execute", b"\x17\x01\0"),
        // Procedures.
        query(
            "CREATE PROCEDURE two(IN n INT, OUT m INT) BEGIN SELECT n; SELECT n + 1, 'x'; SET m = n * 2; END",
        ),
        query("CALL two(3, @m)"),
        query("SELECT @m"),
        query("CALL two(3)"),
        prepare("CALL two(?, @m)"),
        execute("a procedure", 5, 0, Some(4)),
        query("CREATE PROCEDURE fails() BEGIN SELECT 1; SELECT * FROM nosuch; END"),
        query("CALL fails()"),
    ]);
    steps.extend(without_metadata());
    steps.extend([
        // Files.
        query("CREATE TABLE f (a INT, b INT)"),
        file(
            "LOAD DATA LOCAL INFILE 'x' INTO TABLE f FIELDS TERMINATED BY ','",
            vec!["1,2\n3,4\n", "5,6\n"],
        ),
        file(
            "LOAD DATA LOCAL INFILE 'y' INTO TABLE f FIELDS TERMINATED BY ','",
            vec!["7,8\nx,y\n"],
        ),
        file("LOAD DATA LOCAL INFILE 'refused' INTO TABLE f", vec![]),
        query("SELECT * FROM f"),
        query("LOAD DATA LOCAL INFILE 'z' INTO TABLE nosuch"),
        // Sizes.
        query_of((1 << 24) - 2),
        query_of((1 << 24) - 1),
        query_of(1 << 24),
        query_of(64 << 20),
        large("SELECT REPEAT('r', 16777210)"),
        large("SELECT REPEAT('r', 16777211), 1"),
        large("SELECT REPEAT('r', 67108864)"),
        query(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT REPEAT('r', 100) FROM n",
        ),
        // Several at once.
        step(
            "pipelined",
            Act::Send(vec![
                b"\x03SELECT 1".to_vec(),
                b"\x0e".to_vec(),
                b"\x03SELEC".to_vec(),
                b"\x03SELECT 2".to_vec(),
            ]),
        ),
        send("reset connection", b"\x1f"),
        query("SELECT @m, @@autocommit, @@sql_mode"),
        execute("after the reset", 1, 0, Some(0)),
        step(
            "change user",
            Act::ChangeUser {
                user: "other",
                password: "other",
            },
        ),
        query("SELECT USER(), DATABASE()"),
        prepare("SELECT 2"),
        // With a note: how many there are, clients read in the last packet.
        prepare("EXPLAIN SELECT 1 LIKE (1 IN (SELECT 1))"),
        execute("after the change of user", LAST, 0, None),
        send("an unknown command", b"\x55"),
        send("time", b"\x0f"),
        query("SELECT 'still here'"),
    ]);
    steps
}

/// Results of every shape: none, one and several rows, several results, from within loops and open cursors, in
/// text, prepared, and prepared with a cursor.
pub fn shapes(flavor: Flavor) -> Vec<Step> {
    let mut steps = vec![
        send("init db", b"\x02shop"),
        query("CREATE TABLE d (id INT PRIMARY KEY, name VARCHAR(20))"),
        query("INSERT INTO d VALUES (1, 'one'), (2, 'two'), (3, NULL)"),
        query(
            "CREATE PROCEDURE two() BEGIN DECLARE n INT; DECLARE done BOOL DEFAULT FALSE; \
             DECLARE c CURSOR FOR SELECT id FROM d; \
             DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE; \
             OPEN c; SELECT 'open'; \
             again: LOOP FETCH c INTO n; IF done THEN LEAVE again; END IF; \
             SELECT n FROM d WHERE FALSE; SELECT n, 'x' FROM d; SELECT name FROM d WHERE id = n; \
             END LOOP; SELECT 'last' FROM d WHERE FALSE; CLOSE c; END",
        ),
        query(
            "CREATE PROCEDURE fails() BEGIN SELECT 1 FROM d WHERE FALSE; SELECT * FROM nosuch; END",
        ),
    ];
    let mut texts = vec![
        "SELECT id, name FROM d WHERE FALSE",
        "SELECT id, name FROM d WHERE id = 2",
        "SELECT id, name FROM d",
        "SELECT id FROM d UNION ALL SELECT 9 FROM d WHERE FALSE",
        "SHOW TABLES LIKE 'nosuch'",
        "CALL two()",
        "CALL fails()",
        "SELECT (SELECT id FROM d)",
    ];
    if flavor == Flavor::MariaDb {
        texts.extend([
            "FOR r IN (SELECT 1 UNION SELECT 2) DO SELECT 3; END FOR",
            "FOR r IN (SELECT id FROM d) DO SELECT r.id, name FROM d WHERE FALSE; END FOR",
            "FOR r IN (SELECT id FROM d) DO EXECUTE IMMEDIATE 'SELECT id, name FROM d LIMIT 0'; END FOR",
            "FOR r IN (SELECT id FROM d) DO SELECT r.id; SELECT 1 FROM nosuch; END FOR",
            "FOR r IN (SELECT id FROM d WHERE FALSE) DO SELECT r.id; END FOR",
            "BEGIN NOT ATOMIC SELECT id FROM d WHERE FALSE; SELECT id FROM d; END",
            "BEGIN NOT ATOMIC FOR r IN (SELECT id FROM d) DO SELECT 1 FROM d WHERE FALSE; CALL two(); END FOR; END",
            "DELETE FROM d WHERE FALSE RETURNING id",
        ]);
    }
    for (statement, text) in (1..).zip(texts) {
        steps.extend([
            query(text),
            prepare(text),
            execute(text, statement, 0, None),
            execute(&format!("{text}, with a cursor"), statement, 1, None),
            on_statement(
                &format!("fetch of {text}"),
                0x1c,
                statement,
                &2u32.to_le_bytes(),
            ),
            on_statement(
                &format!("fetch more of {text}"),
                0x1c,
                statement,
                &9u32.to_le_bytes(),
            ),
        ]);
    }
    steps
}

/// What shows how a session is tracked, and by how many statements of ours.
pub fn tracked(counts: bool) -> Vec<Step> {
    let shape = |text: &str| Step {
        compare: Compare::Shape,
        ..query(text)
    };
    let selects = || Step {
        compare: if counts { Compare::All } else { Compare::Kind },
        ..query("SHOW SESSION STATUS LIKE 'Com_select'")
    };
    vec![
        selects(),
        send("init db", b"\x02shop"),
        shape("CREATE TABLE d (id INT PRIMARY KEY)"),
        shape("INSERT INTO d VALUES (1)"),
        query("SET sql_auto_is_null = 1"),
        query("SET autocommit = 0"),
        query("INSERT INTO d VALUES (2)"),
        shape("COMMIT"),
        send("reset connection", b"\x1f"),
        selects(),
        shape("INSERT INTO d VALUES (3)"),
        query("SELECT COUNT(*) FROM d"),
    ]
}

/// After each of these the server closes the connection.
pub fn endings() -> Vec<Step> {
    vec![
        step(
            "change user with a wrong password",
            Act::ChangeUser {
                user: "app",
                password: "wrong",
            },
        ),
        send("quit", b"\x01"),
        query("KILL {id}"),
    ]
}

fn file(query: &'static str, content: Vec<&'static str>) -> Step {
    step(query, Act::File { query, content })
}
