use super::super::identity::place_of;
use super::super::probe::tests::{
    CASES, NEXT, PLACES, address, identity, numbers, template, written,
};
use super::super::probe::{Numbers, Template};
use super::*;
use crate::proto::build::{self, Link, Net};
use crate::proto::checksum;
use crate::proto::respond::{self, IcmpError};
use crate::proto::{Icmpv4Message, Icmpv6Message, IpProto, TcpOptions, TcpRepr, UdpRepr};
use proptest::collection::vec;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

const UDP_PARIS: (Protocol, Strategy) = (Protocol::Udp, Strategy::Paris);
const UDP_DUBLIN: (Protocol, Strategy) = (Protocol::Udp, Strategy::Dublin);
const UDP_CLASSIC: (Protocol, Strategy) = (Protocol::Udp, Strategy::Classic);
const TCP_PARIS: (Protocol, Strategy) = (Protocol::Tcp, Strategy::Paris);
const ICMP_PARIS: (Protocol, Strategy) = (Protocol::Icmp, Strategy::Paris);

fn made(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut frame = vec![0; 66_000];
    let len = write(&mut frame).unwrap();
    frame.truncate(len);
    frame
}

/// The error of a router about a datagram, with these bytes behind the code and checksum.
fn error(kind: u8, code: u8, rest: [u8; 4], quote: &[u8], v6: bool) -> Vec<u8> {
    let [us, _, router] = PLACES[usize::from(v6)];
    let net = Net::new(IpPair::new(address(router), address(us)).unwrap()).with_ttl(61);
    let link = Link::new(NEXT, crate::proto::MacAddr([2, 0, 0, 0, 0, 1]));
    if v6 {
        let kind = Icmpv6Kind(kind);
        let message = Icmpv6Message::Other { kind, code, rest, data: quote };
        made(|to| build::icmpv6(to, &link, &net, &message))
    } else {
        let kind = Icmpv4Kind(kind);
        let message = Icmpv4Message::Other { kind, code, rest, data: quote };
        made(|to| build::icmpv4(to, &link, &net, &message))
    }
}

fn exceeded(quote: &[u8], v6: bool) -> Vec<u8> {
    error(if v6 { 3 } else { 11 }, 0, [0; 4], quote, v6)
}

fn answer(frame: &[u8], identity: &Identity) -> Answer {
    match read(frame, identity) {
        Seen::Answer(answer) => *answer,
        other => panic!("{other:?}"),
    }
}

fn header_len(v6: bool) -> usize {
    if v6 { 40 } else { 20 }
}

/// A flow of a case: only one has several source ports.
fn flow_of(case: (Protocol, Strategy)) -> u16 {
    if identity(case).varies_source() { 0 } else { 7 }
}

/// The packet of a probe without its Ethernet header, as routers quote it: with TTL 1.
fn quote(template: &Template, numbers: Numbers) -> Vec<u8> {
    written(template, Numbers { ttl: 1, ..numbers })[14..].to_vec()
}

#[test]
fn every_probe_is_known_again_by_what_routers_quote() {
    for case in CASES {
        for (v6, places) in [false, true].into_iter().zip(PLACES) {
            let (identity, template) = (identity(case), template(case, v6));
            for number in [1, 2, 255, 256, 33_434, 0x1234, u16::MAX - 1, u16::MAX] {
                let flow = flow_of(case);
                let packet = quote(&template, numbers(flow, number));
                let cut = &packet[..header_len(v6) + 8];
                let mut padded = packet.clone();
                padded.resize(128, 0);
                for (quote, whole) in [(&packet[..], true), (cut, false), (&padded, true)] {
                    let seen = answer(&exceeded(quote, v6), &identity);
                    let told = whole || !v6 || ![UDP_DUBLIN, UDP_CLASSIC].contains(&case);
                    let place = (case == UDP_CLASSIC).then(|| place_of(number));
                    assert_eq!(
                        seen,
                        Answer {
                            from: address(places[2]),
                            to: address(places[0]),
                            target: address(places[1]),
                            flow: Some(flow),
                            number: told.then_some(number),
                            place,
                            kind: Kind::TimeExceeded,
                            reply_ttl: 61,
                            quoted_ttl: Some(1),
                            mpls: vec![],
                            extensions: vec![],
                            nat: None,
                        },
                        "{case:?} {number} {}",
                        quote.len()
                    );
                }
            }
        }
    }
}

