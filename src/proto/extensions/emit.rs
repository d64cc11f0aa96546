//! Writing extensions.

use super::{EXTENSION_VERSION, HEADER_LEN, MPLS_CLASS, MPLS_STACK};
use crate::proto::checksum;

/// An entry of an MPLS label stack, without the bottom-of-stack bit: its place tells that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MplsEntry {
    /// Label, 20 bits.
    pub label: u32,
    /// Traffic class, 3 bits.
    pub tc: u8,
    /// TTL.
    pub ttl: u8,
}

impl MplsEntry {
    /// As in a packet (RFC 3032 §2.1); `bottom` for the last entry of the stack. Bits beyond their
    /// fields are left out.
    #[must_use]
    pub fn octets(self, bottom: bool) -> [u8; 4] {
        let word = (self.label & 0xf_ffff) << 12
            | u32::from(self.tc & 7) << 9
            | u32::from(bottom) << 8
            | u32::from(self.ttl);
        word.to_be_bytes()
    }
}

/// Writes an extension structure with one object, the label stack `stack` (outermost first), and
/// its checksum. Returns the length; `None` when there is no room or the stack is empty.
///
/// What lies in front of it, the original datagram padded to [`ORIGINAL_LEN`](super::ORIGINAL_LEN) at least and the
/// error's length field, is the caller's.
///
/// ```
/// use fluxnet::proto::extensions::{MplsEntry, emit};
///
/// let mut out = [0; 32];
/// let len = emit(&[MplsEntry { label: 24001, tc: 0, ttl: 1 }], &mut out).unwrap();
/// assert_eq!(len, 12);
/// assert_eq!(out[4..12], [0, 8, 1, 1, 0x05, 0xdc, 0x11, 1]);
/// ```
#[must_use]
pub fn emit(stack: &[MplsEntry], out: &mut [u8]) -> Option<usize> {
    let object_len = HEADER_LEN + 4 * stack.len();
    let length = u16::try_from(object_len).ok().filter(|_| !stack.is_empty())?;
    let out = out.get_mut(..HEADER_LEN + object_len)?;
    let (header, object) = out.split_at_mut(HEADER_LEN);
    header.copy_from_slice(&[EXTENSION_VERSION << 4, 0, 0, 0]);
    let (head, entries) = object.split_at_mut(HEADER_LEN);
    head[..2].copy_from_slice(&length.to_be_bytes());
    head[2..].copy_from_slice(&[MPLS_CLASS, MPLS_STACK]);
    for (at, (entry, to)) in stack.iter().zip(entries.as_chunks_mut::<4>().0).enumerate() {
        *to = entry.octets(at + 1 == stack.len());
    }
    // 0 would say that there is no checksum (RFC 4884 §7); all ones is the other zero.
    let sum = match checksum::of(out) {
        0 => u16::MAX,
        sum => sum,
    };
    out[2..4].copy_from_slice(&sum.to_be_bytes());
    Some(out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_one_object_whose_last_entry_is_the_bottom() {
        let stack = [
            MplsEntry { label: 24_001, tc: 5, ttl: 1 },
            MplsEntry { label: 0xf_ffff, tc: 0, ttl: 255 },
        ];
        let mut out = [0xee; 64];
        assert_eq!(emit(&stack, &mut out), Some(16));
        assert_eq!(out[..2], [0x20, 0]);
        assert_eq!(out[4..8], [0, 12, 1, 1]);
        assert_eq!(u32::from_be_bytes(out[8..12].try_into().unwrap()), 24_001 << 12 | 5 << 9 | 1);
        assert_eq!(out[12..16], [0xff, 0xff, 0xf1, 255]);
        assert_eq!(checksum::of(&out[..16]), 0, "the sum over it all comes out right");
        assert!(out[16..].iter().all(|&byte| byte == 0xee), "nothing behind it is touched");
    }

    #[test]
    fn without_room_or_labels_there_is_nothing() {
        let one = [MplsEntry { label: 3, tc: 0, ttl: 1 }];
        assert_eq!(emit(&one, &mut [0; 11]), None);
        assert_eq!(emit(&[], &mut [0; 64]), None);
    }

    #[test]
    fn bits_beyond_a_field_do_not_reach_its_neighbours() {
        let entry = MplsEntry { label: u32::MAX, tc: 0, ttl: 0 };
        assert_eq!(entry.octets(false), [0xff, 0xff, 0xf0, 0]);
        assert_eq!(MplsEntry { label: 0, tc: 0xff, ttl: 0 }.octets(true), [0, 0, 0x0f, 0]);
    }
}
