//! Makes a server pull from the proxy. Done once; from then on it starts again by itself.

use super::plan::Plan;
use super::server::Server;
use super::{Error, Report};
use crate::ids::Flavor;

/// The same four things in each flavor's words.
struct Words {
    status: &'static str,
    threads: [&'static str; 2],
    change: String,
    start: &'static str,
}

impl Words {
    fn of(plan: &Plan) -> Self {
        let port = plan.ports.replication();
        let user = &plan.replication.user;
        let password = &plan.replication.password;
        match plan.flavor {
            Flavor::MariaDb => Self {
                status: "SHOW SLAVE STATUS",
                threads: ["Slave_IO_Running", "Slave_SQL_Running"],
                change: format!(
                    "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, \
                     MASTER_USER='{user}', MASTER_PASSWORD='{password}', \
                     MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=2"
                ),
                start: "START SLAVE",
            },
            Flavor::MySql => Self {
                status: "SHOW REPLICA STATUS",
                threads: ["Replica_IO_Running", "Replica_SQL_Running"],
                // The default of 9.7 insists on TLS. Without it the public key is how
                // caching_sha2_password gets a password across; 0 retries are retries without end.
                change: format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, \
                     SOURCE_USER='{user}', SOURCE_PASSWORD='{password}', \
                     SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=0, \
                     SOURCE_HEARTBEAT_PERIOD=2, SOURCE_SSL=0, GET_SOURCE_PUBLIC_KEY=1"
                ),
                start: "START REPLICA",
            },
        }
    }
}

pub(super) async fn attach(replica: &Server, plan: &Plan, report: Report<'_>) -> Result<(), Error> {
    let words = Words::of(plan);
    let mut admin = replica.connect(plan).await?;
    let rows = admin
        .query(words.status)
        .await
        .map_err(|error| replica.sql(error))?;
    let runs = |thread: &&str| {
        let row = rows.first();
        // "Connecting" and "Preparing" are on their way.
        row.is_some_and(|row| row.text(thread).is_some_and(|state| state != "No"))
    };
    let mut statements = Vec::new();
    if rows.is_empty() {
        let port = plan.ports.replication();
        report(&format!("{} pulls from 127.0.0.1:{port}", replica.name));
        statements.push(words.change.as_str());
    }
    if !words.threads.iter().all(runs) {
        statements.push(words.start);
    }
    for statement in statements {
        admin
            .execute(statement)
            .await
            .map_err(|error| replica.sql(error))?;
    }
    admin.close().await;
    Ok(())
}
