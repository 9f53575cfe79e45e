//! What has to hold at the source before its dump is believed and before anybody may write to it.
//!
//! The order is gate 1's: no dump of ours is left → semi-sync source on → dump attached and verified →
//! everything of that moment released → writable. Each attach walks through all of it, because a
//! MariaDB server forgets SET GLOBAL when it restarts.

use std::collections::BTreeSet;
use std::time::Duration;

use super::console::{Counters, read_counters};
use super::walk;
use crate::gtid::{Gtid, GtidSet, State};
use crate::ids::{Flavor, ServerId, SourcePosition};
use crate::net::admin::{Account, Admin, Row};
use crate::net::{self, binlog_filters};
use crate::protocol::semi_sync::Names;
use crate::store::state::{FollowedSource, Point};

/// The largest value that the servers take; a source that nobody acknowledges waits for ever.
const ENDLESS: &str = "18446744073709551615";
/// ER_UNKNOWN_SYSTEM_VARIABLE: on MySQL semi-sync is a plugin.
const UNKNOWN_VARIABLE: u16 = 1193;
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
    #[error("the source is a {theirs} server and our binlog is one of {ours}")]
    OtherFlavor { theirs: Flavor, ours: Flavor },
    #[error(
        "the source writes transactions without GTIDs (gtid_mode is {0}): set gtid_mode=ON and enforce_gtid_consistency=ON there"
    )]
    NoGtids(String),
    #[error(
        "the source has no semi-sync: run INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so' there"
    )]
    NoSemiSync,
    #[error(
        "{count} other semi-sync replica(s) are attached to the source and could acknowledge in our place: switch rpl_semi_sync_slave_enabled (MySQL: rpl_semi_sync_replica_enabled) off and restart the IO thread there"
    )]
    OtherSemiSync { count: u64 },
    #[error(
        "its replicas ({0}) follow it natively, and nobody would acknowledge its commits: run ackline adopt, which takes them in one after the other; or ackline mode async"
    )]
    NativeReplicas(String),
    #[error("the account may not do what the source needs: {0}")]
    Denied(String),
    #[error(
        "it replicates from {0}: a source must follow nobody; give the right address, or, if this is to be the source, run STOP SLAVE and RESET SLAVE ALL (MySQL: STOP REPLICA and RESET REPLICA ALL) there"
    )]
    Replicates(String),
    #[error(
        "it leaves changes out of its binlog ({0}): nobody else would ever have them; take that out of its configuration file and restart it"
    )]
    Filters(String),
    #[error(
        "its gtid_strict_mode is off, so that it may use a GTID twice: run SET GLOBAL gtid_strict_mode=ON there"
    )]
    NotStrict,
    #[error(
        "it wrote {gtid}, and our binlog has {last} of that domain: its numbers do not grow (RESET MASTER?), and a GTID would stand for two transactions"
    )]
    DoesNotGrow { gtid: Gtid, last: Gtid },
    #[error(
        "another server answers at its address ({found}; our binlog was captured from {kept}): give the right address, or move the source with switchover or failover"
    )]
    OtherMachine { kept: String, found: String },
    #[error(
        "{gtid} does not stand in its binlog where we captured it ({place}), though its ids are the same: something different stands there, or nothing, so it is a copy of the source, or was restored or reset. Give the right address, or move the source with switchover or failover; or, if you know that it is the source, run ackline source accept with its name"
    )]
    Copy { gtid: Gtid, place: SourcePosition },
}

/// What the source said of itself at this attach.
#[derive(Clone, Debug)]
pub struct Source {
    pub flavor: Flavor,
    pub server_id: ServerId,
    pub version: String,
    /// `gtid_domain_id`; MySQL has none.
    pub domain: u32,
    /// `server_uuid`; MariaDB has none.
    pub uuid: Option<String>,
    /// MariaDB's `gtid_strict_mode`.
    pub strict: bool,
    /// What its binlog holds by its own word, acknowledged or not.
    pub state: State,
    /// Where an empty store of ours begins.
    pub base: State,
}

