//! The schema `ackline`: applied at the source, once, and it comes to the replicas in the binlog.

use std::process::{Child, Command, Output, Stdio};

use ackline::migrations::known;

use crate::support::{ACKLINE, Database, Flavor, Part, SOON, Sandbox, on_both_flavors, wait_until};

on_both_flavors![it_is_applied_once_whatever_happens, what_is_refused];

const TABLES: &str = "SELECT GROUP_CONCAT(TABLE_NAME ORDER BY TABLE_NAME) FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = 'ackline'";
const ALL: &str = "checksums,migrations";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn migrate(sandbox: &Sandbox, arguments: &[&str], status: i32) -> String {
    let mut all = vec!["migrate"];
    all.extend(arguments);
    let output = sandbox.ackline(&all);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

fn begin(sandbox: &Sandbox, crash_at: Option<&str>) -> Child {
    let mut command = Command::new(ACKLINE);
    command
        .args(["migrate", "--config", &sandbox.config_path()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(point) = crash_at {
        command.env("ACKLINE_CRASH_AT", point);
    }
    command.spawn().unwrap()
}

/// As its administrator, who may.
async fn forget(source: &mut Database) {
    source.run("DROP DATABASE IF EXISTS ackline").await;
}

async fn everywhere(sandbox: &Sandbox) {
    sandbox.assert_equal().await;
    for server in [vec![sandbox.source()], sandbox.replicas()].concat() {
        let mut server = server.connect().await;
        assert_eq!(server.value(TABLES).await, ALL);
        let rows: Vec<(u32, String)> = server
            .rows("SELECT number, checksum FROM ackline.migrations")
            .await;
        let first = &known(server.flavor())[0];
        assert_eq!(rows, [(1, first.checksum())]);
    }
}

async fn it_is_applied_once_whatever_happens(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    let mut source = sandbox.source().connect().await;

    // What is printed is all of it, for a server that may be dead as well.
    let before = source.gtid_position().await;
    let printed = migrate(&sandbox, &["--print"], 0);
    let same = migrate(&sandbox, &["--print", "--flavor", &flavor.to_string()], 0);
    assert_eq!(printed, same);
    assert!(printed.contains(known(flavor)[0].sql), "{printed}");
    assert_eq!(source.value(TABLES).await, "");
    assert_eq!(source.gtid_position().await, before);

    assert_eq!(migrate(&sandbox, &[], 0), "source: 0001_schema applied\n");
    everywhere(&sandbox).await;
    let before = source.gtid_position().await;
    assert_eq!(migrate(&sandbox, &[], 0), "source: nothing to do\n");
    assert_eq!(migrate(&sandbox, &["--print"], 0), "-- nothing to do\n");
    assert_eq!(source.gtid_position().await, before);

    // An administrator may run what is printed.
    forget(&mut source).await;
    for statement in printed.split_terminator(";\n") {
        source.run(statement).await;
    }
    assert_eq!(migrate(&sandbox, &[], 0), "source: nothing to do\n");
    everywhere(&sandbox).await;

    // Two at once: one applies, the other finds it done.
    forget(&mut source).await;
    let pair = [begin(&sandbox, None), begin(&sandbox, None)];
    let mut said: Vec<String> = pair
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            said(&output)
        })
        .collect();
    said.sort();
    assert_eq!(
        said,
        ["source: 0001_schema applied\n", "source: nothing to do\n"]
    );
    everywhere(&sandbox).await;

    // The first is SET autocommit; then each of the file's, and the row.
    let last = known(flavor)[0].statements().len() + 2;
    for number in 2..=last {
        forget(&mut source).await;
        let dies = begin(&sandbox, Some(&format!("statement {number}")));
        let output = dies.wait_with_output().unwrap();
        assert_eq!(output.status.code(), None, "{output:?}");
        if number == last {
            assert_eq!(source.value(TABLES).await, ALL);
            assert_eq!(source.count("ackline.migrations").await, 0);
        }
        assert_eq!(migrate(&sandbox, &[], 0), "source: 0001_schema applied\n");
    }
    everywhere(&sandbox).await;

    // A dead source cannot say what it lacks.
    sandbox.kill(Part::Source);
    let silent = migrate(&sandbox, &["--print"], 1);
    assert!(
        silent.contains("--flavor says what is to be printed"),
        "{silent}"
    );
    let all = migrate(&sandbox, &["--print", "--flavor", &flavor.to_string()], 0);
    assert_eq!(all, printed);
}

async fn what_is_refused(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    let mut source = sandbox.source().connect().await;

    // Everywhere, since accounts travel in the binlog.
    source
        .run("REVOKE INSERT, CREATE ON ackline.* FROM ackline@'%'")
        .await;
    let grant = "GRANT CREATE, INSERT ON ackline.* TO 'ackline'@'%'";
    let before = source.gtid_position().await;
    let denied = migrate(&sandbox, &[], 1);
    assert!(
        denied.contains(&format!(
            "source: our account may not: an administrator has to run there {grant};"
        )),
        "{denied}"
    );
    assert_eq!(source.gtid_position().await, before);
    let doctor = said(&sandbox.ackline(&["doctor"]));
    assert!(
        doctor.contains(&format!("ackline migrate would work by {grant}")),
        "{doctor}"
    );
    source.run(grant).await;

    // Nobody acknowledges: it says so and comes back, and the commit is done when they are there again.
    sandbox.assert_equal().await;
    for replica in sandbox.replicas() {
        let stop = match flavor {
            Flavor::MariaDb => "STOP SLAVE IO_THREAD",
            Flavor::MySql => "STOP REPLICA IO_THREAD",
        };
        replica.connect().await.run(stop).await;
    }
    let waits = migrate(&sandbox, &["--deadline", "1s"], 1);
    assert!(
        waits.contains("CREATE DATABASE IF NOT EXISTS ackline")
            && waits.contains("did not return within 1 s"),
        "{waits}"
    );
    let locked = migrate(&sandbox, &["--deadline", "1s"], 1);
    assert!(
        locked.contains("another ackline migrate is at work there"),
        "{locked}"
    );
    for replica in sandbox.replicas() {
        let start = match flavor {
            Flavor::MariaDb => "START SLAVE IO_THREAD",
            Flavor::MySql => "START REPLICA IO_THREAD",
        };
        replica.connect().await.run(start).await;
    }
    let applied = migrate(&sandbox, &[], 0);
    assert_eq!(applied, "source: 0001_schema applied\n");
    everywhere(&sandbox).await;

    // Another content, and a newer ackline's.
    source
        .run("UPDATE ackline.migrations SET checksum = REPEAT('0', 64)")
        .await;
    for arguments in [&[][..], &["--print"]] {
        let changed = migrate(&sandbox, arguments, 1);
        assert!(
            changed.contains("source: 0001_schema was applied there with another content"),
            "{changed}"
        );
    }
    let insert =
        "INSERT INTO ackline.migrations VALUES (4000, '4000_later', REPEAT('0', 64), NOW(6))";
    source.run(insert).await;
    let newer = migrate(&sandbox, &[], 1);
    assert!(
        newer.contains("4000_later was applied there by a newer ackline"),
        "{newer}"
    );

    // A source that is not open is left alone, though our account may write there.
    forget(&mut source).await;
    source.run("SET GLOBAL read_only = ON").await;
    let closed = migrate(&sandbox, &[], 1);
    assert!(closed.contains("it is read-only"), "{closed}");
    source.run("SET GLOBAL read_only = OFF").await;
    wait_until("it is open again", SOON, async || {
        let output = sandbox.ackline(&["migrate"]);
        match output.status.success() {
            true => Ok(()),
            false => Err(said(&output)),
        }
    })
    .await;
    everywhere(&sandbox).await;

    // Without a proxy the gate is shut, and nothing is begun.
    forget(&mut source).await;
    sandbox.stop(Part::Proxy);
    let clients = match flavor {
        Flavor::MariaDb => "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_clients'",
        Flavor::MySql => "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_source_clients'",
    };
    wait_until("the source knows it", SOON, async || {
        let rows: Vec<(String, String)> = source.rows(clients).await;
        match rows[0].1.as_str() {
            "0" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    let nobody = migrate(&sandbox, &[], 1);
    assert!(
        nobody.contains("commits wait there until ackline is attached"),
        "{nobody}"
    );
    assert_eq!(source.value(TABLES).await, "");
}
