//! Clients and servers that are slow, silent or gone: what each may cost, and how it ends.

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::certificates::Authority;
use crate::support::session::{PASSWORD, Proxy, Server, USER, eventually};
use crate::support::wire::{Packet, Refusal, Wire, framed, login_packet};
use ackline::net::tls::{Acceptor, Mode, Offer, ServerFiles};
use ackline::protocol::auth::AuthSwitch;
use ackline::session::{Activity, Config};

const LOGIN_TIMEOUT: Duration = Duration::from_secs(4);
/// On a busy machine.
const AND_THEN: Duration = Duration::from_secs(20);
/// TLS 1.2's first bytes: a handshake record of 512 bytes, a client hello in it.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03half of it";

fn local(port: u16) -> (Ipv4Addr, u16) {
    (Ipv4Addr::LOCALHOST, port)
}

fn login(port: u16) -> Wire {
    Wire::login(local(port), USER, PASSWORD).unwrap()
}

/// The first packet that is said to who connects, as a refusal.
fn turned_away(wire: &mut Wire) -> Refusal {
    wire.read().unwrap().refusal().expect("a refusal")
}

#[test]
fn one_connection_too_many_is_told_1040_as_the_server_tells_it() {
    let server = Server::start(&["--max-connections=10"]);
    // One more is kept free for an administrator.
    let mut all: Vec<Wire> = (0..10).map(|_| login(server.port)).collect();
    let (direct, client_says) = loop {
        let mut wire = Wire::connect(local(server.port)).unwrap();
        match wire.read().unwrap().refusal() {
            Some(refusal) => break (refusal, mariadb(server.port)),
            None => all.push(wire),
        }
    };
    assert_eq!(direct.code, 1040);
    assert!(
        client_says.contains("Too many connections"),
        "{client_says}"
    );
    all.into_iter().for_each(|wire| drop(wire.quit()));

    let proxy = Proxy::start(&server);
    proxy.registry.set_limit(Some(3));
    let mut three: Vec<Wire> = (0..3).map(|_| login(proxy.port)).collect();
    let mut fourth = Wire::connect(local(proxy.port)).unwrap();
    let proxied = turned_away(&mut fourth);
    let said = |refusal: &Refusal| {
        refusal
            .text
            .replace("ackline: ", "")
            .replace(" (the limit is 3)", "")
    };
    assert_eq!((proxied.code, said(&proxied)), (direct.code, said(&direct)));
    assert!(fourth.rest().is_empty());
    let said = mariadb(proxy.port)
        .replace("ackline: ", "")
        .replace(" (the limit is 3)", "");
    assert_eq!(said, client_says);
    assert_eq!((proxy.registry.len(), proxy.registry.refused()), (3, 2));

    three.pop().unwrap().quit().unwrap();
    eventually("a slot is free", || proxy.registry.len() == 2);
    let mut again = login(proxy.port);
    again.run("DO 1").unwrap();
    // Whoever is turned away with something on its way to us hears it too.
    for _ in 0..20 {
        let mut eager = Wire::connect(local(proxy.port)).unwrap();
        eager.stream.write_all(&[b'x'; 4096]).unwrap();
        assert_eq!(turned_away(&mut eager).code, 1040);
    }
}

