//! What each statement of a text does: whether it writes, what becomes of an open transaction, and what
//! it leaves behind in its session.
//!
//! It is told from the words alone, and each answer errs in one direction only: [`Access::ReadOnly`] and
//! [`Transaction::Stays`] are promises, and what [`Statement::leaves`] does not name is not left behind.
//! The other answers may be more than what the server then does. (`tests/suite/sql_statements.rs` asks real
//! servers.) What cannot be told from words: what views, triggers and generated columns call.
//!
//! - [`ddl`]: CREATE, DROP and their like
//! - [`set`]: SET, and what it assigns
//! - [`rows`]: what stands in a SELECT, or in any expression
//! - [`functions`]: functions of the servers that write nothing
//! - [`states`]: what can be left behind

mod ddl;
mod functions;
mod rows;
mod set;
mod states;
mod words;

use super::lexer::Backslash;
use super::server::Server;
use words::Words;

pub use set::{Assignment, Target, Value};
pub use states::States;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Nothing is written and no row is locked.
    ReadOnly,
    /// It cannot be told, or it changes the server without leaving anything in the binlog.
    MayWrite,
    /// This is what it is there for.
    Writes,
}

/// What becomes of the transaction that is open when a statement comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// It goes on.
    Stays,
    /// COMMIT.
    Commits,
    /// It is committed before the statement does its own work.
    CommitsImplicitly,
    RollsBack,
    /// It depends on what runs inside, or on the state of the session.
    MayCommit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    pub access: Access,
    pub transaction: Transaction,
    /// State of the session that is there afterwards.
    pub leaves: States,
    /// What a SET assigns, in order.
    pub assigns: Vec<Assignment<'a>>,
}

impl Statement<'_> {
    const fn new(access: Access, transaction: Transaction, leaves: States) -> Self {
        Self {
            access,
            transaction,
            leaves,
            assigns: Vec::new(),
        }
    }

    const fn reads() -> Self {
        Self::new(Access::ReadOnly, Transaction::Stays, States::NONE)
    }

    const fn writes() -> Self {
        Self::new(Access::Writes, Transaction::Stays, States::NONE)
    }

    /// DDL and its like.
    const fn commits(access: Access) -> Self {
        Self::new(access, Transaction::CommitsImplicitly, States::NONE)
    }

    /// Anything at all.
    const fn anything() -> Self {
        Self::new(Access::MayWrite, Transaction::MayCommit, States::UNKNOWN)
    }

    const fn leaving(mut self, states: States) -> Self {
        self.leaves = self.leaves.and(states);
        self
    }
}

/// Each statement of a text, as `server` reads it; what is only comment or blank is none.
pub fn statements(server: Server, text: &[u8], backslash: Backslash) -> Statements<'_> {
    Statements(Words::new(server, text, backslash))
}

#[derive(Clone, Debug)]
pub struct Statements<'a>(Words<'a>);

impl<'a> Iterator for Statements<'a> {
    type Item = Statement<'a>;

    fn next(&mut self) -> Option<Statement<'a>> {
        let words = &mut self.0;
        if !words.next_statement() {
            return None;
        }
        let statement = of(words);
        // What is not looked at may still hold an inner semicolon only where `of` has said "anything".
        words.skip_statement();
        Some(statement)
    }
}

