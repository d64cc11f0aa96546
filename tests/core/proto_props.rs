//! Properties of `fluxnet::proto`: what is written is read back, and no bytes make it panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fluxnet::proto::build::{self, Link, Net};
use fluxnet::proto::respond::{self, IcmpError};
use fluxnet::proto::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn v4() -> impl Strategy<Value = Ipv4Addr> {
    any::<[u8; 4]>().prop_map(Ipv4Addr::from)
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    any::<[u8; 16]>().prop_map(Ipv6Addr::from)
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn pair() -> impl Strategy<Value = IpPair> {
    prop_oneof![
        (v4(), v4()).prop_map(|(src, dst)| IpPair::V4 { src, dst }),
        (v6(), v6()).prop_map(|(src, dst)| IpPair::V6 { src, dst }),
    ]
}

fn tag() -> impl Strategy<Value = Tag> {
    (any::<bool>(), any::<u16>()).prop_map(|(service, tci)| Tag {
        tpid: if service { EtherType::QINQ } else { EtherType::VLAN },
        tci,
    })
}

fn link() -> impl Strategy<Value = Link> {
    (mac(), mac(), option::of(tag())).prop_map(|(src, dst, tag)| Link { src, dst, tag })
}

fn net(pair: impl Strategy<Value = IpPair>) -> impl Strategy<Value = Net> {
    (pair, any::<u8>(), any::<u8>(), any::<u16>(), any::<bool>(), 0u32..1 << 20).prop_map(
        |(ip, ttl, tos, ident, dont_fragment, flow_label)| Net {
            ip,
            ttl,
            tos,
            ident,
            dont_fragment,
            flow_label,
        },
    )
}

fn tcp() -> impl Strategy<Value = TcpRepr> {
    let options = (
        option::of(any::<u16>()),
        option::of(any::<u8>()),
        any::<bool>(),
        option::of(any::<(u32, u32)>()),
    )
        .prop_map(|(mss, window_scale, sack_permitted, timestamps)| TcpOptions {
            mss,
            window_scale,
            sack_permitted,
            timestamps,
        });
    (any::<(u16, u16, u32, u32, u8, u16, u16)>(), options).prop_map(|(f, options)| TcpRepr {
        src_port: f.0,
        dst_port: f.1,
        seq: f.2,
        ack: f.3,
        flags: TcpFlags(f.4),
        window: f.5,
        urgent: f.6,
        options,
    })
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..64)
}

/// A whole frame with a transport that has a checksum, and where the transport starts.
fn frame() -> impl Strategy<Value = (Vec<u8>, Link, Net)> {
    let parts = (link(), net(pair()), tcp(), any::<(u16, u16)>(), data(), 0..3u8);
    parts.prop_map(|(link, net, tcp, (a, b), data, kind)| {
        let mut buf = vec![0; 256];
        let len = match kind {
            0 => build::tcp(&mut buf, &link, &net, &tcp, &data),
            1 => build::echo_request(&mut buf, &link, &net, a, b, &data),
            _ => build::udp(&mut buf, &link, &net, &UdpRepr { src_port: a, dst_port: b }, &data),
        };
        buf.truncate(len.unwrap_or_default());
        (buf, link, net)
    })
}

/// Frames, damaged frames, and noise behind a plausible ethertype.
fn wild() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (frame(), vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), 0..300usize)
        .prop_map(|((mut bytes, ..), changes, cut)| {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.max(8));
            bytes
        });
    let types = prop::sample::select(vec![0x0800u16, 0x86dd, 0x0806, 0x8100, 0x88a8]);
    let noise =
        (vec(any::<u8>(), 0..300), types, any::<u8>()).prop_map(|(mut bytes, kind, next)| {
            if bytes.len() > 24 {
                bytes[12..14].copy_from_slice(&kind.to_be_bytes());
                let nibble = if kind == 0x86dd { 0x60 } else { 0x45 };
                bytes[14] = nibble;
                let len = (bytes.len() - 14) as u16;
                let at = if kind == 0x86dd { 18 } else { 16 };
                let len = if kind == 0x86dd { len.saturating_sub(40) } else { len };
                bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
                if kind == 0x86dd {
                    bytes[20] = [0, 43, 44, 51, 60, 58, 17, 6][usize::from(next % 8)];
                }
            }
            bytes
        });
    prop_oneof![damaged, noise, vec(any::<u8>(), 0..128)]
}

