//! How a packet is read when a filter looks at it: the rules of `bpf/redirect.bpf.c`, in Rust.
//!
//! - Up to two VLAN tags (802.1Q, 802.1ad) are skipped; their types and identifiers are the VLAN.
//!   A tag with identifier 0 carries a priority, and is in no VLAN.
//! - An IP header counts when it is whole, says its own version, and its length field stays
//!   within the packet. Of a quoted datagram only the beginning need be there.
//! - IPv6 extension headers: up to 8 of hop-by-hop, routing, destination options, fragment,
//!   authentication, mobility, HIP and shim6. With more, or one whose first 8 bytes are not all
//!   there, the packet has no protocol. What follows the fragment header of a later fragment is
//!   not looked at: the protocol is the one that header names.
//! - Ports are there in TCP and UDP when 4 bytes of the header are, ICMP type and identifier when
//!   8 bytes are; neither is in later fragments. ICMP is protocol 1 over IPv4, 58 over IPv6.
//! - The payload is the first 8 bytes behind the 8 bytes of an ICMP or UDP header, when all of them
//!   are there. In a quoted datagram 8 zeros are none: some routers fill up with them.
//! - Errors that quote a datagram: ICMP types 3, 4, 5, 11, 12; ICMPv6 types 1 to 4.
//!
//! Invariant: the XDP program and this file agree on every packet; a property test runs both.
//! Caller: `backend::filter`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes beyond this offset are not looked at (the program's bound for the verifier).
const MAX_OFFSET: usize = 0x3fff;

/// What an IP datagram says, as far as it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) proto: Option<u8>,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) icmp_type: Option<u8>,
    pub(crate) icmp_id: Option<u16>,
    pub(crate) payload: Option<[u8; 8]>,
    /// It is a fragment, the first one included.
    pub(crate) fragment: bool,
    /// Where the datagram that it quotes begins.
    quote: Option<usize>,
}

/// A frame's sender, VLAN and EtherType, its datagram, and the datagram quoted in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) ether_src: [u8; 6],
    /// Type and identifier of the inner tag in the lower half, of the outer tag in the upper half.
    pub(crate) vlan: u64,
    pub(crate) ether_type: u16,
    pub(crate) outer: Option<Datagram>,
    pub(crate) quoted: Option<Datagram>,
}

fn at(packet: &[u8], start: usize, len: usize) -> Option<&[u8]> {
    (start <= MAX_OFFSET).then_some(())?;
    packet.get(start..start + len)
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The VLAN inside of `vlan` that a tag of this type says.
pub(crate) fn with_tag(vlan: u64, tag_type: u16, tci: u16) -> u64 {
    match tci & 0xfff {
        0 => vlan,
        id => vlan << 32 | u64::from(tag_type) << 16 | u64::from(id),
    }
}

/// The VLAN of an Ethernet frame.
pub(crate) fn vlan_of(packet: &[u8]) -> u64 {
    Seen::of(packet).map_or(0, |seen| seen.vlan)
}

impl Seen {
    /// Reads an Ethernet frame; `None` when it is too short to have an EtherType.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let ether_src = *at(packet, 6, 6)?.first_chunk()?;
        let mut ether_type = be16(at(packet, 12, 2)?, 0);
        let (mut start, mut vlan) = (14, 0);
        for _ in 0..2 {
            if !matches!(ether_type, 0x8100 | 0x88a8) {
                break;
            }
            let tag = at(packet, start, 4)?;
            vlan = with_tag(vlan, ether_type, be16(tag, 0));
            ether_type = be16(tag, 2);
            start += 4;
        }
        let outer = Datagram::read(packet, ether_type, start, Whole::Yes);
        let quote = outer.and_then(|ip| ip.quote);
        let quoted = quote.and_then(|at| Datagram::read(packet, ether_type, at, Whole::PerhapsNot));
        Some(Self { ether_src, vlan, ether_type, outer, quoted })
    }
}

/// Whether all of a datagram must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    PerhapsNot,
}

impl Datagram {
    fn read(packet: &[u8], ether_type: u16, start: usize, whole: Whole) -> Option<Self> {
        match ether_type {
            0x0800 => Self::read_v4(packet, start, whole),
            0x86dd => Self::read_v6(packet, start, whole),
            _ => None,
        }
    }

