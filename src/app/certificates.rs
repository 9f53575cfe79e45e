//! The certificates that we show, and their renewal while connections run.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::config::Tls;
use crate::net::tls::validity::{self, Left};
use crate::net::tls::{Acceptor, Error, Mode, NotAfter, Offer, own};

/// What our ports offer.
#[derive(Debug)]
pub struct Certificates {
    pub applications: Acceptor,
    pub replication: Acceptor,
    /// Where one of our own making is kept.
    folder: PathBuf,
    /// None where no TLS is offered.
    shown: Mutex<Option<Shown>>,
}

/// The certificate that those see who come to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub file: PathBuf,
    pub not_after: NotAfter,
}

struct Offers {
    applications: Offer,
    replication: Offer,
    shown: Option<Shown>,
}

impl Certificates {
    pub(super) fn load(tls: &Tls, folder: &Path) -> Result<Self, Error> {
        let offers = offers(tls, folder)?;
        Ok(Self {
            applications: Acceptor::new(offers.applications),
            replication: Acceptor::new(offers.replication),
            folder: folder.to_owned(),
            shown: Mutex::new(offers.shown),
        })
    }

    /// Reads the files again, for connections that begin from now on. At an error everything stays.
    pub(super) fn renew(&self, tls: &Tls) -> Result<(), Error> {
        let offers = offers(tls, &self.folder)?;
        self.applications.set(offers.applications);
        self.replication.set(offers.replication);
        *self.shown.lock() = offers.shown;
        Ok(())
    }

    pub(super) fn shown(&self) -> Option<Shown> {
        self.shown.lock().clone()
    }
}

impl Shown {
    /// A certificate that can be used is used, also where its end cannot be told.
    fn of(file: &Path) -> Option<Self> {
        let not_after = validity::of_chain(file);
        let not_after = not_after.inspect_err(|error| tracing::warn!(%error, "certificate"));
        Some(Self {
            file: file.to_owned(),
            not_after: not_after.ok()?,
        })
    }

    /// What somebody should know of it.
    pub(super) fn problem(&self, now: SystemTime) -> Option<String> {
        let verb = match self.not_after.left(now) {
            Left::Enough => return None,
            Left::Little => "ends at",
            Left::Nothing => "has ended at",
        };
        let (file, end) = (self.file.display(), self.not_after);
        Some(format!(
            "the certificate {file} {verb} {end}: replace it and its key, which are read anew by themselves"
        ))
    }
}

fn offers(tls: &Tls, folder: &Path) -> Result<Offers, Error> {
    let modes = [tls.mode, tls.replication];
    let (offers, shown) = match &tls.files {
        Some(files) => {
            let config = Some(files.load()?);
            let offers = modes.map(|mode| Offer::new(mode, config.clone()));
            (offers, Shown::of(&files.cert))
        }
        None if modes == [Mode::Off; 2] => (modes.map(|mode| Offer::new(mode, None)), None),
        None => {
            let files = own::files(folder, tls.client_ca.clone())?;
            let config = Some(files.load()?);
            let fingerprint = own::fingerprint(&files.cert)?;
            let offers = modes.map(|mode| Offer::new(mode, config.clone()).of_our_own(fingerprint));
            (offers, Shown::of(&files.cert))
        }
    };
    let [applications, replication] = offers;
    Ok(Offers {
        applications,
        replication,
        shown,
    })
}

/// The files that a change of is watched for.
pub(super) fn files(tls: &Tls) -> impl Iterator<Item = &PathBuf> {
    let configured = tls.files.iter().flat_map(|files| files.paths());
    configured.chain(&tls.client_ca)
}
