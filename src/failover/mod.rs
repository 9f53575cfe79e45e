//! Moving the source: planned (switchover) or because it is dead (failover).
//!
//! ```text
//! order ──► facts ──► plan ──► course ──► one step after the other, each answered by the hands ──► servers
//!                      │          │
//!                 candidate     proof (both directions, by exact GTID)
//! ```
//!
//! What decides is pure: [`plan`], [`candidate`], [`proof`] and [`course`] know no IO and no clock, and a
//! seeded simulation drives them through crashes and lost messages. What acts is behind [`Hands`]: [`hands`],
//! which talk to servers, and to the proxy by what they need of it ([`Proxy`]).
//!
//! Invariants:
//! - The durable write of the new source and its epoch is the one commit point. Before it a failed move
//!   goes back by itself and the old source is followed on; after it the new one is, whatever happens.
//! - Nobody is acknowledged to between `rest` and the commit point, and afterwards only under the new
//!   epoch, over a connection to the new source.
//! - The commit point is passed only on a proof that was taken while nobody was acknowledged to: the
//!   candidate holds everything that our binlog holds, and nothing that it lacks.
//! - An intent is kept beside the store before the first step that changes a server, so that a proxy
//!   that was killed in the middle knows what to take back or to finish ([`course::Course::resume`]).
//! - Every step may be done twice.

pub mod candidate;
mod commands;
pub mod course;
pub mod facts;
pub mod hands;
pub mod inquiry;
pub mod mover;
pub mod plan;
pub mod proof;
pub mod proxy;
mod servers;

pub use course::{Course, Step};
pub use facts::{Facts, Said, Seen};
pub use mover::{Hands, Moved};
pub use plan::{Order, Plan};
pub use proof::Proof;
pub use proxy::Proxy;
