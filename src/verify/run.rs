//! One table after the other.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::expression::{self, is_whole};
use super::held::Held;
use super::holder::Holder;
use super::last_write::{self, Sought};
use super::mender::{Mender, Serves};
use super::narrow::{Mends, Narrow, Narrowed};
use super::pace::Pace;
use super::replica::{Replica, Server};
use super::rows::Reader;
use super::source::{self, Listed, Logged, Ran, Source, UNORDERED};
use super::statement::Place;
use super::verdict::{self, ChunkDifference, Computed, Outcome, judge};
use super::wish::Looks;
use super::witness::{self, Witness};
use crate::gtid::Position;
use crate::ids::ServerName;
use crate::net::admin::{Account, Admin};
use crate::tables::{Bound, Definition, Name, Ordered, Range, Travel, definition::differences};

/// Our binlog shows a commit a moment after it was answered.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// Whether the servers bear more is looked at so often.
const LOOK: Duration = Duration::from_millis(200);
/// A run that has to rest for longer is given up.
const RESTS: Duration = Duration::from_secs(600);
/// So many running threads at the source are never too many.
const FEW_RUNNING: u64 = 25;
/// A table that is mended is gone through so often.
const ROUNDS: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error(transparent)]
    Witness(#[from] witness::Error),
    #[error("{name} does not say whether it takes statements (mysql.slave_relay_log_info): {why}")]
    Unknown { name: ServerName, why: String },
    #[error("it had to rest for 10 min and was given up: {0}")]
    Busy(String),
    #[error("{0}: there is no such table at the source, or our account may not see it")]
    NoTable(Name),
}

pub struct Request {
    /// Our binlog's folder.
    pub dir: PathBuf,
    pub source: Account,
    /// All replicas.
    pub replicas: Vec<Server>,
    /// None: all.
    pub tables: Vec<Name>,
    /// How long a replica may take to apply what it is asked about.
    pub wait: Duration,
    pub looks: Looks,
    /// Rows that differ are looked for.
    pub narrow: bool,
    /// They are written anew at the replica, while the source stays the source.
    pub mend: Option<Serves>,
}

/// What came out of a table on a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub table: Name,
    pub replica: ServerName,
    /// Other than InnoDB.
    pub engine: Option<String>,
    /// Where rows were mended: how it is since.
    pub outcome: Outcome,
    /// Of rows that differ, or did.
    pub narrowed: Option<Narrowed>,
}

/// What is told while it runs.
pub enum News {
    /// The table of this number, of so many.
    Begins {
        table: Name,
        number: usize,
        of: usize,
    },
    Found(Finding),
}

pub struct Run {
    /// Nobody else's.
    name: String,
    /// Our binlog's folder.
    dir: PathBuf,
    source: Source,
    logged: Logged,
    account: Account,
    replicas: Vec<Replica>,
    witness: Witness,
    tables: Vec<Name>,
    wait: Duration,
    looks: Looks,
    /// When they were last asked, and what they told of a range.
    looked: Option<(Instant, Duration)>,
    /// More running threads at the source are too many.
    most_running: u64,
    narrow: bool,
    mend: Option<Serves>,
    /// The number of a table's mark among its chunks. Rows that only a replica has are not taken away by rows, so that one
    /// which comes as a row has a number that nobody had.
    mark: u64,
    /// Counts our commits beside those that compute.
    times: u64,
}

/// What became of a table at the source.
enum AtSource {
    Computed(Vec<Computed>, Position),
    Not(String),
}

impl Run {
    /// `admin`: at the source.
    pub async fn begin(admin: Admin, request: Request) -> Result<Self, Error> {
        let witness = Witness::begin(&request.dir)?;
        let (mut replicas, mut logged) = (Vec::new(), Logged::AsStatements);
        for server in request.replicas {
            let mut replica = Replica::connect(server).await;
            let name = replica.name.clone();
            match replica.takes_statements().await {
                None | Some(Ok(true)) => {}
                // Ours would stop it, whoever is compared.
                Some(Ok(false)) => {
                    tracing::info!(%name, "it takes no statements: rows are held at the source while they are compared");
                    logged = Logged::AsRows;
                }
                Some(Err(why)) => return Err(Error::Unknown { name, why }),
            }
            replicas.push(replica);
        }
        let mut source = Source::prepare(admin, logged).await?;
        let most_running = FEW_RUNNING.max(2 * source.running().await?);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default().as_nanos();
        Ok(Self {
            name: format!("{since}-{}", std::process::id()),
            mark: match logged {
                Logged::AsStatements => 0,
                Logged::AsRows => since as u64,
            },
            dir: request.dir,
            source,
            logged,
            account: request.source,
            replicas,
            witness,
            tables: request.tables,
            wait: request.wait,
            looks: request.looks,
            looked: None,
            most_running,
            narrow: request.narrow,
            mend: request.mend,
            times: 0,
        })
    }

