//! An end host that answers.

use super::answer;
use super::outbox::Outbox;
use crate::proto::{Headers, MacAddr};
use std::net::IpAddr;

/// One machine with one interface.
pub(super) struct Host {
    pub(super) mac: MacAddr,
    pub(super) addresses: Vec<IpAddr>,
    /// Answers ARP and neighbour discovery, and nothing else.
    pub(super) silent: bool,
    pub(super) open_tcp: Vec<u16>,
}

impl Host {
    pub(super) fn receive(&mut self, mut packet: Vec<u8>, out: &mut Outbox) {
        if let Some(answer) = self.answer(&mut packet, out) {
            out.send(0, answer);
        }
        out.recycle(packet);
    }

    fn answer(&self, packet: &mut Vec<u8>, out: &mut Outbox) -> Option<Vec<u8>> {
        let dst = MacAddr(*packet.first_chunk()?);
        let headers = Headers::parse(packet).ok()?;
        // An access port: what has a VLAN tag is not for us.
        if !(dst == self.mac || dst.is_multicast()) || headers.vlan[0].is_some() {
            return None;
        }
        let owns = |address| self.addresses.contains(&address);
        let resolved = answer::resolution(packet, &headers, self.mac, owns, out);
        if resolved.is_some() || self.silent || dst.is_multicast() || !owns(headers.dst()?) {
            return resolved;
        }
        answer::service(packet, &headers, self.mac, &self.open_tcp, out)
    }
}
