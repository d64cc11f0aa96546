//! ICMP for IPv4 (RFC 792).

use std::net::Ipv4Addr;

use super::octets::{array_at, put, u16_at};
use super::{Layer, ParseError, Quote, checksum};

/// Bytes in front of an ICMP message's data, of either version.
pub const ICMP_LEN: usize = 8;

/// The type byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Icmpv4Kind(pub u8);

impl Icmpv4Kind {
    /// Echo reply.
    pub const ECHO_REPLY: Self = Self(0);
    /// Destination unreachable.
    pub const UNREACHABLE: Self = Self(3);
    /// Source quench (deprecated by RFC 6633, still an error message).
    pub const SOURCE_QUENCH: Self = Self(4);
    /// Redirect.
    pub const REDIRECT: Self = Self(5);
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self(8);
    /// Time exceeded.
    pub const TIME_EXCEEDED: Self = Self(11);
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: Self = Self(12);

    /// Whether the message reports an error, and so must never cause another one
    /// (RFC 1122 §3.2.2).
    #[must_use]
    pub const fn is_error(self) -> bool {
        matches!(self.0, 3 | 4 | 5 | 11 | 12)
    }
}

/// Codes of [`Icmpv4Message::Unreachable`].
pub mod unreachable_v4 {
    /// No route to the network.
    pub const NET: u8 = 0;
    /// The host does not answer.
    pub const HOST: u8 = 1;
    /// The host does not speak the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens on the port.
    pub const PORT: u8 = 3;
    /// Too big and DF is set; carries the next hop's MTU (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Forbidden by a filter (RFC 1812 §5.2.7.1).
    pub const ADMINISTRATIVE: u8 = 13;
}

/// A message; `quote` is the raw offending datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icmpv4Message<'a> {
    /// Type 8.
    EchoRequest {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
        /// To be sent back.
        data: &'a [u8],
    },
    /// Type 0.
    EchoReply {
        /// Identifier of the request.
        id: u16,
        /// Sequence number of the request.
        seq: u16,
        /// Data of the request.
        data: &'a [u8],
    },
    /// Type 3.
    Unreachable {
        /// See [`unreachable_v4`].
        code: u8,
        /// In bytes with code 4 (0 from routers older than RFC 1191); 0 with other codes.
        next_hop_mtu: u16,
        /// IP header and first bytes of the offending packet.
        quote: &'a [u8],
    },
    /// Type 5.
    Redirect {
        /// 0 network, 1 host, 2 and 3 the same for one type of service.
        code: u8,
        /// Where to send instead.
        gateway: Ipv4Addr,
        /// IP header and first bytes of the packet that took the detour.
        quote: &'a [u8],
    },
    /// Type 11.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
        /// IP header and first bytes of the offending packet.
        quote: &'a [u8],
    },
    /// Type 12.
    ParameterProblem {
        /// 0 if `pointer` counts.
        code: u8,
        /// Offset in bytes of what is wrong in the quoted packet.
        pointer: u8,
        /// IP header and first bytes of the offending packet.
        quote: &'a [u8],
    },
    /// Any other type.
    Other {
        /// The type.
        kind: Icmpv4Kind,
        /// The code.
        code: u8,
        /// Bytes 4 to 7.
        rest: [u8; 4],
        /// Bytes from 8 on.
        data: &'a [u8],
    },
}

