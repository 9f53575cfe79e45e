//! Ackline: a MySQL/MariaDB proxy that lets a commit return only when the acknowledgements that the
//! DBA asked for have arrived.
//!
//! A tour, along the way of one commit:
//!
//! 1. [`session`] relays the `COMMIT` to the source, as it came.
//! 2. The source prepares, writes its binlog, and waits for its one semi-sync replica: us. The events
//!    arrive at [`capture`], which appends them to the [`store`].
//! 3. The store writes, tells of it, and fsyncs in groups on a thread of its own. [`ship`] sends what
//!    is written to the replicas that vote, and what is released to everybody else.
//! 4. Who has what meets in [`ack`]: `ack::engine` decides what is *released*, by the policy in force;
//!    `ack::permit` is the line "may this ack go out?"; `capture::link` sends it.
//! 5. The source commits and answers. The session lets the OK through once its GTID is released, which
//!    covers what slips past the source's own gate (`capture::guard`).
//!
//! Around that way: [`topology`] asks every server what it is (may it vote? `doctor`), [`admin`] shows
//! it, [`app`] wires the parts, [`cli`] and [`sandbox`] are for people.
//!
//! The modules stand on floors, and imports go down only (`tests/suite/floors/`). What decides does no IO
//! and reads no clock. Each module's head says its invariants.

// Bad input must become an error that says what to do, not a panic; tests may unwrap (clippy.toml).
#![warn(clippy::unwrap_used)]

// Floor 0: shared nouns.
pub mod cursor;
pub mod ids;
pub mod shutdown;
pub mod units;
// Floor 1: names of transactions; versions of servers; threads; the stages of a commit.
pub mod gtid;
pub mod stages;
pub mod version;
pub mod workers;
// Floor 2: bytes and what they mean.
pub mod event;
pub mod protocol;
pub mod sql;
// Floor 3: the two kinds of IO.
pub mod net;
pub mod store;
// Floor 4: what is released.
pub mod ack;
// Floor 5: towards the servers.
pub mod capture;
pub mod ship;
pub mod topology;
// Floor 6: towards the applications.
pub mod session;

pub mod failover;
// Floor 8: towards people and scrapers.
pub mod admin;
// Floor 9: the process.
pub mod app;
pub mod cli;
pub mod config;
pub mod sandbox;
