//! A router: forwards, counts TTLs down, and says why when it cannot.

use super::MacAddr;
use super::answer::{self, Trouble};
use super::outbox::Outbox;
use super::wire::{self, ETH, Ip};
use crate::backend::filter::covers;
use std::collections::HashMap;
use std::net::IpAddr;

/// One of a router's interfaces.
pub(super) struct Interface {
    pub(super) mac: MacAddr,
    pub(super) addresses: Vec<(IpAddr, u8)>,
    pub(super) mtu: u32,
    /// Who else is on the link, as ARP and neighbour discovery would find out.
    pub(super) neighbours: HashMap<IpAddr, MacAddr>,
}

/// What happens to packets for a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// To one of these neighbours, by flow (ECMP).
    Via(Vec<IpAddr>),
    Refuse(Trouble),
    /// Dropped without a word.
    Drop,
}

/// ICMP errors a router may send: so many at once, and one more every `gap` ns.
pub(super) struct Limit {
    burst: u64,
    gap: u64,
    /// When the bucket will be full again.
    full_at: u64,
}

impl Limit {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            burst: u64::from(burst.max(1)),
            gap: 1_000_000_000 / u64::from(per_second.max(1)),
            full_at: 0,
        }
    }

    fn allows(&mut self, now: u64) -> bool {
        let full_at = self.full_at.max(now) + self.gap;
        let allowed = full_at - now <= self.burst * self.gap;
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }
}

/// A router.
#[derive(Default)]
pub(super) struct Router {
    pub(super) interfaces: Vec<Interface>,
    pub(super) routes: Vec<((IpAddr, u8), Action)>,
    pub(super) icmp_limit: Option<Limit>,
}

impl Router {
    pub(super) fn receive(&mut self, at: usize, mut packet: Vec<u8>, out: &mut Outbox) {
        self.handle(at, &mut packet, out);
        out.recycle(packet);
    }

    fn owns(&self, address: IpAddr) -> bool {
        self.interfaces.iter().any(|i| i.addresses.iter().any(|&(own, _)| own == address))
    }

    fn handle(&mut self, at: usize, packet: &mut Vec<u8>, out: &mut Outbox) -> Option<()> {
        let interface = self.interfaces.get(at)?;
        let group = packet.first()? & 1 != 0;
        if !group && packet.get(..6)? != interface.mac {
            return None;
        }
        let owned = |address: IpAddr| interface.addresses.iter().any(|&(own, _)| own == address);
        if wire::be16(packet, 12)? == wire::ETHERTYPE_ARP {
            if answer::arp(packet, interface.mac, owned) {
                out.send(at, std::mem::take(packet));
            }
            return None;
        }
        let ip = Ip::of_frame(packet).filter(|ip| ip.l3 == ETH)?;
        if let Some(advert) = answer::neighbour(packet, &ip, interface.mac, owned, 0x80, out) {
            out.send(at, advert);
            return None;
        }
        if group || ip.dst.is_multicast() || !answer::header_intact(packet, &ip) {
            return None;
        }
        self.learn(at, &ip, answer::sender(packet));
        if self.owns(ip.dst) {
            self.local(at, packet, &ip, out)
        } else {
            self.forward(at, packet, &ip, out)
        }
    }

    /// A sender on the link is a neighbour from now on.
    fn learn(&mut self, at: usize, ip: &Ip, mac: MacAddr) {
        let interface = &mut self.interfaces[at];
        if interface.addresses.iter().any(|&(own, len)| covers((own, len), ip.src)) {
            interface.neighbours.entry(ip.src).or_insert(mac);
        }
    }

    /// A packet for the router itself.
    fn local(&mut self, at: usize, packet: &mut Vec<u8>, ip: &Ip, out: &mut Outbox) -> Option<()> {
        if !answer::intact(packet, ip) {
            return None;
        }
        if answer::echo(packet, ip, self.interfaces[at].mac) {
            let reply = std::mem::take(packet);
            return self.originate(reply, out);
        }
        match ip.proto {
            wire::UDP => self.complain(at, packet, ip, Trouble::PortUnreachable, out),
            wire::TCP => {
                let answer = answer::tcp(packet, ip, false, out)?;
                self.originate(answer, out)
            }
            _ => None,
        }
    }

