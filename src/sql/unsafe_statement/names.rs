//! Functions, variables and tables whose contents are a server's own.
//!
//! Found by calling every function and reading every variable and table in STATEMENT format on MariaDB
//! 10.11.19 and MySQL 9.7.4 and looking for warning 1592; `tests/suite/unsafe_statements.rs` does it again.

use crate::ids::Flavor;

/// How a name must be written to be the server's own function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// With a parenthesis, also in backquotes: it is looked up by its name.
    ByName,
    /// A keyword: never in backquotes.
    Keyword,
    /// A keyword only where the parenthesis follows at once, unless `IGNORE_SPACE` is set (the manual's
    /// "Function Name Parsing and Resolution").
    Adjacent,
}

/// The function of this name in capitals, where its result is not the same everywhere.
pub(super) fn function(flavor: Flavor, upper: &[u8]) -> Option<Spelling> {
    use Flavor::{MariaDb, MySql};
    use Spelling::{Adjacent, ByName, Keyword};
    Some(match (upper, flavor) {
        (
            b"FOUND_ROWS" | b"GET_LOCK" | b"IS_FREE_LOCK" | b"IS_USED_LOCK" | b"LOAD_FILE"
            | b"MASTER_POS_WAIT" | b"RANDOM_BYTES" | b"RELEASE_ALL_LOCKS" | b"RELEASE_LOCK"
            | b"SLEEP" | b"UUID" | b"UUID_SHORT" | b"VERSION",
            _,
        ) => ByName,
        (
            b"BINLOG_GTID_POS" | b"MASTER_GTID_WAIT" | b"ROW_COUNT" | b"SYS_GUID" | b"UUID_V4"
            | b"UUID_V7",
            MariaDb,
        ) => ByName,
        (
            b"AES_DECRYPT"
            | b"AES_ENCRYPT"
            | b"ICU_VERSION"
            | b"RAND"
            | b"SOURCE_POS_WAIT"
            | b"WAIT_FOR_EXECUTED_GTID_SET",
            MySql,
        ) => ByName,
        (b"CURRENT_USER" | b"USER", _) => Keyword,
        // Evaluated the same today; MariaDB keeps the freedom to change that (its json_table.h).
        (b"CURRENT_ROLE" | b"JSON_TABLE" | b"LASTVAL" | b"SYSDATE", MariaDb) => Keyword,
        (b"ROW_COUNT", MySql) => Keyword,
        (b"SESSION_USER" | b"SYSTEM_USER", _) | (b"SYSDATE", MySql) => Adjacent,
        _ => return None,
    })
}

/// Those that need no parentheses.
pub(super) fn is_bare_function(flavor: Flavor, upper: &[u8]) -> bool {
    upper == b"CURRENT_USER" || flavor == Flavor::MariaDb && upper == b"CURRENT_ROLE"
}

/// Variables of a session that the event carries, or that are given on with it. All others, and each
/// GLOBAL, may have another value elsewhere.
pub(super) fn is_carried(flavor: Flavor, upper: &[u8]) -> bool {
    match upper {
        b"AUTO_INCREMENT_INCREMENT"
        | b"AUTO_INCREMENT_OFFSET"
        | b"CHARACTER_SET_CLIENT"
        | b"CHARACTER_SET_CONNECTION"
        | b"CHARACTER_SET_DATABASE"
        | b"CHARACTER_SET_SERVER"
        | b"COLLATION_CONNECTION"
        | b"COLLATION_DATABASE"
        | b"COLLATION_SERVER"
        | b"FOREIGN_KEY_CHECKS"
        | b"IDENTITY"
        | b"LAST_INSERT_ID"
        | b"LC_TIME_NAMES"
        | b"PSEUDO_THREAD_ID"
        | b"RAND_SEED1"
        | b"RAND_SEED2"
        | b"SQL_AUTO_IS_NULL"
        | b"TIME_ZONE"
        | b"TIMESTAMP"
        | b"UNIQUE_CHECKS" => true,
        b"CHECK_CONSTRAINT_CHECKS"
        | b"EXPLICIT_DEFAULTS_FOR_TIMESTAMP"
        | b"SQL_IF_EXISTS"
        | b"SYSTEM_VERSIONING_INSERT_HISTORY" => flavor == Flavor::MariaDb,
        b"DEFAULT_COLLATION_FOR_UTF8MB4"
        | b"DEFAULT_TABLE_ENCRYPTION"
        | b"ENABLE_CASCADE_TRIGGERS"
        | b"GENERATED_RANDOM_PASSWORD_LENGTH"
        | b"IMMEDIATE_SERVER_VERSION"
        | b"ORIGINAL_COMMIT_TIMESTAMP"
        | b"ORIGINAL_SERVER_VERSION"
        | b"SQL_REQUIRE_PRIMARY_KEY"
        | b"XA_DETACH_ON_PREPARE" => flavor == Flavor::MySql,
        _ => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    System,
    Acl,
}

/// A table of the schema `mysql` that no two servers need to have alike.
pub(super) fn table(flavor: Flavor, upper: &[u8]) -> Option<Table> {
    match (upper, flavor) {
        (b"GENERAL_LOG" | b"SLOW_LOG", _)
        | (b"TRANSACTION_REGISTRY", Flavor::MariaDb)
        | (
            b"GTID_EXECUTED"
            | b"SLAVE_MASTER_INFO"
            | b"SLAVE_RELAY_LOG_INFO"
            | b"SLAVE_WORKER_INFO",
            Flavor::MySql,
        ) => Some(Table::System),
        (
            b"COLUMNS_PRIV" | b"DB" | b"DEFAULT_ROLES" | b"GLOBAL_GRANTS" | b"PASSWORD_HISTORY"
            | b"PROCS_PRIV" | b"PROXIES_PRIV" | b"ROLE_EDGES" | b"TABLES_PRIV" | b"USER",
            Flavor::MySql,
        ) => Some(Table::Acl),
        _ => None,
    }
}
