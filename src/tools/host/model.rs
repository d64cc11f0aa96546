//! What a host is made of: interfaces, addresses, routes, neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::error::{Cause, HostError};

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
    /// The family of `addr`.
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Family::V4 } else { Family::V6 }
    }

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
    /// The other end of a veth pair, or the interface below, where that is in the same namespace.
    pub lower: Option<u32>,
    /// The device behind it.
    pub device: Option<Device>,
    /// The XDP program that is attached.
    pub xdp: Option<XdpProgram>,
    /// Packets received and sent.
    pub packets: Option<(u64, u64)>,
    /// The addresses, in the kernel's order.
    pub addresses: Vec<Address>,
}

/// The device behind an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name on the bus, such as `0000:3b:00.0`.
    pub name: String,
    /// The bus, such as `pci`.
    pub bus: String,
}

/// An XDP program that is attached to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XdpProgram {
    /// The kernel's number of it.
    pub id: u32,
    /// Where it hooks in.
    pub hook: XdpHook,
}

/// Where an XDP program hooks in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpHook {
    /// In the driver.
    Native,
    /// In the stack, before all else.
    Skb,
    /// In the device.
    Hardware,
    /// In more than one place.
    Several,
}

impl XdpHook {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            XdpHook::Native => "native",
            XdpHook::Skb => "skb",
            XdpHook::Hardware => "hardware",
            XdpHook::Several => "several",
        }
    }
}

impl Interface {
    /// Whether it is the loopback interface.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.kind == "loopback"
    }

    /// Whether frames on it are Ethernet frames that leave the machine's stack.
    #[must_use]
    pub fn is_ethernet(&self) -> bool {
        self.mac.is_some() && !self.is_loopback()
    }

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

/// Which neighbours a host is to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// Those that it has not heard from for long (STALE).
    Unused,
    /// All but those that were set for ever.
    All,
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
