//! Applications that come with TLS: real clients against a real server through the session listener.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::certificates::{Authority, Certificate};
use crate::support::process;
use crate::support::session::{Proxy, Server, eventually};
use crate::support::wire;
use ackline::net::tls::{Acceptor, Mode, Offer, ServerFiles};
use ackline::session::Config;

/// A server, a proxy with TLS before it, and who signed its certificate.
struct Setup {
    proxy: Proxy,
    server: std::sync::Arc<Server>,
    folder: tempfile::TempDir,
    authority: Authority,
    acceptor: Acceptor,
}

fn offer(mode: Mode, certificate: &Certificate, client_ca: Option<PathBuf>) -> Offer {
    let files = ServerFiles {
        cert: certificate.cert.clone(),
        key: certificate.key.clone(),
        client_ca,
    };
    Offer::new(mode, Some(files.load().unwrap()))
}

fn start(mode: Mode, config: Config) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let acceptor = Acceptor::new(offer(mode, &authority.issue("proxy"), None));
    let server = Server::shared();
    let config = Config {
        tls: acceptor.clone(),
        ..config
    };
    Setup {
        proxy: Proxy::with(&server, config),
        server,
        folder,
        authority,
        acceptor,
    }
}

impl Setup {
    fn new(mode: Mode) -> Self {
        start(mode, Config::default())
    }

    fn ca(&self) -> String {
        format!("--ssl-ca={}", self.authority.cert().display())
    }

    /// A client that checks who we are.
    fn verified(&self, input: &str) -> Output {
        let ca = self.ca();
        let arguments = ["--ssl-ca", "--ssl-verify-server-cert", "-N", "-B", "shop"];
        let arguments = arguments.map(|a| if a == "--ssl-ca" { ca.as_str() } else { a });
        self.proxy.client(&arguments, input)
    }
}

#[track_caller]
fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn err(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `\s` says of the client's own connection.
fn cipher(status: &str) -> &str {
    let line = status.lines().find(|line| line.starts_with("SSL:"));
    line.unwrap_or_else(|| panic!("{status}"))
}

#[test]
fn preferred_takes_both_kinds() {
    let setup = Setup::new(Mode::Preferred);
    let status = out(&setup.proxy.client(&["--ssl", "shop"], "\\s\n"));
    assert!(cipher(&status).contains("Cipher in use is TLS"), "{status}");
    let status = out(&setup.proxy.client(&["--skip-ssl", "shop"], "\\s\n"));
    assert!(cipher(&status).contains("Not in use"), "{status}");
    assert_eq!(out(&setup.verified("SELECT 1+1; SELECT 2")), "2\n2\n");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let version = format!("--tls-version={version}");
        assert_eq!(
            out(&setup
                .proxy
                .client(&["--ssl", &version, "-N", "-B"], "SELECT 3")),
            "3\n"
        );
    }
    // A wrong password is the source's word, its number fitting; so is an unknown database.
    let wrong = setup.proxy.client(&["--ssl", "-pwrong"], "SELECT 1");
    assert!(err(&wrong).contains("ERROR 1045 (28000)"), "{wrong:?}");
    let nowhere = setup.proxy.client(&["--ssl", "nowhere"], "SELECT 1");
    assert!(err(&nowhere).contains("ERROR 1049 (42000)"), "{nowhere:?}");
}

#[test]
fn off_offers_none_and_required_wants_it() {
    let setup = Setup::new(Mode::Off);
    let refused = setup
        .proxy
        .client(&["--ssl", "--ssl-verify-server-cert"], "SELECT 1");
    assert!(err(&refused).contains("SSL"), "{refused:?}");
    assert_eq!(setup.proxy.sql("SELECT 1"), "1\n");

    let setup = Setup::new(Mode::Required);
    let refused = setup.proxy.client(&["--skip-ssl"], "SELECT 1");
    assert!(err(&refused).contains("ERROR 3159 (HY000)"), "{refused:?}");
    assert_eq!(out(&setup.verified("SELECT 1")), "1\n");
}

