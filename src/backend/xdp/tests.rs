//! The redirect program on packets made by hand, run by the kernel without an interface.

use super::*;
use crate::backend::QueueCounters;
use crate::backend::filter::{Filter, Match, PayloadMatch, VlanMatch};
use crate::config::Fail;
use crate::error::ErrorKind;
use crate::lab;
use crate::proto::{EtherType, MacAddr, Tag};
use crate::sys::bpf;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

const US: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const THEM: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const US6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
const THEM6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0xfd0a, 0, 0, 0, 0, 0, 0, 9);

const DROP: u32 = 1;
const PASS: u32 = 2;
const REDIRECT: u32 = 4;

fn eth(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 6][..], &[4; 6], &ether_type.to_be_bytes(), payload].concat()
}

/// The same frame from another address.
fn from_mac(mac: MacAddr, frame: &[u8]) -> Vec<u8> {
    [&frame[..6], &mac.0, &frame[12..]].concat()
}

fn vlan(tag_type: u16, frame: &[u8]) -> Vec<u8> {
    in_vlan(tag_type, 42, frame)
}

fn in_vlan(tag_type: u16, tci: u16, frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &tag_type.to_be_bytes(), &tci.to_be_bytes(), &frame[12..]].concat()
}

/// The VLAN of these types and identifiers, outermost first.
fn vlan_of(tags: &[(u16, u16)]) -> VlanMatch {
    let tag = |&(tpid, tci): &(u16, u16)| Tag { tpid: EtherType(tpid), tci };
    VlanMatch::of(&tags.iter().map(tag).collect::<Vec<_>>())
}

/// An IPv4 datagram with `options` (of 4 bytes each) and a fragment field.
fn ip4(
    proto: u8,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    options: u8,
    fragment: u16,
    body: &[u8],
) -> Vec<u8> {
    let header = 20 + 4 * usize::from(options);
    let mut p = vec![0x45 + options, 0];
    p.extend(((header + body.len()) as u16).to_be_bytes());
    p.extend([0, 7]);
    p.extend(fragment.to_be_bytes());
    p.extend([64, proto, 0, 0]);
    p.extend(src.octets());
    p.extend(dst.octets());
    p.resize(header, 1);
    p.extend(body);
    p
}

fn ip6(next: u8, src: Ipv6Addr, dst: Ipv6Addr, body: &[u8]) -> Vec<u8> {
    let mut p = vec![0x60, 0, 0, 0];
    p.extend((body.len() as u16).to_be_bytes());
    p.extend([next, 64]);
    p.extend(src.octets());
    p.extend(dst.octets());
    p.extend(body);
    p
}

/// An extension header of `units` × 8 bytes in front of `body`.
fn extension(next: u8, units: u8, body: &[u8]) -> Vec<u8> {
    let mut p = vec![next, units - 1];
    p.resize(8 * usize::from(units), 0);
    p.extend(body);
    p
}

fn fragment6(next: u8, field: u16, body: &[u8]) -> Vec<u8> {
    [&[next, 0][..], &field.to_be_bytes(), &[0, 0, 0, 9], body].concat()
}

fn udp(src: u16, dst: u16) -> Vec<u8> {
    [&src.to_be_bytes()[..], &dst.to_be_bytes(), &[0, 12, 0, 0], b"data"].concat()
}

fn echo(kind: u8, id: u16) -> Vec<u8> {
    [&[kind, 0, 0, 0][..], &id.to_be_bytes(), &[0, 1], b"payload!"].concat()
}

/// An ICMP error of `kind` that quotes `datagram`.
fn error(kind: u8, datagram: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], datagram].concat()
}

fn row() -> Match {
    Match::default()
}

fn loaded(stamp: bool) -> Option<Loaded> {
    lab::rooted().then(|| load("lo", 2, stamp).unwrap())
}

fn counters(program: &Loaded) -> QueueCounters {
    program.tables.counters().unwrap()[0]
}

/// Whether the program wants the packet: without a socket it passes it all the same and counts.
fn wants(program: &Loaded, packet: &[u8]) -> bool {
    let before = counters(program);
    let (action, _) = bpf::test_run(program.program.as_fd(), packet).unwrap();
    assert_eq!(action, PASS, "no socket to redirect to");
    let after = counters(program);
    let wanted = after.no_socket - before.no_socket;
    assert_eq!(wanted + after.passed - before.passed, 1, "each packet is counted once");
    wanted == 1
}

/// Checks one row against packets that it must and must not match.
fn check(row: Match, yes: &[Vec<u8>], no: &[Vec<u8>]) {
    let Some(mut program) = loaded(false) else { return };
    program.tables.set_between_packets(&Filter::Any(vec![row.clone()])).unwrap();
    for packet in yes {
        assert!(wants(&program, packet), "{row:?} should match {packet:02x?}");
    }
    for packet in no {
        assert!(!wants(&program, packet), "{row:?} should not match {packet:02x?}");
    }
}

