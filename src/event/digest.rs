//! A transaction's content, apart from what differs by place.

use std::fmt;

use sha1::{Digest as _, Sha1};

use super::HEADER_LENGTH;

/// Equal for the same transaction in two binlogs of one stream: over every event without its
/// `end_log_pos`, length and checksum (a file with checksums has longer events than one without).
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
        // Timestamp, type and server id; then the flags.
        self.0.update(&header[..header.len().min(9)]);
        self.0.update(header.get(17..).unwrap_or_default());
        // With its length in front no two lists of events make the same bytes.
        self.0.update((body.len() as u64).to_le_bytes());
        self.0.update(body);
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
