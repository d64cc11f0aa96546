//! One pass over a frame, for the fast path: where each header starts and the fields that decide
//! what happens to the packet.

mod pass;

use std::net::IpAddr;
use std::ops::Range;

use super::{
    EtherType, Fragment, Icmpv4Kind, Icmpv4View, Icmpv6Kind, Icmpv6View, IpPair, IpProto, Ipv4View,
    ParseError, Tag, TcpFlags, TcpView, UdpView,
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
        pass::parse(frame)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Layer;
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