#[test]
fn targets_answer_in_their_own_name() {
    for case in CASES {
        for (v6, places) in [false, true].into_iter().zip(PLACES) {
            let (identity, template) = (identity(case), template(case, v6));
            for (number, size) in [(1, 0), (4711, 0), (u16::MAX, 1400)] {
                let flow = flow_of(case);
                let probe = written(&template, Numbers { ttl: 9, flow, number, size });
                let ack = TcpView::parse(&probe[14 + header_len(v6)..]).map_or(0, |syn| syn.seq());
                let ack = ack.wrapping_add(1);
                let options = TcpOptions::default();
                let replies = match case.0 {
                    Protocol::Udp => {
                        vec![(Kind::UdpReply, made(|to| respond::udp_reply(to, &probe, b"hi")))]
                    }
                    Protocol::Icmp => {
                        vec![(Kind::EchoReply, made(|to| respond::echo_reply(to, &probe)))]
                    }
                    Protocol::Tcp => vec![
                        (Kind::Reset, made(|to| respond::tcp_rst(to, &probe))),
                        // Data in a SYN is not acknowledged by most.
                        (Kind::SynAck { ack }, syn_ack(&probe, v6, ack)),
                        (
                            Kind::SynAck {
                                ack: ack.wrapping_add(u32::from(
                                    size.saturating_sub(template.min_size()),
                                )),
                            },
                            made(|to| respond::tcp_syn_ack(to, &probe, 5, 9, options)),
                        ),
                    ],
                };
                for (kind, reply) in replies {
                    let seen = answer(&reply, &identity);
                    // The port of a classic UDP probe may have been that of an earlier one.
                    let told = case.0 != Protocol::Udp;
                    let place = (case == UDP_CLASSIC).then(|| place_of(number));
                    assert_eq!(seen.place, place, "{case:?}");
                    let (us, target) = (address(places[0]), address(places[1]));
                    assert_eq!((seen.from, seen.target, seen.to), (target, target, us));
                    assert_eq!(
                        (seen.flow, seen.number, seen.kind),
                        (Some(flow), told.then_some(number), kind),
                        "{case:?}"
                    );
                    // Damage anywhere is damage.
                    let mut damaged = reply.clone();
                    *damaged.last_mut().unwrap() ^= 1;
                    assert!(!matches!(read(&damaged, &identity), Seen::Answer(_)), "{case:?}");
                }
            }
        }
    }
}

/// The SYN-ACK to a SYN with an acknowledgement of our choice.
fn syn_ack(probe: &[u8], v6: bool, ack: u32) -> Vec<u8> {
    tcp_answer(probe, v6, TcpFlags::SYN | TcpFlags::ACK, ack)
}

fn tcp_answer(probe: &[u8], v6: bool, flags: TcpFlags, ack: u32) -> Vec<u8> {
    let headers = Headers::parse(probe).unwrap();
    let (src, dst) = headers.ports().unwrap();
    let [us, target, _] = PLACES[usize::from(v6)];
    let net = Net::new(IpPair::new(address(target), address(us)).unwrap());
    let header = TcpRepr { ack, ..TcpRepr::new(dst, src, flags) };
    let link = Link::new(NEXT, NEXT);
    made(|to| build::tcp(to, &link, &net, &header, &[]))
}

#[test]
fn a_reset_without_acknowledgement_tells_the_flow_alone() {
    let (identity, template) = (identity(TCP_PARIS), template(TCP_PARIS, false));
    let probe = written(&template, numbers(9, 500));
    let seen = answer(&tcp_answer(&probe, false, TcpFlags::RST, 0), &identity);
    assert_eq!((seen.flow, seen.number, seen.kind), (Some(9), None, Kind::Reset));
    let ack = TcpView::parse(&probe[34..]).unwrap().seq().wrapping_add(1);
    let seen = answer(&tcp_answer(&probe, false, TcpFlags::RST, ack), &identity);
    assert_eq!((seen.flow, seen.number), (Some(9), Some(500)));
    // With a wrong one it is forged, or for an earlier run.
    for flags in [TcpFlags::RST | TcpFlags::ACK, TcpFlags::SYN | TcpFlags::ACK] {
        let forged = tcp_answer(&probe, false, flags, ack.wrapping_add(1 << 16));
        assert_eq!(read(&forged, &identity), Seen::Foreign);
    }
    let plain = tcp_answer(&probe, false, TcpFlags::ACK, ack);
    assert_eq!(read(&plain, &identity), Seen::Foreign, "no answer to a SYN");
}

