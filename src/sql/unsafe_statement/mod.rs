//! Whether a statement that stands in a binlog as a statement does the same on every server that runs it.
//!
//! The servers call a statement that may not *unsafe* (MySQL's manual, "Determination of Safe and Unsafe
//! Statements in Binary Logging"; `enum_binlog_stmt_unsafe` in their `sql_lex.h`). In MIXED format they log
//! its rows instead; in STATEMENT format they log it as it is and push warning 1592. [`judge`] gives the
//! reasons that can be told from the text. `tests/suite/unsafe_statements.rs` runs a corpus on both servers and
//! compares with their warnings: what we name, the server names, and what it names beyond that is one of
//! those that take more than the text. Of these, [`schema`] judges by a description of what is named:
//!
//! - an AUTO_INCREMENT column that is filled from a SELECT, by a trigger or a function, or is not the first
//!   of its key; ON DUPLICATE KEY UPDATE with more than one unique key
//! - what views, triggers and stored functions do inside
//!
//! Nobody judges:
//!
//! - what loadable functions and full-text parsers do inside
//! - engines without transactions after or among those with, temporary tables
//! - tables of `mysql` and `performance_schema` that are named without their schema
//!
//! NOW() and its like are safe: the event carries its time, to the microsecond. So is RAND() in MariaDB,
//! whose event is preceded by its seeds; MySQL has given that up.
//!
//! INSERT DELAYED is on the servers' list and in neither of them: with a binlog MariaDB 10.11 runs it as an
//! INSERT, MySQL does always.
//!
//! In LOAD DATA the servers look for nothing in STATEMENT format. We name what we find: the file's rows are
//! the same everywhere, a `SET b = UUID()` behind them is not.
//!
//! - [`scan`]: one pass over the tokens
//! - [`names`]: functions, variables and tables
//! - [`named`]: the tables and functions that a statement names, by `sqlparser`
//! - [`body`]: the same of a view, a trigger or a stored function
//! - [`schema`]: the reasons that take the schema

pub mod body;
pub mod named;
mod names;
mod scan;
pub mod schema;

use std::fmt;

use super::lexer::Backslash;
use super::server::Server;

/// Why a statement is unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Unsafe {
    Limit,
    SystemFunction,
    SystemVariable,
    /// The logs and performance_schema.
    SystemTable,
    /// MySQL: accounts and privileges, read by a statement that writes elsewhere.
    AclTable,
    InsertIgnoreSelect,
    InsertSelectUpdate,
    ReplaceSelect,
    CreateIgnoreSelect,
    CreateReplaceSelect,
    CreateSelectAutoIncrement,
    UpdateIgnore,
    SkipLocked,
    /// MySQL only.
    NoWait,
    /// MySQL only: whatever it is, it stands in an XA transaction.
    Xa,
    /// By the schema: AUTO_INCREMENT in a statement that reads another table.
    AutoIncrementSelect,
    /// By the schema: AUTO_INCREMENT in a table that a trigger or a function writes to.
    AutoIncrementInside,
    /// By the schema: AUTO_INCREMENT that is the first column of no key.
    AutoIncrementNotFirst,
    /// By the schema: ON DUPLICATE KEY UPDATE with more than one.
    SeveralUniqueKeys,
}

impl Unsafe {
    pub const ALL: [Self; 19] = [
        Self::Limit,
        Self::SystemFunction,
        Self::SystemVariable,
        Self::SystemTable,
        Self::AclTable,
        Self::InsertIgnoreSelect,
        Self::InsertSelectUpdate,
        Self::ReplaceSelect,
        Self::CreateIgnoreSelect,
        Self::CreateReplaceSelect,
        Self::CreateSelectAutoIncrement,
        Self::UpdateIgnore,
        Self::SkipLocked,
        Self::NoWait,
        Self::Xa,
        Self::AutoIncrementSelect,
        Self::AutoIncrementInside,
        Self::AutoIncrementNotFirst,
        Self::SeveralUniqueKeys,
    ];

