//! COM_BINLOG_DUMP (0x12): the request for the stream of events.
//!
//! MariaDB asks by GTID with position 4 and an empty file name, after `SET @slave_connect_state`.

use super::fields::Fields;
use super::{Command, Error};
use crate::ids::ServerId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinlogDump {
    pub position: u32,
    pub flags: u16,
    pub server_id: ServerId,
    pub file: Vec<u8>,
}

impl BinlogDump {
    /// End with an EOF packet at the end of the last file instead of waiting for more.
    pub const NON_BLOCK: u16 = 0x01;
    /// Send MariaDB's Annotate_rows events.
    pub const SEND_ANNOTATE_ROWS: u16 = 0x02;

    /// The whole payload, command byte included.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload, "COM_BINLOG_DUMP");
        fields.u8()?;
        Ok(Self {
            position: fields.u32()?,
            flags: fields.u16()?,
            server_id: ServerId(fields.u32()?),
            file: fields.until_nul_or_end().to_vec(),
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(Command::BINLOG_DUMP.0);
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.server_id.0.to_le_bytes());
        out.extend_from_slice(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let dump = BinlogDump {
            position: 4,
            flags: BinlogDump::SEND_ANNOTATE_ROWS,
            server_id: ServerId(0x0102_0304),
            file: b"binlog.000001".to_vec(),
        };
        let mut bytes = Vec::new();
        dump.write(&mut bytes);
        assert_eq!(bytes, b"\x12\x04\0\0\0\x02\0\x04\x03\x02\x01binlog.000001");
        assert_eq!(BinlogDump::parse(&bytes).unwrap(), dump);
        assert!(BinlogDump::parse(&bytes[..10]).is_err());
    }
}
