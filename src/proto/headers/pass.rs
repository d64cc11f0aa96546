//! The pass itself: plain frames in registers, all others in a function that knows everything.

use super::{Headers, Transport};
use crate::proto::octets::u16_at;
use crate::proto::{
    EtherType, EthernetView, Fragment, Icmpv4Kind, Icmpv4View, Icmpv6Kind, Icmpv6View, IpPair,
    IpProto, Ipv4View, Ipv6View, Layer, ParseError, Tag, TcpView, UDP_LEN, UdpView, VlanView,
};
use std::ops::Range;

/// What most frames are first. Inlined into [`Headers::parse`] alone, which says why that is not.
#[inline(always)]
pub(super) fn parse(frame: &[u8]) -> Result<Headers, ParseError> {
    match Headers::plain_v4(frame, ports) {
        Some(headers) => Ok(headers),
        None => Headers::parse_second(frame),
    }
}

impl Headers {
    /// What is next most frequent. Apart from [`parse`], which would save and restore registers
    /// for it on its own, shorter way.
    #[inline(never)]
    fn parse_second(frame: &[u8]) -> Result<Self, ParseError> {
        if let Some(headers) = Self::plain_v6(frame, ports) {
            return Ok(headers);
        }
        if let Some(headers) = Self::plain_v4(frame, icmp) {
            return Ok(headers);
        }
        if let Some(headers) = Self::plain_v6(frame, icmp) {
            return Ok(headers);
        }
        Self::parse_any(frame)
    }

    /// What most frames are, decided in registers and written once: a transport directly behind an
    /// IP header directly behind Ethernet, whole. `None` for any other frame, broken ones
    /// included, so that not even an error is carried along.
    #[inline(always)]
    fn plain_v4(
        frame: &[u8],
        transport: impl Fn(&[u8], &L2<'_>, &Net<'_>) -> Option<Result<Self, ParseError>>,
    ) -> Option<Self> {
        let ethernet = EthernetView::parse(frame).ok()?;
        if ethernet.ether_type() != EtherType::IPV4 {
            return None;
        }
        let ip = Ipv4View::parse_plain(ethernet.payload())?;
        let l2 = L2 { ether_type: EtherType::IPV4, vlan: [None; 2], body: ethernet.payload() };
        transport(frame, &l2, &Net { fragment: None, ..Net::v4(&ip) })?.ok()
    }

    /// As [`plain_v4`](Self::plain_v4).
    #[inline(always)]
    fn plain_v6(
        frame: &[u8],
        transport: impl Fn(&[u8], &L2<'_>, &Net<'_>) -> Option<Result<Self, ParseError>>,
    ) -> Option<Self> {
        let ethernet = EthernetView::parse(frame).ok()?;
        if ethernet.ether_type() != EtherType::IPV6 {
            return None;
        }
        let ip = Ipv6View::parse_plain(ethernet.payload())?;
        let l2 = L2 { ether_type: EtherType::IPV6, vlan: [None; 2], body: ethernet.payload() };
        transport(frame, &l2, &Net { fragment: None, ..Net::v6(&ip) })?.ok()
    }

    /// Every frame, one layer after the other.
    #[cold]
    #[inline(never)]
    fn parse_any(frame: &[u8]) -> Result<Self, ParseError> {
        let l2 = untag(frame)?;
        match l2.ether_type {
            EtherType::IPV4 => datagram(frame, &l2, &Net::v4(&Ipv4View::parse(l2.body)?)),
            EtherType::IPV6 => datagram(frame, &l2, &Net::v6(&Ipv6View::parse(l2.body)?)),
            _ => {
                let l3 = frame.len() - l2.body.len();
                Ok(Self {
                    ip: None,
                    transport: Transport::None,
                    vlan: l2.vlan,
                    fragment: None,
                    ether_type: l2.ether_type,
                    proto: IpProto::NO_NEXT_HEADER,
                    ttl: 0,
                    tos: 0,
                    l3: l3 as u16,
                    l4: l3 as u16,
                    payload: l3 as u32,
                    end: u32::try_from(frame.len()).unwrap_or(u32::MAX),
                })
            }
        }
    }

