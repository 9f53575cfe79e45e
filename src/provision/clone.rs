//! A whole server by MySQL's own means, `CLONE INSTANCE`: the target fetches the donor's files itself.
//!
//! The server looks at versions, plugins and settings of both before it drops anything. When it has all files it starts
//! anew on them; where nothing supervises it, it only ends, and somebody has to start it. It keeps its uuid and its
//! configuration file. Everything else is the donor's, accounts and the channel by which the donor follows too, and that
//! channel starts by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::life::Life;
use super::object::Catalog;
use super::order::{Copied, Order, Server, locked};
use super::progress::Progress;
use super::target;
use crate::gtid::{self, GtidSet, Position};
use crate::ids::{Flavor, ServerName};
use crate::net;
use crate::net::admin::{Account, Admin, literal};
use crate::net::connect::split_address;
use crate::net::tls::Mode;
use crate::topology::doctor::grants::{self, Grants};

/// ER_RESTART_SERVER_FAILED: nothing supervises it, so it has only ended.
const NOT_SUPERVISED: u16 = 3707;
/// ER_SERVER_SHUTDOWN: it ends, to start anew.
const ENDS: u16 = 1053;
/// The statement takes as long as the files take.
const FILES: Duration = Duration::from_secs(7 * 86_400);
const ASK: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);
/// After the statement.
const ENDS_WITHIN: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error("only MySQL has CLONE INSTANCE: without --clone")]
    Flavor,
    #[error("CLONE INSTANCE brings all accounts along: without --without-accounts")]
    Accounts,
    #[error(
        "the plugin clone is not active at {0}: INSTALL PLUGIN clone SONAME 'mysql_clone.so' there, or without --clone"
    )]
    Plugin(ServerName),
    #[error(
        "our account at {0} may not be cloned from: an administrator has to run {1}; at the source, from where it comes to all"
    )]
    DonorDenied(ServerName, String),
    #[error("our account at {0} may not clone: an administrator has to run there {1}")]
    TargetDenied(ServerName, String),
    #[error(
        "CLONE INSTANCE leaves tables empty that are not InnoDB's ({0}): without --clone they are copied"
    )]
    Engine(String),
    #[error(
        "{0} has events that run there, and CLONE INSTANCE brings them along as they are: another donor (--from), or without --clone"
    )]
    Events(ServerName),
    #[error(
        "{target} gets the accounts of {donor}, where our account of {target} cannot log in: {why}"
    )]
    LocksOut {
        target: ServerName,
        donor: ServerName,
        why: net::Error,
    },
    #[error("CLONE INSTANCE: {0}; give the command again, or without --clone")]
    Failed(String),
    #[error("another server answers at its address now ({0})")]
    Another(String),
}

/// What the server would refuse only after it was taken, and what it would not mind.
pub(super) async fn look(
    order: &Order,
    donor: &mut Admin,
    target: &mut Admin,
    catalog: &Catalog,
) -> Result<(), Error> {
    if donor.flavor() != Flavor::MySql || target.flavor() != Flavor::MySql {
        return Err(Error::Flavor);
    }
    if !order.accounts {
        return Err(Error::Accounts);
    }
    has_plugin(&order.donor, donor).await?;
    if let Some(grant) = lacking(donor, grants::CLONE_DONOR).await? {
        return Err(Error::DonorDenied(order.donor.name.clone(), grant));
    }
    has_plugin(&order.target, target).await?;
    if let Some(grant) = lacking(target, grants::CLONE_TARGET).await? {
        let grant = target::unlogged(Flavor::MySql, &grant);
        return Err(Error::TargetDenied(order.target.name.clone(), grant));
    }
    let locked = locked(catalog);
    if !locked.is_empty() {
        let names: Vec<String> = locked.iter().map(|table| table.name.to_string()).collect();
        return Err(Error::Engine(names.join(", ")));
    }
    let running = "SELECT COUNT(*) FROM information_schema.EVENTS WHERE STATUS = 'ENABLED'";
    if donor.value(running).await?.as_deref() != Some("0") {
        return Err(Error::Events(order.donor.name.clone()));
    }
    lets_in(order).await
}

