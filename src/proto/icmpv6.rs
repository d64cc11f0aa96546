//! ICMP for IPv6 (RFC 4443) and neighbour discovery (RFC 4861).

use std::net::Ipv6Addr;

use super::icmpv4::{ICMP_LEN, echo_rest};
use super::octets::{array_at, put, u16_at, u32_at};
use super::{IpPair, IpProto, Layer, MacAddr, ParseError, Quote};

/// The type byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Icmpv6Kind(pub u8);

impl Icmpv6Kind {
    /// Destination unreachable.
    pub const UNREACHABLE: Self = Self(1);
    /// Packet too big.
    pub const PACKET_TOO_BIG: Self = Self(2);
    /// Time exceeded.
    pub const TIME_EXCEEDED: Self = Self(3);
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: Self = Self(4);
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self(128);
    /// Echo reply.
    pub const ECHO_REPLY: Self = Self(129);
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICIT: Self = Self(135);
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERT: Self = Self(136);
    /// Redirect.
    pub const REDIRECT: Self = Self(137);

    /// Whether the message reports an error (types below 128), and so must never cause another
    /// one (RFC 4443 §2.4).
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 < 128
    }
}

/// Codes of [`Icmpv6Message::Unreachable`].
pub mod unreachable_v6 {
    /// No route to the destination.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by a filter.
    pub const ADMINISTRATIVE: u8 = 1;
    /// The host does not answer.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT: u8 = 4;
}

/// Flags of a neighbour advertisement (RFC 4861 §4.4); the top byte of its flags word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdvertFlags(pub u8);

impl AdvertFlags {
    /// The sender is a router.
    pub const ROUTER: Self = Self(0x80);
    /// The answer to a solicitation.
    pub const SOLICITED: Self = Self(0x40);
    /// Replace a cached link-layer address.
    pub const OVERRIDE: Self = Self(0x20);

    /// Whether every bit of `flags` is set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }
}

/// The multicast group a solicitation for `target` goes to (RFC 4291 §2.7.1).
#[must_use]
pub const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let o = target.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, o[13], o[14], o[15]])
}

/// A message; `quote` is the raw offending datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icmpv6Message<'a> {
    /// Type 1.
    Unreachable {
        /// See [`unreachable_v6`].
        code: u8,
        /// As much of the offending packet as fits.
        quote: &'a [u8],
    },
    /// Type 2.
    PacketTooBig {
        /// MTU of the next hop in bytes.
        mtu: u32,
        /// As much of the offending packet as fits.
        quote: &'a [u8],
    },
    /// Type 3.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
        /// As much of the offending packet as fits.
        quote: &'a [u8],
    },
    /// Type 4.
    ParameterProblem {
        /// 0 field, 1 next header, 2 option.
        code: u8,
        /// Offset in bytes of what is wrong in the quoted packet.
        pointer: u32,
        /// As much of the offending packet as fits.
        quote: &'a [u8],
    },
    /// Type 128.
    EchoRequest {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
        /// To be sent back.
        data: &'a [u8],
    },
    /// Type 129.
    EchoReply {
        /// Identifier of the request.
        id: u16,
        /// Sequence number of the request.
        seq: u16,
        /// Data of the request.
        data: &'a [u8],
    },
    /// Type 135: who has `target`?
    NeighborSolicit {
        /// The address asked for.
        target: Ipv6Addr,
        /// Source link-layer address option.
        link_layer: Option<MacAddr>,
    },
    /// Type 136: I have `target`.
    NeighborAdvert {
        /// Router, solicited, override.
        flags: AdvertFlags,
        /// The address spoken of.
        target: Ipv6Addr,
        /// Target link-layer address option.
        link_layer: Option<MacAddr>,
    },
    /// Type 137.
    Redirect {
        /// Where to send instead.
        target: Ipv6Addr,
        /// For packets to this address.
        destination: Ipv6Addr,
        /// Raw neighbour discovery options, the redirected header among them.
        options: &'a [u8],
    },
    /// Any other type.
    Other {
        /// The type.
        kind: Icmpv6Kind,
        /// The code.
        code: u8,
        /// Bytes 4 to 7.
        rest: [u8; 4],
        /// Bytes from 8 on.
        data: &'a [u8],
    },
}

/// What is written behind the code: bytes 4 to 7, up to 32 bytes of addresses, and the data.
struct Parts<'a> {
    kind: Icmpv6Kind,
    code: u8,
    rest: [u8; 4],
    fixed: [u8; 32],
    fixed_len: usize,
    data: &'a [u8],
}

