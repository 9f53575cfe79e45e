//! The parser of the `require` language.

use std::num::NonZeroUsize;

use thiserror::Error;

use super::{Requirement, Who};
use crate::ids::{Level, ServerName};

const TERMS: &str = "LOCAL durable, ANY 1 (*) received, FIRST 1 (name, name) received, \
                     ALL applied, or MAJORITY received";
const LEVELS: &str = "a level: received, durable or applied";
/// A policy is written by hand; this only bounds the recursion of what a session may send.
const MAX_DEPTH: usize = 32;

/// What is wrong, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("column {column}: {message}")]
pub struct ParseError {
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Open,
    Close,
    Comma,
    Star,
}

struct Parser<'a> {
    text: &'a str,
    /// Token and byte offset.
    tokens: Vec<(Token<'a>, usize)>,
    next: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Requirement, ParseError> {
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
    };
    let requirement = parser.either()?;
    match parser.peek() {
        None => Ok(requirement),
        Some(Token::Close) => Err(parser.error("this ')' closes nothing: remove it")),
        Some(_) => Err(parser.expected("AND, OR or the end")),
    }
}

fn is_word(byte: u8) -> bool {
    // Bytes of other alphabets belong to names as well, and no multi-byte character is split.
    byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte) || byte >= 0x80
}

fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>, ParseError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        let token = match bytes[start] {
            byte if byte.is_ascii_whitespace() => continue,
            b'(' => Token::Open,
            b')' => Token::Close,
            b',' => Token::Comma,
            b'*' => Token::Star,
            byte if is_word(byte) => {
                while at < bytes.len() && is_word(bytes[at]) {
                    at += 1;
                }
                Token::Word(&text[start..at])
            }
            byte => {
                let advice = match byte {
                    b'&' => "write AND",
                    b'|' => "write OR",
                    b'\'' | b'"' | b'`' => "write names without quotes",
                    _ => "policies are made of words, numbers, '(', ')', ',' and '*'",
                };
                let found = char::from(byte);
                return Err(ParseError {
                    column: column(text, start),
                    message: format!("'{found}' has no meaning here: {advice}"),
                });
            }
        };
        tokens.push((token, start));
    }
    Ok(tokens)
}

