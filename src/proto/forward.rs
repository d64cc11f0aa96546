//! What a forwarder has to put right in frames that it passes on.

use super::udp::nonzero;
use super::{Headers, IpProto, Transport, checksum};

/// Completes the TCP or UDP checksum of a frame whose sender left that to its NIC, and tells
/// whether the frame was changed.
///
/// A stack behind a veth sends, by default, TCP and UDP with only the sum of the pseudo-header in
/// the checksum field: a NIC would add the rest. On a veth nothing does, and who receives such a
/// frame by way of AF_XDP drops it for its checksum. So a program that forwards what a veth received calls
/// this for each frame. Frames that came over a wire are complete.
///
/// Every other checksum stays, right or wrong, so that corruption is not hidden: a wrong one is
/// healed by mistake only where it happens to be the sum of the pseudo-header, one in 65536. Also
/// left alone: no checksum at all (UDP 0), fragments, the inner packet of a tunnel, the CRC of SCTP
/// (a veth may leave that out too), and packets with a source route or routing header to another
/// final destination than the IP header's, which is what the field then speaks of.
///
/// ```
/// use fluxnet::proto::build::{self, Link, Net};
/// use fluxnet::proto::{Headers, IpPair, MacAddr, UdpRepr, complete_checksum};
/// # use std::net::Ipv4Addr;
/// let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
/// let link = Link::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
/// let net = Net::new(IpPair::V4 { src, dst });
/// let udp = UdpRepr { src_port: 1000, dst_port: 53 };
/// let mut frame = [0; 46];
/// build::udp(&mut frame, &link, &net, &udp, b"ping");
/// assert!(!complete_checksum(&mut frame), "a right checksum stays");
///
/// // 0a00 + 0001 + 0a00 + 0002, protocol 17, 12 bytes: as a veth peer sends it.
/// frame[40..42].copy_from_slice(&0x1420_u16.to_be_bytes());
/// assert!(complete_checksum(&mut frame));
/// assert!(Headers::parse(&frame).unwrap().verify_checksums(&frame));
/// ```
pub fn complete_checksum(frame: &mut [u8]) -> bool {
    let Ok(headers) = Headers::parse(frame) else { return false };
    let (Some(ip), false) = (&headers.ip, headers.is_fragment()) else { return false };
    let (proto, at) = match headers.transport {
        Transport::Udp { .. } => (IpProto::UDP, 6),
        Transport::Tcp { .. } => (IpProto::TCP, 16),
        _ => return false,
    };
    let l4 = headers.l4_offset()..headers.payload_range().end;
    let Some(l4) = frame.get_mut(l4) else { return false };
    let Some(stored) = l4.get(at..).and_then(|rest| rest.first_chunk()) else { return false };
    let stored = u16::from_be_bytes(*stored);
    // Never 0, as the protocol is in it: so no checksum at all does not look like that.
    let partial = !ip.pseudo_sum(proto, l4.len()).finish();
    if stored != partial {
        return false;
    }
    // The field itself stands for the pseudo-header in this sum.
    let sum = checksum::of(l4);
    // One packet in 65536 has a complete checksum that looks partial. Completed it is the same
    // again, up to the two ways to write 0, and it stays as its sender wrote it.
    if nonzero(sum) == stored {
        return false;
    }
    let sum = if proto == IpProto::UDP { nonzero(sum) } else { sum };
    if let Some(field) = l4.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = sum.to_be_bytes();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, Link, Net};
    use super::super::{
        EtherType, Fragment, IpPair, Ipv6Repr, MacAddr, Tag, TcpFlags, TcpRepr, UdpRepr,
        emit_fragment,
    };
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const V4: IpPair =
        IpPair::V4 { src: Ipv4Addr::new(10, 0, 0, 1), dst: Ipv4Addr::new(10, 0, 0, 2) };
    const V6: IpPair = IpPair::V6 { src: Ipv6Addr::LOCALHOST, dst: Ipv6Addr::LOCALHOST };
    const LINK: Link = Link::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    const UDP: UdpRepr = UdpRepr { src_port: 1000, dst_port: 53 };

    fn udp(ip: IpPair, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 1600];
        let len = build::udp(&mut frame, &LINK, &Net::new(ip), &UDP, payload).unwrap();
        frame.truncate(len);
        frame
    }

    fn tcp(ip: IpPair, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 1600];
        let header = TcpRepr::new(1000, 80, TcpFlags::ACK);
        let len = build::tcp(&mut frame, &LINK, &Net::new(ip), &header, payload).unwrap();
        frame.truncate(len);
        frame
    }

    /// Puts into `frame` what a stack that leaves the checksum to its NIC writes.
    fn make_partial(frame: &mut [u8]) {
        let headers = Headers::parse(frame).unwrap();
        let len = headers.payload_range().end - headers.l4_offset();
        let sum = !headers.ip.unwrap().pseudo_sum(headers.proto, len).finish();
        let field = if headers.proto == IpProto::UDP { 6 } else { 16 };
        let at = headers.l4_offset() + field;
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// `frame` with its checksum made partial is completed to `frame` again, once.
    fn assert_completed(frame: &[u8]) {
        let mut partial = frame.to_vec();
        make_partial(&mut partial);
        assert_ne!(partial, frame);
        assert!(complete_checksum(&mut partial));
        assert_eq!(partial, frame);
        assert_left_alone(frame);
    }

    fn assert_left_alone(frame: &[u8]) {
        let mut after = frame.to_vec();
        assert!(!complete_checksum(&mut after));
        assert_eq!(after, frame);
    }

    /// With `tags` behind the addresses.
    fn tagged(frame: &[u8], tags: &[Tag]) -> Vec<u8> {
        let tags: Vec<u8> = tags.iter().flat_map(|tag| tag.octets()).collect();
        [&frame[..12], &tags, &frame[12..]].concat()
    }

    /// `frame` over IPv6 with `header` between IP and its transport.
    fn extended(frame: &[u8], first: IpProto, header: &[u8]) -> Vec<u8> {
        let mut head = [0; 2048];
        let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        let len = header.len() + frame.len() - 54;
        Ipv6Repr::new(src, dst, first).emit(len, &mut head).unwrap();
        [&frame[..14], &head[..40], header, &frame[54..]].concat()
    }

    #[test]
    fn a_sum_of_the_pseudo_header_alone_is_completed() {
        for payload in [&b""[..], b"odd", b"even", &[0xa5; 1400]] {
            for ip in [V4, V6] {
                assert_completed(&udp(ip, payload));
                assert_completed(&tcp(ip, payload));
            }
        }
    }

    #[test]
    fn bytes_behind_the_packet_are_not_summed() {
        for frame in [udp(V4, b"x"), tcp(V6, b"y")] {
            assert_completed(&[&frame[..], &[0xff; 11]].concat());
        }
        // The IP packet is longer than the datagram in it.
        let mut longer = [&udp(V4, b"x")[..], &[0xee; 4]].concat();
        longer[17] += 4;
        assert_completed(&longer);
    }

    #[test]
    fn up_to_two_tags_are_passed_over() {
        let (outer, inner) = (Tag::service(7).unwrap(), Tag::customer(9).unwrap());
        for frame in [udp(V6, b"x"), tcp(V4, b"y")] {
            assert_completed(&tagged(&frame, &[inner]));
            assert_completed(&tagged(&frame, &[outer, inner]));
            let mut partial = frame.clone();
            make_partial(&mut partial);
            assert_left_alone(&tagged(&partial, &[outer, inner, inner]));
        }
    }

    #[test]
    fn extension_headers_are_passed_over() {
        let options = [IpProto::UDP.0, 0, 1, 4, 0, 0, 0, 0];
        assert_completed(&extended(&udp(V6, b"x"), IpProto::HOP_BY_HOP, &options));
        let options = [IpProto::TCP.0, 0, 1, 4, 0, 0, 0, 0];
        assert_completed(&extended(&tcp(V6, b"x"), IpProto::DESTINATION, &options));
    }

    #[test]
    fn wrong_checksums_stay_wrong() {
        for frame in [udp(V4, b"x"), udp(V6, b"x"), tcp(V4, b"x"), tcp(V6, b"x")] {
            for at in frame.len() - 5..frame.len() {
                let mut corrupt = frame.clone();
                corrupt[at] ^= 0x40;
                assert_left_alone(&corrupt);
            }
        }
    }

    #[test]
    fn no_udp_checksum_stays_none() {
        for ip in [V4, V6] {
            let mut frame = udp(ip, b"x");
            let at = frame.len() - 3;
            frame[at..at + 2].fill(0);
            assert_left_alone(&frame);
        }
    }

    #[test]
    fn a_complete_sum_of_0_is_written_as_ffff_for_udp_only() {
        for (mut frame, written) in [(udp(V4, &[0; 2]), [0xff; 2]), (tcp(V4, &[0; 2]), [0; 2])] {
            let headers = Headers::parse(&frame).unwrap();
            // What is added last makes the sum ffff.
            let field = if headers.proto == IpProto::UDP { 40 } else { 50 };
            let last = frame.len() - 2;
            let sum: [u8; 2] = frame[field..field + 2].try_into().unwrap();
            frame[last..].copy_from_slice(&sum);
            make_partial(&mut frame);
            assert!(complete_checksum(&mut frame));
            assert_eq!(frame[field..field + 2], written);
            assert!(headers.verify_checksums(&frame));
        }
    }

    #[test]
    fn a_right_checksum_that_looks_partial_stays() {
        for mut frame in [udp(V6, &[0; 2]), tcp(V6, &[0; 2])] {
            let headers = Headers::parse(&frame).unwrap();
            let field = headers.l4_offset() + if headers.proto == IpProto::UDP { 6 } else { 16 };
            let right = u16::from_be_bytes([frame[field], frame[field + 1]]);
            make_partial(&mut frame);
            let partial = u16::from_be_bytes([frame[field], frame[field + 1]]);
            // Payload that takes the right checksum to the partial one.
            let payload = !checksum::update_u16(!0, partial, right);
            let last = frame.len() - 2;
            frame[last..].copy_from_slice(&payload.to_be_bytes());
            assert!(headers.verify_checksums(&frame));
            assert_left_alone(&frame);
        }
    }

    #[test]
    fn fragments_are_left_alone_but_one_that_is_whole_is_not() {
        for (at, bits) in [(20, 0x20), (21, 1)] {
            let mut frame = udp(V4, &[7; 64]);
            make_partial(&mut frame);
            (frame[20], frame[21]) = (0, 0);
            frame[at] = bits;
            assert_left_alone(&frame);
        }
        for (offset, more) in [(0, true), (8, true), (8, false), (0, false)] {
            let mut header = [0; 8];
            let fragment = Fragment { offset, more, ident: 7 };
            emit_fragment(fragment, IpProto::TCP, &mut header).unwrap();
            let frame = extended(&tcp(V6, &[7; 64]), IpProto::FRAGMENT, &header);
            if fragment.is_whole() {
                assert_completed(&frame);
                continue;
            }
            let mut partial = tcp(V6, &[7; 64]);
            make_partial(&mut partial);
            assert_left_alone(&extended(&partial, IpProto::FRAGMENT, &header));
        }
    }

    #[test]
    fn frames_that_are_cut_are_left_alone() {
        for frame in [udp(V4, b"payload"), udp(V6, b"payload"), tcp(V4, b"xy"), tcp(V6, b"xy")] {
            let mut frame = frame;
            make_partial(&mut frame);
            for len in 0..frame.len() {
                assert_left_alone(&frame[..len]);
            }
            // Cut by the IP length, with the rest of the frame still there.
            let headers = Headers::parse(&frame).unwrap();
            for len in 0..frame.len() - headers.l4_offset() {
                let mut cut = frame.clone();
                match headers.ip {
                    Some(IpPair::V4 { .. }) => cut[17] = 20 + len as u8,
                    _ => cut[19] = len as u8,
                }
                assert_left_alone(&cut);
            }
        }
    }

    #[test]
    fn other_protocols_are_left_alone() {
        const UDP_LITE: IpProto = IpProto(136);
        const SCTP: IpProto = IpProto(132);
        for proto in [UDP_LITE, SCTP, IpProto::GRE, IpProto::ICMP, IpProto::ICMPV6] {
            for (ip, at) in [(V4, 23), (V6, 20)] {
                for field in [2, 6, 16] {
                    let mut frame = udp(ip, &[7; 32]);
                    frame[at] = proto.0;
                    let l4 = 14 + ip.header_len();
                    let sum = !ip.pseudo_sum(proto, frame.len() - l4).finish();
                    frame[l4 + field..l4 + field + 2].copy_from_slice(&sum.to_be_bytes());
                    assert_left_alone(&frame);
                }
            }
        }
        let mut frame = udp(V4, b"x");
        make_partial(&mut frame);
        frame[12..14].copy_from_slice(&EtherType::ARP.0.to_be_bytes());
        assert_left_alone(&frame);
    }
}
