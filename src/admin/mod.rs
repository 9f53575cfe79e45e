//! The HTTP API: health, metrics, status, and changes of `[sync]`.
//!
//! ```text
//! /healthz  the process lives          /             the status page
//! /readyz   sessions are served        /api/v1/status
//! /metrics  Prometheus                 /api/v1/sync  GET, PUT (token)
//!                                      /api/v1/binlog/purge  POST (token)
//!                                      /api/v1/switchover, /api/v1/failover  POST (token)
//!                                      /api/v1/rejoin, /api/v1/provision, /api/v1/verify  POST (token)
//!                                      /api/v1/accept, /api/v1/source/accept  POST (token)
//!                                      /api/v1/trace  POST (token)
//! ```
//!
//! It knows nothing of the parts below it: [`Backend`] is what it needs, `app/` provides it.
//!
//! Invariants: calls that change something need the token, and without a configured token they are off;
//! no answer holds a secret; a caller that is slow, silent or many costs a bounded number of tasks and
//! bytes, since whoever can reach this port must not be able to starve the proxy behind it.

pub mod accept;
pub mod metrics;
pub mod moves;
mod page;
pub mod provision;
pub mod purge;
pub mod sentence;
mod server;
pub mod state;
pub mod status;
mod token;
pub mod trace;
pub mod verify;

pub use server::{
    Backend, Beginning, Change, Comparing, Homecoming, Moving, Outcome, Refusal, serve,
};
