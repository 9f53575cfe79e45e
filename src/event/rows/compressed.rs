//! A value of MariaDB's `COMPRESSED` columns: as the row holds it, packed or not (`Field_longstr::compress`).

use std::borrow::Cow;

use super::super::{Error, unpack};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed<'a>(pub(super) &'a [u8]);

impl<'a> Compressed<'a> {
    /// What was stored; of more than `longest` bytes, an error.
    pub fn unpack(&self, longest: usize) -> Result<Cow<'a, [u8]>, Error> {
        match self.0.split_first() {
            // An empty value.
            None => Ok(Cow::Borrowed(&[])),
            // Too short to be worth it.
            Some((0, plain)) => Ok(Cow::Borrowed(plain)),
            Some(_) => unpack::mariadb(self.0, longest).map(Cow::Owned),
        }
    }
}
