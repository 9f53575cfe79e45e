//! Moving the source under load: what was acknowledged is there, what was not is no acknowledgement, and all
//! servers are equal in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::support::{Account, Flavor, Part, SOON, Sandbox, on_both_flavors};

on_both_flavors![
    a_switchover_there_and_back_loses_nothing,
    a_failover_from_a_dead_source_loses_nothing,
];

const CLIENTS: usize = 4;

/// Clients that insert numbers, each its own, and connect again when they are cut.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<u32>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub fn begin(app: &Account) -> Self {
        let (stop, next) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(1)),
        );
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let tasks = (0..CLIENTS).map(|_| {
            let (stop, next) = (stop.clone(), next.clone());
            let (acknowledged, app) = (acknowledged.clone(), app.clone());
            tokio::spawn(async move {
                let mut database = app.connect_again().await;
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let insert = format!("INSERT INTO seen VALUES ({n})");
                    match database.try_run(&insert).await {
                        Ok(()) => acknowledged.lock().push(n),
                        Err(_) => database = app.connect_again().await,
                    }
                }
            })
        });
        Self {
            tasks: tasks.collect(),
            stop,
            acknowledged,
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().len()
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

    pub async fn end(self) -> Vec<u32> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            tokio::time::timeout(SOON, task)
                .await
                .expect("let go")
                .unwrap();
        }
        std::mem::take(&mut self.acknowledged.lock())
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
