//! Makes a replica of a server that has nothing, or nothing that is wanted: a copy of another one at a known GTID.
//!
//! ```text
//! donor ── catalog ──► definitions ─────────────────────────────► target: schemas, tables
//!   │                                                               │
//!   └── point: snapshots of one moment ── pieces ── copy (streams) ─┴─► rows ─► views, routines, triggers, events, accounts
//!                  │                                                                      │
//!                  └── its GTID position ─────────────────────────────────────────────────┴─► the target stands there
//! ```
//!
//! MySQL's own way is `clone`, where it is asked for.
//!
//! Indexes that can wait are made behind the rows (`indexes`).
//!
//! Where the donor is held (`--hold-donor`), a copy goes on with what is `there` of one that was ended.
//!
//! `object` is what a donor holds besides rows, `making` what makes it at the target, `progress` what is
//! told of it; `order` is what is to be done, `run` the way from the first look to the end. That the server then follows us is
//! [`failover`](crate::failover)'s.
//!
//! Invariants:
//! - One copy has one read point: all snapshots show the same moment, whose GTID position is known, and no definition
//!   changed around it. Where a snapshot is lost, everything begins anew, unless the donor
//!   still stands at that very position.
//! - The donor goes on: nothing waits for a lock of ours, but for tables that no snapshot holds, and on MySQL for the
//!   moment of the read point; at a MySQL source commits wait for that moment, since nothing is acknowledged in it.
//! - The target is no other server, whatever names lead to: a lock that is taken there is not seen at them. That is proven
//!   on the very connection that takes the server; each later session is on the machine that carries our mark.
//! - A row is as it was, or the copy fails: a piece is in only when as many rows came as were sent, without a warning; in
//!   the end all pieces are there, and nobody else has written.
//! - Nothing of it is in the target's binlog, which begins at the read point.
//! - Whatever ends it in the middle: the mark stays, the server follows nobody and votes nowhere, and the same command
//!   begins anew.

mod catalog;
mod clone;
mod copy;
mod indexes;
mod life;
mod making;
mod object;
mod order;
mod pieces;
mod point;
mod progress;
mod run;
mod target;
mod there;

pub use order::{Copied, Method, Order, Server};
pub use point::applier;
pub use progress::{Progress, Shown};
pub use run::{Error, Looked, Others, copy, held, run_name, stands_at};
pub use target::{Held, Target};