async fn has_plugin(server: &Server, admin: &mut Admin) -> Result<(), Error> {
    let question =
        "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'";
    match admin.value(question).await?.as_deref() {
        Some("ACTIVE") => Ok(()),
        _ => Err(Error::Plugin(server.name.clone())),
    }
}

/// What has to be run so that our account may do this there; None where it may.
async fn lacking(admin: &mut Admin, needed: &[(&str, &str)]) -> Result<Option<String>, net::Error> {
    let lines = admin.query("SHOW GRANTS").await?;
    let has = Grants::parse(lines.iter().filter_map(|row| row.at(0)));
    let lacks = has.lacks(needed);
    if lacks.is_empty() {
        return Ok(None);
    }
    let account = admin.value("SELECT CURRENT_USER()").await?;
    Ok(Some(grants::statement(
        &lacks,
        &account.unwrap_or_default(),
    )))
}

/// Else nobody of us gets into the target again.
async fn lets_in(order: &Order) -> Result<(), Error> {
    let (ours, theirs) = (&order.target.account, &order.donor.account);
    let afterwards = Account {
        user: ours.user.clone(),
        password: ours.password.clone(),
        ..theirs.clone()
    };
    match Admin::connect(&afterwards, ASK).await {
        Ok(_) => Ok(()),
        Err(why) => Err(Error::LocksOut {
            target: order.target.name.clone(),
            donor: order.donor.name.clone(),
            why,
        }),
    }
}

/// How the server is told to. It holds a password.
fn statement(donor: &Account) -> String {
    let (host, port) = split_address(&donor.address, 3306);
    let tls = match donor.tls.mode() {
        Mode::Required => " REQUIRE SSL",
        Mode::Off | Mode::Preferred => "",
    };
    format!(
        "CLONE INSTANCE FROM {}@{}:{port} IDENTIFIED BY {}{tls}",
        literal(&donor.user),
        literal(&host),
        literal(&donor.password),
    )
}

/// To a server that was [taken](Order::take). It follows nobody in the end.
pub async fn clone(
    order: &Order,
    mut admin: Admin,
    progress: &Arc<Progress>,
) -> Result<Copied, Error> {
    let before = Before {
        uuid: uuid(&mut admin).await?,
        life: Life::of(&mut admin).await?,
        donor: executed(&mut Admin::connect(&order.donor.account, ASK).await?).await?,
    };
    let (host, port) = split_address(&order.donor.account.address, 3306);
    let mut settings = vec![
        format!(
            "clone_valid_donor_list={}",
            literal(&format!("{host}:{port}"))
        ),
        format!("clone_max_concurrency={}", order.streams),
    ];
    if let Some(rate) = order.rate {
        // In MiB a second; 0 is no limit.
        settings.push(format!("clone_max_data_bandwidth={}", (rate >> 20).max(1)));
    }
    for setting in settings {
        admin.execute(&format!("SET GLOBAL {setting}")).await?;
    }
    progress.enters(format!("clones {}", order.donor.name));
    let statement = statement(&order.donor.account);
    let cloned = tokio::select! {
        cloned = admin.execute_within(&statement, FILES) => cloned,
        never = watch(&order.target.account, progress) => match never {},
    };
    drop(admin);
    let supervised = match &cloned {
        Err(error) => match error.server_code() {
            Some(NOT_SUPERVISED) => false,
            Some(code) if code != ENDS => return Err(Error::Failed(error.to_string())),
            // It ends, or it is not to be reached: it says so itself as soon as it answers.
            _ => true,
        },
        Ok(()) => true,
    };
    progress.enters(match supervised {
        true => "starts anew on the donor's files".to_owned(),
        false => format!(
            "has all files, and has ended: nothing supervises {} (error {NOT_SUPERVISED}), start it",
            order.target.name
        ),
    });
    let (mut admin, executed) = started(&order.target, &before, progress).await?;
    // The donor's channel: it leads to us, but not by what the configuration says now.
    admin.execute("STOP REPLICA").await?;
    admin.execute("RESET REPLICA ALL").await?;
    Ok(Copied {
        position: Position::MySql(executed),
        warnings: Vec::new(),
    })
}

