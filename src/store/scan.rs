//! Walks the transactions of one file, by headers or with every checksum.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::binlog_file::{self, FIRST_EVENT};
use crate::event::format_description::FormatDescription;
use crate::event::{
    CHECKSUM_LENGTH, EventType, HEADER_LENGTH, Header, MAGIC, Start, Step, TransactionTracker,
    checksum,
};
use crate::gtid::{Gtid, State};

/// Reads are this large.
const CHUNK: usize = 256 * 1024;
/// Of a longer event only this much is looked at: enough for a GTID, and for a statement that could
/// be a COMMIT with all its status variables.
const LOOK: usize = 64 * 1024;

/// How far an event is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// By its header, and its place where that tells.
    Headers,
    /// By its checksum.
    Checksums,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundTransaction {
    pub(super) gtid: Gtid,
    pub(super) clock: Option<u64>,
    pub(super) start: u64,
    pub(super) end: u64,
}

#[derive(Debug)]
pub(super) enum Found {
    Transaction(FoundTransaction),
    /// ROTATE or STOP, which ends here.
    Closing(u64),
    /// All is read, and nothing is left over.
    End,
    /// From `at`, the end of the last whole transaction, on there is no whole one: the event at
    /// `event` is not there or not right.
    Broken {
        at: u64,
        event: u64,
        why: String,
    },
}

/// The events that a file begins with.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) description: FormatDescription,
    pub(super) state: State,
    pub(super) end: u64,
    /// When the file was made: Unix time in seconds, by our clock.
    pub(super) created: u32,
}

/// Reads a file's head; the inner error is the file's fault, the outer one the disk's.
pub(super) fn read_head(file: &File) -> io::Result<Result<Head, String>> {
    let length = file.metadata()?.len();
    let mut window = Window::new(file);
    if length < FIRST_EVENT || window.at(0, FIRST_EVENT as usize, length)? != MAGIC {
        return Ok(Err("it does not begin with a binlog's magic".to_owned()));
    }
    let mut at = FIRST_EVENT;
    let description = match window.event(at, length)? {
        Ok((_, bytes)) => match FormatDescription::parse(bytes) {
            Ok(description) => {
                at += bytes.len() as u64;
                description
            }
            Err(error) => return Ok(Err(error.to_string())),
        },
        Err(why) => return Ok(Err(why)),
    };
    let header = match window.event(at, length)? {
        Ok((header, _)) => header,
        Err(why) => return Ok(Err(why)),
    };
    // It must be whole, however long it is; the file is known to be longer.
    let bytes = window.at(at, header.length as usize, length)?;
    let state =
        checksum::strip(bytes, checksum::Algorithm::Crc32).and_then(binlog_file::state_before);
    Ok(match state {
        Ok(state) => Ok(Head {
            description,
            state,
            end: at + u64::from(header.length),
            created: header.timestamp,
        }),
        Err(error) => Err(error.to_string()),
    })
}

/// A piece of a file in memory.
#[derive(Debug)]
pub(super) struct Window<F> {
    file: F,
    bytes: Vec<u8>,
    start: u64,
}

impl<F: std::borrow::Borrow<File>> Window<F> {
    pub(super) fn new(file: F) -> Self {
        Self {
            file,
            bytes: Vec::new(),
            start: 0,
        }
    }

    /// The file's length now.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.borrow().metadata()?.len())
    }

    /// Gives the memory back.
    pub(super) fn forget(&mut self) {
        self.bytes = Vec::new();
        self.start = 0;
    }

    /// `length` bytes at `offset`, which must end before `end`, the file's.
    pub(super) fn at(&mut self, offset: u64, length: usize, end: u64) -> io::Result<&[u8]> {
        let held = self.start..self.start + self.bytes.len() as u64;
        if !(held.contains(&offset) && offset + length as u64 <= held.end) {
            let want = (end - offset).min(CHUNK.max(length) as u64) as usize;
            self.bytes.resize(want, 0);
            // What is held is void until the read is done.
            self.start = u64::MAX / 2;
            self.file.borrow().read_exact_at(&mut self.bytes, offset)?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + length])
    }

    /// The event at `offset`: its header and as much of it as [`LOOK`] allows.
    pub(super) fn event(
        &mut self,
        offset: u64,
        end: u64,
    ) -> io::Result<Result<(Header, &[u8]), String>> {
        let left = end - offset;
        if left < HEADER_LENGTH as u64 {
            return Ok(Err(format!("{left} bytes are no whole header")));
        }
        let header = match Header::parse(self.at(offset, HEADER_LENGTH, end)?) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let length = u64::from(header.length);
        if length < (HEADER_LENGTH + CHECKSUM_LENGTH) as u64 || length > left {
            return Ok(Err(format!(
                "{} says that it has {length} bytes, {left} are there",
                header.kind
            )));
        }
        // The position in the header is the cheapest check there is (it wraps at 4 GiB).
        if header.next_position != (offset + length) as u32 {
            return Ok(Err(format!(
                "{} says that it ends at {}, it ends at {}",
                header.kind,
                header.next_position,
                offset + length
            )));
        }
        let look = (length as usize).min(LOOK);
        Ok(Ok((header, self.at(offset, look, end)?)))
    }

    /// Checks the CRC32 of the event at `offset` piece by piece: it may be larger than memory.
    fn verify(&mut self, offset: u64, length: u64, end: u64) -> io::Result<bool> {
        let covered = length - CHECKSUM_LENGTH as u64;
        let mut crc = crc32fast::Hasher::new();
        let mut done = 0;
        while done < covered {
            let piece = (covered - done).min(LOOK as u64) as usize;
            crc.update(self.at(offset + done, piece, end)?);
            done += piece as u64;
        }
        let checksum = self.at(offset + covered, CHECKSUM_LENGTH, end)?;
        Ok(checksum == crc.finalize().to_le_bytes())
    }
}

