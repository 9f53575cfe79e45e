//! Durations and sizes as people write them: `10s`, `500ms`, `128MiB`.

use std::time::Duration;

const DURATION: &str = "write a whole number with a unit: ms, s, m, h or d, as in \"10s\"";
const SIZE: &str = "write a whole number with a unit: B, KiB, MiB, GiB or TiB, as in \"128MiB\"";

/// Reads `10s`, `500ms`, `5m`, `12h`, `7d`. The error says what to write.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let millis = parse(text, DURATION, |unit| {
        Some(match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        })
    })?;
    Ok(Duration::from_millis(millis))
}

/// Reads `4096B`, `64KiB`, `128MiB`, `2GiB`, `1TiB`. The error says what to write.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, SIZE, |unit| {
        Some(match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        })
    })
}

fn parse(text: &str, advice: &str, factor: impl Fn(&str) -> Option<u64>) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let value = number.parse::<u64>().ok();
    value
        .zip(factor(unit.trim_start()))
        .and_then(|(value, factor)| value.checked_mul(factor))
        .ok_or_else(|| format!("'{text}' cannot be read: {advice}"))
}

/// In the largest unit that says it exactly; `parse_duration` reads it back, to the millisecond.
pub fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    show(millis, &units, "ms", "0s")
}

/// In the largest unit that says it exactly; `parse_size` reads it back.
pub fn show_size(bytes: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    show(bytes, &units, "B", "0B")
}

/// Unix time in seconds, as `2026-11-23T18:10:00Z`.
pub fn show_utc(seconds: impl Into<u64>) -> String {
    let seconds = seconds.into();
    let (days, of_day) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Years begin in March here, so that a leap year's day comes last (Howard Hinnant's "chrono-Compatible
    // Low-Level Date Algorithms"); eras are 400 years, counted from the one of 1970.
    let day = days + 719_468 - 4 * 146_097;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (year, month + 3),
        _ => (year + 1, month - 9),
    };
    format!(
        "{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        year + (era + 4) * 400,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// Reads `2026-11-23T18:10:00Z`, also with a blank in the middle, without the Z or without a time of day: always UTC.
pub fn parse_utc(text: &str) -> Result<u32, String> {
    let read = || {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        if !(1970..=2106).contains(&year) || day > 31 || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        // The way back from `show_utc`, whose years begin in March.
        let (year, month) = match month {
            1 | 2 => (year - 1, month + 9),
            3..=12 => (year, month - 3),
            _ => return None,
        };
        let (era, of_era) = (year / 400, year % 400);
        let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        let seconds = (days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second;
        let seconds = u32::try_from(seconds).ok()?;
        // The 31st of a month that has none would be shown as another day.
        let shown = show_utc(seconds);
        (shown.get(8..10) == Some(&format!("{day:02}"))).then_some(seconds)
    };
    read().ok_or_else(|| {
        format!("'{text}' cannot be read: write a time in UTC, as in \"2026-11-23T18:10:00Z\"")
    })
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| digits)
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

fn show(value: u64, units: &[(u64, &str)], smallest: &str, zero: &str) -> String {
    if value == 0 {
        return zero.to_owned();
    }
    match units
        .iter()
        .find(|(factor, _)| value.is_multiple_of(*factor))
    {
        Some((factor, unit)) => format!("{}{unit}", value / factor),
        None => format!("{value}{smallest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in ["0s", "1ms", "500ms", "10s", "90s", "5m", "12h", "7d"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["0B", "1B", "1000B", "64KiB", "128MiB", "3GiB", "2TiB"] {
            assert_eq!(show_size(parse_size(text).unwrap()), text);
        }
        assert_eq!(show_duration(parse_duration("120s").unwrap()), "2m");
        assert_eq!(
            parse_duration("10 s"),
            Ok(Duration::from_secs(10)),
            "a blank is fine"
        );
    }

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_457_400, "2026-11-23T18:10:00Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(show_utc(seconds), text);
            assert_eq!(parse_utc(text), Ok(seconds));
        }
        assert_eq!(parse_utc("1970-01-01 00:01:00"), Ok(60));
        assert_eq!(parse_utc("1970-01-02"), Ok(86_400));
        for text in [
            "",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10 00:00:00",
            "2026-11-00T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "2106-02-07T06:28:16Z",
            "99999999999999999999-01-01T00:00:00Z",
            "2026-11-23T18:10",
            "2026-04-31",
            "yesterday",
            "2026-01-99999999999999999",
            "+2026-11-23T18:10:00Z",
        ] {
            let error = parse_utc(text).unwrap_err();
            assert!(error.contains("as in"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_to_write() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 seconds",
            "999999999999999999999s",
            "1e3s",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("as in \"10s\""), "{error}");
        }
        for text in ["", "128", "128MB", "MiB", "99999999999TiB"] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains("as in \"128MiB\""), "{error}");
        }
    }
}
