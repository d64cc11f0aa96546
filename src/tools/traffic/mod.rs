//! What sends packets over and over, and a network to do it in.
//!
//! ```text
//!   PacketTemplate ─┐                 ┌─ live_frames   as fast as the kernel can, in XDP
//!                   ├─▶ runner: thread│
//!   Egress ─────────┘                 └─ paced         each at its time, by an AF_XDP socket
//!
//!   source    what both are to their owner
//!   lab       two namespaces with one or two veth pairs between them
//!   rfc2544   the packets of benchmarks
//! ```
//!
//! Invariant: a source sends from the start on, nothing while it is paused, and nothing once it is
//! stopped or dropped. Callers: `flux bench`, and the benchmarks in `benches`.

#[cfg(all(target_os = "linux", feature = "bpf"))]
mod egress;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod lab;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod live_frames;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod paced;
pub mod rfc2544;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod runner;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod source;
mod template;
#[cfg(test)]
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod tests;

#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use crate::tools::host::veth::LinkStats;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use egress::{Egress, pin};
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use lab::Lab;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use live_frames::{DEFAULT_BATCH, LARGEST_BATCH, LiveSource};
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use paced::{DEFAULT_RATE_PPS, PacedSource};
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use source::Source;
pub use template::PacketTemplate;
