//! SET.

use super::words::Words;
use super::{Access, Statement, States, Transaction, rows};
use crate::sql::lexer::Token;

/// One assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment<'a> {
    pub target: Target<'a>,
    pub value: Value<'a>,
}

/// What is assigned; names as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `@name`
    User(&'a [u8]),
    /// A system variable of the session.
    Session(&'a [u8]),
    /// Of the server: GLOBAL, PERSIST.
    Global(&'a [u8]),
}

impl Target<'_> {
    /// The user variable of this name.
    pub fn is_user(&self, name: &str) -> bool {
        matches!(self, Self::User(own) if own.eq_ignore_ascii_case(name.as_bytes()))
    }

    fn is_session(&self, name: &str) -> bool {
        matches!(self, Self::Session(own) if own.eq_ignore_ascii_case(name.as_bytes()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A keyword or number.
    Word(&'a [u8]),
    /// A string, its escapes as they were.
    Text(&'a [u8]),
    /// What is known only when it is run.
    Expression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Session,
    Global,
}

impl Scope {
    fn of(token: Token<'_>) -> Option<Self> {
        let is = |name| token.is_word(name);
        if is("global") || is("persist") || is("persist_only") {
            Some(Self::Global)
        } else if is("session") || is("local") {
            Some(Self::Session)
        } else {
            None
        }
    }
}

pub(super) fn set<'a>(words: &mut Words<'a>) -> Statement<'a> {
    let mut statement = Statement::reads();
    if words.eat("statement") {
        return for_statement(words, statement);
    }
    let mut ahead = words.clone();
    if ahead.eat("default") && ahead.eat("role") || ahead.eat("password") && ahead.peek().is_some()
    {
        return Statement::commits(Access::Writes);
    }
    // Holds until another one is named.
    let mut scope = Scope::Session;
    while words.peek().is_some() {
        one(words, &mut statement, &mut scope);
        if !words.eat_symbol(b',') {
            // Where the next assignment would begin is not known.
            if words.peek().is_some() {
                statement = statement.leaving(States::VARIABLES.and(States::UNKNOWN));
                statement.transaction = Transaction::MayCommit;
            }
            break;
        }
    }
    statement
}

/// SET STATEMENT … FOR: the variables go back to what they were.
fn for_statement<'a>(words: &mut Words<'a>, mut values: Statement<'a>) -> Statement<'a> {
    while let Some(token) = words.peek() {
        if token.is_word("for") {
            words.next();
            let mut inner = super::of(words);
            inner.access = inner.access.max(values.access);
            return inner.leaving(values.leaves);
        }
        rows::step(words, &mut values, token);
    }
    values
}

fn one<'a>(words: &mut Words<'a>, statement: &mut Statement<'a>, scope: &mut Scope) {
    if let Some(named) = words.peek().and_then(Scope::of) {
        words.next();
        *scope = named;
    }
    if words.eat("transaction") {
        leave(statement, *scope, States::ISOLATION);
        skip_value(words, statement);
        return;
    }
    if words.eat("role") {
        leave(statement, *scope, States::ROLE);
        skip_value(words, statement);
        return;
    }
    let charset = words.eat("names") || words.eat("charset");
    if charset || words.eat("character") || words.eat("char") || words.eat("resource") {
        leave(statement, *scope, States::VARIABLES);
        skip_value(words, statement);
        return;
    }
    let Some(target) = target(words, *scope) else {
        skip_value(words, statement);
        statement.leaves = statement.leaves.and(States::UNKNOWN);
        return;
    };
    words.eat_symbol(b':');
    words.eat_symbol(b'=');
    let value = value(words, statement);
    match target {
        Target::User(_) => leave(statement, Scope::Session, States::USER_VARIABLES),
        Target::Session(name) => {
            leave(statement, Scope::Session, States::VARIABLES);
            if is_isolation(name) {
                leave(statement, Scope::Session, States::ISOLATION);
            }
        }
        Target::Global(_) => leave(statement, Scope::Global, States::NONE),
    }
    if target.is_session("autocommit") && may_switch_on(value) {
        statement.transaction = Transaction::MayCommit;
    }
    statement.assigns.push(Assignment { target, value });
}

fn is_isolation(name: &[u8]) -> bool {
    [
        "transaction_isolation",
        "tx_isolation",
        "transaction_read_only",
        "tx_read_only",
    ]
    .iter()
    .any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

/// AUTOCOMMIT: that commits, if it was off.
fn may_switch_on(value: Value<'_>) -> bool {
    let off = |word: &[u8]| {
        ["0", "off", "false"]
            .iter()
            .any(|off| word.eq_ignore_ascii_case(off.as_bytes()))
    };
    !matches!(value, Value::Word(word) | Value::Text(word) if off(word))
}

fn leave(statement: &mut Statement<'_>, scope: Scope, states: States) {
    match scope {
        Scope::Session => statement.leaves = statement.leaves.and(states),
        Scope::Global => statement.access = statement.access.max(Access::MayWrite),
    }
}

fn target<'a>(words: &mut Words<'a>, scope: Scope) -> Option<Target<'a>> {
    let of = |scope, name| match scope {
        Scope::Session => Target::Session(name),
        Scope::Global => Target::Global(name),
    };
    if !words.eat_symbol(b'@') {
        return Some(of(scope, name(words)?));
    }
    if !words.eat_symbol(b'@') {
        return Some(Target::User(name(words)?));
    }
    let scope = words.peek().and_then(Scope::of);
    if scope.is_some() {
        words.next();
        words.eat_symbol(b'.');
    }
    Some(of(scope.unwrap_or(Scope::Session), name(words)?))
}

/// The last part of a name: `hot.key_buffer_size`.
fn name<'a>(words: &mut Words<'a>) -> Option<&'a [u8]> {
    let mut name = words.next()?;
    let mut dotted = false;
    while words.eat_symbol(b'.') {
        dotted = true;
        name = words.next()?;
    }
    let text = name.text();
    // `@a.b` is no `@b`.
    (!text.is_empty() && !matches!(name, Token::Symbol(_))).then_some(if dotted {
        b""
    } else {
        text
    })
}

fn value<'a>(words: &mut Words<'a>, statement: &mut Statement<'a>) -> Value<'a> {
    let mut ahead = words.clone();
    let first = ahead.next();
    let alone = ahead.peek().is_none_or(|token| token.is_symbol(b','));
    match first {
        Some(Token::Word(word)) if alone => {
            words.next();
            Value::Word(word)
        }
        Some(Token::Text(text)) if alone => {
            words.next();
            Value::Text(text)
        }
        _ => {
            skip_value(words, statement);
            Value::Expression
        }
    }
}

/// To the comma behind an expression.
fn skip_value<'a>(words: &mut Words<'a>, statement: &mut Statement<'a>) {
    let mut depth = 0_u32;
    while let Some(token) = words.peek() {
        match token {
            Token::Symbol(b',') if depth == 0 => return,
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        rows::step(words, statement, token);
    }
}
