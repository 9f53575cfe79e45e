//! TLS towards the servers, for each of the three kinds of connection: sessions, the dump's login, and
//! questions.

use std::process::Output;
use std::time::Duration;

use crate::support::certificates::{Authority, Certificate};
use crate::support::session::{PASSWORD, Proxy, Server, USER, eventually};
use ackline::net::Error;
use ackline::net::admin::{Account, Admin};
use ackline::net::login::connect_and_login;
use ackline::net::tls::{Acceptor, ClientFiles, Connector, Mode, Offer, ServerFiles};
use ackline::session::Config;

const SOON: Duration = Duration::from_secs(30);
const CIPHER: &str = "SHOW STATUS LIKE 'Ssl_cipher'";

struct Setup {
    _folder: tempfile::TempDir,
    authority: Authority,
    other: Authority,
    server: Server,
}

/// A server that lets nobody in without TLS, but for its own socket.
fn setup(alternatives: &str) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let other = Authority::new(folder.path(), "other");
    let certificate = authority.issue_for("server", alternatives);
    let options = [
        format!("--ssl-cert={}", certificate.cert.display()),
        format!("--ssl-key={}", certificate.key.display()),
        format!("--ssl-ca={}", authority.cert().display()),
        "--require-secure-transport=ON".to_owned(),
    ];
    let server = Server::start(&options.each_ref().map(String::as_str));
    let made = server.root(&format!(
        "CREATE USER checked IDENTIFIED BY '{PASSWORD}' REQUIRE X509; GRANT ALL ON *.* TO checked"
    ));
    assert!(made.status.success(), "{made:?}");
    Setup {
        _folder: folder,
        authority,
        other,
        server,
    }
}