async fn executed(admin: &mut Admin) -> Result<GtidSet, Error> {
    let executed = admin.value("SELECT @@global.gtid_executed").await?;
    let executed = executed.unwrap_or_default().parse();
    executed.map_err(|error: gtid::ParseError| Error::Failed(error.to_string()))
}

async fn uuid(admin: &mut Admin) -> Result<String, net::Error> {
    let uuid = admin.value("SELECT @@server_uuid").await?;
    Ok(uuid.unwrap_or_default())
}

/// What the server says of how far it is, for as long as it is asked.
async fn watch(target: &Account, progress: &Progress) -> std::convert::Infallible {
    let mut admin = None;
    loop {
        tokio::time::sleep(LOOK).await;
        if admin.is_none() {
            admin = Admin::connect(target, ASK).await.ok();
        }
        let Some(asked) = &mut admin else { continue };
        if show(asked, progress).await.is_err() {
            admin = None;
        }
    }
}

async fn show(admin: &mut Admin, progress: &Progress) -> Result<(), net::Error> {
    let question = "SELECT COALESCE(SUM(ESTIMATE), 0), COALESCE(SUM(DATA), 0) FROM performance_schema.clone_progress";
    let rows = admin.query(question).await?;
    let number = |at| {
        let value = rows.first().and_then(|row| row.at(at));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    progress.expects(number(0));
    progress.bytes.store(number(1), Ordering::Relaxed);
    Ok(())
}

/// What tells the server that is up again on the donor's files from any other.
struct Before {
    /// Of the target.
    uuid: String,
    /// Of the target.
    life: Life,
    /// What the donor had executed. The target then had nothing.
    donor: GtidSet,
}

/// As soon as it is up again on the donor's files, with what it has executed.
async fn started(
    target: &Server,
    before: &Before,
    progress: &Progress,
) -> Result<(Admin, GtidSet), Error> {
    let begun = Instant::now();
    loop {
        match see(&target.account, before).await {
            Ok(Some(seen)) => {
                progress.waits(None);
                return Ok(seen);
            }
            Ok(None) if begun.elapsed() > ENDS_WITHIN => {
                return Err(Error::Failed(
                    "our connection broke off, and the server has not ended: it may clone still, and follows by itself when it has (ackline status)".into(),
                ));
            }
            Ok(None) => {}
            Err(Error::Net(why)) => progress.waits(Some(why.to_string())),
            Err(other) => return Err(other),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// None while it has not ended.
async fn see(target: &Account, before: &Before) -> Result<Option<(Admin, GtidSet)>, Error> {
    let mut admin = Admin::connect(target, ASK).await?;
    let uuid = uuid(&mut admin).await?;
    if uuid != before.uuid {
        return Err(Error::Another(uuid));
    }
    // Its performance schema, which would say more, may be off.
    let executed = executed(&mut admin).await?;
    let has_all = before.donor.difference(&executed).is_empty();
    let is_same = Life::of(&mut admin).await?.is_same(&before.life);
    if has_all && !(is_same && before.donor.is_empty()) {
        return Ok(Some((admin, executed)));
    }
    if is_same {
        return Ok(None);
    }
    let said = admin
        .value("SELECT CONCAT_WS(', ', STATE, ERROR_NO, ERROR_MESSAGE) FROM performance_schema.clone_status")
        .await?;
    Err(Error::Failed(format!(
        "the server was started before it had all files ({})",
        said.as_deref().unwrap_or("it does not say why")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_the_server_is_told_to() {
        let donor = Account {
            address: "db2:3307".into(),
            user: "ackline".into(),
            password: r"it's\".into(),
            tls: Default::default(),
        };
        assert_eq!(
            statement(&donor),
            r"CLONE INSTANCE FROM 'ackline'@'db2':3307 IDENTIFIED BY 'it''s\\'"
        );
    }
}
