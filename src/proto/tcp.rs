//! TCP (RFC 9293) and the options a responder needs (RFC 7323, RFC 2018).

use std::fmt;
use std::ops::BitOr;

use super::octets::{put, u16_at, u32_at};
use super::options::Options;
use super::{IpPair, IpProto, Layer, ParseError, checksum};

/// Bytes of a header without options.
pub const TCP_LEN: usize = 20;

/// The eight control bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// Whether every bit of `flags` is set.
    #[inline]
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
        let set = names.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        f.debug_set().entries(set.map(|(_, name)| name)).finish()
    }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// Maximum segment size in bytes.
    Mss(u16),
    /// Shift of the window field in bits; above 14 counts as 14 (RFC 7323 §2.3).
    WindowScale(u8),
    /// Selective acknowledgements may be sent.
    SackPermitted,
    /// Timestamp value and echo reply.
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The last value seen from the other side.
        echo: u32,
    },
    /// Any other kind, or a known kind with a length of its own.
    Unknown {
        /// The kind byte.
        kind: u8,
        /// What follows the length byte.
        data: &'a [u8],
    },
}

/// The options of a handshake as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Maximum segment size in bytes.
    pub mss: Option<u16>,
    /// Shift of the window field in bits.
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgements may be sent.
    pub sack_permitted: bool,
    /// Timestamp value and echo reply.
    pub timestamps: Option<(u32, u32)>,
}

impl TcpOptions {
    /// In the order Linux uses, padded with NOPs to a multiple of 4; at most 20 bytes.
    fn encode(&self) -> ([u8; 20], usize) {
        let mut out = [1u8; 20];
        let mut len = 0;
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            put(&mut out, len, [2, 4, a, b]);
            len += 4;
        }
        if self.sack_permitted {
            put(&mut out, len, [4, 2]);
            len += 2;
        }
        if let Some((value, echo)) = self.timestamps {
            put(&mut out, len, [8, 10]);
            put(&mut out, len + 2, value.to_be_bytes());
            put(&mut out, len + 6, echo.to_be_bytes());
            len += 10;
        }
        if let Some(shift) = self.window_scale {
            put(&mut out, len, [3, 3, shift]);
            len += 3;
        }
        (out, len.next_multiple_of(4))
    }
}

/// The header as values; data offset and checksum are worked out when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpRepr {
    /// Sender's port.
    pub src_port: u16,
    /// Receiver's port.
    pub dst_port: u16,
    /// Sequence number of the first byte.
    pub seq: u32,
    /// The next sequence number expected; counts with [`TcpFlags::ACK`].
    pub ack: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window in bytes, before scaling.
    pub window: u16,
    /// Urgent pointer; counts with [`TcpFlags::URG`].
    pub urgent: u16,
    /// The known options.
    pub options: TcpOptions,
}

impl TcpRepr {
    /// A segment between two ports with everything else zero.
    #[must_use]
    pub fn new(src_port: u16, dst_port: u16, flags: TcpFlags) -> Self {
        let options = TcpOptions::default();
        Self { src_port, dst_port, seq: 0, ack: 0, flags, window: 0, urgent: 0, options }
    }

    /// Writes header, options, payload and checksum; `None` without room or above 65535 bytes,
    /// else the number of bytes written.
    #[must_use]
    pub fn emit(&self, ip: &IpPair, payload: &[u8], buf: &mut [u8]) -> Option<usize> {
        let (options, options_len) = self.options.encode();
        let options = options.get(..options_len)?;
        let header_len = TCP_LEN + options_len;
        let len = header_len + payload.len();
        u16::try_from(len).ok()?;
        let buf = buf.get_mut(..len)?;
        {
            let (head, rest) = buf.split_first_chunk_mut::<TCP_LEN>()?;
            put(head, 0, self.src_port.to_be_bytes());
            put(head, 2, self.dst_port.to_be_bytes());
            put(head, 4, self.seq.to_be_bytes());
            put(head, 8, self.ack.to_be_bytes());
            put(head, 12, [(header_len / 4) as u8 * 16, self.flags.0]);
            put(head, 14, self.window.to_be_bytes());
            put(head, 16, [0, 0]);
            put(head, 18, self.urgent.to_be_bytes());
            let (to_options, to_payload) = rest.split_at_mut_checked(options_len)?;
            to_options.copy_from_slice(options);
            to_payload.copy_from_slice(payload);
        }
        let sum = ip.pseudo_sum(IpProto::TCP, len).bytes(buf).finish();
        put(buf.first_chunk_mut::<TCP_LEN>()?, 16, sum.to_be_bytes());
        Some(len)
    }
}

