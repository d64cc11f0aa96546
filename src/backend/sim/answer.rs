//! The answers that every IP node gives: ARP, neighbour discovery, echo, and ICMP errors.

use super::MacAddr;
use super::outbox::Outbox;
use super::wire::{self, ETH, Ip};
use std::net::IpAddr;

/// TTL and hop limit of everything that a simulated node sends by itself.
const TTL: u8 = 64;
/// RFC 1812 §4.3.2.3: an ICMP error is at most this long, IP header included.
const V4_ERROR: usize = 576;
/// RFC 4443 §2.4(c): likewise, the minimum IPv6 MTU.
const V6_ERROR: usize = 1280;

/// Why a packet did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NetUnreachable,
    HostUnreachable,
    PortUnreachable,
    Prohibited,
    /// Too long for a link with this MTU.
    TooBig(u32),
    TimeExceeded,
}

impl Trouble {
    /// Type, code and the second word of the header.
    fn v4(self) -> (u8, u8, u32) {
        match self {
            Self::NetUnreachable => (3, 0, 0),
            Self::HostUnreachable => (3, 1, 0),
            Self::PortUnreachable => (3, 3, 0),
            Self::TooBig(mtu) => (3, 4, mtu & 0xffff), // RFC 1191 §4
            Self::Prohibited => (3, 13, 0),
            Self::TimeExceeded => (11, 0, 0),
        }
    }

    fn v6(self) -> (u8, u8, u32) {
        match self {
            Self::NetUnreachable => (1, 0, 0),
            Self::Prohibited => (1, 1, 0),
            Self::HostUnreachable => (1, 3, 0),
            Self::PortUnreachable => (1, 4, 0),
            Self::TooBig(mtu) => (2, 0, mtu),
            Self::TimeExceeded => (3, 0, 0),
        }
    }
}

/// The ICMP error about the datagram `ip` of `packet`, sent from `from`, behind an empty Ethernet
/// header. `None` where none may be sent (RFC 1122 §3.2.2, RFC 4443 §2.4(e)).
pub(super) fn error(
    packet: &[u8],
    ip: &Ip,
    from: IpAddr,
    trouble: Trouble,
    out: &mut Outbox,
) -> Option<Vec<u8>> {
    let about_error = match (ip.icmp_type(packet), ip.src) {
        (Some(kind), IpAddr::V4(_)) => !matches!(kind, 0 | 8 | 13 | 14),
        (Some(kind), IpAddr::V6(_)) => kind < 128,
        (None, _) => false,
    };
    let nobody = ip.src.is_unspecified() || ip.src.is_multicast() || ip.dst.is_multicast();
    if about_error || nobody || !ip.first {
        return None;
    }
    let (quote_at_most, (kind, code, word)) = match from {
        IpAddr::V4(_) => (V4_ERROR - 28, trouble.v4()),
        IpAddr::V6(_) => (V6_ERROR - 48, trouble.v6()),
    };
    let quote = packet.get(ip.l3..ip.end.min(ip.l3 + quote_at_most))?;
    let mut message = out.buffer();
    start(&mut message, from, ip.src, 8 + quote.len());
    let l4 = message.len();
    message.extend([kind, code, 0, 0]);
    message.extend(word.to_be_bytes());
    message.extend(quote);
    let proto = if from.is_ipv4() { wire::ICMP } else { wire::ICMPV6 };
    finish(&mut message, from, ip.src, proto, l4);
    Some(message)
}

/// An Ethernet header without addresses and an IP header, for `len` bytes to come.
fn start(packet: &mut Vec<u8>, src: IpAddr, dst: IpAddr, len: usize) {
    packet.clear();
    packet.resize(12, 0);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            packet.extend(wire::ETHERTYPE_IPV4.to_be_bytes());
            packet.extend([0x45, 0]);
            packet.extend(((20 + len) as u16).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, TTL, 0, 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
        }
        (src, dst) => {
            packet.extend(wire::ETHERTYPE_IPV6.to_be_bytes());
            packet.extend([0x60, 0, 0, 0]);
            packet.extend((len as u16).to_be_bytes());
            packet.extend([0, TTL]);
            for address in [src, dst] {
                if let IpAddr::V6(address) = address {
                    packet.extend(address.octets());
                }
            }
        }
    }
}

