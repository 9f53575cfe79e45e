//! What a commit waits for: the `require` language and the short `mode` names, both ending in one
//! [`Requirement`].
//!
//! ```text
//! require  = any_of ("OR" any_of)* ;  any_of = term ("AND" term)*
//! term     = "(" require ")" | "LOCAL" level | "MAJORITY" level
//!          | ("ANY" | "FIRST") k "(" who ("," who)* ")" level | "ALL" ["(" who ("," who)* ")"] level
//! who      = "*" | "zone:" name | server name
//! level    = "received" | "durable" | "applied"
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::ids::{Level, ServerName};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Our own store.
    Local(Level),
    /// The k-th best of them.
    Any {
        count: usize,
        of: Vec<Who>,
        level: Level,
    },
    /// The worst of the first k that are connected, in this order.
    First {
        count: usize,
        of: Vec<Who>,
        level: Level,
    },
    All {
        of: Vec<Who>,
        level: Level,
    },
    /// Of all voters, the source counted.
    Majority(Level),
    And(Box<Requirement>, Box<Requirement>),
    Or(Box<Requirement>, Box<Requirement>),
}

/// Voters other than the present source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Everyone,
    Zone(String),
    Server(ServerName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Async,
    SemiSync,
    Quorum,
    Sync,
    /// `require` was given alone.
    Custom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    Block,
    Degrade,
}

/// The whole of `[sync]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    pub mode: Mode,
    pub acks: usize,
    pub level: Option<Level>,
    pub require: Requirement,
    pub timeout: Duration,
    pub on_timeout: OnTimeout,
}

impl Sync {
    /// A short name with its knobs; the table in DESIGN.md and the README.
    pub fn of_mode(mode: Mode, acks: usize, level: Option<Level>) -> Requirement {
        match mode {
            Mode::Async => Requirement::Local(Level::Received),
            Mode::SemiSync | Mode::Custom => Requirement::And(
                Box::new(Requirement::Local(Level::Durable)),
                Box::new(Requirement::Any {
                    count: acks,
                    of: vec![Who::Everyone],
                    level: level.unwrap_or(Level::Received),
                }),
            ),
            Mode::Quorum => Requirement::Majority(level.unwrap_or(Level::Received)),
            Mode::Sync => Requirement::All {
                of: vec![Who::Everyone],
                level: level.unwrap_or(Level::Applied),
            },
        }
    }
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            mode: Mode::SemiSync,
            acks: 1,
            level: None,
            require: Self::of_mode(Mode::SemiSync, 1, None),
            timeout: Duration::from_secs(10),
            on_timeout: OnTimeout::Block,
        }
    }
}

impl Requirement {
    /// Whether our own store has to be fsynced, said or not: a condition of every mode but `async`.
    pub fn wants_synced(&self) -> bool {
        *self != Self::Local(Level::Received)
    }

    pub fn uses(&self, level: Level) -> bool {
        match self {
            Self::Local(l) | Self::Majority(l) => *l == level,
            Self::Any { level: l, .. }
            | Self::First { level: l, .. }
            | Self::All { level: l, .. } => *l == level,
            Self::And(a, b) | Self::Or(a, b) => a.uses(level) || b.uses(level),
        }
    }

    /// The names in it, for the check against the configured servers.
    pub fn servers(&self) -> Vec<ServerName> {
        let mut names = Vec::new();
        self.visit(&mut |who| {
            if let Who::Server(name) = who {
                names.push(name.clone());
            }
        });
        names
    }

    pub fn zones(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.visit(&mut |who| {
            if let Who::Zone(name) = who {
                names.push(name.clone());
            }
        });
        names
    }

