//! Brings a server home that was the source: it follows us again, as a pull replica.
//!
//! It is judged before anything is done to it: an empty server, or one of another history,
//! is not touched. Then it is [quieted](super::fence), which lets go of commits that nobody acknowledged; they are its own
//! transactions, as everything is that our binlog lacks. With such it stays as it is, fenced, and who gave the order is
//! told in which file they are written down. Every step may be found half done, and be done twice.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::facts::Said;
use super::proxy::Proxy;
use super::{fence, servers};
use crate::crash;
use crate::gtid::GtidSet;
use crate::ids::{Flavor, ServerName};
use crate::net::admin::{Account, Admin};

/// For each of its answers.
const ASK: Duration = Duration::from_secs(5);
/// For its replication threads.
const OPEN: Duration = Duration::from_secs(15);
/// Until its dump begins.
const COME: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    pub server: String,
    /// It was a replica of ours already.
    pub was_home: bool,
    /// So many commits waited there for an acknowledgement that nobody gives any more, and were let go.
    pub let_go: u64,
    /// So many connections of clients were cut there.
    pub cut: u64,
    pub milliseconds: u64,
}

impl Home {
    /// One line.
    pub fn sentence(&self) -> String {
        let Self { server, .. } = self;
        match self.was_home {
            true => format!("{server} follows ackline already"),
            false => format!(
                "{server} follows ackline again, after {} ms; it votes as soon as it is judged fit (ackline status)",
                self.milliseconds
            ),
        }
    }
}

/// Why it does not come home.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHome {
    #[error("{0} is no [[server]] of the configuration")]
    Unknown(ServerName),
    #[error("{0} is the source")]
    Source(ServerName),
    #[error("{0} does not answer: {1}")]
    Silent(ServerName, String),
    #[error("what {0} has executed is not known: {1}")]
    NotWalked(ServerName, String),
    #[error(
        "{0} has nothing of our history: it is empty, or another server answers at its address; for a copy, run ackline provision {0}"
    )]
    Stranger(ServerName),
    #[error(
        "{name} has transactions that nobody else has: {extra}; it stays fenced (read-only). {exported}; keep what is worth keeping, then run ackline provision {name} --replace"
    )]
    Extra {
        name: ServerName,
        extra: GtidSet,
        exported: Exported,
    },
    #[error(
        "{name} lacks transactions that it once wrote itself ({missing}), and drops such as carry its own server_id: give it another server_id"
    )]
    DropsOwn { name: ServerName, missing: GtidSet },
    #[error("{name}: {why}")]
    Failed { name: ServerName, why: String },
}

/// Where people read what only it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported {
    To(PathBuf),
    Failed(String),
    /// Nobody looks on, and it is tried again and again.
    Unasked,
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(file) => write!(f, "What they did is written down in {}", file.display()),
            Self::Failed(why) => write!(
                f,
                "What they did could not be written down ({why}): look at them in its own binlog (mariadb-binlog, mysqlbinlog)"
            ),
            Self::Unasked => f.write_str("ackline rejoin writes down what they did"),
        }
    }
}

