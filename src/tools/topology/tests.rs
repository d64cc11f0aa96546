//! Files that load and do what they say, and errors that tell where and what.

use super::*;
use crate::error::ErrorKind;
use crate::proto::build::{self, Link, Net};
use crate::proto::{
    Headers, Icmpv4Kind, Icmpv6Kind, IpPair, Tag, TcpFlags, TcpRepr, Transport, UdpRepr,
};
use crate::{Filter, FluxBuilder, FluxRaw};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

pub(super) const SERVERS: [&str; 2] = ["203.0.113.7", "2001:db8:7::7"];

pub(super) fn topology(name: &str) -> std::path::PathBuf {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topologies");
    dir.join(format!("{name}.toml"))
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) from: IpAddr,
    pub(super) kind: Transport,
    pub(super) ttl: u8,
    pub(super) took: Duration,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    fn is_time_exceeded(&self) -> bool {
        matches!(
            self.kind,
            Transport::Icmpv4 { kind: Icmpv4Kind::TIME_EXCEEDED, .. }
                | Transport::Icmpv6 { kind: Icmpv6Kind::TIME_EXCEEDED, .. }
        )
    }
}

/// Who sends probes into a network.
pub(super) struct Prober {
    pub(super) network: Simulator,
    port: &'static str,
    raw: FluxRaw,
}

impl Prober {
    pub(super) fn on(network: Simulator) -> Self {
        Self::by("sim0", network)
    }

    pub(super) fn by(port: &'static str, network: Simulator) -> Self {
        let builder = FluxBuilder::new(port).simulator(&network);
        let raw = builder.filter(Filter::Everything).frames(64).build_raw().unwrap();
        Self { network, port, raw }
    }

    pub(super) fn open(name: &str) -> Self {
        Self::seeded(name, None)
    }

    pub(super) fn seeded(name: &str, seed: Option<u64>) -> Self {
        let spec = SimSpec { seed, ..SimSpec::default() };
        Self::on(load(&topology(name), &spec).unwrap())
    }

    pub(super) fn send(
        &mut self,
        dst: &str,
        ttl: u8,
        write: impl FnOnce(&mut [u8], &Link, &Net) -> Option<usize>,
    ) {
        let route = self.network.route_by(self.port, ip(dst)).unwrap();
        let hop = route.gateway.unwrap_or(ip(dst));
        let mac = self.network.neighbour(self.port, hop).unwrap();
        let link = Link::new(self.network.port(self.port).unwrap().mac, mac);
        let net = Net::new(IpPair::new(route.source, ip(dst)).unwrap()).with_ttl(ttl);
        let mut packet = [0; 1600];
        let len = write(&mut packet, &link, &net).unwrap();
        let umem = self.raw.umem();
        let mut buffer = umem.alloc_buffer(256, len as u32).unwrap().unwrap();
        umem.packet_mut(&mut buffer).copy_from_slice(&packet[..len]);
        self.raw.tx.reserve(1).push(buffer).unwrap();
        self.raw.kick_tx().unwrap();
        let umem = std::sync::Arc::clone(self.raw.umem());
        self.raw.comp.reap(8, |frame| umem.free(frame));
    }

    /// What has arrived.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        let (mut packets, mut frames) = (Vec::new(), Vec::new());
        let umem = std::sync::Arc::clone(self.raw.umem());
        self.raw.rx.receive(u32::MAX, |buffer| {
            packets.push(umem.packet(&buffer).to_vec());
            frames.push(buffer.frame);
        });
        self.raw.fill.post(&mut frames, u32::MAX);
        umem.free_all(frames.drain(..));
        packets
    }

    pub(super) fn ask(
        &mut self,
        dst: &str,
        ttl: u8,
        write: impl FnOnce(&mut [u8], &Link, &Net) -> Option<usize>,
    ) -> Option<Answer> {
        let start = self.raw.now();
        self.send(dst, ttl, write);
        self.raw.wait(Some(Duration::from_secs(2))).unwrap();
        let took = Duration::from_nanos(self.raw.now() - start);
        let mut answers = self.take();
        assert!(answers.len() <= 1);
        let bytes = answers.pop()?;
        let headers = Headers::parse(&bytes).unwrap();
        Some(Answer {
            from: headers.ip.unwrap().src(),
            kind: headers.transport,
            ttl: headers.ttl,
            took,
            bytes,
        })
    }

    pub(super) fn echo(&mut self, dst: &str, ttl: u8, len: usize) -> Option<Answer> {
        let data = vec![7; len];
        self.ask(dst, ttl, |to, link, net| build::echo_request(to, link, net, 7, 1, &data))
    }

    pub(super) fn udp(&mut self, dst: &str, ttl: u8, port: u16) -> Option<Answer> {
        let ports = UdpRepr { src_port: port, dst_port: 33_434 };
        self.ask(dst, ttl, |to, link, net| build::udp(to, link, net, &ports, b"probe"))
    }

    pub(super) fn tcp(&mut self, dst: &str, port: u16) -> Option<Answer> {
        let syn = TcpRepr::new(4000, port, TcpFlags::SYN);
        self.ask(dst, 64, |to, link, net| build::tcp(to, link, net, &syn, &[]))
    }

    /// Names of those that answer echo requests with TTL 1, 2, …, until the target does.
    pub(super) fn path(&mut self, dst: &str, most: u8) -> Vec<String> {
        let mut path = Vec::new();
        for ttl in 1..=most {
            let Some(answer) = self.echo(dst, ttl, 8) else {
                path.push("*".to_owned());
                continue;
            };
            path.push(self.network.name_of(answer.from).unwrap_or(answer.from.to_string()));
            if !answer.is_time_exceeded() {
                break;
            }
        }
        path
    }

    /// Which nodes answer probes of many flows with this TTL.
    pub(super) fn width(&mut self, dst: &str, ttl: u8, flows: u16) -> usize {
        let answers = (0..flows).filter_map(|port| self.udp(dst, ttl, 1000 + port));
        answers.map(|answer| answer.from).collect::<BTreeSet<_>>().len()
    }

    /// What comes within two seconds about an echo request: how many errors, and how many answers.
    pub(super) fn gather(&mut self, dst: &str, len: usize) -> (usize, usize) {
        let packets = self.all(dst, len);
        let is_error = |packet: &&Vec<u8>| {
            let headers = Headers::parse(packet).unwrap();
            match headers.transport {
                Transport::Icmpv4 { kind, .. } => kind.is_error(),
                Transport::Icmpv6 { kind, .. } => kind.is_error(),
                _ => false,
            }
        };
        let errors = packets.iter().filter(is_error).count();
        (errors, packets.len() - errors)
    }

    /// In how many fragments an echo request of this length is answered.
    pub(super) fn fragments(&mut self, dst: &str, len: usize) -> usize {
        let packets = self.all(dst, len);
        packets.iter().filter(|packet| Headers::parse(packet).unwrap().is_fragment()).count()
    }

    /// All that comes within two seconds after an echo request that routers may cut.
    fn all(&mut self, dst: &str, len: usize) -> Vec<Vec<u8>> {
        let data = vec![7; len];
        self.send(dst, 64, |to, link, net| {
            let net = Net { dont_fragment: false, ..*net };
            build::echo_request(to, link, &net, 7, 1, &data)
        });
        self.network.step(Duration::from_secs(2));
        self.take()
    }

    /// The VLANs in which an echo request in these is answered.
    pub(super) fn tagged(&mut self, dst: &str, vlans: &[u16]) -> Option<Vec<u16>> {
        self.send(dst, 64, |to, link, net| {
            let len = build::echo_request(to, link, net, 7, 1, b"x")?;
            let tags: Vec<u8> =
                vlans.iter().flat_map(|&vlan| Tag::customer(vlan).unwrap().octets()).collect();
            to.copy_within(12..len, 12 + tags.len());
            to[12..12 + tags.len()].copy_from_slice(&tags);
            Some(len + tags.len())
        });
        self.network.step(Duration::from_secs(1));
        let answer = self.take().pop()?;
        let headers = Headers::parse(&answer).unwrap();
        Some(headers.vlan.iter().flatten().map(|tag| tag.vid()).collect())
    }
}

