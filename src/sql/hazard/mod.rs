//! Statements after which what is acknowledged would no longer be what was promised: changes that
//! reach no binlog or carry somebody else's GTID, binlog that goes before it was read, and everything
//! that the gate at the source depends on.
//!
//! They are found in every statement of a text, whatever its size, in bodies of routines and events,
//! behind SET STATEMENT … FOR, in executable comments (taken as run and as not run) and in the
//! literals of PREPARE and EXECUTE IMMEDIATE; and in every way in which a session could read the text, whose
//! charset, ANSI_QUOTES and NO_BACKSLASH_ESCAPES decide what ends a string, and may be changed by the text
//! itself. Not seen is what is put together at run time (`PREPARE s FROM @text`) and what a routine does that
//! was created elsewhere: of that the source's own word tells ([`SessionVariable::reported`]).
//!
//! - [`statement`] follows the tokens of one statement after another
//! - [`variable`]: which variables matter, and which values of theirs do no harm

mod statement;
mod variable;

use std::fmt;

pub use variable::SessionVariable;

use self::statement::Statements;
use super::lexer::{Backslash, Token, is_word_byte};
use super::stream::{Piece, Stream, Way};

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
    /// ALTER INSTANCE DISABLE INNODB REDO_LOG.
    DisableRedoLog,
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
            Self::DisableRedoLog => "would let the source lose what it has committed",
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
            Self::DisableRedoLog => f.write_str("ALTER INSTANCE DISABLE INNODB REDO_LOG"),
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
    // An assignment of MariaDB's sql_mode=ORACLE needs no SET.
    let assigns = memchr::memchr(b'_', first).is_some();
    !first.is_empty() && !assigns && !SUSPICIOUS.iter().any(is)
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
    /// The ways in which it can be read, of which there is one until it makes a difference: executable comments run
    /// or not, two sorts of quotes, four sorts of charsets, so at most 32.
    readings: Vec<Reading>,
}

impl Scan {
    pub fn new(backslash: Backslash) -> Self {
        Self {
            readings: vec![Reading::new(Stream::new(backslash), 0)],
        }
    }

    pub fn feed(&mut self, part: &[u8]) {
        // Where in this part each of them begins: another way begins where it makes the difference.
        let mut from = vec![0; self.readings.len()];
        let mut index = 0;
        while index < self.readings.len() && self.found().is_none() {
            let mut at = from[index];
            while at < part.len() && self.readings[index].statements.found().is_none() {
                let others = self.readings[index].others(part[at]);
                from.resize(from.len() + others.len(), at);
                self.readings.extend(others);
                at += self.readings[index].step(&part[at..]);
                if let Some(other) = self.readings[index].had_it_not_run() {
                    from.push(at);
                    self.readings.push(other);
                }
            }
            index += 1;
        }
    }

    /// What was found so far.
    pub fn found(&self) -> Option<&Hazard> {
        let mut found = self
            .readings
            .iter()
            .map(|reading| reading.statements.found());
        found.find_map(|found| found)
    }

    /// Whether it sets the variable by which a session asks for more ([`crate::sql::requirement`]), as
    /// far as it has come.
    pub fn sets_requirement(&self) -> bool {
        let mut readings = self.readings.iter();
        readings.any(|reading| reading.statements.sets_requirement())
    }

    /// The text is complete.
    pub fn finish(mut self) -> Option<Hazard> {
        self.readings.iter_mut().for_each(Reading::finish);
        self.found().cloned()
    }
}

/// One way to read a text.
#[derive(Clone, Debug)]
struct Reading {
    stream: Stream,
    statements: Statements,
    /// The statement in the literal that is being read.
    inner: Option<Box<Reading>>,
    nesting: u8,
    /// The text has just named `sql_mode`.
    names_mode: bool,
}

impl Reading {
    /// No server runs a literal in a literal in a literal.
    const DEEPEST: u8 = 2;

    fn new(stream: Stream, nesting: u8) -> Self {
        Self {
            stream,
            statements: Statements::default(),
            inner: None,
            nesting,
            names_mode: false,
        }
    }

    /// Before `next`: the same as others would read on.
    fn others(&mut self, next: u8) -> Vec<Self> {
        let streams = self.stream.others(next);
        let others = streams.into_iter().map(|stream| Self {
            stream,
            ..self.clone()
        });
        others.collect()
    }

    fn had_it_not_run(&mut self) -> Option<Self> {
        let stream = self.stream.had_it_not_run()?;
        Some(Self {
            stream,
            ..self.clone()
        })
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
            inner,
            nesting,
            names_mode,
        } = self;
        let way = stream.way();
        let used = stream.step(part, &mut |piece| {
            *names_mode |= matches!(piece, Piece::Token(token) if names_the_mode(token));
            take(statements, inner, way, *nesting, piece);
        });
        if std::mem::take(names_mode) {
            stream.note_mode();
        }
        used
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
            inner,
            nesting,
            ..
        } = self;
        let way = stream.way();
        stream.finish(&mut |piece| take(statements, inner, way, *nesting, piece));
        statements.end();
    }
}

fn names_the_mode(token: Token<'_>) -> bool {
    token.text().eq_ignore_ascii_case(b"sql_mode")
}

fn take(
    statements: &mut Statements,
    inner: &mut Option<Box<Reading>>,
    way: Way,
    nesting: u8,
    piece: Piece<'_>,
) {
    match piece {
        Piece::Inside(bytes) if statements.runs_literals() && nesting < Reading::DEEPEST => {
            inner
                .get_or_insert_with(|| Box::new(Reading::new(Stream::within(way), nesting + 1)))
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
