//! What routers, hosts and links can be told to be like.

use super::super::wire::{Ip, be16};
use super::super::{
    Balance, End, Flaw, HostOptions, NatQuotes, NetworkBuilder, NodeId, Profile, Quoting,
    RouterOptions, UdpPorts,
};
use super::packets::*;
use super::*;
use crate::proto::extensions::MplsEntry;
use crate::proto::{Headers, TcpFlags, checksum};
use std::collections::BTreeMap;
use std::net::IpAddr;

const WIRE: Duration = Duration::from_millis(1);

/// us .1 ── .2 router .1 ── .2 host; 10.0.0.0/24 and 192.0.2.0/24, and the same in IPv6.
pub(super) fn line(
    router: RouterOptions,
    host: HostOptions,
    tweak: impl FnOnce(&mut NetworkBuilder, NodeId),
    outer: impl FnOnce(End) -> End,
) -> Rig {
    let mut net = NetworkBuilder::new(1);
    let us = net.port("sim0", 1);
    let (router, host) = (net.router_with(router), net.host_with(host));
    net.link(
        End::new(us).address("10.0.0.1/24").address("2001:db8::1/64"),
        End::new(router).address("10.0.0.2/24").address("2001:db8::2/64"),
        Profile::delay(WIRE),
    );
    net.link(
        outer(End::new(router).address("192.0.2.1/24").address("2001:db8:2::1/64")),
        End::new(host).address("192.0.2.2/24").address("2001:db8:2::2/64"),
        Profile::delay(WIRE),
    );
    net.gateway(us, "10.0.0.2");
    net.gateway(us, "2001:db8::2");
    tweak(&mut net, router);
    Rig::open(&net.build().unwrap(), "sim0", Filter::Everything)
}

pub(super) fn with_router(router: RouterOptions) -> Rig {
    line(router, HostOptions::default(), |_, _| (), |end| end)
}

pub(super) fn with_host(host: HostOptions) -> Rig {
    line(RouterOptions::default(), host, |_, _| (), |end| end)
}

pub(super) fn to(rig: &Rig, dst: &str) -> Way {
    let route = rig.sim.route(ip(dst)).unwrap();
    let hop = route.gateway.unwrap_or(ip(dst));
    let mac = rig.sim.neighbour("sim0", hop).unwrap();
    Way { macs: (mac, US), addresses: (route.source, ip(dst)) }
}

pub(super) const FAMILIES: [&str; 2] = ["192.0.2.2", "2001:db8:2::2"];

/// A network of `widths.len()` balancers in a row: `us ─ b0 ═ b1 ═ … ═ last ─ host`, where `═` are
/// as many branches, each with a router, as the width says. The routers of a branch, by stage.
fn balancers(seed: u64, widths: &[u8], options: RouterOptions) -> Rig {
    let mut net = NetworkBuilder::new(seed);
    let us = net.port("sim0", 1);
    let mut at = net.router_with(options.clone());
    let lan = Profile::delay(Duration::from_micros(10));
    let end =
        |node, network: &str, last: u8| End::new(node).address(format!("{network}.{last}/24"));
    net.link(end(us, "10.0.0", 1), end(at, "10.0.0", 2), lan.clone());
    net.gateway(us, "10.0.0.2");
    for (stage, &width) in widths.iter().enumerate() {
        let next = net.router_with(options.clone());
        let mut hops = Vec::new();
        for branch in 0..width {
            let middle = net.router();
            let near = format!("10.{}.{branch}", stage + 1);
            let far = format!("10.{}.{branch}", stage + 101);
            net.link(end(at, &near, 1), end(middle, &near, 2), lan.clone());
            net.link(end(middle, &far, 1), end(next, &far, 2), lan.clone());
            net.route(middle, "192.0.2.0/24", &[&format!("{far}.2")]);
            net.route(middle, "10.0.0.0/24", &[&format!("{near}.1")]);
            hops.push(format!("{near}.2"));
        }
        net.route(at, "192.0.2.0/24", &hops.iter().map(String::as_str).collect::<Vec<_>>());
        net.route(next, "10.0.0.0/24", &[&format!("10.{}.0.1", stage + 101)]);
        at = next;
    }
    let host = net.host();
    net.link(end(at, "192.0.2", 1), end(host, "192.0.2", 2), lan);
    Rig::open(&net.build().unwrap(), "sim0", Filter::Everything)
}