fn column(text: &str, offset: usize) -> usize {
    text[..offset].chars().count() + 1
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).map(|(token, _)| *token)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(own)) if own.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn take(&mut self, token: Token<'_>) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    /// At the next token.
    fn error(&self, message: impl Into<String>) -> ParseError {
        let offset = self.tokens.get(self.next).map(|(_, offset)| *offset);
        ParseError {
            column: column(self.text, offset.unwrap_or(self.text.len())),
            message: message.into(),
        }
    }

    fn expected(&self, what: &str) -> ParseError {
        let found = match self.peek() {
            None => "the text ends".to_owned(),
            Some(Token::Word(word)) => format!("'{word}' stands"),
            Some(Token::Open) => "'(' stands".to_owned(),
            Some(Token::Close) => "')' stands".to_owned(),
            Some(Token::Comma) => "',' stands".to_owned(),
            Some(Token::Star) => "'*' stands".to_owned(),
        };
        self.error(format!("{found} where one must write {what}"))
    }

    fn either(&mut self) -> Result<Requirement, ParseError> {
        let mut parts = vec![self.both()?];
        while self.take_word("OR") {
            parts.push(self.both()?);
        }
        Ok(Requirement::or(parts))
    }

    fn both(&mut self) -> Result<Requirement, ParseError> {
        let mut parts = vec![self.term()?];
        while self.take_word("AND") {
            parts.push(self.term()?);
        }
        Ok(Requirement::and(parts))
    }

    fn term(&mut self) -> Result<Requirement, ParseError> {
        if self.peek() == Some(Token::Open) {
            return self.parenthesized();
        }
        if self.take_word("LOCAL") {
            return self.local();
        }
        if self.take_word("ANY") {
            let (count, among) = self.counted("ANY")?;
            let level = self.level()?;
            return Ok(Requirement::Any {
                count,
                among,
                level,
            });
        }
        if self.take_word("FIRST") {
            let (count, among) = self.counted("FIRST")?;
            let level = self.level()?;
            return Ok(Requirement::First {
                count,
                among,
                level,
            });
        }
        if self.take_word("ALL") {
            let among = match self.peek() {
                Some(Token::Open) => self.list()?,
                _ => vec![Who::Everyone],
            };
            let level = self.level()?;
            return Ok(Requirement::All { among, level });
        }
        if self.take_word("MAJORITY") {
            return Ok(Requirement::Majority(self.level()?));
        }
        Err(self.expected(TERMS))
    }

    fn parenthesized(&mut self) -> Result<Requirement, ParseError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error("too many nested parentheses"));
        }
        self.next += 1;
        self.depth += 1;
        let inner = self.either()?;
        self.depth -= 1;
        if self.take(Token::Close) {
            Ok(inner)
        } else {
            Err(self.expected("AND, OR or ')'"))
        }
    }

    fn local(&mut self) -> Result<Requirement, ParseError> {
        if matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("applied")) {
            return Err(self.error(
                "our own store applies nothing: write LOCAL durable, or ALL applied for the replicas",
            ));
        }
        if self.take_word("received") {
            Ok(Requirement::LOCAL_RECEIVED)
        } else if self.take_word("durable") {
            Ok(Requirement::LOCAL_DURABLE)
        } else {
            Err(self.expected("received or durable"))
        }
    }

    fn counted(&mut self, keyword: &str) -> Result<(NonZeroUsize, Vec<Who>), ParseError> {
        let at = self.next;
        let count = match self.peek() {
            Some(Token::Word(word)) => word.parse::<usize>().ok(),
            _ => None,
        };
        let Some(count) = count else {
            return Err(self.expected(&format!("how many, as in {keyword} 1 (*) received")));
        };
        let Some(count) = NonZeroUsize::new(count) else {
            return Err(self.error(format!(
                "{keyword} 0 asks for nobody: write {keyword} 1, or LOCAL durable for our own store only"
            )));
        };
        self.next += 1;
        if self.peek() != Some(Token::Open) {
            return Err(self.expected(&format!("whom, as in {keyword} {count} (*) received")));
        }
        let among = self.list()?;
        let only_names = among.iter().all(|who| matches!(who, Who::Name(_)));
        if only_names && count.get() > among.len() {
            self.next = at;
            return Err(self.error(format!(
                "{count} of {} listed servers can never confirm: write at most {}",
                among.len(),
                among.len()
            )));
        }
        Ok((count, among))
    }

    fn list(&mut self) -> Result<Vec<Who>, ParseError> {
        self.next += 1;
        let mut among = Vec::new();
        loop {
            let who = self.who()?;
            if among.contains(&who) {
                return Err(self.error(format!("'{who}' is listed twice: remove one")));
            }
            self.next += 1;
            among.push(who);
            if self.take(Token::Close) {
                return Ok(among);
            }
            if !self.take(Token::Comma) {
                return Err(self.expected("',' or ')'"));
            }
        }
    }

    /// Leaves the token in place, for the column of an error about it.
    fn who(&self) -> Result<Who, ParseError> {
        match self.peek() {
            Some(Token::Star) => Ok(Who::Everyone),
            Some(Token::Word(word)) => match word.split_once(':') {
                None => Ok(Who::Name(ServerName::new(word))),
                Some((prefix, zone)) if prefix.eq_ignore_ascii_case("zone") && !zone.is_empty() => {
                    Ok(Who::Zone(zone.into()))
                }
                Some(_) => Err(self.error(format!(
                    "'{word}' is no server: write a name, zone:NAME or *"
                ))),
            },
            _ => Err(self.expected("a server's name, zone:NAME or *")),
        }
    }

    fn level(&mut self) -> Result<Level, ParseError> {
        let level = match self.peek() {
            Some(Token::Word(word)) => word.parse().ok(),
            _ => None,
        };
        let level = level.ok_or_else(|| self.expected(LEVELS))?;
        self.next += 1;
        Ok(level)
    }
}
