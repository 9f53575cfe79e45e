//! FORMAT_DESCRIPTION: the first event of every file and dump; says how to read the others.
//!
//! `version u16 | server version, 50 bytes | created u32 | header length u8 | one post-header length
//! per event type | checksum algorithm u8 | checksum, always there`.

use super::checksum::{self, Algorithm};
use super::{CHECKSUM_LENGTH, Error, EventType, Flags, Header, seal};
use crate::cursor::Cursor;

const SERVER_VERSION_LENGTH: usize = 50;
/// Header and binlog version lie before it.
const VERSION_AT: usize = 19 + 2;
const CREATED_AT: usize = VERSION_AT + SERVER_VERSION_LENGTH;
const FLAGS_AT: usize = 17;

/// Who wrote the file, by its first event, with or without its checksum. Empty where there is none.
pub fn version_in(event: &[u8]) -> String {
    let field = event.get(VERSION_AT..CREATED_AT).unwrap_or_default();
    let version = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(version).into_owned()
}

/// A parsed format description that keeps its bytes, so that our own files can describe themselves
/// as the source's do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// As it came, without the checksum.
    bytes: Vec<u8>,
    server_version: String,
    created: u32,
    algorithm: Algorithm,
}

impl FormatDescription {
    /// Takes the event as it came, with the four bytes of its checksum (which are there also where
    /// the algorithm is off; only then they are not verified).
    pub fn parse(event: &[u8]) -> Result<Self, Error> {
        let header = Header::parse(event)?;
        if header.kind != EventType::FORMAT_DESCRIPTION {
            return Err(Error::Kind {
                expected: EventType::FORMAT_DESCRIPTION,
                found: header.kind,
            });
        }
        if header.length as usize != event.len() {
            return Err(Error::Length {
                says: header.length,
                bytes: event.len(),
            });
        }
        let mut cursor = Cursor::new(event);
        cursor.skip(super::HEADER_LENGTH)?;
        if cursor.u16()? != 4 {
            return Err(Error::Malformed(
                "only binlog format version 4 is understood",
            ));
        }
        cursor.skip(SERVER_VERSION_LENGTH)?;
        let created = cursor.u32()?;
        if usize::from(cursor.u8()?) != super::HEADER_LENGTH {
            return Err(Error::Malformed("event headers are not 19 bytes long"));
        }
        let Some((_, &algorithm)) = cursor
            .rest()
            .split_last_chunk::<CHECKSUM_LENGTH>()
            .and_then(|(lengths, _)| lengths.split_last().map(|(last, front)| (front, last)))
        else {
            return Err(Error::Malformed("no checksum algorithm"));
        };
        let algorithm = Algorithm::try_from(algorithm)?;
        if algorithm == Algorithm::Crc32 {
            checksum::verify_checksum(event)?;
        }
        Ok(Self {
            bytes: event[..event.len() - CHECKSUM_LENGTH].to_vec(),
            server_version: version_in(event),
            created,
            algorithm,
        })
    }

    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// Non-zero where the server itself started with this file: replicas then drop their temporary
    /// tables.
    pub fn created(&self) -> u32 {
        self.created
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether files that this one heads can hold the events that `other` describes: everything but
    /// time, place and checksums is the same.
    pub fn describes_like(&self, other: &Self) -> bool {
        let shape = |description: &Self| {
            let bytes = &description.bytes;
            // Without the last byte, the algorithm.
            (
                bytes[19..CREATED_AT].to_vec(),
                bytes[CREATED_AT + 4..bytes.len() - 1].to_vec(),
            )
        };
        shape(self) == shape(other)
    }

    pub fn header(&self) -> Result<Header, Error> {
        Header::parse(&self.bytes)
    }

    /// The head of one of our own files: same server, `created` 0 (only a source's start may make
    /// replicas drop temporary tables), not in use, CRC32. Sealed, to stand right behind the magic.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        let mut event = self.bytes.clone();
        event[CREATED_AT..CREATED_AT + 4].fill(0);
        event[FLAGS_AT..FLAGS_AT + 2].fill(0);
        event[FLAGS_AT] &= !(Flags::IN_USE as u8);
        if let Some(algorithm) = event.last_mut() {
            *algorithm = 1;
        }
        let end = super::MAGIC.len() + event.len() + CHECKSUM_LENGTH;
        let end = u32::try_from(end).map_err(|_| Error::TooLong(end))?;
        seal(&mut event, end)?;
        Ok(event)
    }
}
