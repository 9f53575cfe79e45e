//! Readers of our binlog that log in at the replication port with an account of the source, as CDC
//! clients do: one session for questions and events.
//!
//! What it asks is relayed like everything else, under its own account. What concerns the binlog is
//! answered from ours, once the source has said that the account may know it: its own files have other
//! names and positions.

use std::sync::Arc;

use super::peers::Peer;
use super::reader::Reader;
use super::relay::Relay;
use super::{End, Shared, login, refusal};
use crate::ship::questions::Asked;
use crate::ship::{Guest, Guests, Ship};

/// Who serves those whom `ship` does not know.
pub fn guests(ship: Arc<Ship>, shared: Shared) -> Guests {
    Arc::new(move |guest| Box::pin(serve(guest, ship.clone(), shared.clone())))
}

async fn serve(guest: Guest, ship: Arc<Ship>, shared: Shared) {
    let (connection, peer) = (guest.id, guest.peer);
    shared.metrics.session();
    let mut client = Peer::new(guest.stream);
    let entry = match shared.registry.enter(peer.to_string()) {
        Ok(entry) => entry,
        Err(full) => {
            let error = refusal::too_many(full);
            shared.metrics.refused(error.code);
            let _ = client
                .send_error(guest.sequence.wrapping_add(1), &error)
                .await;
            return;
        }
    };
    if !guest.ahead.is_empty() {
        let error = refusal::bad_handshake("more was sent than was asked for");
        let _ = client
            .send_error(guest.sequence.wrapping_add(1), &error)
            .await;
        return;
    }
    let reader = Box::new(Reader {
        ship: ship.clone(),
        asked: Asked::default(),
        dump: Vec::new(),
    });
    let begun = Box::pin(login::adopt(
        client,
        guest.login,
        guest.sequence,
        &shared,
        &entry,
    ))
    .await;
    let (end, left) = match begun {
        Ok((peers, agreed, lesson)) => {
            let mut relay = Relay::new(peers, agreed, shared, entry).with_reader(reader);
            (relay.run(lesson).await, relay.into_reader())
        }
        Err(end) => (end, None),
    };
    tracing::debug!(connection, %peer, "a guest's session ended: {end}");
    if let (End::Dump, Some((client, reader))) = (end, left) {
        let Reader { asked, dump, .. } = *reader;
        let ended = ship
            .dump_to_guest(connection, client.stream, peer, asked, &dump)
            .await;
        if let Err(error) = ended {
            tracing::info!(connection, %peer, %error, "a guest's dump ended");
        }
    }
}