fn all() -> Vec<std::path::PathBuf> {
    let dir = topology("x");
    let files = std::fs::read_dir(dir.parent().unwrap()).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_topology_loads_and_its_addresses_have_names() {
    let files = all();
    assert!(files.len() >= 20, "{files:?}");
    for file in files {
        let network = load(&file, &SimSpec::default()).unwrap();
        assert_eq!(network.port("sim0").unwrap().queues, 1, "{file:?}");
        assert_eq!(network.name_of(ip("10.0.0.1")).as_deref(), Some("us"), "{file:?}");
    }
}

#[test]
fn the_example_of_the_help_is_what_it_says() {
    let text = include_str!("../../bin/flux/topology.txt");
    let (_, rest) = text.split_once("\nAn example:\n").unwrap();
    let indented = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let example: String = indented.map(|line| format!("{}\n", line.trim_start())).collect();
    assert!(example.lines().count() > 30);
    let network = parse(&example, &SimSpec::default()).unwrap();
    let mut prober = Prober::on(network);
    for dst in SERVERS {
        let path = prober.path(dst, 9);
        assert!(path[1] == "a" || path[1] == "b");
        assert_eq!(
            (&path[0][..], &path[2..]),
            ("r1", &["r2", "r3", "server"].map(str::to_owned)[..])
        );
    }
}

#[test]
fn links_are_numbered_and_both_families_work() {
    let mut prober = Prober::open("mtu-1400");
    assert_eq!(prober.network.neighbour("sim0", ip("10.0.0.2")).map(|_| ()), Some(()));
    let names = [
        ("10.0.0.2", "r1"),
        ("2001:db8::2", "r1"),
        ("172.16.2.1", "r1"),
        ("172.16.2.2", "r2"),
        ("2001:db8:ffff:3::1", "r2"),
        ("2001:db8:ffff:3::2", "r3"),
        ("203.0.113.1", "r3"),
        ("203.0.113.7", "server"),
    ];
    for (address, name) in names {
        assert_eq!(prober.network.name_of(ip(address)).as_deref(), Some(name), "{address}");
    }
    for dst in SERVERS {
        assert_eq!(prober.path(dst, 9), ["r1", "r2", "r3", "server"]);
        assert_eq!(prober.echo(dst, 64, 8).unwrap().took, Duration::from_millis(16));
        let header = if ip(dst).is_ipv4() { 28 } else { 48 };
        assert_eq!(prober.echo(dst, 64, 1400 - header).unwrap().from, ip(dst));
        let refused = prober.echo(dst, 64, 1401 - header).unwrap();
        assert_eq!(prober.network.name_of(refused.from).as_deref(), Some("r2"));
    }
}

#[test]
fn balancers_are_as_wide_as_they_say() {
    for dst in SERVERS {
        let mut prober = Prober::open("ecmp-16");
        assert_eq!(prober.width(dst, 3, 300), 16);
        assert_eq!((prober.width(dst, 2, 20), prober.width(dst, 5, 20)), (1, 1));
        let one_flow = |prober: &mut Prober, ttl| {
            let answers = (0..40).map(|_| prober.udp(dst, ttl, 5).unwrap().from);
            answers.collect::<BTreeSet<_>>().len()
        };
        assert_eq!(one_flow(&mut prober, 3), 1);
        let mut prober = Prober::open("per-packet");
        assert_eq!(one_flow(&mut prober, 3), 3);
        let mut prober = Prober::open("wide-chain");
        assert_eq!(prober.width(dst, 3, 64), 4);
        assert_eq!(prober.width(dst, 5, 64), 2);
        // By the longer branch c2 is where the shorter one has join already.
        assert_eq!(prober.width(dst, 6, 64), 2);
    }
    let mut prober = Prober::open("per-destination");
    assert_eq!(prober.width("198.18.0.7", 3, 40), 1);
    let ways: BTreeSet<_> =
        (0..40).map(|n| prober.udp(&format!("198.18.0.{n}"), 3, 5).unwrap().from).collect();
    assert_eq!(ways.len(), 2);
}

#[test]
fn another_seed_takes_other_ways_and_the_same_seed_the_same() {
    let ways = |seed| {
        let mut prober = Prober::seeded("ecmp-16", seed);
        (0..40).map(|port| prober.udp(SERVERS[0], 3, port).unwrap().from).collect::<Vec<_>>()
    };
    assert_eq!(ways(Some(7)), ways(Some(7)));
    assert_ne!(ways(Some(7)), ways(Some(8)));
    assert_eq!(ways(None), ways(Some(1)), "a file without a seed has 1");
}

#[test]
fn silent_nodes_leave_gaps() {
    for dst in SERVERS {
        let path = Prober::open("silent").path(dst, 9);
        assert_eq!(path, ["r1", "*", "r3", "r4", "server"]);
        let path = Prober::open("gaps").path(dst, 12);
        assert_eq!(path, ["r1", "*", "r3", "*", "*", "*", "r7", "*", "server"]);
        let path = Prober::open("firewalled").path(dst, 6);
        assert_eq!(path, ["r1", "r2", "r3", "*", "*", "*"]);
    }
}

#[test]
fn targets_answer_what_they_are_open_for() {
    for dst in SERVERS {
        let mut prober = Prober::open("tcp-only");
        assert!(prober.echo(dst, 64, 8).is_none() && prober.udp(dst, 64, 9).is_none());
        assert!(prober.tcp(dst, 80).is_none() && prober.tcp(dst, 443).is_some());
        let mut prober = Prober::open("udp-open");
        let answer = prober.udp(dst, 64, 9).unwrap();
        assert!(matches!(answer.kind, Transport::Udp { src_port: 33_434, dst_port: 9, .. }));
    }
}

#[test]
fn a_limit_takes_errors_of_one_router_alone() {
    let mut prober = Prober::open("rate-limited");
    let mut seen = [0; 5];
    for _ in 0..8 {
        for ttl in 1..=4 {
            let ports = UdpRepr { src_port: 5, dst_port: 33_434 };
            prober.send(SERVERS[0], ttl, |to, link, net| build::udp(to, link, net, &ports, &[ttl]));
        }
    }
    prober.network.step(Duration::from_millis(150));
    for packet in prober.take() {
        seen[usize::from(*packet.last().unwrap())] += 1;
    }
    assert_eq!(seen, [0, 8, 2, 8, 8]);
}

#[test]
fn a_black_hole_is_one_and_a_loop_goes_round() {
    for dst in SERVERS {
        let mut prober = Prober::open("black-hole");
        assert!(prober.echo(dst, 64, 1200).is_some() && prober.echo(dst, 64, 1400).is_none());
        let path = Prober::open("loop").path(dst, 6);
        assert_eq!(path, ["r1", "r2", "r3", "r2", "r3", "r2"]);
    }
}

#[test]
fn nats_restore_quotes_with_the_checksum_or_without() {
    for (name, restored) in [("nat", true), ("nat-checksum", false)] {
        let mut prober = Prober::open(name);
        let mut sent = Vec::new();
        for ttl in [2, 3, 64] {
            let ports = UdpRepr { src_port: 4000, dst_port: 33_434 };
            let answer = prober.ask(SERVERS[0], ttl, |to, link, net| {
                let len = build::udp(to, link, net, &ports, b"probe")?;
                sent = to[..len].to_vec();
                Some(len)
            });
            let quote = &answer.unwrap().bytes[14 + 20 + 8..];
            assert_eq!(quote[12..16], [10, 0, 0, 1], "{name}: the quoted source is ours");
            assert_eq!(quote[20..24], sent[34..38], "and so are the ports");
            // Routers before the NAT quote what we sent in any case.
            assert_eq!(quote[26..28] == sent[40..42], restored || ttl == 2, "{name}, TTL {ttl}");
        }
    }
}

#[test]
fn the_way_back_may_be_another() {
    for dst in SERVERS {
        let mut prober = Prober::open("asymmetric");
        assert_eq!(prober.path(dst, 9), ["r1", "r2", "r3", "r4", "server"]);
        let r4 = prober.udp(dst, 4, 9).unwrap();
        // r4 is four hops away; its answers come back over x2, x1 and r1. IPv6 has the same way.
        assert_eq!(255 - r4.ttl, 3);
        assert_eq!(r4.took, Duration::from_millis(4 * 2 + 3 * 30 + 2));
        let r3 = prober.udp(dst, 3, 9).unwrap();
        assert_eq!((64 - r3.ttl, r3.took), (2, Duration::from_millis(12)));
    }
}

#[test]
fn labels_are_where_the_file_has_them() {
    for dst in SERVERS {
        let mut prober = Prober::open("mpls");
        let l4 = if ip(dst).is_ipv4() { 34 } else { 54 };
        let p1 = prober.udp(dst, 2, 9).unwrap();
        assert_eq!(p1.bytes[l4 + 136 + 8..], [0x05, 0xdc, 0x10, 1, 0, 1, 0x01, 1]);
        assert_ne!(p1.bytes[l4 + 4..l4 + 8], [0; 4]);
        let p2 = prober.udp(dst, 3, 9).unwrap();
        assert_eq!(p2.bytes[l4 + 4..l4 + 8], [0; 4], "the old form has no length");
        assert_eq!(p2.bytes[l4 + 136 + 8..], [0x05, 0xdc, 0x57, 2]);
    }
}

#[test]
fn hosts_answer_for_prefixes_and_routers_refuse() {
    let mut prober = Prober::open("ten-thousand");
    for dst in ["198.18.0.1", "198.19.39.16", "2001:db8:f:7::1"] {
        assert_eq!(prober.path(dst, 9).len(), 4);
        assert_eq!(prober.udp(dst, 64, 9).unwrap().from, ip(dst));
    }
    let mut prober = Prober::open("unreachable");
    let mut code = |dst: &str| {
        let answer = prober.udp(dst, 64, 9)?;
        assert_eq!(prober.network.name_of(answer.from).as_deref(), Some("r3"));
        Some((answer.bytes[34], answer.bytes[35]))
    };
    assert_eq!(code("198.51.100.1"), Some((3, 1)));
    assert_eq!(code("192.0.2.1"), Some((3, 13)));
    assert_eq!(code("198.18.0.1"), None);
    assert_eq!(code("203.0.113.9"), Some((3, 1)));
    assert_eq!(code("8.8.8.8"), Some((3, 0)));
}

#[test]
fn thirty_hops_are_182_ms_long() {
    let mut prober = Prober::open("thirty-hops");
    let last = prober.udp(SERVERS[0], 29, 9).unwrap();
    assert_eq!(prober.network.name_of(last.from).as_deref(), Some("r29"));
    assert_eq!(last.took, Duration::from_millis(180));
    let server = prober.udp(SERVERS[1], 30, 9).unwrap();
    assert_eq!((server.from, server.took), (ip(SERVERS[1]), Duration::from_millis(182)));
}

#[test]
fn answers_of_slow_routers_come_out_of_order() {
    let mut prober = Prober::open("out-of-order");
    for ttl in 1..=5u8 {
        let ports = UdpRepr { src_port: 5, dst_port: 33_434 };
        prober.send(SERVERS[0], ttl, |to, link, net| build::udp(to, link, net, &ports, &[ttl]));
    }
    prober.network.step(Duration::from_millis(300));
    let order: Vec<_> = prober.take().iter().map(|packet| packet.last().copied()).collect();
    assert!(order.len() == 5 && !order.is_sorted(), "{order:?}");
}

#[test]
fn each_link_of_ours_is_an_interface_and_the_nearer_one_is_the_way() {
    let network = load(&topology("two-interfaces"), &SimSpec::default()).unwrap();
    let addresses = |port: &str| network.port(port).unwrap().addresses;
    assert_eq!(addresses("sim0"), [(ip("10.0.0.1"), 24), (ip("2001:db8::1"), 64)]);
    assert_eq!(addresses("sim1"), [(ip("10.0.1.1"), 24), (ip("2001:db8:1::1"), 64)]);
    assert_eq!(network.ports().len(), 2);
    assert_ne!(network.port("sim0").unwrap().mac, network.port("sim1").unwrap().mac);
    assert_eq!(network.name_of(ip("10.0.1.1")).as_deref(), Some("us"));
    let way = |dst: &str| {
        let route = network.route(ip(dst)).unwrap();
        (route.port, route.source, route.gateway)
    };
    let on = |port: &str, source: &str, gateway: Option<&str>| {
        (port.to_owned(), ip(source), gateway.map(ip))
    };
    assert_eq!(way("10.0.0.2"), on("sim0", "10.0.0.1", None));
    assert_eq!(way("10.0.1.2"), on("sim1", "10.0.1.1", None));
    assert_eq!(way("198.51.100.7"), on("sim0", "10.0.0.1", Some("10.0.0.2")));
    assert_eq!(way("203.0.113.7"), on("sim1", "10.0.1.1", Some("10.0.1.2")));
    assert_eq!(way("2001:db8:7::7"), on("sim1", "2001:db8:1::1", Some("2001:db8:1::2")));
    assert_eq!(way("2001:db8:8::7"), on("sim0", "2001:db8::1", Some("2001:db8::2")));
    // The default route is the first interface's, and the others have none.
    assert_eq!(way("8.8.8.8"), on("sim0", "10.0.0.1", Some("10.0.0.2")));
    assert_eq!(network.route_by("sim1", ip("8.8.8.8")), None);
}

#[test]
fn probes_and_answers_go_by_the_interface_that_was_chosen() {
    let path = |port: &'static str, dst: &str| {
        let network = load(&topology("two-interfaces"), &SimSpec::default()).unwrap();
        let mut prober = Prober::by(port, network);
        (prober.path(dst, 9), prober.echo(dst, 64, 8).unwrap().took)
    };
    let ms = Duration::from_millis;
    for (left, right) in [("198.51.100.7", SERVERS[0]), ("2001:db8:8::7", SERVERS[1])] {
        let named = |path: &[&str]| path.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(path("sim0", left), (named(&["r1", "left"]), ms(2)));
        assert_eq!(path("sim1", right), (named(&["r2", "right"]), ms(4)));
        assert_eq!(path("sim1", left), (named(&["r2", "r3", "r1", "left"]), ms(24)));
        assert_eq!(path("sim0", right), (named(&["r1", "r3", "r2", "right"]), ms(22)));
    }
}

