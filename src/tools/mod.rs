//! What the commands do, without a terminal: no argument parsing, no tables, no colours.
//!
//! `bin/flux` turns arguments into a plan, calls in here, and prints what comes back.

pub mod bench;
mod env;
pub mod net;
pub mod ping;

pub use env::Env;
