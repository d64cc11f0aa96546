//! Putting fragments together again (RFC 791 §3.2, RFC 8200 §4.5).

use super::fragment::seal_header;
use crate::proto::{Headers, IpProto};
use std::collections::HashMap;
use std::net::IpAddr;

/// Datagrams that are put together at a time; with one more, all those that are not complete are
/// given up.
const MOST: usize = 64;

/// Fragments of one datagram at most.
const MOST_PARTS: usize = 512;

/// Length of an IPv6 header, and of its fragment header.
const V6: usize = 40;
const V6_FRAGMENT: usize = 8;

/// What all fragments of a datagram have.
type Key = (IpAddr, IpAddr, IpProto, u32);

/// Those of one datagram.
#[derive(Default)]
struct Parts {
    /// Offset and bytes of each.
    parts: Vec<(usize, Vec<u8>)>,
    /// Length of all of them, once the last is there.
    len: Option<usize>,
    /// Ethernet and IP header, once the first is there.
    head: Option<Vec<u8>>,
}

/// A datagram that was put together.
pub(super) struct Whole {
    pub(super) packet: Vec<u8>,
    /// Of how many fragments.
    pub(super) fragments: u32,
}

/// The datagrams of which some fragments are there.
#[derive(Default)]
pub(super) struct Reassembly(HashMap<Key, Parts>);

impl Reassembly {
    /// Takes a fragment in; the datagram, if it is complete now.
    pub(super) fn add(&mut self, packet: &[u8], headers: &Headers) -> Option<Whole> {
        let fragment = headers.fragment?;
        let ip = headers.ip?;
        let (l3, l4) = (headers.l3_offset(), payload_at(packet, headers)?);
        let bytes = packet.get(l4..headers.payload_range().end)?;
        let key = (ip.src(), ip.dst(), headers.proto, fragment.ident);
        if !self.0.contains_key(&key) && self.0.len() >= MOST {
            self.0.clear();
        }
        let datagram = self.0.entry(key).or_default();
        let offset = usize::from(fragment.offset);
        if datagram.parts.len() >= MOST_PARTS {
            return None;
        }
        if fragment.is_first() {
            let header_end = if ip.is_v4() { l4 } else { l3 + V6 };
            datagram.head = Some(packet.get(..header_end)?.to_vec());
        }
        if !fragment.more {
            datagram.len = Some(offset + bytes.len());
        }
        datagram.parts.push((offset, bytes.to_vec()));
        let whole = datagram.whole(l3, headers.proto, ip.is_v4())?;
        self.0.remove(&key);
        Some(whole)
    }
}

/// Where the bytes of a fragment begin. An IPv6 one with other headers before the fragment header is
/// not read.
fn payload_at(packet: &[u8], headers: &Headers) -> Option<usize> {
    let l3 = headers.l3_offset();
    if headers.ip?.is_v4() {
        return Some(l3 + usize::from(packet.get(l3)? & 0x0f) * 4);
    }
    (*packet.get(l3 + 6)? == IpProto::FRAGMENT.0).then_some(l3 + V6 + V6_FRAGMENT)
}

impl Parts {
    fn whole(&mut self, l3: usize, proto: IpProto, v4: bool) -> Option<Whole> {
        let (len, head) = (self.len?, self.head.as_ref()?);
        self.parts.sort_by_key(|part| part.0);
        let mut packet = head.clone();
        let start = packet.len();
        for (offset, bytes) in &self.parts {
            // A gap, or parts that overlap: those are nobody's in this network.
            let twice = start + offset + bytes.len() <= packet.len();
            if !twice && packet.len() != start + offset {
                return None;
            }
            if !twice {
                packet.extend_from_slice(bytes);
            }
        }
        if packet.len() != start + len {
            return None;
        }
        if v4 {
            let total = u16::try_from(packet.len() - l3).ok()?;
            packet[l3 + 2..l3 + 4].copy_from_slice(&total.to_be_bytes());
            packet[l3 + 6..l3 + 8].fill(0);
            seal_header(&mut packet[l3..start]);
        } else {
            let payload = u16::try_from(len).ok()?;
            packet[l3 + 4..l3 + 6].copy_from_slice(&payload.to_be_bytes());
            packet[l3 + 6] = proto.0;
        }
        Some(Whole { packet, fragments: self.parts.len() as u32 })
    }
}
