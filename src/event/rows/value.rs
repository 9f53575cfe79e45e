//! A column's value, and its bytes.

use super::super::Error;
use super::super::table_map::{Column, Signedness};
use super::Layout;
use super::compressed::Compressed;
use super::decimal::Decimal;
use super::json::{Diffs, Document};
use super::temporal::{Date, Time, micros, stored};

/// Borrowed from the event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Int(i64),
    UInt(u64),
    Float(f32),
    Double(f64),
    Decimal(Decimal<'a>),
    /// 0 is the zero year.
    Year(u16),
    Date(Date),
    Time(Time),
    /// The time's sign is never negative.
    Datetime(Date, Time),
    /// Seconds since 1970 in UTC, and microseconds.
    Timestamp(u32, u32),
    Bit(u64),
    /// From 1 on; 0 is the empty string of an invalid value.
    Enum(u16),
    /// The lowest bit is the first value's.
    Set(u64),
    /// In the column's charset, or binary.
    Bytes(&'a [u8]),
    Json(Json<'a>),
    /// What a partial update changed in the value before.
    JsonChanges(Diffs<'a>),
    Compressed(Compressed<'a>),
}

/// A document of MySQL in its binary format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(pub &'a [u8]);

impl<'a> Json<'a> {
    pub fn document(&self) -> Result<Document<'a>, Error> {
        Document::parse(self.0)
    }
}

fn little(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |n, byte| n << 8 | u64::from(*byte))
}

fn big(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

fn put_big(number: u64, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_be_bytes()[8 - length.min(8)..]);
}

const OF_ANOTHER_TYPE: Error = Error::Malformed("a value of another type than its column");

impl<'a> Value<'a> {
    /// `bytes` are of the layout's length.
    pub(super) fn decode(column: &Column, bytes: &'a [u8]) -> Result<Self, Error> {
        let short = Error::Malformed("a value shorter than its type");
        Ok(match column.layout {
            Layout::Integer { length } => {
                let number = little(bytes);
                if column.signedness == Signedness::Unsigned {
                    Self::UInt(number)
                } else {
                    let shift = 64 - 8 * u32::from(length.clamp(1, 8));
                    Self::Int((number << shift) as i64 >> shift)
                }
            }
            Layout::Float => Self::Float(f32::from_bits(little(bytes) as u32)),
            Layout::Double => Self::Double(f64::from_bits(little(bytes))),
            Layout::Decimal { precision, scale } => Self::Decimal(Decimal {
                bytes,
                precision,
                scale,
            }),
            Layout::Year => match little(bytes) as u16 {
                0 => Self::Year(0),
                year => Self::Year(1900 + year),
            },
            Layout::Date => {
                let packed = little(bytes);
                Self::Date(Date {
                    year: (packed >> 9) as u16,
                    month: (packed >> 5 & 15) as u8,
                    day: (packed & 31) as u8,
                })
            }
            Layout::OldTime => {
                // HHMMSS, signed.
                let packed = ((little(bytes) << 40) as i64) >> 40;
                Self::Time(old_time(packed < 0, packed.unsigned_abs()))
            }
            Layout::OldDatetime => {
                let packed = little(bytes);
                let date = packed / 1_000_000;
                Self::Datetime(
                    Date {
                        year: u16::try_from(date / 10_000)
                            .map_err(|_| Error::Malformed("a year of more than four digits"))?,
                        month: (date / 100 % 100) as u8,
                        day: (date % 100) as u8,
                    },
                    old_time(false, packed % 1_000_000),
                )
            }
            Layout::OldTimestamp => Self::Timestamp(little(bytes) as u32, 0),
            Layout::Time { digits } => {
                let fraction = 8 * (bytes.len() as u32).saturating_sub(3);
                // Offset by half of the range, so that bytes sort; a negative time counts down as a whole.
                let packed = big(bytes) as i64 - (0x80_0000_i64 << fraction);
                let whole = packed.unsigned_abs();
                let time = whole >> fraction;
                Self::Time(Time {
                    negative: packed < 0,
                    hours: (time >> 12) as u32,
                    minutes: (time >> 6 & 63) as u8,
                    seconds: (time & 63) as u8,
                    micros: micros(whole & ((1 << fraction) - 1), digits),
                    digits,
                })
            }
            Layout::Datetime { digits } => {
                let (whole, fraction) = bytes.split_at_checked(5).ok_or(short)?;
                let packed = big(whole)
                    .checked_sub(0x80_0000_0000)
                    .ok_or(Error::Malformed("a negative date"))?;
                let months = packed >> 22;
                Self::Datetime(
                    Date {
                        year: (months / 13) as u16,
                        month: (months % 13) as u8,
                        day: (packed >> 17 & 31) as u8,
                    },
                    Time {
                        negative: false,
                        hours: (packed >> 12 & 31) as u32,
                        minutes: (packed >> 6 & 63) as u8,
                        seconds: (packed & 63) as u8,
                        micros: micros(big(fraction), digits),
                        digits,
                    },
                )
            }
            Layout::Timestamp { digits } => {
                let (seconds, fraction) = bytes.split_at_checked(4).ok_or(short)?;
                Self::Timestamp(big(seconds) as u32, micros(big(fraction), digits))
            }
            Layout::Bit { .. } => Self::Bit(big(bytes)),
            Layout::Enum { .. } => Self::Enum(little(bytes) as u16),
            Layout::Set { .. } => Self::Set(little(bytes)),
            Layout::Bytes { prefix } => Self::Bytes(bytes.get(usize::from(prefix)..).ok_or(short)?),
            Layout::Json { prefix } => {
                Self::Json(Json(bytes.get(usize::from(prefix)..).ok_or(short)?))
            }
            Layout::Compressed { prefix } => {
                Self::Compressed(Compressed(bytes.get(usize::from(prefix)..).ok_or(short)?))
            }
        })
    }

    /// Of a JSON column in an image after a partial update.
    pub(super) fn changes(column: &Column, bytes: &'a [u8]) -> Result<Self, Error> {
        match Self::decode(column, bytes)? {
            Self::Json(Json(bytes)) => Ok(Self::JsonChanges(Diffs(bytes))),
            _ => Err(OF_ANOTHER_TYPE),
        }
    }

    pub(super) fn encode(&self, layout: Layout, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut little = |number: u64, length: u8| {
            out.extend_from_slice(&number.to_le_bytes()[..usize::from(length.min(8))]);
        };
        match (layout, *self) {
            (Layout::Integer { length }, Self::Int(number)) => little(number as u64, length),
            (Layout::Integer { length }, Self::UInt(number)) => little(number, length),
            (Layout::Float, Self::Float(number)) => little(u64::from(number.to_bits()), 4),
            (Layout::Double, Self::Double(number)) => little(number.to_bits(), 8),
            (Layout::Decimal { precision, scale }, Self::Decimal(number)) => {
                if (precision, scale) != (number.precision, number.scale) {
                    return Err(OF_ANOTHER_TYPE);
                }
                out.extend_from_slice(number.bytes);
            }
            (Layout::Year, Self::Year(year)) => little(u64::from(year.saturating_sub(1900)), 1),
            (Layout::Date, Self::Date(date)) => little(
                u64::from(date.year) << 9 | u64::from(date.month) << 5 | u64::from(date.day),
                3,
            ),
            (Layout::OldTime, Self::Time(time)) => {
                let packed = pack_old(&time) as i64;
                little((if time.negative { -packed } else { packed }) as u64, 3);
            }
            (Layout::OldDatetime, Self::Datetime(date, time)) => {
                let date = u64::from(date.year) * 10_000
                    + u64::from(date.month) * 100
                    + u64::from(date.day);
                little(date * 1_000_000 + pack_old(&time), 8);
            }
            (Layout::OldTimestamp, Self::Timestamp(seconds, _)) => little(u64::from(seconds), 4),
            (Layout::Time { digits }, Self::Time(time)) => {
                // Ten bits of hours and one to spare; the servers stop at 838.
                if time.hours > 0x7ff {
                    return Err(Error::Malformed("a time of too many hours"));
                }
                let bytes = u32::from(digits.div_ceil(2));
                let whole = i64::from(time.hours) << 12
                    | i64::from(time.minutes) << 6
                    | i64::from(time.seconds);
                let packed = (whole << (8 * bytes)) | stored(time.micros, digits) as i64;
                let packed = if time.negative { -packed } else { packed };
                let offset = 0x80_0000_i64 << (8 * bytes);
                put_big((packed + offset) as u64, 3 + bytes as usize, out);
            }
            (Layout::Datetime { digits }, Self::Datetime(date, time)) => {
                let months = u64::from(date.year) * 13 + u64::from(date.month);
                let packed = months << 22
                    | u64::from(date.day) << 17
                    | u64::from(time.hours) << 12
                    | u64::from(time.minutes) << 6
                    | u64::from(time.seconds);
                put_big(packed + 0x80_0000_0000, 5, out);
                put_big(stored(time.micros, digits), digits.div_ceil(2).into(), out);
            }
            (Layout::Timestamp { digits }, Self::Timestamp(seconds, micros)) => {
                put_big(u64::from(seconds), 4, out);
                put_big(stored(micros, digits), digits.div_ceil(2).into(), out);
            }
            (Layout::Bit { bits }, Self::Bit(number)) => {
                put_big(number, usize::from(bits).div_ceil(8), out);
            }
            (Layout::Enum { length }, Self::Enum(number)) => little(u64::from(number), length),
            (Layout::Set { length }, Self::Set(number)) => little(number, length),
            (Layout::Bytes { prefix }, Self::Bytes(bytes))
            | (
                Layout::Json { prefix },
                Self::Json(Json(bytes)) | Self::JsonChanges(Diffs(bytes)),
            )
            | (Layout::Compressed { prefix }, Self::Compressed(Compressed(bytes))) => {
                if bytes.len() as u64 >> (8 * u32::from(prefix)) != 0 {
                    return Err(Error::Malformed("a value longer than its column"));
                }
                little(bytes.len() as u64, prefix);
                out.extend_from_slice(bytes);
            }
            _ => return Err(OF_ANOTHER_TYPE),
        }
        Ok(())
    }
}

fn old_time(negative: bool, packed: u64) -> Time {
    Time {
        negative,
        hours: (packed / 10_000) as u32,
        minutes: (packed / 100 % 100) as u8,
        seconds: (packed % 100) as u8,
        micros: 0,
        digits: 0,
    }
}

fn pack_old(time: &Time) -> u64 {
    u64::from(time.hours) * 10_000 + u64::from(time.minutes) * 100 + u64::from(time.seconds)
}