impl<'a> Icmpv6Message<'a> {
    /// The quoted datagram of an error message; `None` for the others.
    #[must_use]
    pub fn quote(&self) -> Option<Result<Quote<'a>, ParseError>> {
        match *self {
            Self::Unreachable { quote, .. }
            | Self::PacketTooBig { quote, .. }
            | Self::TimeExceeded { quote, .. }
            | Self::ParameterProblem { quote, .. } => Some(Quote::parse_v6(quote)),
            _ => None,
        }
    }

    /// Length in bytes when written.
    #[must_use]
    pub fn message_len(&self) -> usize {
        let parts = self.parts();
        ICMP_LEN + parts.fixed_len + parts.data.len()
    }

    /// Writes the message and its checksum, which covers the addresses; `None` without room, else
    /// the number of bytes.
    #[must_use]
    pub fn emit(&self, ip: &IpPair, buf: &mut [u8]) -> Option<usize> {
        let parts = self.parts();
        let fixed = parts.fixed.get(..parts.fixed_len)?;
        let len = ICMP_LEN + fixed.len() + parts.data.len();
        let buf = buf.get_mut(..len)?;
        {
            let (head, body) = buf.split_first_chunk_mut::<ICMP_LEN>()?;
            put(head, 0, [parts.kind.0, parts.code, 0, 0]);
            put(head, 4, parts.rest);
            let (to_fixed, to_data) = body.split_at_mut_checked(fixed.len())?;
            to_fixed.copy_from_slice(fixed);
            to_data.copy_from_slice(parts.data);
        }
        let sum = ip.pseudo_sum(IpProto::ICMPV6, len).bytes(buf).finish();
        put(buf.first_chunk_mut::<ICMP_LEN>()?, 2, sum.to_be_bytes());
        Some(len)
    }

    fn parts(&self) -> Parts<'a> {
        let plain =
            |kind, code, rest, data| Parts { kind, code, rest, fixed: [0; 32], fixed_len: 0, data };
        match *self {
            Self::Unreachable { code, quote } => {
                plain(Icmpv6Kind::UNREACHABLE, code, [0; 4], quote)
            }
            Self::PacketTooBig { mtu, quote } => {
                plain(Icmpv6Kind::PACKET_TOO_BIG, 0, mtu.to_be_bytes(), quote)
            }
            Self::TimeExceeded { code, quote } => {
                plain(Icmpv6Kind::TIME_EXCEEDED, code, [0; 4], quote)
            }
            Self::ParameterProblem { code, pointer, quote } => {
                plain(Icmpv6Kind::PARAMETER_PROBLEM, code, pointer.to_be_bytes(), quote)
            }
            Self::EchoRequest { id, seq, data } => {
                plain(Icmpv6Kind::ECHO_REQUEST, 0, echo_rest(id, seq), data)
            }
            Self::EchoReply { id, seq, data } => {
                plain(Icmpv6Kind::ECHO_REPLY, 0, echo_rest(id, seq), data)
            }
            Self::NeighborSolicit { target, link_layer } => {
                neighbor(Icmpv6Kind::NEIGHBOR_SOLICIT, 0, target, SOURCE_LINK_LAYER, link_layer)
            }
            Self::NeighborAdvert { flags, target, link_layer } => neighbor(
                Icmpv6Kind::NEIGHBOR_ADVERT,
                flags.0,
                target,
                TARGET_LINK_LAYER,
                link_layer,
            ),
            Self::Redirect { target, destination, options } => {
                let mut parts = plain(Icmpv6Kind::REDIRECT, 0, [0; 4], options);
                put(&mut parts.fixed, 0, target.octets());
                put(&mut parts.fixed, 16, destination.octets());
                parts.fixed_len = 32;
                parts
            }
            Self::Other { kind, code, rest, data } => plain(kind, code, rest, data),
        }
    }
}

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

fn neighbor(
    kind: Icmpv6Kind,
    flags: u8,
    target: Ipv6Addr,
    option: u8,
    link_layer: Option<MacAddr>,
) -> Parts<'static> {
    let mut fixed = [0; 32];
    put(&mut fixed, 0, target.octets());
    if let Some(mac) = link_layer {
        put(&mut fixed, 16, [option, 1]);
        put(&mut fixed, 18, mac.0);
    }
    let fixed_len = if link_layer.is_some() { 24 } else { 16 };
    Parts { kind, code: 0, rest: [flags, 0, 0, 0], fixed, fixed_len, data: &[] }
}

