//! The client's address on its way: from whoever passes it on, through us, to the source. And what
//! becomes of our own address there when clients leave early.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::certificates::Authority;
use crate::support::session::{PASSWORD, Proxy, Server, USER, eventually};
use ackline::net::tls::{Acceptor, ClientFiles, Connector, Mode, Offer, ServerFiles};
use ackline::protocol::proxy_header::{self, Ends};
use ackline::session::Config;

const FROM: &str = "10.1.2.3:4444";
const FROM_6: &str = "[fd00::7]:4444";

fn version_1(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, server) = match client {
        SocketAddr::V4(_) => ("TCP4", "10.1.0.1"),
        SocketAddr::V6(_) => ("TCP6", "fd00::1"),
    };
    let line = format!(
        "PROXY {family} {} {server} {} 3307\r\n",
        client.ip(),
        client.port()
    );
    line.into_bytes()
}

fn version_2(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let server = match client {
        SocketAddr::V4(_) => "10.1.0.1:3307",
        SocketAddr::V6(_) => "[fd00::1]:3307",
    };
    let mut header = Vec::new();
    let server = server.parse().unwrap();
    proxy_header::write(&mut header, Some(Ends { client, server }));
    header
}

/// A load balancer for one connection, with these words in front.
fn balancer(to: u16, words: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let mut proxy = TcpStream::connect(("127.0.0.1", to)).unwrap();
        // In two pieces: nothing says that a header comes as a whole.
        let (first, second) = words.split_at(words.len() / 2);
        proxy.write_all(first).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        proxy.write_all(second).unwrap();
        let copy = |mut from: TcpStream, mut to: TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        };
        let back = (proxy.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || copy(back.0, back.1));
        copy(client, proxy);
    });
    port
}

fn client(port: u16, arguments: &[&str], statement: &str) -> Output {
    Command::new("mariadb")
        // Newer ones want TLS, which is not on offer here.
        .args(["--no-defaults", "-h127.0.0.1", "-N", "-B", "--skip-ssl"])
        .arg(format!("-P{port}"))
        .arg(format!("-u{USER}"))
        .arg(format!("-p{PASSWORD}"))
        .args(arguments)
        .args(["-e", statement])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn listening(networks: &[&str]) -> Config {
    Config {
        proxy_protocol_from: networks.iter().map(|net| net.parse().unwrap()).collect(),
        login_timeout: Duration::from_secs(60),
        ..Config::default()
    }
}

#[test]
fn the_address_that_a_balancer_tells() {
    let server = Server::shared();
    let proxy = Proxy::with(&server, listening(&["127.0.0.0/8"]));
    for (header, expected) in [
        (version_1(FROM), FROM),
        (version_2(FROM), FROM),
        (version_1(FROM_6), FROM_6),
        (version_2(FROM_6), FROM_6),
    ] {
        let port = balancer(proxy.port, header);
        let running = std::thread::spawn(move || client(port, &[], "SELECT SLEEP(1)"));
        eventually("it is in the list under its address", || {
            proxy
                .registry
                .list()
                .iter()
                .any(|session| session.peer == expected)
        });
        assert_eq!(out(&running.join().unwrap()), "0");
    }
    // A balancer's own connection, and one that knows nothing.
    let mut local = Vec::new();
    proxy_header::write(&mut local, None);
    for header in [local, b"PROXY UNKNOWN\r\n".to_vec()] {
        let port = balancer(proxy.port, header);
        assert_eq!(out(&client(port, &[], "SELECT 1")), "1");
    }
}

#[test]
fn from_there_a_header_is_due_and_from_elsewhere_none_is_taken() {
    let server = Server::shared();
    let patient = Proxy::with(&server, listening(&["127.0.0.1/32"]));
    let impatient = Config {
        login_timeout: Duration::from_secs(2),
        ..listening(&["127.0.0.1/32"])
    };
    let impatient = Proxy::with(&server, impatient);
    let ends_within = |proxy: &Proxy, words: &[u8]| {
        let began = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        stream.write_all(words).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told);
        assert!(told.is_empty(), "{told:?}");
        began.elapsed()
    };
    // Long before the login's deadline.
    let at_once = Duration::from_secs(20);
    assert!(ends_within(&patient, b"GET / HTTP/1.1\r\n") < at_once);
    assert!(ends_within(&patient, &[b"PROXY TCP4 ", &[b'1'; 200][..]].concat()) < at_once);
    let mut long = version_2(FROM);
    long[14] = 0xFF;
    assert!(ends_within(&patient, &long) < at_once);
    // Silence, or half of a header: until the login's deadline.
    for words in [&b""[..], b"PROXY TCP4 10.1.2.3"] {
        let took = ends_within(&impatient, words);
        assert!(
            took > Duration::from_millis(1500) && took < Duration::from_secs(20),
            "{took:?}"
        );
    }
    eventually("nobody is left", || {
        patient.registry.is_empty() && impatient.registry.is_empty()
    });

    // Who is not listed cannot give himself an address.
    let proxy = Proxy::with(&server, listening(&["10.0.0.0/8", "fd00::/8"]));
    assert_eq!(out(&client(proxy.port, &[], "SELECT 1")), "1");
    let port = balancer(proxy.port, version_2(FROM));
    assert!(!client(port, &[], "SELECT 1").status.success());
    assert!(
        proxy
            .registry
            .list()
            .iter()
            .all(|session| session.peer != FROM)
    );
}

