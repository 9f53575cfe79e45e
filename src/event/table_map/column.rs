//! A column's type, and how its values lie in a row.

use std::fmt;

use super::super::Error;
use crate::cursor::Cursor;

/// The byte that a table map gives for a column. A newtype as [`super::super::EventType`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnType(pub u8);

macro_rules! column_types {
    ($($name:ident = $number:literal),* $(,)?) => {
        impl ColumnType {
            $(pub const $name: Self = Self($number);)*

            /// Every type that values can be decoded of.
            pub const KNOWN: &'static [Self] = &[$(Self::$name),*];

            /// The name that the servers' sources use, without their `MYSQL_TYPE_`.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

column_types! {
    TINY = 1,
    SHORT = 2,
    LONG = 3,
    FLOAT = 4,
    DOUBLE = 5,
    TIMESTAMP = 7,
    LONGLONG = 8,
    INT24 = 9,
    DATE = 10,
    TIME = 11,
    DATETIME = 12,
    YEAR = 13,
    NEWDATE = 14,
    VARCHAR = 15,
    BIT = 16,
    TIMESTAMP2 = 17,
    DATETIME2 = 18,
    TIME2 = 19,
    BLOB_COMPRESSED = 140,
    VARCHAR_COMPRESSED = 141,
    VECTOR = 242,
    JSON = 245,
    NEWDECIMAL = 246,
    ENUM = 247,
    SET = 248,
    TINY_BLOB = 249,
    MEDIUM_BLOB = 250,
    LONG_BLOB = 251,
    BLOB = 252,
    VAR_STRING = 253,
    STRING = 254,
    GEOMETRY = 255,
}

impl ColumnType {
    /// The types that have a bit in the signedness of a table map.
    pub fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::TINY
                | Self::SHORT
                | Self::INT24
                | Self::LONG
                | Self::LONGLONG
                | Self::NEWDECIMAL
                | Self::FLOAT
                | Self::DOUBLE
                // The only one of them that is always unsigned.
                | Self::YEAR
        )
    }
}

impl ColumnType {
    /// The types that have a charset in a table map; ENUM and SET have theirs apart.
    pub fn is_character(self) -> bool {
        matches!(
            self,
            Self::STRING
                | Self::VAR_STRING
                | Self::VARCHAR
                | Self::VARCHAR_COMPRESSED
                | Self::TINY_BLOB
                | Self::MEDIUM_BLOB
                | Self::LONG_BLOB
                | Self::BLOB
                | Self::BLOB_COMPRESSED
        )
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "column type {}", self.0),
        }
    }
}

impl fmt::Debug for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signedness {
    /// The source does not say; values are read as signed.
    Unknown,
    Signed,
    Unsigned,
}

/// What is known of the bytes of a character column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// The source does not say, or the column has none.
    Unknown,
    Binary,
    /// utf8mb4, utf8mb3 or ASCII.
    Utf8,
    /// The number of another collation.
    Other(u16),
}

impl Charset {
    /// By a number of `information_schema.collations`.
    pub(super) fn of_collation(number: u64) -> Self {
        match number {
            63 => Self::Binary,
            // ASCII; utf8mb3; utf8mb4. What only MariaDB numbers is left out.
            11 | 65 | 33 | 76 | 83 | 192..=215 | 223 | 45 | 46 | 224..=247 | 255..=323 => {
                Self::Utf8
            }
            number => u16::try_from(number).map_or(Self::Unknown, Self::Other),
        }
    }
}

/// How a value lies in a row. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Integer {
        length: u8,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Year,
    Date,
    /// The formats before MySQL 5.6, without fractions.
    OldTime,
    OldDatetime,
    OldTimestamp,
    Time {
        digits: u8,
    },
    Datetime {
        digits: u8,
    },
    Timestamp {
        digits: u8,
    },
    Bit {
        bits: u16,
    },
    Enum {
        length: u8,
    },
    Set {
        length: u8,
    },
    /// Bytes behind their length, which has `prefix` bytes.
    Bytes {
        prefix: u8,
    },
    Json {
        prefix: u8,
    },
    /// MariaDB's `COMPRESSED`.
    Compressed {
        prefix: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// ENUM and SET as such; the servers log them as STRING.
    pub kind: ColumnType,
    /// As logged: display lengths, digits, prefix lengths.
    pub metadata: u16,
    pub layout: Layout,
    pub nullable: bool,
    pub signedness: Signedness,
    pub charset: Charset,
}