/// Writes protocol and checksums of what [`start`] began.
fn finish(packet: &mut [u8], src: IpAddr, dst: IpAddr, proto: u8, l4: usize) {
    if src.is_ipv4() {
        packet[ETH + 9] = proto;
        wire::seal_ipv4(packet, ETH);
    } else {
        packet[ETH + 6] = proto;
    }
    wire::seal_transport(packet, src, dst, proto, l4);
}

/// Turns an ARP request for one of `addresses` into its answer.
pub(super) fn arp(packet: &mut [u8], mac: MacAddr, owns: impl Fn(IpAddr) -> bool) -> bool {
    // RFC 826 for Ethernet and IPv4: hardware 1, protocol 0x0800, lengths 6 and 4, request.
    const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    let Some(arp) = packet.get_mut(ETH..ETH + 28) else { return false };
    let target = IpAddr::from([arp[24], arp[25], arp[26], arp[27]]);
    if arp[..8] != REQUEST || !owns(target) {
        return false;
    }
    arp[7] = 2;
    arp.copy_within(8..18, 18);
    arp[8..14].copy_from_slice(&mac);
    if let IpAddr::V4(target) = target {
        arp[14..18].copy_from_slice(&target.octets());
    }
    turn_round(packet, mac);
    true
}

/// The neighbour advertisement that answers a solicitation (RFC 4861 §7.2.4), if it is one.
pub(super) fn neighbour(
    packet: &[u8],
    ip: &Ip,
    mac: MacAddr,
    owns: impl Fn(IpAddr) -> bool,
    flags: u8,
    out: &mut Outbox,
) -> Option<Vec<u8>> {
    // Hop limit 255 proves that it was not forwarded (§7.1.1).
    let solicitation = ip.icmp_type(packet) == Some(135) && ip.src.is_ipv6() && ip.ttl == 255;
    let target: [u8; 16] = packet.get(ip.l4 + 8..ip.l4 + 24)?.try_into().ok()?;
    let from = IpAddr::from(target);
    if !solicitation || !owns(from) || !transport_intact(packet, ip) {
        return None;
    }
    // Duplicate address detection comes from :: and is answered to all nodes.
    let to =
        if ip.src.is_unspecified() { IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 1]) } else { ip.src };
    let solicited = if ip.src.is_unspecified() { 0 } else { 0x40 };
    let mut answer = out.buffer();
    start(&mut answer, from, to, 32);
    answer[ETH + 7] = 255;
    let l4 = answer.len();
    answer.extend([136, 0, 0, 0, 0x20 | solicited | flags, 0, 0, 0]);
    answer.extend(target);
    answer.extend([2, 1]);
    answer.extend(mac);
    finish(&mut answer, from, to, wire::ICMPV6, l4);
    let back = if ip.src.is_unspecified() { [0x33, 0x33, 0, 0, 0, 1] } else { sender(packet) };
    set_addresses(&mut answer, back, mac);
    Some(answer)
}

/// Turns an echo request into its reply: same payload, fresh TTL. False for anything else.
pub(super) fn echo(packet: &mut Vec<u8>, ip: &Ip, mac: MacAddr) -> bool {
    let reply = match (ip.icmp_type(packet), ip.src) {
        (Some(8), IpAddr::V4(_)) => 0,
        (Some(128), IpAddr::V6(_)) => 129,
        _ => return false,
    };
    if ip.fragment || ip.end < ip.l4 + 8 {
        return false;
    }
    // Ethernet padding is not ours to echo.
    packet.truncate(ip.end);
    packet[ip.l4] = reply;
    swap(packet, ip, ip.dst, mac);
    true
}

/// Sends a packet back where it came from, with `from` as source, and new checksums.
pub(super) fn swap(packet: &mut [u8], ip: &Ip, from: IpAddr, mac: MacAddr) {
    let to = ip.src;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet[ip.l3 + 8] = TTL;
            packet[ip.l3 + 12..ip.l3 + 16].copy_from_slice(&from.octets());
            packet[ip.l3 + 16..ip.l3 + 20].copy_from_slice(&to.octets());
            wire::seal_ipv4(packet, ip.l3);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet[ip.l3 + 7] = TTL;
            packet[ip.l3 + 8..ip.l3 + 24].copy_from_slice(&from.octets());
            packet[ip.l3 + 24..ip.l3 + 40].copy_from_slice(&to.octets());
        }
        _ => return,
    }
    wire::seal_transport(packet, from, to, ip.proto, ip.l4);
    turn_round(packet, mac);
}

