//! VLANs of the simulated network: to which one a frame belongs, and switches that mix them up.

use super::wire::{self, ETH};
use crate::proto::vlan::TAG_LEN;
use crate::proto::{EtherType, Headers, Tag};

/// Whether a frame belongs to this VLAN: by one tag of it, or by none and a priority tag where it is
/// `None`.
pub(super) fn is_of(headers: &Headers, vlan: Option<u16>) -> bool {
    let tags = headers.vlan.iter().flatten().map(|tag| tag.vid());
    tags.eq(vlan) || vlan.is_none() && headers.vlan[1].is_none() && first(headers) == Some(0)
}

fn first(headers: &Headers) -> Option<u16> {
    headers.vlan[0].map(Tag::vid)
}

/// Takes all tags off a frame.
pub(super) fn untag(packet: &mut Vec<u8>) {
    while wire::be16(packet, 12).is_some_and(|kind| EtherType(kind).is_vlan())
        && packet.len() >= ETH + TAG_LEN
    {
        packet.drain(12..12 + TAG_LEN);
    }
}

/// Gives a frame these tags instead of those it has, outermost first: the last one of a customer
/// (802.1Q), those around it of a provider (802.1ad).
pub(super) fn retag(packet: &mut Vec<u8>, vlans: &[u16]) {
    if packet.len() < ETH {
        return;
    }
    untag(packet);
    for (nth, &vlan) in vlans.iter().rev().enumerate() {
        let kind = if nth == 0 { EtherType::VLAN } else { EtherType::QINQ };
        let tag = Tag { tpid: kind, tci: vlan & 0xfff };
        packet.splice(12..12, tag.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[0x88, 0xb5, 1, 2, 3, 4]);
        frame
    }

    fn tagged(vlans: &[u16]) -> Vec<u8> {
        let mut frame = frame();
        retag(&mut frame, vlans);
        frame
    }

    #[test]
    fn tags_are_put_on_replaced_and_taken_off() {
        assert_eq!(tagged(&[99])[12..18], [0x81, 0, 0, 99, 0x88, 0xb5]);
        assert_eq!(tagged(&[200, 100])[12..20], [0x88, 0xa8, 0, 200, 0x81, 0, 0, 100]);
        let mut other = tagged(&[200, 100]);
        retag(&mut other, &[7]);
        assert_eq!(other, tagged(&[7]));
        retag(&mut other, &[]);
        assert_eq!(other, frame());
    }

    #[test]
    fn a_frame_belongs_to_the_vlan_of_its_one_tag_and_without_a_tag_to_none() {
        for (tags, untagged, seven) in [
            (&[][..], true, false),
            (&[0], true, false),
            (&[7], false, true),
            (&[99], false, false),
            (&[7, 7], false, false),
            (&[0, 7], false, false),
        ] {
            let headers = Headers::parse(&tagged(tags)).unwrap();
            assert_eq!((is_of(&headers, None), is_of(&headers, Some(7))), (untagged, seven));
        }
    }
}
