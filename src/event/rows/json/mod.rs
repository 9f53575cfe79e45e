//! MySQL's binary JSON (`sql-common/json_binary.h`), read into a [`Document`] that prints as the server does.
//!
//! `type u8 | value`. An object or array is `count | bytes | per member of an object: where its key lies, and the
//! key's length | per member: its type, and where its value lies or, of a small number or a literal, the
//! value | keys | values`; numbers have two bytes, in large ones four. Places count from the container's
//! beginning.
//!
//! Invariant: the bytes that a document's parts claim are counted, and are no more than there are. So values
//! that point to each other's bytes are an error, and a few bytes cannot become a large document. Nesting
//! ends where the servers end it.

mod diff;
mod number;
mod opaque;
mod text;

use std::borrow::Cow;

use super::super::Error;
use super::super::table_map::ColumnType;
use crate::cursor::Cursor;

pub use diff::{Diff, Diffs, Operation};

/// `JSON_DOCUMENT_MAX_DEPTH`; the servers count from 1.
const DEEPEST: usize = 101;

/// Borrowed from the event; [`std::fmt::Display`] is the text that the server prints.
#[derive(Clone, Debug, PartialEq)]
pub enum Document<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    /// In utf8mb4.
    String(&'a [u8]),
    /// A value of SQL that JSON knows no type for: DECIMAL, dates and times, binary strings.
    Opaque {
        kind: ColumnType,
        bytes: &'a [u8],
    },
    Array(Vec<Document<'a>>),
    /// Sorted by the keys' lengths, then by their bytes.
    Object(Vec<(Cow<'a, [u8]>, Document<'a>)>),
}

const SMALL_OBJECT: u8 = 0x00;
const LARGE_OBJECT: u8 = 0x01;
const SMALL_ARRAY: u8 = 0x02;
const LARGE_ARRAY: u8 = 0x03;
const LITERAL: u8 = 0x04;
const INT16: u8 = 0x05;
const UINT16: u8 = 0x06;
const INT32: u8 = 0x07;
const UINT32: u8 = 0x08;
const INT64: u8 = 0x09;
const UINT64: u8 = 0x0a;
const DOUBLE: u8 = 0x0b;
const STRING: u8 = 0x0c;
const OPAQUE: u8 = 0x0f;

const TOO_DEEP: Error = Error::Malformed("JSON nested deeper than servers do");
const CUT: Error = Error::Malformed("a JSON value is cut short");

impl<'a> Document<'a> {
    /// No bytes at all are the value of a column that was never set; the server prints it as null.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let Some((kind, value)) = bytes.split_first() else {
            return Ok(Self::Null);
        };
        let mut reader = Reader { left: bytes.len() };
        reader.value(*kind, value, 1)
    }
}

/// How many bytes places and counts have.
#[derive(Clone, Copy)]
enum Width {
    Two,
    Four,
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    fn read(self, cursor: &mut Cursor<'_>) -> Result<usize, Error> {
        Ok(match self {
            Self::Two => usize::from(cursor.u16()?),
            Self::Four => cursor.u32()? as usize,
        })
    }
}

struct Reader {
    /// Bytes that no part has claimed yet.
    left: usize,
}

