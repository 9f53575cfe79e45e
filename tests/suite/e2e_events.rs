//! Events of the event scheduler follow the source: they run at one server only, and what is disabled stays so.

use std::process::{Command, Stdio};

use crate::support::{Account, Flavor, Part, SOON, Sandbox, on_both_flavors, wait_until};

on_both_flavors![
    an_event_goes_on_at_the_new_source,
    a_move_without_the_grant_works_and_warns,
    a_restarted_proxy_finishes_or_takes_back,
];

fn moved(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = sandbox.ackline(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("{arguments:?}: {said}");
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// One that writes each second, one that would if it were not disabled, one that runs once and stays.
async fn create_events(sandbox: &Sandbox) {
    let mut source = sandbox.source().connect().await;
    for statement in [
        "CREATE USER joe@'%' IDENTIFIED BY 'joe'",
        "GRANT ALL ON app.* TO joe@'%'",
        "CREATE TABLE app.written (n INT AUTO_INCREMENT PRIMARY KEY, job TEXT, server INT)",
        "SET NAMES latin1 COLLATE latin1_german1_ci",
        "CREATE DEFINER=joe@'%' EVENT app.ticks ON SCHEDULE EVERY 1 SECOND DO
             INSERT INTO app.written (job, server) VALUES ('ticks', @@server_id)",
        "CREATE DEFINER=joe@'%' EVENT app.never ON SCHEDULE EVERY 1 SECOND DISABLE DO
             INSERT INTO app.written (job, server) VALUES ('never', @@server_id)",
        "CREATE DEFINER=joe@'%' EVENT app.once ON SCHEDULE AT CURRENT_TIMESTAMP
             ON COMPLETION PRESERVE DO INSERT INTO app.written (job, server) VALUES ('once', @@server_id)",
        "SET GLOBAL event_scheduler=ON",
    ] {
        source.run(statement).await;
    }
}

async fn statuses(account: &Account) -> Vec<String> {
    let mut server = account.connect().await;
    let rows = server.rows(
        "SELECT CONCAT_WS(' ', EVENT_NAME, REPLACE(STATUS, 'REPLICA_SIDE', 'SLAVESIDE'), DEFINER, CHARACTER_SET_CLIENT,
             COLLATION_CONNECTION) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'app' ORDER BY EVENT_NAME",
    );
    rows.await
}

fn all(of: [&str; 3]) -> Vec<String> {
    let names = ["never", "once", "ticks"].into_iter().zip(of);
    names
        .map(|(name, status)| format!("{name} {status} joe@% latin1 latin1_german1_ci"))
        .collect()
}

async fn count(sandbox: &Sandbox, condition: &str) -> u64 {
    let mut app = sandbox.app().connect().await;
    let query = format!("SELECT COUNT(*) FROM written WHERE {condition}");
    app.value(&query).await.parse().unwrap()
}

/// What is kept beside the store.
fn kept(sandbox: &Sandbox) -> String {
    let path = sandbox.manifest.binlog_dir.join("ackline.state");
    std::fs::read_to_string(path).unwrap()
}

/// So many more rows of it come.
async fn goes_on(sandbox: &Sandbox, condition: &str, more: u64) {
    let wanted = count(sandbox, condition).await + more;
    wait_until(condition, SOON, async || {
        match count(sandbox, condition).await {
            now if now >= wanted => Ok(()),
            now => Err(format!("{now} of {wanted}")),
        }
    })
    .await;
}

/// It runs at this server, and at no other.
async fn runs_at(sandbox: &Sandbox, account: &Account) {
    let id = account.connect().await.value("SELECT @@server_id").await;
    let (here, elsewhere) = (format!("server = {id}"), format!("server <> {id}"));
    goes_on(sandbox, &here, 1).await;
    let others = count(sandbox, &elsewhere).await;
    goes_on(sandbox, &here, 2).await;
    assert_eq!(count(sandbox, &elsewhere).await, others);
    assert_eq!(count(sandbox, "job = 'never'").await, 0);
    assert_eq!(count(sandbox, "job = 'once'").await, 1);
    let as_it_was = all(["DISABLED", "DISABLED", "ENABLED"]);
    assert_eq!(statuses(account).await, as_it_was);
}

/// At a replica, once it has applied what made it so.
async fn rests_at(account: &Account) {
    let rests = all(["SLAVESIDE_DISABLED"; 3]);
    wait_until("events rest", SOON, async || {
        match statuses(account).await {
            found if found == rests => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

/// All servers, once the source called `source` writes nothing by itself any more: it would between two looks.
async fn equal(sandbox: &Sandbox) {
    let mut source = sandbox.source().connect().await;
    source.run("SET GLOBAL event_scheduler=OFF").await;
    let at_work = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'joe'";
    wait_until("no event is at work", SOON, async || {
        match source.try_value(at_work).await {
            Ok(none) if none == "0" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    sandbox.assert_equal().await;
}

async fn an_event_goes_on_at_the_new_source(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    create_events(&sandbox).await;
    let (source, replica) = (sandbox.source(), sandbox.replica(0));
    runs_at(&sandbox, &source).await;
    for (name, new, old) in [
        ("replica1", &replica, &source),
        ("source", &source, &replica),
    ] {
        sandbox.all_vote().await;
        let said = moved(&sandbox, &["switchover", "--to", name]);
        assert!(!said.contains("warning"), "{said}");
        runs_at(&sandbox, new).await;
        rests_at(old).await;
        let scheduler = old.connect().await.value("SELECT @@event_scheduler").await;
        assert_eq!(scheduler, "OFF");
    }
    rests_at(&sandbox.replica(1)).await;
    equal(&sandbox).await;
    let mut admin = source.connect().await;
    admin.run("SET GLOBAL event_scheduler=ON").await;
    // What a dead source cannot tell was asked before: also while it was off for the comparison.
    wait_until("it is known what runs", SOON, async || {
        let text = kept(&sandbox);
        let known = [r#""server": "source""#, r#""on": true"#, "ticks"];
        match known.iter().all(|part| text.contains(part)) {
            true => Ok(()),
            false => Err(text),
        }
    })
    .await;
    sandbox.all_vote().await;
    sandbox.kill(Part::Source);
    let said = moved(&sandbox, &["failover", "--to", "replica1"]);
    assert!(!said.contains("warning"), "{said}");
    runs_at(&sandbox, &replica).await;
}

async fn a_move_without_the_grant_works_and_warns(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    create_events(&sandbox).await;
    goes_on(&sandbox, "job = 'ticks'", 1).await;
    let mut source = sandbox.source().connect().await;
    let accounts =
        "SELECT CONCAT(User, '@''', Host, '''') FROM mysql.user WHERE User LIKE 'ackline%'";
    let account = source.value(accounts).await;
    source
        .run(&format!("REVOKE EVENT ON *.* FROM {account}"))
        .await;
    let said = moved(&sandbox, &["switchover", "--to", "replica1"]);
    assert!(said.contains("may not see its events"), "{said}");
    rests_at(&sandbox.replica(0)).await;
    // What the warning leads to.
    let mut new = sandbox.replica(0).connect().await;
    new.run("ALTER DEFINER=joe@'%' EVENT app.ticks ENABLE")
        .await;
    new.run("SET GLOBAL event_scheduler=ON").await;
    goes_on(&sandbox, "job = 'ticks'", 2).await;
}

/// Killed at places between the commit point and the end, and before it: events run at whoever is the source then.
async fn a_restarted_proxy_finishes_or_takes_back(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    create_events(&sandbox).await;
    goes_on(&sandbox, "job = 'ticks'", 1).await;
    for step in [
        "open it for writing",
        "let sessions go on",
        "make the old source a replica",
    ] {
        sandbox.serves().await;
        sandbox.all_vote().await;
        let status = sandbox.status().await;
        let to = match status.text("source.name") {
            "source" => "replica1",
            _ => "source",
        };
        let already = sandbox.proxy_log().matches(step).count();
        let moving = Command::new(env!("CARGO_BIN_EXE_ackline"))
            .args(["switchover", "--to", to, "--config", &sandbox.config_path()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        wait_until(step, SOON, async || {
            match sandbox.proxy_log().matches(step).count() > already {
                true => Ok(()),
                false => Err("not yet"),
            }
        })
        .await;
        sandbox.kill(Part::Proxy);
        moving.unwrap().wait().unwrap();
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
        let status = sandbox.status_until("the move is over", SOON, |status| {
            !kept(&sandbox).contains("\"moving\"") && status.text("source.state") == "attached"
        });
        let status = status.await;
        let source = status.text("source.name");
        println!("killed at '{step}' on the way to {to}: {source}");
        let (new, old) = match source {
            "source" => (sandbox.source(), sandbox.replica(0)),
            _ => (sandbox.replica(0), sandbox.source()),
        };
        runs_at(&sandbox, &new).await;
        rests_at(&old).await;
    }
    // Where all are compared.
    if sandbox.status().await.text("source.name") != "source" {
        sandbox.all_vote().await;
        moved(&sandbox, &["switchover", "--to", "source"]);
    }
    equal(&sandbox).await;
}
