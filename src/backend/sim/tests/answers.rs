//! What hosts do to their answers, and limits of ICMP errors.

use super::super::wire::Ip;
use super::super::{
    End, HostOptions, IcmpLimit, NetworkBuilder, NetworkTrouble, Profile, RouterOptions, SimSpec,
    vlan,
};
use super::packets::*;
use super::routers::{FAMILIES, line, to, with_host, with_router};
use super::*;
use crate::proto::{Headers, Tag};
use std::net::IpAddr;

const PORTS: (u16, u16) = (40_000, 33_434);

/// How many of `asked` packets are answered, without time between them.
fn answered(rig: &mut Rig, asked: u16, packet: impl Fn(u16) -> Vec<u8>) -> usize {
    let answers = (0..asked).map(|n| {
        rig.send(&packet(n));
        rig.sim.step(Duration::from_millis(10));
        rig.take().len()
    });
    answers.sum()
}

#[test]
fn linux_limits_errors_of_routers_and_hosts_and_never_echo_replies() {
    let router = RouterOptions { icmp_limit: Some(IcmpLimit::Linux), ..RouterOptions::default() };
    let mut rig = with_router(router);
    let way = to(&rig, FAMILIES[0]);
    assert_eq!(answered(&mut rig, 20, |n| way.echo(1, n, 8)), 6, "time exceeded");
    assert_eq!(answered(&mut rig, 20, |n| way.echo(64, n, 8)), 20, "through it");
    let own = to(&rig, "192.0.2.1");
    assert_eq!(answered(&mut rig, 20, |n| own.echo(64, n, 8)), 20, "its own echo replies");
    rig.sim.step(Duration::from_secs(2));
    assert_eq!(answered(&mut rig, 20, |n| way.echo(1, n, 8)), 2, "one a second");

    let host = HostOptions { icmp_limit: Some(IcmpLimit::Linux), ..HostOptions::default() };
    let mut rig = with_host(host);
    assert_eq!(answered(&mut rig, 20, |_| way.udp(64, PORTS, b"x")), 6, "port unreachable");
    assert_eq!(answered(&mut rig, 20, |n| way.echo(64, n, 8)), 20);
    // An IPv6 asker behind a default route gets 16 a second, one on a /64 four.
    let way = to(&rig, FAMILIES[1]);
    let got = answered(&mut rig, 100, |_| way.udp(64, PORTS, b"x"));
    assert!((6 + 15..=6 + 17).contains(&got), "{got} in a second");
}

#[test]
fn a_host_returns_less_or_more_than_it_was_sent() {
    for (options, len) in [
        (HostOptions { truncate: Some(64), ..HostOptions::default() }, 64),
        (HostOptions { truncate: Some(0), ..HostOptions::default() }, 0),
        (HostOptions { longer: 9, ..HostOptions::default() }, 109),
        (HostOptions { truncate: Some(10), longer: 4, ..HostOptions::default() }, 14),
    ] {
        let mut rig = with_host(options);
        for family in FAMILIES {
            let (answer, _) = rig.ask(&to(&rig, family).echo(64, 1, 100)).unwrap();
            let headers = judge_echo(&answer);
            assert_eq!(headers.payload(&answer).len(), len, "{family}");
        }
        rig.assert_balance();
    }
}

/// An answer whose checksums are right.
fn judge_echo(answer: &[u8]) -> Headers {
    let headers = Headers::parse(answer).unwrap();
    assert!(headers.verify_checksums(answer));
    headers
}

#[test]
fn a_host_answers_from_another_address() {
    let from: Vec<IpAddr> = vec![ip("192.0.2.8"), ip("2001:db8:2::8")];
    let mut rig = with_host(HostOptions { answers_from: from.clone(), ..HostOptions::default() });
    for (family, from) in FAMILIES.into_iter().zip(from) {
        let way = to(&rig, family);
        let tcp = way.tcp((40_000, 80), crate::proto::TcpFlags::SYN);
        for packet in [way.echo(64, 1, 8), way.udp(64, PORTS, b"x"), tcp] {
            let (answer, _) = rig.ask(&packet).unwrap();
            assert_eq!(judge_echo(&answer).src(), Some(from));
        }
    }
}

#[test]
fn a_host_says_unreachable_and_answers_then_or_late() {
    let mut rig = with_host(HostOptions { error_first: true, ..HostOptions::default() });
    for family in FAMILIES {
        rig.send(&to(&rig, family).echo(64, 1, 8));
        rig.sim.step(Duration::from_millis(10));
        let answers = rig.take();
        let kinds: Vec<_> = answers.iter().map(|got| judge_echo(&got.bytes).proto.0).collect();
        let icmp = if family.contains(':') { 58 } else { 1 };
        assert_eq!(kinds, [icmp, icmp]);
        let quoted =
            |at: usize| Ip::of_frame(&answers[at].bytes).unwrap().quoted(&answers[at].bytes);
        assert!(quoted(0).is_some() && quoted(1).is_none());
    }
    let late = Duration::from_millis(1500);
    let mut rig = with_host(HostOptions { answer_delay: late, ..HostOptions::default() });
    let (_, took) = rig.ask(&to(&rig, FAMILIES[0]).echo(64, 1, 8)).unwrap();
    assert_eq!(took, 1_504_000_000);
}

