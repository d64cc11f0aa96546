//! What sends packets at a rate, and the network to do it in.
//!
//! - `frame`: the packet that is sent
//! - `live_frames`: as fast as the kernel can, by `BPF_PROG_TEST_RUN`
//! - `paced`: at a rate, by an AF_XDP socket
//! - `lab`: two namespaces with a veth pair between them
//! - `runner`: the thread of a source, which pauses and stops when told

pub(crate) mod frame;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod lab;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod live_frames;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod paced;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod runner;
#[cfg(all(test, target_os = "linux", feature = "bpf"))]
mod tests;

#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use crate::tools::host::veth::LinkStats;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use lab::{Lab, pin};
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use live_frames::{DEFAULT_BATCH, LARGEST_BATCH, Source};
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use paced::{DEFAULT_RATE_PPS, PacedSource};
