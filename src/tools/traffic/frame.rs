//! The one frame that everything here sends: a UDP datagram to the discard port.

use crate::error::{FluxError, Result};
use crate::proto::build::{self, Link, Net};
use crate::proto::{ETHERNET_LEN, IPV4_LEN, IpPair, MacAddr, UDP_LEN, UdpRepr};
use std::net::Ipv4Addr;

pub(crate) const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 9, 1]);
pub(crate) const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 9, 2]);
/// Of the second pair.
pub(crate) const OUT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 9, 3]);
pub(crate) const SINK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 9, 4]);

/// Nobody's. What we send back goes there, so that the far end's stack drops it at once.
const NOBODY: MacAddr = MacAddr([2, 0, 0, 0, 9, 0xff]);

/// RFC 2544 benchmarking addresses, and the discard port.
const SENDER_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const OUR_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
pub(crate) const PORT: u16 = 9;

const HEADERS: usize = ETHERNET_LEN + IPV4_LEN + UDP_LEN;

/// Ethernet's MTU with the Ethernet header; the pair has that MTU.
const LONGEST: usize = 1514;

/// What the sources send: a UDP datagram of zeroes to our end, `len` bytes in all without frame
/// check sequence, from an address that is nobody's.
///
/// # Errors
/// For lengths below 42 or above 1514.
pub(crate) fn to_us(len: usize) -> Result<Vec<u8>> {
    frame(Link::new(NOBODY, OUR_MAC), IpPair::V4 { src: SENDER_IP, dst: OUR_IP }, len)
}

/// The answer to it, for workloads that only send.
///
/// # Errors
/// As [`to_us`].
pub(crate) fn from_us(len: usize) -> Result<Vec<u8>> {
    frame(Link::new(OUR_MAC, NOBODY), IpPair::V4 { src: OUR_IP, dst: SENDER_IP }, len)
}

/// The same between two addresses of an interface's own choice.
///
/// # Errors
/// As [`to_us`].
pub(crate) fn between(from: MacAddr, to: MacAddr, len: usize) -> Result<Vec<u8>> {
    frame(Link::new(from, to), IpPair::V4 { src: OUR_IP, dst: SENDER_IP }, len)
}

fn frame(link: Link, ip: IpPair, len: usize) -> Result<Vec<u8>> {
    let bad = || {
        FluxError::config(
            format!("a frame of {len} bytes"),
            format!("must be {HEADERS} to {LONGEST} bytes, without frame check sequence"),
        )
    };
    let payload = vec![0; len.checked_sub(HEADERS).filter(|_| len <= LONGEST).ok_or_else(bad)?];
    let mut bytes = vec![0; len];
    let ports = UdpRepr { src_port: PORT, dst_port: PORT };
    match build::udp(&mut bytes, &link, &Net::new(ip), &ports, &payload) {
        Some(written) if written == len => Ok(bytes),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{EtherType, EthernetView, Ipv4View, UdpView};

    #[test]
    fn a_frame_of_any_length_is_valid_down_to_its_checksums() {
        for len in [HEADERS, 43, 60, 61, 1514] {
            for (bytes, to_us) in [(to_us(len).unwrap(), true), (from_us(len).unwrap(), false)] {
                assert_eq!(bytes.len(), len);
                let ethernet = EthernetView::parse(&bytes).unwrap();
                let (src, dst) = (ethernet.src(), ethernet.dst());
                assert_eq!((src, dst), if to_us { (NOBODY, OUR_MAC) } else { (OUR_MAC, NOBODY) });
                assert_eq!(ethernet.ether_type(), EtherType::IPV4);
                let ip = Ipv4View::parse(ethernet.payload()).unwrap();
                assert!(ip.verify_checksum());
                let udp = UdpView::parse(ip.payload()).unwrap();
                let pair = IpPair::V4 { src: ip.src(), dst: ip.dst() };
                assert!(udp.verify_checksum(&pair) && udp.checksum() != 0);
                assert_eq!(udp.payload().len(), len - HEADERS, "no padding");
            }
        }
    }

    #[test]
    fn a_length_that_no_frame_has_is_refused() {
        for len in [0, 41, 1515] {
            let error = to_us(len).unwrap_err();
            assert!(error.to_string().contains(&format!("{len} bytes")), "{error}");
        }
    }
}
