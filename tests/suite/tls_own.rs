//! TLS that nobody has set up: we make ourselves a certificate, and MariaDB's clients since 11.4, which verify by
//! default, and its newer drivers believe it by their password. From another network namespace, since on one host
//! the command line is lenient.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use super::readers::installed;
use crate::support::session::Proxy;
use crate::support::{Account, Part, SOON, Sandbox, unpacked, wait_until};
use ackline::net::Error;
use ackline::net::admin;
use ackline::net::login::connect_and_login;
use ackline::net::tls::{Acceptor, ClientFiles, Connector, Mode, Offer, own};
use ackline::session::Config;

fn ip(words: &str) -> bool {
    let done = Command::new("ip").args(words.split(' ')).output();
    done.is_ok_and(|output| output.status.success())
}

/// A second network, with a cable to ours; gone with the value.
struct Elsewhere {
    name: String,
    /// Of this end.
    address: String,
}

impl Elsewhere {
    fn make() -> Option<Self> {
        // The tests of one process may run side by side.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (id, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let (name, ours, theirs) = (
            format!("ackline-{id}-{number}"),
            format!("aa{id}x{number}"),
            format!("ab{id}x{number}"),
        );
        let net = format!("10.213.{}", id % 250);
        let (here, there) = (4 * number + 1, 4 * number + 2);
        let elsewhere = Self {
            name: name.clone(),
            address: format!("{net}.{here}"),
        };
        let made = [
            format!("netns add {name}"),
            format!("link add {ours} type veth peer name {theirs} netns {name}"),
            format!("addr add {net}.{here}/30 dev {ours}"),
            format!("link set {ours} up"),
            format!("-n {name} addr add {net}.{there}/30 dev {theirs}"),
            format!("-n {name} link set {theirs} up"),
        ];
        made.iter().all(|words| ip(words)).then_some(elsewhere)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "timeout", "60", program]);
        command
    }

    fn client(&self, program: &str, port: u16, app: &Account, options: &[&str]) -> Output {
        self.command(program)
            .arg("--no-defaults")
            .args([format!("-h{}", self.address), format!("-P{port}")])
            .args([format!("-u{}", app.user), format!("-p{}", app.password)])
            .args(options)
            .args(["-e", "\\s"])
            .output()
            .unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // The cable goes with it.
        ip(&format!("netns del {}", self.name));
    }
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    println!("{text}");
    text
}

/// He has a certificate of his own.
#[derive(Clone, Copy, PartialEq)]
enum Between {
    /// The proof as well.
    PassesAllOn,
    DropsTheProof,
}

fn somebody_between(address: &str, port: u16, folder: &Path, what: Between) -> Proxy {
    let files = own::files(folder, None).unwrap();
    let mut offer = Offer::new(Mode::Preferred, Some(files.load().unwrap()));
    if what == Between::DropsTheProof {
        offer = offer.of_our_own(own::fingerprint(&files.cert).unwrap());
    }
    let config = Config {
        tls: Acceptor::new(offer),
        ..Config::default()
    };
    let middle = Proxy::between(address, port, config);
    middle.gate.set(|state| state.tls = encrypted());
    middle
}

