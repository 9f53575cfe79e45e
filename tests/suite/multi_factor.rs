//! MySQL's accounts with several factors, against a real server. Its plugins for second and third
//! factors are ours (`multi_factor/factors.c`): those that MySQL ships as free software are for first
//! ones only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::certificates::Authority;
use crate::support::mysql;
use crate::support::session::{PASSWORD, Proxy, Server, USER, eventually};
use ackline::net::tls::{Acceptor, ClientFiles, Connector, Mode, Offer, ServerFiles};
use ackline::protocol::auth::AuthSwitch;
use ackline::protocol::caching_sha2;
use ackline::protocol::handshake::Handshake;
use ackline::protocol::{Capabilities as C, HandshakeResponse};
use ackline::session::Config;

const ACCOUNTS: &str = "
    INSTALL PLUGIN factor_clear SONAME 'factors.so';
    INSTALL PLUGIN factor_sha2 SONAME 'factors.so';
    CREATE USER two IDENTIFIED WITH caching_sha2_password BY 'first'
        AND IDENTIFIED WITH factor_sha2 BY 'second';
    CREATE USER three IDENTIFIED WITH caching_sha2_password BY 'first'
        AND IDENTIFIED WITH factor_sha2 BY 'second' AND IDENTIFIED WITH factor_clear BY 'third';";
const FIRST: &str = "first";
const SECOND: &str = "second";
/// What `factor_clear` takes.
const THIRD: &str = "clear";

fn start(folder: &Path) -> Option<Server> {
    let programs = mysql::programs("multi_factor")?;
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"])
        .arg("-o")
        .arg(folder.join("factors.so"))
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/multi_factor/factors.c"
        ))
        .output()
        .expect("a C compiler");
    assert!(compiled.status.success(), "{compiled:?}");
    let plugins = format!("--plugin-dir={}", folder.display());
    let server = Server::start_mysql_with(&programs, &[&plugins]);
    let made = client(server.port, USER, &[PASSWORD], "DISABLED", ACCOUNTS);
    assert!(made.status.success(), "{made:?}");
    // From now on the server knows the first factors, and clients need not send them in full.
    for (user, passwords) in [
        ("two", &[FIRST, SECOND][..]),
        ("three", &[FIRST, SECOND, THIRD]),
    ] {
        let output = client(server.port, user, passwords, "DISABLED", "SELECT 1");
        assert!(output.status.success(), "{output:?}");
    }
    Some(server)
}

/// MySQL's own command line.
fn client(port: u16, user: &str, passwords: &[&str], tls: &str, statements: &str) -> Output {
    let mut command = Command::new(mysql::program("mysql"));
    command
        .args([
            "--no-defaults",
            "--host=127.0.0.1",
            "--get-server-public-key",
        ])
        .args(["--enable-cleartext-plugin", "-N", "-B"])
        .arg(format!("--port={port}"))
        .arg(format!("--user={user}"))
        .arg(format!("--ssl-mode={tls}"))
        .arg(format!("--execute={statements}"));
    for (at, password) in passwords.iter().enumerate() {
        command.arg(format!("--password{}={password}", at + 1));
    }
    command.output().unwrap()
}

#[test]
fn accounts_with_several_factors() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = start(folder.path()) else {
        return;
    };
    proxied_is_as_direct(&server);
    a_client_leaves_between_two_factors(&server);
    every_factor_over_every_channel(&server, folder.path());
}

fn every_factor_over_every_channel(server: &Server, folder: &Path) {
    let ours = Authority::new(folder, "ca").issue("proxy");
    let files = ServerFiles {
        cert: ours.cert,
        key: ours.key,
        client_ca: None,
    };
    let proxy = Proxy::with(
        server,
        Config {
            tls: Acceptor::new(Offer::new(Mode::Preferred, Some(files.load().unwrap()))),
            ..Config::default()
        },
    );
    let port = proxy.port;
    for to_source in [Mode::Off, Mode::Required] {
        let files = ClientFiles {
            mode: to_source,
            ..ClientFiles::default()
        };
        proxy.gate.set(|state| state.tls = Connector::new(files));
        for tls in ["DISABLED", "REQUIRED"] {
            let case = format!("client {tls}, source {to_source:?}");
            let two = client(port, "two", &[FIRST, SECOND], tls, "SELECT USER()");
            assert_eq!(
                String::from_utf8_lossy(&two.stdout),
                "two@127.0.0.1\n",
                "{case}: {two:?}"
            );
            let wrong = client(port, "two", &["wrong", SECOND], tls, "SELECT 1");
            let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
            // It has to be sent in full, whatever the channels.
            assert!(told.contains("ERROR 1045"), "{case}: {told}");
            let secrets = [FIRST, SECOND, THIRD];
            let three = client(port, "three", &secrets, tls, "SELECT USER()");
            let told = String::from_utf8_lossy(&three.stderr).into_owned();
            if tls == "REQUIRED" && to_source == Mode::Off {
                assert!(told.contains("ERROR 3159"), "{case}: {told}");
            } else {
                assert_eq!(
                    String::from_utf8_lossy(&three.stdout),
                    "three@127.0.0.1\n",
                    "{case}: {told}"
                );
                let secrets = [FIRST, SECOND, "wrong"];
                let wrong = client(port, "three", &secrets, tls, "SELECT 1");
                let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
                assert!(told.contains("ERROR 1045"), "{case}: {told}");
            }
        }
    }
    eventually("every session has ended", || proxy.registry.is_empty());
}

