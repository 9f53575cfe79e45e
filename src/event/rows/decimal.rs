//! DECIMAL: nine digits in four bytes, big-endian; negative numbers with all bits turned, the sign's bit
//! turned once more so that bytes sort as numbers do.

use std::fmt;

use super::super::table_map::Layout;

/// Borrowed as it lies in the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    pub(super) bytes: &'a [u8],
    pub precision: u8,
    pub scale: u8,
}

const DIGITS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

impl<'a> Decimal<'a> {
    /// None if the bytes are not those of such a number.
    pub fn new(bytes: &'a [u8], precision: u8, scale: u8) -> Option<Self> {
        let layout = Layout::Decimal { precision, scale };
        let fits = (1..=65).contains(&precision) && scale <= precision;
        (fits && layout.length(&[]) == Ok(bytes.len())).then_some(Self {
            bytes,
            precision,
            scale,
        })
    }

    pub fn is_negative(&self) -> bool {
        self.bytes.first().is_some_and(|byte| byte & 0x80 == 0)
    }

    /// The number of so many digits that lies at `at`.
    fn group(&self, at: &mut usize, digits: usize) -> u32 {
        let mask = if self.is_negative() { 0xff } else { 0 };
        let length = DIGITS[digits];
        let mut number = 0;
        for (index, byte) in self.bytes.iter().enumerate().skip(*at).take(length) {
            let sign = if index == 0 { 0x80 } else { 0 };
            number = number << 8 | u32::from(byte ^ mask ^ sign);
        }
        *at += length;
        number
    }
}

impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = usize::from(self.precision.saturating_sub(self.scale));
        let scale = usize::from(self.scale);
        if self.is_negative() {
            f.write_str("-")?;
        }
        let mut at = 0;
        let mut begun = false;
        let first = (whole % 9 != 0).then_some(whole % 9);
        for digits in first.into_iter().chain((0..whole / 9).map(|_| 9)) {
            let number = self.group(&mut at, digits);
            if begun {
                write!(f, "{number:0digits$}")?;
            } else if number != 0 {
                write!(f, "{number}")?;
                begun = true;
            }
        }
        if !begun {
            f.write_str("0")?;
        }
        if scale == 0 {
            return Ok(());
        }
        f.write_str(".")?;
        let last = (scale % 9 != 0).then_some(scale % 9);
        for digits in (0..scale / 9).map(|_| 9).chain(last) {
            let number = self.group(&mut at, digits);
            write!(f, "{number:0digits$}")?;
        }
        Ok(())
    }
}
