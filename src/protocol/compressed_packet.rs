//! The frame around compressed packets: a stretch of the packet stream, which may begin and end in the
//! middle of a packet.

/// In front of each: 3 bytes length as sent, 1 byte number, 3 bytes length before compression.
pub const HEADER: usize = 7;
/// What is shorter is not worth it, as servers and clients see it.
pub const MIN_COMPRESS: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that follow.
    pub length: usize,
    /// Counted apart from the numbers of the packets within.
    pub sequence: u8,
    /// Their number before they were compressed; 0 if they were not.
    pub uncompressed: usize,
}

impl Header {
    pub fn parse(bytes: [u8; HEADER]) -> Self {
        let [a, b, c, sequence, x, y, z] = bytes;
        Self {
            length: u32::from_le_bytes([a, b, c, 0]) as usize,
            sequence,
            uncompressed: u32::from_le_bytes([x, y, z, 0]) as usize,
        }
    }

    pub fn to_bytes(self) -> [u8; HEADER] {
        let [a, b, c, _] = (self.length as u32).to_le_bytes();
        let [x, y, z, _] = (self.uncompressed as u32).to_le_bytes();
        [a, b, c, self.sequence, x, y, z]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        // The example of the protocol's documentation: 50 bytes in 34.
        let bytes = [0x22, 0, 0, 0, 0x32, 0, 0];
        let header = Header::parse(bytes);
        assert_eq!(
            header,
            Header {
                length: 34,
                sequence: 0,
                uncompressed: 50
            }
        );
        assert_eq!(header.to_bytes(), bytes);
    }
}
