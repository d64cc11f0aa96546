//! A router: forwards, counts TTLs down, and says why when it cannot.

use super::answer::{self, Services};
use super::balance::Dice;
use super::fib::{Fib, Known, QuickMap};
use super::fragment::fragment;
use super::icmp::{Asker, Errors, Refusal, Sender};
use super::nat::Nat;
use super::outbox::Outbox;
use super::wire::{ETH, Ip};
use super::{Balance, RouterOptions};
use crate::backend::filter::covers;
use crate::proto::respond::IcmpError;
use crate::proto::{Headers, IpProto, MacAddr, TcpFlags, TcpView, checksum};
use std::net::IpAddr;

/// One of a router's interfaces.
pub(super) struct Interface {
    pub(super) mac: MacAddr,
    pub(super) addresses: Vec<(IpAddr, u8)>,
    pub(super) mtu: u32,
    /// Packets over the MTU that may not be cut are dropped without a word.
    pub(super) black_hole: bool,
    /// Who else is on the link, as ARP and neighbour discovery would find out.
    pub(super) neighbours: QuickMap<IpAddr, MacAddr>,
    /// What leaves here gets this interface's IPv4 address as its source.
    pub(super) nat: Option<Nat>,
}

/// A neighbour to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    address: IpAddr,
    /// By which interface, and its Ethernet address, once that is known.
    at: Option<(usize, MacAddr)>,
}

impl From<IpAddr> for Hop {
    fn from(address: IpAddr) -> Self {
        Self { address, at: None }
    }
}

/// What happens to packets for a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// To one of these neighbours (ECMP).
    Via {
        hops: Vec<Hop>,
        /// `None`: as the router does by itself.
        balance: Option<Balance>,
        /// The one that was taken last, where they take turns.
        turn: usize,
    },
    Refuse(IcmpError),
    /// Dropped without a word.
    Drop,
}

impl From<Refusal> for Action {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unreachable => Self::Refuse(IcmpError::HostUnreachable),
            Refusal::Prohibited => Self::Refuse(IcmpError::Prohibited),
            Refusal::TooBig(mtu) => Self::Refuse(IcmpError::PacketTooBig(mtu)),
            Refusal::BlackHole => Self::Drop,
        }
    }
}

/// A router.
pub(super) struct Router {
    pub(super) interfaces: Vec<Interface>,
    pub(super) routes: Vec<((IpAddr, u8), Action)>,
    pub(super) errors: Errors,
    balance: Balance,
    deaf: bool,
    drop_bare_syn: bool,
    ttl: u8,
    dice: Dice,
    fib: Fib,
}

/// Why a packet cannot go on; `None`: nobody is told.
type Stop = Option<IcmpError>;

impl Router {
    pub(super) fn new(options: RouterOptions, dice: Dice) -> Self {
        let RouterOptions { balance, deaf, drop_bare_syn, ttl, .. } = options;
        Self {
            interfaces: Vec::new(),
            routes: Vec::new(),
            errors: Errors::new(options),
            balance,
            deaf,
            drop_bare_syn,
            ttl,
            dice,
            fib: Fib::default(),
        }
    }

    /// Makes the table of networks and routes. Interfaces, neighbours and routes are complete.
    pub(super) fn compile(&mut self) {
        let Self { interfaces, routes, fib, .. } = self;
        *fib = Fib::default();
        for (at, interface) in interfaces.iter().enumerate() {
            for &(address, len) in interface.addresses.iter().filter(|(_, len)| *len > 0) {
                fib.insert((address, len), Known::Link(at));
            }
        }
        for (at, (prefix, action)) in routes.iter_mut().enumerate() {
            fib.insert(*prefix, Known::Route(at));
            if let Action::Via { hops, .. } = action {
                for hop in hops {
                    hop.at = neighbour(interfaces, hop.address);
                }
            }
        }
        for (own, _) in interfaces.iter().flat_map(|interface| &interface.addresses) {
            fib.insert((*own, if own.is_ipv4() { 32 } else { 128 }), Known::Own);
        }
    }

    /// A neighbour has another Ethernet address.
    pub(super) fn neighbour_moved(&mut self, old: MacAddr, new: MacAddr) {
        let known = self.interfaces.iter_mut().flat_map(|own| own.neighbours.values_mut());
        let hops = self.routes.iter_mut().flat_map(|(_, action)| match action {
            Action::Via { hops, .. } => hops.as_mut_slice(),
            _ => &mut [],
        });
        let hops = hops.filter_map(|hop| hop.at.as_mut()).map(|(_, mac)| mac);
        known.chain(hops).filter(|mac| **mac == old).for_each(|mac| *mac = new);
    }

