//! Statements after which what is acknowledged would no longer be what was promised: changes that
//! reach no binlog or carry somebody else's GTID, binlog that goes before it was read, and everything
//! that the gate at the source depends on.
//!
//! They are found in every statement of a text, whatever its size, in bodies of routines and events,
//! behind SET STATEMENT … FOR, in executable comments (taken as run and as not run) and in the
//! literals of PREPARE and EXECUTE IMMEDIATE. Not seen is what is put together at run time (`PREPARE s
//! FROM @text`) and what a routine does that was created elsewhere.
//!
//! - [`statement`] follows the tokens of one statement after another
//! - [`variable`]: which variables matter, and which values of theirs do no harm

mod statement;
mod variable;

use std::fmt;

pub use variable::SessionVariable;

use self::statement::Statements;
use super::lexer::{Backslash, is_word_byte};
use super::stream::{Piece, Stream};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hazard {
    /// SET of a variable that counts for this session alone, to a value that does harm.
    Session(SessionVariable),
    /// SET GLOBAL or PERSIST of this variable.
    Global(String),
    /// RESET MASTER, RESET BINARY LOGS AND GTIDS.
    ResetBinlog,
    /// RESET SLAVE, RESET REPLICA.
    ResetReplica,
    /// PURGE BINARY LOGS.
    Purge,
    /// FLUSH BINARY LOGS DELETE_DOMAIN_ID.
    DeleteDomain,
    /// CHANGE MASTER, CHANGE REPLICATION SOURCE or FILTER.
    ChangeSource,
    /// START SLAVE, START REPLICA.
    StartReplica,
    /// STOP SLAVE, STOP REPLICA.
    StopReplica,
    /// UNINSTALL of MySQL's semi-sync plugin.
    UninstallSemiSync,
}

impl Hazard {
    /// What it would do, for a sentence that begins with the statement.
    pub fn harm(&self) -> &'static str {
        match self {
            Self::Session(variable) => variable.harm(),
            Self::Global(_) => {
                "would change what Ackline and the replicas rely on at the source for every session"
            }
            Self::ResetBinlog | Self::Purge => {
                "would delete binlog at the source that Ackline may not have read"
            }
            Self::DeleteDomain => "would delete a part of the source's GTID state",
            Self::ResetReplica | Self::ChangeSource | Self::StartReplica | Self::StopReplica => {
                "would change the replication of the server that is the source now"
            }
            Self::UninstallSemiSync => "would let commits return without an acknowledgement",
        }
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(variable) => write!(f, "SET {}", variable.name()),
            Self::Global(name) => write!(f, "SET GLOBAL {name}"),
            Self::ResetBinlog => f.write_str("RESET MASTER"),
            Self::ResetReplica => f.write_str("RESET REPLICA"),
            Self::Purge => f.write_str("PURGE BINARY LOGS"),
            Self::DeleteDomain => f.write_str("FLUSH BINARY LOGS DELETE_DOMAIN_ID"),
            Self::ChangeSource => f.write_str("CHANGE MASTER"),
            Self::StartReplica => f.write_str("START REPLICA"),
            Self::StopReplica => f.write_str("STOP REPLICA"),
            Self::UninstallSemiSync => f.write_str("UNINSTALL of the semi-sync plugin"),
        }
    }
}

/// The first hazard in a text.
pub fn find(text: &[u8], backslash: Backslash) -> Option<Hazard> {
    if is_surely_none(text) {
        return None;
    }
    let mut scan = Scan::new(backslash);
    scan.feed(text);
    scan.finish()
}

/// The statements that may be one by themselves, and what may hold one without a semicolon.
const SUSPICIOUS: [&str; 11] = [
    "reset",
    "flush",
    "purge",
    "change",
    "start",
    "stop",
    "uninstall",
    "prepare",
    "execute",
    "create",
    "alter",
];

/// Most texts need no reading: one statement (the exclamation mark stands for an executable comment)
/// that begins with another word, or a SET of variables without an underscore, which all of ours have.
fn is_surely_none(text: &[u8]) -> bool {
    if memchr::memchr2(b';', b'!', text).is_some() {
        return false;
    }
    let (first, rest) = first_word(text);
    if first.eq_ignore_ascii_case(b"set") {
        let (second, behind) = first_word(rest);
        let may_run_another = second.eq_ignore_ascii_case(b"statement")
            || second.is_empty() && matches!(behind, [b'/' | b'#' | b'-', ..]);
        return !may_run_another && memchr::memchr(b'_', rest).is_none();
    }
    let is = |word: &&str| first.eq_ignore_ascii_case(word.as_bytes());
    !first.is_empty() && !SUSPICIOUS.iter().any(is)
}

