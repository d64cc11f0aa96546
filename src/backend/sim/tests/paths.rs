//! Networks of one's own: NAT, limits, fragments, refusals, and the speed of it all.

use super::super::wire::Ip;
use super::super::{End, NetworkBuilder, NodeId, Profile};
use super::packets::*;
use super::*;
use crate::proto::{Ipv4View, TcpFlags};

/// us 10.0.0.1 ── 10.0.0.254 router 192.0.2.1 ── 192.0.2.9 host
fn two_links(
    tweak: impl FnOnce(&mut NetworkBuilder, NodeId),
    outer: impl FnOnce(End) -> End,
) -> Rig {
    let mut net = NetworkBuilder::new(1);
    let (us, router, host) = (net.port("sim0", 1), net.router(), net.host());
    let wire = Profile::delay(Duration::from_millis(1));
    net.link(
        End::new(us).address("10.0.0.1/24").address("2001:db8::1/64"),
        End::new(router).address("10.0.0.254/24").address("2001:db8::fe/64"),
        wire.clone(),
    );
    net.link(
        outer(End::new(router).address("192.0.2.1/24").address("2001:db8:2::1/64")),
        End::new(host).address("192.0.2.9/24").address("2001:db8:2::9/64"),
        wire,
    );
    net.gateway(us, "10.0.0.254");
    tweak(&mut net, router);
    Rig::open(&net.build().unwrap(), "sim0", Filter::Everything)
}

fn to(rig: &Rig, dst: &str) -> Way {
    let mac = rig.sim.neighbour("sim0", ip("10.0.0.254")).unwrap();
    Way { macs: (mac, US), addresses: (ip("10.0.0.1"), ip(dst)) }
}

pub(super) fn kind_code(packet: &[u8]) -> (u8, u8) {
    let ip = judge(packet);
    (packet[ip.l4], packet[ip.l4 + 1])
}

#[test]
fn behind_a_nat_every_protocol_finds_its_way_back() {
    let mut rig = two_links(|_, _| (), End::nat);
    let way = to(&rig, "192.0.2.9");
    let (reply, _) = rig.ask(&way.echo(64, 3, 40)).unwrap();
    assert_eq!(judge(&reply).dst, ip("10.0.0.1"));
    let (reply, _) = rig.ask(&way.tcp((40_000, 80), TcpFlags::SYN)).unwrap();
    assert_eq!(judge(&reply).ports(&reply), Some((80, 40_000)));
    // The error quotes our packet as we sent it, but for the TTL.
    let probe = way.udp(64, (40_000, 33_434), b"odd");
    let (reply, _) = rig.ask(&probe).unwrap();
    assert_eq!(kind_code(&reply), (3, 3));
    let quoted = judge(&reply).quoted(&reply).unwrap();
    assert_eq!((quoted.src, quoted.ports(&reply)), (ip("10.0.0.1"), Some((40_000, 33_434))));
    assert_eq!(reply[quoted.l4..quoted.end], probe[34..], "UDP checksum included");
    rig.assert_balance();
}

#[test]
fn two_inner_hosts_with_one_port_are_told_apart() {
    let mut rig = two_links(|_, _| (), End::nat);
    let way = to(&rig, "192.0.2.9");
    for inner in ["10.0.0.1", "10.0.0.77"] {
        let way = Way { addresses: (ip(inner), ip("192.0.2.9")), ..way };
        let (reply, _) = rig.ask(&way.tcp((40_000, 80), TcpFlags::SYN)).unwrap();
        let header = judge(&reply);
        assert_eq!((header.dst, header.ports(&reply)), (ip(inner), Some((80, 40_000))));
    }
    // Nobody asked for this one: it is the router's own.
    let (reply, _) = rig.ask(&to(&rig, "192.0.2.1").echo(64, 1, 8)).unwrap();
    assert_eq!(judge(&reply).src, ip("192.0.2.1"));
    rig.assert_balance();
}

#[test]
fn icmp_errors_are_limited_and_the_limit_recovers() {
    let mut rig = two_links(|net, router| net.limit_icmp(router, 10, 3), |end| end);
    let way = to(&rig, "192.0.2.9");
    let burst = |rig: &mut Rig| {
        for sequence in 0..8 {
            rig.send(&way.echo(1, sequence, 8));
        }
        rig.sim.step(Duration::from_millis(50));
        rig.take().len()
    };
    assert_eq!(burst(&mut rig), 3);
    assert_eq!(burst(&mut rig), 0);
    rig.sim.step(Duration::from_millis(150));
    assert_eq!(burst(&mut rig), 2, "two more after 200 ms");
    rig.assert_balance();
}

#[test]
fn refusals_say_what_they_are_and_a_black_hole_says_nothing() {
    let tweak = |net: &mut NetworkBuilder, router| {
        net.prohibit(router, "198.51.100.0/24");
        net.unreachable(router, "198.51.100.128/25");
        net.blackhole(router, "203.0.113.0/24");
    };
    let mut rig = two_links(tweak, |end| end);
    let mut ask = |dst| {
        let request = to(&rig, dst).echo(64, 1, 8);
        rig.ask(&request).map(|(reply, _)| kind_code(&reply))
    };
    assert_eq!(ask("198.51.100.1"), Some((3, 13)));
    assert_eq!(ask("198.51.100.200"), Some((3, 1)), "the longer prefix wins");
    assert_eq!(ask("203.0.113.1"), None);
    assert_eq!(ask("8.8.8.8"), Some((3, 0)), "no route");
    assert_eq!(ask("192.0.2.99"), Some((3, 1)), "nobody there");
    rig.assert_balance();
}

