//! Binlog events as packets of a dump: `00`, for a semi-sync replica `EF` and the ack flag, the event.
//!
//! Sequence numbers are part of the contract: they grow by one a packet and start again at 1 after an
//! event that asked for an ack, because the replica's answer (sequence 0) resets its counter.

use bytes::{BufMut, BytesMut};

use crate::protocol::ok::EofPacket;
use crate::protocol::packet::MAX_PAYLOAD;
use crate::protocol::semi_sync::EventPacket;

#[derive(Debug)]
pub struct Framer {
    semi_sync: bool,
    sequence: u8,
}

impl Framer {
    /// The COM_BINLOG_DUMP had sequence 0, so the first event has 1.
    pub fn new(semi_sync: bool) -> Self {
        Self {
            semi_sync,
            sequence: 1,
        }
    }

    /// Appends one event; `ack` asks a semi-sync replica to answer it.
    pub fn event(&mut self, out: &mut BytesMut, event: &[u8], ack: bool) {
        let prefix = EventPacket::prefix(self.semi_sync, ack);
        let mut left = prefix.len() + event.len();
        let mut rest = event;
        let mut head = prefix;
        loop {
            let size = left.min(MAX_PAYLOAD);
            out.reserve(4 + size);
            self.header(out, size);
            out.put_slice(head);
            let (now, later) = rest.split_at(size - head.len());
            out.put_slice(now);
            (head, rest, left) = (&[], later, left - size);
            if size < MAX_PAYLOAD {
                break;
            }
        }
        if self.semi_sync && ack {
            self.sequence = 1;
        }
    }

    /// The end of a dump that was asked not to wait (`BINLOG_DUMP_NON_BLOCK`).
    pub fn end(&mut self, out: &mut BytesMut) {
        let eof = EofPacket {
            warnings: 0,
            status: 0,
        }
        .to_bytes();
        self.header(out, eof.len());
        out.put_slice(&eof);
    }

    /// The sequence number of the next packet, for an ERR that ends the dump.
    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    fn header(&mut self, out: &mut BytesMut, size: usize) {
        out.put_uint_le(size as u64, 3);
        out.put_u8(self.sequence);
        self.sequence = self.sequence.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_starts_again_after_an_event_that_wants_an_ack() {
        let mut framer = Framer::new(true);
        let mut out = BytesMut::new();
        framer.event(&mut out, b"ab", false);
        framer.event(&mut out, b"cd", true);
        framer.event(&mut out, b"ef", false);
        assert_eq!(
            &out[..],
            b"\x05\0\0\x01\0\xef\0ab\x05\0\0\x02\0\xef\x01cd\x05\0\0\x01\0\xef\0ef"
        );
    }

    #[test]
    fn a_reader_without_semi_sync_gets_bare_events() {
        let mut framer = Framer::new(false);
        let mut out = BytesMut::new();
        framer.event(&mut out, b"ab", true);
        framer.end(&mut out);
        assert_eq!(&out[..], b"\x03\0\0\x01\0ab\x05\0\0\x02\xfe\0\0\0\0");
    }

    #[test]
    fn a_payload_that_fills_a_packet_is_followed_by_another() {
        let mut framer = Framer::new(false);
        let mut out = BytesMut::new();
        framer.event(&mut out, &vec![7; MAX_PAYLOAD - 1], false);
        assert_eq!(
            out.len(),
            4 + MAX_PAYLOAD + 4,
            "full packet, then an empty one"
        );
        assert_eq!(&out[4 + MAX_PAYLOAD..], b"\0\0\0\x02");
    }
}