impl<'a> Icmpv4Message<'a> {
    /// The quoted datagram of an error message; `None` for the others.
    #[must_use]
    pub fn quote(&self) -> Option<Result<Quote<'a>, ParseError>> {
        match *self {
            Self::Unreachable { quote, .. }
            | Self::Redirect { quote, .. }
            | Self::TimeExceeded { quote, .. }
            | Self::ParameterProblem { quote, .. } => Some(Quote::parse_v4(quote)),
            _ => None,
        }
    }

    /// Length in bytes when written.
    #[must_use]
    pub fn message_len(&self) -> usize {
        ICMP_LEN + self.parts().3.len()
    }

    /// Writes the message and its checksum; `None` without room, else the number of bytes.
    #[must_use]
    pub fn emit(&self, buf: &mut [u8]) -> Option<usize> {
        let (kind, code, rest, data) = self.parts();
        let len = ICMP_LEN + data.len();
        let (head, body) = buf.get_mut(..len)?.split_first_chunk_mut::<ICMP_LEN>()?;
        put(head, 0, [kind.0, code, 0, 0]);
        put(head, 4, rest);
        body.copy_from_slice(data);
        let sum = checksum::Sum::new().bytes(head).bytes(body).finish();
        put(head, 2, sum.to_be_bytes());
        Some(len)
    }

    fn parts(&self) -> (Icmpv4Kind, u8, [u8; 4], &'a [u8]) {
        match *self {
            Self::EchoRequest { id, seq, data } => {
                (Icmpv4Kind::ECHO_REQUEST, 0, echo_rest(id, seq), data)
            }
            Self::EchoReply { id, seq, data } => {
                (Icmpv4Kind::ECHO_REPLY, 0, echo_rest(id, seq), data)
            }
            Self::Unreachable { code, next_hop_mtu, quote } => {
                (Icmpv4Kind::UNREACHABLE, code, echo_rest(0, next_hop_mtu), quote)
            }
            Self::Redirect { code, gateway, quote } => {
                (Icmpv4Kind::REDIRECT, code, gateway.octets(), quote)
            }
            Self::TimeExceeded { code, quote } => (Icmpv4Kind::TIME_EXCEEDED, code, [0; 4], quote),
            Self::ParameterProblem { code, pointer, quote } => {
                (Icmpv4Kind::PARAMETER_PROBLEM, code, [pointer, 0, 0, 0], quote)
            }
            Self::Other { kind, code, rest, data } => (kind, code, rest, data),
        }
    }
}

pub(super) const fn echo_rest(high: u16, low: u16) -> [u8; 4] {
    ((high as u32) << 16 | low as u32).to_be_bytes()
}

/// A message to read.
#[derive(Debug, Clone, Copy)]
pub struct Icmpv4View<'a> {
    bytes: &'a [u8],
    head: &'a [u8; ICMP_LEN],
    data: &'a [u8],
}