/// What the command line client says.
fn mariadb(port: u16) -> String {
    let output = Command::new("mariadb")
        .args(["--no-defaults", "-h127.0.0.1", "-e", "SELECT 1"])
        .arg(format!("-P{port}"))
        .args([format!("-u{USER}"), format!("-p{PASSWORD}")])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where a client stops in its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stops {
    Silent,
    /// A byte of the login packet each 50 ms: as a whole it would take far longer than the login may.
    ByteByByte,
    InTheHello,
    /// The source asked for another method of authentication.
    AtTheSwitch,
    LeavesAtTheSwitch,
}

fn stop(stops: Stops, port: u16, until: Instant) {
    let mut wire = Wire::connect(local(port)).unwrap();
    wire.read().unwrap();
    match stops {
        Stops::Silent => {}
        Stops::ByteByByte => {
            let long = "x".repeat(2000);
            for byte in framed(1, &login_packet(&long, Vec::new(), "")) {
                if wire.stream.write_all(&[byte]).is_err() || Instant::now() > until {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Stops::InTheHello => {
            // The login packet's first 32 bytes, with the flag for TLS.
            let mut request = login_packet(USER, Vec::new(), "")[..32].to_vec();
            request[1] |= 0x08;
            wire.send(1, &request).unwrap();
            wire.stream.write_all(HALF_A_HELLO).unwrap();
        }
        Stops::AtTheSwitch | Stops::LeavesAtTheSwitch => {
            let login = login_packet(USER, Vec::new(), "client_ed25519");
            wire.send(1, &login).unwrap();
            let asked = wire.read().unwrap();
            assert_eq!(asked.payload.first(), Some(&AuthSwitch::FIRST), "{asked:?}");
            if stops == Stops::LeavesAtTheSwitch {
                return;
            }
        }
    }
    let began = Instant::now();
    wire.rest();
    assert!(Instant::now() < until, "{stops:?}: {:?}", began.elapsed());
}

#[test]
fn logins_that_do_not_come_to_their_end_are_cut_and_ended_for_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Authority::new(folder.path(), "ca").issue("proxy");
    let files = ServerFiles {
        cert: certificate.cert.clone(),
        key: certificate.key.clone(),
        client_ca: None,
    };
    // A server that would lose patience long after us, and says when it hears of somebody.
    let server = Server::start(&["--connect-timeout=60", "--log-warnings=4"]);
    let config = Config {
        tls: Acceptor::new(Offer::new(Mode::Preferred, Some(files.load().unwrap()))),
        login_timeout: LOGIN_TIMEOUT,
        ..Config::default()
    };
    let proxy = Proxy::with(&server, config);
    let all = [
        Stops::Silent,
        Stops::ByteByByte,
        Stops::InTheHello,
        Stops::AtTheSwitch,
        Stops::LeavesAtTheSwitch,
    ];
    let began = Instant::now();
    let clients: Vec<_> = all
        .iter()
        .flat_map(|stops| [*stops; 4])
        .map(|stops| {
            let port = proxy.port;
            std::thread::spawn(move || stop(stops, port, began + LOGIN_TIMEOUT + AND_THEN))
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert!(began.elapsed() >= LOGIN_TIMEOUT);
    eventually("no session is left", || proxy.registry.is_empty());
    // Each was ended by an answer that the source refused, which is no connect error; the name is that
    // of the client where it had told one.
    let refused = |user: &str| {
        let line = format!("Access denied for user '{user}'");
        server.log().matches(&line).count()
    };
    eventually("the source was told", || {
        refused("ackline: client left") == 12 && refused(USER) == 8
    });
    for complaint in [
        "Got an error reading",
        "Got timeout reading",
        "without authentication",
        "Bad handshake",
    ] {
        assert!(!server.log().contains(complaint), "{}", server.log());
    }
    let threads = server.root(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user='unauthenticated user'",
    );
    assert_eq!(String::from_utf8_lossy(&threads.stdout), "0\n");
}

#[test]
fn a_server_that_accepts_and_does_not_greet() {
    let server = Server::shared();
    let config = Config {
        login_hold: Duration::from_secs(1),
        ..Config::default()
    };
    let proxy = Proxy::with(&server, config);
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    proxy.gate.set(|state| state.source = Some(address));
    let mut wire = Wire::connect(local(proxy.port)).unwrap();
    let refusal = turned_away(&mut wire);
    assert_eq!(refusal.code, 1429);
    assert!(refusal.text.contains("does not greet"), "{refusal:?}");
    eventually("no session is left", || proxy.registry.is_empty());
}

/// What a client hears after `words`, to the end, and how long that took.
fn hears(port: u16, setting: &str, words: &[u8]) -> (Vec<Packet>, Duration) {
    let mut wire = login(port);
    wire.run(setting).unwrap();
    wire.stream.write_all(words).unwrap();
    let began = Instant::now();
    let bytes = wire.rest();
    let mut rest = &bytes[..];
    let mut packets = Vec::new();
    while let [a, b, c, sequence, tail @ ..] = rest {
        let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        let (payload, tail) = tail.split_at(length);
        packets.push(Packet {
            sequence: *sequence,
            payload: payload.to_vec(),
        });
        rest = tail;
    }
    (packets, began.elapsed())
}

#[test]
fn who_says_nothing_hears_what_he_would_hear_from_the_server() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    // 16 MiB are announced, and more comes than is read ahead.
    let mut large = framed(0, &[b"\x03SELECT '", &[b'x'; 200_000][..]].concat());
    large[..3].copy_from_slice(&[0xFF, 0xFF, 0xFE]);
    // MariaDB's patience for the rest of a command is that for its beginning.
    let setting = "SET SESSION wait_timeout=1";
    for words in [&b""[..], &large[..]] {
        let (direct, took) = hears(server.port, setting, words);
        assert!(took >= Duration::from_millis(900), "{took:?}");
        let (proxied, took) = hears(proxy.port, setting, words);
        assert!(took >= Duration::from_millis(900), "{took:?}");
        println!("{} bytes, then nothing: {direct:?}", words.len());
        assert_eq!(proxied, direct, "{} bytes", words.len());
    }
    // A small command is sent on when it is whole; until then the server sees an idle client.
    let (_, took) = hears(proxy.port, setting, b"\x20\0\0\0\x03SELECT");
    assert!(took >= Duration::from_millis(900), "{took:?}");
    eventually("no session is left", || proxy.registry.is_empty());
}

/// How long what `session` does takes.
fn time(session: impl FnOnce()) -> Duration {
    let began = Instant::now();
    session();
    began.elapsed()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

/// A login needs its event loop some ten times, and the source does not wait for ever between them.
#[test]
fn large_statements_let_the_other_sessions_have_their_turn() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    // Nothing of it can be skipped over.
    let text = format!("SELECT LENGTH('{}')", "\\'\u{e9}\u{4e9c}".repeat(300_000));
    let busy = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    let ends = AtomicBool::new(false);
    let (statement, login) = std::thread::scope(|scope| {
        let large = || {
            let mut wire = login(proxy.port);
            let mut all = vec![time(|| wire.ask_one(&text).unwrap())];
            while !ends.load(Ordering::Relaxed) {
                all.push(time(|| wire.ask_one(&text).unwrap()));
            }
            median(all)
        };
        let large: Vec<_> = (0..busy).map(|_| scope.spawn(large)).collect();
        eventually("all of them are under way", || {
            let sessions = proxy.registry.list().into_iter();
            sessions
                .filter(|it| it.activity == Activity::Running)
                .count()
                == busy
        });
        let small = || login(proxy.port).ask_one("SELECT 1").unwrap();
        let small = (0..5).map(|_| time(small)).collect();
        ends.store(true, Ordering::Relaxed);
        let large = large.into_iter().map(|one| one.join().unwrap());
        (median(large.collect()), median(small))
    });
    println!("a large statement: {statement:?}; a login and a small one: {login:?}");
    assert!(login < statement / 3, "{login:?}, {statement:?}");
}

const HALF_A_GIGABYTE: &str = "SELECT REPEAT('x', 1048576) FROM shop.seq_1_to_500";

/// Passes one connection on, until it is told to reset the one end.
struct Line {
    port: u16,
    taken: std::thread::JoinHandle<TcpStream>,
}

impl Line {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let taken = std::thread::spawn(move || {
            let near = listener.accept().unwrap().0;
            let far = TcpStream::connect(local(port)).unwrap();
            for (mut from, mut to) in [
                (near.try_clone().unwrap(), far.try_clone().unwrap()),
                (far, near.try_clone().unwrap()),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = from.shutdown(Shutdown::Both);
                });
            }
            near
        });
        Self { port: own, taken }
    }

    /// As by a host that has been started anew, and knows nothing of the connection.
    fn reset(self) {
        let near = self.taken.join().unwrap();
        let socket = socket2::SockRef::from(&near);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        rustix::net::shutdown(&near, rustix::net::Shutdown::Read).unwrap();
        drop(near);
    }
}

#[test]
fn a_source_that_breaks_off_is_noticed_behind_a_client_that_does_not_read() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let line = Line::to(server.port);
    let address = format!("127.0.0.1:{}", line.port);
    proxy.gate.set(|state| state.source = Some(address));
    let mut wire = login(proxy.port);
    wire.ask(HALF_A_GIGABYTE).unwrap();
    eventually("it runs", || {
        proxy
            .registry
            .list()
            .iter()
            .any(|session| session.activity == Activity::Running)
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(proxy.registry.len(), 1);
    line.reset();
    eventually("no session is left", || proxy.registry.is_empty());
    drop(wire);
}

/// `/proc/net/tcp`'s row for a socket: the kind of its timer (2: keepalive), and in how many seconds it
/// strikes.
fn timer(local: u16, remote: u16) -> Option<(u8, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ends = [local, remote].map(|port| format!("0100007F:{port:04X}"));
        (fields[1..3] == ends).then(|| fields[5].to_owned())
    })?;
    let (kind, when) = row.split_once(':').unwrap();
    let hundredths = u64::from_str_radix(when, 16).unwrap();
    Some((kind.parse().unwrap(), hundredths / 100))
}

