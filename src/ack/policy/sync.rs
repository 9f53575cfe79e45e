//! The section `[sync]`: a mode or a full requirement, and what happens when voters are missing.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ParseError, Requirement, Unmeetable, Who};
use crate::ack::voter::Voter;
use crate::ids::Level;
use crate::units;

pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The short name of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Return on the source's commit.
    Async,
    /// Our own store, and some replicas.
    SemiSync,
    /// A majority of all voters, the source counted.
    Quorum,
    /// Every voting replica has applied it.
    Sync,
    /// Written out as `require`.
    Custom,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::SemiSync => "semi-sync",
            Self::Quorum => "quorum",
            Self::Sync => "sync",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mode {
    type Err = SyncError;

    fn from_str(text: &str) -> Result<Self, SyncError> {
        Ok(match text {
            "async" => Self::Async,
            "semi-sync" => Self::SemiSync,
            "quorum" => Self::Quorum,
            "sync" => Self::Sync,
            // "custom" cannot be asked for: it is what `require` makes.
            _ => return Err(SyncError::Mode(text.to_owned())),
        })
    }
}

/// What a commit does that waits longer than `timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnTimeout {
    /// Waits on; the timeout only warns.
    #[default]
    Block,
    /// The policy in force falls to `LOCAL durable` until the voters have caught up.
    Degrade,
}

impl fmt::Display for OnTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Block => "block",
            Self::Degrade => "degrade",
        })
    }
}

impl FromStr for OnTimeout {
    type Err = SyncError;

    fn from_str(text: &str) -> Result<Self, SyncError> {
        match text {
            "block" => Ok(Self::Block),
            "degrade" => Ok(Self::Degrade),
            _ => Err(SyncError::OnTimeout(text.to_owned())),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SyncError {
    #[error(
        "'{0}' is no mode: write \"async\", \"semi-sync\", \"quorum\" or \"sync\"; anything else is said with require"
    )]
    Mode(String),
    #[error("'{0}' is not known: write \"block\" or \"degrade\"")]
    OnTimeout(String),
    #[error("{0}")]
    Level(String),
    #[error("acks = 0 asks for nobody: write at least 1, or mode = \"async\"")]
    NoAcks,
    #[error("{0}")]
    Timeout(String),
    #[error("a timeout of 0 would warn at every commit: write a longer one, as in \"10s\"")]
    NoTimeout,
    #[error("{0}")]
    Require(#[from] ParseError),
    #[error("mode and require are two ways to say the same: remove one of them")]
    ModeWithRequire,
    #[error("{key} only fills in a mode: with require, write it there and remove {key}")]
    KeyWithRequire { key: &'static str },
    #[error(transparent)]
    Unmeetable(#[from] Unmeetable),
}

impl SyncError {
    /// The key of `[sync]` that is at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Mode(_) | Self::ModeWithRequire => "mode",
            Self::OnTimeout(_) => "on_timeout",
            Self::Level(_) => "level",
            Self::NoAcks => "acks",
            Self::Timeout(_) | Self::NoTimeout => "timeout",
            Self::Require(_) => "require",
            Self::KeyWithRequire { key } => key,
            Self::Unmeetable(_) => "",
        }
    }
}

/// The keys of `[sync]` as they are written, each of them maybe absent: the section of the file, and
/// the body of `PUT /api/v1/sync`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acks: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<String>,
}

impl SyncPatch {
    /// These keys, changed by `patch`. Asking for a mode ends a `require`, and the other way round:
    /// the two are one choice.
    pub fn patched(&self, patch: &Self) -> Self {
        let mut keys = self.clone();
        if patch.mode.is_some() {
            keys.require = None;
        }
        if patch.require.is_some() {
            keys.mode = None;
            keys.acks = None;
            keys.level = None;
        }
        for (own, new) in [
            (&mut keys.mode, &patch.mode),
            (&mut keys.level, &patch.level),
            (&mut keys.require, &patch.require),
            (&mut keys.timeout, &patch.timeout),
            (&mut keys.on_timeout, &patch.on_timeout),
        ] {
            if new.is_some() {
                own.clone_from(new);
            }
        }
        keys.acks = patch.acks.or(keys.acks);
        keys
    }
}

/// A whole, valid `[sync]`; made by [`Sync::from_keys`], read by everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    pub mode: Mode,
    /// Of mode `semi-sync`.
    pub acks: usize,
    /// As written; none where the mode's own applies.
    pub level: Option<Level>,
    /// As DESIGN's table has it, or as written; [`Sync::effective`] is what is evaluated.
    pub require: Requirement,
    pub timeout: Duration,
    pub on_timeout: OnTimeout,
}

