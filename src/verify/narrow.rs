//! From a range that differs to its rows, and to a replica that has them as the source has them.

use std::time::{Duration, Instant};

use super::holder::Holder;
use super::last_write::{Found, LastWrite};
use super::mender::{self, Failed, Mender, Serves};
use super::replica::Replica;
use super::rows::{self, Differing, Digests, Reader, RowDifference};
use super::source::{Error, Source};
use super::statement::Place;
use super::verdict::ChunkDifference;
use crate::gtid::Position;
use crate::tables::{Bound, Definition, Range, Travel};

/// So many rows are held at once, fewer where that takes long.
const HELD: u64 = 1000;
const FEWEST: u64 = 10;
const LONG: Duration = Duration::from_millis(500);
/// How long a replica is waited for while rows are held.
pub(super) const HOLDS: Duration = Duration::from_secs(2);
/// Who was locked out tries so often in all.
pub(super) const ATTEMPTS: u32 = 5;
/// Of a table on a replica, so many rows are named.
const NAMED: usize = 20;
/// A replica may have any number of rows where the source has a few.
const MOST: usize = 10_000;

/// What is known of rows that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// The first of them.
    pub rows: Vec<RowDifference>,
    /// How many were met; where nothing is mended it ends with those that are named.
    pub met: u64,
    pub mended: u64,
    /// The last statement that names the table, where a row was not written by a row event since: it may have been
    /// written by that.
    pub statement: Option<Box<LastWrite>>,
    /// Why rows were not looked at, or not mended.
    pub reasons: Vec<String>,
}

impl Narrowed {
    /// What our binlog tells of the rows that are named, in their order.
    pub(super) fn learns(&mut self, found: Found) {
        for (row, written) in self.rows.iter_mut().zip(found.rows) {
            row.written = written;
        }
        let statement = found.statement.filter(|statement| {
            let mut rows = self.rows.iter().map(|row| row.written.as_ref());
            rows.any(|written| written.is_none_or(|written| written.at < statement.at))
        });
        self.statement = statement.map(Box::new);
    }

    pub(super) fn not_at_all(reason: String) -> Self {
        Self {
            reasons: vec![reason],
            ..Self::default()
        }
    }

    /// What was found after that.
    pub(super) fn goes_on(&mut self, next: Self) {
        self.mended += next.mended;
        self.reasons = next.reasons;
    }

    fn because(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

/// What a table is mended with.
pub(super) struct Mends<'a> {
    pub mender: Mender,
    pub travel: Travel,
    /// What `travel` was made of.
    pub definition: Definition,
    pub serves: &'a Serves,
}

/// A table on a replica.
pub(super) struct Narrow<'a> {
    pub place: Place<'a>,
    pub reader: Reader,
    pub source: &'a mut Source,
    pub holder: Holder,
    pub replica: &'a mut Replica,
    /// How long it may take to come near, while nothing is held.
    pub wait: Duration,
    pub mends: Option<Mends<'a>>,
    /// Counts our commits.
    pub times: &'a mut u64,
}

/// Why a range came to nothing.
enum Ended {
    /// It may be tried again.
    Again(String),
    /// The next one may do better.
    Range(String),
    All(String),
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Locked(why) => Self::Again(why),
            Failed::Rows(why) => Self::Range(why),
            Failed::Server(why) => Self::All(why),
        }
    }
}

