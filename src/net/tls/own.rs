//! A certificate of our own making, where none is configured: as servers do it, so that nobody has to set
//! anything up for an encrypted connection. It is kept, so that its fingerprint stays.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use sha2::{Digest, Sha256};

use super::acceptor::Fingerprint;
use super::{Error, ServerFiles, is_name, pem};

const CERTIFICATE: &str = "ackline-cert.pem";
const KEY: &str = "ackline-key.pem";
/// It is never renewed, or its fingerprint would not stay: it ends after everything else.
const LAST_YEAR: i32 = 4096;
const READABLE_BY_US: u32 = 0o600;
const READABLE_BY_ALL: u32 = 0o644;

/// Those in this folder, made now where there are none.
pub fn files(folder: &Path, client_ca: Option<PathBuf>) -> Result<ServerFiles, Error> {
    let files = ServerFiles {
        cert: certificate(folder),
        key: folder.join(KEY),
        client_ca,
    };
    if !(files.cert.exists() && files.key.exists()) {
        make(&files)?;
    }
    Ok(files)
}

/// The one in this folder, which need not be there yet.
pub fn certificate(folder: &Path) -> PathBuf {
    folder.join(CERTIFICATE)
}

/// SHA-256 of the certificate in a file.
pub fn fingerprint(path: &Path) -> Result<Fingerprint, Error> {
    let chain = pem::chain(path)?;
    let first = chain.first().map(|first| first.as_ref());
    Ok(of_certificate(first.unwrap_or_default()))
}

/// SHA-256 of a certificate in DER.
pub fn of_certificate(certificate: &[u8]) -> Fingerprint {
    Sha256::digest(certificate).into()
}

fn make(files: &ServerFiles) -> Result<(), Error> {
    let failed = |error: rcgen::Error| Error::content(&files.cert, format!("not made: {error}"));
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let names = ["localhost", &host, "127.0.0.1", "::1"];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.retain(|name| is_name(name));
    names.dedup();
    let mut parameters = CertificateParams::new(names).map_err(failed)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "made by ackline for itself");
    parameters.not_after = date_time_ymd(LAST_YEAR, 1, 1);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    if let Some(folder) = files.cert.parent() {
        fs::create_dir_all(folder).map_err(unwritten(folder))?;
    }
    // The key first: a certificate without its key is made anew.
    write(&files.key, &key.serialize_pem(), READABLE_BY_US)?;
    write(&files.cert, &certificate.pem(), READABLE_BY_ALL)?;
    tracing::info!(certificate = %files.cert.display(), "made a certificate for TLS, since [tls] names none");
    Ok(())
}

fn write(path: &Path, content: &str, mode: u32) -> Result<(), Error> {
    let unfinished = path.with_extension("new");
    let _ = fs::remove_file(&unfinished);
    let written = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&unfinished)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    written().map_err(unwritten(path))
}

fn unwritten(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| Error::content(path, format!("cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::net::tls::validity;

    #[test]
    fn it_is_made_once_and_its_key_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = files(folder.path(), None).unwrap();
        made.load().unwrap();
        let before = fingerprint(&made.cert).unwrap();
        let end = validity::of_chain(&made.cert).unwrap();
        assert_eq!(end.to_string(), "4096-01-01T00:00:00Z");
        let again = files(folder.path(), None).unwrap();
        assert_eq!(fingerprint(&again.cert).unwrap(), before);
        let mode = fs::metadata(&made.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, READABLE_BY_US);
        // Half of it is of no use.
        fs::remove_file(&made.key).unwrap();
        let anew = files(folder.path(), None).unwrap();
        anew.load().unwrap();
        assert_ne!(fingerprint(&anew.cert).unwrap(), before);
    }
}
