//! An end host that answers.

use super::HostOptions;
use super::answer::{self, Services};
use super::icmp_limit::Limiter;
use super::manners::Manners;
use super::outbox::Outbox;
use super::port::keep;
use super::reassembly::Reassembly;
use super::vlan;
use crate::backend::filter::covers;
use crate::proto::respond::{self, IcmpError};
use crate::proto::{Headers, MacAddr, Transport};
use std::net::IpAddr;

/// One machine with one interface.
pub(super) struct Host {
    pub(super) mac: MacAddr,
    pub(super) addresses: Vec<(IpAddr, u8)>,
    pub(super) mtu: u32,
    /// Each address of these is its own as well.
    prefixes: Vec<(IpAddr, u8)>,
    /// Answers ARP and neighbour discovery, and nothing else.
    silent: bool,
    services: Services,
    icmp_limit: Option<Limiter>,
    manners: Manners,
    reassembly: Reassembly,
    ttl: u8,
    /// Copies of what reached it, when somebody asked for them.
    pub(super) tap: Option<Vec<Vec<u8>>>,
}

impl Host {
    pub(super) fn new(options: HostOptions, prefixes: Vec<(IpAddr, u8)>) -> Self {
        let manners = Manners::new(&options);
        let HostOptions { silent, echo, tcp, tcp_filtered, udp, ttl, icmp_limit, .. } = options;
        Self {
            mac: MacAddr::default(),
            addresses: Vec::new(),
            mtu: u32::MAX,
            prefixes,
            silent,
            services: Services { echo, tcp, tcp_filtered, udp },
            icmp_limit: icmp_limit.map(Limiter::new),
            manners,
            reassembly: Reassembly::default(),
            ttl,
            tap: None,
        }
    }

    /// Answers come from these addresses, unless it has others for that already.
    pub(super) fn answer_from(&mut self, addresses: Vec<IpAddr>) {
        self.manners.answer_from(addresses);
    }

    /// Whether an address is its own.
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|&(own, _)| own == address)
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
        if heard {
            self.answer(&mut packet, out);
        }
        out.recycle(packet);
    }

    fn answer(&mut self, packet: &mut Vec<u8>, out: &mut Outbox) -> Option<()> {
        let mut headers = Headers::parse(packet).ok()?;
        // An access port: what belongs to another VLAN is not for us.
        if !vlan::is_of(&headers, self.manners.vlan()) {
            return None;
        }
        if headers.is_fragment() {
            let whole = self.reassembly.add(packet, &headers)?;
            out.recycle(std::mem::replace(packet, whole.packet));
            headers = Headers::parse(packet).ok()?;
        }
        let owns = |address| self.owns(address);
        if let Some(resolved) = answer::resolution(packet, &headers, self.mac, owns, out) {
            out.send(0, resolved);
            return None;
        }
        let asked = headers.dst()?;
        if self.silent || MacAddr(*packet.first_chunk()?).is_multicast() || !owns(asked) {
            return None;
        }
        if self.manners.error_first() && headers.verify_checksums(packet) {
            let error = IcmpError::HostUnreachable;
            let mac = self.mac;
            let error =
                out.answer_to(packet, |to| respond::icmp_error(to, packet, asked, mac, error));
            error.into_iter().for_each(|error| out.send(0, error));
        }
        let mut answer = answer::service(packet, &headers, self.mac, &self.services, out)?;
        if matches!(headers.transport, Transport::Udp { .. })
            && self.services.refuses_udp()
            && !self.may_refuse(headers.src()?, out.now)
        {
            out.recycle(answer);
            return None;
        }
        answer::set_ttl(&mut answer, self.ttl);
        self.manners.send(answer, self.mtu, out);
        None
    }

    /// Whether "port unreachable" may be sent to `asker`. If so, it is counted.
    fn may_refuse(&mut self, asker: IpAddr, now: u64) -> bool {
        let near = self.addresses.iter().filter(|&&own| covers(own, asker)).map(|own| own.1);
        let len = near.max().unwrap_or(0);
        let limit = self.icmp_limit.as_mut();
        limit.is_none_or(|limit| limit.allows(asker, IcmpError::PortUnreachable, len, now))
    }
}
