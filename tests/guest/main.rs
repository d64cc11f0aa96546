//! The library and the `flux` command on kernels and NICs that this machine does not have. Runs in
//! guests alone, which `make test-zerocopy` and `make test-kernels` boot: elsewhere every test fails.
//!
//! ```text
//!   eth0 ◀── wire ──▶ eth1        eth2 ◀── wire ──▶ eth3        (veth pairs: of each test's own)
//! ```
//!
//! What is expected comes in the environment: `FLUX_GUEST_NIC` is the driver, `FLUX_GUEST_MONITOR` leads
//! to QEMU. Tests run one at a time.
#![cfg(all(target_os = "linux", not(flux_loom)))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "../support/command.rs"]
mod command;
#[path = "../../examples/forward_two_ports.rs"]
#[allow(dead_code)] // its main, and what it simulates
mod forward_two_ports;
#[path = "../support/lab/mod.rs"]
mod lab;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/schema.rs"]
mod schema;

mod ends;
mod guest;

mod copy_only;
mod kernels;
mod zero_copy;
