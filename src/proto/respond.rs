//! Answers to a received frame: what a host or router says back. Each function writes a whole
//! frame into `out`, with the request's VLAN tags and its Ethernet addresses exchanged, and
//! returns the length; `None` when there is nothing to answer, or no room.
//!
//! Only [`neighbor_advert`] verifies the request's checksum. The others trust the caller to have
//! asked [`Headers::verify_checksums`] first: a damaged request would get a valid answer.

use std::net::IpAddr;

use super::icmpv4::unreachable_v4;
use super::icmpv6::unreachable_v6;
use super::{
    AdvertFlags, ArpOp, ArpView, EtherType, EthernetMut, Headers, Icmpv4Kind, Icmpv4Message,
    Icmpv6Kind, Icmpv6Message, Icmpv6View, IpPair, IpProto, Ipv4Repr, Ipv6Repr, MacAddr, TcpFlags,
    TcpOptions, TcpRepr, TcpView, Transport, UdpRepr, checksum,
    octets::{put, u16_at},
};

/// TTL and hop limit of everything written here, except neighbour advertisements.
pub const TTL: u8 = 64;

/// An ICMP error, whichever the version of the packet that causes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpError {
    /// No route.
    NetUnreachable,
    /// The host does not answer.
    HostUnreachable,
    /// Nobody listens on the port.
    PortUnreachable,
    /// Forbidden by a filter.
    Prohibited,
    /// TTL or hop limit used up.
    TimeExceeded,
    /// Larger than the next hop's MTU, in bytes. Fragmentation needed in IPv4.
    PacketTooBig(u16),
}

/// Answers an ARP request for any address with `mac`: whose addresses to answer for is the
/// caller's to decide, by [`ArpView::repr`]'s `target_ip`.
#[must_use]
pub fn arp_reply(out: &mut [u8], frame: &[u8], mac: MacAddr) -> Option<usize> {
    let headers = Headers::parse(frame).ok()?;
    if headers.ether_type != EtherType::ARP {
        return None;
    }
    let request = ArpView::parse(headers.payload(frame)).ok()?.repr();
    if request.op != ArpOp::REQUEST {
        return None;
    }
    let l3 = turn_link(out, frame, &headers, mac)?;
    Some(l3 + request.reply_from(mac).emit(out.get_mut(l3..)?)?)
}

/// Answers a neighbour solicitation for any address with `mac` (RFC 4861 §7.2.4). A solicitation
/// that left its link (hop limit below 255) or has a wrong checksum is not answered. One from the
/// unspecified address (duplicate address detection) is answered to all nodes.
#[must_use]
pub fn neighbor_advert(out: &mut [u8], frame: &[u8], mac: MacAddr) -> Option<usize> {
    let headers = Headers::parse(frame).ok()?;
    let IpPair::V6 { src, .. } = headers.ip? else { return None };
    if headers.ttl != 255 || headers.proto != IpProto::ICMPV6 || headers.is_fragment() {
        return None;
    }
    let l4 = frame.get(headers.l4_offset()..headers.payload_range().end)?;
    let view = Icmpv6View::parse(l4).ok()?;
    let Ok(Icmpv6Message::NeighborSolicit { target, link_layer }) = view.message() else {
        return None;
    };
    if !view.verify_checksum(&headers.ip?) {
        return None;
    }
    let all_nodes = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let probe = src.is_unspecified();
    let dst = if probe { all_nodes } else { src };
    let flags = if probe { AdvertFlags(0) } else { AdvertFlags::SOLICITED };
    let flags = flags.with(AdvertFlags::OVERRIDE);
    let l3 = turn_link(out, frame, &headers, mac)?;
    if probe {
        EthernetMut::parse(out).ok()?.set_dst(MacAddr::for_multicast_v6(all_nodes));
    } else if let Some(theirs) = link_layer {
        EthernetMut::parse(out).ok()?.set_dst(theirs);
    }
    let message = Icmpv6Message::NeighborAdvert { flags, target, link_layer: Some(mac) };
    let ip = IpPair::V6 { src: target, dst };
    finish(out, l3, &ip, IpProto::ICMPV6, 255, |to| message.emit(&ip, to))
}