    fn visit(&self, each: &mut impl FnMut(&Who)) {
        match self {
            Self::Any { of, .. } | Self::First { of, .. } | Self::All { of, .. } => {
                of.iter().for_each(each)
            }
            Self::And(a, b) | Self::Or(a, b) => {
                a.visit(each);
                b.visit(each);
            }
            Self::Local(_) | Self::Majority(_) => {}
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |of: &[Who]| {
            of.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self {
            Self::Local(level) => write!(f, "LOCAL {level}"),
            Self::Majority(level) => write!(f, "MAJORITY {level}"),
            Self::Any { count, of, level } => write!(f, "ANY {count} ({}) {level}", list(of)),
            Self::First { count, of, level } => write!(f, "FIRST {count} ({}) {level}", list(of)),
            Self::All { of, level } if *of == [Who::Everyone] => write!(f, "ALL {level}"),
            Self::All { of, level } => write!(f, "ALL ({}) {level}", list(of)),
            Self::And(a, b) => {
                for (i, side) in [a, b].into_iter().enumerate() {
                    if i == 1 {
                        f.write_str(" AND ")?;
                    }
                    match **side {
                        Self::Or(..) => write!(f, "({side})")?,
                        // Parsing is left-associative: what was grouped on the right stays grouped.
                        Self::And(..) if i == 1 => write!(f, "({side})")?,
                        _ => write!(f, "{side}")?,
                    }
                }
                Ok(())
            }
            Self::Or(a, b) => match **b {
                Self::Or(..) => write!(f, "{a} OR ({b})"),
                _ => write!(f, "{a} OR {b}"),
            },
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("*"),
            Self::Zone(name) => write!(f, "zone:{name}"),
            Self::Server(name) => write!(f, "{name}"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Async => "async",
            Self::SemiSync => "semi-sync",
            Self::Quorum => "quorum",
            Self::Sync => "sync",
            Self::Custom => "custom",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "async" => Ok(Self::Async),
            "semi-sync" => Ok(Self::SemiSync),
            "quorum" => Ok(Self::Quorum),
            "sync" => Ok(Self::Sync),
            _ => Err(format!(
                "'{text}' is not a mode: use async, semi-sync, quorum or sync"
            )),
        }
    }
}

impl fmt::Display for OnTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Block => "block",
            Self::Degrade => "degrade",
        })
    }
}

impl FromStr for OnTimeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "block" => Ok(Self::Block),
            "degrade" => Ok(Self::Degrade),
            _ => Err(format!("'{text}' is not known here: use block or degrade")),
        }
    }
}

/// Where the text goes wrong (1-based column) and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct ParseError {
    pub column: usize,
    pub message: String,
}

impl FromStr for Requirement {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser {
            tokens: tokens(text),
            next: 0,
            end: text.chars().count() + 1,
            depth: 0,
        };
        let requirement = parser.any_of()?;
        match parser.peek() {
            None => Ok(requirement),
            Some(token) => Err(parser.error(format!(
                "'{token}' after the end; join conditions with AND or OR"
            ))),
        }
    }
}

/// Nobody writes a requirement that nests deeper; a hostile one must not overflow the stack.
const MAX_DEPTH: usize = 32;

struct Parser {
    tokens: Vec<(usize, String)>,
    next: usize,
    end: usize,
    depth: usize,
}

fn tokens(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut word = false;
    for (column, c) in text.chars().enumerate() {
        if c.is_whitespace() {
            word = false;
        } else if matches!(c, '(' | ')' | ',' | '*') {
            found.push((column + 1, c.to_string()));
            word = false;
        } else if word && let Some((_, last)) = found.last_mut() {
            last.push(c);
        } else {
            found.push((column + 1, c.to_string()));
            word = true;
        }
    }
    found
}

