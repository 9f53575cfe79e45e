//! What the admin API shows and changes.

use std::sync::Arc;

use super::{App, fencing, following, histories, moving, provisioning, status, verifying};
use crate::admin::accept::{self, Accepted, Holes};
use crate::admin::moves::{Rejoin, Request};
use crate::admin::provision::{self, Begun};
use crate::admin::purge::{Answer, Order};
use crate::admin::status::Status;
use crate::admin::{
    Backend, Beginning, Change, Comparing, Homecoming, Moving, Outcome, Refusal, verify,
};
use crate::config::{SyncPatch, WriteError, write_sync};
use crate::failover::mover::rehearse;
use crate::ids::ServerName;
use crate::store::state::MoveKind;

pub struct AppBackend(pub Arc<App>);

impl Backend for AppBackend {
    fn status(&self) -> Status {
        status::of(&self.0)
    }

    fn not_ready(&self) -> Option<String> {
        let blocked = || {
            let waiting = status::waiting(&self.0.acks.snapshot(), &[]);
            waiting.blocked.then_some(waiting.sentence)
        };
        status::hold(&self.0).or_else(blocked)
    }

    fn metrics(&self) -> String {
        self.0.metrics.render()
    }

    fn sync(&self) -> serde_json::Value {
        let sync = self.0.acks.sync();
        serde_json::json!({
            "mode": sync.mode.to_string(),
            "require": sync.require.to_string(),
            "acks": sync.acks,
            "level": sync.level.map(|level| level.to_string()),
            "timeout": format!("{}ms", sync.timeout.as_millis()),
            "on_timeout": sync.on_timeout.to_string(),
        })
    }

    fn change_sync(&self, change: Change) -> Result<serde_json::Value, Refusal> {
        let patch: SyncPatch =
            serde_json::from_value(change).map_err(|error| Refusal::Invalid(error.to_string()))?;
        self.0.configure(|present| {
            let config = write_sync(&self.0.path, &patch).map_err(|error| match error {
                WriteError::Invalid(errors) => Refusal::Invalid(errors.to_string()),
                error => Refusal::Failed(error.to_string()),
            })?;
            following::as_it_is(config, &present.server.name)
                .map_err(|error| Refusal::Failed(error.to_string()))
        })?;
        Ok(self.sync())
    }

    fn purge(&self, order: &Order) -> Result<Answer, Refusal> {
        let keep = self.0.config.load().binlog.keep;
        let unwanted = order.unwanted(keep).map_err(Refusal::Invalid)?;
        let purged = self.0.purger.purge(unwanted, order.dry_run);
        let purged = purged.map_err(|error| Refusal::Failed(error.to_string()))?;
        Ok(purged.into())
    }

    fn accept_holes(&self, holes: &Holes) -> Result<Accepted, Refusal> {
        let set = holes.set().map_err(Refusal::Invalid)?;
        let name = ServerName::new(&holes.server);
        let histories = self.0.servers.histories();
        match histories.accept(&name, &set) {
            Ok(accepted) => Ok(Accepted {
                server: holes.server.clone(),
                accepted: accepted.to_string(),
            }),
            Err(error @ histories::Refused::Store(_)) => Err(Refusal::Failed(error.to_string())),
            Err(error) => Err(Refusal::Conflict(error.to_string())),
        }
    }

    fn accept_source(&self, source: &accept::Source) -> Result<accept::Source, Refusal> {
        let name = ServerName::new(&source.server);
        following::accept_source(&self.0, &name)?;
        Ok(source.clone())
    }

    fn rejoin(&self, server: &Rejoin) -> Homecoming {
        let app = self.0.clone();
        let name = app.config.load().meant(&server.server);
        Box::pin(async move {
            // A task of its own: whoever asked may leave.
            match tokio::spawn(fencing::bring_home(app, name)).await {
                Ok(home) => home.map_err(|error| Refusal::Conflict(error.to_string())),
                Err(error) => Err(Refusal::Failed(error.to_string())),
            }
        })
    }

    fn provision(&self, request: provision::Request) -> Beginning {
        let app = self.0.clone();
        Box::pin(async move {
            let config = app.config.load_full();
            let wish = request.wish(|text| config.meant(text));
            let wish = wish.map_err(Refusal::Invalid)?;
            let plan = match request.dry_run {
                true => provisioning::plan(&app, &wish).await,
                false => provisioning::begin(&app, &wish).await,
            };
            let plan = plan.map_err(|error| Refusal::Conflict(error.to_string()))?;
            Ok(Begun {
                plan: plan.shown(),
                begun: !request.dry_run,
            })
        })
    }

    fn verify(&self, request: verify::Request) -> Comparing {
        let app = self.0.clone();
        Box::pin(async move {
            let config = app.config.load_full();
            let wish = request.wish(|text| config.meant(text), config.verify.max_lag);
            let wish = wish.map_err(Refusal::Invalid)?;
            // A task of its own: whoever asked may leave.
            let begun = tokio::spawn(async move { verifying::begin(&app, wish).await }).await;
            match begun {
                Ok(Ok(())) => Ok(verify::Begun { begun: true }),
                Ok(Err(error @ verifying::NotBegun::NoReplica(_))) => {
                    Err(Refusal::Invalid(error.to_string()))
                }
                Ok(Err(error)) => Err(Refusal::Conflict(error.to_string())),
                Err(error) => Err(Refusal::Failed(error.to_string())),
            }
        })
    }

    fn move_source(&self, kind: MoveKind, request: Request) -> Moving {
        let app = self.0.clone();
        Box::pin(async move {
            let config = app.config.load_full();
            let order = request.order(kind, |text| config.meant(text));
            let patience = moving::Patience(request.deadline().map_err(Refusal::Invalid)?);
            let refused = |error: moving::NotBegun| Refusal::Conflict(error.to_string());
            if request.dry_run {
                let (plan, facts) = moving::plan(&app, order).await.map_err(refused)?;
                return Ok(Outcome::Rehearsed(rehearse(&plan, &facts)));
            }
            // A task of its own: whoever asked may leave.
            let moved = tokio::spawn(moving::carry_out(app, order, patience)).await;
            match moved {
                Ok(moved) => moved.map(Outcome::Moved).map_err(refused),
                Err(error) => Err(Refusal::Failed(error.to_string())),
            }
        })
    }

    fn token(&self) -> Option<String> {
        self.0
            .config
            .load()
            .admin_token
            .as_ref()
            .map(|token| token.expose().to_owned())
    }
}
