//! Who may run replication hazards, changed in the file while the proxy runs.

use crate::support::{SOON, Sandbox, wait_until};

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
