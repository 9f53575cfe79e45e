//! What a session asks for beyond the policy: `SET @ackline_require = '…'` until it is set anew, and a
//! leading comment `/* ackline: require=… */` for its statement or, within a transaction, for that
//! transaction. Only the commit gate of this session knows of it ([`super::gate::Gate::met`]).
//!
//! What it asks must never be misread as less. So the variable is set by a literal in a SET that is a
//! text of its own, and a text that would set it in another way is refused. Not seen is what a routine
//! does that was created at the source itself, and what is put together at run time.

use std::sync::Arc;

use thiserror::Error;

use crate::ack::policy::{ParseError, Requirement, Unmeetable};
use crate::ids::Flavor;
use crate::sql::lexer::{Backslash, Lexer, Token};
use crate::sql::statement::{Value, statements};
use crate::sql::{Server, requirement};

/// Longer ones are refused.
const LONGEST: usize = 1024;
/// A transaction has no more hints than this.
const HINTS: usize = 16;
/// What a hint begins with, within its comment.
const HINT: &[u8] = b"ackline:";

#[derive(Debug, Error)]
pub enum Mistake {
    #[error("Variable 'ackline_require' can't be set to the value of '{text}': {error}")]
    Variable { text: String, error: ParseError },
    #[error(
        "Variable 'ackline_require' can't be set to an expression: write a literal, in a statement of \
         its own and not prepared, as in SET @ackline_require = 'ANY 2 (*) received'"
    )]
    NotLiteral,
    #[error("the hint require={text} is wrong: {error}")]
    Hint { text: String, error: ParseError },
    #[error("the hint '{0}' is not known: write /* ackline: require=ANY 2 (*) received */")]
    UnknownHint(String),
    #[error("'{requirement}' can never be met: {error}")]
    Unmeetable {
        requirement: String,
        error: Unmeetable,
    },
    #[error("a transaction takes at most {HINTS} different hints")]
    TooMany,
    #[error("a requirement is at most {LONGEST} bytes long")]
    TooLong,
}

/// What a text asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// Of the leading comment.
    pub hint: Option<Arc<Requirement>>,
    /// The variable's new value, once the statement has succeeded.
    pub variable: Option<Setting>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    Cleared,
    To(Arc<Requirement>),
}

impl Asks {
    /// All that is asked anew.
    pub fn requirements(&self) -> impl Iterator<Item = &Arc<Requirement>> {
        let variable = match &self.variable {
            Some(Setting::To(requirement)) => Some(requirement),
            _ => None,
        };
        self.hint.iter().chain(variable)
    }
}

/// Most texts ask for nothing, and a look at their first bytes and their `@`s tells. `prepared`: it is
/// not run now.
pub fn asks(text: &[u8], prepared: bool, backslash: Backslash) -> Result<Asks, Mistake> {
    let hint = hint(text)?;
    let variable = if requirement::is_named(text) {
        variable(text, prepared, backslash)?
    } else {
        None
    };
    Ok(Asks { hint, variable })
}

/// The same for the beginning of a large text.
pub fn hint(text: &[u8]) -> Result<Option<Arc<Requirement>>, Mistake> {
    let mut rest = text.trim_ascii_start();
    let mut parts = Vec::new();
    while let [b'/', b'*', inside @ ..] = rest {
        let end = memchr::memmem::find(inside, b"*/").unwrap_or(inside.len());
        if let Some(hint) = after(HINT, inside[..end].trim_ascii()) {
            parts.push(one_hint(hint.trim_ascii())?);
        }
        rest = inside.get(end + 2..).unwrap_or_default().trim_ascii_start();
    }
    Ok((!parts.is_empty()).then(|| Arc::new(Requirement::and(parts))))
}

