//! The answers that every IP node gives: ARP, neighbour discovery, echo, closed and open ports.

use super::UdpPorts;
use super::outbox::Outbox;
use super::wire::{self, ETH};
use crate::proto::respond::{self, IcmpError};
use crate::proto::{
    ArpView, EtherType, EthernetMut, Headers, Icmpv6Message, Icmpv6View, IpProto, Ipv4Mut, Ipv6Mut,
    MacAddr, TcpOptions, Transport,
};
use std::net::IpAddr;

/// Segment size that open ports announce: Ethernet's 1500 bytes without IPv4 and TCP headers.
const MSS: u16 = 1460;

/// The answer to an ARP request or neighbour solicitation for an address that `owns` accepts.
pub(super) fn resolution(
    packet: &[u8],
    headers: &Headers,
    mac: MacAddr,
    owns: impl Fn(IpAddr) -> bool,
    out: &mut Outbox,
) -> Option<Vec<u8>> {
    if headers.ether_type == EtherType::ARP {
        let target = ArpView::parse(headers.payload(packet)).ok()?.repr().target_ip;
        owns(target.into()).then_some(())?;
        return out.answer_to(packet, |to| respond::arp_reply(to, packet, mac));
    }
    let Transport::Icmpv6 { .. } = headers.transport else { return None };
    let message = packet.get(headers.l4_offset()..headers.payload_range().end)?;
    match Icmpv6View::parse(message).ok()?.message() {
        Ok(Icmpv6Message::NeighborSolicit { target, .. }) if owns(target.into()) => {
            out.answer_to(packet, |to| respond::neighbor_advert(to, packet, mac))
        }
        _ => None,
    }
}

/// Whether [`resolution`] might have an answer: a look at a few bytes, which spares the packets of
/// others a whole parse.
pub(super) fn may_resolve(packet: &[u8]) -> bool {
    const SOLICITATION: u8 = 135;
    match wire::be16(packet, 12).map(EtherType) {
        Some(EtherType::IPV4) | None => false,
        Some(EtherType::IPV6) => match packet.get(ETH + 6) {
            Some(&proto) if proto == IpProto::ICMPV6.0 => {
                packet.get(ETH + 40) == Some(&SOLICITATION)
            }
            Some(&proto) => proto != IpProto::UDP.0 && proto != IpProto::TCP.0,
            None => false,
        },
        Some(_) => true,
    }
}

/// What a node has to offer to those who address it.
pub(super) struct Services {
    pub(super) echo: bool,
    /// TCP ports that are open.
    pub(super) tcp: Vec<u16>,
    /// Whether the other ones say nothing.
    pub(super) tcp_filtered: bool,
    pub(super) udp: UdpPorts,
}

impl Services {
    /// Whether the answer to a UDP packet is an ICMP error.
    pub(super) fn refuses_udp(&self) -> bool {
        self.udp == UdpPorts::Closed
    }
}

impl Default for Services {
    /// A node without any but echo.
    fn default() -> Self {
        Self { echo: true, tcp: Vec::new(), tcp_filtered: false, udp: UdpPorts::Closed }
    }
}

/// What a host says to a packet of its own, which may become the answer itself.
pub(super) fn service(
    packet: &mut Vec<u8>,
    headers: &Headers,
    mac: MacAddr,
    services: &Services,
    out: &mut Outbox,
) -> Option<Vec<u8>> {
    if !headers.verify_checksums(packet) {
        return None;
    }
    packet.truncate(headers.payload_range().end); // Ethernet padding is not ours to echo
    match headers.transport {
        Transport::Udp { .. } => match services.udp {
            UdpPorts::Closed => {
                let from = headers.dst()?;
                let error = IcmpError::PortUnreachable;
                out.answer_to(packet, |to| respond::icmp_error(to, packet, from, mac, error))
            }
            UdpPorts::Open => {
                let payload = headers.payload(packet);
                out.answer_to(packet, |to| respond::udp_reply(to, packet, payload))
            }
            UdpPorts::Silent => None,
        },
        Transport::Tcp { dst_port, .. } if services.tcp.contains(&dst_port) => {
            let options = TcpOptions { mss: Some(MSS), ..TcpOptions::default() };
            // Any number will do, as long as a segment always gets the same one.
            let isn = wire::flow_hash(packet);
            out.answer_to(packet, |to| respond::tcp_syn_ack(to, packet, isn, u16::MAX, options))
        }
        Transport::Tcp { .. } if services.tcp_filtered => None,
        Transport::Tcp { .. } => out.answer_to(packet, |to| respond::tcp_rst(to, packet)),
        _ => (services.echo && respond::echo_in_place(packet)).then(|| std::mem::take(packet)),
    }
}

/// Gives a packet that was written here, with [`respond::TTL`], the TTL of its node.
pub(super) fn set_ttl(packet: &mut [u8], ttl: u8) {
    if ttl == respond::TTL {
        return;
    }
    let Some(header) = packet.get_mut(ETH..) else { return };
    if let Ok(mut ip) = Ipv4Mut::parse(header) {
        ip.set_ttl(ttl);
    } else if let Ok(mut ip) = Ipv6Mut::parse(header) {
        ip.set_hop_limit(ttl);
    }
}

pub(super) fn set_addresses(packet: &mut [u8], dst: MacAddr, src: MacAddr) {
    if let Ok(mut ethernet) = EthernetMut::parse(packet) {
        ethernet.set_dst(dst);
        ethernet.set_src(src);
    }
}
