//! Which of several next hops a packet takes.

use super::Balance;
use super::wire::{self, Ip};
use rand_xoshiro::Xoshiro256StarStar;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A router's dice, and the salt of its hash.
pub(super) struct Dice {
    salt: u64,
    rng: Xoshiro256StarStar,
}

impl Dice {
    /// Those of the node with this number.
    pub(super) fn new(seed: u64, node: usize) -> Self {
        // Another stream than the directions', whose seeds are made alike.
        let start = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ !(node as u64);
        let mut rng = Xoshiro256StarStar::seed_from_u64(start);
        Self { salt: rng.next_u64(), rng }
    }

    /// A number below `n`, which is not 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        share(self.rng.next_u64(), n)
    }

    /// The place, below `n`, in a group of next hops. `turn` is the group's, and moves on where
    /// they take turns.
    pub(super) fn pick(
        &mut self,
        balance: Balance,
        n: usize,
        turn: &mut usize,
        packet: &[u8],
        ip: &Ip,
    ) -> usize {
        let hash = match balance {
            Balance::RoundRobin => {
                *turn = (*turn + 1) % n;
                return *turn;
            }
            Balance::Packet => self.rng.next_u64(),
            Balance::Flow => wire::mix64(ip.flow(packet) ^ self.salt),
            Balance::Destination => wire::mix64(ip.parties(packet) ^ self.salt),
        };
        share(hash, n as u64) as usize
    }
}

/// 0 to `n` - 1 as evenly as `hash` is.
fn share(hash: u64, n: u64) -> u64 {
    ((u128::from(hash) * u128::from(n)) >> 64) as u64
}