    /// By it `ackline.checksums` knows this run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compares all tables, and tells of each as it is done.
    pub async fn compare(&mut self, mut told: impl FnMut(News)) -> Result<(), Error> {
        let everything = self.tables.is_empty();
        if everything {
            self.source.sees_all().await?;
        }
        let listed = self.source.tables().await?;
        for name in &self.tables {
            if !listed.iter().any(|listed| listed.name == *name) {
                return Err(Error::NoTable(name.clone()));
            }
        }
        let meant = |table: &&Listed| everything || self.tables.contains(&table.name);
        let meant: Vec<&Listed> = listed.iter().filter(meant).collect();
        for (index, table) in meant.iter().enumerate() {
            told(News::Begins {
                table: table.name.clone(),
                number: index + 1,
                of: meant.len(),
            });
            let outcomes = self.table(table).await?;
            for (index, outcome) in outcomes.into_iter().enumerate() {
                let Some(outcome) = outcome.filter(|_| self.replicas[index].wanted) else {
                    continue;
                };
                let (outcome, narrowed) = self.narrowed(table, index, outcome).await?;
                told(News::Found(Finding {
                    table: table.name.clone(),
                    replica: self.replicas[index].name.clone(),
                    engine: Some(table.engine.clone()).filter(|_| !table.is_innodb()),
                    outcome,
                    narrowed,
                }));
            }
            if self.logged == Logged::AsRows {
                let forget = self.place(&table.name, self.mark).forget();
                self.source.log(&forget).await?;
            }
        }
        if everything {
            self.only_there(&listed, |finding| told(News::Found(finding)))
                .await?;
        }
        Ok(())
    }

    /// Looks at the rows of what differs. Where some were mended, the table is compared once more; a row that was mended may
    /// have taken the place of another one.
    async fn narrowed(
        &mut self,
        table: &Listed,
        index: usize,
        mut outcome: Outcome,
    ) -> Result<(Outcome, Option<Narrowed>), Error> {
        let mut all: Option<Narrowed> = None;
        let rounds = if self.narrow { ROUNDS } else { 0 };
        for _ in 0..rounds {
            let Outcome::Different(chunks) = &outcome else {
                break;
            };
            self.rests().await?;
            let narrowed = self.narrow(table, index, chunks).await?;
            // Also where nothing was found any more.
            let goes_on = narrowed.mended > 0 || narrowed == Narrowed::default();
            match &mut all {
                Some(all) => all.goes_on(narrowed),
                None => all = Some(narrowed),
            }
            if !goes_on {
                break;
            }
            let since = self.table(table).await?.into_iter().nth(index).flatten();
            outcome = since.unwrap_or(outcome);
        }
        if let Some(all) = &mut all {
            self.last_writes(table, all).await?;
        }
        Ok((outcome, all))
    }

    /// Tells of the rows that are named who wrote them last.
    async fn last_writes(&mut self, table: &Listed, narrowed: &mut Narrowed) -> Result<(), Error> {
        if narrowed.rows.is_empty() {
            return Ok(());
        }
        let Some(definition) = self.source.definition(&table.name).await? else {
            return Ok(());
        };
        let Some(key) = Ordered::of(&definition) else {
            return Ok(());
        };
        let sought = Sought {
            table: table.name.clone(),
            definition,
            key,
            rows: narrowed.rows.iter().map(|row| row.bound.clone()).collect(),
        };
        let dir = self.dir.clone();
        // Much may be read.
        let search = tokio::task::spawn_blocking(move || last_write::search(&dir, &sought));
        match search.await.map_err(witness::Error::Ended)? {
            Ok(found) => narrowed.learns(found),
            Err(error) => tracing::warn!(%error, "who wrote the rows last is not known"),
        }
        Ok(())
    }