impl Narrow<'_> {
    pub async fn run(mut self, chunks: &[ChunkDifference]) -> Result<Narrowed, Error> {
        let mut narrowed = Narrowed::default();
        let gone = self.over(chunks, &mut narrowed).await;
        let restored = match self.mends {
            Some(mends) => mends.mender.restore().await,
            None => Ok(()),
        };
        if let Err(by_hand) = restored {
            tracing::error!(by_hand, "a replica was left open");
            narrowed.because(by_hand);
        }
        gone.map(|()| narrowed)
    }

    async fn over(
        &mut self,
        chunks: &[ChunkDifference],
        narrowed: &mut Narrowed,
    ) -> Result<(), Error> {
        let (mut size, mut attempts) = (HELD, 0);
        for chunk in chunks {
            let mut from = chunk.within.from.clone();
            loop {
                if self.mends.is_none() && narrowed.rows.len() >= NAMED {
                    narrowed.because("more may differ".to_owned());
                    return Ok(());
                }
                let rest = Range {
                    from: from.clone(),
                    to: chunk.within.to.clone(),
                };
                let next = match self.bound(&rest, size).await? {
                    Ok(next) => next,
                    Err(why) => {
                        narrowed.because(why);
                        return Ok(());
                    }
                };
                let range = Range {
                    from: from.clone(),
                    to: next.clone().or_else(|| chunk.within.to.clone()),
                };
                let begun = Instant::now();
                match self.range(&range, narrowed).await? {
                    Ok(()) => {}
                    Err(Ended::Again(why)) if attempts + 1 < ATTEMPTS => {
                        tracing::debug!(why, "a range is gone through again");
                        attempts += 1;
                        continue;
                    }
                    Err(Ended::Again(why) | Ended::Range(why)) => narrowed.because(why),
                    Err(Ended::All(why)) => {
                        narrowed.because(why);
                        return Ok(());
                    }
                }
                attempts = 0;
                size = match begun.elapsed() > LONG {
                    true => (size / 4).max(FEWEST),
                    false => (size * 2).min(HELD),
                };
                if next.is_none() {
                    break;
                }
                from = next;
            }
        }
        Ok(())
    }

    async fn bound(
        &mut self,
        rest: &Range,
        size: u64,
    ) -> Result<Result<Option<Bound>, String>, Error> {
        let (key, table) = (self.reader.key(), self.reader.table());
        match self.source.bound(key, table, rest, size).await {
            Ok(bound) => Ok(Ok(bound)),
            Err(error) if error.server_code().is_some() => {
                Ok(Err(format!("the source refused it: {error}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn range(
        &mut self,
        range: &Range,
        narrowed: &mut Narrowed,
    ) -> Result<Result<(), Ended>, Error> {
        // Near already, so that the rows are held for a moment only.
        let near = match self.passes().await? {
            Ok(near) => near,
            Err(why) => return Ok(Err(Ended::All(why))),
        };
        if let Err(why) = self.replica.is_at(&near, self.wait).await {
            return Ok(Err(Ended::All(why)));
        }
        let condition = self.reader.key().condition(range);
        let held = match self.holder.hold(&self.reader.digests(&condition)).await {
            Ok(held) => self.reader.read_digests(&held),
            Err(why) => return Ok(Err(Ended::Range(why))),
        };
        let compared = match held {
            Some(held) => self.compare(&condition, &held, narrowed).await,
            None => Ok(Err(Ended::Range(
                "a row cannot be computed at the source".to_owned(),
            ))),
        };
        self.holder.let_go().await;
        compared
    }

    /// While nobody changes these rows.
    async fn compare(
        &mut self,
        condition: &str,
        source: &Digests,
        narrowed: &mut Narrowed,
    ) -> Result<Result<(), Ended>, Error> {
        let here = match self.passes().await? {
            Ok(here) => here,
            Err(why) => return Ok(Err(Ended::All(why))),
        };
        let differing = match self.differing(&here, condition, source).await {
            Ok(differing) => differing,
            Err(ended) => return Ok(Err(ended)),
        };
        if differing.is_empty() {
            return Ok(Ok(()));
        }
        let room = NAMED - narrowed.rows.len();
        let told = match self.told(&differing[..differing.len().min(room)]).await {
            Ok(told) => told,
            Err(why) => return Ok(Err(Ended::Range(why))),
        };
        let mended = self.mend(&differing, source).await;
        if !matches!(mended, Err(Ended::Again(_))) {
            narrowed.rows.extend(told);
            narrowed.met += differing.len() as u64;
        }
        Ok(mended.map(|mended| narrowed.mended += mended))
    }

    /// How many; none where nothing is to be mended.
    async fn mend(&mut self, differing: &[Differing], source: &Digests) -> Result<u64, Ended> {
        let Some(mends) = &mut self.mends else {
            return Ok(0);
        };
        let definition = self.holder.definition(self.reader.table()).await;
        if definition != Ok(Some(mends.definition.clone())) {
            let why = "its definition was changed meanwhile: compare it again";
            return Err(Ended::All(why.to_owned()));
        }
        let Mends {
            mender,
            travel,
            serves,
            ..
        } = mends;
        let rows = mender::Rows {
            reader: &self.reader,
            travel,
            differing,
            source,
        };
        mender.mend(&rows, &mut self.holder, serves).await?;
        Ok(differing.len() as u64)
    }

    /// At a replica that has come here.
    async fn differing(
        &mut self,
        here: &Position,
        condition: &str,
        source: &Digests,
    ) -> Result<Vec<Differing>, Ended> {
        self.replica
            .is_at(here, HOLDS)
            .await
            .map_err(Ended::Again)?;
        let marked = self.replica.has_mark(&self.place, *self.times).await;
        marked.map_err(Ended::All)?;
        let question = format!("{} LIMIT {}", self.reader.digests(condition), MOST + 1);
        let rows = self.replica.rows(&question).await.map_err(Ended::All)?;
        if rows.len() > MOST {
            let why = format!("it has more than {MOST} rows in one range");
            return Err(Ended::Range(why));
        }
        let Some(theirs) = self.reader.read_digests(&rows) else {
            return Err(Ended::Range("a row cannot be computed there".to_owned()));
        };
        Ok(rows::differing(source, &theirs))
    }

    async fn told(&mut self, named: &[Differing]) -> Result<Vec<RowDifference>, String> {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let question = self.reader.values(&self.reader.among(named));
        let source = self.holder.rows(&question).await?;
        let there = self.replica.rows(&question).await?;
        Ok(self.reader.told(named, &source, &there))
    }

    async fn passes(&mut self) -> Result<Result<Position, String>, Error> {
        *self.times += 1;
        self.source.passes(&self.place, *self.times).await
    }
}