/// Who answers a probe of a flow with this TTL.
fn who(rig: &mut Rig, port: u16, ttl: u8) -> IpAddr {
    let probe = to(rig, "192.0.2.2").udp(ttl, (port, 33_434), b"probe");
    let (reply, _) = rig.ask(&probe).unwrap();
    judge(&reply).src
}

#[test]
fn two_balancers_in_a_row_choose_by_themselves_and_so_does_another_seed() {
    let mut pairs = BTreeMap::new();
    let mut rig = balancers(1, &[2, 2], RouterOptions::default());
    let mut first = Vec::new();
    for port in 0..200 {
        let path = (who(&mut rig, port, 2), who(&mut rig, port, 4));
        assert_eq!(path.0, who(&mut rig, port, 2), "a flow stays where it is");
        *pairs.entry(path).or_insert(0) += 1;
        first.push(path);
    }
    // All four combinations, about 50 times each: no polarisation.
    assert!(pairs.len() == 4 && pairs.values().all(|&n| n > 25), "{pairs:?}");
    rig.assert_balance();
    let paths = |seed| {
        let mut rig = balancers(seed, &[2, 2], RouterOptions::default());
        let ports = 0..200;
        ports.map(|port| (who(&mut rig, port, 2), who(&mut rig, port, 4))).collect::<Vec<_>>()
    };
    assert_eq!(paths(1), first, "the same seed, the same paths");
    let same = paths(2).iter().zip(&first).filter(|(a, b)| a == b).count();
    assert!((20..80).contains(&same), "{same} of 200 flows go the same way");
}

#[test]
fn sixteen_branches_are_used_alike() {
    let mut rig = balancers(3, &[16], RouterOptions::default());
    let mut seen = BTreeMap::new();
    for port in 0..1600 {
        *seen.entry(who(&mut rig, port, 2)).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 16);
    assert!(seen.values().all(|n| (60..=140).contains(n)), "{seen:?}");
}

#[test]
fn packets_take_turns_or_chances_and_a_destination_one_way() {
    let of = |balance| {
        let options = RouterOptions { balance, ..RouterOptions::default() };
        let mut rig = balancers(5, &[2], options);
        (0..100).map(|n| who(&mut rig, 4000 + n / 50, 2)).collect::<Vec<_>>()
    };
    let turns = of(Balance::RoundRobin);
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]));
    let chances = of(Balance::Packet);
    let first = chances[..50].iter().filter(|&&who| who == chances[0]).count();
    assert!((10..=40).contains(&first), "{first} of the 50 packets of one flow");
    assert_eq!(of(Balance::Packet), chances, "the same seed, the same dice");
    let destination = of(Balance::Destination);
    assert!(destination.iter().all(|&who| who == destination[0]), "whatever the flow");
}

#[test]
fn a_route_may_balance_otherwise_than_its_router() {
    let mut net = NetworkBuilder::new(1);
    let (us, router) = (net.port("sim0", 1), net.router());
    let lan = Profile::delay(WIRE);
    net.link(
        End::new(us).address("10.0.0.1/24"),
        End::new(router).address("10.0.0.2/24"),
        lan.clone(),
    );
    for n in 1..=2 {
        let branch = net.router();
        net.link(
            End::new(router).address(format!("10.1.{n}.1/24")),
            End::new(branch).address(format!("10.1.{n}.2/24")),
            lan.clone(),
        );
        net.route(branch, "0.0.0.0/0", &[&format!("10.1.{n}.1")]);
    }
    let hops = ["10.1.1.2", "10.1.2.2"];
    net.route(router, "192.0.2.0/24", &hops);
    net.route_balanced(router, "198.51.100.0/24", &hops, Balance::RoundRobin);
    net.gateway(us, "10.0.0.2");
    let mut rig = Rig::open(&net.build().unwrap(), "sim0", Filter::Everything);
    let mut seen = |dst: &str| {
        let probe = to(&rig, dst).udp(2, (4000, 33_434), b"probe");
        let answers = (0..10).map(|_| judge(&rig.ask(&probe).unwrap().0).src);
        answers.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((seen("192.0.2.2"), seen("198.51.100.2")), (1, 2));
}

#[test]
fn a_silent_router_forwards_and_sends_no_errors_and_a_deaf_one_does_not_answer() {
    for (silent, deaf) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut rig = with_router(RouterOptions { silent, deaf, ..RouterOptions::default() });
        for (dst, own) in FAMILIES.into_iter().zip(["10.0.0.2", "2001:db8::2"]) {
            let far = to(&rig, dst);
            assert!(rig.ask(&far.echo(64, 1, 8)).is_some(), "it forwards");
            assert_eq!(rig.ask(&far.echo(1, 1, 8)).is_none(), silent);
            let near = to(&rig, own);
            assert_eq!(rig.ask(&near.echo(64, 1, 8)).is_none(), deaf);
            let udp = near.udp(64, (4000, 33_434), b"probe");
            assert_eq!(rig.ask(&udp).is_none(), silent || deaf);
        }
        rig.assert_balance();
    }
}

