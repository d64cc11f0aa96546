//! What the commands know about the host's network, and the clockwork they share.
//!
//! ```text
//!   ping  trace  fw  lb  pump  bench
//!     │     │     │   │    │     │
//!     └─────┴──┬──┴───┴────┴─────┘
//!              ▼
//!        dyn Host ──── KernelHost (netlink)      Journey     where probes go, and by what
//!              └────── a simulated host          Hops        link layer addresses on the way
//!                                                Pacer       when to send
//!                                                ProbeTable  what an answer answers
//!                                                RttStats    what it all came to
//! ```
//!
//! Invariant: a command learns about routes, addresses and neighbours through [`Host`] alone, so
//! it behaves the same on the simulated network. Time is always a parameter; nothing in here
//! reads a clock except the host that waits for the kernel.

pub(in crate::tools) mod carrier;
mod error;
pub mod histogram;
pub(in crate::tools) mod hops;
mod host;
pub(in crate::tools) mod journey;
#[cfg(target_os = "linux")]
mod kernel;
pub(in crate::tools) mod losses;
pub mod opened;
pub mod pace;
pub mod probes;
pub(in crate::tools) mod sender;
mod sim_host;
pub(in crate::tools) mod times;
pub mod watch;

pub use error::{Cause, HostError};
pub use host::{
    Address, AddressScope, Family, Host, Interface, Neighbour, Queues, Route, RouteKind, Target,
    Vlan, group_mac,
};
pub use journey::VlanTag;
#[cfg(target_os = "linux")]
pub use kernel::KernelHost;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(in crate::tools) use kernel::{Link, Nics, XdpFeatures, genl, veth};
pub use sim_host::SimHost;
