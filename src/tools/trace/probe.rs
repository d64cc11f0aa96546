//! The probes to one target, ready but for their numbers.
//!
//! ```text
//!            flow                     number                                kept the same
//! UDP  paris   source port              checksum, IPv4 identification         ports
//!      dublin  source port              IPv4 identification, payload          ports, checksum
//!      classic source port              destination port, identification
//! TCP  paris   source port              upper half of the sequence number     ports
//!      classic (one)                    source port, sequence number
//! ICMP paris   identifier, checksum     sequence number                       checksum
//!      classic identifier               sequence number
//! UDP and ICMP payload: compensation · number · flow · zeros
//! ```
//!
//! Invariant: with paris and dublin, whatever a per-flow balancer hashes (addresses, protocol,
//! ports, ICMP checksum, TOS, IPv6 flow label) is the same for all numbers and sizes of a flow, and
//! differs between flows.

use super::plan::{Protocol, Strategy};
use crate::backend::Match;
use crate::proto::checksum::Sum;
use crate::proto::vlan::TAG_LEN;
use crate::proto::{
    ETHERNET_LEN, EtherType, ICMP_LEN, IPV4_LEN, IPV6_LEN, Icmpv4Kind, Icmpv6Kind, IpPair, IpProto,
    Ipv4Repr, Ipv6Repr, MacAddr, TCP_LEN, TcpFlags, UDP_LEN,
};
use crate::tools::net::journey::Link;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Longest headers that are copied: Ethernet, two tags, IPv6.
const MAX_HEAD: usize = ETHERNET_LEN + 2 * TAG_LEN + IPV6_LEN;
/// Compensation, number and flow, at the front of UDP and ICMP payloads.
const MARKS_LEN: usize = 6;
/// Above the ports that Linux gives to sockets (32768 to 60999, unless it is told otherwise).
const FIRST_PORT: u16 = 61_000;
/// First identifier or port on the simulated network, where two runs are to be alike.
const SIMULATED_BASE: u16 = 61_440;
/// Source addresses that get filter rows of their own; beyond that, rows are for all addresses.
const MAX_SOURCES: usize = 8;
/// Window of a SYN: any but 0 will do.
const WINDOW: u16 = 1024;
/// TTL of resets, which are to get there.
const FAR: u8 = 64;
/// Data that a SYN-ACK to a SYN with data need not acknowledge: up to jumbo frames.
const LONGEST_DATA: u32 = 9216;

/// What the probes of a run have in common, and by which their answers are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) protocol: Protocol,
    pub(super) strategy: Strategy,
    /// Source port or ICMP identifier of flow 0; flow `f` has `base + f`.
    pub(super) base: u16,
    /// How many source ports or identifiers are ours, from `base` on.
    pub(super) span: u16,
    /// Destination port (UDP, TCP); with the classic strategy and UDP that of the first probe.
    pub(super) port: u16,
    /// What nobody else knows: half of each TCP sequence number depends on it.
    pub(super) key: u64,
}

/// What differs from probe to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// TTL or hop limit.
    pub(super) ttl: u8,
    /// Below [`Identity::span`].
    pub(super) flow: u16,
    /// Tells the probes of a target apart; never 0.
    pub(super) number: u16,
    /// Length of the IP packet.
    pub(super) size: u16,
}

impl Identity {
    /// Of a new run, with ports or identifiers that no other run has at the same time, as far as
    /// chance can tell.
    pub(super) fn new(
        protocol: Protocol,
        strategy: Strategy,
        port: u16,
        span: u16,
        simulated: bool,
    ) -> Self {
        let key = if simulated { 0 } else { RandomState::new().build_hasher().finish() };
        let base = choose_base(protocol, span, simulated);
        Self { protocol, strategy, base, span: span.max(1), port, key }
    }

    /// The source ports or identifiers that are ours.
    pub(super) fn range(&self) -> RangeInclusive<u16> {
        self.base..=self.base.saturating_add(self.span.saturating_sub(1))
    }

