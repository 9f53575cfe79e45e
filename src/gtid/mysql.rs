//! MySQL's GTIDs: `uuid:number`, since 8.3 also `uuid:tag:number`.
//!
//! Specified by the reference manual, chapter "GTID Format and Storage".

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::ParseError;

/// `@@server_uuid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || ParseError::new(text, "a server uuid");
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(invalid());
        }
        let mut uuid = [0; 16];
        let mut digits = 0;
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return Err(invalid());
                }
                continue;
            }
            let digit = char::from(*byte).to_digit(16).ok_or_else(invalid)?;
            uuid[digits / 2] = uuid[digits / 2] << 4 | digit as u8;
            digits += 1;
        }
        Ok(Self(uuid))
    }
}

/// A tag of up to 32 letters, digits and underscores; MySQL lowers its letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let valid = text.len() <= 32
            && text.bytes().all(word)
            && text
                .bytes()
                .next()
                .is_some_and(|byte| !byte.is_ascii_digit());
        if valid {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(ParseError::new(text, "a GTID tag"))
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gtid {
    pub uuid: Uuid,
    pub tag: Option<Tag>,
    pub number: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            None => write!(f, "{}:{}", self.uuid, self.number),
            Some(tag) => write!(f, "{}:{tag}:{}", self.uuid, self.number),
        }
    }
}

impl FromStr for Gtid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || ParseError::new(text, "a MySQL GTID such as uuid:5");
        let parts: Vec<&str> = text.trim().split(':').map(str::trim).collect();
        let (uuid, tag, number) = match parts[..] {
            [uuid, number] => (uuid, None, number),
            [uuid, tag, number] => (uuid, Some(tag.parse()?), number),
            _ => return Err(invalid()),
        };
        Ok(Self {
            uuid: uuid.parse()?,
            tag,
            number: parse_number(number).ok_or_else(invalid)?,
        })
    }
}

/// Numbers start at 1 and end below 2^63 - 1.
pub fn is_number(number: u64) -> bool {
    (1..i64::MAX as u64).contains(&number)
}

fn parse_number(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| is_number(*number))
}

/// One item of a set's text, `uuid:1-5:7:tag:1-3`: the first GTID and the last number of each range.
pub(super) fn ranges(item: &str) -> Result<Vec<(Gtid, u64)>, ParseError> {
    let invalid = || ParseError::new(item, "a set of MySQL GTIDs such as uuid:1-5:7");
    let mut parts = item.split(':').map(str::trim);
    let uuid: Uuid = parts.next().ok_or_else(invalid)?.parse()?;
    let mut tag: Option<Tag> = None;
    let mut ranges = Vec::new();
    for part in parts {
        if !part.starts_with(|c: char| c.is_ascii_digit()) {
            tag = Some(part.parse()?);
            continue;
        }
        let (first, last) = match part.split_once('-') {
            None => (part, part),
            Some((first, last)) => (first.trim(), last.trim()),
        };
        let first = parse_number(first).ok_or_else(invalid)?;
        let last = parse_number(last).ok_or_else(invalid)?;
        if last < first {
            return Err(invalid());
        }
        let first = Gtid {
            uuid,
            tag: tag.clone(),
            number: first,
        };
        ranges.push((first, last));
    }
    Ok(ranges)
}
