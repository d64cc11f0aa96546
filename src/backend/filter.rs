//! What the XDP program takes for us; everything else goes on to the kernel's own stack.
//!
//! The same rows are a BPF map for `bpf/redirect.bpf.c` and data for the simulated kernel.

use super::datagram::{Datagram, Seen, with_tag};
use crate::error::{FluxError, Result};
use crate::proto::{MacAddr, Tag};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Most rows a filter may have; the XDP program has a bit for each.
pub const MAX_MATCHES: usize = 32;

/// Which packets are ours.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Filter {
    /// None: a socket that only sends.
    #[default]
    Nothing,
    /// Every packet, the interface's own traffic included. Only for interfaces that are ours.
    Everything,
    /// Packets that agree with at least one row (at most [`MAX_MATCHES`]).
    Any(Vec<Match>),
}

/// One row: a packet matches when every field that is set agrees. Ports, ICMP type and
/// identifier only agree with packets that have them (so never with later fragments).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Match {
    /// EtherType after VLAN tags, e.g. 0x0806. `None`: any IP packet, and with
    /// [`Match::ether_src`] any packet at all.
    pub ether_type: Option<u16>,
    /// The peer's Ethernet address. Not together with [`Match::quoted`]: what an error quotes has
    /// none.
    pub ether_src: Option<MacAddr>,
    /// IP protocol after IPv6 extension headers.
    pub ip_proto: Option<u8>,
    /// Source prefix; also decides the family.
    pub src: Option<(IpAddr, u8)>,
    /// Destination prefix; also decides the family.
    pub dst: Option<(IpAddr, u8)>,
    /// TCP or UDP source ports.
    pub src_ports: Option<RangeInclusive<u16>>,
    /// TCP or UDP destination ports.
    pub dst_ports: Option<RangeInclusive<u16>>,
    /// ICMP or ICMPv6 type.
    pub icmp_type: Option<u8>,
    /// Identifier of an ICMP or ICMPv6 echo request or reply.
    pub icmp_id: Option<RangeInclusive<u16>>,
    /// The VLAN that the frame is in; `None` for any.
    pub vlan: Option<VlanMatch>,
    /// The first bytes behind an ICMP or UDP header.
    pub payload: Option<PayloadMatch>,
    /// Only a packet in one piece: fragments are left to the kernel, which puts them together.
    pub whole: bool,
    /// Apply every other field but those of the frame (`vlan`, `ether_type`, `whole`) to the datagram quoted in
    /// an ICMP or ICMPv6 error instead: an answer about something that we sent.
    pub quoted: bool,
}

/// The VLAN of a frame: the types and identifiers of up to two tags. A tag of VLAN 0 carries a
/// priority and counts as none, as for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct VlanMatch(u64);

impl VlanMatch {
    /// In no VLAN.
    pub const UNTAGGED: Self = Self(0);

    /// In the VLAN of these tags, outermost first; their priorities are not looked at. Tags before
    /// the last two are not read.
    #[must_use]
    pub fn of(tags: &[Tag]) -> Self {
        Self(tags.iter().fold(0, |vlan, tag| with_tag(vlan, tag.tpid.0, tag.tci)))
    }

    /// That of an Ethernet frame; of one that is too short for an EtherType it is none.
    #[must_use]
    pub fn of_frame(frame: &[u8]) -> Self {
        Self(super::datagram::vlan_of(frame))
    }

    /// As the XDP program compares it.
    #[cfg(feature = "bpf")]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

/// What the first eight bytes behind the header of an ICMP message or UDP datagram are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadMatch {
    /// There are as many, and they are these where the mask has bits.
    Is {
        /// What they are.
        bytes: [u8; 8],
        /// Which bits of them are compared.
        mask: [u8; 8],
    },
    /// The same, but a packet with fewer agrees as well.
    IsOrShorter {
        /// What they are.
        bytes: [u8; 8],
        /// Which bits of them are compared.
        mask: [u8; 8],
    },
    /// There are fewer.
    Shorter,
}

