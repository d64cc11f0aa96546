//! What the probes of a run have in common, and which packets are about them.

use super::plan::{CLASSIC_PORTS, Protocol, Strategy};
use crate::backend::{Match, PayloadMatch, VlanMatch};
use crate::proto::{Icmpv4Kind, Icmpv6Kind, IpProto, TCP_LEN};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

/// Above the ports that Linux gives to sockets (32768 to 60999, unless it is told otherwise).
const FIRST_PORT: u16 = 61_000;
/// First identifier or port on the simulated network, where two runs are to be alike.
const SIMULATED_BASE: u16 = 61_440;
/// Length of the TCP header of a SYN, with the options that Linux sends.
pub(super) const SYN_LEN: usize = TCP_LEN + 20;
/// Paths that get filter rows of their own: each packet is compared with all rows.
const MAX_PATHS: usize = 4;
/// Source addresses that get filter rows of their own; beyond that, rows are for all addresses.
const MAX_SOURCES: usize = 8;
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

    /// How many probes in a row have different destination ports, where these vary: as many may
    /// be in flight.
    pub(super) fn ports_in_a_row(&self) -> Option<u16> {
        self.varies_port().then_some(CLASSIC_PORTS)
    }

    /// Destination port of a probe: traceroute's, one more for each, and then from the first on
    /// again. Behind 65535 comes 1.
    pub(super) fn port_of(&self, number: u16) -> u16 {
        if !self.varies_port() {
            return self.port;
        }
        let port = u32::from(self.port.saturating_sub(1)) + u32::from(place_of(number));
        (port % 65_535) as u16 + 1
    }

    /// Whether a probe can have this destination port.
    pub(super) fn has_port(&self, port: u16) -> bool {
        if self.varies_port() { self.place_of_port(port).is_some() } else { port == self.port }
    }

    /// Which of the destination ports this is, where they vary: see [`place_of`].
    pub(super) fn place_of_port(&self, port: u16) -> Option<u16> {
        let ahead = u32::from(port.checked_sub(1)?) + 65_535 - u32::from(self.port.max(1) - 1);
        let place = (ahead % 65_535) as u16;
        (self.varies_port() && place < CLASSIC_PORTS).then_some(place)
    }

    /// The checksum of all probes of a flow, where it is kept: never one of the two zeros.
    pub(super) fn checksum(&self, flow: u16) -> u16 {
        self.base.wrapping_add(flow)
    }

    /// Never 0, and another one for each flow: an odd factor has an inverse.
    pub(super) fn flow_label(&self, flow: u16) -> u32 {
        u32::from(self.base.wrapping_add(flow)).wrapping_mul(0x000c_a4ed) & 0x000f_ffff
    }

    /// What says that an echo reply is ours and not of another program that has the same identifier:
    /// behind number and flow in the payload, never 0.
    pub(super) fn token(&self) -> u16 {
        (mix(self.key) as u16).max(1)
    }

    /// Whether an echo message is ours, as far as its payload says: what is shorter has no token.
    pub(super) fn is_own(&self, payload: &[u8]) -> bool {
        let token = payload.first_chunk::<8>().map(|&[.., a, b]| u16::from_be_bytes([a, b]));
        token.is_none_or(|token| token == self.token())
    }

    pub(super) fn target_key(&self, target: IpAddr) -> u64 {
        let bits = match target {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        mix(mix(self.key ^ (bits >> 64) as u64) ^ bits as u64)
    }

    /// Sequence number of a SYN with `data` bytes.
    ///
    /// Without data the number is the lower half: the next SYN of a flow is then the next byte of
    /// the connection that the one before began. An open port that has not had our reset yet takes
    /// it for an error and resets the connection, so that each of them is answered; one far away
    /// would be passed over. With data, which only some answers acknowledge, the number is the
    /// upper half, and what counts is where the data ends.
    pub(super) fn sequence_of(number: u16, token: u16, data: u32) -> u32 {
        let (number, token) = (u32::from(number), u32::from(token));
        if data == 0 { token << 16 | number } else { (number << 16 | token).wrapping_sub(data) }
    }

    /// The number of a SYN without data.
    fn number_of_bare(seq: u32, token: u16) -> Option<u16> {
        (seq >> 16 == u32::from(token)).then_some(seq as u16).filter(|&number| number != 0)
    }

    /// The number of a SYN that is quoted with sequence number `seq` and `data` bytes.
    pub(super) fn number_of_syn(
        &self,
        target: IpAddr,
        flow: u16,
        seq: u32,
        data: u32,
    ) -> Option<u16> {
        let token = token(self.target_key(target), flow);
        if data == 0 {
            return Self::number_of_bare(seq, token);
        }
        let ahead = seq.wrapping_add(data).wrapping_sub(token.into());
        (ahead & 0xffff == 0).then_some((ahead >> 16) as u16).filter(|&number| number != 0)
    }

    /// The number of the SYN that is acknowledged by `ack`, with or without its data.
    pub(super) fn number_of_ack(&self, target: IpAddr, flow: u16, ack: u32) -> Option<u16> {
        let (end, token) = (ack.wrapping_sub(1), token(self.target_key(target), flow));
        if let Some(number) = Self::number_of_bare(end, token) {
            return Some(number);
        }
        let behind = u32::from(token).wrapping_sub(end);
        // Resets acknowledge data, which ends where the number says; most SYN-ACKs do not.
        let data = behind & 0xffff;
        let number = (data.wrapping_sub(behind) >> 16) as u16;
        (data <= LONGEST_DATA && number != 0).then_some(number)
    }
}

