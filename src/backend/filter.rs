//! What the XDP program takes for us; everything else goes on to the kernel's own stack.
//!
//! The same rows are a BPF map for `bpf/redirect.bpf.c` and data for the simulated kernel.

use super::datagram::{Datagram, Seen};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Most rows a filter may have; the XDP program walks them all.
pub const MAX_MATCHES: usize = 32;

/// Which packets are ours.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Filter {
    /// None: a socket that only sends.
    #[default]
    Nothing,
    /// Every packet, the interface's own traffic included. Only for interfaces that are ours.
    Everything,
    /// Packets that agree with at least one row (at most [`MAX_MATCHES`]).
    Any(Vec<Match>),
}

/// One row: a packet matches when every field that is set agrees. Ports, ICMP type and
/// identifier only agree with packets that have them (so never with later fragments).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Match {
    /// EtherType after VLAN tags, e.g. 0x0806. `None`: any IP packet.
    pub ether_type: Option<u16>,
    /// IP protocol after IPv6 extension headers.
    pub ip_proto: Option<u8>,
    /// Source prefix; also decides the family.
    pub src: Option<(IpAddr, u8)>,
    /// Destination prefix; also decides the family.
    pub dst: Option<(IpAddr, u8)>,
    /// TCP or UDP source ports.
    pub src_ports: Option<RangeInclusive<u16>>,
    /// TCP or UDP destination ports.
    pub dst_ports: Option<RangeInclusive<u16>>,
    /// ICMP or ICMPv6 type.
    pub icmp_type: Option<u8>,
    /// Identifier of an ICMP or ICMPv6 echo request or reply.
    pub icmp_id: Option<RangeInclusive<u16>>,
    /// Apply every other field to the datagram quoted in an ICMP or ICMPv6 error instead: an
    /// answer about something that we sent.
    pub quoted: bool,
}

impl Filter {
    /// Whether the XDP program redirects `packet` (an Ethernet frame) to us.
    #[must_use]
    pub fn matches(&self, packet: &[u8]) -> bool {
        match self {
            Filter::Nothing => false,
            Filter::Everything => true,
            Filter::Any(rows) => {
                Seen::of(packet).is_some_and(|seen| rows.iter().any(|row| row.agrees(&seen)))
            }
        }
    }
}

impl Match {
    fn agrees(&self, seen: &Seen) -> bool {
        let ip = if self.quoted { seen.quoted } else { seen.outer };
        if self.quoted && ip.is_none() {
            return false;
        }
        let kind = self.ether_type.map_or(ip.is_some(), |wanted| wanted == seen.ether_type);
        let on_ip = |agrees: &dyn Fn(&Datagram) -> bool| ip.as_ref().is_some_and(agrees);
        let within = |range: &RangeInclusive<u16>, value: Option<u16>| {
            value.is_some_and(|value| range.contains(&value))
        };
        kind && self.ip_proto.is_none_or(|proto| on_ip(&|ip| ip.proto == Some(proto)))
            && self.src.is_none_or(|prefix| on_ip(&|ip| covers(prefix, ip.src)))
            && self.dst.is_none_or(|prefix| on_ip(&|ip| covers(prefix, ip.dst)))
            && self
                .src_ports
                .as_ref()
                .is_none_or(|range| on_ip(&|ip| within(range, ip.ports.map(|ports| ports.0))))
            && self
                .dst_ports
                .as_ref()
                .is_none_or(|range| on_ip(&|ip| within(range, ip.ports.map(|ports| ports.1))))
            && self.icmp_type.is_none_or(|kind| on_ip(&|ip| ip.icmp_type == Some(kind)))
            && self.icmp_id.as_ref().is_none_or(|range| on_ip(&|ip| within(range, ip.icmp_id)))
    }
}

/// Whether `address` lies in the prefix; never when the families differ.
pub(crate) fn covers((prefix, len): (IpAddr, u8), address: IpAddr) -> bool {
    match (prefix, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => {
            let host = u32::MAX.checked_shr(u32::from(len)).unwrap_or(0);
            prefix.to_bits() & !host == address.to_bits() & !host
        }
        (IpAddr::V6(prefix), IpAddr::V6(address)) => {
            let host = u128::MAX.checked_shr(u32::from(len)).unwrap_or(0);
            prefix.to_bits() & !host == address.to_bits() & !host
        }
        _ => false,
    }
}