/// A message to read.
#[derive(Debug, Clone, Copy)]
pub struct Icmpv6View<'a> {
    bytes: &'a [u8],
    head: &'a [u8; ICMP_LEN],
    data: &'a [u8],
}

impl<'a> Icmpv6View<'a> {
    /// `Truncated` below 8 bytes; `bytes` end where the IP payload does.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, data) = bytes.split_first_chunk().ok_or(ParseError::Truncated(Layer::Icmpv6))?;
        Ok(Self { bytes, head, data })
    }

    /// The type.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Icmpv6Kind {
        Icmpv6Kind(self.head[0])
    }

    /// The code.
    #[inline]
    #[must_use]
    pub fn code(&self) -> u8 {
        self.head[1]
    }

    /// Identifier; only of echo messages.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        u16_at(self.head, 4)
    }

    /// Sequence number; only of echo messages.
    #[inline]
    #[must_use]
    pub fn seq(&self) -> u16 {
        u16_at(self.head, 6)
    }

    /// The stored checksum.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.head, 2)
    }

    /// Whether the checksum is right for these addresses.
    #[must_use]
    pub fn verify_checksum(&self, ip: &IpPair) -> bool {
        ip.pseudo_sum(IpProto::ICMPV6, self.bytes.len()).bytes(self.bytes).is_valid()
    }

    /// Bytes from 8 on.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The multi-part structure behind the quote of an error message (RFC 4884 §7); empty
    /// without one.
    #[must_use]
    pub fn extensions(&self) -> &'a [u8] {
        self.data.get(self.quote_bytes().len()..).unwrap_or_default()
    }

    /// The message by type. Echo messages are recognised whatever their code. Neighbour discovery
    /// is checked as RFC 4861 §7.1 asks: code 0 (`Unsupported`), room for the target
    /// (`Truncated`), options that are not empty (`BadOption`). The hop limit of 255 is the
    /// caller's to check: it is in the IP header.
    pub fn message(&self) -> Result<Icmpv6Message<'a>, ParseError> {
        let (id, seq, data, code) = (self.id(), self.seq(), self.data, self.code());
        let quote = self.quote_bytes();
        Ok(match self.kind() {
            Icmpv6Kind::UNREACHABLE => Icmpv6Message::Unreachable { code, quote },
            Icmpv6Kind::PACKET_TOO_BIG => {
                Icmpv6Message::PacketTooBig { mtu: u32_at(self.head, 4), quote }
            }
            Icmpv6Kind::TIME_EXCEEDED => Icmpv6Message::TimeExceeded { code, quote },
            Icmpv6Kind::PARAMETER_PROBLEM => {
                Icmpv6Message::ParameterProblem { code, pointer: u32_at(self.head, 4), quote }
            }
            Icmpv6Kind::ECHO_REQUEST => Icmpv6Message::EchoRequest { id, seq, data },
            Icmpv6Kind::ECHO_REPLY => Icmpv6Message::EchoReply { id, seq, data },
            Icmpv6Kind::NEIGHBOR_SOLICIT => {
                let (target, options) = self.discovery()?;
                let link_layer = find_link_layer(options, SOURCE_LINK_LAYER)?;
                Icmpv6Message::NeighborSolicit { target, link_layer }
            }
            Icmpv6Kind::NEIGHBOR_ADVERT => {
                let (target, options) = self.discovery()?;
                let link_layer = find_link_layer(options, TARGET_LINK_LAYER)?;
                let flags = AdvertFlags(self.head[4]);
                Icmpv6Message::NeighborAdvert { flags, target, link_layer }
            }
            Icmpv6Kind::REDIRECT => {
                let (target, rest) = self.discovery()?;
                let (destination, options) = address(rest)?;
                Icmpv6Message::Redirect { target, destination, options }
            }
            kind => Icmpv6Message::Other { kind, code, rest: array_at(self.head, 4), data },
        })
    }

    fn discovery(&self) -> Result<(Ipv6Addr, &'a [u8]), ParseError> {
        if self.code() != 0 {
            return Err(ParseError::Unsupported(Layer::Icmpv6));
        }
        address(self.data)
    }

    /// RFC 4884 §5.1: byte 4 counts the quote in 64-bit words when extensions follow, else it is 0.
    fn quote_bytes(&self) -> &'a [u8] {
        let extensible = matches!(self.kind(), Icmpv6Kind::UNREACHABLE | Icmpv6Kind::TIME_EXCEEDED);
        match usize::from(self.head[4]) * 8 {
            len if extensible && len > 0 => self.data.get(..len).unwrap_or(self.data),
            _ => self.data,
        }
    }
}

