//! From the source's packets to what our store does with them. Pure: bytes in, decisions out.
//!
//! One `Feed` lives as long as one dump connection. It knows where in the source's binlog the stream is, where in a
//! transaction, and, right after an attach, that the first transaction is the one our store already ends with and must
//! be compared instead of stored.

use std::sync::Arc;

use super::coordinates::Coordinates;
use crate::event::digest::{Digester, TransactionDigest};
use crate::event::format_description::FormatDescription;
use crate::event::heartbeat::Heartbeat;
use crate::event::heartbeat_v2::HeartbeatV2;
use crate::event::rotate::Rotate;
use crate::event::{self, Algorithm, EventType, Header, Step, TransactionTracker, checksum};
use crate::gtid::Gtid;
use crate::ids::SourcePosition;
use crate::protocol;
use crate::protocol::semi_sync::EventPacket;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the source sent a broken event: {0}")]
    Event(#[from] event::Error),
    #[error("the source sent {0}")]
    Packet(#[from] protocol::Error),
    #[error("the source sent {0}")]
    Unexpected(String),
    #[error(
        "the source has another transaction under {gtid} than our store: they have parted ways before it"
    )]
    Different { gtid: Gtid },
    #[error("the source's dump starts with {found} where our store ends with {expected}")]
    Elsewhere { expected: Gtid, found: Gtid },
}

/// The transaction that our store ends with, which the dump must start with.
#[derive(Clone, Debug)]
pub struct Expected {
    pub gtid: Gtid,
    pub digest: TransactionDigest,
}

