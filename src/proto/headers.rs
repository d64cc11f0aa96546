//! One pass over a frame, for the fast path: where each header starts and the fields that decide
//! what happens to the packet.

use std::net::IpAddr;
use std::ops::Range;

use super::octets::u16_at;
use super::{
    EtherType, EthernetView, Fragment, Icmpv4Kind, Icmpv4View, Icmpv6Kind, Icmpv6View, IpPair,
    IpProto, Ipv4View, Ipv6View, Layer, ParseError, Tag, TcpFlags, TcpView, UDP_LEN, UdpView,
    VlanView,
};

/// The transport's key fields; ports in host byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// No transport header was read: not IP, a protocol not listed here, or a later fragment.
    None,
    /// UDP.
    Udp {
        /// Sender's port.
        src_port: u16,
        /// Receiver's port.
        dst_port: u16,
    },
    /// TCP.
    Tcp {
        /// Sender's port.
        src_port: u16,
        /// Receiver's port.
        dst_port: u16,
        /// Control bits.
        flags: TcpFlags,
    },
    /// ICMP for IPv4.
    Icmpv4 {
        /// Type.
        kind: Icmpv4Kind,
        /// Code.
        code: u8,
        /// Identifier of an echo message, else 0.
        id: u16,
        /// Sequence number of an echo message, else 0.
        seq: u16,
    },
    /// ICMP for IPv6.
    Icmpv6 {
        /// Type.
        kind: Icmpv6Kind,
        /// Code.
        code: u8,
        /// Identifier of an echo message, else 0.
        id: u16,
        /// Sequence number of an echo message, else 0.
        seq: u16,
    },
}

/// What one pass over a frame found. Offsets are in bytes from the frame's first byte and lie
/// inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    /// Addresses; `None` if the frame does not carry IP.
    pub ip: Option<IpPair>,
    /// Ports, or ICMP type and numbers.
    pub transport: Transport,
    /// VLAN tags, outermost first.
    pub vlan: [Option<Tag>; 2],
    /// Set for a fragment, an atomic IPv6 one included.
    pub fragment: Option<Fragment>,
    /// What the frame carries, behind any tags.
    pub ether_type: EtherType,
    /// The IP protocol, behind any extension headers; [`IpProto::NO_NEXT_HEADER`] if not IP.
    pub proto: IpProto,
    /// TTL or hop limit; 0 if not IP.
    pub ttl: u8,
    /// DSCP and ECN; 0 if not IP.
    pub tos: u8,
    l3: u16,
    l4: u16,
    payload: u32,
    end: u32,
}

impl Headers {
    /// Reads Ethernet, up to two VLAN tags, IPv4 or IPv6 with extension headers, and UDP, TCP or
    /// ICMP. Ethernet padding is left out; checksums are not verified: see
    /// [`verify_checksums`](Self::verify_checksums).
    ///
    /// A frame that is not IP (ARP, LLDP, 802.3) is no error: `ip` is `None` and the payload
    /// starts behind the ethertype. A protocol without a parser here has [`Transport::None`] and
    /// its payload starts behind the IP header.
    ///
    /// ```
    /// use fluxnet::proto::{Headers, Layer, ParseError};
    /// assert_eq!(Headers::parse(&[0; 9]), Err(ParseError::Truncated(Layer::Ethernet)));
    /// ```
    // Not inlined: a caller who hands the result on then has it written where it belongs, instead
    // of copying what was stored field by field a moment before, which stalls.
    #[inline(never)]
    pub fn parse(frame: &[u8]) -> Result<Self, ParseError> {
        if let Some(headers) = Self::plain_v4(frame, ports) {
            return Ok(headers);
        }
        Self::parse_second(frame)
    }

    /// What is next most frequent. Apart from [`parse`](Self::parse), which would save and restore
    /// registers for it on its own, shorter way.
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

    /// Where the header behind Ethernet and VLAN tags starts.
    #[inline]
    #[must_use]
    pub const fn l3_offset(&self) -> usize {
        self.l3 as usize
    }

    /// Where the header behind IP and its extension headers starts; [`l3_offset`](Self::l3_offset)
    /// if not IP.
    #[inline]
    #[must_use]
    pub const fn l4_offset(&self) -> usize {
        self.l4 as usize
    }

    /// What the innermost header read here carries.
    #[inline]
    #[must_use]
    pub const fn payload_range(&self) -> Range<usize> {
        self.payload as usize..self.end as usize
    }