/// The statement that begins with the next word.
fn of<'a>(words: &mut Words<'a>) -> Statement<'a> {
    while words.eat_symbol(b'(') {}
    let Some(first) = words.keyword() else {
        // A label of a compound statement, or no SQL.
        return anything_more(words);
    };
    let upper = first.upper();
    match upper {
        b"SELECT" | b"WITH" | b"VALUES" | b"TABLE" | b"SHOW" | b"DESC" | b"DESCRIBE"
        | b"EXPLAIN" | b"HELP" | b"CHECKSUM" | b"SAVEPOINT" | b"RELEASE" | b"SIGNAL"
        | b"RESIGNAL" | b"DO" => rows::scan(words, Statement::reads()),
        b"GET" => Statement::reads().leaving(States::USER_VARIABLES),
        b"INSERT" | b"REPLACE" => {
            rows::skip_target(words);
            rows::scan(words, Statement::writes())
        }
        b"UPDATE" | b"DELETE" => rows::scan(words, Statement::writes()),
        b"LOAD" if words.eat("index") => Statement::commits(Access::MayWrite),
        // Columns may be read into user variables.
        b"LOAD" => rows::scan(words, Statement::writes()).leaving(States::USER_VARIABLES),
        b"IMPORT" | b"CLONE" => Statement::commits(Access::Writes),
        b"CALL" | b"EXECUTE" => Statement::anything(),
        b"PREPARE" => Statement::reads().leaving(States::PREPARED),
        b"DEALLOCATE" => Statement::reads(),
        b"BEGIN" => begin(words),
        b"START" => start(words),
        b"STOP" | b"CHANGE" | b"RESET" | b"SHUTDOWN" | b"RESTART" => {
            Statement::commits(Access::MayWrite)
        }
        b"COMMIT" => ends(words, Transaction::Commits),
        b"ROLLBACK" => rollback(words),
        b"SET" => set::set(words),
        b"USE" => Statement::reads().leaving(States::DATABASE),
        b"LOCK" => Statement::commits(Access::MayWrite).leaving(States::TABLE_LOCKS),
        b"UNLOCK" => Statement::new(Access::ReadOnly, Transaction::MayCommit, States::NONE),
        b"BACKUP" => Statement::new(
            Access::MayWrite,
            Transaction::MayCommit,
            States::TABLE_LOCKS,
        ),
        b"XA" => xa(words),
        b"HANDLER" => rows::scan(words, Statement::reads()).leaving(States::HANDLERS),
        b"FLUSH" => Statement::commits(Access::MayWrite).leaving(States::TABLE_LOCKS),
        b"KILL" | b"PURGE" => Statement::new(Access::MayWrite, Transaction::Stays, States::NONE),
        b"ANALYZE" => analyze(words),
        b"CHECK" | b"OPTIMIZE" | b"REPAIR" | b"CACHE" => Statement::commits(Access::MayWrite),
        b"CREATE" => ddl::create(words),
        b"DROP" => ddl::drop(words),
        b"ALTER" | b"TRUNCATE" | b"RENAME" | b"GRANT" | b"REVOKE" | b"INSTALL" | b"UNINSTALL" => {
            Statement::commits(Access::Writes)
        }
        _ => anything_more(words),
    }
}

/// A compound statement, or something that we do not know: where it ends is not known either.
fn anything_more<'a>(words: &mut Words<'a>) -> Statement<'a> {
    words.skip_all();
    Statement::anything()
}

fn begin<'a>(words: &mut Words<'a>) -> Statement<'a> {
    words.eat("work");
    if words.peek().is_some() {
        // BEGIN NOT ATOMIC.
        return anything_more(words);
    }
    Statement::commits(Access::ReadOnly).leaving(States::TRANSACTION)
}

fn start<'a>(words: &mut Words<'a>) -> Statement<'a> {
    if words.eat("transaction") {
        Statement::commits(Access::ReadOnly).leaving(States::TRANSACTION)
    } else {
        Statement::commits(Access::MayWrite)
    }
}

/// COMMIT and ROLLBACK, with AND CHAIN or without.
fn ends<'a>(words: &mut Words<'a>, transaction: Transaction) -> Statement<'a> {
    words.eat("work");
    let chain = words.eat("and") && words.eat("chain");
    let leaves = if chain {
        States::TRANSACTION
    } else {
        States::NONE
    };
    Statement::new(Access::ReadOnly, transaction, leaves)
}

fn rollback<'a>(words: &mut Words<'a>) -> Statement<'a> {
    words.eat("work");
    if words.eat("to") {
        return Statement::reads();
    }
    ends(words, Transaction::RollsBack)
}

fn xa<'a>(words: &mut Words<'a>) -> Statement<'a> {
    let Some(verb) = words.keyword() else {
        return Statement::anything();
    };
    match verb.upper() {
        b"START" | b"BEGIN" => Statement::reads().leaving(States::XA.and(States::TRANSACTION)),
        b"END" | b"RECOVER" => Statement::reads(),
        b"ROLLBACK" => Statement::new(Access::MayWrite, Transaction::RollsBack, States::NONE),
        // What is prepared goes on by itself and waits for its XA COMMIT, in this session or another.
        _ => Statement::new(Access::MayWrite, Transaction::MayCommit, States::NONE),
    }
}

/// ANALYZE TABLE; in MariaDB also a SELECT, UPDATE or DELETE that is run and explained.
fn analyze<'a>(words: &mut Words<'a>) -> Statement<'a> {
    let explained = [
        "format", "select", "with", "update", "delete", "insert", "replace", "values", "table",
    ];
    let mut ahead = words.clone();
    match ahead.keyword() {
        // `ANALYZE TABLE t` is no TABLE statement.
        Some(word) if word.upper() != b"TABLE" && explained.iter().any(|own| word.is(own)) => {
            rows::scan(words, Statement::reads())
        }
        _ => Statement::commits(Access::MayWrite),
    }
}

#[cfg(test)]
mod tests;
