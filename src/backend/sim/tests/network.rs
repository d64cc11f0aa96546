//! The default network's table.

use super::packets::*;
use super::*;
use crate::proto::build::{self, Link};
use crate::proto::{ArpOp, ArpRepr, Headers, MacAddr, TcpFlags, solicited_node};
use std::net::IpAddr;

fn default_rig(spec: &str) -> Rig {
    Rig::open(&Simulator::new(spec.parse().unwrap()), "sim0", Filter::Everything)
}

/// The way to `dst` by the machine's own route and neighbour.
fn way(rig: &Rig, dst: &str) -> Way {
    let dst = ip(dst);
    let route = rig.sim.route(dst).unwrap();
    let mac = rig.sim.neighbour("sim0", route.gateway.unwrap_or(dst)).unwrap();
    Way { macs: (mac, US), addresses: (route.source, dst) }
}

#[test]
fn echo_is_answered_after_the_documented_round_trip() {
    let mut rig = default_rig("");
    let table = [
        ("10.0.0.2", 200_000),
        ("10.0.0.9", 200_000),
        ("10.0.0.254", 200_000),
        ("203.0.113.7", 20_000_000),
        ("198.51.100.9", 10_000_000),
        ("2001:db8::2", 200_000),
        ("2001:db8::fe", 200_000),
        ("2001:db8:7::7", 20_000_000),
        ("2001:db8:9::9", 10_000_000),
    ];
    for (address, round_trip) in table {
        let way = way(&rig, address);
        let request = way.echo(64, 5, 56);
        let (reply, took) = rig.ask(&request).expect(address);
        assert_eq!(took, round_trip, "{address}");
        let header = judge(&reply);
        assert_eq!((header.src, header.dst), (way.addresses.1, way.addresses.0));
        let payload = header.l4 + 4;
        assert_eq!(reply[payload..], request[payload..], "identifier, sequence and payload");
    }
    for silent in ["10.0.0.66", "2001:db8::66"] {
        let way = way(&rig, silent);
        assert_eq!(rig.ask(&way.echo(64, 5, 56)), None);
    }
    rig.assert_balance();
}

/// Type and code of an ICMP error, who sent it, and the datagram it quotes.
fn error(packet: &[u8]) -> (u8, u8, IpAddr, Vec<u8>) {
    let ip = judge(packet);
    let quote = packet[ip.l4 + 8..ip.end].to_vec();
    (packet[ip.l4], packet[ip.l4 + 1], ip.src, quote)
}

#[test]
fn each_hop_answers_when_the_ttl_ends_there() {
    let mut rig = default_rig("");
    let hops: [(&str, &[&str]); 2] = [
        (
            "203.0.113.7",
            &[
                "10.0.0.254",
                "172.16.12.2",
                "172.16.23.2|172.16.24.2",
                "172.16.34.2|172.16.44.2",
                "172.16.45.2",
            ],
        ),
        (
            "2001:db8:7::7",
            &[
                "2001:db8::fe",
                "2001:db8:12::2",
                "2001:db8:23::2|2001:db8:24::2",
                "2001:db8:34::2|2001:db8:44::2",
                "2001:db8:45::2",
            ],
        ),
    ];
    for (dst, path) in hops {
        let way = way(&rig, dst);
        for (i, routers) in path.iter().enumerate() {
            let ttl = i as u8 + 1;
            let request = way.echo(ttl, 9, 56);
            let (reply, took) = rig.ask(&request).unwrap();
            let (kind, code, from, quote) = error(&reply);
            assert_eq!((kind, code), if from.is_ipv4() { (11, 0) } else { (3, 0) });
            assert!(routers.split('|').any(|router| ip(router) == from), "hop {ttl}: {from}");
            assert_eq!(took, 200_000 + i as u64 * 3_960_000);
            // What is quoted is what arrived there: only the TTL and its checksum are new.
            let l4 = if from.is_ipv4() { 20 } else { 40 };
            assert_eq!(quote[l4..], request[14 + l4..], "the whole request is quoted");
            assert_eq!(quote[if from.is_ipv4() { 8 } else { 7 }], 1, "TTL on arrival");
        }
        assert_eq!(judge(&rig.ask(&way.echo(6, 9, 56)).unwrap().0).src, ip(dst));
    }
    rig.assert_balance();
}

