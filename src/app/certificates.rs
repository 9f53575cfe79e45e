//! The certificates that we show, and their renewal while connections run.

use std::path::PathBuf;

use crate::config::Tls;
use crate::net::tls::{Acceptor, Error, Offer};

/// What our ports offer.
#[derive(Debug)]
pub struct Certificates {
    pub applications: Acceptor,
    pub replication: Acceptor,
}

impl Certificates {
    pub(super) fn load(tls: &Tls) -> Result<Self, Error> {
        let (applications, replication) = offers(tls)?;
        Ok(Self {
            applications: Acceptor::new(applications),
            replication: Acceptor::new(replication),
        })
    }

    /// Reads the files again, for connections that begin from now on. At an error everything stays.
    pub(super) fn renew(&self, tls: &Tls) -> Result<(), Error> {
        let (applications, replication) = offers(tls)?;
        self.applications.set(applications);
        self.replication.set(replication);
        Ok(())
    }
}

fn offers(tls: &Tls) -> Result<(Offer, Offer), Error> {
    let config = match &tls.files {
        Some(files) => Some(files.load()?),
        None => None,
    };
    Ok((
        Offer::new(tls.mode, config.clone()),
        Offer::new(tls.replication, config),
    ))
}

/// The files that a change of is watched for.
pub(super) fn files(tls: &Tls) -> impl Iterator<Item = &PathBuf> {
    tls.files.iter().flat_map(|files| files.paths())
}
