//! TLS that nobody has set up: we make ourselves a certificate, and MariaDB's clients since 11.4, which verify by
//! default, believe it by their password. From another network namespace, since on one host they are lenient.

use std::process::{Command, Output};

use crate::support::session::Proxy;
use crate::support::{Account, Part, SOON, Sandbox, unpacked, wait_until};
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
        let id = std::process::id();
        let (name, ours, theirs) = (
            format!("ackline-{id}"),
            format!("aa{id}"),
            format!("ab{id}"),
        );
        let net = format!("10.213.{}", id % 250);
        let elsewhere = Self {
            name: name.clone(),
            address: format!("{net}.1"),
        };
        let made = [
            format!("netns add {name}"),
            format!("link add {ours} type veth peer name {theirs} netns {name}"),
            format!("addr add {net}.1/30 dev {ours}"),
            format!("link set {ours} up"),
            format!("-n {name} addr add {net}.2/30 dev {theirs}"),
            format!("-n {name} link set {theirs} up"),
        ];
        made.iter().all(|words| ip(words)).then_some(elsewhere)
    }

    fn client(&self, program: &str, port: u16, app: &Account, options: &[&str]) -> Output {
        Command::new("ip")
            .args(["netns", "exec", &self.name, program, "--no-defaults"])
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
    let files = own::files(folder.path(), None).unwrap();
    let offer = Offer::new(Mode::Preferred, Some(files.load().unwrap()));
    let config = Config {
        tls: Acceptor::new(offer),
        ..Config::default()
    };
    let middle = Proxy::between(&elsewhere.address, port, config);
    middle.gate.set(|state| {
        state.tls = Connector::new(ClientFiles {
            mode: Mode::Required,
            ..ClientFiles::default()
        });
    });
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
