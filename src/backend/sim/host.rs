//! An end host that answers.

use super::HostOptions;
use super::answer::{self, Services};
use super::outbox::Outbox;
use crate::backend::filter::covers;
use crate::proto::{Headers, MacAddr};
use std::net::IpAddr;

/// One machine with one interface.
pub(super) struct Host {
    pub(super) mac: MacAddr,
    pub(super) addresses: Vec<IpAddr>,
    /// Each address of these is its own as well.
    prefixes: Vec<(IpAddr, u8)>,
    /// Answers ARP and neighbour discovery, and nothing else.
    silent: bool,
    services: Services,
    ttl: u8,
}

impl Host {
    pub(super) fn new(options: HostOptions, prefixes: Vec<(IpAddr, u8)>) -> Self {
        let HostOptions { silent, echo, tcp, tcp_filtered, udp, ttl, prefixes: _ } = options;
        let services = Services { echo, tcp, tcp_filtered, udp };
        Self { mac: MacAddr::default(), addresses: Vec::new(), prefixes, silent, services, ttl }
    }

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
        let owns = |address| {
            self.addresses.contains(&address)
                || self.prefixes.iter().any(|&prefix| covers(prefix, address))
        };
        let resolved = answer::resolution(packet, &headers, self.mac, owns, out);
        if resolved.is_some() || self.silent || dst.is_multicast() || !owns(headers.dst()?) {
            return resolved;
        }
        let mut answer = answer::service(packet, &headers, self.mac, &self.services, out)?;
        answer::set_ttl(&mut answer, self.ttl);
        Some(answer)
    }
}