pub async fn read(admin: &mut Admin) -> Result<Source, Error> {
    let flavor = admin.flavor();
    let of_flavor = match flavor {
        Flavor::MariaDb => {
            "@@global.gtid_domain_id AS domain, @@global.gtid_strict_mode AS strict_mode, \
             @@global.gtid_binlog_state AS state"
        }
        // Owned before executed: what moves from one to the other meanwhile is in both.
        Flavor::MySql => {
            "@@global.server_uuid AS uuid, @@global.gtid_mode AS gtid_mode, \
             @@global.gtid_owned AS owned, @@global.gtid_executed AS state"
        }
    };
    let rows = admin
        .query(&format!(
            "SELECT @@global.server_id AS server_id, @@global.log_bin AS log_bin, {of_flavor}"
        ))
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| unexpected("no row of variables".to_owned()))?;
    if text(row, "log_bin") != "1" {
        return Err(Refusal::NoBinlog.into());
    }
    let base = State::parse(flavor, text(row, "state"))
        .map_err(|_| unexpected(format!("its binlog's state is '{}'", text(row, "state"))))?;
    let mut state = base.clone();
    let (mut domain, mut strict) = (0, true);
    match flavor {
        Flavor::MariaDb => {
            domain = number(row, "domain")?;
            strict = text(row, "strict_mode") == "1";
        }
        Flavor::MySql => {
            let mode = text(row, "gtid_mode");
            if !mode.eq_ignore_ascii_case("ON") {
                return Err(Refusal::NoGtids(mode.to_owned()).into());
            }
            // Commits that wait for an ack are in its binlog and not in gtid_executed.
            let owned = GtidSet::of_owned(text(row, "owned"))
                .map_err(|_| unexpected(format!("gtid_owned is '{}'", text(row, "owned"))))?;
            for gtid in owned.iter() {
                state.update(&gtid);
            }
        }
    }
    Ok(Source {
        flavor,
        server_id: ServerId(number(row, "server_id")?),
        version: admin.version().to_owned(),
        domain,
        uuid: row.text("uuid").map(str::to_owned),
        strict,
        state,
        base,
    })
}

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.text(column).unwrap_or_default()
}

fn number(row: &Row, column: &str) -> Result<u32, net::Error> {
    let found = text(row, column);
    found
        .parse()
        .map_err(|_| unexpected(format!("{column} is '{found}'")))
}

/// A store holds transactions of one flavor.
pub fn same_flavor(ours: &State, source: &Source) -> Result<(), Refusal> {
    if ours.is_empty() || ours.flavor() == source.flavor {
        return Ok(());
    }
    Err(Refusal::OtherFlavor {
        theirs: source.flavor,
        ours: ours.flavor(),
    })
}

/// What a source does not log, no acknowledgement is worth anything for.
pub async fn logs_all(admin: &mut Admin) -> Result<(), Error> {
    match binlog_filters::read(admin).await? {
        Some(filters) if !filters.is_empty() => Err(Refusal::Filters(filters.join(", ")).into()),
        _ => Ok(()),
    }
}

/// A server whose replication threads run is a replica of somebody: what it writes and what it applies would
/// meet there, and another server is most likely the source.
pub async fn follows_nobody(admin: &mut Admin) -> Result<(), Error> {
    let statement = match admin.flavor() {
        Flavor::MariaDb => "SHOW ALL SLAVES STATUS",
        Flavor::MySql => "SHOW REPLICA STATUS",
    };
    let rows = match admin.query(statement).await {
        Err(error) if error.is_denied() => {
            return Err(Refusal::Denied(format!("{statement}: {error}")).into());
        }
        asked => asked?,
    };
    for row in &rows {
        let either = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| row.text(name));
            found.unwrap_or_default()
        };
        let threads = [
            either(["Slave_IO_Running", "Replica_IO_Running"]),
            either(["Slave_SQL_Running", "Replica_SQL_Running"]),
        ];
        if threads.iter().any(|state| *state != "No") {
            let host = either(["Master_Host", "Source_Host"]);
            let port = either(["Master_Port", "Source_Port"]);
            return Err(Refusal::Replicates(format!("{host}:{port}")).into());
        }
    }
    Ok(())
}

/// Whether a transaction stands in the source's binlog where we captured it, byte for byte.
pub async fn stands(account: &Account, source: &Source, anchor: &Point) -> Result<bool, Error> {
    let stands = walk::stands(account, source.flavor, anchor).await;
    Ok(stands.map_err(|error| unexpected(error.to_string()))?)
}

