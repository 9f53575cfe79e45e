//! What a reader asks of the binlog in a session with the source, which would answer with its own files and
//! with what is not released.

use crate::sql::lexer::{Backslash, Lexer, Token};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// SHOW BINARY LOGS.
    Logs,
    /// SHOW MASTER STATUS.
    Status,
    /// SELECT @@gtid_binlog_pos or @@gtid_executed, and nothing else.
    Position(Variable),
    /// SHOW STATUS LIKE 'binlog_snapshot_%': where a snapshot stands, if the server tells.
    Snapshot,
    /// Nothing that we could answer.
    TheSources,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    BinlogPos,
    Executed,
}

/// In whatever comments and blanks. None of what is not about the binlog.
pub fn about(statement: &[u8]) -> Option<About> {
    let mut tokens: Vec<Token<'_>> = Lexer::new(statement, Backslash::Escapes).collect();
    while tokens.last().is_some_and(|token| token.is_symbol(b';')) {
        tokens.pop();
    }
    if let Some(about) = shown(&tokens).or_else(|| selected(&tokens)) {
        return Some(about);
    }
    let names = |word: &str| {
        tokens.iter().any(|token| {
            token.text().eq_ignore_ascii_case(word.as_bytes()) && !matches!(token, Token::Text(_))
        })
    };
    let theirs = ["gtid_binlog_pos", "gtid_binlog_state", "gtid_executed"];
    let asks = names("select") && (theirs.into_iter().any(names) || names("log_status"));
    (asks || names("binlog_gtid_pos")).then_some(About::TheSources)
}

fn shown(tokens: &[Token<'_>]) -> Option<About> {
    let [show, rest @ ..] = tokens else {
        return None;
    };
    if !show.is_word("show") {
        return None;
    }
    let is = |words: &[&str]| {
        rest.len() >= words.len()
            && rest
                .iter()
                .zip(words)
                .all(|(token, word)| token.is_word(word))
    };
    let is_all = |words: &[&str]| rest.len() == words.len() && is(words);
    if is_all(&["binary", "logs"]) || is_all(&["master", "logs"]) {
        return Some(About::Logs);
    }
    if is_all(&["master", "status"])
        || is_all(&["binlog", "status"])
        || is_all(&["binary", "log", "status"])
    {
        return Some(About::Status);
    }
    if is(&["binlog", "events"]) {
        return Some(About::TheSources);
    }
    let rest = match rest {
        [scope, rest @ ..]
            if ["global", "session", "local"]
                .iter()
                .any(|word| scope.is_word(word)) =>
        {
            rest
        }
        rest => rest,
    };
    match rest {
        [status, like, Token::Text(pattern)]
            if status.is_word("status")
                && like.is_word("like")
                && pattern.to_ascii_lowercase().starts_with(b"binlog")
                && memchr::memmem::find(&pattern.to_ascii_lowercase(), b"snapshot").is_some() =>
        {
            Some(About::Snapshot)
        }
        _ => None,
    }
}

fn selected(tokens: &[Token<'_>]) -> Option<About> {
    let [select, rest @ ..] = tokens else {
        return None;
    };
    // However the lexer cuts `@@global.gtid_executed`.
    let text: Vec<u8> = rest
        .iter()
        .flat_map(|token| match token {
            Token::Symbol(symbol) => vec![*symbol],
            Token::Text(_) => b"'".to_vec(),
            token => token.text().to_ascii_lowercase(),
        })
        .collect();
    let name = text.strip_prefix(b"@@".as_slice())?;
    let name = name.strip_prefix(b"global.".as_slice()).unwrap_or(name);
    match name {
        _ if !select.is_word("select") => None,
        b"gtid_binlog_pos" => Some(About::Position(Variable::BinlogPos)),
        b"gtid_executed" => Some(About::Position(Variable::Executed)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_in_every_form() {
        for (statement, wanted) in [
            ("SHOW MASTER STATUS", Some(About::Status)),
            ("/* x */ SHOW /* y */ MASTER STATUS ;", Some(About::Status)),
            ("show binary log status -- x", Some(About::Status)),
            ("/*!50000 SHOW BINLOG STATUS */", Some(About::Status)),
            ("SHOW MASTER LOGS", Some(About::Logs)),
            ("SHOW BINARY LOGS # x", Some(About::Logs)),
            (
                "SHOW BINLOG EVENTS IN 'bin.000001'",
                Some(About::TheSources),
            ),
            (
                "SHOW STATUS LIKE 'binlog_snapshot_%'",
                Some(About::Snapshot),
            ),
            (
                "SHOW GLOBAL STATUS LIKE 'Binlog\\_snapshot\\_file'",
                Some(About::Snapshot),
            ),
            (
                "SELECT @@GLOBAL.gtid_binlog_pos",
                Some(About::Position(Variable::BinlogPos)),
            ),
            (
                "select @@gtid_executed;",
                Some(About::Position(Variable::Executed)),
            ),
            ("SELECT @@global.gtid_executed, 1", Some(About::TheSources)),
            (
                "SELECT BINLOG_GTID_POS('bin.000001', 4)",
                Some(About::TheSources),
            ),
            (
                "SELECT local FROM performance_schema.log_status",
                Some(About::TheSources),
            ),
            ("SHOW STATUS LIKE 'Threads%'", None),
            ("SHOW STATUS", None),
            ("SHOW MASTER STATUS t", None),
            ("SELECT 'gtid_executed'", None),
            ("SELECT @@version", None),
            ("", None),
        ] {
            assert_eq!(about(statement.as_bytes()), wanted, "{statement}");
        }
    }
}