fn address(bytes: &[u8]) -> Result<(Ipv6Addr, &[u8]), ParseError> {
    let (address, rest) =
        bytes.split_first_chunk::<16>().ok_or(ParseError::Truncated(Layer::Icmpv6))?;
    Ok((Ipv6Addr::from_octets(*address), rest))
}

/// Neighbour discovery options count in units of 8 bytes (RFC 4861 §4.6), so this ends.
fn find_link_layer(mut options: &[u8], wanted: u8) -> Result<Option<MacAddr>, ParseError> {
    let bad = ParseError::BadOption(Layer::Icmpv6);
    let mut found = None;
    while let Some((&[kind, units], _)) = options.split_first_chunk::<2>() {
        let (option, rest) =
            options.split_at_checked(usize::from(units) * 8).filter(|_| units > 0).ok_or(bad)?;
        if let (true, Some(&[_, _, a, b, c, d, e, f])) =
            (kind == wanted && found.is_none(), option.first_chunk::<8>())
        {
            found = Some(MacAddr([a, b, c, d, e, f]));
        }
        options = rest;
    }
    if options.is_empty() { Ok(found) } else { Err(bad) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const THEM: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe12, 0x3456);
    const PAIR: IpPair = IpPair::V6 { src: US, dst: THEM };

    fn round_trip(message: Icmpv6Message<'_>) {
        let mut buf = [0; 256];
        let len = message.emit(&PAIR, &mut buf).unwrap();
        assert_eq!(len, message.message_len());
        let view = Icmpv6View::parse(&buf[..len]).unwrap();
        assert!(view.verify_checksum(&PAIR));
        assert_eq!(view.message(), Ok(message));
    }

    #[test]
    fn neighbour_discovery_survives_the_round_trip() {
        let mac = Some(MacAddr([2, 0, 0, 0, 0, 1]));
        round_trip(Icmpv6Message::NeighborSolicit { target: THEM, link_layer: mac });
        round_trip(Icmpv6Message::NeighborSolicit { target: THEM, link_layer: None });
        let flags = AdvertFlags::SOLICITED.with(AdvertFlags::OVERRIDE);
        round_trip(Icmpv6Message::NeighborAdvert { flags, target: THEM, link_layer: mac });
        round_trip(Icmpv6Message::Redirect { target: US, destination: THEM, options: &[1; 8] });
        assert_eq!(solicited_node(THEM).to_string(), "ff02::1:ff12:3456");
    }

    #[test]
    fn a_solicitation_is_written_as_the_rfc_draws_it() {
        let mac = Some(MacAddr([2, 0, 0, 0, 0, 1]));
        let mut buf = [0; 32];
        let message = Icmpv6Message::NeighborSolicit { target: THEM, link_layer: mac };
        assert_eq!(message.emit(&PAIR, &mut buf), Some(32));
        assert_eq!(buf[..2], [135, 0]);
        assert_eq!(buf[4..8], [0; 4]);
        assert_eq!(buf[8..24], THEM.octets());
        assert_eq!(buf[24..], [1, 1, 2, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn an_option_of_length_zero_is_refused() {
        let mut bytes = vec![136, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(THEM.octets());
        bytes.extend([2, 0, 2, 0, 0, 0, 0, 1]);
        let message = |bytes: &[u8]| Icmpv6View::parse(bytes).unwrap().message().err();
        assert_eq!(message(&bytes), Some(ParseError::BadOption(Layer::Icmpv6)));
        bytes[25] = 2;
        assert_eq!(message(&bytes), Some(ParseError::BadOption(Layer::Icmpv6)));
        assert_eq!(message(&bytes[..23]), Some(ParseError::Truncated(Layer::Icmpv6)));
        bytes[1] = 1;
        assert_eq!(message(&bytes), Some(ParseError::Unsupported(Layer::Icmpv6)));
    }

    #[test]
    fn packet_too_big_carries_the_mtu_and_a_cut_quote() {
        let mut quoted = [0u8; 48];
        super::super::Ipv6Repr::new(US, THEM, IpProto::ICMPV6).emit(8, &mut quoted).unwrap();
        quoted[4..6].copy_from_slice(&1400u16.to_be_bytes());
        quoted[40..].copy_from_slice(&[128, 0, 0, 0, 0, 7, 0, 9]);
        let message = Icmpv6Message::PacketTooBig { mtu: 1280, quote: &quoted };
        round_trip(message);
        let quote = message.quote().unwrap().unwrap();
        assert_eq!((quote.echo(), quote.total_len, quote.ip), (Some((7, 9)), 1440, PAIR));
    }
}