#[test]
fn what_has_no_socket_is_passed_or_dropped_as_the_settings_say_and_counted_as_that() {
    let ours = eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(53, 7)));
    let other = eth(0x0800, &ip4(6, THEM, US, 0, 0, &udp(53, 7)));
    let udp_alone = Filter::Any(vec![Match { ip_proto: Some(17), ..row() }]);
    for stamp in [false, true] {
        let Some(mut program) = loaded(stamp) else { return };
        let mut want = QueueCounters::default();
        for (fail, filter) in [
            (Fail::Open, &udp_alone),
            (Fail::Closed, &udp_alone),
            (Fail::Closed, &Filter::Everything),
            (Fail::Closed, &Filter::Nothing),
            (Fail::Open, &Filter::Everything),
        ] {
            program.tables.fail(fail);
            program.tables.set_between_packets(filter).unwrap();
            for packet in [&ours, &other] {
                let (action, _) = bpf::test_run(program.program.as_fd(), packet).unwrap();
                let is_ours = filter.matches(packet);
                let closed = is_ours && fail == Fail::Closed;
                assert_eq!(action, if closed { DROP } else { PASS }, "{fail} {filter:?}");
                *match (is_ours, closed) {
                    (false, _) => &mut want.passed,
                    (true, false) => &mut want.no_socket,
                    (true, true) => &mut want.dropped,
                } += 1;
            }
            assert_eq!(counters(&program), want, "{fail} {filter:?}");
        }
    }
}

#[test]
fn echo_replies_match_by_identifier() {
    let reply = |id| eth(0x0800, &ip4(1, THEM, US, 0, 0, &echo(0, id)));
    let reply6 = |id| eth(0x86dd, &ip6(58, THEM6, US6, &echo(129, id)));
    check(
        Match { ip_proto: Some(1), icmp_type: Some(0), icmp_id: Some(100..=102), ..row() },
        &[reply(100), reply(101), reply(102), eth(0x0800, &ip4(1, THEM, US, 3, 0, &echo(0, 101)))],
        &[
            reply(99),
            reply(103),
            eth(0x0800, &ip4(1, THEM, US, 0, 0, &echo(8, 101))),
            eth(0x0800, &ip4(17, THEM, US, 0, 0, &echo(0, 101))),
            eth(0x0800, &ip4(1, THEM, US, 0, 0, &echo(13, 101))),
            reply6(101),
        ],
    );
    check(
        Match { ip_proto: Some(58), icmp_type: Some(129), icmp_id: Some(7..=7), ..row() },
        &[reply6(7)],
        &[reply6(8), reply(7), eth(0x86dd, &ip6(58, THEM6, US6, &echo(128, 7)))],
    );
}

#[test]
fn errors_match_by_what_they_quote() {
    let ours = |id| ip4(1, US, THEM, 0, 0, &echo(8, id));
    let quoted = Match {
        ip_proto: Some(1),
        src: Some((US.into(), 32)),
        icmp_type: Some(8),
        icmp_id: Some(7..=7),
        quoted: true,
        ..row()
    };
    let from_router =
        |kind, datagram: &[u8]| eth(0x0800, &ip4(1, ROUTER, US, 0, 0, &error(kind, datagram)));
    let optioned = ip4(1, US, THEM, 10, 0, &echo(8, 7));
    check(
        quoted,
        &[
            from_router(11, &ours(7)),
            from_router(3, &ours(7)),
            from_router(4, &ours(7)),
            from_router(5, &ours(7)),
            from_router(12, &ours(7)),
            // RFC 792: the header and 8 bytes are enough.
            from_router(11, &ours(7)[..28]),
            from_router(11, &optioned[..68]),
            eth(0x0800, &ip4(1, ROUTER, US, 5, 0, &error(11, &ours(7)))),
        ],
        &[
            from_router(11, &ours(8)),
            from_router(11, &ours(7)[..27]),
            from_router(11, &ip4(1, THEM, US, 0, 0, &echo(8, 7))),
            from_router(13, &ours(7)),
            from_router(0, &ours(7)),
            // Our own request is not an error about it.
            eth(0x0800, &ours(7)),
            from_router(11, &ip6(58, US6, THEM6, &echo(128, 7))),
        ],
    );

    let probe = ip6(17, US6, THEM6, &udp(5000, 33434));
    let deep = ip6(0, US6, THEM6, &extension(60, 1, &extension(17, 2, &udp(5000, 33434))));
    let from_router6 =
        |kind, datagram: &[u8]| eth(0x86dd, &ip6(58, ROUTER6, US6, &error(kind, datagram)));
    check(
        Match {
            ip_proto: Some(17),
            src_ports: Some(5000..=5009),
            dst: Some((THEM6.into(), 128)),
            quoted: true,
            ..row()
        },
        &[
            from_router6(3, &probe),
            from_router6(1, &probe),
            from_router6(2, &probe),
            from_router6(4, &probe),
            from_router6(3, &deep),
            from_router6(3, &probe[..44]),
            eth(0x86dd, &ip6(0, ROUTER6, US6, &extension(58, 1, &error(3, &probe)))),
        ],
        &[
            from_router6(3, &probe[..43]),
            from_router6(128, &probe),
            from_router6(5, &probe),
            from_router6(3, &ip6(17, US6, ROUTER6, &udp(5000, 33434))),
            eth(0x86dd, &probe),
        ],
    );
}

