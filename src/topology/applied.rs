//! How far a pull replica has applied: one standing question a replica, and only while the policy
//! looks at it.

use std::time::Duration;

use tokio::sync::watch;

use crate::gtid::mariadb::Position;
use crate::net;
use crate::net::admin::{Account, Admin};

/// The question stands at most this long, so that a vanished server is noticed.
const STANDING: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(500);

/// Asks for ever; `wanted` is the end of our binlog, `tell` hears what the replica has applied.
pub async fn follow(
    account: &Account,
    mut needed: watch::Receiver<bool>,
    mut wanted: watch::Receiver<Position>,
    tell: impl Fn(Position),
) {
    let mut admin = None;
    let mut known = Position::default();
    loop {
        // The senders live as long as the process.
        if needed.wait_for(|needed| *needed).await.is_err() {
            return;
        }
        let target = wanted.borrow_and_update().clone();
        if known.covers(&target) {
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                changed = needed.changed() => if changed.is_err() { return },
            }
            continue;
        }
        match ask(&mut admin, account, &target).await {
            Ok(applied) => {
                known = applied.clone();
                tell(applied);
            }
            Err(error) => {
                tracing::debug!(%error, "a replica cannot be asked what it has applied");
                admin = None;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn ask(
    admin: &mut Option<Admin>,
    account: &Account,
    target: &Position,
) -> Result<Position, net::Error> {
    let admin = match admin {
        Some(admin) => admin,
        none => none.insert(Admin::connect(account, TIMEOUT).await?),
    };
    let question = format!(
        "SELECT MASTER_GTID_WAIT('{target}', {})",
        STANDING.as_secs_f64()
    );
    admin.query_within(&question, STANDING + TIMEOUT).await?;
    // After the wait, not in the same statement: its parts are not evaluated in a promised order.
    let position = admin
        .value("SELECT @@global.gtid_slave_pos")
        .await?
        .unwrap_or_default();
    position.parse().map_err(|_| {
        net::Error::Io(std::io::Error::other(format!(
            "gtid_slave_pos is '{position}'"
        )))
    })
}
