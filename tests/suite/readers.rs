//! Readers that know nothing of us (CDC): with an account of the source they read our binlog from the
//! replication port, ask there what they ask a source, and count the rows that the source's own binlog
//! has. `ACKLINE_SECONDS` says how long sysbench writes meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::sysbench::Sysbench;
use crate::support::{Account, Part, SOON, Sandbox, on_both_flavors};
use ackline::ids::Flavor;

on_both_flavors!(a_reader_is_told_what_it_may_read);

type Counts = BTreeMap<String, u64>;

const READERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers");
const TABLES: u32 = 2;

mod mariadb {
    use ackline::event::query::{Query, Statement};
    use ackline::event::{Algorithm, EventType, Header, checksum};
    use ackline::ids::ServerId;
    use ackline::protocol::binlog_dump::BinlogDump;

    use super::*;
    use crate::support::wire::Wire;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_count_what_the_source_has() {
        super::readers_count_what_the_source_has(Flavor::MariaDb).await;
    }

    /// One that knows MySQL only gets what the source would send it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_reader_without_gtids() {
        let sandbox = Sandbox::of(Flavor::MariaDb).await;
        let mut source = sandbox.source().connect().await;
        source.run("CREATE USER cdc@'%' IDENTIFIED BY 'cdc'").await;
        source
            .run("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO cdc@'%'")
            .await;
        let (ours, theirs) = (sandbox.manifest.replication.port, sandbox.source().port);
        let (here, there) = (
            place(&as_reader(&sandbox, ours)).await,
            place(&as_reader(&sandbox, theirs)).await,
        );
        let mut app = sandbox.app().connect().await;
        app.run("CREATE TABLE t (n INT PRIMARY KEY) ENGINE=InnoDB")
            .await;
        app.run("INSERT INTO t VALUES (1), (2)").await;
        source.run("SET GLOBAL binlog_format = ROW").await;
        let mut app = sandbox.app().connect().await;
        app.run("BEGIN").await;
        app.run("UPDATE t SET n = n + 10").await;
        app.run("DELETE FROM t WHERE n = 11").await;
        app.run("COMMIT").await;
        app.run("CREATE TABLE m (n INT) ENGINE=MyISAM").await;
        app.run("INSERT INTO m VALUES (1)").await;

        let proxied = events(ours, &here);
        assert_eq!(proxied, events(theirs, &there));
        let begins = proxied.iter().filter(|(_, text)| text == "BEGIN").count();
        assert_eq!(begins, 3, "{proxied:?}");
    }

    /// Kind and statement of what a reader without any capability is sent, to the end.
    fn events(port: u16, from: &Place) -> Vec<(EventType, String)> {
        let mut wire = Wire::login(("127.0.0.1", port), "cdc", "cdc").unwrap();
        wire.run("SET @master_binlog_checksum = 'CRC32'").unwrap();
        let mut dump = Vec::new();
        BinlogDump {
            position: from.position.parse().unwrap(),
            flags: BinlogDump::NON_BLOCK,
            server_id: ServerId(7200),
            file: from.file.clone().into_bytes(),
        }
        .write(&mut dump);
        wire.send(0, &dump).unwrap();
        let mut events = Vec::new();
        loop {
            let packet = wire.read().unwrap();
            let [0, event @ ..] = &packet.payload[..] else {
                assert_eq!(packet.payload[0], 0xfe, "{:?}", packet.refusal());
                return events;
            };
            let kind = Header::parse(event).unwrap().kind;
            let mut text = String::new();
            if kind == EventType::QUERY {
                let event = checksum::strip(event, Algorithm::Crc32).unwrap();
                let query = Query::parse(event).unwrap();
                let Statement::Text(statement) = query.statement else {
                    panic!("{query:?}");
                };
                text = String::from_utf8_lossy(statement).into_owned();
            }
            // Of each connection's own; and the source fills the holes, for replicas that count, with as
            // much of a comment as fits.
            let own = [EventType::ROTATE, EventType::FORMAT_DESCRIPTION].contains(&kind);
            let filling = text.starts_with("# Dum") || kind == EventType::USER_VAR;
            if !own && !filling {
                events.push((kind, text));
            }
        }
    }
}

