//! Packets for the tests, and pnet's opinion on those that come back.

use super::super::wire::Ip;
use crate::proto::build::{self, Link, Net};
use crate::proto::{IpPair, MacAddr, TcpFlags, TcpRepr, UdpRepr};
use pnet_packet::Packet;
use std::net::IpAddr;

pub(super) const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Who sends to whom: destination's and source's Ethernet, source's and destination's IP address.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) macs: (MacAddr, MacAddr),
    pub(super) addresses: (IpAddr, IpAddr),
}

impl Way {
    fn build(
        self,
        ttl: u8,
        write: impl FnOnce(&mut [u8], &Link, &Net) -> Option<usize>,
    ) -> Vec<u8> {
        let link = Link::new(self.macs.1, self.macs.0);
        let pair = IpPair::new(self.addresses.0, self.addresses.1).unwrap();
        let mut packet = vec![0; 4096];
        let len = write(&mut packet, &link, &Net::new(pair).with_ttl(ttl)).unwrap();
        packet.truncate(len);
        packet
    }

    /// An echo request with `len` bytes of payload.
    pub(super) fn echo(self, ttl: u8, sequence: u16, len: usize) -> Vec<u8> {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        self.build(ttl, |to, link, net| build::echo_request(to, link, net, 7, sequence, &data))
    }

    /// The same, which routers may cut.
    pub(super) fn cuttable_echo(self, len: usize) -> Vec<u8> {
        let data = vec![7; len];
        self.build(64, |to, link, net| {
            let net = Net { dont_fragment: false, ..*net };
            build::echo_request(to, link, &net, 7, 1, &data)
        })
    }

    pub(super) fn udp(self, ttl: u8, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
        self.build(ttl, |to, link, net| build::udp(to, link, net, &header, payload))
    }

    /// A segment with sequence number 1000.
    pub(super) fn tcp(self, ports: (u16, u16), flags: TcpFlags) -> Vec<u8> {
        let header = TcpRepr { seq: 1000, ..TcpRepr::new(ports.0, ports.1, flags) };
        self.build(64, |to, link, net| build::tcp(to, link, net, &header, &[]))
    }

    /// A neighbour solicitation.
    pub(super) fn solicit(self, target: std::net::Ipv6Addr, hop_limit: u8) -> Vec<u8> {
        let link_layer = Some(self.macs.1);
        let message = crate::proto::Icmpv6Message::NeighborSolicit { target, link_layer };
        self.build(hop_limit, |to, link, net| build::icmpv6(to, link, net, &message))
    }
}

/// Asserts that pnet finds every checksum and length of an IP packet right; returns the header.
pub(super) fn judge(packet: &[u8]) -> Ip {
    let ip = Ip::of_frame(packet).expect("an IP packet");
    let message = &packet[ip.l4..ip.end];
    let (sum, expected) = match (ip.src, ip.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = pnet_packet::ipv4::Ipv4Packet::new(&packet[14..]).unwrap();
            assert_eq!(header.get_checksum(), pnet_packet::ipv4::checksum(&header));
            assert_eq!(usize::from(header.get_total_length()), packet.len() - 14);
            match ip.proto.0 {
                1 => {
                    let icmp = pnet_packet::icmp::IcmpPacket::new(message).unwrap();
                    (icmp.get_checksum(), pnet_packet::icmp::checksum(&icmp))
                }
                6 => {
                    let tcp = pnet_packet::tcp::TcpPacket::new(message).unwrap();
                    (tcp.get_checksum(), pnet_packet::tcp::ipv4_checksum(&tcp, &src, &dst))
                }
                other => panic!("unexpected protocol {other}"),
            }
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = pnet_packet::ipv6::Ipv6Packet::new(&packet[14..]).unwrap();
            assert_eq!(header.payload().len(), packet.len() - 54);
            match ip.proto.0 {
                58 => {
                    let icmp = pnet_packet::icmpv6::Icmpv6Packet::new(message).unwrap();
                    (icmp.get_checksum(), pnet_packet::icmpv6::checksum(&icmp, &src, &dst))
                }
                6 => {
                    let tcp = pnet_packet::tcp::TcpPacket::new(message).unwrap();
                    (tcp.get_checksum(), pnet_packet::tcp::ipv6_checksum(&tcp, &src, &dst))
                }
                other => panic!("unexpected protocol {other}"),
            }
        }
        _ => panic!("mixed families"),
    };
    assert_eq!(sum, expected, "transport checksum of {ip:?}");
    ip
}