/// A segment to read.
#[derive(Debug, Clone, Copy)]
pub struct TcpView<'a> {
    bytes: &'a [u8],
    head: &'a [u8; TCP_LEN],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> TcpView<'a> {
    /// Checks the data offset once; `bytes` end where the IP payload does.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, rest) =
            bytes.split_first_chunk::<TCP_LEN>().ok_or(ParseError::Truncated(Layer::Tcp))?;
        let options = (usize::from(head[12] >> 4) * 4)
            .checked_sub(TCP_LEN)
            .ok_or(ParseError::BadHeaderLength(Layer::Tcp))?;
        let (options, payload) =
            rest.split_at_checked(options).ok_or(ParseError::Truncated(Layer::Tcp))?;
        Ok(Self { bytes, head, options, payload })
    }

    /// Sender's port.
    #[inline]
    #[must_use]
    pub fn src_port(&self) -> u16 {
        u16_at(self.head, 0)
    }

    /// Receiver's port.
    #[inline]
    #[must_use]
    pub fn dst_port(&self) -> u16 {
        u16_at(self.head, 2)
    }

    /// Sequence number of the first byte.
    #[must_use]
    pub fn seq(&self) -> u32 {
        u32_at(self.head, 4)
    }

    /// Acknowledgement number.
    #[must_use]
    pub fn ack(&self) -> u32 {
        u32_at(self.head, 8)
    }

    /// Control bits.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> TcpFlags {
        TcpFlags(self.head[13])
    }

    /// Window in bytes, before scaling.
    #[must_use]
    pub fn window(&self) -> u16 {
        u16_at(self.head, 14)
    }

    /// Header length in bytes, 20 to 60.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        TCP_LEN + self.options.len()
    }

    /// What follows the options.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Sequence numbers the segment takes: payload bytes, and one each for SYN and FIN.
    #[must_use]
    pub fn sequence_len(&self) -> u32 {
        let syn = u32::from(self.flags().contains(TcpFlags::SYN));
        let fin = u32::from(self.flags().contains(TcpFlags::FIN));
        self.payload.len() as u32 + syn + fin
    }

    /// The raw options.
    #[must_use]
    pub fn options_bytes(&self) -> &'a [u8] {
        self.options
    }

    /// The options one by one: at most 40, and nothing after a malformed one.
    pub fn options(&self) -> impl Iterator<Item = Result<TcpOption<'a>, ParseError>> + use<'a> {
        Options::new(self.options, Layer::Tcp).map(|option| {
            let option = option?;
            Ok(match (option.kind, option.data) {
                (2, &[a, b]) => TcpOption::Mss(u16::from_be_bytes([a, b])),
                (3, &[shift]) => TcpOption::WindowScale(shift),
                (4, []) => TcpOption::SackPermitted,
                (8, &[a, b, c, d, e, f, g, h]) => TcpOption::Timestamps {
                    value: u32::from_be_bytes([a, b, c, d]),
                    echo: u32::from_be_bytes([e, f, g, h]),
                },
                (kind, data) => TcpOption::Unknown { kind, data },
            })
        })
    }

    /// The stored checksum.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.head, 16)
    }

    /// Whether the checksum is right for these addresses.
    #[must_use]
    pub fn verify_checksum(&self, ip: &IpPair) -> bool {
        ip.pseudo_sum(IpProto::TCP, self.bytes.len()).bytes(self.bytes).is_valid()
    }

    /// The header as values; unknown options are not in it, and a malformed one ends the list.
    #[must_use]
    pub fn repr(&self) -> TcpRepr {
        let mut options = TcpOptions::default();
        for option in self.options().map_while(Result::ok) {
            match option {
                TcpOption::Mss(mss) => options.mss = Some(mss),
                TcpOption::WindowScale(shift) => options.window_scale = Some(shift),
                TcpOption::SackPermitted => options.sack_permitted = true,
                TcpOption::Timestamps { value, echo } => options.timestamps = Some((value, echo)),
                TcpOption::Unknown { .. } => {}
            }
        }
        TcpRepr {
            src_port: self.src_port(),
            dst_port: self.dst_port(),
            seq: self.seq(),
            ack: self.ack(),
            flags: self.flags(),
            window: self.window(),
            urgent: u16_at(self.head, 18),
            options,
        }
    }
}

