//! What stands in a view, a trigger or a stored function, as `information_schema` has it.

use super::named::Named;
use super::{Reading, Reasons, Subject, judge, scan};
use crate::sql::lexer::{Lexer, Token};

/// Of a longer body no more is kept.
const MOST_STATEMENTS: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// By its text.
    pub reasons: Reasons,
    pub statements: Vec<Named>,
}

impl Body {
    /// The database is its own: names without one are in it.
    pub fn of(reading: Reading, database: &str, text: &[u8]) -> Self {
        let mut body = Self::default();
        for piece in pieces(reading, text) {
            body.add(reading, database, piece);
        }
        body
    }

    fn add(&mut self, reading: Reading, database: &str, piece: &[u8]) {
        let mut lexer = Lexer::by(reading.server, piece, reading.backslash);
        let Some(Token::Word(first)) = lexer.next() else {
            return;
        };
        let first = first.to_ascii_uppercase();
        let rest = lexer.rest();
        let named = match first.as_slice() {
            // A cursor's FETCH NEXT is not that of a query.
            b"FETCH" | b"OPEN" | b"CLOSE" | b"END" => return,
            b"RETURN" | b"IF" | b"ELSEIF" | b"WHILE" | b"UNTIL" | b"CASE" | b"WHEN" => {
                Named::of(reading, database, &[b"SELECT ", rest].concat())
            }
            b"DECLARE" => match cursor(reading, rest) {
                Some(query) => Named::of(reading, database, query),
                None => None,
            },
            _ => Named::of(reading, database, piece),
        };
        let (subject, verdict) = judge(reading, piece);
        let verdict = match subject {
            Subject::Rows => verdict,
            Subject::Other => scan::Scan::new(reading, piece).expression(),
        };
        self.reasons.join(verdict.reasons);
        if let Some(named) = named
            && self.statements.len() < MOST_STATEMENTS
        {
            self.statements.push(named);
        }
    }
}

/// The query of DECLARE name CURSOR FOR query.
fn cursor(reading: Reading, declaration: &[u8]) -> Option<&[u8]> {
    let mut lexer = Lexer::by(reading.server, declaration, reading.backslash);
    lexer.next()?;
    let is_cursor = lexer.next()?.is_word("cursor") && lexer.next()?.is_word("for");
    is_cursor.then(|| lexer.rest())
}

/// Statements and conditions, without the words that hold them together.
fn pieces(reading: Reading, text: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut lexer = Lexer::by(reading.server, text, reading.backslash);
    let mut start = 0;
    let mut is_first = true;
    let (mut depth, mut cases) = (0_usize, 0_usize);
    loop {
        let before = text.len() - lexer.rest().len();
        let Some(token) = lexer.next() else {
            break;
        };
        let after = text.len() - lexer.rest().len();
        let mut cut = false;
        match token {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            Token::Symbol(b';') => cut = true,
            Token::Word(word) if depth == 0 => {
                let is = |any: &[&str]| {
                    let mut any = any.iter();
                    any.any(|one| word.eq_ignore_ascii_case(one.as_bytes()))
                };
                if is(&["case"]) && !is_first {
                    // Within a statement it is an expression, and its THEN and ELSE are as well.
                    cases += 1;
                } else if is(&["end"]) && cases > 0 {
                    cases -= 1;
                } else if cases == 0 {
                    // INSERT … ON DUPLICATE KEY has none of these; REPEAT and LOOP begin a piece.
                    cut =
                        is(&["begin", "then", "else", "do"]) || is_first && is(&["loop", "repeat"]);
                }
            }
            _ => {}
        }
        if cut {
            pieces.push(&text[start..before]);
            start = after;
            (depth, cases) = (0, 0);
        }
        is_first = cut;
    }
    pieces.push(&text[start..]);
    pieces
}