#[test]
fn prefixes_and_ports_are_compared_to_the_bit() {
    let udp4 = |src: [u8; 4], sport, dport| {
        eth(0x0800, &ip4(17, src.into(), US, 0, 0, &udp(sport, dport)))
    };
    check(
        Match {
            src: Some((Ipv4Addr::new(10, 9, 3, 0).into(), 23)),
            src_ports: Some(53..=53),
            dst_ports: Some(1024..=65535),
            ..row()
        },
        &[udp4([10, 9, 2, 0], 53, 1024), udp4([10, 9, 3, 255], 53, 65535)],
        &[
            udp4([10, 9, 4, 0], 53, 1024),
            udp4([10, 9, 1, 255], 53, 1024),
            udp4([10, 9, 2, 1], 54, 1024),
            udp4([10, 9, 2, 1], 53, 1023),
            eth(0x0800, &ip4(1, Ipv4Addr::new(10, 9, 2, 1), US, 0, 0, &echo(8, 53))),
            eth(0x86dd, &ip6(17, THEM6, US6, &udp(53, 2000))),
        ],
    );
    let from6 = |src: &str| eth(0x86dd, &ip6(6, src.parse().unwrap(), US6, &udp(80, 1)));
    check(
        Match { src: Some(("2001:db8:8000::".parse().unwrap(), 33)), ..row() },
        &[from6("2001:db8:8000::1"), from6("2001:db8:ffff::1")],
        &[from6("2001:db8:7fff::1"), from6("2001:db9:8000::1"), udp4([32, 1, 13, 184], 1, 1)],
    );
    let everywhere = Match { dst: Some((Ipv4Addr::UNSPECIFIED.into(), 0)), ..row() };
    check(everywhere, &[udp4([1, 2, 3, 4], 5, 6)], &[from6("2001:db8::1")]);
}

#[test]
fn vlan_tags_are_skipped_up_to_two() {
    let plain = eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(7, 9)));
    let one = vlan(0x8100, &plain);
    let two = vlan(0x88a8, &one);
    let three = vlan(0x8100, &two);
    let wanted = Match { ip_proto: Some(17), dst_ports: Some(9..=9), ..row() };
    check(wanted, &[plain, one, two.clone()], std::slice::from_ref(&three));
    let tagged = Match { ether_type: Some(0x8100), ..row() };
    check(tagged, &[three], &[two]);
}

#[test]
fn a_frame_is_in_the_vlan_of_its_tags_whatever_their_priority() {
    const Q: u16 = 0x8100;
    const AD: u16 = 0x88a8;
    let plain = eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(7, 9)));
    let quoting = error(3, &ip4(17, US, THEM, 0, 0, &udp(9, 7)));
    let quoting = eth(0x0800, &ip4(1, ROUTER, US, 0, 0, &quoting));
    let udp_in = |vlan| Match { ip_proto: Some(17), vlan: Some(vlan), ..row() };
    for (row, plain) in [
        (&udp_in as &dyn Fn(VlanMatch) -> Match, plain),
        (&|vlan| Match { quoted: true, ..udp_in(vlan) }, quoting),
    ] {
        let in_ = |tags: &[(u16, u16)]| {
            let inside = plain.clone();
            tags.iter().rev().fold(inside, |frame, &(kind, tci)| in_vlan(kind, tci, &frame))
        };
        let none = [in_(&[]), in_(&[(Q, 0)]), in_(&[(Q, 0xe000)]), in_(&[(AD, 0), (Q, 0)])];
        let seven =
            [in_(&[(Q, 7)]), in_(&[(Q, 0xa007)]), in_(&[(Q, 0), (Q, 7)]), in_(&[(Q, 7), (Q, 0)])];
        let both = [in_(&[(AD, 200), (Q, 7)]), in_(&[(AD, 0x2000 | 200), (Q, 0xf007)])];
        let others = [
            in_(&[(Q, 99)]),
            in_(&[(AD, 7)]),
            in_(&[(Q, 7), (Q, 7)]),
            in_(&[(Q, 200), (Q, 7)]),
            in_(&[(AD, 200)]),
            in_(&[(Q, 7), (AD, 200)]),
        ];
        let without = |mine: &[Vec<u8>]| -> Vec<Vec<u8>> {
            let all = none.iter().chain(&seven).chain(&both).chain(&others);
            all.filter(|frame| !mine.contains(frame)).cloned().collect()
        };
        check(row(VlanMatch::UNTAGGED), &none, &without(&none));
        check(row(vlan_of(&[(Q, 0x6007)])), &seven, &without(&seven));
        check(row(vlan_of(&[(AD, 200), (Q, 7)])), &both, &without(&both));
    }
}

