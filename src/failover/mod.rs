//! Moving the source: planned (switchover) or because it is dead (failover).
//!
//! ```text
//! order ──► facts ──► plan ──► course ──► one step after the other, each answered by the hands ──► servers
//!                      │          │
//!                 candidate     proof (both directions, by exact GTID)
//! ```
//!
//! What decides is pure, without IO and clock: [`plan`] (may it begin?), [`candidate`] (who may become the
//! source?), [`proof`] (does it lack anything?) and [`course`] (which step comes next?).
//!
//! What acts: [`mover`] takes one step after the other and has the proofs judged; [`hands`] carry out every other
//! step, by what is said to `servers` (`quiet`: until one is; [`events`]: of its event scheduler), by the
//! DBA's `commands`, and by what they need of the proxy ([`Proxy`]). [`inquiry`] gathers the [`facts`]. A seeded
//! simulation drives what decides through crashes, lost messages and repeated commands.
//!
//! After a move, [`fence`] keeps writes away from a server that was the source, and [`rejoin`] makes a replica of it, or
//! [`provision`] of any server, as a copy of another one. On the first day, [`adopt`] makes ours of live replicas.
//!
//! Invariants:
//! - The durable write of the new source and its epoch is the one commit point. Before it a failed move
//!   goes back by itself and the old source is followed on; after it the new one is, whatever happens.
//! - No acknowledgement goes out between `rest` and the commit point, and afterwards only under the new
//!   epoch, over a connection to the new source.
//! - The commit point is passed only on a proof that was taken while no acknowledgement went out: the
//!   candidate holds everything that our binlog holds, and nothing that it lacks.
//! - An intent is kept beside the store before the first step that changes a server, so that a proxy
//!   that was killed in the middle knows what to take back or to finish ([`course::Course::resume`]).
//! - Every step may be done twice.

pub mod adopt;
pub mod candidate;
mod commands;
pub mod course;
pub mod events;
pub mod facts;
pub mod fence;
pub mod hands;
pub mod inquiry;
pub mod mover;
pub mod plan;
pub mod proof;
pub mod provision;
pub mod proxy;
mod quiet;
pub mod rejoin;
mod servers;
#[cfg(test)]
mod simulation;

pub use course::{Course, Step};
pub use facts::{Facts, Said, Seen};
pub use mover::{Hands, Moved};
pub use plan::{Order, Plan};
pub use proof::Proof;
pub use proxy::Proxy;