    pub(super) fn receive(&mut self, at: usize, mut packet: Vec<u8>, out: &mut Outbox) {
        self.handle(at, &mut packet, out);
        out.recycle(packet);
    }

    fn handle(&mut self, at: usize, packet: &mut Vec<u8>, out: &mut Outbox) -> Option<()> {
        let interface = self.interfaces.get(at)?;
        let (dst, src) =
            (MacAddr(*packet.first_chunk()?), MacAddr(*packet.get(6..)?.first_chunk()?));
        if dst != interface.mac && !dst.is_multicast() {
            return None;
        }
        // A packet whose transport header is broken is forwarded like any other.
        if answer::may_resolve(packet)
            && let Ok(headers) = Headers::parse(packet)
        {
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
        let known = self.fib.get(ip.dst);
        if known != Some(Known::Own) {
            return self.forward(at, packet, &ip, known, out);
        }
        if self.interfaces[at].nat.as_ref().is_some_and(|nat| nat.back(packet)) {
            let ip = Ip::of_frame(packet)?;
            let known = self.fib.get(ip.dst);
            return self.forward(at, packet, &ip, known, out);
        }
        if self.deaf {
            return None;
        }
        let headers = Headers::parse(packet).ok()?;
        if ip.proto == IpProto::UDP {
            headers.verify_checksums(packet).then_some(())?;
            return self.complain(at, packet, ip.dst, IcmpError::PortUnreachable, out);
        }
        let mac = self.interfaces[at].mac;
        let mut answer = answer::service(packet, &headers, mac, &Services::default(), out)?;
        answer::set_ttl(&mut answer, self.ttl);
        self.originate(answer, 0, out)
    }

    /// A sender on the link is a neighbour from now on.
    fn learn(&mut self, at: usize, ip: &Ip, mac: MacAddr) {
        let interface = &mut self.interfaces[at];
        if interface.addresses.iter().any(|&(own, len)| covers((own, len), ip.src)) {
            interface.neighbours.entry(ip.src).or_insert(mac);
        }
    }

    /// Sends a packet on, by what the table knows of its destination.
    fn forward(
        &mut self,
        at: usize,
        packet: &mut Vec<u8>,
        ip: &Ip,
        known: Option<Known>,
        out: &mut Outbox,
    ) -> Option<()> {
        if ip.ttl <= 1 {
            return self.report(at, packet, ip, IcmpError::TimeExceeded, out);
        }
        if self.drop_bare_syn && is_bare_syn(packet, ip) {
            return None;
        }
        let (to, mac) = match self.next_hop(packet, ip, known) {
            Ok(hop) => hop,
            Err(None) => return None,
            Err(Some(trouble)) => return self.report(at, packet, ip, trouble, out),
        };
        let Interface { mtu, black_hole, .. } = self.interfaces[to];
        let too_long = packet.len() - ip.l3 > mtu as usize;
        let may_cut = ip.src.is_ipv4() && packet[ip.l3 + 6] & 0x40 == 0;
        if too_long && !may_cut {
            if black_hole {
                return None;
            }
            return self.report(at, packet, ip, IcmpError::PacketTooBig(mtu as u16), out);
        }
        count_down(packet, ip)?;
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
            fragment(packet, ip, mtu as usize, to, out);
        } else {
            out.send(to, std::mem::take(packet));
        }
        None
    }

    /// Interface and address of the next hop of a packet whose header is `ip`, by what the table
    /// knows of its destination.
    fn next_hop(
        &mut self,
        packet: &[u8],
        ip: &Ip,
        known: Option<Known>,
    ) -> Result<(usize, MacAddr), Stop> {
        let Self { interfaces, routes, dice, balance: usual, .. } = self;
        let route = match known {
            None => return Err(Some(IcmpError::NetUnreachable)),
            Some(Known::Own) => return Err(None),
            Some(Known::Link(to)) => {
                let mac = interfaces[to].neighbours.get(&ip.dst);
                return mac.map(|&mac| (to, mac)).ok_or(Some(IcmpError::HostUnreachable));
            }
            Some(Known::Route(at)) => &mut routes[at].1,
        };
        match route {
            Action::Drop => Err(None),
            Action::Refuse(trouble) => Err(Some(*trouble)),
            Action::Via { hops, balance, turn } => {
                let pick = match hops.len() {
                    0 => return Err(Some(IcmpError::NetUnreachable)),
                    1 => 0,
                    n => dice.pick(balance.unwrap_or(*usual), n, turn, packet, ip),
                };
                let Hop { address, at } = hops[pick];
                at.or_else(|| neighbour(interfaces, address))
                    .ok_or(Some(IcmpError::HostUnreachable))
            }
        }
    }

