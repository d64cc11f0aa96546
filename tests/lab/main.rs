//! The library and the `flux` command on the real kernel, in network namespaces of each test's own.
#![cfg(all(target_os = "linux", not(flux_loom)))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "../support/command.rs"]
mod command;
#[path = "../support/foreign/mod.rs"]
mod foreign;
#[path = "../../examples/forward_two_ports.rs"]
#[allow(dead_code)] // its main, and what it simulates
mod forward_two_ports;
#[path = "../support/lab/mod.rs"]
mod lab;
#[path = "../support/rig.rs"]
mod rig;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/scenarios.rs"]
mod scenarios;
#[path = "../support/schema.rs"]
mod schema;

mod bench;
mod conformance;
mod doctor;
mod field;
mod host;
mod modes;
mod neighbours;
mod ping;
mod ping_command;
mod ports;
mod ports_given;
mod receive_only;
mod receivers;
mod rings;
mod rings_command;
mod rounds;
mod soak;
mod starvation;
mod trace;
