//! A bounds-checked reader of little-endian bytes, as packets and binlog events are made of.
//!
//! Every read either yields what was asked for or says where the bytes ran out: nothing that a peer
//! or a disk hands us may make the process panic.

use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("the bytes end at {at}: {wanted} wanted, {left} left")]
    Truncated {
        at: usize,
        wanted: usize,
        left: usize,
    },
    #[error("0x{byte:02x} at {at} begins no length-encoded integer")]
    BadLength { at: usize, byte: u8 },
    #[error("no terminating zero after {at}")]
    Unterminated { at: usize },
}

/// Reads forward over a borrowed slice; a failed read leaves the cursor where it was.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The next byte, left in place.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        match self.bytes[self.at..].get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(Error::Truncated {
                at: self.at,
                wanted: count,
                left: self.remaining(),
            }),
        }
    }

    pub fn skip(&mut self, count: usize) -> Result<(), Error> {
        self.take(count).map(|_| ())
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u24(&mut self) -> Result<u32, Error> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u48(&mut self) -> Result<u64, Error> {
        let [a, b, c, d, e, f] = self.array()?;
        Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length-encoded integer. `0xfb` (NULL in a text row) and `0xff` (an ERR packet) are no
    /// integers; who expects them looks with [`Cursor::peek`] first.
    pub fn lenenc_int(&mut self) -> Result<u64, Error> {
        let start = self.at;
        let value = match self.u8()? {
            byte @ 0..=0xfa => Ok(u64::from(byte)),
            0xfc => self.u16().map(u64::from),
            0xfd => self.u24().map(u64::from),
            0xfe => self.u64(),
            byte => Err(Error::BadLength { at: start, byte }),
        };
        if value.is_err() {
            self.at = start;
        }
        value
    }

    /// A number as MySQL's serialization library writes it: the first byte has as many 1 bits at its low
    /// end as bytes follow; above them (and, but where all 8 are set, a 0) lies the number.
    pub fn var_uint(&mut self) -> Result<u64, Error> {
        let start = self.at;
        let first = self.u8()?;
        let more = first.trailing_ones() as usize;
        match self.take(more) {
            Ok(rest) => {
                let mut bytes = [0; 8];
                bytes[..more].copy_from_slice(rest);
                // Of the first byte nothing is left from 7 on.
                let low = u64::from(first) >> (more + 1);
                Ok(u64::from_le_bytes(bytes) << (7 - more.min(7)) | low)
            }
            Err(error) => {
                self.at = start;
                Err(error)
            }
        }
    }

    /// Bytes behind their length-encoded length.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        let length = self.lenenc_int()?;
        // A length beyond the address space is just as truncated as any other.
        let taken = self.take(usize::try_from(length).unwrap_or(usize::MAX));
        if taken.is_err() {
            self.at = start;
        }
        taken
    }

    /// Bytes up to a zero; the zero is read and not returned.
    pub fn null_terminated(&mut self) -> Result<&'a [u8], Error> {
        match memchr::memchr(0, &self.bytes[self.at..]) {
            Some(length) => {
                let taken = self.take(length)?;
                self.at += 1;
                Ok(taken)
            }
            None => Err(Error::Unterminated { at: self.at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_little_endian() {
        let bytes: Vec<u8> = (1..=24).collect();
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u8(), Ok(1));
        assert_eq!(cursor.u16(), Ok(0x0302));
        assert_eq!(cursor.u24(), Ok(0x0006_0504));
        assert_eq!(cursor.u32(), Ok(0x0a09_0807));
        assert_eq!(cursor.u48(), Ok(0x100f_0e0d_0c0b));
        assert_eq!(cursor.u64(), Ok(0x1817_1615_1413_1211));
        assert_eq!(
            cursor.u8(),
            Err(Error::Truncated {
                at: 24,
                wanted: 1,
                left: 0
            })
        );
    }

    #[test]
    fn length_encoded() {
        let mut cursor = Cursor::new(&[
            0xfa, 0xfc, 1, 2, 0xfd, 1, 2, 3, 0xfe, 1, 0, 0, 0, 0, 0, 0, 0, 2, b'h', b'i',
        ]);
        assert_eq!(cursor.lenenc_int(), Ok(0xfa));
        assert_eq!(cursor.lenenc_int(), Ok(0x0201));
        assert_eq!(cursor.lenenc_int(), Ok(0x0003_0201));
        assert_eq!(cursor.lenenc_int(), Ok(1));
        assert_eq!(cursor.lenenc_bytes(), Ok(&b"hi"[..]));
        assert!(cursor.is_empty());
    }

    #[test]
    fn variable_length() {
        // From tagged GTID events of MySQL 9.7.4.
        for (bytes, number) in [
            (&b"\x02"[..], 1),
            (b"\xa9\x02", 0xaa),
            (b"\x85\x05", 353),
            (b"\x83\x12\x0b", 90_704),
            (b"\x7f\xa7\x03\x35\x36\xec\x60\x06", 1_795_417_498_256_295),
            (b"\xff\xfc\xff\xff\xff\xff\xff\xff\xff", u64::MAX - 3),
        ] {
            let mut cursor = Cursor::new(bytes);
            assert_eq!(cursor.var_uint(), Ok(number));
            assert!(cursor.is_empty());
            let mut short = Cursor::new(&bytes[..bytes.len() - 1]);
            assert!(short.var_uint().is_err());
            assert_eq!(short.position(), 0);
        }
    }

    #[test]
    fn a_failed_read_moves_nothing() {
        let mut cursor = Cursor::new(&[0xfe, 1, 2]);
        assert!(cursor.lenenc_int().is_err());
        assert_eq!(cursor.position(), 0);
        let mut cursor = Cursor::new(&[5, b'a']);
        assert!(cursor.lenenc_bytes().is_err());
        assert_eq!(cursor.position(), 0);
        let mut cursor = Cursor::new(&[0xfb]);
        assert_eq!(
            cursor.lenenc_int(),
            Err(Error::BadLength { at: 0, byte: 0xfb })
        );
        assert!(Cursor::new(b"abc").null_terminated().is_err());
    }

    #[test]
    fn null_terminated_leaves_the_rest() {
        let mut cursor = Cursor::new(b"db\0SELECT 1");
        assert_eq!(cursor.null_terminated(), Ok(&b"db"[..]));
        assert_eq!(cursor.rest(), b"SELECT 1");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            reads in proptest::collection::vec(0u8..11, 0..40),
        ) {
            let mut cursor = Cursor::new(&bytes);
            for read in reads {
                match read {
                    0 => drop(cursor.u8()),
                    1 => drop(cursor.u16()),
                    2 => drop(cursor.u24()),
                    3 => drop(cursor.u32()),
                    4 => drop(cursor.u48()),
                    5 => drop(cursor.u64()),
                    6 => drop(cursor.lenenc_int()),
                    7 => drop(cursor.lenenc_bytes()),
                    8 => drop(cursor.null_terminated()),
                    9 => drop(cursor.var_uint()),
                    _ => drop(cursor.take(3)),
                }
                prop_assert!(cursor.position() + cursor.remaining() == bytes.len());
            }
        }
    }
}