impl<'a> Icmpv4View<'a> {
    /// `Truncated` below 8 bytes; `bytes` end where the IP payload does.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, data) = bytes.split_first_chunk().ok_or(ParseError::Truncated(Layer::Icmpv4))?;
        Ok(Self { bytes, head, data })
    }

    /// The type.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Icmpv4Kind {
        Icmpv4Kind(self.head[0])
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

    /// Whether the checksum is right; ICMP for IPv4 has no pseudo-header.
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        checksum::Sum::new().bytes(self.bytes).is_valid()
    }

    /// Bytes from 8 on.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The multi-part structure behind the quote of an error message (RFC 4884 §7), such as the
    /// MPLS labels of a hop; empty without one.
    #[must_use]
    pub fn extensions(&self) -> &'a [u8] {
        self.data.get(self.quote_bytes().len()..).unwrap_or_default()
    }

    /// The message by type. Echo messages are recognised whatever their code.
    #[must_use]
    pub fn message(&self) -> Icmpv4Message<'a> {
        let (id, seq, data, code) = (self.id(), self.seq(), self.data, self.code());
        match self.kind() {
            Icmpv4Kind::ECHO_REQUEST => Icmpv4Message::EchoRequest { id, seq, data },
            Icmpv4Kind::ECHO_REPLY => Icmpv4Message::EchoReply { id, seq, data },
            Icmpv4Kind::UNREACHABLE => Icmpv4Message::Unreachable {
                code,
                next_hop_mtu: if code == unreachable_v4::FRAGMENTATION_NEEDED { seq } else { 0 },
                quote: self.quote_bytes(),
            },
            Icmpv4Kind::REDIRECT => Icmpv4Message::Redirect {
                code,
                gateway: Ipv4Addr::from(array_at::<4, _>(self.head, 4)),
                quote: data,
            },
            Icmpv4Kind::TIME_EXCEEDED => {
                Icmpv4Message::TimeExceeded { code, quote: self.quote_bytes() }
            }
            Icmpv4Kind::PARAMETER_PROBLEM => Icmpv4Message::ParameterProblem {
                code,
                pointer: self.head[4],
                quote: self.quote_bytes(),
            },
            kind => Icmpv4Message::Other { kind, code, rest: array_at(self.head, 4), data },
        }
    }

    /// RFC 4884 §5.1: byte 5 counts the quote in 32-bit words when extensions follow, else it is 0.
    fn quote_bytes(&self) -> &'a [u8] {
        let extensible = matches!(
            self.kind(),
            Icmpv4Kind::UNREACHABLE | Icmpv4Kind::TIME_EXCEEDED | Icmpv4Kind::PARAMETER_PROBLEM
        );
        match usize::from(self.head[5]) * 4 {
            len if extensible && len > 0 => self.data.get(..len).unwrap_or(self.data),
            _ => self.data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{IpPair, IpProto};

    #[test]
    fn an_echo_request_is_read_and_written_back() {
        // Sum by hand: 0800 + 0001 + 0009 + 6869 = 7073; complement 8f8c.
        let bytes = [8, 0, 0x8f, 0x8c, 0, 1, 0, 9, 0x68, 0x69];
        let view = Icmpv4View::parse(&bytes).unwrap();
        assert!(view.verify_checksum());
        let message = Icmpv4Message::EchoRequest { id: 1, seq: 9, data: b"hi" };
        assert_eq!(view.message(), message);
        let mut out = [0; 10];
        assert_eq!(message.emit(&mut out), Some(10));
        assert_eq!(out, bytes);
        assert_eq!(message.emit(&mut out[..9]), None);
    }

    #[test]
    fn fragmentation_needed_carries_the_mtu_and_the_probe() {
        let quoted = [
            0x45, 0, 5, 0xdc, 0xbe, 0xef, 0x40, 0, 1, 17, 0, 0, 10, 0, 0, 1, 198, 51, 100, 9, 0x82,
            0x35, 0x82, 0x9a, 5, 0xc8, 0x12, 0x34,
        ];
        let message = Icmpv4Message::Unreachable { code: 4, next_hop_mtu: 1400, quote: &quoted };
        let mut out = [0; 36];
        assert_eq!(message.emit(&mut out), Some(36));
        assert_eq!(out[6..8], [5, 0x78]);
        let back = Icmpv4View::parse(&out).unwrap().message();
        assert_eq!(back, message);
        let quote = back.quote().unwrap().unwrap();
        assert_eq!((quote.total_len, quote.ident, quote.ttl), (1500, 0xbeef, 1));
        assert_eq!((quote.proto, quote.ports()), (IpProto::UDP, Some((0x8235, 0x829a))));
        assert_eq!(quote.udp_len_checksum(), Some((0x5c8, 0x1234)));
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(198, 51, 100, 9));
        assert_eq!(quote.ip, IpPair::V4 { src, dst });
        assert_eq!(quote.echo(), None);
    }

    #[test]
    fn a_quote_cut_in_the_transport_header_still_tells_the_addresses() {
        let quoted = [0x45, 0, 0, 84, 0, 0, 0, 0, 1, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 8, 0, 0, 0];
        let quote = Icmpv4Message::TimeExceeded { code: 0, quote: &quoted }.quote().unwrap();
        let quote = quote.unwrap();
        assert_eq!((quote.l4.len(), quote.echo()), (4, None));
        let cut = Icmpv4Message::TimeExceeded { code: 0, quote: &quoted[..19] }.quote().unwrap();
        assert_eq!(cut.err(), Some(ParseError::Truncated(Layer::Ipv4)));
    }

    #[test]
    fn extensions_are_kept_apart_from_the_quote() {
        let mut bytes = vec![11, 0, 0, 0, 0, 32, 0, 0];
        bytes.extend([0x45; 128]);
        bytes.extend([0x20, 0, 0, 0]);
        let view = Icmpv4View::parse(&bytes).unwrap();
        assert_eq!(view.extensions(), [0x20, 0, 0, 0]);
        assert_eq!(view.message(), Icmpv4Message::TimeExceeded { code: 0, quote: &[0x45; 128] });
    }
}
