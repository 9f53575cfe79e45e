//! Broken packets through living sessions: what a client sends, and what a source answers, each byte of
//! it open to doubt. A session may end, with an error or without; it must not panic, hang, or grow.
//!
//! The sessions are recorded from a real server at the start. `ACKLINE_FUZZ_CASES` says how many broken
//! ones of each kind there are, `ACKLINE_FUZZ_SEED` which; every case has a random generator of its own,
//! and `ACKLINE_FUZZ_CASE` runs one alone.

mod mutation;
mod recording;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use crate::support::process;
use crate::support::session::{self, Proxy};
use mutation::mutate;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use recording::{Session, record};

const CASES: u64 = 1500;
/// Side by side; they wait more than they work.
const WORKERS: u64 = 8;
/// Nothing more comes.
const QUIET: Duration = Duration::from_millis(4);
/// How long a session may take to end once both peers have left. A source that owes the rest of an
/// answer is waited for, as it might be at work.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
/// On a busy machine a second may pass without us; a session that hangs does so each time.
const ATTEMPTS: usize = 8;
/// What the memory may grow by in a run, after its first cases.
const GROWTH: u64 = 96 << 20;
const WARM: u64 = 500;

static RECORDED: LazyLock<Arc<Vec<Session>>> = LazyLock::new(|| Arc::new(record()));
static PANICS: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Client,
    Source,
}

#[test]
fn broken_packets_of_clients() {
    run(Broken::Client);
}

#[test]
fn broken_packets_of_sources() {
    run(Broken::Source);
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number")),
    )
}

fn run(broken: Broken) {
    let seed = setting("ACKLINE_FUZZ_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    let cases = match setting("ACKLINE_FUZZ_CASE") {
        Some(one) => one..one + 1,
        None => 0..setting("ACKLINE_FUZZ_CASES").unwrap_or(CASES),
    };
    println!("{broken:?}: ACKLINE_FUZZ_SEED={seed}, cases {cases:?}");
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));

    let sessions = RECORDED.clone();
    let source = FakeSource::start(sessions.clone());
    let proxy = Proxy::start_at(source.port);
    proxy.gate.set(|state| state.send_proxy_protocol = true);
    let next = AtomicU64::new(cases.start);
    let (mut at_first, mut slowest) = (None, Duration::ZERO);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut slowest = Duration::ZERO;
                    loop {
                        let case = next.fetch_add(1, Ordering::Relaxed);
                        if case >= cases.end {
                            return slowest;
                        }
                        let took = (0..ATTEMPTS)
                            .find_map(|_| one(broken, seed, case, &sessions, proxy.port))
                            .unwrap_or_else(|| {
                                panic!(
                                    "seed {seed} case {case} ({broken:?}): the session does not end"
                                )
                            });
                        slowest = slowest.max(took);
                    }
                })
            })
            .collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if next.load(Ordering::Relaxed) > cases.start + WARM {
                at_first.get_or_insert_with(resident);
            }
        }
        for worker in workers {
            slowest = slowest.max(worker.join().unwrap());
        }
    });
    session::eventually("every session has ended", || proxy.registry.is_empty());
    assert_eq!(
        PANICS.load(Ordering::SeqCst),
        0,
        "seed {seed}: a panic, see above"
    );
    let (first, last) = (at_first.unwrap_or_else(resident), resident());
    println!(
        "{broken:?}: {} cases, the slowest end after {slowest:?}, resident memory {} MiB, then {} MiB",
        cases.end - cases.start,
        first >> 20,
        last >> 20
    );
    assert!(last < first + GROWTH, "memory grew from {first} to {last}");
}

