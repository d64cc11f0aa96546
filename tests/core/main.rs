//! What needs no kernel at all: protocols, and the layers of the source.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[cfg(all(target_os = "linux", feature = "tools"))]
#[path = "../support/lab/mod.rs"]
mod lab;

mod circles;
#[cfg(all(target_os = "linux", feature = "tools"))]
mod control;
mod forward_pnet;
mod layering;
mod manifest;
mod modules;
mod proto_pnet;
mod proto_props;
#[cfg(all(target_os = "linux", feature = "tools"))]
#[path = "../support/schema.rs"]
mod schema;
mod source;
mod words;
