//! `ackline trace`: where the time of commits goes.

use std::process::Output;

use serde_json::Value;

use crate::support::{Sandbox, on_both_flavors};
use ackline::ids::Flavor;

on_both_flavors!(commits_are_seen_stage_by_stage);

fn trace(sandbox: &Sandbox, seconds: &str) -> Output {
    sandbox.ackline(&["trace", "--json", "--seconds", seconds])
}

async fn commits_are_seen_stage_by_stage(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let mut app = sandbox.app().connect().await;
    let (first, second) = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let first = scope.spawn(|| trace(&sandbox, "3"));
            let second = scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(500));
                trace(&sandbox, "1")
            });
            tokio::runtime::Handle::current().block_on(async {
                let mut number = 0;
                while !first.is_finished() || !second.is_finished() {
                    app.run(&format!("INSERT INTO seen VALUES ({number})"))
                        .await;
                    number += 1;
                }
            });
            (first.join().unwrap(), second.join().unwrap())
        })
    });
    // On a busy machine the one that was started first may come second.
    let (first, second) = match first.status.success() {
        true => (first, second),
        false => (second, first),
    };
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another trace is under way"), "{said}");

    assert!(first.status.success(), "{first:?}");
    let seen: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert!(seen["commits"].as_u64() > Some(5), "{seen}");
    let steps = seen["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 9, "{seen}");
    let whole = seen["whole"]["median_us"].as_u64().unwrap();
    for step in steps {
        assert!(step["median_us"].as_u64().unwrap() < whole, "{seen}");
    }
    // The source works before we hear of it.
    assert!(steps[0]["median_us"].as_u64() > Some(0), "{seen}");

    // Nothing is kept when nobody asks, and nothing that was no commit.
    let none: Value = serde_json::from_slice(&trace(&sandbox, "0.2").stdout).unwrap();
    assert_eq!(none["commits"], 0);
    assert_eq!(trace(&sandbox, "21").status.code(), Some(2));
}
