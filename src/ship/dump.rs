//! The stream of events to one reader.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::ack_receiver::{AckReceiver, Shared};
use super::connection::Error;
use super::framer::Framer;
use super::progress::{Entered, Identity, Progress};
use super::questions::{Asked, Checksum};
use super::{Ship, questions};
use crate::event::heartbeat::Heartbeat;
use crate::event::rotate::Rotate;
use crate::event::{self, EventType};
use crate::gtid::Gtid;
use crate::ids::{ServerId, ServerName, StorePosition};
use crate::net::PacketWriter;
use crate::protocol::err::ErrPacket;
use crate::protocol::replication::BinlogDump;
use crate::store::{Batch, file_name};

/// One batch is at most about this much; a single event may be larger.
const BATCH: usize = 256 * 1024;
/// A reader that takes nothing for this long is gone or hopeless; it comes again.
const STUCK: Duration = Duration::from_secs(60);
/// Beyond this distance to the end a batch may come from the disk, not from the page cache.
const FAR_BEHIND: u64 = 4 << 20;
/// `BINLOG_DUMP_NON_BLOCK`: end at the end.
const NON_BLOCK: u16 = 1;
const GTIDS_SHOWN: usize = 5;

/// Everything about one dump connection that does not change while it runs.
pub(super) struct Stream<'a> {
    pub ship: &'a Ship,
    pub id: u32,
    pub peer: SocketAddr,
    pub server_id: ServerId,
    pub identity: Identity,
    pub registered: bool,
    pub asked: Asked,
    pub request: BinlogDump,
    pub writer: PacketWriter,
    pub ack_receiver: AckReceiver,
}

/// How far those without a vote may see: released and synced.
pub(super) fn visible_to_readers(ship: &Ship) -> StorePosition {
    let released = *ship.acks.released().borrow();
    released.min(ship.store.marks().borrow().synced)
}

/// The connection votes as long as this lives.
struct Attendance<'a> {
    ship: &'a Ship,
    name: ServerName,
    row: &'a Entered,
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        if !self.row.others_of(&self.name) {
            self.ship.acks.connected(&self.name, false);
        }
    }
}

pub(super) async fn send(stream: Stream<'_>, from: StorePosition, row: Entered) -> Result<(), Error> {
    let Stream { ship, identity, server_id, registered, asked, request, mut writer, mut ack_receiver, .. } = stream;
    if identity.listed {
        // What it asks for is what it still has, whatever it acknowledged before (promise 4).
        ship.acks.reconnected(&identity.name, from);
        ship.acks.connected(&identity.name, true);
    }
    let _attendance = identity.listed.then(|| Attendance { ship, name: identity.name.clone(), row: &row });
    row.update(|reader| reader.progress = Progress::Streaming { sent: from });
    let shared = Mutex::new(Shared { identity, sent: from });
    let mut sender = Sender { ship, server_id, registered, asked, request, shared: &shared, row: &row, framer: None, out: BytesMut::new() };
    tokio::select! {
        sent = sender.run(&mut writer, from) => sent,
        received = ack_receiver.run(ship, &shared, &row) => received,
    }
}

struct Sender<'a> {
    ship: &'a Ship,
    server_id: ServerId,
    registered: bool,
    asked: Asked,
    request: BinlogDump,
    shared: &'a Mutex<Shared>,
    row: &'a Entered,
    framer: Option<Framer>,
    out: BytesMut,
}

impl Sender<'_> {
    async fn run(&mut self, writer: &mut PacketWriter, from: StorePosition) -> Result<(), Error> {
        let store = self.ship.store.clone();
        let mut marks = store.marks();
        let mut released = self.ship.acks.released();
        let mut roster = self.ship.roster.clone();
        let generation = marks.borrow().generation;
        let mut reader = store.reader(from)?;
        let mut batch = Batch::default();
        self.begin(&reader.format()?, from);
        self.write(writer).await?;
        loop {
            let now = *marks.borrow_and_update();
            released.borrow_and_update();
            roster.borrow_and_update();
            let sent = self.shared.lock().sent;
            if now.generation != generation && sent > now.synced_at_cut {
                // What it got beyond the cut comes again in another file; it has to ask anew.
                return Err(Error::Peer("our binlog goes on in a new file after a failed fsync; the replica connects again".into()));
            }
            let votes = self.identify();
            let limit = if votes { now.written } else { visible_to_readers(self.ship) };
            if sent < limit {
                // Away from the end a batch may come from the disk, and that must not stop other tasks.
                let far = sent.file != limit.file || limit.offset - sent.offset > FAR_BEHIND;
                (reader, batch) = read(reader, batch, limit, far).await?;
                let end = self.frame(&batch, limit, votes);
                self.shared.lock().sent = end;
                self.row.update(|row| row.progress = Progress::Streaming { sent: end });
                self.write(writer).await?;
                continue;
            }
            if self.request.flags & NON_BLOCK != 0 {
                self.framer().end_into();
                return self.write(writer).await;
            }
            let heartbeat = async {
                match self.asked.heartbeat {
                    Some(every) => tokio::time::sleep(every).await,
                    None => std::future::pending().await,
                }
            };
            // Every arm is cancel-safe: watches and a timer.
            tokio::select! {
                _ = marks.changed() => {}
                _ = released.changed(), if !votes => {}
                _ = roster.changed() => {}
                () = heartbeat => {
                    self.heartbeat(sent);
                    self.write(writer).await?;
                }
            }
        }
    }
}
