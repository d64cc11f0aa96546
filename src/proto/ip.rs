//! What IPv4 and IPv6 share: protocol numbers, an address pair, fragments.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::{self, Sum};

/// Bytes of a header without options.
pub const IPV4_LEN: usize = 20;

/// Bytes of the fixed header.
pub const IPV6_LEN: usize = 40;

/// An IP protocol number or IPv6 next-header value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpProto(pub u8);

impl IpProto {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// IPv6 routing header.
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header.
    pub const FRAGMENT: Self = Self(44);
    /// GRE.
    pub const GRE: Self = Self(47);
    /// Encapsulating security payload; opaque, so never walked.
    pub const ESP: Self = Self(50);
    /// Authentication header.
    pub const AH: Self = Self(51);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// IPv6: nothing follows.
    pub const NO_NEXT_HEADER: Self = Self(59);
    /// IPv6 destination options.
    pub const DESTINATION: Self = Self(60);
}

impl fmt::Debug for IpProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for IpProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.write_str("icmp"),
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self::GRE => f.write_str("gre"),
            Self::ESP => f.write_str("esp"),
            Self::AH => f.write_str("ah"),
            Self::ICMPV6 => f.write_str("icmpv6"),
            Self(other) => write!(f, "{other}"),
        }
    }
}

/// Source and destination of one IP version: a mixed pair cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpPair {
    /// IPv4.
    V4 {
        /// Sender.
        src: Ipv4Addr,
        /// Receiver.
        dst: Ipv4Addr,
    },
    /// IPv6.
    V6 {
        /// Sender.
        src: Ipv6Addr,
        /// Receiver.
        dst: Ipv6Addr,
    },
}

impl IpPair {
    /// `None` when the versions differ.
    #[must_use]
    pub const fn new(src: IpAddr, dst: IpAddr) -> Option<Self> {
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Some(Self::V4 { src, dst }),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Some(Self::V6 { src, dst }),
            _ => None,
        }
    }

    /// Sender.
    #[inline]
    #[must_use]
    pub const fn src(&self) -> IpAddr {
        match *self {
            Self::V4 { src, .. } => IpAddr::V4(src),
            Self::V6 { src, .. } => IpAddr::V6(src),
        }
    }

    /// Receiver.
    #[inline]
    #[must_use]
    pub const fn dst(&self) -> IpAddr {
        match *self {
            Self::V4 { dst, .. } => IpAddr::V4(dst),
            Self::V6 { dst, .. } => IpAddr::V6(dst),
        }
    }

    /// The pair of a reply.
    #[inline]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        match *self {
            Self::V4 { src, dst } => Self::V4 { src: dst, dst: src },
            Self::V6 { src, dst } => Self::V6 { src: dst, dst: src },
        }
    }

    /// Whether this is an IPv4 pair.
    #[inline]
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        matches!(self, Self::V4 { .. })
    }

    /// Bytes of an IP header without options or extension headers: 20 or 40.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        if self.is_v4() { IPV4_LEN } else { IPV6_LEN }
    }

    /// The pseudo-header's sum (RFC 9293 §3.1, RFC 8200 §8.1) for `len` bytes of transport header
    /// and payload.
    #[inline]
    #[must_use]
    pub fn pseudo_sum(&self, proto: IpProto, len: usize) -> Sum {
        let sum = Sum::new().u16(u16::from(proto.0)).u32(len as u32);
        match self {
            Self::V4 { src, dst } => sum.bytes(&src.octets()).bytes(&dst.octets()),
            Self::V6 { src, dst } => sum.bytes(&src.octets()).bytes(&dst.octets()),
        }
    }
}

/// Where a fragment belongs in its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Bytes from the start of the fragmentable part; a multiple of 8.
    pub offset: u16,
    /// Whether another fragment follows.
    pub more: bool,
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub ident: u32,
}

impl Fragment {
    /// Whether the transport header is in here.
    #[inline]
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Whether this "fragment" is the whole datagram (IPv6 atomic fragments, RFC 6946).
    #[inline]
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// A transport checksum after the pseudo-header's addresses changed. Between versions the sum
/// cannot be carried over and stays as it is.
#[must_use]
pub fn readdress(sum: u16, old: &IpPair, new: &IpPair) -> u16 {
    match (*old, *new) {
        (IpPair::V4 { src: a, dst: b }, IpPair::V4 { src: c, dst: d }) => {
            checksum::update_v4(checksum::update_v4(sum, a, c), b, d)
        }
        (IpPair::V6 { src: a, dst: b }, IpPair::V6 { src: c, dst: d }) => {
            checksum::update_v6(checksum::update_v6(sum, a, c), b, d)
        }
        _ => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_version() {
        let four = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(IpPair::new(four, IpAddr::V6(Ipv6Addr::LOCALHOST)), None);
        let pair = IpPair::new(four, IpAddr::V4(Ipv4Addr::BROADCAST)).unwrap();
        assert_eq!((pair.reversed().src(), pair.reversed().dst()), (pair.dst(), pair.src()));
        assert_eq!(pair.header_len(), 20);
    }

    #[test]
    fn the_pseudo_header_is_summed_field_by_field() {
        let pair = IpPair::V4 { src: Ipv4Addr::new(10, 0, 0, 1), dst: Ipv4Addr::new(10, 0, 0, 2) };
        let sum = pair.pseudo_sum(IpProto::UDP, 12).finish();
        assert_eq!(sum, super::super::checksum::of(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 12]));
    }
}