/// Our machine with a host or a router at each of its links.
const TWO_LINKS: &str = r#"[us]
addresses = ["10.0.0.1/24"]
[[router]]
name = "r"
[[host]]
name = "near"
prefix = "198.18.0.0/16"
[[host]]
name = "far"
prefix = "198.18.0.0/15"
[[link]]
between = ["near", "us", "r", "far"]
"#;

#[test]
fn a_route_by_us_leads_to_our_interface() {
    let mut text = std::fs::read_to_string(topology("two-interfaces")).unwrap();
    text += "[[route]]\nat = \"r1\"\nto = \"right\"\nvia = \"us\"\n";
    let mut prober = Prober::on(parse(&text, &SimSpec::default()).unwrap());
    for (dst, us) in SERVERS.into_iter().zip(["10.0.0.1", "2001:db8::1"]) {
        let own = prober.echo(dst, 64, 8).unwrap();
        assert_eq!((own.from, own.ttl), (ip(us), 63), "our own packet, to be forwarded");
    }
}

#[test]
fn links_of_ours_without_addresses_are_numbered_as_others_are() {
    let network = parse(TWO_LINKS, &SimSpec::default()).unwrap();
    assert_eq!(network.port("sim1").unwrap().addresses, [(ip("172.16.2.1"), 30)]);
    assert_eq!(network.name_of(ip("172.16.2.2")).as_deref(), Some("r"));
    let way = |dst: &str| network.route(ip(dst)).map(|route| (route.port, route.gateway));
    let by = |port: &str, gateway: &str| Some((port.to_owned(), Some(ip(gateway))));
    // What a host of ours answers for lies behind it; the longer prefix counts more.
    assert_eq!(way("198.18.7.7"), by("sim0", "10.0.0.2"));
    assert_eq!(way("198.19.7.7"), by("sim1", "172.16.2.2"));
    // A machine that does not route is no way from one side to the other.
    assert_eq!(network.route_by("sim0", ip("172.16.3.2")), None);
    let mut prober = Prober::by("sim1", network);
    assert_eq!(prober.path("198.19.7.7", 4), ["r", "198.19.7.7"]);
    // By the default route, which is the first that leads to a router.
    assert_eq!(prober.path("10.0.0.2", 4), ["r", "r"], "unreachable, says the router");
}

