//! The answers that every IP node gives: ARP, neighbour discovery, echo, closed and open ports.

use super::outbox::Outbox;
use super::wire;
use crate::proto::respond::{self, IcmpError};
use crate::proto::{
    ArpView, EtherType, EthernetMut, Headers, Icmpv6Message, Icmpv6View, MacAddr, TcpOptions,
    Transport,
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
        return out.write(|to| respond::arp_reply(to, packet, mac));
    }
    let Transport::Icmpv6 { .. } = headers.transport else { return None };
    let message = packet.get(headers.l4_offset()..headers.payload_range().end)?;
    match Icmpv6View::parse(message).ok()?.message() {
        Ok(Icmpv6Message::NeighborSolicit { target, .. }) if owns(target.into()) => {
            out.write(|to| respond::neighbor_advert(to, packet, mac))
        }
        _ => None,
    }
}

/// What a host says to a packet of its own, which may become the answer itself. `open` are the
/// TCP ports that answer.
pub(super) fn service(
    packet: &mut Vec<u8>,
    headers: &Headers,
    mac: MacAddr,
    open: &[u16],
    out: &mut Outbox,
) -> Option<Vec<u8>> {
    if !headers.verify_checksums(packet) {
        return None;
    }
    packet.truncate(headers.payload_range().end); // Ethernet padding is not ours to echo
    if respond::echo_in_place(packet) {
        return Some(std::mem::take(packet));
    }
    match headers.transport {
        Transport::Udp { .. } => {
            let from = headers.dst()?;
            let error = IcmpError::PortUnreachable;
            out.write(|to| respond::icmp_error(to, packet, from, mac, error))
        }
        Transport::Tcp { dst_port, .. } if open.contains(&dst_port) => {
            let options = TcpOptions { mss: Some(MSS), ..TcpOptions::default() };
            // Any number will do, as long as a segment always gets the same one.
            let isn = wire::flow_hash(packet);
            out.write(|to| respond::tcp_syn_ack(to, packet, isn, u16::MAX, options))
        }
        Transport::Tcp { .. } => out.write(|to| respond::tcp_rst(to, packet)),
        _ => None,
    }
}

pub(super) fn set_addresses(packet: &mut [u8], dst: MacAddr, src: MacAddr) {
    if let Ok(mut ethernet) = EthernetMut::parse(packet) {
        ethernet.set_dst(dst);
        ethernet.set_src(src);
    }
}