/// The answer to a TCP segment: a handshake's second step on an open port, a reset on another
/// (RFC 9293 §3.5.2, §3.10.7).
pub(super) fn tcp(packet: &[u8], ip: &Ip, open: bool, out: &mut Outbox) -> Option<Vec<u8>> {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    let segment = packet.get(ip.l4..ip.end)?;
    let offset = usize::from(*segment.get(12)? >> 4) * 4;
    let flags = *segment.get(13)?;
    let (sequence, ack) = (wire::be32(segment, 4)?, wire::be32(segment, 8)?);
    let payload = segment.len().checked_sub(offset.max(20))? as u32;
    if flags & RST != 0 || (open && flags & SYN == 0) {
        return None;
    }
    let used = payload + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let (our_sequence, our_ack, our_flags) = if open {
        // Any number will do, as long as a segment always gets the same one.
        (wire::flow_hash(packet), sequence.wrapping_add(1), SYN | ACK)
    } else if flags & ACK != 0 {
        (ack, 0, RST)
    } else {
        (0, sequence.wrapping_add(used), RST | ACK)
    };
    let options: &[u8] = if open { &[2, 4, 0x05, 0xb4] } else { &[] }; // MSS 1460
    let mut answer = out.buffer();
    start(&mut answer, ip.dst, ip.src, 20 + options.len());
    let l4 = answer.len();
    answer.extend(&segment[2..4]);
    answer.extend(&segment[..2]);
    answer.extend(our_sequence.to_be_bytes());
    answer.extend(our_ack.to_be_bytes());
    answer.extend([((20 + options.len()) as u8) << 2, our_flags]);
    answer.extend(if open { [0xff, 0xff] } else { [0, 0] });
    answer.extend([0, 0, 0, 0]);
    answer.extend(options);
    finish(&mut answer, ip.dst, ip.src, wire::TCP, l4);
    Some(answer)
}

/// Whether the checksums that the receiver of this packet looks at are right.
pub(super) fn intact(packet: &[u8], ip: &Ip) -> bool {
    header_intact(packet, ip) && transport_intact(packet, ip)
}

/// Whether the IPv4 header checksum is right; IPv6 has none.
pub(super) fn header_intact(packet: &[u8], ip: &Ip) -> bool {
    ip.src.is_ipv6() || {
        let ihl = usize::from(packet[ip.l3] & 15) * 4;
        packet.get(ip.l3..ip.l3 + ihl).is_some_and(|header| wire::checksum(&[header]) == 0)
    }
}

fn transport_intact(packet: &[u8], ip: &Ip) -> bool {
    let Some(message) = packet.get(ip.l4..ip.end) else { return false };
    if ip.fragment {
        return true; // only the whole datagram can be checked
    }
    match ip.proto {
        wire::ICMP if ip.src.is_ipv4() => wire::checksum(&[message]) == 0,
        wire::UDP if ip.src.is_ipv4() && message.get(6..8) == Some(&[0, 0]) => true,
        wire::UDP | wire::TCP | wire::ICMPV6 => {
            let pseudo = wire::pseudo_header(ip.src, ip.dst, ip.proto, message.len());
            wire::checksum(&[&pseudo, message]) == 0
        }
        _ => true,
    }
}

/// Source address of a frame.
pub(super) fn sender(packet: &[u8]) -> MacAddr {
    packet.get(6..12).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
}

pub(super) fn set_addresses(packet: &mut [u8], dst: MacAddr, src: MacAddr) {
    if let Some(header) = packet.get_mut(..12) {
        header[..6].copy_from_slice(&dst);
        header[6..].copy_from_slice(&src);
    }
}

/// Sends a frame back to its sender.
pub(super) fn turn_round(packet: &mut [u8], mac: MacAddr) {
    let back = sender(packet);
    set_addresses(packet, back, mac);
}
