//! The HTTP API: health, metrics, status, and changes of `[sync]`.
//!
//! It knows nothing of the parts below it: [`Backend`] is what it needs, `app.rs` provides it. Calls that
//! change something need the token; without a configured token they are off. No answer holds a secret.

mod page;
mod server;
pub mod status;

pub use server::{Backend, Change, Refusal, serve};
