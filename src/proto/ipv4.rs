//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use super::ip::IPV4_LEN;
use super::octets::{array_at, put, u16_at};
use super::options::Options;
use super::{Fragment, IpPair, IpProto, Layer, ParseError, checksum};

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// The header as values; lengths and checksum are worked out when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Sender.
    pub src: Ipv4Addr,
    /// Receiver.
    pub dst: Ipv4Addr,
    /// What follows.
    pub proto: IpProto,
    /// Hops left.
    pub ttl: u8,
    /// DSCP (6 bits) and ECN (2 bits).
    pub tos: u8,
    /// Identification.
    pub ident: u16,
    /// DF.
    pub dont_fragment: bool,
    /// MF.
    pub more_fragments: bool,
    /// In bytes; the low three bits cannot be expressed and are dropped.
    pub fragment_offset: u16,
}

impl Ipv4Repr {
    /// An unfragmented packet with TTL 64, DF set and everything else zero.
    #[must_use]
    pub const fn new(src: Ipv4Addr, dst: Ipv4Addr, proto: IpProto) -> Self {
        Self {
            src,
            dst,
            proto,
            ttl: 64,
            tos: 0,
            ident: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
        }
    }

    /// Writes a header for `payload_len` bytes and its checksum. Returns the header's length;
    /// `None` without room for header and payload, or above 65535 bytes in total.
    #[must_use]
    pub fn emit(&self, payload_len: usize, buf: &mut [u8]) -> Option<usize> {
        self.emit_with_options(&[], payload_len, buf)
    }

    /// As [`emit`](Self::emit), with options: at most 40 bytes, a multiple of 4 (pad with 0).
    #[must_use]
    pub fn emit_with_options(
        &self,
        options: &[u8],
        payload_len: usize,
        buf: &mut [u8],
    ) -> Option<usize> {
        if options.len() > 40 || !options.len().is_multiple_of(4) {
            return None;
        }
        let header_len = IPV4_LEN + options.len();
        let total_len = header_len.checked_add(payload_len)?;
        let total = u16::try_from(total_len).ok()?;
        let header = buf.get_mut(..total_len)?.get_mut(..header_len)?;
        let (head, tail) = header.split_first_chunk_mut::<IPV4_LEN>()?;
        let mut flags = self.fragment_offset / 8;
        if self.dont_fragment {
            flags |= DONT_FRAGMENT;
        }
        if self.more_fragments {
            flags |= MORE_FRAGMENTS;
        }
        head[0] = 0x40 | (header_len / 4) as u8;
        head[1] = self.tos;
        put(head, 2, total.to_be_bytes());
        put(head, 4, self.ident.to_be_bytes());
        put(head, 6, flags.to_be_bytes());
        head[8] = self.ttl;
        head[9] = self.proto.0;
        put(head, 10, [0, 0]);
        put(head, 12, self.src.octets());
        put(head, 16, self.dst.octets());
        let sum = checksum::Sum::new().bytes(head).bytes(options).finish();
        put(head, 10, sum.to_be_bytes());
        tail.copy_from_slice(options);
        Some(header_len)
    }
}

