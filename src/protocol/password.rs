//! A password as a login brought it.

use std::fmt;

use zeroize::Zeroizing;

/// Shown by nobody, and wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// As clients send it: with a NUL behind.
    pub fn from_packet(payload: &[u8]) -> Self {
        Self::new(payload.strip_suffix(b"\0").unwrap_or(payload).to_vec())
    }

    /// As servers want it.
    pub fn to_packet(&self) -> Self {
        Self::new([&self.0[..], b"\0"].concat())
    }

    /// The only way to the bytes: for handing them to whoever checks or sends them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Password {
    fn as_ref(&self) -> &[u8] {
        self.expose()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
