//! `fluxnet::proto` against `pnet_packet`: each reads what the other writes, and both agree on
//! fields and checksums.

use std::net::{Ipv4Addr, Ipv6Addr};

use fluxnet::proto::build::{self, Link, Net};
use fluxnet::proto::*;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{Ipv4Packet, MutableIpv4Packet};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::tcp::{MutableTcpPacket, TcpPacket};
use pnet_packet::udp::{MutableUdpPacket, UdpPacket};
use pnet_packet::{MutablePacket, Packet, icmp, icmpv6, ipv4, tcp, udp};
use proptest::collection::vec;
use proptest::prelude::*;

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn pnet_mac(mac: MacAddr) -> pnet_packet::ethernet::Ethernet {
    pnet_packet::ethernet::Ethernet {
        destination: mac.0.into(),
        source: mac.0.into(),
        ethertype: EtherTypes::Arp,
        payload: Vec::new(),
    }
}

#[test]
fn arp_agrees_both_ways() {
    let ours = ArpRepr::request(A, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let mut frame = [0; 42];
    assert_eq!(build::arp(&mut frame, &Link::new(A, MacAddr::BROADCAST), &ours), Some(42));
    let ethernet = EthernetPacket::new(&frame).unwrap();
    assert_eq!(ethernet.get_ethertype(), EtherTypes::Arp);
    assert_eq!(ethernet.get_source().octets(), A.0);
    let theirs = ArpPacket::new(ethernet.payload()).unwrap();
    assert_eq!(theirs.get_hardware_type(), ArpHardwareTypes::Ethernet);
    assert_eq!(theirs.get_operation(), ArpOperations::Request);
    assert_eq!(theirs.get_sender_proto_addr(), ours.sender_ip);

    let mut buf = [0; 42];
    MutableEthernetPacket::new(&mut buf).unwrap().populate(&pnet_mac(B));
    let mut reply = MutableArpPacket::new(&mut buf[14..]).unwrap();
    reply.clone_from(&theirs);
    reply.set_operation(ArpOperations::Reply);
    reply.set_sender_hw_addr(B.0.into());
    let headers = Headers::parse(&buf).unwrap();
    let back = ArpView::parse(headers.payload(&buf)).unwrap().repr();
    assert_eq!(back, ArpRepr { op: ArpOp::REPLY, sender_mac: B, ..ours });
}

proptest! {
    #[test]
    fn what_we_write_pnet_reads(
        src in any::<[u8; 4]>(), dst in any::<[u8; 4]>(), src6 in any::<[u8; 16]>(), dst6 in any::<[u8; 16]>(),
        ports in any::<(u16, u16)>(), f in any::<(u32, u32, u8, u16)>(), ttl in any::<u8>(), body in vec(any::<u8>(), 0..70),
    ) {
        let (src, dst) = (Ipv4Addr::from(src), Ipv4Addr::from(dst));
        let (src6, dst6) = (Ipv6Addr::from(src6), Ipv6Addr::from(dst6));
        let link = Link::new(A, B);
        let four = Net { ident: f.3, tos: f.2, ..Net::new(IpPair::V4 { src, dst }) }.with_ttl(ttl);
        let six = Net { tos: f.2, flow_label: f.0 & 0xf_ffff, ..Net::new(IpPair::V6 { src: src6, dst: dst6 }) }.with_ttl(ttl);
        let mut buf = [0; 200];

        let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
        let len = build::udp(&mut buf, &link, &four, &header, &body).unwrap();
        let ip = Ipv4Packet::new(&buf[14..len]).unwrap();
        prop_assert_eq!((ip.get_source(), ip.get_destination()), (src, dst));
        prop_assert_eq!((ip.get_ttl(), ip.get_identification(), ip.get_flags()), (ttl, f.3, 2));
        prop_assert_eq!((ip.get_dscp(), ip.get_ecn()), (f.2 >> 2, f.2 & 3));
        prop_assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
        let datagram = UdpPacket::new(ip.payload()).unwrap();
        prop_assert_eq!((datagram.get_source(), datagram.get_destination()), ports);
        prop_assert_eq!(datagram.payload(), &body[..]);
        let expected = udp::ipv4_checksum(&datagram, &src, &dst);
        prop_assert_eq!(datagram.get_checksum(), if expected == 0 { 0xffff } else { expected });

        let mut segment = TcpRepr::new(ports.0, ports.1, TcpFlags(f.2));
        (segment.seq, segment.ack, segment.window) = (f.0, f.1, f.3);
        segment.options = TcpOptions { mss: Some(f.3), window_scale: Some(ttl), sack_permitted: true, timestamps: Some((f.0, f.1)) };
        let len = build::tcp(&mut buf, &link, &six, &segment, &body).unwrap();
        let ip = Ipv6Packet::new(&buf[14..len]).unwrap();
        prop_assert_eq!((ip.get_source(), ip.get_destination(), ip.get_hop_limit()), (src6, dst6, ttl));
        prop_assert_eq!((ip.get_traffic_class(), ip.get_flow_label()), (f.2, f.0 & 0xf_ffff));
        let theirs = TcpPacket::new(ip.payload()).unwrap();
        prop_assert_eq!((theirs.get_sequence(), theirs.get_acknowledgement(), theirs.get_flags()), (f.0, f.1, f.2));
        prop_assert_eq!(theirs.get_checksum(), tcp::ipv6_checksum(&theirs, &src6, &dst6));
        prop_assert_eq!(theirs.payload(), &body[..]);

        let len = build::echo_request(&mut buf, &link, &four, ports.0, ports.1, &body).unwrap();
        let echo = icmp::IcmpPacket::new(&buf[34..len]).unwrap();
        prop_assert_eq!(echo.get_checksum(), icmp::checksum(&echo));
        let echo = icmp::echo_request::EchoRequestPacket::new(&buf[34..len]).unwrap();
        prop_assert_eq!((echo.get_identifier(), echo.get_sequence_number()), ports);
        let len = build::echo_request(&mut buf, &link, &six, ports.0, ports.1, &body).unwrap();
        let echo = icmpv6::Icmpv6Packet::new(&buf[54..len]).unwrap();
        prop_assert_eq!(echo.get_checksum(), icmpv6::checksum(&echo, &src6, &dst6));
    }

    #[test]
    fn what_pnet_writes_we_read(
        src in any::<[u8; 4]>(), dst in any::<[u8; 4]>(), src6 in any::<[u8; 16]>(), dst6 in any::<[u8; 16]>(),
        ports in any::<(u16, u16)>(), f in any::<(u32, u32, u8, u16)>(), ttl in any::<u8>(), body in vec(any::<u8>(), 0..70),
    ) {
        let (src, dst) = (Ipv4Addr::from(src), Ipv4Addr::from(dst));
        let (src6, dst6) = (Ipv6Addr::from(src6), Ipv6Addr::from(dst6));
        let mut frame = vec![0; 14 + 20 + 20 + body.len()];
        MutableEthernetPacket::new(&mut frame).unwrap().set_ethertype(EtherTypes::Ipv4);
        let mut segment = MutableTcpPacket::new(&mut frame[34..]).unwrap();
        segment.set_source(ports.0);
        segment.set_destination(ports.1);
        segment.set_sequence(f.0);
        segment.set_acknowledgement(f.1);
        segment.set_data_offset(5);
        segment.set_flags(f.2);
        segment.set_payload(&body);
        let sum = tcp::ipv4_checksum(&segment.to_immutable(), &src, &dst);
        segment.set_checksum(sum);
        let mut ip = MutableIpv4Packet::new(&mut frame[14..]).unwrap();
        ip.set_version(4);
        ip.set_header_length(5);
        ip.set_total_length(40 + body.len() as u16);
        ip.set_identification(f.3);
        ip.set_ttl(ttl);
        ip.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
        ip.set_source(src);
        ip.set_destination(dst);
        let sum = ipv4::checksum(&ip.to_immutable());
        ip.set_checksum(sum);
        let headers = Headers::parse(&frame).unwrap();
        prop_assert!(headers.verify_checksums(&frame));
        prop_assert_eq!((headers.ip, headers.ttl), (Some(IpPair::V4 { src, dst }), ttl));
        prop_assert_eq!(headers.ports(), Some(ports));
        prop_assert_eq!(headers.payload(&frame), &body[..]);
        let view = TcpView::parse(&frame[34..]).unwrap();
        prop_assert_eq!((view.seq(), view.ack(), view.flags()), (f.0, f.1, TcpFlags(f.2)));

        let mut frame = vec![0; 14 + 40 + 8 + body.len()];
        MutableEthernetPacket::new(&mut frame).unwrap().set_ethertype(EtherTypes::Ipv6);
        let mut ip = MutableIpv6Packet::new(&mut frame[14..]).unwrap();
        ip.set_version(6);
        ip.set_traffic_class(f.2);
        ip.set_flow_label(f.0 & 0xf_ffff);
        ip.set_payload_length(8 + body.len() as u16);
        ip.set_next_header(IpNextHeaderProtocols::Udp);
        ip.set_hop_limit(ttl);
        ip.set_source(src6);
        ip.set_destination(dst6);
        let mut datagram = MutableUdpPacket::new(&mut frame[54..]).unwrap();
        datagram.set_source(ports.0);
        datagram.set_destination(ports.1);
        datagram.set_length(8 + body.len() as u16);
        datagram.set_payload(&body);
        let sum = udp::ipv6_checksum(&datagram.to_immutable(), &src6, &dst6);
        datagram.set_checksum(if sum == 0 { 0xffff } else { sum });
        let headers = Headers::parse(&frame).unwrap();
        prop_assert!(headers.verify_checksums(&frame));
        prop_assert_eq!((headers.ip, headers.tos), (Some(IpPair::V6 { src: src6, dst: dst6 }), f.2));
        prop_assert_eq!((headers.ports(), headers.payload(&frame)), (Some(ports), &body[..]));
    }
}
