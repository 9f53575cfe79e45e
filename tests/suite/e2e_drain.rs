//! SIGTERM under load: whoever has something at the source gets its answer, and then nobody is served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Database, Flavor, Part, Sandbox, on_both_flavors};
use parking_lot::Mutex;

on_both_flavors![every_commit_at_the_source_is_answered_before_the_proxy_leaves];

const CLIENTS: usize = 8;

#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    answered: Mutex<BTreeSet<u64>>,
}

/// Inserts until the proxy ends the session.
async fn insert(mut database: Database, ledger: Arc<Ledger>) {
    loop {
        let n = ledger.next.fetch_add(1, Ordering::Relaxed);
        let statement = format!("INSERT INTO seen VALUES ({n})");
        match database.try_run(&statement).await {
            Ok(()) => ledger.answered.lock().insert(n),
            Err(_) => return,
        };
    }
}

async fn every_commit_at_the_source_is_answered_before_the_proxy_leaves(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let ledger = Arc::new(Ledger::default());
    for _ in 0..3 {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let database = sandbox.app().connect().await;
            clients.push(tokio::spawn(insert(database, ledger.clone())));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        tokio::task::block_in_place(|| sandbox.stop(Part::Proxy));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "the drain took {took:?}");
        for client in clients {
            client.await.unwrap();
        }
        let mut source = sandbox.source().connect().await;
        let rows: Vec<u64> = source.rows("SELECT n FROM seen").await;
        assert_eq!(
            rows.into_iter().collect::<BTreeSet<_>>(),
            *ledger.answered.lock()
        );
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
    }
    assert!(ledger.answered.lock().len() > 3 * CLIENTS);
    sandbox.assert_equal().await;
}