/// What to do with one packet. Events borrow from the packet and come without their checksum.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    Nothing,
    /// The positions of this file that were told so far are higher by so much.
    Higher {
        by: u64,
    },
    /// The source's FORMAT_DESCRIPTION: template of our files' headers.
    Format(&'a [u8]),
    /// The source could not log what it changed here, between two transactions.
    Incident(&'a [u8]),
    /// One more event of the running transaction.
    Append(&'a [u8]),
    /// The last event of a transaction, which ends at `position` in the source's binlog.
    Commit {
        event: &'a [u8],
        gtid: Gtid,
        position: SourcePosition,
        ack_wanted: bool,
    },
    /// The store's last transaction came again and is the same: the source is proven.
    Verified {
        position: SourcePosition,
        ack_wanted: bool,
    },
}

enum Phase {
    /// The first transaction is compared, not stored.
    Comparing {
        expected: Expected,
        content: Box<Digester>,
    },
    Storing,
}

pub struct Feed {
    semi_sync: bool,
    coordinates: Coordinates,
    /// Of the source's present file. Ours have checksums in any case.
    algorithm: Algorithm,
    tracker: TransactionTracker,
    running: Option<Gtid>,
    phase: Phase,
    /// Events of transactions so far.
    events: u64,
}

impl Feed {
    /// `expected`: none where the store is empty and the dump starts from its base.
    pub fn new(semi_sync: bool, expected: Option<Expected>) -> Self {
        Self {
            events: 0,
            semi_sync,
            coordinates: Coordinates::default(),
            algorithm: Algorithm::Crc32,
            tracker: TransactionTracker::default(),
            running: None,
            phase: match expected {
                Some(expected) => Phase::Comparing {
                    expected,
                    content: Box::default(),
                },
                None => Phase::Storing,
            },
        }
    }

    /// Whether the source is still to be proven by its first transaction.
    pub fn is_comparing(&self) -> bool {
        matches!(self.phase, Phase::Comparing { .. })
    }

    /// The server's own file that the stream is in.
    pub fn file(&self) -> &Arc<str> {
        self.coordinates.file()
    }

    /// The transaction that is being sent, from its first event to the one before its last.
    pub fn running(&self) -> Option<&Gtid> {
        self.running.as_ref()
    }

    /// Where the event that came last begins.
    pub fn begin(&self) -> SourcePosition {
        self.coordinates.begin()
    }

    /// Grows with every event that is part of a transaction, and with every heartbeat from further on in the file (where
    /// the source skips what we have). A source that only says that it lives makes no progress.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The event in a packet, as it came.
    pub fn event<'a>(&self, payload: &'a [u8]) -> Result<&'a [u8], protocol::Error> {
        EventPacket::parse(payload, self.semi_sync).map(|packet| packet.event)
    }

    pub fn packet<'a>(&mut self, payload: &'a [u8]) -> Result<Action<'a>, Error> {
        let EventPacket { event, ack_wanted } = EventPacket::parse(payload, self.semi_sync)?;
        let header = Header::parse(event)?;
        self.coordinates.event(&header);
        match header.kind {
            EventType::FORMAT_DESCRIPTION => {
                self.algorithm = FormatDescription::parse(event)?.algorithm();
                if self.algorithm == Algorithm::Off {
                    tracing::warn!(file = %self.file(), "the source logs without checksums (binlog_checksum): nothing tells a damaged event");
                }
                return Ok(Action::Format(event));
            }
            EventType::ROTATE => {
                self.coordinates.rotate(&next_file(event)?);
                return Ok(Action::Nothing);
            }
            EventType::HEARTBEAT => {
                let told = Heartbeat::parse(stripped(event)).ok();
                return Ok(self.heartbeat(told.map(|told| (told.file, told.position))));
            }
            EventType::HEARTBEAT_V2 => {
                let told = HeartbeatV2::parse(stripped(event)).ok();
                return Ok(self.heartbeat(told.map(|told| (told.file, told.position))));
            }
            // These speak of the source's own files; ours have their own.
            EventType::GTID_LIST
            | EventType::PREVIOUS_GTIDS
            | EventType::BINLOG_CHECKPOINT
            | EventType::STOP
            | EventType::START_ENCRYPTION => {
                return Ok(Action::Nothing);
            }
            _ => {}
        }
        let event = checksum::strip(event, self.algorithm)?;
        if header.kind == EventType::INCIDENT && !self.tracker.is_inside() {
            return Ok(match self.phase {
                // It stands before what we have, and so do we have it.
                Phase::Comparing { .. } => Action::Nothing,
                Phase::Storing => Action::Incident(event),
            });
        }
        self.events += 1;
        let ends = match self.tracker.feed(event)? {
            Step::Outside => {
                return Err(Error::Unexpected(format!(
                    "a {:?} event outside of a transaction, after {}",
                    header.kind,
                    self.coordinates.begin()
                )));
            }
            Step::GroupStart(start) => {
                self.running = Some(start.gtid);
                false
            }
            Step::InGroup => false,
            Step::GroupEnd => true,
        };
        let position = self.coordinates.end();
        match &mut self.phase {
            Phase::Storing if !ends => Ok(Action::Append(event)),
            Phase::Storing => {
                let gtid = self.running.take().ok_or_else(|| {
                    Error::Unexpected("the end of a transaction that never began".into())
                })?;
                Ok(Action::Commit {
                    event,
                    gtid,
                    position,
                    ack_wanted,
                })
            }
            Phase::Comparing { expected, content } => {
                if let Some(gtid) = &self.running
                    && *gtid != expected.gtid
                {
                    return Err(Error::Elsewhere {
                        expected: expected.gtid.clone(),
                        found: gtid.clone(),
                    });
                }
                content.event(event);
                if !ends {
                    return Ok(Action::Nothing);
                }
                let content = std::mem::take(content).finish();
                if !content.is_of_the_same(&expected.digest) {
                    return Err(Error::Different {
                        gtid: expected.gtid.clone(),
                    });
                }
                self.running = None;
                self.phase = Phase::Storing;
                Ok(Action::Verified {
                    position,
                    ack_wanted,
                })
            }
        }
    }

    /// One that cannot be read still says that the source lives.
    fn heartbeat<'a>(&mut self, told: Option<(&[u8], u64)>) -> Action<'a> {
        let before = self.coordinates.end();
        let higher = told.and_then(|(file, position)| self.coordinates.heartbeat(file, position));
        self.events += u64::from(self.coordinates.end() != before);
        match higher {
            Some(by) => Action::Higher { by },
            None => Action::Nothing,
        }
    }
}