    fn new(src: IpAddr, dst: IpAddr, proto: Option<u8>) -> Self {
        let (ports, icmp_type, icmp_id, payload, quote) = (None, None, None, None, None);
        Self { src, dst, proto, ports, icmp_type, icmp_id, payload, fragment: false, quote }
    }

    fn read_v4(packet: &[u8], start: usize, whole: Whole) -> Option<Self> {
        let p = at(packet, start, 20)?;
        let header = usize::from(p[0] & 15) * 4;
        let total = usize::from(be16(p, 2));
        let limit = start + total;
        let fits = start + header <= packet.len() && (whole != Whole::Yes || limit <= packet.len());
        if p[0] >> 4 != 4 || header < 20 || total < header || !fits {
            return None;
        }
        let address =
            |at: usize| IpAddr::from(Ipv4Addr::new(p[at], p[at + 1], p[at + 2], p[at + 3]));
        let fragment = be16(p, 6) & 0x3fff != 0;
        let ip = Self { fragment, ..Self::new(address(12), address(16), Some(p[9])) };
        let first = be16(p, 6) & 0x1fff == 0;
        Some(if first { ip.with_transport(packet, start + header, limit, whole) } else { ip })
    }

    fn read_v6(packet: &[u8], start: usize, whole: Whole) -> Option<Self> {
        let p = at(packet, start, 40)?;
        let limit = start + 40 + usize::from(be16(p, 4));
        if p[0] >> 4 != 6 || (whole == Whole::Yes && limit > packet.len()) {
            return None;
        }
        let address = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&p[at..at + 16]);
            IpAddr::from(Ipv6Addr::from(octets))
        };
        let mut ip = Self::new(address(8), address(24), None);
        let (mut proto, mut off) = (p[6], start + 40);
        for _ in 0..8 {
            if !is_extension(proto) {
                break;
            }
            let inside = (off + 8 <= limit).then(|| at(packet, off, 8)).flatten();
            let Some(p) = inside else { return Some(ip) };
            let kind = std::mem::replace(&mut proto, p[0]);
            ip.fragment |= kind == 44 && be16(p, 2) & 0xfff9 != 0;
            off += match kind {
                44 if be16(p, 2) & 0xfff8 != 0 => return Some(Self { proto: Some(proto), ..ip }),
                44 => 8,
                51 => (usize::from(p[1]) + 2) * 4,
                _ => (usize::from(p[1]) + 1) * 8,
            };
        }
        if is_extension(proto) {
            return Some(ip);
        }
        Some(Self { proto: Some(proto), ..ip }.with_transport(packet, off, limit, whole))
    }

    fn with_transport(mut self, packet: &[u8], off: usize, limit: usize, whole: Whole) -> Self {
        let inside = |len| (off + len <= limit).then(|| at(packet, off, len)).flatten();
        let payload = || {
            let bytes = (off + 16 <= limit).then(|| at(packet, off + 8, 8)).flatten()?;
            let bytes: [u8; 8] = *bytes.first_chunk()?;
            (whole == Whole::Yes || bytes != [0; 8]).then_some(bytes)
        };
        let v4 = self.src.is_ipv4();
        match self.proto {
            Some(proto @ (6 | 17)) => {
                self.ports = inside(4).map(|p| (be16(p, 0), be16(p, 2)));
                self.payload = (proto == 17).then(payload).flatten();
            }
            Some(proto) if proto == if v4 { 1 } else { 58 } => {
                let Some(p) = inside(8) else { return self };
                self.icmp_type = Some(p[0]);
                self.payload = payload();
                let echo = if v4 { [8, 0] } else { [128, 129] };
                self.icmp_id = echo.contains(&p[0]).then(|| be16(p, 4));
                let error =
                    if v4 { matches!(p[0], 3..=5 | 11 | 12) } else { matches!(p[0], 1..=4) };
                self.quote = error.then_some(off + 8);
            }
            _ => {}
        }
        self
    }
}

/// IPv6 extension headers that are skipped: hop-by-hop, routing, fragment, authentication,
/// destination options, mobility, HIP, shim6.
fn is_extension(proto: u8) -> bool {
    matches!(proto, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140)
}