#[test]
fn a_payload_is_compared_where_it_is_there() {
    let bytes = *b"TOKEN__!";
    let mask = [0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0];
    let message = |kind: u8, payload: &[u8]| [&[kind, 0, 0, 0, 0, 7, 0, 1][..], payload].concat();
    let reply = |payload: &[u8]| eth(0x0800, &ip4(1, THEM, US, 0, 0, &message(0, payload)));
    let reply6 = |payload: &[u8]| eth(0x86dd, &ip6(58, THEM6, US6, &message(129, payload)));
    let echo = |payload: &[u8]| ip4(1, US, THEM, 0, 0, &message(8, payload));
    let about = |quote: &[u8]| eth(0x0800, &ip4(1, ROUTER, US, 0, 0, &error(11, quote)));
    let sames = [&b"TOKEN__!"[..], b"TOKENabc", b"TOKENabc and more"];
    let others = [&b"TOKeN__!"[..], b"12345678", &[0; 8]];
    let shorts = [&b""[..], b"1", b"TOKEN__", b"1234567"];
    for (one, wrap) in [
        (&reply as &dyn Fn(&[u8]) -> Vec<u8>, false),
        (&reply6, false),
        (&|p| about(&echo(p)), true),
    ] {
        let row = |payload| Match { payload: Some(payload), quoted: wrap, ..row() };
        let all = |payloads: &[&[u8]]| payloads.iter().map(|p| one(p)).collect::<Vec<_>>();
        let (same, short) = (all(&sames), all(&shorts));
        // What is filled up with zeros was not quoted.
        let other = all(if wrap { &others[..2] } else { &others });
        check(row(PayloadMatch::Is { bytes, mask }), &same, &[&other[..], &short].concat());
        let either = [&same[..], &short].concat();
        check(row(PayloadMatch::IsOrShorter { bytes, mask }), &either, &other);
        check(row(PayloadMatch::Shorter), &short, &[same, other].concat());
    }
    // A quote that ends early has no payload, whatever its length says.
    let cut = about(&echo(b"otherwise")[..28]);
    let zeros = about(&echo(&[0; 40]));
    let shorter = Match { payload: Some(PayloadMatch::Shorter), quoted: true, ..row() };
    check(shorter, &[cut, zeros], &[about(&echo(b"otherwise"))]);
    // UDP has one, TCP none.
    let long =
        |proto| eth(0x0800, &ip4(proto, THEM, US, 0, 0, &[&udp(1, 2)[..8], b"TOKEN---"].concat()));
    check(
        Match { payload: Some(PayloadMatch::Is { bytes, mask }), ..row() },
        &[long(17)],
        &[long(6)],
    );
}

#[test]
fn an_ether_type_matches_without_ip() {
    let arp = eth(0x0806, &[0; 28]);
    check(
        Match { ether_type: Some(0x0806), ..row() },
        &[arp.clone(), vlan(0x8100, &arp), eth(0x0806, &[])],
        &[eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(1, 2))), eth(0x88b5, &[0; 46])],
    );
    check(row(), &[eth(0x0800, &ip4(50, THEM, US, 0, 0, &[]))], &[arp, eth(0x0800, &[0x45; 19])]);
}

#[test]
fn a_peer_is_told_by_its_ethernet_address() {
    let (peer, near) = (MacAddr([4; 6]), MacAddr([4, 4, 4, 4, 4, 5]));
    let udp = eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(7, 9)));
    let arp = eth(0x0806, &[0; 28]);
    let mut broken = udp.clone();
    broken[14] = 0x55;
    let others = [&udp, &arp].map(|frame| from_mac(near, frame));
    check(
        Match { ether_src: Some(peer), ..row() },
        &[udp.clone(), arp.clone(), vlan(0x8100, &udp), eth(0x0800, &[]), broken.clone()],
        &others,
    );
    check(
        Match { ether_src: Some(peer), ether_type: Some(0x0806), ..row() },
        &[arp.clone(), vlan(0x88a8, &arp)],
        &[udp.clone(), others[1].clone()],
    );
    check(
        Match { ether_src: Some(peer), dst_ports: Some(9..=9), ..row() },
        &[udp, eth(0x86dd, &ip6(17, THEM6, US6, &[0, 7, 0, 9, 0, 8, 0, 0]))],
        &[arp, broken, others[0].clone()],
    );
}

#[test]
fn ipv6_extension_headers_are_skipped_up_to_eight() {
    let chain = |kinds: &[u8]| {
        let mut body = udp(5, 6);
        let mut next = 17;
        for &kind in kinds.iter().rev() {
            body = if kind == 51 {
                // The authentication header counts in words of 4, less 2.
                [&[next, 4][..], &[0; 22], &body].concat()
            } else {
                extension(next, 1 + kind % 3, &body)
            };
            next = kind;
        }
        eth(0x86dd, &ip6(next, THEM6, US6, &body))
    };
    let wanted = Match { ip_proto: Some(17), dst_ports: Some(6..=6), ..row() };
    let mut cut = chain(&[0, 60]);
    cut.truncate(14 + 40 + 7);
    check(
        wanted,
        &[
            chain(&[]),
            chain(&[0]),
            chain(&[0, 43, 60]),
            chain(&[51]),
            chain(&[0, 51, 60, 135, 139, 140, 43, 60]),
        ],
        &[chain(&[60; 9]), chain(&[50]), chain(&[59]), cut],
    );
}