#[test]
fn addresses_of_a_second_link_are_written_at_it() {
    let told = |ours: &str, links: &str| {
        let text = format!("[us]\naddresses = [{ours}]\n{links}");
        let error = parse(&text, &SimSpec::default()).err().unwrap();
        (error.to_string(), error.hint().unwrap().to_owned())
    };
    let hosts = "[[host]]\nname = \"a\"\naddresses = \"10.0.0.2/24\"\n\
                 [[host]]\nname = \"b\"\naddresses = \"10.0.1.2/24\"\n\
                 [[link]]\nbetween = [\"a\", \"us\", \"b\"]\n";
    let both = "\"10.0.0.1/24\", \"10.0.1.1/24\"";
    for links in [hosts, &hosts.replacen("addresses = \"10.0.0.2/24\"\n", "", 1)] {
        let (what, hint) = told(both, links);
        assert_eq!(
            what,
            "topology line 2, column 29: 10.0.1.1/24 is in the network of another link of ours"
        );
        assert!(hint.contains("addresses = { us = \"10.0.1.1/24\" }"), "{hint}");
    }
    let many = (0..65).map(|n| format!("\"n{n}\"")).collect::<Vec<_>>().join(",");
    let (what, _) = told(
        "\"10.0.0.1/24\"",
        &format!("[[host]]\nname = [{many}]\n[[link]]\nbetween = [\"us\", [{many}]]\n"),
    );
    assert!(what.ends_with("'us' has more than 64 links"), "{what}");
}