#[test]
fn errors_tell_their_kind_and_the_mtu() {
    let error_of = |error| {
        [false, true].map(|v6| {
            let probe = written(
                &template(UDP_PARIS, v6),
                Numbers { ttl: 9, flow: 3, number: 8, size: 1400 },
            );
            let router = address(PLACES[usize::from(v6)][2]);
            let frame = made(|to| respond::icmp_error(to, &probe, router, NEXT, error));
            let seen = answer(&frame, &identity(UDP_PARIS));
            assert_eq!((seen.flow, seen.number), (Some(3), Some(8)));
            seen.kind
        })
    };
    let both = |four: (u8, u8), six: (u8, u8), mtu| {
        [(true, four), (false, six)].map(|(v4, (icmp_type, code))| Kind::Error {
            v4,
            icmp_type,
            code,
            mtu,
        })
    };
    assert_eq!(error_of(IcmpError::TimeExceeded), [Kind::TimeExceeded; 2]);
    assert_eq!(error_of(IcmpError::PortUnreachable), both((3, 3), (1, 4), None));
    assert_eq!(error_of(IcmpError::HostUnreachable), both((3, 1), (1, 3), None));
    assert_eq!(error_of(IcmpError::PacketTooBig(1300)), both((3, 4), (2, 0), Some(1300)));
    // Routers older than RFC 1191 do not tell it; reassembly is not the TTL.
    let packet = quote(&template(UDP_PARIS, false), numbers(3, 8));
    let kind = |bytes: &[u8]| answer(bytes, &identity(UDP_PARIS)).kind;
    let kinds =
        [kind(&error(3, 4, [0; 4], &packet, false)), kind(&error(11, 1, [0; 4], &packet, false))];
    assert_eq!(
        kinds,
        [(3, 4), (11, 1)].map(|(icmp_type, code)| Kind::Error {
            v4: true,
            icmp_type,
            code,
            mtu: None
        })
    );
    // A redirect comments on a probe that goes on.
    let redirect = error(5, 1, [10, 0, 0, 9], &packet, false);
    assert_eq!(read(&redirect, &identity(UDP_PARIS)), Seen::Foreign);
}

#[test]
fn labels_and_other_objects_are_read_behind_the_quote() {
    let mut behind = vec![0x20, 0, 0, 0];
    behind.extend([0, 12, 1, 1, 0x03, 0xe8, 0x1a, 0xfe, 0x00, 0x01, 0x81, 0x01]);
    behind.extend([0, 6, 2, 8, 0xab, 0x01]);
    let sum = checksum::of(&behind);
    behind[2..4].copy_from_slice(&sum.to_be_bytes());
    for case in CASES {
        for v6 in [false, true] {
            let packet = quote(&template(case, v6), numbers(flow_of(case), 99));
            let mut padded = packet.clone();
            padded.resize(128, 0);
            let kind = if v6 { 3 } else { 11 };
            let with = |rest, behind: &[u8]| {
                answer(&error(kind, 0, rest, &[&padded, behind].concat(), v6), &identity(case))
            };
            let attribute = if v6 { [16, 0, 0, 0] } else { [0, 32, 0, 0] };
            for rest in [attribute, [0; 4]] {
                let seen = with(rest, &behind);
                assert_eq!((seen.number, seen.flow), (Some(99), Some(flow_of(case))), "{case:?}");
                assert_eq!(
                    seen.mpls,
                    [
                        Label { label: 16001, tc: 5, bottom: false, ttl: 254 },
                        Label { label: 24, tc: 0, bottom: true, ttl: 1 },
                    ]
                );
                let object = ExtensionObject { class: 2, ctype: 8, data: "ab01".into() };
                assert_eq!(seen.extensions, [object]);
                // A structure that lies is left out; the answer itself is none the worse.
                let mut lie = behind.clone();
                lie[5] = 13;
                let seen = with(rest, &lie);
                assert_eq!((seen.number, seen.mpls, seen.extensions), (Some(99), vec![], vec![]));
            }
        }
    }
}

/// An edit of a quoted IPv4 packet.
fn rewritten(case: (Protocol, Strategy), len: usize, edit: impl FnOnce(&mut [u8])) -> Answer {
    let mut packet = quote(&template(case, false), numbers(flow_of(case), 1000));
    edit(&mut packet);
    packet.truncate(len.min(packet.len()));
    answer(&exceeded(&packet, false), &identity(case))
}

