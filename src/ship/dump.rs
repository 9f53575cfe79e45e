//! The stream of events to one reader.

use std::borrow::Cow;
use std::net::SocketAddr;

use parking_lot::Mutex;

use super::Ship;
use super::ack_receiver::{AckReceiver, Shared};
use super::compatible;
use super::connection::{Registered, Request};
use super::error::Error;
use super::outbox::Outbox;
use super::progress::{Entered, Identity, Progress};
use super::questions::Asked;
use crate::event::EventType;
use crate::ids::{ServerId, ServerName, StorePosition};
use crate::store::{Batch, Place, Reader};

/// One batch is at most about this much; a single event may be larger.
const BATCH: usize = 256 * 1024;
/// Beyond this distance to the end a batch may come from the disk, not from the page cache.
const FAR_BEHIND: u64 = 4 << 20;

/// Everything about one dump connection that does not change while it runs.
pub(super) struct Stream<'a> {
    pub ship: &'a Ship,
    pub id: u32,
    pub peer: SocketAddr,
    pub server_id: ServerId,
    pub identity: Identity,
    pub registered: Registered,
    pub asked: Asked,
    pub request: Request,
    pub outbox: Outbox,
    pub ack_receiver: AckReceiver,
}

/// How far those without a vote may see: released and synced.
pub(super) fn visible_to_readers(ship: &Ship) -> StorePosition {
    let released = *ship.acks.released().borrow();
    released.min(ship.store.marks().borrow().synced)
}

/// A listed server is connected as long as this lives.
struct Attendance<'a> {
    ship: &'a Ship,
    name: ServerName,
    row: &'a Entered,
}

impl<'a> Attendance<'a> {
    /// None for who is not listed. It has everything up to `has` and nothing more, whatever it
    /// acknowledged on an earlier connection (promise 4).
    fn begin(
        ship: &'a Ship,
        row: &'a Entered,
        identity: &Identity,
        has: StorePosition,
    ) -> Option<Self> {
        if !identity.listed {
            return None;
        }
        let name = identity.name.clone();
        ship.acks.reconnected(&name, has);
        ship.acks.connected(&name, true);
        Some(Self { ship, name, row })
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        if !self.row.others_of(&self.name) {
            self.ship.acks.connected(&self.name, false);
        }
    }
}

pub(super) async fn send(
    stream: Stream<'_>,
    from: StorePosition,
    row: Entered,
) -> Result<(), Error> {
    let Stream {
        ship,
        identity,
        server_id,
        registered,
        asked,
        request,
        outbox,
        mut ack_receiver,
        ..
    } = stream;
    let attendance = Attendance::begin(ship, &row, &identity, from);
    row.update(|reader| reader.progress = Progress::Streaming { sent: from });
    let shared = Mutex::new(Shared {
        identity,
        sent: from,
    });
    let mut sender = Sender {
        ship,
        server_id,
        registered,
        from,
        asked,
        request,
        shared: &shared,
        row: &row,
        attendance,
        outbox,
        passing: false,
    };
    tokio::select! {
        sent = sender.run() => sent,
        received = ack_receiver.run(ship, &shared, &row) => received,
    }
}

struct Sender<'a> {
    ship: &'a Ship,
    server_id: ServerId,
    registered: Registered,
    from: StorePosition,
    asked: Asked,
    request: Request,
    shared: &'a Mutex<Shared>,
    row: &'a Entered,
    attendance: Option<Attendance<'a>>,
    outbox: Outbox,
    /// In a transaction that the reader has already (several domains that are not equally far).
    passing: bool,
}

