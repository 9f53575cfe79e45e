//! What a statement is, told from its bytes.
//!
//! A lexer of our own is the authority on the hot path: it knows comments, executable comments,
//! quoting and several statements in one text, in any character set that a client may speak (all of
//! them keep ASCII bytes for ASCII characters, or put them only into second bytes of characters that
//! occur inside quotes). Where it cannot be sure, it errs towards "might be".
//!
//! - [`lexer`] makes tokens
//! - [`kind`]: the first keyword, about 10 ns
//! - [`kill`]: who a text would kill
//! - [`stream`]: tokens of a text that arrives in parts
//! - [`hazard`]: statements that would make an acknowledgement a lie
//! - [`tracking`]: whether a text may change what the server tells us about commits
//! - [`requirement`]: the variable by which a session asks for more than the policy
//! - [`statement`]: what each statement of a text reads, writes, commits and leaves behind in its session
//! - [`unsafe_statement`]: whether a statement in a binlog does the same everywhere
//! - [`shortened`]: a statement for a line of a log
//! - [`server`]: which executable comments a server runs

pub mod hazard;
pub mod kill;
pub mod kind;
pub mod lexer;
pub mod requirement;
pub mod server;
pub mod shortened;
pub mod statement;
pub mod stream;
pub mod tracking;
pub mod unsafe_statement;

pub use hazard::Hazard;
pub use kill::KillTarget;
pub use kind::Kind;
pub use server::Server;
pub use statement::{Access, Statement, States, Transaction};
