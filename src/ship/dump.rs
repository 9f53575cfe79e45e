//! The stream of events to one reader.

use std::borrow::Cow;
use std::net::SocketAddr;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Ship;
use super::ack_receiver::{AckReceiver, Shared};
use super::compatible;
use super::error::Error;
use super::outbox::Outbox;
use super::progress::{Entered, Identity, Progress};
use super::questions::Asked;
use super::request::{Registered, Request};
use super::until::Until;
use super::voices::Taken;
use crate::event::{EventType, Header};
use crate::gtid::{Gtid, Position};
use crate::ids::{Flavor, ServerId, ServerName, StorePosition, Voice};
use crate::stages::{self, Stage};
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
    /// Its place in the order of all dumps, of the moment in which it was accepted.
    pub voice: Voice,
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

/// The same in both words, of one moment.
pub(super) fn position_of_readers(ship: &Ship, flavor: Flavor) -> (StorePosition, Position) {
    let (released, set) = ship.acks.released_point();
    let (synced, position) = ship.store.synced_point();
    match released <= synced {
        true => (released, Position::of_history(flavor, &set)),
        false => (synced, position),
    }
}

/// The dump of a listed server, which is its voice unless another one is.
struct Attendance<'a> {
    ship: &'a Ship,
    name: ServerName,
    voice: Voice,
}

impl Attendance<'_> {
    /// Takes the voice. The server has everything up to `has` and nothing more, whatever it acknowledged
    /// on an earlier connection (promise 4). False where several take it from each other.
    fn speak(&self, (id, peer): (u32, SocketAddr), has: StorePosition) -> Result<bool, Error> {
        let Self { ship, name, voice } = self;
        let late = || {
            Err(Error::Peer(
                "a newer dump of the same server has come".into(),
            ))
        };
        let taken = {
            let mut voices = ship.voices.lock();
            voices.take(name, *voice, id, peer, Instant::now())
        };
        match taken {
            Taken::Late => late(),
            Taken::Contested { silenced } => {
                if let Some(silenced) = silenced {
                    tracing::error!(server = %name, "{}", ship.contest(name).unwrap_or_default());
                    ship.acks.disconnected(name, silenced);
                }
                Ok(false)
            }
            Taken::Voice { ends } => {
                for connection in ends {
                    tracing::info!(server = %name, connection, "ended: a newer dump of the same server has come");
                    ship.kill(connection);
                }
                match ship.acks.reconnected(name, *voice, has) {
                    true => Ok(true),
                    false => late(),
                }
            }
        }
    }

    fn speaks(&self) -> bool {
        self.ship.voices.lock().is_held_by(&self.name, self.voice)
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        self.ship.voices.lock().leave(&self.name, self.voice);
        self.ship.acks.disconnected(&self.name, self.voice);
    }
}

pub(super) async fn send(
    stream: Stream<'_>,
    from: StorePosition,
    row: Entered,
) -> Result<(), Error> {
    let Stream {
        ship,
        id,
        peer,
        voice,
        identity,
        server_id,
        registered,
        asked,
        request,
        outbox,
        mut ack_receiver,
    } = stream;
    row.update(|reader| reader.progress = Progress::Streaming { sent: from });
    let until = until(&asked);
    let shared = Mutex::new(Shared {
        identity,
        voice,
        sent: from,
    });
    let mut sender = Sender {
        ship,
        connection: (id, peer),
        voice,
        server_id,
        registered,
        from,
        asked,
        request,
        shared: &shared,
        row: &row,
        attendance: None,
        outbox,
        until,
        passing: false,
    };
    tokio::select! {
        sent = sender.run() => sent,
        received = ack_receiver.run(ship, &shared, &row) => received,
    }
}

fn until(asked: &Asked) -> Option<Until> {
    match (&asked.until, &asked.connect_state) {
        (Some(until), Some(Position::MariaDb(has))) => Some(Until::new(until, has)),
        _ => None,
    }
}

