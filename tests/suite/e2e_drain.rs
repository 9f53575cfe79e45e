//! SIGTERM under load: whoever has something at the source gets its answer, and then nobody is served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::wire::Wire;
use crate::support::{Database, Flavor, Part, SOON, Sandbox, on_both_flavors};
use parking_lot::Mutex;

on_both_flavors![
    every_commit_at_the_source_is_answered_before_the_proxy_leaves,
    a_replica_on_its_way_to_the_dump_gets_there,
];

const CLIENTS: usize = 8;
/// Of a drain, which would give up after ten seconds.
const DRAINED_WITHIN: Duration = Duration::from_secs(8);
/// Within which a replica's last questions are taken; whoever is slower proves nothing.
const IN_TIME: Duration = Duration::from_millis(400);

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
        assert!(took < DRAINED_WITHIN, "the drain took {took:?}");
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

/// MariaDB's replica gives up for good where its request for the dump cannot be sent.
async fn a_replica_on_its_way_to_the_dump_gets_there(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    let attempts = 5;
    for attempt in 1..=attempts {
        if gets_to_the_dump_in_time(&sandbox) {
            return;
        }
        println!("attempt {attempt}: this test was too slow");
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
    }
    panic!("too slow {attempts} times");
}

/// False where we came too late with the question.
fn gets_to_the_dump_in_time(sandbox: &Sandbox) -> bool {
    let port = &sandbox.manifest.replication;
    let address = ("127.0.0.1", port.port);
    let mut wire = Wire::login(address, &port.user, &port.password).unwrap();
    let quick = Duration::from_millis(50);
    let app = ("127.0.0.1", sandbox.app().port);
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| {
            let began = Instant::now();
            sandbox.stop(Part::Proxy);
            began.elapsed()
        });
        let mut open = Instant::now();
        while std::net::TcpStream::connect(app).is_ok() {
            open = Instant::now();
            std::thread::yield_now();
        }
        wire.stream.set_read_timeout(Some(quick)).unwrap();
        let silent = wire.read();
        // From the first position, as server 99; it is not listed.
        let asked = wire.send(0, b"\x12\x04\0\0\0\0\0\x63\0\0\0");
        if open.elapsed() > IN_TIME {
            stopped.join().unwrap();
            return false;
        }
        asked.unwrap();
        let silent = silent.unwrap_err();
        assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock, "{silent}");
        wire.stream.set_read_timeout(Some(SOON)).unwrap();
        let ended = loop {
            if let Err(error) = wire.read() {
                break error;
            }
        };
        assert_eq!(ended.kind(), std::io::ErrorKind::UnexpectedEof, "{ended}");
        let took = stopped.join().unwrap();
        assert!(took < DRAINED_WITHIN, "the drain took {took:?}");
        true
    })
}
