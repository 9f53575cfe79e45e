//! The tokens of one statement after another.

use crate::sql::lexer::{Backslash, Lexer, Token};
use crate::sql::server::Server;

#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    lexer: Lexer<'a>,
    /// The next token.
    ahead: Option<Token<'a>>,
}

/// A word, in capitals; one that is longer than any keyword is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyword {
    upper: [u8; Self::LONGEST],
    length: usize,
}

impl Keyword {
    /// No keyword and no function that we know is longer.
    pub(super) const LONGEST: usize = 32;

    pub(super) fn of(word: &[u8]) -> Option<Self> {
        let mut upper = [0; Self::LONGEST];
        let length = word.len();
        let place = upper.get_mut(..length)?;
        place.copy_from_slice(word);
        place.make_ascii_uppercase();
        Some(Self { upper, length })
    }

    pub(super) fn upper(&self) -> &[u8] {
        &self.upper[..self.length]
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.upper().eq_ignore_ascii_case(word.as_bytes())
    }
}

impl<'a> Words<'a> {
    pub(super) fn new(server: Server, text: &'a [u8], backslash: Backslash) -> Self {
        let mut lexer = Lexer::by(server, text, backslash);
        let ahead = lexer.next();
        Self { lexer, ahead }
    }

    /// Goes over semicolons; false at the end of the text.
    pub(super) fn next_statement(&mut self) -> bool {
        while self.is_semicolon() {
            self.ahead = self.lexer.next();
        }
        self.ahead.is_some()
    }

    fn is_semicolon(&self) -> bool {
        self.ahead.is_some_and(|token| token.is_symbol(b';'))
    }

    /// The statement's next token, if there is one.
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.ahead.filter(|_| !self.is_semicolon())
    }

    /// What follows the token of [`Self::peek`] immediately.
    pub(super) fn is_followed_by(&self, byte: u8) -> bool {
        self.lexer.rest().first() == Some(&byte)
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek()?;
        self.ahead = self.lexer.next();
        Some(token)
    }

    /// The next token, if it is a word.
    pub(super) fn keyword(&mut self) -> Option<Keyword> {
        let Some(Token::Word(word)) = self.peek() else {
            return None;
        };
        let keyword = Keyword::of(word)?;
        self.next();
        Some(keyword)
    }

    /// Goes over the next token if it is this word.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|token| token.is_word(word));
        if is {
            self.next();
        }
        is
    }

    pub(super) fn eat_symbol(&mut self, symbol: u8) -> bool {
        let is = self.peek().is_some_and(|token| token.is_symbol(symbol));
        if is {
            self.next();
        }
        is
    }

    /// To the next semicolon.
    pub(super) fn skip_statement(&mut self) {
        while self.next().is_some() {}
    }

    /// To the end of the text; true where that may have been more than one statement.
    pub(super) fn skip_all(&mut self) -> bool {
        let mut more = false;
        self.skip_statement();
        while self.next_statement() {
            more = true;
            self.skip_statement();
        }
        more
    }

    /// To the end of a routine's body: the semicolons within its BEGIN … END are its own. True where
    /// its end was not found, and the text behind it is gone over as well.
    pub(super) fn skip_routine(&mut self) -> bool {
        let mut depth = 0_u32;
        let mut after_end = false;
        loop {
            if depth == 0 && self.is_semicolon() {
                return false;
            }
            let Some(token) = self.ahead else {
                return depth > 0;
            };
            self.ahead = self.lexer.next();
            let is = |word| token.is_word(word);
            match token {
                // END CASE closes the same as END.
                Token::Word(_) if is("begin") || is("case") && !after_end => depth += 1,
                Token::Word(_) if is("end") => {
                    let of = |word| self.ahead.is_some_and(|next| next.is_word(word));
                    if !["if", "loop", "while", "repeat", "for"].into_iter().any(of) {
                        depth = depth.saturating_sub(1);
                    }
                }
                // Opened without a BEGIN: its end is not known.
                Token::Word(_)
                    if depth == 0 && ["then", "loop", "do", "repeat"].into_iter().any(is) =>
                {
                    let body = self.ahead.is_some_and(|next| next.is_word("begin"));
                    if !body {
                        return self.skip_all();
                    }
                }
                _ => {}
            }
            after_end = is("end");
        }
    }
}
