//! Compressed frames as a client sends and reads them: whole ones, with the libraries' simplest calls.

use std::io::{Read, Write};

use ackline::protocol::Capabilities;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

const HEADER: usize = 7;
/// As much as goes into one.
const LARGEST: usize = 0xFF_FFFF;

#[derive(Clone, Copy)]
pub enum Frames {
    Zlib,
    Zstd,
}

impl Frames {
    pub fn of(capabilities: Capabilities) -> Option<Self> {
        if capabilities.contains(Capabilities::COMPRESS) {
            Some(Self::Zlib)
        } else if capabilities.contains(Capabilities::ZSTD) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Every second frame is sent as it is.
    pub fn pack(self, sequence: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, part) in bytes.chunks(LARGEST).enumerate() {
            let packed = match self {
                _ if number % 2 == 1 || part.len() < 50 => None,
                Self::Zlib => {
                    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                    encoder.write_all(part).unwrap();
                    Some(encoder.finish().unwrap())
                }
                Self::Zstd => Some(zstd::bulk::compress(part, 3).unwrap()),
            };
            let (body, before) = match &packed {
                Some(packed) => (&packed[..], part.len()),
                None => (part, 0),
            };
            out.extend(&(body.len() as u32).to_le_bytes()[..3]);
            out.push(sequence.wrapping_add(number as u8));
            out.extend(&(before as u32).to_le_bytes()[..3]);
            out.extend(body);
        }
        out
    }

    /// Takes the whole frames out of `framed`; whether each has the number after the one before.
    pub fn unpack(self, framed: &mut Vec<u8>, out: &mut Vec<u8>, last: &mut u8) -> bool {
        let mut in_order = true;
        while let Some(&[a, b, c, number, x, y, z]) = framed.first_chunk::<HEADER>() {
            let end = HEADER + u32::from_le_bytes([a, b, c, 0]) as usize;
            if framed.len() < end {
                return in_order;
            }
            in_order &= number == last.wrapping_add(1);
            *last = number;
            let before = u32::from_le_bytes([x, y, z, 0]) as usize;
            let body = &framed[HEADER..end];
            let start = out.len();
            match self {
                _ if before == 0 => out.extend(body),
                Self::Zlib => drop(ZlibDecoder::new(body).read_to_end(out).unwrap()),
                Self::Zstd => out.extend(zstd::bulk::decompress(body, before).unwrap()),
            }
            assert!(before == 0 || out.len() == start + before);
            framed.drain(..end);
        }
        in_order
    }

    /// How many frames these bytes make.
    pub fn count(self, bytes: &[u8]) -> u8 {
        bytes.len().div_ceil(LARGEST) as u8
    }
}