/// Packet by packet: logins and changes of the user.
fn proxied_is_as_direct(server: &Server) {
    let proxy = Proxy::start(server);
    let with = C::MULTI_FACTOR.0;
    for (capabilities, users) in [
        (with, &["two", "three", USER, "three", "two"][..]),
        (with, &["three", "two", "two"]),
        // The server refuses them who do not know of further factors.
        (0, &["two"]),
        (0, &[USER, "three"]),
    ] {
        let direct = dialogues(server.port, C(capabilities), users);
        let proxied = dialogues(proxy.port, C(capabilities), users);
        assert_eq!(direct, proxied, "{users:?}");
        if capabilities == with {
            let factors = direct.iter().filter(|(_, kind)| kind[0] == 2).count();
            let expected: usize = (users.iter())
                .map(|user| match *user {
                    "two" => 1,
                    "three" => 2,
                    _ => 0,
                })
                .sum();
            assert_eq!(factors, expected, "{users:?} {direct:?}");
        }
    }
}

/// Who leaves between two factors leaves a login that was refused, and no session.
fn a_client_leaves_between_two_factors(server: &Server) {
    const DENIED: &str = "SELECT SUM_ERROR_RAISED FROM
        performance_schema.events_errors_summary_global_by_error
        WHERE ERROR_NAME = 'ER_ACCESS_DENIED_ERROR'";
    let denied = || {
        let output = client(server.port, USER, &[PASSWORD], "DISABLED", DENIED);
        let count = String::from_utf8_lossy(&output.stdout).into_owned();
        count.trim().parse::<u32>().unwrap()
    };
    let before = denied();
    let proxy = Proxy::start(server);
    for _ in 0..3 {
        let (mut stream, scramble) = greet(proxy.port, C::MULTI_FACTOR, "three");
        let mut packet = next(&mut stream);
        while packet.1[0] != 2 {
            answer(&mut stream, &packet, FIRST, &scramble);
            packet = next(&mut stream);
        }
    }
    eventually("every session has ended", || proxy.registry.is_empty());
    // Each login was brought to its end, and not broken off.
    assert_eq!(denied(), before + 3);
}

type Packet = (u8, Vec<u8>);

/// A login as the first of `users`, then COM_CHANGE_USER to each of the others: what the server said,
/// scrambles left out.
fn dialogues(port: u16, capabilities: C, users: &[&str]) -> Vec<Packet> {
    let (mut stream, scramble) = greet(port, capabilities, users[0]);
    let mut said = Vec::new();
    log_in(&mut stream, users[0], scramble, &mut said);
    for user in &users[1..] {
        let mut command = vec![0x11];
        command.extend(user.as_bytes());
        command.extend(b"\0\0\0\x2d\0caching_sha2_password\0");
        send(&mut stream, 0, &command);
        log_in(&mut stream, user, Vec::new(), &mut said);
    }
    said
}

fn log_in(stream: &mut TcpStream, user: &str, mut scramble: Vec<u8>, said: &mut Vec<Packet>) {
    let password = if user == USER { PASSWORD } else { FIRST };
    loop {
        let packet = next(stream);
        let first = packet.1[0];
        match first {
            0x00 | 0xFF => {
                said.push(packet);
                return;
            }
            0xFE => {
                scramble = AuthSwitch::parse(&packet.1).unwrap().data;
                said.push((packet.0, vec![first]));
            }
            _ => said.push(packet.clone()),
        }
        answer(stream, &packet, password, &scramble);
    }
}

fn answer(stream: &mut TcpStream, (sequence, asked): &Packet, password: &str, scramble: &[u8]) {
    let answer = match &asked[..] {
        [0xFE, ..] => caching_sha2::answer(password, scramble),
        [2, plugin @ ..] if plugin.starts_with(b"mysql_clear_password\0") => b"clear\0".to_vec(),
        [2, plugin @ ..] if plugin.starts_with(b"caching_sha2_password\0") => vec![7; 32],
        // The fast way: it goes on by itself.
        [1, 3] => return,
        other => panic!("{}", other.escape_ascii()),
    };
    send(stream, sequence + 1, &answer);
}

/// The greeting, and the login packet that answers it; the scramble.
fn greet(port: u16, capabilities: C, user: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    let greeting = Handshake::parse(&next(&mut stream).1).unwrap();
    assert!(greeting.capabilities.contains(C::MULTI_FACTOR));
    let password = if user == USER { PASSWORD } else { FIRST };
    let mut login = Vec::new();
    HandshakeResponse {
        capabilities: capabilities
            | C::CLIENT_MYSQL
            | C::PROTOCOL_41
            | C::SECURE_CONNECTION
            | C::PLUGIN_AUTH,
        max_packet: 1 << 24,
        collation: 45,
        user: user.as_bytes().to_vec(),
        auth_response: caching_sha2::answer(password, &greeting.scramble),
        database: None,
        auth_plugin: caching_sha2::CACHING_SHA2.to_owned(),
        attributes: Vec::new(),
        zstd_level: None,
    }
    .write(&mut login);
    send(&mut stream, 1, &login);
    (stream, greeting.scramble.to_vec())
}

fn send(stream: &mut TcpStream, sequence: u8, payload: &[u8]) {
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(sequence);
    bytes.extend(payload);
    stream.write_all(&bytes).unwrap();
}

fn next(stream: &mut TcpStream) -> Packet {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let [a, b, c, sequence] = header;
    let mut payload = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
    stream.read_exact(&mut payload).unwrap();
    (sequence, payload)
}
