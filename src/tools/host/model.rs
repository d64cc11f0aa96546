//! [`Host`]: everything a command may ask of the machine it runs on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::error::{Cause, HostError};

/// What a command may ask of the machine it runs on.
///
/// The kernel answers by netlink ([`KernelHost`](super::KernelHost)); a simulated network answers
/// for its simulated host. `neighbour` takes `&mut self` because it sends packets and lets time
/// pass, virtual time on a simulated host.
pub trait Host {
    /// The address of `name`, as getaddrinfo(3) finds it: a literal (`fe80::1%eth0` included) or
    /// the first address of the family asked for. May wait for the name service.
    fn resolve(&self, name: &str, family: Family) -> Result<Target, HostError>;

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

    /// The driver of an interface (`veth`, `mlx5_core`), or its kind where the driver says nothing.
    fn driver(&self, ifname: &str) -> Option<String>;

    /// How many queues of an interface are in use: the ones an AF_XDP socket can bind.
    /// [`Interface::num_rx_queues`] counts the ones allocated, which may be more.
    fn queues(&self, ifname: &str) -> Result<Queues, HostError>;
}

/// Which address family a name may resolve to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Family {
    /// Whichever the system prefers.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// Whether `addr` is of this family.
    pub fn admits(self, addr: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => addr.is_ipv4(),
            Family::V6 => addr.is_ipv6(),
        }
    }
}

/// Where a name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// The address.
    pub addr: IpAddr,
    /// The interface index a link-local address belongs to, where the name said so.
    pub scope: Option<u32>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// The index, unique in its network namespace.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The Ethernet address; `None` where the link layer is not Ethernet (tun, tunnels).
    pub mac: Option<[u8; 6]>,
    /// The largest packet without its link layer header, in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The link is there: a cable, a peer that is up.
    pub carrier: bool,
    /// How often the link came or went, where that is counted.
    pub carrier_changes: Option<u32>,
    /// `veth`, `vlan`, `bridge`, `loopback`, …; empty for a plain device.
    pub kind: String,
    /// Set if this is a VLAN interface.
    pub vlan: Option<Vlan>,
    /// The bridge, bond or VRF this interface belongs to, by index.
    pub master: Option<u32>,
    /// Receive queues allocated.
    pub num_rx_queues: u32,
    /// Transmit queues allocated.
    pub num_tx_queues: u32,
    /// The addresses, in the kernel's order.
    pub addresses: Vec<Address>,
}

impl Interface {
    /// Whether `addr` is one of this interface's addresses.
    pub fn has_address(&self, addr: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.addr == addr)
    }

    /// Whether `addr` is the broadcast address of one of this interface's IPv4 networks.
    pub fn is_broadcast(&self, addr: IpAddr) -> bool {
        let IpAddr::V4(addr) = addr else { return false };
        addr.is_broadcast()
            || self.addresses.iter().any(|own| match own.addr {
                // RFC 3021: a /31 has no broadcast address, and a /32 has no network.
                IpAddr::V4(own_addr) if own.prefix_len <= 30 => {
                    let host_bits = u32::MAX.checked_shr(own.prefix_len.into()).unwrap_or(0);
                    addr.to_bits() == own_addr.to_bits() | host_bits
                }
                _ => false,
            })
    }
}

/// The VLAN an interface stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vlan {
    /// The VLAN identifier, 0 to 4095.
    pub id: u16,
    /// The interface that carries the tagged frames, by index.
    pub parent: u32,
    /// The tag's ethertype: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub protocol: u16,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// The address.
    pub addr: IpAddr,
    /// Length of its network's prefix, in bits.
    pub prefix_len: u8,
    /// How far it is valid.
    pub scope: AddressScope,
    /// Duplicate address detection has not finished: the kernel does not use it yet.
    pub tentative: bool,
    /// Not to be used for new connections.
    pub deprecated: bool,
    /// Duplicate address detection found another owner.
    pub duplicate: bool,
}

impl Address {
    /// Whether packets may be sent from it.
    pub fn is_usable(&self) -> bool {
        !self.tentative && !self.duplicate
    }
}

/// How far an address is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressScope {
    /// Everywhere.
    Global,
    /// Within the site.
    Site,
    /// On its link.
    Link,
    /// On this host.
    Host,
}

/// Queues of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Queues {
    /// Receive queues.
    pub rx: u32,
    /// Transmit queues.
    pub tx: u32,
}

