//! TLS in the middle of the protocol: both ends begin in clear, and one packet asks for the change.
//!
//! - [`acceptor`], our certificate, for those who connect to us
//! - [`connector`], whom we believe, for servers that we connect to
//! - [`beneath`], what lies below the encryption
//! - [`own`], a certificate of our own making
//! - [`validity`], until when certificates hold
//! - [`pem`], certificates and keys from files; an error names the file, never what is in a key
//!
//! Certificates are read anew while the process runs: a connection keeps what it began with.

pub mod acceptor;
mod beneath;
pub mod connector;
pub mod own;
mod pem;
pub mod validity;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use acceptor::{Acceptor, Fingerprint, Offer, ServerFiles};
pub use beneath::Beneath;
pub use connector::{ClientFiles, Connector};
pub use validity::NotAfter;

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Off,
    /// Where the other side can.
    Preferred,
    /// Or there is no connection.
    Required,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} {why}", path.display())]
    Content { path: PathBuf, why: String },
}

impl Error {
    fn content(path: &std::path::Path, why: impl Into<String>) -> Self {
        Self::Content {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    /// The file that is to blame.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Read { path, .. } | Self::Content { path, .. } => path,
        }
    }
}

/// Whether a certificate can be made out to it.
pub fn is_name(text: &str) -> bool {
    rustls::pki_types::ServerName::try_from(text).is_ok()
}

/// Named where it is used, so that a second provider somewhere in the tree cannot make it ambiguous.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