impl Sender<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let store = self.ship.store.clone();
        let mut written = store.written();
        let mut marks = store.marks();
        let mut released = self.ship.acks.released();
        let mut roster = self.ship.roster.clone();
        let generation = written.borrow().generation;
        let mut reader = store.reader(self.from)?;
        let mut batch = Batch::new();
        self.outbox.rotate(self.from);
        self.outbox.flush().await?;
        loop {
            let now = *written.borrow_and_update();
            marks.borrow_and_update();
            released.borrow_and_update();
            roster.borrow_and_update();
            if now.generation != generation {
                // What it got beyond the cut comes again under other positions; it has to ask anew.
                return Err(Error::Peer("our binlog goes on in a new file after a failed fsync; the reader has to connect again".into()));
            }
            let votes = self.identify();
            let limit = if votes {
                now.position
            } else {
                visible_to_readers(self.ship)
            };
            (reader, batch) = read(reader, batch, limit).await?;
            if !batch.is_empty() {
                self.frame(&batch, votes)?;
                let sent = reader.position();
                // Before it can be acknowledged.
                self.shared.lock().sent = sent;
                self.row
                    .update(|row| row.progress = Progress::Streaming { sent });
                self.outbox.flush().await?;
                continue;
            }
            if self.request.non_block {
                self.outbox.end();
                return self.outbox.flush().await;
            }
            let heartbeat = self.asked.heartbeat;
            // Every arm is cancel-safe: watches and a timer.
            tokio::select! {
                _ = written.changed() => {}
                _ = marks.changed(), if !votes => {}
                _ = released.changed(), if !votes => {}
                _ = roster.changed() => {}
                () = tokio::time::sleep(heartbeat.unwrap_or_default()), if heartbeat.is_some() => {
                    self.outbox.heartbeat(reader.position());
                    self.outbox.flush().await?;
                }
            }
        }
    }

    /// Who it is may change while it is connected: it came before anybody had asked its server for
    /// its id, `doctor --fix` made a voter of it, or a restart of its server took the vote away.
    fn identify(&mut self) -> bool {
        let mut shared = self.shared.lock();
        if !matches!(self.registered, Registered::As(_)) {
            return false;
        }
        let identity = self
            .ship
            .identify(self.server_id, self.asked.uuid.as_deref());
        let before = std::mem::replace(&mut shared.identity, identity.clone());
        if identity == before {
            return identity.votes;
        }
        self.row.update(|row| row.identity = identity.clone());
        if (&identity.name, identity.listed) != (&before.name, before.listed) {
            // The old one leaves before the new one comes: it may be the same server.
            self.attendance = None;
            let has = self.row.acked().unwrap_or(self.from).max(self.from);
            self.attendance = Attendance::begin(self.ship, self.row, &identity, has);
            self.outbox.count_for(&identity.name);
        }
        identity.votes
    }

    /// The event as this reader can read it, if it can.
    fn readable<'a>(&self, kind: EventType, event: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self.asked.capability >= compatible::KNOWS_GTID {
            true => Some(Cow::Borrowed(event)),
            false => compatible::of(kind, event),
        }
    }

    fn put(&mut self, kind: EventType, event: &[u8], ack: bool) {
        if let Some(event) = self.readable(kind, event) {
            self.outbox.event(&event, ack);
        }
    }

    fn frame(&mut self, batch: &Batch, votes: bool) -> Result<(), Error> {
        // One ack for the whole batch: a replica that syncs its relay log does so once.
        let last = batch
            .iter()
            .filter(|(event, _)| matches!(event.place, Place::End(_)))
            .map(|(event, _)| event.end)
            .last();
        for (event, bytes) in batch.iter() {
            match &event.place {
                Place::Head => {
                    if let Some(bytes) = self.readable(event.kind, bytes) {
                        self.outbox.head(event.kind, event.end, self.from, &bytes)?;
                    }
                }
                Place::Start(gtid) => {
                    self.passing = self
                        .asked
                        .connect_state
                        .as_ref()
                        .is_some_and(|state| state.contains(gtid));
                    if !self.passing {
                        self.put(event.kind, bytes, false);
                    }
                }
                Place::Inside if self.passing => {}
                Place::Inside => self.put(event.kind, bytes, false),
                Place::End(_) if std::mem::take(&mut self.passing) => self.outbox.rotate(event.end),
                Place::End(_) => {
                    self.put(event.kind, bytes, votes && Some(event.end) == last);
                }
                Place::Tail => {
                    self.outbox
                        .tail(event.kind, bytes, self.registered == Registered::No)
                }
            }
        }
        Ok(())
    }
}

/// The next batch up to `limit`; away from the end on a thread for blocking work, since it may come
/// from the disk.
async fn read(
    mut reader: Reader,
    mut batch: Batch,
    limit: StorePosition,
) -> Result<(Reader, Batch), Error> {
    let at = reader.position();
    let near = at.file == limit.file && limit.offset.saturating_sub(at.offset) < FAR_BEHIND;
    if near || limit <= at {
        reader.next_batch(limit, BATCH, &mut batch)?;
        return Ok((reader, batch));
    }
    tokio::task::spawn_blocking(move || {
        reader.next_batch(limit, BATCH, &mut batch)?;
        Ok((reader, batch))
    })
    .await
    .map_err(|_| Error::Peer("reading our binlog failed".into()))?
}