#[test]
fn what_a_nat_changed_is_told_and_the_probe_known_all_the_same() {
    for len in [28, 1500] {
        for case in CASES.into_iter().filter(|case| case.1 != Strategy::Classic) {
            let seen =
                rewritten(case, len, |packet| packet[12..16].copy_from_slice(&[192, 0, 2, 1]));
            assert_eq!((seen.number, seen.flow), (Some(1000), Some(7)));
            assert_eq!(seen.nat, Some(Rewritten::SourceAddress), "{case:?}");
        }
        // A NAT restores addresses and ports, but not the checksum.
        for (case, at) in [(UDP_PARIS, 26), (UDP_DUBLIN, 26), (ICMP_PARIS, 22)] {
            let seen = rewritten(case, len, |packet| packet[at] ^= 0x55);
            assert_eq!((seen.number, seen.flow), (Some(1000), Some(7)), "{case:?}");
            assert_eq!(seen.nat, Some(Rewritten::Checksum), "{case:?}");
            let seen = rewritten(case, len, |packet| packet[at..at + 2].fill(0));
            assert_eq!((seen.number, seen.nat), (Some(1000), None), "erased is not translated");
        }
    }
    for (case, at) in [(UDP_PARIS, 21), (UDP_DUBLIN, 21), (ICMP_PARIS, 25)] {
        let seen = rewritten(case, 1500, |packet| packet[at] += 1);
        assert_eq!((seen.number, seen.flow), (Some(1000), Some(7)));
        assert_eq!(seen.nat, Some(Rewritten::SourcePort), "{case:?}");
    }
    // The identification is not sacred to everybody.
    for len in [28, 1500] {
        let seen = rewritten(UDP_PARIS, len, |packet| packet[4..6].fill(0));
        assert_eq!((seen.number, seen.nat), (Some(1000), None));
    }
    let seen = rewritten(UDP_PARIS, 1500, |packet| packet[4] ^= 0xff);
    assert_eq!((seen.number, seen.nat), (Some(1000), None));
    let seen = rewritten((Protocol::Tcp, Strategy::Classic), 28, |packet| packet[21] ^= 1);
    assert_eq!((seen.number, seen.nat), (Some(1000), Some(Rewritten::SourcePort)));
}

#[test]
fn quotes_of_others_are_foreign() {
    for case in CASES {
        let identity = identity(case);
        let packet = quote(&template(case, false), numbers(flow_of(case), 1000));
        let seen = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = packet.clone();
            edit(&mut packet);
            read(&exceeded(&packet, false), &identity)
        };
        assert!(matches!(seen(&|_| ()), Seen::Answer(_)));
        let source = if case.0 == Protocol::Icmp { 24 } else { 20 };
        assert_eq!(seen(&|packet| packet[source] = 1), Seen::Foreign, "{case:?}");
        assert_eq!(seen(&|packet| packet[9] = IpProto::GRE.0), Seen::Foreign);
        assert_eq!(seen(&|packet| packet[7] = 1), Seen::Foreign, "a later fragment");
        assert_eq!(seen(&|packet| packet.truncate(27)), Seen::Foreign, "short");
        assert_eq!(seen(&|packet| packet.truncate(20)), Seen::Foreign);
        assert_eq!(seen(&|packet| packet.truncate(19)), Seen::Malformed);
        assert_eq!(
            seen(&|packet| packet[0] = 0x4f),
            if packet.len() < 60 { Seen::Malformed } else { Seen::Foreign }
        );
        if case.1 != Strategy::Classic && case.0 != Protocol::Icmp {
            assert_eq!(seen(&|packet| packet[22] ^= 1), Seen::Foreign, "another port");
        }
        if case.0 == Protocol::Tcp {
            assert_eq!(seen(&|packet| packet[24] ^= 1), Seen::Foreign, "a guessed sequence number");
        }
        if case.0 == Protocol::Icmp {
            assert_eq!(seen(&|packet| packet[26..28].fill(0)), Seen::Foreign, "number 0");
        }
        let mut damaged = exceeded(&packet, false);
        damaged[14 + 20 + 2] ^= 1;
        assert_eq!(read(&damaged, &identity), Seen::Malformed);
    }
}

