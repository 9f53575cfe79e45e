//! EXECUTE_LOAD_QUERY (18): a LOAD DATA whose file came in the events before it.
//!
//! QUERY's post-header, `file u32 | start u32 | end u32 | duplicates u8`, then QUERY's body; start and end
//! are where the file's name stands in the statement.

use super::{Error, EventType};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecuteLoadQuery<'a> {
    pub thread_id: u32,
    pub status_variables: &'a [u8],
    pub database: &'a [u8],
    pub statement: &'a [u8],
    file_name: [u32; 2],
}

impl<'a> ExecuteLoadQuery<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let mut body = super::body(event, EventType::EXECUTE_LOAD_QUERY)?;
        let thread_id = body.u32()?;
        body.skip(4)?;
        let database = usize::from(body.u8()?);
        body.skip(2)?;
        let status = usize::from(body.u16()?);
        body.skip(4)?;
        let file_name = [body.u32()?, body.u32()?];
        body.skip(1)?;
        let status_variables = body.take(status)?;
        let database = body.take(database)?;
        if body.u8()? != 0 {
            return Err(Error::Malformed("a database's name does not end with NUL"));
        }
        Ok(Self {
            thread_id,
            status_variables,
            database,
            statement: body.rest(),
            file_name,
        })
    }

    /// Where the file's name stands in the statement; none where the event says something impossible.
    pub fn file_name(&self) -> Option<std::ops::Range<usize>> {
        let [start, end] = self.file_name.map(|at| at as usize);
        self.statement.get(start..end).map(|_| start..end)
    }
}
