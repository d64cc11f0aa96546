//! What happens to the network by itself, and what our kernel reports of it: plain data.

use super::icmp::Refusal;
use crate::proto::MacAddr;
use std::net::IpAddr;

/// A node of a [`NetworkBuilder`](super::NetworkBuilder).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub(super) usize);

/// Where packets for a prefix go from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTo {
    /// To these neighbours.
    Via(Vec<IpAddr>),
    /// Nowhere: routers say so.
    Refused(Refusal),
    /// There is no such route any more; one for a shorter prefix may count.
    Withdrawn,
}

/// Something that happens to a network: see
/// [`NetworkBuilder::happens`](super::NetworkBuilder::happens).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkEvent {
    /// A node's interfaces get other Ethernet addresses. Neighbours that are not told, ours alone,
    /// go on with the old ones.
    Move {
        /// A router or a host.
        node: NodeId,
        /// Whether it says so: gratuitous ARP, unsolicited neighbour advertisement.
        told: bool,
    },
    /// All links between two nodes go down, or come up again. A port at one of them has no carrier.
    Link {
        /// The two nodes.
        between: (NodeId, NodeId),
        /// They come up.
        up: bool,
    },
    /// A route of a router, or of our machine where the node is one of our ports.
    Route {
        /// The router, or any port of ours.
        node: NodeId,
        /// The prefix.
        prefix: (IpAddr, u8),
        /// Where it leads.
        to: RouteTo,
    },
    /// One of our ports gets an address, or loses it. A new one of IPv6 is tentative for a second.
    Address {
        /// The port.
        port: NodeId,
        /// The address, with its prefix length.
        address: (IpAddr, u8),
        /// It gets it.
        there: bool,
    },
}

/// What happens at a time.
pub(super) enum Happening {
    Network(NetworkEvent),
    /// Our kernel asked a neighbour of a port, by node, long enough.
    Asked {
        port: usize,
        address: IpAddr,
    },
    /// A look at the time: an address is not tentative any more.
    Settled,
}

/// What our kernel reports to those who watch it, besides the state of its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// A neighbour has another Ethernet address, or is not known any more.
    Neighbour { ifindex: u32, address: IpAddr, mac: Option<MacAddr> },
    /// A route came or went.
    Route { there: bool, to: (IpAddr, u8), ifindex: u32, gateway: IpAddr },
}

/// A neighbour on the link of one of our ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    /// What our kernel's table says.
    pub(super) known: MacAddr,
    /// What it would learn if it asked everybody.
    pub(super) real: MacAddr,
}

impl Neighbour {
    pub(super) fn new(mac: MacAddr) -> Self {
        Self { known: mac, real: mac }
    }
}
