//! MySQL with everything encrypted: its accounts are caching_sha2_password's, whose first login brings
//! the password itself, and that differs by channel.

use std::process::{Command, Output};

use crate::support::certificates::Authority;
use crate::support::{Part, SOON, Sandbox, mysql, wait_until};

fn log_in(port: u16, password: &str, channel: &str) -> Output {
    Command::new("mariadb")
        .args([
            "--no-defaults",
            "-h127.0.0.1",
            "-N",
            "-B",
            "-ucold",
            channel,
            // MariaDB's client verifies since 11.4, and nobody has signed what MySQL's servers make themselves.
            "--skip-ssl-verify-server-cert",
        ])
        .arg(format!("-P{port}"))
        .arg(format!("-p{password}"))
        .args(["-e", "SHOW STATUS LIKE 'Ssl_cipher'"])
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_logins_over_every_channel() {
    let Some(programs) = mysql::programs("tls_mysql") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ca").issue("proxy");
    let sandbox = Sandbox::up(&["--flavor", "mysql", "--replicas", "1"]).await;
    let clear = sandbox.config();
    let offer = format!(
        "{clear}\n[tls]\ncert = {:?}\nkey = {:?}\n",
        ours.cert.display().to_string(),
        ours.key.display().to_string(),
    );
    let mut source = sandbox.source().connect().await;
    source.run("CREATE USER cold IDENTIFIED BY 'first'").await;
    // Whoever's password changes is out of the server's cache.
    let mut password = async |new: &str| {
        let change = format!("ALTER USER cold IDENTIFIED BY '{new}'");
        source.run(&change).await;
    };
    let port = sandbox.app().port;
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    // Only the client's channel is encrypted.
    sandbox.stop(Part::Proxy);
    sandbox.save_config(&offer);
    sandbox.start(Part::Proxy);
    wait_until("somebody may log in", SOON, async || {
        let output = log_in(port, "first", "--skip-ssl");
        if output.status.success() {
            Ok(())
        } else {
            Err(told(&output))
        }
    })
    .await;
    assert!(log_in(port, "first", "--ssl").status.success());
    password("second").await;
    // It tells its password in clear, and we pass it on encrypted with the source's key.
    assert!(told(&log_in(port, "wrong", "--ssl")).contains("ERROR 1045"));
    let cold = log_in(port, "second", "--ssl");
    assert!(cold.status.success(), "{cold:?}");
    password("third").await;
    assert!(log_in(port, "third", "--skip-ssl").status.success());

    // Ours as well; capture and questions have caching_sha2_password's accounts themselves.
    sandbox.stop(Part::Proxy);
    sandbox.save_config(&offer.replace("[[server]]", "[[server]]\ntls = \"required\""));
    sandbox.start(Part::Proxy);
    wait_until("somebody may log in", SOON, async || {
        let output = log_in(port, "third", "--ssl");
        if output.status.success() {
            Ok(output)
        } else {
            Err(told(&output))
        }
    })
    .await;
    let warm = log_in(port, "third", "--skip-ssl");
    assert!(
        String::from_utf8_lossy(&warm.stdout).contains("TLS_"),
        "{warm:?}"
    );
    password("fourth").await;
    // It encrypts its password with our key, and we pass it on through our encrypted channel.
    assert!(told(&log_in(port, "wrong", "--skip-ssl")).contains("ERROR 1045"));
    let cold = log_in(port, "fourth", "--skip-ssl");
    assert!(cold.status.success(), "{cold:?}");
    password("fifth").await;
    assert!(told(&log_in(port, "wrong", "--ssl")).contains("ERROR 1045"));
    assert!(log_in(port, "fifth", "--ssl").status.success());

    // A key that the client has in advance is the source's, which does not ask for it here.
    let key = sandbox.dir.join("source/data/public_key.pem");
    let pinned = format!("--server-public-key-path={}", key.display());
    let real = |password: &str, options: &[&str]| {
        Command::new(programs.join("mysql"))
            .args([
                "--no-defaults",
                "-h127.0.0.1",
                "-ucold",
                "--ssl-mode=DISABLED",
            ])
            .arg(format!("-P{port}"))
            .arg(format!("-p{password}"))
            .args(options)
            .args(["-e", "SELECT 1"])
            .output()
            .unwrap()
    };
    password("sixth").await;
    let refused = real("sixth", &[&pinned]);
    assert!(
        told(&refused).contains("asks for it over its encrypted connection"),
        "{refused:?}"
    );
    let cold = real("sixth", &["--get-server-public-key"]);
    assert!(cold.status.success(), "{cold:?}");
    sandbox.serves().await;
}