impl Default for Sync {
    /// `semi-sync`, one replica, 10 s, block.
    fn default() -> Self {
        Self::of(Mode::SemiSync, NonZeroUsize::MIN, None)
    }
}

impl Sync {
    /// A mode with everything else at its default.
    pub fn mode_only(mode: Mode) -> Self {
        Self::of(mode, NonZeroUsize::MIN, None)
    }

    fn of(mode: Mode, acks: NonZeroUsize, level: Option<Level>) -> Self {
        let everyone = vec![Who::Everyone];
        let at = |default| level.unwrap_or(default);
        let require = match mode {
            Mode::Async => Requirement::LOCAL_RECEIVED,
            Mode::SemiSync | Mode::Custom => Requirement::and(vec![
                Requirement::LOCAL_DURABLE,
                Requirement::Any {
                    count: acks,
                    among: everyone,
                    level: at(Level::Received),
                },
            ]),
            Mode::Quorum => Requirement::Majority(at(Level::Received)),
            Mode::Sync => Requirement::All {
                among: everyone,
                level: at(Level::Applied),
            },
        };
        Self {
            mode,
            acks: acks.get(),
            level,
            require,
            timeout: DEFAULT_TIMEOUT,
            on_timeout: OnTimeout::Block,
        }
    }

    pub fn custom(require: Requirement) -> Self {
        Self {
            mode: Mode::Custom,
            require,
            ..Self::default()
        }
    }

    /// From the keys as written; what is absent has its default.
    pub fn from_keys(keys: &SyncPatch) -> Result<Self, SyncError> {
        let sync = match &keys.require {
            Some(text) => {
                let written = [
                    (keys.acks.is_some(), "acks"),
                    (keys.level.is_some(), "level"),
                ];
                if keys.mode.is_some() {
                    return Err(SyncError::ModeWithRequire);
                }
                if let Some((_, key)) = written.into_iter().find(|(given, _)| *given) {
                    return Err(SyncError::KeyWithRequire { key });
                }
                Self::custom(Requirement::parse(text)?)
            }
            None => {
                let mode = match &keys.mode {
                    Some(text) => text.parse()?,
                    None => Mode::SemiSync,
                };
                let acks = match keys.acks {
                    Some(acks) => NonZeroUsize::new(acks).ok_or(SyncError::NoAcks)?,
                    None => NonZeroUsize::MIN,
                };
                let level = match &keys.level {
                    Some(text) => Some(text.parse().map_err(SyncError::Level)?),
                    None => None,
                };
                Self::of(mode, acks, level)
            }
        };
        let timeout = match &keys.timeout {
            Some(text) => units::parse_duration(text).map_err(SyncError::Timeout)?,
            None => DEFAULT_TIMEOUT,
        };
        if timeout.is_zero() {
            return Err(SyncError::NoTimeout);
        }
        let on_timeout = match &keys.on_timeout {
            Some(text) => text.parse()?,
            None => OnTimeout::default(),
        };
        Ok(sync.with_timeout(timeout, on_timeout))
    }

    pub fn with_timeout(mut self, timeout: Duration, on_timeout: OnTimeout) -> Self {
        self.timeout = timeout;
        self.on_timeout = on_timeout;
        self
    }

    /// What is really evaluated: with `LOCAL durable`, except in `async`.
    pub fn effective(&self) -> Requirement {
        match self.mode {
            Mode::Async => self.require.clone(),
            _ => self.require.with_local_durable(),
        }
    }

    /// Whether these voters can ever meet it.
    pub fn validate(&self, voters: &[Voter]) -> Result<(), SyncError> {
        Ok(self.require.validate(voters)?)
    }
}
