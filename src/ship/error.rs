//! Why a connection of the replication port ended.

use crate::{event, net, store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error("{0}")]
    Peer(String),
    /// The reader would drop what it would be sent, and is told so.
    #[error("{0}")]
    Own(String),
    /// The peer comes again.
    #[error("nothing is known of the source yet")]
    SourceUnknown,
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Event(#[from] event::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