#[test]
fn later_fragments_have_a_protocol_and_no_ports() {
    let first = eth(0x0800, &ip4(17, THEM, US, 0, 0x2000, &udp(5, 6)));
    let later = eth(0x0800, &ip4(17, THEM, US, 0, 0x2001, &udp(5, 6)));
    let six = |field| eth(0x86dd, &ip6(44, THEM6, US6, &fragment6(17, field, &udp(5, 6))));
    check(
        Match { ip_proto: Some(17), dst_ports: Some(0..=65535), ..row() },
        &[first.clone(), six(0), six(1)],
        &[later.clone(), six(8), six(0xfff9)],
    );
    check(
        Match { ip_proto: Some(17), ..row() },
        &[first, later, six(0), six(8)],
        &[eth(0x86dd, &ip6(44, THEM6, US6, &fragment6(6, 8, &udp(5, 6))))],
    );
}

#[test]
fn fragments_are_left_to_the_kernel_where_a_row_asks_for_whole_packets() {
    let four = |field| eth(0x0800, &ip4(17, THEM, US, 0, field, &udp(5, 6)));
    let six = |field| eth(0x86dd, &ip6(44, THEM6, US6, &fragment6(17, field, &udp(5, 6))));
    let ours = ip4(17, US, THEM, 0, 0x2000, &udp(6, 5));
    let about = |field| eth(0x0800, &ip4(1, ROUTER, US, 0, field, &error(11, &ours)));
    let whole = Match { ip_proto: Some(17), whole: true, ..row() };
    check(
        whole.clone(),
        &[four(0), four(0x4000), six(0)],
        &[four(0x2000), four(0x2001), four(1), six(1), six(8), six(9)],
    );
    // What an error quotes may be the beginning of a fragment.
    let quoted = Match { src_ports: Some(6..=6), quoted: true, ..whole };
    check(quoted, &[about(0), about(0x4000)], &[about(0x2000), about(1)]);
}

#[test]
fn a_length_that_does_not_fit_the_packet_is_not_ip() {
    let mut short = ip4(17, THEM, US, 0, 0, &udp(5, 6));
    short[3] += 1;
    let mut small = ip4(17, THEM, US, 0, 0, &udp(5, 6));
    small[3] = 19;
    let mut nibble = ip4(17, THEM, US, 0, 0, &udp(5, 6));
    nibble[0] = 0x44;
    let mut version = ip4(17, THEM, US, 0, 0, &udp(5, 6));
    version[0] = 0x65;
    let mut six = ip6(17, THEM6, US6, &udp(5, 6));
    six[5] += 1;
    let mut padded = ip4(17, THEM, US, 0, 0, &[]);
    padded.extend(udp(5, 6));
    let bad = [short, small, nibble, version].map(|p| eth(0x0800, &p));
    check(row(), &[eth(0x0800, &padded)], &bad);
    check(row(), &[], &[eth(0x86dd, &six)]);
    // What lies beyond the datagram's length is Ethernet padding, not ports.
    check(Match { dst_ports: Some(6..=6), ..row() }, &[], &[eth(0x0800, &padded)]);
}

#[test]
fn every_prefix_of_every_packet_is_judged_without_harm() {
    let Some(mut program) = loaded(false) else { return };
    let wanted = Match { dst_ports: Some(6..=6), ..row() };
    let quoted = Match { quoted: true, ..wanted.clone() };
    program.tables.set_between_packets(&Filter::Any(vec![wanted, quoted])).unwrap();
    let inner = ip6(0, US6, THEM6, &extension(44, 2, &fragment6(17, 0, &udp(5, 6))));
    let whole = eth(0x86dd, &ip6(60, ROUTER6, US6, &extension(58, 1, &error(3, &inner))));
    let whole = vlan(0x8100, &whole);
    assert!(wants(&program, &whole));
    for len in 14..whole.len() {
        let mut cut = whole[..len].to_vec();
        // With lengths that fit, so that only the headers' own rules decide.
        if len > 18 + 40 {
            let payload = (len - 18 - 40) as u16;
            cut[18 + 4..18 + 6].copy_from_slice(&payload.to_be_bytes());
        }
        let ports_there = len >= whole.len() - b"data".len() - 4;
        assert_eq!(wants(&program, &cut), ports_there, "{len} bytes");
    }
    let mut state = 1u64;
    for _ in 0..2000 {
        let mut noise = whole.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % noise.len();
            noise[at] = (state >> 56) as u8;
        }
        wants(&program, &noise);
    }
}

