//! Why one attach ended.

use super::attach::{self, Refusal};
use super::feed;
use super::guard::Suspected;
use crate::{net, store};

/// Why one attach ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("shutting down")]
    Shutdown,
    #[error("another server is followed")]
    Moved,
    #[error("{0}")]
    Lost(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the binlog store: {0}")]
    Store(#[from] store::Error),
}

impl From<attach::Error> for End {
    fn from(error: attach::Error) -> Self {
        match error {
            attach::Error::Refused(refusal) => Self::Refused(refusal),
            attach::Error::Admin(error) => Self::Lost(error.to_string()),
        }
    }
}

impl From<Suspected> for End {
    fn from(_: Suspected) -> Self {
        let reason =
            "attaching again, since a commit may have returned un-acknowledged at the source";
        Self::Lost(reason.into())
    }
}

impl From<net::Error> for End {
    fn from(error: net::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

pub(super) fn broken(error: feed::Error) -> End {
    match error {
        feed::Error::Different { gtid } | feed::Error::Elsewhere { expected: gtid, .. } => {
            End::Refused(Refusal::Different { gtid })
        }
        other => End::Lost(other.to_string()),
    }
}
