//! The probe of one target, ready but for its numbers.

use super::ids::Token;
use super::mark::{self, MARK, Mark};
use super::plan::{PathMtu, Plan};
use crate::proto::checksum::{self, Sum};
use crate::proto::vlan::TAG_LEN;
use crate::proto::{
    ETHERNET_LEN, EtherType, ICMP_LEN, IPV6_LEN, Icmpv4Kind, Icmpv6Kind, IpPair, IpProto, Ipv4Repr,
    Ipv6Repr, MacAddr,
};
use crate::tools::probe::{Link, Path, ip_len};
use std::net::IpAddr;

/// Longest headers: Ethernet, two tags, IPv6, ICMP.
const MAX_HEAD: usize = ETHERNET_LEN + 2 * TAG_LEN + IPV6_LEN + ICMP_LEN;

/// Headers of a probe with identifier, sequence number and IPv4 identification zero. The payload
/// is the same for all probes, but for the mark, which is zero there, and kept once.
#[derive(Clone, Debug)]
pub(super) struct Template {
    head: [u8; MAX_HEAD],
    head_len: u8,
    l3: u8,
    v4: bool,
    /// Sum of ICMP header and payload, and of the pseudo-header over IPv6.
    icmp: Sum,
    /// Checksum of the IPv4 header.
    ip_checksum: u16,
}

/// What differs from probe to probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) id: u16,
    pub(super) seq: u16,
    /// IPv4 identification.
    pub(super) ident: u16,
    /// In the payload, where it has room.
    pub(super) mark: Mark,
}

impl Template {
    /// The probes of `path` over `link`; `None` only if headers and payload exceed what lengths
    /// in IP headers can say.
    pub(super) fn new(
        link: &Link,
        next_hop: MacAddr,
        path: &Path,
        plan: &Plan,
        payload: &[u8],
    ) -> Option<Self> {
        let pair = IpPair::new(path.source, path.address)?;
        let v4 = pair.is_v4();
        let l3 = ETHERNET_LEN + link.tags.len() * TAG_LEN;
        let l4 = l3 + ip_len(path.address);
        let mut frame = vec![0; l4 + ICMP_LEN + payload.len()];
        let ether_type = if v4 { EtherType::IPV4 } else { EtherType::IPV6 };
        link.emit(next_hop, ether_type, &mut frame)?;
        let icmp_len = ICMP_LEN + payload.len();
        let to = frame.get_mut(l3..)?;
        let (proto, kind) = match pair {
            IpPair::V4 { src, dst } => {
                let mut repr = Ipv4Repr::new(src, dst, IpProto::ICMP);
                (repr.ttl, repr.tos) = (plan.ttl, plan.tos);
                repr.dont_fragment = plan.path_mtu != PathMtu::Dont;
                repr.emit(icmp_len, to)?;
                (IpProto::ICMP, Icmpv4Kind::ECHO_REQUEST.0)
            }
            IpPair::V6 { src, dst } => {
                let mut repr = Ipv6Repr::new(src, dst, IpProto::ICMPV6);
                (repr.hop_limit, repr.traffic_class) = (plan.ttl, plan.tos);
                repr.emit(icmp_len, to)?;
                (IpProto::ICMPV6, Icmpv6Kind::ECHO_REQUEST.0)
            }
        };
        *frame.get_mut(l4)? = kind;
        let pseudo = if v4 { Sum::new() } else { pair.pseudo_sum(proto, icmp_len) };
        let ip_checksum = frame.get(l3 + 10..l3 + 12)?.try_into().map(u16::from_be_bytes).ok()?;
        let mut head = [0; MAX_HEAD];
        let head_len = l4 + ICMP_LEN;
        head.get_mut(..head_len)?.copy_from_slice(&frame[..head_len]);
        Some(Self {
            head,
            head_len: head_len as u8,
            l3: l3 as u8,
            v4,
            icmp: pseudo.bytes(&frame[l4..head_len]).bytes(payload),
            ip_checksum,
        })
    }

    /// Length of a probe that carries `payload` bytes.
    pub(super) fn frame_len(&self, payload: usize) -> usize {
        usize::from(self.head_len) + payload
    }

    /// Writes a probe into `to`, which is as long as [`frame_len`](Self::frame_len) says.
    pub(super) fn write(&self, numbers: Numbers, payload: &[u8], to: &mut [u8]) {
        let len = usize::from(self.head_len);
        let Some((head, body)) = to.split_at_mut_checked(len) else { return };
        head.copy_from_slice(&self.head[..len]);
        body.copy_from_slice(payload);
        let mut sum = self.icmp.u16(numbers.id).u16(numbers.seq);
        if mark::has_room(payload.len())
            && let Some(to) = body.get_mut(MARK)
        {
            let mark = numbers.mark.bytes();
            to.copy_from_slice(&mark);
            sum = sum.bytes(&mark);
        }
        let sum = sum.finish();
        put(head, len - 6, sum);
        put(head, len - 4, numbers.id);
        put(head, len - 2, numbers.seq);
        if self.v4 {
            let l3 = usize::from(self.l3);
            put(head, l3 + 4, numbers.ident);
            put(head, l3 + 10, checksum::update_u16(self.ip_checksum, 0, numbers.ident));
        }
    }
}

fn put(head: &mut [u8], at: usize, value: u16) {
    if let Some(to) = head.get_mut(at..at + 2) {
        to.copy_from_slice(&value.to_be_bytes());
    }
}

/// The payload of all probes: nothing read back but to be compared. `size` bytes that repeat
/// `pattern`; without one they count up, as ping fills them. The token stands over the first of them,
/// where ping has its time stamp.
pub(super) fn payload(size: usize, pattern: &[u8], token: Option<Token>) -> Vec<u8> {
    let mut payload: Vec<u8> = match pattern {
        [] => (0..size).map(|at| at as u8).collect(),
        pattern => pattern.iter().copied().cycle().take(size).collect(),
    };
    if let (Some(token), Some(front)) = (token, payload.first_chunk_mut()) {
        *front = token;
    }
    payload
}

/// The row of the XDP filter that takes the answers from `address`'s family to us.
pub(super) fn echo_reply(address: IpAddr) -> (u8, u8) {
    match address {
        IpAddr::V4(_) => (IpProto::ICMP.0, Icmpv4Kind::ECHO_REPLY.0),
        IpAddr::V6(_) => (IpProto::ICMPV6.0, Icmpv6Kind::ECHO_REPLY.0),
    }
}

/// Protocol and type of a probe from `address`.
pub(super) fn echo_request(address: IpAddr) -> (u8, u8) {
    match address {
        IpAddr::V4(_) => (IpProto::ICMP.0, Icmpv4Kind::ECHO_REQUEST.0),
        IpAddr::V6(_) => (IpProto::ICMPV6.0, Icmpv6Kind::ECHO_REQUEST.0),
    }
}
