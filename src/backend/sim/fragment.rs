//! Fragmentation by a router (RFC 791 §3.2).

use super::outbox::Outbox;
use super::wire::{self, Ip};
use crate::proto::checksum;

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

/// Writes the checksum of an IPv4 header.
pub(super) fn seal_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum::of(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