    /// The flow with this source port or identifier; `None` if it is not ours.
    pub(super) fn flow_of(&self, port: u16) -> Option<u16> {
        self.range().contains(&port).then(|| port - self.base)
    }

    /// Whether every probe has a source port of its own.
    pub(super) fn varies_source(&self) -> bool {
        (self.protocol, self.strategy) == (Protocol::Tcp, Strategy::Classic)
    }

    /// Source port or identifier of a probe.
    pub(super) fn source(&self, flow: u16, number: u16) -> u16 {
        let by = if self.varies_source() { number % self.span.max(1) } else { flow };
        self.base.wrapping_add(by)
    }

    fn varies_port(&self) -> bool {
        (self.protocol, self.strategy) == (Protocol::Udp, Strategy::Classic)
    }

    /// Destination port of a probe: traceroute's, one more for each, from 65535 on to 1.
    pub(super) fn port_of(&self, number: u16) -> u16 {
        if !self.varies_port() {
            return self.port;
        }
        let port = u32::from(self.port.saturating_sub(1)) + u32::from(number.saturating_sub(1));
        (port % 65_535) as u16 + 1
    }

    /// Whether a probe can have this destination port, and its number where that is in there.
    pub(super) fn number_of(&self, port: u16) -> Option<Option<u16>> {
        if !self.varies_port() {
            return (port == self.port).then_some(None);
        }
        let ahead = u32::from(port.checked_sub(1)?) + 65_535 - u32::from(self.port.max(1) - 1);
        Some(Some((ahead % 65_535) as u16 + 1))
    }

    /// The checksum of all probes of a flow, where it is kept: never one of the two zeros.
    pub(super) fn checksum(&self, flow: u16) -> u16 {
        self.base.wrapping_add(flow)
    }

    /// Never 0, and another one for each flow: an odd factor has an inverse.
    fn flow_label(&self, flow: u16) -> u32 {
        u32::from(self.base.wrapping_add(flow)).wrapping_mul(0x000c_a4ed) & 0x000f_ffff
    }