/// Empty where a comment or a symbol comes first.
fn first_word(text: &[u8]) -> (&[u8], &[u8]) {
    // The lexer's blanks; the vertical tab is none of Rust's.
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let start = text.iter().position(|byte| !blank(byte));
    let text = text.get(start.unwrap_or(text.len())..).unwrap_or_default();
    let end = text.iter().position(|byte| !is_word_byte(*byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// The same for a text that arrives in parts.
#[derive(Clone, Debug)]
pub struct Scan {
    reading: Reading,
    /// From the first executable comment on: the text as a server reads it that does not run it.
    unrun: Option<Box<Reading>>,
}

impl Scan {
    pub fn new(backslash: Backslash) -> Self {
        Self {
            reading: Reading::new(backslash, 0),
            unrun: None,
        }
    }

    pub fn feed(&mut self, part: &[u8]) {
        let mut at = 0;
        while at < part.len() && self.found().is_none() {
            let used = self.reading.step(&part[at..]);
            if let Some(unrun) = &mut self.unrun {
                unrun.feed(&part[at..at + used]);
            } else if let Some(stream) = self.reading.stream.had_it_not_run() {
                self.unrun = Some(Box::new(Reading {
                    stream,
                    ..self.reading.clone()
                }));
            }
            at += used;
        }
    }

    /// What was found so far.
    pub fn found(&self) -> Option<&Hazard> {
        let unrun = || self.unrun.as_ref()?.statements.found();
        self.reading.statements.found().or_else(unrun)
    }

    /// Whether it sets the variable by which a session asks for more ([`crate::sql::requirement`]), as
    /// far as it has come.
    pub fn sets_requirement(&self) -> bool {
        let unrun = self.unrun.as_ref();
        self.reading.statements.sets_requirement()
            || unrun.is_some_and(|unrun| unrun.statements.sets_requirement())
    }

    /// The text is complete.
    pub fn finish(mut self) -> Option<Hazard> {
        self.reading.finish();
        if let Some(unrun) = &mut self.unrun {
            unrun.finish();
        }
        self.found().cloned()
    }
}

/// One way to read a text.
#[derive(Clone, Debug)]
struct Reading {
    stream: Stream,
    statements: Statements,
    backslash: Backslash,
    /// The statement in the literal that is being read.
    inner: Option<Box<Reading>>,
    nesting: u8,
}

impl Reading {
    /// No server runs a literal in a literal in a literal.
    const DEEPEST: u8 = 2;

    fn new(backslash: Backslash, nesting: u8) -> Self {
        Self {
            stream: Stream::new(backslash),
            statements: Statements::default(),
            backslash,
            inner: None,
            nesting,
        }
    }

    fn step(&mut self, part: &[u8]) -> usize {
        if self.statements.skips_words() {
            let skipped = self.stream.skim(part);
            if skipped > 0 {
                return skipped;
            }
        }
        let Self {
            stream,
            statements,
            backslash,
            inner,
            nesting,
        } = self;
        stream.step(part, &mut |piece| {
            take(statements, inner, *backslash, *nesting, piece);
        })
    }

    fn feed(&mut self, part: &[u8]) {
        let mut at = 0;
        while at < part.len() {
            at += self.step(&part[at..]);
        }
    }

    fn finish(&mut self) {
        let Self {
            stream,
            statements,
            backslash,
            inner,
            nesting,
        } = self;
        stream.finish(&mut |piece| take(statements, inner, *backslash, *nesting, piece));
        statements.end();
    }
}

fn take(
    statements: &mut Statements,
    inner: &mut Option<Box<Reading>>,
    backslash: Backslash,
    nesting: u8,
    piece: Piece<'_>,
) {
    match piece {
        Piece::Inside(bytes) if statements.runs_literals() && nesting < Reading::DEEPEST => {
            inner
                .get_or_insert_with(|| Box::new(Reading::new(backslash, nesting + 1)))
                .feed(bytes);
        }
        Piece::Inside(_) => {}
        Piece::Token(token) => {
            if let Some(mut inner) = inner.take() {
                inner.finish();
                if inner.statements.sets_requirement() {
                    statements.note_requirement();
                }
                if let Some(hazard) = inner.statements.found() {
                    statements.note(hazard.clone());
                }
            }
            statements.token(token);
        }
    }
}

#[cfg(test)]
mod tests;