mod mysql {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_count_what_the_source_has() {
        if crate::support::mysql::programs("readers on mysql").is_some() {
            super::readers_count_what_the_source_has(Flavor::MySql).await;
        }
    }
}

/// Where a server, or we, stand: file, position, GTIDs.
struct Place {
    file: String,
    position: String,
    gtids: String,
}

async fn place(at: &Account) -> Place {
    let mut server = at.connect().await;
    let (status, gtids) = match server.flavor() {
        Flavor::MariaDb => ("SHOW MASTER STATUS", "SELECT @@gtid_binlog_pos"),
        Flavor::MySql => ("SHOW BINARY LOG STATUS", "SELECT @@gtid_executed"),
    };
    let row: mysql_async::Row = server.rows(status).await.remove(0);
    Place {
        file: row.get(0).unwrap(),
        position: row.get::<u64, _>(1).unwrap().to_string(),
        gtids: server.value(gtids).await.replace('\n', ""),
    }
}

fn as_reader(sandbox: &Sandbox, port: u16) -> Account {
    Account {
        port,
        user: "cdc".into(),
        password: "cdc".into(),
        database: None,
        ..sandbox.source()
    }
}

/// Name and size of the last file.
async fn last_file(at: &Account) -> (String, String) {
    let mut server = at.connect().await;
    let row: Option<mysql_async::Row> = server.rows("SHOW BINARY LOGS").await.pop();
    let row = row.unwrap();
    (
        row.get(0).unwrap(),
        row.get::<u64, _>(1).unwrap().to_string(),
    )
}

/// Of one moment, and nothing that is not released: a snapshot with what it is told as its beginning loses nothing and
/// has nothing twice.
async fn a_reader_is_told_what_it_may_read(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut source = sandbox.source().connect().await;
    source.run("CREATE USER cdc@'%' IDENTIFIED BY 'cdc'").await;
    let status = match flavor {
        Flavor::MariaDb => "BINLOG MONITOR",
        Flavor::MySql => "REPLICATION CLIENT",
    };
    let grant =
        format!("GRANT REPLICATION SLAVE, {status}, SELECT, RELOAD, LOCK TABLES ON *.* TO cdc@'%'");
    source.run(&grant).await;
    sandbox
        .app()
        .connect()
        .await
        .run("INSERT INTO seen VALUES (1)")
        .await;
    let reader = as_reader(&sandbox, sandbox.manifest.replication.port);
    let before = place(&reader).await;
    assert_eq!(before.gtids, source.gtid_position().await);

    // It stands in our binlog, and nobody may know of it yet.
    for replica in [0, 1] {
        sandbox.stop(Part::Replica(replica));
    }
    let app = sandbox.app().connect().await;
    let waiting = tokio::spawn(async move {
        let mut app = app;
        app.run("INSERT INTO seen VALUES (2)").await;
    });
    let written = sandbox
        .status_until("it is stored", SOON, |status| {
            status.text("binlog.written_position") != status.text("binlog.released_position")
        })
        .await;
    assert_ne!(written.text("binlog.gtid"), before.gtids);
    let now = place(&reader).await;
    assert_eq!((&now.file, &now.position), (&before.file, &before.position));
    assert_eq!(now.gtids, before.gtids);
    let file = last_file(&reader).await;
    assert_eq!(file, (before.file.clone(), before.position.clone()));
    assert!(!waiting.is_finished());
    for replica in [0, 1] {
        sandbox.start(Part::Replica(replica));
    }
    waiting.await.unwrap();
    let after = place(&reader).await;
    assert_eq!(after.gtids, source.gtid_position().await);
    assert_eq!(
        last_file(&reader).await,
        (after.file.clone(), after.position.clone())
    );

    // However it is asked.
    let mut guest = reader.connect().await;
    let (show, variable) = match flavor {
        Flavor::MariaDb => ("SHOW MASTER STATUS", "gtid_binlog_pos"),
        Flavor::MySql => ("SHOW BINARY LOG STATUS", "gtid_executed"),
    };
    for form in [
        format!("/* x */ {show}"),
        format!("{show} -- x"),
        format!("/*!50000 {show} */;"),
    ] {
        let row: mysql_async::Row = guest.rows(&form).await.remove(0);
        assert_eq!(row.get::<String, _>(0).unwrap(), after.file, "{form}");
    }
    for (theirs, code) in [
        ("SHOW BINLOG EVENTS".to_owned(), "1235"),
        (format!("SELECT @@{variable}, 1"), "1235"),
        ("SELECT BINLOG_GTID_POS('bin.000001', 4)".to_owned(), "1235"),
        (
            "SELECT * FROM performance_schema.log_status".to_owned(),
            "1235",
        ),
    ] {
        let error = guest.try_run(&theirs).await.unwrap_err().to_string();
        assert!(error.contains(code), "{theirs}: {error}");
    }
    let prepared = mysql_async::prelude::Queryable::prep(&mut guest.conn, show).await;
    let error = prepared.unwrap_err().to_string();
    assert!(error.contains("1295"), "{error}");
    assert_eq!(guest.value("SELECT 41 + 1").await, "42");

    if flavor == Flavor::MariaDb {
        let dump = Command::new("mariadb-dump")
            .args([
                "--single-transaction",
                "--master-data=2",
                "-h127.0.0.1",
                "-ucdc",
                "-pcdc",
            ])
            .arg(format!("-P{}", reader.port))
            .arg(sandbox.manifest.app.database.as_ref().unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&dump.stdout);
        let coordinates = format!(
            "MASTER_LOG_FILE='{}', MASTER_LOG_POS={}",
            after.file, after.position
        );
        assert!(
            dump.status.success() && text.contains(&coordinates),
            "{dump:?}"
        );
    }
}

