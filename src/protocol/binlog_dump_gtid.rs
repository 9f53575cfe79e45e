//! COM_BINLOG_DUMP_GTID (0x1e): MySQL's request for the stream of all that the asker does not have.
//!
//! `flags u16 | server id u32 | file, behind its length u32 | position u64 | GTID set, behind its length
//! u32`. File and position are empty and 4: the GTIDs say where to begin.

use super::fields::Fields;
use super::{Command, Error};
use crate::gtid::{GtidSet, encoding};
use crate::ids::ServerId;

const WHAT: &str = "COM_BINLOG_DUMP_GTID";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinlogDumpGtid {
    pub flags: u16,
    pub server_id: ServerId,
    pub file: Vec<u8>,
    pub position: u64,
    /// What the asker has.
    pub executed: GtidSet,
}

impl BinlogDumpGtid {
    /// End with an EOF packet at the end of the last file instead of waiting for more.
    pub const NON_BLOCK: u16 = 0x01;
    /// Send HEARTBEAT_V2 instead of HEARTBEAT (measured on 9.7.4).
    pub const HEARTBEAT_V2: u16 = 0x02;

    pub fn new(server_id: ServerId, executed: GtidSet) -> Self {
        Self {
            flags: Self::HEARTBEAT_V2,
            server_id,
            file: Vec::new(),
            position: 4,
            executed,
        }
    }

    /// The whole payload, command byte included.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload, WHAT);
        fields.u8()?;
        let flags = fields.u16()?;
        let server_id = ServerId(fields.u32()?);
        let length = fields.u32()? as usize;
        let file = fields.bytes(length)?.to_vec();
        let position = fields.u64()?;
        let length = fields.u32()? as usize;
        let set = fields.bytes(length)?;
        let executed = encoding::decode(set).map_err(|_| Error::Malformed {
            what: WHAT,
            why: "its GTID set cannot be read",
        })?;
        Ok(Self {
            flags,
            server_id,
            file,
            position,
            executed,
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(Command::BINLOG_DUMP_GTID.0);
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.server_id.0.to_le_bytes());
        out.extend_from_slice(&(self.file.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.file);
        out.extend_from_slice(&self.position.to_le_bytes());
        let set = encoding::encode(&self.executed);
        out.extend_from_slice(&(set.len() as u32).to_le_bytes());
        out.extend_from_slice(&set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a replica of MySQL 9.7.4.
    const SENT: &[u8] = b"\x1e\x02\0\x02\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x5d\0\0\0\
        \x01\x02\0\0\0\0\0\x01\
        \x4c\xd6\x77\xb2\xe7\x0c\x11\xf1\xa0\x0a\x02\xfc\0\0\0\x01\0\
        \x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\
        \x4c\xd6\x77\xb2\xe7\x0c\x11\xf1\xa0\x0a\x02\xfc\0\0\0\x01\x06tap\
        \x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0";

    #[test]
    fn what_a_replica_sent() {
        let dump = BinlogDumpGtid::parse(SENT).unwrap();
        let executed = "4cd677b2-e70c-11f1-a00a-02fc00000001:1-3:tap:1";
        let expected = BinlogDumpGtid::new(ServerId(2), executed.parse().unwrap());
        assert_eq!(dump, expected);
        let mut bytes = Vec::new();
        dump.write(&mut bytes);
        assert_eq!(bytes, SENT);
    }

    #[test]
    fn a_file_can_be_named() {
        let dump = BinlogDumpGtid {
            flags: BinlogDumpGtid::NON_BLOCK,
            file: b"binlog.000007".to_vec(),
            position: 1 << 33,
            ..BinlogDumpGtid::new(ServerId(9), GtidSet::new())
        };
        let mut bytes = Vec::new();
        dump.write(&mut bytes);
        assert_eq!(BinlogDumpGtid::parse(&bytes), Ok(dump));
    }

    #[test]
    fn short_and_broken_requests_are_errors() {
        for end in 0..SENT.len() {
            assert!(BinlogDumpGtid::parse(&SENT[..end]).is_err(), "{end}");
        }
        // The set is longer than the packet, and a format that is not known.
        for (at, byte) in [(22, 0xff), (30, 2)] {
            let mut broken = SENT.to_vec();
            broken[at] = byte;
            assert!(BinlogDumpGtid::parse(&broken).is_err());
        }
    }
}
