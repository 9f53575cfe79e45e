//! What rows events say of themselves without their rows: the table, and what was done to it.
//!
//! The one place where values before and after would come in, once rows are decoded.

use std::collections::HashMap;

use serde::Serialize;

use crate::cursor::{self, Cursor};
use crate::event::{EventType, HEADER_LENGTH};
use crate::sql::shortened::printable;

/// A table's number is good for a statement; more tables no statement has.
const MOST_TABLES: usize = 4096;

/// Changes of one table by one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// `database.table`.
    pub table: String,
    /// `inserted`, `updated` or `deleted`.
    pub change: &'static str,
    pub events: u64,
    pub bytes: u64,
}

/// The tables that the events of a transaction speak of.
#[derive(Debug, Default)]
pub(super) struct Tables(HashMap<u64, String>);

impl Tables {
    /// Takes a TABLE_MAP; one that cannot be read leaves its table without a name.
    pub fn map(&mut self, event: &[u8]) {
        if let Ok((id, name)) = table_map(event)
            && self.0.len() < MOST_TABLES
        {
            self.0.insert(id, name);
        }
    }

    /// A transaction ended.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Of a rows event, of which `bytes` are in the file; None for any other.
    pub fn change(&self, kind: EventType, event: &[u8], bytes: u64) -> Option<Change> {
        let change = change(kind)?;
        let id = id(&mut Cursor::new(event.get(HEADER_LENGTH..)?)).ok();
        let table = id.and_then(|id| self.0.get(&id).cloned());
        Some(Change {
            table: table.unwrap_or_else(|| "(a table without a name)".to_owned()),
            change,
            events: 1,
            bytes,
        })
    }
}

fn change(kind: EventType) -> Option<&'static str> {
    Some(match kind {
        EventType::WRITE_ROWS
        | EventType::WRITE_ROWS_V1
        | EventType::WRITE_ROWS_COMPRESSED
        | EventType::WRITE_ROWS_COMPRESSED_V1 => "inserted",
        EventType::UPDATE_ROWS
        | EventType::UPDATE_ROWS_V1
        | EventType::PARTIAL_UPDATE_ROWS
        | EventType::UPDATE_ROWS_COMPRESSED
        | EventType::UPDATE_ROWS_COMPRESSED_V1 => "updated",
        EventType::DELETE_ROWS
        | EventType::DELETE_ROWS_V1
        | EventType::DELETE_ROWS_COMPRESSED
        | EventType::DELETE_ROWS_COMPRESSED_V1 => "deleted",
        _ => return None,
    })
}

/// `table id u48 | flags u16 | length u8, database, NUL | length u8, table, NUL | …`
fn table_map(event: &[u8]) -> Result<(u64, String), cursor::Error> {
    let mut body = Cursor::new(event.get(HEADER_LENGTH..).unwrap_or_default());
    let id = id(&mut body)?;
    body.skip(2)?;
    let database = name(&mut body)?;
    let table = name(&mut body)?;
    Ok((id, format!("{database}.{table}")))
}

fn id(body: &mut Cursor<'_>) -> Result<u64, cursor::Error> {
    let (low, high) = (body.u32()?, body.u16()?);
    Ok(u64::from(high) << 32 | u64::from(low))
}

fn name(body: &mut Cursor<'_>) -> Result<String, cursor::Error> {
    let length = usize::from(body.u8()?);
    let name = printable(body.take(length)?);
    body.skip(1)?;
    Ok(name)
}