#[test]
fn sound_packets_that_answer_nothing_are_foreign() {
    let [us, target, _] = PLACES[0];
    let net = Net::new(IpPair::new(address(target), address(us)).unwrap());
    let link = Link::new(NEXT, NEXT);
    let udp = |src_port, dst_port| {
        let header = UdpRepr { src_port, dst_port };
        made(|to| build::udp(to, &link, &net, &header, b"data"))
    };
    let udp_identity = identity(UDP_PARIS);
    let seen = answer(&udp(33_434, 61_203), &udp_identity);
    assert_eq!((seen.flow, seen.number, seen.kind), (Some(3), None, Kind::UdpReply));
    for frame in [udp(33_435, 61_203), udp(33_434, 61_500), udp(33_434, 61_199)] {
        assert_eq!(read(&frame, &udp_identity), Seen::Foreign);
    }
    assert_eq!(read(&udp(33_434, 61_203), &identity(TCP_PARIS)), Seen::Foreign);
    let message = Icmpv4Message::EchoReply { id: 61_203, seq: 5, data: &[] };
    let reply = made(|to| build::icmpv4(to, &link, &net, &message));
    assert_eq!(answer(&reply, &identity(ICMP_PARIS)).number, Some(5));
    assert_eq!(read(&reply, &udp_identity), Seen::Foreign);
    let request = made(|to| build::echo_request(to, &link, &net, 61_203, 5, &[]));
    assert_eq!(read(&request, &identity(ICMP_PARIS)), Seen::Foreign);
    let mut arp = vec![0; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(read(&arp, &udp_identity), Seen::Foreign);
    assert_eq!(read(&[0; 9], &udp_identity), Seen::Malformed);
}

proptest! {
    #[test]
    fn any_probe_comes_back(
        case in prop::sample::select(CASES.to_vec()),
        v6: bool,
        flow in 0u16..300,
        number in 1u16..,
        size in 0u16..3000,
        len in 8usize..2000,
        fill in vec(any::<u8>(), 0..200),
    ) {
        let (identity, template) = (identity(case), template(case, v6));
        let flow = if identity.varies_source() { 0 } else { flow };
        let packet = quote(&template, Numbers { ttl: 1, flow, number, size });
        let mut cut = packet[..packet.len().min(header_len(v6) + len)].to_vec();
        // What follows a whole datagram is not of it.
        if cut.len() == packet.len() {
            cut.extend(fill);
        }
        let seen = answer(&exceeded(&cut, v6), &identity);
        let told = !v6 || ![UDP_DUBLIN, UDP_CLASSIC].contains(&case) || len >= 14;
        prop_assert_eq!((seen.flow, seen.number), (Some(flow), told.then_some(number)));
        prop_assert_eq!(seen.place, (case == UDP_CLASSIC).then(|| place_of(number)));
        prop_assert_eq!(seen.nat, None);
    }

    #[test]
    fn any_bytes_are_something(
        case in prop::sample::select(CASES.to_vec()),
        bytes in vec(any::<u8>(), 0..300),
    ) {
        let _ = read(&bytes, &identity(case));
    }

    #[test]
    fn a_mangled_answer_is_something(
        case in prop::sample::select(CASES.to_vec()),
        v6: bool,
        rest in prop::sample::select(vec![[0; 4], [0, 32, 0, 0], [16, 0, 0, 0], [9, 9, 9, 9]]),
        behind in vec(any::<u8>(), 0..40),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in 0usize..80,
    ) {
        let (identity, template) = (identity(case), template(case, v6));
        let mut quote = quote(&template, numbers(flow_of(case), 77));
        quote.resize(128, 0);
        quote.extend([0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 0x11, 9]);
        quote.extend(behind);
        for (at, byte) in &edits {
            let at = at.index(quote.len());
            quote[at] = *byte;
        }
        quote.truncate(quote.len() - cut);
        // The outer checksums are right, so that what lies behind them is reached.
        let frame = exceeded_with(rest, &quote, v6);
        prop_assert!(Headers::parse(&frame).unwrap().verify_checksums(&frame));
        if let Seen::Answer(seen) = read(&frame, &identity) {
            prop_assert!(seen.flow.is_some_and(|flow| flow < identity.span));
            prop_assert!(seen.number != Some(0));
        }
        let mut frame = frame;
        for (at, byte) in edits {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let _ = read(&frame, &identity);
    }
}

fn exceeded_with(rest: [u8; 4], quote: &[u8], v6: bool) -> Vec<u8> {
    error(if v6 { 3 } else { 11 }, 0, rest, quote, v6)
}