#[test]
fn flows_divide_over_the_two_paths_and_each_keeps_its_own() {
    let mut rig = default_rig("");
    let way = way(&rig, "203.0.113.7");
    let mut seen = std::collections::BTreeMap::new();
    for port in 0..64u16 {
        let mut at = |repeat: u16| {
            let probe = way.udp(3, (40_000 + port, 33_434), &repeat.to_be_bytes());
            error(&rig.ask(&probe).unwrap().0).2
        };
        let router = at(0);
        assert_eq!(at(1), router, "one flow, one path");
        *seen.entry(router).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2);
    assert!(seen.values().all(|&n| n > 16), "{seen:?}");
    rig.assert_balance();
}

#[test]
fn udp_ports_are_closed_and_say_so() {
    let mut rig = default_rig("");
    for dst in ["10.0.0.5", "203.0.113.7", "2001:db8::5", "2001:db8:7::7", "10.0.0.254"] {
        let way = way(&rig, dst);
        let probe = way.udp(64, (40_000, 33_434), b"probe");
        let (kind, code, from, quote) = error(&rig.ask(&probe).unwrap().0);
        assert_eq!((kind, code), if from.is_ipv4() { (3, 3) } else { (1, 4) });
        assert_eq!(from, ip(dst));
        assert!(quote.ends_with(b"probe"));
    }
    rig.assert_balance();
}

#[test]
fn tcp_port_80_is_open_and_others_are_not() {
    const RST_ACK: u8 = 20;
    const SYN_ACK: u8 = 18;
    let mut rig = default_rig("");
    for dst in ["10.0.0.5", "203.0.113.7", "2001:db8::5"] {
        let way = way(&rig, dst);
        for (port, flags) in [(80, SYN_ACK), (81, RST_ACK)] {
            let (reply, _) = rig.ask(&way.tcp((40_000, port), TcpFlags::SYN)).unwrap();
            let header = judge(&reply);
            let segment = &reply[header.l4..];
            assert_eq!(header.ports(&reply), Some((port, 40_000)));
            assert_eq!(segment[13], flags);
            assert_eq!(segment[8..12], 1001u32.to_be_bytes(), "acknowledges the SYN");
        }
        assert_eq!(rig.ask(&way.tcp((40_000, 81), TcpFlags::RST)), None, "no answer to a reset");
    }
    rig.assert_balance();
}

#[test]
fn the_narrow_link_refuses_long_packets_and_names_its_mtu() {
    let mut rig = default_rig("");
    for (dst, fits) in [("198.51.100.9", 1400 - 28), ("2001:db8:9::9", 1400 - 48)] {
        let way = way(&rig, dst);
        let (reply, _) = rig.ask(&way.echo(64, 1, fits)).unwrap();
        assert_eq!(judge(&reply).src, ip(dst));
        let (reply, _) = rig.ask(&way.echo(64, 1, fits + 1)).unwrap();
        let (kind, code, from, _) = error(&reply);
        let header = judge(&reply);
        assert_eq!(reply[header.l4 + 4..header.l4 + 8], 1400u32.to_be_bytes());
        if from.is_ipv4() {
            assert_eq!((kind, code, from), (3, 4, ip("172.16.25.2")));
            assert_eq!(reply.len(), 14 + 576, "RFC 1812 §4.3.2.3");
        } else {
            assert_eq!((kind, code, from), (2, 0, ip("2001:db8:25::2")));
            assert_eq!(reply.len(), 14 + 1280, "RFC 4443 §2.4(c)");
        }
    }
    rig.assert_balance();
}