    /// For metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::SystemFunction => "system-function",
            Self::SystemVariable => "system-variable",
            Self::SystemTable => "system-table",
            Self::AclTable => "acl-table",
            Self::InsertIgnoreSelect => "insert-ignore-select",
            Self::InsertSelectUpdate => "insert-select-update",
            Self::ReplaceSelect => "replace-select",
            Self::CreateIgnoreSelect => "create-ignore-select",
            Self::CreateReplaceSelect => "create-replace-select",
            Self::CreateSelectAutoIncrement => "create-select-auto-increment",
            Self::UpdateIgnore => "update-ignore",
            Self::SkipLocked => "skip-locked",
            Self::NoWait => "nowait",
            Self::Xa => "xa",
            Self::AutoIncrementSelect => "auto-increment-select",
            Self::AutoIncrementInside => "auto-increment-inside",
            Self::AutoIncrementNotFirst => "auto-increment-not-first",
            Self::SeveralUniqueKeys => "several-unique-keys",
        }
    }
}

/// For a sentence that begins "It is unsafe because".
impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limit => "it uses LIMIT: which rows are meant is not the same everywhere",
            Self::SystemFunction => {
                "it calls a system function whose result is not the same everywhere"
            }
            Self::SystemVariable => {
                "it reads a system variable that may have another value elsewhere"
            }
            Self::SystemTable => {
                "it reads a log or performance_schema, which each server has for itself"
            }
            Self::AclTable => {
                "it reads a table of accounts or privileges, whose rows it does not lock"
            }
            Self::InsertIgnoreSelect => {
                "INSERT IGNORE … SELECT ignores other rows where they come in another order"
            }
            Self::InsertSelectUpdate => {
                "INSERT … SELECT … ON DUPLICATE KEY UPDATE updates other rows where they come in another order"
            }
            Self::ReplaceSelect => {
                "REPLACE … SELECT replaces other rows where they come in another order"
            }
            Self::CreateIgnoreSelect => {
                "CREATE … IGNORE SELECT ignores other rows where they come in another order"
            }
            Self::CreateReplaceSelect => {
                "CREATE … REPLACE SELECT replaces other rows where they come in another order"
            }
            Self::CreateSelectAutoIncrement => {
                "CREATE … SELECT numbers an AUTO_INCREMENT column by the order in which rows come"
            }
            Self::UpdateIgnore => {
                "UPDATE IGNORE ignores other rows where they come in another order"
            }
            Self::SkipLocked => "SKIP LOCKED leaves out what happens to be locked",
            Self::NoWait => "NOWAIT fails where a row happens to be locked",
            Self::Xa => "it is in an XA transaction: replicas that run statements may deadlock",
            Self::AutoIncrementSelect => {
                "it writes to a table with an AUTO_INCREMENT column and reads another table, whose rows may come in another order"
            }
            Self::AutoIncrementInside => {
                "a trigger or a stored function writes to a table with an AUTO_INCREMENT column, whose numbers are not logged"
            }
            Self::AutoIncrementNotFirst => {
                "it writes to a table whose AUTO_INCREMENT column is the first of no key"
            }
            Self::SeveralUniqueKeys => {
                "INSERT … ON DUPLICATE KEY UPDATE on a table with more than one unique key may update another row"
            }
        })
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons(u32);

impl Reasons {
    pub fn add(&mut self, reason: Unsafe) {
        self.0 |= 1 << reason as u8;
    }

    pub fn join(&mut self, others: Self) {
        self.0 |= others.0;
    }

    pub fn contains(self, reason: Unsafe) -> bool {
        self.0 & 1 << reason as u8 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Unsafe> {
        Unsafe::ALL
            .into_iter()
            .filter(move |reason| self.contains(*reason))
    }
}

/// How the session read its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub server: Server,
    pub backslash: Backslash,
    /// `IGNORE_SPACE`.
    pub ignores_space: bool,
}

/// What was found in one statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub reasons: Reasons,
    /// The first function, variable or table that makes it unsafe, as it is written.
    pub culprit: Option<&'a [u8]>,
}

impl Verdict<'_> {
    pub fn is_safe(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// What a statement is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// INSERT, REPLACE, UPDATE, DELETE, LOAD DATA, CREATE TABLE … SELECT.
    Rows,
    /// All others: in every format they are logged as they are.
    Other,
}

/// The verdict on one statement, and whether it is of those that are judged at all.
pub fn judge(reading: Reading, text: &[u8]) -> (Subject, Verdict<'_>) {
    scan::Scan::new(reading, text).run()
}

#[cfg(test)]
mod tests;
