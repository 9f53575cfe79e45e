//! CREATE and DROP.

use super::words::Words;
use super::{Access, Statement, States, Transaction};

/// Without an implicit commit only with the word TEMPORARY.
pub(super) fn create<'a>(words: &mut Words<'a>) -> Statement<'a> {
    let created = Statement::commits(Access::Writes);
    if words.eat("or") {
        words.eat("replace");
    }
    if words.eat("temporary") {
        if words.eat("sequence") {
            // MariaDB commits before this one (measured).
            return Statement::new(
                Access::MayWrite,
                Transaction::MayCommit,
                States::TEMPORARY_TABLES,
            );
        }
        words.eat("table");
        words.eat("if");
        words.eat("not");
        words.eat("exists");
        super::rows::skip_target(words);
        let temporary = Statement::new(
            Access::MayWrite,
            Transaction::Stays,
            States::TEMPORARY_TABLES,
        );
        return columns(words, temporary);
    }
    while let Some(token) = words.next() {
        let is = |word| token.is_word(word);
        if ["procedure", "function", "trigger", "event", "package"]
            .into_iter()
            .any(is)
        {
            if words.skip_routine() {
                return created.leaving(States::UNKNOWN);
            }
            return created;
        }
        if [
            "table", "view", "database", "schema", "index", "user", "role",
        ]
        .into_iter()
        .any(is)
        {
            break;
        }
    }
    // MySQL: the rows of a CREATE TABLE … SELECT follow, in a transaction.
    while let Some(token) = words.next() {
        if token.is_word("start") && words.eat("transaction") {
            return created.leaving(States::TRANSACTION);
        }
    }
    created
}

/// Its contents may be selected, with functions and all. Types of columns and functions in defaults look alike; only a SELECT matters.
fn columns<'a>(words: &mut Words<'a>, statement: Statement<'a>) -> Statement<'a> {
    while let Some(token) = words.next() {
        if token.is_word("select") || token.is_word("with") {
            return super::rows::scan(words, statement);
        }
    }
    statement
}

pub(super) fn drop<'a>(words: &mut Words<'a>) -> Statement<'a> {
    if words.eat("prepare") {
        return Statement::reads();
    }
    if words.eat("temporary") {
        return Statement::new(Access::MayWrite, Transaction::Stays, States::NONE);
    }
    Statement::commits(Access::Writes)
}
