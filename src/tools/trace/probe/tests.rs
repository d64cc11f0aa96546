use super::*;
use crate::backend::Filter;
use crate::proto::build::{self, Net};
use crate::proto::respond::{self, IcmpError};
use crate::proto::{Headers, Ipv4View, Ipv6View, Tag, TcpOptions, TcpView, Transport, UdpRepr};
use crate::tools::host::Interface;
use proptest::prelude::{prop_assert, prop_assert_eq, prop_assert_ne, proptest};
use proptest::sample::{Select, select};
use proptest::strategy::Strategy as _;

pub(crate) const CASES: [(Protocol, Strategy); 7] = [
    (Protocol::Udp, Strategy::Paris),
    (Protocol::Udp, Strategy::Dublin),
    (Protocol::Udp, Strategy::Classic),
    (Protocol::Tcp, Strategy::Paris),
    (Protocol::Tcp, Strategy::Classic),
    (Protocol::Icmp, Strategy::Paris),
    (Protocol::Icmp, Strategy::Classic),
];
/// Source, target, a router.
pub(crate) const PLACES: [[&str; 3]; 2] = [
    ["10.0.0.1", "203.0.113.7", "198.51.100.1"],
    ["2001:db8::1", "2001:db8:7::7", "2001:db8:5::1"],
];
pub(crate) const NEXT: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn identity((protocol, strategy): (Protocol, Strategy)) -> Identity {
    let port = protocol.default_port();
    Identity { protocol, strategy, base: 61_200, span: 300, port, key: 0x0123_4567_89ab_cdef }
}