    fn target_key(&self, target: IpAddr) -> u64 {
        let bits = match target {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        mix(mix(self.key ^ (bits >> 64) as u64) ^ bits as u64)
    }

    /// What a SYN to `target` ends in when all of its data counts: the number and the token.
    fn end_of(number: u16, token: u16) -> u32 {
        u32::from(number) << 16 | u32::from(token)
    }

    /// The number of a SYN that is quoted with sequence number `seq` and `data` bytes.
    pub(super) fn number_of_syn(
        &self,
        target: IpAddr,
        flow: u16,
        seq: u32,
        data: u32,
    ) -> Option<u16> {
        let ahead =
            seq.wrapping_add(data).wrapping_sub(token(self.target_key(target), flow).into());
        (ahead & 0xffff == 0).then_some((ahead >> 16) as u16).filter(|&number| number != 0)
    }

    /// The number of the SYN that is acknowledged by `ack`, with or without its data.
    pub(super) fn number_of_ack(&self, target: IpAddr, flow: u16, ack: u32) -> Option<u16> {
        let end = ack.wrapping_sub(1);
        let behind = Self::end_of(0, token(self.target_key(target), flow)).wrapping_sub(end);
        // Resets acknowledge data, which ends where the number says; most SYN-ACKs do not.
        let data = behind & 0xffff;
        let number = (data.wrapping_sub(behind) >> 16) as u16;
        (data <= LONGEST_DATA && number != 0).then_some(number)
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// The half of a sequence number that a forger does not know.
fn token(target_key: u64, flow: u16) -> u16 {
    (mix(target_key.wrapping_add(u64::from(flow))) >> 48) as u16
}

/// The first of `span` source ports or identifiers. Ports are above those of the kernel's own
/// sockets, so that answers to these are never taken away from them.
pub(super) fn choose_base(protocol: Protocol, span: u16, simulated: bool) -> u16 {
    let first = if protocol == Protocol::Icmp { 1 } else { FIRST_PORT };
    // 65535 is left out: as a checksum it would be the other zero.
    let last = u16::MAX.saturating_sub(span.max(1)).max(first);
    if simulated {
        return SIMULATED_BASE.min(last);
    }
    let wish = RandomState::new().build_hasher().finish();
    first + (wish % (u64::from(last - first) + 1)) as u16
}

/// Headers of the probes to one target, and the sums of what never changes.
#[derive(Clone, Debug)]
pub(super) struct Template {
    identity: Identity,
    head: [u8; MAX_HEAD],
    l3: u8,
    l4: u8,
    v4: bool,
    /// Of the IPv4 header.
    ip: Sum,
    /// Of the pseudo-header without length; of nothing for ICMPv4.
    pseudo: Sum,
    target_key: u64,
}

impl Template {
    /// The probes from `source` to `target` over `link`; `None` only if these are of two families.
    ///
    /// All IPv4 probes have DF set: nothing is gained by fragments, whose later pieces have no
    /// ports and so may take another path, and a router that cannot forward one says so.
    pub(super) fn new(
        link: &Link,
        next_hop: MacAddr,
        source: IpAddr,
        target: IpAddr,
        tos: u8,
        identity: Identity,
    ) -> Option<Self> {
        let pair = IpPair::new(source, target)?;
        let v4 = pair.is_v4();
        let proto = ip_proto(identity.protocol, v4);
        let mut head = [0; MAX_HEAD];
        let ether_type = if v4 { EtherType::IPV4 } else { EtherType::IPV6 };
        let l3 = link.emit(next_hop, ether_type, &mut head)?;
        let ip = head.get_mut(l3..)?;
        let header = match pair {
            IpPair::V4 { src, dst } => {
                Ipv4Repr { ttl: 0, tos, ..Ipv4Repr::new(src, dst, proto) }.emit(0, ip)?
            }
            IpPair::V6 { src, dst } => {
                let repr = Ipv6Repr::new(src, dst, proto);
                Ipv6Repr { hop_limit: 0, traffic_class: tos, ..repr }.emit(0, ip)?
            }
        };
        if v4 {
            put(ip, 2, 0);
            put(ip, 10, 0);
        }
        let ip = Sum::new().bytes(ip.get(..header)?);
        let bare = proto == IpProto::ICMP;
        let pseudo = if bare { Sum::new() } else { pair.pseudo_sum(proto, 0) };
        let target_key = identity.target_key(target);
        let (l3, l4) = (l3 as u8, (l3 + header) as u8);
        Some(Self { identity, head, l3, l4, v4, ip, pseudo, target_key })
    }

    /// Length of the shortest probe's IP packet.
    pub(super) fn min_size(&self) -> u16 {
        min_size(self.identity.protocol, self.v4)
    }

    /// Length of a probe's frame, whose IP packet is to have `size` bytes.
    pub(super) fn frame_len(&self, size: u16) -> usize {
        usize::from(self.l3) + usize::from(size.max(self.min_size()))
    }

    /// Writes a probe into `to`, which is as long as [`frame_len`](Self::frame_len) says.
    pub(super) fn write(&self, numbers: Numbers, to: &mut [u8]) {
        let Numbers { ttl, flow, number, size } = numbers;
        let size = size.max(self.min_size());
        let Some(body) = self.headers(to, size, ttl, flow, number) else { return };
        let len = body.len() as u16;
        body.fill(0);
        let id = &self.identity;
        let source = id.source(flow, number);
        if id.protocol == Protocol::Tcp {
            let token = token(self.target_key, flow);
            let data = u32::from(len.saturating_sub(TCP_LEN as u16));
            let seq = Identity::end_of(number, token).wrapping_sub(data);
            return self.tcp(body, source, seq, TcpFlags::SYN);
        }
        let words = if id.protocol == Protocol::Udp {
            [source, id.port_of(number), len]
        } else {
            let kind =
                if self.v4 { Icmpv4Kind::ECHO_REQUEST.0 } else { Icmpv6Kind::ECHO_REQUEST.0 };
            [u16::from(kind) << 8, source, number]
        };
        // The pseudo-header's length; ICMP for IPv4 has none.
        let length = if self.v4 && id.protocol == Protocol::Icmp { 0 } else { len };
        let sum = words.iter().fold(self.pseudo.u16(length), |sum, word| sum.u16(*word));
        let sum = sum.u16(number).u16(flow);
        let wanted = match (id.strategy, id.protocol) {
            (Strategy::Classic, _) => None,
            (Strategy::Paris, Protocol::Udp) => Some(number),
            _ => Some(id.checksum(flow)),
        };
        // One word of payload makes any checksum come true.
        let (checksum, compensation) = match wanted {
            Some(checksum) => (checksum, sum.u16(checksum).finish()),
            // For UDP 0 means that there is none.
            None => match sum.finish() {
                0 if id.protocol == Protocol::Udp => (u16::MAX, 0),
                checksum => (checksum, 0),
            },
        };
        let [a, b, c] = words;
        let words = match id.protocol {
            Protocol::Icmp => [a, checksum, b, c],
            _ => [a, b, c, checksum],
        };
        for (at, word) in words.into_iter().chain([compensation, number, flow]).enumerate() {
            put(body, 2 * at, word);
        }
    }

    /// Length of the frame that [`rst`](Self::rst) writes.
    pub(super) fn rst_len(&self) -> usize {
        usize::from(self.l4) + TCP_LEN
    }

    /// Writes the reset to a SYN-ACK that acknowledges `ack`, into `to`, which is as long as
    /// [`rst_len`](Self::rst_len) says: no half-open connection stays.
    pub(super) fn rst(&self, flow: u16, number: u16, ack: u32, to: &mut [u8]) {
        let size = self.rst_len() - usize::from(self.l3);
        let Some(body) = self.headers(to, size as u16, FAR, flow, number) else { return };
        body.fill(0);
        self.tcp(body, self.identity.source(flow, number), ack, TcpFlags::RST);
    }

    /// Writes all up to the transport header; returns what is behind.
    fn headers<'a>(
        &self,
        to: &'a mut [u8],
        size: u16,
        ttl: u8,
        flow: u16,
        ident: u16,
    ) -> Option<&'a mut [u8]> {
        let (l3, l4) = (usize::from(self.l3), usize::from(self.l4));
        let frame = to.get_mut(..l3 + usize::from(size))?;
        let (head, body) = frame.split_at_mut_checked(l4)?;
        head.copy_from_slice(self.head.get(..l4)?);
        let ip = head.get_mut(l3..)?;
        if self.v4 {
            put(ip, 2, size);
            put(ip, 4, ident);
            *ip.get_mut(8)? = ttl;
            put(ip, 10, self.ip.u16(size).u16(ident).u16(u16::from(ttl) << 8).finish());
        } else {
            let first: &mut [u8; 4] = ip.first_chunk_mut()?;
            let label = self.identity.flow_label(flow);
            *first = (u32::from_be_bytes(*first) | label).to_be_bytes();
            put(ip, 4, size.saturating_sub(IPV6_LEN as u16));
            *ip.get_mut(7)? = ttl;
        }
        Some(body)
    }

    /// Writes a TCP header without options in front of zeros.
    fn tcp(&self, body: &mut [u8], source: u16, seq: u32, flags: TcpFlags) {
        let control = (TCP_LEN as u16 / 4) << 12 | u16::from(flags.0);
        let port = self.identity.port;
        let sum = self.pseudo.u16(body.len() as u16).u16(source).u16(port).u32(seq);
        let sum = sum.u16(control).u16(WINDOW).finish();
        let words = [source, port, (seq >> 16) as u16, seq as u16, 0, 0, control, WINDOW, sum];
        for (at, word) in words.into_iter().enumerate() {
            put(body, 2 * at, word);
        }
    }
}

/// Length of the shortest probe's IP packet: the headers, and the marks of UDP and ICMP.
pub(super) fn min_size(protocol: Protocol, v4: bool) -> u16 {
    let ip = if v4 { IPV4_LEN } else { IPV6_LEN };
    let behind = match protocol {
        Protocol::Udp => UDP_LEN + MARKS_LEN,
        Protocol::Tcp => TCP_LEN,
        Protocol::Icmp => ICMP_LEN + MARKS_LEN,
    };
    (ip + behind) as u16
}

fn put(to: &mut [u8], at: usize, value: u16) {
    if let Some(to) = to.get_mut(at..at + 2) {
        to.copy_from_slice(&value.to_be_bytes());
    }
}

/// The IP protocol of probes.
pub(super) fn ip_proto(protocol: Protocol, v4: bool) -> IpProto {
    match protocol {
        Protocol::Udp => IpProto::UDP,
        Protocol::Tcp => IpProto::TCP,
        Protocol::Icmp if v4 => IpProto::ICMP,
        Protocol::Icmp => IpProto::ICMPV6,
    }
}

/// The rows of the XDP filter for answers to probes from `sources`; everything else goes on to the
/// kernel. What errors quote is not asked for its addresses: a NAT may have changed them.
pub(super) fn rows(identity: &Identity, sources: &[IpAddr]) -> Vec<Match> {
    let mut own: Vec<IpAddr> = Vec::new();
    for source in sources {
        if !own.contains(source) {
            own.push(*source);
        }
    }
    let families = [true, false].into_iter().filter_map(|v4| {
        let first = own.iter().find(|source| source.is_ipv4() == v4)?;
        Some((*first, 0))
    });
    let families: Vec<_> = families.collect();
    let quoted = families.iter().map(|(source, _)| probe_row(identity, source.is_ipv4()));
    let exact = |source: &IpAddr| (*source, if source.is_ipv4() { 32 } else { 128 });
    let prefixes =
        if own.len() > MAX_SOURCES { families.clone() } else { own.iter().map(exact).collect() };
    let answers = prefixes.into_iter().map(|prefix| answer_row(identity, prefix));
    // UDP and TCP have the same number in both families.
    let mut rows: Vec<Match> = Vec::new();
    for row in quoted.chain(answers) {
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}

/// The datagram that errors about our probes quote.
fn probe_row(identity: &Identity, v4: bool) -> Match {
    let ip_proto = Some(ip_proto(identity.protocol, v4).0);
    let row = Match { ip_proto, quoted: true, ..Match::default() };
    if identity.protocol == Protocol::Icmp {
        let kind = if v4 { Icmpv4Kind::ECHO_REQUEST.0 } else { Icmpv6Kind::ECHO_REQUEST.0 };
        return Match { icmp_type: Some(kind), icmp_id: Some(identity.range()), ..row };
    }
    Match { src_ports: Some(identity.range()), dst_ports: ports(identity), ..row }
}

/// What targets themselves answer to one of our addresses.
fn answer_row(identity: &Identity, prefix: (IpAddr, u8)) -> Match {
    let v4 = prefix.0.is_ipv4();
    let ip_proto = Some(ip_proto(identity.protocol, v4).0);
    let row = Match { ip_proto, dst: Some(prefix), ..Match::default() };
    if identity.protocol == Protocol::Icmp {
        let kind = if v4 { Icmpv4Kind::ECHO_REPLY.0 } else { Icmpv6Kind::ECHO_REPLY.0 };
        return Match { icmp_type: Some(kind), icmp_id: Some(identity.range()), ..row };
    }
    Match { src_ports: ports(identity), dst_ports: Some(identity.range()), ..row }
}

/// Ports that are probed; `None` for all.
fn ports(identity: &Identity) -> Option<RangeInclusive<u16>> {
    (!identity.varies_port()).then_some(identity.port..=identity.port)
}
