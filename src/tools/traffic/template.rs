//! [`PacketTemplate`]: a packet that is sent over and over.

use crate::error::{FluxError, Result};
use crate::proto::build::{self, Link, Net};
use crate::proto::{IPV4_LEN, IPV6_LEN, IpPair, UDP_LEN, UdpRepr};

/// A whole Ethernet frame as a ring holds it: without frame check sequence, and not padded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketTemplate(Vec<u8>);

impl PacketTemplate {
    /// A UDP datagram of zeroes, `len` bytes in all without frame check sequence, with valid
    /// checksums.
    ///
    /// # Errors
    /// `ErrorKind::Config` for lengths that the headers do not fit in, or IP cannot tell.
    pub fn udp(link: &Link, net: &Net, ports: &UdpRepr, len: usize) -> Result<Self> {
        let (fixed, ip) = match net.ip {
            IpPair::V4 { .. } => (IPV4_LEN, 0),
            IpPair::V6 { .. } => (IPV6_LEN, IPV6_LEN),
        };
        let shortest = link.header_len() + fixed + UDP_LEN;
        // The IPv4 length counts its header, that of IPv6 does not.
        let longest = link.header_len() + ip + usize::from(u16::MAX);
        let bad = || {
            FluxError::config(
                format!("a packet of {len} bytes"),
                format!("must be {shortest} to {longest} bytes, without frame check sequence"),
            )
        };
        let payload = len.checked_sub(shortest).filter(|_| len <= longest).ok_or_else(bad)?;
        let (mut bytes, payload) = (vec![0; len], vec![0; payload]);
        match build::udp(&mut bytes, link, net, ports, &payload) {
            Some(written) if written == len => Ok(Self(bytes)),
            _ => Err(bad()),
        }
    }

    /// The packet.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The packet, to be changed by its owner.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{EthernetView, Ipv4View, Ipv6View, MacAddr, Tag, UdpView};
    use proptest::prelude::*;

    const V4: IpPair = IpPair::V4 {
        src: std::net::Ipv4Addr::new(198, 18, 0, 2),
        dst: std::net::Ipv4Addr::new(198, 18, 0, 1),
    };
    const V6: IpPair = IpPair::V6 {
        src: std::net::Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 2),
        dst: std::net::Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1),
    };

    fn link() -> Link {
        Link::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]))
    }

    fn packet(ip: IpPair, len: usize) -> Result<PacketTemplate> {
        PacketTemplate::udp(&link(), &Net::new(ip), &UdpRepr { src_port: 9, dst_port: 9 }, len)
    }

    proptest! {
        #[test]
        fn a_packet_of_any_length_is_valid_down_to_its_checksums(len in 62_usize..=65_549) {
            for ip in [V4, V6] {
                let packet = packet(ip, len).unwrap();
                prop_assert_eq!(packet.bytes().len(), len);
                let ethernet = EthernetView::parse(packet.bytes()).unwrap();
                prop_assert_eq!((ethernet.src(), ethernet.dst()), (link().src, link().dst));
                let (udp, headers) = match ip {
                    IpPair::V4 { .. } => {
                        let ip = Ipv4View::parse(ethernet.payload()).unwrap();
                        prop_assert!(ip.verify_checksum());
                        (UdpView::parse(ip.payload()).unwrap(), 42)
                    }
                    IpPair::V6 { .. } => {
                        let ip = Ipv6View::parse(ethernet.payload()).unwrap();
                        (UdpView::parse(ip.payload()).unwrap(), 62)
                    }
                };
                prop_assert!(udp.verify_checksum(&ip) && udp.checksum() != 0);
                prop_assert_eq!(udp.payload().len(), len - headers, "no padding");
            }
        }
    }

    #[test]
    fn a_length_that_no_packet_has_is_refused_with_what_it_may_be() {
        for (ip, len, may) in [
            (V4, 41, "42 to 65549 bytes"),
            (V4, 65_550, "42 to 65549 bytes"),
            (V6, 61, "62 to 65589 bytes"),
        ] {
            let error = packet(ip, len).unwrap_err().to_string();
            assert!(error.contains(&format!("{len} bytes: must be {may}")), "{error}");
        }
        let tagged = Link { tag: Tag::customer(5), ..link() };
        let ports = UdpRepr { src_port: 9, dst_port: 9 };
        let error = PacketTemplate::udp(&tagged, &Net::new(V4), &ports, 45).unwrap_err();
        assert!(error.to_string().contains("46 to"), "{error}");
    }
}
