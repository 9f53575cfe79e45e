//! Whether a text may change `session_track_system_variables` or `session_track_gtids`, the variables by
//! which the server tells us what a session committed.
//!
//! The mere name is enough: it does not matter whether it stands in a SET, a SET STATEMENT, the
//! second of several statements, an executable comment or a string that is prepared.

use super::lexer::{Backslash, Lexer, Token};

const NAMES: [&[u8]; 2] = [b"session_track_gtids", b"session_track_system_variables"];
const LONGEST: usize = NAMES[1].len();
const BEFORE_UNDERSCORE: usize = 7;

/// True where the name stands in the text, in any case.
pub fn touches(text: &[u8]) -> bool {
    memchr::memchr_iter(b'_', text).any(|at| {
        let Some(start) = at.checked_sub(BEFORE_UNDERSCORE) else {
            return false;
        };
        NAMES.iter().any(|name| {
            let found = text.get(start..start + name.len());
            found.is_some_and(|found| found.eq_ignore_ascii_case(name))
        })
    })
}

/// Whether a text is one SET of variables, which outside a transaction commits nothing: drivers send such a
/// one at each connect, and some give up after half a second. What could be read in two ways is not.
pub fn only_sets(text: &[u8]) -> bool {
    if !text.is_ascii() || text.iter().any(|byte| matches!(byte, b'\\' | b';' | b'!')) {
        return false;
    }
    let mut tokens = Lexer::new(text, Backslash::Escapes);
    if !tokens.next().is_some_and(|first| first.is_word("SET")) {
        return false;
    }
    // A stored function may write. An unqualified CONCAT is the server's own.
    let mut before = None;
    let mut last = Token::Symbol(0);
    for token in tokens {
        if ELSEWHERE.iter().any(|word| token.is_word(word)) {
            return false;
        }
        if token.is_symbol(b'(') && !(last.is_word("CONCAT") && before != Some(Token::Symbol(b'.')))
        {
            return false;
        }
        before = Some(last);
        last = token;
    }
    true
}

/// A SET with these is another statement, and some of them commit.
const ELSEWHERE: [&str; 5] = ["STATEMENT", "PASSWORD", "ROLE", "DEFAULT", "RESOURCE"];

/// The same for a text that arrives in parts.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    tail: Vec<u8>,
    found: bool,
}

impl Scan {
    pub fn feed(&mut self, part: &[u8]) {
        if self.found {
            return;
        }
        // The name may be cut in two: what was before its end is looked at together with this start.
        let keep = LONGEST - 1;
        let start = &part[..part.len().min(keep)];
        self.tail.extend_from_slice(start);
        self.found = touches(&self.tail) || touches(part);
        if part.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&part[part.len() - keep..]);
        } else {
            let excess = self.tail.len().saturating_sub(keep);
            self.tail.drain(..excess);
        }
    }

    pub fn found(&self) -> bool {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_enough() {
        assert!(touches(b"set session_track_system_variables=''"));
        assert!(touches(b"SET @@SESSION.Session_Track_GTIDs=off"));
        assert!(touches(b"select 1; /*!50700 set session_track_gtids=0 */"));
        assert!(!touches(b"set session_track_schema=0"));
        assert!(!touches(b"select session_tracks from a_b_c"));
        assert!(!touches(b"_"));
        assert!(!touches(b"session_track"));
    }

    #[test]
    fn what_drivers_set_at_a_connect_commits_nothing() {
        // MariaDB Connector/J 2.7 and 3.
        for text in [
            "set autocommit=1, session_track_schema=1, session_track_system_variables='auto_increment_increment', \
             sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')",
            "set autocommit=1,session_track_schema=1,session_track_system_variables = CONCAT(@@global.session_track_system_variables, ',transaction_isolation')",
            "SET @@session.session_track_gtids = OWN_GTID /* why */",
        ] {
            assert!(only_sets(text.as_bytes()), "{text}");
        }
        for text in [
            "SET session_track_gtids=OFF; INSERT INTO t VALUES (1)",
            "SET session_track_gtids=f()",
            "SET session_track_gtids=d.concat(1)",
            "SET session_track_gtids=d . /* x */ concat(1)",
            "SET session_track_gtids=(SELECT f())",
            "SET STATEMENT session_track_gtids=OFF FOR INSERT INTO t VALUES (1)",
            "SET session_track_gtids=OFF, PASSWORD='x'",
            "SET /*!50000 session_track_gtids=OFF */",
            "SET session_track_gtids='\\'",
            "SET @a='\u{df}', session_track_gtids=OFF",
            "INSERT INTO t VALUES ('session_track_gtids')",
        ] {
            assert!(!only_sets(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn cut_anywhere() {
        let text =
            b"set /* some text in front of it */ session_track_gtids = off /* and behind it */";
        for size in 1..text.len() {
            let mut scan = Scan::default();
            for part in text.chunks(size) {
                scan.feed(part);
            }
            assert!(scan.found(), "parts of {size}");
        }
    }
}
