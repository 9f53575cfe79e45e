//! What can stand in a SELECT, or in any expression: locks, assignments, and calls of functions.

use super::functions::{self, Call};
use super::words::{Keyword, Words};
use super::{Access, Statement, States};
use crate::sql::lexer::Token;

/// Looks at the rest of a statement.
pub(super) fn scan<'a>(words: &mut Words<'a>, mut statement: Statement<'a>) -> Statement<'a> {
    while let Some(token) = words.peek() {
        step(words, &mut statement, token);
    }
    statement
}

/// The table and the columns of INSERT or REPLACE, which look like a call of a function.
pub(super) fn skip_target(words: &mut Words<'_>) {
    for modifier in ["low_priority", "delayed", "high_priority", "ignore", "into"] {
        words.eat(modifier);
    }
    words.next();
    while words.eat_symbol(b'.') {
        words.next();
    }
    words.eat_symbol(b'(');
}

/// Goes over `token`, which is the next one, and what belongs to it.
pub(super) fn step(words: &mut Words<'_>, statement: &mut Statement<'_>, token: Token<'_>) {
    let adjacent = words.is_followed_by(b'(');
    words.next();
    match token {
        Token::Symbol(b':') if words.eat_symbol(b'=') => {
            statement.leaves = statement.leaves.and(States::USER_VARIABLES);
        }
        // A name, whatever it is.
        Token::Symbol(b'@') => {
            words.next();
        }
        Token::Symbol(b'.') => {
            let last = words.next();
            if last.is_some_and(|last| last.is_word("nextval")) {
                may_write(statement);
            }
            if opens(words) {
                unknown(statement);
            }
        }
        Token::Symbol(_) => {}
        name if opens(words) => call(statement, name, adjacent),
        Token::Word(word) => clause(words, statement, word),
        Token::Text(_) | Token::Name(_) => {}
    }
}

fn opens(words: &Words<'_>) -> bool {
    words.peek().is_some_and(|token| token.is_symbol(b'('))
}

/// The word of a function, or what only looks like one.
fn call(statement: &mut Statement<'_>, name: Token<'_>, adjacent: bool) {
    let known = match name {
        Token::Word(word) => Keyword::of(word),
        _ => None,
    };
    match known.map_or(Call::Unknown, |name| {
        functions::call(name.upper(), adjacent)
    }) {
        Call::None => {}
        Call::Locks => statement.leaves = statement.leaves.and(States::NAMED_LOCKS),
        Call::Writes => may_write(statement),
        Call::Unknown => unknown(statement),
    }
}

/// A stored function may write and set whatever it likes, but not commit.
fn unknown(statement: &mut Statement<'_>) {
    may_write(statement);
    statement.leaves = statement.leaves.and(States::UNKNOWN);
}

fn may_write(statement: &mut Statement<'_>) {
    statement.access = statement.access.max(Access::MayWrite);
}

fn clause(words: &mut Words<'_>, statement: &mut Statement<'_>, word: &[u8]) {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    // Most words are none of these, and their first letter tells.
    match word.first().map_or(0, u8::to_ascii_lowercase) {
        b'i' if is("insert") => may_write(statement),
        b'i' if is("into") => match words.peek() {
            Some(Token::Symbol(b'@')) => {
                statement.leaves = statement.leaves.and(States::USER_VARIABLES);
            }
            // A file, or a variable of a routine.
            _ => may_write(statement),
        },
        // FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE; a WITH or EXPLAIN of another statement.
        b'u' if is("update") => may_write(statement),
        b's' if is("share") => may_write(statement),
        b'l' if is("lock") => may_write(statement),
        b'd' if is("delete") => may_write(statement),
        b'r' if is("replace") => may_write(statement),
        b'n' if is("next") && words.eat("value") => may_write(statement),
        _ => {}
    }
}
