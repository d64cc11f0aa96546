//! A router: forwards, counts TTLs down, and says why when it cannot.

use super::answer;
use super::nat::Nat;
use super::outbox::Outbox;
use super::wire::{self, ETH, Ip};
use crate::backend::filter::covers;
use crate::proto::respond::{self, IcmpError};
use crate::proto::{Headers, Ipv4Mut, Ipv4View, Ipv6Mut, MacAddr, checksum};
use std::collections::HashMap;
use std::net::IpAddr;

/// One of a router's interfaces.
pub(super) struct Interface {
    pub(super) mac: MacAddr,
    pub(super) addresses: Vec<(IpAddr, u8)>,
    pub(super) mtu: u32,
    /// Who else is on the link, as ARP and neighbour discovery would find out.
    pub(super) neighbours: HashMap<IpAddr, MacAddr>,
    /// What leaves here gets this interface's IPv4 address as its source.
    pub(super) nat: Option<Nat>,
}

/// What happens to packets for a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// To one of these neighbours, by flow (ECMP).
    Via(Vec<IpAddr>),
    Refuse(IcmpError),
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
        let (dst, src) =
            (MacAddr(*packet.first_chunk()?), MacAddr(*packet.get(6..)?.first_chunk()?));
        if dst != interface.mac && !dst.is_multicast() {
            return None;
        }
        // A packet whose transport header is broken is forwarded like any other.
        if let Ok(headers) = Headers::parse(packet) {
            let owned = |a: IpAddr| interface.addresses.iter().any(|&(own, _)| own == a);
            if let Some(it) = answer::resolution(packet, &headers, interface.mac, owned, out) {
                out.send(at, it);
                return None;
            }
        }
        let ip = Ip::of_frame(packet).filter(|ip| ip.l3 == ETH)?;
        if dst.is_multicast() || ip.dst.is_multicast() || !header_intact(packet, &ip) {
            return None;
        }
        self.learn(at, &ip, src);
        if !self.owns(ip.dst) {
            return self.forward(at, packet, &ip, out);
        }
        if self.interfaces[at].nat.as_ref().is_some_and(|nat| nat.back(packet)) {
            let ip = Ip::of_frame(packet)?;
            return self.forward(at, packet, &ip, out);
        }
        let headers = Headers::parse(packet).ok()?;
        let mac = self.interfaces[at].mac;
        let answer = answer::service(packet, &headers, mac, &[], out)?;
        self.originate(answer, out)
    }

    /// A sender on the link is a neighbour from now on.
    fn learn(&mut self, at: usize, ip: &Ip, mac: MacAddr) {
        let interface = &mut self.interfaces[at];
        if interface.addresses.iter().any(|&(own, len)| covers((own, len), ip.src)) {
            interface.neighbours.entry(ip.src).or_insert(mac);
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
            return self.complain(at, packet, ip, IcmpError::TimeExceeded, out);
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
            let trouble = IcmpError::PacketTooBig(mtu as u16);
            return self.complain(at, packet, ip, trouble, out);
        }
        let header = packet.get_mut(ip.l3..)?;
        if ip.src.is_ipv4() {
            Ipv4Mut::parse(header).ok()?.decrement_ttl()?;
        } else {
            Ipv6Mut::parse(header).ok()?.decrement_hop_limit()?;
        }
        let interface = &mut self.interfaces[to];
        if let (Some(nat), IpAddr::V4(_)) = (&mut interface.nat, ip.src) {
            let own = interface.addresses.iter().find_map(|&(own, _)| match own {
                IpAddr::V4(own) => Some(own),
                IpAddr::V6(_) => None,
            })?;
            if !nat.out(packet, own) {
                return None;
            }
        }
        answer::set_addresses(packet, mac, interface.mac);
        if too_long {
            cut(packet, ip, mtu, to, out);
        } else {
            out.send(to, std::mem::take(packet));
        }
        None
    }

    /// Interface and address of the next hop towards `dst`.
    fn next_hop(&self, packet: &[u8], dst: IpAddr) -> Result<(usize, MacAddr), Option<IcmpError>> {
        let on_link = |dst: IpAddr| {
            self.interfaces.iter().position(|interface| {
                interface.addresses.iter().any(|&(own, len)| len > 0 && covers((own, len), dst))
            })
        };
        let resolve = |to: usize, hop: IpAddr| {
            let mac = self.interfaces[to].neighbours.get(&hop);
            mac.map(|&mac| (to, mac)).ok_or(Some(IcmpError::HostUnreachable))
        };
        if let Some(to) = on_link(dst) {
            return resolve(to, dst);
        }
        let best = self.routes.iter().filter(|(prefix, _)| covers(*prefix, dst));
        match best.max_by_key(|(prefix, _)| prefix.1) {
            None => Err(Some(IcmpError::NetUnreachable)),
            Some((_, Action::Drop)) => Err(None),
            Some((_, Action::Refuse(trouble))) => Err(Some(*trouble)),
            Some((_, Action::Via(hops))) => {
                let pick = match hops.len() {
                    0 => return Err(Some(IcmpError::NetUnreachable)),
                    1 => 0,
                    n => wire::flow_hash(packet) as usize % n,
                };
                let hop = hops[pick];
                resolve(on_link(hop).ok_or(Some(IcmpError::HostUnreachable))?, hop)
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
        trouble: IcmpError,
        out: &mut Outbox,
    ) -> Option<()> {
        let same_family = |&&(own, _): &&(IpAddr, u8)| own.is_ipv4() == ip.src.is_ipv4();
        let (from, _) = *self.interfaces.get(at)?.addresses.iter().find(same_family)?;
        let mac = self.interfaces[at].mac;
        let error = out.write(|to| respond::icmp_error(to, packet, from, mac, trouble))?;
        if self.icmp_limit.as_mut().is_some_and(|limit| !limit.allows(out.now)) {
            out.recycle(error);
            return None;
        }
        self.originate(error, out)
    }
}

/// Whether the IPv4 header checksum is right; IPv6 has none.
fn header_intact(packet: &[u8], ip: &Ip) -> bool {
    ip.src.is_ipv6()
        || packet
            .get(ip.l3..)
            .and_then(|header| Ipv4View::parse(header).ok())
            .is_some_and(|header| header.verify_checksum())
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
        seal(&mut part[ip.l3..ip.l4]);
        out.send(to, part);
        at = end;
    }
}

/// Writes the checksum of an IPv4 header.
fn seal(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum::of(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
