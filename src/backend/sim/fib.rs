//! A router's table: the longest prefix that covers an address, in a look-up per prefix length.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

/// What is known about a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// An address of the router itself.
    Own,
    /// A network that one of its interfaces, by number, is in.
    Link(usize),
    /// One of its routes, by number.
    Route(usize),
}

/// A multiplication a word. The keys are a topology's, which nobody makes to collide.
#[derive(Default)]
pub(super) struct Quick(u64);

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Quick {
    fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(GOLDEN);
        self.0 = mixed ^ mixed >> 32;
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_ne_bytes(word));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.word(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.word(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.word(n as u64);
    }

    fn write_u128(&mut self, n: u128) {
        self.word(n as u64);
        self.word((n >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A hash map over [`Quick`].
pub(super) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// The prefixes of one family, addresses at the upper end of 128 bits.
#[derive(Default)]
struct Table {
    /// Those there are, longest first.
    lengths: Vec<u8>,
    entries: QuickMap<(u128, u8), Known>,
}

fn key(bits: u128, len: u8) -> u128 {
    bits & !u128::MAX.checked_shr(len.into()).unwrap_or(0)
}

impl Table {
    fn insert(&mut self, bits: u128, len: u8, known: Known) {
        self.entries.insert((key(bits, len), len), known);
        if let Err(at) = self.lengths.binary_search_by(|other| len.cmp(other)) {
            self.lengths.insert(at, len);
        }
    }

    /// What the longest prefix says, and its length.
    fn get(&self, bits: u128) -> Option<(Known, u8)> {
        let entry = |&len: &u8| Some((*self.entries.get(&(key(bits, len), len))?, len));
        self.lengths.iter().find_map(entry)
    }
}

/// Both families' tables.
#[derive(Default)]
pub(super) struct Fib {
    v4: Table,
    v6: Table,
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Fib {
    /// Takes a prefix in; the last word on one counts.
    pub(super) fn insert(&mut self, (address, len): (IpAddr, u8), known: Known) {
        let table = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        table.insert(bits(address), len, known);
    }

    /// What the longest prefix that covers `address` says.
    pub(super) fn get(&self, address: IpAddr) -> Option<Known> {
        self.longest(address).map(|(known, _)| known)
    }

    /// How long the longest prefix is that covers `address`; 0 where none does.
    pub(super) fn prefix_len(&self, address: IpAddr) -> u8 {
        self.longest(address).map_or(0, |(_, len)| len)
    }

    fn longest(&self, address: IpAddr) -> Option<(Known, u8)> {
        let table = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        table.get(bits(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::filter::covers;
    use proptest::prelude::*;

    fn address() -> impl Strategy<Value = IpAddr> {
        // Few bits, so that prefixes nest.
        let v4 = |bits: u32| IpAddr::from((bits << 28 | bits & 7).to_be_bytes());
        let v6 = |bits: u32| IpAddr::from((u128::from(bits) << 124 | 1).to_be_bytes());
        (0u32..16, prop::bool::ANY)
            .prop_map(move |(bits, six)| if six { v6(bits) } else { v4(bits) })
    }

    proptest! {
        #[test]
        fn the_longest_prefix_wins_and_among_equals_the_last(
            prefixes in prop::collection::vec((address(), 0u8..=128), 0..40),
            wanted in address(),
        ) {
            let mut fib = Fib::default();
            let fits = |(address, len): (IpAddr, u8)| {
                (address, len.min(if address.is_ipv4() { 32 } else { 128 }))
            };
            let prefixes: Vec<_> = prefixes.into_iter().map(fits).collect();
            for (n, &prefix) in prefixes.iter().enumerate() {
                fib.insert(prefix, Known::Route(n));
            }
            let all = prefixes.iter().enumerate().filter(|(_, prefix)| covers(**prefix, wanted));
            let best = all.max_by_key(|(n, prefix)| (prefix.1, *n)).map(|(n, _)| Known::Route(n));
            prop_assert_eq!(fib.get(wanted), best);
        }
    }
}