impl Column {
    /// Reads the type's metadata, of a length that the type gives.
    pub(super) fn parse(
        logged: ColumnType,
        metadata: &mut Cursor<'_>,
        nullable: bool,
    ) -> Result<Self, Error> {
        let bytes: [u8; 2] = match metadata_length(logged)? {
            0 => [0, 0],
            1 => [metadata.u8()?, 0],
            _ => metadata.array()?,
        };
        let mut kind = logged;
        // STRING, ENUM and SET name the real type first.
        if logged == ColumnType::STRING
            && matches!(ColumnType(bytes[0]), ColumnType::ENUM | ColumnType::SET)
        {
            kind = ColumnType(bytes[0]);
        }
        Ok(Self {
            kind,
            metadata: u16::from_le_bytes(bytes),
            layout: layout(kind, bytes)?,
            nullable,
            signedness: Signedness::Unknown,
            charset: Charset::Unknown,
        })
    }

    /// Appends the type's metadata: the way back of [`Column::parse`].
    pub(super) fn write_metadata(&self, out: &mut Vec<u8>) {
        let length = metadata_length(self.logged()).unwrap_or(0);
        out.extend_from_slice(&self.metadata.to_le_bytes()[..length]);
    }

    /// The type byte of the table map.
    pub(in crate::event) fn logged(&self) -> ColumnType {
        match self.kind {
            ColumnType::ENUM | ColumnType::SET => ColumnType::STRING,
            kind => kind,
        }
    }

    /// Of CHAR and BINARY, the most bytes that a value has.
    pub fn width(&self) -> u16 {
        let [first, second] = self.metadata.to_le_bytes();
        match self.kind {
            ColumnType::STRING => string_width(first, second),
            _ => 0,
        }
    }
}

/// Two high bits of the length lie, inverted, in the type byte.
fn string_width(first: u8, second: u8) -> u16 {
    (u16::from(first & 0x30) ^ 0x30) << 4 | u16::from(second)
}

fn metadata_length(kind: ColumnType) -> Result<usize, Error> {
    Ok(match kind {
        ColumnType::TINY
        | ColumnType::SHORT
        | ColumnType::LONG
        | ColumnType::LONGLONG
        | ColumnType::INT24
        | ColumnType::TIMESTAMP
        | ColumnType::DATE
        | ColumnType::TIME
        | ColumnType::DATETIME
        | ColumnType::YEAR
        | ColumnType::NEWDATE => 0,
        ColumnType::FLOAT
        | ColumnType::DOUBLE
        | ColumnType::TIMESTAMP2
        | ColumnType::DATETIME2
        | ColumnType::TIME2
        | ColumnType::BLOB_COMPRESSED
        | ColumnType::VECTOR
        | ColumnType::JSON
        | ColumnType::TINY_BLOB
        | ColumnType::MEDIUM_BLOB
        | ColumnType::LONG_BLOB
        | ColumnType::BLOB
        | ColumnType::GEOMETRY => 1,
        ColumnType::VARCHAR
        | ColumnType::VARCHAR_COMPRESSED
        | ColumnType::BIT
        | ColumnType::NEWDECIMAL
        | ColumnType::ENUM
        | ColumnType::SET
        | ColumnType::VAR_STRING
        | ColumnType::STRING => 2,
        other => return Err(Error::ColumnType(other)),
    })
}

