//! Why bytes were not what they claim to be, small enough to count by kind.

use std::fmt;

/// The header that a [`ParseError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Layer {
    /// Ethernet II.
    Ethernet,
    /// An 802.1Q or 802.1ad tag.
    Vlan,
    /// ARP for IPv4 over Ethernet.
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6, extension headers included.
    Ipv6,
    /// ICMP for IPv4.
    Icmpv4,
    /// ICMP for IPv6, neighbour discovery included.
    Icmpv6,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Layer {
    /// How many layers there are.
    pub const COUNT: usize = 9;

    /// Lower-case name, fit for a counter or a JSON key.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Vlan => "vlan",
            Self::Arp => "arp",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Icmpv4 => "icmpv4",
            Self::Icmpv6 => "icmpv6",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Why a parse stopped. Two bytes, `Copy`; [`index`](Self::index) makes it a counter slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// Fewer bytes are present than the header needs or its length field claims.
    Truncated(Layer),
    /// A length field contradicts the header it stands in.
    BadLength(Layer),
    /// The version nibble does not match the ethertype.
    BadVersion(Layer),
    /// The header-length field (IHL, data offset) is below the minimum or beyond the packet.
    BadHeaderLength(Layer),
    /// An option's length field is zero, one, or beyond the options.
    BadOption(Layer),
    /// More than two VLAN tags.
    TooManyTags,
    /// More IPv6 extension headers than [`MAX_EXTENSIONS`](super::MAX_EXTENSIONS).
    TooManyExtensions,
    /// Well-formed as far as can be told, but a variant this module does not know.
    Unsupported(Layer),
}

impl ParseError {
    /// Upper bound of [`index`](Self::index), for an array of counters.
    pub const COUNT: usize = Layer::COUNT * 8;

    /// The layer that was being read.
    #[must_use]
    pub const fn layer(self) -> Layer {
        match self {
            Self::Truncated(layer)
            | Self::BadLength(layer)
            | Self::BadVersion(layer)
            | Self::BadHeaderLength(layer)
            | Self::BadOption(layer)
            | Self::Unsupported(layer) => layer,
            Self::TooManyTags => Layer::Vlan,
            Self::TooManyExtensions => Layer::Ipv6,
        }
    }

    /// The reason without the layer: lower-case words joined by `_`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated(_) => "truncated",
            Self::BadLength(_) => "bad_length",
            Self::BadVersion(_) => "bad_version",
            Self::BadHeaderLength(_) => "bad_header_length",
            Self::BadOption(_) => "bad_option",
            Self::TooManyTags => "too_many_tags",
            Self::TooManyExtensions => "too_many_extensions",
            Self::Unsupported(_) => "unsupported",
        }
    }

    /// A distinct number below [`COUNT`](Self::COUNT) for each layer and reason.
    #[must_use]
    pub const fn index(self) -> usize {
        let reason = match self {
            Self::Truncated(_) => 0,
            Self::BadLength(_) => 1,
            Self::BadVersion(_) => 2,
            Self::BadHeaderLength(_) => 3,
            Self::BadOption(_) => 4,
            Self::TooManyTags => 5,
            Self::TooManyExtensions => 6,
            Self::Unsupported(_) => 7,
        };
        self.layer() as usize * 8 + reason
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer().name(), self.reason().replace('_', " "))
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_two_bytes_and_indexes_below_count() {
        assert_eq!(size_of::<ParseError>(), 2);
        assert!(ParseError::Unsupported(Layer::Tcp).index() < ParseError::COUNT);
        assert_ne!(ParseError::TooManyTags.index(), ParseError::TooManyExtensions.index());
    }

    #[test]
    fn an_error_reads_as_layer_and_reason() {
        assert_eq!(ParseError::BadHeaderLength(Layer::Ipv4).to_string(), "ipv4: bad header length");
    }
}