/// Which of the ports of the classic strategy the probe with this number has, from 0.
pub(super) fn place_of(number: u16) -> u16 {
    number.saturating_sub(1) % CLASSIC_PORTS
}

/// What a SYN says of our clock: the same for all of a flow, so that none looks older than another.
pub(super) fn tcp_clock(target_key: u64, flow: u16) -> u32 {
    (mix(target_key.wrapping_add(u64::from(flow))) as u32).max(1)
}

fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// The half of a sequence number that a forger does not know.
pub(super) fn token(target_key: u64, flow: u16) -> u16 {
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

/// The IP protocol of probes.
pub(super) fn ip_proto(protocol: Protocol, v4: bool) -> IpProto {
    match protocol {
        Protocol::Udp => IpProto::UDP,
        Protocol::Tcp => IpProto::TCP,
        Protocol::Icmp if v4 => IpProto::ICMP,
        Protocol::Icmp => IpProto::ICMPV6,
    }
}

/// The rows of the XDP filter for answers to the probes of `paths` (source and target); everything
/// else goes on to the kernel.
///
/// What errors quote is not asked for its source, nor are errors for their sender: a NAT may have
/// changed the one, and anybody may send the other.
///
/// Echo messages are known by their token besides, so that replies may come from any address and those
/// of another program stay with it; what is too short for a token, by its target where targets are few.
pub(super) fn rows(
    identity: &Identity,
    paths: &[(IpAddr, IpAddr)],
    vlan: Option<VlanMatch>,
) -> Vec<Match> {
    let mut rows: Vec<Match> = Vec::new();
    // UDP and TCP have the same number in both families, and copies would only cost time.
    let mut add = |row: Match| {
        let row = Match { vlan, whole: true, ..row };
        if !rows.contains(&row) {
            rows.push(row);
        }
    };
    if paths.len() <= MAX_PATHS {
        for &(source, target) in paths {
            add(Match { dst: Some(exact(target)), ..probe_row(identity, target.is_ipv4()) });
            let answer = answer_row(identity, exact(source));
            if identity.protocol == Protocol::Icmp {
                let payload = Some(PayloadMatch::Shorter);
                add(Match { src: Some(exact(target)), payload, ..answer.clone() });
                add(answer);
            } else {
                // From any address: we hold the destination port, and nobody else does.
                add(answer);
            }
        }
        return rows;
    }
    let mut own: Vec<IpAddr> = paths.iter().map(|(source, _)| *source).collect();
    own.sort_unstable();
    own.dedup();
    for source in &own {
        add(probe_row(identity, source.is_ipv4()));
    }
    let many = own.len() > MAX_SOURCES;
    for source in &own {
        let v4 = source.is_ipv4();
        let any = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        add(answer_row(identity, if many { (any, 0) } else { exact(*source) }));
    }
    rows
}

/// The prefix that is one address.
fn exact(address: IpAddr) -> (IpAddr, u8) {
    (address, if address.is_ipv4() { 32 } else { 128 })
}

/// The datagram that errors about our probes quote.
fn probe_row(identity: &Identity, v4: bool) -> Match {
    let ip_proto = Some(ip_proto(identity.protocol, v4).0);
    let row = Match { ip_proto, quoted: true, ..Match::default() };
    if identity.protocol == Protocol::Icmp {
        let kind = if v4 { Icmpv4Kind::ECHO_REQUEST.0 } else { Icmpv6Kind::ECHO_REQUEST.0 };
        let (bytes, mask) = token_bits(identity);
        let payload = Some(PayloadMatch::IsOrShorter { bytes, mask });
        return Match { icmp_type: Some(kind), icmp_id: Some(identity.range()), payload, ..row };
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
        let (bytes, mask) = token_bits(identity);
        let payload = Some(PayloadMatch::Is { bytes, mask });
        return Match { icmp_type: Some(kind), icmp_id: Some(identity.range()), payload, ..row };
    }
    Match { src_ports: ports(identity), dst_ports: Some(identity.range()), ..row }
}

/// Where the token is in the first bytes of a payload, and what it is.
fn token_bits(identity: &Identity) -> ([u8; 8], [u8; 8]) {
    let [a, b] = identity.token().to_be_bytes();
    ([0, 0, 0, 0, 0, 0, a, b], [0, 0, 0, 0, 0, 0, 0xff, 0xff])
}

/// Ports that are probed; `None` for all, where they go round behind the last one there is.
fn ports(identity: &Identity) -> Option<RangeInclusive<u16>> {
    let more = identity.ports_in_a_row().map_or(0, |count| count - 1);
    Some(identity.port..=identity.port.checked_add(more)?)
}

#[cfg(test)]
mod tests {
    use super::super::probe::tests::{CASES, address, identity};
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, prop_assert_ne, proptest};

    proptest! {
        #[test]
        fn the_classic_ports_go_round_and_no_two_in_a_row_are_the_same(port in 1u16.., number in 1u16..) {
            let classic = Identity { port, ..identity((Protocol::Udp, Strategy::Classic)) };
            let probed = classic.port_of(number);
            prop_assert_ne!(probed, 0);
            prop_assert_eq!(classic.place_of_port(probed), Some(place_of(number)));
            prop_assert!(classic.has_port(probed) && !classic.has_port(0));
            prop_assert_eq!(classic.port_of(1), port);
            let own = number.saturating_add(1)..number.saturating_add(CLASSIC_PORTS);
            prop_assert!(own.into_iter().all(|next| classic.port_of(next) != probed));
            let ahead = (u32::from(probed) + 65_535 - u32::from(port)) % 65_535;
            prop_assert!(ahead < u32::from(CLASSIC_PORTS));
            prop_assert!(ports(&classic).is_none_or(|ports| ports.contains(&probed)));
            let paris = Identity { strategy: Strategy::Paris, ..classic };
            prop_assert_eq!((paris.port_of(number), paris.place_of_port(port)), (port, None));
            prop_assert!(paris.has_port(port) && !paris.has_port(port ^ 1));
        }

        #[test]
        fn a_sequence_number_proves_itself(number in 1u16.., flow in 0u16..300, data in 0u32..9000, guess: u32) {
            let paris = identity((Protocol::Tcp, Strategy::Paris));
            let target = address("203.0.113.7");
            let own = token(paris.target_key(target), flow);
            let seq = Identity::sequence_of(number, own, data);
            let end = seq.wrapping_add(data);
            prop_assert_eq!(paris.number_of_syn(target, flow, seq, data), Some(number));
            for acked in [seq.wrapping_add(1), end.wrapping_add(1)] {
                let found = paris.number_of_ack(target, flow, acked);
                prop_assert!(found == Some(number) || data > 0 && acked.wrapping_sub(1) >> 16 == u32::from(own));
            }
            let bare = Identity::sequence_of(number, own, 0);
            if number < u16::MAX {
                prop_assert_eq!(Identity::sequence_of(number + 1, own, 0), bare + 1);
            }
            // Another run, another target, another flow: another half.
            let other = Identity { key: paris.key + 1, ..paris };
            let halves = [token(other.target_key(target), flow), token(paris.target_key(address("203.0.113.8")), flow), token(paris.target_key(target), flow + 1)];
            for half in halves {
                if half != own {
                    prop_assert_ne!(Identity::sequence_of(number, half, data), seq);
                }
            }
            if guess >> 16 != u32::from(own) {
                prop_assert_eq!(paris.number_of_syn(target, flow, guess, 0), None);
            }
        }

        #[test]
        fn ports_are_above_those_of_the_kernel(span in 1u16..=4096, simulated: bool) {
            for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Icmp] {
                let base = choose_base(protocol, span, simulated);
                let identity = Identity { base, span, ..identity((protocol, Strategy::Paris)) };
                let least = if protocol == Protocol::Icmp { 1 } else { FIRST_PORT };
                prop_assert!(base >= least);
                prop_assert_eq!(identity.range().len(), usize::from(span));
                prop_assert!(*identity.range().end() < u16::MAX);
                prop_assert!(!simulated || base == choose_base(protocol, span, true));
            }
        }
    }

    #[test]
    fn rows_are_few_however_many_paths_there_are() {
        let host = |n: u8| {
            let v6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()];
            [IpAddr::from([10, 0, 0, n]), IpAddr::from(v6)]
        };
        let paths = |sources: u8, targets: u8| -> Vec<(IpAddr, IpAddr)> {
            let pair = |n: u8| host(n % sources).into_iter().zip(host(100 + n));
            (0..targets).flat_map(pair).collect()
        };
        for case in CASES {
            let identity = identity(case);
            for (paths, most) in [
                (paths(1, 2), 10),
                (paths(1, 100), 4),
                (paths(4, 100), 10),
                (paths(50, 100), 4),
                (vec![paths(1, 1)[0]; 9], 2),
            ] {
                let rows = rows(&identity, &paths, Some(VlanMatch::UNTAGGED));
                assert!(rows.len() <= most, "{rows:?}");
                // Each path has the row of its probes and that of its target's answers.
                for (source, target) in paths {
                    let covered = |prefix: Option<(IpAddr, u8)>, of: IpAddr| {
                        prefix.is_none_or(|(address, len)| {
                            address == of || len == 0 && address.is_ipv4() == of.is_ipv4()
                        })
                    };
                    let has = |wanted: Match, src, dst| {
                        rows.iter().any(|row| {
                            let bare = Match {
                                src: None,
                                dst: None,
                                vlan: None,
                                whole: false,
                                ..row.clone()
                            };
                            bare == wanted && covered(row.src, src) && covered(row.dst, dst)
                        })
                    };
                    assert!(has(probe_row(&identity, source.is_ipv4()), source, target));
                    let answers = Match { dst: None, ..answer_row(&identity, exact(source)) };
                    assert!(has(answers, target, source));
                }
            }
        }
    }
}
