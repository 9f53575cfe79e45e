//! QUERY (2) and QUERY_COMPRESSED (165): a statement as it was run.
//!
//! `thread u32 | seconds u32 | length of the database's name u8 | error u16 | length of the status
//! variables u16 | status variables | database, NUL | statement`.

use std::borrow::Cow;
use std::io::Read;

use super::{Error, EventType, Header};
use crate::cursor::Cursor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement<'a> {
    Text(&'a [u8]),
    /// As the server packed it: a length and a zlib stream.
    Compressed(&'a [u8]),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    pub thread_id: u32,
    pub error_code: u16,
    pub status_variables: &'a [u8],
    pub database: &'a [u8],
    pub statement: Statement<'a>,
}

impl<'a> Statement<'a> {
    /// The text; of a packed one at most `longest` bytes, so that a few bytes cannot ask for much memory.
    ///
    /// Packed: `1 | algorithm, 3 bits | length of the length, 4 bits`, the length (big-endian), a zlib
    /// stream (`query_event_uncompress` in MariaDB's `log_event.cc`).
    pub fn text(self, longest: usize) -> Result<Cow<'a, [u8]>, Error> {
        let packed = match self {
            Self::Text(text) => return Ok(Cow::Borrowed(text)),
            Self::Compressed(packed) => packed,
        };
        let mut packed = Cursor::new(packed);
        let header = packed.u8()?;
        if header & 0xf0 != 0x80 {
            return Err(Error::Malformed("a statement is packed in an unknown way"));
        }
        packed.skip(usize::from(header & 0x07))?;
        let mut text = Vec::new();
        flate2::bufread::ZlibDecoder::new(packed.rest())
            .take(longest as u64)
            .read_to_end(&mut text)
            .map_err(|_| Error::Malformed("a packed statement cannot be unpacked"))?;
        Ok(Cow::Owned(text))
    }
}

/// The session's `sql_mode`, as far as it decides how a text is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlMode(pub u64);

impl SqlMode {
    const ANSI_QUOTES: u64 = 1 << 2;
    const IGNORE_SPACE: u64 = 1 << 3;
    const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

    /// From an event's status variables: code 0 with 4 bytes of flags and code 1 with the mode come
    /// first, in this order (`Query_log_event::write`).
    pub fn parse(status_variables: &[u8]) -> Self {
        const FLAGS: u8 = 0;
        const MODE: u8 = 1;
        let mut variables = Cursor::new(status_variables);
        let mut mode = || {
            let mut code = variables.u8()?;
            if code == FLAGS {
                variables.skip(4)?;
                code = variables.u8()?;
            }
            match code {
                MODE => variables.u64(),
                _ => Ok(0),
            }
        };
        Self(mode().unwrap_or(0))
    }

    pub fn has_ansi_quotes(self) -> bool {
        self.0 & Self::ANSI_QUOTES != 0
    }

    pub fn ignores_space(self) -> bool {
        self.0 & Self::IGNORE_SPACE != 0
    }

    pub fn has_no_backslash_escapes(self) -> bool {
        self.0 & Self::NO_BACKSLASH_ESCAPES != 0
    }
}

/// What a statement does to the transaction that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Commit,
    Rollback,
}

impl<'a> Query<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let header = Header::parse(event)?;
        let mut body = match header.kind {
            EventType::QUERY | EventType::QUERY_COMPRESSED => {
                Cursor::new(&event[super::HEADER_LENGTH..])
            }
            found => {
                return Err(Error::Kind {
                    expected: EventType::QUERY,
                    found,
                });
            }
        };
        let thread_id = body.u32()?;
        body.skip(4)?;
        let database = usize::from(body.u8()?);
        let error_code = body.u16()?;
        let status = usize::from(body.u16()?);
        let status_variables = body.take(status)?;
        let database = body.take(database)?;
        if body.u8()? != 0 {
            return Err(Error::Malformed("a database's name does not end with NUL"));
        }
        let text = body.rest();
        Ok(Self {
            thread_id,
            error_code,
            status_variables,
            database,
            statement: match header.kind {
                EventType::QUERY => Statement::Text(text),
                _ => Statement::Compressed(text),
            },
        })
    }

    /// Whether the event is a whole COMMIT or ROLLBACK (not `ROLLBACK TO`), as the server writes it
    /// at the end of a transaction without XID. Never compressed: the shortest statement that a
    /// server compresses has ten bytes (`log_bin_compress_min_len`).
    pub fn ending(&self) -> Option<Ending> {
        match self.statement {
            Statement::Text(b"COMMIT") => Some(Ending::Commit),
            Statement::Text(b"ROLLBACK") => Some(Ending::Rollback),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let mut variables = vec![0, 1, 0, 0, 0, 1];
        variables.extend_from_slice(&(1_u64 << 20 | 1 << 3).to_le_bytes());
        let mode = SqlMode::parse(&variables);
        assert!(mode.ignores_space() && mode.has_no_backslash_escapes());
        for cut in 0..variables.len() {
            assert_eq!(SqlMode::parse(&variables[..cut]), SqlMode(0));
        }
    }

    #[test]
    fn packed_texts() {
        use std::io::Write;
        let mut zlib = flate2::write::ZlibEncoder::new(vec![0x81, 9], Default::default());
        zlib.write_all(b"DELETE FROM t WHERE a = 1").unwrap();
        let packed = zlib.finish().unwrap();
        let text = |longest| Statement::Compressed(&packed).text(longest).unwrap();
        assert_eq!(text(100).as_ref(), b"DELETE FROM t WHERE a = 1");
        assert_eq!(text(6).as_ref(), b"DELETE");
        for broken in [&b""[..], &[0x81], &[0x81, 9, 1, 2, 3], &[0x41, 9]] {
            assert!(Statement::Compressed(broken).text(100).is_err());
        }
    }
}
