//! The server's greeting, "Handshake V10".

use super::fields::Fields;
use super::{Capabilities, Error};
use crate::ids::Flavor;

const WHAT: &str = "the server's greeting";

/// The greeting, parsed. `scramble` is without its closing NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// As sent: MariaDB before 11 puts `5.5.5-` in front of its version.
    pub server_version: String,
    pub connection_id: u32,
    pub scramble: Vec<u8>,
    pub capabilities: Capabilities,
    pub collation: u8,
    pub status: u16,
    pub auth_plugin: String,
}

impl Handshake {
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload, WHAT);
        match fields.u8()? {
            10 => {}
            other => return Err(Error::Version(other)),
        }
        let server_version = String::from_utf8_lossy(fields.until_nul()?).into_owned();
        let connection_id = fields.u32()?;
        let mut scramble = fields.bytes(8)?.to_vec();
        fields.u8()?;
        let lower = fields.u16()?;
        let collation = fields.u8()?;
        let status = fields.u16()?;
        let upper = fields.u16()?;
        let scramble_length = fields.u8()?;
        fields.bytes(6)?;
        let extended = fields.u32()?;
        let low = u32::from(lower) | u32::from(upper) << 16;
        // A MySQL server's filler is no capability.
        let high = if low & Capabilities::CLIENT_MYSQL.low() == 0 {
            extended
        } else {
            0
        };
        let capabilities = Capabilities::from_halves(low, high);
        if !capabilities.contains(Capabilities::PROTOCOL_41) {
            return Err(Error::Malformed {
                what: WHAT,
                why: "a server older than 4.1",
            });
        }
        if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            // The last byte is a NUL that is no part of the scramble.
            let second = usize::from(scramble_length).saturating_sub(8).max(13);
            let part = fields.bytes(second)?;
            scramble.extend_from_slice(part.strip_suffix(b"\0").unwrap_or(part));
        }
        let auth_plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            String::from_utf8_lossy(fields.until_nul_or_end()).into_owned()
        } else {
            String::new()
        };
        Ok(Self {
            server_version,
            connection_id,
            scramble,
            capabilities,
            collation,
            status,
            auth_plugin,
        })
    }

    /// Appends the payload. A patched greeting is a parsed one with other `capabilities`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (first, second) = self.scramble.split_at(self.scramble.len().min(8));
        out.push(10);
        out.extend_from_slice(self.server_version.as_bytes());
        out.push(0);
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(first);
        out.resize(out.len() + 8 - first.len(), 0);
        out.push(0);
        let low = self.capabilities.low();
        out.extend_from_slice(&(low as u16).to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&((low >> 16) as u16).to_le_bytes());
        let length = if self.capabilities.contains(Capabilities::PLUGIN_AUTH) {
            (self.scramble.len() + 1).min(255) as u8
        } else {
            0
        };
        out.push(length);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.capabilities.high().to_le_bytes());
        if self.capabilities.contains(Capabilities::SECURE_CONNECTION) {
            out.extend_from_slice(second);
            let least = 12usize.saturating_sub(second.len());
            out.resize(out.len() + least + 1, 0);
        }
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH) {
            out.extend_from_slice(self.auth_plugin.as_bytes());
            out.push(0);
        }
    }

    /// Puts other capabilities into a greeting, in place; the layout must not depend on what changes.
    pub fn patch_capabilities(payload: &mut [u8], with: Capabilities) -> Result<(), Error> {
        let mut fields = Fields::new(payload, WHAT);
        fields.u8()?;
        fields.until_nul()?;
        let version_end = payload.len() - fields.rest().len();
        let lower = version_end + 4 + 8 + 1;
        let extended = lower + 2 + 1 + 2 + 2 + 1 + 6;
        if payload.len() < extended + 4 {
            return Err(Error::Truncated { what: WHAT });
        }
        let low = with.low().to_le_bytes();
        payload[lower..lower + 2].copy_from_slice(&low[..2]);
        payload[lower + 5..lower + 7].copy_from_slice(&low[2..]);
        if !with.contains(Capabilities::CLIENT_MYSQL) {
            payload[extended..extended + 4].copy_from_slice(&with.high().to_le_bytes());
        }
        Ok(())
    }

    /// MariaDB says so in its version; MySQL never does.
    pub fn is_mariadb(&self) -> bool {
        Flavor::of_version(&self.server_version) == Flavor::MariaDb
            || !self.capabilities.contains(Capabilities::CLIENT_MYSQL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MariaDB 10.11's greeting, as captured.
    fn golden() -> Vec<u8> {
        let mut bytes = b"\x0a5.5.5-10.11.19-MariaDB-log\0".to_vec();
        bytes.extend_from_slice(b"\x1e\0\0\0abcdefgh\0\xfe\xff\x2d\x02\0\xff\x81\x15");
        bytes.extend_from_slice(b"\0\0\0\0\0\0\x1d\0\0\0");
        bytes.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
        bytes
    }

    #[test]
    fn mariadb_greeting() {
        let greeting = Handshake::parse(&golden()).unwrap();
        assert_eq!(greeting.server_version, "5.5.5-10.11.19-MariaDB-log");
        assert_eq!(greeting.connection_id, 30);
        assert_eq!(greeting.scramble, b"abcdefghijklmnopqrst");
        assert_eq!(greeting.capabilities.high(), 0x1d);
        assert!(greeting.capabilities.contains(Capabilities::PROGRESS));
        assert!(greeting.is_mariadb());
        let mut again = Vec::new();
        greeting.write(&mut again);
        assert_eq!(again, golden());
    }

    #[test]
    fn patched_in_place() {
        let mut bytes = golden();
        let mut expected = Handshake::parse(&bytes).unwrap();
        expected.capabilities = expected
            .capabilities
            .without(Capabilities::SSL | Capabilities::COMPRESS | Capabilities::PROGRESS);
        Handshake::patch_capabilities(&mut bytes, expected.capabilities).unwrap();
        assert_eq!(Handshake::parse(&bytes).unwrap(), expected);
        assert_eq!(bytes.len(), golden().len());
        assert!(Handshake::patch_capabilities(&mut bytes[..30], Capabilities::NONE).is_err());
    }

    #[test]
    fn cut_anywhere_is_an_error_not_a_panic() {
        let golden = golden();
        for end in 0..golden.len() - 24 {
            assert!(Handshake::parse(&golden[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn mysql_filler_is_no_capability() {
        let mut greeting = Handshake::parse(&golden()).unwrap();
        greeting.capabilities = greeting.capabilities.with(Capabilities::CLIENT_MYSQL);
        let mut bytes = Vec::new();
        greeting.write(&mut bytes);
        assert_eq!(Handshake::parse(&bytes).unwrap().capabilities.high(), 0);
    }
}