#[test]
fn a_command_between_two_interfaces_needs_a_file_with_two() {
    let with = |file| SimOptions { file, ..SimOptions::default() };
    let names = |simulator: Simulator| {
        simulator.ports().into_iter().map(|port| port.name).collect::<Vec<_>>()
    };
    for file in [None, Some(topology("two-interfaces"))] {
        assert_eq!(names(between(with(file)).unwrap()), ["sim0", "sim1"]);
    }
    let error = between(with(Some(topology("silent")))).unwrap_err();
    assert!(error.to_string().ends_with("has one interface of ours, and two are needed"));
    assert!(error.hint().unwrap().contains("second [[link]]"));
}

#[test]
fn what_the_machine_is_like_comes_from_the_spec() {
    let text = std::fs::read_to_string(topology("silent")).unwrap();
    let spec = "queues=4,zerocopy=no,link_flap".parse().unwrap();
    let two = std::fs::read_to_string(topology("two-interfaces")).unwrap();
    for (text, name) in [(&text, "sim0"), (&two, "sim0"), (&two, "sim1")] {
        let port = parse(text, &spec).unwrap().port(name).unwrap();
        assert_eq!((port.queues, port.claims_zero_copy), (4, false));
        assert_eq!(port.troubles, crate::simulator::Trouble::LinkFlap.into());
    }
    let named = SimOptions { file: Some(topology("silent")), ..SimOptions::default() };
    assert_eq!(simulator(named).unwrap().name_of(ip("203.0.113.7")).as_deref(), Some("server"));
    let default = simulator(SimOptions::default()).unwrap();
    assert_eq!(default.name_of(ip("203.0.113.7")).as_deref(), Some("server.sim"));
}

/// A sound file, to be spoilt.
const SOUND: &str = r#"[us]
addresses = ["10.0.0.1/24"]

[[router]]
name = ["r1", "r2"]

[[host]]
name = "server"
addresses = ["192.0.2.7/24"]

[[link]]
between = ["us", "r1", "r2", "server"]

[[route]]
at = "r1"
to = "server"
via = "r2"
"#;

/// The sound file with an event of these lines, what is said about it and what to do.
fn event<'t>(
    lines: &str,
    what: &'t str,
    hint: &'t str,
) -> (&'static str, &'static str, &'t str, &'t str) {
    let text: &str = Box::leak(format!("via = \"r2\"\n\n[[event]]\n{lines}").into_boxed_str());
    ("via = \"r2\"", text, what, hint)
}

/// What is said about the sound file with `old` replaced by `new`.
fn spoilt(old: &str, new: &str) -> (String, String) {
    assert!(SOUND.contains(old), "{old}");
    let error = parse(&SOUND.replacen(old, new, 1), &SimSpec::default()).err();
    let error = error.unwrap_or_else(|| panic!("{new} was taken"));
    assert_eq!(error.kind(), ErrorKind::Config);
    (without_column(&error.to_string()), error.hint().unwrap().to_owned())
}

/// An error without its column, which each with a line has.
fn without_column(told: &str) -> String {
    let Some((before, after)) = told.split_once(", column ") else {
        assert!(!told.contains(" line "), "{told}");
        return told.to_owned();
    };
    let (column, rest) = after.split_once(':').unwrap();
    assert!(column.parse::<usize>().unwrap() > 0, "{told}");
    format!("{before}:{rest}")
}

