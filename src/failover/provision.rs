//! Makes a voting replica of a server that has nothing, or nothing that is wanted: a [copy](crate::provision) of another
//! one, led to us.
//!
//! It is judged before anything is done to it. What only it has is written down first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::proxy::Proxy;
use super::{fence, rejoin, servers};
use crate::gtid::{GtidSet, Position};
use crate::ids::ServerName;
use crate::net::admin::Admin;
use crate::provision::{self, Looked, Method, Order, Others, Progress, Server, Target};

/// Whether a server answers at all.
const ASK: Duration = Duration::from_secs(3);
/// For its replication threads.
const OPEN: Duration = Duration::from_secs(15);
/// Without an order.
pub const STREAMS: usize = 4;
pub const MOST_STREAMS: usize = 32;

/// What may happen to data that the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// It is left alone.
    Keep,
    /// All of it is dropped.
    Replace,
    /// Nobody looks on: it is dropped where it is ours, all of it.
    ReplaceOurs,
}

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Wish {
    pub server: ServerName,
    pub method: Method,
    /// Without it, a replica that votes, else the source.
    pub from: Option<ServerName>,
    pub data: Data,
    pub streams: usize,
    /// Bytes in a second.
    pub rate: Option<u64>,
    pub accounts: bool,
    /// The donor's applier stands still until the copy is complete, so that a later one can go on where this one ends.
    pub holds: bool,
}

/// Why nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0} is no [[server]] of the configuration")]
    Unknown(ServerName),
    #[error("{0} is the source: nothing is dropped there")]
    Source(ServerName),
    #[error("{0} cannot be its own donor")]
    Itself(ServerName),
    #[error(
        "{0} has no vote now, and what it lacks its copy would lack (ackline status): name another donor (--from)"
    )]
    UnfitDonor(ServerName),
    #[error("--streams is 1 to {MOST_STREAMS}")]
    Streams,
    #[error("CLONE INSTANCE cannot be gone on with: --clone or --hold-donor")]
    HoldsAClone,
    #[error(
        "{0} is the source, which cannot be held: name a replica (--from), or without --hold-donor"
    )]
    HoldsTheSource(ServerName),
    #[error(
        "while {0} is held it has no vote, and all commits would wait: name another donor (--from), or without --hold-donor"
    )]
    Needed(ServerName),
    #[error(
        "{name} has data ({schemas}): with --replace all of it is dropped, what only its binlog has is written down before"
    )]
    HasData { name: ServerName, schemas: String },
    #[error("{name} has more than what our binlog stands for: {why}")]
    NotOurs { name: ServerName, why: String },
    #[error(transparent)]
    Look(#[from] provision::Error),
}

/// Why it is not a replica now. The same command begins anew.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("{0} has become the source meanwhile: nothing was dropped")]
    IsTheSource(ServerName),
    #[error(
        "{name}: somebody wrote there while what only it has was written down; keep clients away from it, then give the command again"
    )]
    Busy { name: ServerName },
    #[error(
        "{name} would drop {missing} without a word, which it wrote itself once and the donor had not applied yet: give the command again"
    )]
    DropsOwn { name: ServerName, missing: GtidSet },
    #[error("{name} takes writes, or commits wait there, and cannot be kept from that: {why}")]
    NotQuiet { name: ServerName, why: String },
    #[error(
        "{name}: what only it has could not be written down ({why}), so nothing was dropped: where commits wait there, ackline rejoin {name} lets them go; else empty it by hand (DROP DATABASE), then give the command again"
    )]
    NotExported { name: ServerName, why: String },
    #[error(transparent)]
    Copy(#[from] provision::Error),
    #[error(
        "{why} (where {donor} is held by now, the same command with --hold-donor goes on with what is there, and {start} lets {donor} go)"
    )]
    Held {
        why: provision::Error,
        donor: ServerName,
        start: &'static str,
    },
    #[error("{donor} has transactions that our binlog has not: {beyond}")]
    Beyond { donor: ServerName, beyond: String },
    #[error("{name} holds the copy, and does not follow: {why}")]
    DoesNotFollow { name: ServerName, why: String },
}

