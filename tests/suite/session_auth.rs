//! Logins with each authentication plugin through the session listener, and what they teach it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::support::certificates::Authority;
use crate::support::session::{PASSWORD, Proxy, Server, USER, eventually};
use crate::support::{mysql, unpacked};
use ackline::net::tls::{Acceptor, Mode, Offer, ServerFiles};
use ackline::protocol::auth::native_answer;
use ackline::protocol::password::Password;
use ackline::protocol::{Capabilities, ErrPacket, Handshake, HandshakeResponse, packet};
use ackline::session::Config;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

/// A proxy that offers TLS.
fn proxy(server: &Server, folder: &Path) -> Proxy {
    let certificate = Authority::new(folder, "ca").issue("proxy");
    let files = ServerFiles {
        cert: certificate.cert,
        key: certificate.key,
        client_ca: None,
    };
    let tls = Acceptor::new(Offer::new(Mode::Preferred, Some(files.load().unwrap())));
    let sealed = Arc::new(Password::new(b"sealed".to_vec()));
    let config = Config {
        tls,
        users: [(b"configured".to_vec(), sealed)].into(),
        ..Config::default()
    };
    Proxy::with(server, config)
}

fn client(proxy: &Proxy, user: &str, password: &str, channel: &str, statement: &str) -> Command {
    let mut command = Command::new("mariadb");
    command
        .args(["--no-defaults", "-h127.0.0.1", "-N", "-B"])
        .args(channel.split(' '))
        .arg(format!("-P{}", proxy.port))
        .arg(format!("-u{user}"))
        .arg(format!("--password={password}"))
        .args(["-e", statement])
        .stdin(Stdio::null());
    command
}

/// Nothing vouches for our certificate where MySQL keeps the passwords, and MariaDB's clients ask for that since 11.4.
const TLS: &str = "--ssl --skip-ssl-verify-server-cert";

/// Stays until it is dropped.
struct Session(Child);

