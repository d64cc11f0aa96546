//! What the commands do, without a terminal: no argument parsing, no tables, no colours.
//!
//! `bin/flux` turns arguments into a plan, calls in here, and prints what comes back.

pub mod bench;
mod config_file;
pub mod control;
pub mod doctor;
pub mod host;
pub mod http;
pub mod json_line;
pub mod measure;
pub mod output_file;
pub mod ping;
pub mod probe;
pub mod rings;
pub mod session;
pub mod topology;
pub mod trace;
#[cfg_attr(not(all(target_os = "linux", feature = "bpf")), allow(dead_code))] // the lab uses all
pub mod traffic;
pub mod worker;

pub use control::Control;
pub use session::Env;
