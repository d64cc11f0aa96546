//! The library on the simulated kernel and network: no root, no NIC, virtual time.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "../../examples/forward_two_ports.rs"]
#[allow(dead_code)] // its main
mod forward_two_ports;
#[path = "../support/pairs.rs"]
mod pairs;
#[path = "../support/rig.rs"]
mod rig;
#[path = "../support/scenarios.rs"]
mod scenarios;

#[cfg(feature = "async")]
mod async_modes;
mod bad_input;
mod conformance;
mod conservation;
mod examples;
mod forwarding;
mod invariants;
mod lengths;
mod life;
#[cfg(feature = "tools")]
mod lookout;
mod odd_moments;
#[cfg(feature = "tools")]
mod overheard;
#[cfg(feature = "tools")]
mod ping;
#[cfg(feature = "tools")]
mod ping_answers;
mod ports;
mod receive_only;
mod receivers;
mod starvation;
mod time;
#[cfg(feature = "tools")]
mod trace;