/// Answers an echo request from the address it was sent to. A multicast or broadcast address
/// cannot answer: `None`.
#[must_use]
pub fn echo_reply(out: &mut [u8], frame: &[u8]) -> Option<usize> {
    let headers = Headers::parse(frame).ok()?;
    let mac = own_mac(frame)?;
    let ip = reply_pair(&headers)?;
    let data = headers.payload(frame);
    let l3 = turn_link(out, frame, &headers, mac)?;
    match headers.transport {
        Transport::Icmpv4 { kind: Icmpv4Kind::ECHO_REQUEST, id, seq, .. } => {
            let message = Icmpv4Message::EchoReply { id, seq, data };
            finish(out, l3, &ip, IpProto::ICMP, TTL, |to| message.emit(to))
        }
        Transport::Icmpv6 { kind: Icmpv6Kind::ECHO_REQUEST, id, seq, .. } => {
            let message = Icmpv6Message::EchoReply { id, seq, data };
            finish(out, l3, &ip, IpProto::ICMPV6, TTL, |to| message.emit(&ip, to))
        }
        _ => None,
    }
}

/// Reports `error` about `frame` from the address `from`, quoting as much as fits into 576 bytes
/// of IPv4 (RFC 1812 §4.3.2.3) or 1280 of IPv6 (RFC 4443 §3.1).
///
/// `None` where the RFCs forbid an error (RFC 1122 §3.2.2, RFC 4443 §2.4): about an ICMP error, a
/// later fragment, a multicast or broadcast (except packet-too-big over IPv6), or a source that
/// is not one host.
#[must_use]
pub fn icmp_error(
    out: &mut [u8],
    frame: &[u8],
    from: IpAddr,
    mac: MacAddr,
    error: IcmpError,
) -> Option<usize> {
    let headers = Headers::parse(frame).ok()?;
    let offending = headers.ip?;
    let ip = IpPair::new(from, offending.src())?;
    let to_group = is_group(offending.dst()) || frame.first()? & 1 != 0;
    let tolerated = matches!((error, offending), (IcmpError::PacketTooBig(_), IpPair::V6 { .. }));
    let about_error = match headers.transport {
        Transport::Icmpv4 { kind, .. } => kind.is_error(),
        Transport::Icmpv6 { kind, .. } => kind.is_error() || kind == Icmpv6Kind::REDIRECT,
        _ => false,
    };
    let later = headers.fragment.is_some_and(|fragment| !fragment.is_first());
    if about_error || later || (to_group && !tolerated) || !is_host(offending.src()) {
        return None;
    }
    let quote = frame.get(headers.l3_offset()..headers.payload_range().end)?;
    let l3 = turn_link(out, frame, &headers, mac)?;
    if offending.is_v4() {
        let quote = quote.get(..quote.len().min(576 - 28))?;
        let unreachable =
            |code, next_hop_mtu| Icmpv4Message::Unreachable { code, next_hop_mtu, quote };
        let message = match error {
            IcmpError::NetUnreachable => unreachable(unreachable_v4::NET, 0),
            IcmpError::HostUnreachable => unreachable(unreachable_v4::HOST, 0),
            IcmpError::PortUnreachable => unreachable(unreachable_v4::PORT, 0),
            IcmpError::Prohibited => unreachable(unreachable_v4::ADMINISTRATIVE, 0),
            IcmpError::PacketTooBig(mtu) => unreachable(unreachable_v4::FRAGMENTATION_NEEDED, mtu),
            IcmpError::TimeExceeded => Icmpv4Message::TimeExceeded { code: 0, quote },
        };
        finish(out, l3, &ip, IpProto::ICMP, TTL, |to| message.emit(to))
    } else {
        let quote = quote.get(..quote.len().min(1280 - 48))?;
        let unreachable = |code| Icmpv6Message::Unreachable { code, quote };
        let message = match error {
            IcmpError::NetUnreachable => unreachable(unreachable_v6::NO_ROUTE),
            IcmpError::HostUnreachable => unreachable(unreachable_v6::ADDRESS),
            IcmpError::PortUnreachable => unreachable(unreachable_v6::PORT),
            IcmpError::Prohibited => unreachable(unreachable_v6::ADMINISTRATIVE),
            IcmpError::PacketTooBig(mtu) => Icmpv6Message::PacketTooBig { mtu: mtu.into(), quote },
            IcmpError::TimeExceeded => Icmpv6Message::TimeExceeded { code: 0, quote },
        };
        finish(out, l3, &ip, IpProto::ICMPV6, TTL, |to| message.emit(&ip, to))
    }
}

