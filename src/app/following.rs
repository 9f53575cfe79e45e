//! Whom we follow: the present source and the epoch since which it is that. What is kept beside the store
//! says so, whatever `role` in the configuration says; that is for a proxy without a history.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{App, roster};
use crate::admin::Refusal;
use crate::capture;
use crate::config::{Config, Server};
use crate::ids::{Epoch, ServerName};
use crate::store::state::DurableState;

#[derive(Clone, Debug)]
pub struct Present {
    pub server: Server,
    pub epoch: Epoch,
}

pub struct Following {
    present: ArcSwap<Present>,
    orders: watch::Sender<Option<capture::Followed>>,
}

impl Following {
    pub fn begin(config: &Config, epoch: Epoch) -> Self {
        let present = Present {
            server: config.source().clone(),
            epoch,
        };
        Self {
            orders: watch::Sender::new(Some(order(&present))),
            present: ArcSwap::from_pointee(present),
        }
    }

    pub fn present(&self) -> Arc<Present> {
        self.present.load_full()
    }

    /// On the way of each answer.
    pub fn epoch(&self) -> Epoch {
        self.present.load().epoch
    }

    /// For capture.
    pub fn orders(&self) -> watch::Receiver<Option<capture::Followed>> {
        self.orders.subscribe()
    }

    /// Nobody is acknowledged to from here on.
    pub fn rest(&self) {
        self.orders.send_replace(None);
    }

    /// What is kept must say so already.
    pub fn follow(&self, present: Present) {
        let order = order(&present);
        self.present.store(Arc::new(present));
        self.orders.send_replace(Some(order));
    }
}

fn order(present: &Present) -> capture::Followed {
    capture::Followed {
        name: present.server.name.clone(),
        account: roster::account(&present.server),
        epoch: present.epoch,
    }
}

/// Whom the history beside our binlog follows; without one, whom the configuration does.
pub fn source_of(config: &Config, state: &DurableState) -> ServerName {
    let kept = state.source.as_ref().map(|kept| kept.name.clone());
    kept.unwrap_or_else(|| config.source().name.clone())
}

/// The source's binlog as it is now is the one to go on with: its next transaction is what it is known by from
/// then on. What our binlog has must be there all the same; the next attach proves that.
pub fn accept_source(app: &App, name: &ServerName) -> Result<(), Refusal> {
    let present = app.following.present();
    if present.server.name != *name {
        return Err(Refusal::Conflict(format!(
            "{name} is not the source, {} is",
            present.server.name
        )));
    }
    let state = app.capture.state.borrow().clone();
    if !matches!(
        state,
        capture::State::Refused(capture::Refusal::Copy { .. })
    ) {
        return Err(Refusal::Conflict(format!(
            "there is nothing to accept of {name}: it is {}",
            state.holds(name).unwrap_or_else(|| "attached".into())
        )));
    }
    let kept = app.store.change_durable(|state| {
        *app.capture.anchor.lock() = None;
        if let Some(source) = &mut state.source {
            source.anchor = None;
        }
    });
    kept.map_err(|error| Refusal::Failed(error.to_string()))?;
    tracing::warn!(source = %name, "accepted: its binlog is taken as it is");
    Ok(())
}

/// The configuration with the roles as they are by now.
pub fn as_it_is(config: Config, source: &ServerName) -> anyhow::Result<Config> {
    let told = config.source().name.clone();
    if told == *source {
        return Ok(config);
    }
    match config.with_source(source) {
        Some(config) => {
            tracing::info!(%source, configured = %told, "the source was moved; the configuration's role is for a first start");
            Ok(config)
        }
        None => anyhow::bail!(
            "our binlog follows {source}, and no [[server]] has that name: put it back into the configuration"
        ),
    }
}
