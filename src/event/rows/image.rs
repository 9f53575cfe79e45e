//! A row before or after its change: which columns it has, which of them are NULL, and their values.

use super::super::table_map::{Column, Layout, TableMap, is_set};
use super::super::{Error, put_lenenc};
use super::Value;
use crate::cursor::Cursor;

/// Whether an image may have changes in place of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    Partial,
}

/// `PARTIAL_JSON_UPDATES` among the options of an image.
const PARTIAL_JSON: u64 = 1;

#[derive(Clone, Debug)]
pub struct Images<'r> {
    table: &'r TableMap<'r>,
    /// What the images that take turns are like.
    turns: [Turn<'r>; 2],
    rest: &'r [u8],
    index: usize,
    /// MySQL logs `INSERT INTO t () VALUES ()` with a minimal image as a row of no columns, which has no
    /// bytes. More than one in an event it cannot log (error 1534).
    without_bytes: bool,
}

#[derive(Clone, Copy, Debug)]
struct Turn<'r> {
    present: &'r [u8],
    /// Columns that it has.
    shown: usize,
    form: Form,
}

impl<'r> Images<'r> {
    pub(super) fn new(
        table: &'r TableMap<'r>,
        turns: [(&'r [u8], Form); 2],
        rest: &'r [u8],
    ) -> Self {
        let columns = table.columns().len();
        let turns = turns.map(|(present, form)| Turn {
            present,
            shown: (0..columns).filter(|i| is_set(present, *i)).count(),
            form,
        });
        Self {
            table,
            turns,
            rest,
            index: 0,
            without_bytes: turns[0].shown == 0 && rest.is_empty(),
        }
    }

    fn read(&mut self) -> Result<Image<'r>, Error> {
        let turn = self.turns[self.index % 2];
        // No bytes and no columns would go on for ever.
        if turn.shown == 0 {
            return Err(Error::Malformed("a row without columns"));
        }
        let (partial, rest) = match turn.form {
            Form::Whole => (None, self.rest),
            Form::Partial => partial(self.table, self.rest)?,
        };
        let (nulls, values) = split(rest, turn.shown.div_ceil(8))?;
        let mut image = Image {
            table: self.table,
            present: turn.present,
            whole: turn.shown == self.table.columns().len(),
            partial,
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

impl<'r> Iterator for Images<'r> {
    type Item = Result<Image<'r>, Error>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            let image = Image {
                table: self.table,
                present: self.turns[0].present,
                whole: false,
                partial: None,
                nulls: &[],
                values: &[],
            };
            return std::mem::take(&mut self.without_bytes).then_some(Ok(image));
        }
        let image = self.read();
        if image.is_err() {
            self.rest = &[];
        }
        Some(image)
    }
}

/// A bit for each JSON column of the table, if there are such bits, and what is behind them.
fn partial<'r>(
    table: &TableMap<'_>,
    bytes: &'r [u8],
) -> Result<(Option<&'r [u8]>, &'r [u8]), Error> {
    let mut cursor = Cursor::new(bytes);
    match cursor.lenenc_int()? {
        0 => Ok((None, cursor.rest())),
        PARTIAL_JSON => {
            let bits = cursor.take(json_columns(table).div_ceil(8))?;
            Ok((Some(bits), cursor.rest()))
        }
        _ => Err(Error::Malformed("an image of unknown options")),
    }
}

fn is_json(column: &Column) -> bool {
    matches!(column.layout, Layout::Json { .. })
}

fn json_columns(table: &TableMap<'_>) -> usize {
    table.columns().iter().filter(|c| is_json(c)).count()
}

#[inline]
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
    /// Has every column of its table.
    whole: bool,
    partial: Option<&'r [u8]>,
    nulls: &'r [u8],
    values: &'r [u8],
}

