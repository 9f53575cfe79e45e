//! ERR: 0xFF, code, `#` and SQLSTATE, message.

use super::Error;
use super::fields::Fields;

/// The code of MariaDB's progress reports, which look like an ERR and are none.
pub const PROGRESS: u16 = 0xFFFF;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrPacket {
    pub code: u16,
    pub state: [u8; 5],
    pub message: String,
}

impl ErrPacket {
    pub const FIRST: u8 = 0xFF;
    pub const GENERAL: [u8; 5] = *b"HY000";

    pub fn new(code: u16, state: &[u8; 5], message: impl Into<String>) -> Self {
        Self {
            code,
            state: *state,
            message: message.into(),
        }
    }

    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "an ERR packet";
        let mut fields = Fields::new(payload, WHAT);
        if fields.u8()? != Self::FIRST {
            return Err(Error::Malformed {
                what: WHAT,
                why: "it begins with another byte",
            });
        }
        let code = fields.u16()?;
        let mut state = Self::GENERAL;
        // Before the login a server sends none.
        if fields.rest().first() == Some(&b'#') && fields.rest().len() >= 6 {
            fields.u8()?;
            state = fields.array()?;
        }
        Ok(Self {
            code,
            state,
            message: String::from_utf8_lossy(fields.rest()).into_owned(),
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        out.push(b'#');
        out.extend_from_slice(&self.state);
        out.extend_from_slice(self.message.as_bytes());
    }

    /// In place of a greeting: the client's capabilities are not known, so no SQLSTATE goes out.
    pub fn write_before_login(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        out.extend_from_slice(self.message.as_bytes());
    }

    fn write_head(&self, out: &mut Vec<u8>) {
        out.push(Self::FIRST);
        out.extend_from_slice(&self.code.to_le_bytes());
    }
}

impl std::fmt::Display for ErrPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = String::from_utf8_lossy(&self.state);
        write!(f, "{} ({state}): {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let error = ErrPacket::new(1045, b"28000", "Access denied");
        let mut bytes = Vec::new();
        error.write(&mut bytes);
        assert_eq!(bytes, b"\xff\x15\x04#28000Access denied");
        assert_eq!(ErrPacket::parse(&bytes).unwrap(), error);
        let early = ErrPacket::parse(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!((early.code, &early.state), (1040, b"HY000"));
        assert!(ErrPacket::parse(b"\xff\x10").is_err());
        assert!(ErrPacket::parse(b"\x00\x10\x04").is_err());
    }
}