fn one_hint(hint: &[u8]) -> Result<Requirement, Mistake> {
    let asked = after(b"require", hint)
        .and_then(|rest| after(b"=", rest.trim_ascii_start()))
        .ok_or_else(|| {
            let shown = hint.get(..80).unwrap_or(hint);
            Mistake::UnknownHint(String::from_utf8_lossy(shown).into_owned())
        })?;
    parse(asked, |text, error| Mistake::Hint { text, error })
}

fn after<'a>(prefix: &[u8], text: &'a [u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// With `LOCAL durable`, like every policy that is written out.
fn parse(
    text: &[u8],
    mistake: impl Fn(String, ParseError) -> Mistake,
) -> Result<Requirement, Mistake> {
    if text.len() > LONGEST {
        return Err(Mistake::TooLong);
    }
    let text = String::from_utf8_lossy(text.trim_ascii());
    match Requirement::parse(&text) {
        Ok(requirement) => Ok(requirement.with_local_durable()),
        Err(error) => Err(mistake(text.into_owned(), error)),
    }
}

/// Of a text that names the variable.
fn variable(text: &[u8], prepared: bool, backslash: Backslash) -> Result<Option<Setting>, Mistake> {
    // Any server: where it would make a difference, the text is refused.
    let server = Server {
        flavor: Flavor::MariaDb,
        version: 0,
    };
    let mut all = statements(server, text, backslash);
    let first = all.next();
    let values: Vec<Value<'_>> = first
        .iter()
        .flat_map(|statement| &statement.assigns)
        .filter(|assignment| assignment.target.is_user(requirement::VARIABLE))
        .map(|assignment| assignment.value)
        .collect();
    let alone = all.next().is_none() && !has_executable(text) && !prepared;
    let Some(value) = values.last().filter(|_| alone) else {
        return if sets(text, backslash) {
            Err(Mistake::NotLiteral)
        } else {
            Ok(None)
        };
    };
    // A subquery could set it once more.
    if values.contains(&Value::Expression) || assigns_within(text, backslash) {
        return Err(Mistake::NotLiteral);
    }
    match value {
        Value::Text(text) if text.trim_ascii().is_empty() => Ok(Some(Setting::Cleared)),
        Value::Text(text) => {
            let asked = parse(text, |text, error| Mistake::Variable { text, error })?;
            Ok(Some(Setting::To(Arc::new(asked))))
        }
        Value::Word(word) if word.eq_ignore_ascii_case(b"null") => Ok(Some(Setting::Cleared)),
        _ => Err(Mistake::NotLiteral),
    }
}

fn has_executable(text: &[u8]) -> bool {
    [b"/*!".as_slice(), b"/*M!"]
        .iter()
        .any(|mark| memchr::memmem::find(text, mark).is_some())
}

/// Whether a text may set the variable, as far as can be told: read as anybody might.
fn sets(text: &[u8], backslash: Backslash) -> bool {
    /// They may name it, and set it only with `:=` or INTO.
    const READERS: [&str; 13] = [
        "select", "insert", "update", "delete", "replace", "do", "show", "with", "values", "table",
        "explain", "desc", "describe",
    ];
    let tokens: Vec<Token<'_>> = Lexer::new(text, backslash).collect();
    tokens
        .split(|token| token.is_symbol(b';'))
        .any(|statement| {
            let is_any = |words: &[&str]| {
                let first = statement.iter().find(|token| !token.is_symbol(b'('));
                first.is_some_and(|first| words.iter().any(|word| first.is_word(word)))
            };
            let named = |at: usize| is_variable(statement, at);
            if is_any(&READERS) {
                let into = statement
                    .windows(2)
                    .position(|two| two[0].is_word("into") && two[1].is_symbol(b'@'));
                return (0..statement.len()).filter(|at| named(*at)).any(|at| {
                    is_assigned(statement, at, b':') || into.is_some_and(|into| into < at)
                });
            }
            if is_any(&["set"]) {
                return (0..statement.len()).filter(|at| named(*at)).any(|at| {
                    is_assigned(statement, at, b':') || is_assigned(statement, at, b'=')
                });
            }
            // A routine's body, CALL, PREPARE, …
            (0..statement.len()).any(named)
                || is_any(&["prepare", "execute"])
                    && statement.iter().any(
                        |token| matches!(token, Token::Text(text) if requirement::is_named(text)),
                    )
        })
}

/// `:=` behind the variable, where the statement is a SET with a plain assignment beside it.
fn assigns_within(text: &[u8], backslash: Backslash) -> bool {
    let tokens: Vec<Token<'_>> = Lexer::new(text, backslash).collect();
    let assigned = (0..tokens.len())
        .filter(|at| is_variable(&tokens, *at))
        .filter(|at| is_assigned(&tokens, *at, b':') || is_assigned(&tokens, *at, b'='));
    // Each at a depth of its own would be needed; one in parentheses is enough to refuse.
    assigned.into_iter().any(|at| {
        let open = |symbol| tokens[..at].iter().filter(|t| t.is_symbol(symbol)).count();
        open(b'(') > open(b')')
    })
}

/// Whether the variable's `@` stands here.
fn is_variable(tokens: &[Token<'_>], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| tokens.get(at));
    let is_name = |token: &Token<'_>| {
        token
            .text()
            .eq_ignore_ascii_case(requirement::VARIABLE.as_bytes())
    };
    tokens[at].is_symbol(b'@')
        && before.is_none_or(|token| !token.is_symbol(b'@'))
        && tokens.get(at + 1).is_some_and(is_name)
        && !tokens
            .get(at + 2)
            .is_some_and(|token| token.is_symbol(b'.'))
}

fn is_assigned(tokens: &[Token<'_>], at: usize, by: u8) -> bool {
    tokens.get(at + 2).is_some_and(|token| token.is_symbol(by))
}

/// What a session asks for now.
#[derive(Debug, Default)]
pub struct Own {
    variable: Option<Arc<Requirement>>,
    /// Of the statements of the open transaction, each once.
    transaction: Vec<Arc<Requirement>>,
    /// Of the statement that runs.
    statement: Option<Arc<Requirement>>,
    in_transaction: bool,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// None where the source did not say.
    pub in_transaction: Option<bool>,
    /// It committed what was open before it.
    pub committed: bool,
}

impl Own {
    pub fn is_any(&self) -> bool {
        self.variable.is_some() || !self.transaction.is_empty() || self.statement.is_some()
    }

    /// All of it, for a commit that is answered now.
    pub fn in_force(&self) -> Option<Arc<Requirement>> {
        let all = self.variable.iter().chain(&self.transaction);
        let mut all: Vec<&Arc<Requirement>> = all.chain(&self.statement).collect();
        match all.as_slice() {
            [] => None,
            [one] => Some(Arc::clone(one)),
            _ => {
                all.dedup();
                let parts = all.into_iter().map(|part| Requirement::clone(part));
                Some(Arc::new(Requirement::and(parts.collect())))
            }
        }
    }

    /// Whether a statement with this hint may run.
    pub fn has_room_for(&self, hint: &Arc<Requirement>) -> bool {
        self.transaction.len() < HINTS || self.transaction.contains(hint)
    }

    pub fn statement_begins(&mut self, hint: Option<Arc<Requirement>>) {
        self.statement = hint;
    }

    pub fn statement_ended(&mut self, ended: Ended) {
        let hint = self.statement.take();
        self.in_transaction = ended.in_transaction.unwrap_or(self.in_transaction);
        if ended.committed || !self.in_transaction {
            self.transaction.clear();
        }
        if let Some(hint) = hint
            && self.in_transaction
            && !self.transaction.contains(&hint)
        {
            self.transaction.push(hint);
        }
    }

    pub fn set(&mut self, setting: Setting) {
        self.variable = match setting {
            Setting::Cleared => None,
            Setting::To(requirement) => Some(requirement),
        };
    }

    /// COM_RESET_CONNECTION, COM_CHANGE_USER.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
#[path = "requirement_tests.rs"]
mod tests;
