//! IPv6 (RFC 8200): the fixed header and a bounded walk over the extension headers.

use std::net::Ipv6Addr;

use super::ip::IPV6_LEN;
use super::octets::{array_at, put, u16_at, u32_at};
use super::{Fragment, IpPair, IpProto, Layer, ParseError};

/// Extension headers walked before giving up. Each is at least 8 bytes, so without a bound a
/// 1500-byte packet could make a parser take 180 steps.
pub const MAX_EXTENSIONS: usize = 8;

/// Where a chain of extension headers ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upper {
    /// What the last header announces.
    pub proto: IpProto,
    /// Where it starts, in bytes from the first extension header.
    pub offset: usize,
    /// The fragment header, if one was passed. Behind a later fragment's header comes data, not
    /// `proto`'s header.
    pub fragment: Option<Fragment>,
}

impl Upper {
    /// Walks hop-by-hop, routing, fragment, destination and authentication headers from `next`,
    /// whose first byte is `bytes[0]`.
    ///
    /// `Truncated` when a header does not fit, `TooManyExtensions` beyond [`MAX_EXTENSIONS`],
    /// `Unsupported` for hop-by-hop options anywhere but in front (RFC 8200 §4.1).
    #[inline]
    pub fn walk(next: IpProto, bytes: &[u8]) -> Result<Self, ParseError> {
        match Self::plain(next) {
            Some(upper) => Ok(upper),
            None => Self::walk_chain(next, bytes).map_err(|(error, _)| error),
        }
    }

    /// Where `next` is one of the transports known here, there is nothing to walk.
    #[inline(always)]
    fn plain(next: IpProto) -> Option<Self> {
        matches!(next, IpProto::UDP | IpProto::TCP | IpProto::ICMPV6).then_some(Self {
            proto: next,
            offset: 0,
            fragment: None,
        })
    }

    /// On an error, how far the walk came: a quoted datagram may end inside the chain.
    fn walk_chain(next: IpProto, bytes: &[u8]) -> Result<Self, (ParseError, Self)> {
        let mut at = Self { proto: next, offset: 0, fragment: None };
        for passed in 0..=MAX_EXTENSIONS {
            let units = match at.proto {
                IpProto::HOP_BY_HOP if passed > 0 => {
                    return Err((ParseError::Unsupported(Layer::Ipv6), at));
                }
                IpProto::HOP_BY_HOP | IpProto::ROUTING | IpProto::DESTINATION => (8, 8),
                IpProto::FRAGMENT => (8, 0),
                // RFC 4302 §2.2: 32-bit words, minus 2.
                IpProto::AH => (8, 4),
                _ => return Ok(at),
            };
            if passed == MAX_EXTENSIONS {
                break;
            }
            let head = bytes.get(at.offset..).and_then(|rest| rest.first_chunk::<8>());
            let len = head.map(|head| units.0 + usize::from(head[1]) * units.1);
            let (Some(head), Some(len)) = (head, len.filter(|len| bytes.len() - at.offset >= *len))
            else {
                return Err((ParseError::Truncated(Layer::Ipv6), at));
            };
            let is_fragment = at.proto == IpProto::FRAGMENT;
            at.proto = IpProto(head[0]);
            at.offset += len;
            if is_fragment {
                let flags = u16_at(head, 2);
                let fragment = Fragment {
                    offset: flags & 0xfff8,
                    more: flags & 1 != 0,
                    ident: u32_at(head, 4),
                };
                at.fragment = Some(fragment);
                if !fragment.is_first() {
                    return Ok(at);
                }
            }
        }
        Err((ParseError::TooManyExtensions, at))
    }
}

/// Writes an 8-byte fragment header (RFC 8200 §4.5) that announces `next`; `None` without room.
#[must_use]
pub fn emit_fragment(fragment: Fragment, next: IpProto, buf: &mut [u8]) -> Option<usize> {
    let to = buf.first_chunk_mut::<8>()?;
    let flags = (fragment.offset & 0xfff8) | u16::from(fragment.more);
    put(to, 0, [next.0, 0]);
    put(to, 2, flags.to_be_bytes());
    put(to, 4, fragment.ident.to_be_bytes());
    Some(8)
}

