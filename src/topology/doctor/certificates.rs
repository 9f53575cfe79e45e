//! Until when certificates hold: those in our files, and those that the servers show.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{Check, Fix};
use crate::ids::{Flavor, ServerName};
use crate::net::admin::Account;
use crate::net::login::connect_and_login;
use crate::net::tls::validity::{Left, of_authorities, of_chain};
use crate::net::tls::{Error, Mode, NotAfter};
use crate::protocol::Command;

/// Stands in the place of a server's name.
const US: &str = "this proxy";
const WANTED: &str = "30 days or more left";

/// A file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// What those see who come to us (`[tls] cert`).
    Shown(PathBuf),
    /// The same, of our own making. Before the first start it is not there.
    Own(PathBuf),
    /// Whom we believe: `[tls] client_ca`, `[[server]] tls_ca`.
    Authority(PathBuf),
    /// What we show to a server: `[[server]] tls_cert`.
    Identity(PathBuf),
}

impl File {
    pub fn check(&self, now: SystemTime) -> Check {
        let (kind, path) = match self {
            Self::Shown(path) | Self::Own(path) | Self::Identity(path) => ("certificate", path),
            Self::Authority(path) => ("authority", path),
        };
        let us = ServerName::new(US);
        let name = format!("{kind} {}", path.display());
        if matches!(self, Self::Own(_)) && !path.exists() {
            return Check::new(&us, name, "is made at the first start", WANTED);
        }
        match self.end() {
            Ok(end) => judged(&us, name, end, now, || self.renewal()),
            Err(error) => {
                let how = "correct it, or its path in the config; or let who runs this read it";
                Check::new(&us, name, "unknown", WANTED)
                    .note(error.to_string())
                    .fails(Fix::ByHand(how.to_owned()))
            }
        }
    }

    fn end(&self) -> Result<NotAfter, Error> {
        match self {
            Self::Shown(path) | Self::Own(path) | Self::Identity(path) => of_chain(path),
            Self::Authority(path) => of_authorities(path),
        }
    }

    fn renewal(&self) -> String {
        match self {
            Self::Shown(_) => "replace it and its key: a running proxy reads them anew by itself",
            Self::Own(_) => {
                "remove it and restart the proxy, which makes another, with another fingerprint"
            }
            Self::Authority(_) => {
                "add the authority's new certificate to the file, before it signs others with it"
            }
            Self::Identity(_) => "replace it and its key: the next connection has them",
        }
        .to_owned()
    }
}

/// The certificate that a server shows; None where it shows none to us. It may be refused for its very age, so
/// this asks for itself, and logs in like everybody: a login that is broken off is a connect error there.
pub async fn presented(account: &Account, timeout: Duration) -> Option<Vec<u8>> {
    if account.tls.mode() == Mode::Off {
        return None;
    }
    if let Ok((mut stream, _)) = connect_and_login(account, timeout).await {
        let _ = stream.command(&[Command::QUIT.0]).await;
    }
    account.tls.presented().map(|der| der.to_vec())
}

/// Of what a server showed. `flavor` where it is known.
pub fn of_server(
    server: &ServerName,
    der: &[u8],
    flavor: Option<Flavor>,
    now: SystemTime,
) -> Check {
    const NAME: &str = "its certificate";
    let Some(end) = NotAfter::of(der) else {
        let check = Check::new(server, NAME, "unknown", WANTED);
        return check.note("the certificate that it shows cannot be read");
    };
    judged(server, NAME.to_owned(), end, now, || {
        let reload = match flavor {
            Some(Flavor::MariaDb) => "FLUSH SSL",
            Some(Flavor::MySql) => "ALTER INSTANCE RELOAD TLS",
            None => "FLUSH SSL (MariaDB) or ALTER INSTANCE RELOAD TLS (MySQL)",
        };
        format!("replace the files of its ssl_cert and ssl_key, then run {reload} there")
    })
}

fn judged(
    server: &ServerName,
    name: String,
    end: NotAfter,
    now: SystemTime,
    renewal: impl FnOnce() -> String,
) -> Check {
    let (verb, enough) = match end.left(now) {
        Left::Enough => ("ends", true),
        Left::Little => ("ends soon,", false),
        Left::Nothing => ("has ended", false),
    };
    let check = Check::new(server, name, format!("{verb} {end}"), WANTED);
    if enough {
        return check;
    }
    check.fails(Fix::ByHand(renewal()))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made() -> rcgen::Certificate {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_after = date_time_ymd(2031, 3, 1);
        parameters
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
    }

    /// So many days before the end of `made`.
    fn before(days: i64) -> SystemTime {
        let end = 1_930_089_600 - days * 86_400;
        UNIX_EPOCH + Duration::from_secs(end.try_into().unwrap())
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        let missing = File::Shown(path.clone()).check(before(90));
        assert!(!missing.ok && missing.note.unwrap().contains("cert.pem cannot be read"));
        assert!(File::Own(path.clone()).check(before(90)).ok);

        std::fs::write(&path, made().pem()).unwrap();
        for file in [
            File::Shown(path.clone()),
            File::Own(path.clone()),
            File::Authority(path.clone()),
            File::Identity(path.clone()),
        ] {
            let check = file.check(before(31));
            assert!(check.ok && check.fix == Fix::Nothing, "{check:?}");
            assert_eq!(check.found, "ends 2031-03-01T00:00:00Z");
            assert!(check.name.ends_with("/cert.pem"), "{check:?}");
            let check = file.check(before(29));
            assert_eq!(check.found, "ends soon, 2031-03-01T00:00:00Z");
            assert!(
                !check.ok && matches!(check.fix, Fix::ByHand(_)),
                "{check:?}"
            );
            let check = file.check(before(-1));
            assert_eq!(check.found, "has ended 2031-03-01T00:00:00Z");
            assert!(!check.ok);
        }
    }

    #[test]
    fn servers() {
        let made = made();
        let db1 = ServerName::new("db1");
        let check = |der: &[u8], flavor, days| of_server(&db1, der, flavor, before(days));
        assert!(check(made.der(), None, 40).ok);
        let old = check(made.der(), Some(Flavor::MySql), -1);
        assert!(matches!(old.fix, Fix::ByHand(how) if how.contains("run ALTER INSTANCE RELOAD")));
        let old = check(made.der(), Some(Flavor::MariaDb), 3);
        assert!(matches!(old.fix, Fix::ByHand(how) if how.contains("run FLUSH SSL there")));
        let strange = check(b"strange", None, 40);
        assert!(strange.ok && strange.note.is_some());
    }
}
