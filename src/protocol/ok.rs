//! OK and EOF: how an answer ends well.
//!
//! With `DEPRECATE_EOF` an OK that begins with 0xFE ends rows, and there is no EOF packet any more.

use super::fields::{Fields, put_lenenc, put_lenenc_bytes};
use super::{Capabilities, Error};

/// Status bits of OK and EOF.
pub mod status {
    pub const IN_TRANSACTION: u16 = 0x0001;
    pub const AUTOCOMMIT: u16 = 0x0002;
    pub const MORE_RESULTS: u16 = 0x0008;
    pub const CURSOR_EXISTS: u16 = 0x0040;
    pub const LAST_ROW_SENT: u16 = 0x0080;
    /// Backslashes in strings are plain characters (`sql_mode`).
    pub const NO_BACKSLASH_ESCAPES: u16 = 0x0200;
    pub const OUT_PARAMETERS: u16 = 0x1000;
    pub const IN_READ_ONLY_TRANSACTION: u16 = 0x2000;
    pub const SESSION_STATE: u16 = 0x4000;
    /// MariaDB.
    pub const ANSI_QUOTES: u16 = 0x8000;
    /// What is true of the session and not only of one answer.
    pub const LASTING: u16 =
        IN_TRANSACTION | AUTOCOMMIT | NO_BACKSLASH_ESCAPES | IN_READ_ONLY_TRANSACTION | ANSI_QUOTES;
}

/// An OK packet; borrowed from the payload it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OkPacket<'a> {
    /// 0x00, or 0xFE when it ends rows.
    pub first: u8,
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: u16,
    pub warnings: u16,
    pub info: &'a [u8],
    /// The entries of the session state, as they came; see [`super::session_state`].
    pub session_state: &'a [u8],
}

impl<'a> OkPacket<'a> {
    pub const FIRST: u8 = 0x00;
    pub const FIRST_AFTER_ROWS: u8 = 0xFE;

    /// `capabilities` are those of the connection it came on.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Error> {
        const WHAT: &str = "an OK packet";
        let mut fields = Fields::new(payload, WHAT);
        let first = fields.u8()?;
        if first != Self::FIRST && first != Self::FIRST_AFTER_ROWS {
            return Err(Error::Malformed {
                what: WHAT,
                why: "it begins with another byte",
            });
        }
        let affected_rows = fields.lenenc()?;
        let last_insert_id = fields.lenenc()?;
        let status = fields.u16()?;
        let warnings = fields.u16()?;
        let mut info: &[u8] = b"";
        let mut session_state: &[u8] = b"";
        if capabilities.contains(Capabilities::SESSION_TRACK) {
            if !fields.is_empty() {
                info = fields.lenenc_bytes()?;
            }
            if status & status::SESSION_STATE != 0 && !fields.is_empty() {
                session_state = fields.lenenc_bytes()?;
            }
        } else if !fields.is_empty() {
            // MySQL without session tracking sends the rest as it is, MariaDB length-encoded.
            let mut try_lenenc = fields;
            info = match try_lenenc.lenenc_bytes() {
                Ok(text) if try_lenenc.is_empty() => text,
                _ => fields.rest(),
            };
        }
        Ok(Self {
            first,
            affected_rows,
            last_insert_id,
            status,
            warnings,
            info,
            session_state,
        })
    }

    /// Appends the payload for a peer with these capabilities; session state goes out only to one
    /// that asked for it, and only where there is some.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        let tracks = capabilities.contains(Capabilities::SESSION_TRACK);
        let with_state = tracks && !self.session_state.is_empty();
        let status = if with_state {
            self.status | status::SESSION_STATE
        } else {
            self.status & !status::SESSION_STATE
        };
        out.push(self.first);
        put_lenenc(out, self.affected_rows);
        put_lenenc(out, self.last_insert_id);
        out.extend_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        if with_state || !self.info.is_empty() {
            put_lenenc_bytes(out, self.info);
        }
        if with_state {
            put_lenenc_bytes(out, self.session_state);
        }
    }

    /// A plain OK, as a server sends it for a statement without rows.
    pub fn plain(status: u16) -> OkPacket<'static> {
        OkPacket {
            first: OkPacket::FIRST,
            affected_rows: 0,
            last_insert_id: 0,
            status,
            warnings: 0,
            info: b"",
            session_state: b"",
        }
    }
}

/// The EOF packet of the protocol before `DEPRECATE_EOF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EofPacket {
    pub warnings: u16,
    pub status: u16,
}

impl EofPacket {
    pub const FIRST: u8 = 0xFE;
    pub const LENGTH: usize = 5;

    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload, "an EOF packet");
        fields.u8()?;
        Ok(Self {
            warnings: fields.u16()?,
            status: fields.u16()?,
        })
    }

    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let [w0, w1] = self.warnings.to_le_bytes();
        let [s0, s1] = self.status.to_le_bytes();
        [Self::FIRST, w0, w1, s0, s1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mariadb_ok_with_a_gtid() {
        // FACTS.md section 4: the bytes MariaDB 10.11 sends for an autocommit INSERT.
        let payload = b"\x00\x01\x00\x02\x40\x00\x00\x00\x14\x00\x12\x09last_gtid\x070-1-187";
        let ok = OkPacket::parse(payload, Capabilities::SESSION_TRACK).unwrap();
        assert_eq!((ok.affected_rows, ok.status), (1, 0x4002));
        assert_eq!(ok.session_state, b"\x00\x12\x09last_gtid\x070-1-187");
        let mut again = Vec::new();
        ok.write(&mut again, Capabilities::SESSION_TRACK);
        assert_eq!(again, payload);
        let mut stripped = Vec::new();
        ok.write(&mut stripped, Capabilities::NONE);
        assert_eq!(stripped, b"\x00\x01\x00\x02\x00\x00\x00");
    }

    #[test]
    fn info_in_both_spellings() {
        let mariadb = b"\x00\x00\x00\x02\x00\x00\x00\x05hello";
        let mysql = b"\x00\x00\x00\x02\x00\x00\x00hello";
        for payload in [&mariadb[..], &mysql[..]] {
            assert_eq!(
                OkPacket::parse(payload, Capabilities::NONE).unwrap().info,
                b"hello"
            );
        }
    }

    #[test]
    fn cut_anywhere_is_no_panic() {
        let payload = b"\xfe\xfc\x01\x00\x00\x02\x40\x00\x00\x00\x04\x00\x02\x01a";
        for end in 0..payload.len() {
            let _ = OkPacket::parse(&payload[..end], Capabilities::SESSION_TRACK);
        }
    }
}
