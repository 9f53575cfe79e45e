//! An authority of the test's own and certificates by it, through the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Authority {
    folder: PathBuf,
    name: String,
    /// How long its own certificate holds, and those that it signs.
    days: String,
}

/// Of fewer than 30 somebody is told.
const DAYS: u16 = 90;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

fn openssl(arguments: &[&str]) {
    let done = Command::new("openssl")
        .args(arguments)
        .output()
        .expect("openssl");
    assert!(done.status.success(), "{arguments:?}: {done:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        Self::of_days(folder, name, DAYS)
    }

    pub fn of_days(folder: &Path, name: &str, days: u16) -> Self {
        let authority = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            days: days.to_string(),
        };
        let key = authority.path("key");
        let cert = authority.cert();
        new_key(&key);
        openssl(&[
            "req",
            "-x509",
            "-new",
            "-days",
            &authority.days,
            "-key",
            text(&key),
            "-out",
            text(&cert),
            "-subj",
            &format!("/CN={name}"),
        ]);
        authority
    }

    pub fn cert(&self) -> PathBuf {
        self.path("crt")
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }

    /// For `localhost` and 127.0.0.1.
    pub fn issue(&self, name: &str) -> Certificate {
        self.issue_for(name, "DNS:localhost,IP:127.0.0.1")
    }

    /// `alternatives` as in `subjectAltName`.
    pub fn issue_for(&self, name: &str, alternatives: &str) -> Certificate {
        let at = |extension: &str| self.folder.join(format!("{name}.{extension}"));
        let issued = Certificate {
            cert: at("crt"),
            key: at("key"),
        };
        let (request, extensions) = (at("csr"), at("ext"));
        std::fs::write(&extensions, format!("subjectAltName={alternatives}\n")).unwrap();
        new_key(&issued.key);
        openssl(&[
            "req",
            "-new",
            "-key",
            text(&issued.key),
            "-out",
            text(&request),
            "-subj",
            &format!("/CN={name}"),
        ]);
        openssl(&[
            "x509",
            "-req",
            "-days",
            &self.days,
            "-in",
            text(&request),
            "-out",
            text(&issued.cert),
            "-CA",
            text(&self.cert()),
            "-CAkey",
            text(&self.path("key")),
            "-CAcreateserial",
            "-extfile",
            text(&extensions),
        ]);
        issued
    }
}

fn new_key(path: &Path) {
    openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        text(path),
    ]);
}