/// One session with one broken packet; how long it took to end, if it did in time.
fn one(broken: Broken, seed: u64, case: u64, sessions: &[Session], proxy: u16) -> Option<Duration> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(case);
    let number = random.random_range(0..sessions.len());
    let session = &sessions[number];
    let mut stream = TcpStream::connect(("127.0.0.1", proxy)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let mut sent = session.client.clone();
    if broken == Broken::Client {
        let at = random.random_range(0..sent.len());
        sent[at] = mutate(&sent[at], &mut random);
    }
    let order = Order {
        session: number as u32,
        broken: (broken == Broken::Source).then_some((seed, case)),
    };
    let client = stream.local_addr().unwrap().port();
    FakeSource::next_is(order, client);
    for chunk in &sent {
        // It may have left already.
        if stream.write_all(chunk).is_err() {
            break;
        }
        read_until_quiet(&mut stream);
    }
    let began = Instant::now();
    let _ = stream.shutdown(Shutdown::Write);
    FakeSource::leaves(client);
    stream.set_read_timeout(Some(ENDS_WITHIN)).unwrap();
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest)
        && error.kind() == std::io::ErrorKind::WouldBlock
    {
        return None;
    }
    Some(began.elapsed())
}

fn read_until_quiet(stream: &mut TcpStream) {
    let mut chunk = [0; 1 << 14];
    while matches!(stream.read(&mut chunk), Ok(1..)) {}
}

fn resident() -> u64 {
    process::memory(std::process::id() as i32).resident
}

/// What the source is to do with one connection.
#[derive(Clone, Copy)]
struct Order {
    session: u32,
    /// Seed and case, where it is the source that is broken.
    broken: Option<(u64, u64)>,
}

/// Answers what was recorded, a piece for each packet that comes. It knows by the PROXY header which
/// client is behind a connection, and so which session it is.
struct FakeSource {
    port: u16,
}

/// Where the source is with a client.
enum Part {
    Ordered(Order),
    AtWork(TcpStream),
    /// The client was gone before the source met it.
    Missed,
}

/// By the client's port.
static PARTS: LazyLock<Mutex<HashMap<u16, Part>>> = LazyLock::new(Mutex::default);
const PROXY_HEADER: usize = 28;

impl FakeSource {
    fn start(sessions: Arc<Vec<Session>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let sessions = sessions.clone();
                std::thread::spawn(move || answer(stream.unwrap(), &sessions));
            }
        });
        Self { port }
    }

    fn next_is(order: Order, client: u16) {
        PARTS.lock().unwrap().insert(client, Part::Ordered(order));
    }

    fn leaves(client: u16) {
        let mut parts = PARTS.lock().unwrap();
        match parts.remove(&client) {
            Some(Part::AtWork(stream)) => drop(stream.shutdown(Shutdown::Both)),
            _ => drop(parts.insert(client, Part::Missed)),
        }
    }
}

fn answer(mut stream: TcpStream, sessions: &[Session]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut header = [0; PROXY_HEADER];
    stream.read_exact(&mut header).ok()?;
    let client = u16::from_be_bytes([header[24], header[25]]);
    let order = loop {
        let mut parts = PARTS.lock().unwrap();
        match parts.remove(&client) {
            Some(Part::Ordered(order)) => {
                parts.insert(client, Part::AtWork(stream.try_clone().ok()?));
                break order;
            }
            Some(_) => return None,
            None => drop(parts),
        }
        std::thread::sleep(Duration::from_micros(100));
    };
    let mut pieces = sessions[order.session as usize].source.clone();
    if let Some((seed, case)) = order.broken {
        // Another stream of chance than the client's.
        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        random.set_stream(case);
        let at = random.random_range(0..pieces.len());
        pieces[at] = mutate(&pieces[at], &mut random);
    }
    let mut unread = Vec::new();
    let mut chunk = [0; 1 << 14];
    for piece in pieces {
        stream.write_all(&piece).ok()?;
        while !take_packet(&mut unread) {
            match stream.read(&mut chunk).ok()? {
                0 => return None,
                count => unread.extend_from_slice(&chunk[..count]),
            }
        }
    }
    while stream.read(&mut chunk).ok()? > 0 {}
    Some(())
}

fn take_packet(unread: &mut Vec<u8>) -> bool {
    let [a, b, c, _, ..] = unread[..] else {
        return false;
    };
    let length = 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
    let whole = unread.len() >= length;
    if whole {
        unread.drain(..length);
    }
    whole
}