impl PayloadMatch {
    fn agrees(&self, payload: Option<[u8; 8]>) -> bool {
        let same = |payload: [u8; 8], bytes: &[u8; 8], mask: &[u8; 8]| {
            let [payload, bytes, mask] = [payload, *bytes, *mask].map(u64::from_ne_bytes);
            (payload ^ bytes) & mask == 0
        };
        match (self, payload) {
            (Self::Is { .. }, None) | (Self::Shorter, Some(_)) => false,
            (Self::IsOrShorter { .. } | Self::Shorter, None) => true,
            (Self::Is { bytes, mask } | Self::IsOrShorter { bytes, mask }, Some(payload)) => {
                same(payload, bytes, mask)
            }
        }
    }
}

impl Filter {
    /// Checks what both kernels ask of the rows.
    pub(crate) fn check(&self) -> Result<()> {
        let Filter::Any(rows) = self else { return Ok(()) };
        if rows.len() > MAX_MATCHES {
            return Err(FluxError::config(
                format!("a filter of {} rows", rows.len()),
                format!("the XDP program takes at most {MAX_MATCHES}"),
            ));
        }
        rows.iter().enumerate().try_for_each(|(at, row)| row.check(at))
    }

    /// Whether the XDP program redirects `packet` (an Ethernet frame) to us.
    #[must_use]
    pub fn matches(&self, packet: &[u8]) -> bool {
        match self {
            Filter::Nothing => false,
            Filter::Everything => true,
            Filter::Any(rows) => {
                Seen::of(packet).is_some_and(|seen| rows.iter().any(|row| row.agrees(&seen)))
            }
        }
    }
}

impl Match {
    /// Checks the row at index `at`.
    fn check(&self, at: usize) -> Result<()> {
        let bad = |what: String, why: &str| {
            let row = format!("filter row {}", at + 1);
            Err(FluxError::config(format!("{row}: {what}"), why))
        };
        if let (true, Some(mac)) = (self.quoted, self.ether_src) {
            let what = format!("Ethernet address {mac} of a quoted datagram");
            let error = bad(what, "what an ICMP error quotes has no Ethernet header");
            return error.map_err(|e| e.with_hint("leave out ether_src or quoted in this row"));
        }
        for (side, prefix) in [("source", self.src), ("destination", self.dst)] {
            let Some((address, len)) = prefix else { continue };
            let width = if address.is_ipv4() { 32 } else { 128 };
            if len > width {
                let why = format!("has at most {width} bits");
                return bad(format!("{side} prefix {address}/{len}"), &why);
            }
        }
        Ok(())
    }

    fn agrees(&self, seen: &Seen) -> bool {
        let ip = if self.quoted { seen.quoted } else { seen.outer };
        if self.quoted && ip.is_none() {
            return false;
        }
        let kind = self
            .ether_type
            .map_or(ip.is_some() || self.ether_src.is_some(), |wanted| wanted == seen.ether_type);
        let peer = self.ether_src.is_none_or(|mac| mac.0 == seen.ether_src);
        let on_ip = |agrees: &dyn Fn(&Datagram) -> bool| ip.as_ref().is_some_and(agrees);
        let within = |range: &RangeInclusive<u16>, value: Option<u16>| {
            value.is_some_and(|value| range.contains(&value))
        };
        let vlan = self.vlan.is_none_or(|vlan| vlan.0 == seen.vlan);
        let fragment = seen.outer.is_some_and(|ip| ip.fragment);
        kind && peer
            && vlan
            && !(self.whole && fragment)
            && self.payload.is_none_or(|payload| on_ip(&|ip| payload.agrees(ip.payload)))
            && self.ip_proto.is_none_or(|proto| on_ip(&|ip| ip.proto == Some(proto)))
            && self.src.is_none_or(|prefix| on_ip(&|ip| covers(prefix, ip.src)))
            && self.dst.is_none_or(|prefix| on_ip(&|ip| covers(prefix, ip.dst)))
            && self
                .src_ports
                .as_ref()
                .is_none_or(|range| on_ip(&|ip| within(range, ip.ports.map(|ports| ports.0))))
            && self
                .dst_ports
                .as_ref()
                .is_none_or(|range| on_ip(&|ip| within(range, ip.ports.map(|ports| ports.1))))
            && self.icmp_type.is_none_or(|kind| on_ip(&|ip| ip.icmp_type == Some(kind)))
            && self.icmp_id.as_ref().is_none_or(|range| on_ip(&|ip| within(range, ip.icmp_id)))
    }
}

