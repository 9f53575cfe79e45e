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

/// In which charset a byte that looks like a backslash or a quote may be the second half of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// GBK, GB18030 (its longer characters have digits in second place).
    Gbk,
    /// Also CP932.
    Sjis,
    Big5,
}

impl Pairs {
    pub const ALL: [Self; 3] = [Self::Gbk, Self::Sjis, Self::Big5];

    fn is_lead(self, byte: u8) -> bool {
        match self {
            Self::Gbk => (0x81..=0xfe).contains(&byte),
            Self::Sjis => (0x81..=0x9f).contains(&byte) || (0xe0..=0xfc).contains(&byte),
            Self::Big5 => (0xa1..=0xf9).contains(&byte),
        }
    }

    /// Whether a character is half read behind `bytes`, if it was before them.
    fn is_half(self, before: bool, bytes: &[u8]) -> bool {
        // No first half is below 0x81, and whatever follows one belongs to it.
        let run = bytes.iter().rposition(|byte| *byte < 0x80);
        let (mut half, run) = match run {
            // What is below is no first half, but may be a second one, and so is at an end either way.
            Some(at) => (false, &bytes[at + 1..]),
            None => (before, bytes),
        };
        for byte in run {
            half = !half && self.is_lead(*byte);
        }
        half
    }
}

/// How the insides of quotes are read. It depends on the session, and a text may change that on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// In '…'.
    pub single: Backslash,
    /// In "…", which is a name with ANSI_QUOTES.
    pub double: Backslash,
    /// None: no byte is half of a character.
    pub pairs: Option<Pairs>,
}

impl Way {
    pub fn new(backslash: Backslash) -> Self {
        Self {
            single: backslash,
            double: backslash,
            pairs: None,
        }
    }

    fn escapes(&self, quote: u8) -> bool {
        let backslash = match quote {
            b'\'' => self.single,
            b'"' => self.double,
            _ => Backslash::IsPlain,
        };
        backslash == Backslash::Escapes
    }
}

/// What nobody has read in another way yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Undecided {
    executable: bool,
    /// Once the text speaks of `sql_mode`.
    single: bool,
    double: bool,
    pairs: bool,
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
    way: Way,
    undecided: Undecided,
    speaks_of_mode: bool,
    /// In the order of [`Pairs::ALL`]: a character is half read here.
    half: [bool; 3],
    executable: Executable,
    in_executable: bool,
    kept: [u8; KEPT],
    length: usize,
}

impl Stream {
    pub fn new(backslash: Backslash) -> Self {
        Self {
            at: At::Between,
            way: Way::new(backslash),
            undecided: Undecided {
                executable: true,
                single: false,
                double: true,
                pairs: true,
            },
            speaks_of_mode: false,
            half: [false; 3],
            executable: Executable::Runs,
            in_executable: false,
            kept: [0; KEPT],
            length: 0,
        }
    }

    /// In a text that stands in another one's string.
    pub fn within(way: Way) -> Self {
        Self {
            way,
            ..Self::new(way.single)
        }
    }

    pub fn way(&self) -> Way {
        self.way
    }

    /// The text speaks of `sql_mode`: behind it backslashes may be read otherwise.
    pub fn note_mode(&mut self) {
        let first = !std::mem::replace(&mut self.speaks_of_mode, true);
        self.undecided.single |= first;
    }