impl Session {
    /// With whether its login has taught enough to be repeated.
    fn open(proxy: &Proxy, user: &str, password: &str, channel: &str) -> (Self, bool) {
        let others: Vec<u64> = proxy.registry.list().iter().map(|info| info.id).collect();
        let mut command = client(proxy, user, password, channel, "SELECT SLEEP(600)");
        let session = Self(command.stdout(Stdio::null()).spawn().unwrap());
        let mine = || {
            let list = proxy.registry.list();
            let mine = list.into_iter().find(|info| !others.contains(&info.id))?;
            (mine.activity == ackline::session::Activity::Running).then_some(mine)
        };
        eventually("it is logged in", || mine().is_some());
        (session, mine().unwrap().learned)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[track_caller]
fn denied(output: Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("ERROR 1045 (28000)"), "{output:?}");
}

#[test]
fn native_and_ed25519() {
    let Some(plugins) = unpacked::plugins("native_and_ed25519", "auth_ed25519.so") else {
        return;
    };
    let plugins = format!("--plugin-dir={}", plugins.display());
    let server = Server::start(&[&plugins, "--plugin-load-add=auth_ed25519"]);
    let accounts = server.root(
        "CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('sealed');\
         CREATE USER configured@'%' IDENTIFIED VIA ed25519 USING PASSWORD('sealed');\
         CREATE USER nobody@'%'; CREATE USER either@'%' IDENTIFIED VIA ed25519 USING PASSWORD('one')\
         OR mysql_native_password USING PASSWORD('two')",
    );
    assert!(accounts.status.success(), "{accounts:?}");
    let folder = tempfile::tempdir().unwrap();
    let proxy = proxy(&server, folder.path());
    for channel in ["--skip-ssl", "--ssl"] {
        for (user, password, learned) in [
            (USER, PASSWORD, true),
            ("nobody", "", true),
            ("ed", "sealed", false),
            ("configured", "sealed", true),
            ("either", "one", false),
            ("either", "two", true),
        ] {
            let session = Session::open(&proxy, user, password, channel);
            assert_eq!(session.1, learned, "{user} {password} {channel}");
            drop(session);
            denied(
                client(&proxy, user, "wrong", channel, "SELECT 1")
                    .output()
                    .unwrap(),
            );
        }
        eventually("all have left", || proxy.registry.is_empty());
    }
}

#[test]
fn caching_sha2() {
    let Some(programs) = mysql::programs("caching_sha2") else {
        return;
    };
    let server = Server::start_mysql(&programs);
    let folder = tempfile::tempdir().unwrap();
    let proxy = proxy(&server, folder.path());
    // The server knows the password: without TLS the client is not asked for it.
    let (_clear, learned) = Session::open(&proxy, USER, PASSWORD, "--skip-ssl");
    assert!(!learned);
    {
        let (_first, learned) = Session::open(&proxy, USER, PASSWORD, TLS);
        assert!(learned, "its first login brings it");
        let (_second, learned) = Session::open(&proxy, USER, PASSWORD, TLS);
        assert!(learned);
        let (_third, learned) = Session::open(&proxy, USER, PASSWORD, "--skip-ssl");
        assert!(
            learned,
            "its answer proves what another session has brought"
        );
        let (_other, learned) = Session::open(&proxy, "other", "other", "--skip-ssl");
        assert!(!learned, "another's");
        assert_eq!(proxy.registry.count_learned(), 3);
        for channel in [TLS, "--skip-ssl"] {
            denied(
                client(&proxy, USER, "wrong", channel, "SELECT 1")
                    .output()
                    .unwrap(),
            );
        }
    }
    eventually("they have left", || proxy.registry.len() == 1);
    let (_late, learned) = Session::open(&proxy, USER, PASSWORD, "--skip-ssl");
    assert!(!learned, "it is gone with the last session that had it");

    // Once the server has forgotten it, a client without TLS has to tell it: encrypted with our key.
    let output = client(&proxy, USER, PASSWORD, TLS, "FLUSH PRIVILEGES")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let (_cold, learned) = Session::open(&proxy, USER, PASSWORD, "--skip-ssl");
    assert!(learned);
}

/// The server lets the client in, says why at its first command, and leaves; so do we, whose own statement was
/// the first. (A driver's first command belongs to its connecting.)
async fn init_connect_fails(server: &Server) {
    let proxy = Proxy::start(server);
    let connect = |port: u16, user: &str| {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(port)
            .user(Some(user))
            .pass(Some(user))
            .prefer_socket(false);
        Conn::new(options)
    };
    for port in [server.port, proxy.port] {
        match connect(port, "bare").await {
            Err(mysql_async::Error::Server(error)) => {
                assert_eq!((error.code, &error.state[..]), (1184, "08S01"), "{error}");
                assert!(
                    error.message.contains("init_connect command failed"),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    // Who is above it is let in.
    let mut above = connect(proxy.port, "other").await.unwrap();
    assert_eq!(above.query_first("SELECT 1").await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_failing_init_connect_is_told() {
    let server = Server::start(&["--init-connect=SELECT nosuch"]);
    let made = "CREATE USER bare@'%' IDENTIFIED BY 'bare'";
    assert!(server.root(made).status.success());
    init_connect_fails(&server).await;
}

#[tokio::test]
async fn a_failing_init_connect_is_told_on_mysql() {
    let Some(programs) = mysql::programs("a_failing_init_connect_is_told_on_mysql") else {
        return;
    };
    let server = Server::start_mysql_with(&programs, &["--init-connect=SELECT nosuch"]);
    let run = |user: &str, password: &str, statement: &str| {
        let mut client = Command::new(programs.join("mysql"));
        client
            .args(["--no-defaults", "-h127.0.0.1", "--get-server-public-key"])
            .args([
                format!("-P{}", server.port),
                format!("-u{user}"),
                format!("-p{password}"),
            ])
            .args(["-e", statement]);
        client.output().unwrap()
    };
    let made = run(USER, PASSWORD, "CREATE USER bare@'%' IDENTIFIED BY 'bare'");
    assert!(made.status.success(), "{made:?}");
    // From here on the server knows its password well enough for one without TLS.
    let left = run("bare", "bare", "SELECT 1");
    assert!(!left.status.success(), "{left:?}");
    init_connect_fails(&server).await;
}

/// Servers take 64 KiB of them and say so.
#[test]
fn too_many_connection_attributes_are_a_bad_handshake() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let login = |port: u16, bytes: usize| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let greeting = packet(&mut stream);
        let scramble = Handshake::parse(&greeting).unwrap().scramble;
        let mut payload = Vec::new();
        HandshakeResponse {
            capabilities: Capabilities::CLIENT_MYSQL
                .with(Capabilities::PROTOCOL_41)
                .with(Capabilities::SECURE_CONNECTION)
                .with(Capabilities::PLUGIN_AUTH)
                .with(Capabilities::CONNECT_ATTRS),
            max_packet: 1 << 24,
            collation: 45,
            user: USER.into(),
            auth_response: native_answer(PASSWORD, &scramble),
            database: None,
            auth_plugin: "mysql_native_password".into(),
            attributes: vec![(b"long".to_vec(), vec![b'x'; bytes])],
            zstd_level: None,
        }
        .write(&mut payload);
        let mut bytes = Vec::new();
        packet::write(&mut bytes, &mut 1, &payload);
        stream.write_all(&bytes).unwrap();
        self::packet(&mut stream)
    };
    for port in [server.port, proxy.port] {
        assert_eq!(login(port, 65_000)[0], 0);
        for bytes in [66_000, 1_000_000] {
            let error = ErrPacket::parse(&login(port, bytes)).unwrap();
            assert_eq!((error.code, &error.state), (1043, b"08S01"), "{error:?}");
        }
    }
}

fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut payload = vec![0; packet::Header::parse(&header).unwrap().length];
    stream.read_exact(&mut payload).unwrap();
    payload
}
