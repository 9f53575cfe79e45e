//! Keeps beside the store what the source's event scheduler runs: a dead source cannot tell.

use std::sync::Arc;
use std::time::Duration;

use super::proxy::AppProxy;
use super::{App, roster};
use crate::capture::State;
use crate::failover::events;
use crate::net;
use crate::net::admin::Admin;
use crate::shutdown::Shutdown;

const EVERY: Duration = Duration::from_secs(5);
/// Until the source is attached to.
const LOOK: Duration = Duration::from_secs(1);
const ASK: Duration = Duration::from_secs(2);

pub(super) fn start(app: Arc<App>, shutdown: &Shutdown) {
    let ending = shutdown.clone();
    shutdown.spawn(async move {
        let mut pause = LOOK;
        while ending.sleep(pause).await {
            pause = EVERY;
            // In the middle of a move the new source's events are not yet as they were at the old one.
            let is_moving = app.store.durable().moving.is_some();
            if is_moving || *app.capture.state.borrow() != State::Attached {
                pause = LOOK;
            } else if let Err(error) = ask(&app).await {
                tracing::debug!(error, "the source's events are not known anew");
            }
        }
    });
}

/// Written only where something has changed: three fsyncs.
async fn ask(app: &Arc<App>) -> Result<(), String> {
    let present = app.following.present();
    let asked = async {
        let mut admin = Admin::connect(&roster::account(&present.server), ASK).await?;
        events::read(&mut admin, &present.server.name).await
    };
    let schedule = asked.await.map_err(|error: net::Error| error.to_string())?;
    if app.store.durable().schedule.as_ref() == Some(&schedule) {
        return Ok(());
    }
    let proxy = AppProxy(app.clone());
    let kept = proxy.keep(move |state| {
        if state.moving.is_none() && state.epoch == present.epoch {
            state.schedule = Some(schedule);
        }
    });
    kept.await
}