#[test]
fn the_third_router_says_host_unreachable() {
    let mut rig = default_rig("");
    let way = way(&rig, "192.0.2.1");
    let (reply, took) = rig.ask(&way.echo(64, 1, 56)).unwrap();
    let (kind, code, from, _) = error(&reply);
    assert_eq!((kind, code, from), (3, 1, ip("172.16.23.2")));
    assert_eq!(took, 200_000 + 2 * 3_960_000);
    rig.assert_balance();
}

#[test]
fn arp_and_neighbour_discovery_resolve_what_is_there() {
    let mut rig = default_rig("");
    for address in ["10.0.0.2", "10.0.0.66", "10.0.0.254"] {
        let IpAddr::V4(target) = ip(address) else { unreachable!() };
        let ask = ArpRepr {
            op: ArpOp::REQUEST,
            sender_mac: US,
            sender_ip: "10.0.0.1".parse().unwrap(),
            target_mac: MacAddr::ZERO,
            target_ip: target,
        };
        let mut request = vec![0; 42];
        build::arp(&mut request, &Link::new(US, MacAddr::BROADCAST), &ask).unwrap();
        let (reply, took) = rig.ask(&request).unwrap();
        let mac = rig.sim.neighbour("sim0", ip(address)).unwrap();
        assert_eq!((&reply[..6], &reply[6..12], took), (&US.0[..], &mac.0[..], 200_000));
        let arp = pnet_packet::arp::ArpPacket::new(&reply[14..]).unwrap();
        assert_eq!(arp.get_operation(), pnet_packet::arp::ArpOperations::Reply);
        assert_eq!(arp.get_sender_hw_addr().octets(), mac.octets());
        assert_eq!(arp.get_sender_proto_addr(), target);
        assert_eq!(arp.get_target_proto_addr(), std::net::Ipv4Addr::new(10, 0, 0, 1));
    }
    for address in ["2001:db8::2", "2001:db8::66", "2001:db8::fe"] {
        let IpAddr::V6(target) = ip(address) else { unreachable!() };
        let group = solicited_node(target);
        let macs = (MacAddr::for_multicast_v6(group), US);
        let way = Way { macs, addresses: (ip("2001:db8::1"), group.into()) };
        let (reply, _) = rig.ask(&way.solicit(target, 255)).unwrap();
        let header = judge(&reply);
        let mac = rig.sim.neighbour("sim0", ip(address)).unwrap();
        assert_eq!((header.src, header.ttl, reply[header.l4]), (ip(address), 255, 136));
        assert!(reply.ends_with(&mac.0), "target link-layer address");
        assert_eq!(rig.ask(&way.solicit(target, 64)), None, "forwarded ones are not believed");
    }
    assert_eq!(rig.sim.neighbour("sim0", ip("10.0.0.77")), None);
    rig.assert_balance();
}

#[test]
fn what_the_machine_knows_can_be_read() {
    let sim = Simulator::new("queues=4,mtu=1400".parse().unwrap());
    let port = sim.port("sim0").unwrap();
    assert_eq!((port.mtu, port.queues, port.mac, port.up), (1400, 4, US, true));
    assert_eq!(port.addresses, [(ip("10.0.0.1"), 24), (ip("2001:db8::1"), 64)]);
    assert_eq!(sim.port("eth0"), None);
    let on_link = sim.route(ip("10.0.0.7")).unwrap();
    assert_eq!((on_link.gateway, on_link.source), (None, ip("10.0.0.1")));
    let beyond = sim.route(ip("2001:db8:7::7")).unwrap();
    assert_eq!((beyond.gateway, beyond.source), (Some(ip("2001:db8::fe")), ip("2001:db8::1")));
    assert_eq!((beyond.port.as_str(), beyond.mtu), ("sim0", 1400));
    assert_eq!(Simulator::loopback(1).route(ip("10.0.0.7")), None);
}