#[test]
fn errors_tell_the_line_what_is_wrong_and_what_to_do() {
    parse(SOUND, &SimSpec::default()).unwrap();
    let between = "between = [\"us\", \"r1\", \"r2\", \"server\"]";
    let table = [
        // Nodes.
        ("[us]\naddresses = [\"10.0.0.1/24\"]", "", "topology: there is no [us]", "add [us]"),
        ("addresses = [\"10.0.0.1/24\"]", "", "line 1: [us] without addresses", "10.0.0.1/24"),
        (
            "\"r2\"]\n\n[[host]]",
            "\"r1\"]\n\n[[host]]",
            "line 5: there are two nodes of the name 'r1'",
            "own",
        ),
        ("\"server\"\nadd", "\"us\"\nadd", "line 8: there are two nodes of the name 'us'", "own"),
        ("\"server\"\nadd", "\"a b\"\nadd", "line 8: 'a b' is not a name for a node", "letters"),
        ("name = \"server\"", "", "line 7: [[host]] without name", "add name = "),
        ("[[host]]", "[host]", "line 7: host is not a list of tables", "[[host]]"),
        (
            "name = \"server\"",
            "name = 7",
            "line 8: name = 7 is not a word or a list of words",
            "\"r1\"",
        ),
        (
            "name = \"server\"",
            "name = \"server\"\nprefix = \"198.18.0.0\"",
            "line 9: '198.18.0.0' has no prefix length",
            "ADDRESS/LENGTH",
        ),
        (
            "name = \"server\"",
            "name = [\"server\", \"s2\"]",
            "line 7: several hosts with the same addresses",
            "own",
        ),
        (
            "name = \"server\"",
            "name = \"server\"\ntcp = [0]",
            "line 9: tcp is not a list of ports",
            "[80, 443]",
        ),
        (
            "name = [\"r1\", \"r2\"]",
            "name = [\"r1\", \"r2\", \"r3\"]",
            "line 5: 'r3' cannot be reached: no [[link]] leads there",
            "[[link]]",
        ),
        // Keys and values.
        (
            "name = \"server\"",
            "name = \"server\"\nmtu = 9",
            "line 9: unknown key 'mtu' in [[host]]",
            "known keys: name, addresses",
        ),
        (
            "[us]",
            "colour = 1\n[us]",
            "line 1: unknown key 'colour' in the file",
            "known keys: seed, us",
        ),
        ("[us]", "seed = -1\n[us]", "line 1: seed = -1 is not a whole number", "seed = 1"),
        (
            between,
            "between = [\"us\", \"r1\", \"r2\", \"server\"]\nloss = \"110%\"",
            "line 13: loss = \"110%\" is not a share",
            "loss = \"1%\"",
        ),
        (
            between,
            "between = [\"us\", \"r1\", \"r2\", \"server\"]\ndelay = 5",
            "line 13: delay = 5 is not a time",
            "\"5ms\"",
        ),
        (
            between,
            "between = [\"us\", \"r1\", \"r2\", \"server\"]\nback = { cost = 1 }",
            "line 13: unknown key 'cost' in back",
            "delay, jitter",
        ),
        (
            between,
            "between = [\"us\", \"r1\", \"r2\", \"server\"]\nback = 1",
            "line 13: back = 1 is not a table",
            "back = {",
        ),
        (
            between,
            "between = [\"us\", \"r1\", \"r2\", \"server\"]\nmtu = 10",
            "line 13: mtu = 10 is not a whole number from 68",
            "mtu = 68",
        ),
        (
            "\"r2\"]\n\n[[host]]",
            "\"r2\"]\nbalance = \"luck\"\n\n[[host]]",
            "line 6: balance = \"luck\" is not one of \"flow\"",
            "\"flow\"",
        ),
        (
            "\"r2\"]\n\n[[host]]",
            "\"r2\"]\nicmp_rate = \"10\"\n\n[[host]]",
            "line 6: icmp_rate = \"10\" is not a limit",
            "\"10/s burst 6\"",
        ),
        (
            "\"r2\"]\n\n[[host]]",
            "\"r2\"]\nsilent = \"yes\"\n\n[[host]]",
            "line 6: silent = \"yes\" is not true or false",
            "silent = true",
        ),
        (
            "\"r2\"]\n\n[[host]]",
            "\"r2\"]\nmpls = [1048576]\n\n[[host]]",
            "line 6: an MPLS label is not a whole number",
            "mpls = [24001",
        ),
        (
            "\"r2\"]\n\n[[host]]",
            "\"r2\"]\nttl = 0\n\n[[host]]",
            "line 6: ttl = 0 is not a whole number from 1 to 255",
            "ttl = 1",
        ),
        // Addresses.
        (
            "10.0.0.1/24",
            "10.0.0.256/24",
            "line 2: '10.0.0.256/24' has no IP address",
            "ADDRESS/LENGTH",
        ),
        ("10.0.0.1/24", "10.0.0.1", "line 2: '10.0.0.1' has no prefix length", "10.0.0.1/24"),
        (
            "10.0.0.1/24",
            "10.0.0.1/33",
            "line 2: '10.0.0.1/33' has no prefix length from 0 to 32",
            "/24",
        ),
        ("10.0.0.1/24", "10.0.0.1/32", "line 2: 10.0.0.1/32 has no room for the other end", "/24"),
        ("10.0.0.1/24", "224.0.0.1/24", "line 2: '224.0.0.1/24' cannot be the address", "unicast"),
        (
            "10.0.0.1/24",
            "192.0.2.1/24",
            "line 9: 192.0.2.0/24 overlaps 192.0.2.0/24, the network of another link",
            "own",
        ),
        ("10.0.0.1/24", "192.0.2.7/24", "line 9: 192.0.2.7 is 'us''s already", "own"),
        (
            between,
            "between = [\"us\", \"r1\"]\naddresses = { r1 = \"10.9.0.2/24\" }\n[[link]]\nbetween = [\"r1\", \"r2\", \"server\"]",
            "line 13: 'r1' has 10.9.0.2/24 here, which is not in the link's network 10.0.0.0/24",
            "one network",
        ),
        (
            between,
            "between = [\"us\", \"r1\"]\naddresses = { r2 = \"10.9.0.2/24\" }\n[[link]]\nbetween = [\"r1\", \"r2\", \"server\"]",
            "line 13: 'r2' is not at this link",
            "two nodes",
        ),
        (
            "192.0.2.7/24",
            "172.16.0.1/11",
            "topology: no networks are left for the links",
            "172.16.0.0/12",
        ),
        // Links.
        (
            between,
            "between = [\"us\", \"r1\", \"r3\", \"server\"]",
            "line 12: unknown node 'r3'",
            "known nodes: us, r1, r2, server",
        ),
        (
            between,
            "between = [\"us\"]",
            "line 12: between is not a list of two nodes",
            "between = [",
        ),
        (
            between,
            "between = [\"us\", [], \"r1\"]",
            "line 12: between is not a list of two nodes",
            "between = [",
        ),
        (between, "delay = \"1ms\"", "line 11: [[link]] without between", "between = ["),
        (
            between,
            "between = [\"us\", \"r1\", \"r1\"]",
            "line 12: a link from a node to itself",
            "two nodes",
        ),
        (
            between,
            "between = [\"us\", [\"r1\", \"r2\"], \"server\"]",
            "line 12: 'server' has more than one link",
            "[[router]]",
        ),
        (
            between,
            "between = [\"us\", \"r1\", \"r2\", \"server\"]\nnat = \"r1\"",
            "line 13: nat for more than one link at once",
            "[[link]] of its own",
        ),
        (
            between,
            "between = [\"us\", \"r1\"]\nnat = \"us\"\n[[link]]\nbetween = [\"r1\", \"r2\", \"server\"]",
            "line 13: nat = \"us\" is not a router at this link",
            "outer side",
        ),
        (
            "[[link]]\nbetween = [\"us\", \"r1\", \"r2\", \"server\"]",
            "",
            "line 5: 'r1' cannot be reached",
            "[[link]]",
        ),
        // Routes.
        (
            "at = \"r1\"",
            "at = \"server\"",
            "line 15: 'server' is not a router",
            "only routers and 'us'",
        ),
        (
            "at = \"r1\"",
            "at = \"us\"",
            "line 17: 'r2' is not a neighbour of 'us'",
            "or their addresses there",
        ),
        ("at = \"r1\"", "at = \"r9\"", "line 15: unknown node 'r9'", "known nodes"),
        ("at = \"r1\"", "", "line 14: [[route]] without at", "at = "),
        (
            "to = \"server\"",
            "to = \"10.0.0.0/33\"",
            "line 16: '10.0.0.0/33' has no prefix length",
            "ADDRESS",
        ),
        ("to = \"server\"", "to = \"nobody\"", "line 16: unknown node 'nobody'", "known nodes"),
        (
            "to = \"server\"",
            "to = \"2001:db8::/32\"",
            "line 17: no neighbour in via has an address of that family",
            "[us]",
        ),
        (
            "via = \"r2\"",
            "via = \"server\"",
            "line 17: 'server' is not a neighbour of 'r1'",
            "[[link]]",
        ),
        ("via = \"r2\"", "", "line 14: [[route]] needs one of via and action", "action = "),
        (
            "via = \"r2\"",
            "via = \"r2\"\naction = \"blackhole\"",
            "line 14: [[route]] needs one of",
            "via = ",
        ),
        (
            "via = \"r2\"",
            "action = \"fly\"",
            "line 17: action = \"fly\" is not one of",
            "\"unreachable\"",
        ),
        (
            "via = \"r2\"",
            "action = \"blackhole\"\nbalance = \"packet\"",
            "line 18: balance without via",
            "leave it out",
        ),
        (
            "via = \"r2\"",
            "via = \"192.0.2.7\"",
            "line 17: '192.0.2.7' is not a neighbour of 'r1'",
            "or their addresses there",
        ),
        (
            "via = \"r2\"",
            "action = \"blackhole\"\nmtu = 9000",
            "line 18: mtu goes with action = \"too-big\"",
            "leave out mtu",
        ),
        (
            "via = \"r2\"",
            "action = \"withdrawn\"",
            "line 17: action = \"withdrawn\" is not one of",
            "\"unreachable\"",
        ),
        // Troubles.
        (
            "\"r2\"]\n\n[[host]]",
            "\"r2\"]\nicmp_limit = \"bsd\"\n\n[[host]]",
            "line 6: icmp_limit = \"bsd\" is not a limit of ICMP errors",
            "\"linux\"",
        ),
        (
            "\"r2\"]\n\n[[host]]",
            "\"r2\"]\nicmp_limit = \"linux\"\nicmp_rate = \"1/s\"\n\n[[host]]",
            "line 7: icmp_limit and icmp_rate are two names for one thing",
            "leave out icmp_rate",
        ),
        (
            "\"r2\"]\n\n[[host]]",
            "\"r2\"]\nextension_length = 256\n\n[[host]]",
            "line 6: extension_length is neither \"bytes\" nor a number",
            "15",
        ),
        (
            "name = \"server\"",
            "name = \"server\"\nanswers_from = \"x\"",
            "line 9: 'x' is not an IP address",
            "write answers_from = ",
        ),
        (
            between,
            "between = [\"us\", \"r1\", \"r2\", \"server\"]\nvlan = 4095",
            "line 13: vlan is neither a VLAN id from 0 to 4094",
            "[200, 100]",
        ),
        // Events.
        event("move = \"r1\"", "line 19: [[event]] without at", "add at = \"2s\""),
        event("at = \"2\"\nmove = \"r1\"", "line 20: at = \"2\" is not a time", "\"2s\""),
        event("at = \"2s\"", "line 19: [[event]] needs one of move, down, up", "move = \"r1\""),
        event(
            "at = \"2s\"\nmove = \"r1\"\nup = \"sim0\"",
            "line 19: [[event]] needs one of move",
            "route = {",
        ),
        event("at = \"2s\"\nmove = \"us\"", "line 21: 'us' cannot move", "routers and hosts"),
        event(
            "at = \"2s\"\ndown = \"sim0\"\ntold = false",
            "line 22: told goes with move",
            "leave out told",
        ),
        event("at = \"2s\"\ndown = \"sim1\"", "line 19: there is no interface sim1", "sim0"),
        event("at = \"2s\"\ndown = \"r1\"", "line 21: 'r1' is not an interface of ours", "sim0"),
        event(
            "at = \"2s\"\ndown = [\"us\", \"r2\"]",
            "line 19: there is no link between 'us' and 'r2'",
            "[[link]]",
        ),
        event(
            "at = \"2s\"\nroute = { at = \"r1\", to = \"default\" }",
            "line 21: route needs one of via and action",
            "via = ",
        ),
        event(
            "at = \"2s\"\nremove = \"10.0.0.2\"",
            "line 21: 10.0.0.2 is not an address of 'us'",
            "our interfaces",
        ),
        event("at = \"2s\"\nadd = \"10.0.0.9\"", "line 21: '10.0.0.9' has no prefix", "/24"),
        // Syntax.
        ("name = \"server\"", "name = server", "line 8: no TOML: ", "toml.io"),
        ("[[host]]", "[[host]", "line 7: no TOML: ", "toml.io"),
        (
            "name = \"server\"",
            "name = \"server\"\nname = \"s2\"",
            "line 9: no TOML: duplicate key",
            "toml.io",
        ),
    ];
    for (old, new, what, hint) in table {
        let (told, advice) = spoilt(old, new);
        let told = told.strip_prefix("topology ").unwrap_or(&told);
        assert!(told.starts_with(what), "{new}\n  said: {told}\n  want: {what}");
        assert!(advice.contains(hint), "{new}\n  hint: {advice}\n  want: {hint}");
    }
}