#[test]
fn all_rows_are_looked_at_and_none_beyond() {
    let Some(mut program) = loaded(false) else { return };
    let packet = |port| eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(1, port)));
    let rows = |n: u16| {
        let row = |port| Match { dst_ports: Some(port..=port), ..row() };
        Filter::Any((0..n).map(row).collect())
    };
    program.tables.set_between_packets(&rows(32)).unwrap();
    assert!(wants(&program, &packet(0)) && wants(&program, &packet(31)));
    assert!(!wants(&program, &packet(32)));
    program.tables.set_between_packets(&rows(3)).unwrap();
    program.tables.set_between_packets(&rows(2)).unwrap();
    assert!(wants(&program, &packet(1)) && !wants(&program, &packet(2)));
    program.tables.set_between_packets(&Filter::Nothing).unwrap();
    assert!(!wants(&program, &packet(1)));
    program.tables.set_between_packets(&Filter::Everything).unwrap();
    assert!(wants(&program, &packet(1)) && wants(&program, &eth(0, &[])));
    let error = program.tables.set_between_packets(&rows(33)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(wants(&program, &packet(99)), "the refused filter changed nothing");
}

#[test]
fn a_match_with_a_socket_is_redirected_with_the_time_in_front() {
    use crate::sys::if_xdp::Ring;
    use crate::sys::{clock, xsk::Xsk};
    let Some(mut program) = loaded(true) else { return };
    let memory = crate::umem::region::Region::map(4096, crate::config::Pages::Ordinary).unwrap();
    let socket = Xsk::open().unwrap();
    socket.register_umem(memory.base().as_ptr() as u64, 4096, 2048).unwrap();
    socket.size_ring(Ring::Fill, 8).unwrap();
    socket.size_ring(Ring::Comp, 8).unwrap();
    socket.size_ring(Ring::Rx, 8).unwrap();
    program.xsks.insert(0, socket.raw_fd()).unwrap();
    program.tables.set_between_packets(&Filter::Everything).unwrap();
    let packet = eth(0x88b5, &[7; 46]);
    let before = clock::monotonic_ns();
    let (action, out) = bpf::test_run(program.program.as_fd(), &packet).unwrap();
    let after = clock::monotonic_ns();
    assert_eq!(action, REDIRECT);
    let (meta, rest) = out.split_at(16);
    assert_eq!(rest, packet);
    assert_eq!(meta[..4], 0x666c_7578u32.to_ne_bytes());
    let stamp = u64::from_ne_bytes(meta[8..].try_into().unwrap());
    assert!(before <= stamp && stamp <= after);
    let counters = counters(&program);
    assert_eq!((counters.redirected, counters.no_meta, counters.no_socket), (1, 0, 0));
}

fn address4() -> impl Strategy<Value = Ipv4Addr> {
    prop::sample::select(vec![US, THEM, ROUTER])
}

fn address6() -> impl Strategy<Value = Ipv6Addr> {
    prop::sample::select(vec![US6, THEM6, ROUTER6])
}

/// Few values, so that rows and packets often agree.
fn small() -> std::ops::Range<u16> {
    0..4
}

fn protocol() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![1u8, 6, 17, 58, 50])
}

fn transport() -> impl Strategy<Value = Vec<u8>> {
    let kinds = vec![0u8, 8, 3, 11, 128, 129, 1, 13];
    let header = prop_oneof![
        (small(), small()).prop_map(|(src, dst)| udp(src, dst)),
        (prop::sample::select(kinds), small()).prop_map(|(kind, id)| echo(kind, id)),
    ];
    let bytes = prop::collection::vec(prop::sample::select(vec![0u8, 1]), 0..10);
    (header, prop::option::weighted(0.3, bytes)).prop_map(|(mut all, payload)| {
        if let Some(payload) = payload {
            all.truncate(8);
            all.extend(payload);
        }
        all
    })
}

fn payload_match() -> impl Strategy<Value = PayloadMatch> {
    let word = || prop::sample::select(vec![[0u8; 8], [1; 8], *b"payload!"]);
    let mask = prop::sample::select(vec![[0u8; 8], [0xff; 8], [0, 0, 0, 1, 0xff, 0, 0, 0]]);
    (0..3, word(), mask).prop_map(|(kind, bytes, mask)| match kind {
        0 => PayloadMatch::Is { bytes, mask },
        1 => PayloadMatch::IsOrShorter { bytes, mask },
        _ => PayloadMatch::Shorter,
    })
}

fn tags() -> impl Strategy<Value = Vec<(u16, u16)>> {
    let tag = (
        prop::sample::select(vec![0x8100u16, 0x88a8]),
        prop::sample::select(vec![42u16, 7, 0x7000]),
    );
    prop::collection::vec(tag, 0..4)
}

