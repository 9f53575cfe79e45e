//! sysbench through the proxy, without an error; then source and replicas hold the same.
//! `ACKLINE_SECONDS` says for how long.

use crate::support::Sandbox;
use crate::support::sysbench::{Sysbench, number_behind};

const TABLES: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_write_without_an_error() {
    let seconds = std::env::var("ACKLINE_SECONDS").map_or(10, |text| {
        text.parse().expect("ACKLINE_SECONDS is a number")
    });
    let sandbox = Sandbox::up(&["--mode", "semi-sync"]).await;
    let sysbench = Sysbench {
        mix: "oltp_read_write",
        account: sandbox.app().clone(),
        tables: TABLES,
        rows: 5_000,
        threads: 16,
    };
    sysbench.prepare();
    let said = sysbench.run(seconds);
    println!("{said}");
    assert_eq!(number_behind(&said, "reconnects:"), Some(0.0), "{said}");
    assert!(number_behind(&said, "transactions:") > Some(0.0), "{said}");
    sandbox.assert_equal().await;
    assert_eq!(
        sandbox.source().connect().await.checksums().await.len(),
        TABLES as usize
    );
    let status = sandbox.status().await;
    assert_eq!(status.number("degraded_commits.total"), 0, "{status}");
    assert!(status.list("problems").is_empty(), "{status}");
}
