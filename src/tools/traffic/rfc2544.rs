//! The packets of benchmarks: UDP datagrams to the discard port, between addresses that RFC 2544
//! keeps for this.

use super::template::PacketTemplate;
use crate::error::{FluxError, Result};
use crate::proto::build::{Link, Net};
use crate::proto::{IpPair, MacAddr, UdpRepr};
use std::net::Ipv4Addr;

/// Of the ends of the lab's pair, and of its second one.
pub(crate) const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 9, 1]);
pub(crate) const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 9, 2]);
pub(crate) const OUT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 9, 3]);
pub(crate) const SINK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 9, 4]);

/// Nobody's. What we send back goes there, so that the far end's stack drops it at once.
const NOBODY: MacAddr = MacAddr([2, 0, 0, 0, 9, 0xff]);

const SENDER_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const OUR_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Discard (RFC 863).
pub(crate) const PORT: u16 = 9;

/// Ethernet's MTU of 1500 with the Ethernet header.
const LONGEST: usize = 1514;

/// What the sources of the lab send to our end, `len` bytes in all without frame check sequence,
/// from an address that is nobody's.
///
/// # Errors
/// For lengths below 42 or above 1514.
pub fn to_us(len: usize) -> Result<PacketTemplate> {
    packet(Link::new(NOBODY, OUR_MAC), IpPair::V4 { src: SENDER_IP, dst: OUR_IP }, len)
}

/// The answer to it, for workloads that only send.
///
/// # Errors
/// As [`to_us`].
pub fn from_us(len: usize) -> Result<PacketTemplate> {
    between(OUR_MAC, NOBODY, len)
}

/// The same between two Ethernet addresses.
///
/// # Errors
/// As [`to_us`].
pub fn between(from: MacAddr, to: MacAddr, len: usize) -> Result<PacketTemplate> {
    packet(Link::new(from, to), IpPair::V4 { src: OUR_IP, dst: SENDER_IP }, len)
}

fn packet(link: Link, ip: IpPair, len: usize) -> Result<PacketTemplate> {
    if len > LONGEST {
        return Err(FluxError::config(
            format!("a packet of {len} bytes"),
            format!("must be at most {LONGEST} bytes, without frame check sequence"),
        ));
    }
    let ports = UdpRepr { src_port: PORT, dst_port: PORT };
    PacketTemplate::udp(&link, &Net::new(ip), &ports, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::EthernetView;

    #[test]
    fn what_comes_is_for_us_and_what_goes_is_for_nobody() {
        let ends = |packet: PacketTemplate| {
            let ethernet = EthernetView::parse(packet.bytes()).unwrap();
            (ethernet.src(), ethernet.dst())
        };
        assert_eq!(ends(to_us(60).unwrap()), (NOBODY, OUR_MAC));
        assert_eq!(ends(from_us(1514).unwrap()), (OUR_MAC, NOBODY));
        assert_eq!(ends(between(PEER_MAC, OUT_MAC, 42).unwrap()), (PEER_MAC, OUT_MAC));
    }

    #[test]
    fn a_length_that_no_packet_has_is_refused() {
        for len in [0, 41, 1515] {
            let error = to_us(len).unwrap_err();
            assert!(error.to_string().contains(&format!("{len} bytes")), "{error}");
        }
    }
}
