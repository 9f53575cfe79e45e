//! Clients that write until their standard input ends, for `deploy/bench_provision.sh`: how long they waited.
//!
//!     writers URL THREADS
//!
//! Each writes a row, changes one and removes one, each in a transaction of its own. One line at the end: how many
//! statements were answered, the 95th percentile and the longest time of an answer, in milliseconds.

use std::error::Error;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROWS: u64 = 10_000;

async fn write(url: String, number: u64, stop: Arc<AtomicBool>) -> Outcome<Vec<Duration>> {
    let mut connection = Conn::new(Opts::from_url(&url)?).await?;
    let (mut took, mut at) = (Vec::new(), number);
    while !stop.load(Ordering::Relaxed) {
        at = at
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(number);
        let [one, another] = [at >> 33, at >> 40].map(|hash| hash % ROWS);
        for statement in [
            format!("REPLACE INTO written VALUES ({one}, {number}, REPEAT('w', 100))"),
            format!("UPDATE written SET n = n + 1 WHERE id = {another}"),
            format!("DELETE FROM written WHERE id = {}", (one + another) % ROWS),
        ] {
            let begun = Instant::now();
            match connection.query_drop(&statement).await {
                // They lock each other out now and then.
                Ok(()) | Err(mysql_async::Error::Server(_)) => took.push(begun.elapsed()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(took)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(threads)) = (arguments.next(), arguments.next()) else {
        return Err("usage: writers URL THREADS".into());
    };
    let mut connection = Conn::new(Opts::from_url(&url)?).await?;
    let table = "CREATE TABLE IF NOT EXISTS written (id INT PRIMARY KEY, n BIGINT, v VARCHAR(200)) ENGINE=InnoDB";
    connection.query_drop(table).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (1..=threads.parse()?)
        .map(|number| tokio::spawn(write(url.clone(), number, stop.clone())))
        .collect();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    stop.store(true, Ordering::Relaxed);
    let mut took = Vec::new();
    for writer in writers {
        took.extend(writer.await??);
    }
    took.sort();
    let milliseconds =
        |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let p95 = milliseconds(took.get(took.len() * 95 / 100));
    println!("{} {p95:.1} {:.1}", took.len(), milliseconds(took.last()));
    Ok(())
}
