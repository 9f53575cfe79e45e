//! Moving the source under load: what was acknowledged is there, what was not is no acknowledgement, and all
//! servers are equal in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::support::{Account, Flavor, Part, SOON, Sandbox, on_both_flavors};

on_both_flavors![
    a_switchover_there_and_back_loses_nothing,
    a_failover_from_a_dead_source_loses_nothing,
];

const CLIENTS: usize = 4;
/// ER_SERVER_SHUTDOWN: what a session hears when the source has moved.
pub const MOVED: u16 = 1053;

/// Clients that insert numbers, each its own, and connect again when they are cut.
pub struct Load {
    heard: Arc<Heard>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
pub struct Heard {
    stop: AtomicBool,
    rest: AtomicBool,
    resting: AtomicU32,
    next: AtomicU32,
    acknowledged: Mutex<Vec<(u32, Instant)>>,
    /// By code; 0 stands for a connection that broke.
    errors: Mutex<BTreeMap<u16, u32>>,
}

/// The server's code of an error, if it is the server's.
pub fn code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(error) => Some(error.code),
        _ => None,
    }
}

async fn write(app: Account, heard: Arc<Heard>, in_transactions: bool) {
    let mut database = app.connect_again().await;
    while !heard.stop.load(Ordering::Relaxed) {
        if heard.rest.load(Ordering::Relaxed) {
            heard.resting.fetch_add(1, Ordering::Relaxed);
            while heard.rest.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            heard.resting.fetch_sub(1, Ordering::Relaxed);
        }
        let n = heard.next.fetch_add(1, Ordering::Relaxed);
        let insert = format!("INSERT INTO seen VALUES ({n})");
        let done = async {
            if in_transactions {
                database.try_run("BEGIN").await?;
                database.try_run("SELECT COUNT(*) FROM seen").await?;
                database.try_run(&insert).await?;
                return database.try_run("COMMIT").await;
            }
            database.try_run(&insert).await
        };
        match done.await {
            Ok(()) => heard.acknowledged.lock().push((n, Instant::now())),
            Err(error) => {
                let code = code(&error).unwrap_or(0);
                *heard.errors.lock().entry(code).or_default() += 1;
                if ![MOVED, 0].contains(&code) {
                    println!("a client heard {error}");
                }
                database = app.connect_again().await;
            }
        }
    }
}

impl Load {
    pub fn begin(app: &Account) -> Self {
        Self::of(app, CLIENTS, 0)
    }

    /// So many clients, of which so many ask something in a transaction of several statements.
    pub fn of(app: &Account, clients: usize, in_transactions: usize) -> Self {
        let heard = Arc::new(Heard::default());
        heard.next.store(1, Ordering::Relaxed);
        let client = |n| tokio::spawn(write(app.clone(), heard.clone(), n < in_transactions));
        Self {
            tasks: (0..clients).map(client).collect(),
            heard,
        }
    }

    fn count(&self) -> usize {
        self.heard.acknowledged.lock().len()
    }

    /// So many more commits return.
    pub async fn goes_on(&self, more: usize) {
        let wanted = self.count() + more;
        crate::support::wait_until("commits return", SOON, async || match self.count() {
            count if count >= wanted => Ok(()),
            count => Err(format!("{count} of {wanted}")),
        })
        .await;
    }

    /// Until nobody is in the middle of a commit, and nobody begins one.
    pub async fn pause(&self) {
        self.heard.rest.store(true, Ordering::Relaxed);
        crate::support::wait_until("clients rest", SOON, async || {
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
        crate::support::wait_until("a commit returns", SOON, async || {
            let acknowledged = self.heard.acknowledged.lock();
            let mut times = acknowledged.iter().map(|(_, at)| *at);
            match times.find(|at| *at >= since) {
                Some(at) => Ok(at - since),
                None => Err("none"),
            }
        })
        .await
    }

    /// What clients heard so far, and has not been asked yet.
    pub fn errors(&self) -> BTreeMap<u16, u32> {
        std::mem::take(&mut self.heard.errors.lock())
    }

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

fn moved(sandbox: &Sandbox, arguments: &[&str]) {
    let output = sandbox.ackline(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{arguments:?}: {said}");
    assert!(output.status.success(), "{arguments:?}: {said}");
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

async fn a_switchover_there_and_back_loses_nothing(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let load = Load::begin(sandbox.app());
    load.goes_on(50).await;
    moved(&sandbox, &["switchover", "--to", "replica1"]);
    load.goes_on(50).await;
    sandbox.all_vote().await;
    moved(&sandbox, &["switchover", "--to", "source"]);
    load.goes_on(50).await;
    let acknowledged = load.end().await;
    assert_there(&sandbox, &acknowledged).await;
    sandbox.assert_equal().await;
    let status = sandbox.status().await;
    assert_eq!(status.text("source.name"), "source", "{status}");
    assert_eq!(status.number("epoch"), 3, "{status}");
}

async fn a_failover_from_a_dead_source_loses_nothing(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let load = Load::begin(sandbox.app());
    load.goes_on(50).await;
    sandbox.kill(Part::Source);
    moved(&sandbox, &["failover"]);
    load.goes_on(50).await;
    let acknowledged = load.end().await;
    assert_there(&sandbox, &acknowledged).await;
    let status = sandbox.status().await;
    assert_ne!(status.text("source.name"), "source", "{status}");
    assert_eq!(status.number("epoch"), 2, "{status}");
}
