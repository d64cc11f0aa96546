//! Packet I/O on Linux AF_XDP, with a simulated kernel behind the same seam.

#[cfg(all(target_os = "linux", feature = "tools"))]
mod sys;
#[cfg(feature = "tools")]
pub mod tools;