impl Parser {
    fn any_of(&mut self) -> Result<Requirement, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("too many nested parentheses".into()));
        }
        let mut left = self.all_of()?;
        while self.word("OR") {
            left = Requirement::Or(Box::new(left), Box::new(self.all_of()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn all_of(&mut self) -> Result<Requirement, ParseError> {
        let mut left = self.term()?;
        while self.word("AND") {
            left = Requirement::And(Box::new(left), Box::new(self.term()?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Requirement, ParseError> {
        if self.word("(") {
            let inner = self.any_of()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.word("LOCAL") {
            return match self.level()? {
                Level::Applied => {
                    self.next -= 1;
                    Err(self.error(
                        "our own binlog is received or durable, nothing is applied to it".into(),
                    ))
                }
                level => Ok(Requirement::Local(level)),
            };
        }
        if self.word("MAJORITY") {
            return Ok(Requirement::Majority(self.level()?));
        }
        if self.word("ALL") {
            let of = if self.peek() == Some("(") {
                self.list()?
            } else {
                vec![Who::Everyone]
            };
            return Ok(Requirement::All {
                of,
                level: self.level()?,
            });
        }
        let first = self.word("FIRST");
        if first || self.word("ANY") {
            let count = match self.peek().and_then(|token| token.parse::<usize>().ok()) {
                Some(count) if count > 0 => count,
                _ => {
                    return Err(self.error("how many? Write for example ANY 1 (*) received".into()));
                }
            };
            self.next += 1;
            let of = self.list()?;
            let level = self.level()?;
            return Ok(if first {
                Requirement::First { count, of, level }
            } else {
                Requirement::Any { count, of, level }
            });
        }
        Err(self.error("expected LOCAL, ANY, FIRST, ALL, MAJORITY or '('".into()))
    }

    fn list(&mut self) -> Result<Vec<Who>, ParseError> {
        self.expect("(")?;
        let mut of = Vec::new();
        loop {
            let Some(token) = self.peek().map(str::to_owned) else {
                return Err(self.error("expected a server name, zone:NAME or *".into()));
            };
            of.push(match token.as_str() {
                "*" => Who::Everyone,
                "(" | ")" | "," => {
                    return Err(self.error("expected a server name, zone:NAME or *".into()));
                }
                name => match name.strip_prefix("zone:") {
                    Some(zone) => Who::Zone(zone.to_owned()),
                    None => Who::Server(ServerName::new(name)),
                },
            });
            self.next += 1;
            if !self.word(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(of)
    }

    fn level(&mut self) -> Result<Level, ParseError> {
        match self.peek().map(Level::from_str) {
            Some(Ok(level)) => {
                self.next += 1;
                Ok(level)
            }
            _ => Err(self.error("expected a level: received, durable or applied".into())),
        }
    }

    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.next).map(|(_, token)| token.as_str())
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self
            .peek()
            .is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), ParseError> {
        if self.word(word) {
            Ok(())
        } else {
            Err(self.error(format!("expected '{word}'")))
        }
    }

    fn error(&self, message: String) -> ParseError {
        let column = self
            .tokens
            .get(self.next)
            .map_or(self.end, |(column, _)| *column);
        ParseError { column, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in [
            "LOCAL received",
            "LOCAL durable AND ANY 1 (*) received",
            "MAJORITY received",
            "ALL applied",
            "ALL (a, zone:b) durable",
            "FIRST 2 (a, b, c) received OR (ALL received AND LOCAL durable)",
            "(LOCAL durable OR ANY 1 (a) applied) AND MAJORITY durable",
            "ALL received AND (ALL durable AND ALL applied)",
        ] {
            let first: Requirement = text.parse().unwrap();
            let again: Requirement = first.to_string().parse().unwrap();
            assert_eq!(first, again, "{text} became {first}");
        }
    }

    #[test]
    fn errors_name_the_column_and_the_right_word() {
        for (text, column, says) in [
            ("", 1, "expected LOCAL"),
            ("ANY (*) received", 5, "how many"),
            ("ANY 0 (*) received", 5, "how many"),
            ("ANY 1 (*)", 10, "expected a level"),
            ("ANY 1 (*) recieved", 11, "expected a level"),
            ("ALL received ALL durable", 14, "after the end"),
            ("LOCAL applied", 7, "nothing is applied"),
            ("ANY 1 (a,) received", 10, "expected a server"),
            ("(ALL received", 14, "expected ')'"),
        ] {
            let error = text.parse::<Requirement>().unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.message.contains(says), "{text}: {error}");
        }
        assert!("(".repeat(10_000).parse::<Requirement>().is_err());
    }
}
