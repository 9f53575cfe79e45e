//! Ackline: a MySQL/MariaDB proxy that lets a commit return only when the acknowledgements that the
//! DBA asked for have arrived.
//!
//! The tour follows the way of a commit (being built).

// Bad input must become an error that says what to do, not a panic; tests may unwrap (clippy.toml).
#![warn(clippy::unwrap_used)]

// Floor 0: shared nouns.
pub mod cursor;
pub mod ids;
pub mod shutdown;
pub mod units;
pub mod workers;
// Floor 1
pub mod gtid;
// Floor 2
pub mod event;
pub mod protocol;
pub mod sql;
// Floor 3
pub mod net;
pub mod store;
// Floor 4
pub mod ack;
// Floor 5
pub mod capture;
pub mod ship;
pub mod topology;
// Floor 6
pub mod session;
// Floor 8
pub mod admin;
// Floor 9
pub mod app;
pub mod cli;
pub mod config;
pub mod sandbox;