/// A packet to read.
#[derive(Debug, Clone, Copy)]
pub struct Ipv4View<'a> {
    head: &'a [u8; IPV4_LEN],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Ipv4View<'a> {
    /// Checks version, IHL and total length once (RFC 791 §3.1); bytes beyond the total length
    /// are Ethernet padding and left out.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, options, body) = split(bytes)?;
        let payload = usize::from(u16_at(head, 2))
            .checked_sub(IPV4_LEN + options.len())
            .ok_or(ParseError::BadLength(Layer::Ipv4))?;
        let payload = body.get(..payload).ok_or(ParseError::Truncated(Layer::Ipv4))?;
        Ok(Self { head, options, payload })
    }

    /// As [`parse`](Self::parse) for a whole datagram without options; `None` for any other,
    /// broken ones included.
    #[inline(always)]
    pub(super) fn parse_plain(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk::<IPV4_LEN>()?;
        if head[0] != 0x45 || u16_at(head, 6) & (MORE_FRAGMENTS | OFFSET_MASK) != 0 {
            return None;
        }
        let payload = body.get(..usize::from(u16_at(head, 2)).checked_sub(IPV4_LEN)?)?;
        Some(Self { head, options: &[], payload })
    }

    /// As [`parse`](Self::parse), but for a datagram quoted in an ICMP error: the total length
    /// may exceed what is there (RFC 792: 64 bits of payload are enough), and the payload is
    /// then what is there.
    pub fn parse_quoted(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, options, body) = split(bytes)?;
        let payload = usize::from(u16_at(head, 2)).saturating_sub(IPV4_LEN + options.len());
        // Some hosts quote with the total length in host order or already reduced: a length that
        // leaves less than the 8 bytes RFC 792 promises is not believed.
        let payload = if payload < 8 { body } else { body.get(..payload).unwrap_or(body) };
        Ok(Self { head, options, payload })
    }

    /// Sender.
    #[inline]
    #[must_use]
    pub fn src(&self) -> Ipv4Addr {
        Ipv4Addr::from(array_at::<4, _>(self.head, 12))
    }

    /// Receiver.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> Ipv4Addr {
        Ipv4Addr::from(array_at::<4, _>(self.head, 16))
    }

    /// Both addresses.
    #[inline]
    #[must_use]
    pub fn pair(&self) -> IpPair {
        IpPair::V4 { src: self.src(), dst: self.dst() }
    }

    /// What follows.
    #[inline]
    #[must_use]
    pub fn proto(&self) -> IpProto {
        IpProto(self.head[9])
    }

    /// Hops left.
    #[inline]
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.head[8]
    }

    /// DSCP and ECN.
    #[inline]
    #[must_use]
    pub fn tos(&self) -> u8 {
        self.head[1]
    }

    /// Identification.
    #[must_use]
    pub fn ident(&self) -> u16 {
        u16_at(self.head, 4)
    }

    /// DF.
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        u16_at(self.head, 6) & DONT_FRAGMENT != 0
    }

    /// `None` for a whole datagram.
    #[inline]
    #[must_use]
    pub fn fragment(&self) -> Option<Fragment> {
        let flags = u16_at(self.head, 6);
        if flags & (MORE_FRAGMENTS | OFFSET_MASK) == 0 {
            return None;
        }
        Some(Fragment {
            offset: (flags & OFFSET_MASK) * 8,
            more: flags & MORE_FRAGMENTS != 0,
            ident: u32::from(self.ident()),
        })
    }

    /// Header length in bytes, 20 to 60.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        IPV4_LEN + self.options.len()
    }

    /// The total-length field in bytes. In a quoted datagram it may exceed what is there.
    #[must_use]
    pub fn total_len(&self) -> u16 {
        u16_at(self.head, 2)
    }

    /// The raw options.
    #[must_use]
    pub fn options_bytes(&self) -> &'a [u8] {
        self.options
    }

    /// The options one by one.
    #[must_use]
    pub fn options(&self) -> Options<'a> {
        Options::new(self.options, Layer::Ipv4)
    }

    /// What the total length covers behind the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The stored header checksum.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.head, 10)
    }

    /// Whether the header checksum is right.
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        checksum::Sum::new().bytes(self.head).bytes(self.options).is_valid()
    }

    /// The header as values; options and the reserved flag are not in it.
    #[must_use]
    pub fn repr(&self) -> Ipv4Repr {
        let flags = u16_at(self.head, 6);
        Ipv4Repr {
            src: self.src(),
            dst: self.dst(),
            proto: self.proto(),
            ttl: self.ttl(),
            tos: self.tos(),
            ident: self.ident(),
            dont_fragment: flags & DONT_FRAGMENT != 0,
            more_fragments: flags & MORE_FRAGMENTS != 0,
            fragment_offset: (flags & OFFSET_MASK) * 8,
        }
    }
}

/// Fixed header, options, and whatever follows.
type Parts<'a> = (&'a [u8; IPV4_LEN], &'a [u8], &'a [u8]);

#[inline]
fn split(bytes: &[u8]) -> Result<Parts<'_>, ParseError> {
    let (head, rest) =
        bytes.split_first_chunk::<IPV4_LEN>().ok_or(ParseError::Truncated(Layer::Ipv4))?;
    if head[0] >> 4 != 4 {
        return Err(ParseError::BadVersion(Layer::Ipv4));
    }
    let options = (usize::from(head[0] & 0x0f) * 4)
        .checked_sub(IPV4_LEN)
        .ok_or(ParseError::BadHeaderLength(Layer::Ipv4))?;
    let (options, body) =
        rest.split_at_checked(options).ok_or(ParseError::Truncated(Layer::Ipv4))?;
    Ok((head, options, body))
}

/// A header to change in place; the header checksum follows each change (RFC 1624).
///
/// UDP and TCP checksums cover the addresses too: see [`rewrite`](super::rewrite).
#[derive(Debug)]
pub struct Ipv4Mut<'a> {
    head: &'a mut [u8; IPV4_LEN],
}

impl<'a> Ipv4Mut<'a> {
    /// The same checks as [`Ipv4View::parse`].
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, ParseError> {
        Ipv4View::parse(bytes)?;
        let head = bytes.first_chunk_mut().ok_or(ParseError::Truncated(Layer::Ipv4))?;
        Ok(Self { head })
    }