/// Answers a UDP datagram with `payload`, ports exchanged.
#[must_use]
pub fn udp_reply(out: &mut [u8], frame: &[u8], payload: &[u8]) -> Option<usize> {
    let headers = Headers::parse(frame).ok()?;
    let Transport::Udp { src_port, dst_port } = headers.transport else { return None };
    let ip = reply_pair(&headers)?;
    let l3 = turn_link(out, frame, &headers, own_mac(frame)?)?;
    let header = UdpRepr { src_port: dst_port, dst_port: src_port };
    finish(out, l3, &ip, IpProto::UDP, TTL, |to| header.emit(&ip, payload, to))
}

/// The reset a closed port answers with (RFC 9293 §3.10.7.1); a reset is not answered.
#[must_use]
pub fn tcp_rst(out: &mut [u8], frame: &[u8]) -> Option<usize> {
    tcp_reply(out, frame, |segment, reply| {
        let got = segment.repr();
        if got.flags.contains(TcpFlags::ACK) {
            reply.flags = TcpFlags::RST;
            reply.seq = got.ack;
        } else {
            reply.flags = TcpFlags::RST | TcpFlags::ACK;
            reply.ack = got.seq.wrapping_add(segment.sequence_len());
        }
        !got.flags.contains(TcpFlags::RST)
    })
}

/// The answer of an open port to a SYN: sequence number `isn`, and `options` as given.
#[must_use]
pub fn tcp_syn_ack(
    out: &mut [u8],
    frame: &[u8],
    isn: u32,
    window: u16,
    options: TcpOptions,
) -> Option<usize> {
    tcp_reply(out, frame, |segment, reply| {
        let got = segment.repr();
        reply.flags = TcpFlags::SYN | TcpFlags::ACK;
        (reply.seq, reply.window, reply.options) = (isn, window, options);
        reply.ack = got.seq.wrapping_add(segment.sequence_len());
        let (handshake, other) = (TcpFlags::SYN, [TcpFlags::ACK, TcpFlags::RST, TcpFlags::FIN]);
        got.flags.contains(handshake) && !other.iter().any(|flag| got.flags.contains(*flag))
    })
}

/// Turns an echo request into its reply where it lies: addresses exchanged, type changed, TTL
/// renewed, checksums updated without reading the data. `false`, with nothing changed, for
/// anything else and for requests to a group.
#[must_use]
pub fn echo_in_place(frame: &mut [u8]) -> bool {
    turn_echo(frame).is_some()
}

