//! Probing: where probes go and by what, and which answer belongs to which.
//!
//! ```text
//!   ProbeTargets ─▶ NextHops ─▶ Wire: Sockets ─▶ … ─▶ inbox ─▶ ProbeTable
//!   where to, by    link layer        Sender                   what an answer
//!   which link      addresses         room and retries         answers
//! ```
//!
//! Invariant: time is always a parameter; nothing in here reads a clock. Called by `ping` and
//! `trace`.

mod arrival;
mod following;
mod frames;
mod known;
mod link;
mod lookout;
mod next_hops;
mod outlet;
mod overheard;
mod port_of;
mod ready;
mod refused;
mod route;
mod sender;
mod sending;
mod sockets;
pub(crate) mod table;
mod target_file;
mod targets;
mod wire;
mod zoned;

pub(crate) use arrival::{Arrival, UNKNOWN};
pub(crate) use frames::fitted;
pub(crate) use link::Link;
pub use link::VlanTag;
pub(crate) use lookout::{Lookout, News};
pub use next_hops::NeighbourFound;
pub(crate) use next_hops::NextHops;
pub(crate) use outlet::Outlet;
pub use refused::SendError;
pub(crate) use refused::{Refused, WhyNot};
pub(crate) use route::TargetRequest;
pub use route::check_source;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(crate) use sockets::FRAMES;
pub use target_file::TargetFile;
pub use targets::TargetRoute;
pub(crate) use targets::{Path, ProbeTargets, ip_len};
pub(crate) use wire::Wire;
pub use zoned::{Zone, Zoned};
