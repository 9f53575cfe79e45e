//! Frames of compressed bytes, taken apart as they come: nothing is gathered, so a frame of 16 MB costs
//! no more than its decoder's window.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::Algorithm;
use crate::protocol::compressed_packet::{HEADER, Header};

/// No frame holds more than 2^24 bytes, so none needs a larger window to look back into.
const WINDOW_LOG: u32 = 24;

pub struct Unpacker {
    algorithm: Algorithm,
    state: State,
    /// Of the last frame.
    sequence: u8,
}

enum State {
    Header { bytes: [u8; HEADER], have: usize },
    Plain { left: usize },
    Packed(Box<Packed>),
}

/// In the middle of a compressed frame.
struct Packed {
    codec: Codec,
    left: usize,
    /// Not told yet of what the header promised.
    owed: usize,
    /// The decoder filled all the room it was given, and may hold more.
    holds_more: bool,
}

enum Codec {
    Zlib(Decompress),
    Zstd(Decoder<'static>),
}

const BETWEEN: State = State::Header {
    bytes: [0; HEADER],
    have: 0,
};

impl Unpacker {
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            state: BETWEEN,
            sequence: 0,
        }
    }

    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    /// The stream may end here.
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Header { have: 0, .. })
    }

    /// Something may come out although nothing comes in.
    pub fn holds_more(&self) -> bool {
        matches!(&self.state, State::Packed(packed) if packed.holds_more)
    }

    /// How much of `input` was used and how much of `out` was filled. Stops when one of both is at its
    /// end.
    pub fn advance(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut used, mut made) = (0, 0);
        loop {
            let rest = &input[used..];
            match &mut self.state {
                State::Header { bytes, have } => {
                    let now = rest.len().min(HEADER - *have);
                    bytes[*have..*have + now].copy_from_slice(&rest[..now]);
                    *have += now;
                    used += now;
                    if *have < HEADER {
                        return Ok((used, made));
                    }
                    let header = Header::parse(*bytes);
                    self.sequence = header.sequence;
                    self.state = if header.uncompressed == 0 {
                        State::Plain {
                            left: header.length,
                        }
                    } else {
                        State::Packed(Box::new(Packed::new(self.algorithm, header)?))
                    };
                }
                State::Plain { left: 0 } => self.state = BETWEEN,
                State::Plain { left } => {
                    let now = rest.len().min(*left).min(out.len() - made);
                    if now == 0 {
                        return Ok((used, made));
                    }
                    out[made..made + now].copy_from_slice(&rest[..now]);
                    *left -= now;
                    used += now;
                    made += now;
                }
                State::Packed(packed) if packed.is_done() => self.state = BETWEEN,
                State::Packed(packed) => {
                    if made == out.len() && packed.owed > 0 {
                        return Ok((used, made));
                    }
                    let (took, gave) = packed.advance(rest, &mut out[made..])?;
                    used += took;
                    made += gave;
                    if took == 0 && gave == 0 {
                        return Ok((used, made));
                    }
                }
            }
        }
    }
}

impl Packed {
    fn new(algorithm: Algorithm, header: Header) -> io::Result<Self> {
        let codec = match algorithm {
            Algorithm::Zlib => Codec::Zlib(Decompress::new(true)),
            Algorithm::Zstd { .. } => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
                Codec::Zstd(decoder)
            }
        };
        Ok(Self {
            codec,
            left: header.length,
            owed: header.uncompressed,
            holds_more: false,
        })
    }

    fn is_done(&self) -> bool {
        self.left == 0 && self.owed == 0
    }

    fn advance(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        let input = &input[..input.len().min(self.left)];
        let room = out.len().min(self.owed);
        let (took, gave) = if self.owed > 0 {
            self.codec.run(input, &mut out[..room])?
        } else {
            // Only the checksum can be left.
            let mut nothing = [0];
            let (took, gave) = self.codec.run(input, &mut nothing)?;
            if gave > 0 {
                return Err(malformed("a frame holds more than its header says"));
            }
            (took, 0)
        };
        self.left -= took;
        self.owed -= gave;
        self.holds_more = gave > 0 && gave == room && self.owed > 0;
        let stuck = took == 0 && gave == 0;
        if stuck && (self.left == 0 || !input.is_empty()) {
            return Err(malformed("a frame holds less than its header says"));
        }
        Ok((took, gave))
    }
}

