//! Tables, for whoever reads or compares their rows.
//!
//! ```text
//! definition  what a table is: columns and keys; where two servers differ in it
//! range       where a range of a key begins and ends
//! travel      how a row goes from one server to another, and is the same there
//! ```

pub mod definition;
pub mod range;
pub mod travel;

pub use definition::{Column, Definition, Name};
pub use range::{Bound, Ordered, Range};
pub use travel::Travel;

/// The servers' own schemas.
pub const SYSTEM: &str = "'mysql', 'information_schema', 'performance_schema', 'sys'";

/// Schemas that hold no rows of applications: the servers' own, and ours.
pub const LEFT_OUT: &str = "'ackline', 'mysql', 'information_schema', 'performance_schema', 'sys'";

/// As it stands in a statement, with its backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
