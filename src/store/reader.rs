//! Reads the binlog from any transaction's end and follows it as it grows.
//!
//! A reader has its own descriptor and its own place: it takes no lock that a writer holds while it
//! works, and memory for one batch, which the caller keeps and hands in again.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::binlog_file::{self, FIRST_EVENT, file_name};
use super::catalogue::End;
use super::{Error, Shared};
use crate::event::{CHECKSUM_LENGTH, EventType, HEADER_LENGTH, Header, Step, TransactionTracker};
use crate::gtid::Gtid;
use crate::ids::StorePosition;

/// What an event is to the dump that sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Format description or GTID list of the file, given at each file that a reader enters, also in
    /// its middle.
    Head,
    /// Begins the transaction.
    Start(Gtid),
    Inside,
    /// Ends the transaction.
    End(Gtid),
    /// An INCIDENT, between transactions.
    Between,
    /// ROTATE or STOP: ends the file.
    Tail,
}

/// One event of a [`Batch`].
#[derive(Clone, Debug)]
pub struct BatchEvent {
    from: usize,
    to: usize,
    /// Where it ends in our binlog.
    pub end: StorePosition,
    pub kind: EventType,
    pub place: Place,
}

/// Events of one file, in order, in one piece of memory.
#[derive(Debug, Default)]
pub struct Batch {
    /// Longer than what counts, so that it is not filled anew each time.
    bytes: Vec<u8>,
    events: Vec<BatchEvent>,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Each event with its raw bytes, checksum included.
    pub fn iter(&self) -> impl Iterator<Item = (&BatchEvent, &[u8])> + '_ {
        self.events
            .iter()
            .map(|event| (event, &self.bytes[event.from..event.to]))
    }

    /// Where the last event ends.
    pub fn end(&self) -> Option<StorePosition> {
        self.events.last().map(|event| event.end)
    }

    fn clear(&mut self) {
        self.events.clear();
    }

    /// Room for `length` bytes at the front.
    fn room(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
        &mut self.bytes[..length]
    }
}

#[derive(Debug)]
struct OpenFile {
    number: u32,
    file: File,
    /// The head is still to be given.
    head: Option<u64>,
}

/// A place in the binlog that moves forward.
pub struct Reader {
    shared: Arc<Shared>,
    open: Option<OpenFile>,
    /// Where the next event begins.
    at: StorePosition,
    tracker: TransactionTracker,
    running: Option<Gtid>,
}

impl Reader {
    /// From `at`, the end of a transaction or of a file's head.
    pub(super) fn new(shared: Arc<Shared>, at: StorePosition) -> Result<Self, Error> {
        let mut reader = Self {
            shared,
            open: None,
            at,
            tracker: TransactionTracker::new(),
            running: None,
        };
        if at == StorePosition::ZERO {
            let first = reader
                .shared
                .catalogue
                .read()
                .files
                .first()
                .map(|file| file.number);
            reader.at.file = first.unwrap_or(1);
        }
        Ok(reader)
    }

    /// What was read last ends here.
    pub fn position(&self) -> StorePosition {
        self.at
    }

    /// Gives the next events of one file, up to `limit` and to what is written, and about
    /// `max_bytes` of them, but at least one. Empty: there is nothing more up to there. Never blocks
    /// on anything but the disk.
    pub fn next_batch(
        &mut self,
        limit: StorePosition,
        max_bytes: usize,
        out: &mut Batch,
    ) -> Result<(), Error> {
        out.clear();
        let written = self.shared.marks.now().written;
        let limit = limit.min(written);
        loop {
            if limit.file < self.at.file || limit == StorePosition::ZERO {
                return Ok(());
            }
            let (readable, end) = self.readable(written)?;
            let number = self.at.file;
            let open = self.open_file()?;
            if let Some(head_end) = open.head.take() {
                self.read(FIRST_EVENT, head_end, usize::MAX, out)?;
                self.at.offset = self.at.offset.max(head_end);
                return Ok(());
            }
            let stop = match limit.file == number {
                true => readable.min(limit.offset),
                false => readable,
            };
            if self.at.offset < stop {
                let end = self.read(self.at.offset, stop, max_bytes, out)?;
                self.at.offset = end;
                return Ok(());
            }
            if end == End::Open || limit.file == number {
                return Ok(());
            }
            self.at = StorePosition::new(number + 1, FIRST_EVENT);
            self.open = None;
        }
    }

