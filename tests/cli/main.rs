//! The `flux` command from the outside, without root: arguments, output, exit status, simulated
//! runs.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "../support/command.rs"]
mod command;

mod bench;
mod doctor;
mod ping;
mod rings;
mod shell;
mod topology;
mod trace;
mod troubles;
