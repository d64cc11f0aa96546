//! What the commands do, without a terminal: no argument parsing, no tables, no colours.
//!
//! `bin/flux` turns arguments into a plan, calls in here, and prints what comes back.

pub mod bench;
mod control;
pub mod doctor;
mod env;
pub mod net;
pub mod ping;
pub mod rings;
pub mod topology;
pub mod trace;

pub use control::Control;
pub use env::Env;