/// The fixed header as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Repr {
    /// Sender.
    pub src: Ipv6Addr,
    /// Receiver.
    pub dst: Ipv6Addr,
    /// The next header: an extension header or the transport.
    pub next: IpProto,
    /// Hops left.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// 20 bits; higher ones are dropped.
    pub flow_label: u32,
}

impl Ipv6Repr {
    /// Hop limit 64, traffic class and flow label zero.
    #[must_use]
    pub const fn new(src: Ipv6Addr, dst: Ipv6Addr, next: IpProto) -> Self {
        Self { src, dst, next, hop_limit: 64, traffic_class: 0, flow_label: 0 }
    }

    /// Writes a header for `payload_len` bytes, extension headers included. Returns 40; `None`
    /// without room for header and payload, or above 65535 bytes of payload.
    #[must_use]
    pub fn emit(&self, payload_len: usize, buf: &mut [u8]) -> Option<usize> {
        let payload = u16::try_from(payload_len).ok()?;
        let (head, rest) = buf.split_first_chunk_mut::<IPV6_LEN>()?;
        rest.get(..payload_len)?;
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | (self.flow_label & 0x000f_ffff);
        put(head, 0, first.to_be_bytes());
        put(head, 4, payload.to_be_bytes());
        put(head, 6, [self.next.0, self.hop_limit]);
        put(head, 8, self.src.octets());
        put(head, 24, self.dst.octets());
        Some(IPV6_LEN)
    }
}

/// A packet to read.
#[derive(Debug, Clone, Copy)]
pub struct Ipv6View<'a> {
    head: &'a [u8; IPV6_LEN],
    body: &'a [u8],
    upper: Upper,
}

impl<'a> Ipv6View<'a> {
    /// Checks version and payload length, cuts Ethernet padding, and walks the extension headers.
    /// A jumbogram (RFC 2675) has payload length 0 and is seen as empty.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, rest) = split(bytes)?;
        let body =
            rest.get(..usize::from(u16_at(head, 4))).ok_or(ParseError::Truncated(Layer::Ipv6))?;
        let upper = Upper::walk(IpProto(head[6]), body)?;
        Ok(Self { head, body, upper })
    }

    /// As [`parse`](Self::parse) for a packet without extension headers; `None` for any other,
    /// broken ones included.
    #[inline(always)]
    pub(super) fn parse_plain(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = split(bytes).ok()?;
        let body = rest.get(..usize::from(u16_at(head, 4)))?;
        Some(Self { head, body, upper: Upper::plain(IpProto(head[6]))? })
    }

    /// As [`parse`](Self::parse), but for a datagram quoted in an ICMPv6 error: the payload length
    /// may exceed what is there, and the extension headers may be cut; the payload is then empty.
    pub fn parse_quoted(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, rest) = split(bytes)?;
        let body = rest.get(..usize::from(u16_at(head, 4))).unwrap_or(rest);
        let upper = match Upper::walk_chain(IpProto(head[6]), body) {
            Ok(upper) => upper,
            Err((ParseError::Truncated(_), at)) => Upper { offset: body.len(), ..at },
            Err((error, _)) => return Err(error),
        };
        Ok(Self { head, body, upper })
    }

    /// Sender.
    #[inline]
    #[must_use]
    pub fn src(&self) -> Ipv6Addr {
        Ipv6Addr::from(array_at::<16, _>(self.head, 8))
    }

    /// Receiver.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> Ipv6Addr {
        Ipv6Addr::from(array_at::<16, _>(self.head, 24))
    }

    /// Both addresses.
    #[inline]
    #[must_use]
    pub fn pair(&self) -> IpPair {
        IpPair::V6 { src: self.src(), dst: self.dst() }
    }

    /// The fixed header's next-header field: the first extension header, or [`proto`](Self::proto).
    #[must_use]
    pub fn next_header(&self) -> IpProto {
        IpProto(self.head[6])
    }

    /// What follows the extension headers.
    #[inline]
    #[must_use]
    pub fn proto(&self) -> IpProto {
        self.upper.proto
    }

    /// Hops left.
    #[inline]
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        self.head[7]
    }

    /// DSCP and ECN.
    #[inline]
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        (u16_at(self.head, 0) >> 4) as u8
    }

    /// 20 bits.
    #[must_use]
    pub fn flow_label(&self) -> u32 {
        u32_at(self.head, 0) & 0x000f_ffff
    }

    /// The payload-length field in bytes: everything behind the fixed header.
    #[must_use]
    pub fn payload_len(&self) -> u16 {
        u16_at(self.head, 4)
    }

    /// The fragment header, if there is one. An atomic fragment (RFC 6946) is reported too.
    #[inline]
    #[must_use]
    pub fn fragment(&self) -> Option<Fragment> {
        self.upper.fragment
    }

    /// Fixed header and extension headers, in bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        IPV6_LEN + self.upper.offset
    }

    /// The extension headers as they are.
    #[must_use]
    pub fn extensions(&self) -> &'a [u8] {
        self.body.get(..self.upper.offset).unwrap_or_default()
    }

    /// What follows the extension headers.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.body.get(self.upper.offset..).unwrap_or_default()
    }

    /// The fixed header as values.
    #[must_use]
    pub fn repr(&self) -> Ipv6Repr {
        Ipv6Repr {
            src: self.src(),
            dst: self.dst(),
            next: self.next_header(),
            hop_limit: self.hop_limit(),
            traffic_class: self.traffic_class(),
            flow_label: self.flow_label(),
        }
    }
}

