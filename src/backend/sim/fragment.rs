//! Fragmentation: by a router (RFC 791 §3.2), and of what a node sends itself.

use super::outbox::Outbox;
use super::wire::{self, Ip};
use crate::proto::{Fragment, IPV6_LEN, IpProto, checksum, emit_fragment};

/// Sends an IPv4 packet by interface `to` in fragments of at most `mtu` bytes.
pub(super) fn fragment(packet: &[u8], ip: &Ip, mtu: usize, to: usize, out: &mut Outbox) {
    let step = mtu.saturating_sub(ip.l4 - ip.l3) / 8 * 8;
    let field = wire::be16(packet, ip.l3 + 6).unwrap_or(0);
    if step == 0 {
        return;
    }
    let mut at = ip.l4;
    while at < ip.end {
        let end = (at + step).min(ip.end);
        let mut part = out.copy(&packet[..ip.l4]);
        part.extend_from_slice(&packet[at..end]);
        let total = (part.len() - ip.l3) as u16;
        let more = if end < ip.end { 0x2000 } else { field & 0x2000 };
        let offset = (field & 0x1fff) + ((at - ip.l4) / 8) as u16;
        part[ip.l3 + 2..ip.l3 + 4].copy_from_slice(&total.to_be_bytes());
        part[ip.l3 + 6..ip.l3 + 8].copy_from_slice(&(more | offset).to_be_bytes());
        seal_header(&mut part[ip.l3..ip.l4]);
        out.send(to, part);
        at = end;
    }
}

/// Sends a packet of the node itself in fragments of at most `mtu` bytes, each held back for `hold`
/// ns: IPv4 with this identification, IPv6 with fragment headers (RFC 8200 §4.5).
pub(super) fn of_our_own(
    packet: &mut [u8],
    ident: u16,
    mtu: usize,
    hold: u64,
    out: &mut Outbox,
) -> Option<()> {
    let ip = Ip::of_frame(packet)?;
    let ours = out.sends.len();
    if ip.src.is_ipv4() {
        packet[ip.l3 + 4..ip.l3 + 6].copy_from_slice(&ident.to_be_bytes());
        packet[ip.l3 + 6] &= 0x9f;
        fragment(packet, &ip, mtu, 0, out);
    } else {
        fragment_v6(packet, &ip, ident, mtu, out);
    }
    out.sends[ours..].iter_mut().for_each(|(_, later, _)| *later = hold);
    Some(())
}

/// The packet has no extension headers: the node wrote it.
fn fragment_v6(packet: &[u8], ip: &Ip, ident: u16, mtu: usize, out: &mut Outbox) {
    let step = mtu.saturating_sub(IPV6_LEN + 8) / 8 * 8;
    if step == 0 {
        return;
    }
    let start = ip.l3 + IPV6_LEN;
    let mut at = start;
    while at < ip.end {
        let end = (at + step).min(ip.end);
        let fragment =
            Fragment { offset: (at - start) as u16, more: end < ip.end, ident: ident.into() };
        let mut header = [0; 8];
        if emit_fragment(fragment, IpProto(packet[ip.l3 + 6]), &mut header).is_none() {
            return;
        }
        let mut part = out.copy(&packet[..start]);
        part[ip.l3 + 4..ip.l3 + 6].copy_from_slice(&((8 + end - at) as u16).to_be_bytes());
        part[ip.l3 + 6] = IpProto::FRAGMENT.0;
        part.extend_from_slice(&header);
        part.extend_from_slice(&packet[at..end]);
        out.send(0, part);
        at = end;
    }
}

/// Writes the checksum of an IPv4 header.
pub(super) fn seal_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum::of(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