/// TLS to whoever is there.
fn encrypted() -> Connector {
    Connector::new(ClientFiles {
        mode: Mode::Required,
        ..ClientFiles::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_from_elsewhere_verifies_us_by_its_password() {
    let name = module_path!();
    let Some(programs) = unpacked::mariadb_11_8(name) else {
        return;
    };
    let Some(elsewhere) = Elsewhere::make() else {
        return unpacked::skipped(name, "no network namespace can be made here (root, ip)");
    };
    let root = programs.parent().unwrap().to_str().unwrap();
    // Its replicas verify as well, wherever they are.
    let sandbox = Sandbox::up(&["--server-root", root, "--replicas", "1"]).await;
    sandbox.create_seen().await;
    let client = format!("{root}/bin/mariadb");
    let port = sandbox.app().port;
    let listen = format!(
        "mysql = [\"127.0.0.1:{port}\", \"{}:{port}\"]",
        elsewhere.address
    );
    sandbox.edit_config("mysql = ", &listen);
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let app = sandbox.app();
    for _ in 0..2 {
        let text = said(&elsewhere.client(&client, port, app, &[]));
        assert!(text.contains("cert is OK"), "{text}");
        // Its fingerprint stays.
        sandbox.kill(Part::Proxy);
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
    }
    // An older one does not verify.
    let text = said(&elsewhere.client("mariadb", port, app, &[]));
    assert!(text.contains("Current user:"), "{text}");
    // By the file, the name has to fit.
    let own_file = sandbox.manifest.binlog_dir.join("ackline-cert.pem");
    let ca = format!("--ssl-ca={}", own_file.display());
    let text = said(&elsewhere.client(&client, port, app, &[&ca]));
    assert!(text.contains("Hostname verification failed"), "{text}");
    let here = Command::new(&client)
        .args(app.arguments())
        .args([&ca, "-e", "\\s"])
        .output()
        .unwrap();
    let text = said(&here);
    assert!(text.contains("cert is OK"), "{text}");

    // Somebody in the middle: he passes everything on, the proof as well, and has another certificate.
    let folder = tempfile::tempdir().unwrap();
    let middle = somebody_between(
        &elsewhere.address,
        port,
        folder.path(),
        Between::PassesAllOn,
    );
    let refused = elsewhere.client(&client, middle.port, app, &[]);
    let text = said(&refused);
    assert!(!refused.status.success(), "{text}");
    assert!(
        text.to_lowercase().contains("certificate") || text.contains("2026"),
        "{text}"
    );
    let lenient = ["--disable-ssl-verify-server-cert"];
    let text = said(&elsewhere.client(&client, middle.port, app, &lenient));
    assert!(text.contains("Cipher in use"), "he can be passed: {text}");

    // Its replica came the same way.
    let mut replica = sandbox.replica(0).connect().await;
    wait_until("the replica follows", SOON, async || {
        let running = replica.slave_status("Slave_IO_Running").await;
        if running == "Yes" {
            Ok(())
        } else {
            Err(running)
        }
    })
    .await;
    let verifies = replica.slave_status("Master_SSL_Verify_Server_Cert").await;
    assert_eq!(verifies, "Yes");
}

/// What logs in with TLS and is told no authority.
enum Driver {
    /// 11.8's command line, and where its plugins are.
    Client { program: String, plugins: String },
    /// npm's `mariadb` (3.4 and later), `ssl: true`.
    Node { folder: String },
    /// MariaDB Connector/J (3.4 and later), `sslMode=verify-full`.
    ConnectorJ { classes: String },
}

impl Driver {
    /// Those that are there; each that is not is told.
    fn all(test: &str, root: &str) -> Vec<Self> {
        let mut all = vec![Self::Client {
            program: format!("{root}/bin/mariadb"),
            plugins: format!(
                "{root}/lib/{}-linux-gnu/libmariadb3/plugin",
                std::env::consts::ARCH
            ),
        }];
        let folder = |path: &Path| path.parent().unwrap().display().to_string();
        match installed("node/.made-of") {
            Some(node) => all.push(Self::Node {
                folder: folder(node.parent().unwrap()),
            }),
            None => unpacked::skipped(test, "no npm mariadb, see tests/drivers/install.sh node"),
        }
        let jar = "mariadb-java-client.jar";
        let programs = unpacked::programs("MARIADB_CONNECTOR_J_ROOT", "connector-j-3.5", jar);
        match (installed("java/Vouched.class"), programs) {
            (Some(class), Some(programs)) => {
                let jar = programs.join(jar);
                all.push(Self::ConnectorJ {
                    classes: format!("{}:{}", folder(&class), jar.display()),
                });
            }
            _ => unpacked::skipped(
                test,
                "no MariaDB Connector/J 3.5, see tests/drivers/install.sh java-3.5",
            ),
        }
        all
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Client { .. } => "mariadb",
            Self::Node { .. } => "npm mariadb",
            Self::ConnectorJ { .. } => "Connector/J",
        }
    }

    fn logs_in(&self, elsewhere: &Elsewhere, port: u16, app: &Account) -> String {
        let mut command = match self {
            Self::Client { program, plugins } => {
                let plugins = format!("--plugin-dir={plugins}");
                return said(&elsewhere.client(program, port, app, &[&plugins]));
            }
            Self::Node { folder } => {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers/node/vouched.js");
                let mut command = elsewhere.command("node");
                command.arg(script).env("ACKLINE_DRIVERS", folder);
                command
            }
            Self::ConnectorJ { classes } => {
                let mut command = elsewhere.command("java");
                command.args(["-cp", classes, "Vouched"]);
                command
            }
        };
        let port = port.to_string();
        command.args([&elsewhere.address, &port, &app.user, &app.password]);
        said(&command.output().unwrap())
    }

    /// What it says when it believes the certificate, and when it does not.
    fn verdicts(&self) -> (&'static str, &'static str) {
        match self {
            Self::Client { .. } => ("cert is OK", "ERROR 2026 (HY000): TLS/SSL error"),
            Self::Node { .. } => ("in as ", "out: ER_SELF_SIGNED self-signed certificate"),
            Self::ConnectorJ { .. } => ("in as ", "Self signed certificates. Either set sslMode"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_verify_us_by_the_password_of_every_plugin_that_can() {
    let name = module_path!();
    let Some(programs) = unpacked::mariadb_11_8(name) else {
        return;
    };
    let Some(elsewhere) = Elsewhere::make() else {
        return unpacked::skipped(name, "no network namespace can be made here (root, ip)");
    };
    let root = programs.parent().unwrap().to_str().unwrap();
    let mut options = vec!["--server-root", root, "--mode", "async", "--replicas", "0"];
    for option in [
        "plugin_load_add=auth_ed25519",
        "plugin_load_add=auth_parsec",
        "bind_address=0.0.0.0",
    ] {
        options.extend(["--server-option", option]);
    }
    let sandbox = Sandbox::up(&options).await;
    let port = sandbox.app().port;
    let listen = format!(
        "mysql = [\"127.0.0.1:{port}\", \"{}:{port}\"]",
        elsewhere.address
    );
    sandbox.edit_config("mysql = ", &listen);
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let mut admin = sandbox.source().connect().await;
    let plugins = ["mysql_native_password", "ed25519", "parsec"];
    for plugin in plugins {
        // Another one of the name, whose password is not meant.
        for (host, password) in [("127.0.0.99", "other"), ("%", "sealed")] {
            let create = format!(
                "CREATE USER by_{plugin}@'{host}' IDENTIFIED VIA {plugin} USING PASSWORD('{password}')"
            );
            admin.run(&create).await;
        }
    }
    let account = |plugin: &str, password: &str| Account {
        user: format!("by_{plugin}"),
        password: password.to_owned(),
        ..sandbox.app().clone()
    };
    let folder = tempfile::tempdir().unwrap();
    let middle = somebody_between(
        &elsewhere.address,
        port,
        folder.path(),
        Between::PassesAllOn,
    );
    for driver in Driver::all(name, root) {
        let (believes, refuses) = driver.verdicts();
        for plugin in plugins {
            let app = account(plugin, "sealed");
            for (way, port, expected) in [
                ("directly", sandbox.source().port, believes),
                ("proxied", port, believes),
                ("somebody between", middle.port, refuses),
            ] {
                println!("{}, {plugin}, {way}:", driver.name());
                let text = driver.logs_in(&elsewhere, port, &app);
                assert!(
                    text.contains(expected),
                    "{}, {plugin}, {way}: {text}",
                    driver.name()
                );
            }
        }
    }
    // A new password, within the minute that we remember the old one's hash; not within the second in which nothing
    // is asked again.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let client = &Driver::all(name, root)[0];
    for plugin in plugins {
        let app = account(plugin, "new");
        let alter = format!("ALTER USER {}@'%' IDENTIFIED VIA {plugin}", app.user);
        admin.run(&format!("{alter} USING PASSWORD('new')")).await;
        let text = client.logs_in(&elsewhere, port, &app);
        assert!(text.contains("cert is OK"), "{plugin}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_is_believed_by_our_password() {
    let Some(programs) = unpacked::mariadb_11_8(module_path!()) else {
        return;
    };
    let root = programs.parent().unwrap().to_str().unwrap();
    let options = ["--server-root", root, "--mode", "async", "--replicas", "0"];
    let sandbox = Sandbox::up(&options).await;
    let source = sandbox.source();
    let account = |port: u16, tls: Connector| admin::Account {
        address: format!("127.0.0.1:{port}"),
        user: source.user.clone(),
        password: source.password.clone(),
        tls,
    };
    let logs_in = async |port, tls: &Connector| {
        let login = connect_and_login(&account(port, tls.clone()), SOON).await;
        login.map(drop)
    };
    let is_impostor = |login| matches!(login, Err(Error::Impostor));

    let known = encrypted();
    assert!(known.is_known([0; 32]));
    logs_in(source.port, &known).await.unwrap();
    assert!(!known.is_known([0; 32]), "it vouched for another");

    let folder = tempfile::tempdir().unwrap();
    let middle = |what| somebody_between("127.0.0.1", source.port, folder.path(), what);
    let passing = middle(Between::PassesAllOn);
    assert!(is_impostor(logs_in(passing.port, &known).await));
    assert!(is_impostor(logs_in(passing.port, &encrypted()).await));
    let dropping = middle(Between::DropsTheProof);
    assert!(is_impostor(logs_in(dropping.port, &known).await));
    // As the README says: there is nothing by which he could be told from an older server.
    logs_in(dropping.port, &encrypted()).await.unwrap();

    // Sessions meet the certificate that capture knows.
    let proxy = Proxy::between("127.0.0.1", source.port, Config::default());
    let client = |options: &[&str]| {
        let output = Command::new(format!("{root}/bin/mariadb"))
            .args(["--no-defaults", "-h127.0.0.1", "--skip-ssl"])
            .arg(format!("-P{}", proxy.port))
            .arg(format!("-u{}", source.user))
            .arg(format!("-p{}", source.password))
            .args(options)
            .args(["-e", "SELECT 'it is ' AS a, 'the source' AS b"])
            .output();
        said(&output.unwrap())
    };
    proxy.gate.set(|state| state.tls = known.clone());
    assert!(client(&[]).contains("it is"));
    for port in [passing.port, dropping.port] {
        let address = Some(format!("127.0.0.1:{port}"));
        proxy.gate.set(|state| state.source = address.clone());
        let text = client(&[]);
        assert!(
            text.contains("ERROR 1429") && text.contains("somebody is in between"),
            "{text}"
        );
    }

    // The whole: a source that makes itself another certificate, while it runs and at its start.
    sandbox.edit_config("role = \"source\"", "role = \"source\"\ntls = \"required\"");
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    source.connect().await.run("FLUSH SSL").await;
    sandbox.serves().await;
    logs_in(source.port, &known).await.unwrap();
    sandbox.kill(Part::Source);
    sandbox.start_by(Part::Source, Command::new(format!("{root}/bin/mariadbd")));
    sandbox.serves().await;
    logs_in(source.port, &known).await.unwrap();
    let log = sandbox.proxy_log();
    assert!(!log.contains("in between"), "{log}");
}
