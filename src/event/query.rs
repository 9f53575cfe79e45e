//! QUERY (2) and QUERY_COMPRESSED (165): a statement as it was run.
//!
//! `thread u32 | seconds u32 | length of the database's name u8 | error u16 | length of the status
//! variables u16 | status variables | database, NUL | statement`.

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
