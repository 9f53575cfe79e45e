//! Packets put together from the pieces that they come in. Pure.

use std::io;

use crate::protocol::packet::{HEADER, Header};

/// A frame holds no more.
pub const LARGEST: usize = 0xFF_FFFF;

#[derive(Debug, Default)]
pub struct Gather {
    waiting: Vec<u8>,
    /// Where the next packet begins: in `waiting`, or behind it.
    next: usize,
}

impl Gather {
    /// Takes a piece; `frame` is given what can go into a frame now: whole packets, or a part of one
    /// that is larger than a frame.
    pub fn push(
        &mut self,
        piece: &[u8],
        mut frame: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.waiting.extend_from_slice(piece);
        let mut whole = 0;
        while let Some(rest) = self.waiting.get(self.next..) {
            whole = self.next;
            let Some(header) = Header::parse(rest) else {
                break;
            };
            self.next += HEADER + header.length;
        }
        let ready = whole + (self.waiting.len() - whole) / LARGEST * LARGEST;
        for part in self.waiting[..ready].chunks(LARGEST) {
            frame(part)?;
        }
        self.waiting.drain(..ready);
        self.next -= ready;
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::packet;

    fn frames(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut gather = Gather::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece) {
            let take = |part: &[u8]| {
                frames.push(part.to_vec());
                Ok(())
            };
            gather.push(piece, take).unwrap();
        }
        assert_eq!((gather.waiting.capacity(), gather.next), (0, 0));
        frames
    }

    fn is_whole(mut frame: &[u8]) -> bool {
        while let Some(header) = Header::parse(frame) {
            let Some(rest) = frame.get(HEADER + header.length..) else {
                return false;
            };
            frame = rest;
        }
        frame.is_empty()
    }

    proptest! {
        #[test]
        fn a_frame_holds_whole_packets(
            sizes in prop::collection::vec(0..600usize, 1..20),
            piece in 1..500usize,
        ) {
            let mut bytes = Vec::new();
            for size in sizes {
                packet::write(&mut bytes, &mut 0, &vec![7; size]);
            }
            let frames = frames(&bytes, piece);
            prop_assert!(frames.iter().all(|frame| is_whole(frame)));
            prop_assert_eq!(frames.concat(), bytes);
        }
    }

    #[test]
    fn a_packet_larger_than_a_frame_goes_in_two() {
        let mut bytes = Vec::new();
        packet::write(&mut bytes, &mut 0, &vec![7; LARGEST + 100]);
        let frames = frames(&bytes, 128 * 1024);
        assert_eq!(frames[0].len(), LARGEST);
        assert_eq!(frames.concat(), bytes);
    }
}