/// Whether a heartbeat has a checksum depends on what was asked for, and not on the file. Where it does not fit, it is
/// left, and the heartbeat cannot be read or is of another file.
fn stripped(event: &[u8]) -> &[u8] {
    checksum::strip(event, Algorithm::Crc32).unwrap_or(event)
}

/// Whether a ROTATE has a checksum depends on what was asked for, on the file before it and on the file that it
/// names (where `binlog_checksum` was changed). So without one it counts only where the whole rest is a file's
/// name: acknowledgements carry it, and what a wrong name does to the source is not known.
fn next_file(event: &[u8]) -> Result<Rotate<'_>, event::Error> {
    let checked = match checksum::strip(event, Algorithm::Crc32) {
        Ok(event) => return Rotate::parse(event),
        Err(error) => error,
    };
    let rotate = Rotate::parse(checksum::strip(event, Algorithm::Off)?)?;
    let name = std::str::from_utf8(rotate.file).unwrap_or_default();
    let whole = name.rsplit_once('.').is_some_and(|(base, number)| {
        !base.is_empty() && number.len() >= 6 && number.bytes().all(|digit| digit.is_ascii_digit())
    });
    match whole {
        true => Ok(rotate),
        false => Err(checked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::seal;
    use crate::ids::ServerId;

    fn rotate(file: &[u8]) -> Vec<u8> {
        let rotate = Rotate { position: 4, file };
        rotate.artificial(ServerId(1))
    }

    #[test]
    fn a_rotate_with_or_without_checksum_names_the_file() {
        for file in [b"bin.000005".as_slice(), b"a.b.1000000", b"no number"] {
            let mut event = rotate(file);
            seal(&mut event, 0).unwrap();
            assert_eq!(next_file(&event).unwrap().file, file);
        }
        let mut event = rotate(b"bin.000005");
        let length = event.len() as u32;
        event[9..13].copy_from_slice(&length.to_le_bytes());
        assert_eq!(next_file(&event).unwrap().file, b"bin.000005");
    }

    /// One of either form, for a stream that is in `bin.000005` at 4.
    fn heartbeats(position: u64) -> [Vec<u8>; 2] {
        let file = b"bin.000005";
        let v1 = Heartbeat { file, position };
        let v2 = HeartbeatV2 { file, position };
        let mut events = [v1.write(ServerId(1)), v2.write(ServerId(1))];
        seal(&mut events[0], v1.end_log_pos()).unwrap();
        seal(&mut events[1], position as u32).unwrap();
        events
    }

    fn begun() -> Feed {
        let mut feed = Feed::new(false, None);
        let mut event = rotate(b"bin.000005");
        seal(&mut event, 0).unwrap();
        feed.packet(&[&[0], &event[..]].concat()).unwrap();
        feed
    }

    #[test]
    fn a_heartbeat_tells_the_whole_number() {
        for event in heartbeats((1 << 32) + 4) {
            let mut feed = begun();
            let packet = [&[0], &event[..]].concat();
            assert_eq!(
                feed.packet(&packet).unwrap(),
                Action::Higher { by: 1 << 32 }
            );
            assert_eq!(feed.events(), 1);
            assert_eq!(feed.packet(&packet).unwrap(), Action::Nothing);
            assert_eq!(feed.events(), 1);
        }
    }

    #[test]
    fn a_damaged_heartbeat_tells_nothing() {
        for event in heartbeats((1 << 32) + 4) {
            // Kind and length are needed to know it as one.
            for at in (0..event.len()).filter(|at| ![4, 9, 10, 11, 12].contains(at)) {
                let mut damaged = event.clone();
                damaged[at] ^= 0x01;
                let mut feed = begun();
                let packet = [&[0], &damaged[..]].concat();
                assert_eq!(feed.packet(&packet).unwrap(), Action::Nothing, "at {at}");
            }
        }
    }

    #[test]
    fn a_damaged_rotate_names_none() {
        let mut event = rotate(b"bin.000005");
        seal(&mut event, 0).unwrap();
        for at in 0..event.len() {
            let mut damaged = event.clone();
            damaged[at] ^= 0x08;
            assert!(next_file(&damaged).is_err(), "at {at}");
        }
    }
}
