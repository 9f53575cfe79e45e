//! TRANSACTION_PAYLOAD (40): a whole transaction but its GTID, compressed
//! (`binlog_transaction_compression`).
//!
//! Fields of `type | length | value`, all length-encoded, up to a type of 0: 1 the payload's bytes, 2 how it is
//! compressed (0 zstd, 255 not at all), 3 its bytes when unpacked. Then the payload: events one after the other,
//! without checksums (MySQL's `libs/mysql/binlog/event/transaction_payload…`).

use std::borrow::Cow;

use super::{Error, EventType, Header, unpack};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Zstd,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionPayload<'a> {
    pub packing: Packing,
    /// Bytes that the server says are in it.
    pub unpacked: u64,
    pub packed: &'a [u8],
}

impl<'a> TransactionPayload<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        const END: u64 = 0;
        const SIZE: u64 = 1;
        const PACKING: u64 = 2;
        const UNPACKED: u64 = 3;
        let mut body = super::body(event, EventType::TRANSACTION_PAYLOAD)?;
        let (mut size, mut packing, mut unpacked) = (None, Packing::None, None);
        loop {
            let field = body.lenenc_int()?;
            if field == END {
                break;
            }
            let mut value = crate::cursor::Cursor::new(body.lenenc_bytes()?);
            match field {
                SIZE => size = Some(value.lenenc_int()?),
                PACKING => {
                    packing = match value.lenenc_int()? {
                        0 => Packing::Zstd,
                        255 => Packing::None,
                        _ => return Err(Error::Malformed("a payload packed in an unknown way")),
                    }
                }
                UNPACKED => unpacked = Some(value.lenenc_int()?),
                // Of a newer server; what it means is not for us to unpack.
                _ => {}
            }
        }
        let packed = body.rest();
        if size.is_some_and(|size| size != packed.len() as u64) {
            return Err(Error::Malformed("a payload of another length"));
        }
        Ok(Self {
            packing,
            unpacked: unpacked.unwrap_or(packed.len() as u64),
            packed,
        })
    }

    /// The transaction's events. One that has more than `longest` bytes is an error, and no memory is taken
    /// for it.
    pub fn unpack(&self, longest: usize) -> Result<Payload<'a>, Error> {
        let length = usize::try_from(self.unpacked).map_err(|_| unpack::TOO_LARGE)?;
        Ok(Payload(match self.packing {
            Packing::Zstd => Cow::Owned(unpack::zstd(self.packed, length, longest)?),
            Packing::None => Cow::Borrowed(self.packed),
        }))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload<'a>(Cow<'a, [u8]>);

impl Payload<'_> {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Events without checksums, as all parsers take them.
    pub fn events(&self) -> impl Iterator<Item = Result<&[u8], Error>> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let event = match Header::parse(rest) {
                Ok(header) => {
                    let split = rest.split_at_checked(header.length as usize);
                    split.ok_or(Error::Malformed("a payload ends within an event"))
                }
                Err(error) => Err(error),
            };
            // After an error there is nothing more.
            rest = event.as_ref().map_or(&[], |(_, behind)| behind);
            Some(event.map(|(event, _)| event))
        })
    }
}
