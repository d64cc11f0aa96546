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
mod listen;
mod model;
mod ports;
mod simulated;
mod target;
mod watch;

pub use error::{Cause, HostError};
#[cfg(target_os = "linux")]
pub use kernel::KernelHost;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(crate) use kernel::{Nics, XdpFeatures, genl, veth};
pub use listen::{Heard, Listen, Listener, Probes};
pub use model::{
    Address, AddressScope, Device, Doubt, Family, Interface, Neighbour, Queues, Route, RouteKind,
    Target, Vlan, XdpHook, XdpProgram, group_mac,
};
pub use ports::{HeldPorts, PortKind};
pub use simulated::SimHost;
pub use watch::{Change, RouteChange, Watch};

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a command may ask of the machine it runs on.
///
/// The kernel answers by netlink ([`KernelHost`]); a simulated network answers
/// for its simulated host. `neighbour` takes `&mut self` because it sends packets and lets time
/// pass, virtual time on a simulated host.
pub trait Host {
    /// The address of `name`, as getaddrinfo(3) finds it: a literal (`fe80::1%eth0` included) or
    /// the first address of the family asked for. May wait for the name service.
    fn resolve(&self, name: &str, family: Family) -> Result<Target, HostError>;

    /// All addresses of `name`, in the order in which they are to be tried; at least one.
    fn addresses(&self, name: &str, family: Family) -> Result<Vec<Target>, HostError> {
        self.resolve(name, family).map(|target| vec![target])
    }

    /// The interface called `name` (or with this alternative name).
    fn interface(&self, name: &str) -> Result<Interface, HostError>;

    /// All interfaces, by index.
    fn interfaces(&self) -> Result<Vec<Interface>, HostError>;

    /// The route packets to `dst` take, as `ip route get` shows it: policy rules, ECMP and path
    /// MTU included.
    ///
    /// `oif` is the interface they must leave by. IPv4 then takes a destination without a route
    /// to be on that link, as it does for a socket bound to a device. `src` must be an address of
    /// this host. Unreachable, blackhole, prohibit and no route at all are errors, each with its
    /// own [`Cause`]; the other kinds are told by [`Route::kind`].
    fn route(&self, dst: IpAddr, oif: Option<u32>, src: Option<IpAddr>)
    -> Result<Route, HostError>;

    /// The link layer address of each `(interface index, address)`, many asked for at a time.
    /// Results are in the order of `wanted`; an address named twice is asked for once.
    ///
    /// `timeout` counts for each address from when its question was sent. Multicast and broadcast
    /// addresses map to theirs without a question.
    fn neighbours(
        &mut self,
        wanted: &[(u32, IpAddr)],
        timeout: Duration,
    ) -> Vec<Result<Neighbour, HostError>>;

    /// The link layer address of `addr`, which is on the link of interface `ifindex`.
    fn neighbour(
        &mut self,
        ifindex: u32,
        addr: IpAddr,
        timeout: Duration,
    ) -> Result<Neighbour, HostError> {
        self.neighbours(&[(ifindex, addr)], timeout).pop().unwrap_or_else(|| {
            let cause = Cause::Protocol("the host gave no answer".into());
            Err(HostError::new("find the link layer address of", addr, cause))
        })
    }

    /// Makes the host ask again for addresses that [`neighbours`](Self::neighbours) answered for and
    /// that may be wrong by now. What it learns, a [`Watch`] tells. A host that never changes does nothing.
    fn confirm(&mut self, _known: &[(u32, IpAddr)], _doubt: Doubt) {}

    /// The driver of an interface (`veth`, `mlx5_core`), or its kind where the driver says nothing.
    fn driver(&self, ifname: &str) -> Option<String>;

    /// How many queues of an interface are in use: the ones an AF_XDP socket can bind.
    /// [`Interface::num_rx_queues`] counts the ones allocated, which may be more.
    fn queues(&self, ifname: &str) -> Result<Queues, HostError>;

    /// Whether an interface takes the outermost VLAN tag off what it receives, so that a program on it
    /// does not see the tag.
    fn strips_tags(&self, _ifname: &str) -> bool {
        false
    }

    /// Identifiers of echo requests that sockets of this host wait for answers with.
    fn echo_ids(&self) -> Vec<u16> {
        Vec::new()
    }

    /// Keeps other programs from sending by these ports until the drop.
    ///
    /// # Errors
    /// `AddrInUse` when one of them belongs to a socket already.
    fn hold_ports(&self, _kind: PortKind, _ports: RangeInclusive<u16>) -> io::Result<HeldPorts> {
        Ok(HeldPorts::default())
    }

    /// Hears answers that come to the host's own stack, from now on.
    ///
    /// # Errors
    /// When the host lets nobody listen.
    fn listen(&self, _what: &Listen) -> Result<Box<dyn Listener>, HostError> {
        let cause = Cause::Protocol("this host has no stack of its own".into());
        Err(HostError::new("listen on", "the host", cause))
    }

    /// How many packets the host dropped so far as they came in by another interface than packets to
    /// their source leave by; `None` where it does not count.
    fn reverse_path_drops(&self) -> Option<u64> {
        None
    }

    /// Hears of what changes from now on. A host that never changes need not have one.
    fn watch(&self) -> Result<Box<dyn Watch>, HostError> {
        let cause = Cause::Protocol("this host has no changes".into());
        Err(HostError::new("watch", "the host", cause))
    }
}
