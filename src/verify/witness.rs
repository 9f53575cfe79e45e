//! What our own binlog says of our statements, from its files, beside the proxy that writes them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::form::{Form, Reading};
use crate::event::{self, Step, TransactionTracker};
use crate::gtid::{Gtid, GtidSet};
use crate::ids::StorePosition;
use crate::store::inspect::Inspected;
use crate::store::{self, Skim};

const EVERY: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no proxy writes the binlog in {}: verify runs on the proxy's machine, beside it", .0.display())]
    NotWritten(PathBuf),
    #[error(
        "{0}, a write to ackline.checksums, was logged as row events and not as a statement: replicas would take over the source's result, so nothing is compared"
    )]
    Rows(Gtid),
    #[error(
        "{missing} of our statements were not found in our binlog within {seconds:.0} s: nothing is compared (does the source log ackline.checksums, and is the proxy attached? See ackline status)"
    )]
    Missing { missing: usize, seconds: f64 },
    #[error("our binlog cannot be read: {0}")]
    Store(#[from] store::Error),
    #[error("our binlog cannot be read: {0}")]
    Event(#[from] event::Error),
    #[error("who reads our binlog has ended: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

/// Reads on from where the binlog ended when it began.
#[derive(Clone, Debug)]
pub struct Witness {
    dir: PathBuf,
    at: StorePosition,
}

impl Witness {
    pub fn begin(dir: &Path) -> Result<Self, Error> {
        let inspected = Inspected::of(dir)?;
        let at = inspected.end();
        if !inspected.in_use || at == StorePosition::ZERO {
            return Err(Error::NotWritten(dir.to_owned()));
        }
        Ok(Self {
            dir: dir.to_owned(),
            at,
        })
    }

    /// Waits until each of these statements was met as it was sent, since the last call; their GTIDs.
    pub async fn find(
        &mut self,
        mut statements: HashSet<String>,
        within: Duration,
    ) -> Result<GtidSet, Error> {
        let begun = Instant::now();
        let mut gtids = GtidSet::new();
        loop {
            // Much may have been written since the last call, and the proxy has one loop for many.
            let (mut reader, mut wanted) = (self.clone(), statements);
            let read = tokio::task::spawn_blocking(move || {
                let mut found = GtidSet::new();
                let read = reader.read(&mut wanted, &mut found);
                read.map(|()| (reader, wanted, found))
            });
            let (reader, wanted, found) = read.await??;
            (*self, statements) = (reader, wanted);
            gtids.merge(&found);
            if statements.is_empty() {
                return Ok(gtids);
            }
            if begun.elapsed() > within {
                return Err(Error::Missing {
                    missing: statements.len(),
                    seconds: within.as_secs_f64(),
                });
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Up to the end of what is synced, which is a transaction's.
    fn read(&mut self, wanted: &mut HashSet<String>, found: &mut GtidSet) -> Result<(), Error> {
        let limit = Inspected::of(&self.dir)?.end();
        if limit <= self.at {
            return Ok(());
        }
        let mut skim = Skim::new(&self.dir, self.at);
        let (mut tracker, mut reading) = (TransactionTracker::new(), Reading::default());
        let mut running = None;
        while let Some(event) = skim.next(limit)? {
            let step = tracker.feed(event.body())?;
            if matches!(step, Step::Outside) {
                continue;
            }
            reading.event(event.header.kind, event.body())?;
            match step {
                Step::GroupStart(start) => running = Some(start.gtid),
                Step::GroupEnd => match (reading.end(), running.take()) {
                    (Form::Statement(text), Some(gtid)) => {
                        // Of somebody else's run.
                        let Ok(text) = String::from_utf8(text) else {
                            continue;
                        };
                        if wanted.remove(&text) {
                            found.insert(&gtid);
                        }
                    }
                    (Form::Changed, Some(gtid)) => return Err(Error::Rows(gtid)),
                    (Form::Foreign, _) | (_, None) => {}
                },
                Step::InGroup | Step::Outside => {}
            }
        }
        self.at = skim.position();
        Ok(())
    }
}