#[test]
fn who_is_believed() {
    let setup = Setup::new(Mode::Preferred);
    let other = Authority::new(setup.folder.path(), "other");
    let ca = format!("--ssl-ca={}", other.cert().display());
    let refused = setup
        .proxy
        .client(&[&ca, "--ssl-verify-server-cert"], "SELECT 1");
    assert!(err(&refused).contains("ERROR 2026"), "{refused:?}");
    // Only with a certificate of this authority.
    let clients = Authority::new(setup.folder.path(), "clients");
    setup.acceptor.set(offer(
        Mode::Required,
        &setup.authority.issue("again"),
        Some(clients.cert()),
    ));
    let show = |certificate: &Certificate| {
        let cert = format!("--ssl-cert={}", certificate.cert.display());
        let key = format!("--ssl-key={}", certificate.key.display());
        let arguments = [&setup.ca(), &cert, &key, "-N", "-B", "-e", "SELECT 4"];
        setup.proxy.client(&arguments.map(|a| a), "")
    };
    assert_eq!(out(&show(&clients.issue("app"))), "4\n");
    err(&show(&other.issue("stranger")));
    err(&setup.proxy.client(&["--ssl"], "SELECT 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_while_connections_run() {
    use mysql_async::prelude::Queryable;
    let setup = Setup::new(Mode::Required);
    let believe = |authority: &Authority| {
        let trust = mysql_async::SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_root_certs(vec![authority.cert().into()]);
        mysql_async::Conn::new(setup.proxy.options().ssl_opts(Some(trust)))
    };
    let mut old = believe(&setup.authority).await.unwrap();
    let new = Authority::new(setup.folder.path(), "new");
    assert!(believe(&new).await.is_err());
    setup
        .acceptor
        .set(offer(Mode::Required, &new.issue("renewed"), None));
    let mut conn = believe(&new).await.unwrap();
    assert!(believe(&setup.authority).await.is_err());
    for conn in [&mut old, &mut conn] {
        let rows: Vec<u32> = conn.query("SELECT seq FROM seq_1_to_5").await.unwrap();
        assert_eq!(rows, [1, 2, 3, 4, 5]);
    }
    // The rest of the protocol, over TLS.
    conn.query_drop("CREATE OR REPLACE TABLE secure(id INT, data LONGBLOB)")
        .await
        .unwrap();
    conn.exec_drop("INSERT INTO secure VALUES (?, ?)", (1, "one"))
        .await
        .unwrap();
    conn.change_user(
        mysql_async::ChangeUserOpts::default()
            .with_user(Some("other".into()))
            .with_pass(Some("other".into()))
            .with_db_name(Some("shop".into())),
    )
    .await
    .unwrap();
    let user: Option<String> = conn.query_first("SELECT USER()").await.unwrap();
    assert!(user.unwrap().starts_with("other@"));
    assert!(conn.reset().await.unwrap());
    let many: Option<u32> = conn
        .exec_first("SELECT COUNT(*) FROM secure", ())
        .await
        .unwrap();
    assert_eq!(many, Some(1));
}

#[test]
fn large_results_and_large_packets() {
    let _alone = SCALES.lock();
    let setup = Setup::new(Mode::Required);
    let ca = setup.ca();
    let big = ["--max-allowed-packet=128M", "-N", "-B", &ca, "shop"];
    let run = |input: &str| setup.proxy.client(&big, input);
    // 64 MB of rows, some of a packet's size and more.
    let rows = run(
        "SELECT REPEAT('x', 1000) FROM seq_1_to_32000; SELECT REPEAT('y', 16777300), REPEAT('z', 16000000)",
    );
    assert_eq!(
        rows.stdout.len(),
        32_000 * 1001 + 16_777_300 + 16_000_000 + 2
    );
    // An insert of 17 MB, and what came of it.
    let insert = format!(
        "CREATE OR REPLACE TABLE tls_large(data LONGTEXT); INSERT INTO tls_large VALUES ('{}'); \
         SELECT LENGTH(data), MD5(data) = MD5(REPEAT('q', 17000000)) FROM tls_large",
        "q".repeat(17_000_000)
    );
    assert_eq!(out(&run(&insert)), "17000000\t1\n");
    // A client that reads slowly gets all of it, while the proxy stores little.
    let mut child = setup
        .proxy
        .client_command(&[
            "--quick",
            "-N",
            "-B",
            &ca,
            "-e",
            "SELECT REPEAT('s', 1000) FROM seq_1_to_64000",
            "shop",
        ])
        .spawn()
        .unwrap();
    let before = resident();
    std::thread::sleep(Duration::from_millis(500));
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    let mut bytes = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    assert_eq!(bytes.len(), 64_000 * 1001);
    assert!(child.wait().unwrap().success());
}

/// Whoever weighs this process weighs it alone.
static SCALES: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Of this process, in which the proxy runs.
fn resident() -> usize {
    process::memory(std::process::id() as i32).resident as usize
}

#[test]
fn ctrl_c_and_kill() {
    let setup = Setup::new(Mode::Required);
    let child = setup
        .proxy
        .client_command(&[
            "--ssl",
            "--sigint-ignore",
            "-N",
            "-B",
            "-e",
            "SELECT SLEEP(600) AS killed_over_tls",
        ])
        .spawn()
        .unwrap();
    let find = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%killed_over_tls' AND ID <> CONNECTION_ID()";
    let id = || out(&setup.server.root(find)).trim().to_owned();
    eventually("the statement runs", || !id().is_empty());
    out(&setup
        .proxy
        .client(&["--ssl"], &format!("KILL QUERY {}", id())));
    let output = child.wait_with_output().unwrap();
    assert!(err(&output).contains("ERROR 1317"), "{output:?}");

    // Ctrl-C: the client sends the KILL over a second connection of its own.
    let child = setup
        .proxy
        .client_command(&[
            "--ssl",
            "-N",
            "-B",
            "-e",
            "SELECT SLEEP(600) AS killed_over_tls",
        ])
        .spawn()
        .unwrap();
    eventually("the statement runs", || !id().is_empty());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    eventually("the statement ends", || id().is_empty());
    child.wait_with_output().unwrap();

    // A client that vanishes takes its session along.
    let mut child = setup
        .proxy
        .client_command(&["--ssl", "-e", "SELECT SLEEP(600) AS killed_over_tls"])
        .spawn()
        .unwrap();
    eventually("the statement runs", || !id().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("its session ends", || setup.proxy.registry.is_empty());
}

/// The greeting, then a request for TLS.
fn ask_for_tls(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut greeting = vec![0; usize::from(header[0]) | usize::from(header[1]) << 8];
    stream.read_exact(&mut greeting).unwrap();
    stream.write_all(&tls_request()).unwrap();
    stream
}

fn tls_request() -> Vec<u8> {
    let mut request = vec![32, 0, 0, 1];
    // PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH.
    request.extend_from_slice(&0x0008_8A00_u32.to_le_bytes());
    request.extend_from_slice(&(1u32 << 24).to_le_bytes());
    request.push(33);
    request.extend_from_slice(&[0; 23]);
    request
}

/// How long after it began.
fn is_cut(stream: &mut TcpStream, began: Instant) -> Duration {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut rest);
    began.elapsed()
}

#[test]
fn handshakes_that_come_to_nothing() {
    let _alone = SCALES.lock();
    let config = Config {
        login_timeout: Duration::from_secs(2),
        ..Config::default()
    };
    let setup = start(Mode::Preferred, config);
    let port = setup.proxy.port;
    // Silence after the request, and a ClientHello that stops half way.
    for hello in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]] {
        let began = Instant::now();
        let mut stream = ask_for_tls(port);
        stream.write_all(hello).unwrap();
        let took = is_cut(&mut stream, began);
        assert!(
            took > Duration::from_millis(1500) && took < Duration::from_secs(20),
            "{took:?}"
        );
    }
    let config = Config {
        login_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let setup = start(Mode::Preferred, config);
    let port = setup.proxy.port;
    // Long before the login's deadline.
    let at_once = Duration::from_secs(20);
    // What is no ClientHello at all ends at once.
    let garbage = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xFF; 100_000],
        vec![22; 300],
    ];
    for bytes in garbage {
        let began = Instant::now();
        let mut stream = ask_for_tls(port);
        let _ = stream.write_all(&bytes);
        let took = is_cut(&mut stream, began);
        assert!(took < at_once, "{took:?}");
    }
    // In one segment with the request: taken for ciphertext, never for a login.
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut both = tls_request();
    both.extend_from_slice(b"\x05\0\0\x02login");
    stream.write_all(&both).unwrap();
    assert!(is_cut(&mut stream, began) < at_once);
    // Many that stop in the middle of a ClientHello as long as they come.
    let before = resident();
    let crowd: Vec<TcpStream> = (0..80)
        .map(|_| {
            let mut stream = ask_for_tls(port);
            stream
                .write_all(&[22, 3, 1, 0x3F, 0xFF, 1, 0, 0x7F, 0xFF])
                .unwrap();
            stream.write_all(&[7; 16_000]).unwrap();
            stream
        })
        .collect();
    let grown = resident().saturating_sub(before);
    assert!(
        grown < 16 << 20,
        "{grown} bytes for {} handshakes",
        crowd.len()
    );
    drop(crowd);
    eventually("all have left", || setup.proxy.registry.is_empty());
    // And the port serves on.
    assert_eq!(out(&setup.verified("SELECT 5")), "5\n");
}

