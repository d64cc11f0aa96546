//! What `flux bench` does.

#[cfg(all(target_os = "linux", feature = "bpf"))]
pub mod lab;
