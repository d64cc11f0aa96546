//! UDP (RFC 768).

use super::octets::{put, u16_at};
use super::{IpPair, IpProto, Layer, ParseError, checksum};

/// Bytes of the header.
pub const UDP_LEN: usize = 8;

/// The header as values; length and checksum are worked out when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpRepr {
    /// Sender's port.
    pub src_port: u16,
    /// Receiver's port.
    pub dst_port: u16,
}

impl UdpRepr {
    /// Writes header, payload and checksum; `None` without room or above 65535 bytes, else the
    /// number of bytes written. A checksum that comes out as 0 is sent as 0xffff (RFC 768).
    #[must_use]
    pub fn emit(&self, ip: &IpPair, payload: &[u8], buf: &mut [u8]) -> Option<usize> {
        let len = UDP_LEN + payload.len();
        let length = u16::try_from(len).ok()?;
        let buf = buf.get_mut(..len)?;
        let (head, body) = buf.split_first_chunk_mut::<UDP_LEN>()?;
        put(head, 0, self.src_port.to_be_bytes());
        put(head, 2, self.dst_port.to_be_bytes());
        put(head, 4, length.to_be_bytes());
        put(head, 6, [0, 0]);
        body.copy_from_slice(payload);
        let sum = ip.pseudo_sum(IpProto::UDP, len).bytes(head).bytes(body).finish();
        put(head, 6, nonzero(sum).to_be_bytes());
        Some(len)
    }
}

/// 0 means "no checksum", so a sum of 0 is written as its other representation.
pub(super) const fn nonzero(sum: u16) -> u16 {
    if sum == 0 { 0xffff } else { sum }
}

/// A datagram to read.
#[derive(Debug, Clone, Copy)]
pub struct UdpView<'a> {
    bytes: &'a [u8],
    head: &'a [u8; UDP_LEN],
    payload: &'a [u8],
}

impl<'a> UdpView<'a> {
    /// Checks the length field once; bytes beyond it are left out. `BadLength` below 8.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let head = bytes.first_chunk::<UDP_LEN>().ok_or(ParseError::Truncated(Layer::Udp))?;
        let len = usize::from(u16_at(head, 4));
        let bytes = bytes.get(..len).ok_or(ParseError::Truncated(Layer::Udp))?;
        let payload = bytes.get(UDP_LEN..).ok_or(ParseError::BadLength(Layer::Udp))?;
        Ok(Self { bytes, head, payload })
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

    /// Header and payload in bytes, as the length field says.
    #[must_use]
    pub fn length(&self) -> u16 {
        u16_at(self.head, 4)
    }

    /// What the length field covers behind the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The stored checksum; 0 means none.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.head, 6)
    }

    /// Whether the checksum is right. None at all (0) is right over IPv4 and wrong over IPv6
    /// (RFC 8200 §8.1; the tunnel exception of RFC 6935 is the caller's to make).
    #[must_use]
    pub fn verify_checksum(&self, ip: &IpPair) -> bool {
        if self.checksum() == 0 {
            return cfg!(fuzzing) || ip.is_v4();
        }
        ip.pseudo_sum(IpProto::UDP, self.bytes.len()).bytes(self.bytes).is_valid()
    }

    /// The header as values.
    #[must_use]
    pub fn repr(&self) -> UdpRepr {
        UdpRepr { src_port: self.src_port(), dst_port: self.dst_port() }
    }
}

/// A header to change in place; the checksum follows each change (RFC 1624), and "none" stays none.
#[derive(Debug)]
pub struct UdpMut<'a> {
    head: &'a mut [u8; UDP_LEN],
}

impl<'a> UdpMut<'a> {
    /// `Truncated` below 8 bytes. The length field is not checked: the first fragment of a
    /// datagram has less than it says and is rewritten all the same.
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, ParseError> {
        let head = bytes.first_chunk_mut().ok_or(ParseError::Truncated(Layer::Udp))?;
        Ok(Self { head })
    }

    /// Replaces the sender's port.
    pub fn set_src_port(&mut self, port: u16) {
        let old = u16_at(self.head, 0);
        put(self.head, 0, port.to_be_bytes());
        self.update(|sum| checksum::update_u16(sum, old, port));
    }

