//! Our binlog against the source's own: a workload that meets every kind of event, in every binlog_format,
//! through the proxy; then the flavor's own dump tool prints both alike, the events are the same byte for byte
//! but for their place, and what the tool prints of ours makes an empty server equal to the source.

mod printed;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{
    Account, Database, Flavor, Part, SOON, Sandbox, events, mysql, on_both_flavors, wait_until,
};
use ackline::event::EventType;
use printed::printed;

on_both_flavors![prints_and_replays_as_the_sources_own];

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
/// In a client that speaks latin1.
const LATIN: &[u8] = b"SET NAMES latin1;\nINSERT INTO taken (v) VALUES ('\xe4\xf6\xfc \xdf');\n";

/// One pass over the corpus, in a database of its own.
struct Pass {
    name: &'static str,
    format: &'static str,
    /// At the source, for all.
    global: &'static [&'static str],
    /// At the beginning of each session.
    session: &'static str,
}

impl Pass {
    fn has_full_rows(&self) -> bool {
        self.format != "statement" && self.session.is_empty()
    }
}

fn passes(flavor: Flavor) -> Vec<Pass> {
    let plain = |name| Pass {
        name,
        format: name,
        global: &[],
        session: "",
    };
    let (global, session): (&[&str], _) = match flavor {
        Flavor::MariaDb => (
            &[
                "SET GLOBAL log_bin_compress = ON",
                "SET GLOBAL log_bin_compress_min_len = 10",
                "SET GLOBAL binlog_row_metadata = FULL",
            ],
            "SET SESSION binlog_row_image = MINIMAL;\n",
        ),
        Flavor::MySql => (
            &["SET GLOBAL binlog_row_metadata = FULL"],
            "SET SESSION binlog_row_image = MINIMAL, SESSION binlog_transaction_compression = ON;\n",
        ),
    };
    let compressed = |name, format| Pass {
        name,
        format,
        global,
        session,
    };
    vec![
        plain("statement"),
        plain("row"),
        plain("mixed"),
        compressed("mixed_compressed", "mixed"),
        compressed("row_compressed", "row"),
        Pass {
            name: "unchecked",
            format: "row",
            global: &["SET GLOBAL binlog_checksum = NONE"],
            session: "",
        },
    ]
}

/// What the corpus must meet, so that the comparison is one of every kind of event.
fn met(flavor: Flavor) -> Vec<EventType> {
    let own: &[u8] = match flavor {
        Flavor::MariaDb => &[23, 24, 25, 160, 162, 165, 166, 167, 168],
        Flavor::MySql => &[29, 30, 31, 32, 33, 39, 40, 42],
    };
    let both = [2, 5, 13, 14, 16, 17, 18, 19, 38];
    both.iter().chain(own).copied().map(EventType).collect()
}

struct Scene {
    flavor: Flavor,
    sandbox: Sandbox,
    /// What LOAD DATA reads.
    files: PathBuf,
}

impl Scene {
    /// One of its replicas is no replica any more, but an empty server with the same accounts. The other logs
    /// what it applies.
    async fn prepare(flavor: Flavor) -> Self {
        let sandbox = Sandbox::up(&[
            "--flavor",
            &flavor.to_string(),
            "--mode",
            "async",
            "--replicas",
            "2",
            "--server-option",
            "local_infile=ON",
        ])
        .await;
        let mut empty = sandbox.replica(0).connect().await;
        let statements: &[&str] = match flavor {
            Flavor::MariaDb => &[
                "STOP SLAVE",
                "RESET SLAVE ALL",
                "RESET MASTER",
                "SET GLOBAL gtid_slave_pos = ''",
                // A client that replays may log in another number of groups than the source did.
                "SET GLOBAL gtid_strict_mode = OFF",
                "SET GLOBAL read_only = OFF",
            ],
            Flavor::MySql => &[
                "STOP REPLICA",
                "RESET REPLICA ALL",
                "RESET BINARY LOGS AND GTIDS",
                "SET GLOBAL super_read_only = OFF",
                "SET GLOBAL read_only = OFF",
            ],
        };
        for statement in statements {
            empty.run(statement).await;
        }
        if flavor == Flavor::MariaDb {
            // Measured: the end of a session with two temporary tables is one group here and two there, under one
            // GTID.
            let mut replica = sandbox.replica(1).connect().await;
            replica.run("SET GLOBAL gtid_strict_mode = OFF").await;
        }
        let files = sandbox.dir.join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(
            files.join("rows.csv"),
            "30000,\"from a file\"\n30001,\"with, comma\"\n30002,grün\n",
        )
        .unwrap();
        std::fs::write(
            files.join("more.csv"),
            "header\n30001;again\n30003;and more\n",
        )
        .unwrap();
        Self {
            flavor,
            sandbox,
            files,
        }
    }

