//! The probes to one target, ready but for their numbers.
//!
//! ```text
//!            flow                     number                                kept the same
//! UDP  paris   source port              checksum, IPv4 identification         ports
//!      dublin  source port              IPv4 identification, payload          ports, checksum
//!      classic source port              identification, payload; its place among
//!                                       the destination ports
//! TCP  paris   source port              half of the sequence number           ports
//!      classic (one)                    source port, sequence number
//! ICMP paris   identifier, checksum     sequence number                       checksum
//!      classic identifier               sequence number
//! UDP and ICMP payload: compensation · number · flow · zeros; ICMP has the run's token before the zeros
//! ```
//!
//! Invariant: with paris and dublin, whatever a per-flow balancer hashes (addresses, protocol,
//! ports, ICMP checksum, TOS, IPv6 flow label) is the same for all numbers and sizes of a flow, and
//! differs between flows.

pub(super) use super::identity::{Identity, rows};
use super::identity::{SYN_LEN, ip_proto, tcp_clock, token};
use super::plan::{Protocol, Strategy};
use crate::proto::checksum::Sum;
use crate::proto::vlan::TAG_LEN;
use crate::proto::{
    ETHERNET_LEN, EtherType, ICMP_LEN, IPV4_LEN, IPV6_LEN, Icmpv4Kind, Icmpv6Kind, IpPair, IpProto,
    Ipv4Repr, Ipv6Repr, MacAddr, TCP_LEN, TcpFlags, UDP_LEN,
};
use crate::tools::probe::Link;
use std::net::IpAddr;

