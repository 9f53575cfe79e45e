//! MariaDB servers whose binlogs are encrypted (`encrypt_binlog`): they decrypt what they send. Our own binlog is not.

use std::fmt::Write;

use crate::support::{Part, SOON, Sandbox, unpacked};

const PLUGIN: &str = "file_key_management.so";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_binlogs_are_encrypted() {
    let Some(plugins) = unpacked::plugins(module_path!(), PLUGIN) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let mut key = String::from("1;");
    for byte in 0..32 {
        write!(key, "{byte:02x}").unwrap();
    }
    std::fs::write(&keys, key).unwrap();
    let options = [
        format!("plugin_dir={}", plugins.display()),
        format!("plugin_load_add={PLUGIN}"),
        format!("file_key_management_filename={}", keys.display()),
        "encrypt_binlog=ON".to_owned(),
    ];
    let options: Vec<&str> = options
        .iter()
        .flat_map(|option| ["--server-option", option])
        .collect();
    let sandbox = Sandbox::up(&options).await;
    sandbox.create_seen().await;
    let mut number = 0;
    let mut insert = async || {
        let mut app = sandbox.app().connect().await;
        for _ in 0..3 {
            number += 1;
            app.run(&format!("INSERT INTO seen VALUES ({number})"))
                .await;
        }
    };
    insert().await;
    let mut source = sandbox.source().connect().await;
    assert_eq!(source.value("SELECT @@encrypt_binlog").await, "1");
    source.run("FLUSH BINARY LOGS").await;
    insert().await;
    // We attach again in the middle of a file, by its place, and walk the replicas' from where we were.
    for part in [Part::Proxy, Part::Source, Part::Replica(0)] {
        sandbox.kill(part);
        sandbox.start(part);
        sandbox.serves().await;
        insert().await;
    }
    let votes = |name: &'static str| {
        sandbox.status_until("it votes", SOON, move |status| {
            status.replica(name).is_some_and(|row| row.flag("vote"))
        })
    };
    for name in ["replica1", "replica2"] {
        votes(name).await;
    }
    sandbox.assert_equal().await;
    // Proven by their own binlogs.
    let moved = sandbox.ackline(&["switchover", "--to", "replica1"]);
    assert!(moved.status.success(), "{moved:?}");
    insert().await;
}