    /// Through the proxy, as somebody who may do everything.
    fn administrator(&self) -> Account {
        Account {
            port: self.sandbox.app().port,
            ..self.sandbox.source()
        }
    }

    /// The command line client; `input` is what it runs. It must not say a word of an error.
    fn client(&self, account: &Account, input: Stdio) -> Command {
        let mut client = match self.flavor {
            Flavor::MariaDb => Command::new("mariadb"),
            Flavor::MySql => Command::new(mysql::program("mysql")),
        };
        client.args(account.arguments());
        client.arg(match self.flavor {
            Flavor::MariaDb => "--skip-ssl",
            Flavor::MySql => "--ssl-mode=DISABLED",
        });
        if self.flavor == Flavor::MySql {
            client.arg("--get-server-public-key");
        }
        client
            .args(["--local-infile=1", "--default-character-set=utf8mb4"])
            .args(["--binary-mode", "--max-allowed-packet=1G", "--comments"])
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        client
    }

    fn run(&self, what: &str, script: &[u8]) {
        let account = self.administrator();
        let mut client = self.client(&account, Stdio::piped()).spawn().unwrap();
        let mut input = client.stdin.take().unwrap();
        let script = script.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&script));
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {said}");
        writer.join().unwrap().unwrap();
    }

    fn script(&self, file: &str, pass: &Pass) -> Vec<u8> {
        let text = std::fs::read_to_string(Path::new(CORPUS).join(file)).unwrap();
        let text = text.replace("@FILES@", self.files.to_str().unwrap());
        let mut script = format!("USE `{}`;\n{}", pass.name, pass.session).into_bytes();
        for line in text.lines() {
            if pass.has_full_rows() || !line.ends_with("-- full rows only") {
                script.extend_from_slice(line.as_bytes());
                script.push(b'\n');
            }
        }
        script
    }

    async fn run_pass(&self, pass: &Pass) {
        let mut source = self.sandbox.source().connect().await;
        for statement in pass.global {
            source.run(statement).await;
        }
        let own = match self.flavor {
            Flavor::MariaDb => "mariadb.sql",
            Flavor::MySql => "mysql.sql",
        };
        self.run(
            "database",
            format!("CREATE DATABASE `{}`", pass.name).as_bytes(),
        );
        for file in ["common.sql", "definitions.sql", "varying.sql", own] {
            if file == "varying.sql" && pass.format == "statement" {
                continue;
            }
            self.run(&format!("{}: {file}", pass.name), &self.script(file, pass));
        }
        let latin = [format!("USE `{}`;\n", pass.name).as_bytes(), LATIN].concat();
        self.run("latin1", &latin);
        self.run_together(pass).await;
        self.run_beside(pass).await;
        source.run("FLUSH BINARY LOGS").await;
    }

    /// Several clients at once: the source commits in groups, and says so in its events.
    async fn run_together(&self, pass: &Pass) {
        let account = Account {
            database: Some(pass.name.to_owned()),
            ..self.administrator()
        };
        account
            .connect()
            .await
            .run("CREATE TABLE together (client INT, n INT, PRIMARY KEY (client, n)) ENGINE=InnoDB")
            .await;
        let clients = (0..8).map(|client| {
            let account = account.clone();
            tokio::spawn(async move {
                let mut database = account.try_connect().await.unwrap();
                for n in 0..12 {
                    let insert = format!("INSERT INTO together VALUES ({client}, {n})");
                    database.run(&insert).await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }

    /// What an administrator does at the source itself: GTIDs of other domains and with tags; and what
    /// others commit while a transaction is prepared (MariaDB's clients could not replay that: the session
    /// that prepared it may do nothing else).
    async fn run_beside(&self, pass: &Pass) {
        let mut source = self.sandbox.source().connect().await;
        source.run(&format!("USE `{}`", pass.name)).await;
        let statements: &[&str] = match self.flavor {
            Flavor::MariaDb => &[
                "SET SESSION gtid_domain_id = 5",
                "INSERT INTO copy (id, v) VALUES (40000, 'in another domain')",
                "SET SESSION gtid_domain_id = 0, server_id = 77",
                "INSERT INTO copy (id, v) VALUES (40001, 'of another server')",
            ],
            Flavor::MySql => &[
                "SET SESSION gtid_next = 'AUTOMATIC:tagged'",
                "INSERT INTO copy (id, v) VALUES (40000, 'with a tag')",
                "SET SESSION gtid_next = 'AUTOMATIC'",
                "XA START 'prepared'",
                "INSERT INTO copy (id, v) VALUES (40001, 'prepared')",
                "XA END 'prepared'",
                "XA PREPARE 'prepared'",
            ],
        };
        for statement in statements {
            source.run(statement).await;
        }
        if self.flavor == Flavor::MySql {
            let mut other = self.sandbox.source().connect().await;
            other
                .run(&format!(
                    "INSERT INTO `{}`.taken (v) VALUES ('meanwhile')",
                    pass.name
                ))
                .await;
            other.run("XA COMMIT 'prepared'").await;
        }
    }

    /// `[binlog]` with small files of ours, so that they end elsewhere than the source's.
    async fn log_as(&self, format: &str, first: bool) {
        if first {
            let line = "dir = \"binlog\"\nfile_size = \"64KiB\"\nformat = \"mixed\"";
            self.sandbox.edit_config("dir = \"binlog\"", line);
        }
        self.sandbox
            .edit_config("format = ", &format!("format = \"{format}\""));
        self.sandbox.stop(Part::Proxy);
        self.sandbox.start(Part::Proxy);
        self.sandbox.serves().await;
        let mut source = self.sandbox.source().connect().await;
        let logs = source.value("SELECT @@global.binlog_format").await;
        assert_eq!(logs.to_lowercase(), format);
    }

    async fn all_is_ours(&self) {
        let position = self.sandbox.source().connect().await.gtid_position().await;
        wait_until("our binlog has all that the source has", SOON, async || {
            let status = self.sandbox.try_status().await?;
            let whole = status.text("binlog.written_position");
            let synced = whole == status.text("binlog.synced_position");
            match status.text("binlog.gtid") == position && synced {
                true => Ok(()),
                false => Err(format!("the source is at {position}: {status}")),
            }
        })
        .await;
    }

    /// What the tool prints of ours, into the empty server.
    fn replay(&self) {
        let scratch = self.sandbox.dir.join("replayed");
        std::fs::create_dir(&scratch).unwrap();
        let mut tool = printed::tool(self.flavor)
            .arg(format!("--local-load={}", scratch.display()))
            .args(events::ours(&self.sandbox))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = tool.stdout.take().unwrap();
        let account = self.sandbox.replica(0);
        let output = self.client(&account, printed.into()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the replay: {said}");
        assert!(tool.wait().unwrap().success());
    }
}

/// Routines, triggers, events and views, as the server would write them.
async fn definitions(database: &mut Database) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for (kind, query) in [
        (
            "routine",
            "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, CONCAT(ROUTINE_DEFINITION, SQL_MODE, ROUTINE_COMMENT) FROM information_schema.ROUTINES",
        ),
        (
            "trigger",
            "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, CONCAT(ACTION_STATEMENT, SQL_MODE) FROM information_schema.TRIGGERS",
        ),
        (
            "event",
            "SELECT EVENT_SCHEMA, EVENT_NAME, CONCAT(EVENT_DEFINITION, STATUS, STARTS) FROM information_schema.EVENTS",
        ),
        (
            "view",
            "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS",
        ),
    ] {
        let rows: Vec<(String, String, String)> = database.rows(query).await;
        let rows = rows
            .into_iter()
            .filter(|row| !["sys", "mysql"].contains(&row.0.as_str()));
        all.extend(rows.map(|row| (kind.to_owned(), format!("{}.{}", row.0, row.1), row.2)));
    }
    all.sort();
    all
}

async fn prints_and_replays_as_the_sources_own(flavor: Flavor) {
    let scene = Scene::prepare(flavor).await;
    let mut format = "";
    for pass in passes(flavor) {
        if pass.format != format {
            scene.log_as(pass.format, format.is_empty()).await;
            format = pass.format;
        }
        scene.run_pass(&pass).await;
    }
    scene.all_is_ours().await;
    let (ours, theirs) = (events::ours(&scene.sandbox), events::theirs(&scene.sandbox));
    assert!(ours.len() > 3 && theirs.len() > 3, "{ours:?} {theirs:?}");

    let (our_content, their_content) = (
        events::contents(&ours).unwrap(),
        events::contents(&theirs).unwrap(),
    );
    let transactions = events::same(&our_content, &their_content).unwrap();
    assert!(transactions > 500, "{transactions}");
    let kinds: BTreeSet<EventType> = our_content
        .iter()
        .flat_map(|content| content.events.iter().map(|event| event.0))
        .collect();
    let mut lacking = met(flavor);
    lacking.retain(|kind| !kinds.contains(kind));
    assert!(lacking.is_empty(), "the corpus makes no {lacking:?}");

    let scratch = |name: &str| scene.sandbox.dir.join(name);
    let our_text = printed(flavor, &ours, &scratch("ours"));
    let their_text = printed(flavor, &theirs, &scratch("theirs"));
    for (at, (ours, theirs)) in our_text.iter().zip(&their_text).enumerate() {
        let before = &our_text[at.saturating_sub(12)..at];
        assert_eq!(ours, theirs, "line {at}, after {before:#?}");
    }
    assert_eq!(our_text.len(), their_text.len());

    scene.replay();
    let mut source = scene.sandbox.source().connect().await;
    let mut replayed = scene.sandbox.replica(0).connect().await;
    let expected = source.checksums().await;
    assert!(expected.len() > 60, "{expected:?}");
    assert_eq!(replayed.checksums().await, expected);
    assert_eq!(
        definitions(&mut replayed).await,
        definitions(&mut source).await
    );

    let position = source.gtid_position().await;
    let mut replica = scene.sandbox.replica(1).connect().await;
    let applied = replica.applies_until(&position, SOON).await;
    applied.expect("the replica applies all");
    let at_replica = events::of(&scene.sandbox, Part::Replica(1));
    let logged = events::digests(&theirs).unwrap();
    let relogged = events::digests(&at_replica).unwrap();
    let differ: Vec<_> = logged
        .iter()
        // A transaction of several engines that was rolled back is no transaction of the replica's binlog.
        .filter(|(_, content)| !content.shown.ends_with("QUERY ROLLBACK | "))
        .filter(|(gtid, content)| match relogged.get(*gtid) {
            Some(other) => !content.digest.is_of_the_same(&other.digest),
            None => true,
        })
        .map(|(gtid, content)| {
            format!(
                "{gtid}: {}\n    {}",
                content.shown,
                relogged.get(gtid).map_or("not there", |c| c.shown.as_str())
            )
        })
        .collect();
    assert!(
        differ.is_empty(),
        "{} of {} are others at the replica:\n{}",
        differ.len(),
        logged.len(),
        differ.join("\n")
    );
    assert!(logged.len() > 500, "{}", logged.len());

    println!(
        "{flavor}: {transactions} transactions in {} files of ours, {} of the source's; {} lines, {} tables alike",
        ours.len(),
        theirs.len(),
        our_text.len(),
        expected.len()
    );
}
