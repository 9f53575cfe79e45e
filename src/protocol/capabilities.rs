//! What client and server agreed on: 32 bits of the protocol, 32 more of MariaDB's.
//!
//! MariaDB's upper half travels in filler bytes of the handshake and of the client's answer, and
//! only while bit 0 (`CLIENT_MYSQL`, once "long password") is unset.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(pub u64);

impl Capabilities {
    pub const NONE: Self = Self(0);
    /// Unset by a MariaDB peer: its extended capabilities follow.
    pub const CLIENT_MYSQL: Self = Self(1);
    pub const FOUND_ROWS: Self = Self(1 << 1);
    pub const LONG_FLAG: Self = Self(1 << 2);
    pub const CONNECT_WITH_DB: Self = Self(1 << 3);
    pub const COMPRESS: Self = Self(1 << 5);
    pub const LOCAL_FILES: Self = Self(1 << 7);
    pub const PROTOCOL_41: Self = Self(1 << 9);
    pub const INTERACTIVE: Self = Self(1 << 10);
    pub const SSL: Self = Self(1 << 11);
    pub const TRANSACTIONS: Self = Self(1 << 13);
    pub const SECURE_CONNECTION: Self = Self(1 << 15);
    pub const MULTI_STATEMENTS: Self = Self(1 << 16);
    pub const MULTI_RESULTS: Self = Self(1 << 17);
    pub const PS_MULTI_RESULTS: Self = Self(1 << 18);
    pub const PLUGIN_AUTH: Self = Self(1 << 19);
    pub const CONNECT_ATTRS: Self = Self(1 << 20);
    pub const PLUGIN_AUTH_LENENC: Self = Self(1 << 21);
    pub const EXPIRED_PASSWORDS: Self = Self(1 << 22);
    pub const SESSION_TRACK: Self = Self(1 << 23);
    pub const DEPRECATE_EOF: Self = Self(1 << 24);
    /// MySQL: results and prepared statements say whether definitions follow (`resultset_metadata`).
    pub const OPTIONAL_METADATA: Self = Self(1 << 25);
    pub const ZSTD: Self = Self(1 << 26);
    pub const QUERY_ATTRIBUTES: Self = Self(1 << 27);
    /// MySQL: after one factor of an account, the login may go on with the next.
    pub const MULTI_FACTOR: Self = Self(1 << 28);
    pub const SSL_VERIFY: Self = Self(1 << 30);
    pub const REMEMBER_OPTIONS: Self = Self(1 << 31);
    /// MariaDB: progress reports as ERR packets with code 0xFFFF in the middle of an answer.
    pub const PROGRESS: Self = Self(1 << 32);
    pub const COM_MULTI: Self = Self(1 << 33);
    pub const BULK_OPERATIONS: Self = Self(1 << 34);
    pub const EXTENDED_METADATA: Self = Self(1 << 35);
    /// MariaDB: the result header says whether column definitions follow.
    pub const CACHE_METADATA: Self = Self(1 << 36);
    pub const BULK_UNIT_RESULTS: Self = Self(1 << 37);

    #[inline]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub fn with(self, other: Self) -> Self {
        self | other
    }

    #[must_use]
    pub fn without(self, other: Self) -> Self {
        self & !other
    }

    /// The protocol's own half.
    pub fn low(self) -> u32 {
        self.0 as u32
    }

    /// MariaDB's half.
    pub fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub fn from_halves(low: u32, high: u32) -> Self {
        Self(u64::from(low) | u64::from(high) << 32)
    }
}

impl BitOr for Capabilities {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Capabilities {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({:#x})", self.0)
    }
}
