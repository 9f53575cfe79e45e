//! Our side of TLS towards those who connect to us.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{Beneath, Error, Mode, pem, provider};

/// What one port offers; changed while connections run, which keep what they began with.
#[derive(Clone, Debug, Default)]
pub struct Acceptor(Arc<ArcSwap<Offer>>);

/// What one connection is offered.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    mode: Mode,
    config: Option<Arc<ServerConfig>>,
    own: Option<Fingerprint>,
}

/// SHA-256 of a certificate.
pub type Fingerprint = [u8; 32];

/// Who we are, and whom we believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Whoever comes with TLS has to show a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

impl ServerFiles {
    pub fn load(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = provider();
        let verifier = match &self.client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(path) => {
                let authorities = Arc::new(pem::authorities(path)?);
                WebPkiClientVerifier::builder_with_provider(authorities, provider.clone())
                    .build()
                    .map_err(|error| Error::content(path, error.to_string()))?
            }
        };
        let chain = pem::chain(&self.cert)?;
        let key = pem::key(&self.key)?;
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_client_cert_verifier(verifier)
                    .with_single_cert(chain, key)
            })
            .map(Arc::new)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => Error::content(
                    &self.key,
                    format!(
                        "is not the key of the certificate in {}",
                        self.cert.display()
                    ),
                ),
                error => Error::content(&self.cert, format!("cannot be used: {error}")),
            })
    }

    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca)
    }
}

impl Acceptor {
    pub fn new(offer: Offer) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(offer)))
    }

    /// Holds for connections that begin from now on.
    pub fn set(&self, offer: Offer) {
        self.0.store(Arc::new(offer));
    }

    pub fn offer(&self) -> Arc<Offer> {
        self.0.load_full()
    }
}

impl Offer {
    /// Without a certificate nothing can be offered, so nothing can be required either: the
    /// configuration lets no such file through.
    pub fn new(mode: Mode, config: Option<Arc<ServerConfig>>) -> Self {
        Self {
            mode,
            config,
            own: None,
        }
    }

    /// Nobody has signed this certificate: whoever meets it is shown that we know his password's hash, which
    /// somebody in the middle does not.
    #[must_use]
    pub fn of_our_own(mut self, fingerprint: Fingerprint) -> Self {
        self.own = Some(fingerprint);
        self
    }

    /// Of a certificate of our own making.
    pub fn own(&self) -> Option<Fingerprint> {
        self.own
    }

    pub fn is_on(&self) -> bool {
        self.mode != Mode::Off && self.config.is_some()
    }

    pub fn is_required(&self) -> bool {
        self.mode == Mode::Required
    }

    /// The handshake. `ahead` is what was read of it already. Not cancel-safe: the connection is gone
    /// then.
    pub async fn accept<S>(&self, stream: S, ahead: Vec<u8>) -> io::Result<TlsStream<Beneath<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(config) = self.config.clone().filter(|_| self.is_on()) else {
            return Err(io::Error::other("TLS is not offered"));
        };
        let beneath = Beneath::new(stream, ahead);
        Ok(TlsAcceptor::from(config).accept(beneath).await?.into())
    }
}
