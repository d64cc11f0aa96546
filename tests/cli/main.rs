//! The `flux` command from the outside, without root: arguments, output, exit status, simulated
//! runs.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "../support/command.rs"]
mod command;
#[cfg(target_os = "linux")]
#[path = "../support/lab/mod.rs"]
mod lab;
#[path = "../support/schema.rs"]
mod schema;
#[cfg(target_os = "linux")]
#[path = "../support/terminal.rs"]
mod terminal;

mod bench;
mod doctor;
mod json_schema;
mod options;
mod ping;
mod rings;
mod shell;
mod topology;
mod trace;
mod troubles;
