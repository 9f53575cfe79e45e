//! How much of the binlog stays (`[binlog] keep`, `keep_at_most`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::units;

/// Files that are older or beyond the size may go; without either, none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Since the file was complete.
    pub time: Option<Duration>,
    /// Of all files together.
    pub size: Option<u64>,
}

impl Keep {
    pub const ALL: Self = Self {
        time: None,
        size: None,
    };

    pub const fn time(time: Duration) -> Self {
        Self {
            time: Some(time),
            size: None,
        }
    }

    pub const fn size(bytes: u64) -> Self {
        Self {
            time: None,
            size: Some(bytes),
        }
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::ALL);
        }
        let wrong = || {
            format!(
                "'{text}' cannot be read: write a time (\"7d\"), a size (\"100GiB\"), both (\"7d, 100GiB\") or \"all\""
            )
        };
        let mut keep = Self::ALL;
        for part in text.split(',').map(str::trim) {
            if let Ok(time) = units::parse_duration(part) {
                if keep.time.replace(time).is_some() {
                    return Err(wrong());
                }
            } else if let Ok(size) = units::parse_size(part) {
                if keep.size.replace(size).is_some() {
                    return Err(wrong());
                }
            } else {
                return Err(wrong());
            }
        }
        Ok(keep)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (
            self.time.map(units::show_duration),
            self.size.map(units::show_size),
        ) {
            (Some(time), Some(size)) => write!(f, "{time}, {size}"),
            (Some(one), None) | (None, Some(one)) => f.write_str(&one),
            (None, None) => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in ["all", "7d", "100GiB", "7d, 100GiB", "90s, 1MiB"] {
            assert_eq!(text.parse::<Keep>().unwrap().to_string(), text);
        }
        assert_eq!("1GiB,2h".parse::<Keep>().unwrap().to_string(), "2h, 1GiB");
        for text in ["", "7", "7d, 8d", "1GiB, 1GiB", "7d,", "all, 7d", "week"] {
            let error = text.parse::<Keep>().unwrap_err();
            assert!(error.contains("\"7d, 100GiB\""), "{error}");
        }
    }
}
