//! Ethernet II. 802.3 frames with a length in place of the ethertype are parsed as well; their
//! "ethertype" is then below [`EtherType::MIN`].

use std::fmt;

use super::octets::{array_at, put, u16_at};
use super::{Layer, MacAddr, ParseError};

/// Bytes of an untagged header: two addresses and the ethertype.
pub const ETHERNET_LEN: usize = 14;

/// What follows the Ethernet header or a VLAN tag; host byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// 802.1Q customer tag.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// 802.1ad service tag.
    pub const QINQ: Self = Self(0x88a8);
    /// LLDP.
    pub const LLDP: Self = Self(0x88cc);
    /// The smallest ethertype; below it the field is an 802.3 length in bytes.
    pub const MIN: Self = Self(0x0600);

    /// Whether a VLAN tag follows.
    #[inline]
    #[must_use]
    pub const fn is_vlan(self) -> bool {
        self.0 == Self::VLAN.0 || self.0 == Self::QINQ.0
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4 => f.write_str("ipv4"),
            Self::ARP => f.write_str("arp"),
            Self::VLAN => f.write_str("802.1q"),
            Self::IPV6 => f.write_str("ipv6"),
            Self::QINQ => f.write_str("802.1ad"),
            Self::LLDP => f.write_str("lldp"),
            Self(other) => write!(f, "0x{other:04x}"),
        }
    }
}

/// The header as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetRepr {
    /// Receiver.
    pub dst: MacAddr,
    /// Sender.
    pub src: MacAddr,
    /// What follows.
    pub ether_type: EtherType,
}

impl EthernetRepr {
    /// Writes the 14 bytes; `None` without room, else their number.
    #[must_use]
    pub fn emit(&self, buf: &mut [u8]) -> Option<usize> {
        let head = buf.first_chunk_mut::<ETHERNET_LEN>()?;
        put(head, 0, self.dst.0);
        put(head, 6, self.src.0);
        put(head, 12, self.ether_type.0.to_be_bytes());
        Some(ETHERNET_LEN)
    }
}

/// A frame to read.
#[derive(Debug, Clone, Copy)]
pub struct EthernetView<'a> {
    head: &'a [u8; ETHERNET_LEN],
    payload: &'a [u8],
}

impl<'a> EthernetView<'a> {
    /// `Truncated` below 14 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, payload) =
            bytes.split_first_chunk().ok_or(ParseError::Truncated(Layer::Ethernet))?;
        Ok(Self { head, payload })
    }

    /// Receiver.
    #[must_use]
    pub fn dst(&self) -> MacAddr {
        MacAddr(array_at(self.head, 0))
    }

    /// Sender.
    #[must_use]
    pub fn src(&self) -> MacAddr {
        MacAddr(array_at(self.head, 6))
    }

    /// What follows: a VLAN tag's TPID when the frame is tagged.
    #[inline]
    #[must_use]
    pub fn ether_type(&self) -> EtherType {
        EtherType(u16_at(self.head, 12))
    }

    /// Everything behind the 14 bytes, Ethernet padding included.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The header as values.
    #[must_use]
    pub fn repr(&self) -> EthernetRepr {
        EthernetRepr { dst: self.dst(), src: self.src(), ether_type: self.ether_type() }
    }
}

/// A frame to change in place.
#[derive(Debug)]
pub struct EthernetMut<'a> {
    head: &'a mut [u8; ETHERNET_LEN],
}

impl<'a> EthernetMut<'a> {
    /// `Truncated` below 14 bytes.
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, ParseError> {
        let head = bytes.first_chunk_mut().ok_or(ParseError::Truncated(Layer::Ethernet))?;
        Ok(Self { head })
    }

    /// Replaces the receiver.
    pub fn set_dst(&mut self, mac: MacAddr) {
        put(self.head, 0, mac.0);
    }

    /// Replaces the sender.
    pub fn set_src(&mut self, mac: MacAddr) {
        put(self.head, 6, mac.0);
    }

    /// Exchanges sender and receiver, as a reply does.
    pub fn swap(&mut self) {
        let dst: [u8; 6] = array_at(self.head, 0);
        let src: [u8; 6] = array_at(self.head, 6);
        put(self.head, 0, src);
        put(self.head, 6, dst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 15] =
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, 0x55];

    #[test]
    fn a_frame_is_read_and_written_back() {
        let view = EthernetView::parse(&FRAME).unwrap();
        assert_eq!(view.dst(), MacAddr::BROADCAST);
        assert_eq!(view.src(), MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(view.ether_type(), EtherType::ARP);
        assert_eq!(view.payload(), [0x55]);
        let mut out = [0; 14];
        assert_eq!(view.repr().emit(&mut out), Some(14));
        assert_eq!(out, FRAME[..14]);
    }

    #[test]
    fn thirteen_bytes_are_truncated_and_leave_no_room() {
        assert_eq!(
            EthernetView::parse(&FRAME[..13]).err(),
            Some(ParseError::Truncated(Layer::Ethernet))
        );
        let repr = EthernetView::parse(&FRAME).unwrap().repr();
        assert_eq!(repr.emit(&mut [0; 13]), None);
    }

    #[test]
    fn swap_exchanges_the_addresses() {
        let mut frame = FRAME;
        EthernetMut::parse(&mut frame).unwrap().swap();
        let view = EthernetView::parse(&frame).unwrap();
        assert_eq!((view.src(), view.dst()), (MacAddr::BROADCAST, MacAddr([2, 0, 0, 0, 0, 1])));
        assert_eq!(view.payload(), [0x55]);
    }
}
