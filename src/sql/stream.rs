//! Tokens of a text that arrives in parts, however large it is, in bounded memory.
//!
//! The same tokens as [`super::lexer`] makes of a whole text, but for what is longer than [`KEPT`]: of
//! that only the beginning is kept. The inside of a string is handed out as well, piece by piece and
//! with its escapes undone, so that the statement in a `PREPARE … FROM '…'` can be read in turn.

use super::lexer::{Backslash, Token, is_word_byte};

/// No keyword or variable that anybody asks for is as long as this.
pub const KEPT: usize = 64;

/// What is made of the contents of `/*! … */`, `/*!50100 … */` and `/*M!100000 … */`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executable {
    /// A part of the text.
    Runs,
    /// The server is too old or of the other flavor: a comment.
    IsComment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Strings and names here have their escapes undone, unlike the lexer's.
    Token(Token<'a>),
    /// Some of the inside of '…' or "…", whose token follows at its end.
    Inside(&'a [u8]),
}

/// Between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Between,
    Word,
    Quoted(u8),
    /// After a backslash.
    Escape(u8),
    /// After what ends the string, unless it is doubled.
    QuoteEnd(u8),
    Slash,
    SlashStar,
    SlashStarM,
    /// The version of an executable comment, and how many digits of it were there.
    Version(u8),
    /// Perhaps the end of an executable comment.
    Star,
    Dash,
    DashDash,
    Line,
    Comment,
    CommentStar,
    /// An executable comment that is not run. It may hold ordinary comments, one level deep.
    Unrun {
        inner: bool,
    },
    UnrunSlash {
        inner: bool,
    },
    UnrunStar {
        inner: bool,
    },
}

/// The bytes at which [`Stream::skim`] stops.
const MATTERS: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = b";'\"`#-/*";
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
};

#[derive(Clone, Debug)]
pub struct Stream {
    at: At,
    backslash: Backslash,
    executable: Executable,
    in_executable: bool,
    kept: [u8; KEPT],
    length: usize,
}

impl Stream {
    pub fn new(backslash: Backslash) -> Self {
        Self {
            at: At::Between,
            backslash,
            executable: Executable::Runs,
            in_executable: false,
            kept: [0; KEPT],
            length: 0,
        }
    }

