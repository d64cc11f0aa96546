//! The library on the simulated kernel and network: no root, no NIC, virtual time.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "../../examples/forward_two_ports.rs"]
#[allow(dead_code)] // its main
mod forward_two_ports;
#[path = "../support/rig.rs"]
mod rig;
#[path = "../support/scenarios.rs"]
mod scenarios;

#[cfg(feature = "async")]
mod async_modes;
mod conformance;
mod conservation;
mod examples;
#[cfg(feature = "tools")]
mod ping;
#[cfg(feature = "tools")]
mod trace;
