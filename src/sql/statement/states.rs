//! What a statement leaves behind in its session: whoever would carry the session over to another
//! server has to know. What only the next statement can ask for does not count: LAST_INSERT_ID(),
//! FOUND_ROWS(), warnings.

use std::fmt;

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct States(u16);

impl States {
    pub const NONE: Self = Self(0);
    /// BEGIN: rows that were written are not committed.
    pub const TRANSACTION: Self = Self(1);
    pub const USER_VARIABLES: Self = Self(1 << 1);
    /// System variables of the session, character sets among them.
    pub const VARIABLES: Self = Self(1 << 2);
    /// An isolation level or access mode.
    pub const ISOLATION: Self = Self(1 << 3);
    /// USE.
    pub const DATABASE: Self = Self(1 << 4);
    /// SET ROLE.
    pub const ROLE: Self = Self(1 << 5);
    pub const TEMPORARY_TABLES: Self = Self(1 << 6);
    /// LOCK TABLES, FLUSH TABLES WITH READ LOCK, BACKUP STAGE.
    pub const TABLE_LOCKS: Self = Self(1 << 7);
    /// GET_LOCK.
    pub const NAMED_LOCKS: Self = Self(1 << 8);
    /// PREPARE.
    pub const PREPARED: Self = Self(1 << 9);
    pub const HANDLERS: Self = Self(1 << 10);
    /// XA START.
    pub const XA: Self = Self(1 << 11);
    /// Other statements ran inside, of which nothing is known.
    pub const UNKNOWN: Self = Self(1 << 12);

    /// In the order of their bits.
    pub const NAMES: [&'static str; 13] = [
        "transaction",
        "user_variables",
        "variables",
        "isolation",
        "database",
        "role",
        "temporary_tables",
        "table_locks",
        "named_locks",
        "prepared",
        "handlers",
        "xa",
        "unknown",
    ];

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub const fn bits(self) -> u16 {
        self.0
    }

    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let bits = self.0;
        let set = move |(bit, _): &(usize, &str)| bits & (1 << bit) != 0;
        let names = Self::NAMES.into_iter().enumerate();
        names.filter(set).map(|(_, name)| name)
    }
}

impl fmt::Display for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.names().collect();
        f.write_str(&names.join(","))
    }
}
