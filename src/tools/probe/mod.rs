//! Probing: where probes go and by what, and which answer belongs to which.
//!
//! ```text
//!   ProbeTargets ─▶ NextHops ─▶ Wire: Sender ─▶ … ─▶ inbox ─▶ ProbeTable
//!   where to, by    link layer        room and                what an answer
//!   which source    addresses         retries                 answers
//! ```
//!
//! Invariant: time is always a parameter; nothing in here reads a clock. Called by `ping` and
//! `trace`.

mod frames;
mod link;
mod next_hops;
mod overheard;
mod port_of;
mod route;
mod sender;
pub(crate) mod table;
mod targets;
mod wire;
mod zoned;

pub(crate) use frames::fitted;
pub(crate) use link::Link;
pub use link::VlanTag;
pub use next_hops::NeighbourFound;
pub(crate) use next_hops::NextHops;
pub(crate) use route::TargetRequest;
pub use route::check_source;
pub(crate) use sender::Sender;
pub use targets::TargetRoute;
pub(crate) use targets::{Path, ProbeTargets, ip_len};
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(crate) use wire::FRAMES;
pub(crate) use wire::{Arrival, Wire};
pub use zoned::Zoned;