/// What would be done, and what is done.
#[derive(Clone)]
pub struct Plan {
    order: Order,
    looked: Looked,
    replaces: bool,
}

/// The plan for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    pub server: String,
    pub from: String,
    /// What is dropped at the server before.
    pub drops: Vec<String>,
    pub tables: usize,
    /// By the donor's estimate.
    pub bytes: u64,
    pub accounts: usize,
    /// By MySQL's CLONE INSTANCE, for which the server starts anew.
    #[serde(default)]
    pub clone: bool,
    /// The donor's applier is held until it is complete.
    #[serde(default)]
    pub hold_donor: bool,
    /// With what an earlier one has left.
    #[serde(default)]
    pub goes_on: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    pub server: String,
    pub from: String,
    /// The GTID position that the copy was taken at.
    pub position: String,
    /// Where is written down what only the server had.
    pub exported: Option<PathBuf>,
    /// What could not be made there.
    pub warnings: Vec<String>,
    pub seconds: u64,
}

impl Provisioned {
    /// One line.
    pub fn sentence(&self) -> String {
        let Self {
            server,
            from,
            position,
            seconds,
            ..
        } = self;
        format!(
            "{server} is a copy of {from} as of {position} and follows ackline, after {seconds} s; it votes as soon as it is judged fit (ackline status)"
        )
    }
}

impl Plan {
    pub fn donor(&self) -> &ServerName {
        &self.order.donor.name
    }

    pub fn shown(&self) -> Planned {
        let catalog = &self.looked.catalog;
        Planned {
            server: self.order.target.name.to_string(),
            from: self.order.donor.name.to_string(),
            drops: self.looked.found.schemas.clone(),
            tables: catalog.tables.len(),
            bytes: catalog.bytes(),
            accounts: catalog.accounts.len(),
            clone: self.order.method == Method::Clone,
            hold_donor: self.order.holds,
            goes_on: self.order.goes_on.is_some(),
        }
    }
}

/// Nothing is changed.
pub async fn plan(proxy: &impl Proxy, wish: &Wish) -> Result<Plan, Refused> {
    let settings = proxy.settings();
    let server = |name: &ServerName| {
        let account = settings.account(name);
        let account = account.map_err(|_| Refused::Unknown(name.clone()))?;
        Ok::<_, Refused>(Server {
            name: name.clone(),
            account: account.clone(),
        })
    };
    let target = server(&wish.server)?;
    let source = server(&proxy.followed().0)?;
    if target.name == source.name {
        return Err(Refused::Source(target.name));
    }
    if !(1..=MOST_STREAMS).contains(&wish.streams) {
        return Err(Refused::Streams);
    }
    let held = match wish.holds {
        true => provision::held(&target).await?,
        false => None,
    };
    let held_donor = held.as_ref().map(|held| ServerName::new(&held.donor));
    let donor = match wish.from.as_ref().or(held_donor.as_ref()) {
        Some(name) => server(name)?,
        None => match proxy.voting().iter().find(|name| **name != target.name) {
            Some(name) => server(name)?,
            None => source.clone(),
        },
    };
    if donor.name == target.name {
        return Err(Refused::Itself(target.name));
    }
    let goes_on = match held {
        Some(held) if held_donor.as_ref() == Some(&donor.name) => {
            let is_there = held.is_at(&provision::stands_at(&donor).await?);
            is_there.then_some(held)
        }
        _ => None,
    };
    // One that is held has no vote.
    if goes_on.is_none() && donor.name != source.name && !proxy.voting().contains(&donor.name) {
        return Err(Refused::UnfitDonor(donor.name));
    }
    if wish.holds {
        may_hold(proxy, wish.method, &source, &target, &donor)?;
    }
    let order = Order {
        method: wish.method,
        run: provision::run_name(),
        donor,
        source: {
            let proxy = proxy.clone();
            Arc::new(move || proxy.followed().0)
        },
        stills: {
            let proxy = proxy.clone();
            Arc::new(move |longest| proxy.still(longest))
        },
        target,
        streams: wish.streams,
        rate: wish.rate,
        accounts: wish.accounts,
        holds: wish.holds,
        goes_on,
    };
    let looked = order.look(&source).await?;
    let has_data = !looked.found.schemas.is_empty() && !looked.found.unfinished;
    match wish.data {
        Data::Keep if has_data => {
            return Err(Refused::HasData {
                name: order.target.name,
                schemas: looked.found.schemas.join(", "),
            });
        }
        Data::ReplaceOurs if has_data => ours_only(proxy, &order.target).await?,
        Data::Keep | Data::Replace | Data::ReplaceOurs => {}
    }
    Ok(Plan {
        order,
        looked,
        replaces: has_data,
    })
}

