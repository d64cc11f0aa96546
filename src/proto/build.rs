//! Whole frames from values: Ethernet, an optional VLAN tag, IP, transport, checksums. Each
//! function writes from the front of `buf` and returns the frame's length, or `None` without room
//! or for parts that do not go together; `buf` may then hold a part of the frame. Frames are not
//! padded to the 60 bytes of Ethernet: the device does that.

use super::vlan::TAG_LEN;
use super::{
    ArpRepr, ETHERNET_LEN, EtherType, EthernetRepr, Icmpv4Message, Icmpv6Message, IpPair, IpProto,
    Ipv4Repr, Ipv6Repr, MacAddr, Tag, TcpRepr, UdpRepr,
};

/// Ethernet addresses and an optional tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Sender.
    pub src: MacAddr,
    /// Receiver.
    pub dst: MacAddr,
    /// VLAN tag.
    pub tag: Option<Tag>,
}

impl Link {
    /// Untagged.
    #[must_use]
    pub const fn new(src: MacAddr, dst: MacAddr) -> Self {
        Self { src, dst, tag: None }
    }

    /// Header length in bytes: 14, or 18 with a tag.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        if self.tag.is_some() { ETHERNET_LEN + TAG_LEN } else { ETHERNET_LEN }
    }

    fn emit(&self, ether_type: EtherType, buf: &mut [u8]) -> Option<usize> {
        let Some(tag) = self.tag else {
            return EthernetRepr { dst: self.dst, src: self.src, ether_type }.emit(buf);
        };
        EthernetRepr { dst: self.dst, src: self.src, ether_type: tag.tpid }.emit(buf)?;
        let [a, b] = tag.tci.to_be_bytes();
        let [c, d] = ether_type.0.to_be_bytes();
        *buf.get_mut(ETHERNET_LEN..)?.first_chunk_mut()? = [a, b, c, d];
        Some(ETHERNET_LEN + TAG_LEN)
    }
}

/// What the IP header says besides protocol and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    /// Addresses.
    pub ip: IpPair,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// IPv4 identification.
    pub ident: u16,
    /// IPv4 DF; IPv6 routers never fragment.
    pub dont_fragment: bool,
    /// IPv6 flow label, 20 bits.
    pub flow_label: u32,
}

impl Net {
    /// TTL 64, DF set, everything else zero.
    #[must_use]
    pub const fn new(ip: IpPair) -> Self {
        Self { ip, ttl: 64, tos: 0, ident: 0, dont_fragment: true, flow_label: 0 }
    }

    /// The same with another TTL or hop limit.
    #[must_use]
    pub const fn with_ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// Writes the IP header for `len` bytes of transport in `buf`; returns its length.
    fn emit(&self, proto: IpProto, len: usize, buf: &mut [u8]) -> Option<usize> {
        match self.ip {
            IpPair::V4 { src, dst } => {
                let mut repr = Ipv4Repr::new(src, dst, proto);
                (repr.ttl, repr.tos, repr.ident) = (self.ttl, self.tos, self.ident);
                repr.dont_fragment = self.dont_fragment;
                repr.emit(len, buf)
            }
            IpPair::V6 { src, dst } => {
                let mut repr = Ipv6Repr::new(src, dst, proto);
                (repr.hop_limit, repr.traffic_class) = (self.ttl, self.tos);
                repr.flow_label = self.flow_label;
                repr.emit(len, buf)
            }
        }
    }
}

/// Any transport: `body` writes it and returns its length.
#[must_use]
pub fn ip(
    buf: &mut [u8],
    link: &Link,
    net: &Net,
    proto: IpProto,
    body: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Option<usize> {
    let ether_type = if net.ip.is_v4() { EtherType::IPV4 } else { EtherType::IPV6 };
    let l3 = link.emit(ether_type, buf)?;
    let len = body(buf.get_mut(l3 + net.ip.header_len()..)?)?;
    Some(l3 + net.emit(proto, len, buf.get_mut(l3..)?)? + len)
}

/// A UDP datagram.
#[must_use]
pub fn udp(
    buf: &mut [u8],
    link: &Link,
    net: &Net,
    header: &UdpRepr,
    payload: &[u8],
) -> Option<usize> {
    ip(buf, link, net, IpProto::UDP, |to| header.emit(&net.ip, payload, to))
}

/// A TCP segment.
#[must_use]
pub fn tcp(
    buf: &mut [u8],
    link: &Link,
    net: &Net,
    header: &TcpRepr,
    payload: &[u8],
) -> Option<usize> {
    ip(buf, link, net, IpProto::TCP, |to| header.emit(&net.ip, payload, to))
}

/// An ICMP message for IPv4; `None` over IPv6.
#[must_use]
pub fn icmpv4(
    buf: &mut [u8],
    link: &Link,
    net: &Net,
    message: &Icmpv4Message<'_>,
) -> Option<usize> {
    if !net.ip.is_v4() {
        return None;
    }
    ip(buf, link, net, IpProto::ICMP, |to| message.emit(to))
}

/// An ICMP message for IPv6; `None` over IPv4. Neighbour discovery needs a TTL of 255.
#[must_use]
pub fn icmpv6(
    buf: &mut [u8],
    link: &Link,
    net: &Net,
    message: &Icmpv6Message<'_>,
) -> Option<usize> {
    if net.ip.is_v4() {
        return None;
    }
    ip(buf, link, net, IpProto::ICMPV6, |to| message.emit(&net.ip, to))
}

/// An echo request of the version the addresses have.
#[must_use]
pub fn echo_request(
    buf: &mut [u8],
    link: &Link,
    net: &Net,
    id: u16,
    seq: u16,
    data: &[u8],
) -> Option<usize> {
    if net.ip.is_v4() {
        icmpv4(buf, link, net, &Icmpv4Message::EchoRequest { id, seq, data })
    } else {
        icmpv6(buf, link, net, &Icmpv6Message::EchoRequest { id, seq, data })
    }
}

/// An ARP message.
#[must_use]
pub fn arp(buf: &mut [u8], link: &Link, message: &ArpRepr) -> Option<usize> {
    let l3 = link.emit(EtherType::ARP, buf)?;
    Some(l3 + message.emit(buf.get_mut(l3..)?)?)
}
