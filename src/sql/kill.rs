//! Whom a text would kill.
//!
//! `KILL [HARD | SOFT] [CONNECTION | QUERY [ID]] <expression> | USER <user>` (MariaDB's grammar,
//! MySQL's is a part of it), alone, after comments, in one of several statements, or somewhere in a
//! compound or dynamic statement.

use super::lexer::{Backslash, Lexer, Token};

/// The victim of a KILL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KillTarget {
    /// A connection, by the source's own number.
    Connection(u64),
    /// `KILL QUERY ID`: a statement, by its query id.
    QueryId(u64),
    /// All connections of an account name (its host part is left out).
    User(String),
    /// An expression, or inside a compound or dynamic statement: it could be anyone.
    Unknown,
}

/// All that `text` would kill, in order.
pub fn targets(text: &[u8]) -> Vec<KillTarget> {
    if !may_kill(text) {
        return Vec::new();
    }
    let mut found = targets_with(text, Backslash::Escapes);
    if memchr::memchr(b'\\', text).is_some() {
        // Which of both it is depends on sql_mode, which is not known here.
        for target in targets_with(text, Backslash::IsPlain) {
            if !found.contains(&target) {
                found.push(target);
            }
        }
    }
    found
}

/// Whether the letters occur at all.
fn may_kill(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'k', b'K', text).any(|at| {
        text.get(at..at + 4)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"kill"))
    })
}

fn targets_with(text: &[u8], backslash: Backslash) -> Vec<KillTarget> {
    let mut found = Vec::new();
    let mut statement = Vec::new();
    for token in Lexer::new(text, backslash) {
        if token.is_symbol(b';') {
            found.extend(target(&statement));
            statement.clear();
        } else {
            statement.push(token);
        }
    }
    found.extend(target(&statement));
    found
}

/// Statements in which the word stands for something else than a KILL that is run now.
const HARMLESS: [&str; 14] = [
    "select", "insert", "update", "delete", "replace", "with", "create", "alter", "drop", "show",
    "grant", "revoke", "explain", "desc",
];

fn target(statement: &[Token<'_>]) -> Option<KillTarget> {
    let [first, rest @ ..] = statement else {
        return None;
    };
    if first.is_word("kill") {
        return Some(of_kill(rest));
    }
    if HARMLESS.iter().any(|word| first.is_word(word)) {
        return None;
    }
    rest.iter()
        .any(|token| match token {
            Token::Word(word) => word.eq_ignore_ascii_case(b"kill"),
            // PREPARE … FROM '…', EXECUTE IMMEDIATE '…'.
            Token::Text(text) => {
                may_kill(text) && (first.is_word("prepare") || first.is_word("execute"))
            }
            _ => false,
        })
        .then_some(KillTarget::Unknown)
}

fn of_kill(mut rest: &[Token<'_>]) -> KillTarget {
    let mut eat = |words: &[&str]| match rest {
        [first, later @ ..] if words.iter().any(|word| first.is_word(word)) => {
            rest = later;
            true
        }
        _ => false,
    };
    eat(&["hard", "soft"]);
    let by_query_id = !eat(&["connection"]) && eat(&["query"]) && eat(&["id"]);
    if eat(&["user"]) {
        return match rest.first() {
            Some(token) if !token.text().is_empty() => {
                KillTarget::User(String::from_utf8_lossy(token.text()).into_owned())
            }
            _ => KillTarget::Unknown,
        };
    }
    match rest {
        [Token::Word(number)] | [Token::Text(number)] => match parse(number) {
            Some(id) if by_query_id => KillTarget::QueryId(id),
            Some(id) => KillTarget::Connection(id),
            None => KillTarget::Unknown,
        },
        _ => KillTarget::Unknown,
    }
}

fn parse(number: &[u8]) -> Option<u64> {
    std::str::from_utf8(number).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_killed() {
        use KillTarget::*;
        for (text, expected) in [
            ("KILL 5", vec![Connection(5)]),
            ("kill query 5;", vec![Connection(5)]),
            (
                "/* ctrl-c */ KILL /* x */ SOFT CONNECTION 17",
                vec![Connection(17)],
            ),
            ("KILL HARD QUERY ID 99", vec![QueryId(99)]),
            ("KILL USER app@localhost", vec![User("app".into())]),
            ("KILL QUERY USER 'app'@'%'", vec![User("app".into())]),
            ("KILL @id", vec![Unknown]),
            ("KILL 5+1", vec![Unknown]),
            (
                "select 1; kill 5; kill query 6",
                vec![Connection(5), Connection(6)],
            ),
            ("/*!50000 kill 5 */", vec![Connection(5)]),
            ("/*!50000 kill*/ 5", vec![Connection(5)]),
            ("select 'kill 5'", vec![]),
            ("select 1 as kill", vec![]),
            ("insert into t values('; kill 5')", vec![]),
            ("begin not atomic kill 5; end", vec![Unknown]),
            ("execute immediate 'kill 5'", vec![Unknown]),
            ("prepare s from 'kill ?'", vec![Unknown]),
            (
                "set statement max_statement_time=1 for kill 5",
                vec![Unknown],
            ),
            ("create procedure p() kill 5", vec![]),
            ("show processlist", vec![]),
            (r"select 'a\'; kill 5 -- '", vec![Connection(5)]),
        ] {
            assert_eq!(targets(text.as_bytes()), expected, "{text}");
        }
    }
}