#[inline(always)]
fn split(bytes: &[u8]) -> Result<(&[u8; IPV6_LEN], &[u8]), ParseError> {
    let (head, rest) =
        bytes.split_first_chunk::<IPV6_LEN>().ok_or(ParseError::Truncated(Layer::Ipv6))?;
    if head[0] >> 4 != 6 {
        return Err(ParseError::BadVersion(Layer::Ipv6));
    }
    Ok((head, rest))
}

/// A fixed header to change in place.
///
/// UDP, TCP and ICMPv6 checksums cover the addresses: see [`rewrite`](super::rewrite).
#[derive(Debug)]
pub struct Ipv6Mut<'a> {
    head: &'a mut [u8; IPV6_LEN],
}

impl<'a> Ipv6Mut<'a> {
    /// The same checks as [`Ipv6View::parse`].
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, ParseError> {
        Ipv6View::parse(bytes)?;
        let head = bytes.first_chunk_mut().ok_or(ParseError::Truncated(Layer::Ipv6))?;
        Ok(Self { head })
    }

    /// Takes one hop off. `None`, with nothing changed, if the packet may not be forwarded: its
    /// hop limit is 0 or 1 (RFC 8200 §3). Otherwise the hop limit that is left.
    pub fn decrement_hop_limit(&mut self) -> Option<u8> {
        let left = self.head[7].checked_sub(1).filter(|&left| left > 0)?;
        self.head[7] = left;
        Some(left)
    }

