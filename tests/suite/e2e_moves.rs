//! Moving the source under load: what was acknowledged is there, what was not is no acknowledgement, and all
//! servers are equal in the end.

use crate::support::load::{Clients, Load, assert_there};
use crate::support::{Flavor, Part, Sandbox, on_both_flavors};

on_both_flavors![
    a_switchover_there_and_back_loses_nothing,
    a_failover_from_a_dead_source_loses_nothing,
];

const CLIENTS: Clients = Clients::writing(4);

fn moved(sandbox: &Sandbox, arguments: &[&str]) {
    let output = sandbox.ackline(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{arguments:?}: {said}");
    assert!(output.status.success(), "{arguments:?}: {said}");
}

async fn a_switchover_there_and_back_loses_nothing(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let load = Load::of(sandbox.app(), CLIENTS);
    load.goes_on(50).await;
    moved(&sandbox, &["switchover", "--to", "replica1"]);
    load.goes_on(50).await;
    sandbox.all_vote().await;
    moved(&sandbox, &["switchover", "--to", "source"]);
    load.goes_on(50).await;
    let acknowledged = load.end().await;
    assert_there(&sandbox, &acknowledged).await;
    sandbox.assert_equal().await;
    let status = sandbox.status().await;
    assert_eq!(status.text("source.name"), "source", "{status}");
    assert_eq!(status.number("epoch"), 3, "{status}");
}

async fn a_failover_from_a_dead_source_loses_nothing(flavor: Flavor) {
    let sandbox = Sandbox::of(flavor).await;
    sandbox.create_seen().await;
    let load = Load::of(sandbox.app(), CLIENTS);
    load.goes_on(50).await;
    sandbox.kill(Part::Source);
    moved(&sandbox, &["failover"]);
    load.goes_on(50).await;
    let acknowledged = load.end().await;
    assert_there(&sandbox, &acknowledged).await;
    let status = sandbox.status().await;
    assert_ne!(status.text("source.name"), "source", "{status}");
    assert_eq!(status.number("epoch"), 2, "{status}");
}