#[test]
fn a_file_may_not_have_nodes_and_links_without_end() {
    let names = |count| (0..count).map(|n| format!("\"n{n}\"")).collect::<Vec<_>>().join(",");
    let told = |text: &str| parse(text, &SimSpec::default()).err().unwrap().to_string();
    let head = "[us]\naddresses = [\"10.0.0.1/24\"]\n[[router]]\nname = ";
    let nodes = told(&format!("{head}[{}]\n", names(512)));
    assert_eq!(nodes, "topology line 4, column 3476: there are more than 512 nodes");
    let all = ["\"n0\""; 40_000].join(",");
    let mesh = format!("{head}[\"n0\", \"n1\"]\n[[link]]\nbetween = [[{all}], \"n1\", [{all}]]");
    assert_eq!(without_column(&told(&mesh)), "topology line 6: there are more than 2048 links");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let spec = SimSpec::default();
    let missing = load(Path::new("no/such.toml"), &spec).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read topology file no/such.toml: "));
    assert!(missing.hint().unwrap().contains("flux help topology"));
    let dir = std::env::temp_dir().join(format!("fluxnet-topology-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("bad.toml");
    for (bytes, want) in [
        (&b"# fine\n\xff = 1"[..], "line 2 is not UTF-8"),
        (&vec![b'#'; (1 << 20) + 1][..], "it is longer than 1 MiB"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = load(&file, &spec).unwrap_err().to_string();
        assert!(error.ends_with(want), "{error}");
    }
    std::fs::write(&file, "[us]\n\n[[nothing]]\n").unwrap();
    let error = load(&file, &spec).unwrap_err().to_string();
    assert!(error.contains("bad.toml line 3, column 3: unknown key 'nothing'"), "{error}");
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Lines as they stand in topology files, and some that do not.
fn line() -> impl Strategy<Value = String> {
    let files: Vec<String> =
        all().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut lines: BTreeSet<String> =
        files.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    lines.extend(
        [
            "addresses = [\"10.0.0.1/0\", \"::/0\"]",
            "addresses = { us = \"255.255.255.254/1\", r1 = \"fe80::1/127\" }",
            "between = [\"us\", [\"r1\", \"r1\"], \"r1\"]",
            "between = [[], []]",
            "mpls = [0xfffff, { label = 1, tc = 7 }]",
            "icmp_rate = \"4294967295/s burst 4294967295\"",
            "icmp_delay = \"1h\"",
            "prefix = [\"0.0.0.0/0\", \"::/0\"]",
            "to = \"::/0\"",
            "seed = 9223372036854775807",
            "[[event]]",
            "at = \"0s\"",
            "at = \"1h\"",
            "move = [\"r1\", \"server\"]",
            "down = [\"us\", [\"r1\", \"r2\"]]",
            "up = \"sim63\"",
            "route = { at = \"us\", to = \"::/0\", via = \"r1\" }",
            "remove = \"10.0.0.1\"",
            "add = \"2001:db8::9/128\"",
            "vlan = [0, 4094]",
            "answers_from = [\"::\", \"255.255.255.255\"]",
            "longer = 1400",
            "fragment = 576",
            "extension_length = 255",
        ]
        .map(str::to_owned),
    );
    prop::sample::select(lines.into_iter().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text, &SimSpec::default());
    }

    #[test]
    fn no_mix_of_lines_makes_the_loader_panic(lines in prop::collection::vec(line(), 0..30)) {
        let _ = parse(&lines.join("\n"), &SimSpec::default());
    }

    #[test]
    fn no_change_of_a_few_bytes_makes_the_loader_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..128), 1..6),
    ) {
        let files = all();
        let mut bytes = std::fs::read(&files[which.index(files.len())]).unwrap();
        for (at, new) in changes {
            let at = at.index(bytes.len());
            bytes[at] = new;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(network) = parse(&text, &SimSpec::default()) {
            // And what it builds can be used.
            let _ = Prober::on(network).network.route(ip("203.0.113.7"));
        }
    }
}
