//! What a partial update says of a document (`sql-common/json_diff.cc`): operations one after the other, each
//! `operation u8 | length, path | but of a removal: length, value`, lengths length-encoded.

use std::borrow::Cow;

use super::super::super::Error;
use super::{DEEPEST, Document, TOO_DEEP};
use crate::cursor::Cursor;

#[derive(Clone, Debug, PartialEq)]
pub enum Operation<'a> {
    /// Of a member that is there.
    Replace(Document<'a>),
    /// A new member of an object; into an array before the given place, or at its end.
    Insert(Document<'a>),
    Remove,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Diff<'a> {
    /// As in SQL: `$.name[3]."with spaces"`.
    pub path: &'a [u8],
    pub operation: Operation<'a>,
}

/// The diffs of one column, in the order to apply them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diffs<'a>(pub(in super::super) &'a [u8]);

impl<'a> Diffs<'a> {
    pub fn iter(&self) -> impl Iterator<Item = Result<Diff<'a>, Error>> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || {
            if cursor.is_empty() {
                return None;
            }
            let diff = diff(&mut cursor);
            // After an error there is nothing more.
            if diff.is_err() {
                cursor.rest();
            }
            Some(diff)
        })
    }
}

fn diff<'a>(cursor: &mut Cursor<'a>) -> Result<Diff<'a>, Error> {
    let operation = cursor.u8()?;
    let path = cursor.lenenc_bytes()?;
    let mut value = || Document::parse(cursor.lenenc_bytes()?);
    let operation = match operation {
        0 => Operation::Replace(value()?),
        1 => Operation::Insert(value()?),
        2 => Operation::Remove,
        _ => return Err(Error::Malformed("an unknown operation on JSON")),
    };
    Ok(Diff { path, operation })
}

const NOT_THERE: Error = Error::Malformed("a JSON path that its document does not have");

/// Members that may be moved up or down, over all of a value's diffs: a second or two. Many insertions at the
/// front of a long array would take as long as somebody likes.
const MOST_MOVES: usize = 1 << 28;

impl<'a> Document<'a> {
    /// Makes the document after an update out of the one before. After an error it is neither.
    pub fn apply(&mut self, diffs: Diffs<'a>) -> Result<(), Error> {
        let mut moves = MOST_MOVES;
        for diff in diffs.iter() {
            let diff = diff?;
            let mut path = Path::parse(diff.path)?;
            let Some(mut leg) = path.next().transpose()? else {
                match diff.operation {
                    Operation::Replace(value) => *self = value,
                    Operation::Insert(_) | Operation::Remove => return Err(NOT_THERE),
                }
                continue;
            };
            let mut depth = 1;
            let mut parent = &mut *self;
            while let Some(next) = path.next().transpose()? {
                parent = parent.member(&leg).ok_or(NOT_THERE)?;
                leg = next;
                depth += 1;
            }
            if let Operation::Replace(value) | Operation::Insert(value) = &diff.operation
                && depth + value.depth() > DEEPEST
            {
                return Err(TOO_DEEP);
            }
            moves = moves
                .checked_sub(parent.change(leg, diff.operation)?)
                .ok_or(Error::Malformed("too many changes of a large JSON value"))?;
        }
        Ok(())
    }

    /// 1 of what holds nothing.
    fn depth(&self) -> usize {
        1 + match self {
            Self::Array(members) => members.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => members
                .iter()
                .map(|(_, value)| value.depth())
                .max()
                .unwrap_or(0),
            _ => 0,
        }
    }

    fn member(&mut self, leg: &Leg<'_>) -> Option<&mut Self> {
        match (self, leg) {
            (Self::Object(members), Leg::Key(key)) => {
                let at = find(members, key).ok()?;
                members.get_mut(at).map(|(_, value)| value)
            }
            (Self::Array(members), Leg::Index(index)) => members.get_mut(*index),
            _ => None,
        }
    }

