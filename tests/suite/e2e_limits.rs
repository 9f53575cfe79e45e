//! What clients may cost the proxy itself, in memory and in descriptors.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::wire::Wire;
use crate::support::{Part, SOON, Sandbox, process, wait_until};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

async fn sandbox() -> Sandbox {
    Sandbox::up(&["--mode", "async", "--replicas", "0"]).await
}

fn login(sandbox: &Sandbox) -> Wire {
    let app = sandbox.app();
    Wire::login((app.host.as_str(), app.port), &app.user, &app.password).unwrap()
}

/// Bytes of the proxy that are in memory.
fn resident(sandbox: &Sandbox) -> u64 {
    let pid = sandbox.pid(Part::Proxy).unwrap();
    process::memory(pid).resident
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

/// Seconds of processor time so far.
fn processor(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    ticks as f64 / 100.0
}

async fn sessions_are(sandbox: &Sandbox, count: u64) {
    let what = format!("{count} sessions");
    sandbox
        .status_until(&what, SOON, |status| status.number("sessions") == count)
        .await;
}

/// Connections of the application that the source has.
async fn at_the_source(sandbox: &Sandbox, count: u64) {
    let mut source = sandbox.source().connect().await;
    let statement = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}'",
        sandbox.app().user
    );
    wait_until("the source is rid of them", SOON, async || {
        match source.rows::<u64>(&statement).await[0] {
            found if found == count => Ok(()),
            found => Err(found.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_connections_is_taken_over_from_the_file_and_shown() {
    let sandbox = sandbox().await;
    let status = sandbox.status().await;
    // Without a limit of its own: two descriptors for each, and some for the rest.
    let open_files = rustix::process::getrlimit(Resource::Nofile).maximum;
    assert_eq!(
        status.at("sessions_limit").as_u64(),
        open_files.map(|all| (all - 256.min(all / 4)) / 2)
    );
    sandbox.save_config(&format!(
        "{}\n[sessions]\nmax_connections = 2\n",
        sandbox.config()
    ));
    sandbox.logged("the limit of connections has changed").await;
    let two = [login(&sandbox), login(&sandbox)];
    for _ in 0..3 {
        let app = sandbox.app();
        let mut wire = Wire::connect((app.host.as_str(), app.port)).unwrap();
        assert_eq!(wire.read().unwrap().refusal().unwrap().code, 1040);
    }
    let status = sandbox.status().await;
    assert_eq!(status.number("sessions"), 2, "{status}");
    assert_eq!(status.number("sessions_limit"), 2, "{status}");
    assert_eq!(status.number("sessions_refused"), 3, "{status}");
    let table = sandbox.ackline(&["status"]);
    let table = String::from_utf8_lossy(&table.stdout);
    assert!(table.contains("2 of 2  (3 refused)"), "{table}");
    let metrics = sandbox.request("GET", "/metrics", "").await.unwrap().body;
    for line in [
        "ackline_sessions 2",
        "ackline_sessions_limit 2",
        "ackline_refused_total{code=\"1040\"} 3",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} in {metrics}"
        );
    }
    drop(two);
    sessions_are(&sandbox, 0).await;
    drop(login(&sandbox));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_nobody_reads_stays_at_the_source() {
    const HALF_A_GIGABYTE: &str = "SELECT REPEAT('x', 1048576) FROM app.seq_1_to_500";
    let sandbox = sandbox().await;
    let mut other = login(&sandbox);
    let mut wire = login(&sandbox);
    let before = resident(&sandbox);
    wire.run("SET SESSION net_write_timeout=2").unwrap();
    wire.ask(HALF_A_GIGABYTE).unwrap();
    at_the_source(&sandbox, 1).await;
    let grown = resident(&sandbox).saturating_sub(before);
    println!("500 MB that nobody reads: {} KiB", grown / 1024);
    assert!(grown < 4 << 20, "{grown}");
    // It ends for the proxy as well, though the client still reads nothing.
    sessions_are(&sandbox, 1).await;
    // What had been written by then, and the end.
    let rest = wire.rest().len();
    assert!((1 << 16..500 << 20).contains(&rest), "{rest}");

    // Or the client leaves and has read nothing.
    let mut wire = login(&sandbox);
    wire.ask(HALF_A_GIGABYTE).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(sandbox.status().await.number("sessions"), 2);
    drop(wire);
    sessions_are(&sandbox, 1).await;
    at_the_source(&sandbox, 1).await;
    other.run("DO 1").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_trickle_in_cost_what_is_read_ahead() {
    const CLIENTS: usize = 200;
    /// 64 KiB, and a buffer to read into.
    const EACH: u64 = 192 << 10;
    let sandbox = sandbox().await;
    let mut clients: Vec<Wire> = (0..CLIENTS).map(|_| login(&sandbox)).collect();
    let before = resident(&sandbox);
    for (number, wire) in clients.iter_mut().enumerate() {
        // Of 64 MB, the first of four packets; or of what is held until it is whole.
        let announced: [u8; 4] = match number % 2 {
            0 => [0xFF, 0xFF, 0xFF, 0],
            _ => [0xF0, 0xFF, 0, 0],
        };
        let begin = [&announced[..], b"\x03SELECT '", &[b'x'; 60_000]].concat();
        wire.stream.write_all(&begin).unwrap();
    }
    for _ in 0..200 {
        for wire in &mut clients {
            wire.stream.write_all(b"x").unwrap();
        }
    }
    let grown = resident(&sandbox).saturating_sub(before);
    let each = grown / CLIENTS as u64;
    println!(
        "{CLIENTS} clients in the middle of a command: {} KiB each",
        each / 1024
    );
    assert!(each < EACH, "{each}");
    // They leave in the middle of it.
    drop(clients);
    sessions_are(&sandbox, 0).await;
    at_the_source(&sandbox, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_clients_wait_and_the_proxy_rests() {
    const WATCHED: Duration = Duration::from_secs(3);
    let sandbox = sandbox().await;
    let mut first = login(&sandbox);
    let pid = sandbox.pid(Part::Proxy).unwrap();
    let set = |limit: Option<u64>| {
        let limit = Rlimit {
            current: limit,
            maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
        };
        prlimit(Pid::from_raw(pid), Resource::Nofile, limit).unwrap()
    };
    let before = set(Some(descriptors(pid) as u64)).current;
    let app = sandbox.app();
    let mut waiting: Vec<Wire> = (0..20)
        .map(|_| Wire::connect((app.host.as_str(), app.port)).unwrap())
        .collect();
    let (used, began) = (processor(pid), Instant::now());
    while began.elapsed() < WATCHED {
        first.run("DO 1").unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let used = processor(pid) - used;
    assert!(used < 0.5, "{used} s of the processor in {WATCHED:?}");
    let complaints = sandbox
        .proxy_log()
        .matches("connections cannot be accepted")
        .count();
    assert_eq!(complaints, 1);
    set(before);
    for wire in &mut waiting {
        let greeting = wire.read().unwrap();
        assert_eq!(greeting.payload[0], 10, "{greeting:?}");
    }
    drop(waiting);
    sessions_are(&sandbox, 1).await;
}
