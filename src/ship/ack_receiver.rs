//! What a replica sends while it is being dumped to: acknowledgements, and its leaving.

use metrics::{Counter, counter};
use parking_lot::Mutex;

use super::Ship;
use super::error::Error;
use super::progress::{Entered, Identity};
use crate::ack::Word;
use crate::ids::{Level, ServerName, StorePosition, Voice};
use crate::net::{self, PacketReader};
use crate::protocol::Command;
use crate::protocol::semi_sync::Ack;
use crate::stages::{self, Stage};
use crate::store;

/// What the sending and the receiving half of one dump share.
pub struct Shared {
    pub identity: Identity,
    /// What its word is known by.
    pub voice: Voice,
    /// Nothing beyond this can have been received.
    pub sent: StorePosition,
}

pub struct AckReceiver {
    reader: PacketReader,
    /// For whom, and how many.
    acks: (ServerName, Counter),
}

fn acks_of(replica: &ServerName) -> (ServerName, Counter) {
    let acks = counter!("ackline_replica_acks_total", "replica" => replica.to_string());
    (replica.clone(), acks)
}

impl AckReceiver {
    pub fn new(reader: PacketReader, replica: &ServerName) -> Self {
        Self {
            reader,
            acks: acks_of(replica),
        }
    }

    /// Receives until the replica leaves. Cancel-safe: what was read stays in the reader.
    pub async fn run(
        &mut self,
        ship: &Ship,
        shared: &Mutex<Shared>,
        row: &Entered,
    ) -> Result<(), Error> {
        loop {
            match self.reader.ready().await {
                Ok(()) => {}
                Err(net::Error::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            while let Some(packet) = self.reader.try_next()? {
                let packet = packet.payload;
                // COM_QUIT, from a tool that has seen enough.
                if packet == [Command::QUIT.0] {
                    return Ok(());
                }
                let ack = Ack::parse(packet)
                    .map_err(|error| Error::Peer(format!("not an acknowledgement: {error}")))?;
                let Some(file) = std::str::from_utf8(ack.file)
                    .ok()
                    .and_then(store::file_number)
                else {
                    return Err(Error::Peer(format!(
                        "an acknowledgement for the unknown file '{}'",
                        String::from_utf8_lossy(ack.file)
                    )));
                };
                let position = StorePosition::new(file, ack.position);
                let (identity, word, sent) = {
                    let shared = shared.lock();
                    let word = Word::Dump(shared.voice);
                    (shared.identity.clone(), word, shared.sent)
                };
                if position > sent {
                    return Err(Error::Peer(format!(
                        "an acknowledgement for {position}, which was not sent (sent: {sent})"
                    )));
                }
                if self.acks.0 != identity.name {
                    self.acks = acks_of(&identity.name);
                }
                self.acks.1.increment(1);
                row.update(|reader| reader.acked = Some(position));
                if identity.votes {
                    stages::passed(Stage::Received, position);
                    ship.acks
                        .confirm(&identity.name, word, Level::Received, position);
                    if identity.durable {
                        ship.acks
                            .confirm(&identity.name, word, Level::Durable, position);
                    }
                }
            }
        }
    }
}