    /// How many members stand elsewhere now.
    fn change(&mut self, leg: Leg<'a>, operation: Operation<'a>) -> Result<usize, Error> {
        match (self, leg, operation) {
            (parent, leg, Operation::Replace(value)) => {
                *parent.member(&leg).ok_or(NOT_THERE)? = value;
                Ok(0)
            }
            (Self::Object(members), Leg::Key(key), Operation::Insert(value)) => {
                match find(members, &key) {
                    Ok(_) => Err(Error::Malformed("a JSON key that is there already")),
                    Err(at) => {
                        members.insert(at, (key, value));
                        Ok(members.len() - at)
                    }
                }
            }
            (Self::Array(members), Leg::Index(index), Operation::Insert(value)) => {
                let at = index.min(members.len());
                members.insert(at, value);
                Ok(members.len() - at)
            }
            (Self::Object(members), Leg::Key(key), Operation::Remove) => {
                let at = find(members, &key).map_err(|_| NOT_THERE)?;
                members.remove(at);
                Ok(members.len() - at)
            }
            (Self::Array(members), Leg::Index(at), Operation::Remove) if at < members.len() => {
                members.remove(at);
                Ok(members.len() - at)
            }
            _ => Err(NOT_THERE),
        }
    }
}

/// Where the key is, or where it belongs: short ones first.
fn find(members: &[(Cow<'_, [u8]>, Document<'_>)], key: &[u8]) -> Result<usize, usize> {
    members.binary_search_by(|(other, _)| (other.len(), &other[..]).cmp(&(key.len(), key)))
}

enum Leg<'a> {
    Key(Cow<'a, [u8]>),
    Index(usize),
}

/// Yields a path's legs.
struct Path<'a>(&'a [u8]);

const NO_PATH: Error = Error::Malformed("no JSON path that a server writes");

impl<'a> Path<'a> {
    fn parse(path: &'a [u8]) -> Result<Self, Error> {
        path.strip_prefix(b"$").map(Self).ok_or(NO_PATH)
    }

    fn leg(&mut self) -> Result<Leg<'a>, Error> {
        let (&kind, rest) = self.0.split_first().ok_or(NO_PATH)?;
        match kind {
            b'.' if rest.first() == Some(&b'"') => {
                let (text, rest) = string(rest)?;
                self.0 = rest;
                // A key in quotes is a JSON string; one without escapes is kept where it is.
                let inside = &text[1..text.len() - 1];
                if !inside.contains(&b'\\') {
                    return Ok(Leg::Key(Cow::Borrowed(inside)));
                }
                let key: String = serde_json::from_slice(text).map_err(|_| NO_PATH)?;
                Ok(Leg::Key(Cow::Owned(key.into_bytes())))
            }
            b'.' => {
                let length = rest.iter().position(|byte| matches!(byte, b'.' | b'['));
                let (key, rest) = rest.split_at(length.unwrap_or(rest.len()));
                self.0 = rest;
                Ok(Leg::Key(Cow::Borrowed(key)))
            }
            b'[' => {
                let length = rest.iter().position(|byte| *byte == b']');
                let (number, rest) = rest.split_at(length.ok_or(NO_PATH)?);
                self.0 = &rest[1..];
                let number = std::str::from_utf8(number).ok();
                let number = number.and_then(|number| number.trim().parse().ok());
                Ok(Leg::Index(number.ok_or(NO_PATH)?))
            }
            _ => Err(NO_PATH),
        }
    }
}

impl<'a> Iterator for Path<'a> {
    type Item = Result<Leg<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.leg())
    }
}

/// The quoted string that `bytes` begins with, quotes included, and what follows.
fn string(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let mut at = 1;
    loop {
        match bytes.get(at).ok_or(NO_PATH)? {
            b'\\' => at += 2,
            b'"' => return Ok(bytes.split_at(at + 1)),
            _ => at += 1,
        }
    }
}
