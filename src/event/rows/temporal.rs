//! Dates and times as people read them, out of the servers' packed numbers.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    pub year: u16,
    pub month: u8,
    pub day: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    pub negative: bool,
    pub hours: u32,
    pub minutes: u8,
    pub seconds: u8,
    pub micros: u32,
    /// Of the fraction.
    pub digits: u8,
}

impl Date {
    /// `days` after 1970-01-01.
    pub fn of_epoch(days: u32) -> Self {
        // Years begin in March here, so that a leap day is their last; in eras of 400 years from the year 0 on
        // (<https://howardhinnant.github.io/date_algorithms.html>, civil_from_days).
        let days = u64::from(days) + 719_468;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let (minutes, seconds) = (self.minutes, self.seconds);
        write!(f, "{sign}{:02}:{minutes:02}:{seconds:02}", self.hours)?;
        fraction(f, self.micros, self.digits)
    }
}

pub(super) fn fraction(f: &mut fmt::Formatter<'_>, micros: u32, digits: u8) -> fmt::Result {
    match digits {
        0 => Ok(()),
        1..=6 => {
            let digits = usize::from(digits);
            let shown = micros / 10u32.pow(6 - digits as u32);
            write!(f, ".{shown:0digits$}")
        }
        _ => Err(fmt::Error),
    }
}

/// Micros of a fraction whose bytes hold two digits each.
pub(super) fn micros(stored: u64, digits: u8) -> u32 {
    (stored as u32).saturating_mul(100u32.pow(3 - u32::from(digits.div_ceil(2).min(3))))
}

pub(super) fn stored(micros: u32, digits: u8) -> u64 {
    u64::from(micros / 100u32.pow(3 - u32::from(digits.div_ceil(2).min(3))))
}
