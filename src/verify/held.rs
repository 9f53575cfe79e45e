//! A range as the source has it, and each replica at the same moment, without a statement in the binlog: for replicas
//! whose appliers take none.
//!
//! Its rows are held at the source until all have come to a commit of that time and have told what they have; who writes
//! them waits for that long.

use std::time::Duration;

use super::holder::Holder;
use super::narrow::{ATTEMPTS, HOLDS};
use super::replica::Replica;
use super::source::{Error, Source};
use super::statement::Place;
use crate::gtid::Position;
use crate::net::admin::Row;

/// How many rows, and their sum.
pub(super) type Counted = (u64, String);

pub(super) struct Held<'a> {
    pub place: Place<'a>,
    pub source: &'a mut Source,
    pub holder: &'a mut Holder,
    /// Those that are asked.
    pub replicas: Vec<&'a mut Replica>,
    /// How long they may take to come near, while nothing is held.
    pub wait: Duration,
    /// Counts our commits.
    pub times: &'a mut u64,
}

/// What the source has, and what each replica has, or why that is not known.
pub(super) struct Compared {
    pub source: Counted,
    pub replicas: Vec<Result<Counted, String>>,
}

impl Held<'_> {
    /// Or why nothing is known of it. `count` asks for two columns.
    pub async fn range(&mut self, count: &str) -> Result<Result<Compared, String>, Error> {
        let mut attempt = 1;
        loop {
            let near = match self.passes().await? {
                Ok(near) => near,
                Err(why) => return Ok(Err(why)),
            };
            // Nobody else's rows are held for one that does not come.
            let mut come = Vec::new();
            for replica in &mut self.replicas {
                come.push(replica.applies(&near, self.wait).await);
            }
            let held = match self.holder.hold(count).await {
                Ok(rows) => counted(&rows),
                Err(why) => return Ok(Err(why)),
            };
            let compared = self.compared(count, held, &come).await;
            self.holder.let_go().await;
            let was_slow = |compared: &Compared| {
                let mut all = compared.replicas.iter().zip(&come);
                all.any(|(told, come)| told.is_err() && come.is_ok())
            };
            match compared? {
                Ok(compared) if attempt < ATTEMPTS && was_slow(&compared) => attempt += 1,
                done => return Ok(done),
            }
        }
    }

    /// While nobody changes these rows.
    async fn compared(
        &mut self,
        count: &str,
        held: Option<Counted>,
        come: &[Result<(), String>],
    ) -> Result<Result<Compared, String>, Error> {
        let Some(source) = held else {
            return Ok(Err("it cannot be counted at the source".to_owned()));
        };
        let here = match self.passes().await? {
            Ok(here) => here,
            Err(why) => return Ok(Err(why)),
        };
        let (place, time) = (self.place, *self.times);
        let mut replicas = Vec::new();
        for (replica, come) in self.replicas.iter_mut().zip(come) {
            replicas.push(match come {
                Ok(()) => told(replica, &here, &place, time, count).await,
                Err(why) => Err(why.clone()),
            });
        }
        Ok(Ok(Compared { source, replicas }))
    }

    async fn passes(&mut self) -> Result<Result<Position, String>, Error> {
        *self.times += 1;
        self.source.passes(&self.place, *self.times).await
    }
}

async fn told(
    replica: &mut Replica,
    here: &Position,
    place: &Place<'_>,
    time: u64,
    count: &str,
) -> Result<Counted, String> {
    replica.is_at(here, HOLDS).await?;
    replica.has_mark(place, time).await?;
    let rows = replica.rows(count).await?;
    counted(&rows).ok_or_else(|| "it cannot be counted there".to_owned())
}

fn counted(rows: &[Row]) -> Option<Counted> {
    let row = rows.first()?;
    Some((row.at(0)?.parse().ok()?, row.at(1)?.to_owned()))
}