#[test]
fn label_stacks_stand_behind_128_bytes_of_quote() {
    for (dst, length) in FAMILIES.into_iter().zip([[0, 32, 0, 0], [16, 0, 0, 0]]) {
        for mpls_length in [true, false] {
            let mpls = [24_001, 16].map(|label| MplsEntry { label, tc: 0, ttl: 1 });
            let mut rig = with_router(RouterOptions {
                mpls: mpls.to_vec(),
                mpls_length,
                ..RouterOptions::default()
            });
            for payload in [5, 1200] {
                let probe = to(&rig, dst).echo(1, 9, payload);
                let (reply, _) = rig.ask(&probe).unwrap();
                let header = judge(&reply);
                let message = &reply[header.l4..header.end];
                assert_eq!(message.len(), 8 + 128 + 4 + 12);
                let told = if mpls_length { length } else { [0; 4] };
                assert_eq!(message[4..8], told, "{dst}");
                let there = (probe.len() - 14).min(128);
                let l4 = if header.src.is_ipv4() { 20 } else { 40 };
                assert_eq!(message[8 + l4..8 + there], probe[14 + l4..14 + there]);
                assert!(message[8 + there..136].iter().all(|&byte| byte == 0), "padding");
                let structure = &message[136..];
                assert_eq!((structure[0], checksum::of(structure)), (0x20, 0));
                assert_eq!(structure[4..8], [0, 12, 1, 1]);
                assert_eq!(structure[8..12], (24_001u32 << 12 | 1).to_be_bytes());
                assert_eq!(structure[12..16], (16u32 << 12 | 1 << 8 | 1).to_be_bytes());
            }
            // Other errors carry none.
            let probe = to(&rig, if dst == FAMILIES[0] { "192.0.2.9" } else { "2001:db8:2::9" });
            let (reply, _) = rig.ask(&probe.echo(64, 1, 8)).unwrap();
            let header = judge(&reply);
            assert_eq!(reply[header.l4..header.end].len(), reply.len() - header.l4);
            assert!(header.end - header.l4 < 136);
            rig.assert_balance();
        }
    }
}

#[test]
fn a_short_quote_has_eight_bytes_of_transport() {
    let quoting = Quoting::Short;
    let mut rig = with_router(RouterOptions { quoting, ..RouterOptions::default() });
    for (dst, ip_header) in FAMILIES.into_iter().zip([20, 40]) {
        let probe = to(&rig, dst).udp(1, (4000, 33_434), &[7; 50]);
        let (reply, _) = rig.ask(&probe).unwrap();
        let header = judge(&reply);
        assert_eq!(header.end - header.l4, 8 + ip_header + 8);
        assert_eq!(header.quoted(&reply).unwrap().ports(&reply), Some((4000, 33_434)));
    }
    rig.assert_balance();
}

#[test]
fn flawed_errors_have_a_wrong_checksum_or_lie_about_lengths_and_arrive() {
    let sound = |packet: &[u8]| Headers::parse(packet).unwrap().verify_checksums(packet);
    for flaw in [Flaw::Checksum, Flaw::Lengths] {
        let options = RouterOptions { flaw: Some(flaw), ..RouterOptions::default() };
        let mut rig = with_router(options);
        for dst in FAMILIES {
            let probe = to(&rig, dst).udp(1, (4000, 33_434), &[7; 12]);
            let (reply, _) = rig.ask(&probe).unwrap();
            assert_eq!(sound(&reply), flaw == Flaw::Lengths);
            let ip = Ip::of_frame(&reply).unwrap();
            let message = &reply[ip.l4..ip.end];
            if flaw == Flaw::Checksum {
                assert_eq!(message[4..8], [0; 4], "nothing else is wrong");
            } else if ip.src.is_ipv4() {
                assert_eq!((message[5], message[8]), (255, 0x4f));
            } else {
                assert_eq!((message[4], be16(message, 12)), (255, Some(65_535)));
            }
        }
        rig.assert_balance();
    }
}

