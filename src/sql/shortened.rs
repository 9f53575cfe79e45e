//! A statement for a line of a log or a table: without comments and without what stands in its literals,
//! which may be anybody's data, on one line, not too long.

use super::lexer::{Backslash, Lexer, Token};
use super::server::Server;

/// At most about `longest` bytes of it. A statement that speaks of a password is not shown at all.
pub fn shorten(server: Server, text: &[u8], backslash: Backslash, longest: usize) -> String {
    let mut shown = String::new();
    let mut lexer = Lexer::by(server, text, backslash);
    let mut last_end = 0;
    while let Some(token) = lexer.next() {
        if token.is_word("identified") || token.is_word("password") {
            return "(not shown: it may hold a password)".to_owned();
        }
        if shown.len() > longest {
            // Only the words above are still looked for.
            continue;
        }
        let end = text.len() - lexer.rest().len();
        let quotes = match token {
            Token::Word(_) => 0,
            Token::Symbol(_) => 1,
            Token::Text(_) | Token::Name(_) => 2,
        };
        let start = end.saturating_sub(token.text().len() + quotes);
        if start > last_end && last_end > 0 {
            shown.push(' ');
        }
        last_end = end;
        match token {
            Token::Word(word) => shown.push_str(&printable(word)),
            Token::Symbol(symbol) => shown.push_str(&printable(&[symbol])),
            Token::Text(_) => shown.push_str("'…'"),
            Token::Name(name) => {
                shown.push('`');
                shown.push_str(&printable(name));
                shown.push('`');
            }
        }
        if shown.len() > longest {
            let cut = (0..=longest).rev().find(|at| shown.is_char_boundary(*at));
            shown.truncate(cut.unwrap_or(0));
            shown.push('…');
        }
    }
    shown
}

/// Whether a text should not be shown, whole or in part: by its words, wherever they stand.
pub fn speaks_of_password(text: &[u8]) -> bool {
    let mut words = text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    words.any(|word| {
        word.eq_ignore_ascii_case(b"identified") || word.eq_ignore_ascii_case(b"password")
    })
}

/// For a terminal, whatever the bytes are.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let replaced = text.chars().map(|character| match character {
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    });
    replaced.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Flavor;

    const SERVER: Server = Server {
        flavor: Flavor::MariaDb,
        version: 101_119,
    };

    fn short(text: &str, longest: usize) -> String {
        shorten(SERVER, text.as_bytes(), Backslash::Escapes, longest)
    }

    #[test]
    fn literals_and_comments_are_left_out() {
        assert_eq!(
            short(
                "insert  into `t`\n(a,b) /* x */ values (1, 'sec''ret'),( 2,\"x\" )",
                100
            ),
            "insert into `t` (a,b) values (1, '…'),( 2,'…' )"
        );
        assert_eq!(
            short("delete from `a\x1b[31m`", 100),
            "delete from `a\u{fffd}[31m`"
        );
        assert_eq!(short("", 100), "");
    }

    #[test]
    fn long_ones_are_cut() {
        assert_eq!(short("select äöü from t", 9), "select ä…");
        assert_eq!(short(&"a ".repeat(1000), 5), "a a a…");
    }

    #[test]
    fn passwords_are_not_shown() {
        for text in [
            "create user u identified by 'x'",
            "insert into t values (1, PASSWORD('x'))",
        ] {
            assert_eq!(short(text, 5), "(not shown: it may hold a password)");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), longest in 0usize..50) {
            let shown = shorten(SERVER, &bytes, Backslash::Escapes, longest);
            prop_assert!(shown.len() <= longest.max(40) + 4);
            prop_assert!(!shown.contains(char::is_control));
        }
    }
}
