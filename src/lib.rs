//! Packet I/O on Linux AF_XDP, with a simulated kernel behind the same seam.

pub mod proto;
