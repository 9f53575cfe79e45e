//! Whose confirmations count.

use crate::ids::{ServerName, Zone};

/// A server with `vote = true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub name: ServerName,
    pub zone: Option<Zone>,
    /// The present source: it takes part in majorities only.
    pub is_source: bool,
}
