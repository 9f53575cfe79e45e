//! A transaction's content, apart from what differs by place.

use std::fmt;

use sha1::{Digest as _, Sha1};

use super::mysql_gtid::GtidEvent;
use super::{EventType, HEADER_LENGTH};

/// Equal for the same transaction in two binlogs, whichever server logged it.
///
/// Left out is what differs by place and by who logged it: positions, lengths, checksums and flags, the
/// engine's transaction number, the thread that ran a statement and for how long. A GTID that two
/// servers used for different writes differs in what is left.
///
/// A replica that logs what it applied still writes some of it in other words, and then the digests
/// differ (measured): statement variables of DDL (the engine's transaction number), of BEGIN and XA; on
/// MariaDB also the text of a DROP, and XID for the COMMIT of a non-transactional engine; on MySQL a
/// transaction that only one of them compresses. Before a moved source is compared, this must be met.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionDigest([u8; 20]);

#[derive(Clone, Debug, Default)]
pub struct Digester(Sha1);

impl Digester {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the transaction's next event, without checksum.
    pub fn event(&mut self, event: &[u8]) {
        let (header, body) = event.split_at(event.len().min(HEADER_LENGTH));
        // Timestamp, type and server id; the length follows from the body.
        self.0.update(&header[..header.len().min(9)]);
        let gtid;
        let kept = match header.get(4).map(|kind| EventType(*kind)) {
            // Sequence number and domain; flags and the group commit id are the logging server's.
            Some(EventType::GTID) => body.get(..12).unwrap_or(body),
            // Clock, commit time and version are the logging server's.
            Some(EventType::MYSQL_GTID | EventType::MYSQL_TAGGED_GTID) => {
                gtid = GtidEvent::parse(event).map(|start| start.gtid.to_string());
                gtid.as_ref().map_or(body, |gtid| gtid.as_bytes())
            }
            Some(EventType::XID) => &[],
            // Thread id (4) and execution time (4) come first.
            Some(
                EventType::QUERY | EventType::QUERY_COMPRESSED | EventType::EXECUTE_LOAD_QUERY,
            ) => body.get(8..).unwrap_or(body),
            _ => body,
        };
        // With its length in front no two lists of events make the same bytes.
        self.0.update((kept.len() as u64).to_le_bytes());
        self.0.update(kept);
    }

    pub fn finish(self) -> TransactionDigest {
        TransactionDigest(self.0.finalize().into())
    }
}

impl fmt::Display for TransactionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TransactionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventType, position: u32, body: &[u8]) -> Vec<u8> {
        let mut event = vec![1, 0, 0, 0, kind.0, 1, 0, 0, 0];
        event.extend_from_slice(&((HEADER_LENGTH + body.len()) as u32).to_le_bytes());
        event.extend_from_slice(&position.to_le_bytes());
        event.extend_from_slice(&[0, 0]);
        event.extend_from_slice(body);
        event
    }

    fn digest(events: &[Vec<u8>]) -> TransactionDigest {
        let mut digester = Digester::new();
        events.iter().for_each(|e| digester.event(e));
        digester.finish()
    }

    #[test]
    fn place_does_not_matter_and_content_does() {
        let query = |position, thread: u8, text: &str| {
            let mut body = vec![thread, 0, 0, 0, 9, 0, 0, 0];
            body.extend_from_slice(text.as_bytes());
            event(EventType::QUERY, position, &body)
        };
        let xid = |position, number| event(EventType::XID, position, &[number; 8]);
        let ours = digest(&[query(100, 7, "INSERT 1"), xid(130, 1)]);
        assert_eq!(ours, digest(&[query(900, 8, "INSERT 1"), xid(930, 9)]));
        assert_ne!(ours, digest(&[query(100, 7, "INSERT 2"), xid(130, 1)]));
        assert_ne!(ours, digest(&[query(100, 7, "INSERT 1")]));
    }
}