/// That it then ends is the kernel's part, and takes a minute and a half: see the long form below.
#[test]
fn both_sockets_of_an_idle_session_ask_whether_the_peer_is_there() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut wire = login(proxy.port);
    wire.run("DO 1").unwrap();
    let client = wire.stream.local_addr().unwrap().port();
    let waits = |local, remote| {
        eventually("only the keepalive is waited for", || {
            let (kind, seconds) = timer(local, remote).unwrap();
            kind == 2 && (1..=60).contains(&seconds)
        });
    };
    waits(proxy.port, client);
    let id = proxy.registry.list()[0].connection;
    let host = format!("SELECT host FROM information_schema.processlist WHERE id={id}");
    let host = String::from_utf8_lossy(&server.root(&host).stdout).into_owned();
    let ours: u16 = host.trim().rsplit_once(':').unwrap().1.parse().unwrap();
    waits(ours, server.port);
}

/// A network of its own for a host that can be made to vanish: nothing it says arrives any more, not
/// even a reset. Needs root.
struct Elsewhere {
    name: String,
    near: String,
    /// Of this side, and of that one.
    here: String,
    there: String,
}

impl Elsewhere {
    fn new(number: u8) -> Self {
        // Interfaces have names of 15 bytes at most.
        let name = format!("al{}-{number}", std::process::id());
        let (near, far) = (format!("{name}-n"), format!("{name}-f"));
        let here = format!("198.18.{number}.1");
        let there = format!("198.18.{number}.2");
        let elsewhere = Self {
            name,
            near,
            here,
            there,
        };
        let Self {
            name,
            near,
            here,
            there,
        } = &elsewhere;
        ip(&format!("netns add {name}"));
        ip(&format!(
            "link add {near} type veth peer name {far} netns {name}"
        ));
        ip(&format!("address add {here}/30 dev {near}"));
        ip(&format!("link set {near} up"));
        ip(&format!("-n {name} address add {there}/30 dev {far}"));
        ip(&format!("-n {name} link set {far} up"));
        ip(&format!("-n {name} link set lo up"));
        elsewhere
    }