#[test]
fn no_password_in_clear_behind_the_clients_back() {
    let setup = Setup::new(Mode::Preferred);
    // A server that asks for the password itself: the switch comes from a mock, as MariaDB's own
    // plugin for it (PAM) wants an account of the system.
    let source = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = source.local_addr().unwrap().to_string();
    let greeting = greeting_of(setup.server.port);
    let mock = std::thread::spawn(move || {
        let (mut stream, _) = source.accept().unwrap();
        stream.write_all(&greeting).unwrap();
        let login = packet(&mut stream);
        assert_eq!(login[3], 1, "numbered as the source counts");
        let mut switch = vec![0, 0, 0, 2];
        switch.extend_from_slice(b"\xfemysql_clear_password\0");
        switch[0] = (switch.len() - 4) as u8;
        stream.write_all(&switch).unwrap();
        let answer = packet(&mut stream);
        assert_eq!(answer[3], 3);
        assert!(!answer.windows(6).any(|w| w == b"secret"), "{answer:?}");
    });
    setup.proxy.gate.set(|state| state.source = Some(address));
    let refused = setup.proxy.client(&["--ssl"], "SELECT 1");
    let told = err(&refused);
    assert!(
        told.contains("ERROR 3159") && told.contains("not encrypted"),
        "{told}"
    );
    mock.join().unwrap();
}