impl Reader {
    fn claim(&mut self, bytes: usize) -> Result<(), Error> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or(Error::Malformed("JSON values that lie upon each other"))?;
        Ok(())
    }

    fn value<'a>(
        &mut self,
        kind: u8,
        bytes: &'a [u8],
        depth: usize,
    ) -> Result<Document<'a>, Error> {
        let mut cursor = Cursor::new(bytes);
        let document = match kind {
            SMALL_OBJECT => return self.object(bytes, Width::Two, depth),
            LARGE_OBJECT => return self.object(bytes, Width::Four, depth),
            SMALL_ARRAY => return self.array(bytes, Width::Two, depth),
            LARGE_ARRAY => return self.array(bytes, Width::Four, depth),
            LITERAL => literal(cursor.u8()?)?,
            INT16 => Document::Int(i64::from(cursor.u16()? as i16)),
            UINT16 => Document::UInt(u64::from(cursor.u16()?)),
            INT32 => Document::Int(i64::from(cursor.u32()? as i32)),
            UINT32 => Document::UInt(u64::from(cursor.u32()?)),
            INT64 => Document::Int(cursor.u64()? as i64),
            UINT64 => Document::UInt(cursor.u64()?),
            DOUBLE => Document::Double(f64::from_bits(cursor.u64()?)),
            STRING => {
                let length = length(&mut cursor)?;
                Document::String(cursor.take(length)?)
            }
            OPAQUE => {
                let kind = ColumnType(cursor.u8()?);
                let length = length(&mut cursor)?;
                let bytes = cursor.take(length)?;
                Document::Opaque { kind, bytes }
            }
            _ => return Err(Error::Malformed("JSON of an unknown type")),
        };
        self.claim(cursor.position())?;
        Ok(document)
    }

    /// The container's bytes, a cursor behind its head, and its count.
    fn container<'a>(
        &mut self,
        bytes: &'a [u8],
        width: Width,
        depth: usize,
        entry: usize,
    ) -> Result<(&'a [u8], Cursor<'a>, usize), Error> {
        if depth > DEEPEST {
            return Err(TOO_DEEP);
        }
        let mut cursor = Cursor::new(bytes);
        let count = width.read(&mut cursor)?;
        let size = width.read(&mut cursor)?;
        let own = bytes.get(..size).ok_or(CUT)?;
        // Before anything is made for so many members.
        let entries = count.checked_mul(entry).ok_or(CUT)?;
        self.claim(2 * width.bytes() + entries)?;
        Ok((own, cursor, count))
    }

    fn array<'a>(
        &mut self,
        bytes: &'a [u8],
        width: Width,
        depth: usize,
    ) -> Result<Document<'a>, Error> {
        let (own, mut entries, count) = self.container(bytes, width, depth, 1 + width.bytes())?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            members.push(self.member(own, &mut entries, width, depth)?);
        }
        Ok(Document::Array(members))
    }

    fn object<'a>(
        &mut self,
        bytes: &'a [u8],
        width: Width,
        depth: usize,
    ) -> Result<Document<'a>, Error> {
        let entry = 2 * width.bytes() + 3;
        let (own, mut keys, count) = self.container(bytes, width, depth, entry)?;
        let mut values = keys.clone();
        values.skip(count * (width.bytes() + 2))?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let at = width.read(&mut keys)?;
            let length = usize::from(keys.u16()?);
            let key = own.get(at..).and_then(|own| own.get(..length)).ok_or(CUT)?;
            self.claim(length)?;
            let value = self.member(own, &mut values, width, depth)?;
            members.push((Cow::Borrowed(key), value));
        }
        Ok(Document::Object(members))
    }

    fn member<'a>(
        &mut self,
        own: &'a [u8],
        entries: &mut Cursor<'a>,
        width: Width,
        depth: usize,
    ) -> Result<Document<'a>, Error> {
        let kind = entries.u8()?;
        let entry = entries.take(width.bytes())?;
        let mut cursor = Cursor::new(entry);
        // Claimed with the entries.
        match (kind, width) {
            (LITERAL, _) => literal(cursor.u8()?),
            (INT16, _) => Ok(Document::Int(i64::from(cursor.u16()? as i16))),
            (UINT16, _) => Ok(Document::UInt(u64::from(cursor.u16()?))),
            (INT32, Width::Four) => Ok(Document::Int(i64::from(cursor.u32()? as i32))),
            (UINT32, Width::Four) => Ok(Document::UInt(u64::from(cursor.u32()?))),
            _ => {
                let at = width.read(&mut cursor)?;
                self.value(kind, own.get(at..).ok_or(CUT)?, depth + 1)
            }
        }
    }
}

fn literal<'a>(byte: u8) -> Result<Document<'a>, Error> {
    Ok(match byte {
        0 => Document::Null,
        1 => Document::Bool(true),
        2 => Document::Bool(false),
        _ => return Err(Error::Malformed("an unknown JSON literal")),
    })
}

/// Seven bits a byte, the lowest first.
fn length(cursor: &mut Cursor<'_>) -> Result<usize, Error> {
    let mut length = 0;
    for shift in (0..35).step_by(7) {
        let byte = cursor.u8()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Error::Malformed("a JSON length of more than five bytes"))
}

#[cfg(test)]
mod tests;
