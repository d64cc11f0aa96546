//! Troubles of the field in topology files: each is really there.

use super::tests::{Prober, SERVERS, ip, topology};
use super::*;
use crate::proto::{Headers, TcpFlags, TcpOptions, TcpRepr, build};
use crate::tools::host::{Change, Host, SimHost};
use std::net::IpAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn open(name: &str) -> Prober {
    Prober::open(name)
}

fn network(name: &str) -> Simulator {
    load(&topology(name), &SimSpec::default()).unwrap()
}

/// An address of a node, of the version of `like`.
fn of(network: &Simulator, name: &str, like: &str) -> String {
    let all = network.addresses_of(name);
    all.into_iter().find(|own| own.is_ipv4() == ip(like).is_ipv4()).unwrap().to_string()
}

#[test]
fn a_second_trace_in_a_row_finds_linux_silent_and_an_echo_request_does_not() {
    let mut prober = open("linux-limits");
    for ttl in [1, 2, 3] {
        let answered = (0..20).filter(|_| prober.udp(SERVERS[0], ttl, 40_000).is_some()).count();
        // A silent one takes two seconds, in which one more is allowed than that.
        assert!((6..20).contains(&answered), "{answered} at {ttl}");
        assert!(prober.echo(SERVERS[0], 64, 8).is_some());
    }
}

#[test]
fn routes_links_and_neighbours_change_at_their_times_and_the_host_tells() {
    let network = network("two-uplinks");
    let host = SimHost::new(network.clone());
    let mut watch = host.watch().unwrap();
    let leaves = || SERVERS.map(|dst| network.route(ip(dst)).unwrap().port);
    let mut told = || {
        let changes = watch.changes().unwrap();
        let word = |change: &Change| match change {
            Change::Route(route) if route.there => "+route",
            Change::Route(_) => "-route",
            Change::Neighbour { mac: Some(_), .. } => "neighbour",
            Change::Interface { now, .. } if now.carrier => "carrier",
            Change::Interface { .. } => "no carrier",
            _ => "?",
        };
        changes.iter().map(word).collect::<Vec<_>>()
    };
    let mac = || network.neighbour("sim0", ip("10.0.0.2")).unwrap();
    let (first, none) = (mac(), Vec::<&str>::new());
    assert_eq!((leaves(), told()), (["sim0", "sim0"].map(str::to_owned), none.clone()));
    let table = [
        ("sim1", vec!["-route", "+route", "-route", "+route"]),
        ("sim0", vec!["-route", "-route"]),
        ("sim0", vec!["no carrier"]),
        ("sim0", vec!["carrier"]),
        ("sim0", vec!["neighbour", "neighbour"]),
        ("sim0", none),
    ];
    let mut macs = Vec::new();
    for (second, (port, changes)) in table.into_iter().enumerate() {
        network.step(SECOND);
        assert_eq!(leaves(), [port, port], "after {} s", second + 1);
        assert_eq!(told(), changes, "after {} s", second + 1);
        macs.push(mac());
    }
    assert_eq!(macs[..4], [first; 4]);
    assert!(macs[4] != first && macs[5] == macs[4], "the last move is not told");
    let legs = (1..100).map(|n| network.route(ip(&format!("198.51.100.{n}"))).unwrap().port);
    let legs: std::collections::BTreeSet<_> = legs.collect();
    assert_eq!(legs.len(), 2);
}

#[test]
fn a_far_end_answers_by_our_other_interface() {
    let mut prober = open("other-interface");
    prober.network.listen();
    for (target, first) in [("10.0.0.2", "10.0.0.1"), ("2001:db8::2", "2001:db8::1")] {
        assert!(prober.echo(target, 64, 8).is_none());
        let heard = prober.network.stack_packets();
        assert_eq!(heard.len(), 1);
        let headers = Headers::parse(&heard[0].packet).unwrap();
        assert_eq!((heard[0].ifindex, headers.dst()), (2, Some(ip(first))));
    }
    // From the second address, nothing is odd.
    let mut prober = Prober::by("sim1", network("other-interface"));
    assert!(prober.echo("10.0.1.2", 64, 8).is_some());
}