fn turn_echo(frame: &mut [u8]) -> Option<()> {
    let headers = Headers::parse(frame).ok()?;
    own_mac(frame)?;
    let reply = match headers.transport {
        Transport::Icmpv4 { kind: Icmpv4Kind::ECHO_REQUEST, .. } => Icmpv4Kind::ECHO_REPLY.0,
        Transport::Icmpv6 { kind: Icmpv6Kind::ECHO_REQUEST, .. } => Icmpv6Kind::ECHO_REPLY.0,
        _ => return None,
    };
    let pair = reply_pair(&headers)?;
    let l4 = frame.get_mut(headers.l4_offset()..)?.first_chunk_mut::<8>()?;
    let old = u16_at(l4, 0);
    l4[0] = reply;
    // Exchanged addresses leave the ICMPv6 pseudo-header's sum alone.
    let sum = checksum::update_u16(u16_at(l4, 2), old, u16_at(l4, 0));
    put(l4, 2, sum.to_be_bytes());
    let l3 = frame.get_mut(headers.l3_offset()..)?;
    match pair {
        IpPair::V4 { src, dst } => {
            let mut ip = super::Ipv4Mut::parse(l3).ok()?;
            ip.set_src(src);
            ip.set_dst(dst);
            ip.set_ttl(TTL);
        }
        IpPair::V6 { src, dst } => {
            let mut ip = super::Ipv6Mut::parse(l3).ok()?;
            ip.set_src(src);
            ip.set_dst(dst);
            ip.set_hop_limit(TTL);
        }
    }
    EthernetMut::parse(frame).ok()?.swap();
    Some(())
}

