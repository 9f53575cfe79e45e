//! Where capture is.

use super::Refusal;
use crate::gtid::Position;
use crate::ids::ServerName;

/// Where capture is, for `status` and for the holds of the sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not attached: the source cannot be reached, or left.
    Connecting { reason: String },
    /// The source answered and must not be served.
    Refused(Refusal),
    /// So many transactions, about, are captured before the source's commits wait for us.
    TakingOver { missing: u64 },
    /// Attached; what the source had is being captured and released.
    CatchingUp { until: Position },
    /// Everything is proven; the source takes writes.
    Attached,
    /// The source is being moved: nobody is followed, and nobody acknowledged to.
    Resting,
    /// Our own disk: nothing can be stored, so nothing is acknowledged.
    Stalled { reason: String },
}

impl State {
    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Refused(_) => "refused",
            Self::TakingOver { .. } | Self::CatchingUp { .. } => "catching-up",
            Self::Attached => "attached",
            Self::Resting => "resting",
            Self::Stalled { .. } => "stalled",
        }
    }

    /// Why sessions are held, if they are.
    pub fn holds(&self, source: &ServerName) -> Option<String> {
        match self {
            Self::Attached => None,
            Self::Connecting { reason } => Some(format!("{source} is not attached: {reason}")),
            Self::Refused(refusal) => Some(format!("{source} is refused: {refusal}")),
            Self::TakingOver { missing } => Some(format!(
                "about {missing} transactions of {source} are taken over before its commits wait for us"
            )),
            Self::CatchingUp { until } => Some(format!(
                "everything up to {until} in the binlog of {source} must be captured and released first"
            )),
            Self::Resting => Some("the source is being moved".to_owned()),
            Self::Stalled { reason } => Some(format!("our binlog cannot be written: {reason}")),
        }
    }
}