    /// How far the present file may be read, and how it ends.
    fn readable(&self, written: StorePosition) -> Result<(u64, End), Error> {
        let number = self.at.file;
        let catalogue = self.shared.catalogue.read();
        let Some(entry) = catalogue.file(number) else {
            return Err(Error::Missing {
                file: file_name(number),
            });
        };
        let readable = entry.readable(written);
        match entry.end {
            End::Cut(cut) if self.at.offset > cut => Err(Error::TakenBack {
                sent: self.at,
                valid: StorePosition::new(number, cut),
            }),
            end => Ok((readable, end)),
        }
    }

    fn open_file(&mut self) -> Result<&mut OpenFile, Error> {
        let number = self.at.file;
        let open = match self.open.take() {
            Some(open) if open.number == number => open,
            _ => {
                let path = binlog_file::path(&self.shared.dir, number);
                let file = File::open(&path).map_err(|source| Error::io("open", &path, source))?;
                let head = self
                    .shared
                    .catalogue
                    .read()
                    .file(number)
                    .map(|file| file.head_end);
                OpenFile { number, file, head }
            }
        };
        Ok(self.open.insert(open))
    }

    /// Reads whole events of `from..to` into `out`; where the last one ends.
    fn read(
        &mut self,
        from: u64,
        to: u64,
        max_bytes: usize,
        out: &mut Batch,
    ) -> Result<u64, Error> {
        let number = self.at.file;
        let path = || binlog_file::path(&self.shared.dir, number);
        let Some(open) = &self.open else {
            return Err(Error::Misuse("no file is open"));
        };
        let mut want = (to - from).min(max_bytes.max(HEADER_LENGTH) as u64) as usize;
        loop {
            let bytes = out.room(want);
            open.file
                .read_exact_at(bytes, from)
                .map_err(|source| Error::io("read", &path(), source))?;
            let mut at = 0;
            while want - at >= HEADER_LENGTH {
                let rest = &out.bytes[at..want];
                let length = Header::parse(rest)?.length as usize;
                let left = (to - from) as usize - at;
                if length < HEADER_LENGTH + CHECKSUM_LENGTH || length > left {
                    return Err(Error::Corrupt {
                        file: file_name(number),
                        at: from + at as u64,
                        reason: format!("an event of {length} bytes, {left} are there"),
                    });
                }
                if length > rest.len() {
                    break;
                }
                let event = &rest[..length];
                let (kind, place) = place(&mut self.tracker, &mut self.running, event)?;
                out.events.push(BatchEvent {
                    from: at,
                    to: at + length,
                    end: StorePosition::new(number, from + (at + length) as u64),
                    kind,
                    place,
                });
                at += length;
            }
            if at > 0 || want as u64 == to - from {
                return Ok(from + at as u64);
            }
            // A single event that is larger than a batch.
            want = Header::parse(&out.bytes[..want])?.length as usize;
        }
    }
}

fn place(
    tracker: &mut TransactionTracker,
    running: &mut Option<Gtid>,
    event: &[u8],
) -> Result<(EventType, Place), Error> {
    let kind = Header::parse(event)?.kind;
    let place = match tracker.feed(&event[..event.len() - CHECKSUM_LENGTH])? {
        Step::GroupStart(start) => {
            *running = Some(start.gtid.clone());
            Place::Start(start.gtid)
        }
        Step::InGroup => Place::Inside,
        Step::GroupEnd => match running.take() {
            Some(gtid) => Place::End(gtid),
            None => return Err(Error::Misuse("a transaction ends that did not begin")),
        },
        Step::Outside => match kind {
            EventType::ROTATE | EventType::STOP => Place::Tail,
            EventType::INCIDENT => Place::Between,
            _ => Place::Head,
        },
    };
    Ok((kind, place))
}
