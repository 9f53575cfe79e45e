//! What kind a statement is, from its first keyword.

/// Kinds by what they can do to the data, and by what an error in their middle can leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// SELECT, SHOW and their like.
    Read,
    /// INSERT, UPDATE, DELETE, REPLACE, LOAD: one statement, undone as a whole when it fails.
    Write,
    /// BEGIN, START, ROLLBACK, SAVEPOINT, SET, USE: nothing of their own is committed. (SET
    /// autocommit=1 and BEGIN commit what was open; their OK carries its GTID.)
    Control,
    /// COMMIT.
    Commit,
    /// CALL, EXECUTE, XA, compound statements, and whatever an executable comment hides: other
    /// statements run inside, and each may commit.
    Routine,
    /// All others, DDL above all: it commits what was open before it does its own work.
    Other,
}

impl Kind {
    /// Whether this error in answer to a statement of this kind leaves no doubt: nothing was
    /// committed.
    pub fn failed_means_undone(self, code: u16) -> bool {
        /// A text that is no SQL fails before anything is done.
        const ER_PARSE_ERROR: u16 = 1064;
        match self {
            Self::Read | Self::Write | Self::Control => true,
            Self::Other => code == ER_PARSE_ERROR,
            Self::Commit | Self::Routine => false,
        }
    }

    /// For metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Control => "control",
            Self::Commit => "commit",
            Self::Routine => "routine",
            Self::Other => "other",
        }
    }
}

/// The kind of a text's (first) statement.
pub fn kind(text: &[u8]) -> Kind {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            // Parentheses open a SELECT or VALUES.
            [b'(', later @ ..] => rest = later,
            // What an executable comment holds depends on the server's version.
            [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => return Kind::Routine,
            [b'/', b'*', later @ ..] => match memchr::memmem::find(later, b"*/") {
                Some(end) => rest = &later[end + 2..],
                None => return Kind::Other,
            },
            [b'#', later @ ..] | [b'-', b'-', b' ' | b'\t' | b'\n' | b'\r', later @ ..] => {
                match memchr::memchr(b'\n', later) {
                    Some(end) => rest = &later[end + 1..],
                    None => return Kind::Other,
                }
            }
            _ => return of_keyword(rest),
        }
    }
}

/// One statement that only reads or writes rows, or is so small a control that nothing can hide in
/// it: no second statement, no executable comment. Such a text can neither kill nor change variables.
pub fn is_plain(kind: Kind, text: &[u8]) -> bool {
    // The exclamation mark stands for an executable comment; that it is also in `!=` costs little.
    matches!(kind, Kind::Read | Kind::Write) && memchr::memchr2(b';', b'!', text).is_none()
}

fn of_keyword(text: &[u8]) -> Kind {
    /// No keyword below is longer.
    const LONGEST: usize = 9;
    let mut upper = [0u8; LONGEST + 1];
    let mut length = 0;
    for byte in text {
        if !byte.is_ascii_alphabetic() {
            break;
        }
        if length > LONGEST {
            return Kind::Other;
        }
        upper[length] = byte.to_ascii_uppercase();
        length += 1;
    }
    match &upper[..length] {
        b"SELECT" | b"SHOW" | b"WITH" | b"VALUES" | b"TABLE" | b"DESC" | b"DESCRIBE"
        | b"EXPLAIN" | b"HELP" => Kind::Read,
        b"INSERT" | b"UPDATE" | b"DELETE" | b"REPLACE" | b"LOAD" => Kind::Write,
        b"CALL" | b"EXECUTE" | b"XA" | b"IF" | b"CASE" | b"LOOP" | b"WHILE" | b"REPEAT"
        | b"FOR" => Kind::Routine,
        b"BEGIN" if is_compound(text) => Kind::Routine,
        b"BEGIN" | b"START" | b"ROLLBACK" | b"SAVEPOINT" | b"RELEASE" | b"USE" => Kind::Control,
        b"SET" if is_set_statement(text) => Kind::Routine,
        b"SET" => Kind::Control,
        b"COMMIT" => Kind::Commit,
        _ => Kind::Other,
    }
}

/// `BEGIN NOT ATOMIC` opens a compound statement.
fn is_compound(text: &[u8]) -> bool {
    let rest = text[5..].trim_ascii_start();
    !(rest.is_empty() || rest.starts_with(b";") || starts_with_word(rest, b"WORK"))
}

/// `SET STATEMENT … FOR` runs any other statement.
fn is_set_statement(text: &[u8]) -> bool {
    starts_with_word(text[3..].trim_ascii_start(), b"STATEMENT") || text[3..].contains(&b'/')
}

fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds() {
        for (text, expected) in [
            ("SELECT 1", Kind::Read),
            ("  (select 1)", Kind::Read),
            ("/* hint */ -- x\n# y\nselect 1", Kind::Read),
            ("insert into t values(1)", Kind::Write),
            ("BEGIN", Kind::Control),
            ("begin work", Kind::Control),
            ("BEGIN NOT ATOMIC kill 5; END", Kind::Routine),
            ("COMMIT", Kind::Commit),
            ("set autocommit=1", Kind::Control),
            (
                "set statement max_statement_time=1 for insert into t values(1)",
                Kind::Routine,
            ),
            ("/*!40000 insert */ into t values(1)", Kind::Routine),
            ("call p()", Kind::Routine),
            ("selectx", Kind::Other),
            ("create table t(a int)", Kind::Other),
            ("", Kind::Other),
            ("/* open", Kind::Other),
            ("XA COMMIT 'a'", Kind::Routine),
        ] {
            assert_eq!(kind(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn plain() {
        let is = |text: &str| is_plain(kind(text.as_bytes()), text.as_bytes());
        assert!(is("select 1"));
        assert!(!is("select 1; kill 5"));
        assert!(!is("select 1 /*! ; kill 5 */"));
        assert!(!is("set a=1"));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            is_plain(kind(&bytes), &bytes);
        }
        #[test]
        fn any_text(text in "(begin|set|BEGIN |SET |/\\*|--|#)[ a-z/*!;]{0,12}") {
            kind(text.as_bytes());
        }
    }
}
