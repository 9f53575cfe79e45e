//! Clients that write and read while something else goes on, and what each of them heard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::database::{Account, Database};
use super::sandbox::Sandbox;
use super::{SOON, wait_until};

/// ER_SERVER_SHUTDOWN: what a session hears when the source has moved.
pub const MOVED: u16 = 1053;

/// How many, by what they do.
#[derive(Clone, Copy)]
pub struct Clients {
    pub writing: usize,
    /// They write too, in a transaction of several statements.
    pub in_transactions: usize,
    /// They look for the row that was acknowledged last.
    pub reading: usize,
}

impl Clients {
    pub const fn writing(writing: usize) -> Self {
        Self {
            writing,
            in_transactions: 0,
            reading: 0,
        }
    }

    fn jobs(self) -> Vec<Job> {
        let all = [
            (Job::Write, self.writing),
            (Job::Transaction, self.in_transactions),
            (Job::Read, self.reading),
        ];
        let repeated = all.into_iter().map(|(job, n)| std::iter::repeat_n(job, n));
        repeated.flatten().collect()
    }
}

#[derive(Clone, Copy)]
enum Job {
    Write,
    Transaction,
    Read,
}

/// Clients that insert numbers into `seen`, each number once, and connect again when they are cut.
pub struct Load {
    heard: Arc<Heard>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

struct Heard {
    stop: AtomicBool,
    rest: AtomicBool,
    resting: AtomicU32,
    next: AtomicU32,
    acknowledged: Mutex<Vec<(u32, Instant)>>,
    clients: Vec<Mutex<Client>>,
}

struct Client {
    /// By code; 0 stands for a connection that broke.
    errors: BTreeMap<u16, u32>,
    /// Since when it has had no answer.
    waits_since: Instant,
    longest_wait: Duration,
}

impl Client {
    fn new() -> Mutex<Self> {
        Mutex::new(Self {
            errors: BTreeMap::new(),
            waits_since: Instant::now(),
            longest_wait: Duration::ZERO,
        })
    }

    fn has_an_answer(&mut self) {
        self.longest_wait = self.longest_wait.max(self.waits_since.elapsed());
        self.waits_since = Instant::now();
    }
}

/// The server's code of an error, if it is the server's.
pub fn code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(error) => Some(error.code),
        _ => None,
    }
}

async fn once(job: Job, database: &mut Database, heard: &Heard) -> Result<(), mysql_async::Error> {
    if let Job::Read = job {
        let Some((n, _)) = heard.acknowledged.lock().last().copied() else {
            return database.try_run("DO 0").await;
        };
        let query = format!("SELECT COUNT(*) FROM seen WHERE n = {n}");
        let there = database.try_value(&query).await?;
        assert_eq!(there, "1", "{n} was acknowledged");
        return Ok(());
    }
    let n = heard.next.fetch_add(1, Ordering::Relaxed);
    let insert = format!("INSERT INTO seen VALUES ({n})");
    if let Job::Transaction = job {
        database.try_run("BEGIN").await?;
        database.try_run("SELECT COUNT(*) FROM seen").await?;
        database.try_run(&insert).await?;
        database.try_run("COMMIT").await?;
    } else {
        database.try_run(&insert).await?;
    }
    heard.acknowledged.lock().push((n, Instant::now()));
    Ok(())
}

async fn work(app: Account, heard: Arc<Heard>, index: usize, job: Job) {
    let client = &heard.clients[index];
    let mut database = app.connect_again().await;
    while !heard.stop.load(Ordering::Relaxed) {
        client.lock().has_an_answer();
        if heard.rest.load(Ordering::Relaxed) {
            heard.resting.fetch_add(1, Ordering::Relaxed);
            while heard.rest.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            heard.resting.fetch_sub(1, Ordering::Relaxed);
            client.lock().waits_since = Instant::now();
        }
        if let Err(error) = once(job, &mut database, &heard).await {
            let code = code(&error).unwrap_or(0);
            if ![MOVED, 0].contains(&code) {
                println!("a client heard {error}");
            }
            {
                let mut client = client.lock();
                *client.errors.entry(code).or_default() += 1;
                client.has_an_answer();
            }
            database = app.connect_again().await;
        }
    }
}

