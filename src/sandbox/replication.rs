//! Makes a server pull from the proxy. Done once; from then on it starts again by itself.

use super::plan::Plan;
use super::server::Server;
use super::{Error, Report};

pub(super) async fn attach(replica: &Server, plan: &Plan, report: Report<'_>) -> Result<(), Error> {
    let mut admin = replica.connect(plan).await?;
    let rows = admin
        .query("SHOW SLAVE STATUS")
        .await
        .map_err(|error| replica.sql(error))?;
    let runs = |thread: &str| {
        let row = rows.first();
        // "Connecting" and "Preparing" are on their way.
        row.is_some_and(|row| row.text(thread).is_some_and(|state| state != "No"))
    };
    let mut statements = Vec::new();
    if rows.is_empty() {
        let port = plan.ports.replication();
        let user = &plan.replication.user;
        let password = &plan.replication.password;
        report(&format!("{} pulls from 127.0.0.1:{port}", replica.name));
        statements.push(format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='{user}', \
             MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, \
             MASTER_HEARTBEAT_PERIOD=2"
        ));
    }
    if !(runs("Slave_IO_Running") && runs("Slave_SQL_Running")) {
        statements.push("START SLAVE".to_owned());
    }
    for statement in statements {
        admin
            .execute(&statement)
            .await
            .map_err(|error| replica.sql(error))?;
    }
    admin.close().await;
    Ok(())
}
