//! Our side of TLS towards a server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, TlsStream};

use super::acceptor::Fingerprint;
use super::{Beneath, Error, Mode, pem, provider};
use crate::net::connect;
use crate::protocol::Capabilities;

/// How a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFiles {
    pub mode: Mode,
    /// Who must have signed the server's certificate, which must name the server. None: it may be
    /// anybody's, so nobody on the way can listen, but somebody could stand in the server's place.
    pub ca: Option<PathBuf>,
    /// The name in the server's certificate, where it is not the address's.
    pub name: Option<String>,
    /// Our own certificate and its key, for accounts with REQUIRE X509 and its like.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The same, with what the files hold. Clones share that; two are equal that name the same files.
#[derive(Clone, Debug, Default)]
pub struct Connector(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    files: ClientFiles,
    loaded: Mutex<Option<Loaded>>,
    presented: Presented,
    /// Of the certificate that the server vouched for with our password's hash.
    vouched: Mutex<Option<Fingerprint>>,
}

/// The certificate that a server showed last.
type Presented = Arc<Mutex<Option<CertificateDer<'static>>>>;

/// As the files were read, and when they had been changed last.
#[derive(Debug)]
struct Loaded {
    stamps: Vec<Option<SystemTime>>,
    config: Arc<ClientConfig>,
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.0.files == other.0.files
    }
}

impl Eq for Connector {}

impl Connector {
    pub fn new(files: ClientFiles) -> Self {
        Self(Arc::new(Inner {
            files,
            loaded: Mutex::default(),
            presented: Presented::default(),
            vouched: Mutex::default(),
        }))
    }

    pub fn files(&self) -> &ClientFiles {
        &self.0.files
    }

    pub fn mode(&self) -> Mode {
        self.0.files.mode
    }

    /// Whether TLS is asked of a server that offers this.
    pub fn asks(&self, offered: Capabilities) -> bool {
        self.mode() != Mode::Off && offered.contains(Capabilities::SSL)
    }

    /// What the files hold now; they are read only where one of them has changed.
    pub fn load(&self) -> Result<Arc<ClientConfig>, Error> {
        let files = &self.0.files;
        let stamps: Vec<_> = files.paths().map(|path| modified(path)).collect();
        let mut loaded = self.0.loaded.lock();
        if let Some(loaded) = &*loaded
            && loaded.stamps == stamps
        {
            return Ok(loaded.config.clone());
        }
        let config = Arc::new(files.load(&self.0.presented)?);
        *loaded = Some(Loaded {
            stamps,
            config: config.clone(),
        });
        Ok(config)
    }

    /// What the server showed at the last handshake that was not a resumed one, whether it was believed or not.
    pub fn presented(&self) -> Option<CertificateDer<'static>> {
        self.0.presented.lock().clone()
    }

    /// Nobody has signed what the server shows, as far as we ask: only its own word can vouch for it.
    pub fn asks_for_word(&self) -> bool {
        self.0.files.ca.is_none()
    }

    /// The server has proven that this certificate is its own.
    pub fn vouched(&self, fingerprint: Fingerprint) {
        *self.0.vouched.lock() = Some(fingerprint);
    }

    /// Not another certificate than the one that the server vouched for, if it ever did.
    pub fn is_known(&self, shown: Fingerprint) -> bool {
        self.0.vouched.lock().is_none_or(|known| known == shown)
    }

    /// The handshake with the server of `host:port`. Not cancel-safe: the connection is gone then.
    pub async fn connect<S>(&self, stream: S, address: &str) -> io::Result<TlsStream<Beneath<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.load().map_err(io::Error::other)?;
        let name = match &self.0.files.name {
            Some(name) => name.clone(),
            None => connect::split_address(address, 0).0,
        };
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let beneath = Beneath::new(stream, Vec::new());
        let stream = TlsConnector::from(config).connect(name, beneath).await?;
        Ok(stream.into())
    }
}

impl ClientFiles {
    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(identity)
    }

    fn load(&self, presented: &Presented) -> Result<ClientConfig, Error> {
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = match &self.ca {
            None => Arc::new(Anybody(provider.clone())),
            Some(path) => {
                let authorities = Arc::new(pem::authorities(path)?);
                WebPkiServerVerifier::builder_with_provider(authorities, provider.clone())
                    .build()
                    .map_err(|error| Error::content(path, error.to_string()))?
            }
        };
        let verifier = Arc::new(Watched {
            verifier,
            presented: presented.clone(),
        });
        let blamed = |error: rustls::Error| {
            let path = self.paths().last().cloned().unwrap_or_default();
            Error::content(&path, format!("cannot be used: {error}"))
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(blamed)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((cert, key)) => builder
                .with_client_auth_cert(pem::chain(cert)?, pem::key(key)?)
                .map_err(blamed),
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// Keeps what it is shown, so that somebody can be told of a certificate that is refused for its age.
#[derive(Debug)]
struct Watched {
    verifier: Arc<dyn ServerCertVerifier>,
    presented: Presented,
}

impl ServerCertVerifier for Watched {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.presented.lock() = Some(certificate.clone().into_owned());
        self.verifier
            .verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Believes every certificate, as clients do that were given no authority; the server still has to
/// prove that it holds the certificate's key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
