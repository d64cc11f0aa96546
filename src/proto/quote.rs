//! The datagram quoted in an ICMP error: enough of it to know which probe it answers.

use super::{Fragment, IpPair, IpProto, Ipv4View, Ipv6View, ParseError};

// The kinds of RFC 792 and RFC 4443. (Errors quote, so what reads them is above this.)
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;

/// A quoted IP header and the first bytes behind it.
///
/// RFC 792 promises 8 bytes of transport header, RFC 1812 and RFC 4443 more; the quoted length
/// fields usually exceed what is there. Transport fields are therefore options.
#[derive(Debug, Clone, Copy)]
pub struct Quote<'a> {
    /// Addresses: `src` is whoever sent the offending packet.
    pub ip: IpPair,
    /// The transport, behind any extension headers.
    pub proto: IpProto,
    /// TTL or hop limit when the packet was dropped.
    pub ttl: u8,
    /// IPv4 identification; 0 for IPv6 without a fragment header.
    pub ident: u32,
    /// The quoted packet was a fragment.
    pub fragment: Option<Fragment>,
    /// Total length in bytes that the quoted header claims.
    pub total_len: u32,
    /// IP header length in bytes, extension headers included.
    pub header_len: usize,
    /// What is there of the transport header and payload; may be empty.
    pub l4: &'a [u8],
}

impl<'a> Quote<'a> {
    /// A quoted IPv4 datagram, truncated or not.
    pub fn parse_v4(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let ip = Ipv4View::parse_quoted(bytes)?;
        Ok(Self {
            ip: ip.pair(),
            proto: ip.proto(),
            ttl: ip.ttl(),
            ident: u32::from(ip.ident()),
            fragment: ip.fragment(),
            total_len: u32::from(ip.total_len()),
            header_len: ip.header_len(),
            l4: ip.payload(),
        })
    }

    /// A quoted IPv6 datagram, truncated or not.
    pub fn parse_v6(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let ip = Ipv6View::parse_quoted(bytes)?;
        Ok(Self {
            ip: ip.pair(),
            proto: ip.proto(),
            ttl: ip.hop_limit(),
            ident: ip.fragment().map_or(0, |fragment| fragment.ident),
            fragment: ip.fragment(),
            total_len: u32::from(ip.payload_len()) + super::IPV6_LEN as u32,
            header_len: ip.header_len(),
            l4: ip.payload(),
        })
    }

    /// Source and destination port of quoted UDP or TCP.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        if !matches!(self.proto, IpProto::UDP | IpProto::TCP) || !self.has_header() {
            return None;
        }
        Some((self.u16_at(0)?, self.u16_at(2)?))
    }

    /// Identifier and sequence number of a quoted echo request.
    #[must_use]
    pub fn echo(&self) -> Option<(u16, u16)> {
        let request = match self.proto {
            IpProto::ICMP => ECHO_REQUEST,
            IpProto::ICMPV6 => ECHO_REQUEST_V6,
            _ => return None,
        };
        if !self.has_header() || *self.l4.first()? != request {
            return None;
        }
        Some((self.u16_at(4)?, self.u16_at(6)?))
    }

    /// Length field and checksum of quoted UDP: what a Paris traceroute keeps its probe number in.
    #[must_use]
    pub fn udp_len_checksum(&self) -> Option<(u16, u16)> {
        if self.proto != IpProto::UDP || !self.has_header() {
            return None;
        }
        Some((self.u16_at(4)?, self.u16_at(6)?))
    }

    /// Sequence number of a quoted TCP segment.
    #[must_use]
    pub fn tcp_seq(&self) -> Option<u32> {
        if self.proto != IpProto::TCP || !self.has_header() {
            return None;
        }
        let word = self.l4.get(4..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*word))
    }

    fn has_header(&self) -> bool {
        self.fragment.is_none_or(|fragment| fragment.is_first())
    }

    fn u16_at(&self, at: usize) -> Option<u16> {
        self.l4.get(at..)?.first_chunk::<2>().map(|word| u16::from_be_bytes(*word))
    }
}
