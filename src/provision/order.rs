//! What is to be done, and what came of it.

use std::sync::Arc;

use super::object::{Catalog, Rows, Table};
use super::point::Stills;
use super::target::Held;
use crate::gtid::Position;
use crate::ids::ServerName;
use crate::net::admin::Account;

/// A server of the configuration.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: ServerName,
    pub account: Account,
}

/// By whose means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// By ours: definitions and rows over client connections.
    #[default]
    Copy,
    /// By MySQL's `CLONE INSTANCE`.
    Clone,
}

#[derive(Clone)]
pub struct Order {
    pub method: Method,
    /// Of this copy; nobody else's.
    pub run: String,
    pub donor: Server,
    /// Who is the source now: it may be moved on the way.
    pub source: Arc<dyn Fn() -> ServerName + Send + Sync>,
    pub stills: Stills,
    pub target: Server,
    /// How many ranges at a time.
    pub streams: usize,
    /// Bytes in a second.
    pub rate: Option<u64>,
    /// Accounts that the target has not are made as well.
    pub accounts: bool,
    /// The donor's applier stands still at the read point, so that another copy can go on where this one ends.
    pub holds: bool,
    /// This one goes on where such a one ended.
    pub goes_on: Option<Held>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Copied {
    pub position: Position,
    /// What could not be made there.
    pub warnings: Vec<String>,
}

/// Those that no snapshot holds.
pub(super) fn locked(catalog: &Catalog) -> Vec<&Table> {
    let tables = catalog.tables.iter();
    tables.filter(|table| table.rows == Rows::Lock).collect()
}