    /// Hops left.
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.head[8]
    }

    /// Takes one hop off. `None`, with nothing changed, if the packet may not be forwarded: its
    /// TTL is 0 or 1 (RFC 1812 §5.3.1). Otherwise the TTL that is left.
    pub fn decrement_ttl(&mut self) -> Option<u8> {
        let ttl = self.head[8].checked_sub(1).filter(|&ttl| ttl > 0)?;
        self.set_ttl(ttl);
        Some(ttl)
    }

    /// Replaces the TTL.
    pub fn set_ttl(&mut self, ttl: u8) {
        self.replace(8, [ttl, self.head[9]]);
    }

    /// Replaces DSCP and ECN.
    pub fn set_tos(&mut self, tos: u8) {
        self.replace(0, [self.head[0], tos]);
    }

    /// Replaces the identification.
    pub fn set_ident(&mut self, ident: u16) {
        self.replace(4, ident.to_be_bytes());
    }

    /// Replaces the sender.
    pub fn set_src(&mut self, src: Ipv4Addr) {
        let [a, b, c, d] = src.octets();
        self.replace(12, [a, b]);
        self.replace(14, [c, d]);
    }

    /// Replaces the receiver.
    pub fn set_dst(&mut self, dst: Ipv4Addr) {
        let [a, b, c, d] = dst.octets();
        self.replace(16, [a, b]);
        self.replace(18, [c, d]);
    }

    fn replace(&mut self, at: usize, new: [u8; 2]) {
        let old = u16_at(self.head, at);
        let sum = checksum::update_u16(u16_at(self.head, 10), old, u16::from_be_bytes(new));
        put(self.head, at, new);
        put(self.head, 10, sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 192.168.0.1 to 192.168.0.199, UDP, 115 bytes: the checksum example of many a textbook.
    const HEADER: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];

    fn packet() -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        bytes.resize(0x73, 0xab);
        bytes
    }

    #[test]
    fn a_header_is_read_and_written_back() {
        let mut bytes = packet();
        bytes.extend([0; 9]);
        let view = Ipv4View::parse(&bytes).unwrap();
        assert_eq!(view.payload().len(), 0x73 - 20, "padding is cut");
        assert!(view.verify_checksum());
        assert_eq!(view.proto(), IpProto::UDP);
        assert_eq!((view.ttl(), view.dont_fragment(), view.fragment()), (64, true, None));
        let mut out = vec![0; 0x73];
        assert_eq!(view.repr().emit(0x73 - 20, &mut out), Some(20));
        assert_eq!(out[..20], HEADER);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let refused = |change: fn(&mut Vec<u8>)| {
            let mut bytes = packet();
            change(&mut bytes);
            Ipv4View::parse(&bytes).err()
        };
        use ParseError::*;
        assert_eq!(refused(|b| b[0] = 0x44), Some(BadHeaderLength(Layer::Ipv4)));
        assert_eq!(refused(|b| b[0] = 0x40), Some(BadHeaderLength(Layer::Ipv4)));
        assert_eq!(refused(|b| b[0] = 0x65), Some(BadVersion(Layer::Ipv4)));
        assert_eq!(refused(|b| b[3] = 19), Some(BadLength(Layer::Ipv4)));
        assert_eq!(refused(|b| b[3] = 0x74), Some(Truncated(Layer::Ipv4)));
        assert_eq!(refused(|b| b.truncate(19)), Some(Truncated(Layer::Ipv4)));
    }

    #[test]
    fn fragments_and_options_survive_the_round_trip() {
        let mut repr = Ipv4Repr::new(Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, IpProto::TCP);
        (repr.dont_fragment, repr.more_fragments, repr.fragment_offset) = (false, true, 1480);
        repr.ident = 0xbeef;
        let mut buf = [0; 31];
        assert_eq!(repr.emit_with_options(&[1, 7, 3, 4, 0, 0, 0, 0], 3, &mut buf), Some(28));
        let view = Ipv4View::parse(&buf).unwrap();
        assert_eq!(view.repr(), repr);
        assert_eq!(view.fragment(), Some(Fragment { offset: 1480, more: true, ident: 0xbeef }));
        assert!(view.verify_checksum());
        let options: Result<Vec<_>, _> = view.options().collect();
        assert_eq!(options.unwrap()[0].kind, 7);
        assert_eq!(repr.emit_with_options(&[1], 3, &mut buf), None);
        assert_eq!(repr.emit(12, &mut buf), None);
    }

    #[test]
    fn ttl_and_addresses_change_with_their_checksum() {
        let mut bytes = packet();
        let mut ip = Ipv4Mut::parse(&mut bytes).unwrap();
        assert_eq!(ip.decrement_ttl(), Some(63));
        ip.set_src(Ipv4Addr::new(1, 2, 3, 4));
        ip.set_dst(Ipv4Addr::new(250, 251, 252, 253));
        ip.set_tos(0xb8);
        let view = Ipv4View::parse(&bytes).unwrap();
        assert!(view.verify_checksum());
        assert_eq!((view.ttl(), view.tos()), (63, 0xb8));
        assert_eq!(view.src(), Ipv4Addr::new(1, 2, 3, 4));

        let mut ip = Ipv4Mut::parse(&mut bytes).unwrap();
        ip.set_ttl(1);
        assert_eq!(ip.decrement_ttl(), None);
        assert_eq!(ip.ttl(), 1);
    }

    #[test]
    fn a_quoted_datagram_may_claim_more_than_is_there() {
        let view =
            Ipv4View::parse_quoted(&packet()[..28]).map(|v| (v.total_len(), v.payload().len()));
        assert_eq!(view, Ok((0x73, 8)));
    }
}