impl Load {
    pub fn of(app: &Account, clients: Clients) -> Self {
        let jobs = clients.jobs();
        let heard = Arc::new(Heard {
            stop: AtomicBool::new(false),
            rest: AtomicBool::new(false),
            resting: AtomicU32::new(0),
            next: AtomicU32::new(1),
            acknowledged: Mutex::default(),
            clients: jobs.iter().map(|_| Client::new()).collect(),
        });
        let client = |(index, job)| tokio::spawn(work(app.clone(), Arc::clone(&heard), index, job));
        Self {
            tasks: jobs.into_iter().enumerate().map(client).collect(),
            heard,
        }
    }

    fn count(&self) -> usize {
        self.heard.acknowledged.lock().len()
    }

    /// So many more commits return.
    pub async fn goes_on(&self, more: usize) {
        let wanted = self.count() + more;
        wait_until("commits return", SOON, async || match self.count() {
            count if count >= wanted => Ok(()),
            count => Err(format!("{count} of {wanted}")),
        })
        .await;
    }

    /// Until nobody is in the middle of a commit, and nobody begins one.
    pub async fn pause(&self) {
        self.heard.rest.store(true, Ordering::Relaxed);
        wait_until("clients rest", SOON, async || {
            let resting = self.heard.resting.load(Ordering::Relaxed);
            match resting as usize == self.tasks.len() {
                true => Ok(()),
                false => Err(format!("{resting} do")),
            }
        })
        .await;
    }

    pub fn resume(&self) {
        self.heard.rest.store(false, Ordering::Relaxed);
    }

    /// The longest time since then in which no commit returned.
    pub fn longest_pause(&self, since: Instant) -> Duration {
        let acknowledged = self.heard.acknowledged.lock();
        let times = acknowledged.iter().map(|(_, at)| *at);
        let mut times: Vec<Instant> = times.filter(|at| *at >= since).collect();
        times.insert(0, since);
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// Until the first commit since then returned.
    pub async fn first_since(&self, since: Instant) -> Duration {
        wait_until("a commit returns", SOON, async || {
            let acknowledged = self.heard.acknowledged.lock();
            let mut times = acknowledged.iter().map(|(_, at)| *at);
            match times.find(|at| *at >= since) {
                Some(at) => Ok(at - since),
                None => Err("none"),
            }
        })
        .await
    }

    /// For how long a client was without an answer at most, a login included; those that still wait count.
    pub fn longest_wait(&self) -> Duration {
        let waits = self.heard.clients.iter().map(|client| {
            let client = client.lock();
            client.longest_wait.max(client.waits_since.elapsed())
        });
        waits.max().unwrap_or_default()
    }

    /// What clients heard so far, and has not been asked yet.
    pub fn errors(&self) -> BTreeMap<u16, u32> {
        let mut all = BTreeMap::new();
        for client in &self.heard.clients {
            for (code, times) in std::mem::take(&mut client.lock().errors) {
                *all.entry(code).or_default() += times;
            }
        }
        all
    }

    /// Of the moves since it was asked last, each client heard so many times at most, and nothing else. How many heard.
    pub fn heard_of_moves(&self, at_most: u32) -> u32 {
        let mut times = 0;
        for client in &self.heard.clients {
            let mut errors = std::mem::take(&mut client.lock().errors);
            let moved = errors.remove(&MOVED).unwrap_or(0);
            assert!(moved <= at_most, "one client heard {MOVED} {moved} times");
            assert!(errors.is_empty(), "one client heard {errors:?}");
            times += moved;
        }
        times
    }

    /// The numbers whose commits returned.
    pub async fn end(self) -> Vec<u32> {
        self.heard.stop.store(true, Ordering::Relaxed);
        self.resume();
        for task in self.tasks {
            tokio::time::timeout(SOON, task)
                .await
                .expect("let go")
                .unwrap();
        }
        let acknowledged = std::mem::take(&mut *self.heard.acknowledged.lock());
        acknowledged.into_iter().map(|(n, _)| n).collect()
    }
}

/// Every number that was acknowledged stands at the source, through us.
pub async fn assert_there(sandbox: &Sandbox, acknowledged: &[u32]) {
    let mut app = sandbox.app().connect().await;
    let rows: Vec<u32> = app.rows("SELECT n FROM seen ORDER BY n").await;
    let missing: Vec<&u32> = acknowledged
        .iter()
        .filter(|n| rows.binary_search(n).is_err())
        .collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
    println!("{} acknowledged, {} there", acknowledged.len(), rows.len());
}
