//! Where a dump is in the server's own binlog, counted in 64 bits.
//!
//! An event's header has the lower half only of where it ends (`end_log_pos`), and one large transaction takes a
//! file beyond 4 GiB, since servers rotate behind a transaction. The ROTATE at the start of each file says where
//! counting begins, the events' lengths carry it on. Where the numbers jump, something was left out (what a dump
//! by GTID skips): the upper half is then not known, and taken as it was, until a heartbeat tells the whole
//! number. Too low a position releases nobody until then; too high a one would release what is not stored.

use std::sync::Arc;

use crate::event::Header;
use crate::event::rotate::Rotate;
use crate::ids::SourcePosition;

const HALF: u64 = 1 << 32;

#[derive(Debug)]
pub(super) struct Coordinates {
    file: Arc<str>,
    /// Where the event that came last begins and ends.
    begin: u64,
    end: u64,
}

impl Default for Coordinates {
    fn default() -> Self {
        Self {
            file: "".into(),
            begin: 0,
            end: 0,
        }
    }
}

impl Coordinates {
    /// The server's own file that the dump is in.
    pub(super) fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub(super) fn begin(&self) -> SourcePosition {
        self.at(self.begin)
    }

    pub(super) fn end(&self) -> SourcePosition {
        self.at(self.end)
    }

    fn at(&self, offset: u64) -> SourcePosition {
        SourcePosition {
            file: self.file.clone(),
            offset,
        }
    }

    pub(super) fn rotate(&mut self, rotate: &Rotate<'_>) {
        self.file = String::from_utf8_lossy(rotate.file).into();
        (self.begin, self.end) = (rotate.position, rotate.position);
    }

    pub(super) fn event(&mut self, header: &Header) {
        let counted = self.end + u64::from(header.length);
        if counted as u32 == header.next_position {
            self.end = counted;
        } else if header.next_position == 0 || header.is_artificial() {
            // Made up for the stream; it stands in no file.
            return;
        } else {
            self.end = self.end / HALF * HALF + u64::from(header.next_position);
        }
        self.begin = self.end.saturating_sub(u64::from(header.length));
    }

    /// What a heartbeat says. Returns by how much all that was told of this file was too low.
    pub(super) fn heartbeat(&mut self, file: &[u8], position: u64) -> Option<u64> {
        if file != self.file.as_bytes() || position <= self.end {
            return None;
        }
        let short = position - self.end;
        self.end = position;
        short.is_multiple_of(HALF).then_some(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use crate::ids::ServerId;

    fn header(length: u32, next_position: u32) -> Header {
        Header {
            length,
            next_position,
            ..Header::begin(EventType::XID, ServerId(1), 0)
        }
    }

    fn begun(position: u64) -> Coordinates {
        let mut coordinates = Coordinates::default();
        let file = b"bin.000007";
        coordinates.rotate(&Rotate { position, file });
        coordinates
    }

    #[test]
    fn a_file_is_counted_beyond_4_gib() {
        let mut coordinates = begun(4);
        let mut end = 4u64;
        // One of them ends at 4 GiB to the byte, and says 0.
        for length in [1u32 << 31, (1 << 31) - 4, 500, u32::MAX, 31] {
            end += u64::from(length);
            coordinates.event(&header(length, end as u32));
            assert_eq!(coordinates.end().offset, end);
            assert_eq!(coordinates.begin().offset, end - u64::from(length));
        }
        assert!(end > 2 * HALF);
        coordinates.rotate(&Rotate {
            position: 4,
            file: b"bin.000008",
        });
        coordinates.event(&header(252, 256));
        assert_eq!(coordinates.end().to_string(), "bin.000008:256");
    }

    #[test]
    fn what_is_made_up_moves_nothing() {
        let mut coordinates = begun(900);
        coordinates.event(&header(252, 0));
        let mut list = header(43, 943);
        list.next_position = 43;
        list.flags = crate::event::Flags::ARTIFICIAL;
        coordinates.event(&list);
        assert_eq!(coordinates.end().offset, 900);
    }

    #[test]
    fn what_was_skipped_is_told_by_a_heartbeat() {
        // MariaDB: the whole number comes behind the transaction.
        let mut coordinates = begun(4);
        coordinates.event(&header(100, 1100));
        assert_eq!(coordinates.end().offset, 1100, "never higher than proven");
        assert_eq!(coordinates.heartbeat(b"bin.000006", HALF + 1100), None);
        assert_eq!(coordinates.heartbeat(b"bin.000007", 1100), None);
        let whole = HALF + 1100;
        assert_eq!(coordinates.heartbeat(b"bin.000007", whole), Some(HALF));
        assert_eq!(coordinates.end().offset, whole);
        assert_eq!(coordinates.heartbeat(b"bin.000007", whole), None);

        // MySQL: it comes before.
        let mut coordinates = begun(4);
        assert_eq!(coordinates.heartbeat(b"bin.000007", HALF + 1000), None);
        coordinates.event(&header(100, 1100));
        assert_eq!(coordinates.begin().offset, HALF + 1000);
        assert_eq!(coordinates.end().offset, HALF + 1100);
    }
}
