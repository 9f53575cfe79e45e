//! From the source's packets to what our store does with them. Pure: bytes in, decisions out.
//!
//! One `Feed` lives as long as one dump connection. It knows which file of the source the stream is
//! in, where in a transaction it is, and, right after an attach, that the first transaction is the
//! one our store already ends with and must be compared instead of stored.

use std::sync::Arc;

use crate::event::digest::{Digester, TransactionDigest};
use crate::event::format_description::FormatDescription;
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
    #[error("the source sends events without checksums: SET GLOBAL binlog_checksum=CRC32 on it")]
    NoChecksum,
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
    /// The source's FORMAT_DESCRIPTION: template of our files' headers.
    Format(&'a [u8]),
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
        content: Digester,
    },
    Storing,
}

pub struct Feed {
    semi_sync: bool,
    file: Arc<str>,
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
            file: "".into(),
            tracker: TransactionTracker::default(),
            running: None,
            phase: match expected {
                Some(expected) => Phase::Comparing {
                    expected,
                    content: Digester::default(),
                },
                None => Phase::Storing,
            },
        }
    }

    /// Whether the source is still to be proven by its first transaction.
    pub fn is_comparing(&self) -> bool {
        matches!(self.phase, Phase::Comparing { .. })
    }

    /// Grows with every event that is part of a transaction; a source that only sends heartbeats makes
    /// no progress.
    pub fn events(&self) -> u64 {
        self.events
    }

    pub fn packet<'a>(&mut self, payload: &'a [u8]) -> Result<Action<'a>, Error> {
        let EventPacket { event, ack_wanted } = EventPacket::parse(payload, self.semi_sync)?;
        let header = Header::parse(event)?;
        match header.kind {
            EventType::FORMAT_DESCRIPTION => {
                if FormatDescription::parse(event)?.algorithm() != Algorithm::Crc32 {
                    return Err(Error::NoChecksum);
                }
                return Ok(Action::Format(event));
            }
            // Before the format description the artificial ROTATE tells the file; its checksum follows
            // what we asked for, so it is there.
            EventType::ROTATE => {
                let rotate = Rotate::parse(checksum::strip(event, Algorithm::Crc32)?)?;
                self.file = String::from_utf8_lossy(rotate.file).into();
                return Ok(Action::Nothing);
            }
            // These speak of the source's own files; ours have their own.
            EventType::GTID_LIST
            | EventType::PREVIOUS_GTIDS
            | EventType::BINLOG_CHECKPOINT
            | EventType::STOP
            | EventType::HEARTBEAT
            | EventType::HEARTBEAT_V2
            | EventType::START_ENCRYPTION => {
                return Ok(Action::Nothing);
            }
            _ => {}
        }
        let event = checksum::strip(event, Algorithm::Crc32)?;
        self.events += 1;
        let ends = match self.tracker.feed(event)? {
            Step::Outside => {
                return Err(Error::Unexpected(format!(
                    "a {:?} event outside of a transaction, after {}:{}",
                    header.kind, self.file, header.next_position
                )));
            }
            Step::GroupStart(start) => {
                self.running = Some(start.gtid);
                false
            }
            Step::InGroup => false,
            Step::GroupEnd => true,
        };
        let position = || SourcePosition {
            file: self.file.clone(),
            offset: u64::from(header.next_position),
        };
        match &mut self.phase {
            Phase::Storing if !ends => Ok(Action::Append(event)),
            Phase::Storing => {
                let gtid = self.running.take().ok_or_else(|| {
                    Error::Unexpected("the end of a transaction that never began".into())
                })?;
                Ok(Action::Commit {
                    event,
                    gtid,
                    position: position(),
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
                if std::mem::take(content).finish() != expected.digest {
                    return Err(Error::Different {
                        gtid: expected.gtid.clone(),
                    });
                }
                let position = position();
                self.running = None;
                self.phase = Phase::Storing;
                Ok(Action::Verified {
                    position,
                    ack_wanted,
                })
            }
        }
    }
}
