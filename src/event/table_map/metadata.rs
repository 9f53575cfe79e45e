//! The optional metadata of a table map, field by field, read where they lie.

use super::super::Error;
use crate::cursor::Cursor;

/// Orders are those of the table's columns, of the kind that the field is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A bit per numeric column, the highest first; 1 is unsigned.
    Signedness(&'a [u8]),
    /// Of CHAR, VARCHAR, TEXT and their binary counterparts.
    Charsets(Charsets<'a>),
    Names(Names<'a>),
    /// For each SET column, then each of its values.
    SetValues(Values<'a>),
    EnumValues(Values<'a>),
    /// One length-encoded number per geometry column.
    GeometryTypes(&'a [u8]),
    PrimaryKey(PrimaryKey<'a>),
    EnumAndSetCharsets(Charsets<'a>),
    Visibility(Visibility<'a>),
    /// One length-encoded number per VECTOR column.
    VectorDimensions(&'a [u8]),
    /// Of a server newer than this list.
    Unknown {
        kind: u8,
        value: &'a [u8],
    },
}

/// Numbers of collations, as in `information_schema.collations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charsets<'a> {
    /// One for all but the listed columns: pairs of index and number, length-encoded.
    Default { charset: u64, others: &'a [u8] },
    /// One length-encoded number per column.
    Each(&'a [u8]),
}

impl Charsets<'_> {
    /// The charset of the `index`th column that has one.
    pub fn of(&self, index: usize) -> Result<u64, Error> {
        match self {
            Self::Default { charset, others } => {
                let mut others = Cursor::new(others);
                while !others.is_empty() {
                    let column = others.lenenc_int()?;
                    let other = others.lenenc_int()?;
                    if column == index as u64 {
                        return Ok(other);
                    }
                }
                Ok(*charset)
            }
            Self::Each(charsets) => {
                let mut charsets = Cursor::new(charsets);
                for _ in 0..index {
                    charsets.lenenc_int()?;
                }
                Ok(charsets.lenenc_int()?)
            }
        }
    }
}

/// One after the other, each behind its length.
#[derive(Clone, Debug)]
pub struct Names<'a>(Cursor<'a>);

impl PartialEq for Names<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.clone().rest() == other.0.clone().rest()
    }
}

impl Eq for Names<'_> {}

impl<'a> Iterator for Names<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let name = self.0.lenenc_bytes();
        if name.is_err() {
            self.0.rest();
        }
        Some(name.map_err(Error::from))
    }
}

/// Yields one column's list of values after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values<'a>(Names<'a>);

impl<'a> Iterator for Values<'a> {
    type Item = Result<Names<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let cursor = &mut self.0.0;
        if cursor.is_empty() {
            return None;
        }
        let column = values_of_column(cursor);
        if column.is_err() {
            cursor.rest();
        }
        Some(column)
    }
}

fn values_of_column<'a>(cursor: &mut Cursor<'a>) -> Result<Names<'a>, Error> {
    let count = cursor.lenenc_int()?;
    let mut ahead = cursor.clone();
    let begin = ahead.position();
    for _ in 0..count {
        ahead.lenenc_bytes()?;
    }
    let length = ahead.position() - begin;
    Ok(Names(Cursor::new(cursor.take(length)?)))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrimaryKey<'a> {
    /// Length-encoded indexes of columns.
    Whole(&'a [u8]),
    /// Pairs of index and length of the prefix, 0 where the whole column counts.
    Prefixes(&'a [u8]),
}

impl<'a> PrimaryKey<'a> {
    /// (column, length of its prefix or 0).
    pub fn columns(&self) -> impl Iterator<Item = Result<(u64, u64), Error>> + 'a {
        let (mut cursor, prefixes) = match self {
            Self::Whole(bytes) => (Cursor::new(bytes), false),
            Self::Prefixes(bytes) => (Cursor::new(bytes), true),
        };
        std::iter::from_fn(move || {
            if cursor.is_empty() {
                return None;
            }
            let mut read = || {
                let column = cursor.lenenc_int()?;
                let prefix = if prefixes { cursor.lenenc_int()? } else { 0 };
                Ok((column, prefix))
            };
            let pair = read();
            if pair.is_err() {
                cursor.rest();
            }
            Some(pair)
        })
    }
}

/// A bit per column, the highest first; 1 is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visibility<'a>(&'a [u8]);

impl Visibility<'_> {
    pub fn is_visible(&self, column: usize) -> bool {
        let byte = self.0.get(column / 8);
        byte.is_none_or(|byte| byte & (0x80 >> (column % 8)) != 0)
    }
}

#[derive(Clone, Debug)]
pub struct Fields<'a>(Cursor<'a>);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(Cursor::new(bytes))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = field(&mut self.0);
        if field.is_err() {
            self.0.rest();
        }
        Some(field)
    }
}

fn field<'a>(cursor: &mut Cursor<'a>) -> Result<Field<'a>, Error> {
    let kind = cursor.u8()?;
    let value = cursor.lenenc_bytes()?;
    let names = || Names(Cursor::new(value));
    Ok(match kind {
        1 => Field::Signedness(value),
        2 => Field::Charsets(default_charset(value)?),
        3 => Field::Charsets(Charsets::Each(value)),
        4 => Field::Names(names()),
        5 => Field::SetValues(Values(names())),
        6 => Field::EnumValues(Values(names())),
        7 => Field::GeometryTypes(value),
        8 => Field::PrimaryKey(PrimaryKey::Whole(value)),
        9 => Field::PrimaryKey(PrimaryKey::Prefixes(value)),
        10 => Field::EnumAndSetCharsets(default_charset(value)?),
        11 => Field::EnumAndSetCharsets(Charsets::Each(value)),
        12 => Field::Visibility(Visibility(value)),
        13 => Field::VectorDimensions(value),
        kind => Field::Unknown { kind, value },
    })
}

fn default_charset(value: &[u8]) -> Result<Charsets<'_>, Error> {
    let mut value = Cursor::new(value);
    Ok(Charsets::Default {
        charset: value.lenenc_int()?,
        others: value.rest(),
    })
}
