//! Changing addresses and ports of a packet in place, as NAT and load balancing do; every checksum
//! follows incrementally (RFC 1624), so the payload is not read.

use std::net::{IpAddr, SocketAddr};

pub use super::ip::readdress;

use super::{
    Headers, IpPair, Ipv4Mut, Ipv6Mut, TcpMut, Transport, UdpMut,
    octets::{put, u16_at},
};

/// Replaces source address and port of the frame that `headers` were parsed from, and brings
/// `headers` up to date. The port is ignored for a packet without ports. `false`, with nothing
/// changed, if the frame is not IP, of the other version, or not the one parsed.
#[must_use]
pub fn set_source(frame: &mut [u8], headers: &mut Headers, to: SocketAddr) -> bool {
    rewrite(frame, headers, Side::Source, to)
}

/// As [`set_source`], for the destination.
#[must_use]
pub fn set_destination(frame: &mut [u8], headers: &mut Headers, to: SocketAddr) -> bool {
    rewrite(frame, headers, Side::Destination, to)
}

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

fn rewrite(frame: &mut [u8], headers: &mut Headers, side: Side, to: SocketAddr) -> bool {
    let Some(old) = headers.ip else { return false };
    let new = match side {
        Side::Source => IpPair::new(to.ip(), old.dst()),
        Side::Destination => IpPair::new(old.src(), to.ip()),
    };
    let Some(new) = new else { return false };
    // The address first: it is the step that notices a frame other than the one parsed.
    let l3 = frame.get_mut(headers.l3_offset()..).unwrap_or_default();
    if !write_address(l3, side, to.ip()) {
        return false;
    }
    let l4 = frame.get_mut(headers.l4_offset()..).unwrap_or_default();
    headers.ip = Some(new);
    match &mut headers.transport {
        Transport::Udp { src_port, dst_port } => {
            let Ok(mut udp) = UdpMut::parse(l4) else { return false };
            udp.readdress(&old, &new);
            match side {
                Side::Source => udp.set_src_port(to.port()),
                Side::Destination => udp.set_dst_port(to.port()),
            }
            *port(side, src_port, dst_port) = to.port();
        }
        Transport::Tcp { src_port, dst_port, .. } => {
            let Ok(mut tcp) = TcpMut::parse(l4) else { return false };
            tcp.readdress(&old, &new);
            match side {
                Side::Source => tcp.set_src_port(to.port()),
                Side::Destination => tcp.set_dst_port(to.port()),
            }
            *port(side, src_port, dst_port) = to.port();
        }
        Transport::Icmpv6 { .. } => {
            let Some(head) = l4.first_chunk_mut::<8>() else { return false };
            let sum = readdress(u16_at(head, 2), &old, &new);
            put(head, 2, sum.to_be_bytes());
        }
        Transport::Icmpv4 { .. } | Transport::None => {}
    }
    true
}

fn port<'p>(side: Side, src: &'p mut u16, dst: &'p mut u16) -> &'p mut u16 {
    match side {
        Side::Source => src,
        Side::Destination => dst,
    }
}

fn write_address(l3: &mut [u8], side: Side, to: IpAddr) -> bool {
    match to {
        IpAddr::V4(to) => {
            let Ok(mut ip) = Ipv4Mut::parse(l3) else { return false };
            match side {
                Side::Source => ip.set_src(to),
                Side::Destination => ip.set_dst(to),
            }
        }
        IpAddr::V6(to) => {
            let Ok(mut ip) = Ipv6Mut::parse(l3) else { return false };
            match side {
                Side::Source => ip.set_src(to),
                Side::Destination => ip.set_dst(to),
            }
        }
    }
    true
}
