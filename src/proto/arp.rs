//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use super::octets::{array_at, put, u16_at};
use super::{EtherType, Layer, MacAddr, ParseError};

/// Bytes of an Ethernet/IPv4 ARP message.
pub const ARP_LEN: usize = 28;

/// The operation field; host byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArpOp(pub u16);

impl ArpOp {
    /// Who has this address?
    pub const REQUEST: Self = Self(1);
    /// I have.
    pub const REPLY: Self = Self(2);
}

/// The message as values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpRepr {
    /// Request or reply.
    pub op: ArpOp,
    /// Sender's Ethernet address.
    pub sender_mac: MacAddr,
    /// Sender's IPv4 address.
    pub sender_ip: Ipv4Addr,
    /// Target's Ethernet address; zero in a request.
    pub target_mac: MacAddr,
    /// Target's IPv4 address.
    pub target_ip: Ipv4Addr,
}

impl ArpRepr {
    /// The question for `target`, from `mac` at `ip`.
    #[must_use]
    pub const fn request(mac: MacAddr, ip: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            op: ArpOp::REQUEST,
            sender_mac: mac,
            sender_ip: ip,
            target_mac: MacAddr::ZERO,
            target_ip: target,
        }
    }

    /// The answer of the station with `mac`, whose address was asked for.
    #[must_use]
    pub const fn reply_from(&self, mac: MacAddr) -> Self {
        Self {
            op: ArpOp::REPLY,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Writes the 28 bytes; `None` without room, else their number.
    #[must_use]
    pub fn emit(&self, buf: &mut [u8]) -> Option<usize> {
        let to = buf.first_chunk_mut::<ARP_LEN>()?;
        put(to, 0, 1u16.to_be_bytes());
        put(to, 2, EtherType::IPV4.0.to_be_bytes());
        put(to, 4, [6, 4]);
        put(to, 6, self.op.0.to_be_bytes());
        put(to, 8, self.sender_mac.0);
        put(to, 14, self.sender_ip.octets());
        put(to, 18, self.target_mac.0);
        put(to, 24, self.target_ip.octets());
        Some(ARP_LEN)
    }
}

/// A message to read.
#[derive(Debug, Clone, Copy)]
pub struct ArpView<'a> {
    head: &'a [u8; ARP_LEN],
}

impl<'a> ArpView<'a> {
    /// `Truncated` below 28 bytes; `Unsupported` for other hardware or protocol types.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let head = bytes.first_chunk::<ARP_LEN>().ok_or(ParseError::Truncated(Layer::Arp))?;
        let known = u16_at(head, 0) == 1 && u16_at(head, 2) == EtherType::IPV4.0;
        if !known || head[4] != 6 || head[5] != 4 {
            return Err(ParseError::Unsupported(Layer::Arp));
        }
        Ok(Self { head })
    }

    /// The message as values.
    #[must_use]
    pub fn repr(&self) -> ArpRepr {
        ArpRepr {
            op: ArpOp(u16_at(self.head, 6)),
            sender_mac: MacAddr(array_at(self.head, 8)),
            sender_ip: Ipv4Addr::from(array_at::<4, _>(self.head, 14)),
            target_mac: MacAddr(array_at(self.head, 18)),
            target_ip: Ipv4Addr::from(array_at::<4, _>(self.head, 24)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Who has 10.0.0.2? Tell 10.0.0.1", as Linux sends it.
    const REQUEST: [u8; 28] = [
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 10, 0,
        0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ];

    #[test]
    fn a_request_is_read_written_and_answered() {
        let ask = ArpView::parse(&REQUEST).unwrap().repr();
        let us = MacAddr([2, 0, 0, 0, 0, 1]);
        assert_eq!(
            ask,
            ArpRepr::request(us, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2))
        );
        let mut out = [0; 28];
        assert_eq!(ask.emit(&mut out), Some(28));
        assert_eq!(out, REQUEST);

        let answer = ask.reply_from(MacAddr([2, 0, 0, 0, 0, 2]));
        assert_eq!(answer.op, ArpOp::REPLY);
        assert_eq!(answer.sender_ip, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!((answer.target_mac, answer.target_ip), (us, Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn other_hardware_is_unsupported_and_27_bytes_are_truncated() {
        let mut other = REQUEST;
        other[4] = 8;
        assert_eq!(ArpView::parse(&other).err(), Some(ParseError::Unsupported(Layer::Arp)));
        assert_eq!(ArpView::parse(&REQUEST[..27]).err(), Some(ParseError::Truncated(Layer::Arp)));
    }
}