/// An IP datagram around `body` and the EtherType it goes by.
fn datagram(body: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<(u16, Vec<u8>)> {
    let extensions = vec![0u8, 43, 44, 51, 60, 135, 139, 140];
    let fragments = vec![0u16, 0, 0, 0x2000, 0x2001, 0x4000];
    let v4 = (protocol(), address4(), address4(), 0u8..4, prop::sample::select(fragments))
        .prop_flat_map({
            let body = body.clone();
            move |fields| (Just(fields), body.clone())
        })
        .prop_map(|((proto, src, dst, options, fragment), body)| {
            (0x0800, ip4(proto, src, dst, options, fragment, &body))
        });
    let chain = prop::collection::vec((prop::sample::select(extensions), 1u8..4, 0u16..10), 0..10);
    let v6 = (protocol(), address6(), address6(), chain, body).prop_map(
        |(proto, src, dst, chain, body)| {
            let (mut next, mut bytes) = (proto, body);
            for (kind, units, field) in chain {
                bytes = match kind {
                    44 => fragment6(next, field, &bytes),
                    51 => [&[next, units * 2][..], &vec![0; 6 + 8 * usize::from(units)], &bytes]
                        .concat(),
                    _ => extension(next, units, &bytes),
                };
                next = kind;
            }
            (0x86dd, ip6(next, src, dst, &bytes))
        },
    );
    // What a shorter length leaves outside is Ethernet padding.
    let shorter = prop::option::weighted(0.3, 0u16..24);
    (prop_oneof![v4, v6], shorter)
        .prop_map(|((ether_type, mut bytes), shorter)| {
            let field = if ether_type == 0x0800 { 2..4 } else { 4..6 };
            let len = u16::from_be_bytes([bytes[field.start], bytes[field.start + 1]]);
            let len = len.saturating_sub(shorter.unwrap_or(0));
            bytes[field].copy_from_slice(&len.to_be_bytes());
            (ether_type, bytes)
        })
        .boxed()
}

/// ICMP errors, with what they quote cut anywhere.
fn quoting() -> impl Strategy<Value = Vec<u8>> {
    let kinds = vec![0u8, 1, 2, 3, 4, 5, 11, 12, 13, 128];
    let inner = datagram(transport().boxed());
    (prop::sample::select(kinds), inner, 0..200usize).prop_map(|(kind, (_, mut quoted), len)| {
        quoted.truncate(len);
        error(kind, &quoted)
    })
}

fn ether_src() -> impl Strategy<Value = MacAddr> {
    prop::sample::select(vec![[4; 6], [4, 4, 4, 4, 4, 5], [5, 4, 4, 4, 4, 4]]).prop_map(MacAddr)
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![transport(), quoting()].boxed();
    let flips = prop::collection::vec((0usize..200, any::<u8>()), 0..3);
    let other = prop::sample::select(vec![0x0806u16, 0x88cc]).prop_map(|kind| (kind, vec![0; 28]));
    let payload = prop_oneof![9 => datagram(body), 1 => other];
    (payload, ether_src(), tags(), flips, prop::option::weighted(0.3, 14..300usize)).prop_map(
        |((ether_type, payload), from, tags, flips, cut)| {
            let mut frame = from_mac(from, &eth(ether_type, &payload));
            for (kind, tci) in tags {
                frame = in_vlan(kind, tci, &frame);
            }
            for (at, value) in flips {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            frame.truncate(cut.unwrap_or(usize::MAX));
            frame
        },
    )
}

fn match_row() -> impl Strategy<Value = Match> {
    let address = prop_oneof![
        (address4(), 0u8..=32).prop_map(|(a, len)| (IpAddr::from(a), len)),
        (address6(), 0u8..=128).prop_map(|(a, len)| (IpAddr::from(a), len)),
    ];
    let prefix = prop::option::weighted(0.2, address).boxed();
    let range = || {
        let range = (small(), small()).prop_map(|(a, b)| a.min(b)..=a.max(b));
        prop::option::weighted(0.2, range)
    };
    let types = vec![0u8, 8, 3, 11, 128, 129, 1];
    (
        prop::option::weighted(0.2, prop::sample::select(vec![0x0800u16, 0x86dd, 0x8100, 0x0806])),
        prop::option::weighted(0.4, protocol()),
        prefix.clone(),
        prefix,
        range(),
        range(),
        prop::option::weighted(0.2, prop::sample::select(types)),
        range(),
        prop::option::weighted(0.5, prop::option::weighted(0.3, ether_src())),
        (
            prop::option::weighted(0.2, tags().prop_map(|tags| vlan_of(&tags))),
            prop::option::weighted(0.3, payload_match()),
            any::<bool>(),
        ),
    )
        .prop_map(
            |(
                ether_type,
                ip_proto,
                src,
                dst,
                src_ports,
                dst_ports,
                icmp_type,
                icmp_id,
                plain,
                also,
            )| {
                Match {
                    vlan: also.0,
                    payload: also.1,
                    whole: also.2,
                    ether_type,
                    ether_src: plain.flatten(),
                    ip_proto,
                    src,
                    dst,
                    src_ports,
                    dst_ports,
                    icmp_type,
                    icmp_id,
                    quoted: plain.is_none(),
                }
            },
        )
}

#[test]
fn the_program_and_the_simulated_kernel_agree_on_every_packet() {
    let Some(program) = loaded(false) else { return };
    let program = RefCell::new(program);
    let verdicts = RefCell::new([0u32; 2]);
    let many = prop::collection::vec(match_row(), 28..33);
    let rows = prop_oneof![9 => prop::collection::vec(match_row(), 1..4), 1 => many];
    let frames = prop::collection::vec(frame(), 1..24);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) };
    TestRunner::new(config)
        .run(&(rows, frames), |(rows, frames)| {
            let filter = Filter::Any(rows);
            program.borrow_mut().tables.set_between_packets(&filter).unwrap();
            for frame in frames {
                let ours = filter.matches(&frame);
                verdicts.borrow_mut()[usize::from(ours)] += 1;
                prop_assert_eq!(wants(&program.borrow(), &frame), ours, "{:02x?}", frame);
            }
            Ok(())
        })
        .unwrap();
    let [no, yes] = verdicts.into_inner();
    assert!(yes > 500 && no > 500, "{yes} of {} matched: too one-sided to tell much", yes + no);
}