fn may_hold(
    proxy: &impl Proxy,
    method: Method,
    source: &Server,
    target: &Server,
    donor: &Server,
) -> Result<(), Refused> {
    if method == Method::Clone {
        return Err(Refused::HoldsAClone);
    }
    if donor.name == source.name {
        return Err(Refused::HoldsTheSource(donor.name.clone()));
    }
    match proxy.bears_without(&[&target.name, &donor.name]) {
        true => Ok(()),
        false => Err(Refused::Needed(donor.name.clone())),
    }
}

/// What only the server has is written down: in which file, and which transactions they are. Nothing is changed.
pub async fn write_down(
    proxy: &impl Proxy,
    plan: &Plan,
    progress: &Progress,
) -> Result<Option<(PathBuf, GtidSet)>, Failed> {
    if !plan.replaces {
        return Ok(None);
    }
    progress.enters("writes down what only the server has");
    let Server { name, account } = &plan.order.target;
    let beyond = only_there(proxy, &plan.order.target).await?;
    if beyond.is_empty() {
        return Ok(None);
    }
    let file = proxy.export(name, account, &beyond).await;
    let file = file.map_err(|why| not_exported(name, why))?;
    Ok(Some((file, beyond)))
}

/// The server is ours to fill: it is nobody else, quiet, nothing came to it since `written_down`, and from here on it
/// has neither vote nor candidacy. No move may be under way, which could make it the source.
pub async fn take(
    proxy: &impl Proxy,
    plan: &Plan,
    written_down: Option<&GtidSet>,
    progress: &Progress,
) -> Result<Admin, Failed> {
    progress.enters("takes the server");
    let order = &plan.order;
    let target = &order.target;
    if proxy.followed().0 == target.name {
        return Err(Failed::IsTheSource(target.name.clone()));
    }
    let mut others = others(proxy, order).await?;
    let mut admin = order.apart(&mut others).await?;
    quiet(target).await?;
    if plan.replaces {
        let beyond = only_there(proxy, target).await?;
        if beyond != written_down.cloned().unwrap_or_default() {
            return Err(Failed::Busy {
                name: target.name.clone(),
            });
        }
    }
    order.take(&mut admin).await?;
    Ok(admin)
}

/// Source and donor must answer; of the others those that do.
async fn others(proxy: &impl Proxy, order: &Order) -> Result<Others, Failed> {
    let settings = proxy.settings();
    let source = proxy.followed().0;
    let mut there = Vec::new();
    for server in settings.servers {
        let is_needed = server.name == source || server.name == order.donor.name;
        let answers = async || Admin::connect(&server.account, ASK).await.is_ok();
        if server.name != order.target.name && (is_needed || answers().await) {
            there.push(Server {
                name: server.name,
                account: server.account,
            });
        }
    }
    Ok(Others::connect(&there).await?)
}

/// Until it stands at the read point, however long that takes: nobody else is kept from anything meanwhile.
pub async fn copy(
    proxy: &impl Proxy,
    plan: &Plan,
    taken: Admin,
    progress: &Arc<Progress>,
) -> Result<Provisioned, Failed> {
    let begun = Instant::now();
    let order = &plan.order;
    let copied = provision::copy(order, taken, progress).await;
    let copied = copied.map_err(|why| match order.holds {
        true => Failed::Held {
            why,
            donor: order.donor.name.clone(),
            start: provision::applier(proxy.flavor())[1],
        },
        false => Failed::Copy(why),
    })?;
    let stored = proxy.stored();
    let beyond = beyond(&copied.position, &stored);
    if !beyond.is_empty() {
        return Err(Failed::Beyond {
            donor: order.donor.name.clone(),
            beyond,
        });
    }
    accepts_own(order, &copied.position, &stored).await?;
    Ok(Provisioned {
        server: order.target.name.to_string(),
        from: order.donor.name.to_string(),
        position: copied.position.to_string(),
        exported: None,
        warnings: copied.warnings,
        seconds: begun.elapsed().as_secs(),
    })
}

