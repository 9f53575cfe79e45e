//! Everything encrypted, end to end: application, source, replicas that acknowledge; and certificates
//! that are renewed and broken while commits run.

use std::fs;

use crate::support::certificates::{Authority, Certificate};
use crate::support::{Part, SOON, Sandbox, Status, wait_until};

/// Every section of this name also says this.
fn with_keys(config: &str, section: &str, keys: &str) -> String {
    config.replace(section, &format!("{section}\n{keys}"))
}

fn install(from: &Certificate, at: &Certificate) {
    // By rename, as tools that renew certificates do it.
    for (from, at) in [(&from.cert, &at.cert), (&from.key, &at.key)] {
        let beside = at.with_extension("new");
        fs::copy(from, &beside).unwrap();
        fs::rename(&beside, at).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let other = Authority::new(folder.path(), "other");
    let of_servers = authority.issue("server");
    let ca = authority.cert();
    let option = |name: &str, path: &std::path::Path| format!("--{name}={}", path.display());
    let options = [
        option("ssl-cert", &of_servers.cert),
        option("ssl-key", &of_servers.key),
        option("ssl-ca", &ca),
    ];
    let mut arguments = vec!["--mode", "semi-sync"];
    for option in &options {
        arguments.extend(["--server-option", option]);
    }
    let sandbox = Sandbox::up(&arguments).await;
    sandbox.create_seen().await;

    // From now on the servers let nobody in without TLS.
    let ours = authority.issue("proxy");
    let clear = sandbox.config();
    let servers = format!("tls_ca = {:?}", ca.display().to_string());
    let offer = format!(
        "{}\n[tls]\nmode = \"required\"\ncert = {:?}\nkey = {:?}\n",
        with_keys(&clear, "[[server]]", &servers)
            .replace("mode = \"semi-sync\"", "mode = \"semi-sync\"\nacks = 2"),
        ours.cert.display().to_string(),
        ours.key.display().to_string(),
    );
    sandbox.stop(Part::Proxy);
    let servers = [sandbox.source(), sandbox.replica(0), sandbox.replica(1)];
    for server in &servers {
        let mut server = server.connect().await;
        server.run("SET GLOBAL require_secure_transport=ON").await;
    }
    sandbox.save_config(&offer);
    sandbox.start(Part::Proxy);

    // A replica in clear is refused by name; one that is told to, verifies us.
    let socket = |index| sandbox.server_dir(Part::Replica(index)).join("sock");
    let at = |index: usize, statement: &str| {
        let done = std::process::Command::new("mariadb")
            .args(["--no-defaults", "-uroot", "-N", "-B", "-e", statement])
            .arg(format!("--socket={}", socket(index).display()))
            .arg(format!("--user={}", sandbox.replica(index).user))
            .arg(format!("--password={}", sandbox.replica(index).password))
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    // MariaDB 11.8's replicas come with TLS unless they are told not to.
    at(
        0,
        "STOP SLAVE; CHANGE MASTER TO MASTER_SSL=0, MASTER_SSL_VERIFY_SERVER_CERT=0; START SLAVE",
    );
    let refused = || {
        let status = at(0, "SHOW SLAVE STATUS");
        if status.contains("insecure transport") {
            Ok(())
        } else {
            Err(status)
        }
    };
    wait_until("a replica in clear is refused", SOON, async || refused()).await;
    for index in 0..2 {
        let verify = format!(
            "STOP SLAVE; CHANGE MASTER TO MASTER_SSL=1, MASTER_SSL_CA='{}', \
             MASTER_SSL_VERIFY_SERVER_CERT=1; START SLAVE",
            ca.display()
        );
        at(index, &verify);
    }
    let believed = Some(ca.clone());
    let insert = |n: u64| app(&sandbox, believed.clone(), n);
    wait_until("a commit returns", SOON, async || insert(1).await).await;
    for index in 0..2 {
        let status = at(index, "SHOW SLAVE STATUS\\G");
        assert!(status.contains("Yes"), "{status}");
    }
    let status = sandbox.status().await;
    assert_eq!(status.list("problems"), Vec::<String>::new());

    // Renewed while it runs: by another authority, so that it shows.
    install(&other.issue("renewed"), &ours);
    sandbox.logged("certificates are read anew").await;
    let renewed = Some(other.cert());
    wait_until("the new certificate is shown", SOON, async || {
        app(&sandbox, renewed.clone(), 2).await
    })
    .await;
    assert!(insert(3).await.is_err());
    // Broken: the one in use goes on, and the reason is told; the key itself is not.
    fs::write(&ours.key, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n").unwrap();
    let told = |status: &Status| {
        let problems = status.list("problems");
        problems.iter().any(|problem| problem.contains("proxy.key"))
    };
    sandbox
        .status_until("the broken key is a problem", SOON, told)
        .await;
    app(&sandbox, renewed.clone(), 4).await.unwrap();
    assert!(!sandbox.proxy_log().contains("c2VjcmV0"));
    install(&authority.issue("again"), &ours);
    sandbox
        .status_until("the repaired key is none", SOON, |status| {
            status.list("problems").is_empty()
        })
        .await;
    wait_until("a commit returns", SOON, async || insert(5).await).await;

    // After a crash everybody comes back encrypted.
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    wait_until("a commit returns", SOON, async || insert(6).await).await;
    let doctor = sandbox.ackline(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(!said.contains("reachable"), "{said}");
}

/// One commit, as an application that verifies whom it speaks to.
async fn app(sandbox: &Sandbox, ca: Option<std::path::PathBuf>, n: u64) -> Result<(), String> {
    use mysql_async::prelude::Queryable;
    let account = sandbox.app();
    let trust = mysql_async::SslOpts::default()
        .with_disable_built_in_roots(true)
        .with_root_certs(ca.into_iter().map(Into::into).collect());
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(account.port)
        .user(Some(&account.user))
        .pass(Some(&account.password))
        .db_name(account.database.clone())
        .prefer_socket(Some(false))
        .ssl_opts(Some(trust));
    let work = async {
        let mut connection = mysql_async::Conn::new(options).await?;
        connection
            .query_drop(format!("CREATE TABLE IF NOT EXISTS encrypted_{n}(id INT)"))
            .await
    };
    let done = tokio::time::timeout(std::time::Duration::from_secs(15), work).await;
    done.map_err(|error| error.to_string())?
        .map_err(|error: mysql_async::Error| error.to_string())
}
