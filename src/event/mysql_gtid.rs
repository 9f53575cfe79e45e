//! MySQL's GTID (33) and, for one with a tag, GTID_TAGGED (42): opens a transaction.
//!
//! 33: `flags u8 | uuid 16 | number u64 | 2 | last committed u64 | sequence number u64 | commit times,
//! 7 or 14 bytes | length of the transaction, length-encoded | versions | ticket`; older servers end
//! earlier.
//!
//! 42 is a message of the server's serialization library (`mysql/serialization`): `version | size | last
//! field that may not be ignored | per field: its id, its value`, all numbers of variable length
//! ([`Cursor::var_uint`]), signed ones with the sign in the lowest bit, the uuid as 16 such numbers.
//! The ids are those of `Gtid_event::define_fields` in the server's `control_events.h`.

use super::{Error, EventType, Header};
use crate::cursor::Cursor;
use crate::gtid::encoding::parse_tag;
use crate::gtid::mysql::{self, Gtid, Uuid};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GtidEvent {
    pub gtid: Gtid,
    /// The logical clock of the parallel applier: it may run along with whatever is not after
    /// `last_committed`. Both count anew in each file.
    pub last_committed: u64,
    pub sequence_number: u64,
    /// Bytes of all of the transaction's events, this one and the checksums included; None of a server
    /// that does not say.
    pub transaction_length: Option<u64>,
}

/// What `logical_timestamp_typecode` must be for the clock to follow.
const LOGICAL_CLOCK: u8 = 2;
/// In the first of two commit times: the second one follows.
const TWO_TIMES: u8 = 0x80;
const TIME_LENGTH: usize = 7;

/// Ids of a tagged event's fields.
mod field {
    pub(super) const FLAGS: u64 = 0;
    pub(super) const UUID: u64 = 1;
    pub(super) const NUMBER: u64 = 2;
    pub(super) const TAG: u64 = 3;
    pub(super) const LAST_COMMITTED: u64 = 4;
    pub(super) const SEQUENCE_NUMBER: u64 = 5;
    pub(super) const IMMEDIATE_COMMIT: u64 = 6;
    pub(super) const ORIGINAL_COMMIT: u64 = 7;
    pub(super) const TRANSACTION_LENGTH: u64 = 8;
}
const FORMAT: u64 = 1;

impl GtidEvent {
    /// Of either type.
    pub fn parse(event: &[u8]) -> Result<Self, Error> {
        match Header::parse(event)?.kind {
            EventType::MYSQL_TAGGED_GTID => {
                tagged(super::body(event, EventType::MYSQL_TAGGED_GTID)?)
            }
            _ => plain(super::body(event, EventType::MYSQL_GTID)?),
        }
    }
}

fn plain(mut body: Cursor<'_>) -> Result<GtidEvent, Error> {
    body.skip(1)?;
    let uuid = Uuid(body.array()?);
    let number = number(body.u64()?)?;
    let (mut last_committed, mut sequence_number) = (0, 0);
    let mut transaction_length = None;
    if body.peek() == Some(LOGICAL_CLOCK) {
        body.skip(1)?;
        last_committed = body.u64()?;
        sequence_number = body.u64()?;
        if !body.is_empty() {
            let [.., highest] = body.array::<TIME_LENGTH>()?;
            if highest & TWO_TIMES != 0 {
                body.skip(TIME_LENGTH)?;
            }
            if !body.is_empty() {
                transaction_length = Some(body.lenenc_int()?);
            }
        }
    }
    Ok(GtidEvent {
        gtid: Gtid {
            uuid,
            tag: None,
            number,
        },
        last_committed,
        sequence_number,
        transaction_length,
    })
}

fn tagged(mut body: Cursor<'_>) -> Result<GtidEvent, Error> {
    if body.var_uint()? != FORMAT {
        return Err(Error::Malformed(
            "a tagged GTID of a format that is not known here",
        ));
    }
    let _size = body.var_uint()?;
    let _last_needed = body.var_uint()?;
    let (mut uuid, mut tag, mut gno) = (None, None, None);
    let (mut last_committed, mut sequence_number) = (0, 0);
    let mut transaction_length = None;
    while !body.is_empty() {
        match body.var_uint()? {
            field::FLAGS | field::IMMEDIATE_COMMIT | field::ORIGINAL_COMMIT => {
                body.var_uint()?;
            }
            field::UUID => {
                let mut bytes = [0; 16];
                for byte in &mut bytes {
                    *byte = u8::try_from(body.var_uint()?)
                        .map_err(|_| Error::Malformed("a uuid of more than bytes"))?;
                }
                uuid = Some(Uuid(bytes));
            }
            field::NUMBER => gno = Some(number(natural(&mut body)?)?),
            field::TAG => {
                let length = usize::try_from(body.var_uint()?).unwrap_or(usize::MAX);
                tag = parse_tag(body.take(length)?)
                    .map_err(|()| Error::Malformed("a tag that is none"))?;
            }
            field::LAST_COMMITTED => last_committed = natural(&mut body)?,
            field::SEQUENCE_NUMBER => sequence_number = natural(&mut body)?,
            field::TRANSACTION_LENGTH => transaction_length = Some(body.var_uint()?),
            // Fields come in the order of their ids, and the form of one that is not known is not either.
            _ => break,
        }
    }
    let (Some(uuid), Some(number)) = (uuid, gno) else {
        return Err(Error::Malformed("a tagged GTID without uuid or number"));
    };
    Ok(GtidEvent {
        gtid: Gtid { uuid, tag, number },
        last_committed,
        sequence_number,
        transaction_length,
    })
}

/// A signed number that is not negative.
fn natural(body: &mut Cursor<'_>) -> Result<u64, Error> {
    let signed = body.var_uint()?;
    if signed & 1 == 0 {
        Ok(signed >> 1)
    } else {
        Err(Error::Malformed("a number below 0 in a tagged GTID"))
    }
}

fn number(number: u64) -> Result<u64, Error> {
    if mysql::is_number(number) {
        Ok(number)
    } else {
        Err(Error::Malformed("a GTID's number is out of range"))
    }
}
