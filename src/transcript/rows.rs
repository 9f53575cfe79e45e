//! Rows before and after, as literals, with the names of their columns where the source logs them
//! (`binlog_row_metadata=FULL`).

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::io;

use serde::Serialize;

use crate::cursor::Cursor;
use crate::event::rows::{Image, RowsEvent, Value};
use crate::event::table_map::TableMap;
use crate::event::{self, EventType, HEADER_LENGTH};
use crate::sql::shortened::printable;

/// A table's number is good for a statement; more tables no statement has.
const MOST_TABLES: usize = 4096;
/// Of one event; how many more there are is said.
const MOST_ROWS: usize = 1000;
/// Of compressed rows, as much is unpacked.
const LONGEST: usize = 64 << 20;

/// Changes of one table by one event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `database.table`.
    pub table: String,
    /// `inserted`, `updated` or `deleted`.
    pub change: &'static str,
    /// None where the event cannot be read.
    pub rows: Option<u64>,
    /// The first of them.
    pub images: Vec<Images>,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Images {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Change {
    /// What it takes in memory.
    pub(super) fn weight(&self) -> usize {
        let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let images = self.images.iter();
        images
            .map(|images| of(&images.before) + of(&images.after))
            .sum()
    }

    pub(super) fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        let (table, verb) = (&self.table, self.change);
        let Some(rows) = self.rows else {
            return writeln!(
                out,
                "    {table} {verb}: {} bytes that are not shown",
                self.bytes
            );
        };
        writeln!(out, "    {table} {verb}: {rows} row(s)")?;
        for images in &self.images {
            for (sign, image) in [('-', &images.before), ('+', &images.after)] {
                if let Some(image) = image {
                    writeln!(out, "      {sign} {image}")?;
                }
            }
        }
        match rows - self.images.len() as u64 {
            0 => Ok(()),
            more => writeln!(out, "      … and {more} more"),
        }
    }
}

/// The tables that the events of a transaction speak of: their TABLE_MAPs.
#[derive(Debug, Default)]
pub(super) struct Tables(HashMap<u64, Vec<u8>>);

impl Tables {
    /// Takes a TABLE_MAP; one that cannot be read leaves its table without a name.
    pub fn map(&mut self, event: &[u8]) {
        if let Some(id) = id(event)
            && self.0.len() < MOST_TABLES
        {
            self.0.insert(id, event.to_vec());
        }
    }

    /// A transaction ended.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Of a rows event, of which `bytes` are in the file; None for any other. Of a value as much is shown as
    /// `longest` says.
    pub fn change(
        &self,
        kind: EventType,
        event: &[u8],
        bytes: u64,
        longest: usize,
    ) -> Option<Change> {
        if !RowsEvent::is(kind) {
            return None;
        }
        let mut change = Change {
            table: "(a table without a name)".to_owned(),
            change: "changed",
            bytes,
            ..Change::default()
        };
        let map = id(event).and_then(|id| self.0.get(&id));
        if let Some(table) = map.and_then(|map| TableMap::parse(map).ok()) {
            let (database, name) = (printable(table.database), printable(table.table));
            change.table = format!("{database}.{name}");
            // What is broken, or cut since it is very long, is shown as far as it can be read.
            if fill(&mut change, &table, event, longest).is_err() {
                change.rows = None;
            }
        }
        Some(change)
    }
}

fn fill(
    change: &mut Change,
    table: &TableMap<'_>,
    event: &[u8],
    longest: usize,
) -> Result<(), event::Error> {
    let rows = RowsEvent::parse_within(event, LONGEST)?;
    change.change = rows.operation.word();
    let mut names = Vec::new();
    for name in table.names()?.into_iter().flatten() {
        names.push(printable(name?));
    }
    let mut count = 0;
    for row in rows.iter(table)? {
        let row = row?;
        count += 1;
        if change.images.len() < MOST_ROWS {
            let shown = |image: Option<&Image<'_>>| {
                image
                    .map(|image| shown(image, table, &names, longest))
                    .transpose()
            };
            change.images.push(Images {
                before: shown(row.before())?,
                after: shown(row.after())?,
            });
        }
    }
    change.rows = Some(count);
    Ok(())
}

/// `(id=1, name='a')`, or without names.
fn shown(
    image: &Image<'_>,
    table: &TableMap<'_>,
    names: &[String],
    longest: usize,
) -> Result<String, event::Error> {
    let mut text = String::from("(");
    for value in image.values() {
        let (column, value) = value?;
        if text.len() > 1 {
            text.push_str(", ");
        }
        if let Some(name) = names.get(column) {
            text.push_str(name);
            text.push('=');
        }
        let Some(of) = table.columns().get(column) else {
            return Err(event::Error::Malformed(
                "a value of a column that is not there",
            ));
        };
        let mut cut = Cut {
            text: &mut text,
            left: longest,
        };
        // It fails where it is full.
        let written = match words(&value) {
            // Without metadata nobody knows whether it is text; what reads like text is shown as that.
            Some(words) => write!(cut, "'{}'", words.replace('\'', "''")),
            None => write!(cut, "{}", value.literal(of)?),
        };
        if written.is_err() {
            text.push('…');
        }
    }
    text.push(')');
    Ok(text)
}

fn words<'a>(value: &Value<'a>) -> Option<&'a str> {
    let Value::Bytes(bytes) = value else {
        return None;
    };
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// Takes so much and no more, and no control characters.
struct Cut<'a> {
    text: &'a mut String,
    left: usize,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for character in more.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(match character {
                control if control.is_control() => char::REPLACEMENT_CHARACTER,
                other => other,
            });
        }
        Ok(())
    }
}

/// The table's number, which both kinds of event begin with.
fn id(event: &[u8]) -> Option<u64> {
    Cursor::new(event.get(HEADER_LENGTH..)?).u48().ok()
}
