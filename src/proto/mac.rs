//! Ethernet addresses.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A 48-bit Ethernet address in transmission order.
///
/// ```
/// use fluxnet::proto::MacAddr;
/// let mac: MacAddr = "02:00:00:00:00:2a".parse()?;
/// assert_eq!(mac.to_string(), "02:00:00:00:00:2a");
/// # Ok::<(), fluxnet::proto::MacAddrError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// `00:00:00:00:00:00`, the "unknown" of an ARP request.
    pub const ZERO: Self = Self([0; 6]);

    /// The six bytes in transmission order.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether this is the all-ones address.
    #[must_use]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether the group bit is set; true for broadcast as well.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether the address can belong to one station: neither group nor zero.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::ZERO
    }

    /// The group address of an IPv4 multicast address: `01:00:5e` and its low 23 bits
    /// (RFC 1112 §6.4).
    #[must_use]
    pub const fn for_multicast_v4(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// The group address of an IPv6 multicast address: `33:33` and its low 32 bits
    /// (RFC 2464 §7).
    #[must_use]
    pub const fn for_multicast_v6(group: Ipv6Addr) -> Self {
        let o = group.octets();
        Self([0x33, 0x33, o[12], o[13], o[14], o[15]])
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not six two-digit hexadecimal bytes joined by `:` or `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacAddrError;

impl fmt::Display for MacAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an Ethernet address: expected six hexadecimal bytes like 02:00:00:00:00:01",
        )
    }
}

impl std::error::Error for MacAddrError {}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    /// Reads `aa:bb:cc:dd:ee:ff` or `aa-bb-cc-dd-ee-ff`, either case, no mixture of separators.
    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0u8; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().ok_or(MacAddrError)?;
            // from_str_radix alone would take "+1".
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacAddrError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| MacAddrError)?;
        }
        if parts.next().is_some() { Err(MacAddrError) } else { Ok(Self(octets)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_written() {
        let mac = MacAddr([0, 0x1b, 0x21, 0xab, 0xcd, 0xef]);
        assert_eq!("00:1B:21:ab:cd:ef".parse(), Ok(mac));
        assert_eq!("00-1b-21-ab-cd-ef".parse(), Ok(mac));
        assert_eq!(mac.to_string(), "00:1b:21:ab:cd:ef");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "0:1:2:3:4:5",
            "00:1b:21:ab:cd",
            "00:1b:21:ab:cd:ef:00",
            "00:1b-21:ab:cd:ef",
            "+0:1b:21:ab:cd:ef",
            "zz:1b:21:ab:cd:ef",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(MacAddrError), "{text}");
        }
    }

    #[test]
    fn group_addresses_follow_the_rfcs() {
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        assert_eq!(MacAddr::for_multicast_v6(all_nodes).to_string(), "33:33:00:00:00:01");
        let group = Ipv4Addr::new(224, 129, 2, 3);
        assert_eq!(MacAddr::for_multicast_v4(group).to_string(), "01:00:5e:01:02:03");
        assert!(MacAddr::BROADCAST.is_multicast() && !MacAddr::ZERO.is_unicast());
    }
}
