//! The servers: who they are, how they are, who may vote, and why sessions wait.
//!
//! ```text
//! [[server]] ──► roster ──► health (one task a server, ~1 s) ──► Report ──► voter ──► may it vote, and if not: why
//!                              │                                   └─────► identity: server id → name
//!                              └── applied (one standing question a replica, where `applied` counts)
//! doctor  the same facts against what is needed, as SQL to run
//! ```
//!
//! Asking is apart from judging: [`health`] and `doctor::examine` do the IO, [`voter`], [`identity`]
//! and `doctor::checks` are functions of what was answered.
//!
//! Invariants:
//! - Nothing asked here hangs on a source whose commits wait for an ack (SHOW MASTER STATUS and its
//!   like do: FACTS.md, section 2); each question has a deadline all the same.
//! - A verdict about a server is never older than [`health::STANDS`]; one that cannot be asked loses
//!   its vote, since it may have come back with other settings.
//! - Two servers that say the same server id have no vote, either of them.

pub mod applied;
pub mod doctor;
pub mod health;
pub mod identity;
pub mod plugins;
pub mod report;
pub mod roster;
pub mod variables;
pub mod voter;

pub use health::{Health, Topology};
pub use report::Report;
pub use roster::{Role, ServerConfig, Ship};
pub use voter::Reason;
