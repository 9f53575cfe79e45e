//! The protocol's basic types: little-endian integers, length-encoded integers and strings.

use super::Error;

/// Reads fields from the front of a payload. Each method names what it reads for the error text.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn truncated(&self) -> Error {
        Error::Truncated { what: self.what }
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Error> {
        if count > self.rest.len() {
            return Err(self.truncated());
        }
        let (now, later) = self.rest.split_at(count);
        self.rest = later;
        Ok(now)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (now, later) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.truncated())?;
        self.rest = later;
        Ok(*now)
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length-encoded integer; 0xFB (NULL in rows) and 0xFF are no integers.
    pub fn lenenc(&mut self) -> Result<u64, Error> {
        match self.u8()? {
            0xFC => self.u16().map(u64::from),
            0xFD => {
                let [a, b, c] = self.array::<3>()?;
                Ok(u64::from(u32::from_le_bytes([a, b, c, 0])))
            }
            0xFE => self.u64(),
            0xFB | 0xFF => Err(Error::Malformed {
                what: self.what,
                why: "not a length-encoded integer",
            }),
            small => Ok(u64::from(small)),
        }
    }

    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.lenenc()?;
        let length = usize::try_from(length).map_err(|_| self.truncated())?;
        self.bytes(length)
    }

    /// Up to the next NUL, which is consumed and not returned.
    pub fn until_nul(&mut self) -> Result<&'a [u8], Error> {
        let end = memchr::memchr(0, self.rest).ok_or_else(|| self.truncated())?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    /// Up to the next NUL or the end: some clients leave the last NUL out.
    pub fn until_nul_or_end(&mut self) -> &'a [u8] {
        match self.until_nul() {
            Ok(text) => text,
            Err(_) => std::mem::take(&mut self.rest),
        }
    }
}

/// Appends a length-encoded integer.
pub fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0xFA => out.push(value as u8),
        0xFB..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&(value as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Appends a length-encoded string.
pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_encoded_integers_survive_a_round_trip() {
        for value in [0, 250, 251, 65_535, 65_536, 0xFF_FFFF, 0x100_0000, u64::MAX] {
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            let mut fields = Fields::new(&out, "test");
            assert_eq!(fields.lenenc(), Ok(value));
            assert!(fields.is_empty());
        }
    }

    #[test]
    fn short_bytes_are_an_error() {
        assert!(Fields::new(b"\xfc\x01", "x").lenenc().is_err());
        assert!(Fields::new(b"\x05abcd", "x").lenenc_bytes().is_err());
        assert!(Fields::new(b"abc", "x").until_nul().is_err());
        assert_eq!(Fields::new(b"abc", "x").until_nul_or_end(), b"abc");
        assert!(
            Fields::new(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", "x")
                .lenenc_bytes()
                .is_err()
        );
    }
}
