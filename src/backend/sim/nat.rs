//! Source NAT: many inner addresses behind the one of a router's outer interface (RFC 3022).

use super::wire::{self, Ip};
use crate::proto::{IpProto, checksum};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// Who uses an outer port or echo identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Inside {
    proto: IpProto,
    address: Ipv4Addr,
    port: u16,
}

/// What a NAT does with the datagrams that ICMP errors quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NatQuotes {
    /// They become what the inner host sent, checksums included (RFC 5508 §4.2).
    #[default]
    Restored,
    /// Addresses and ports become the inner host's again, and the transport checksum stays that of
    /// the translated packet: by it Dublin traceroute knows that there is a NAT.
    ChecksumKept,
}

/// The translations of one outer interface. They never expire.
#[derive(Default)]
pub(super) struct Nat {
    quotes: NatQuotes,
    outward: HashMap<Inside, u16>,
    inward: HashMap<(IpProto, u16), Inside>,
}

/// Where in a packet the port or identifier lies that stands for the inner host.
fn port_offset(ip: &Ip, packet: &[u8], source: bool) -> Option<usize> {
    if !ip.first {
        return None;
    }
    match ip.proto {
        IpProto::TCP | IpProto::UDP => Some(ip.l4 + if source { 0 } else { 2 }),
        IpProto::ICMP => ip.echo_id(packet).map(|_| ip.l4 + 4),
        _ => None,
    }
}

impl Nat {
    pub(super) fn new(quotes: NatQuotes) -> Self {
        Self { quotes, ..Self::default() }
    }

    /// A packet on its way out gets `outer` as its source. False when it cannot be translated.
    pub(super) fn out(&mut self, packet: &mut [u8], outer: Ipv4Addr) -> bool {
        let Some(ip) = Ip::of_frame(packet) else { return false };
        let IpAddr::V4(address) = ip.src else { return false };
        let Some(at) = port_offset(&ip, packet, true) else { return false };
        let Some(port) = wire::be16(packet, at) else { return false };
        let port = self.port_for(Inside { proto: ip.proto, address, port });
        rewrite(packet, &ip, ip.l3 + 12, &outer.octets());
        rewrite_port(packet, &ip, at, port);
        true
    }

    /// The same port where it is free, else the next one that is.
    fn port_for(&mut self, inside: Inside) -> u16 {
        if let Some(&port) = self.outward.get(&inside) {
            return port;
        }
        let mut port = inside.port;
        for _ in 0..=u16::MAX {
            if !self.inward.contains_key(&(inside.proto, port)) {
                break;
            }
            port = port.wrapping_add(1).max(1024);
        }
        self.outward.insert(inside, port);
        self.inward.insert((inside.proto, port), inside);
        port
    }

    /// A packet for the outer address goes to whom it belongs; false when that is nobody.
    pub(super) fn back(&self, packet: &mut [u8]) -> bool {
        let Some(ip) = Ip::of_frame(packet) else { return false };
        if let Some(quoted) = ip.quoted(packet) {
            return self.back_error(packet, &ip, &quoted);
        }
        let Some(at) = port_offset(&ip, packet, false) else { return false };
        let Some(inside) = self.inside(&ip, packet, at) else { return false };
        rewrite(packet, &ip, ip.l3 + 16, &inside.address.octets());
        rewrite_port(packet, &ip, at, inside.port);
        true
    }

    fn inside(&self, ip: &Ip, packet: &[u8], at: usize) -> Option<Inside> {
        self.inward.get(&(ip.proto, wire::be16(packet, at)?)).copied()
    }

    /// An ICMP error about a packet of ours: what it quotes is translated as well, so that its
    /// receiver knows its own packet again.
    fn back_error(&self, packet: &mut [u8], ip: &Ip, quoted: &Ip) -> bool {
        let Some(at) = port_offset(quoted, packet, true) else { return false };
        let Some(inside) = self.inside(quoted, packet, at) else { return false };
        match self.quotes {
            NatQuotes::Restored => {
                rewrite(packet, quoted, quoted.l3 + 12, &inside.address.octets());
                rewrite_port(packet, quoted, at, inside.port);
            }
            NatQuotes::ChecksumKept => {
                let (header, source) = (quoted.l3 + 10, quoted.l3 + 12);
                adapt(packet, Some(header), source, &inside.address.octets());
                packet[source..source + 4].copy_from_slice(&inside.address.octets());
                packet[at..at + 2].copy_from_slice(&inside.port.to_be_bytes());
            }
        }
        rewrite(packet, ip, ip.l3 + 16, &inside.address.octets());
        let message = &mut packet[ip.l4..ip.end];
        message[2..4].fill(0);
        let sum = checksum::of(message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        true
    }
}

/// Replaces an address, and adapts the header's and the transport's checksum.
fn rewrite(packet: &mut [u8], ip: &Ip, at: usize, new: &[u8; 4]) {
    adapt(packet, Some(ip.l3 + 10), at, new);
    if matches!(ip.proto, IpProto::TCP | IpProto::UDP) {
        // The pseudo-header has the address too.
        adapt(packet, transport_checksum(packet, ip), at, new);
    }
    packet[at..at + 4].copy_from_slice(new);
}

fn rewrite_port(packet: &mut [u8], ip: &Ip, at: usize, port: u16) {
    let new = port.to_be_bytes();
    adapt(packet, transport_checksum(packet, ip), at, &new);
    packet[at..at + 2].copy_from_slice(&new);
}

/// Where the transport checksum lies, if it is in the packet (a quote may end before it) and used.
fn transport_checksum(packet: &[u8], ip: &Ip) -> Option<usize> {
    let at = match ip.proto {
        IpProto::ICMP => ip.l4 + 2,
        IpProto::UDP => ip.l4 + 6,
        _ => ip.l4 + 16,
    };
    let used = wire::be16(packet.get(..ip.end)?, at)? != 0 || ip.proto != IpProto::UDP;
    used.then_some(at)
}

/// Adapts the checksum at `sum` to `new` bytes replacing those at `at` (RFC 1624, equation 3).
fn adapt(packet: &mut [u8], sum: Option<usize>, at: usize, new: &[u8]) {
    let Some(sum) = sum else { return };
    let Some(mut total) = wire::be16(packet, sum) else { return };
    for (i, pair) in new.chunks_exact(2).enumerate() {
        let old = wire::be16(packet, at + 2 * i).unwrap_or(0);
        total = checksum::update_u16(total, old, u16::from_be_bytes([pair[0], pair[1]]));
    }
    packet[sum..sum + 2].copy_from_slice(&total.to_be_bytes());
}
