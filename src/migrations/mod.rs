//! The schema `ackline`: numbered SQL for each flavor (`migrations/`), applied at the source, each file once.
//!
//! ```text
//! file     the embedded files, cut into statements
//! pending  what the source has against what this binary knows: which files come next, or why none may
//! apply    the IO: asks, takes the lock, runs the statements, then the file's row in ackline.migrations
//! ```
//!
//! Invariants:
//! - A file's row is written after its last statement, and each statement may run twice: whoever died between
//!   two statements is gone on for by running the file from its first.
//! - Nothing is run at a server that is read-only or follows another. Our account may write there all the same, and
//!   what it wrote would be on that server alone. Asked before each statement, since the source may move meanwhile;
//!   only a whole switchover between that question and its statement would be missed.
//! - Nothing is run that is not logged: it comes to the replicas in the binlog, and waits for acknowledgements there.

mod apply;
mod file;
mod pending;

pub use apply::{Error, apply, missing};
pub use file::{Migration, known};
pub use pending::{Recorded, Refusal, pending};

#[cfg(test)]
mod tests;
