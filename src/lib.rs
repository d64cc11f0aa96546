//! Packet I/O on Linux AF_XDP, with a simulated kernel behind the same seam.
//!
//! ```text
//!   FluxEngine (A)    FluxRx + FluxTx (B)    FluxRaw (C)        tools: ping …
//!        └──────────────────┬───────────────────┘        workers: one a thread
//!                           │   ports of one UMEM ─ queues: four rings of frame tokens each
//!   ────────────────────────┼──────────────── backend: THE SEAM ─────────────────────
//!      AF_XDP sockets, XDP program `redirect`        simulator: kernel and network
//! ```
//!
//! Three ways to use it, each started by [`FluxBuilder`] and each on both kernels. The examples
//! run on the simulator; without `.simulator(…)` the same code runs on an interface.
//!
//! **Mode A, throughput first**: the library owns the loop, your closure gives verdicts.
//!
//! ```
//! use fluxnet::{Filter, FluxBuilder, simulator::Simulator};
//!
//! let network = Simulator::loopback(1);
//! let mut engine = FluxBuilder::new("lo0")
//!     .simulator(&network)
//!     .filter(Filter::Everything)
//!     .build_engine()?;
//! network.inject("lo0", None, &[0xff; 60])?;
//! let stop = engine.stop_handle();
//! let stats = engine.run(|batch| {
//!     for mut packet in batch {
//!         packet.data_mut()[0] = 1;
//!         packet.send(); // or forward(), recycle(), extract(), or nothing: then it is recycled
//!         stop.stop();
//!     }
//! })?;
//! assert_eq!((stats.received, stats.sent), (1, 1));
//! # Ok::<(), fluxnet::FluxError>(())
//! ```
//!
//! **Mode B, control first**: owned packets, a receiver and a sender for different threads.
//!
//! ```
//! use fluxnet::{Filter, FluxBuilder, simulator::Simulator};
//! use std::time::Duration;
//!
//! let network = Simulator::loopback(1);
//! let (mut rx, mut tx) = FluxBuilder::new("lo0")
//!     .simulator(&network)
//!     .filter(Filter::Everything)
//!     .build_system()?;
//! let mut packet = tx.alloc(60).expect("a free frame");
//! packet.data_mut().fill(7);
//! tx.send(packet).expect("room in the ring");
//! tx.flush()?;
//! let back = rx.recv(Some(Duration::from_secs(1)))?.expect("looped back");
//! assert_eq!(back.data(), [7; 60]);
//! # Ok::<(), fluxnet::FluxError>(())
//! ```
//!
//! **Mode C, bare metal**: four rings; every descriptor and every wakeup is yours.
//!
//! ```
//! use fluxnet::{Filter, FluxBuilder, simulator::Simulator};
//!
//! let network = Simulator::loopback(1);
//! let mut raw = FluxBuilder::new("lo0")
//!     .simulator(&network)
//!     .filter(Filter::Everything)
//!     .build_raw()?;
//! network.inject("lo0", None, &[0xff; 60])?;
//! let umem = raw.umem().clone();
//! raw.rx.receive(64, |buffer| {
//!     assert_eq!(umem.packet(&buffer), [0xff; 60]);
//!     umem.free(buffer.frame);
//! });
//! assert_eq!(raw.debug_rings().held(), Some(0));
//! # Ok::<(), fluxnet::FluxError>(())
//! ```
//!
//! # Several interfaces, several threads
//!
//! Each [`FluxBuilder::port`] opens one more interface on the same packet memory (UMEM), so that a
//! packet leaves by it without a copy. [`FluxEngine::into_workers`] deals the queues out to workers,
//! each with queues of every port, for a thread of its own; in virtual time they take turns.
//!
//! ```
//! use fluxnet::{Filter, FluxBuilder, simulator::Simulator};
//!
//! let network = Simulator::crossed_pair(2); // what a0 sends, b0 receives, and back
//! let engine = FluxBuilder::new("a0")
//!     .simulator(&network)
//!     .filter(Filter::Everything)
//!     .port("b0")
//!     .build_engine()?;
//! let other = engine.ports()[1].index();
//! let mut workers = engine.into_workers(2, |_| 0)?; // each counts for itself
//! let stop = workers.stop_handle();
//! network.inject("a0", Some(1), &[0xff; 60])?;
//! let stats = workers.run(|count, batch| {
//!     for packet in batch {
//!         *count += 1;
//!         packet.forward(other);
//!     }
//!     stop.stop();
//! })?;
//! assert_eq!((stats.received, stats.sent), (1, 1));
//! # Ok::<(), fluxnet::FluxError>(())
//! ```
//!
//! An interface with fewer TX than RX queues receives on all and sends by some ([`Granted::tx_queues`]).
//! What came on one of the others leaves by another of its port, always the same one; a packet that is
//! told to leave by such a queue is given back ([`SendError::ReceiveOnly`]), as is one that is empty or
//! longer than its port can send. Each worker gets a queue that sends, of every port.
//!
//! # Trouble
//!
//! What happens to an interface while it is open does not end it, as long as it can come back:
//! [`Port::state`] tells link, MTU, queues and how often the link was lost. While there is no link,
//! calls that wait go on waiting (for [`FluxBuilder::link_timeout`] at most, where one is set), kicks
//! do nothing, and entries wait in the TX rings.
//!
//! Calls that wait end with an error that names the port ([`FluxError::port`]) when the interface is
//! gone ([`ErrorKind::Device`]), and for receivers when somebody detached the XDP program
//! ([`ErrorKind::Detached`]). After the link timeout, where one is set, they end with
//! [`ErrorKind::NoLink`], and may be tried again. What becomes of the other ports is your choice. Either drop
//! everything; or call `remove_port` ([`FluxEngine::remove_port`], [`Workers::remove_port`],
//! [`FluxRx::remove_port`], [`FluxTx::remove_port`]) and go on without it. In mode C nothing is to
//! be removed: use the other queues. Frames that the kernel held for the lost interface stay lost
//! until the UMEM is closed.
//!
//! A receiver that is dropped (a [`FluxRx`], an engine or a raw RX ring, also by a thread that
//! panics) gives its queues back to the kernel's stack at once, whatever else lives on. So does a
//! worker whose closure panics in [`Workers::run`], until it runs again. For a firewall or a forwarder
//! that is the wrong way out: [`FluxBuilder::fail`] with [`Fail::Closed`] drops those packets and counts
//! them, as long as the process lives.
//!
//! On veth pairs a forwarder also completes checksums
//! ([`proto::complete_checksum`]): without, ping works through it, and TCP and UDP do not.
//!
//! # Safety model
//!
//! Safe code trades [`umem::Frame`] tokens: neither `Copy` nor `Clone`, tagged with their UMEM.
//! A number that the kernel wrote becomes a token in one checked, private function. So two
//! owners of one frame, or a touch of memory that the kernel holds, cannot be written down
//! without `unsafe`. *Frames are conserved*: each is in a ring, in the free list, or in your
//! hands; debug builds keep a ledger.
//!
//! # Features
//!
//! `bpf` the real kernel (Linux), `tools` what the commands do, `cli` the `flux` binary, `async`
//! tokio. All are on by default; without any the library is the simulator and the protocols. For a
//! program of your own: `default-features = false, features = ["bpf"]`.
#![deny(unsafe_code)]
#![cfg_attr(flux_loom, allow(dead_code))] // loom is given the rings and the free list alone