#[test]
fn haproxy_before_us() {
    if Command::new("haproxy").arg("-v").output().is_err() {
        eprintln!("skipped: haproxy is not installed");
        return;
    }
    let server = Server::shared();
    let proxy = Proxy::with(&server, listening(&["127.0.0.1/32"]));
    let folder = tempfile::tempdir().unwrap();
    for word in ["send-proxy", "send-proxy-v2"] {
        let deadline = Instant::now() + Duration::from_secs(30);
        let passes = || {
            // Somebody else may take the port before HAProxy does: then it ends, and the next is tried.
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let file = folder.path().join("haproxy.cfg");
            let text = format!(
                "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
                 listen l\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{} {word}\n",
                proxy.port
            );
            std::fs::write(&file, text).unwrap();
            let mut haproxy = Command::new("haproxy")
                .args(["-db", "-f"])
                .arg(&file)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut passed = false;
            while !passed && Instant::now() < deadline && haproxy.try_wait().unwrap().is_none() {
                passed = client(port, &[], "SELECT 1").status.success();
            }
            let _ = haproxy.kill();
            haproxy.wait().unwrap();
            passed
        };
        let passed = std::iter::repeat_with(passes).take(5).any(|passed| passed);
        assert!(passed, "{word}");
    }
}

#[test]
fn the_address_that_the_source_sees() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let certificate = authority.issue("server");
    let server = Server::start(&[
        "--proxy-protocol-networks=127.0.0.1",
        "--skip-name-resolve",
        &format!("--ssl-cert={}", certificate.cert.display()),
        &format!("--ssl-key={}", certificate.key.display()),
    ]);
    let made = server.root(&format!(
        "CREATE USER bound@'10.1.2.3' IDENTIFIED BY '{PASSWORD}'; CREATE USER bound@'fd00::7' IDENTIFIED BY '{PASSWORD}'"
    ));
    assert!(made.status.success(), "{made:?}");
    let files = ServerFiles {
        cert: certificate.cert,
        key: certificate.key,
        client_ca: None,
    };
    let offer = Offer::new(Mode::Preferred, Some(files.load().unwrap()));
    let config = Config {
        tls: Acceptor::new(offer),
        ..listening(&["127.0.0.1/32"])
    };
    let proxy = Proxy::with(&server, config);
    let seen = |header: Vec<u8>, arguments: &[&str]| {
        let port = balancer(proxy.port, header);
        client(port, arguments, "SELECT USER(), CURRENT_USER()")
    };
    proxy.gate.set(|state| state.send_proxy_protocol = true);
    for mode in [Mode::Off, Mode::Required] {
        let files = ClientFiles {
            mode,
            ..ClientFiles::default()
        };
        proxy.gate.set(|state| state.tls = Connector::new(files));
        for arguments in [&["-ubound"][..], &["-ubound", "--ssl"]] {
            let four = seen(version_2(FROM), arguments);
            assert_eq!(out(&four), "bound@10.1.2.3\tbound@10.1.2.3");
            let six = seen(version_1(FROM_6), arguments);
            assert_eq!(out(&six), "bound@fd00::7\tbound@fd00::7");
        }
    }
    let port = balancer(proxy.port, version_2(FROM));
    let list = client(
        port,
        &[],
        "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()",
    );
    assert_eq!(out(&list), FROM);
    // From somewhere else the account does not exist, and the source says so.
    let refused = seen(version_2("10.1.2.4:4444"), &["-ubound"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("1045") && told.contains("'bound'@'10.1.2.4'"),
        "{told}"
    );
    // Without an address to tell, and where nothing is sent, it is ours.
    let mut local = Vec::new();
    proxy_header::write(&mut local, None);
    assert!(out(&seen(local, &[])).starts_with("app@127.0.0.1"));
    proxy.gate.set(|state| state.send_proxy_protocol = false);
    assert!(out(&seen(version_2(FROM), &[])).starts_with("app@127.0.0.1"));
}

