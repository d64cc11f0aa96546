//! What hashes and translations look at: more forgiving than [`crate::proto::Headers`],
//! as an XDP program or a router is, who read a port without asking whether the UDP length agrees.

use crate::proto::{EtherType, Fragment, IpPair, IpProto, Ipv4View, Ipv6View};
use std::net::IpAddr;

/// Length of an Ethernet header.
pub(crate) use crate::proto::ETHERNET_LEN as ETH;

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// EtherType behind up to two VLAN tags, and the offset of what follows it.
pub(crate) fn ether_type(packet: &[u8]) -> Option<(EtherType, usize)> {
    let mut at = 12;
    for _ in 0..2 {
        if !EtherType(be16(packet, at)?).is_vlan() {
            break;
        }
        at += 4;
    }
    Some((EtherType(be16(packet, at)?), at + 2))
}

/// An IP header and where the transport header lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// Protocol behind IPv6 extension headers.
    pub(crate) proto: IpProto,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// Offset of the IP header.
    pub(crate) l3: usize,
    /// Offset of the transport header.
    pub(crate) l4: usize,
    /// Offset after the last byte of the datagram, or of what there is of it.
    pub(crate) end: usize,
    /// Whether the transport header is in here: not in fragments other than the first.
    pub(crate) first: bool,
    /// Whether this is one of several fragments.
    pub(crate) fragment: bool,
}

impl Ip {
    /// The datagram of an Ethernet frame.
    pub(crate) fn of_frame(packet: &[u8]) -> Option<Self> {
        let (ether_type, l3) = ether_type(packet)?;
        let bytes = packet.get(l3..)?;
        match ether_type {
            EtherType::IPV4 => Ipv4View::parse(bytes).ok().map(|view| Self::v4(&view, l3)),
            EtherType::IPV6 => Ipv6View::parse(bytes).ok().map(|view| Self::v6(&view, l3)),
            _ => None,
        }
    }

    /// The datagram quoted in an ICMP or ICMPv6 error, perhaps cut short.
    pub(crate) fn quoted(&self, packet: &[u8]) -> Option<Self> {
        let kind = self.icmp_type(packet)?;
        let l3 = self.l4 + 8;
        let quote = packet.get(l3..self.end)?;
        if self.src.is_ipv4() {
            let error = matches!(kind, 3 | 4 | 5 | 11 | 12);
            let view = Ipv4View::parse_quoted(quote).ok().filter(|_| error)?;
            Some(Self::v4(&view, l3))
        } else {
            let view = Ipv6View::parse_quoted(quote).ok().filter(|_| kind < 128)?;
            Some(Self::v6(&view, l3))
        }
    }

    fn v4(view: &Ipv4View<'_>, l3: usize) -> Self {
        let head = (view.pair(), view.proto(), view.ttl(), view.fragment());
        Self::new(head, l3, view.header_len(), view.payload().len())
    }

    fn v6(view: &Ipv6View<'_>, l3: usize) -> Self {
        let head = (view.pair(), view.proto(), view.hop_limit(), view.fragment());
        Self::new(head, l3, view.header_len(), view.payload().len())
    }

    fn new(
        (pair, proto, ttl, fragment): (IpPair, IpProto, u8, Option<Fragment>),
        l3: usize,
        header_len: usize,
        payload_len: usize,
    ) -> Self {
        let l4 = l3 + header_len;
        Self {
            src: pair.src(),
            dst: pair.dst(),
            proto,
            ttl,
            l3,
            l4,
            end: l4 + payload_len,
            first: fragment.is_none_or(|fragment| fragment.is_first()),
            fragment: fragment.is_some_and(|fragment| !fragment.is_whole()),
        }
    }

    /// Source and destination port of TCP or UDP.
    #[cfg(test)]
    pub(crate) fn ports(&self, packet: &[u8]) -> Option<(u16, u16)> {
        let packet = packet.get(..self.end)?;
        let has_them = self.first && matches!(self.proto, IpProto::TCP | IpProto::UDP);
        has_them.then_some(())?;
        Some((be16(packet, self.l4)?, be16(packet, self.l4 + 2)?))
    }

    /// Type of an ICMP or ICMPv6 message.
    pub(crate) fn icmp_type(&self, packet: &[u8]) -> Option<u8> {
        let of_family = if self.src.is_ipv4() { IpProto::ICMP } else { IpProto::ICMPV6 };
        (self.first && self.proto == of_family).then_some(())?;
        packet.get(..self.end)?.get(self.l4).copied()
    }

    /// Identifier of an echo request or reply.
    pub(crate) fn echo_id(&self, packet: &[u8]) -> Option<u16> {
        let kind = self.icmp_type(packet)?;
        let echo = if self.src.is_ipv4() { [8, 0] } else { [128, 129] };
        echo.contains(&kind).then_some(())?;
        be16(packet.get(..self.end)?, self.l4 + 4)
    }

    /// A hash of the addresses and the protocol: what all fragments of a datagram have.
    pub(crate) fn parties(&self, packet: &[u8]) -> u64 {
        let addresses = if self.src.is_ipv4() { 12..20 } else { 8..40 };
        let addresses = packet.get(self.l3 + addresses.start..self.l3 + addresses.end);
        feed(u64::from(self.proto.0), addresses.unwrap_or(&[]))
    }

    /// A hash of the flow: addresses, protocol, and the first four bytes of the transport header
    /// (ports; for ICMP type, code and checksum, as the routers do that Paris traceroute was made
    /// for).
    pub(crate) fn flow(&self, packet: &[u8]) -> u64 {
        let parties = self.parties(packet);
        // Fragments have no ports: all of them take the path of the first one.
        if self.fragment {
            return parties;
        }
        feed(parties, packet.get(self.l4..(self.l4 + 4).min(self.end)).unwrap_or(&[]))
    }
}

/// Takes bytes into a hash, eight at a time.
fn feed(mut hash: u64, bytes: &[u8]) -> u64 {
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_be_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    hash
}

/// Mixes a hash until each bit depends on all (the finalizer of SplitMix64), before anybody takes
/// a part of it.
pub(crate) fn mix64(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

/// A hash of a packet's flow. Packets without IP hash by their EtherType.
pub(crate) fn flow_hash(packet: &[u8]) -> u32 {
    let hash = match Ip::of_frame(packet) {
        Some(ip) => ip.flow(packet),
        None => feed(0, packet.get(12..ETH).unwrap_or(&[])),
    };
    (mix64(hash) >> 32) as u32
}
