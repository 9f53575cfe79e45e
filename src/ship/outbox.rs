//! What goes out on a dump connection: events of our files, and the few that exist for the connection
//! only (artificial ROTATE, heartbeats).
//!
//! A replica counts its position in our binlog itself: an artificial ROTATE sets it, every event adds
//! its length, a FORMAT_DESCRIPTION with position 0 adds nothing. Its acks carry that count, so what
//! is sent here must add up to our own offsets.

use std::time::Duration;

use bytes::BytesMut;
use metrics::{Counter, counter};

use super::error::Error;
use super::framer::Framer;
use crate::event::heartbeat::Heartbeat;
use crate::event::heartbeat_v2::HeartbeatV2;
use crate::event::rotate::Rotate;
use crate::event::{CHECKSUM_LENGTH, EventType, checksum};
use crate::ids::{ServerId, ServerName, StorePosition};
use crate::net::PacketWriter;
use crate::protocol::err::ErrPacket;
use crate::store::{FIRST_EVENT, file_name};

/// A reader that takes nothing for this long is gone or hopeless; it comes again.
const STUCK: Duration = Duration::from_secs(60);

fn sent_bytes(reader: &ServerName) -> Counter {
    counter!("ackline_replica_sent_bytes_total", "replica" => reader.to_string())
}

/// As the reader asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeartbeatFormat {
    V1,
    V2,
}

pub(super) struct Outbox {
    writer: PacketWriter,
    framer: Framer,
    out: BytesMut,
    server_id: ServerId,
    /// Whether artificial events carry a checksum: as the reader asked, until a format description
    /// says that all do.
    checksums: bool,
    heartbeat: HeartbeatFormat,
    /// It asked by a set of GTIDs, as MySQL's replicas do.
    by_set: bool,
    /// The first file's head follows the place where the dump starts in it.
    entered: bool,
    sent_bytes: Counter,
}

impl Outbox {
    pub fn new(
        writer: PacketWriter,
        reader: &ServerName,
        server_id: ServerId,
        semi_sync: bool,
        checksums: bool,
        heartbeat: HeartbeatFormat,
        by_set: bool,
    ) -> Self {
        Self {
            writer,
            framer: Framer::new(semi_sync),
            out: BytesMut::new(),
            server_id,
            checksums,
            heartbeat,
            by_set,
            entered: false,
            sent_bytes: sent_bytes(reader),
        }
    }

    /// The reader turned out to be this one.
    pub fn count_for(&mut self, reader: &ServerName) {
        self.sent_bytes = sent_bytes(reader);
    }

    /// Tells the reader where in our binlog it is.
    pub fn rotate(&mut self, to: StorePosition) {
        let name = file_name(to.file.max(1));
        let rotate = Rotate {
            position: to.offset.max(FIRST_EVENT),
            file: name.as_bytes(),
        };
        let event = rotate.artificial(self.server_id);
        self.artificial(event, 0);
    }

    pub fn heartbeat(&mut self, at: StorePosition) {
        let name = file_name(at.file.max(1));
        let (file, position) = (name.as_bytes(), at.offset.max(FIRST_EVENT));
        let (event, end_log_pos) = match self.heartbeat {
            HeartbeatFormat::V1 => {
                let heartbeat = Heartbeat { file, position };
                (heartbeat.write(self.server_id), heartbeat.end_log_pos())
            }
            // The lower half, as servers do it.
            HeartbeatFormat::V2 => {
                let heartbeat = HeartbeatV2 { file, position };
                (heartbeat.write(self.server_id), position as u32)
            }
        };
        self.artificial(event, end_log_pos);
    }

    pub fn artificial(&mut self, mut event: Vec<u8>, end_log_pos: u32) {
        let sealed = if self.checksums {
            checksum::seal(&mut event, end_log_pos)
        } else {
            checksum::seal_without_checksum(&mut event, end_log_pos)
        };
        debug_assert!(
            sealed.is_ok(),
            "an artificial event is far below the format's limit"
        );
        self.event(&event, false);
    }

    /// One of the events that begin a file. `from` is where the dump began.
    pub fn head(
        &mut self,
        kind: EventType,
        end: StorePosition,
        from: StorePosition,
        event: &[u8],
    ) -> Result<(), Error> {
        let in_the_middle = end.file == from.file && from.offset >= end.offset;
        if kind != EventType::FORMAT_DESCRIPTION {
            // What it says of the file's beginning is not true of a place further on.
            if !in_the_middle {
                self.event(event, false);
            }
            return Ok(());
        }
        if std::mem::replace(&mut self.entered, true) {
            self.rotate(StorePosition::new(end.file, FIRST_EVENT));
        }
        self.checksums = true;
        if in_the_middle && self.by_set {
            // As MySQL's own sources begin, at the file's head: a format description with a position is
            // what makes an applier of several threads roll back the transaction that it had the
            // beginning of when the last connection was lost. Without it the applier waits for ever.
            self.rotate(StorePosition::new(end.file, FIRST_EVENT));
            self.event(event, false);
            self.rotate(from);
        } else if in_the_middle {
            // Position 0: it is not part of what the replica counts.
            let mut event = event[..event.len().saturating_sub(CHECKSUM_LENGTH)].to_vec();
            checksum::seal(&mut event, 0)?;
            self.event(&event, false);
        } else {
            self.event(event, false);
        }
        Ok(())
    }

    /// What ends a file. A STOP says nothing to a replica; a copy of the file has it.
    pub fn tail(&mut self, kind: EventType, event: &[u8], to_a_tool: bool) {
        if kind == EventType::ROTATE || to_a_tool {
            self.event(event, false);
        }
    }

    pub fn event(&mut self, event: &[u8], ack: bool) {
        self.framer.event(&mut self.out, event, ack);
    }

    pub fn end(&mut self) {
        self.framer.end(&mut self.out);
    }

    /// Not cancel-safe, and not to be: a packet would be cut, so the connection ends with it.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let sent = tokio::time::timeout(STUCK, self.writer.send_raw(&self.out)).await;
        self.sent_bytes.increment(self.out.len() as u64);
        self.out.clear();
        match sent {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Error::Peer("the reader takes nothing for 60 s".into())),
        }
    }

    /// The last packet of the connection.
    pub async fn refuse(&mut self, message: &str) -> Result<(), Error> {
        const ER_MASTER_FATAL: u16 = 1236;
        let mut payload = Vec::new();
        ErrPacket::new(ER_MASTER_FATAL, &ErrPacket::GENERAL, message).write(&mut payload);
        self.writer.set_sequence(self.framer.sequence());
        Ok(self.writer.write(&payload).await?)
    }
}