#[test]
fn doctor_says_whom_our_address_does_not_fit() {
    let server = Server::start(&[]);
    let made = server.root(
        "CREATE USER bound@'10.9.%' IDENTIFIED BY 'x'; CREATE USER local@'127.0.0.0/255.0.0.0' IDENTIFIED BY 'x'",
    );
    assert!(made.status.success(), "{made:?}");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let doctor = |keys: &str, arguments: &[&str]| {
        let text = format!(
            "[[server]]\nname = \"db1\"\naddress = \"127.0.0.1:{}\"\nrole = \"source\"\nuser = \"{USER}\"\n\
             password = \"{PASSWORD}\"\n{keys}\n[sync]\nmode = \"async\"\n[replication]\npassword = \"r\"\n",
            server.port
        );
        std::fs::write(&config, text).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_ackline"))
            .arg("doctor")
            .args(arguments)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let said = doctor("", &[]);
    assert!(said.contains("log in as 'bound'@'10.9.%':"), "{said}");
    let said = doctor("send_proxy_protocol = true", &["--fix"]);
    assert!(
        said.contains("done: SET GLOBAL proxy_protocol_networks='127.0.0.1'"),
        "{said}"
    );
    assert!(!said.contains("bound"), "{said}");
    let set = server.root("SELECT @@global.proxy_protocol_networks");
    assert_eq!(out(&set), "127.0.0.1");
}

/// An address of this machine that is not loopback: only there the source's host cache counts.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("203.0.113.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn clients_that_leave_early_do_not_get_us_blocked() {
    let Some(ip) = own_address() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let certificate = authority.issue("proxy");
    let server = Server::start(&["--bind-address=0.0.0.0", "--max-connections=500"]);
    let files = ServerFiles {
        cert: certificate.cert,
        key: certificate.key,
        client_ca: None,
    };
    let config = Config {
        tls: Acceptor::new(Offer::new(Mode::Preferred, Some(files.load().unwrap()))),
        login_timeout: Duration::from_secs(20),
        ..Config::default()
    };
    let proxy = Proxy::with(&server, config);
    let source = format!("{ip}:{}", server.port);
    proxy.gate.set(|state| state.source = Some(source.clone()));
    assert_eq!(out(&client(proxy.port, &[], "SELECT 1")), "1");

    let tls_request = [
        &[32, 0, 0, 1][..],
        &0x0008_8A00_u32.to_le_bytes(),
        &(1u32 << 24).to_le_bytes(),
        &[33],
        &[0; 23],
    ]
    .concat();
    // At every stage: at once, after the greeting, with half of a login packet, after asking for
    // TLS, in the middle of its handshake.
    let words: [Option<&[u8]>; 5] = [
        None,
        Some(b""),
        Some(b"\x40\0\0\x01abc"),
        Some(&tls_request),
        {
            Some(
                &[&tls_request[..], &[22, 3, 1, 1, 0, 1, 0, 0, 0xFC, 3, 3]]
                    .concat()
                    .leak()[..],
            )
        },
    ];
    for round in 0..300 {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        if let Some(words) = words[round % words.len()] {
            let mut first = [0; 64];
            assert!(stream.read(&mut first).unwrap() > 0);
            stream.write_all(words).unwrap();
        }
    }
    eventually("all have left", || proxy.registry.is_empty());
    let served = client(proxy.port, &[], "SELECT 2");
    assert_eq!(out(&served), "2");
    drop(proxy);

    // The same number directly: that is what would have happened.
    for _ in 0..130 {
        let mut stream = TcpStream::connect(&source).unwrap();
        let mut first = [0; 64];
        let _ = stream.read(&mut first).unwrap();
    }
    let blocked = || {
        let mut told = Vec::new();
        let _ = TcpStream::connect(&source).unwrap().read_to_end(&mut told);
        String::from_utf8_lossy(&told).contains("blocked")
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !blocked() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(
        blocked(),
        "the server counts nothing here, so this test proves nothing"
    );
}