/// How packets to a destination leave this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What becomes of them.
    pub kind: RouteKind,
    /// The interface they leave by, by index.
    pub ifindex: u32,
    /// The router they are handed to; may be IPv6 for an IPv4 destination. `None`: on the link.
    pub gateway: Option<IpAddr>,
    /// The source address they carry; `None` if this host has no suitable one.
    pub source: Option<IpAddr>,
    /// The route's or path's MTU, where one is known besides the interface's.
    pub mtu: Option<u32>,
    /// The route wraps packets (MPLS, segment routing, IP tunnels). Frames that a command builds
    /// itself go out unwrapped.
    pub encapsulated: bool,
}

/// What becomes of packets that a route carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// They go to one host.
    Unicast,
    /// They are for this host itself.
    Local,
    /// They go to everybody on the link.
    Broadcast,
    /// They go to a group.
    Multicast,
    /// They go to the nearest of several hosts.
    Anycast,
}

impl Route {
    /// The address whose neighbour entry gives the destination Ethernet address.
    pub fn next_hop(&self, dst: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(dst)
    }

    /// Refuses a route to this host itself, whose packets never reach a wire. `interface` is the
    /// one the command would have used.
    pub fn require_wire(&self, dst: IpAddr, interface: &str) -> Result<(), HostError> {
        match self.kind {
            RouteKind::Local => {
                let cause = Cause::OwnAddress { interface: interface.into() };
                Err(HostError::new("reach", dst, cause))
            }
            _ => Ok(()),
        }
    }
}

/// The link layer address of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Neighbour {
    /// The address.
    pub mac: [u8; 6],
    /// From question to answer; zero if no question was needed.
    pub took: Duration,
    /// It was known already, or follows from the address.
    pub cached: bool,
}

impl Neighbour {
    /// An address known without asking.
    pub fn known(mac: [u8; 6]) -> Self {
        Neighbour { mac, took: Duration::ZERO, cached: true }
    }
}

/// The Ethernet address that a multicast or the limited broadcast address maps to (RFC 1112 §6.4,
/// RFC 2464 §7).
pub fn group_mac(addr: IpAddr) -> Option<[u8; 6]> {
    match addr {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some([0xff; 6]),
        IpAddr::V4(addr) if addr.is_multicast() => {
            let [_, b, c, d] = addr.octets();
            Some([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(addr) if addr.is_multicast() => Some(ipv6_group_mac(addr)),
        _ => None,
    }
}

fn ipv6_group_mac(addr: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = addr.octets();
    [0x33, 0x33, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn group_addresses_map_to_their_ethernet_addresses() {
        let mac = |addr| group_mac(ip(addr));
        assert_eq!(mac("224.0.0.251"), Some([0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb]));
        assert_eq!(mac("239.255.1.2"), Some([0x01, 0x00, 0x5e, 0x7f, 0x01, 0x02]));
        assert_eq!(mac("255.255.255.255"), Some([0xff; 6]));
        assert_eq!(mac("ff02::1:ff00:2"), Some([0x33, 0x33, 0xff, 0x00, 0x00, 0x02]));
        assert_eq!(mac("10.0.0.255"), None);
        assert_eq!(mac("fe80::1"), None);
    }

    #[test]
    fn only_the_last_address_of_an_ipv4_network_is_its_broadcast_address() {
        let own = |addr: &str, prefix_len| Address {
            addr: ip(addr),
            prefix_len,
            scope: AddressScope::Global,
            tentative: false,
            deprecated: false,
            duplicate: false,
        };
        let addresses = vec![own("10.0.0.1", 24), own("10.1.0.0", 31), own("2001:db8::1", 64)];
        let interface = Interface { addresses, ..Interface::default() };
        assert!(interface.is_broadcast(ip("10.0.0.255")));
        assert!(interface.is_broadcast(ip("255.255.255.255")));
        assert!(!interface.is_broadcast(ip("10.0.0.254")));
        assert!(!interface.is_broadcast(ip("10.1.0.1")));
        assert!(!interface.is_broadcast(ip("2001:db8::ffff:ffff:ffff:ffff")));
    }

    #[test]
    fn a_route_to_this_host_has_no_wire() {
        let route = Route {
            kind: RouteKind::Local,
            ifindex: 1,
            gateway: None,
            source: None,
            mtu: None,
            encapsulated: false,
        };
        let error = route.require_wire(ip("10.0.0.1"), "eth0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot reach 10.0.0.1: it is this host's own address: AF_XDP on eth0 cannot see such packets"
        );
    }
}
