//! What sessions ask, answered by capture and `ack/`.

use std::sync::Arc;
use std::time::Duration;

use super::following::Following;
use super::hashes::Hashes;
use super::roster;
use crate::ack::Acks;
use crate::ack::policy::{Requirement, Unmeetable};
use crate::capture::{Console, Guard, State, Victim, View};
use crate::gtid::Gtid;
use crate::ids::{Epoch, Flavor};
use crate::net;
use crate::protocol::StoredHash;
use crate::session::gate::{BoxFuture, Gate, Source};
use crate::sql::KillTarget;
use crate::store::origins::{Origin, PendingOrigins};

/// A login for the sake of its proof does not take longer.
const VOUCHED_WITHIN: Duration = Duration::from_secs(2);

pub struct AppGate {
    pub following: Arc<Following>,
    pub acks: Acks,
    pub guard: Arc<Guard>,
    pub console: Console,
    pub capture: View,
    pub origins: PendingOrigins,
    pub hashes: Hashes,
}

impl AppGate {
    /// It takes a PROXY header for a broken login packet.
    fn is_mysql(&self) -> bool {
        let source = self.capture.source.borrow();
        source
            .as_ref()
            .is_some_and(|source| source.flavor == Flavor::MySql)
    }
}

impl Gate for AppGate {
    fn is_open(&self) -> bool {
        self.guard.is_open()
    }

    fn opened(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.guard.opened())
    }

    fn hold_reason(&self) -> String {
        let state: State = self.capture.state.borrow().clone();
        state
            .holds(&self.following.present().server.name)
            .unwrap_or_else(|| "a look at the source is under way".into())
    }

    fn source(&self) -> Option<Source> {
        let present = self.following.present();
        let server = &present.server;
        Some(Source {
            address: server.address.clone(),
            tls: server.tls.clone(),
            send_proxy_protocol: server.send_proxy_protocol && !self.is_mysql(),
            epoch: present.epoch,
        })
    }

    fn epoch(&self) -> Epoch {
        self.following.epoch()
    }

    fn may_show_now(&self) -> bool {
        self.guard.is_open() && !self.guard.is_in_doubt() && !self.acks.stalled()
    }

    fn may_show(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.guard.verified(&self.console))
    }

    fn stored_hashes(&self, user: Vec<u8>, again: bool) -> BoxFuture<'_, Vec<StoredHash>> {
        Box::pin(async move {
            let account = roster::account(&self.following.present().server);
            self.hashes.of(&account, user, again).await
        })
    }

    fn vouches_anew(&self) -> BoxFuture<'_, Result<(), net::Error>> {
        Box::pin(async move {
            let account = roster::account(&self.following.present().server);
            net::login::connect_and_login(&account, VOUCHED_WITHIN).await?;
            Ok(())
        })
    }

    fn moment(&self) -> String {
        let anchor = self.capture.anchor.lock();
        let last = anchor.as_ref().map(|(_, point)| point.gtid.to_string());
        last.unwrap_or_default()
    }

    fn committed(&self, gtid: &Gtid, origin: &Arc<Origin>) {
        self.origins.note(gtid, origin);
    }

    fn is_released_now(&self, gtid: &Gtid) -> bool {
        self.acks.is_released(gtid)
    }

    fn released(&self, gtid: Gtid) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if !self.acks.is_released(&gtid) {
                // The source waits for our ack, and that goes out only after the release.
                self.guard
                    .escaped("a commit returned at the source without its acknowledgement");
            }
            self.acks.wait_released(&gtid).await;
        })
    }

    fn everything_now(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let position = self.console.position().await;
            self.acks.wait_position(&position).await;
        })
    }

    fn can_be_met(&self, requirement: &Requirement) -> Result<(), Unmeetable> {
        self.acks.validate(requirement)
    }

    fn met(&self, gtid: Gtid, requirement: Arc<Requirement>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.released(gtid.clone()).await;
            self.acks.wait_met(&gtid, requirement).await;
        })
    }

    fn everything_met(&self, requirement: Arc<Requirement>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let position = self.console.position().await;
            self.acks.wait_position_met(&position, requirement).await;
        })
    }

    fn waits_for_ack(&self, target: KillTarget) -> BoxFuture<'_, bool> {
        let victim = match target {
            KillTarget::Connection(id) => Victim::Connection(id),
            KillTarget::QueryId(id) => Victim::Query(id),
            KillTarget::User(user) => Victim::User(user),
            KillTarget::Unknown => Victim::Anyone,
        };
        Box::pin(self.console.waits_for_ack(victim))
    }

    fn source_left(&self, epoch: Epoch) {
        // A KILL CONNECTION at the source looks like this, and lets the commit through.
        if epoch == self.epoch() {
            self.guard.doubt();
        }
    }
}
