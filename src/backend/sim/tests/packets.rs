//! Packets for the tests, and pnet's opinion on those that come back.

use super::super::MacAddr;
use super::super::wire::{self, Ip};
use pnet_packet::Packet;
use std::net::IpAddr;

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An IP packet with `payload` as its transport message, checksums filled in.
pub(super) fn datagram(
    (dst_mac, src_mac): (MacAddr, MacAddr),
    (src, dst): (IpAddr, IpAddr),
    proto: u8,
    ttl: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = [dst_mac, src_mac].concat();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            packet.extend([8, 0, 0x45, 0]);
            packet.extend(((20 + payload.len()) as u16).to_be_bytes());
            packet.extend([0x12, 0x34, 0x40, 0, ttl, proto, 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            wire::seal_ipv4(&mut packet, 14);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            packet.extend((payload.len() as u16).to_be_bytes());
            packet.extend([proto, ttl]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
        }
        _ => panic!("mixed families"),
    }
    let l4 = packet.len();
    packet.extend(payload);
    wire::seal_transport(&mut packet, src, dst, proto, l4);
    packet
}

/// An echo request with `len` bytes of payload.
pub(super) fn echo(
    macs: (MacAddr, MacAddr),
    (src, dst): (IpAddr, IpAddr),
    ttl: u8,
    sequence: u16,
    len: usize,
) -> Vec<u8> {
    let (kind, proto) = if src.is_ipv4() { (8, wire::ICMP) } else { (128, wire::ICMPV6) };
    let mut message = vec![kind, 0, 0, 0, 0xab, 0xcd];
    message.extend(sequence.to_be_bytes());
    message.extend((0..len).map(|i| i as u8));
    datagram(macs, (src, dst), proto, ttl, &message)
}

pub(super) fn udp(
    macs: (MacAddr, MacAddr),
    addresses: (IpAddr, IpAddr),
    ports: (u16, u16),
    payload: &[u8],
) -> Vec<u8> {
    let mut message = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    message.extend(((8 + payload.len()) as u16).to_be_bytes());
    message.extend([0, 0]);
    message.extend(payload);
    datagram(macs, addresses, wire::UDP, 64, &message)
}

pub(super) fn tcp(
    macs: (MacAddr, MacAddr),
    addresses: (IpAddr, IpAddr),
    ports: (u16, u16),
    flags: u8,
) -> Vec<u8> {
    let mut message = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    message.extend(1000u32.to_be_bytes());
    message.extend(2000u32.to_be_bytes());
    message.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    datagram(macs, addresses, wire::TCP, 64, &message)
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
            match ip.proto {
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
            match ip.proto {
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
