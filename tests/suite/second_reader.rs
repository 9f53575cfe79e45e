//! sqlparser as a second reader: whatever our own reading of a text calls harmless, and sqlparser can read, has
//! to be that by its reading as well. (On the way of a statement there is one reader: sqlparser does not know
//! the quotes of a charset, a mode or an executable comment, and reads some 70 of 100 real statements.)

use ackline::ids::Flavor;
use ackline::sql::hazard::{self, SessionVariable};
use ackline::sql::kind::kind;
use ackline::sql::lexer::Backslash;
use ackline::sql::statement::statements;
use ackline::sql::{Access, Kind, Server};
use sqlparser::ast::{Expr, ObjectName, Set, Statement};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use crate::hiding::Generator;

/// What we say of a text.
struct Reading {
    has_hazard: bool,
    kind: Kind,
    /// Of each statement, whether it only reads.
    only_reads: Vec<bool>,
}

impl Reading {
    fn of(text: &str) -> Self {
        let server = Server::of(Flavor::MySql, "9.7.4");
        Self {
            has_hazard: hazard::find(text.as_bytes(), Backslash::Escapes).is_some(),
            kind: kind(text.as_bytes()),
            only_reads: statements(server, text.as_bytes(), Backslash::Escapes)
                .map(|statement| statement.access == Access::ReadOnly)
                .collect(),
        }
    }
}

fn assigned(set: &Set) -> Vec<(String, String)> {
    let pair = |name: &ObjectName, value: Option<&Expr>| {
        let last = name.0.last().map(ToString::to_string).unwrap_or_default();
        let value = value.map(ToString::to_string).unwrap_or_default();
        let plain = |text: &str| {
            text.trim_matches(['`', '\'', '"', '@'])
                .to_ascii_lowercase()
        };
        (plain(&last), plain(&value))
    };
    match set {
        Set::SingleAssignment {
            variable, values, ..
        } => vec![pair(variable, values.first())],
        Set::ParenthesizedAssignments { variables, values } => {
            let values = values.iter().map(Some).chain(std::iter::repeat(None));
            let pairs = variables.iter().zip(values);
            pairs.map(|(name, value)| pair(name, value)).collect()
        }
        Set::MultipleAssignments { assignments } => {
            let pairs = assignments.iter();
            pairs.map(|one| pair(&one.name, Some(&one.value))).collect()
        }
        _ => Vec::new(),
    }
}

/// By the name of its variant: the shows are many.
fn reads(statement: &Statement) -> bool {
    let name = format!("{statement:?}");
    let reads = ["Query", "Show", "Explain"];
    reads.iter().any(|prefix| name.starts_with(prefix))
}

fn writes(statement: &Statement) -> bool {
    let name = format!("{statement:?}");
    let writes = [
        "Insert", "Update", "Delete", "Create", "Drop", "Alter", "Truncate", "Merge", "LoadData",
        "Rename",
    ];
    writes.iter().any(|prefix| name.starts_with(prefix))
}

/// What the second reader has against it; none where both agree.
fn objection(ours: &Reading, theirs: &[Statement]) -> Option<String> {
    for statement in theirs {
        let Statement::Set(set) = statement else {
            continue;
        };
        for (name, value) in assigned(set) {
            let reported = SessionVariable::reported(name.as_bytes(), value.as_bytes());
            if !ours.has_hazard && matches!(reported, Some((_, true))) {
                return Some(format!("it sets {name} to {value}"));
            }
        }
    }
    if ours.kind == Kind::Read && theirs.first().is_some_and(|first| !reads(first)) {
        return Some(format!("it is no read: {:?}", theirs[0]));
    }
    // Where both see the same statements; a compound one is several to sqlparser.
    if ours.only_reads.len() == theirs.len() {
        for (only_reads, statement) in ours.only_reads.iter().zip(theirs) {
            if *only_reads && writes(statement) {
                return Some(format!("it writes: {statement:?}"));
            }
        }
    }
    None
}

fn parsed(text: &str) -> Option<Vec<Statement>> {
    let parsed = Parser::parse_sql(&MySqlDialect {}, text).ok()?;
    (!parsed.is_empty()).then_some(parsed)
}

fn corpora() -> Vec<String> {
    let mut texts = Vec::new();
    for line in include_str!("../statements.txt").lines() {
        if let Some((_, text)) = line.rsplit_once(" | ") {
            let (text, setup) = text.split_once(" ;; ").unwrap_or((text, ""));
            texts.push(text.trim_start_matches('!').to_owned());
            texts.push(setup.to_owned());
        }
    }
    for line in include_str!("../unsafe_statements.txt").lines() {
        texts.push(line.trim_start_matches(['~', '+', ' ']).to_owned());
    }
    for file in [
        include_str!("../corpus/common.sql"),
        include_str!("../corpus/definitions.sql"),
        include_str!("../corpus/mariadb.sql"),
        include_str!("../corpus/mysql.sql"),
        include_str!("../corpus/varying.sql"),
    ] {
        texts.extend(file.split(";\n").map(str::to_owned));
    }
    texts.retain(|text| !text.trim().is_empty());
    texts
}

#[test]
fn both_readers_agree() {
    let mut texts = corpora();
    let real = texts.len();
    for flavor in [Flavor::MariaDb, Flavor::MySql] {
        let mut generator = Generator::new(flavor);
        let hidden = (0..10_000).map(|_| generator.hidden());
        texts.extend(hidden.filter_map(|text| String::from_utf8(text).ok()));
    }
    let (mut read, mut read_of_real) = (0, 0);
    let mut objections = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let Some(theirs) = parsed(text) else {
            continue;
        };
        read += 1;
        read_of_real += usize::from(number < real);
        if let Some(objection) = objection(&Reading::of(text), &theirs) {
            objections.push(format!("{text}\n   {objection}"));
        }
    }
    println!(
        "sqlparser reads {read_of_real} of {real} real texts, {read} of {}",
        texts.len()
    );
    assert!(
        read_of_real * 2 > real && read > 2_000,
        "too few to mean anything"
    );
    assert!(
        objections.is_empty(),
        "{} objections\n{}",
        objections.len(),
        objections.join("\n")
    );
}

/// So that the check can fail.
#[test]
fn a_reader_that_overlooks_something_is_found() {
    for (text, kind) in [
        ("SET sql_log_bin = 0", Kind::Control),
        (
            "SELECT 1; SET @a = 1, @@session.sql_log_bin = 0",
            Kind::Read,
        ),
        ("INSERT INTO t VALUES (1)", Kind::Read),
        ("SELECT 1; DELETE FROM t", Kind::Read),
    ] {
        let theirs = parsed(text).unwrap();
        let blind = Reading {
            has_hazard: false,
            kind,
            only_reads: vec![true; theirs.len()],
        };
        assert!(objection(&blind, &theirs).is_some(), "{text}");
        assert_eq!(objection(&Reading::of(text), &theirs), None, "{text}");
    }
}
