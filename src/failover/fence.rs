//! A server that was the source takes no writes any more.
//!
//! While a commit waits there for an acknowledgement, `read_only` is pending, and new writes hang: that is the fence, and it
//! must stay pending for as long as it takes. Only [`quiet`] lets such commits go.

use std::time::Duration;

use crate::ids::Machine;
use crate::net;
use crate::net::admin::{Account, Admin};
use crate::protocol::semi_sync::Names;
use crate::topology::Report;

use super::servers::{self, Error};

const ASK: Duration = Duration::from_secs(2);
/// For `read_only`, after those that it waited for were let go.
const QUIET: Duration = Duration::from_secs(10);
/// Of a pending `read_only`: the servers' own limit of their lock timeouts is a year.
const PENDING: Duration = Duration::from_secs(31_536_000);
/// Until the fence is pending before anybody is let go.
const PENDS: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quieted {
    /// Connections of clients that were cut.
    pub cut: u64,
}

/// Makes a server read-only that was the source, however long that takes; nothing is done to another one. Whether it is
/// that server and read-only now.
pub async fn raise(account: &Account, machine: &Machine) -> Result<bool, Error> {
    let mut admin = Admin::connect(account, ASK).await?;
    let report = Report::ask(&mut admin, true).await?;
    let found = report.machine(&account.address);
    if (found.server_id, &found.uuid) != (machine.server_id, &machine.uuid) {
        return Ok(false);
    }
    if !report.read_only {
        let seconds = PENDING.as_secs();
        admin
            .execute(&format!("SET SESSION lock_wait_timeout={seconds}"))
            .await?;
        let statement = servers::read_only(admin.flavor());
        admin.query_within(statement, PENDING).await?;
        tracing::warn!(address = account.address, "the old source is read-only");
    }
    Ok(true)
}

/// No client is connected there, nobody waits for an acknowledgement, and it is read-only. A commit that is let go is not
/// told to its client: that one is cut first. `waits`: there are such commits.
pub async fn quiet(account: &Account, waits: bool) -> Result<Quieted, Error> {
    let mut quieted = Quieted::default();
    let mut fence = Admin::connect(account, QUIET).await?;
    let mut admin = Admin::connect(account, QUIET).await?;
    let keep = [fence.id(), admin.id()];
    servers::set_events(&mut admin, false).await?;
    let raised = servers::make_read_only(&mut fence, QUIET);
    let released = async {
        if waits {
            // Whoever writes from now on hangs.
            tokio::time::sleep(PENDS).await;
            quieted.cut = cut_clients(&mut admin, &keep).await?;
            let enabled = Names::of(admin.flavor()).enabled;
            let release = format!("SET GLOBAL {enabled}=OFF");
            admin.execute(&release).await?;
        }
        Ok::<(), Error>(())
    };
    let (raised, released) = tokio::join!(raised, released);
    released?;
    raised?;
    Ok(quieted)
}

/// How many.
async fn cut_clients(admin: &mut Admin, keep: &[Option<u32>]) -> Result<u64, net::Error> {
    let mut cut = 0;
    for (id, _) in servers::clients(admin).await? {
        // MariaDB: a waiting commit of a connection that is cut returns to nobody. MySQL: it goes on waiting.
        if !keep.contains(&Some(id)) && servers::kill(admin, id).await? {
            cut += 1;
        }
    }
    tracing::info!(cut, "connections cut at an old source");
    Ok(cut)
}