/// tests/drivers/install.sh puts it there.
pub fn installed(program: &str) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let drivers = variable("ACKLINE_DRIVERS").map(PathBuf::from).or_else(|| {
        let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
        Some(cache?.join("ackline/drivers"))
    });
    drivers
        .map(|drivers| drivers.join(program))
        .filter(|path| path.exists())
}

/// One of the two programs, as it is started here.
enum Reader {
    Python(PathBuf),
    Node(PathBuf),
}

impl Reader {
    fn all() -> Vec<Self> {
        let python = installed("python/lib").and(installed("python/bin/python"));
        let node = installed("node/node_modules/@vlasky/zongji");
        let modules = node.and(installed("node/node_modules"));
        let found: Vec<_> = [python.map(Self::Python), modules.map(Self::Node)]
            .into_iter()
            .flatten()
            .collect();
        if found.len() < 2 {
            eprintln!("\nSKIPPED HERE: readers: tests/drivers/install.sh could not install one");
        }
        found
    }

    fn start(&self, at: &Account, id: u32, from: &[&str]) -> Child {
        let mut command = match self {
            Self::Python(python) => {
                let mut command = Command::new(python);
                command.arg(Path::new(READERS).join("reader.py"));
                command
            }
            Self::Node(modules) => {
                let mut command = Command::new("node");
                command
                    .arg(Path::new(READERS).join("reader.cjs"))
                    .env("NODE_PATH", modules);
                command
            }
        };
        command
            .args([at.port.to_string(), at.user.clone(), at.password.clone()])
            .arg(id.to_string())
            .args(from)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

fn counted(name: &str, reader: Child) -> Counts {
    let output = reader.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| {
        let told = String::from_utf8_lossy(&output.stderr);
        panic!("{name}: {error}: {said}{told}")
    })
}

async fn readers_count_what_the_source_has(flavor: Flavor) {
    let seconds = std::env::var("ACKLINE_SECONDS")
        .map_or(4, |text| text.parse().expect("ACKLINE_SECONDS is a number"));
    let sandbox = Sandbox::of(flavor).await;
    let mut source = sandbox.source().connect().await;
    source.run("SET GLOBAL binlog_format = ROW").await;
    source.run("CREATE USER cdc@'%' IDENTIFIED BY 'cdc'").await;
    let client = match flavor {
        Flavor::MariaDb => "BINLOG MONITOR",
        Flavor::MySql => "REPLICATION CLIENT",
    };
    let grant = format!("GRANT REPLICATION SLAVE, {client}, SELECT ON *.* TO cdc@'%'");
    source.run(&grant).await;
    source
        .run("CREATE USER outsider@'%' IDENTIFIED BY 'cdc'")
        .await;
    sandbox
        .app()
        .connect()
        .await
        .run("CREATE TABLE marker (n INT PRIMARY KEY)")
        .await;
    let sysbench = Sysbench {
        mix: "oltp_write_only",
        account: sandbox.app().clone(),
        tables: TABLES,
        rows: 1_000,
        threads: 4,
    };
    sysbench.prepare();
    sandbox.assert_equal().await;

    let ours = as_reader(&sandbox, sandbox.manifest.replication.port);
    let theirs = as_reader(&sandbox, sandbox.source().port);
    let (here, there) = (place(&ours).await, place(&theirs).await);
    assert_ne!((&here.file, &here.position), (&there.file, &there.position));

    let by_gtid = flavor.to_string();
    let mut live = Vec::new();
    for (number, reader) in Reader::all().into_iter().enumerate() {
        let id = 7000 + 10 * number as u32;
        let name = match reader {
            Reader::Python(_) => "mysql-replication",
            Reader::Node(_) => "zongji",
        };
        let direct = reader.start(&theirs, id, &[&there.file, &there.position]);
        let proxied = reader.start(&ours, id + 1, &[&here.file, &here.position]);
        live.push((name, direct, proxied));
        if let Reader::Python(_) = reader {
            let direct = reader.start(&theirs, id + 2, &[&by_gtid, &there.gtids]);
            let proxied = reader.start(&ours, id + 3, &[&by_gtid, &here.gtids]);
            live.push(("mysql-replication by GTID", direct, proxied));
        }
    }
    sysbench.run(seconds);
    sandbox
        .app()
        .connect()
        .await
        .run("INSERT INTO marker VALUES (1)")
        .await;
    for (name, direct, proxied) in live {
        let (direct, proxied) = (counted(name, direct), counted(name, proxied));
        println!("{name}: {proxied:?}");
        assert_eq!(proxied, direct, "{name}");
        for kind in ["insert", "update", "delete"] {
            let rows = proxied.get(&format!("sbtest1 {kind}")).copied();
            assert!(rows.is_some_and(|rows| rows > 10), "{name}: {proxied:?}");
        }
    }

    // Who may not read the source's binlog may not read ours, nor know of it.
    let outsider = Account {
        user: "outsider".into(),
        ..ours.clone()
    };
    let mut refused = outsider.connect().await;
    let error = refused
        .try_run("SHOW BINARY LOGS")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("1227"), "{error}");
    if let Some(Reader::Python(python)) = Reader::all().into_iter().next() {
        let reader = Reader::Python(python);
        let from = [here.file.as_str(), here.position.as_str()];
        let output = reader
            .start(&outsider, 7100, &from)
            .wait_with_output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        // In the source's own words (MySQL: 1045).
        assert!(
            !output.status.success() && told.contains("denied"),
            "{told}"
        );
    }
    let wrong = Account {
        password: "wrong".into(),
        ..ours.clone()
    };
    let error = wrong.try_connect().await.err().unwrap().to_string();
    assert!(error.contains("1045"), "{error}");
    // A guest is in a session like any other: what it writes is acknowledged, or refused.
    let mut guest = ours.connect().await;
    let error = guest
        .try_run("SET GLOBAL gtid_domain_id = 7")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("1227"), "{error}");
    assert_eq!(guest.value("SELECT 41 + 1").await, "42");
}
