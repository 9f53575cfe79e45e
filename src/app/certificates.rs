//! The certificates that we show, and their renewal while connections run.

use std::path::{Path, PathBuf};

use crate::config::Tls;
use crate::net::tls::{Acceptor, Error, Mode, Offer, own};

/// What our ports offer.
#[derive(Debug)]
pub struct Certificates {
    pub applications: Acceptor,
    pub replication: Acceptor,
    /// Where one of our own making is kept.
    folder: PathBuf,
}

impl Certificates {
    pub(super) fn load(tls: &Tls, folder: &Path) -> Result<Self, Error> {
        let (applications, replication) = offers(tls, folder)?;
        Ok(Self {
            applications: Acceptor::new(applications),
            replication: Acceptor::new(replication),
            folder: folder.to_owned(),
        })
    }

    /// Reads the files again, for connections that begin from now on. At an error everything stays.
    pub(super) fn renew(&self, tls: &Tls) -> Result<(), Error> {
        let (applications, replication) = offers(tls, &self.folder)?;
        self.applications.set(applications);
        self.replication.set(replication);
        Ok(())
    }
}

fn offers(tls: &Tls, folder: &Path) -> Result<(Offer, Offer), Error> {
    let modes = [tls.mode, tls.replication];
    let offers = match &tls.files {
        Some(files) => {
            let config = Some(files.load()?);
            modes.map(|mode| Offer::new(mode, config.clone()))
        }
        None if modes == [Mode::Off; 2] => modes.map(|mode| Offer::new(mode, None)),
        None => {
            let files = own::files(folder, tls.client_ca.clone())?;
            let config = Some(files.load()?);
            let fingerprint = own::fingerprint(&files.cert)?;
            modes.map(|mode| Offer::new(mode, config.clone()).of_our_own(fingerprint))
        }
    };
    Ok(offers.into())
}

/// The files that a change of is watched for.
pub(super) fn files(tls: &Tls) -> impl Iterator<Item = &PathBuf> {
    let configured = tls.files.iter().flat_map(|files| files.paths());
    configured.chain(&tls.client_ca)
}