    /// Replaces the receiver's port.
    pub fn set_dst_port(&mut self, port: u16) {
        let old = u16_at(self.head, 2);
        put(self.head, 2, port.to_be_bytes());
        self.update(|sum| checksum::update_u16(sum, old, port));
    }

    /// Carries a change of the addresses into the checksum.
    pub fn readdress(&mut self, old: &IpPair, new: &IpPair) {
        self.update(|sum| super::ip::readdress(sum, old, new));
    }

    fn update(&mut self, change: impl FnOnce(u16) -> u16) {
        let sum = u16_at(self.head, 6);
        if sum != 0 {
            put(self.head, 6, nonzero(change(sum)).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const PAIR: IpPair =
        IpPair::V4 { src: Ipv4Addr::new(10, 0, 0, 1), dst: Ipv4Addr::new(10, 0, 0, 2) };
    const V6: IpPair = IpPair::V6 { src: Ipv6Addr::LOCALHOST, dst: Ipv6Addr::LOCALHOST };

    #[test]
    fn a_datagram_is_read_and_written_back() {
        // Sum by hand: 0a00 0001 0a00 0002 0011 000a | 1234 0035 000a 6869 = 8efa; complement 7105.
        let bytes = [0x12, 0x34, 0x00, 0x35, 0x00, 0x0a, 0x71, 0x05, 0x68, 0x69];
        let view = UdpView::parse(&bytes).unwrap();
        assert!(view.verify_checksum(&PAIR));
        assert_eq!((view.src_port(), view.dst_port(), view.payload()), (0x1234, 53, &b"hi"[..]));
        let mut out = [0; 10];
        assert_eq!(view.repr().emit(&PAIR, b"hi", &mut out), Some(10));
        assert_eq!(out, bytes);
    }

    #[test]
    fn zero_means_none_over_v4_and_is_illegal_over_v6() {
        let view = UdpView::parse(&[0, 1, 0, 2, 0, 8, 0, 0]).unwrap();
        assert!(view.verify_checksum(&PAIR));
        assert!(!view.verify_checksum(&V6));
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_ffff() {
        let mut buf = [0; 10];
        UdpRepr { src_port: 1, dst_port: 2 }.emit(&PAIR, &[0, 0], &mut buf).unwrap();
        let sum = UdpView::parse(&buf).unwrap().checksum();
        UdpRepr { src_port: 1, dst_port: 2 }.emit(&PAIR, &sum.to_be_bytes(), &mut buf).unwrap();
        let view = UdpView::parse(&buf).unwrap();
        assert_eq!(view.checksum(), 0xffff);
        assert!(view.verify_checksum(&PAIR));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let parse =
            |len: u8| UdpView::parse(&[0, 1, 0, 2, 0, len, 0, 0, 9]).map(|v| v.payload().len());
        assert_eq!(parse(7), Err(ParseError::BadLength(Layer::Udp)));
        assert_eq!(parse(0), Err(ParseError::BadLength(Layer::Udp)));
        assert_eq!(parse(8), Ok(0));
        assert_eq!(parse(10), Err(ParseError::Truncated(Layer::Udp)));
    }

    #[test]
    fn ports_change_with_the_checksum_and_none_stays_none() {
        let mut buf = [0; 11];
        UdpRepr { src_port: 1, dst_port: 2 }.emit(&PAIR, b"abc", &mut buf).unwrap();
        let mut udp = UdpMut::parse(&mut buf).unwrap();
        udp.set_src_port(40000);
        udp.set_dst_port(53);
        let view = UdpView::parse(&buf).unwrap();
        assert_eq!((view.src_port(), view.dst_port()), (40000, 53));
        assert!(view.verify_checksum(&PAIR));
        let mut none = [0, 1, 0, 2, 0, 8, 0, 0];
        UdpMut::parse(&mut none).unwrap().set_src_port(7);
        assert_eq!(none, [0, 7, 0, 2, 0, 8, 0, 0]);
    }
}