    /// Before `next`: this stream as a session would read on to which it means something else. Each difference
    /// is told once.
    pub fn others(&mut self, next: u8) -> Vec<Self> {
        let quote = match self.at {
            At::Quoted(quote) if next == b'\\' || next == quote && quote == b'`' => quote,
            // A character's second half goes on with a word.
            At::Word | At::Between if matches!(next, b'\\' | b'`') => b' ',
            _ => return Vec::new(),
        };
        let mut others = Vec::new();
        if self.undecided.pairs && self.half.contains(&true) {
            self.undecided.pairs = false;
            for pairs in Pairs::ALL {
                let mut other = self.clone();
                other.way.pairs = Some(pairs);
                others.push(other);
            }
        }
        let flipped = |backslash| match backslash {
            Backslash::Escapes => Backslash::IsPlain,
            Backslash::IsPlain => Backslash::Escapes,
        };
        let mut all = vec![self.clone()];
        all.append(&mut others);
        for stream in &mut all {
            let mut other = stream.clone();
            match quote {
                b'"' if stream.undecided.double => {
                    stream.undecided.double = false;
                    other.undecided.double = false;
                    other.way.double = flipped(other.way.double);
                    others.push(other);
                }
                b'\'' if stream.undecided.single => {
                    stream.undecided.single = false;
                    other.undecided.single = false;
                    other.way.single = flipped(other.way.single);
                    others.push(other);
                }
                _ => {}
            }
        }
        let mut all = all.into_iter();
        if let Some(own) = all.next() {
            *self = own;
        }
        all.chain(others).collect()
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
                if length > 0 {
                    self.keep(&part[..length]);
                    self.read(&part[..length]);
                } else if self.is_second_half(byte) {
                    self.keep(&[byte]);
                    self.half = [false; 3];
                    return 1;
                } else {
                    self.end_word(out);
                }
                length
            }
            At::Quoted(quote) => {
                let found = memchr::memchr2(quote, b'\\', part).unwrap_or(part.len());
                if found > 0 {
                    let inside = &part[..found];
                    self.inside(quote, inside, out);
                    self.read(inside);
                    return found;
                }
                let is_second_half = self.is_second_half(byte);
                self.half = [false; 3];
                if is_second_half {
                    self.inside(quote, &[byte], out);
                    1
                } else if byte == quote {
                    self.goes(At::QuoteEnd(quote), 1)
                } else if self.way.escapes(quote) {
                    self.goes(At::Escape(quote), 1)
                } else {
                    self.inside(quote, &[byte], out);
                    1
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
                self.half = [false; 3];
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
            self.read(&part[..end]);
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
    pub fn had_it_not_run(&mut self) -> Option<Self> {
        if self.at != At::Version(0) || !std::mem::take(&mut self.undecided.executable) {
            return None;
        }
        Some(Self {
            at: At::Unrun { inner: false },
            executable: Executable::IsComment,
            in_executable: false,
            ..self.clone()
        })
    }

    /// Goes over bytes of which none is a backslash or ends the quotes.
    fn read(&mut self, bytes: &[u8]) {
        for (half, pairs) in self.half.iter_mut().zip(Pairs::ALL) {
            *half = pairs.is_half(*half, bytes);
        }
    }

    /// Of a character that is half read, whose second half may be a backslash or a backtick.
    fn is_second_half(&self, byte: u8) -> bool {
        let mut all = self.half.iter().zip(Pairs::ALL);
        let half = all.any(|(half, pairs)| *half && self.way.pairs == Some(pairs));
        half && matches!(byte, b'\\' | b'`')
    }

    fn goes(&mut self, to: At, used: usize) -> usize {
        self.at = to;
        used
    }

    fn between(&mut self, byte: u8, out: &mut impl FnMut(Piece<'_>)) -> usize {
        let is_second_half = self.is_second_half(byte);
        self.half = [false; 3];
        if is_second_half {
            self.length = 0;
            return self.goes(At::Word, 1);
        }
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

    /// All the ways in which a text can be read.
    fn ways(text: &[u8]) -> Vec<Vec<String>> {
        let mut all = vec![(Stream::new(Backslash::Escapes), Vec::new())];
        for byte in text {
            let mut more = Vec::new();
            for (stream, tokens) in &mut all {
                for other in stream.others(*byte) {
                    more.push((other, tokens.clone()));
                }
            }
            all.extend(more);
            for (stream, tokens) in &mut all {
                let mut out = |piece: Piece<'_>| {
                    if let Piece::Token(token) = piece {
                        tokens.push(format!("{token:?}"));
                    }
                };
                while stream.step(&[*byte], &mut out) == 0 {}
            }
        }
        let finished = all.into_iter().map(|(mut stream, mut tokens)| {
            stream.finish(&mut |piece| {
                if let Piece::Token(token) = piece {
                    tokens.push(format!("{token:?}"));
                }
            });
            tokens
        });
        finished.collect()
    }

    #[test]
    fn what_can_be_read_otherwise_is() {
        let second = format!("{:?}", Token::Word(b"second"));
        let hides = |text: &[u8]| {
            let all = ways(text);
            let found = all.iter().filter(|tokens| tokens.contains(&second)).count();
            (found, all.len())
        };
        // With ANSI_QUOTES a backslash is one.
        assert_eq!(hides(br#""a\"; second; "b""#), (1, 2));
        // GBK takes both bytes for one character; to Big5 and SJIS they are two.
        let (found, all) = hides(b"'\xa0\x5c'; second; 'b'");
        assert!(found >= 1 && all == 4, "{found} {all}");
        let (found, all) = hides(b"'\xbf\x5c'; second; 'b'");
        assert!(found >= 2 && all == 4, "{found} {all}");
        // Two halves of one character, then an escape, to all of them.
        assert_eq!(hides(b"'\xbf\xbf\x5c''; second; '"), (1, 1));
        // A name whose end is none.
        let (found, all) = hides(b"`\xbf``; second; `");
        assert!(found >= 1 && all == 4, "{found} {all}");
        // Nothing to doubt.
        assert_eq!(hides(b"'a\\\\'; second; 'b'"), (1, 1));
        assert_eq!(hides("'\u{e4}'; second; 'b'".as_bytes()), (1, 1));
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
        let mut unrun = stream.had_it_not_run().unwrap();
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