struct Sender<'a> {
    ship: &'a Ship,
    connection: (u32, SocketAddr),
    voice: Voice,
    server_id: ServerId,
    registered: Registered,
    from: StorePosition,
    asked: Asked,
    request: Request,
    shared: &'a Mutex<Shared>,
    row: &'a Entered,
    attendance: Option<Attendance<'a>>,
    outbox: Outbox,
    until: Option<Until>,
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
            if let Some(until) = &self.until
                && until.is_reached()
            {
                let last = until.last_event(self.ship.config.server_id);
                self.outbox.artificial(last, 0);
                self.outbox.end();
                return self.outbox.flush().await;
            }
            let now = *written.borrow_and_update();
            marks.borrow_and_update();
            released.borrow_and_update();
            roster.borrow_and_update();
            if now.generation != generation {
                // What it got beyond the cut comes again under other positions; it has to ask anew.
                return Err(Error::Peer("our binlog goes on in a new file after a failed fsync; the reader has to connect again".into()));
            }
            let votes = self.identify()?;
            let limit = if votes {
                now.position
            } else {
                visible_to_readers(self.ship)
            };
            if self.may_send() {
                (reader, batch) = read(reader, batch, limit).await?;
            } else {
                batch = Batch::new();
            }
            if !batch.is_empty() {
                if let Err(error) = self.frame(&batch, votes) {
                    if let Error::Own(message) = &error {
                        self.outbox.flush().await?;
                        self.outbox.refuse(message).await?;
                    }
                    return Err(error);
                }
                let sent = reader.position();
                // Before it can be acknowledged.
                self.shared.lock().sent = sent;
                self.row
                    .update(|row| row.progress = Progress::Streaming { sent });
                self.outbox.flush().await?;
                if votes {
                    stages::passed(Stage::Sent, sent);
                }
                continue;
            }
            if self.request.non_block && self.may_send() {
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
    /// its id, `doctor --fix` made a voter of it, a restart of its server took the vote away, or another
    /// machine is met at its address. Says whether its acknowledgements count.
    fn identify(&mut self) -> Result<bool, Error> {
        let mut shared = self.shared.lock();
        if !matches!(self.registered, Registered::As(_)) {
            return Ok(false);
        }
        let identity = self
            .ship
            .identify(self.server_id, self.asked.uuid.as_deref());
        let before = std::mem::replace(&mut shared.identity, identity.clone());
        if !identity.listed && before.listed && self.ship.has_other_id(&before.name, self.server_id)
        {
            return Err(Error::Peer(format!(
                "{} is registered as server_id {} and has another by now: it has to register again",
                before.name, self.server_id
            )));
        }
        if identity != before {
            // The old one leaves before the new one comes: it may be the same server. Nobody is to see the new
            // one with the word of the old one.
            self.attendance = None;
            self.row.update(|row| row.identity = identity.clone());
            self.outbox.count_for(&identity.name);
        }
        if !identity.listed {
            return Ok(false);
        }
        let ship = self.ship;
        let attendance = self.attendance.get_or_insert_with(|| Attendance {
            ship,
            name: identity.name.clone(),
            voice: self.voice,
        });
        if attendance.speaks() {
            return Ok(identity.votes);
        }
        let has = self.row.acked().unwrap_or(self.from).max(self.from);
        Ok(attendance.speak(self.connection, has)? && identity.votes)
    }

    fn wants(&mut self, gtid: &Gtid) -> bool {
        if self
            .asked
            .connect_state
            .as_ref()
            .is_some_and(|state| state.contains(gtid))
        {
            return false;
        }
        match (&mut self.until, gtid) {
            (Some(until), Gtid::MariaDb(gtid)) => until.admits(*gtid),
            _ => true,
        }
    }

    /// Whether the reader gets nothing more, by its own wish.
    fn is_over(&self) -> bool {
        self.until.as_ref().is_some_and(Until::is_reached)
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

    /// Not before it is known whether a listed server accepts what it once wrote itself: it was started a moment
    /// ago, and a MariaDB server that is told a wrong no stops for good.
    fn may_send(&self) -> bool {
        let shared = self.shared.lock();
        !shared.identity.listed || shared.identity.accepts_own.is_some()
    }

    /// A server drops transactions that carry its own server id, and moves its position over them.
    fn refuse_own(&self, gtid: &Gtid, event: &[u8]) -> Result<(), Error> {
        let shared = self.shared.lock();
        let written_by = Header::parse(event)?.server_id;
        if !shared.identity.listed
            || shared.identity.accepts_own == Some(true)
            || written_by != self.server_id
        {
            return Ok(());
        }
        let how = match gtid {
            Gtid::MariaDb(_) => {
                "run SET GLOBAL rpl_semi_sync_slave_enabled=ON, gtid_strict_mode=ON there, then START SLAVE"
            }
            Gtid::MySql(_) => "give it another server_id, then START REPLICA",
        };
        Err(Error::Own(format!(
            "ackline: {gtid} was written by server_id {written_by}, which is this replica's own: it would drop it without a word; {how}"
        )))
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
                    self.passing = !self.wants(gtid);
                    if !self.passing {
                        self.refuse_own(gtid, bytes)?;
                    }
                    if self.passing && self.is_over() {
                        return Ok(());
                    }
                    if !self.passing {
                        self.put(event.kind, bytes, false);
                    }
                }
                Place::Between => self.put(event.kind, bytes, false),
                Place::Inside if self.passing => {}
                Place::Inside => self.put(event.kind, bytes, false),
                Place::End(_) if std::mem::take(&mut self.passing) => self.outbox.rotate(event.end),
                Place::End(_) => {
                    self.put(event.kind, bytes, votes && Some(event.end) == last);
                    if self.is_over() {
                        return Ok(());
                    }
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