/// Goes through a file from a transaction's boundary to `end`.
#[derive(Debug)]
pub(super) struct Scanner {
    window: Window<File>,
    depth: Depth,
    tracker: TransactionTracker,
    open: Option<(Start, u64)>,
    /// Where the next event begins.
    at: u64,
    /// Behind the last whole transaction.
    whole: u64,
    end: u64,
}

impl Scanner {
    pub(super) fn new(file: File, from: u64, end: u64, depth: Depth) -> Self {
        Self {
            window: Window::new(file),
            depth,
            tracker: TransactionTracker::new(),
            open: None,
            at: from,
            whole: from,
            end: end.max(from),
        }
    }

    /// After `Broken` and `End` there is nothing more to ask for.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        loop {
            if self.at == self.end {
                return Ok(match &self.open {
                    None if self.whole < self.at => {
                        self.broken("the file ends behind an incident".to_owned())
                    }
                    None => Found::End,
                    Some((open, _)) => {
                        self.broken(format!("the file ends within transaction {}", open.gtid))
                    }
                });
            }
            let start = self.at;
            let (header, bytes) = match self.window.event(start, self.end)? {
                Ok(event) => event,
                Err(why) => return Ok(self.broken(why)),
            };
            let length = u64::from(header.length);
            // A longer event than we look at keeps its last bytes: they cannot matter.
            let body = bytes.len() - usize::from(bytes.len() as u64 == length) * CHECKSUM_LENGTH;
            let step = self.tracker.feed(&bytes[..body]);
            let kind = header.kind;
            if self.depth == Depth::Checksums && !self.window.verify(start, length, self.end)? {
                return Ok(self.broken(format!("the checksum of {kind} does not fit")));
            }
            let end = start + length;
            match step {
                Err(error) => return Ok(self.broken(error.to_string())),
                Ok(Step::GroupStart(opened)) => self.open = Some((opened, start)),
                Ok(Step::InGroup) => {}
                // It goes with the transaction behind it, or not at all.
                Ok(Step::Outside) if kind == EventType::INCIDENT && self.open.is_none() => {}
                Ok(Step::Outside) if self.open.is_none() => {
                    self.at = end;
                    self.whole = end;
                    if matches!(kind, EventType::ROTATE | EventType::STOP) {
                        return Ok(Found::Closing(end));
                    }
                    continue;
                }
                Ok(Step::Outside) => {
                    return Ok(self.broken(format!("{kind} within a transaction")));
                }
                Ok(Step::GroupEnd) => {
                    self.at = end;
                    self.whole = end;
                    if let Some((Start { gtid, clock }, start)) = self.open.take() {
                        return Ok(Found::Transaction(FoundTransaction {
                            gtid,
                            clock,
                            start,
                            end,
                        }));
                    }
                }
            }
            self.at = end;
        }
    }

    fn broken(&self, why: String) -> Found {
        Found::Broken {
            at: self.whole,
            event: self.at,
            why,
        }
    }
}

/// Where, behind `from`, a whole transaction with valid checksums begins, if anywhere. Events say
/// where they end, so a stray match does not pass.
pub(super) fn find_transaction(file: &File, from: u64, end: u64) -> io::Result<Option<u64>> {
    let mut window = Window::new(file);
    let mut at = from;
    while at + (HEADER_LENGTH as u64) < end {
        let length = (end - at).min(CHUNK as u64) as usize;
        let piece = window.at(at, length, end)?;
        let candidates: Vec<u64> = piece
            .windows(HEADER_LENGTH)
            .enumerate()
            .filter(|(_, header)| {
                let kind = EventType(header[4]);
                matches!(
                    kind,
                    EventType::GTID | EventType::MYSQL_GTID | EventType::MYSQL_TAGGED_GTID
                )
            })
            .filter_map(|(index, header)| {
                let offset = at + index as u64;
                let header = Header::parse(header).ok()?;
                let ends = offset + u64::from(header.length);
                (header.next_position == ends as u32 && ends <= end).then_some(offset)
            })
            .collect();
        for offset in candidates {
            let mut scanner = Scanner::new(file.try_clone()?, offset, end, Depth::Checksums);
            if let Found::Transaction(_) = scanner.next()? {
                return Ok(Some(offset));
            }
        }
        if length < CHUNK {
            break;
        }
        at += (length - HEADER_LENGTH + 1) as u64;
    }
    Ok(None)
}

/// Whether the bytes of `from..to` look like a write that never reached the disk while a later one
/// did: a hole of zeros that ends at a page's boundary, or the event at `from` is nothing but zeros.
pub(super) fn has_hole(file: &File, from: u64, to: u64) -> io::Result<bool> {
    const SECTOR: u64 = 512;
    const PAGE: u64 = 4096;
    let mut bytes = [0; SECTOR as usize];
    let mut page_end = (from / PAGE + 1) * PAGE;
    while page_end <= to {
        let start = from.max(page_end - SECTOR);
        let piece = &mut bytes[..(page_end - start) as usize];
        file.read_exact_at(piece, start)?;
        if piece.len() >= HEADER_LENGTH && piece.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        page_end += PAGE;
    }
    Ok(false)
}