    /// Replaces the hop limit.
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        self.head[7] = hop_limit;
    }

    /// Replaces the sender.
    pub fn set_src(&mut self, src: Ipv6Addr) {
        put(self.head, 8, src.octets());
    }

    /// Replaces the receiver.
    pub fn set_dst(&mut self, dst: Ipv6Addr) {
        put(self.head, 24, dst.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const THEM: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

    fn packet(next: IpProto, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; IPV6_LEN + body.len()];
        Ipv6Repr::new(US, THEM, next).emit(body.len(), &mut bytes).unwrap();
        bytes[IPV6_LEN..].copy_from_slice(body);
        bytes
    }

    #[test]
    fn a_header_is_read_and_padding_cut() {
        let mut bytes = packet(IpProto::UDP, &[1, 2, 3]);
        bytes.push(0);
        bytes[1] = 0x2a;
        let view = Ipv6View::parse(&bytes).unwrap();
        assert_eq!((view.src(), view.dst(), view.proto()), (US, THEM, IpProto::UDP));
        assert_eq!((view.payload(), view.hop_limit()), (&[1, 2, 3][..], 64));
        assert_eq!((view.traffic_class(), view.flow_label()), (2, 0xa_0000));
    }

    #[test]
    fn the_walk_passes_every_extension_header() {
        let mut body = vec![43, 0, 1, 4, 0, 0, 0, 0]; // hop-by-hop, PadN
        body.extend([60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // routing, 16 bytes
        body.extend([51, 0, 1, 4, 0, 0, 0, 0]); // destination
        body.extend([44, 4, 0, 0, 0, 0, 0, 1]); // AH, (4 + 2) * 4 = 24 bytes
        body.extend([0; 16]);
        body.extend([17, 0, 0, 1, 0, 0, 0, 9]); // fragment, first
        body.extend([0xaa; 8]);
        let bytes = packet(IpProto::HOP_BY_HOP, &body);
        let view = Ipv6View::parse(&bytes).unwrap();
        assert_eq!((view.proto(), view.payload()), (IpProto::UDP, &[0xaa; 8][..]));
        assert_eq!(view.fragment(), Some(Fragment { offset: 0, more: true, ident: 9 }));
        assert_eq!(view.header_len(), 40 + 64);
        assert_eq!(view.extensions().len(), 64);
    }

    #[test]
    fn a_later_fragment_ends_the_walk() {
        let body = [60, 0, 0, 0x08, 0, 0, 0, 9, 0xff, 0xff]; // data that is no destination header
        let bytes = packet(IpProto::FRAGMENT, &body);
        let view = Ipv6View::parse(&bytes).unwrap();
        assert_eq!(view.fragment(), Some(Fragment { offset: 8, more: false, ident: 9 }));
        assert_eq!((view.proto(), view.payload()), (IpProto::DESTINATION, &[0xff, 0xff][..]));
    }

    #[test]
    fn eight_headers_are_walked_and_nine_are_not() {
        let mut body = [60, 0, 1, 4, 0, 0, 0, 0].repeat(MAX_EXTENSIONS);
        let last = body.len() - 8;
        body[last] = IpProto::UDP.0;
        assert!(Ipv6View::parse(&packet(IpProto::DESTINATION, &body)).is_ok());
        body[last] = 60;
        body.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        assert_eq!(
            Ipv6View::parse(&packet(IpProto::DESTINATION, &body)).err(),
            Some(ParseError::TooManyExtensions)
        );
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let refused = |next, body: &[u8]| Ipv6View::parse(&packet(next, body)).err();
        let truncated = Some(ParseError::Truncated(Layer::Ipv6));
        assert_eq!(refused(IpProto::ROUTING, &[17, 1, 0, 0, 0, 0, 0, 0]), truncated);
        assert_eq!(refused(IpProto::AH, &[17, 255, 0, 0, 0, 0, 0, 0]), truncated);
        assert_eq!(refused(IpProto::FRAGMENT, &[17, 0, 0, 0]), truncated);
        assert_eq!(
            refused(IpProto::DESTINATION, &[0, 0, 1, 4, 0, 0, 0, 0]),
            Some(ParseError::Unsupported(Layer::Ipv6))
        );
        let bytes = packet(IpProto::UDP, &[0; 8]);
        assert_eq!(Ipv6View::parse(&bytes[..47]).err(), truncated);
        assert_eq!(Ipv6View::parse(&bytes[..39]).err(), truncated);
        let mut four = bytes;
        four[0] = 0x45;
        assert_eq!(Ipv6View::parse(&four).err(), Some(ParseError::BadVersion(Layer::Ipv6)));
    }

    #[test]
    fn a_fragment_header_is_written_as_it_is_read() {
        let fragment = Fragment { offset: 1448, more: true, ident: 0xdead_beef };
        let mut body = [0; 9];
        assert_eq!(emit_fragment(fragment, IpProto::TCP, &mut body), Some(8));
        let bytes = packet(IpProto::FRAGMENT, &body);
        let view = Ipv6View::parse(&bytes).unwrap();
        assert_eq!((view.fragment(), view.proto()), (Some(fragment), IpProto::TCP));
    }

    #[test]
    fn the_last_hop_is_not_taken() {
        let mut bytes = packet(IpProto::UDP, &[]);
        let mut ip = Ipv6Mut::parse(&mut bytes).unwrap();
        assert_eq!(ip.decrement_hop_limit(), Some(63));
        ip.set_hop_limit(1);
        assert_eq!(ip.decrement_hop_limit(), None);
    }
}
