//! WRITE, UPDATE and DELETE_ROWS (23–25, 30–32) and MariaDB's compressed ones (166–171).
//!
//! `table id u48 | flags u16 | [from 30 on, and 169–171: length u16, its own two bytes included, extra
//! data] | column count | bitmap of columns | [UPDATE: bitmap of the columns after] | images`, where an
//! image is `bitmap of NULLs among its columns | values`. MariaDB compresses the images only: `0x80 | bytes
//! of the length | length, big-endian | zlib`.
//!
//! PARTIAL_UPDATE_ROWS (39) is not decoded here. Values are borrowed from the event; an image knows its
//! bytes and decodes a column when it is asked for it.

pub mod decimal;
pub mod temporal;
mod value;

use std::borrow::Cow;
use std::io::Read as _;

use super::table_map::{Layout, TableMap, is_set};
use super::{Error, EventType, HEADER_LENGTH, Header};
use crate::cursor::Cursor;

pub use value::Value;

/// What a server takes as its largest packet, and so as its largest event (1 GiB).
const LARGEST: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Write,
    Update,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsEvent<'a> {
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

impl<'a> RowsEvent<'a> {
    /// Decompresses the images where they are compressed, at most to the size of the largest packet.
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let kind = Header::parse(event)?.kind;
        let (operation, extended, compressed) = match kind {
            EventType::WRITE_ROWS_V1 => (Operation::Write, false, false),
            EventType::UPDATE_ROWS_V1 => (Operation::Update, false, false),
            EventType::DELETE_ROWS_V1 => (Operation::Delete, false, false),
            EventType::WRITE_ROWS => (Operation::Write, true, false),
            EventType::UPDATE_ROWS => (Operation::Update, true, false),
            EventType::DELETE_ROWS => (Operation::Delete, true, false),
            EventType::WRITE_ROWS_COMPRESSED_V1 => (Operation::Write, false, true),
            EventType::UPDATE_ROWS_COMPRESSED_V1 => (Operation::Update, false, true),
            EventType::DELETE_ROWS_COMPRESSED_V1 => (Operation::Delete, false, true),
            EventType::WRITE_ROWS_COMPRESSED => (Operation::Write, true, true),
            EventType::UPDATE_ROWS_COMPRESSED => (Operation::Update, true, true),
            EventType::DELETE_ROWS_COMPRESSED => (Operation::Delete, true, true),
            found => {
                return Err(Error::Kind {
                    expected: EventType::WRITE_ROWS,
                    found,
                });
            }
        };
        let mut body = Cursor::new(&event[HEADER_LENGTH..]);
        let table_id = body.u48()?;
        let flags = body.u16()?;
        let extra = match extended {
            true => {
                let length = usize::from(body.u16()?).checked_sub(2);
                body.take(length.ok_or(Error::Malformed("extra data shorter than their length"))?)?
            }
            false => &[],
        };
        let columns = usize::try_from(body.lenenc_int()?).unwrap_or(usize::MAX);
        let before = body.take(columns.div_ceil(8))?;
        let after = match operation {
            Operation::Update => body.take(columns.div_ceil(8))?,
            Operation::Write | Operation::Delete => before,
        };
        let images = match compressed {
            true => Cow::Owned(decompress(body.rest())?),
            false => Cow::Borrowed(body.rest()),
        };
        Ok(Self {
            operation,
            table_id,
            flags,
            extra,
            columns,
            present: [before, after],
            images,
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
        Ok(Images {
            table,
            present: self.present,
            rest: &self.images,
            index: 0,
        })
    }

    /// All images as they lie in the event, not compressed.
    pub fn image_bytes(&self) -> &[u8] {
        &self.images
    }
}

fn decompress(packed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut cursor = Cursor::new(packed);
    let head = cursor.u8()?;
    // zlib is the only algorithm, 0.
    let (0x80, length @ 1..=4) = (head & 0xf8, usize::from(head & 7)) else {
        return Err(Error::Malformed("rows compressed in an unknown way"));
    };
    let length = cursor.take(length)?;
    let length = length.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    if length > LARGEST {
        return Err(Error::Malformed("compressed rows of more than 1 GiB"));
    }
    let mut rows = Vec::new();
    // One more than promised, so that too many are seen; grows with what is there, not with the promise.
    let read = flate2::read::ZlibDecoder::new(cursor.rest())
        .take(length + 1)
        .read_to_end(&mut rows);
    match read {
        Ok(read) if read as u64 == length => Ok(rows),
        Ok(_) => Err(Error::Malformed("compressed rows of another length")),
        Err(_) => Err(Error::Malformed("compressed rows are damaged")),
    }
}

#[derive(Clone, Debug)]
pub struct Images<'r> {
    table: &'r TableMap<'r>,
    present: [&'r [u8]; 2],
    rest: &'r [u8],
    index: usize,
}

impl<'r> Iterator for Images<'r> {
    type Item = Result<Image<'r>, Error>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let image = self.read();
        if image.is_err() {
            self.rest = &[];
        }
        Some(image)
    }
}

