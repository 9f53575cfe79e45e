//! Many connections: what the proxy keeps for one that is idle, and that nothing stays of those that come
//! and go.
//!
//! A standard run is short. What is asked of a proxy in production is seen with a binary as it is shipped,
//! in a sandbox of its own:
//!
//!     target/release/ackline sandbox up --server-option --max-connections=6000
//!     cargo test --test connections -- --sandbox sandbox --idle 5000 --rate 1000 --seconds 60

mod support;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::wire::Wire;
use support::{Account, Manifest, Sandbox, process};

const IDLE: usize = 500;
const RATE: usize = 500;
const SECONDS: usize = 5;
/// They wait more than they work.
const CLIENTS: usize = 64;
/// Clients that log in at the same time.
const OPENERS: usize = 8;
/// Memory that the proxy may keep for an idle session: two sockets, a task, a row in a table.
const EACH: u64 = 16 << 10;
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// In front of which at least this part of the rate must be reached, or the run says nothing.
const REACHED: f64 = 0.9;

struct Orders {
    idle: usize,
    rate: usize,
    seconds: usize,
    /// One that runs already; without it one is made.
    sandbox: Option<String>,
}

impl Orders {
    /// Other arguments are the test runner's and mean nothing here.
    fn read() -> Result<Self, String> {
        let mut orders = Self {
            idle: IDLE,
            rate: RATE,
            seconds: SECONDS,
            sandbox: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let number = match argument.as_str() {
                "--idle" => &mut orders.idle,
                "--rate" => &mut orders.rate,
                "--seconds" => &mut orders.seconds,
                "--sandbox" => {
                    orders.sandbox = arguments.next();
                    continue;
                }
                _ => continue,
            };
            let text = arguments.next().unwrap_or_default();
            *number = match text.parse() {
                Ok(value) if value > 0 => value,
                _ => return Err(format!("{argument} takes a number")),
            };
        }
        Ok(orders)
    }
}

/// The proxy as the system sees it.
struct Proxy {
    pid: i32,
    app: Account,
    status_url: String,
}

/// What it holds at one moment.
#[derive(Clone, Copy, Debug)]
struct Holds {
    descriptors: usize,
    sessions: u64,
    threads: usize,
    /// Bytes.
    resident: u64,
}

impl Proxy {
    fn of(manifest: &Manifest) -> Self {
        Self {
            pid: manifest.proxy.pid,
            app: manifest.app.clone(),
            status_url: format!("{}/api/v1/status", manifest.admin.url),
        }
    }

    fn login(&self) -> Result<Wire, String> {
        Wire::login(
            (self.app.host.as_str(), self.app.port),
            &self.app.user,
            &self.app.password,
        )
        .map_err(|error| error.to_string())
    }

    async fn sessions(&self) -> u64 {
        let answer = support::request("GET", &self.status_url, None, "").await;
        let body = answer.expect("the proxy's status").body;
        let status: serde_json::Value = serde_json::from_str(&body).unwrap();
        status["sessions"].as_u64().unwrap()
    }

    async fn holds(&self) -> Holds {
        let count = |what: &str| {
            let path = format!("/proc/{}/{what}", self.pid);
            std::fs::read_dir(path).unwrap().count()
        };
        Holds {
            sessions: self.sessions().await,
            descriptors: count("fd"),
            threads: count("task"),
            resident: process::memory(self.pid).resident,
        }
    }

