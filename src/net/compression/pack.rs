//! Bytes into a compressed frame.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::Algorithm;
use crate::protocol::compressed_packet::{HEADER, Header, MIN_COMPRESS};

/// What takes more than some milliseconds otherwise.
const LARGE: usize = 256 * 1024;

/// Appends a frame with `bytes`, less than 2^24 of them.
pub fn pack(algorithm: Algorithm, sequence: u8, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    let body = start + HEADER;
    out.resize(body, 0);
    let mut uncompressed = bytes.len();
    if uncompressed >= MIN_COMPRESS {
        compress(algorithm, bytes, out)?;
    }
    let gained = (body + 1..body + uncompressed).contains(&out.len());
    if !gained {
        out.truncate(body);
        out.extend_from_slice(bytes);
        uncompressed = 0;
    }
    let header = Header {
        length: out.len() - body,
        sequence,
        uncompressed,
    };
    out[start..body].copy_from_slice(&header.to_bytes());
    Ok(())
}

fn compress(algorithm: Algorithm, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match algorithm {
        Algorithm::Zlib => {
            // One large packet must not hold up the other sessions of its event loop for long.
            let level = if bytes.len() > LARGE {
                Compression::fast()
            } else {
                Compression::default()
            };
            let mut encoder = ZlibEncoder::new(out, level);
            encoder.write_all(bytes)?;
            encoder.finish().map(drop)
        }
        Algorithm::Zstd { level } => {
            out.extend_from_slice(&zstd::bulk::compress(bytes, level)?);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gains_nothing_stays_as_it_is() {
        let noise: Vec<u8> = (0..60).map(|n: u8| n.wrapping_mul(151) ^ 0x5A).collect();
        for text in [&b"SELECT 1"[..], &noise] {
            let mut out = vec![1, 2, 3];
            pack(Algorithm::Zlib, 9, text, &mut out).unwrap();
            let header = Header::parse(out[3..10].try_into().unwrap());
            assert_eq!((header.sequence, header.uncompressed), (9, 0));
            assert_eq!(&out[10..], text);
        }
    }
}