    async fn narrow(
        &mut self,
        table: &Listed,
        index: usize,
        chunks: &[ChunkDifference],
    ) -> Result<Narrowed, Error> {
        let not_at_all = |why: &str| Ok(Narrowed::not_at_all(why.to_owned()));
        let name = &table.name;
        if !table.is_innodb() {
            return not_at_all("the rows of its engine cannot be held, so they are not looked at");
        }
        let Some(definition) = self.source.definition(name).await? else {
            return not_at_all("it is gone from the source");
        };
        let Some(key) = Ordered::of(&definition) else {
            return not_at_all("it has no key by which a row could be named");
        };
        let reader = match Reader::new(name, &definition, &key) {
            Ok(reader) => reader,
            Err(unknown) => return not_at_all(&unknown.to_string()),
        };
        let holder = Holder::connect(&self.account).await?;
        let (mut to_mend, mut spared) = (None, None);
        if let Some(serves) = &self.mend {
            let account = self.replicas[index].account();
            match mends(account, name, definition, serves).await {
                Ok(mends) => to_mend = Some(mends),
                Err(why) => spared = Some(why),
            }
        }
        let narrow = Narrow {
            place: Place {
                run: &self.name,
                table: name,
                chunk: self.mark,
            },
            reader,
            source: &mut self.source,
            holder,
            replica: &mut self.replicas[index],
            wait: self.wait,
            mends: to_mend,
            times: &mut self.times,
        };
        let mut narrowed = narrow.run(chunks).await?;
        narrowed.reasons.splice(0..0, spared);
        Ok(narrowed)
    }

    /// None where the table is gone from the source: then there is nothing to compare.
    async fn table(&mut self, table: &Listed) -> Result<Vec<Option<Outcome>>, Error> {
        let all = |why: &str, run: &Self| {
            let outcome = Some(Outcome::NotCompared(why.to_owned()));
            vec![outcome; run.replicas.len()]
        };
        if table.kind != "BASE TABLE" {
            let kind = table.kind.to_lowercase();
            return Ok(all(
                &format!("it is a {kind} table, which is not compared yet"),
                self,
            ));
        }
        // Before the definition is read: it would be an old one afterwards.
        self.rests().await?;
        let name = &table.name;
        let Some(definition) = self.source.definition(name).await? else {
            return Ok(vec![None; self.replicas.len()]);
        };
        let sum = match expression::row(&definition) {
            Ok(row) => expression::sum(&row),
            Err(unknown) => return Ok(all(&unknown.to_string(), self)),
        };
        let key = Ordered::of(&definition);
        if key.is_none() && self.source.rows(name).await? > UNORDERED {
            let why = format!(
                "it has no key that orders its rows (primary, or unique and NOT NULL), and more than {UNORDERED} rows"
            );
            return Ok(all(&why, self));
        }
        // Behind the definition that was read, so that the replicas have it when they are asked.
        let begun = match self.mark(name).await? {
            Ok(begun) => begun,
            Err(why) => return Ok(all(&why, self)),
        };
        let (mut outcomes, bears) = self.definitions(name, &definition, &begun).await;
        if let Err(why) = bears {
            for outcome in &mut outcomes {
                outcome.get_or_insert_with(|| Outcome::NotCompared(why.clone()));
            }
            return Ok(outcomes);
        }
        let open =
            |(replica, outcome): (&Replica, &Option<Outcome>)| replica.wanted && outcome.is_none();
        if !self.replicas.iter().zip(&outcomes).any(open) {
            return Ok(outcomes);
        }
        let compared = match self.logged {
            Logged::AsStatements => {
                self.by_statements(name, &sum, key.as_ref(), &mut outcomes)
                    .await?
            }
            Logged::AsRows => {
                self.by_holding(table, &sum, key.as_ref(), &mut outcomes)
                    .await?
            }
        };
        let unchanged = self.source.definition(name).await?.as_ref() == Some(&definition);
        for outcome in &mut outcomes {
            match &compared {
                Err(why) => {
                    outcome.get_or_insert_with(|| Outcome::NotCompared(why.clone()));
                }
                Ok(()) if !unchanged => {
                    let why = "its definition was changed meanwhile: compare it again";
                    *outcome = Some(Outcome::NotCompared(why.to_owned()));
                }
                Ok(()) => {}
            }
        }
        Ok(outcomes)
    }

