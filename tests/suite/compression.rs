//! Clients that compress: the command lines of both flavors and a driver, against real servers through
//! the session listener. What they see packet by packet is compared in tests/differential.rs.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::support::certificates::Authority;
use crate::support::mysql;
use crate::support::session::{PASSWORD, Proxy, Server, USER};
use crate::support::{Commit, Flavor, SOON, Sandbox, on_both_flavors};
use ackline::net::tls::{Acceptor, Mode, Offer, ServerFiles};
use ackline::session::Config;
use mysql_async::prelude::Queryable;

on_both_flavors![a_replica_that_pulls_compressed];

/// With its votes: acknowledgements go through the frames as well. Some replicas allow nothing else.
async fn a_replica_that_pulls_compressed(flavor: Flavor) {
    let sandbox = Sandbox::up(&[
        "--mode",
        "sync",
        "--replicas",
        "1",
        "--flavor",
        &flavor.to_string(),
    ])
    .await;
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE wide (n INT PRIMARY KEY, b LONGBLOB)")
        .await;
    let mut replica = sandbox.replica(0).connect().await;
    let (stop, start, ways): (_, _, &[(&str, &str)]) = match flavor {
        Flavor::MariaDb => (
            "STOP SLAVE",
            "START SLAVE",
            &[("SET GLOBAL slave_compressed_protocol=ON", "algorithm=zlib")],
        ),
        Flavor::MySql => (
            "STOP REPLICA",
            "START REPLICA",
            &[
                (
                    "CHANGE REPLICATION SOURCE TO SOURCE_COMPRESSION_ALGORITHMS='zlib'",
                    "algorithm=zlib",
                ),
                (
                    "CHANGE REPLICATION SOURCE TO SOURCE_COMPRESSION_ALGORITHMS='zstd', \
                     SOURCE_ZSTD_COMPRESSION_LEVEL=7",
                    "algorithm=zstd level 7",
                ),
            ],
        ),
    };
    let mut n = 0;
    for (change, said) in ways {
        for statement in [stop, change, start] {
            replica.run(statement).await;
        }
        // Numbers go round at 256, and one row takes several packets.
        for size in (0..300)
            .map(|n| n * 7)
            .chain([17 << 20, 5, (1 << 24) - 100, 6])
        {
            n += 1;
            let statement = format!("INSERT INTO wide VALUES ({n}, REPEAT('w{n} ', {size} / 4))");
            app.run(&statement).await;
        }
        // Without a pause, several in one write.
        let commits = (0..8).map(|of| {
            let app = sandbox.app().clone();
            tokio::spawn(async move {
                let mut app = app.connect_again().await;
                for n in 0..60 {
                    app.run(&format!("INSERT INTO seen VALUES ({n} * 8 + {of})"))
                        .await;
                }
            })
        });
        for commit in commits.collect::<Vec<_>>() {
            commit.await.unwrap();
        }
        app.run("DELETE FROM seen").await;
        let log = sandbox.proxy_log();
        let at = log.rfind("the channel is compressed").expect("it is");
        let line = log[at..].lines().next().unwrap();
        assert!(line.contains(said), "{line}");
        let dumps = log[at..].matches("dump begins").count();
        assert_eq!(dumps, 1, "it came once and stayed");
        let last = Commit::begin(sandbox.app(), "INSERT INTO seen VALUES (1000000)").await;
        last.succeeds_within(SOON).await;
        app.run("DELETE FROM seen").await;
    }
    sandbox.assert_equal().await;
}

/// 40,000 rows, 12 MB before compression, and a row of 20 MB.
const LARGE: &str = "
    SELECT REPEAT(CHAR(97 + seq % 26), 300) FROM seq_1_to_40000;
    SELECT LENGTH(x), MD5(x) FROM (SELECT REPEAT('wide row ', 2222222) x) t;
    SELECT REPEAT('wide row ', 2222222);";

fn text(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn large_results_are_the_same_with_and_without() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(&server);
    let mut client = vec!["-N", "-B", "--max-allowed-packet=64M", "shop"];
    let clear = proxy.client(&client, LARGE);
    client.insert(0, "--compress");
    let compressed = proxy.client(&client, LARGE);
    assert!(text(&clear).len() > 30_000_000);
    assert!(text(&clear) == text(&compressed), "they differ");
}

