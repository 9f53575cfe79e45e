//! Servers that were the source until a failover: kept from writes whenever they answer, and where the configuration
//! says so brought home.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::App;
use super::proxy::AppProxy;
use super::roster;
use crate::failover::fence;
use crate::failover::rejoin::{Home, NotHome, rejoin};
use crate::ids::{Machine, ServerName};

const LOOK: Duration = Duration::from_millis(500);
/// One that is fenced may have been restarted meanwhile.
const AGAIN: Duration = Duration::from_secs(2);

/// Why a server was not brought home.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    #[error(transparent)]
    NotHome(#[from] NotHome),
    #[error("a move is under way: {0}")]
    Busy(String),
}

/// On somebody's order; goes on though he leaves.
pub async fn bring_home(app: Arc<App>, name: ServerName) -> Result<Home, NotBegun> {
    let _one = app.moving.begin().await.map_err(NotBegun::Busy)?;
    Ok(rejoin(&AppProxy(app.clone()), &name, false).await?)
}

/// Until the future is dropped.
pub async fn watch(app: Arc<App>) {
    let mut tasks: HashMap<ServerName, tokio::task::JoinHandle<()>> = HashMap::new();
    loop {
        let fenced = app.store.durable().fenced;
        tasks.retain(|name, task| {
            // It may have become the source again.
            if !fenced.contains_key(name) {
                task.abort();
            }
            !task.is_finished()
        });
        for (name, machine) in fenced {
            let app = &app;
            let task = || tokio::spawn(keep_off(app.clone(), name.clone(), machine));
            tasks.entry(name.clone()).or_insert_with(task);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn keep_off(app: Arc<App>, name: ServerName, machine: Machine) {
    let config = app.config.load_full();
    let is_source = app.following.present().server.name == name;
    // Nobody but its copy writes there.
    let is_provisioned = app.provisioning.runs_at(&name);
    let others = |_: &&_| !is_source && !is_provisioned;
    let Some(server) = config.server(&name).filter(others) else {
        return tokio::time::sleep(AGAIN).await;
    };
    if config.failover.auto_rejoin
        && let Ok(_one) = app.moving.try_begin()
    {
        match rejoin(&AppProxy(app.clone()), &name, true).await {
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(server = %name, %error, "it does not come home by itself")
            }
        }
    }
    // Ids may be given twice; the source is never fenced.
    let source = app.store.durable().source;
    let is_ambiguous = source.is_some_and(|source| {
        (source.server_id, source.uuid) == (machine.server_id, machine.uuid.clone())
    });
    if is_ambiguous {
        return tokio::time::sleep(AGAIN).await;
    }
    match fence::raise(&roster::account(server), &machine).await {
        Ok(_) => tokio::time::sleep(AGAIN).await,
        Err(error) => {
            tracing::debug!(server = %name, %error, "the old source cannot be fenced yet");
        }
    }
}