#[test]
fn hosts_answer_as_they_are_told() {
    let mut prober = open("odd-hosts");
    for like in SERVERS {
        let find = |prober: &Prober, name: &str| of(&prober.network, name, like);
        let mut len = |name: &str| {
            let dst = find(&prober, name);
            let answer = prober.echo(&dst, 64, 100).unwrap();
            Headers::parse(&answer.bytes).unwrap().payload(&answer.bytes).len()
        };
        assert_eq!((len("short"), len("long")), (64, 108));
        let dst = find(&prober, "other");
        let answer = prober.echo(&dst, 64, 8).unwrap();
        assert_eq!(
            answer.from,
            ip(if like.contains(':') { "2001:db8:7::8" } else { "203.0.113.8" })
        );
        let dst = find(&prober, "late");
        assert_eq!(prober.echo(&dst, 64, 8).unwrap().took.as_millis(), 1500);
        let dst = find(&prober, "sorry");
        let (errors, answers) = prober.gather(&dst, 8);
        assert_eq!((errors, answers), (1, 1));
        let dst = find(&prober, "pieces");
        assert_eq!(prober.fragments(&dst, 1200), 3);
    }
    // Its own link is narrow: the request comes in fragments, and so does the answer.
    let dst = of(&prober.network, "narrow", SERVERS[0]);
    assert_eq!(prober.fragments(&dst, 1400), 2);
}

#[test]
fn switches_mix_vlans_up() {
    let network = network("vlan-leak");
    let tags = |port: &'static str, vlans: &[u16]| {
        let mut prober = Prober::by(port, network.clone());
        let dst = prober.network.port(port).unwrap().addresses[0].0;
        let IpAddr::V4(own) = dst else { panic!("{dst}") };
        let dst = IpAddr::from((own.to_bits() ^ 3).to_be_bytes()).to_string();
        prober.tagged(&dst, vlans)
    };
    assert_eq!(tags("sim0", &[]), None, "it is in VLAN 7");
    assert_eq!(tags("sim0", &[7]), Some(vec![]), "the tag is lost on the way back");
    assert_eq!(tags("sim1", &[]), Some(vec![99]));
    assert_eq!(tags("sim2", &[]), Some(vec![200, 100]));
}

#[test]
fn routers_refuse_some_packets_make_no_sense_and_drop_bare_syns() {
    let mut prober = open("refusing");
    let dst = SERVERS[0];
    let mut kinds = std::collections::BTreeMap::new();
    for n in 0..40 {
        let answer = prober.udp(dst, 64, 40_000 + n).unwrap();
        let l4 = Headers::parse(&answer.bytes).unwrap().l4_offset();
        *kinds.entry((answer.bytes[l4], answer.bytes[l4 + 1])).or_insert(0) += 1;
    }
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), [(3, 3), (3, 13)]);
    let too_big = |answer: &[u8]| {
        let l4 = Headers::parse(answer).unwrap().l4_offset();
        let mtu = u16::from_be_bytes([answer[l4 + 6], answer[l4 + 7]]);
        ((answer[l4], answer[l4 + 1]), mtu)
    };
    let answers = (0..20).filter_map(|n| prober.udp(dst, 3, 41_000 + n));
    let nonsense = answers.filter(|answer| too_big(&answer.bytes) == ((3, 4), 9000)).count();
    assert!(nonsense > 3, "{nonsense}");
    let answer = prober.echo("198.51.100.9", 64, 8).unwrap();
    assert_eq!(too_big(&answer.bytes), ((3, 4), 9000));
    let mut syn = |options: TcpOptions| {
        (0..12).any(|n| {
            let header = TcpRepr { options, ..TcpRepr::new(42_000 + n, 80, TcpFlags::SYN) };
            let answer =
                prober.ask(dst, 64, |to, link, net| build::tcp(to, link, net, &header, &[]));
            answer.is_some_and(|answer| answer.from == ip(dst))
        })
    };
    assert!(!syn(TcpOptions::default()));
    assert!(syn(TcpOptions { mss: Some(1460), ..TcpOptions::default() }));
}

#[test]
fn wrong_lengths_are_written_where_the_right_one_belongs() {
    let mut prober = open("wrong-lengths");
    for (dst, at, right) in [(SERVERS[0], 5, 128), (SERVERS[1], 4, 128)] {
        for (ttl, length) in [(1, right), (2, 15)] {
            let answer = prober.udp(dst, ttl, 40_000).unwrap();
            let headers = Headers::parse(&answer.bytes).unwrap();
            assert_eq!(answer.bytes[headers.l4_offset() + at], length, "{dst}");
            assert!(headers.verify_checksums(&answer.bytes));
            let structure = &answer.bytes[headers.l4_offset() + 8 + 128..];
            assert_eq!(structure[0] >> 4, 2, "an extension at byte 128");
        }
    }
}

#[test]
fn a_word_of_the_spec_is_for_all_nodes_of_a_file() {
    let spec: SimSpec = "icmp_limit,truncated".parse().unwrap();
    let mut prober = Prober::on(load(&topology("mtu-1400"), &spec).unwrap());
    let answer = prober.echo(SERVERS[0], 64, 100).unwrap();
    assert_eq!(Headers::parse(&answer.bytes).unwrap().payload(&answer.bytes).len(), 64);
    let answered = (0..10).filter(|_| prober.udp(SERVERS[0], 1, 40_000).is_some()).count();
    assert!(answered < 10);
}
