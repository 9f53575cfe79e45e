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
//!    `ack::permit::permit` is the line "may this ack go out?"; `capture::link` (`Link::acknowledge`) sends it.
//! 5. The source commits and answers. The session lets the OK through once its GTID is released, which
//!    covers what slips past the source's own gate (`capture::guard`).
//!
//! When the source is moved, planned or because it is dead, that is [`failover`]: `failover::course`
//! (`Course::answered`) decides which step comes next, `failover::hands` (`MovingHands::perform`) carries a
//! step out, and `failover::mover` (`run`) is the loop between the two.
//!
//! Around that way: [`topology`] asks every server what it is (may it vote? `doctor`), [`migrations`] is what we
//! keep in the databases themselves, [`verify`] compares the replicas' rows with the source's, [`admin`] shows it, [`app`] wires the parts, [`cli`] and [`sandbox`] are for people.
//!
//! The modules stand on floors, and imports go down only (`tests/suite/floors/`). What decides does no IO
//! and reads no clock. Each module's head says its invariants.

// Bad input must become an error that says what to do, not a panic; tests may unwrap (clippy.toml).
#![warn(clippy::unwrap_used)]

// Floor 0: shared nouns.
pub mod crash;
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
// Floor 3: the two kinds of IO; transactions as people read them.
pub mod net;
pub mod store;
pub mod transcript;
// Floor 4: what is released; what tables are.
pub mod ack;
pub mod tables;
// Floor 5: towards the servers.
pub mod capture;
pub mod ship;
pub mod topology;
// Floor 6: towards the applications; the schema of our own; whether replicas have the source's rows, and how they come
// to have them.
pub mod migrations;
pub mod provision;
pub mod session;
pub mod verify;
// Floor 7: moving the source.
pub mod failover;
// Floor 8: towards people and scrapers.
pub mod admin;
// Floor 9: the process.
pub mod app;
pub mod cli;
pub mod config;
pub mod sandbox;
