//! A value as SQL says it, so that the server stores the same bytes again.
//!
//! Independent of `sql_mode` and of the connection's charset: texts with a backslash or a control character, and
//! bytes of a charset that is not known here, are in hex. A TIMESTAMP is given in UTC, so the session's
//! `time_zone` must be `'+00:00'`; ENUM and SET are given by number. JSON is text, so a DECIMAL, a date
//! or a binary string inside of a document comes back as JSON's own number or string.
//!
//! MariaDB tells neither UUID nor INET6 from BINARY, and drops trailing zeros of all three; where the table map
//! says that the column is binary, they are put back.

use std::borrow::Cow;
use std::fmt;

use super::super::Error;
use super::super::table_map::{Charset, Column, ColumnType};
use super::super::unpack::LARGEST;
use super::temporal::{Date, Time};
use super::value::Value;

/// [`fmt::Display`] is the literal.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal<'a>(Kind<'a>);

#[derive(Clone, Debug, PartialEq)]
enum Kind<'a> {
    Plain(Value<'a>),
    Timestamp(Date, Time),
    /// In utf8mb4.
    Text(Cow<'a, str>),
    /// With as many zeros behind it.
    Bytes(Cow<'a, [u8]>, usize),
}

impl<'a> Value<'a> {
    /// Errors where the bytes of a JSON or compressed value are damaged, and for changes of JSON, which
    /// are no value.
    pub fn literal(&self, column: &Column) -> Result<Literal<'a>, Error> {
        Ok(Literal(match *self {
            Self::Bytes(bytes) => of_bytes(column, Cow::Borrowed(bytes)),
            Self::Compressed(packed) => of_bytes(column, packed.unpack(LARGEST)?),
            Self::Json(json) => Kind::Text(Cow::Owned(json.document()?.to_string())),
            Self::JsonChanges(_) => return Err(Error::Malformed("changes of JSON are no value")),
            Self::Timestamp(seconds, micros) => {
                let (date, time) = utc(seconds, micros, column);
                Kind::Timestamp(date, time)
            }
            value => Kind::Plain(value),
        }))
    }
}

fn of_bytes<'a>(column: &Column, bytes: Cow<'a, [u8]>) -> Kind<'a> {
    let missing = match column.charset {
        Charset::Binary if column.kind == ColumnType::STRING => {
            usize::from(column.width()).saturating_sub(bytes.len())
        }
        _ => 0,
    };
    if column.charset != Charset::Utf8 {
        return Kind::Bytes(bytes, missing);
    }
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Kind::Text(Cow::Borrowed(text)),
            Err(_) => Kind::Bytes(Cow::Borrowed(bytes), 0),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Kind::Text(Cow::Owned(text)),
            Err(error) => Kind::Bytes(Cow::Owned(error.into_bytes()), 0),
        },
    }
}

/// The zero timestamp is the zero date.
fn utc(seconds: u32, micros: u32, column: &Column) -> (Date, Time) {
    let date = match (seconds, micros) {
        (0, 0) => Date {
            year: 0,
            month: 0,
            day: 0,
        },
        _ => Date::of_epoch(seconds / 86_400),
    };
    let of_day = seconds % 86_400;
    let time = Time {
        negative: false,
        hours: of_day / 3600,
        minutes: (of_day / 60 % 60) as u8,
        seconds: (of_day % 60) as u8,
        micros,
        digits: column.layout.digits(),
    };
    (date, time)
}

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Plain(value) => plain(value, f),
            Kind::Timestamp(date, time) => write!(f, "'{date} {time}'"),
            Kind::Text(text) => quoted(text, f),
            Kind::Bytes(bytes, missing) => {
                f.write_str("X'")?;
                hex(bytes, f)?;
                (0..*missing).try_for_each(|_| f.write_str("00"))?;
                f.write_str("'")
            }
        }
    }
}

fn plain(value: &Value<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::Int(number) => write!(f, "{number}"),
        Value::UInt(number) | Value::Set(number) => write!(f, "{number}"),
        // All digits of the number that the column's 32 bits hold: shorter ones are for 32 bits to round.
        Value::Float(number) => double(f64::from(*number), f),
        Value::Double(number) => double(*number, f),
        Value::Decimal(number) => write!(f, "{number}"),
        Value::Year(year) | Value::Enum(year) => write!(f, "{year}"),
        Value::Date(date) => write!(f, "'{date}'"),
        Value::Time(time) => write!(f, "'{time}'"),
        Value::Datetime(date, time) => write!(f, "'{date} {time}'"),
        Value::Bit(bits) => write!(f, "b'{bits:b}'"),
        // What has a kind of its own.
        Value::Null
        | Value::Timestamp(..)
        | Value::Bytes(_)
        | Value::Json(_)
        | Value::JsonChanges(_)
        | Value::Compressed(_) => f.write_str("NULL"),
    }
}

fn double(number: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // No server stores an infinity.
    match number.is_finite() {
        true => write!(f, "{number:e}"),
        false => f.write_str("NULL"),
    }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !text.is_ascii() || text.bytes().any(needs_hex) {
        f.write_str("_utf8mb4")?;
    }
    if text.bytes().any(needs_hex) {
        f.write_str(" X'")?;
        hex(text.as_bytes(), f)?;
        return f.write_str("'");
    }
    f.write_str("'")?;
    for (index, part) in text.split('\'').enumerate() {
        if index > 0 {
            f.write_str("''")?;
        }
        f.write_str(part)?;
    }
    f.write_str("'")
}

/// A backslash means two things, by `sql_mode`.
fn needs_hex(byte: u8) -> bool {
    byte == b'\\' || byte.is_ascii_control()
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
}