impl Codec {
    fn run(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        match self {
            Self::Zlib(decoder) => {
                let (took, gave) = (decoder.total_in(), decoder.total_out());
                match decoder.decompress(input, out, FlushDecompress::None) {
                    Ok(Status::Ok | Status::BufError | Status::StreamEnd) => {}
                    Err(_) => return Err(malformed("a frame cannot be decompressed")),
                }
                let took = decoder.total_in() - took;
                let gave = decoder.total_out() - gave;
                Ok((took as usize, gave as usize))
            }
            Self::Zstd(decoder) => {
                let mut input = InBuffer::around(input);
                let mut out = OutBuffer::around(out);
                decoder
                    .run(&mut input, &mut out)
                    .map_err(|_| malformed("a frame cannot be decompressed"))?;
                Ok((input.pos(), out.pos()))
            }
        }
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker")
            .field("algorithm", &self.algorithm)
            .field("is_between", &self.is_between())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pack::pack;
    use super::*;

    fn algorithms() -> impl Strategy<Value = Algorithm> {
        prop_oneof![
            Just(Algorithm::Zlib),
            (1..=5).prop_map(|level| Algorithm::Zstd { level }),
        ]
    }

    /// All that comes out, in pieces of these sizes.
    fn unpack(
        algorithm: Algorithm,
        input: &[u8],
        piece: usize,
        room: usize,
    ) -> io::Result<Vec<u8>> {
        let mut unpacker = Unpacker::new(algorithm);
        let (mut all, mut at) = (Vec::new(), 0);
        let mut out = vec![0; room];
        loop {
            let end = (at + piece).min(input.len());
            let (used, made) = unpacker.advance(&input[at..end], &mut out)?;
            at += used;
            all.extend_from_slice(&out[..made]);
            if used == 0 && made == 0 {
                assert_eq!(at, input.len(), "it is stuck");
                if !unpacker.is_between() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                return Ok(all);
            }
        }
    }

    proptest! {
        #[test]
        fn round_trip(
            algorithm in algorithms(),
            text in prop::collection::vec(prop::collection::vec(0..4u8, 0..3000), 1..4),
            piece in 1..400usize,
            room in 1..400usize,
        ) {
            let mut packed = Vec::new();
            for (sequence, text) in text.iter().enumerate() {
                pack(algorithm, sequence as u8, text, &mut packed).unwrap();
            }
            let unpacked = unpack(algorithm, &packed, piece, room).unwrap();
            prop_assert_eq!(unpacked, text.concat());
        }

        #[test]
        fn broken_frames_are_errors_and_never_panic(
            algorithm in algorithms(),
            text in prop::collection::vec(0..4u8, 60..3000),
            at in 0..2000usize,
            byte: u8,
        ) {
            let mut packed = Vec::new();
            pack(algorithm, 0, &text, &mut packed).unwrap();
            let at = at % packed.len();
            packed[at] = byte;
            // Whatever comes out, it is no more than was promised, and it ends.
            if let Ok(unpacked) = unpack(algorithm, &packed, 300, 300) {
                prop_assert!(unpacked.len() <= text.len().max(packed.len()));
            }
        }
    }

    #[test]
    fn a_frame_must_keep_what_its_header_says() {
        for algorithm in [Algorithm::Zlib, Algorithm::Zstd { level: 3 }] {
            for lie in [-1i32, 1] {
                let mut packed = Vec::new();
                pack(algorithm, 0, &[7; 1000], &mut packed).unwrap();
                let promised = (1000 + lie).to_le_bytes();
                packed[4..7].copy_from_slice(&promised[..3]);
                let error = unpack(algorithm, &packed, 64, 64).unwrap_err();
                assert_eq!(
                    error.kind(),
                    io::ErrorKind::InvalidData,
                    "{algorithm:?} {lie}"
                );
            }
        }
    }
}