/// Echo requests to 10.0.0.2, 10 ms apart; what came back and the round trips.
fn pings(spec: &str, count: u16) -> Vec<(Vec<u8>, u64)> {
    let mut rig = default_rig(spec);
    let way = way(&rig, "10.0.0.2");
    let mut replies = Vec::new();
    for sequence in 0..count {
        let start = rig.backend.now();
        rig.send(&way.echo(64, sequence, 56));
        let deadline = start + 10_000_000;
        while rig.backend.now() < deadline {
            let left = Duration::from_nanos(deadline - rig.backend.now());
            let got = rig.receive(left);
            replies.extend(got.into_iter().map(|r| (r.bytes, r.stamp.unwrap() - start)));
        }
    }
    rig.assert_balance();
    replies
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let spec = "loss=10%,jitter=1ms,dup=5%,reorder=5%,corrupt=5%,delay=1ms,seed=";
    let run = |seed: u32| pings(&format!("{spec}{seed}"), 300);
    let first = run(7);
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
}

#[test]
fn loss_is_counted_once_per_round_trip() {
    let received = pings("loss=30%,seed=3", 10_000).len();
    assert!((6_800..=7_200).contains(&received), "{received} of 10000 came back");
}

#[test]
fn delay_adds_to_the_round_trip_and_jitter_on_top() {
    assert!(pings("delay=5ms", 10).iter().all(|(_, took)| *took == 5_200_000));
    let took: Vec<u64> = pings("delay=5ms,jitter=1ms", 500).iter().map(|(_, t)| *t).collect();
    assert!(took.iter().all(|t| (5_200_000..=6_200_000).contains(t)));
    assert!(took.iter().max().unwrap() - took.iter().min().unwrap() > 900_000);
}

#[test]
fn corruption_is_seen_by_the_checksums() {
    let replies = pings("corrupt=100%", 200);
    assert_eq!(replies.len(), 200);
    let intact = |packet: &[u8]| Headers::parse(packet).is_ok_and(|h| h.verify_checksums(packet));
    assert!(replies.iter().all(|(packet, _)| !intact(packet)));
}

#[test]
fn duplicates_come_twice() {
    assert_eq!(pings("dup=100%", 20).len(), 40);
}

#[test]
fn a_rate_takes_its_time_both_ways() {
    // 98 bytes at 784 kbit/s take 1 ms, there and back.
    assert!(pings("rate=784kbit", 5).iter().all(|(_, took)| *took == 2_200_000));
}

#[test]
fn rss_spreads_flows_and_keeps_each_on_its_queue() {
    let mut rig = default_rig("queues=4");
    let way = way(&rig, "10.0.0.2");
    let mut used = [0; 4];
    for port in 0..64u16 {
        for _ in 0..2 {
            rig.send(&way.tcp((40_000 + port, 80), TcpFlags::SYN));
            rig.sim.step(Duration::from_millis(1));
        }
        let mut waiting = [0; 4];
        for (queue, socket) in rig.sockets.iter().enumerate() {
            waiting[queue] = socket.rx.rx.waiting();
            used[queue] += u32::from(waiting[queue] > 0);
        }
        waiting.sort_unstable();
        assert_eq!(waiting, [0, 0, 0, 2], "a flow stays on its queue");
        rig.take();
    }
    assert!(used.iter().all(|&n| n >= 8), "{used:?}");
    rig.assert_balance();
}

#[test]
fn in_real_time_a_round_trip_takes_as_long_as_it_says() {
    let mut rig = default_rig("realtime,delay=20ms");
    let way = way(&rig, "10.0.0.2");
    let start = std::time::Instant::now();
    rig.send(&way.echo(64, 1, 56));
    let got = rig.receive(Duration::from_secs(10));
    assert_eq!(got.len(), 1);
    assert!(start.elapsed() >= Duration::from_micros(20_200));
    let start = std::time::Instant::now();
    assert!(!rig.backend.wait(&[FIRST], Interest::Rx, Some(Duration::from_millis(5))).unwrap());
    assert!(start.elapsed() >= Duration::from_millis(5));
    assert_eq!(rig.backend.start().unwrap()[0].rx_clock, "monotonic");
    rig.assert_balance();
}