/// COM_CHANGE_USER may carry the password, as a login packet may.
#[test]
fn no_password_in_clear_with_a_change_of_user() {
    let setup = Setup::new(Mode::Preferred);
    out(&setup.server.root("CREATE OR REPLACE USER nobody@'%'"));
    let address = format!("127.0.0.1:{}", setup.proxy.port);
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-starttls", "mysql", "-connect"])
        .arg(address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut to = client.stdin.take().unwrap();
    let mut from = client.stdout.take().unwrap();
    // Without a password there is nothing to scramble.
    let login = wire::login_packet("nobody", Vec::new(), "mysql_native_password");
    to.write_all(&wire::framed(2, &login)).unwrap();
    let mut answer = packet(&mut from);
    while answer[4] == 0xfe {
        to.write_all(&wire::framed(answer[3] + 1, b"")).unwrap();
        answer = packet(&mut from);
    }
    assert_eq!(answer[4], 0, "{answer:?}");

    let change = b"\x11root\0\x07secret\0shop\0\x2d\x00mysql_clear_password\0";
    to.write_all(&wire::framed(0, change)).unwrap();
    let refused = packet(&mut from);
    assert_eq!(refused[4..7], [0xff, 0x57, 0x0c], "ERR 3159: {refused:?}");
    // It was not relayed: the session is who it was.
    to.write_all(&wire::framed(0, b"\x03SELECT USER()"))
        .unwrap();
    let mut seen = Vec::new();
    while !seen.windows(6).any(|bytes| bytes == b"nobody") {
        seen = packet(&mut from);
        assert_ne!(seen[4], 0xff, "{}", String::from_utf8_lossy(&seen));
    }
    drop(to);
    let _ = client.kill();
    client.wait().unwrap();
}

fn packet(stream: &mut impl Read) -> Vec<u8> {
    let mut packet = vec![0; 4];
    stream.read_exact(&mut packet).unwrap();
    let length = usize::from(packet[0]) | usize::from(packet[1]) << 8;
    packet.resize(4 + length, 0);
    stream.read_exact(&mut packet[4..]).unwrap();
    packet
}

fn greeting_of(port: u16) -> Vec<u8> {
    packet(&mut TcpStream::connect(("127.0.0.1", port)).unwrap())
}

#[test]
fn broken_files_are_named_and_their_content_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let (one, two) = (authority.issue("one"), authority.issue("two"));
    let load = |cert: &Path, key: &Path| {
        let files = ServerFiles {
            cert: cert.to_owned(),
            key: key.to_owned(),
            client_ca: None,
        };
        files.load().map(|_| ()).unwrap_err().to_string()
    };
    let told = load(&one.cert, &two.key);
    assert!(
        told.contains("two.key is not the key of the certificate"),
        "{told}"
    );
    assert!(load(&one.key, &one.key).contains("holds no certificate"));
    assert!(load(&one.cert, &one.cert).contains("holds no private key"));
    assert!(load(&folder.path().join("no"), &one.key).contains("cannot be read"));
    let key = std::fs::read_to_string(&one.key).unwrap();
    let secret = key.lines().nth(1).unwrap().to_owned();
    let cut = folder.path().join("cut.key");
    std::fs::write(&cut, key.replace("-----END", "")).unwrap();
    let told = load(&one.cert, &cut);
    assert!(
        told.contains("cut.key") && !told.contains(&secret),
        "{told}"
    );
}
