//! Checksums of events: verify, strip, and seal anew.

use super::{Error, EventType, Flags, HEADER_LENGTH, Header};

pub const CHECKSUM_LENGTH: usize = 4;

/// Offsets in the header that sealing rewrites.
const LENGTH_AT: usize = 9;
const NEXT_POSITION_AT: usize = 13;
const FLAGS_AT: usize = 17;

/// `@@binlog_checksum` of the file or stream, as its format description says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Off,
    Crc32,
}

impl TryFrom<u8> for Algorithm {
    type Error = Error;

    fn try_from(byte: u8) -> Result<Self, Error> {
        match byte {
            0 => Ok(Self::Off),
            1 => Ok(Self::Crc32),
            other => Err(Error::Algorithm(other)),
        }
    }
}

/// The CRC32 of an event without its checksum. A format description's in-use flag does not count:
/// the server clears it in place on closing the file.
fn crc32(event: &[u8]) -> u32 {
    let description = event.get(4) == Some(&EventType::FORMAT_DESCRIPTION.0);
    if !description || event.len() < HEADER_LENGTH {
        return crc32fast::hash(event);
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&event[..FLAGS_AT]);
    crc.update(&[event[FLAGS_AT] & !(Flags::IN_USE as u8)]);
    crc.update(&event[FLAGS_AT + 1..]);
    crc.finalize()
}

/// Checks the CRC32 that `event` ends with, and that its length is the one it names.
pub fn verify_checksum(event: &[u8]) -> Result<(), Error> {
    let header = Header::parse(event)?;
    if header.length as usize != event.len() {
        return Err(Error::Length {
            says: header.length,
            bytes: event.len(),
        });
    }
    match event.split_last_chunk::<CHECKSUM_LENGTH>() {
        Some((covered, checksum)) if covered.len() >= HEADER_LENGTH => {
            let found = u32::from_le_bytes(*checksum);
            let computed = crc32(covered);
            if found == computed {
                Ok(())
            } else {
                Err(Error::Checksum { found, computed })
            }
        }
        _ => Err(Error::Malformed("no room for a checksum")),
    }
}

/// An event as it came, without its verified checksum.
pub fn strip(event: &[u8], algorithm: Algorithm) -> Result<&[u8], Error> {
    match algorithm {
        Algorithm::Crc32 => {
            verify_checksum(event)?;
            Ok(&event[..event.len() - CHECKSUM_LENGTH])
        }
        Algorithm::Off => {
            let header = Header::parse(event)?;
            if header.length as usize == event.len() {
                Ok(event)
            } else {
                Err(Error::Length {
                    says: header.length,
                    bytes: event.len(),
                })
            }
        }
    }
}

/// Makes a whole event of one without checksum: sets its length (checksum included) and
/// `end_log_pos`, and appends the CRC32.
pub fn seal(event: &mut Vec<u8>, end_log_pos: u32) -> Result<(), Error> {
    seal_from(event, 0, end_log_pos)
}

/// [`seal`] for the event that begins at `start` of a buffer and ends with it.
pub fn seal_from(buffer: &mut Vec<u8>, start: usize, end_log_pos: u32) -> Result<(), Error> {
    let whole = buffer.len() - start + CHECKSUM_LENGTH;
    let event = &mut buffer[start..];
    Header::parse(event)?;
    let length = u32::try_from(whole).map_err(|_| Error::TooLong(whole))?;
    event[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_le_bytes());
    event[NEXT_POSITION_AT..NEXT_POSITION_AT + 4].copy_from_slice(&end_log_pos.to_le_bytes());
    let crc = crc32(event);
    buffer.extend_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Like [`seal`] for a stream whose reader asked for no checksums.
pub fn seal_without_checksum(event: &mut [u8], end_log_pos: u32) -> Result<(), Error> {
    Header::parse(event)?;
    let length = u32::try_from(event.len()).map_err(|_| Error::TooLong(event.len()))?;
    event[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_le_bytes());
    event[NEXT_POSITION_AT..NEXT_POSITION_AT + 4].copy_from_slice(&end_log_pos.to_le_bytes());
    Ok(())
}
