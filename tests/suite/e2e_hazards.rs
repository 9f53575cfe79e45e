//! Who may run replication hazards, changed in the file while the proxy runs.

use crate::support::{Flavor, SOON, Sandbox, on_both_flavors, wait_until};

on_both_flavors![what_no_statement_shows_ends_the_session];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_users_is_taken_over_at_once() {
    let sandbox = Sandbox::up(&["--mode", "semi-sync"]).await;
    // Needs no privilege at all, and replicas with replicate_events_marked_for_skip leave it out.
    let hazard = "SET skip_replication=1";
    let mut app = sandbox.app().connect().await;
    let error = app.try_run(hazard).await.unwrap_err().to_string();
    assert!(
        error.contains("ackline: Access denied: SET skip_replication would"),
        "{error}"
    );
    assert_eq!(app.value("SELECT @@skip_replication").await, "0");

    let before = sandbox.config();
    let listed = format!(
        "{before}\n[sessions]\nallow_hazards = [\"{}\"]\n",
        sandbox.app().user
    );
    sandbox.save_config(&listed);
    wait_until("the listed user may", SOON, async || {
        let done = app.try_run(hazard).await;
        done.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(app.value("SELECT @@skip_replication").await, "1");
    app.run("SET skip_replication=0").await;

    sandbox.save_config(&before);
    wait_until("nobody may", SOON, async || {
        match app.try_run(hazard).await {
            Ok(_) => Err("it passes".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await;
}

/// What a routine does that was made at the source, and what is put together at run time, the source tells.
async fn what_no_statement_shows_ends_the_session(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let database = sandbox.app().database.clone().unwrap();
    let mut source = sandbox.source().connect().await;
    source.run(&format!("USE {database}")).await;
    for (name, body) in [
        ("sets", "SET sql_log_bin=0"),
        ("hides", "SET sql_log_bin=0; SET sql_log_bin=1"),
    ] {
        source
            .run(&format!(
                "CREATE DEFINER=CURRENT_USER PROCEDURE {name}() SQL SECURITY DEFINER BEGIN {body}; END"
            ))
            .await;
    }
    // The application may not set it itself, and its routine may.
    let mut n = 0;
    for statement in ["CALL sets()", "CALL hides()", "SET @a=1; CALL hides()"] {
        let mut app = sandbox.app().connect().await;
        app.run(statement).await;
        n += 1;
        let insert = format!("INSERT INTO seen VALUES ({n})");
        let error = app.try_run(&insert).await.unwrap_err().to_string();
        assert!(
            error.contains("1227") && error.contains("sql_log_bin"),
            "{error}"
        );
        assert!(app.try_run("SELECT 1").await.is_err(), "it is ended");
    }
    // Somebody who may everything, and is not listed.
    let admin = sandbox.source();
    let through = crate::support::Account {
        port: sandbox.app().port,
        ..admin
    };
    let mut session = through.connect().await;
    session.run("SET @text='SET sql_log_bin=0'").await;
    session.run("PREPARE s FROM @text").await;
    session.run("EXECUTE s").await;
    let insert = format!("INSERT INTO {database}.seen VALUES (9)");
    let error = session.try_run(&insert).await.unwrap_err().to_string();
    assert!(error.contains("1227"), "{error}");
    // Values that a session has anyway do no harm.
    let mut session = through.connect().await;
    session.run("SET sql_log_bin=1").await;
    session
        .run(&format!("INSERT INTO {database}.seen VALUES (10)"))
        .await;
    session
        .run(&format!("INSERT INTO {database}.seen VALUES (11)"))
        .await;
    let status = sandbox.status().await;
    let problems = status.list("problems").join("; ");
    assert!(problems.contains("had set sql_log_bin"), "{status}");
    sandbox.assert_equal().await;
    if flavor == Flavor::MariaDb {
        bits_of_one_word(&through, &database).await;
    }
    assert_eq!(sandbox.app().connect().await.count("seen").await, 2);
}

/// MariaDB 11 reports `skip_replication` where another variable of the same word was set, and the other way round.
async fn bits_of_one_word(account: &crate::support::Account, database: &str) {
    let mut session = account.connect().await;
    for harmless in [
        "SET autocommit=0",
        "SET autocommit=1",
        "SET foreign_key_checks=0, unique_checks=0",
        "SET foreign_key_checks=1",
        "SET skip_replication=0",
        "BEGIN NOT ATOMIC SET foreign_key_checks=0; END",
        "SELECT 1",
    ] {
        session.run(harmless).await;
    }
    let tracked = "SET session_track_system_variables='autocommit'";
    let anything = "SET session_track_system_variables='*'";
    for before in [
        "DO 1",
        tracked,
        anything,
        "SET autocommit=1",
        "SET foreign_key_checks=0",
    ] {
        let mut session = account.connect().await;
        session.run(before).await;
        session.run("SET autocommit=1").await;
        session.run("SET @text='SET skip_replication=1'").await;
        session.run("PREPARE s FROM @text").await;
        session.run("EXECUTE s").await;
        let insert = format!("INSERT INTO {database}.seen VALUES (8)");
        let error = session.try_run(&insert).await.unwrap_err().to_string();
        assert!(
            error.contains("1227") && error.contains("skip_replication"),
            "{before}: {error}"
        );
    }
}