/// MySQL drops what carries its own server id. MariaDB takes it, with the settings that it is given.
async fn accepts_own(order: &Order, position: &Position, stored: &GtidSet) -> Result<(), Failed> {
    let Position::MySql(has) = position else {
        return Ok(());
    };
    let name = &order.target.name;
    let said = servers::look(&order.target.account, OPEN).await;
    let said = said.map_err(|error| Failed::DoesNotFollow {
        name: name.clone(),
        why: error.to_string(),
    })?;
    let missing = said.own(&stored.difference(has));
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failed::DropsOwn {
            name: name.clone(),
            missing,
        }),
    }
}

/// It follows us. While the source is moved it waits for nobody, so no move may be under way.
pub async fn lead(proxy: &impl Proxy, plan: &Plan) -> Result<(), Failed> {
    let name = &plan.order.target.name;
    let failed = |why: String| Failed::DoesNotFollow {
        name: name.clone(),
        why,
    };
    let settings = proxy.settings();
    // It may have been removed meanwhile.
    let account = settings.account(name).map_err(failed)?;
    let admin = Admin::connect(account, OPEN).await;
    let mut admin = admin.map_err(|error| failed(error.to_string()))?;
    rejoin::lead(proxy, name, &mut admin)
        .await
        .map_err(failed)?;
    // A clone has overwritten our mark.
    if plan.order.method == Method::Copy {
        let unmarked = Target::new(account, &plan.order.run).unmark().await;
        unmarked.map_err(|error| failed(error.to_string()))?;
    }
    proxy.came_home(name).await.map_err(failed)
}

/// No event writes there, nobody waits for an acknowledgement: it may have been the source.
async fn quiet(target: &Server) -> Result<(), Failed> {
    let failed = |error: servers::Error| Failed::NotQuiet {
        name: target.name.clone(),
        why: error.to_string(),
    };
    let said = servers::look(&target.account, OPEN).await.map_err(failed)?;
    let quieted = fence::quiet(&target.account, said.waiting > 0).await;
    quieted.map(drop).map_err(failed)
}

/// Its binlog has a part of our history and nothing else.
async fn ours_only(proxy: &impl Proxy, target: &Server) -> Result<(), Refused> {
    let refused = |why: String| Refused::NotOurs {
        name: target.name.clone(),
        why,
    };
    let walked = proxy.prove(&target.name, &target.account).await;
    let walked = walked.map_err(refused)?;
    if walked.has.is_empty() {
        return Err(refused("it has nothing of our history".into()));
    }
    if !walked.beyond.is_empty() {
        return Err(refused(format!("it has {}", walked.beyond)));
    }
    Ok(())
}

fn not_exported(name: &ServerName, why: String) -> Failed {
    Failed::NotExported {
        name: name.clone(),
        why,
    }
}

async fn only_there(proxy: &impl Proxy, target: &Server) -> Result<GtidSet, Failed> {
    let walked = proxy.prove(&target.name, &target.account).await;
    let walked = walked.map_err(|why| not_exported(&target.name, why))?;
    Ok(walked.beyond)
}

/// What a position names and our binlog has not.
fn beyond(position: &Position, stored: &GtidSet) -> String {
    match position {
        Position::MySql(set) => set.difference(stored).to_string(),
        Position::MariaDb(position) => {
            let beyond = position.iter().map(crate::gtid::Gtid::from);
            let beyond: GtidSet = beyond.filter(|gtid| !stored.contains(gtid)).collect();
            beyond.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Flavor;

    #[test]
    fn a_donor_with_transactions_of_its_own() {
        let stored: GtidSet = "0-1-1..100".parse().unwrap();
        for (position, is) in [("0-1-100", ""), ("0-2-100", "0-2-100"), ("", "")] {
            let position = Position::parse(Flavor::MariaDb, position).unwrap();
            assert_eq!(beyond(&position, &stored), is);
        }
    }
}