#[test]
fn a_black_hole_drops_long_packets_without_a_word() {
    let none = RouterOptions::default();
    let mut rig = line(none, HostOptions::default(), |_, _| (), |end| end.mtu(1300).black_hole());
    for (dst, fits) in FAMILIES.into_iter().zip([1300 - 28, 1300 - 48]) {
        let way = to(&rig, dst);
        assert!(rig.ask(&way.echo(64, 1, fits)).is_some());
        assert_eq!(rig.ask(&way.echo(64, 1, fits + 1)), None);
    }
    rig.assert_balance();
}

#[test]
fn a_nat_may_leave_the_quoted_checksum_as_it_translated_it() {
    for quotes in [NatQuotes::Restored, NatQuotes::ChecksumKept] {
        let net = |net: &mut NetworkBuilder, router| net.blackhole(router, "198.51.100.0/24");
        let outer = |end: End| end.nat_with(quotes);
        let mut rig = line(RouterOptions::default(), HostOptions::default(), net, outer);
        let probe = to(&rig, "192.0.2.2").udp(64, (4000, 33_434), b"odd");
        let (reply, _) = rig.ask(&probe).unwrap();
        let header = judge(&reply);
        let quoted = header.quoted(&reply).unwrap();
        assert_eq!((quoted.src, quoted.ports(&reply)), (ip("10.0.0.1"), Some((4000, 33_434))));
        let quoted_header = &reply[quoted.l3..quoted.l4];
        assert_eq!(checksum::of(quoted_header), 0, "the quoted IP header is sound");
        let same = reply[quoted.l4 + 6..quoted.l4 + 8] == probe[40..42];
        assert_eq!(same, quotes == NatQuotes::Restored);
        rig.assert_balance();
    }
}

#[test]
fn nodes_have_a_ttl_of_their_own() {
    let mut rig = line(
        RouterOptions { ttl: 255, ..RouterOptions::default() },
        HostOptions { ttl: 128, ..HostOptions::default() },
        |_, _| (),
        |end| end,
    );
    for (dst, own) in FAMILIES.into_iter().zip(["10.0.0.2", "2001:db8::2"]) {
        let far = to(&rig, dst);
        let near = to(&rig, own);
        let host = [far.echo(64, 1, 8), far.tcp((4000, 81), TcpFlags::SYN)];
        let router = [far.echo(1, 1, 8), near.echo(64, 1, 8)];
        for (probes, ttl) in [(host, 127), (router, 255)] {
            for probe in probes {
                assert_eq!(judge(&rig.ask(&probe).unwrap().0).ttl, ttl);
            }
        }
        let closed = far.udp(64, (4000, 9), b"x");
        assert_eq!(judge(&rig.ask(&closed).unwrap().0).ttl, 127);
    }
    rig.assert_balance();
}

#[test]
fn a_slow_control_plane_holds_errors_back_and_nothing_else() {
    let icmp_delay = Duration::from_millis(50);
    let mut rig = with_router(RouterOptions { icmp_delay, ..RouterOptions::default() });
    let way = to(&rig, "192.0.2.2");
    let took: Vec<_> = (0..100).map(|n| rig.ask(&way.echo(1, n, 8)).unwrap().1).collect();
    assert!(took.iter().all(|took| (2_000_000..=52_000_000).contains(took)));
    let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    assert!(*least < 12_000_000 && *most > 42_000_000, "{least} to {most}");
    assert_eq!(rig.ask(&way.echo(64, 1, 8)).unwrap().1, 4_000_000);
    rig.assert_balance();
}

#[test]
fn answers_that_are_held_back_may_overtake_each_other() {
    let icmp_delay = Duration::from_millis(50);
    let mut rig = with_router(RouterOptions { icmp_delay, ..RouterOptions::default() });
    let way = to(&rig, "192.0.2.2");
    (0..20).for_each(|n| rig.send(&way.echo(1, n, 8)));
    rig.sim.step(Duration::from_millis(100));
    let quoted = |packet: &[u8]| be16(packet, 14 + 20 + 8 + 20 + 6).unwrap();
    let order: Vec<_> = rig.take().iter().map(|reply| quoted(&reply.bytes)).collect();
    assert_eq!(order.len(), 20);
    assert!(!order.is_sorted(), "{order:?}");
    rig.assert_balance();
}

