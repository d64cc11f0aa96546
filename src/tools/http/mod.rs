//! One small HTTP server for metrics, on two threads of its own.
//!
//! ```text
//!   clients ─▶ one thread polls them all ─▶ GET /metrics ─▶ the other: render() ─▶ answer
//!              (of too many silent ones the one silent longest goes)
//! ```
//!
//! Invariant: no client holds up another one, nor the run: none is waited for, and `render` is
//! called for one request at a time. A new connection is always accepted, and one that has sent a
//! whole request is never closed for it. Called by commands that run for long and take `--metrics`.

mod address;
mod connection;
mod families;
mod renderer;
mod request;
mod server;

pub use address::{bind, parse_address};
pub use families::{Families, Labels};
pub use server::{Server, serve};