    #[inline(always)]
    fn with_ip(
        frame: &[u8],
        l2: &L2<'_>,
        net: &Net<'_>,
        transport: Transport,
        payload: Range<usize>,
    ) -> Self {
        // At most 14 + 8 + 40 + 8 * 2048 bytes of headers and 65535 of IP payload: these fit.
        let l3 = frame.len() - l2.body.len();
        let l4 = l3 + net.header_len;
        Self {
            ip: Some(net.ip),
            transport,
            vlan: l2.vlan,
            fragment: net.fragment,
            ether_type: l2.ether_type,
            proto: net.proto,
            ttl: net.ttl,
            tos: net.tos,
            l3: l3 as u16,
            l4: l4 as u16,
            payload: (l4 + payload.start) as u32,
            end: (l4 + payload.end) as u32,
        }
    }
}

struct L2<'a> {
    ether_type: EtherType,
    vlan: [Option<Tag>; 2],
    body: &'a [u8],
}

struct Net<'a> {
    ip: IpPair,
    proto: IpProto,
    ttl: u8,
    tos: u8,
    fragment: Option<Fragment>,
    header_len: usize,
    body: &'a [u8],
}

impl<'a> Net<'a> {
    #[inline(always)]
    fn v4(ip: &Ipv4View<'a>) -> Self {
        Self {
            ip: ip.pair(),
            proto: ip.proto(),
            ttl: ip.ttl(),
            tos: ip.tos(),
            fragment: ip.fragment(),
            header_len: ip.header_len(),
            body: ip.payload(),
        }
    }

    #[inline(always)]
    fn v6(ip: &Ipv6View<'a>) -> Self {
        Self {
            ip: ip.pair(),
            proto: ip.proto(),
            ttl: ip.hop_limit(),
            tos: ip.traffic_class(),
            fragment: ip.fragment(),
            header_len: ip.header_len(),
            body: ip.payload(),
        }
    }
}

/// The tags stay values of their own: an array filled by index would live on the stack.
#[inline(always)]
fn untag(frame: &[u8]) -> Result<L2<'_>, ParseError> {
    let ethernet = EthernetView::parse(frame)?;
    let (ether_type, body) = (ethernet.ether_type(), ethernet.payload());
    if !ether_type.is_vlan() {
        return Ok(L2 { ether_type, vlan: [None; 2], body });
    }
    let outer = VlanView::parse(ether_type, body)?;
    let (ether_type, body) = (outer.ether_type(), outer.payload());
    if !ether_type.is_vlan() {
        return Ok(L2 { ether_type, vlan: [Some(outer.tag()), None], body });
    }
    let inner = VlanView::parse(ether_type, body)?;
    let (ether_type, body) = (inner.ether_type(), inner.payload());
    if ether_type.is_vlan() {
        return Err(ParseError::TooManyTags);
    }
    Ok(L2 { ether_type, vlan: [Some(outer.tag()), Some(inner.tag())], body })
}

/// UDP or TCP in a whole datagram, `None` if it carries neither. Each fills in its own result, as
/// collecting the fields for a common one costs more than the parsing.
#[inline(always)]
fn ports(frame: &[u8], l2: &L2<'_>, net: &Net<'_>) -> Option<Result<Headers, ParseError>> {
    match net.proto {
        IpProto::UDP => Some(UdpView::parse(net.body).map(|udp| {
            let transport = Transport::Udp { src_port: udp.src_port(), dst_port: udp.dst_port() };
            let payload = UDP_LEN..UDP_LEN + udp.payload().len();
            Headers::with_ip(frame, l2, net, transport, payload)
        })),
        IpProto::TCP => Some(TcpView::parse(net.body).map(|tcp| {
            let (src_port, dst_port, flags) = (tcp.src_port(), tcp.dst_port(), tcp.flags());
            let transport = Transport::Tcp { src_port, dst_port, flags };
            Headers::with_ip(frame, l2, net, transport, tcp.header_len()..net.body.len())
        })),
        _ => None,
    }
}

