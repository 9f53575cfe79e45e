//! Durations as `"10s"` and sizes as `"128MiB"`.

use std::time::Duration;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let value: u64 = number.parse().map_err(|_| {
        format!("'{text}' is not a duration: write for example \"10s\" or \"500ms\"")
    })?;
    let millis = match unit {
        "ms" => Some(value),
        "s" => value.checked_mul(1_000),
        "m" | "min" => value.checked_mul(60_000),
        "h" => value.checked_mul(3_600_000),
        "d" => value.checked_mul(86_400_000),
        _ => {
            return Err(format!(
                "'{text}' has no unit of time: use ms, s, m, h or d"
            ));
        }
    };
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| format!("'{text}' is too long"))
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let value: u64 = number
        .parse()
        .map_err(|_| format!("'{text}' is not a size: write for example \"128MiB\""))?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(format!("'{text}' has no unit of size: use KiB, MiB or GiB")),
    };
    value
        .checked_mul(factor)
        .ok_or_else(|| format!("'{text}' is too large"))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}
