//! Certificates and keys from PEM files.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;

/// A certificate and what comes behind it up to the authority.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let content = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    let chain = chain.map_err(|error| Error::content(path, malformed(error)))?;
    if chain.is_empty() {
        return Err(Error::content(
            path,
            "holds no certificate (BEGIN CERTIFICATE)",
        ));
    }
    Ok(chain)
}

/// PKCS#8, PKCS#1 or SEC1, without a passphrase.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let content = read(path)?;
    PrivateKeyDer::from_pem_slice(&content).map_err(|error| {
        let why = match error {
            PemError::NoItemsFound if contains(&content, b"ENCRYPTED") => {
                "holds a key with a passphrase: store it without one, readable by its owner only"
                    .to_owned()
            }
            PemError::NoItemsFound => "holds no private key (BEGIN PRIVATE KEY)".to_owned(),
            error => malformed(error),
        };
        Error::content(path, why)
    })
}

/// Authorities that are believed.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in chain(path)? {
        store.add(certificate).map_err(|error| {
            Error::content(path, format!("holds an unusable certificate: {error}"))
        })?;
    }
    Ok(store)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// Where the text is broken, without a word of the text.
fn malformed(error: PemError) -> String {
    let what = match error {
        PemError::MissingSectionEnd { .. } => "a section without its END line",
        PemError::IllegalSectionStart { .. } => "a malformed BEGIN line",
        PemError::Base64Decode(_) => "broken base64",
        _ => "malformed text",
    };
    format!("is no PEM file: {what}")
}

fn contains(content: &[u8], word: &[u8]) -> bool {
    content.windows(word.len()).any(|window| window == word)
}