    /// Takes a part of `part`'s beginning, never nothing for long; returns how much.
    pub fn step(&mut self, part: &[u8], out: &mut impl FnMut(Piece<'_>)) -> usize {
        let Some(&byte) = part.first() else {
            return 0;
        };
        match self.at {
            At::Between => self.between(byte, out),
            At::Word => {
                let end = part.iter().position(|byte| !is_word_byte(*byte));
                let length = end.unwrap_or(part.len());
                self.keep(&part[..length]);
                if end.is_some() {
                    self.end_word(out);
                }
                length
            }
            At::Quoted(quote) => {
                let escapes = self.backslash == Backslash::Escapes && quote != b'`';
                let found = if escapes {
                    memchr::memchr2(quote, b'\\', part)
                } else {
                    memchr::memchr(quote, part)
                };
                let inside = &part[..found.unwrap_or(part.len())];
                self.inside(quote, inside, out);
                match found {
                    None => part.len(),
                    Some(at) if part[at] == quote => self.goes(At::QuoteEnd(quote), at + 1),
                    Some(at) => self.goes(At::Escape(quote), at + 1),
                }
            }
            At::Escape(quote) => {
                // The manual's chapter "String Literals".
                match byte {
                    b'n' => self.inside(quote, b"\n", out),
                    b't' => self.inside(quote, b"\t", out),
                    b'r' => self.inside(quote, b"\r", out),
                    b'0' => self.inside(quote, b"\0", out),
                    b'b' => self.inside(quote, b"\x08", out),
                    b'Z' => self.inside(quote, b"\x1a", out),
                    b'%' | b'_' => self.inside(quote, &[b'\\', byte], out),
                    _ => self.inside(quote, &[byte], out),
                }
                self.goes(At::Quoted(quote), 1)
            }
            At::QuoteEnd(quote) if byte == quote => {
                self.inside(quote, &[byte], out);
                self.goes(At::Quoted(quote), 1)
            }
            At::QuoteEnd(quote) => self.end_quoted(quote, out),
            At::Slash if byte == b'*' => self.goes(At::SlashStar, 1),
            At::Slash => self.symbol(b'/', out),
            At::SlashStar if byte == b'!' => self.open_executable(),
            At::SlashStar if byte == b'M' => self.goes(At::SlashStarM, 1),
            At::SlashStarM if byte == b'!' => self.open_executable(),
            At::SlashStar | At::SlashStarM => self.goes(At::Comment, 0),
            At::Version(digits) if digits < 6 && byte.is_ascii_digit() => {
                self.keep(&[byte]);
                self.goes(At::Version(digits + 1), 1)
            }
            // Fewer than five digits are no version.
            At::Version(1..=4) => self.goes(At::Word, 0),
            At::Version(_) => self.goes(At::Between, 0),
            At::Star if byte == b'/' => {
                self.in_executable = false;
                self.goes(At::Between, 1)
            }
            At::Star => self.symbol(b'*', out),
            At::Dash if byte == b'-' => self.goes(At::DashDash, 1),
            At::Dash => self.symbol(b'-', out),
            At::DashDash if byte <= b' ' => self.goes(At::Line, 0),
            At::DashDash => {
                self.symbol(b'-', out);
                self.goes(At::Dash, 0)
            }
            At::Line => match memchr::memchr(b'\n', part) {
                Some(at) => self.goes(At::Between, at + 1),
                None => part.len(),
            },
            At::Comment => match memchr::memchr(b'*', part) {
                Some(at) => self.goes(At::CommentStar, at + 1),
                None => part.len(),
            },
            At::CommentStar => match byte {
                b'/' => self.goes(At::Between, 1),
                b'*' => 1,
                _ => self.goes(At::Comment, 1),
            },
            At::Unrun { inner } => match memchr::memchr2(b'*', b'/', part) {
                None => part.len(),
                Some(at) if part[at] == b'*' => self.goes(At::UnrunStar { inner }, at + 1),
                Some(at) => self.goes(At::UnrunSlash { inner }, at + 1),
            },
            At::UnrunSlash { inner } => match byte {
                b'*' => self.goes(At::Unrun { inner: true }, 1),
                b'/' => 1,
                _ => self.goes(At::Unrun { inner }, 1),
            },
            At::UnrunStar { inner } => match byte {
                b'/' if inner => self.goes(At::Unrun { inner: false }, 1),
                b'/' => self.goes(At::Between, 1),
                b'*' => 1,
                _ => self.goes(At::Unrun { inner }, 1),
            },
        }
    }

    /// How many bytes at the beginning of `part` hold words and symbols only, no semicolon, nothing
    /// that opens a string or may open or close a comment. Who does not care for them goes over them.
    pub fn skim(&mut self, part: &[u8]) -> usize {
        if !matches!(self.at, At::Between | At::Word) {
            return 0;
        }
        let end = part.iter().position(|byte| MATTERS[usize::from(*byte)]);
        let end = end.unwrap_or(part.len());
        if end > 0 {
            self.at = At::Between;
        }
        end
    }

    /// The text is complete.
    pub fn finish(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        match self.at {
            At::Word | At::Version(1..=4) => {
                self.end_word(out);
            }
            At::Quoted(quote) | At::Escape(quote) | At::QuoteEnd(quote) => {
                self.end_quoted(quote, out);
            }
            At::Slash => {
                self.symbol(b'/', out);
            }
            At::Star => {
                self.symbol(b'*', out);
            }
            At::Dash => {
                self.symbol(b'-', out);
            }
            _ => {}
        }
        self.at = At::Between;
    }

    /// If an executable comment has just been opened: this stream, had the comment not been run (and
    /// no other from there on).
    pub fn had_it_not_run(&self) -> Option<Self> {
        (self.at == At::Version(0)).then(|| Self {
            at: At::Unrun { inner: false },
            executable: Executable::IsComment,
            in_executable: false,
            ..self.clone()
        })
    }

    fn goes(&mut self, to: At, used: usize) -> usize {
        self.at = to;
        used
    }

    fn between(&mut self, byte: u8, out: &mut impl FnMut(Piece<'_>)) -> usize {
        let to = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => At::Between,
            b'#' => At::Line,
            b'-' => At::Dash,
            b'/' => At::Slash,
            b'*' if self.in_executable => At::Star,
            b'\'' | b'"' | b'`' => {
                self.length = 0;
                At::Quoted(byte)
            }
            _ if is_word_byte(byte) => {
                self.length = 0;
                return self.goes(At::Word, 0);
            }
            _ => {
                self.symbol(byte, out);
                At::Between
            }
        };
        self.goes(to, 1)
    }

    fn open_executable(&mut self) -> usize {
        match self.executable {
            Executable::Runs => {
                self.in_executable = true;
                self.length = 0;
                self.goes(At::Version(0), 1)
            }
            Executable::IsComment => self.goes(At::Unrun { inner: false }, 1),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = KEPT - self.length;
        let bytes = &bytes[..bytes.len().min(room)];
        self.kept[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn inside(&mut self, quote: u8, bytes: &[u8], out: &mut impl FnMut(Piece<'_>)) {
        self.keep(bytes);
        if quote != b'`' && !bytes.is_empty() {
            out(Piece::Inside(bytes));
        }
    }

    /// What was kept is a token; it takes nothing of the text.
    fn end_word(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        self.at = At::Between;
        out(Piece::Token(Token::Word(&self.kept[..self.length])));
    }

    fn end_quoted(&mut self, quote: u8, out: &mut impl FnMut(Piece<'_>)) -> usize {
        let kept = &self.kept[..self.length];
        out(Piece::Token(if quote == b'`' {
            Token::Name(kept)
        } else {
            Token::Text(kept)
        }));
        self.goes(At::Between, 0)
    }

    fn symbol(&mut self, symbol: u8, out: &mut impl FnMut(Piece<'_>)) -> usize {
        out(Piece::Token(Token::Symbol(symbol)));
        self.goes(At::Between, 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::lexer::Lexer;

    /// Tokens as text, in parts of this size; every string must be what was handed out of its inside.
    fn read(text: &[u8], size: usize, mut stream: Stream) -> Vec<String> {
        let mut tokens = Vec::new();
        let mut inside = Vec::new();
        let mut out = |piece: Piece<'_>| match piece {
            Piece::Inside(bytes) => inside.extend_from_slice(bytes),
            Piece::Token(token) => {
                if let Token::Text(text) = token {
                    assert!(inside.starts_with(text));
                }
                inside.clear();
                tokens.push(format!("{token:?}"));
            }
        };
        for part in text.chunks(size) {
            let mut at = 0;
            while at < part.len() {
                at += stream.step(&part[at..], &mut out);
            }
        }
        stream.finish(&mut out);
        tokens
    }

    fn lexed(text: &[u8], backslash: Backslash) -> Vec<String> {
        Lexer::new(text, backslash)
            .map(|token| format!("{token:?}"))
            .collect()
    }

    #[test]
    fn the_lexers_tokens_in_parts_of_any_size() {
        for text in [
            "SELECT `a`, 'it', \"q\" FROM t1 -- c\n /* x */ # y\n - -- z",
            "/*!50100 kill */ 5 /*M!100001 x*/ /*! kill 1*/2 /*!123 a*/ /*!1234567 b */",
            "a/b*c--d---e--f / *",
            "'open",
            "/* open",
            "`open",
            "a /",
            "b -",
            "c --",
            "/*/ x */ y /***/ z /*M x */ /*!",
            "/*!123",
        ] {
            let expected = lexed(text.as_bytes(), Backslash::Escapes);
            for size in 1..=text.len() {
                let stream = Stream::new(Backslash::Escapes);
                assert_eq!(read(text.as_bytes(), size, stream), expected, "{text}");
            }
        }
    }

    #[test]
    fn escapes_are_undone() {
        let one = |text: &str, backslash| read(text.as_bytes(), 3, Stream::new(backslash));
        let word = |text: &str| vec![format!("{:?}", Token::Text(text.as_bytes()))];
        let escapes = Backslash::Escapes;
        assert_eq!(one(r"'it\'s'", escapes), word("it's"));
        assert_eq!(one("'it''s'", escapes), word("it's"));
        assert_eq!(one(r"'a\nb\tc\\d\_e\x'", escapes), word("a\nb\tc\\d\\_ex"));
        assert_eq!(one(r"'a\'", Backslash::IsPlain), word("a\\"));
        assert_eq!(
            one("`a``b`", escapes),
            [format!("{:?}", Token::Name(b"a`b"))]
        );
        let long = format!("'{}'", "x".repeat(1000));
        assert_eq!(one(&long, escapes), word(&"x".repeat(KEPT)));
    }

    #[test]
    fn skimming_stops_where_something_matters() {
        let mut stream = Stream::new(Backslash::Escapes);
        for (text, count) in [
            ("select a, b; x", 11),
            ("(1, 'a')", 4),
            ("a*b", 1),
            ("ab", 2),
            ("", 0),
        ] {
            assert_eq!(stream.skim(text.as_bytes()), count, "{text}");
        }
        let used = stream.step(b"'a", &mut |_| {});
        assert_eq!((used, stream.skim(b"a b")), (1, 0));
    }

    #[test]
    fn what_is_not_run_is_a_comment() {
        let mut stream = Stream::new(Backslash::Escapes);
        let text = b"/*!99999 ' /* x */ ; */ b /*M! c */ d";
        let mut none = |_: Piece<'_>| panic!("a token");
        let used: usize = (0..3).map(|at| stream.step(&text[at..], &mut none)).sum();
        let unrun = stream.had_it_not_run().unwrap();
        assert_eq!(
            read(&text[used..], 1, unrun.clone()),
            lexed(b"b d", Backslash::Escapes)
        );
        assert!(unrun.had_it_not_run().is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_parts(
            text in prop_oneof![
                "[ab1'\"`\\\\ */!M#\n;-]{0,60}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..200),
            ],
            size in 1usize..50,
        ) {
            for backslash in [Backslash::Escapes, Backslash::IsPlain] {
                let whole = read(&text, text.len().max(1), Stream::new(backslash));
                prop_assert_eq!(&read(&text, size, Stream::new(backslash)), &whole);
                // Both read the same but for escapes and length.
                prop_assert_eq!(whole.len(), lexed(&text, backslash).len());
            }
        }
    }
}