fn inside(outer: &[u8], inner: &[u8]) -> bool {
    let (outer, inner) = (outer.as_ptr_range(), inner.as_ptr_range());
    outer.start <= inner.start && inner.end <= outer.end
}

/// Calls every parser and accessor with `bytes`; whatever is yielded lies inside.
fn read_everything(bytes: &[u8]) {
    let ok = |part: &[u8]| assert!(part.is_empty() || inside(bytes, part));
    let pair = IpPair::V6 { src: Ipv6Addr::LOCALHOST, dst: Ipv6Addr::LOCALHOST };
    if let Ok(v) = EthernetView::parse(bytes) {
        ok(v.payload());
        let _ = (v.repr(), VlanView::parse(v.ether_type(), v.payload()).map(|v| ok(v.payload())));
    }
    let _ = ArpView::parse(bytes).map(|v| v.repr());
    for v in [Ipv4View::parse(bytes), Ipv4View::parse_quoted(bytes)].into_iter().flatten() {
        ok(v.payload());
        assert!(v.header_len() + v.payload().len() <= bytes.len());
        assert!(v.options().count() <= 40);
        let _ = (v.repr(), v.fragment(), v.verify_checksum());
    }
    for v in [Ipv6View::parse(bytes), Ipv6View::parse_quoted(bytes)].into_iter().flatten() {
        ok(v.payload());
        ok(v.extensions());
        assert!(v.header_len() + v.payload().len() <= bytes.len());
        let _ = (v.repr(), v.fragment());
    }
    for next in [0, 43, 44, 51, 60] {
        if let Ok(upper) = Upper::walk(IpProto(next), bytes) {
            assert!(upper.offset <= bytes.len());
        }
    }
    for q in [Quote::parse_v4(bytes), Quote::parse_v6(bytes)].into_iter().flatten() {
        ok(q.l4);
        let _ = (q.ports(), q.echo(), q.tcp_seq(), q.udp_len_checksum());
    }
    if let Ok(v) = Icmpv4View::parse(bytes) {
        ok(v.extensions());
        let _ = (v.verify_checksum(), v.message().quote());
    }
    if let Ok(v) = Icmpv6View::parse(bytes) {
        ok(v.extensions());
        let _ = (v.verify_checksum(&pair), v.message().map(|m| m.quote().is_some()));
    }
    if let Ok(v) = UdpView::parse(bytes) {
        ok(v.payload());
        let _ = v.verify_checksum(&pair);
    }
    if let Ok(v) = TcpView::parse(bytes) {
        ok(v.payload());
        assert!(v.options().count() <= 40);
        let _ = (v.repr(), v.verify_checksum(&pair), v.sequence_len());
    }
    if let Ok(h) = Headers::parse(bytes) {
        assert!(h.l3_offset() <= h.l4_offset() && h.l4_offset() <= h.payload_range().start);
        assert!(h.payload_range().start <= h.payload_range().end);
        assert!(h.payload_range().end <= bytes.len());
        let _ = h.verify_checksums(bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_panic_and_all_ranges_stay_inside(bytes in wild()) {
        read_everything(&bytes);
        for skip in [14, 18, 34, 54] {
            read_everything(bytes.get(skip..).unwrap_or_default());
        }
    }

    #[test]
    fn no_bytes_panic_a_responder_and_what_it_writes_is_valid(bytes in wild(), from in v4(), from6 in v6()) {
        let mut out = [0; 2048];
        let mac = MacAddr([2, 0, 0, 0, 0, 9]);
        let mut check = |make: &dyn Fn(&mut [u8]) -> Option<usize>| {
            if let Some(len) = make(&mut out) {
                let reply = &out[..len];
                let headers = Headers::parse(reply).unwrap();
                assert!(headers.verify_checksums(reply));
                assert_eq!(headers.payload_range().end, len);
            }
        };
        check(&|out| respond::arp_reply(out, &bytes, mac));
        check(&|out| respond::neighbor_advert(out, &bytes, mac));
        check(&|out| respond::echo_reply(out, &bytes));
        check(&|out| respond::tcp_rst(out, &bytes));
        check(&|out| respond::tcp_syn_ack(out, &bytes, 7, 1000, TcpOptions::default()));
        check(&|out| respond::udp_reply(out, &bytes, b"pong"));
        for error in [IcmpError::TimeExceeded, IcmpError::PortUnreachable, IcmpError::PacketTooBig(1400)] {
            check(&|out| respond::icmp_error(out, &bytes, from.into(), mac, error));
            check(&|out| respond::icmp_error(out, &bytes, from6.into(), mac, error));
        }
        let mut changed = bytes.clone();
        let did = respond::echo_in_place(&mut changed);
        prop_assert!(did || changed == bytes);
        if let Ok(mut headers) = Headers::parse(&bytes) {
            let _ = rewrite::set_source(&mut changed, &mut headers, SocketAddr::new(from.into(), 9));
        }
    }

    #[test]
    fn ethernet_and_arp_survive(dst in mac(), src in mac(), kind in any::<u16>(), a in v4(), b in v4(), op in any::<u16>()) {
        let repr = EthernetRepr { dst, src, ether_type: EtherType(kind) };
        let mut buf = [0; 28];
        prop_assert_eq!(repr.emit(&mut buf), Some(14));
        prop_assert_eq!(EthernetView::parse(&buf).unwrap().repr(), repr);
        let arp = ArpRepr { op: ArpOp(op), sender_mac: src, sender_ip: a, target_mac: dst, target_ip: b };
        prop_assert_eq!(arp.emit(&mut buf), Some(28));
        prop_assert_eq!(ArpView::parse(&buf).unwrap().repr(), arp);
        prop_assert_eq!(src.to_string().parse(), Ok(src));
    }

    #[test]
    fn ipv4_survives(src in v4(), dst in v4(), f in any::<(u8, u8, u8, u16, bool, bool)>(), offset in 0u16..8192, words in 0..11usize, body in data()) {
        let repr = Ipv4Repr {
            src, dst, proto: IpProto(f.0), ttl: f.1, tos: f.2, ident: f.3,
            dont_fragment: f.4, more_fragments: f.5, fragment_offset: offset * 8,
        };
        let mut buf = vec![0xa5; 200];
        let options = vec![1; words * 4];
        let header = repr.emit_with_options(&options, body.len(), &mut buf).unwrap();
        buf[header..header + body.len()].copy_from_slice(&body);
        let view = Ipv4View::parse(&buf).unwrap();
        prop_assert_eq!(view.repr(), repr);
        prop_assert_eq!(view.options_bytes(), &options[..]);
        prop_assert_eq!(view.payload(), &body[..]);
        prop_assert!(view.verify_checksum());
    }

    #[test]
    fn ipv6_survives(src in v6(), dst in v6(), f in any::<(u8, u8)>(), flow_label in 0u32..1 << 20, body in data()) {
        let repr = Ipv6Repr { src, dst, next: IpProto::UDP, hop_limit: f.0, traffic_class: f.1, flow_label };
        let mut buf = vec![0xa5; 200];
        prop_assert_eq!(repr.emit(body.len(), &mut buf), Some(40));
        buf[40..40 + body.len()].copy_from_slice(&body);
        let view = Ipv6View::parse(&buf).unwrap();
        prop_assert_eq!(view.repr(), repr);
        prop_assert_eq!(view.payload(), &body[..]);
    }

    #[test]
    fn udp_and_tcp_survive(ip in pair(), ports in any::<(u16, u16)>(), tcp in tcp(), body in data()) {
        let mut buf = [0; 200];
        let repr = UdpRepr { src_port: ports.0, dst_port: ports.1 };
        repr.emit(&ip, &body, &mut buf).unwrap();
        let view = UdpView::parse(&buf).unwrap();
        prop_assert_eq!((view.repr(), view.payload()), (repr, &body[..]));
        prop_assert!(view.checksum() != 0 && view.verify_checksum(&ip));
        let len = tcp.emit(&ip, &body, &mut buf).unwrap();
        let view = TcpView::parse(&buf[..len]).unwrap();
        prop_assert_eq!((view.repr(), view.payload()), (tcp, &body[..]));
        prop_assert!(view.verify_checksum(&ip));
    }

    #[test]
    fn icmpv4_survives(code in any::<u8>(), a in any::<u16>(), b in any::<u16>(), gateway in v4(), body in data(), which in 0..7u8) {
        let body = &body[..];
        let message = match which {
            0 => Icmpv4Message::EchoRequest { id: a, seq: b, data: body },
            1 => Icmpv4Message::EchoReply { id: a, seq: b, data: body },
            2 => Icmpv4Message::Unreachable { code, next_hop_mtu: if code == 4 { a } else { 0 }, quote: body },
            3 => Icmpv4Message::Redirect { code, gateway, quote: body },
            4 => Icmpv4Message::TimeExceeded { code, quote: body },
            5 => Icmpv4Message::ParameterProblem { code, pointer: a as u8, quote: body },
            _ => Icmpv4Message::Other { kind: Icmpv4Kind(13), code, rest: gateway.octets(), data: body },
        };
        let mut buf = [0; 100];
        let len = message.emit(&mut buf).unwrap();
        prop_assert_eq!(len, message.message_len());
        let view = Icmpv4View::parse(&buf[..len]).unwrap();
        prop_assert_eq!(view.message(), message);
        prop_assert!(view.verify_checksum());
    }

    #[test]
    fn icmpv6_survives(ip in pair(), code in any::<u8>(), word in any::<u32>(), target in v6(), link_layer in option::of(mac()), body in data(), which in 0..10u8) {
        let quote = &body[..];
        let (id, seq) = (word as u16, (word >> 16) as u16);
        let message = match which {
            0 => Icmpv6Message::EchoRequest { id, seq, data: quote },
            1 => Icmpv6Message::EchoReply { id, seq, data: quote },
            2 => Icmpv6Message::Unreachable { code, quote },
            3 => Icmpv6Message::PacketTooBig { mtu: word, quote },
            4 => Icmpv6Message::TimeExceeded { code, quote },
            5 => Icmpv6Message::ParameterProblem { code, pointer: word, quote },
            6 => Icmpv6Message::NeighborSolicit { target, link_layer },
            7 => Icmpv6Message::NeighborAdvert { flags: AdvertFlags(code), target, link_layer },
            8 => Icmpv6Message::Redirect { target, destination: target, options: quote },
            _ => Icmpv6Message::Other { kind: Icmpv6Kind(143), code, rest: word.to_be_bytes(), data: quote },
        };
        let mut buf = [0; 140];
        let len = message.emit(&ip, &mut buf).unwrap();
        prop_assert_eq!(len, message.message_len());
        let view = Icmpv6View::parse(&buf[..len]).unwrap();
        prop_assert_eq!(view.message(), Ok(message));
        prop_assert!(view.verify_checksum(&ip));
    }

    #[test]
    fn one_flipped_bit_breaks_a_checksum((mut bytes, ..) in frame(), bit in any::<prop::sample::Index>()) {
        let headers = Headers::parse(&bytes).unwrap();
        prop_assert!(headers.verify_checksums(&bytes));
        let l4 = headers.l4_offset();
        let bit = bit.index((bytes.len() - l4) * 8);
        bytes[l4 + bit / 8] ^= 1 << (bit % 8);
        // The old headers: the flip may as well break a length, which is found out too. Only a
        // UDP checksum flipped into 0 means "none" over IPv4.
        let none = headers.proto == IpProto::UDP
            && headers.ip.unwrap().is_v4()
            && bytes[l4 + 6..l4 + 8] == [0, 0];
        prop_assert!(none || !headers.verify_checksums(&bytes));
    }

    #[test]
    fn one_flipped_bit_breaks_the_ipv4_header(src in v4(), dst in v4(), bit in 32..160usize) {
        let mut buf = [0; 20];
        Ipv4Repr::new(src, dst, IpProto::TCP).emit(0, &mut buf).unwrap();
        buf[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!Ipv4View::parse(&buf).unwrap().verify_checksum());
    }

    #[test]
    fn an_incremental_checksum_equals_a_recomputed_one(mut bytes in vec(any::<u8>(), 40..80), new in any::<[u8; 16]>()) {
        bytes[39] |= 1;
        bytes.truncate(bytes.len() & !1);
        let old = checksum::of(&bytes);
        let mut two = bytes.clone();
        two[8..10].copy_from_slice(&new[..2]);
        let word = |b: &[u8]| u16::from_be_bytes([b[8], b[9]]);
        prop_assert_eq!(checksum::update_u16(old, word(&bytes), word(&two)), checksum::of(&two));
        let mut four = bytes.clone();
        four[8..12].copy_from_slice(&new[..4]);
        let word = |b: &[u8]| Ipv4Addr::new(b[8], b[9], b[10], b[11]);
        prop_assert_eq!(checksum::update_v4(old, word(&bytes), word(&four)), checksum::of(&four));
        let mut sixteen = bytes.clone();
        sixteen[8..24].copy_from_slice(&new);
        let word = |b: &[u8]| Ipv6Addr::from(<[u8; 16]>::try_from(&b[8..24]).unwrap());
        prop_assert_eq!(checksum::update_v6(old, word(&bytes), word(&sixteen)), checksum::of(&sixteen));
    }

    #[test]
    fn a_rewritten_frame_is_valid_and_its_headers_stay_true((mut bytes, ..) in frame(), a in v4(), b in v6(), port in any::<u16>()) {
        let mut headers = Headers::parse(&bytes).unwrap();
        let to = |v4| if v4 { IpAddr::V4(a) } else { IpAddr::V6(b) };
        let v4 = headers.ip.unwrap().is_v4();
        let wrong = SocketAddr::new(to(!v4), port);
        prop_assert!(!rewrite::set_source(&mut bytes, &mut headers, wrong));
        let right = SocketAddr::new(to(v4), port);
        prop_assert!(rewrite::set_source(&mut bytes, &mut headers, right));
        prop_assert!(rewrite::set_destination(&mut bytes, &mut headers, right));
        prop_assert!(headers.verify_checksums(&bytes));
        prop_assert_eq!(Headers::parse(&bytes), Ok(headers));
    }

    #[test]
    fn headers_agree_with_the_values_written((bytes, link, net) in frame(), padding in 0..20usize) {
        let mut padded = bytes.clone();
        padded.resize(bytes.len() + padding, 0);
        let headers = Headers::parse(&padded).unwrap();
        prop_assert_eq!(headers.vlan, [link.tag, None]);
        prop_assert_eq!((headers.ip, headers.ttl, headers.tos), (Some(net.ip), net.ttl, net.tos));
        prop_assert_eq!(headers.l3_offset(), link.header_len());
        prop_assert_eq!(headers.l4_offset(), link.header_len() + net.ip.header_len());
        prop_assert_eq!(headers.payload_range().end, bytes.len());
    }
}

/// Every field of [`Headers`], in the order of [`layered`].
type Fields = (
    [Option<Tag>; 2],
    EtherType,
    Option<(IpPair, u8, u8)>,
    IpProto,
    Option<Fragment>,
    Transport,
    (usize, usize, std::ops::Range<usize>),
);

fn fields(h: &Headers) -> Fields {
    let ip = h.ip.map(|ip| (ip, h.ttl, h.tos));
    let at = (h.l3_offset(), h.l4_offset(), h.payload_range());
    (h.vlan, h.ether_type, ip, h.proto, h.fragment, h.transport, at)
}

/// What [`Headers::parse`] promises, put together from one view after the other.
fn layered(bytes: &[u8]) -> Result<Fields, ParseError> {
    let ethernet = EthernetView::parse(bytes)?;
    let (mut kind, mut rest, mut vlan) = (ethernet.ether_type(), ethernet.payload(), [None; 2]);
    for tag in &mut vlan {
        if kind.is_vlan() {
            let view = VlanView::parse(kind, rest)?;
            (*tag, kind, rest) = (Some(view.tag()), view.ether_type(), view.payload());
        }
    }
    if kind.is_vlan() {
        return Err(ParseError::TooManyTags);
    }
    let l3 = bytes.len() - rest.len();
    let (ip, proto, fragment, header_len, body) = match kind {
        EtherType::IPV4 => {
            let v = Ipv4View::parse(rest)?;
            let ip = (v.pair(), v.ttl(), v.tos());
            (ip, v.proto(), v.fragment(), v.header_len(), v.payload())
        }
        EtherType::IPV6 => {
            let v = Ipv6View::parse(rest)?;
            let ip = (v.pair(), v.hop_limit(), v.traffic_class());
            (ip, v.proto(), v.fragment(), v.header_len(), v.payload())
        }
        _ => {
            let (proto, at) = (IpProto::NO_NEXT_HEADER, (l3, l3, l3..bytes.len()));
            return Ok((vlan, kind, None, proto, None, Transport::None, at));
        }
    };
    // The UDP length of a first fragment speaks of the whole datagram: the view is shown one that
    // is all there.
    let first = fragment.is_some_and(|f| f.is_first() && !f.is_whole());
    let mut udp = body.to_vec();
    if first && body.len() >= UDP_LEN {
        udp.resize(0x1_0000, 0);
    }
    let (transport, skip, len) = match proto {
        _ if fragment.is_some_and(|f| !f.is_first()) => (Transport::None, 0, body.len()),
        IpProto::UDP => {
            let v = UdpView::parse(&udp)?;
            let transport = Transport::Udp { src_port: v.src_port(), dst_port: v.dst_port() };
            (transport, UDP_LEN, if first { body.len() - UDP_LEN } else { v.payload().len() })
        }
        IpProto::TCP => {
            let v = TcpView::parse(body)?;
            let (src_port, dst_port, flags) = (v.src_port(), v.dst_port(), v.flags());
            let transport = Transport::Tcp { src_port, dst_port, flags };
            (transport, v.header_len(), v.payload().len())
        }
        IpProto::ICMP if kind == EtherType::IPV4 => {
            let v = Icmpv4View::parse(body)?;
            let (id, seq) = match v.kind() {
                Icmpv4Kind::ECHO_REQUEST | Icmpv4Kind::ECHO_REPLY => (v.id(), v.seq()),
                _ => (0, 0),
            };
            let transport = Transport::Icmpv4 { kind: v.kind(), code: v.code(), id, seq };
            (transport, body.len() - v.data().len(), v.data().len())
        }
        IpProto::ICMPV6 if kind == EtherType::IPV6 => {
            let v = Icmpv6View::parse(body)?;
            let (id, seq) = match v.kind() {
                Icmpv6Kind::ECHO_REQUEST | Icmpv6Kind::ECHO_REPLY => (v.id(), v.seq()),
                _ => (0, 0),
            };
            let transport = Transport::Icmpv6 { kind: v.kind(), code: v.code(), id, seq };
            (transport, body.len() - v.data().len(), v.data().len())
        }
        _ => (Transport::None, 0, body.len()),
    };
    let l4 = l3 + header_len;
    let at = (l3, l4, l4 + skip..l4 + skip + len);
    Ok((vlan, kind, Some(ip), proto, fragment, transport, at))
}

/// Frames with a few bytes changed where the headers are, so that most stay nearly right. The
/// bytes that decide the way through the parser are changed most: ethertype, version, lengths,
/// fragment fields, protocol, with and without a tag in front.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let deciding = prop::sample::select(vec![12, 13, 14, 16, 17, 18, 19, 20, 21, 23, 38, 39, 46]);
    let at = prop_oneof![12..80usize, (deciding, 0..2usize).prop_map(|(at, tags)| at + 4 * tags)];
    let known = prop::sample::select(vec![0u8, 1, 6, 8, 0x20, 0x40, 17, 43, 44, 50, 51, 58, 60]);
    let value = prop_oneof![any::<u8>(), known];
    let changes = vec((at, value, 0..4u8), 0..4);
    (frame(), changes, option::of(14..100usize)).prop_map(|((mut bytes, ..), changes, cut)| {
        for (at, value, how) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = match how {
                    0 | 1 => value,
                    2 => byte.wrapping_add(1),
                    _ => *byte ^ 1 << (value % 8),
                };
            }
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn headers_agree_with_the_layered_views(bytes in prop_oneof![wild(), nearly()]) {
        prop_assert_eq!(Headers::parse(&bytes).map(|h| fields(&h)), layered(&bytes));
    }

    #[test]
    fn every_cut_agrees_with_the_layered_views((bytes, ..) in frame(), cut in any::<prop::sample::Index>()) {
        let bytes = &bytes[..cut.index(bytes.len() + 1)];
        prop_assert_eq!(Headers::parse(bytes).map(|h| fields(&h)), layered(bytes));
    }
}