    /// Each server computes it at its own point of history. An outcome for each of those that have none; or why nothing is
    /// known of any.
    async fn by_statements(
        &mut self,
        name: &Name,
        sum: &str,
        key: Option<&Ordered>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<Result<(), String>, Error> {
        let (computed, end) = match self.compute(name, sum, key).await? {
            AtSource::Computed(computed, end) => (computed, end),
            AtSource::Not(why) => return Ok(Err(why)),
        };
        for (replica, outcome) in self.replicas.iter_mut().zip(outcomes) {
            if outcome.is_none() && replica.wanted {
                let judged = async {
                    replica.applies(&end, self.wait).await?;
                    let held = replica.results(&self.name, name).await?;
                    Ok(judge(&computed, &held))
                };
                *outcome = Some(judged.await.unwrap_or_else(Outcome::NotCompared));
            }
        }
        Ok(Ok(()))
    }

    /// While its rows are held at the source, range by range. As [`Self::by_statements`].
    async fn by_holding(
        &mut self,
        table: &Listed,
        sum: &str,
        key: Option<&Ordered>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<Result<(), String>, Error> {
        if !table.is_innodb() {
            let why = "a replica takes no statements, and the rows of its engine cannot be held";
            return Ok(Err(why.to_owned()));
        }
        let mut holder = Holder::connect(&self.account).await?;
        let mut pace = Pace::new(self.rests().await?);
        let mut computed: Vec<Computed> = Vec::new();
        let mut found = vec![BTreeMap::new(); self.replicas.len()];
        let mut from = None;
        loop {
            pace.wants(self.rests().await?);
            let next = self.next_range(&table.name, key, from, pace.rows()).await?;
            let (range, condition, shown) = match next {
                Ok(next) => next,
                Err(why) => return Ok(Err(why)),
            };
            let count = format!(
                "SELECT COUNT(*), {sum} FROM {} WHERE {condition}",
                table.name.quoted()
            );
            let is_open =
                |replica: &Replica, outcome: &Option<Outcome>| replica.wanted && outcome.is_none();
            let replicas = self.replicas.iter_mut().zip(outcomes.iter());
            let held = Held {
                // The mark of its beginning.
                place: Place {
                    run: &self.name,
                    table: &table.name,
                    chunk: self.mark,
                },
                source: &mut self.source,
                holder: &mut holder,
                replicas: replicas
                    .filter(|(replica, outcome)| is_open(replica, outcome))
                    .map(|(replica, _)| replica)
                    .collect(),
                wait: self.wait,
                times: &mut self.times,
            };
            let begun = Instant::now();
            let compared = match { held }.range(&count).await? {
                Ok(compared) => compared,
                Err(why) => return Ok(Err(why)),
            };
            pace.took(begun.elapsed(), Duration::ZERO);
            let chunk = computed.len() as u64 + 1;
            let (rows, sum) = compared.source.clone();
            if !is_whole(&sum) {
                return Ok(Err(not_whole(chunk)));
            }
            let mut told = compared.replicas.into_iter();
            for (index, outcome) in outcomes.iter_mut().enumerate() {
                if !is_open(&self.replicas[index], outcome) {
                    continue;
                }
                match told.next() {
                    Some(Ok((rows, sum))) => {
                        let told = Some(compared.source.clone());
                        found[index].insert(chunk, verdict::Held { rows, sum, told });
                    }
                    Some(Err(why)) => *outcome = Some(Outcome::NotCompared(why)),
                    None => {}
                }
            }
            computed.push(Computed {
                chunk,
                range: shown,
                within: range.clone(),
                rows,
                sum,
            });
            from = range.to;
            if from.is_none() {
                break;
            }
        }
        for (index, outcome) in outcomes.iter_mut().enumerate() {
            if self.replicas[index].wanted {
                outcome.get_or_insert_with(|| judge(&computed, &found[index]));
            }
        }
        Ok(Ok(()))
    }

    /// What it is, its rows as a condition, and how it is shown; or why there is none.
    async fn next_range(
        &mut self,
        name: &Name,
        key: Option<&Ordered>,
        from: Option<Bound>,
        rows: u64,
    ) -> Result<Result<(Range, String, String), String>, Error> {
        let Some(key) = key else {
            return Ok(Ok((
                Range::default(),
                "1".to_owned(),
                "all rows".to_owned(),
            )));
        };
        let mut range = Range { from, to: None };
        range.to = match self.source.bound(key, name, &range, rows).await {
            Ok(to) => to,
            Err(error) if error.server_code().is_some() => {
                return Ok(Err(format!("the source refused it: {error}")));
            }
            Err(error) => return Err(source::Error::from(error).into()),
        };
        let (condition, shown) = (key.condition(&range), key.shown(&range));
        Ok(Ok((range, condition, shown)))
    }

    /// Begins with a table: who has come there has all that came before. Or why it cannot begin.
    async fn mark(&mut self, table: &Name) -> Result<Result<Position, String>, Error> {
        let place = self.place(table, self.mark);
        let statements = match self.logged {
            Logged::AsStatements => vec![place.forget_all(), place.begin()],
            // A table that is mended is begun with once more.
            Logged::AsRows => vec![place.forget(), place.begin()],
        };
        for statement in &statements {
            if let Ran::Not(why) = self.source.log(statement).await? {
                return Ok(Err(why));
            }
        }
        match self.logged {
            Logged::AsStatements => self.proven(statements.into_iter().collect()).await.map(Ok),
            Logged::AsRows => {
                self.times += 1;
                let place = Place {
                    run: &self.name,
                    table,
                    chunk: self.mark,
                };
                Ok(self.source.passes(&place, self.times).await?)
            }
        }
    }

    /// What is known of each replica by its definition already, and whether all of them bear our statements. One
    /// that does not answer is not asked: it has what it had.
    async fn definitions(
        &mut self,
        name: &Name,
        source: &Definition,
        begun: &Position,
    ) -> (Vec<Option<Outcome>>, Result<(), String>) {
        let (mut outcomes, mut bears) = (Vec::new(), Ok(()));
        for replica in &mut self.replicas {
            let reached = match replica.wanted {
                true => replica.applies(begun, self.wait).await,
                false => Ok(()),
            };
            let theirs = match replica.definition(name).await {
                Ok(theirs) => theirs,
                Err(why) => {
                    outcomes.push(Some(Outcome::NotCompared(why)));
                    continue;
                }
            };
            let lacks = match &theirs {
                None => Some("the table".to_owned()),
                Some(theirs) => theirs
                    .lacks(source)
                    .map(|column| format!("its column {column}")),
            };
            if let Some(lacks) = lacks.filter(|_| self.logged == Logged::AsStatements) {
                bears = Err(format!(
                    "{} does not have {lacks}, and our statement would stop replication there",
                    replica.name
                ));
            }
            let different = match &theirs {
                None => vec!["there is no such table there".to_owned()],
                Some(theirs) => differences(source, theirs),
            };
            outcomes.push(match reached {
                Err(why) => Some(Outcome::NotCompared(why)),
                Ok(()) if !different.is_empty() => Some(Outcome::Definition(different)),
                Ok(()) => None,
            });
        }
        (outcomes, bears)
    }

    /// Until the servers bear more, and how long the next range may take.
    async fn rests(&mut self) -> Result<Duration, Error> {
        if let Some((at, range)) = self.looked
            && at.elapsed() < LOOK
        {
            return Ok(range);
        }
        let begun = Instant::now();
        loop {
            let look = (self.looks)().await;
            let busy = match look.busy {
                Some(why) => Some(why),
                None => {
                    let running = self.source.running().await?;
                    let too_many = running > self.most_running;
                    too_many.then(|| format!("{running} threads run at the source"))
                }
            };
            self.looked = Some((Instant::now(), look.range));
            match busy {
                None => return Ok(look.range),
                Some(why) if begun.elapsed() > RESTS => return Err(Error::Busy(why)),
                Some(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Range by range, at the source.
    async fn compute(
        &mut self,
        name: &Name,
        sum: &str,
        key: Option<&Ordered>,
    ) -> Result<AtSource, Error> {
        let mut pace = Pace::new(self.rests().await?);
        let (mut computed, mut logged) = (Vec::new(), HashSet::new());
        let mut from = None;
        loop {
            pace.wants(self.rests().await?);
            let (range, condition, shown) =
                match self.next_range(name, key, from, pace.rows()).await? {
                    Ok(next) => next,
                    Err(why) => return Ok(AtSource::Not(why)),
                };
            let chunk = computed.len() as u64 + 1;
            let place = self.place(name, chunk);
            let compute = place.compute(&range, sum, &condition);
            let result = place.result();
            let took = match self.source.log(&compute).await? {
                Ran::In(took) => took,
                Ran::Not(why) => return Ok(AtSource::Not(why)),
            };
            let Some((rows, sum)) = self.source.result(&result).await? else {
                let why = format!("the source's result of chunk {chunk} is gone");
                return Ok(AtSource::Not(why));
            };
            if !is_whole(&sum) {
                return Ok(AtSource::Not(not_whole(chunk)));
            }
            let tell = self.place(name, chunk).tell(rows, &sum);
            match self.source.log(&tell).await? {
                Ran::In(told) => pace.took(took, told),
                Ran::Not(why) => return Ok(AtSource::Not(why)),
            }
            logged.extend([compute, tell]);
            computed.push(Computed {
                chunk,
                range: shown,
                within: range.clone(),
                rows,
                sum,
            });
            from = range.to;
            if from.is_none() {
                let end = self.proven(logged).await?;
                return Ok(AtSource::Computed(computed, end));
            }
        }
    }

    /// Tables that the source does not have.
    async fn only_there(
        &mut self,
        before: &[Listed],
        mut found: impl FnMut(Finding),
    ) -> Result<(), Error> {
        let wait = self.wait;
        for index in 0..self.replicas.len() {
            let replica = &mut self.replicas[index];
            if !replica.wanted {
                continue;
            }
            // One that cannot be asked is "not compared" already, table by table.
            let theirs = replica.tables().await.unwrap_or_default();
            let known = |name: &Name| before.iter().any(|listed| listed.name == *name);
            let others: Vec<Name> = theirs.into_iter().filter(|name| !known(name)).collect();
            for table in others {
                self.rests().await?;
                // It may have been made, or dropped, meanwhile: asked once more, behind what came since.
                let Ok(position) = self.mark(&table).await? else {
                    continue;
                };
                let forget = self.place(&table, self.mark).forget();
                self.source.log(&forget).await?;
                let at_source = self.source.definition(&table).await?.is_some();
                let replica = &mut self.replicas[index];
                let outcome = match replica.applies(&position, wait).await {
                    Err(why) => Outcome::NotCompared(why),
                    Ok(()) => match replica.definition(&table).await {
                        Ok(Some(_)) if !at_source => {
                            Outcome::Definition(vec!["there is no such table at the source".into()])
                        }
                        Ok(_) => continue,
                        Err(why) => Outcome::NotCompared(why),
                    },
                };
                found(Finding {
                    table,
                    replica: replica.name.clone(),
                    engine: None,
                    outcome,
                    narrowed: None,
                });
            }
        }
        Ok(())
    }

    fn place<'a>(&'a self, table: &'a Name, chunk: u64) -> Place<'a> {
        Place {
            run: &self.name,
            table,
            chunk,
        }
    }

    /// Where a replica is that has all of these. They are in our binlog as they were sent.
    async fn proven(&mut self, statements: HashSet<String>) -> Result<Position, Error> {
        let gtids = self.witness.find(statements, SHOWN_WITHIN).await?;
        Ok(Position::of_history(self.source.flavor(), &gtids))
    }
}

fn not_whole(chunk: u64) -> String {
    format!("a row of chunk {chunk} cannot be computed at the source (max_allowed_packet?)")
}

/// Or why the table is not mended there.
async fn mends<'a>(
    account: &Account,
    table: &Name,
    definition: Definition,
    serves: &'a Serves,
) -> Result<Mends<'a>, String> {
    let travel = Travel::of(&definition).map_err(|unknown| unknown.to_string())?;
    let mut mender = Mender::open(account).await?;
    match mender.spares(table).await {
        Ok(()) => Ok(Mends {
            mender,
            travel,
            definition,
            serves,
        }),
        Err(why) => match mender.restore().await {
            Ok(()) => Err(why),
            Err(by_hand) => Err(format!("{why}; {by_hand}")),
        },
    }
}