#[test]
fn without_dont_fragment_a_long_packet_is_cut() {
    let mut rig = two_links(|_, _| (), |end| end.mtu(600));
    let way = to(&rig, "192.0.2.9");
    // The host puts the fragments together.
    let (reply, _) = rig.ask(&way.cuttable_echo(1200)).unwrap();
    assert_eq!((kind_code(&reply), reply.len()), ((0, 0), 14 + 28 + 1200));
    let request = way.echo(64, 1, 1200);
    assert_eq!(kind_code(&rig.ask(&request).unwrap().0), (3, 4));
    rig.assert_balance();
}

#[test]
fn fragments_cover_the_datagram() {
    // Two ports over a narrow router: what b0 receives is what a0's packet was cut into.
    let mut net = NetworkBuilder::new(1);
    let (a, b, router) = (net.port("a0", 1), net.port("b0", 1), net.router());
    net.link(
        End::new(a).address("10.0.0.1/24"),
        End::new(router).address("10.0.0.254/24"),
        Profile::default(),
    );
    net.link(
        End::new(b).address("10.0.1.1/24"),
        End::new(router).address("10.0.1.254/24").mtu(600),
        Profile::default(),
    );
    net.gateway(a, "10.0.0.254");
    let sim = net.build().unwrap();
    let mut from = Rig::open(&sim, "a0", Filter::Nothing);
    let mut to = Rig::open(&sim, "b0", Filter::Everything);
    let mac = sim.neighbour("a0", ip("10.0.0.254")).unwrap();
    let way = Way { macs: (mac, US), addresses: (ip("10.0.0.1"), ip("10.0.1.1")) };
    let packet = way.cuttable_echo(1400);
    from.send(&packet);
    let parts = to.take();
    assert_eq!(parts.len(), 3);
    let mut whole: Vec<u8> = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let header = Ip::of_frame(&part.bytes).unwrap();
        let view = Ipv4View::parse(&part.bytes[14..]).unwrap();
        assert!(part.bytes.len() <= 614 && view.verify_checksum());
        let field = view.fragment().unwrap();
        assert_eq!((usize::from(field.offset), field.more), (whole.len(), n < 2));
        assert_eq!((header.first, header.fragment), (n == 0, true));
        whole.extend(&part.bytes[header.l4..header.end]);
    }
    assert_eq!(whole, packet[34..]);
    from.assert_balance();
    to.assert_balance();
}

#[test]
fn a_network_that_makes_no_sense_is_refused() {
    let error = |build: &dyn Fn(&mut NetworkBuilder)| {
        let mut net = NetworkBuilder::new(1);
        build(&mut net);
        net.build().err().unwrap().to_string()
    };
    let text = error(&|net| {
        let (a, b) = (net.port("a0", 1), net.host());
        net.link(End::new(a).address("10.0.0.1"), End::new(b), Profile::default());
    });
    assert_eq!(text, "prefix '10.0.0.1': must be ADDRESS/LENGTH");
    let text = error(&|net| {
        let (a, b) = (net.port("a0", 1), net.host());
        net.link(End::new(a), End::new(b), Profile::default());
        net.link(End::new(a), End::new(b), Profile::default());
    });
    assert!(text.contains("more than one link"));
    let text = error(&|net| {
        let a = net.port("a0", 1);
        net.route(a, "0.0.0.0/0", &["10.0.0.1"]);
    });
    assert!(text.contains("only routers"));
}

/// CPU time of this thread, of which other processes take nothing.
#[cfg(all(target_os = "linux", feature = "bpf", feature = "tools", not(miri)))]
fn cpu_ns() -> Option<u64> {
    Some(crate::sys::usage::thread().unwrap().total_ns)
}

#[cfg(not(all(target_os = "linux", feature = "bpf", feature = "tools", not(miri))))]
fn cpu_ns() -> Option<u64> {
    None
}

#[test]
fn a_packet_costs_microseconds_and_its_sender_virtual_time() {
    let count: u32 = if cfg!(miri) { 200 } else { 200_000 };
    let sim = Simulator::crossed_pair(1);
    let mut a = Rig::open(&sim, "a0", Filter::Nothing);
    let mut b = Rig::open(&sim, "b0", Filter::Everything);
    let begin = cpu_ns();
    let mut received = 0;
    while received < count {
        for _ in 0..32 {
            let buffer = a.umem.alloc_buffer(0, 60).unwrap().unwrap();
            a.sockets[0].tx.tx.reserve(1).push(buffer).unwrap();
        }
        a.sockets[0].tx.flush().unwrap();
        assert_eq!(a.reap(), 32);
        let umem = &b.umem;
        assert!(b.backend.wait(&[FIRST], Interest::Rx, None).unwrap());
        let rx = &mut b.sockets[0].rx;
        received += rx.rx.receive(64, |buffer| umem.free(buffer.frame));
        rx.refill(&mut b.cache, false).unwrap();
    }
    if let (Some(begin), Some(end)) = (begin, cpu_ns()) {
        let per_packet = (end - begin) / u64::from(received);
        assert!(per_packet < 20_000, "{per_packet} ns a packet");
    }
    // The sender paid 100 ns of virtual time for each, so time passes for who only sends.
    assert_eq!(sim.now() - 1_000_000_000, u64::from(received) * 100);
    a.assert_balance();
    b.assert_balance();
}
