//! What the commands know about the host's network: interfaces, routes, neighbours.
//!
//! ```text
//!   ping  trace  fw  lb  pump  bench
//!     │     │     │   │    │     │
//!     └─────┴──┬──┴───┴────┴─────┘
//!              ▼
//!          dyn Host ──── KernelHost (netlink)
//!                └────── SimHost (a simulated network)
//! ```
//!
//! Invariant: a command learns about routes, addresses and neighbours through [`Host`] alone, so
//! it behaves the same on the simulated network.

mod error;
#[cfg(target_os = "linux")]
mod kernel;
mod model;
mod simulated;
mod target;

pub use error::{Cause, HostError};
#[cfg(target_os = "linux")]
pub use kernel::KernelHost;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(crate) use kernel::{Link, Nics, XdpFeatures, genl, veth};
pub use model::{
    Address, AddressScope, Family, Host, Interface, Neighbour, Queues, Route, RouteKind, Target,
    Vlan, group_mac,
};
pub use simulated::SimHost;
