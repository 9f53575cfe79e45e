//! Goes through the binlog's events without holding any of them, and without the store: also where another
//! process has it open, and beside the writer.
//!
//! Of an event no more than [`LONGEST`] bytes are looked at; row events, which nobody asks for here, by
//! their first bytes only.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use super::binlog_file::{self, FIRST_EVENT, file_name};
use super::scan::Window;
use crate::event::{CHECKSUM_LENGTH, EventType, HEADER_LENGTH, Header};
use crate::ids::StorePosition;

/// A statement that is longer is known by this much of it.
pub const LONGEST: usize = 16 << 20;

/// An event, or its beginning.
#[derive(Debug)]
pub struct Skimmed<'a> {
    pub header: Header,
    /// As it is in the file; the checksum is there if the event is whole.
    pub bytes: &'a [u8],
    pub start: StorePosition,
    pub end: StorePosition,
}

impl<'a> Skimmed<'a> {
    /// Of bytes without a checksum, as if they were a file's first event; None where they have no header.
    #[cfg(test)]
    pub(crate) fn without_checksum(bytes: &'a [u8]) -> Option<Self> {
        let mut header = Header::parse(bytes).ok()?;
        // So that none of it is taken for a checksum.
        header.length = (bytes.len() + CHECKSUM_LENGTH) as u32;
        Some(Self {
            header,
            bytes,
            start: StorePosition::new(1, FIRST_EVENT),
            end: StorePosition::new(1, FIRST_EVENT + u64::from(header.length)),
        })
    }

    /// Without the checksum.
    pub fn body(&self) -> &'a [u8] {
        if self.bytes.len() == self.header.length as usize {
            &self.bytes[..self.bytes.len().saturating_sub(CHECKSUM_LENGTH)]
        } else {
            self.bytes
        }
    }
}

#[derive(Debug)]
struct Open {
    window: Window<File>,
    /// The format description is still to be given, since we begin behind it.
    head: bool,
    /// The window holds more than it needs.
    large: bool,
    /// Its length, once the file is complete.
    complete: Option<u64>,
}

#[derive(Debug)]
pub struct Skim {
    dir: PathBuf,
    at: StorePosition,
    open: Option<Open>,
    /// Row events as well.
    whole: bool,
}

impl Skim {
    /// From `at`, the end of a transaction or of a file's head.
    pub fn new(dir: &Path, at: StorePosition) -> Self {
        Self {
            dir: dir.to_owned(),
            at,
            open: None,
            whole: false,
        }
    }

    /// Also of row events and compressed transactions all that [`LONGEST`] allows is given.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    pub fn position(&self) -> StorePosition {
        self.at
    }

    /// The next event that ends at `limit` or before, which must be where an event ends. The files before
    /// `limit`'s are read to their ends.
    pub fn next(&mut self, limit: StorePosition) -> Result<Option<Skimmed<'_>>, Error> {
        if self.at == StorePosition::ZERO {
            return Ok(None);
        }
        while self.at.file < limit.file && self.at.offset >= self.length()? {
            self.at = StorePosition::new(self.at.file + 1, FIRST_EVENT);
            self.open = None;
        }
        if self.at >= limit {
            return Ok(None);
        }
        let end = match self.at.file < limit.file {
            true => self.length()?,
            false => limit.offset,
        };
        let number = self.at.file;
        let failed = |dir: &Path, error| Error::io("read", &binlog_file::path(dir, number), error);
        let (mut at, mut moves) = (self.at.offset, true);
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        let open = self.open.insert(open);
        if std::mem::take(&mut open.head) {
            (at, moves) = (FIRST_EVENT, false);
        }
        if std::mem::take(&mut open.large) {
            open.window.forget();
        }
        let (header, looked) = match open
            .window
            .event(at, end)
            .map_err(|error| failed(&self.dir, error))?
        {
            Ok((header, bytes)) => (header, bytes.len()),
            Err(reason) => {
                return Err(Error::Corrupt {
                    file: file_name(number),
                    at,
                    reason,
                });
            }
        };
        let length = header.length as usize;
        let wanted = match header.kind {
            EventType::QUERY | EventType::QUERY_COMPRESSED | EventType::EXECUTE_LOAD_QUERY => {
                length.min(LONGEST)
            }
            _ if self.whole => length.min(LONGEST),
            _ => looked,
        };
        open.large = wanted > looked;
        if moves {
            self.at.offset = at + u64::from(header.length);
        }
        let bytes = open.window.at(at, wanted.max(HEADER_LENGTH), end);
        Ok(Some(Skimmed {
            header,
            bytes: bytes.map_err(|error| failed(&self.dir, error))?,
            start: StorePosition::new(number, at),
            end: StorePosition::new(number, at + u64::from(header.length)),
        }))
    }

    fn open_file(&self) -> Result<Open, Error> {
        let path = binlog_file::path(&self.dir, self.at.file);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing {
                file: file_name(self.at.file),
            },
            _ => Error::io("open", &path, error),
        })?;
        Ok(Open {
            window: Window::new(file),
            head: self.at.offset > FIRST_EVENT,
            large: false,
            complete: None,
        })
    }

    /// Of a file that another one follows.
    fn length(&mut self) -> Result<u64, Error> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        let open = self.open.insert(open);
        if let Some(length) = open.complete {
            return Ok(length);
        }
        let length = open.window.length().map_err(|error| {
            let path = binlog_file::path(&self.dir, self.at.file);
            Error::io("look at", &path, error)
        })?;
        Ok(*open.complete.insert(length))
    }
}
