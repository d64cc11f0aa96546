//! The few bytes of a packet that the simulated devices look at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// Length of an Ethernet header.
pub(crate) const ETH: usize = 14;

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(be16(bytes, at)?) << 16 | u32::from(be16(bytes, at + 2)?))
}

/// EtherType behind up to two VLAN tags, and the offset of what follows it.
pub(crate) fn ether_type(packet: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    for _ in 0..2 {
        match be16(packet, at)? {
            0x8100 | 0x88a8 => at += 4,
            _ => break,
        }
    }
    Some((be16(packet, at)?, at + 2))
}

/// An IP header and where the transport header lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// Protocol behind IPv6 extension headers.
    pub(crate) proto: u8,
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
        let (ether_type, at) = ether_type(packet)?;
        match ether_type {
            ETHERTYPE_IPV4 => Self::v4(packet, at),
            ETHERTYPE_IPV6 => Self::v6(packet, at),
            _ => None,
        }
    }

    /// The datagram quoted in an ICMP or ICMPv6 error, perhaps cut short.
    pub(crate) fn quoted(&self, packet: &[u8]) -> Option<Self> {
        let packet = packet.get(..self.end)?;
        if !self.first {
            return None;
        }
        let kind = *packet.get(self.l4)?;
        match self.proto {
            ICMP if matches!(kind, 3 | 4 | 5 | 11 | 12) => Self::v4(packet, self.l4 + 8),
            ICMPV6 if kind < 128 => Self::v6(packet, self.l4 + 8),
            _ => None,
        }
    }

    pub(crate) fn v4(packet: &[u8], l3: usize) -> Option<Self> {
        let header = packet.get(l3..)?;
        let ihl = usize::from(*header.first()? & 15) * 4;
        let total = usize::from(be16(header, 2)?);
        if header[0] >> 4 != 4 || ihl < 20 || total < ihl || header.len() < ihl {
            return None;
        }
        let fragment = be16(header, 6)?;
        Some(Self {
            src: Ipv4Addr::from_bits(be32(header, 12)?).into(),
            dst: Ipv4Addr::from_bits(be32(header, 16)?).into(),
            proto: header[9],
            ttl: header[8],
            l3,
            l4: l3 + ihl,
            end: packet.len().min(l3 + total),
            first: fragment & 0x1fff == 0,
            fragment: fragment & 0x3fff != 0,
        })
    }

    pub(crate) fn v6(packet: &[u8], l3: usize) -> Option<Self> {
        let header = packet.get(l3..l3 + 40)?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let address = |at: usize| {
            let bytes: [u8; 16] = header[at..at + 16].try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(bytes)))
        };
        let end = packet.len().min(l3 + 40 + usize::from(be16(header, 4)?));
        let mut ip = Self {
            src: address(8)?,
            dst: address(24)?,
            proto: header[6],
            ttl: header[7],
            l3,
            l4: l3 + 40,
            end,
            first: true,
            fragment: false,
        };
        // RFC 8200 §4: hop-by-hop, routing, destination options, fragment. A chain longer than
        // eight is no honest packet's.
        for _ in 0..8 {
            let extension = match ip.proto {
                0 | 43 | 60 => 8 + 8 * usize::from(*packet.get(ip.l4 + 1)?),
                44 => {
                    let offset = be16(packet, ip.l4 + 2)?;
                    ip.first = offset & 0xfff8 == 0;
                    ip.fragment = offset & 0xfff9 != 0;
                    8
                }
                _ => return Some(ip),
            };
            ip.proto = *packet.get(ip.l4)?;
            ip.l4 += extension;
            if ip.l4 > ip.end || !ip.first {
                return (ip.l4 <= ip.end).then_some(ip);
            }
        }
        Some(ip)
    }

    /// Source and destination port of TCP or UDP.
    pub(crate) fn ports(&self, packet: &[u8]) -> Option<(u16, u16)> {
        let packet = packet.get(..self.end)?;
        let has_them = self.first && matches!(self.proto, TCP | UDP);
        has_them.then_some(())?;
        Some((be16(packet, self.l4)?, be16(packet, self.l4 + 2)?))
    }

    /// Type of an ICMP or ICMPv6 message.
    pub(crate) fn icmp_type(&self, packet: &[u8]) -> Option<u8> {
        let of_family = if self.src.is_ipv4() { ICMP } else { ICMPV6 };
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
}

/// A hash of a packet's flow: addresses, protocol, and the first four bytes of the transport
/// header (ports; for ICMP type, code and checksum, as routers do it that Paris traceroute knows).
/// All of it for ARP and the like, so that one flow stays on one path.
pub(crate) fn flow_hash(packet: &[u8]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    match Ip::of_frame(packet) {
        Some(ip) => {
            let addresses = if ip.src.is_ipv4() { 12..20 } else { 8..40 };
            feed(packet.get(ip.l3 + addresses.start..ip.l3 + addresses.end).unwrap_or(&[]));
            feed(&[ip.proto]);
            // Fragments have no ports: all of them take the path of the first one.
            if !ip.fragment {
                feed(packet.get(ip.l4..(ip.l4 + 4).min(ip.end)).unwrap_or(&[]));
            }
        }
        None => feed(packet.get(12..ETH).unwrap_or(&[])),
    }
    // The low bits of FNV are weak: fold and mix before anybody takes a remainder.
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    (hash >> 33) as u32
}

/// The Internet checksum (RFC 1071) over `parts`; all but the last have an even length.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The pseudo-header of TCP, UDP and ICMPv6 checksums.
pub(crate) fn pseudo_header(src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Vec<u8> {
    let mut pseudo = Vec::with_capacity(40);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            pseudo.extend(src.octets());
            pseudo.extend(dst.octets());
            pseudo.extend([0, proto]);
            pseudo.extend((len as u16).to_be_bytes());
        }
        (src, dst) => {
            for address in [src, dst] {
                if let IpAddr::V6(address) = address {
                    pseudo.extend(address.octets());
                }
            }
            pseudo.extend((len as u32).to_be_bytes());
            pseudo.extend([0, 0, 0, proto]);
        }
    }
    pseudo
}

/// Writes the checksum of the transport message that starts at `l4` of `packet`.
pub(crate) fn seal_transport(packet: &mut [u8], src: IpAddr, dst: IpAddr, proto: u8, l4: usize) {
    let at = match proto {
        ICMP | ICMPV6 => l4 + 2,
        UDP => l4 + 6,
        _ => l4 + 16,
    };
    if packet.len() < at + 2 {
        return;
    }
    packet[at..at + 2].fill(0);
    let pseudo =
        if proto == ICMP { Vec::new() } else { pseudo_header(src, dst, proto, packet.len() - l4) };
    let sum = match (proto, checksum(&[&pseudo, &packet[l4..]])) {
        (UDP, 0) => 0xffff, // 0 means "none" (RFC 768)
        (_, sum) => sum,
    };
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Writes the checksum of the IPv4 header at `l3`.
pub(crate) fn seal_ipv4(packet: &mut [u8], l3: usize) {
    let Some(ihl) = packet.get(l3).map(|b| usize::from(b & 15) * 4) else { return };
    let Some(header) = packet.get_mut(l3..l3 + ihl) else { return };
    header[10..12].fill(0);
    let sum = checksum(&[header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
