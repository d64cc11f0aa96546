//! The Internet checksum: RFC 1071, updated in place by RFC 1624.
//!
//! Sums are taken over native-endian words: the ones-complement sum does not care about byte order
//! (RFC 1071 §2(B)) as long as the result is stored the way the words were loaded. Values that
//! cross this API are in host byte order, like every other field of [`proto`](super).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A partial ones-complement sum.
///
/// Pieces may come in any order, but only the last may have an odd number of bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// Nothing summed yet.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds bytes as big-endian 16-bit words; a last odd byte is padded with zero.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // Each term is below 2^33, so 2^31 pieces fit before the accumulator could overflow.
        Self(self.0 + sum_words(bytes))
    }

    /// Adds one 16-bit field given in host order.
    #[inline]
    #[must_use]
    pub const fn u16(self, value: u16) -> Self {
        Self(self.0 + value.to_be() as u64)
    }

    /// Adds one 32-bit field given in host order.
    #[inline]
    #[must_use]
    pub const fn u32(self, value: u32) -> Self {
        Self(self.0 + value.to_be() as u64)
    }

    /// The checksum to store: the complement of the folded sum, in host order.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> u16 {
        u16::from_be(!fold(self.0))
    }

    /// Whether a sum that included the stored checksum comes out right. Always true under
    /// `cfg(fuzzing)`, so that a fuzzer reaches what lies behind a checksum.
    #[inline]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        cfg!(fuzzing) || fold(self.0) == 0xffff
    }
}

/// The checksum of `bytes`, in host order.
///
/// ```
/// // RFC 1071 §3: the words sum to ddf2.
/// let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
/// assert_eq!(fluxnet::proto::checksum::of(&bytes), !0xddf2);
/// ```
#[inline]
#[must_use]
pub fn of(bytes: &[u8]) -> u16 {
    Sum::new().bytes(bytes).finish()
}

/// Below 2^33. Blocks are added as 32-bit words in 64-bit lanes, which vectorises and needs no
/// carries below 2^32 additions per lane: 128 GiB.
#[inline]
fn sum_words(bytes: &[u8]) -> u64 {
    const LOW: u64 = 0xffff_ffff;
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
            *lane = lane.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
        }
    }
    let mut sum = 0u64;
    if !blocks.is_empty() {
        for lane in lanes {
            sum += (lane & LOW) + (lane >> 32);
        }
    }
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        let word = u64::from_ne_bytes(*word);
        sum += (word & LOW) + (word >> 32);
    }
    // Piece by piece: a copy of variable length would cost more than all the additions of a header.
    let (words, tail) = tail.as_chunks::<4>();
    if let [word] = words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let (words, tail) = tail.as_chunks::<2>();
    if let [word] = words {
        sum += u64::from(u16::from_ne_bytes(*word));
    }
    if let [last] = tail {
        sum += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    (sum & LOW) + (sum >> 32)
}

#[inline]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The checksum after a 16-bit field it covers changed (RFC 1624 §3, equation 3).
///
/// Equal to a recomputation unless everything covered becomes zero, which no header can.
#[inline]
#[must_use]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// As [`update_u16`], for a 32-bit field at an even offset.
#[inline]
#[must_use]
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// As [`update_u16`], for an IPv4 address.
#[inline]
#[must_use]
pub fn update_v4(checksum: u16, old: Ipv4Addr, new: Ipv4Addr) -> u16 {
    update_u32(checksum, old.to_bits(), new.to_bits())
}

/// As [`update_u16`], for an IPv6 address.
#[must_use]
pub fn update_v6(checksum: u16, old: Ipv6Addr, new: Ipv6Addr) -> u16 {
    let old = old.segments().iter().fold(0u64, |sum, word| sum + u64::from(!word));
    let new = new.segments().iter().fold(0u64, |sum, word| sum + u64::from(*word));
    !fold(u64::from(!checksum) + old + new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word by word.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn every_length_up_to_200_agrees_with_the_definition() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * 151 + 13) as u8 | 0x80).collect();
        for len in 0..bytes.len() {
            assert_eq!(of(&bytes[..len]), slow(&bytes[..len]), "{len}");
        }
        assert_eq!(of(&[0xff; 65536]), slow(&[0xff; 65536]));
    }

    #[test]
    fn the_example_of_rfc_1624_updates_to_zero_not_to_ffff() {
        // RFC 1624 §4: HC 0xdd2f, m 0x5555, m' 0x3285.
        assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn pieces_sum_like_the_whole() {
        let bytes = [0x45, 0, 0, 0x54, 0xde, 0xad, 0xbe, 0xef, 7];
        let pieces = Sum::new().u16(0x4500).u32(0x0054_dead).bytes(&[0xbe, 0xef]).bytes(&[7]);
        assert_eq!(pieces.finish(), of(&bytes));
    }
}