fn reached(mode: Mode, ca: Option<&Authority>) -> ClientFiles {
    ClientFiles {
        mode,
        ca: ca.map(Authority::cert),
        ..ClientFiles::default()
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

fn offered(certificate: &Certificate) -> Acceptor {
    let files = ServerFiles {
        cert: certificate.cert.clone(),
        key: certificate.key.clone(),
        client_ca: None,
    };
    Acceptor::new(Offer::new(Mode::Preferred, Some(files.load().unwrap())))
}

/// Newer ones make themselves a certificate.
fn without_tls() -> Server {
    Server::start(&["--skip-ssl"])
}

#[test]
fn sessions() {
    let setup = setup("DNS:localhost,IP:127.0.0.1");
    let config = Config {
        tls: offered(&setup.authority.issue("proxy")),
        ..Config::default()
    };
    let proxy = Proxy::with(&setup.server, config);
    let reach = |files: ClientFiles| proxy.gate.set(|state| state.tls = Connector::new(files));
    // The server's own word passes (MariaDB 10.11 says 1045 where MySQL and MariaDB 11.8 say 3159).
    let word = match setup.server.is_mariadb_11() {
        true => "ERROR 3159",
        false => "ERROR 1045",
    };
    let refused = proxy.client(&["--skip-ssl"], "SELECT 1");
    assert!(err(&refused).contains(word), "{refused:?}");

    // Encrypted on one side and on both; each login also with an auth switch, and refused.
    for files in [
        reached(Mode::Required, Some(&setup.authority)),
        reached(Mode::Required, None),
        reached(Mode::Preferred, None),
    ] {
        reach(files);
        for client in ["--skip-ssl", "--ssl"] {
            let run = |more: &[&str]| {
                let arguments = [&[client, "-N", "-B"], more].concat();
                proxy.client(&arguments, CIPHER)
            };
            assert!(out(&run(&[])).contains("TLS_"), "{client}");
            // The server asks for another plugin than the client begins with.
            let switched = "--default-auth=client_ed25519";
            assert!(out(&run(&[switched])).contains("TLS_"), "{client}");
            let wrong = err(&run(&[switched, "-pwrong"]));
            assert!(wrong.contains("ERROR 1045 (28000)"), "{client}: {wrong}");
            let wrong = err(&run(&["-pwrong"]));
            assert!(wrong.contains("ERROR 1045 (28000)"), "{client}: {wrong}");
            let many = proxy.client(
                &[client, "-N", "-B", "shop"],
                "SELECT REPEAT('x', 1000) FROM seq_1_to_16000",
            );
            assert_eq!(many.stdout.len(), 16_000 * 1001);
        }
    }
    // The client's own channel hides its password from nobody but us, and ours from nobody at all.
    let refused = proxy.client(&["-uchecked"], "SELECT 1");
    assert!(err(&refused).contains("ERROR 1045"), "{refused:?}");
    let identity = setup.authority.issue("ackline");
    reach(ClientFiles {
        identity: Some((identity.cert, identity.key)),
        ..reached(Mode::Required, Some(&setup.authority))
    });
    assert!(out(&proxy.client(&["-uchecked", "-N"], CIPHER)).contains("TLS_"));

    // Somebody else's certificate.
    reach(reached(Mode::Preferred, Some(&setup.other)));
    let refused = err(&proxy.client(&["--ssl"], "SELECT 1"));
    assert!(
        refused.contains("ERROR 1429") && refused.contains("no TLS"),
        "{refused}"
    );
    eventually("nobody is left", || proxy.registry.is_empty());
}

#[test]
fn sessions_to_a_server_without_tls() {
    let server = without_tls();
    let proxy = Proxy::start(&server);
    let reach = |mode| {
        let files = reached(mode, None);
        proxy.gate.set(|state| state.tls = Connector::new(files));
    };
    reach(Mode::Preferred);
    assert_eq!(proxy.sql("SELECT 1"), "1\n");
    reach(Mode::Required);
    let refused = err(&proxy.client(&[], "SELECT 1"));
    assert!(
        refused.contains("ERROR 1429") && refused.contains("it offers none"),
        "{refused}"
    );
}

/// One question, and one login as the dump has it.
async fn both(account: &Account) -> [Result<(), Error>; 2] {
    let admin = async {
        let mut admin = Admin::connect(account, SOON).await?;
        let cipher = admin.query(CIPHER).await?;
        let encrypted = cipher[0]
            .text("Value")
            .is_some_and(|cipher| !cipher.is_empty());
        assert_eq!(encrypted, account.tls.mode() != Mode::Off);
        Ok(())
    };
    let login = async {
        let (mut stream, _) = connect_and_login(account, SOON).await?;
        // 64 KiB in one packet.
        let large = format!("SET @x = '{}'", "y".repeat(65_536));
        stream.execute(&large).await
    };
    [admin.await, login.await]
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_and_dumps() {
    let setup = setup("DNS:db.example.org");
    let account = |files: ClientFiles| Account {
        address: format!("127.0.0.1:{}", setup.server.port),
        user: USER.into(),
        password: PASSWORD.into(),
        tls: Connector::new(files),
    };
    let good = ClientFiles {
        name: Some("db.example.org".into()),
        ..reached(Mode::Required, Some(&setup.authority))
    };
    let anybody = reached(Mode::Required, None);
    for files in [good.clone(), anybody, reached(Mode::Preferred, None)] {
        for done in both(&account(files)).await {
            done.unwrap();
        }
    }
    let refused = [
        reached(Mode::Off, None),
        // Its certificate names another host.
        reached(Mode::Required, Some(&setup.authority)),
        ClientFiles {
            ca: Some(setup.other.cert()),
            ..good.clone()
        },
        ClientFiles {
            mode: Mode::Preferred,
            ca: Some(setup.other.cert()),
            ..good.clone()
        },
    ];
    for files in refused {
        for done in both(&account(files.clone())).await {
            let error = done.unwrap_err().to_string();
            assert!(!error.contains(PASSWORD), "{error}");
        }
    }
    // An account that wants our certificate.
    let identity = setup.authority.issue("ackline");
    let mut checked = account(ClientFiles {
        identity: Some((identity.cert, identity.key)),
        ..good.clone()
    });
    checked.user = "checked".into();
    for done in both(&checked).await {
        done.unwrap();
    }
    checked.tls = Connector::new(good);
    for done in both(&checked).await {
        assert_eq!(done.unwrap_err().server_code(), Some(1045));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_and_dumps_without_tls() {
    let server = without_tls();
    let account = |mode| Account {
        address: format!("127.0.0.1:{}", server.port),
        user: USER.into(),
        password: PASSWORD.into(),
        tls: Connector::new(reached(mode, None)),
    };
    Admin::connect(&account(Mode::Preferred), SOON)
        .await
        .unwrap();
    connect_and_login(&account(Mode::Preferred), SOON)
        .await
        .unwrap();
    assert!(
        Admin::connect(&account(Mode::Required), SOON)
            .await
            .is_err()
    );
    let refused = connect_and_login(&account(Mode::Required), SOON).await;
    assert!(matches!(refused, Err(Error::NoTls)));
}
