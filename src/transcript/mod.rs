//! Transactions as people read them: their statements, and their rows before and after ([`rows`]). Pure: events
//! in, lines out.
//!
//! Invariants: no input makes it panic; of a transaction no more is held than [`MOST_LINES`] and [`MOST_BYTES`],
//! and what is left out is counted; a statement that speaks of a password is not shown; no control character
//! of anybody's data is written.

mod rows;

use std::io::{self, Write};

use serde::Serialize;

use crate::event::execute_load_query::ExecuteLoadQuery;
use crate::event::query::Query;
use crate::event::transaction_payload::TransactionPayload;
use crate::event::{EventType, HEADER_LENGTH, Header};
use crate::sql::shortened::{printable, speaks_of_password};

use rows::Tables;
pub use rows::{Change, Images};

/// As much is shown of a statement at the most.
pub const LONGEST: usize = 16 << 20;
/// Of one transaction.
const MOST_LINES: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    Statement {
        database: Option<String>,
        /// The source's number of the session.
        connection: Option<u32>,
        text: String,
    },
    Rows(Change),
    /// A compressed transaction that cannot be unpacked.
    Packed {
        bytes: u64,
    },
}

/// What one transaction did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lines {
    lines: Vec<Line>,
    /// So many more lines are not shown.
    left_out: u64,
    #[serde(skip)]
    bytes: usize,
}

impl Lines {
    fn add(&mut self, line: Line) {
        let bytes = match &line {
            Line::Statement { text, .. } => text.len(),
            Line::Rows(change) => change.weight(),
            Line::Packed { .. } => 0,
        };
        if self.lines.len() >= MOST_LINES || self.bytes + bytes > MOST_BYTES {
            self.left_out += 1;
        } else {
            self.bytes += bytes;
            self.lines.push(line);
        }
    }

    /// Indented, below what the caller says of the transaction.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for line in &self.lines {
            match line {
                Line::Statement {
                    database: Some(database),
                    text,
                    ..
                } => writeln!(out, "    {database}: {text}")?,
                Line::Statement { text, .. } => writeln!(out, "    {text}")?,
                Line::Rows(change) => change.write(out)?,
                Line::Packed { bytes } => {
                    writeln!(out, "    {bytes} bytes, packed by the source")?;
                }
            }
        }
        match self.left_out {
            0 => Ok(()),
            more => writeln!(out, "    … and {more} more"),
        }
    }
}

/// Reads the events of one transaction after the other.
#[derive(Debug)]
pub struct Transcriber {
    tables: Tables,
    longest: usize,
}

impl Transcriber {
    /// As much is shown of a statement or a value as `longest` says.
    pub fn new(longest: usize) -> Self {
        Self {
            tables: Tables::default(),
            longest,
        }
    }

    /// The transaction's next event, without its checksum; `body` may be its beginning only.
    pub fn event(&mut self, lines: &mut Lines, header: &Header, body: &[u8]) {
        if header.kind != EventType::TRANSACTION_PAYLOAD {
            self.plain(lines, header, body);
            return;
        }
        // One that is too long, or broken, is shown as what it is.
        let payload = TransactionPayload::parse(body).and_then(|packed| packed.unpack(MOST_BYTES));
        let Ok(payload) = payload else {
            let bytes = u64::from(header.length);
            lines.add(Line::Packed { bytes });
            return;
        };
        for event in payload.events().map_while(Result::ok) {
            let Ok(header) = Header::parse(event) else {
                return;
            };
            self.plain(lines, &header, event);
        }
    }

    /// The transaction ended.
    pub fn end(&mut self) {
        self.tables.forget();
    }

    fn plain(&mut self, lines: &mut Lines, header: &Header, body: &[u8]) {
        let (kind, longest) = (header.kind, self.longest);
        let line = match kind {
            EventType::TABLE_MAP => {
                self.tables.map(body);
                return;
            }
            EventType::QUERY | EventType::QUERY_COMPRESSED => query(body, longest),
            EventType::EXECUTE_LOAD_QUERY => load(body, longest),
            EventType::ANNOTATE_ROWS => {
                let text = body.get(HEADER_LENGTH..);
                text.map(|text| statement(None, None, text, longest))
            }
            // A length, which is too short for most, stands before the text.
            EventType::ROWS_QUERY => {
                let text = body.get(HEADER_LENGTH + 1..);
                text.map(|text| statement(None, None, text, longest))
            }
            _ => {
                let bytes = u64::from(header.length);
                let change = self.tables.change(kind, body, bytes, longest);
                change.map(Line::Rows)
            }
        };
        if let Some(line) = line {
            lines.add(line);
        }
    }
}

/// None for what only frames a transaction.
fn query(body: &[u8], longest: usize) -> Option<Line> {
    let query = Query::parse(body).ok()?;
    let text = query.statement.text(LONGEST).ok()?;
    if matches!(&*text, b"BEGIN" | b"COMMIT") {
        return None;
    }
    Some(statement(
        Some(query.database),
        Some(query.thread_id),
        &text,
        longest,
    ))
}

fn load(body: &[u8], longest: usize) -> Option<Line> {
    let query = ExecuteLoadQuery::parse(body).ok()?;
    Some(statement(
        Some(query.database),
        Some(query.thread_id),
        query.statement,
        longest,
    ))
}

fn statement(
    database: Option<&[u8]>,
    connection: Option<u32>,
    text: &[u8],
    longest: usize,
) -> Line {
    let database = database.filter(|name| !name.is_empty());
    Line::Statement {
        database: database.map(printable),
        connection,
        text: shown(text, longest),
    }
}

/// Of a statement's text, as much as may be shown.
pub fn shown(text: &[u8], longest: usize) -> String {
    match speaks_of_password(text) {
        true => "(not shown: it may hold a password)".to_owned(),
        false if text.len() > longest => {
            format!("{}… ({} bytes)", printable(&text[..longest]), text.len())
        }
        false => printable(text),
    }
}

#[cfg(test)]
mod tests;
