//! The user variable by which a session asks for more than the policy: `@ackline_require`.

use super::lexer::is_word_byte;

/// In any case of letters, as all user variables.
pub const VARIABLE: &str = "ackline_require";

/// Whether a text names it, in a string perhaps.
pub fn is_named(text: &[u8]) -> bool {
    memchr::memchr_iter(b'@', text).any(|at| {
        let name = match &text[at + 1..] {
            [b'`' | b'\'' | b'"', name @ ..] => name,
            // As in a literal that is prepared.
            [b'\\', b'`' | b'\'' | b'"', name @ ..] => name,
            name => name,
        };
        name.split_at_checked(VARIABLE.len())
            .is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(VARIABLE.as_bytes())
                    && !rest.first().is_some_and(|byte| is_word_byte(*byte))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for named in [
            "@ackline_require",
            "SET @`ACKLINE_Require`=1",
            "(@'ackline_require')",
            "@@ackline_require",
        ] {
            assert!(is_named(named.as_bytes()), "{named}");
        }
        for other in [
            "ackline_require",
            "@ackline_required",
            "@ackline_requir",
            "@",
            "a@b",
        ] {
            assert!(!is_named(other.as_bytes()), "{other}");
        }
    }
}
