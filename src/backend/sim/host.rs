//! An end host that answers.

use super::HostOptions;
use super::answer::{self, Services};
use super::outbox::Outbox;
use super::port::keep;
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
    /// Copies of what reached it, when somebody asked for them.
    pub(super) tap: Option<Vec<Vec<u8>>>,
}

impl Host {
    pub(super) fn new(options: HostOptions, prefixes: Vec<(IpAddr, u8)>) -> Self {
        let HostOptions { silent, echo, tcp, tcp_filtered, udp, ttl, prefixes: _ } = options;
        let services = Services { echo, tcp, tcp_filtered, udp };
        let (mac, addresses) = (MacAddr::default(), Vec::new());
        Self { mac, addresses, prefixes, silent, services, ttl, tap: None }
    }

    /// Whether an address is its own.
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
            || self.prefixes.iter().any(|&prefix| covers(prefix, address))
    }

    /// Whether a frame with this destination is for it.
    fn hears(&self, dst: MacAddr) -> bool {
        dst == self.mac || dst.is_multicast()
    }

    pub(super) fn receive(&mut self, mut packet: Vec<u8>, out: &mut Outbox) {
        let heard = packet.first_chunk().is_some_and(|&dst| self.hears(MacAddr(dst)));
        if let Some(tap) = self.tap.as_mut().filter(|_| heard) {
            keep(tap, &packet);
        }
        if let Some(answer) = self.answer(&mut packet, out) {
            out.send(0, answer);
        }
        out.recycle(packet);
    }

    fn answer(&self, packet: &mut Vec<u8>, out: &mut Outbox) -> Option<Vec<u8>> {
        let dst = MacAddr(*packet.first_chunk()?);
        let headers = Headers::parse(packet).ok()?;
        // An access port: what has a VLAN tag is not for us.
        if !self.hears(dst) || headers.vlan[0].is_some() {
            return None;
        }
        let owns = |address| self.owns(address);
        let resolved = answer::resolution(packet, &headers, self.mac, owns, out);
        if resolved.is_some() || self.silent || dst.is_multicast() || !owns(headers.dst()?) {
            return resolved;
        }
        let mut answer = answer::service(packet, &headers, self.mac, &self.services, out)?;
        answer::set_ttl(&mut answer, self.ttl);
        Some(answer)
    }
}