#[test]
fn answers_longer_than_the_link_or_the_hosts_wish_come_in_fragments_that_make_a_whole() {
    let fragments = HostOptions { fragment: Some(576), ..HostOptions::default() };
    for options in [fragments, HostOptions::default()] {
        let narrow = options.fragment.is_none();
        let mtu = if narrow { 1300 } else { 1500 };
        let mut rig = line(RouterOptions::default(), options, |_, _| (), |end| end.mtu(mtu));
        for family in FAMILIES {
            let way = to(&rig, family);
            // IPv6 routers cut nothing: there the host alone makes fragments.
            let request = match (narrow, family.contains(':')) {
                (true, true) => continue,
                (_, true) => way.echo(64, 1, 1400),
                (_, false) => way.cuttable_echo(1400),
            };
            rig.send(&request);
            rig.sim.step(Duration::from_millis(10));
            let answers = rig.take();
            assert_eq!(answers.len(), if narrow { 1 } else { 3 }, "{family}");
            let mut whole = super::super::reassembly::Reassembly::default();
            let parts = answers.iter().map(|got| {
                let headers = Headers::parse(&got.bytes).unwrap();
                assert!(headers.is_fragment() || narrow);
                whole.add(&got.bytes, &headers)
            });
            let made: Vec<_> = parts.flatten().collect();
            if !narrow {
                let headers = judge_echo(&made[0].packet);
                assert_eq!((headers.payload(&made[0].packet).len(), made[0].fragments), (1400, 3));
            }
        }
    }
}

#[test]
fn a_host_in_a_vlan_hears_that_vlan_alone_and_a_leaking_switch_moves_answers_to_another() {
    let mut net = NetworkBuilder::new(1);
    let us = net.port("sim0", 1);
    let host = net.host_with(HostOptions { vlan: Some(7), ..HostOptions::default() });
    net.link(
        End::new(us).address("10.0.0.1/24"),
        End::new(host).address("10.0.0.2/24"),
        Profile::default(),
    );
    let mut rig = Rig::open(&net.build().unwrap(), "sim0", Filter::Everything);
    let plain = to(&rig, "10.0.0.2").echo(64, 1, 8);
    let mut tagged = |tags: &[u16]| {
        let mut packet = plain.clone();
        vlan::retag(&mut packet, tags);
        rig.send(&packet);
        let answer = rig.take().pop()?.bytes;
        Headers::parse(&answer).unwrap().vlan[0].map(Tag::vid)
    };
    assert_eq!((tagged(&[]), tagged(&[99]), tagged(&[7, 7])), (None, None, None));
    assert_eq!(tagged(&[7]), Some(7));

    let spec = SimSpec { network: NetworkTrouble::VlanLeak.into(), ..SimSpec::default() };
    let mut rig = Rig::open(&Simulator::new(spec), "sim0", Filter::Everything);
    for target in ["10.0.0.2", "203.0.113.7", "2001:db8:7::7"] {
        let (answer, _) = rig.ask(&to(&rig, target).echo(64, 1, 8)).unwrap();
        assert_eq!(
            Headers::parse(&answer).unwrap().vlan.map(|tag| tag.map(Tag::vid)),
            [Some(99), None]
        );
    }
}

#[test]
fn each_word_gives_the_hosts_of_the_default_network_its_trouble() {
    let ask = |trouble: NetworkTrouble, len: usize| {
        let spec = SimSpec { network: trouble.into(), ..SimSpec::default() };
        let mut rig = Rig::open(&Simulator::new(spec), "sim0", Filter::Everything);
        rig.send(&to(&rig, "203.0.113.7").echo(64, 1, len));
        rig.sim.step(Duration::from_millis(100));
        rig.take()
    };
    let truncated = &ask(NetworkTrouble::Truncated, 100)[0].bytes;
    assert_eq!(judge_echo(truncated).payload(truncated).len(), 64);
    assert_eq!(ask(NetworkTrouble::Fragmented, 1000).len(), 2);
    assert_eq!(ask(NetworkTrouble::ErrorFirst, 8).len(), 2);
    let other = &ask(NetworkTrouble::OtherAddress, 8)[0].bytes;
    assert_eq!(judge_echo(other).src(), Some(ip("203.0.113.135")));
    let spec = SimSpec { network: NetworkTrouble::IcmpLimit.into(), ..SimSpec::default() };
    let mut rig = Rig::open(&Simulator::new(spec), "sim0", Filter::Everything);
    let way = to(&rig, "203.0.113.7");
    assert_eq!(answered(&mut rig, 20, |n| way.echo(1, n, 8)), 6);
    assert_eq!(answered(&mut rig, 9, |_| way.udp(64, PORTS, b"x")), 6);
}
