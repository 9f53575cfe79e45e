//! Values of SQL inside a document: numbers and times as text, all else as base64 behind the type's number.

use std::fmt;

use super::super::super::table_map::ColumnType;
use super::super::decimal::Decimal;
use super::super::temporal::{Date, Time};

pub(super) fn write(kind: ColumnType, bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let packed = || <[u8; 8]>::try_from(bytes).map(i64::from_le_bytes).ok();
    match kind {
        ColumnType::NEWDECIMAL => {
            if let Some(number) = decimal(bytes) {
                return write!(f, "{number}");
            }
        }
        ColumnType::DATE => {
            if let Some((date, _)) = packed().and_then(datetime) {
                return write!(f, "\"{date}\"");
            }
        }
        ColumnType::DATETIME | ColumnType::TIMESTAMP => {
            if let Some((date, time)) = packed().and_then(datetime) {
                return write!(f, "\"{date} {time}\"");
            }
        }
        ColumnType::TIME => {
            if let Some(packed) = packed() {
                return write!(f, "\"{}\"", time(packed));
            }
        }
        _ => {}
    }
    write!(f, "\"base64:type{}:", kind.0)?;
    base64(bytes, f)?;
    f.write_str("\"")
}

/// Precision and scale come first.
fn decimal(bytes: &[u8]) -> Option<Decimal<'_>> {
    let (&[precision, scale], digits) = bytes.split_first_chunk::<2>()?;
    Decimal::new(digits, precision, scale)
}

/// `TIME_from_longlong_time_packed`: hours, minutes, seconds and, in 24 bits, microseconds; negative as a
/// whole.
fn time(packed: i64) -> Time {
    let whole = packed.unsigned_abs();
    let time = whole >> 24;
    Time {
        negative: packed < 0,
        hours: (time >> 12 & 0x3ff) as u32,
        minutes: (time >> 6 & 63) as u8,
        seconds: (time & 63) as u8,
        micros: (whole & 0xff_ffff) as u32,
        digits: 6,
    }
}

/// `TIME_from_longlong_datetime_packed`: above the time of day, months of thirteen a year and the day.
fn datetime(packed: i64) -> Option<(Date, Time)> {
    let packed = u64::try_from(packed).ok()?;
    let date = packed >> 41;
    let months = date >> 5;
    let date = Date {
        year: u16::try_from(months / 13).ok()?,
        month: (months % 13) as u8,
        day: (date & 31) as u8,
    };
    let mut time = time((packed & 0x1ff_ffff_ffff) as i64);
    time.hours &= 31;
    Some((date, time))
}

/// In lines of 76, as `base64_encode` of the servers.
fn base64(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const PER_LINE: usize = 76 / 4;
    for (index, group) in bytes.chunks(3).enumerate() {
        if index > 0 && index % PER_LINE == 0 {
            f.write_str("\\n")?;
        }
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for place in 0..4 {
            if place > group.len() {
                f.write_str("=")?;
                continue;
            }
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            write!(f, "{}", char::from(digit))?;
        }
    }
    Ok(())
}