/// Whether `address` lies in the prefix; never when the families differ.
pub(crate) fn covers((prefix, len): (IpAddr, u8), address: IpAddr) -> bool {
    match (prefix, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => {
            let host = u32::MAX.checked_shr(u32::from(len)).unwrap_or(0);
            prefix.to_bits() & !host == address.to_bits() & !host
        }
        (IpAddr::V6(prefix), IpAddr::V6(address)) => {
            let host = u128::MAX.checked_shr(u32::from(len)).unwrap_or(0);
            prefix.to_bits() & !host == address.to_bits() & !host
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::build::{self, Link, Net};
    use crate::proto::respond::{IcmpError, icmp_error};
    use crate::proto::{IpPair, MacAddr, TcpFlags, TcpRepr, UdpRepr};
    use proptest::prelude::*;

    const LINK: Link = Link::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));

    fn net(src: &str, dst: &str) -> Net {
        Net::new(IpPair::new(src.parse().unwrap(), dst.parse().unwrap()).unwrap())
    }

    fn made(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
        let mut packet = vec![0; 2048];
        let len = write(&mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    fn udp(src: &str, dst: &str, ports: (u16, u16)) -> Vec<u8> {
        let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
        made(|to| build::udp(to, &LINK, &net(src, dst), &header, b"payload"))
    }

    fn echo(src: &str, dst: &str, id: u16) -> Vec<u8> {
        made(|to| build::echo_request(to, &LINK, &net(src, dst), id, 1, b"payload"))
    }

    /// The port-unreachable error about `packet`.
    fn about(packet: &[u8], from: &str) -> Vec<u8> {
        let (from, mac) = (from.parse().unwrap(), MacAddr([2, 0, 0, 0, 0, 9]));
        made(|to| icmp_error(to, packet, from, mac, IcmpError::PortUnreachable))
    }

    /// The packet with these VLAN tags in front.
    fn tagged(packet: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
        [&packet[..12], &tags.concat(), &packet[12..]].concat()
    }

    fn prefix(text: &str) -> Option<(IpAddr, u8)> {
        let (address, len) = text.split_once('/').unwrap();
        Some((address.parse().unwrap(), len.parse().unwrap()))
    }

    fn takes(row: &Match, packet: &[u8]) -> bool {
        Filter::Any(vec![row.clone()]).matches(packet)
    }

    #[test]
    fn every_field_that_is_set_must_agree() {
        let row = Match {
            ip_proto: Some(17),
            src: prefix("10.0.0.0/24"),
            dst: prefix("192.0.2.1/32"),
            src_ports: Some(1000..=2000),
            dst_ports: Some(53..=53),
            ..Match::default()
        };
        assert!(takes(&row, &udp("10.0.0.7", "192.0.2.1", (1000, 53))));
        for other in [
            udp("10.0.1.7", "192.0.2.1", (1000, 53)),
            udp("10.0.0.7", "192.0.2.2", (1000, 53)),
            udp("10.0.0.7", "192.0.2.1", (999, 53)),
            udp("10.0.0.7", "192.0.2.1", (2001, 53)),
            udp("10.0.0.7", "192.0.2.1", (1000, 54)),
            udp("2001:db8::1", "2001:db8::2", (1000, 53)),
            echo("10.0.0.7", "192.0.2.1", 1000),
        ] {
            assert!(!takes(&row, &other));
        }
        let header = TcpRepr::new(1000, 53, TcpFlags::SYN);
        let tcp = made(|to| build::tcp(to, &LINK, &net("10.0.0.7", "192.0.2.1"), &header, &[]));
        assert!(!takes(&row, &tcp) && takes(&Match { ip_proto: Some(6), ..row }, &tcp));
    }

    #[test]
    fn an_empty_row_takes_any_ip_packet_and_nothing_else() {
        let row = Match::default();
        assert!(takes(&row, &udp("10.0.0.7", "192.0.2.1", (1, 1))));
        assert!(takes(&row, &udp("2001:db8::1", "2001:db8::2", (1, 1))));
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        assert!(!takes(&row, &arp));
        let row = Match { ether_type: Some(0x0806), ..row };
        assert!(takes(&row, &arp) && takes(&row, &tagged(&arp, &[[0x81, 0, 0, 5]])));
        assert!(!takes(&row, &udp("10.0.0.7", "192.0.2.1", (1, 1))));
        assert!(!Filter::Nothing.matches(&arp) && Filter::Everything.matches(&arp));
        assert!(!Filter::Any(vec![]).matches(&arp));
    }

    #[test]
    fn a_row_that_no_packet_can_be_compared_with_is_refused_by_its_number() {
        let refused = |row: Match| Filter::Any(vec![Match::default(), row]).check().unwrap_err();
        let error = refused(Match { src: prefix("10.9.0.1/33"), ..Match::default() });
        let text = "filter row 2: source prefix 10.9.0.1/33: has at most 32 bits";
        assert_eq!(error.to_string(), text);
        let peer = Some(MacAddr([2, 0, 0, 0, 0, 1]));
        let row = Match { ether_src: peer, ..Match::default() };
        assert!(Filter::Any(vec![row.clone()]).check().is_ok());
        let error = refused(Match { quoted: true, ..row });
        assert!(error.to_string().starts_with("filter row 2: Ethernet address 02:00:00:00:00:01"));
        assert!(error.hint().unwrap().contains("ether_src or quoted"), "{error:?}");
    }

    #[test]
    fn a_peer_is_told_by_its_ethernet_address_whatever_it_sends() {
        let row = Match { ether_src: Some(MacAddr([2, 0, 0, 0, 0, 1])), ..Match::default() };
        let ip = udp("10.0.0.7", "192.0.2.1", (1, 1));
        let mut arp = vec![0; 60];
        arp[..12].copy_from_slice(&ip[..12]);
        arp[12..14].copy_from_slice(&[8, 6]);
        assert!(takes(&row, &ip) && takes(&row, &arp));
        let only_arp = Match { ether_type: Some(0x0806), ..row.clone() };
        assert!(!takes(&only_arp, &ip) && takes(&only_arp, &arp));
        arp[11] ^= 1;
        assert!(!takes(&row, &arp) && !takes(&only_arp, &arp));
    }

    #[test]
    fn up_to_two_vlan_tags_are_looked_behind() {
        let row = Match { dst_ports: Some(53..=53), ..Match::default() };
        let packet = udp("10.0.0.7", "192.0.2.1", (1, 53));
        let (outer, inner) = ([0x88, 0xa8, 0, 1], [0x81, 0, 0, 2]);
        assert!(takes(&row, &tagged(&packet, &[inner])));
        assert!(takes(&row, &tagged(&packet, &[outer, inner])));
        assert!(!takes(&row, &tagged(&packet, &[outer, inner, inner])));
    }

    #[test]
    fn later_fragments_have_no_ports_and_no_icmp() {
        let (ports, icmp) = (
            Match { dst_ports: Some(0..=u16::MAX), ..Match::default() },
            Match { icmp_type: Some(8), ..Match::default() },
        );
        for (row, packet) in [
            (ports, udp("10.0.0.7", "192.0.2.1", (1, 53))),
            (icmp, echo("10.0.0.7", "192.0.2.1", 7)),
        ] {
            let mut fragment = packet.clone();
            fragment[20] = 0x20; // more to come, offset 0: the first one
            assert!(takes(&row, &fragment));
            fragment[21] = 1;
            assert!(!takes(&row, &fragment));
            assert!(takes(&Match::default(), &fragment), "an IP packet all the same");
        }
    }

    #[test]
    fn ipv6_extension_headers_are_walked() {
        let plain = udp("2001:db8::1", "2001:db8::2", (1, 53));
        let row = Match { ip_proto: Some(17), dst_ports: Some(53..=53), ..Match::default() };
        // Hop-by-hop options of 8 bytes (all padding) between the header and UDP.
        let mut packet = plain.clone();
        packet.splice(54..54, [17, 0, 1, 4, 0, 0, 0, 0]);
        packet[20] = 0;
        packet[19] += 8;
        assert!(takes(&row, &packet));
        // A fragment header with an offset: no ports behind it.
        let mut packet = plain;
        packet.splice(54..54, [17, 0, 0, 8, 0, 0, 0, 1]);
        packet[20] = 44;
        packet[19] += 8;
        assert!(!takes(&row, &packet));
        assert!(takes(&Match { ip_proto: Some(17), ..Match::default() }, &packet));
    }

    #[test]
    fn a_quoted_row_asks_what_an_error_is_about() {
        for (us, them, router) in [
            ("10.0.0.1", "192.0.2.1", "10.0.0.254"),
            ("2001:db8::1", "2001:db8::2", "2001:db8::fe"),
        ] {
            let probe = udp(us, them, (40_000, 33_434));
            let row = Match {
                src_ports: Some(40_000..=40_000),
                dst: Some((them.parse().unwrap(), if them.contains(':') { 128 } else { 32 })),
                quoted: true,
                ..Match::default()
            };
            let error = about(&probe, router);
            assert!(takes(&row, &error));
            assert!(!takes(&row, &probe), "the packet itself is none");
            assert!(!takes(&Match { quoted: false, ..row.clone() }, &error));
            assert!(!takes(&row, &about(&udp(us, them, (40_001, 33_434)), router)));
            let ping = about(&echo(us, them, 77), router);
            let row = Match { icmp_id: Some(77..=77), quoted: true, ..Match::default() };
            assert!(takes(&row, &ping) && !takes(&row, &error));
            assert!(takes(
                &Match { icmp_id: Some(77..=77), ..Match::default() },
                &echo(us, them, 77)
            ));
        }
    }

    #[test]
    fn prefixes_cover_by_bits_and_never_the_other_family() {
        let covers = |text: &str, address: &str| {
            super::covers(prefix(text).unwrap(), address.parse().unwrap())
        };
        assert!(covers("0.0.0.0/0", "203.0.113.9") && covers("::/0", "2001:db8::1"));
        assert!(!covers("0.0.0.0/0", "2001:db8::1") && !covers("::/0", "10.0.0.1"));
        assert!(covers("10.128.0.0/9", "10.200.0.1") && !covers("10.128.0.0/9", "10.127.0.1"));
        assert!(
            covers("2001:db8::/33", "2001:db8:7fff::")
                && !covers("2001:db8::/33", "2001:db8:8000::")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_filter_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..90, cut in 0usize..90) {
            let full = Match {
                ip_proto: Some(17), src_ports: Some(0..=9), icmp_type: Some(3), icmp_id: Some(0..=9),
                ..Match::default()
            };
            let rows = vec![full.clone(), Match { quoted: true, ..full }];
            let _ = Filter::Any(rows.clone()).matches(&bytes);
            // And something that looks like a packet at first.
            let mut error = about(&udp("10.0.0.7", "192.0.2.1", (1, 53)), "10.0.0.254");
            if let (Some(slot), Some(byte)) = (error.get_mut(at), bytes.first()) {
                *slot = *byte;
            }
            error.truncate(error.len().saturating_sub(cut));
            let _ = Filter::Any(rows).matches(&error);
        }
    }
}