#[allow(unsafe_code)] // the instruction
mod prefetch;
#[allow(unsafe_code)] // the shared memory of the rings
mod ring;
#[allow(unsafe_code)] // UnsafeCell with loom's interface
mod sync;
#[allow(unsafe_code)] // frame tokens to bytes
pub mod umem;

#[cfg(not(flux_loom))]
mod backend;
#[cfg(not(flux_loom))]
mod builder;
#[cfg(not(flux_loom))]
pub mod config;
#[cfg(not(flux_loom))]
pub mod engine;
#[cfg(not(flux_loom))]
pub mod error;
#[cfg(not(flux_loom))]
mod ids;
#[cfg(not(flux_loom))]
mod life;
#[cfg(not(flux_loom))]
pub mod packet;
#[cfg(not(flux_loom))]
pub mod poll;
#[cfg(not(flux_loom))]
mod port;
#[cfg(not(flux_loom))]
pub mod proto;
#[cfg(not(flux_loom))]
pub mod raw;
#[cfg(all(feature = "async", not(flux_loom)))]
#[allow(unsafe_code)] // tokio's promise about registered descriptors
mod reactor;
#[cfg(not(flux_loom))]
pub mod snapshot;
#[cfg(not(flux_loom))]
pub mod socket;
#[cfg(not(flux_loom))]
mod stats;
#[cfg(all(target_os = "linux", not(flux_loom)))]
#[allow(unsafe_code)] // system calls, mappings, libbpf
mod sys;
#[cfg(not(flux_loom))]
pub mod system;
#[cfg(not(flux_loom))]
pub mod text;
#[cfg(all(feature = "tools", not(flux_loom)))]
pub mod tools;
#[cfg(not(flux_loom))]
mod worker;

// What the tests of modules share with those in tests/.
#[cfg(all(test, target_os = "linux", feature = "bpf", not(flux_loom)))]
#[path = "../tests/support/foreign/mod.rs"]
mod foreign;
#[cfg(all(test, target_os = "linux", not(flux_loom)))]
#[path = "../tests/support/lab/mod.rs"]
mod lab;

/// What the tests and benchmarks of this crate look at; no part of its interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::ring::{Consumer, Drain, Producer, Reservation, heap_ring};
    pub use crate::umem::cache::Magazine;
    pub use crate::umem::free_list::FreeList;
}

#[cfg(not(flux_loom))]
pub use backend::sim as simulator;
#[cfg(all(feature = "async", not(flux_loom)))]
pub use reactor::AsyncFluxRaw;
#[cfg(not(flux_loom))]
pub use {
    backend::fault::Faults,
    backend::filter::MAX_MATCHES,
    backend::{Filter, Kick, Match, PayloadMatch, VlanMatch},
    builder::FluxBuilder,
    config::{
        AttachMode, Attached, BindMode, Config, Fail, Granted, HugePages, Pages, Poller, Queues,
    },
    engine::{EngineStats, FluxEngine, PacketBatch, StopHandle, Workers},
    error::{ErrorKind, FluxError},
    ids::{PortIndex, QueueIndex},
    life::{Link, PortState},
    packet::{Packet, PacketMut, PacketRef, Packets, SendError},
    port::Port,
    raw::FluxRaw,
    ring::{Desc, RingSnapshot},
    snapshot::RingsSnapshot,
    socket::{PacketView, Route, Routed},
    stats::{Calls, QueueCounters, XdpStatistics},
    system::{FluxRx, FluxTx, Sent},
};
