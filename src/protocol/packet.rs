//! Framing: 3 bytes of length, 1 byte of sequence number, then the payload.
//!
//! A payload of 2^24-1 bytes says "more follows": the next packet continues it, and one that is an
//! exact multiple ends with an empty packet.

/// Bytes of the header in front of every payload.
pub const HEADER: usize = 4;
/// The longest payload of one packet; this very length announces a continuation.
pub const MAX_PAYLOAD: usize = 0xFF_FFFF;

/// A packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub length: usize,
    pub sequence: u8,
}

impl Header {
    /// None while fewer than [`HEADER`] bytes are there.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [a, b, c, sequence, ..] => Some(Self {
                length: usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16,
                sequence,
            }),
            _ => None,
        }
    }

    /// The next packet continues this one's payload.
    #[inline]
    pub fn continues(self) -> bool {
        self.length == MAX_PAYLOAD
    }

    #[inline]
    pub fn to_bytes(self) -> [u8; HEADER] {
        let length = self.length.min(MAX_PAYLOAD);
        [
            length as u8,
            (length >> 8) as u8,
            (length >> 16) as u8,
            self.sequence,
        ]
    }
}

/// Appends `payload` with as many headers as it needs and moves `sequence` on.
pub fn write(out: &mut Vec<u8>, sequence: &mut u8, payload: &[u8]) {
    out.reserve(payload.len() + HEADER);
    let mut rest = payload;
    loop {
        let (now, later) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        let header = Header {
            length: now.len(),
            sequence: *sequence,
        };
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(now);
        *sequence = sequence.wrapping_add(1);
        rest = later;
        if !header.continues() {
            return;
        }
    }
}

/// Moves the number of the packet at the front on.
#[inline]
pub fn shift(packet: &mut [u8], by: u8) {
    if let Some(sequence) = packet.get_mut(HEADER - 1) {
        *sequence = sequence.wrapping_add(by);
    }
}

/// Takes the last byte off the only packet in `packet`.
pub fn drop_last_byte(packet: &mut Vec<u8>) {
    let Some(header) = Header::parse(packet).filter(|header| header.length > 0) else {
        return;
    };
    packet.truncate(HEADER + header.length - 1);
    let shorter = Header {
        length: header.length - 1,
        ..header
    };
    packet[..HEADER].copy_from_slice(&shorter.to_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_less() {
        let mut packet = vec![3, 0, 0, 1, b'a', b'b', b'c'];
        drop_last_byte(&mut packet);
        assert_eq!(packet, [2, 0, 0, 1, b'a', b'b']);
        let mut empty = vec![0, 0, 0, 1];
        drop_last_byte(&mut empty);
        assert_eq!(empty, [0, 0, 0, 1]);
    }

    #[test]
    fn a_small_packet() {
        let (mut out, mut sequence) = (Vec::new(), 255);
        write(&mut out, &mut sequence, b"abc");
        assert_eq!(out, b"\x03\0\0\xffabc");
        assert_eq!(sequence, 0);
        assert_eq!(
            Header::parse(&out),
            Some(Header {
                length: 3,
                sequence: 255
            })
        );
        assert_eq!(Header::parse(&out[..3]), None);
    }

    #[test]
    fn an_exact_multiple_ends_with_an_empty_packet() {
        for (length, packets) in [(MAX_PAYLOAD - 1, 1), (MAX_PAYLOAD, 2), (MAX_PAYLOAD + 1, 2)] {
            let (mut out, mut sequence) = (Vec::new(), 0);
            write(&mut out, &mut sequence, &vec![7; length]);
            assert_eq!(out.len(), length + packets * HEADER);
            assert_eq!(usize::from(sequence), packets);
        }
    }
}
