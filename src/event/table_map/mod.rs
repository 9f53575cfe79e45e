//! TABLE_MAP (19): a table's number in the rows events that follow, and how its columns lie in them.
//!
//! `table id u48 | flags u16 | length u8, database, NUL | length u8, table, NUL | column count | one type
//! byte per column | length, type metadata | bitmap of nullable columns | optional metadata`.
//!
//! The optional metadata are fields of type, length and value, by `binlog_row_metadata`: MySQL's MINIMAL
//! gives signedness and charsets, FULL also names, values, keys; MariaDB's default NO_LOG gives none.

mod column;
mod metadata;

use super::{Error, EventType, put_lenenc};
use crate::cursor::Cursor;

pub use column::{Charset, Column, ColumnType, Layout, Signedness};
pub use metadata::{Charsets, Field, Fields, Names, PrimaryKey, Values, Visibility};

/// No server has more in a table (`MAX_FIELDS`).
const MAX_COLUMNS: u64 = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMap<'a> {
    /// Names the table up to the statement's last rows event.
    pub table_id: u64,
    pub flags: u16,
    pub database: &'a [u8],
    pub table: &'a [u8],
    columns: Vec<Column>,
    optional: &'a [u8],
}

impl<'a> TableMap<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let mut body = super::body(event, EventType::TABLE_MAP)?;
        let table_id = body.u48()?;
        let flags = body.u16()?;
        let database = name(&mut body)?;
        let table = name(&mut body)?;
        let count = body.lenenc_int()?;
        if count > MAX_COLUMNS {
            return Err(Error::Malformed("a table of more than 4096 columns"));
        }
        let types = body.take(count as usize)?;
        let mut metadata = Cursor::new(body.lenenc_bytes()?);
        let nullable = body.take(types.len().div_ceil(8))?;
        let mut columns = Vec::with_capacity(types.len());
        for (index, kind) in types.iter().enumerate() {
            columns.push(Column::parse(
                ColumnType(*kind),
                &mut metadata,
                is_set(nullable, index),
            )?);
        }
        if !metadata.is_empty() {
            return Err(Error::Malformed("type metadata of no column"));
        }
        let mut map = Self {
            table_id,
            flags,
            database,
            table,
            columns,
            optional: body.rest(),
        };
        map.read_signedness()?;
        // Nothing depends on them but how text is shown: a server that counts columns otherwise is none to
        // refuse.
        if map.read_charsets().is_err() {
            for column in &mut map.columns {
                column.charset = Charset::Unknown;
            }
        }
        Ok(map)
    }

    /// Appends what comes behind the header of such an event.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.table_id.to_le_bytes()[..6]);
        out.extend_from_slice(&self.flags.to_le_bytes());
        for name in [self.database, self.table] {
            // Parsed from behind one byte of length.
            out.push(name.len() as u8);
            out.extend_from_slice(name);
            out.push(0);
        }
        put_lenenc(out, self.columns.len() as u64);
        out.extend(self.columns.iter().map(|column| column.logged().0));
        let mut metadata = Vec::with_capacity(2 * self.columns.len());
        let mut nullable = vec![0; self.columns.len().div_ceil(8)];
        for (index, column) in self.columns.iter().enumerate() {
            column.write_metadata(&mut metadata);
            if column.nullable {
                nullable[index / 8] |= 1 << (index % 8);
            }
        }
        put_lenenc(out, metadata.len() as u64);
        out.extend_from_slice(&metadata);
        out.extend_from_slice(&nullable);
        out.extend_from_slice(self.optional);
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What the server tells beyond what decoding takes.
    pub fn metadata(&self) -> Fields<'a> {
        Fields::new(self.optional)
    }

    /// The columns' names, where the source logs them (`binlog_row_metadata = FULL`).
    pub fn names(&self) -> Result<Option<Names<'a>>, Error> {
        for field in self.metadata() {
            if let Field::Names(names) = field? {
                return Ok(Some(names));
            }
        }
        Ok(None)
    }

    /// For who knows the table from elsewhere: MariaDB logs no signedness by default.
    pub fn declare(&mut self, column: usize, signedness: Signedness) {
        if let Some(column) = self.columns.get_mut(column) {
            column.signedness = signedness;
        }
    }

    fn read_signedness(&mut self) -> Result<(), Error> {
        for field in Fields::new(self.optional) {
            let Field::Signedness(bits) = field? else {
                continue;
            };
            let numeric = self.columns.iter_mut().filter(|c| c.kind.is_numeric());
            for (index, column) in numeric.enumerate() {
                let byte = bits
                    .get(index / 8)
                    .ok_or(Error::Malformed("signedness of too few columns"))?;
                column.signedness = match byte & (0x80 >> (index % 8)) {
                    0 => Signedness::Signed,
                    _ => Signedness::Unsigned,
                };
            }
        }
        Ok(())
    }
}

impl TableMap<'_> {
    fn read_charsets(&mut self) -> Result<(), Error> {
        for field in Fields::new(self.optional) {
            let Field::Charsets(charsets) = field? else {
                continue;
            };
            let mut columns: Vec<&mut Column> = self
                .columns
                .iter_mut()
                .filter(|column| column.kind.is_character())
                .collect();
            match charsets {
                Charsets::Default { charset, others } => {
                    for column in &mut columns {
                        column.charset = Charset::of_collation(charset);
                    }
                    let mut others = Cursor::new(others);
                    while !others.is_empty() {
                        let index = others.lenenc_int()?;
                        let charset = Charset::of_collation(others.lenenc_int()?);
                        let column = columns.get_mut(usize::try_from(index).unwrap_or(usize::MAX));
                        column.ok_or(OF_NO_COLUMN)?.charset = charset;
                    }
                }
                Charsets::Each(charsets) => {
                    let mut charsets = Cursor::new(charsets);
                    for column in &mut columns {
                        column.charset = Charset::of_collation(charsets.lenenc_int()?);
                    }
                    if !charsets.is_empty() {
                        return Err(OF_NO_COLUMN);
                    }
                }
            }
        }
        Ok(())
    }
}

const OF_NO_COLUMN: Error = Error::Malformed("a charset of no column");

fn name<'a>(body: &mut Cursor<'a>) -> Result<&'a [u8], Error> {
    let length = usize::from(body.u8()?);
    let name = body.take(length)?;
    match body.u8()? {
        0 => Ok(name),
        _ => Err(Error::Malformed("a name does not end with NUL")),
    }
}

/// Bitmaps of the rows' format begin with the lowest bit.
pub(super) fn is_set(bitmap: &[u8], index: usize) -> bool {
    bitmap
        .get(index / 8)
        .is_some_and(|byte| byte & (1 << (index % 8)) != 0)
}