fn link(tags: Vec<Tag>) -> Link {
    let interface = Interface {
        index: 2,
        name: "eth0".into(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        up: true,
        carrier: true,
        num_rx_queues: 1,
        num_tx_queues: 1,
        ..Interface::default()
    };
    Link {
        interface,
        device: "eth0".into(),
        device_index: 1,
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        tags,
    }
}

pub(crate) fn template(case: (Protocol, Strategy), v6: bool) -> Template {
    let [source, target, _] = PLACES[usize::from(v6)];
    let (source, target) = (address(source), address(target));
    Template::new(&link(vec![]), NEXT, source, target, 0x20, identity(case)).unwrap()
}

pub(crate) fn numbers(flow: u16, number: u16) -> Numbers {
    Numbers { ttl: 5, flow, number, size: 0 }
}

pub(crate) fn written(template: &Template, numbers: Numbers) -> Vec<u8> {
    // What an earlier frame left behind is overwritten.
    let mut frame = vec![0xa5; template.frame_len(numbers.size)];
    template.write(numbers, &mut frame);
    frame
}

/// What a balancer may hash, besides the addresses: protocol, TOS, flow label, and the first four
/// bytes of the transport header (as the simulated routers do).
fn hashed(frame: &[u8]) -> (u8, u32, [u8; 4]) {
    let headers = Headers::parse(frame).unwrap();
    let first = u32::from_be_bytes(frame[14..18].try_into().unwrap());
    let label = if headers.ip.unwrap().is_v4() { 0 } else { first };
    (headers.tos, label, *frame[headers.l4_offset()..].first_chunk().unwrap())
}

fn case() -> Select<(Protocol, Strategy)> {
    select(CASES.to_vec())
}

proptest! {
    #[test]
    fn every_probe_is_a_sound_packet_of_its_size(
        case in case(),
        v6: bool,
        ttl in 1u8..,
        flow in 0u16..300,
        number in 1u16..,
        size in 0u16..2000,
    ) {
        let template = template(case, v6);
        let flow = if template.identity.varies_source() { 0 } else { flow };
        let frame = written(&template, Numbers { ttl, flow, number, size });
        let headers = Headers::parse(&frame).unwrap();
        prop_assert!(headers.verify_checksums(&frame));
        prop_assert_eq!(frame.len() - 14, usize::from(size.max(template.min_size())));
        prop_assert_eq!(headers.payload_range().end, frame.len(), "no padding");
        prop_assert_eq!((headers.ttl, headers.tos), (ttl, 0x20));
        if v6 {
            prop_assert_ne!(Ipv6View::parse(&frame[14..]).unwrap().repr().flow_label, 0);
        } else {
            let ip = Ipv4View::parse(&frame[14..]).unwrap();
            prop_assert!(ip.dont_fragment());
            prop_assert_eq!(ip.ident(), number);
        }
        let source = template.identity.source(flow, number);
        match headers.transport {
            Transport::Udp { src_port, dst_port } => {
                prop_assert_eq!((src_port, dst_port), (source, template.identity.port_of(number)));
                let sum = u16::from_be_bytes(frame[headers.l4_offset() + 6..][..2].try_into().unwrap());
                match case.1 {
                    Strategy::Paris => prop_assert_eq!(sum, number),
                    Strategy::Dublin => prop_assert_eq!(sum, source),
                    Strategy::Classic => prop_assert_ne!(sum, 0),
                }
            }
            Transport::Tcp { src_port, dst_port, flags } => {
                prop_assert_eq!((src_port, dst_port, flags), (source, 80, TcpFlags::SYN));
                let tcp = TcpView::parse(&frame[headers.l4_offset()..]).unwrap();
                let options = tcp.repr().options;
                let headers = if v6 { 60 } else { 40 };
                prop_assert_eq!((tcp.header_len(), tcp.window()), (40, 64_240));
                prop_assert_eq!(options.mss, Some(1500 - headers));
                prop_assert_eq!((options.sack_permitted, options.window_scale), (true, Some(7)));
                prop_assert!(options.timestamps.is_some_and(|(ours, theirs)| ours != 0 && theirs == 0));
                // In Linux's order, with the padding where Linux has it.
                let bytes = tcp.options_bytes();
                prop_assert_eq!((&bytes[..2], &bytes[4..8]), (&[2, 4][..], &[4, 2, 8, 10][..]));
                prop_assert_eq!(&bytes[12..], &[0, 0, 0, 0, 1, 3, 3, 7]);
            }
            Transport::Icmpv4 { id, seq, .. } | Transport::Icmpv6 { id, seq, .. } => {
                prop_assert_eq!((id, seq), (source, number));
            }
            Transport::None => prop_assert!(false),
        }
    }

    #[test]
    fn a_balancer_sees_the_flow_and_nothing_else(
        case in case().prop_filter("stable", |case| case.1 != Strategy::Classic),
        v6: bool,
        flows in (0u16..300, 0u16..300),
        number in (1u16.., 1u16..),
        size in (0u16..1500, 0u16..1500),
    ) {
        let template = template(case, v6);
        let (ttl, hash) = (9, |flow, number, size| hashed(&written(&template, Numbers { ttl: 9, flow, number, size })));
        let first = hash(flows.0, number.0, size.0);
        let mut later = written(&template, Numbers { ttl: ttl + 1, flow: flows.0, number: number.1, size: size.1 });
        prop_assert_eq!(first, hashed(&later));
        prop_assert_eq!(flows.0 == flows.1, first == hash(flows.1, number.1, size.1));
        // And behind the first four bytes: with dublin nothing up to the payload changes.
        if case.1 == Strategy::Dublin {
            later = written(&template, Numbers { ttl, flow: flows.0, number: number.1, size: size.0 });
            let same = written(&template, Numbers { ttl, flow: flows.0, number: number.0, size: size.0 });
            let l4 = template.l4 as usize;
            prop_assert_eq!(&later[l4..l4 + 8], &same[l4..l4 + 8]);
        }
    }
}

#[test]
fn classic_probes_differ_where_balancers_look() {
    for case in CASES.into_iter().filter(|case| case.1 == Strategy::Classic) {
        for v6 in [false, true] {
            let template = template(case, v6);
            let at = |number| hashed(&written(&template, numbers(0, number)));
            assert!((2..=101).all(|number| at(1) != at(number)), "{case:?}");
        }
    }
}

#[test]
fn tags_and_addresses_lead_the_frame() {
    let tags = vec![Tag::service(7).unwrap(), Tag::customer(100).unwrap().with_pcp(5)];
    for [source, target, _] in PLACES {
        let (source, target) = (address(source), address(target));
        let identity = identity((Protocol::Udp, Strategy::Paris));
        let template = Template::new(&link(tags.clone()), NEXT, source, target, 0, identity);
        let frame = written(&template.unwrap(), numbers(3, 9));
        let headers = Headers::parse(&frame).unwrap();
        assert_eq!(headers.vlan, [Some(tags[0]), Some(tags[1])]);
        assert_eq!((headers.src(), headers.dst()), (Some(source), Some(target)));
        assert_eq!(frame[..12], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        assert!(headers.verify_checksums(&frame));
    }
    let (four, six) = (address("10.0.0.1"), address("2001:db8::1"));
    let identity = identity((Protocol::Udp, Strategy::Paris));
    assert!(Template::new(&link(vec![]), NEXT, four, six, 0, identity).is_none());
}

#[test]
fn a_buffer_that_is_too_short_is_left_alone() {
    let template = template((Protocol::Udp, Strategy::Paris), false);
    let mut short = [0xa5; 47];
    template.write(numbers(0, 1), &mut short);
    template.rst(0, 1, 7, &mut short);
    assert_eq!(short, [0xa5; 47]);
}

#[test]
fn a_reset_ends_the_handshake_it_answers() {
    for case in [(Protocol::Tcp, Strategy::Paris), (Protocol::Tcp, Strategy::Classic)] {
        for v6 in [false, true] {
            let template = template(case, v6);
            let flow = if template.identity.varies_source() { 0 } else { 4 };
            let syn = written(&template, numbers(flow, 1234));
            let mut reply = vec![0; 100];
            let options = TcpOptions::default();
            let len = respond::tcp_syn_ack(&mut reply, &syn, 99, 1000, options).unwrap();
            let ack = TcpView::parse(&reply[template.l4 as usize..len]).unwrap().ack();
            // Without waiting for the answer it is known what that would acknowledge.
            assert_eq!(template.acknowledged(&numbers(flow, 1234)), ack);
            let mut rst = vec![0xa5; template.rst_len()];
            template.rst(flow, 1234, ack, &mut rst);
            let (headers, probe) = (Headers::parse(&rst).unwrap(), Headers::parse(&syn).unwrap());
            assert!(headers.verify_checksums(&rst));
            assert_eq!((headers.ip, headers.ports()), (probe.ip, probe.ports()));
            assert_eq!(headers.ttl, 64);
            let reset = TcpView::parse(&rst[template.l4 as usize..]).unwrap();
            assert_eq!((reset.flags(), reset.seq()), (TcpFlags::RST, ack));
        }
    }
}

fn made(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut frame = vec![0; 2048];
    let len = write(&mut frame).unwrap();
    frame.truncate(len);
    frame
}

#[test]
fn the_filter_takes_answers_to_our_probes_and_nothing_of_the_kernel() {
    for (case, (v6, [source, target, router])) in CASES
        .into_iter()
        .flat_map(|case| [false, true].into_iter().zip(PLACES).map(move |p| (case, p)))
    {
        let (source, target, router) = (address(source), address(target), address(router));
        let template = template(case, v6);
        let rows = rows(&template.identity, &[(source, target)], None);
        assert_eq!(rows.len(), if case.0 == Protocol::Icmp { 3 } else { 2 });
        let filter = Filter::Any(rows);
        let probe = written(&template, numbers(0, 77));
        let error = |frame: &[u8]| {
            made(|to| respond::icmp_error(to, frame, router, NEXT, IcmpError::TimeExceeded))
        };
        assert!(filter.matches(&error(&probe)), "{case:?}");
        assert!(!filter.matches(&probe));
        let answer = made(|to| match case.0 {
            Protocol::Udp => respond::udp_reply(to, &probe, b"x"),
            Protocol::Tcp => respond::tcp_rst(to, &probe),
            Protocol::Icmp => respond::echo_reply(to, &probe),
        });
        assert!(filter.matches(&answer), "{case:?}");
        // A kernel traceroute to the same port and a ping, to the same target.
        let link = build::Link::new(MacAddr([2, 0, 0, 0, 0, 1]), NEXT);
        let net = Net::new(IpPair::new(source, target).unwrap());
        let header = UdpRepr { src_port: 40_123, dst_port: 33_434 };
        let theirs = made(|to| build::udp(to, &link, &net, &header, b"SUPERMAN"));
        let ping = made(|to| build::echo_request(to, &link, &net, 4242, 1, b"ping"));
        for packet in [&theirs, &ping] {
            assert!(!filter.matches(&error(packet)), "{case:?}");
        }
        assert!(!filter.matches(&made(|to| respond::udp_reply(to, &theirs, b"x"))));
        assert!(!filter.matches(&made(|to| respond::echo_reply(to, &ping))));
        // Not even with our numbers, to another target.
        let elsewhere = Net::new(IpPair::new(source, router).unwrap());
        let ping = made(|to| build::echo_request(to, &link, &elsewhere, 61_200, 1, b"ping"));
        assert!(!filter.matches(&made(|to| respond::echo_reply(to, &ping))));
        // Nor to this one, where the payload says whose it is.
        let ping = made(|to| build::echo_request(to, &link, &net, 61_200, 1, b"whose ping"));
        assert!(!filter.matches(&made(|to| respond::echo_reply(to, &ping))));
        assert!(!filter.matches(&error(&ping)), "{case:?}");
    }
}