/// Runs the program on `packet` again and again until `stop`; how often.
fn flood(program: std::os::fd::BorrowedFd<'_>, packet: &[u8], stop: &AtomicBool) -> u64 {
    // Many, since a call takes the kernel some 20 ms besides.
    const AT_ONCE: u32 = 1_000_000;
    let mut runs = 0;
    while !stop.load(Ordering::Relaxed) {
        bpf::test_time(program, packet, AT_ONCE).unwrap();
        runs += u64::from(AT_ONCE);
    }
    runs
}

#[test]
fn rows_are_replaced_as_a_whole_while_packets_flow() {
    let packet = |src, dst| eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(src, dst)));
    let ports =
        |port: u16| Match { src_ports: Some(port..=port), dst_ports: Some(port..=port), ..row() };
    // One row is in both sets, at different places. Parts of both together would also take packets
    // that neither takes.
    let set = |port, both: usize| {
        let mut rows = vec![ports(port); 32];
        rows[both] = ports(3000);
        Filter::Any(rows)
    };
    let sets = [set(1000, 0), set(2000, 31)];
    let next = [&sets[0], &sets[1]].map(|set| tables::table(set).unwrap());
    for (packet, is_taken) in [(packet(3000, 3000), true), (packet(1000, 2000), false)] {
        let Some(Loaded { program, mut tables, .. }) = loaded(false) else { return };
        tables.set(&sets[0]).unwrap();
        let stop = AtomicBool::new(false);
        let runs = std::thread::scope(|scope| {
            let flood = scope.spawn(|| flood(program.as_fd(), &packet, &stop));
            let replaced = (0..40).try_for_each(|n| {
                tables.set(&sets[n % 2])?;
                tables.settle();
                // Many a chance to be read when it must not be.
                (0..500).try_for_each(|n| tables.write_next(&next[n % 2]))
            });
            stop.store(true, Ordering::Relaxed);
            replaced.unwrap();
            flood.join().unwrap()
        });
        let count = tables.counters().unwrap()[0];
        let expected = if is_taken { (runs, 0) } else { (0, runs) };
        assert_eq!((count.no_socket, count.passed), expected);
    }
}

/// Not a test: what a run of the program costs, in nanoseconds.
#[test]
#[ignore = "measures"]
fn what_a_packet_costs() {
    let Some(_turn) = lab::alone() else { return };
    let mut tcp = [0u8; 20];
    tcp[1] = 80;
    let tcp = eth(0x0800, &ip4(6, THEM, US, 0, 0, &tcp));
    let tcp6 = eth(0x86dd, &ip6(6, THEM6, US6, &[0; 20]));
    let ours = eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(53, 1015)));
    let other = eth(0x0800, &ip4(17, THEM, US, 0, 0, &udp(53, 7)));
    let arp = eth(0x0806, &[0; 28]);
    let rows = |n: u16| {
        let nth = |i: u16| match i % 2 {
            0 => Match { ip_proto: Some(17), dst_ports: Some(1000 + i..=1000 + i), ..row() },
            _ => Match { ip_proto: Some(1), icmp_type: Some(0), icmp_id: Some(i..=i), ..row() },
        };
        let mut rows: Vec<_> = (0..n).map(nth).collect();
        rows[usize::from(n) - 1] =
            Match { ip_proto: Some(17), dst_ports: Some(1015..=1015), ..row() };
        Filter::Any(rows)
    };
    for stamp in [false, true] {
        let mut program = loaded(stamp).unwrap();
        for n in [1, 8, 32] {
            program.tables.set_between_packets(&rows(n)).unwrap();
            let time = |packet: &[u8]| {
                let once = || bpf::test_time(program.program.as_fd(), packet, 200_000).unwrap();
                (0..7).map(|_| once()).min().unwrap()
            };
            println!(
                "stamp {stamp}, {n} rows: foreign TCP {} ns, TCP6 {} ns, ARP {} ns, UDP {} ns, ours {} ns",
                time(&tcp),
                time(&tcp6),
                time(&arp),
                time(&other),
                time(&ours)
            );
        }
    }
}
