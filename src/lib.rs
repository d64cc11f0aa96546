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
mod builder;
#[cfg(not(flux_loom))]
pub mod config;
#[cfg(not(flux_loom))]
pub mod engine;
#[cfg(not(flux_loom))]
pub mod error;
#[cfg(not(flux_loom))]
pub mod packet;
#[cfg(not(flux_loom))]
pub mod poll;
#[cfg(not(flux_loom))]
pub mod proto;
#[cfg(not(flux_loom))]
pub mod raw;
#[cfg(all(feature = "async", not(flux_loom)))]
#[allow(unsafe_code)] // tokio's promise about registered descriptors
mod reactor;
#[cfg(not(flux_loom))]
pub mod socket;
#[cfg(all(target_os = "linux", not(flux_loom)))]
#[allow(unsafe_code)] // system calls, mappings, libbpf
mod sys;
#[cfg(not(flux_loom))]
pub mod system;
#[cfg(all(feature = "tools", not(flux_loom)))]
pub mod tools;

#[cfg(not(flux_loom))]
pub use backend::sim as simulator;
#[cfg(all(feature = "async", not(flux_loom)))]
pub use reactor::AsyncFluxRaw;
#[cfg(not(flux_loom))]
pub use {
    backend::{Filter, Match},
    builder::FluxBuilder,
    config::{AttachMode, BindMode, Config, Granted, HugePages, Poller, Queues},
    engine::{EngineStats, FluxEngine, PacketBatch, StopHandle},
    error::{ErrorKind, FluxError},
    packet::{Packet, PacketRef},
    raw::{FluxRaw, RingsSnapshot},
    system::{FluxRx, FluxTx},
};