fn layout(kind: ColumnType, metadata: [u8; 2]) -> Result<Layout, Error> {
    let [first, second] = metadata;
    let digits = |digits: u8| match digits {
        0..=6 => Ok(digits),
        _ => Err(Error::Malformed("a time of more than 6 fractional digits")),
    };
    let prefix_of_blob = || match first {
        1..=4 => Ok(first),
        _ => Err(Error::Malformed("a blob's length has no 1 to 4 bytes")),
    };
    // A field that can be longer than 255 bytes has a length of two.
    let prefix_of = |longest: u16| if longest > 255 { 2 } else { 1 };
    Ok(match kind {
        ColumnType::TINY => Layout::Integer { length: 1 },
        ColumnType::SHORT => Layout::Integer { length: 2 },
        ColumnType::INT24 => Layout::Integer { length: 3 },
        ColumnType::LONG => Layout::Integer { length: 4 },
        ColumnType::LONGLONG => Layout::Integer { length: 8 },
        ColumnType::FLOAT => Layout::Float,
        ColumnType::DOUBLE => Layout::Double,
        ColumnType::NEWDECIMAL => {
            if first == 0 || first > 65 || second > first {
                return Err(Error::Malformed("a decimal of impossible digits"));
            }
            Layout::Decimal {
                precision: first,
                scale: second,
            }
        }
        ColumnType::YEAR => Layout::Year,
        ColumnType::DATE | ColumnType::NEWDATE => Layout::Date,
        ColumnType::TIME => Layout::OldTime,
        ColumnType::DATETIME => Layout::OldDatetime,
        ColumnType::TIMESTAMP => Layout::OldTimestamp,
        ColumnType::TIME2 => Layout::Time {
            digits: digits(first)?,
        },
        ColumnType::DATETIME2 => Layout::Datetime {
            digits: digits(first)?,
        },
        ColumnType::TIMESTAMP2 => Layout::Timestamp {
            digits: digits(first)?,
        },
        ColumnType::BIT => {
            // Bits beyond whole bytes, whole bytes.
            let bits = u16::from(second) * 8 + u16::from(first);
            if !(1..=64).contains(&bits) || first > 7 {
                return Err(Error::Malformed("a BIT of impossible length"));
            }
            Layout::Bit { bits }
        }
        ColumnType::ENUM => match second {
            1 | 2 => Layout::Enum { length: second },
            _ => return Err(Error::Malformed("an ENUM of neither 1 nor 2 bytes")),
        },
        ColumnType::SET => match second {
            1..=8 => Layout::Set { length: second },
            _ => return Err(Error::Malformed("a SET of more than 8 bytes")),
        },
        ColumnType::VARCHAR | ColumnType::VAR_STRING => Layout::Bytes {
            prefix: prefix_of(u16::from_le_bytes(metadata)),
        },
        ColumnType::VARCHAR_COMPRESSED => Layout::Compressed {
            prefix: prefix_of(u16::from_le_bytes(metadata)),
        },
        ColumnType::STRING => Layout::Bytes {
            prefix: prefix_of(string_width(first, second)),
        },
        ColumnType::JSON => Layout::Json {
            prefix: prefix_of_blob()?,
        },
        ColumnType::BLOB_COMPRESSED => Layout::Compressed {
            prefix: prefix_of_blob()?,
        },
        ColumnType::TINY_BLOB
        | ColumnType::MEDIUM_BLOB
        | ColumnType::LONG_BLOB
        | ColumnType::BLOB
        | ColumnType::GEOMETRY
        | ColumnType::VECTOR => Layout::Bytes {
            prefix: prefix_of_blob()?,
        },
        other => return Err(Error::ColumnType(other)),
    })
}

impl Layout {
    /// Of the fraction of a time.
    pub fn digits(self) -> u8 {
        match self {
            Self::Time { digits } | Self::Datetime { digits } | Self::Timestamp { digits } => {
                digits
            }
            _ => 0,
        }
    }

    /// Bytes of the value that `bytes` begins with.
    #[inline]
    pub(in super::super) fn length(self, bytes: &[u8]) -> Result<usize, Error> {
        Ok(match self {
            Self::Integer { length } | Self::Enum { length } | Self::Set { length } => {
                usize::from(length)
            }
            Self::Float | Self::OldTimestamp => 4,
            Self::Double | Self::OldDatetime => 8,
            Self::Decimal { precision, scale } => decimal_bytes(precision, scale),
            Self::Year => 1,
            Self::Date | Self::OldTime => 3,
            Self::Time { digits } => 3 + fraction_bytes(digits),
            Self::Datetime { digits } => 5 + fraction_bytes(digits),
            Self::Timestamp { digits } => 4 + fraction_bytes(digits),
            Self::Bit { bits } => usize::from(bits).div_ceil(8),
            Self::Bytes { prefix } | Self::Json { prefix } | Self::Compressed { prefix } => {
                let prefix = usize::from(prefix);
                let Some(length) = bytes.get(..prefix) else {
                    return Err(Error::Malformed("a row ends in a value's length"));
                };
                let mut number = [0; 8];
                number[..prefix].copy_from_slice(length);
                prefix + u64::from_le_bytes(number) as usize
            }
        })
    }
}

fn fraction_bytes(digits: u8) -> usize {
    usize::from(digits).div_ceil(2)
}

/// Bytes of so many decimal digits below nine.
const DIGITS: [u8; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Nine digits take four bytes, on each side of the point.
fn decimal_bytes(precision: u8, scale: u8) -> usize {
    let side = |digits: u8| usize::from(digits / 9 * 4 + DIGITS[usize::from(digits % 9)]);
    side(precision.saturating_sub(scale)) + side(scale)
}
