//! What has to hold at the source before its dump is believed and before anybody may write to it.
//!
//! The order is gate 1's: no dump of ours is left → semi-sync source on → dump attached and verified →
//! everything of that moment released → writable. Each attach walks through all of it, because a
//! MariaDB server forgets SET GLOBAL when it restarts.

use std::collections::BTreeSet;
use std::time::Duration;

use super::console::{Counters, read_counters};
use crate::gtid::mariadb::BinlogState;
use crate::gtid::{Gtid, GtidSet};
use crate::ids::ServerId;
use crate::net;
use crate::net::admin::Admin;

/// The largest value that the servers take; a source that nobody acknowledges waits for ever.
const ENDLESS: &str = "18446744073709551615";
const OLD_DUMP_LEAVES: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the source cannot be asked: {0}")]
    Admin(#[from] net::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why nobody is served from this source. Stays until an operator has repaired it; every attach asks
/// again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the source lacks transactions that our binlog has (restored from an older copy, emptied or RESET MASTER?): {missing}"
    )]
    Behind { missing: GtidSet },
    #[error("the source and our binlog have different transactions under the same GTID {gtid}")]
    Different { gtid: Gtid },
    #[error("the source cannot send what follows our binlog's end: {0}")]
    Cannot(String),
    #[error(
        "the source has server_id {0}, which is [replication] server_id: give one of them another"
    )]
    OwnServerId(ServerId),
    #[error("the source's binary log is off: set log_bin in its configuration and restart it")]
    NoBinlog,
    #[error(
        "{count} other semi-sync replica(s) are attached to the source and could acknowledge in our place: run SET GLOBAL rpl_semi_sync_slave_enabled=0 and restart the IO thread there"
    )]
    OtherSemiSync { count: u64 },
    #[error("the account may not do what the source needs: {0}")]
    Denied(String),
}

/// What the source said of itself at this attach.
#[derive(Clone, Debug)]
pub struct Source {
    pub server_id: ServerId,
    pub version: String,
    pub domain: u32,
    pub state: BinlogState,
    pub read_only: bool,
}

pub async fn read(admin: &mut Admin) -> Result<Source, Error> {
    let rows = admin
        .query(
            "SELECT @@global.server_id AS server_id, VERSION() AS version, @@global.gtid_domain_id AS domain, \
             @@global.log_bin AS log_bin, @@global.gtid_binlog_state AS state, @@global.read_only AS read_only",
        )
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| unexpected("no row of variables".to_owned()))?;
    let text = |column: &str| row.text(column).unwrap_or_default();
    if text("log_bin") != "1" {
        return Err(Refusal::NoBinlog.into());
    }
    let number = |column: &str| {
        text(column)
            .parse::<u32>()
            .map_err(|_| unexpected(format!("{column} is '{}'", text(column))))
    };
    Ok(Source {
        server_id: ServerId(number("server_id")?),
        version: text("version").to_owned(),
        domain: number("domain")?,
        state: text("state")
            .parse()
            .map_err(|_| unexpected(format!("gtid_binlog_state is '{}'", text("state"))))?,
        read_only: text("read_only") != "0",
    })
}

/// The first half of promise 5, before any event is asked for: by its own word, the source has
/// every transaction of ours. The second half is the dump's first transaction.
pub fn contains(executed: &GtidSet, source: &BinlogState) -> Result<(), Refusal> {
    let missing = executed.difference(&source.claimed());
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Behind { missing })
    }
}

/// Ends dumps of ours that a dead connection left behind: MariaDB blocks every new connection while
/// the same server id attaches beside its own old semi-sync socket.
///
/// `[[server]] user` is Ackline's own account, so a dump under it is ours.
pub async fn end_old_dumps(admin: &mut Admin) -> Result<(), Error> {
    let deadline = tokio::time::Instant::now() + OLD_DUMP_LEAVES;
    let mut killed = BTreeSet::new();
    loop {
        let rows = admin
            .query(
                "SELECT ID AS id FROM information_schema.PROCESSLIST \
                 WHERE COMMAND LIKE 'Binlog Dump%' AND USER = SUBSTRING_INDEX(USER(), '@', 1)",
            )
            .await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let id = row.text("id").unwrap_or_default().to_owned();
            if killed.insert(id.clone()) {
                tracing::info!(thread = %id, "ending an old dump of ours at the source");
                // It may have left by itself meanwhile (ERR 1094).
                let _ = admin.execute(&format!("KILL {id}")).await;
            }
        }
        if tokio::time::Instant::now() > deadline {
            return Err(unexpected(
                "an old dump of ours at the source does not end after KILL".to_owned(),
            )
            .into());
        }
        tokio::time::sleep(POLL).await;
    }
    // The semi-sync counter follows a moment later.
    loop {
        let count = read_counters(admin).await?.clients;
        if count == 0 {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Refusal::OtherSemiSync { count }.into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Raises gate 1. From here until our dump is attached every commit at the source waits.
pub async fn raise_gate(admin: &mut Admin) -> Result<(), Error> {
    for setting in [
        "rpl_semi_sync_master_wait_point=AFTER_SYNC",
        &format!("rpl_semi_sync_master_timeout={ENDLESS}"),
        "rpl_semi_sync_master_wait_no_slave=ON",
        "rpl_semi_sync_master_enabled=ON",
    ] {
        set_global(admin, setting).await?;
    }
    Ok(())
}

/// The last step: the source takes writes.
pub async fn open_for_writing(admin: &mut Admin) -> Result<(), Error> {
    set_global(admin, "read_only=OFF").await
}

async fn set_global(admin: &mut Admin, setting: &str) -> Result<(), Error> {
    match admin.execute(&format!("SET GLOBAL {setting}")).await {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.server_code(), Some(1227 | 1044 | 1142)) => {
            Err(Refusal::Denied(format!("SET GLOBAL {setting}: {error}")).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Right after the attach: ours is the only semi-sync replica, and its counters are the base line by
/// which later escapes are seen.
pub async fn baseline(admin: &mut Admin) -> Result<Counters, Error> {
    let counters = read_counters(admin).await?;
    if counters.clients > 1 {
        return Err(Refusal::OtherSemiSync {
            count: counters.clients - 1,
        }
        .into());
    }
    Ok(counters)
}

fn unexpected(what: String) -> net::Error {
    net::Error::Io(std::io::Error::other(what))
}
