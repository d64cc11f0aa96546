//! `complete_checksum` against the checksums of `pnet_packet`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fluxnet::proto::build::{self, Link, Net};
use fluxnet::proto::*;
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;
use pnet_packet::{tcp, udp};
use proptest::collection::vec;
use proptest::prelude::*;

/// A frame of some version, transport, tags and padding, and where its transport starts and ends.
#[derive(Debug, Clone)]
struct Sent {
    frame: Vec<u8>,
    ip: IpPair,
    is_tcp: bool,
    l4: std::ops::Range<usize>,
}

impl Sent {
    fn field(&self) -> usize {
        self.l4.start + if self.is_tcp { 16 } else { 6 }
    }

    fn stored(&self, frame: &[u8]) -> u16 {
        u16::from_be_bytes([frame[self.field()], frame[self.field() + 1]])
    }

    fn store(&self, frame: &mut [u8], sum: u16) {
        frame[self.field()..self.field() + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// What pnet says the checksum should be, whatever the field holds.
    fn oracle(&self) -> u16 {
        let bytes = &self.frame[self.l4.clone()];
        let sum = match (self.is_tcp, self.ip.src(), self.ip.dst()) {
            (true, IpAddr::V4(src), IpAddr::V4(dst)) => {
                tcp::ipv4_checksum(&TcpPacket::new(bytes).unwrap(), &src, &dst)
            }
            (true, IpAddr::V6(src), IpAddr::V6(dst)) => {
                tcp::ipv6_checksum(&TcpPacket::new(bytes).unwrap(), &src, &dst)
            }
            (false, IpAddr::V4(src), IpAddr::V4(dst)) => {
                udp::ipv4_checksum(&UdpPacket::new(bytes).unwrap(), &src, &dst)
            }
            (false, IpAddr::V6(src), IpAddr::V6(dst)) => {
                udp::ipv6_checksum(&UdpPacket::new(bytes).unwrap(), &src, &dst)
            }
            mixed => panic!("{mixed:?}"),
        };
        if sum == 0 && !self.is_tcp { 0xffff } else { sum }
    }

    /// The sum of the pseudo-header alone, word by word as RFC 9293 §3.1 and RFC 8200 §8.1 have it.
    fn partial(&self) -> u16 {
        let addresses = match self.ip {
            IpPair::V4 { src, dst } => [src.octets(), dst.octets()].concat(),
            IpPair::V6 { src, dst } => [src.octets(), dst.octets()].concat(),
        };
        let words = addresses.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1]));
        let proto = if self.is_tcp { 6 } else { 17 };
        let mut sum = words.sum::<u64>() + proto + self.l4.len() as u64;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }
}

fn pair() -> impl Strategy<Value = IpPair> {
    prop_oneof![
        any::<[[u8; 4]; 2]>()
            .prop_map(|[a, b]| IpPair::V4 { src: Ipv4Addr::from(a), dst: Ipv4Addr::from(b) }),
        any::<[[u8; 16]; 2]>()
            .prop_map(|[a, b]| IpPair::V6 { src: Ipv6Addr::from(a), dst: Ipv6Addr::from(b) }),
    ]
}

prop_compose! {
    fn sent()(
        ip in pair(), is_tcp in any::<bool>(), ports in any::<(u16, u16)>(), timestamps in any::<Option<(u32, u32)>>(),
        tags in vec(0..0xfff_u16, 0..3), body in vec(any::<u8>(), 0..1400), padding in vec(any::<u8>(), 0..50),
    ) -> Sent {
        let link = Link::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let mut frame = vec![0; 1600];
        let len = if is_tcp {
            let mut header = TcpRepr::new(ports.0, ports.1, TcpFlags::ACK);
            header.options.timestamps = timestamps;
            build::tcp(&mut frame, &link, &Net::new(ip), &header, &body)
        } else {
            let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
            build::udp(&mut frame, &link, &Net::new(ip), &header, &body)
        };
        frame.truncate(len.unwrap());
        let start = 14 + ip.header_len() + 4 * tags.len();
        for vid in tags {
            let tag = Tag::customer(vid).unwrap();
            frame.splice(12..12, tag.octets());
        }
        let l4 = start..frame.len();
        frame.extend(padding);
        Sent { frame, ip, is_tcp, l4 }
    }
}

proptest! {
    #[test]
    fn what_a_veth_peer_leaves_out_is_what_pnet_computes(sent in sent()) {
        let (right, partial) = (sent.oracle(), sent.partial());
        let mut frame = sent.frame.clone();
        sent.store(&mut frame, partial);
        let changed = complete_checksum(&mut frame);
        prop_assert_eq!(changed, right != partial);
        prop_assert_eq!(sent.stored(&frame), right);
        sent.store(&mut frame, sent.stored(&sent.frame));
        prop_assert_eq!(frame, sent.frame, "nothing but the field changes");
    }

    #[test]
    fn any_other_checksum_stays(sent in sent(), sum in any::<u16>()) {
        prop_assume!(sum != sent.partial());
        for sum in [sum, 0, sent.oracle()] {
            let mut frame = sent.frame.clone();
            sent.store(&mut frame, sum);
            let before = frame.clone();
            prop_assert!(!complete_checksum(&mut frame));
            prop_assert_eq!(frame, before);
        }
    }

    #[test]
    fn any_bytes_are_taken_and_only_two_of_them_change(mut bytes in vec(any::<u8>(), 0..120), at in 12..60_usize, head in any::<bool>()) {
        if head && bytes.len() > at.max(13) {
            bytes[12..14].copy_from_slice(&[8, 0]);
            bytes[at] = 0x45;
        }
        let before = bytes.clone();
        let changed = complete_checksum(&mut bytes);
        let differ = bytes.iter().zip(&before).filter(|(a, b)| a != b).count();
        prop_assert!(differ <= 2 && changed == (differ > 0));
    }
}