impl<'r> Images<'r> {
    fn read(&mut self) -> Result<Image<'r>, Error> {
        let present = self.present[self.index % 2];
        let columns = self.table.columns();
        let shown = (0..columns.len()).filter(|i| is_set(present, *i)).count();
        // No bytes and no columns would go on for ever.
        if shown == 0 {
            return Err(Error::Malformed("a row without columns"));
        }
        let (nulls, values) = split(self.rest, shown.div_ceil(8))?;
        let mut image = Image {
            table: self.table,
            present,
            nulls,
            values,
        };
        let mut walk = image.values();
        while walk.next_raw()?.is_some() {}
        let left = walk.bytes;
        image.values = &values[..values.len() - left.len()];
        self.rest = left;
        self.index += 1;
        Ok(image)
    }
}

fn split(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), Error> {
    bytes
        .split_at_checked(at)
        .ok_or(Error::Malformed("a row ends within a value"))
}

/// One row, before or after.
#[derive(Clone, Copy, Debug)]
pub struct Image<'r> {
    table: &'r TableMap<'r>,
    present: &'r [u8],
    nulls: &'r [u8],
    values: &'r [u8],
}

impl<'r> Image<'r> {
    /// The columns that the image has, in their order.
    pub fn values(&self) -> Columns<'r> {
        Columns {
            table: self.table,
            present: self.present,
            nulls: self.nulls,
            bytes: self.values,
            column: 0,
            shown: 0,
        }
    }
}

/// Index of the column in its table, and its bytes or NULL.
type Raw<'r> = (usize, Option<&'r [u8]>);

/// Yields (index of the column in its table, value).
#[derive(Clone, Debug)]
pub struct Columns<'r> {
    table: &'r TableMap<'r>,
    present: &'r [u8],
    nulls: &'r [u8],
    bytes: &'r [u8],
    column: usize,
    shown: usize,
}

impl<'r> Columns<'r> {
    /// The next column's index and bytes; None for NULL. Decodes nothing.
    fn next_raw(&mut self) -> Result<Option<Raw<'r>>, Error> {
        while let Some(column) = self.table.columns().get(self.column) {
            let index = self.column;
            self.column += 1;
            if !is_set(self.present, index) {
                continue;
            }
            let shown = self.shown;
            self.shown += 1;
            if is_set(self.nulls, shown) {
                return Ok(Some((index, None)));
            }
            let (value, rest) = split(self.bytes, column.layout.length(self.bytes)?)?;
            self.bytes = rest;
            return Ok(Some((index, Some(value))));
        }
        Ok(None)
    }
}

impl<'r> Iterator for Columns<'r> {
    type Item = Result<(usize, Value<'r>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_raw() {
            Ok(None) => None,
            Ok(Some((index, None))) => Some(Ok((index, Value::Null))),
            Ok(Some((index, Some(bytes)))) => {
                let column = &self.table.columns()[index];
                Some(Value::decode(column, bytes).map(|value| (index, value)))
            }
            Err(error) => {
                self.column = usize::MAX;
                Some(Err(error))
            }
        }
    }
}

/// What fills a bitmap of NULLs behind its last column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As MySQL does.
    Zeros,
    /// As MariaDB does.
    Ones,
}

/// Appends an image of the given values to `out`: the way back of [`Image::values`].
pub fn write_image(
    table: &TableMap<'_>,
    values: &[(usize, Value<'_>)],
    padding: Padding,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let nulls = out.len();
    out.resize(nulls + values.len().div_ceil(8), 0);
    for (shown, (index, value)) in values.iter().enumerate() {
        let column = table.columns().get(*index);
        let column = column.ok_or(Error::Malformed("a value of no column"))?;
        match value {
            Value::Null => out[nulls + shown / 8] |= 1 << (shown % 8),
            value => value.encode(column.layout, out)?,
        }
    }
    if padding == Padding::Ones
        && !values.len().is_multiple_of(8)
        && let Some(last) = out.get_mut(nulls + values.len() / 8)
    {
        *last |= 0xff << (values.len() % 8);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
