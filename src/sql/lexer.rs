//! Tokens of a SQL text, comments removed.
//!
//! What stands in an executable comment (`/*! … */`, `/*!50100 … */`, `/*M!100000 … */`) counts as
//! part of the text, whatever version it asks for: a server might run it. [`Lexer::by`] reads a text as
//! one server does.

use super::server::{Mark, Server, leading_digits};

/// How strings escape; it depends on `sql_mode`, which is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backslash {
    Escapes,
    /// `NO_BACKSLASH_ESCAPES`.
    IsPlain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword, name or number without quotes.
    Word(&'a [u8]),
    /// The inside of '…' or "…", escapes as they were.
    Text(&'a [u8]),
    /// The inside of `…`.
    Name(&'a [u8]),
    Symbol(u8),
}

impl<'a> Token<'a> {
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word.as_bytes()))
    }

    pub fn is_symbol(&self, symbol: u8) -> bool {
        *self == Self::Symbol(symbol)
    }

    /// The token's own bytes; empty for a symbol.
    pub fn text(&self) -> &'a [u8] {
        match self {
            Self::Word(text) | Self::Text(text) | Self::Name(text) => text,
            Self::Symbol(_) => b"",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    rest: &'a [u8],
    backslash: Backslash,
    /// None: whoever might.
    server: Option<Server>,
    in_executable_comment: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a [u8], backslash: Backslash) -> Self {
        Self {
            rest: text,
            backslash,
            server: None,
            in_executable_comment: false,
        }
    }

    /// As this server reads it.
    pub fn by(server: Server, text: &'a [u8], backslash: Backslash) -> Self {
        Self {
            server: Some(server),
            ..Self::new(text, backslash)
        }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Whitespace and comments; also the opening and closing of executable comments.
    fn skip_blank(&mut self) {
        loop {
            match self.rest {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, ..] => self.skip(1),
                [b'#', ..] => self.skip_line(),
                [b'-', b'-'] => self.skip(2),
                [b'-', b'-', after, ..] if *after <= b' ' => self.skip_line(),
                [b'/', b'*', b'!', ..] => self.open_executable(3, Mark::Any),
                [b'/', b'*', b'M', b'!', ..] => self.open_executable(4, Mark::MariaDb),
                [b'/', b'*', ..] => {
                    self.skip(2);
                    let end = memchr::memmem::find(self.rest, b"*/");
                    self.skip(end.map_or(self.rest.len(), |end| end + 2));
                }
                [b'*', b'/', ..] if self.in_executable_comment => {
                    self.in_executable_comment = false;
                    self.skip(2);
                }
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        let end = memchr::memchr(b'\n', self.rest);
        self.skip(end.map_or(self.rest.len(), |end| end + 1));
    }

    fn open_executable(&mut self, length: usize, mark: Mark) {
        self.skip(length);
        let (runs, version) = match self.server {
            None => (true, leading_digits(self.rest)),
            Some(server) => server.runs(mark, self.rest),
        };
        if runs {
            self.in_executable_comment = true;
            self.skip(version);
        } else {
            self.skip_unrun();
        }
    }

    /// An executable comment that is not run. It may hold ordinary comments, one level deep.
    fn skip_unrun(&mut self) {
        let mut inner = false;
        while let Some(at) = memchr::memchr2(b'*', b'/', self.rest) {
            self.skip(at);
            match self.rest {
                [b'*', b'/', ..] if !inner => {
                    self.skip(2);
                    return;
                }
                [b'*', b'/', ..] => {
                    inner = false;
                    self.skip(2);
                }
                [b'/', b'*', ..] => {
                    inner = true;
                    self.skip(2);
                }
                _ => self.skip(1),
            }
        }
        self.rest = b"";
    }

    fn quoted(&mut self, quote: u8) -> &'a [u8] {
        let text = self.rest;
        let escapes = self.backslash == Backslash::Escapes && quote != b'`';
        let mut at = 0;
        loop {
            let found = text.get(at..).and_then(|rest| {
                if escapes {
                    memchr::memchr2(quote, b'\\', rest)
                } else {
                    memchr::memchr(quote, rest)
                }
            });
            let Some(found) = found else {
                self.rest = b"";
                return text;
            };
            at += found;
            match text.get(at..at + 2) {
                Some([b'\\', _]) if escapes => at += 2,
                Some([a, b]) if *a == quote && *b == quote => at += 2,
                _ if text.get(at) == Some(&quote) => {
                    self.skip(at + 1);
                    return &text[..at];
                }
                _ => at += 1,
            }
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let first = *self.rest.first()?;
        match first {
            b'\'' | b'"' => {
                self.skip(1);
                Some(Token::Text(self.quoted(first)))
            }
            b'`' => {
                self.skip(1);
                Some(Token::Name(self.quoted(first)))
            }
            _ if is_word_byte(first) => {
                let end = self.rest.iter().position(|byte| !is_word_byte(*byte));
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                Some(Token::Word(word))
            }
            other => {
                self.skip(1);
                Some(Token::Symbol(other))
            }
        }
    }
}

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Flavor;

    fn words(text: &str) -> Vec<String> {
        Lexer::new(text.as_bytes(), Backslash::Escapes)
            .map(|token| match token {
                Token::Word(text) => String::from_utf8_lossy(text).into_owned(),
                Token::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
                Token::Name(text) => format!("`{}`", String::from_utf8_lossy(text)),
                Token::Symbol(symbol) => char::from(symbol).to_string(),
            })
            .collect()
    }

    #[test]
    fn tokens() {
        assert_eq!(
            words("select `a``b`, 'it''s', \"q\\\"x\" from t1"),
            [
                "select", "`a``b`", ",", "'it''s'", ",", "'q\\\"x'", "from", "t1"
            ]
        );
    }

    #[test]
    fn comments() {
        assert_eq!(
            words("/* x */ a -- b\n c # d\ne --f"),
            ["a", "c", "e", "-", "-", "f"]
        );
        assert_eq!(words("/*!50100 kill */ 5"), ["kill", "5"]);
        assert_eq!(words("/*M!100001 kill */ 5"), ["kill", "5"]);
        assert_eq!(words("/*! kill 1*/2"), ["kill", "1", "2"]);
        assert_eq!(words("a /* open"), ["a"]);
        assert_eq!(words("'open"), ["'open'"]);
    }

    /// Each was run on both servers: `SELECT 1` with this behind it.
    #[test]
    fn executable_comments_as_each_server_reads_them() {
        let mariadb = Server {
            flavor: Flavor::MariaDb,
            version: 101_119,
        };
        let mysql = Server {
            flavor: Flavor::MySql,
            version: 90_704,
        };
        for (text, in_mariadb, in_mysql) in [
            ("/*! +2 */", "+2", "+2"),
            ("/*!50100 +2 */", "+2", "+2"),
            ("/*!50700 +2 */", "", "+2"),
            ("/*!80000 +2 */", "", "+2"),
            ("/*!080000 +2 */", "", "+2"),
            ("/*!90704 +2 */", "", "+2"),
            ("/*!90704+2 */", "", "+2"),
            ("/*!99999 +2 */", "", ""),
            ("/*!100000 +2 */", "+2", ""),
            ("/*!101119 +2 */", "+2", ""),
            ("/*!101120 +2 */", "", ""),
            ("/*!501001+2 */", "", "1+2"),
            ("/*!0907041 +2 */", "", "41+2"),
            ("/*!+123 */", "+123", "+123"),
            ("/*M!+2 */", "+2", ""),
            ("/*M!50700 +2 */", "+2", ""),
            ("/*M!110000 +2 */", "", ""),
            ("/*!99999 /* x */ +2 */", "", ""),
            ("/*!99999 '*/ +4 /* ' */", "+4", "+4"),
            ("/*! +2 /* x */ +3 */", "+2+3", "+2+3"),
            ("/*!99999 open", "", ""),
        ] {
            for (server, expected) in [(mariadb, in_mariadb), (mysql, in_mysql)] {
                let read: String = Lexer::by(server, text.as_bytes(), Backslash::Escapes)
                    .map(|token| match token {
                        Token::Symbol(symbol) => char::from(symbol).to_string(),
                        other => String::from_utf8_lossy(other.text()).into_owned(),
                    })
                    .collect();
                assert_eq!(read, expected, "{text} by {server:?}");
            }
        }
    }

    #[test]
    fn backslashes_depend_on_the_mode() {
        let text = br"'a\'; kill 5";
        let plain: Vec<_> = Lexer::new(text, Backslash::IsPlain).collect();
        assert!(plain.iter().any(|token| token.is_word("kill")));
        let escaped: Vec<_> = Lexer::new(text, Backslash::Escapes).collect();
        assert_eq!(escaped.len(), 1);
    }

    proptest! {
        #[test]
        fn ends_on_any_bytes(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "(/|\\*|!|M|[0-9]{1,6}| |a|'){0,40}".prop_map(String::into_bytes),
            ],
        ) {
            for backslash in [Backslash::Escapes, Backslash::IsPlain] {
                prop_assert!(Lexer::new(&bytes, backslash).count() <= bytes.len());
                for flavor in [Flavor::MariaDb, Flavor::MySql] {
                    let server = Server { flavor, version: 90_000 };
                    prop_assert!(Lexer::by(server, &bytes, backslash).count() <= bytes.len());
                }
            }
        }
    }
}
