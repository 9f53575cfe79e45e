//! Proves that replicas hold the same rows as the source, while everybody writes.
//!
//! Of each table, range by range of its key: one statement, logged *as a statement*, writes the count and the checksum
//! of the range into `ackline.checksums`. The source and every replica run it on their own rows, at the same point of
//! history. The source's result is then written, as values, by a second statement. A replica that has applied both
//! holds its own pair and the source's.
//!
//! ```text
//! expression  a row as one 64-bit number, in SQL
//! statement   the statements that are logged
//! pace        how many rows a range has
//! wish        what is to be compared, and when a run rests
//! form        how a transaction of ours came to be logged: as statements, or as rows
//! verdict     what a replica has against what the source has
//! rows        which rows of a range differ, and in what
//! last_write  which transaction last wrote a row, by our binlog
//! source, replica, witness   the IO: the source's session, a replica's, our binlog's files
//! holder, mender             a second session at the source, which holds rows; one at a replica, which mends them
//! held        a range without a statement, where a replica takes none
//! narrow      from a range that differs to its rows
//! run         one table after the other
//! ```
//!
//! Invariants:
//! - Never a false "equal". Of row events a replica would take over the source's result: so a range counts only if
//!   [`witness`] found both its statements in our binlog, as they were sent. A replica must hold rows of *this* run,
//!   with the source's very values beside its own; all else is "not compared".
//! - A statement that is logged must not fail on a replica, which would stop there: before it, each replica that answers
//!   was seen to have the table and every column that it names; it names no index, and no `sql_mode` makes an
//!   error of a warning.
//! - A row is named, or mended, only while it is held at the source, on a replica that has applied a commit of that time.
//!   What is written at a replica is compared once more before it is committed there; the source's rows are never written.
//! - Nobody waits long for our locks: a range is made for 50 ms (20 ms where commits wait for appliers, 500 ms where for
//!   nobody), none is begun while replicas lag or commits wait, and one that does not get its own locks within a
//!   second is given up and begun again.

mod expression;
mod form;
mod held;
mod holder;
mod last_write;
mod mender;
mod narrow;
mod pace;
mod replica;
mod rows;
mod run;
mod source;
mod statement;
mod verdict;
mod wish;
pub mod witness;

pub use last_write::{By, LastWrite};
pub use mender::Serves;
pub use narrow::Narrowed;
pub use replica::Server;
pub use rows::{ColumnDifference, RowDifference, What};
pub use run::{Error, Finding, News, Request, Run};
pub use verdict::{ChunkDifference, Outcome};
pub use wish::{Look, Looks, MAX_LAG, WAIT, Wish};