/// Whether this is the server that our binlog was captured from, whatever answers at its address: by the
/// bytes of what we captured there last; its ids decide only where none are kept.
pub fn is_whom_we_followed(
    source: &Source,
    kept: &FollowedSource,
    anchor_stands: bool,
) -> Result<(), Refusal> {
    if anchor_stands {
        return Ok(());
    }
    let same_ids = match (&kept.uuid, &source.uuid) {
        // With another server_id it is the same machine under a new registration.
        (Some(kept), Some(found)) => kept.eq_ignore_ascii_case(found),
        _ => kept.server_id == source.server_id,
    };
    match &kept.anchor {
        None if same_ids => Ok(()),
        Some(anchor) if same_ids => Err(Refusal::Copy {
            gtid: anchor.gtid.clone(),
            place: anchor.place.clone(),
        }),
        _ => {
            let words = |id: ServerId, uuid: &Option<String>| match uuid {
                Some(uuid) => format!("server_id {id}, uuid {uuid}"),
                None => format!("server_id {id}"),
            };
            Err(Refusal::OtherMachine {
                kept: words(kept.server_id, &kept.uuid),
                found: words(source.server_id, &source.uuid),
            })
        }
    }
}

/// The first half of promise 5, before any event is asked for: by its own word, the source has
/// every transaction of ours. The second half is the dump's first transaction.
pub fn contains(executed: &GtidSet, source: &State) -> Result<(), Refusal> {
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
    let user = admin.user().await?;
    loop {
        let mut rows = admin.processes().await?;
        rows.retain(|row| row.is_dump() && row.text("User") == Some(user.as_str()));
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
    let names = Names::of(admin.flavor());
    let mut settings = vec![
        format!("{}=AFTER_SYNC", names.wait_point),
        format!("{}={ENDLESS}", names.timeout),
        format!("{}=ON", names.wait_no_replica),
    ];
    if admin.flavor() == Flavor::MySql {
        // Ours is the one ack that counts.
        settings.push("rpl_semi_sync_source_wait_for_replica_count=1".to_owned());
    }
    settings.push(format!("{}=ON", names.enabled));
    for setting in settings {
        match set_global(admin, &setting).await {
            Err(Error::Admin(error)) if error.server_code() == Some(UNKNOWN_VARIABLE) => {
                return Err(Refusal::NoSemiSync.into());
            }
            set => set?,
        }
    }
    Ok(())
}

/// How the source logs: every session that begins later begins with these values, and at this moment
/// those of applications are held. Where the account may not, somebody else has to; the source is as it
/// is and served as it is.
pub async fn set_logging(admin: &mut Admin, format: &str) -> Result<(), Error> {
    let statements = match admin.flavor() {
        Flavor::MariaDb => "binlog_annotate_row_events",
        Flavor::MySql => "binlog_rows_query_log_events",
    };
    // Two questions and not one: MySQL calls binlog_format deprecated.
    for (variable, wanted, stored) in [("binlog_format", format, format), (statements, "ON", "1")] {
        let question = format!("SELECT @@global.{variable}");
        let found = match admin.value(&question).await {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => {
                refused(variable, wanted, error)?;
                continue;
            }
        };
        if found.eq_ignore_ascii_case(stored) {
            continue;
        }
        let set = format!("SET GLOBAL {variable}={wanted}");
        match admin.execute(&set).await {
            Ok(()) => tracing::info!(%found, "ran {set} at the source"),
            Err(error) => refused(variable, wanted, error)?,
        }
    }
    Ok(())
}

/// What the source says no to is no reason not to serve it.
fn refused(variable: &str, wanted: &str, error: net::Error) -> Result<(), Error> {
    if error.server_code().is_none() {
        return Err(error.into());
    }
    tracing::warn!(%error, "the source does not let us SET GLOBAL {variable}={wanted}; see ackline doctor");
    Ok(())
}

/// The last step: the source takes writes. On MySQL it takes super_read_only along.
pub async fn open_for_writing(admin: &mut Admin) -> Result<(), Error> {
    set_global(admin, "read_only=OFF").await
}

async fn set_global(admin: &mut Admin, setting: &str) -> Result<(), Error> {
    match admin.execute(&format!("SET GLOBAL {setting}")).await {
        Ok(()) => Ok(()),
        Err(error) if error.is_denied() => {
            Err(Refusal::Denied(format!("SET GLOBAL {setting}: {error}")).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Right after the attach: ours is the only semi-sync replica, and its counters are the base line by
/// which later escapes are seen. None while the source does not count us yet.
pub fn baseline(counters: Counters) -> Result<Option<Counters>, Refusal> {
    match counters.clients {
        0 => Ok(None),
        1 => Ok(Some(counters)),
        more => Err(Refusal::OtherSemiSync { count: more - 1 }),
    }
}

fn unexpected(what: String) -> net::Error {
    net::Error::Io(std::io::Error::other(what))
}
