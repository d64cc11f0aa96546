//! Packet I/O on Linux AF_XDP, with a simulated kernel behind the same seam.
#![deny(unsafe_code)]

#[allow(unsafe_code)] // the shared memory of the rings
pub mod ring;
#[allow(unsafe_code)] // UnsafeCell with loom's interface
mod sync;
#[allow(unsafe_code)] // frame tokens to bytes
pub mod umem;

#[cfg(not(flux_loom))]
pub mod backend;
#[cfg(not(flux_loom))]
pub mod config;
#[cfg(not(flux_loom))]
pub mod error;
#[cfg(not(flux_loom))]
pub mod poll;
#[cfg(not(flux_loom))]
pub mod proto;
#[cfg(not(flux_loom))]
pub mod socket;
#[cfg(all(target_os = "linux", not(flux_loom)))]
mod sys;

#[cfg(not(flux_loom))]
pub use backend::sim as simulator;