    /// Sends a packet of our own, after `hold` ns.
    fn originate(&mut self, mut packet: Vec<u8>, hold: u64, out: &mut Outbox) -> Option<()> {
        let ip = Ip::of_frame(&packet)?;
        let known = self.fib.get(ip.dst);
        match self.next_hop(&packet, &ip, known) {
            Ok((to, mac)) => {
                answer::set_addresses(&mut packet, mac, self.interfaces[to].mac);
                out.send_later(to, hold, packet);
            }
            Err(_) => out.recycle(packet),
        }
        None
    }

    /// Tells the sender, from the address of the interface that the packet came in by.
    fn report(
        &mut self,
        at: usize,
        packet: &[u8],
        ip: &Ip,
        trouble: IcmpError,
        out: &mut Outbox,
    ) -> Option<()> {
        let same_family = |&&(own, _): &&(IpAddr, u8)| own.is_ipv4() == ip.src.is_ipv4();
        let (from, _) = *self.interfaces.get(at)?.addresses.iter().find(same_family)?;
        self.complain(at, packet, from, trouble, out)
    }

    /// Tells the sender from this address.
    fn complain(
        &mut self,
        at: usize,
        packet: &[u8],
        address: IpAddr,
        trouble: IcmpError,
        out: &mut Outbox,
    ) -> Option<()> {
        let sender = Sender { address, mac: self.interfaces.get(at)?.mac };
        let asker = Ip::of_frame(packet)?.src;
        let asker = Asker { address: asker, prefix_len: self.fib.prefix_len(asker) };
        let error = self.errors.write(packet, (sender, asker), trouble, out)?;
        let hold = self.errors.hold(&mut self.dice);
        self.originate(error, hold, out)
    }
}

/// Whether this is the first segment of a TCP connection, and has no maximum segment size.
fn is_bare_syn(packet: &[u8], ip: &Ip) -> bool {
    let segment = packet.get(ip.l4..ip.end).filter(|_| ip.first && ip.proto == IpProto::TCP);
    let Some(Ok(tcp)) = segment.map(TcpView::parse) else { return false };
    let opens = tcp.flags().contains(TcpFlags::SYN) && !tcp.flags().contains(TcpFlags::ACK);
    opens && tcp.repr().options.mss.is_none()
}

/// By which interface a neighbour is reached, and its Ethernet address.
fn neighbour(interfaces: &[Interface], address: IpAddr) -> Option<(usize, MacAddr)> {
    let near = |interface: &Interface| {
        interface.addresses.iter().any(|&(own, len)| len > 0 && covers((own, len), address))
    };
    let to = interfaces.iter().position(near)?;
    interfaces[to].neighbours.get(&address).map(|&mac| (to, mac))
}

/// Takes one hop off a packet whose header was checked, and has more than one left.
fn count_down(packet: &mut [u8], ip: &Ip) -> Option<()> {
    if ip.src.is_ipv6() {
        *packet.get_mut(ip.l3 + 7)? -= 1;
        return Some(());
    }
    let header = packet.get_mut(ip.l3..)?.first_chunk_mut::<20>()?;
    let old = u16::from_be_bytes([header[8], header[9]]);
    let sum = u16::from_be_bytes([header[10], header[11]]);
    header[8] -= 1;
    let new = u16::from_be_bytes([header[8], header[9]]);
    header[10..12].copy_from_slice(&checksum::update_u16(sum, old, new).to_be_bytes());
    Some(())
}

/// Whether the IPv4 header checksum is right; IPv6 has none.
fn header_intact(packet: &[u8], ip: &Ip) -> bool {
    let header = packet.get(ip.l3..ip.l3 + usize::from(packet[ip.l3] & 0x0f) * 4);
    ip.src.is_ipv6() || header.is_some_and(|header| checksum::Sum::new().bytes(header).is_valid())
}