fn tcp_reply(
    out: &mut [u8],
    frame: &[u8],
    fill: impl FnOnce(&TcpView<'_>, &mut TcpRepr) -> bool,
) -> Option<usize> {
    let headers = Headers::parse(frame).ok()?;
    let Transport::Tcp { src_port, dst_port, .. } = headers.transport else { return None };
    let ip = reply_pair(&headers)?;
    let segment =
        TcpView::parse(frame.get(headers.l4_offset()..headers.payload_range().end)?).ok()?;
    let mut reply = TcpRepr::new(dst_port, src_port, TcpFlags(0));
    if !fill(&segment, &mut reply) {
        return None;
    }
    let l3 = turn_link(out, frame, &headers, own_mac(frame)?)?;
    finish(out, l3, &ip, IpProto::TCP, TTL, |to| reply.emit(&ip, &[], to))
}

/// The frame's own destination, to answer from; a group cannot answer.
fn own_mac(frame: &[u8]) -> Option<MacAddr> {
    let mac = MacAddr(*frame.first_chunk::<6>()?);
    (!mac.is_multicast()).then_some(mac)
}

/// `None` for a piece of a datagram: only the whole can be answered.
fn reply_pair(headers: &Headers) -> Option<IpPair> {
    let ip = headers.ip.filter(|_| !headers.is_fragment())?;
    (is_host(ip.src()) && !is_group(ip.dst())).then(|| ip.reversed())
}

/// Copies Ethernet header and tags to `out`, back to the sender and from `mac`.
fn turn_link(out: &mut [u8], frame: &[u8], headers: &Headers, mac: MacAddr) -> Option<usize> {
    let l3 = headers.l3_offset();
    out.get_mut(..l3)?.copy_from_slice(frame.get(..l3)?);
    let mut ethernet = EthernetMut::parse(out).ok()?;
    ethernet.swap();
    ethernet.set_src(mac);
    Some(l3)
}

fn finish(
    out: &mut [u8],
    l3: usize,
    ip: &IpPair,
    proto: IpProto,
    ttl: u8,
    body: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Option<usize> {
    let packet = out.get_mut(l3..)?;
    let len = body(packet.get_mut(ip.header_len()..)?)?;
    let header_len = match *ip {
        IpPair::V4 { src, dst } => {
            Ipv4Repr { ttl, ..Ipv4Repr::new(src, dst, proto) }.emit(len, packet)?
        }
        IpPair::V6 { src, dst } => {
            Ipv6Repr { hop_limit: ttl, ..Ipv6Repr::new(src, dst, proto) }.emit(len, packet)?
        }
    };
    Some(l3 + header_len + len)
}

fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

fn is_host(address: IpAddr) -> bool {
    !is_group(address) && !address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::build::{self, Link, Net};
    use std::net::{Ipv4Addr, Ipv6Addr};

    const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THEM: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const LINK: Link = Link::new(US, THEM);
    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const V4: Net = Net::new(IpPair::V4 { src: A, dst: B });
    const A6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const B6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    const V6: Net = Net::new(IpPair::V6 { src: A6, dst: B6 });

    fn made(make: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Vec<u8>> {
        let mut buf = vec![0; 2048];
        let len = make(&mut buf)?;
        buf.truncate(len);
        assert!(Headers::parse(&buf).unwrap().verify_checksums(&buf));
        Some(buf)
    }

    fn udp(net: &Net, len: usize) -> Vec<u8> {
        let header = UdpRepr { src_port: 40000, dst_port: 33434 };
        made(|to| build::udp(to, &LINK, net, &header, &vec![7; len])).unwrap()
    }

    #[test]
    fn an_echo_is_answered_the_same_in_place_and_in_a_new_frame() {
        for net in [V4, V6] {
            let mut frame = made(|to| build::echo_request(to, &LINK, &net, 7, 9, b"abc")).unwrap();
            let reply = made(|to| echo_reply(to, &frame)).unwrap();
            assert!(echo_in_place(&mut frame));
            assert_eq!(frame, reply);
            assert!(!echo_in_place(&mut frame), "a reply is not answered");
            let headers = Headers::parse(&frame).unwrap();
            assert_eq!((headers.ip, headers.ttl), (Some(net.ip.reversed()), TTL));
        }
        let mut piece = made(|to| build::echo_request(to, &LINK, &V4, 7, 9, b"abc")).unwrap();
        piece[20] = 0x20;
        assert_eq!(made(|to| echo_reply(to, &piece)), None, "a fragment is not answered");
        assert!(!echo_in_place(&mut piece));
    }

    #[test]
    fn resets_carry_the_numbers_of_rfc_9293() {
        let mut syn = TcpRepr::new(1000, 80, TcpFlags::SYN);
        syn.seq = u32::MAX;
        let frame = made(|to| build::tcp(to, &LINK, &V4, &syn, b"x")).unwrap();
        let reply = |frame: &[u8]| TcpView::parse(&frame[34..]).unwrap().repr();
        let rst = reply(&made(|to| tcp_rst(to, &frame)).unwrap());
        assert_eq!((rst.flags, rst.seq, rst.ack), (TcpFlags::RST | TcpFlags::ACK, 0, 1));
        assert_eq!((rst.src_port, rst.dst_port), (80, 1000));

        let options = TcpOptions { mss: Some(1460), ..TcpOptions::default() };
        let syn_ack = made(|to| tcp_syn_ack(to, &frame, 99, 5000, options)).unwrap();
        let got = reply(&syn_ack);
        assert_eq!((got.flags, got.seq, got.ack), (TcpFlags::SYN | TcpFlags::ACK, 99, 1));
        assert_eq!((got.window, got.options), (5000, options));
        assert_eq!(made(|to| tcp_syn_ack(to, &syn_ack, 1, 1, options)), None);

        let mut data = TcpRepr::new(1000, 80, TcpFlags::ACK);
        data.ack = 4711;
        let frame = made(|to| build::tcp(to, &LINK, &V4, &data, &[])).unwrap();
        let rst = made(|to| tcp_rst(to, &frame)).unwrap();
        assert_eq!((reply(&rst).flags, reply(&rst).seq), (TcpFlags::RST, 4711));
        assert_eq!(made(|to| tcp_rst(to, &rst)), None);
    }

    #[test]
    fn errors_quote_what_fits_and_name_the_probe() {
        let from = Ipv4Addr::new(10, 0, 0, 254);
        let frame = udp(&V4, 1400);
        let error =
            made(|to| icmp_error(to, &frame, from.into(), THEM, IcmpError::PacketTooBig(1400)));
        let error = error.unwrap();
        assert_eq!(error.len(), 14 + 576);
        let message = super::super::Icmpv4View::parse(&error[34..]).unwrap().message();
        assert!(matches!(message, Icmpv4Message::Unreachable { code: 4, next_hop_mtu: 1400, .. }));
        let quote = message.quote().unwrap().unwrap();
        assert_eq!((quote.ports(), quote.ip), (Some((40000, 33434)), V4.ip));

        let frame = udp(&V6, 1400);
        let error = made(|to| icmp_error(to, &frame, B6.into(), THEM, IcmpError::TimeExceeded));
        let error = error.unwrap();
        assert_eq!(error.len(), 14 + 1280);
        let message = Icmpv6View::parse(&error[54..]).unwrap().message().unwrap();
        assert_eq!(message.quote().unwrap().unwrap().ports(), Some((40000, 33434)));
    }

    #[test]
    fn errors_are_not_sent_where_the_rfcs_forbid_them() {
        let refused = |frame: &[u8], error| {
            made(|to| icmp_error(to, frame, B.into(), THEM, error)).is_none()
                && made(|to| icmp_error(to, frame, B6.into(), THEM, error)).is_none()
        };
        let frame = udp(&V4, 8);
        let error = made(|to| icmp_error(to, &frame, B.into(), THEM, IcmpError::PortUnreachable));
        assert!(refused(&error.unwrap(), IcmpError::TimeExceeded), "about an error");
        let net = |src, dst| Net::new(IpPair::V4 { src, dst });
        let group = Ipv4Addr::new(224, 0, 0, 1);
        assert!(refused(&udp(&net(A, group), 8), IcmpError::PortUnreachable));
        assert!(refused(&udp(&net(A, Ipv4Addr::BROADCAST), 8), IcmpError::PortUnreachable));
        assert!(refused(&udp(&net(Ipv4Addr::UNSPECIFIED, B), 8), IcmpError::PortUnreachable));
        let mut later = frame.clone();
        later[21] = 1;
        assert!(refused(&later, IcmpError::TimeExceeded));
        let mut broadcast = frame;
        broadcast[..6].copy_from_slice(&[0xff; 6]);
        assert!(refused(&broadcast, IcmpError::PortUnreachable));
        let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let group = udp(&Net::new(IpPair::V6 { src: A6, dst: all }), 8);
        assert!(refused(&group, IcmpError::PortUnreachable));
        assert!(!refused(&group, IcmpError::PacketTooBig(1280)));
    }

    #[test]
    fn neighbours_are_answered_only_from_their_own_link() {
        let ask = Icmpv6Message::NeighborSolicit { target: B6, link_layer: Some(US) };
        let frame = made(|to| build::icmpv6(to, &LINK, &V6.with_ttl(255), &ask)).unwrap();
        let answer = made(|to| neighbor_advert(to, &frame, THEM)).unwrap();
        let headers = Headers::parse(&answer).unwrap();
        assert_eq!((headers.ttl, headers.ip), (255, Some(V6.ip.reversed())));
        let flags = AdvertFlags::SOLICITED.with(AdvertFlags::OVERRIDE);
        assert_eq!(
            Icmpv6View::parse(&answer[54..]).unwrap().message(),
            Ok(Icmpv6Message::NeighborAdvert { flags, target: B6, link_layer: Some(THEM) })
        );
        let routed = made(|to| build::icmpv6(to, &LINK, &V6.with_ttl(254), &ask)).unwrap();
        assert_eq!(made(|to| neighbor_advert(to, &routed, THEM)), None);
    }

    #[test]
    fn arp_and_udp_are_answered_through_the_tag() {
        let tag = super::super::Tag::customer(42);
        let link = Link { dst: MacAddr::BROADCAST, tag, ..LINK };
        let ask = super::super::ArpRepr::request(US, A, B);
        let frame = made(|to| build::arp(to, &link, &ask)).unwrap();
        let answer = made(|to| arp_reply(to, &frame, THEM)).unwrap();
        assert_eq!(Headers::parse(&answer).unwrap().vlan[0], tag);
        assert_eq!(answer[..12], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        assert_eq!(ArpView::parse(&answer[18..]).unwrap().repr(), ask.reply_from(THEM));
        let pong = made(|to| udp_reply(to, &udp(&V4, 3), b"pong")).unwrap();
        assert_eq!(Headers::parse(&pong).unwrap().ports(), Some((33434, 40000)));
    }
}
