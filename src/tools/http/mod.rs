//! One small HTTP server for metrics, on threads of its own.
//!
//! ```text
//!   clients ─▶ accept ─▶ a thread each, with a deadline ─▶ GET /metrics ─▶ render() ─▶ answer
//!                        (the oldest goes where they are too many)
//! ```
//!
//! Invariant: no client holds up another one, nor the run: each waits for its own bytes alone, and
//! only one at a time is in `render`. Called by commands that run for long and take `--metrics`.

mod address;
mod families;
mod request;
mod server;

pub use address::{bind, parse_address};
pub use families::{Families, Labels};
pub use server::{Server, serve};