#[test]
fn it_is_compressed_and_encrypted() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ca").issue("proxy");
    let files = ServerFiles {
        cert: ours.cert.clone(),
        key: ours.key.clone(),
        client_ca: None,
    };
    let offer = Offer::new(Mode::Required, Some(files.load().unwrap()));
    let config = Config {
        tls: Acceptor::new(offer),
        ..Config::default()
    };
    let proxy = Proxy::with(&server, config);
    let arguments = ["--compress", "--ssl", "--max-allowed-packet=64M", "shop"];
    let output = proxy.client(&arguments, LARGE);
    assert!(text(&output).len() > 30_000_000);
}

/// Its packets are numbered anew with every flush, which nobody but the source's numbers must notice.
#[test]
fn a_file_is_asked_for_in_the_middle_of_several_results() {
    let server = Server::start(&["--local-infile=1"]);
    let proxy = Proxy::start(&server);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let rows: String = (0..50_000).map(|n| format!("{n},row {n}\n")).collect();
    std::fs::write(&path, &rows).unwrap();
    let path = path.display();
    let input = format!(
        "CREATE TABLE loaded (id INT PRIMARY KEY, name VARCHAR(20));
         DELIMITER //
         SELECT 1; SELECT REPEAT('x', 100000); LOAD DATA LOCAL INFILE '{path}' INTO TABLE loaded
         FIELDS TERMINATED BY ','; SELECT COUNT(*), SUM(id) FROM loaded//"
    );
    let output = proxy.client(
        &["--compress", "--local-infile=1", "-N", "-B", "shop"],
        &input,
    );
    let last = text(&output).lines().last();
    assert_eq!(last, Some("50000\t1249975000"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_compresses() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(&server);
    let options = proxy
        .options()
        .compression(Some(mysql_async::Compression::best()));
    let mut driver = mysql_async::Conn::new(options).await.unwrap();
    let wide = "wide ".repeat(4_000_000);
    let back: Option<String> = driver.exec_first("SELECT ?", (&wide,)).await.unwrap();
    assert!(back.unwrap() == wide, "it came back otherwise");
    driver.ping().await.unwrap();
    driver.reset().await.unwrap();
    driver.change_user(Default::default()).await.unwrap();
    let one: Option<i32> = driver.query_first("SELECT 1").await.unwrap();
    assert_eq!(one, Some(1));
    driver.disconnect().await.unwrap();
}

/// As a server does that was told to offer none.
#[test]
fn what_the_source_does_not_offer_is_not_spoken() {
    let Some(programs) = mysql::programs("what_the_source_does_not_offer_is_not_spoken") else {
        return;
    };
    let server = Server::start_mysql(&programs);
    let proxy = Proxy::start(&server);
    let client = |algorithms: &str, input: &str| {
        let mut child = Command::new(mysql::program("mysql"))
            .args(["--no-defaults", "-h127.0.0.1", "-N", "-B"])
            .arg(format!("-P{}", proxy.port))
            .arg(format!("-u{USER}"))
            .arg(format!("--compression-algorithms={algorithms}"))
            .args(["--zstd-compression-level=9", "--get-server-public-key"])
            .args(["--max-allowed-packet=64M", "shop"])
            .env("MYSQL_PWD", PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whoever is refused does not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    for (offer, asked, works) in [
        ("zlib,zstd,uncompressed", "zlib", true),
        ("zlib,zstd,uncompressed", "zstd", true),
        ("zlib,zstd,uncompressed", "zstd,zlib", true),
        ("zstd,uncompressed", "zstd", true),
        ("zstd,uncompressed", "zlib", false),
        ("uncompressed", "zlib", false),
        ("uncompressed", "zlib,uncompressed", true),
    ] {
        let set = format!("SET GLOBAL protocol_compression_algorithms='{offer}'");
        text(&client("uncompressed,zlib,zstd", &set));
        let output = client(asked, "SELECT REPEAT('wide row ', 2222222); SELECT 'end'");
        assert_eq!(
            output.status.success(),
            works,
            "offered {offer}, asked for {asked}: {output:?}"
        );
        if works {
            assert!(text(&output).ends_with("\nend\n"));
        }
    }
}