impl<'r> Image<'r> {
    /// The columns that the image has, in their order: of each, its index in the table and its value.
    pub fn values(&self) -> Columns<'r> {
        Columns {
            image: *self,
            bytes: self.values,
            column: 0,
            shown: 0,
            json: 0,
        }
    }

    /// None where the image does not have the column.
    pub fn value(&self, column: usize) -> Result<Option<Value<'r>>, Error> {
        let mut columns = self.values();
        while let Some(raw) = columns.next_raw()? {
            if raw.column == column {
                return raw.decode(self.table).map(Some);
            }
        }
        Ok(None)
    }
}

/// Yields (index of the column in its table, value).
#[derive(Clone, Debug)]
pub struct Columns<'r> {
    image: Image<'r>,
    bytes: &'r [u8],
    column: usize,
    shown: usize,
    /// JSON columns so far, those included that the image does not have.
    json: usize,
}

struct Raw<'r> {
    column: usize,
    /// None is NULL.
    bytes: Option<&'r [u8]>,
    /// Changes in place of a JSON value.
    changes: bool,
}

impl<'r> Raw<'r> {
    fn decode(&self, table: &TableMap<'_>) -> Result<Value<'r>, Error> {
        match self.bytes {
            None => Ok(Value::Null),
            Some(bytes) if self.changes => Value::changes(&table.columns()[self.column], bytes),
            Some(bytes) => Value::decode(&table.columns()[self.column], bytes),
        }
    }
}

impl<'r> Columns<'r> {
    /// The next column's bytes; decodes nothing.
    #[inline]
    fn next_raw(&mut self) -> Result<Option<Raw<'r>>, Error> {
        while let Some(column) = self.image.table.columns().get(self.column) {
            let index = self.column;
            self.column += 1;
            let mut changes = false;
            if let Some(partial) = self.image.partial
                && is_json(column)
            {
                changes = is_set(partial, self.json);
                self.json += 1;
            }
            if !self.image.whole && !is_set(self.image.present, index) {
                continue;
            }
            let shown = self.shown;
            self.shown += 1;
            let bytes = if is_set(self.image.nulls, shown) {
                None
            } else {
                let (value, rest) = split(self.bytes, column.layout.length(self.bytes)?)?;
                self.bytes = rest;
                Some(value)
            };
            return Ok(Some(Raw {
                column: index,
                bytes,
                changes,
            }));
        }
        Ok(None)
    }
}

impl<'r> Iterator for Columns<'r> {
    type Item = Result<(usize, Value<'r>), Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.next_raw() {
            Ok(None) => None,
            Ok(Some(raw)) => Some(
                raw.decode(self.image.table)
                    .map(|value| (raw.column, value)),
            ),
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
    form: Form,
    padding: Padding,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    if form == Form::Partial {
        write_partial(table, values, out);
    }
    let nulls = out.len();
    out.resize(nulls + values.len().div_ceil(8), 0);
    for (shown, (index, value)) in values.iter().enumerate() {
        let column = table.columns().get(*index);
        let column = column.ok_or(Error::Malformed("a value of no column"))?;
        match value {
            Value::Null => out[nulls + shown / 8] |= 1 << (shown % 8),
            Value::JsonChanges(_) if form == Form::Whole => {
                return Err(Error::Malformed(
                    "changes of JSON in an image of whole values",
                ));
            }
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

fn write_partial(table: &TableMap<'_>, values: &[(usize, Value<'_>)], out: &mut Vec<u8>) {
    let changed = |column: usize| {
        let mut values = values.iter();
        values.any(|(index, value)| *index == column && matches!(value, Value::JsonChanges(_)))
    };
    if !values
        .iter()
        .any(|(_, value)| matches!(value, Value::JsonChanges(_)))
    {
        put_lenenc(out, 0);
        return;
    }
    put_lenenc(out, PARTIAL_JSON);
    let bits = out.len();
    out.resize(bits + json_columns(table).div_ceil(8), 0);
    let columns = table.columns().iter().enumerate();
    for (json, (index, _)) in columns.filter(|(_, column)| is_json(column)).enumerate() {
        if changed(index) {
            out[bits + json / 8] |= 1 << (json % 8);
        }
    }
}