/// From the order to its first dump. `unasked`: nobody looks on, so nothing is let go where something is extra.
pub async fn rejoin(proxy: &impl Proxy, name: &ServerName, unasked: bool) -> Result<Home, NotHome> {
    let begun = Instant::now();
    let settings = proxy.settings();
    let account = settings
        .account(name)
        .map_err(|_| NotHome::Unknown(name.clone()))?;
    if proxy.followed().0 == *name {
        return Err(NotHome::Source(name.clone()));
    }
    let failed = |why: String| NotHome::Failed {
        name: name.clone(),
        why,
    };
    crash::step("rejoin begins");
    let said = judged(proxy, name, account).await?;
    let mut home = Home {
        server: name.to_string(),
        was_home: proxy.readers().contains(name),
        ..Home::default()
    };
    if home.was_home {
        // It may have been led to us by hand.
        nothing_extra(proxy, (name, account), &said, unasked).await?;
        proxy.came_home(name).await.map_err(failed)?;
        return Ok(home);
    }
    if unasked {
        nothing_extra(proxy, (name, account), &said, unasked).await?;
    }
    crash::step("rejoin quiets");
    let quieted = fence::quiet(account, said.waiting > 0).await;
    let quieted = quieted.map_err(|error| failed(error.to_string()))?;
    (home.let_go, home.cut) = (said.waiting, quieted.cut);
    // What was let go may be more than it said while commits waited.
    let said = judged(proxy, name, account).await?;
    nothing_extra(proxy, (name, account), &said, unasked).await?;
    let mut admin = Admin::connect(account, OPEN)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let missing = said.own(&said.lacks(&proxy.stored()));
    // MariaDB takes them, with the settings that it is given.
    if admin.flavor() == Flavor::MySql && !missing.is_empty() {
        return Err(NotHome::DropsOwn {
            name: name.clone(),
            missing,
        });
    }
    crash::step("rejoin changes");
    lead(proxy, name, &mut admin).await.map_err(failed)?;
    crash::step("rejoin ends");
    proxy.came_home(name).await.map_err(failed)?;
    home.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::warn!("{}", home.sentence());
    Ok(home)
}

/// What it says of itself, and what its binlog proves. While commits wait there it cannot be walked (FACTS.md, section
/// 2), and its word is taken, which is enough to tell it from a stranger.
async fn judged(proxy: &impl Proxy, name: &ServerName, account: &Account) -> Result<Said, NotHome> {
    let silent = |error: servers::Error| NotHome::Silent(name.clone(), error.to_string());
    let mut said = servers::look(account, ASK).await.map_err(silent)?;
    if said.waiting > 0 {
        let stored = proxy.stored();
        return match said.lacks(&stored) == stored {
            true => Err(NotHome::Stranger(name.clone())),
            false => Ok(said),
        };
    }
    let walked = proxy.prove(name, account).await;
    let walked = walked.map_err(|why| NotHome::NotWalked(name.clone(), why))?;
    if walked.has.is_empty() && !proxy.stored().is_empty() {
        return Err(NotHome::Stranger(name.clone()));
    }
    said.walked = Some(Ok(walked));
    Ok(said)
}

/// Whatever is extra is written down before it is refused.
async fn nothing_extra(
    proxy: &impl Proxy,
    (name, account): (&ServerName, &Account),
    said: &Said,
    unasked: bool,
) -> Result<(), NotHome> {
    let extra = said.beyond(&proxy.stored());
    if extra.is_empty() {
        return Ok(());
    }
    let exported = match unasked {
        true => Exported::Unasked,
        false => match proxy.export(name, account, &extra).await {
            Ok(file) => Exported::To(file),
            Err(why) => Exported::Failed(why),
        },
    };
    Err(NotHome::Extra {
        name: name.clone(),
        extra,
        exported,
    })
}

/// A server that holds nothing of its own follows us, until its dump begins.
pub(super) async fn lead(
    proxy: &impl Proxy,
    name: &ServerName,
    admin: &mut Admin,
) -> Result<(), String> {
    let replication = proxy.settings().replication;
    let known = others_way(proxy).await;
    let endpoint = replication.endpoint(known.as_ref())?;
    let led = servers::become_replica(admin, &endpoint, &replication.password).await;
    led.map_err(|error| error.to_string())?;
    crash::step("rejoin waits");
    if comes(proxy, name).await {
        return Ok(());
    }
    let why = servers::io_error(admin).await;
    let why = why.unwrap_or_else(|| "it says nothing of why (ackline status)".into());
    Err(format!("its dump does not begin: {why}"))
}

/// By which address another replica follows us.
async fn others_way(proxy: &impl Proxy) -> Option<(String, u16)> {
    let readers = proxy.readers();
    for server in proxy.settings().servers {
        if readers.contains(&server.name)
            && let Ok(said) = servers::look(&server.account, ASK).await
            && said.source_address.is_some()
        {
            return said.source_address;
        }
    }
    None
}

async fn comes(proxy: &impl Proxy, name: &ServerName) -> bool {
    let deadline = Instant::now() + COME;
    while !proxy.readers().contains(name) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}
