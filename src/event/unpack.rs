//! Decompression that a few bytes cannot turn into much memory: what comes out grows with what is really
//! there, never with what a header promises, and ends at a limit that the caller names.

use std::io::Read;

use super::Error;
use crate::cursor::Cursor;

/// What a server takes as its largest packet, and so as its largest event (1 GiB).
pub const LARGEST: usize = 1 << 30;

pub(super) const TOO_LARGE: Error = Error::Malformed("unpacks to more than is allowed here");
const DAMAGED: Error = Error::Malformed("packed bytes are damaged");

/// As MariaDB packs rows: `0x80 | bytes of the length | length, big-endian | zlib`. In a column's value, a
/// bit tells of a stream without zlib's own header, and a first byte of 0 that nothing is packed.
pub(super) fn mariadb(packed: &[u8], longest: usize) -> Result<Vec<u8>, Error> {
    const WITHOUT_HEADER: u8 = 0x08;
    let mut cursor = Cursor::new(packed);
    let head = cursor.u8()?;
    // zlib is the only algorithm, 8.
    let (0x80, length @ 1..=4) = (head & 0xf0, usize::from(head & 7)) else {
        return Err(Error::Malformed("packed in an unknown way"));
    };
    let length = cursor.take(length)?;
    let length = length.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    if length > longest {
        return Err(TOO_LARGE);
    }
    let inflate = flate2::Decompress::new(head & WITHOUT_HEADER == 0);
    let mut bytes = Vec::new();
    // One more than promised, so that too many are seen.
    let read = flate2::bufread::ZlibDecoder::new_with_decompress(cursor.rest(), inflate)
        .take(length as u64 + 1)
        .read_to_end(&mut bytes);
    match read {
        Ok(read) if read == length => Ok(bytes),
        _ => Err(DAMAGED),
    }
}

/// One or more frames of zstd that make `length` bytes.
pub(super) fn zstd(packed: &[u8], length: usize, longest: usize) -> Result<Vec<u8>, Error> {
    if length > longest {
        return Err(TOO_LARGE);
    }
    // All at once, for then the result is the window: a frame may ask for one of 128 MiB. Begun anew with
    // more room where it was too little; four times as much costs at most a third on top.
    let mut room = packed
        .len()
        .saturating_mul(16)
        .clamp(4096, LARGEST)
        .min(length);
    let mut decompressor = zstd::bulk::Decompressor::new().map_err(|_| DAMAGED)?;
    loop {
        let mut bytes = Vec::with_capacity(room);
        match decompressor.decompress_to_buffer(packed, &mut bytes) {
            Ok(read) if read == length => return Ok(bytes),
            // Damaged bytes stay so with more room. The crate has no code for it, only zstd's words.
            Err(error) if room < length && error.to_string().contains("too small") => {
                room = room.saturating_mul(4).min(length);
            }
            _ => return Err(DAMAGED),
        }
    }
}