/// A header to change in place; the checksum follows each change (RFC 1624).
#[derive(Debug)]
pub struct TcpMut<'a> {
    head: &'a mut [u8; TCP_LEN],
}

impl<'a> TcpMut<'a> {
    /// `Truncated` below 20 bytes.
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, ParseError> {
        let head = bytes.first_chunk_mut().ok_or(ParseError::Truncated(Layer::Tcp))?;
        Ok(Self { head })
    }

    /// Replaces the sender's port.
    pub fn set_src_port(&mut self, port: u16) {
        self.replace(0, port);
    }

    /// Replaces the receiver's port.
    pub fn set_dst_port(&mut self, port: u16) {
        self.replace(2, port);
    }

    /// Carries a change of the addresses into the checksum.
    pub fn readdress(&mut self, old: &IpPair, new: &IpPair) {
        let sum = super::ip::readdress(u16_at(self.head, 16), old, new);
        put(self.head, 16, sum.to_be_bytes());
    }

    fn replace(&mut self, at: usize, new: u16) {
        let sum = checksum::update_u16(u16_at(self.head, 16), u16_at(self.head, at), new);
        put(self.head, at, new.to_be_bytes());
        put(self.head, 16, sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const PAIR: IpPair =
        IpPair::V4 { src: Ipv4Addr::new(10, 0, 0, 1), dst: Ipv4Addr::new(10, 0, 0, 2) };

    /// A Linux SYN: MSS 1460, SACK permitted, timestamps, NOP, window scale 7.
    const SYN: [u8; 40] = [
        0xd4, 0x31, 0x00, 0x50, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 0xa0, 0x02, 0xfa, 0xf0, 0, 0,
        0, 0, 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7,
    ];

    #[test]
    fn a_syn_is_read_and_its_values_survive_writing() {
        let view = TcpView::parse(&SYN).unwrap();
        let repr = view.repr();
        assert_eq!(repr.flags, TcpFlags::SYN);
        assert_eq!(format!("{:?}", repr.flags), "{\"syn\"}");
        let options = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some((9, 0)),
        };
        assert_eq!(repr.options, options);
        assert_eq!((view.header_len(), view.sequence_len()), (40, 1));
        let mut out = [0; 42];
        assert_eq!(repr.emit(&PAIR, b"hi", &mut out), Some(42));
        let back = TcpView::parse(&out).unwrap();
        assert_eq!((back.repr(), back.payload()), (repr, &b"hi"[..]));
        assert!(back.verify_checksum(&PAIR));
        assert!(
            !back.verify_checksum(&IpPair::V4 {
                src: Ipv4Addr::LOCALHOST,
                dst: Ipv4Addr::LOCALHOST
            })
        );
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let mut bytes = SYN;
        assert_eq!(TcpView::parse(&bytes[..39]).err(), Some(ParseError::Truncated(Layer::Tcp)));
        bytes[12] = 0x40;
        assert_eq!(TcpView::parse(&bytes).err(), Some(ParseError::BadHeaderLength(Layer::Tcp)));
        bytes[12] = 0xa0;
        bytes[21] = 0;
        let options: Vec<_> = TcpView::parse(&bytes).unwrap().options().collect();
        assert_eq!(options, [Err(ParseError::BadOption(Layer::Tcp))]);
    }

    #[test]
    fn known_kinds_of_odd_length_are_unknown() {
        let mut bytes = SYN;
        bytes[20..24].copy_from_slice(&[2, 3, 5, 1]);
        let first = TcpView::parse(&bytes).unwrap().options().next();
        assert_eq!(first, Some(Ok(TcpOption::Unknown { kind: 2, data: &[5] })));
    }

    #[test]
    fn ports_change_with_the_checksum() {
        let mut out = [0; 40];
        TcpView::parse(&SYN).unwrap().repr().emit(&PAIR, &[], &mut out).unwrap();
        let mut tcp = TcpMut::parse(&mut out).unwrap();
        tcp.set_src_port(1);
        tcp.set_dst_port(65535);
        let view = TcpView::parse(&out).unwrap();
        assert!(view.verify_checksum(&PAIR));
        assert_eq!((view.src_port(), view.dst_port()), (1, 65535));
    }
}
