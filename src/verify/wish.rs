//! What is to be compared, and how much of the servers' time it may take.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::ids::ServerName;
use crate::tables::Name;

pub const WAIT: Duration = Duration::from_secs(60);
pub const MAX_LAG: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// None: all.
    pub replicas: Vec<ServerName>,
    /// None: all but the servers' own.
    pub tables: Vec<Name>,
    /// How long a replica may take to apply what it is asked about.
    pub wait: Duration,
    /// While a replica is farther behind, no range is begun.
    pub max_lag: Duration,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            replicas: Vec::new(),
            tables: Vec::new(),
            wait: WAIT,
            max_lag: MAX_LAG,
        }
    }
}

/// How the servers fare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Why no range is to be begun now.
    pub busy: Option<String>,
    /// So long the rows of a range may be locked, beside the wait for acknowledgements.
    pub range: Duration,
}

pub type Looks = Box<dyn Fn() -> BoxFuture<'static, Look> + Send + Sync>;