#[test]
fn ports_are_open_closed_or_silent() {
    let (syn_ack, reset) = (18, 20);
    let host = |udp, tcp_filtered| HostOptions {
        udp,
        tcp_filtered,
        tcp: vec![443],
        ..HostOptions::default()
    };
    for dst in FAMILIES {
        let mut rig = with_host(host(UdpPorts::Open, false));
        let way = to(&rig, dst);
        let (reply, _) = rig.ask(&way.udp(64, (4000, 53), b"question")).unwrap();
        let headers = Headers::parse(&reply).unwrap();
        assert!(headers.verify_checksums(&reply));
        assert_eq!(headers.ports(), Some((53, 4000)));
        assert_eq!(headers.payload(&reply), b"question");
        let mut flags = |port| {
            let answer = rig.ask(&way.tcp((4000, port), TcpFlags::SYN));
            answer.map(|(reply, _)| reply[judge(&reply).l4 + 13])
        };
        assert_eq!((flags(443), flags(80)), (Some(syn_ack), Some(reset)));
        rig.assert_balance();
        let mut rig = with_host(host(UdpPorts::Silent, true));
        assert_eq!(rig.ask(&way.udp(64, (4000, 53), b"question")), None);
        assert!(rig.ask(&way.tcp((4000, 443), TcpFlags::SYN)).is_some());
        assert_eq!(rig.ask(&way.tcp((4000, 80), TcpFlags::SYN)), None);
        assert!(rig.ask(&way.echo(64, 1, 8)).is_some());
        rig.assert_balance();
        let mut rig = with_host(HostOptions { echo: false, ..host(UdpPorts::Closed, false) });
        assert_eq!(rig.ask(&way.echo(64, 1, 8)), None);
        rig.assert_balance();
    }
}

#[test]
fn a_host_answers_for_each_address_of_its_prefixes() {
    let host = HostOptions {
        prefixes: vec!["198.18.0.0/15".to_owned(), "2001:db8:f::/48".to_owned()],
        ..HostOptions::default()
    };
    let routes = |net: &mut NetworkBuilder, router| {
        net.route(router, "198.18.0.0/15", &["192.0.2.2"]);
        net.route(router, "2001:db8:f::/48", &["2001:db8:2::2"]);
    };
    let mut rig = line(RouterOptions::default(), host, routes, |end| end);
    for target in ["198.18.0.0", "198.18.7.9", "198.19.255.255", "2001:db8:f:7::9"] {
        let way = to(&rig, target);
        assert_eq!(judge(&rig.ask(&way.echo(64, 1, 8)).unwrap().0).src, ip(target));
        let closed = way.udp(64, (4000, 33_434), b"x");
        assert_eq!(judge(&rig.ask(&closed).unwrap().0).src, ip(target));
    }
    let (reply, _) = rig.ask(&to(&rig, "198.20.0.0").echo(64, 1, 8)).unwrap();
    assert_eq!(judge(&reply).src, ip("10.0.0.2"), "the router has no route");
    rig.assert_balance();
}

#[test]
fn an_address_has_the_name_of_its_node() {
    let tweak = |net: &mut NetworkBuilder, router| net.name(router, "r1.example");
    let rig = line(RouterOptions::default(), HostOptions::default(), tweak, |end| end);
    for own in ["10.0.0.2", "192.0.2.1", "2001:db8::2", "2001:db8:2::1"] {
        assert_eq!(rig.sim.name_of(ip(own)).as_deref(), Some("r1.example"));
    }
    assert_eq!(rig.sim.name_of(ip("192.0.2.2")), None);
    let default = Simulator::new(super::super::SimSpec::default());
    for (address, name) in [
        ("10.0.0.1", "us.sim"),
        ("10.0.0.7", "h7.sim"),
        ("10.0.0.254", "r1.sim"),
        ("172.16.24.2", "r3b.sim"),
        ("2001:db8:45::2", "r5.sim"),
        ("203.0.113.7", "server.sim"),
    ] {
        assert_eq!(default.name_of(ip(address)).as_deref(), Some(name));
    }
}

#[test]
fn a_route_counts_more_than_the_network_it_names() {
    let tweak = |net: &mut NetworkBuilder, router| net.prohibit(router, "192.0.2.0/24");
    let mut rig = line(RouterOptions::default(), HostOptions::default(), tweak, |end| end);
    let (reply, _) = rig.ask(&to(&rig, "192.0.2.2").echo(64, 1, 8)).unwrap();
    let header = judge(&reply);
    assert_eq!((reply[header.l4], reply[header.l4 + 1]), (3, 13));
}

#[test]
fn too_many_labels_are_refused() {
    let mut net = NetworkBuilder::new(1);
    let mpls = vec![MplsEntry { label: 1, tc: 0, ttl: 1 }; 33];
    net.router_with(RouterOptions { mpls, ..RouterOptions::default() });
    assert_eq!(net.build().unwrap_err().to_string(), "33 MPLS labels: must be at most 32");
}
