//! WRITE, UPDATE and DELETE_ROWS (23–25, 30–32), MariaDB's compressed ones (166–171), and MySQL's
//! PARTIAL_UPDATE_ROWS (39).
//!
//! `table id u48 | flags u16 | [from 30 on, and 169–171: length u16, its own two bytes included, extra
//! data] | column count | bitmap of columns | [UPDATE: bitmap of the columns after] | images`, where an
//! image is `bitmap of NULLs among its columns | values`. MariaDB compresses the images only: `0x80 | bytes
//! of the length | length, big-endian | zlib`. An image after a partial update begins with `options |
//! [bit 1 of them: bitmap of the table's JSON columns]`, and a JSON column whose bit is set has, in place of
//! its value, what changed in it.
//!
//! Values are borrowed from the event; an image knows its bytes and decodes a column when it is asked for
//! it, so that nothing is allocated for a row:
//!
//! ```
//! # use ackline::event::{Error, rows::RowsEvent, table_map::TableMap};
//! # fn shown(map: &[u8], event: &[u8]) -> Result<(), Error> {
//! let table = TableMap::parse(map)?;
//! let rows = RowsEvent::parse(event)?;
//! for row in rows.iter(&table)? {
//!     if let Some(after) = row?.after() {
//!         for value in after.values() {
//!             let (column, value) = value?;
//!             println!("{column}: {}", value.literal(&table.columns()[column])?);
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod compressed;
pub mod decimal;
mod image;
pub mod json;
mod literal;
pub mod temporal;
mod value;

use std::borrow::Cow;

use super::table_map::{Layout, TableMap};
use super::unpack::{self, LARGEST};
use super::{Error, EventType, HEADER_LENGTH, Header, put_lenenc};
use crate::cursor::Cursor;

pub use image::{Columns, Form, Image, Images, Padding, write_image};
pub use literal::Literal;
pub use value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Write,
    Update,
    Delete,
}

impl Operation {
    /// What became of the row, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Write => "inserted",
            Self::Update => "updated",
            Self::Delete => "deleted",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    pub kind: EventType,
    pub operation: Operation,
    pub table_id: u64,
    pub flags: u16,
    /// Of version 2, as it came.
    pub extra: &'a [u8],
    columns: usize,
    /// Which columns the images have; those after an UPDATE are listed apart.
    present: [&'a [u8]; 2],
    images: Cow<'a, [u8]>,
}

/// What sets one type of event apart from the other.
struct Kind {
    operation: Operation,
    extended: bool,
    compressed: bool,
}

fn kind_of(kind: EventType) -> Option<Kind> {
    use Operation::{Delete, Update, Write};
    let (operation, extended, compressed) = match kind {
        EventType::WRITE_ROWS_V1 => (Write, false, false),
        EventType::UPDATE_ROWS_V1 => (Update, false, false),
        EventType::DELETE_ROWS_V1 => (Delete, false, false),
        EventType::WRITE_ROWS => (Write, true, false),
        EventType::UPDATE_ROWS | EventType::PARTIAL_UPDATE_ROWS => (Update, true, false),
        EventType::DELETE_ROWS => (Delete, true, false),
        EventType::WRITE_ROWS_COMPRESSED_V1 => (Write, false, true),
        EventType::UPDATE_ROWS_COMPRESSED_V1 => (Update, false, true),
        EventType::DELETE_ROWS_COMPRESSED_V1 => (Delete, false, true),
        EventType::WRITE_ROWS_COMPRESSED => (Write, true, true),
        EventType::UPDATE_ROWS_COMPRESSED => (Update, true, true),
        EventType::DELETE_ROWS_COMPRESSED => (Delete, true, true),
        _ => return None,
    };
    Some(Kind {
        operation,
        extended,
        compressed,
    })
}

impl<'a> RowsEvent<'a> {
    /// Whether [`RowsEvent::parse`] is for such events.
    pub fn is(kind: EventType) -> bool {
        kind_of(kind).is_some()
    }

    /// Decompresses the images where they are compressed, at most to the size of the largest packet (1 GiB).
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        Self::parse_within(event, LARGEST)
    }