/// Longest headers that are copied: Ethernet, two tags, IPv6.
const MAX_HEAD: usize = ETHERNET_LEN + 2 * TAG_LEN + IPV6_LEN;
/// Compensation, number and flow, at the front of UDP and ICMP payloads.
const MARKS_LEN: usize = 6;
/// The token behind them in ICMP payloads.
const TOKEN_LEN: usize = 2;
/// Window of a SYN, as Linux has it.
const WINDOW: u16 = 64_240;
/// Kinds and lengths of the options of a SYN, in the order of Linux: MSS, SACK permitted,
/// timestamps (both on their words), a NOP and the window's scale.
const MSS_OPTION: u16 = 2 << 8 | 4;
const SACK_OPTION: u16 = 4 << 8 | 2;
const TIMES_OPTION: u16 = 8 << 8 | 10;
const SCALE_OPTION: [u16; 2] = [1 << 8 | 3, 3 << 8 | 7];
/// TTL of resets, which are to get there.
const FAR: u8 = 64;

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
    /// The longest segment that our link takes.
    mss: u16,
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
        let mtu = u16::try_from(link.interface.mtu).unwrap_or(u16::MAX);
        let mss = mtu.saturating_sub((header + TCP_LEN) as u16);
        let (l3, l4) = (l3 as u8, (l3 + header) as u8);
        Some(Self { identity, head, l3, l4, v4, ip, pseudo, target_key, mss })
    }

    /// The same with other probes between the same hosts.
    pub(super) fn with(&self, identity: Identity, source: IpAddr, target: IpAddr) -> Option<Self> {
        let pair = IpPair::new(source, target)?;
        let proto = ip_proto(identity.protocol, self.v4);
        let (l3, l4) = (usize::from(self.l3), usize::from(self.l4));
        let mut head = self.head;
        *head.get_mut(l3 + if self.v4 { 9 } else { 6 })? = proto.0;
        let ip = Sum::new().bytes(head.get(l3..l4)?);
        let bare = proto == IpProto::ICMP;
        let pseudo = if bare { Sum::new() } else { pair.pseudo_sum(proto, 0) };
        Some(Self { identity, head, ip, pseudo, ..self.clone() })
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
            return self.syn(body, source, &numbers);
        }
        let icmp_names = if id.protocol == Protocol::Udp {
            [source, id.port_of(number), len]
        } else {
            let kind =
                if self.v4 { Icmpv4Kind::ECHO_REQUEST.0 } else { Icmpv6Kind::ECHO_REQUEST.0 };
            [u16::from(kind) << 8, source, number]
        };
        // The pseudo-header's length; ICMP for IPv4 has none.
        let length = if self.v4 && id.protocol == Protocol::Icmp { 0 } else { len };
        let sum = icmp_names.iter().fold(self.pseudo.u16(length), |sum, word| sum.u16(*word));
        let token = if id.protocol == Protocol::Icmp { id.token() } else { 0 };
        let sum = sum.u16(number).u16(flow).u16(token);
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
        let [a, b, c] = icmp_names;
        let icmp_names = match id.protocol {
            Protocol::Icmp => [a, checksum, b, c],
            _ => [a, b, c, checksum],
        };
        let marks = [compensation, number, flow, token];
        for (at, word) in icmp_names.into_iter().chain(marks).enumerate() {
            // UDP has zeros there, or ends before.
            put(body, 2 * at, word);
        }
    }

    /// The sequence number of a SYN.
    fn syn_seq(&self, numbers: &Numbers) -> u32 {
        let data = u32::from(numbers.size.saturating_sub(self.min_size()));
        Identity::sequence_of(numbers.number, token(self.target_key, numbers.flow), data)
    }

    /// What a SYN-ACK to that SYN acknowledges.
    pub(super) fn acknowledged(&self, numbers: &Numbers) -> u32 {
        self.syn_seq(numbers).wrapping_add(1)
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
        // Linux offers no window with a reset.
        let ends = (ack, TcpFlags::RST, 0);
        self.tcp(body, self.identity.source(flow, number), ends, &[]);
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

    /// Writes a SYN that looks like one of Linux in front of zeros: firewalls drop odder ones.
    fn syn(&self, body: &mut [u8], source: u16, numbers: &Numbers) {
        let clock = tcp_clock(self.target_key, numbers.flow);
        let [nop, scale] = SCALE_OPTION;
        let (high, low) = ((clock >> 16) as u16, clock as u16);
        let options =
            [MSS_OPTION, self.mss, SACK_OPTION, TIMES_OPTION, high, low, 0, 0, nop, scale];
        self.tcp(body, source, (self.syn_seq(numbers), TcpFlags::SYN, WINDOW), &options);
    }

    /// Writes a TCP header with these words of options in front of zeros.
    fn tcp(
        &self,
        body: &mut [u8],
        source: u16,
        (seq, flags, window): (u32, TcpFlags, u16),
        options: &[u16],
    ) {
        let words = (TCP_LEN / 4 + options.len() / 2) as u16;
        let control = words << 12 | u16::from(flags.0);
        let port = self.identity.port;
        let sum = self.pseudo.u16(body.len() as u16).u16(source).u16(port).u32(seq);
        let sum = sum.u16(control).u16(window);
        let sum = options.iter().fold(sum, |sum, word| sum.u16(*word)).finish();
        let (high, low) = ((seq >> 16) as u16, seq as u16);
        let header = [source, port, high, low, 0, 0, control, window, sum, 0];
        for (at, word) in header.iter().chain(options).enumerate() {
            put(body, 2 * at, *word);
        }
    }
}

/// Length of the shortest probe's IP packet: the headers, and the marks of UDP and ICMP.
pub(super) fn min_size(protocol: Protocol, v4: bool) -> u16 {
    let ip = if v4 { IPV4_LEN } else { IPV6_LEN };
    let behind = match protocol {
        Protocol::Udp => UDP_LEN + MARKS_LEN,
        Protocol::Tcp => SYN_LEN,
        Protocol::Icmp => ICMP_LEN + MARKS_LEN + TOKEN_LEN,
    };
    (ip + behind) as u16
}

fn put(to: &mut [u8], at: usize, value: u16) {
    if let Some(to) = to.get_mut(at..at + 2) {
        to.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
pub(super) mod tests;
