//! The variables that matter.

use super::Hazard;
use crate::sql::lexer::Token;

/// Variables that do harm in one session already. Those of session tracking are not among them: they
/// are watched ([`crate::sql::tracking`]), not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionVariable {
    SqlLogBin,
    SkipReplication,
    GtidDomainId,
    GtidSeqNo,
    /// MySQL.
    GtidNext,
    ServerId,
}

impl SessionVariable {
    const ALL: [Self; 6] = [
        Self::SqlLogBin,
        Self::SkipReplication,
        Self::GtidDomainId,
        Self::GtidSeqNo,
        Self::GtidNext,
        Self::ServerId,
    ];

    /// Those that this flavor has.
    pub fn of(mariadb: bool) -> &'static [Self] {
        match mariadb {
            true => &[
                Self::SqlLogBin,
                Self::SkipReplication,
                Self::GtidDomainId,
                Self::GtidSeqNo,
                Self::ServerId,
            ],
            false => &[Self::SqlLogBin, Self::GtidNext],
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::SqlLogBin => "sql_log_bin",
            Self::SkipReplication => "skip_replication",
            Self::GtidDomainId => "gtid_domain_id",
            Self::GtidSeqNo => "gtid_seq_no",
            Self::GtidNext => "gtid_next",
            Self::ServerId => "server_id",
        }
    }

    pub fn harm(self) -> &'static str {
        match self {
            Self::SqlLogBin => {
                "would keep changes of this session from the binlog and all replicas"
            }
            Self::SkipReplication => "would let replicas skip changes of this session",
            Self::GtidDomainId | Self::GtidSeqNo | Self::GtidNext | Self::ServerId => {
                "would give changes of this session a GTID that is not the source's own"
            }
        }
    }

    /// Values that a session has anyway, which tools set to be sure or to restore what was: they pass.
    /// A value that is known only at run time (`@old`, `?`) does not.
    fn is_harmless(self, value: Token<'_>) -> bool {
        let (Token::Word(value) | Token::Text(value)) = value else {
            return false;
        };
        let is = |words: &[&str]| {
            words
                .iter()
                .any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        };
        is(&["default"])
            || match self {
                Self::SqlLogBin => is(&["1", "on", "true"]),
                Self::SkipReplication => is(&["0", "off", "false"]),
                Self::GtidSeqNo => is(&["0"]),
                Self::GtidNext => is(&["automatic"]),
                Self::GtidDomainId | Self::ServerId => false,
            }
    }
}

/// Global variables by their beginnings, and those that would be meant too but do no harm.
const GLOBAL_BEGINNINGS: [&str; 3] = ["rpl_semi_sync_", "binlog_", "log_bin"];
const GLOBAL_HARMLESS: [&str; 9] = [
    "log_bin_trust_function_creators",
    "binlog_cache_size",
    "binlog_stmt_cache_size",
    "binlog_file_cache_size",
    "binlog_commit_wait_count",
    "binlog_commit_wait_usec",
    "binlog_group_commit_sync_delay",
    "binlog_group_commit_sync_no_delay_count",
    "binlog_max_flush_queue_time",
];
const GLOBAL: [&str; 17] = [
    "server_id",
    "read_only",
    "super_read_only",
    "sync_binlog",
    "innodb_flush_log_at_trx_commit",
    "innodb_support_xa",
    "expire_logs_days",
    "max_binlog_total_size",
    "slave_connections_needed_for_purge",
    "gtid_domain_id",
    "gtid_strict_mode",
    "gtid_binlog_state",
    "gtid_slave_pos",
    "gtid_mode",
    "gtid_purged",
    "gtid_executed",
    "enforce_gtid_consistency",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// SESSION, LOCAL, or none.
    Session,
    /// GLOBAL, PERSIST, PERSIST_ONLY.
    Global,
}

impl Scope {
    /// What a word in front of a variable says.
    pub(super) fn of(word: Token<'_>) -> Option<Self> {
        let is = |name| word.is_word(name);
        if is("global") || is("persist") || is("persist_only") {
            Some(Self::Global)
        } else if is("session") || is("local") {
            Some(Self::Session)
        } else {
            None
        }
    }
}

/// A variable that is about to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// It does no harm.
    Other,
    Session(SessionVariable),
    Global(String),
}

impl Target {
    pub(super) fn of(name: &[u8], scope: Scope) -> Self {
        let is = |other: &str| is_named(name, other);
        let begins = |other: &str| {
            name.get(..other.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(other.as_bytes()))
        };
        let global = scope == Scope::Global
            && (GLOBAL.into_iter().any(is)
                || GLOBAL_BEGINNINGS.into_iter().any(begins)
                    && !GLOBAL_HARMLESS.into_iter().any(is));
        if global {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            return Self::Global(name);
        }
        SessionVariable::ALL
            .into_iter()
            .find(|variable| is(variable.name()))
            .map_or(Self::Other, Self::Session)
    }

    /// What setting it to this would be; `value` is all of it.
    pub(super) fn set_to(self, value: Token<'_>) -> Option<Hazard> {
        match self {
            Self::Session(variable) if variable.is_harmless(value) => None,
            other => other.set(),
        }
    }

    /// What setting it to something that is not a mere word is.
    pub(super) fn set(self) -> Option<Hazard> {
        match self {
            Self::Other => None,
            Self::Session(variable) => Some(Hazard::Session(variable)),
            Self::Global(name) => Some(Hazard::Global(name)),
        }
    }
}

/// As servers compare the names of variables: without case, and MySQL without accents too (its `ſql_lög_bin` is
/// sql_log_bin). In which charset the name is written is not known, so what is not ASCII stands for
/// any letters, one for one to four bytes.
fn is_named(name: &[u8], variable: &str) -> bool {
    let variable = variable.as_bytes();
    let plain = name.iter().position(|byte| !byte.is_ascii());
    let Some(plain) = plain else {
        return name.eq_ignore_ascii_case(variable);
    };
    let (start, rest) = name.split_at(plain);
    let fits = variable
        .get(..plain)
        .is_some_and(|begins| begins.eq_ignore_ascii_case(start));
    if !fits {
        return false;
    }
    let foreign = rest.iter().take_while(|byte| !byte.is_ascii()).count();
    (foreign.div_ceil(LONGEST_CHARACTER)..=foreign).any(|letters| {
        let behind = variable.get(plain + letters..);
        let behind = behind.and_then(|behind| std::str::from_utf8(behind).ok());
        behind.is_some_and(|behind| is_named(&rest[foreign..], behind))
    })
}

/// In bytes.
const LONGEST_CHARACTER: usize = 4;

impl SessionVariable {
    /// Whether a text names one of them: then the reading has judged what it does with it.
    pub fn is_named_in(text: &[u8]) -> bool {
        if memchr::memchr(b'_', text).is_none() {
            return false;
        }
        let text = text.to_ascii_lowercase();
        let mut all = Self::ALL.into_iter();
        all.any(|variable| memchr::memmem::find(&text, variable.name().as_bytes()).is_some())
    }

    /// What the source reports of a session: the variable by its name, and whether its value surely does harm.
    pub fn reported(name: &[u8], value: &[u8]) -> Option<(Self, bool)> {
        let mut all = Self::ALL.into_iter();
        let variable =
            all.find(|variable| name.eq_ignore_ascii_case(variable.name().as_bytes()))?;
        // Which ones are the source's own is not known.
        let may_be_own = matches!(variable, Self::GtidDomainId | Self::ServerId);
        let is_harmless = may_be_own || variable.is_harmless(Token::Text(value));
        Some((variable, !is_harmless))
    }
}