    fn launcher(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    fn vanish(&self) {
        ip(&format!(
            "-n {} route add blackhole {}/32",
            self.name, self.here
        ));
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // The network itself goes when its last socket does.
        let _ = Command::new("ip")
            .args(["link", "del", &self.near])
            .status();
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// A client that holds a session open until its standard input ends.
struct Holding(Child);

impl Holding {
    fn start(launcher: &[&str], address: &str, port: u16, statement: &str) -> Self {
        let words = [launcher, &["mariadb"]].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(["--no-defaults", "--unbuffered", &format!("-h{address}")])
            .args([
                format!("-P{port}"),
                format!("-u{USER}"),
                format!("-p{PASSWORD}"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{statement}").unwrap();
        Self(child)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One session is idle, one waits for the source, one for acknowledgements.
fn three_sessions(proxy: &Proxy, launcher: &[&str], address: &str) -> [Holding; 3] {
    proxy.sql("CREATE OR REPLACE TABLE waits(id INT)");
    proxy.gate.set(|state| state.withhold = true);
    let statements = [
        "SELECT 1;",
        "SELECT SLEEP(1000);",
        "INSERT INTO shop.waits VALUES (1);",
    ];
    let all = statements.map(|words| Holding::start(launcher, address, proxy.port, words));
    for wanted in [Activity::Idle, Activity::Running, Activity::Waiting] {
        eventually("each does what it shall", || {
            let sessions = proxy.registry.list();
            sessions.len() == 3 && sessions.iter().any(|session| session.activity == wanted)
        });
    }
    // What was said is acknowledged by the kernels; what is not would be repeated for a quarter of an hour.
    std::thread::sleep(Duration::from_secs(1));
    all
}

/// How long a vanished peer's sessions stay.
fn all_end_within_two_minutes(proxy: &Proxy) {
    let began = Instant::now();
    let deadline = began + Duration::from_secs(120);
    while !proxy.registry.is_empty() {
        assert!(Instant::now() < deadline, "{:?}", proxy.registry.list());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("the sessions ended after {:?}", began.elapsed());
    assert!(
        began.elapsed() > Duration::from_secs(5),
        "that was no silence"
    );
}

#[test]
#[ignore = "takes two minutes and root; the short form looks at the timers"]
fn sessions_of_a_client_that_vanishes_end_within_two_minutes() {
    let elsewhere = Elsewhere::new(1);
    let server = Server::shared();
    let proxy = Proxy::listening(&server, "0.0.0.0");
    let _clients = three_sessions(&proxy, &elsewhere.launcher(), &elsewhere.here);
    elsewhere.vanish();
    all_end_within_two_minutes(&proxy);
}

#[test]
#[ignore = "takes two minutes and root; the short form looks at the timers"]
fn sessions_at_a_source_that_vanishes_end_within_two_minutes() {
    let elsewhere = Elsewhere::new(2);
    let server = Server::start_by(&elsewhere.launcher(), &["--bind-address=0.0.0.0"]);
    let proxy = Proxy::start(&server);
    let address = format!("{}:{}", elsewhere.there, server.port);
    proxy.gate.set(|state| state.source = Some(address));
    let mut clients = three_sessions(&proxy, &[], "127.0.0.1");
    // One whose answer is there already is not the source's matter any more.
    clients[2].0.kill().unwrap();
    eventually("two are left", || proxy.registry.len() == 2);
    elsewhere.vanish();
    all_end_within_two_minutes(&proxy);
}