/// As [`ports`], for ICMP of the version that belongs to the datagram's.
#[inline(always)]
fn icmp(frame: &[u8], l2: &L2<'_>, net: &Net<'_>) -> Option<Result<Headers, ParseError>> {
    let end = net.body.len();
    match (net.proto, net.ip.is_v4()) {
        (IpProto::ICMP, true) => Some(Icmpv4View::parse(net.body).map(|icmp| {
            let payload = end - icmp.data().len()..end;
            Headers::with_ip(frame, l2, net, transport_v4(&icmp), payload)
        })),
        (IpProto::ICMPV6, false) => Some(Icmpv6View::parse(net.body).map(|icmp| {
            let payload = end - icmp.data().len()..end;
            Headers::with_ip(frame, l2, net, transport_v6(&icmp), payload)
        })),
        _ => None,
    }
}

#[inline(always)]
fn datagram(frame: &[u8], l2: &L2<'_>, net: &Net<'_>) -> Result<Headers, ParseError> {
    match net.fragment {
        Some(fragment) if !fragment.is_whole() => piece(frame, l2, net, fragment),
        _ => whole(frame, l2, net),
    }
}

/// The transport header of a whole datagram.
#[inline(always)]
fn whole(frame: &[u8], l2: &L2<'_>, net: &Net<'_>) -> Result<Headers, ParseError> {
    ports(frame, l2, net)
        .or_else(|| icmp(frame, l2, net))
        .unwrap_or_else(|| Ok(Headers::with_ip(frame, l2, net, Transport::None, 0..net.body.len())))
}

/// A fragment has no transport header, or one whose length speaks of the whole datagram.
#[cold]
fn piece(
    frame: &[u8],
    l2: &L2<'_>,
    net: &Net<'_>,
    fragment: Fragment,
) -> Result<Headers, ParseError> {
    let end = net.body.len();
    if !fragment.is_first() {
        return Ok(Headers::with_ip(frame, l2, net, Transport::None, 0..end));
    }
    if net.proto != IpProto::UDP {
        // TCP and ICMP have no length field, but RFC 8200 §4.5 and RFC 1858 want the whole
        // transport header in the first fragment.
        return whole(frame, l2, net);
    }
    let head = net.body.first_chunk::<UDP_LEN>().ok_or(ParseError::Truncated(Layer::Udp))?;
    if usize::from(u16_at(head, 4)) < UDP_LEN {
        return Err(ParseError::BadLength(Layer::Udp));
    }
    let transport = Transport::Udp { src_port: u16_at(head, 0), dst_port: u16_at(head, 2) };
    Ok(Headers::with_ip(frame, l2, net, transport, UDP_LEN..end))
}

#[inline]
fn transport_v4(icmp: &Icmpv4View<'_>) -> Transport {
    let (kind, code) = (icmp.kind(), icmp.code());
    let echo = matches!(kind, Icmpv4Kind::ECHO_REQUEST | Icmpv4Kind::ECHO_REPLY);
    let (id, seq) = if echo { (icmp.id(), icmp.seq()) } else { (0, 0) };
    Transport::Icmpv4 { kind, code, id, seq }
}

#[inline]
fn transport_v6(icmp: &Icmpv6View<'_>) -> Transport {
    let (kind, code) = (icmp.kind(), icmp.code());
    let echo = matches!(kind, Icmpv6Kind::ECHO_REQUEST | Icmpv6Kind::ECHO_REPLY);
    let (id, seq) = if echo { (icmp.id(), icmp.seq()) } else { (0, 0) };
    Transport::Icmpv6 { kind, code, id, seq }
}
