//! The library on the simulated kernel and network: no root, no NIC, virtual time.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "../support/pairs.rs"]
mod pairs;
#[path = "../support/rig.rs"]
mod rig;
#[path = "../support/scenarios.rs"]
mod scenarios;

#[cfg(feature = "async")]
mod async_modes;
mod conformance;
mod conservation;
mod forwarding;
mod odd_moments;
#[cfg(feature = "tools")]
mod ping;
mod ports;
#[cfg(feature = "tools")]
mod trace;
