//! Is the source's transaction the one that our store ends with?
//!
//! Promise 5: a dump starts one transaction before the store's end, and that transaction must be the
//! same in content. "In content" leaves out what differs by place and by who logged it: positions,
//! checksums, the engine's transaction number, the thread that ran it and for how long. A GTID that
//! two servers used for different writes differs in what is left.

use sha1::{Digest, Sha1};

use crate::event::EventType;

const HEADER: usize = 19;

/// A digest over the events of one transaction, fed one event at a time so that a transaction of any
/// size can be compared.
#[derive(Clone, Default)]
pub struct Content(Sha1);

impl Content {
    /// `event`: header and body, without the checksum. Shorter than a header: ignored, since
    /// the framing has refused it already.
    pub fn add(&mut self, event: &[u8]) {
        let Some((header, body)) = event.split_at_checked(HEADER) else {
            return;
        };
        // Timestamp, type and server id; the length follows from the body, the position from the place.
        self.0.update(&header[..9]);
        let kind = EventType(header[4]);
        let kept: [&[u8]; 2] = if kind == EventType::GTID {
            // Sequence number and domain; flags and the group commit id are the logging server's.
            [body.get(..12).unwrap_or(body), &[]]
        } else if kind == EventType::XID {
            [&[], &[]]
        } else if kind == EventType::QUERY {
            // Thread id (4) and execution time (4) come first.
            [&[], body.get(8..).unwrap_or(&[])]
        } else {
            [body, &[]]
        };
        for part in kept {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    pub fn digest(self) -> [u8; 20] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventType, position: u32, body: &[u8]) -> Vec<u8> {
        let mut event = vec![1, 0, 0, 0, kind.0, 1, 0, 0, 0];
        event.extend_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
        event.extend_from_slice(&position.to_le_bytes());
        event.extend_from_slice(&[0, 0]);
        event.extend_from_slice(body);
        event
    }

    fn digest(events: &[Vec<u8>]) -> [u8; 20] {
        let mut content = Content::default();
        events.iter().for_each(|e| content.add(e));
        content.digest()
    }

    #[test]
    fn place_does_not_matter_and_content_does() {
        let query = |position, thread: u8, text: &str| {
            let mut body = vec![thread, 0, 0, 0, 9, 0, 0, 0];
            body.extend_from_slice(text.as_bytes());
            event(EventType::QUERY, position, &body)
        };
        let ours = digest(&[query(100, 7, "INSERT 1"), event(EventType::XID, 130, &[1, 2, 3])]);
        assert_eq!(ours, digest(&[query(900, 8, "INSERT 1"), event(EventType::XID, 930, &[9])]));
        assert_ne!(ours, digest(&[query(100, 7, "INSERT 2"), event(EventType::XID, 130, &[1, 2, 3])]));
        assert_ne!(ours, digest(&[query(100, 7, "INSERT 1")]));
    }
}
