//! Until when certificates hold.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Error, pem};
use crate::units::show_utc;

/// With less than this left somebody has to see to it.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// The last second of a certificate: Unix time. Shown in UTC, by RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotAfter(pub u64);

/// What is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Enough,
    /// Less than 30 days.
    Little,
    Nothing,
}

impl NotAfter {
    /// None where it is no certificate that we understand. `der` is one, and nothing behind it.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let seconds = certificate.validity().not_after.timestamp();
        Some(Self(u64::try_from(seconds).unwrap_or(0)))
    }

    pub fn left(self, now: SystemTime) -> Left {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match self.0.checked_sub(now) {
            None => Left::Nothing,
            Some(left) if left < SOON.as_secs() => Left::Little,
            Some(_) => Left::Enough,
        }
    }
}

impl fmt::Display for NotAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_utc(self.0))
    }
}

/// Of a certificate and what comes behind it up to the authority: the first end of them is the end of all.
pub fn of_chain(path: &Path) -> Result<NotAfter, Error> {
    ends(path)?.into_iter().min().ok_or_else(|| unread(path))
}

/// Of authorities, of which one is enough: the last end. A file keeps the old one beside the new.
pub fn of_authorities(path: &Path) -> Result<NotAfter, Error> {
    ends(path)?.into_iter().max().ok_or_else(|| unread(path))
}

fn ends(path: &Path) -> Result<Vec<NotAfter>, Error> {
    let chain = pem::chain(path)?;
    let ends = chain.iter().map(|certificate| NotAfter::of(certificate));
    ends.map(|end| end.ok_or_else(|| unread(path))).collect()
}

fn unread(path: &Path) -> Error {
    Error::content(path, "holds a certificate whose end cannot be read")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> rcgen::Certificate {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_after = date_time_ymd(year, 3, 1);
        parameters
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
    }

    #[test]
    fn of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.pem");
        // Until 2049 the year has two digits in a certificate.
        let both = [2031, 2051].map(|year| certificate(year).pem()).concat();
        fs::write(&path, both).unwrap();
        let shown = of_chain(&path).unwrap().to_string();
        assert_eq!(shown, "2031-03-01T00:00:00Z");
        let shown = of_authorities(&path).unwrap().to_string();
        assert_eq!(shown, "2051-03-01T00:00:00Z");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        fs::write(&path, broken).unwrap();
        assert!(of_chain(&path).is_err());
        assert!(of_chain(&folder.path().join("none")).is_err());
    }

    #[test]
    fn what_is_left() {
        let end = NotAfter::of(certificate(2031).der()).unwrap();
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let day = 86_400;
        assert_eq!(end.left(at(end.0 - 30 * day)), Left::Enough);
        assert_eq!(end.left(at(end.0 - 30 * day + 1)), Left::Little);
        assert_eq!(end.left(at(end.0)), Left::Little);
        assert_eq!(end.left(at(end.0 + 1)), Left::Nothing);
        assert_eq!(NotAfter::of(b"no certificate"), None);
    }
}