    /// Waits until nothing is left of what has come since. (The connections by which the proxy asks
    /// servers come and go, too.)
    async fn settles(&self, before: &Holds) -> Result<Holds, String> {
        let deadline = Instant::now() + SETTLES_WITHIN;
        loop {
            let now = self.holds().await;
            if now.descriptors <= before.descriptors && now.sessions == before.sessions {
                return Ok(now);
            }
            if Instant::now() > deadline {
                return Err(format!("something is left: {now:?}, before: {before:?}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn kib(bytes: u64) -> u64 {
    bytes >> 10
}

/// Opens that many sessions, each of which has done something.
fn open(proxy: &Proxy, count: usize) -> Result<Vec<Wire>, String> {
    let part = |opener: usize| -> Result<Vec<Wire>, String> {
        (opener..count)
            .step_by(OPENERS)
            .map(|_| {
                let mut wire = proxy.login()?;
                wire.ask_one("SELECT 1")
                    .map_err(|error| error.to_string())?;
                Ok(wire)
            })
            .collect()
    };
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| scope.spawn(move || part(opener)))
            .collect();
        let mut all = Vec::with_capacity(count);
        for opener in openers {
            all.extend(opener.join().unwrap()?);
        }
        Ok(all)
    })
}

async fn idle(proxy: &Proxy, count: usize) -> Result<(), String> {
    let before = proxy.holds().await;
    let mut all = open(proxy, count)?;
    let with = proxy.holds().await;
    let sessions = with.sessions - before.sessions;
    if sessions != count as u64 {
        return Err(format!("{sessions} sessions instead of {count}"));
    }
    let grown = with.resident.saturating_sub(before.resident);
    let each = grown / count as u64;
    println!(
        "{count} idle connections: the proxy has {} KiB in memory, {} KiB before; {:.1} KiB each",
        kib(with.resident),
        kib(before.resident),
        grown as f64 / count as f64 / 1024.0
    );
    if each > EACH {
        return Err(format!("{each} bytes for an idle session"));
    }
    // Each of them is alive.
    for wire in &mut all {
        wire.run("DO 1").map_err(|error| error.to_string())?;
    }
    // Half says goodbye, half is simply gone.
    for (number, wire) in all.into_iter().enumerate() {
        if number % 2 == 0 {
            wire.quit().map_err(|error| error.to_string())?;
        }
    }
    let after = proxy.settles(&before).await?;
    println!("after they left: {after:?}");
    Ok(())
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    failures: Vec<String>,
}

fn come_and_go(proxy: &Proxy) -> Result<(), String> {
    let mut wire = proxy.login()?;
    let done = wire.ask_one("SELECT 1").and_then(|()| wire.quit());
    done.map_err(|error| error.to_string())
}

async fn churn(proxy: &Proxy, rate: usize, seconds: usize) -> Result<(), String> {
    let before = proxy.holds().await;
    let all = rate * seconds;
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    // Each takes the next turn of a common timetable, so that a slow one holds nobody up.
    let client = || {
        let mut seen = Seen::default();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= all {
                return seen;
            }
            let at = began + Duration::from_secs_f64(turn as f64 / rate as f64);
            thread::sleep(at.saturating_duration_since(Instant::now()));
            let start = Instant::now();
            match come_and_go(proxy) {
                Ok(()) => seen.took.push(start.elapsed()),
                Err(failure) => seen.failures.push(failure),
            }
        }
    };
    let mut total = Seen::default();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for client in clients {
            let seen = client.join().unwrap();
            total.took.extend(seen.took);
            total.failures.extend(seen.failures);
        }
    });
    let lasted = began.elapsed().as_secs_f64();
    let reached = total.took.len() as f64 / lasted;
    total.took.sort();
    let at = |part: f64| {
        let index = (total.took.len() as f64 * part) as usize;
        let took = total.took.get(index).copied().unwrap_or_default();
        took.as_secs_f64() * 1000.0
    };
    let after = proxy.settles(&before).await?;
    println!(
        "{} connections (login, SELECT 1, quit) in {lasted:.1} s: {reached:.0} per second of {rate} asked \
         for, {:.2} ms in the median, {:.2} ms at 99 %, {} failed",
        total.took.len(),
        at(0.5),
        at(0.99),
        total.failures.len(),
    );
    println!("before: {before:?}");
    println!("after:  {after:?}");
    if let Some(failure) = total.failures.first() {
        return Err(format!("{} failed: {failure}", total.failures.len()));
    }
    if after.threads > before.threads {
        return Err("the proxy has more threads than before".to_owned());
    }
    if reached < REACHED * rate as f64 {
        return Err(format!("{reached:.0} connections per second only"));
    }
    Ok(())
}

async fn run(orders: &Orders) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, all).map_err(|error| error.to_string())?;
    let own;
    let manifest = match &orders.sandbox {
        Some(dir) => {
            let path = Path::new(dir).join("sandbox.json");
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            &serde_json::from_str(&text).map_err(|error| error.to_string())?
        }
        None => {
            let connections = format!("--max-connections={}", orders.idle + 200);
            own = Sandbox::up(&[
                "--mode",
                "async",
                "--replicas",
                "0",
                "--server-option",
                &connections,
            ])
            .await;
            &own.manifest
        }
    };
    let proxy = Proxy::of(manifest);
    // What is made once is made now.
    drop(open(&proxy, 2 * OPENERS)?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    idle(&proxy, orders.idle).await?;
    churn(&proxy, orders.rate, orders.seconds).await
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let orders = match Orders::read() {
        Ok(orders) => orders,
        Err(error) => {
            eprintln!("connections: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&orders).await {
        Ok(()) => {
            println!("1 passed, 0 failed, 0 skipped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("connections: FAILED: {error}");
            println!("0 passed, 1 failed, 0 skipped");
            ExitCode::FAILURE
        }
    }
}