    fn forward(
        &mut self,
        at: usize,
        packet: &mut Vec<u8>,
        ip: &Ip,
        out: &mut Outbox,
    ) -> Option<()> {
        packet.truncate(ip.end); // Ethernet padding ends here
        if ip.ttl <= 1 {
            return self.complain(at, packet, ip, Trouble::TimeExceeded, out);
        }
        let (to, mac) = match self.next_hop(packet, ip.dst) {
            Ok(hop) => hop,
            Err(None) => return None,
            Err(Some(trouble)) => return self.complain(at, packet, ip, trouble, out),
        };
        let mtu = self.interfaces[to].mtu as usize;
        let too_long = packet.len() - ip.l3 > mtu;
        let may_cut = ip.src.is_ipv4() && packet[ip.l3 + 6] & 0x40 == 0;
        if too_long && !may_cut {
            let trouble = Trouble::TooBig(self.interfaces[to].mtu);
            return self.complain(at, packet, ip, trouble, out);
        }
        if ip.src.is_ipv4() {
            packet[ip.l3 + 8] -= 1;
            wire::seal_ipv4(packet, ip.l3);
        } else {
            packet[ip.l3 + 7] -= 1;
        }
        answer::set_addresses(packet, mac, self.interfaces[to].mac);
        if too_long {
            cut(packet, ip, mtu, to, out);
        } else {
            out.send(to, std::mem::take(packet));
        }
        None
    }

    /// Interface and address of the next hop towards `dst`.
    fn next_hop(&self, packet: &[u8], dst: IpAddr) -> Result<(usize, MacAddr), Option<Trouble>> {
        let on_link = |dst: IpAddr| {
            self.interfaces.iter().position(|interface| {
                interface.addresses.iter().any(|&(own, len)| len > 0 && covers((own, len), dst))
            })
        };
        let resolve = |to: usize, hop: IpAddr| {
            let mac = self.interfaces[to].neighbours.get(&hop);
            mac.map(|&mac| (to, mac)).ok_or(Some(Trouble::HostUnreachable))
        };
        if let Some(to) = on_link(dst) {
            return resolve(to, dst);
        }
        let best = self.routes.iter().filter(|(prefix, _)| covers(*prefix, dst));
        match best.max_by_key(|(prefix, _)| prefix.1) {
            None => Err(Some(Trouble::NetUnreachable)),
            Some((_, Action::Drop)) => Err(None),
            Some((_, Action::Refuse(trouble))) => Err(Some(*trouble)),
            Some((_, Action::Via(hops))) => {
                let pick = match hops.len() {
                    0 => return Err(Some(Trouble::NetUnreachable)),
                    1 => 0,
                    n => wire::flow_hash(packet) as usize % n,
                };
                let hop = hops[pick];
                resolve(on_link(hop).ok_or(Some(Trouble::HostUnreachable))?, hop)
            }
        }
    }

    /// Sends a packet of our own on its way.
    fn originate(&mut self, mut packet: Vec<u8>, out: &mut Outbox) -> Option<()> {
        let ip = Ip::of_frame(&packet)?;
        match self.next_hop(&packet, ip.dst) {
            Ok((to, mac)) => {
                answer::set_addresses(&mut packet, mac, self.interfaces[to].mac);
                out.send(to, packet);
            }
            Err(_) => out.recycle(packet),
        }
        None
    }

    /// Tells the sender, from the address of the interface that the packet came in by.
    fn complain(
        &mut self,
        at: usize,
        packet: &[u8],
        ip: &Ip,
        trouble: Trouble,
        out: &mut Outbox,
    ) -> Option<()> {
        let same_family = |&&(own, _): &&(IpAddr, u8)| own.is_ipv4() == ip.src.is_ipv4();
        let (from, _) = *self.interfaces.get(at)?.addresses.iter().find(same_family)?;
        let from = if self.owns(ip.dst) { ip.dst } else { from };
        let error = answer::error(packet, ip, from, trouble, out)?;
        if self.icmp_limit.as_mut().is_some_and(|limit| !limit.allows(out.now)) {
            out.recycle(error);
            return None;
        }
        self.originate(error, out)
    }
}

/// Sends an IPv4 packet in fragments of at most `mtu` bytes (RFC 791 §3.2).
fn cut(packet: &[u8], ip: &Ip, mtu: usize, to: usize, out: &mut Outbox) {
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
        wire::seal_ipv4(&mut part, ip.l3);
        out.send(to, part);
        at = end;
    }
}
