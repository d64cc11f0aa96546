//! What the XDP program takes for us; everything else goes on to the kernel's own stack.
//!
//! The same rows are a BPF map for `bpf/redirect.bpf.c` and data for the simulated kernel.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Most rows a filter may have; the XDP program walks them all.
pub const MAX_MATCHES: usize = 32;

/// Which packets are ours.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Filter {
    /// None: a socket that only sends.
    #[default]
    Nothing,
    /// Every packet, the interface's own traffic included. Only for interfaces that are ours.
    Everything,
    /// Packets that agree with at least one row (at most [`MAX_MATCHES`]).
    Any(Vec<Match>),
}

/// One row: a packet matches when every field that is set agrees. Ports, ICMP type and
/// identifier only agree with packets that have them (so never with later fragments).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Match {
    /// EtherType after VLAN tags, e.g. 0x0806. `None`: any IP packet.
    pub ether_type: Option<u16>,
    /// IP protocol after IPv6 extension headers.
    pub ip_proto: Option<u8>,
    /// Source prefix; also decides the family.
    pub src: Option<(IpAddr, u8)>,
    /// Destination prefix; also decides the family.
    pub dst: Option<(IpAddr, u8)>,
    /// TCP or UDP source ports.
    pub src_ports: Option<RangeInclusive<u16>>,
    /// TCP or UDP destination ports.
    pub dst_ports: Option<RangeInclusive<u16>>,
    /// ICMP or ICMPv6 type.
    pub icmp_type: Option<u8>,
    /// Identifier of an ICMP or ICMPv6 echo request or reply.
    pub icmp_id: Option<RangeInclusive<u16>>,
    /// Apply every other field to the datagram quoted in an ICMP or ICMPv6 error instead: an
    /// answer about something that we sent.
    pub quoted: bool,
}