    /// Compressed images that make more than `longest` bytes are an error. What they take grows with what
    /// they hold, whatever they promise.
    pub fn parse_within(event: &'a [u8], longest: usize) -> Result<Self, Error> {
        let found = Header::parse(event)?.kind;
        let kind = kind_of(found).ok_or(Error::Kind {
            expected: EventType::WRITE_ROWS,
            found,
        })?;
        let mut body = Cursor::new(&event[HEADER_LENGTH..]);
        let table_id = body.u48()?;
        let flags = body.u16()?;
        let extra = match kind.extended {
            true => {
                let length = usize::from(body.u16()?).checked_sub(2);
                body.take(length.ok_or(Error::Malformed("extra data shorter than their length"))?)?
            }
            false => &[],
        };
        let columns = usize::try_from(body.lenenc_int()?).unwrap_or(usize::MAX);
        let before = body.take(columns.div_ceil(8))?;
        let after = match kind.operation {
            Operation::Update => body.take(columns.div_ceil(8))?,
            Operation::Write | Operation::Delete => before,
        };
        let images = match kind.compressed {
            true => Cow::Owned(unpack::mariadb(body.rest(), longest)?),
            false => Cow::Borrowed(body.rest()),
        };
        Ok(Self {
            kind: found,
            operation: kind.operation,
            table_id,
            flags,
            extra,
            columns,
            present: [before, after],
            images,
        })
    }

    pub fn iter<'r>(&'r self, table: &'r TableMap<'_>) -> Result<Rows<'r>, Error> {
        Ok(Rows {
            operation: self.operation,
            images: self.images(table)?,
        })
    }

    /// The images one after the other: of an UPDATE, the row before and the row after take turns.
    pub fn images<'r>(&'r self, table: &'r TableMap<'_>) -> Result<Images<'r>, Error> {
        if table.table_id != self.table_id {
            return Err(Error::Table {
                rows: self.table_id,
                map: table.table_id,
            });
        }
        if table.columns().len() != self.columns {
            return Err(Error::Malformed("the table map has other columns"));
        }
        let [before, after] = self.present;
        let last = match self.kind {
            EventType::PARTIAL_UPDATE_ROWS => Form::Partial,
            _ => Form::Whole,
        };
        let after = match self.operation {
            Operation::Update => (after, last),
            Operation::Write | Operation::Delete => (before, Form::Whole),
        };
        Ok(Images::new(
            table,
            [(before, Form::Whole), after],
            &self.images,
        ))
    }

    /// Which columns the images have; of an UPDATE, before and after.
    pub fn present(&self) -> [&'a [u8]; 2] {
        self.present
    }

    /// All images as they lie in the event, not compressed.
    pub fn image_bytes(&self) -> &[u8] {
        &self.images
    }

    /// Appends what comes behind the header of an event with this head and the given images, which
    /// [`write_image`] makes. They are not compressed: those of [`EventType`]s that are have no way back.
    pub fn write(&self, images: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let kind = kind_of(self.kind).filter(|kind| !kind.compressed);
        let kind = kind.ok_or(Error::Malformed("rows are not compressed here"))?;
        out.extend_from_slice(&self.table_id.to_le_bytes()[..6]);
        out.extend_from_slice(&self.flags.to_le_bytes());
        if kind.extended {
            let length = u16::try_from(self.extra.len() + 2);
            let length = length.map_err(|_| Error::Malformed("extra data of more than 64 KiB"))?;
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(self.extra);
        }
        put_lenenc(out, self.columns as u64);
        let [before, after] = self.present;
        out.extend_from_slice(before);
        if self.operation == Operation::Update {
            out.extend_from_slice(after);
        }
        out.extend_from_slice(images);
        Ok(())
    }
}

/// One changed row.
#[derive(Clone, Copy, Debug)]
pub enum Row<'r> {
    Inserted(Image<'r>),
    Updated { before: Image<'r>, after: Image<'r> },
    Deleted(Image<'r>),
}

impl<'r> Row<'r> {
    pub fn before(&self) -> Option<&Image<'r>> {
        match self {
            Self::Inserted(_) => None,
            Self::Updated { before, .. } | Self::Deleted(before) => Some(before),
        }
    }

    pub fn after(&self) -> Option<&Image<'r>> {
        match self {
            Self::Inserted(after) | Self::Updated { after, .. } => Some(after),
            Self::Deleted(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Rows<'r> {
    operation: Operation,
    images: Images<'r>,
}

impl<'r> Iterator for Rows<'r> {
    type Item = Result<Row<'r>, Error>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.images.next()? {
            Ok(first) => first,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(match self.operation {
            Operation::Write => Row::Inserted(first),
            Operation::Delete => Row::Deleted(first),
            Operation::Update => match self.images.next() {
                Some(Ok(after)) => Row::Updated {
                    before: first,
                    after,
                },
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    return Some(Err(Error::Malformed(
                        "an updated row without its second image",
                    )));
                }
            },
        }))
    }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
