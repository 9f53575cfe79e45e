//! Frames that are numbered as the packets in them. Pure.
//!
//! In a dump numbers begin anew behind each event that wants an acknowledgement, and whoever reads it expects that
//! of frames as well, whether our side has read the acknowledgement by then or not. So a frame holds one packet
//! and has its number. A packet of 16 MB is a few bytes too long for one: the rest goes in front of the next,
//! which always follows.

use std::io;

use super::gather::LARGEST;
use crate::protocol::packet::{HEADER, Header};

#[derive(Debug, Default)]
pub struct Numbered {
    waiting: Vec<u8>,
    /// Where in `waiting` the next packet begins; before it is the rest of the one before.
    next: usize,
    /// By how much frames are ahead of packets: the last part of a large event did not fit into one.
    ahead: u8,
    last: u8,
}

impl Numbered {
    /// Takes a piece; `frame` is given what goes into a frame now, and its number.
    pub fn push(
        &mut self,
        piece: &[u8],
        mut frame: impl FnMut(u8, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.waiting.extend_from_slice(piece);
        while let Some(header) = self.waiting.get(self.next..).and_then(Header::parse) {
            let end = self.next + HEADER + header.length;
            let now = end.min(LARGEST);
            if self.waiting.len() < now || (!header.continues() && self.waiting.len() < end) {
                break;
            }
            if header.sequence != self.last.wrapping_add(1) {
                self.ahead = 0;
            }
            self.last = header.sequence;
            frame(
                header.sequence.wrapping_add(self.ahead),
                &self.waiting[..now],
            )?;
            self.next = end - now;
            if !header.continues() && now < end {
                self.ahead = self.ahead.wrapping_add(1);
                frame(
                    header.sequence.wrapping_add(self.ahead),
                    &self.waiting[now..end],
                )?;
                self.waiting.drain(..end);
                self.next = 0;
            } else {
                self.waiting.drain(..now);
            }
        }
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::packet;

    fn frames(bytes: &[u8], piece: usize) -> Vec<(u8, Vec<u8>)> {
        let mut numbered = Numbered::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece) {
            let take = |number, part: &[u8]| {
                frames.push((number, part.to_vec()));
                Ok(())
            };
            numbered.push(piece, take).unwrap();
        }
        assert_eq!(numbered.waiting.capacity(), 0);
        let all = frames.iter().flat_map(|(_, part)| part.clone());
        assert!(all.eq(bytes.iter().copied()));
        frames
    }

    fn packets(sizes: &[usize], mut sequence: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for size in sizes {
            packet::write(&mut bytes, &mut sequence, &vec![7; *size]);
        }
        bytes
    }

    #[test]
    fn a_frame_has_its_packets_number() {
        // Behind an event that wants an acknowledgement they begin anew.
        let bytes = [packets(&[10, 0, 300], 254), packets(&[5, 5], 1)].concat();
        for piece in [1, 7, 1000] {
            let numbers: Vec<u8> = frames(&bytes, piece).iter().map(|(n, _)| *n).collect();
            assert_eq!(numbers, [254, 255, 0, 1, 2]);
        }
    }

    #[test]
    fn an_event_of_many_packets_takes_as_many_frames() {
        let bytes = [packets(&[2 * LARGEST + 100], 3), packets(&[9], 6)].concat();
        for piece in [70_000, bytes.len()] {
            let frames = frames(&bytes, piece);
            let numbers: Vec<u8> = frames.iter().map(|(n, _)| *n).collect();
            assert_eq!(numbers, [3, 4, 5, 6]);
            assert!(frames.iter().all(|(_, part)| part.len() <= LARGEST));
        }
    }

    /// Until the numbers begin anew, frames are one ahead.
    #[test]
    fn the_last_part_may_be_too_long_for_a_frame() {
        let bytes = [packets(&[LARGEST - 1, 9], 3), packets(&[9], 1)].concat();
        let numbers: Vec<u8> = frames(&bytes, 70_000).iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [3, 4, 5, 1]);
    }
}
