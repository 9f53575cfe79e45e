use proptest::prelude::*;

use super::*;
use crate::ids::Flavor;

const CORPUS: &str = include_str!("../../../tests/statements.txt");
const MARIADB: Server = Server {
    flavor: Flavor::MariaDb,
    version: 101_119,
};
const MYSQL: Server = Server {
    flavor: Flavor::MySql,
    version: 90_704,
};

fn show(statement: &Statement<'_>) -> String {
    let access = match statement.access {
        Access::ReadOnly => "read",
        Access::MayWrite => "may",
        Access::Writes => "write",
    };
    let transaction = match statement.transaction {
        Transaction::Stays => "stays",
        Transaction::Commits => "commits",
        Transaction::CommitsImplicitly => "implicit",
        Transaction::RollsBack => "rolls-back",
        Transaction::MayCommit => "may-commit",
    };
    let mut leaves: Vec<_> = statement.leaves.names().collect();
    leaves.sort_unstable();
    let leaves = match leaves.as_slice() {
        [] => "-".to_owned(),
        names => names.join(","),
    };
    format!("{access} | {transaction} | {leaves}")
}

fn read(server: Server, text: &str) -> Vec<String> {
    statements(server, text.as_bytes(), Backslash::Escapes)
        .map(|statement| show(&statement))
        .collect()
}

/// The columns of a line as [`show`] has them, and the text.
fn expected(line: &str) -> (Vec<String>, &str) {
    let mut columns = Vec::new();
    let mut rest = line;
    loop {
        let mut fields = rest.splitn(4, " | ");
        let mut next = || fields.next().unwrap_or_else(|| panic!("{line}"));
        let (access, transaction, leaves) = (next(), next(), next());
        let (leaves, more) = match leaves.split_once(" ; ") {
            Some((leaves, _)) => (leaves, true),
            None => (leaves, false),
        };
        let mut leaves: Vec<_> = leaves.split(',').collect();
        leaves.sort_unstable();
        columns.push(format!(
            "{} | {} | {}",
            access.trim_end_matches('~'),
            transaction.trim_end_matches('~'),
            leaves.join(",")
        ));
        if !more {
            let text = next();
            let text = text.split(" ;; ").next().unwrap_or(text);
            return (columns, text.strip_prefix('!').unwrap_or(text));
        }
        let (_, behind) = rest.split_once(" ; ").unwrap();
        rest = behind;
    }
}

#[test]
fn the_corpus() {
    let mut servers: &[Server] = &[];
    let (mut count, mut wrong) = (0, Vec::new());
    for line in CORPUS.lines() {
        match line {
            "== both" => servers = &[MARIADB, MYSQL],
            "== mariadb" => servers = &[MARIADB],
            "== mysql" => servers = &[MYSQL],
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => {
                count += 1;
                let (columns, text) = expected(line);
                for server in servers {
                    let found = read(*server, text);
                    if found != columns {
                        wrong.push(format!(
                            "{text}\n  found    {found:?}\n  expected {columns:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 250, "{count}");
}

#[test]
fn backslashes_end_strings_where_the_session_says() {
    let text = br"SELECT 'a\'; DELETE FROM t; -- '";
    let count = |backslash| statements(MARIADB, text, backslash).count();
    assert_eq!(count(Backslash::Escapes), 1);
    assert_eq!(count(Backslash::IsPlain), 2);
}

#[test]
fn what_is_assigned() {
    let text = "SET @a = 'x', @`B` := NULL, sql_mode=5, @@session.`x` = \"y\", @@global.z = 1, \
                GLOBAL q = (1), @c = 'x' 'y', @d = f('a', 5), @e = -1, NAMES utf8, @f.g = 1";
    let statement = statements(MARIADB, text.as_bytes(), Backslash::Escapes)
        .next()
        .unwrap();
    let assigned: Vec<_> = statement
        .assigns
        .iter()
        .map(|assignment| (assignment.target, assignment.value))
        .collect();
    assert_eq!(
        assigned,
        [
            (Target::User(b"a"), Value::Text(b"x")),
            (Target::User(b"B"), Value::Word(b"NULL")),
            (Target::Session(b"sql_mode"), Value::Word(b"5")),
            (Target::Session(b"x"), Value::Text(b"y")),
            (Target::Global(b"z"), Value::Word(b"1")),
            (Target::Global(b"q"), Value::Expression),
            (Target::User(b"c"), Value::Expression),
            (Target::User(b"d"), Value::Expression),
            (Target::User(b"e"), Value::Expression),
            (Target::User(b""), Value::Word(b"1")),
        ]
    );
}

#[test]
fn nothing_is_no_statement() {
    for text in ["", ";", " ; /* x */ ; -- y", "/*!99999 DROP TABLE t */"] {
        assert_eq!(read(MARIADB, text), Vec::<String>::new(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for server in [MARIADB, MYSQL] {
            prop_assert!(statements(server, &bytes, Backslash::Escapes).count() <= bytes.len());
        }
    }

    #[test]
    fn any_words(
        words in prop::collection::vec(prop::sample::select(vec![
            "SET", "@", "@@", "a", "=", ":=", ",", ";", "(", ")", ".", "GLOBAL", "STATEMENT", "FOR",
            "SELECT", "INTO", "CREATE", "TEMPORARY", "TABLE", "PROCEDURE", "BEGIN", "END", "CASE",
            "IF", "DO", "'x'", "`y`", "/*!", "*/", "UPDATE", "XA", "START", "ROLLBACK", "TO", "DROP",
            "INSERT", "f(", "ANALYZE", "NAMES", "TRANSACTION", "DEFAULT", "ROLE", "PASSWORD",
        ]), 0..30),
    ) {
        let text = words.join(" ");
        for server in [MARIADB, MYSQL] {
            statements(server, text.as_bytes(), Backslash::Escapes).count();
        }
    }
}