    /// The payload in the frame these headers were parsed from; empty for a shorter one.
    #[inline]
    #[must_use]
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.payload_range()).unwrap_or_default()
    }

    /// Sender, if the frame carries IP.
    #[inline]
    #[must_use]
    pub fn src(&self) -> Option<IpAddr> {
        self.ip.map(|ip| ip.src())
    }

    /// Receiver, if the frame carries IP.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> Option<IpAddr> {
        self.ip.map(|ip| ip.dst())
    }

    /// Source and destination port of UDP or TCP.
    #[inline]
    #[must_use]
    pub const fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Udp { src_port, dst_port } | Transport::Tcp { src_port, dst_port, .. } => {
                Some((src_port, dst_port))
            }
            _ => None,
        }
    }

    /// Whether the packet is a piece of a datagram; an atomic IPv6 fragment is not.
    #[inline]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| !fragment.is_whole())
    }

    /// Whether every checksum in `frame` is right: IPv4 header, UDP, TCP, ICMP. A transport
    /// checksum covers the whole datagram, so that of a fragment is not looked at.
    #[must_use]
    pub fn verify_checksums(&self, frame: &[u8]) -> bool {
        let Some(ip) = self.ip else { return true };
        let l3 = frame.get(self.l3_offset()..).unwrap_or_default();
        if ip.is_v4() && !Ipv4View::parse(l3).is_ok_and(|view| view.verify_checksum()) {
            return false;
        }
        if self.is_fragment() {
            return true;
        }
        let l4 = frame.get(self.l4_offset()..self.end as usize).unwrap_or_default();
        match self.transport {
            Transport::None => true,
            Transport::Udp { .. } => UdpView::parse(l4).is_ok_and(|v| v.verify_checksum(&ip)),
            Transport::Tcp { .. } => TcpView::parse(l4).is_ok_and(|v| v.verify_checksum(&ip)),
            Transport::Icmpv4 { .. } => Icmpv4View::parse(l4).is_ok_and(|v| v.verify_checksum()),
            Transport::Icmpv6 { .. } => Icmpv6View::parse(l4).is_ok_and(|v| v.verify_checksum(&ip)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// 10.0.0.1:4660 to 10.0.0.2:53, "hi", padded by the Ethernet device to 60 bytes.
    fn udp() -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
        frame.extend([0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 17, 0x26, 0xcd]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x12, 0x34, 0, 53, 0, 10, 0x71, 0x05, 0x68, 0x69]);
        frame.resize(60, 0);
        frame
    }

    #[test]
    fn a_udp_frame_is_read_in_one_pass() {
        let frame = udp();
        let headers = Headers::parse(&frame).unwrap();
        assert_eq!(headers.ports(), Some((0x1234, 53)));
        assert_eq!((headers.l3_offset(), headers.l4_offset()), (14, 34));
        assert_eq!((headers.payload_range(), headers.payload(&frame)), (42..44, &b"hi"[..]));
        assert_eq!(headers.src(), Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))));
        assert!(headers.verify_checksums(&frame) && !headers.is_fragment());
        assert!(headers.payload(&frame[..43]).is_empty(), "another frame's headers are harmless");
    }

    #[test]
    fn two_tags_are_read_and_a_third_is_refused() {
        let plain = udp();
        let tagged = |tags: &[[u8; 4]]| {
            let mut frame = plain[..12].to_vec();
            frame.extend(tags.as_flattened());
            frame.extend(&plain[12..]);
            frame
        };
        let (outer, inner) = ([0x88, 0xa8, 0x00, 7], [0x81, 0x00, 0xa0, 100]);
        let headers = Headers::parse(&tagged(&[outer, inner])).unwrap();
        assert_eq!(headers.vlan.map(|tag| tag.map(Tag::vid)), [Some(7), Some(100)]);
        assert_eq!((headers.l3_offset(), headers.ports()), (22, Some((0x1234, 53))));
        let three = tagged(&[outer, inner, inner]);
        assert_eq!(Headers::parse(&three), Err(ParseError::TooManyTags));
        assert_eq!(Headers::parse(&three[..17]), Err(ParseError::Truncated(Layer::Vlan)));
    }

    #[test]
    fn a_first_fragment_has_ports_and_a_later_one_has_not() {
        let mut frame = udp();
        frame[20] = 0x20; // MF
        frame[39] = 200; // the UDP length speaks of the whole datagram
        let first = Headers::parse(&frame).unwrap();
        assert_eq!((first.ports(), first.is_fragment()), (Some((0x1234, 53)), true));
        assert_eq!(first.payload(&frame), b"hi");
        (frame[20], frame[21]) = (0, 1);
        let later = Headers::parse(&frame).unwrap();
        assert_eq!((later.transport, later.payload_range()), (Transport::None, 34..44));
        (frame[20], frame[21], frame[39]) = (0x20, 0, 7);
        assert_eq!(Headers::parse(&frame), Err(ParseError::BadLength(Layer::Udp)));
    }

    #[test]
    fn what_is_not_ip_is_told_by_its_ethertype() {
        let mut frame = udp();
        (frame[12], frame[13]) = (0x08, 0x06);
        let arp = Headers::parse(&frame).unwrap();
        assert_eq!((arp.ip, arp.ether_type, arp.payload_range()), (None, EtherType::ARP, 14..60));
        (frame[12], frame[13]) = (0, 46);
        assert!(Headers::parse(&frame).unwrap().ether_type < EtherType::MIN);
    }

    #[test]
    fn an_unknown_transport_is_payload() {
        let mut frame = udp();
        frame[23] = IpProto::GRE.0;
        let headers = Headers::parse(&frame).unwrap();
        assert_eq!((headers.transport, headers.proto), (Transport::None, IpProto::GRE));
        assert_eq!(headers.payload_range(), 34..44);
    }
}
