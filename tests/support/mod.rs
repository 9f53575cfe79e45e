//! What the tests with real parts share: a sandbox that always goes away, connections, a failing disk.
//!
//! Nothing here sleeps and hopes: whatever has to come true is polled for until a deadline, and what
//! must *not* happen is watched for a stated time.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "each test program uses a part of it, and a failure here is a failed test"
)]

mod binlog;
pub mod certificates;
mod commit;
mod database;
pub mod events;
mod faildisk;
mod http;
pub mod load;
pub mod mysql;
mod ports;
pub mod process;
mod sandbox;
mod servers;
pub mod session;
mod status;
pub mod sysbench;
mod template;
pub mod unpacked;
pub mod wire;

use std::fmt::Display;
use std::time::{Duration, Instant};

pub use ackline::ids::Flavor;
pub use binlog::{Printed, number, print_all};
pub use commit::{Commit, STAYS};
pub use database::{Account, Database, wait_equal};
pub use faildisk::{FailingDisk, Mode};
pub use http::{Answer, request};
pub use ports::{Ports, free_port};
pub use process::Signal;
pub use sandbox::{ACKLINE, Manifest, Part, Sandbox};
pub use status::Status;

/// Makes of each `async fn name(flavor: Flavor)` a test for MariaDB and one for MySQL, which is skipped
/// where there is no MySQL.
#[allow(unused_macros)]
macro_rules! on_both_flavors {
    ($($test:ident),* $(,)?) => {
        mod on_mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::support::Flavor::MariaDb).await;
            })*
        }
        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let name = concat!(module_path!(), "::", stringify!($test));
                if crate::support::mysql::programs(name).is_some() {
                    super::$test(crate::support::Flavor::MySql).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_flavors;

/// What has to come true on a busy machine of two cores.
pub const SOON: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Polls until there is a value; at the deadline it panics with what the last try said.
pub async fn wait_until<T, E: Display>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + within;
    let mut last = "it never answered".to_owned();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => {}
        }
        assert!(
            Instant::now() < deadline,
            "not within {} s: {what}: {last}",
            within.as_secs()
        );
        tokio::time::sleep(POLL).await;
    }
}
