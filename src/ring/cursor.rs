/// Index arithmetic of one side of a ring: our own index and the cached far one.
///
/// Pure, so that it can be proved for every start value. All arithmetic wraps.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    near: u32,
    far: u32,
    size: u32,
}

impl Cursor {
    /// A cursor over a ring of `size` slots; `near` is our index, `far` the other side's.
    /// `size` must be a power of two, at most 2³¹.
    #[must_use]
    pub fn new(size: u32, near: u32, far: u32) -> Self {
        debug_assert!(size.is_power_of_two());
        Self { near, far, size }
    }

    /// Our index.
    #[inline(always)]
    #[must_use]
    pub fn near(&self) -> u32 {
        self.near
    }

    /// The far index as last loaded.
    #[inline(always)]
    #[must_use]
    pub fn far(&self) -> u32 {
        self.far
    }

    /// The slot of the entry `ahead` places after our index; always below `size`.
    #[inline(always)]
    #[must_use]
    pub fn slot(&self, ahead: u32) -> usize {
        (self.near.wrapping_add(ahead) & (self.size - 1)) as usize
    }

    /// Free slots by the cached far (consumer) index, seen from the producer.
    /// A far index that lies (more than `size` behind) counts as full.
    #[inline(always)]
    #[must_use]
    pub fn free(&self) -> u32 {
        self.size.saturating_sub(self.near.wrapping_sub(self.far))
    }

    /// Entries by the cached far (producer) index, seen from the consumer. At most `size`,
    /// also when the far index lies.
    #[inline(always)]
    #[must_use]
    pub fn filled(&self) -> u32 {
        self.far.wrapping_sub(self.near).min(self.size)
    }

    /// Takes over a freshly loaded far index.
    #[inline(always)]
    pub fn refresh(&mut self, far: u32) {
        self.far = far;
    }

    /// Moves our index `n` entries on.
    #[inline(always)]
    pub fn advance(&mut self, n: u32) {
        self.near = self.near.wrapping_add(n);
    }
}

#[cfg(all(test, not(flux_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn free_and_filled_add_up_from_any_start(
            start: u32, bits in 0u32..16, used_seed: u32,
        ) {
            let size = 1 << bits;
            let used = used_seed % (size + 1);
            let producer = Cursor::new(size, start.wrapping_add(used), start);
            let consumer = Cursor::new(size, start, start.wrapping_add(used));
            prop_assert_eq!(producer.free(), size - used);
            prop_assert_eq!(consumer.filled(), used);
        }

        #[test]
        fn slots_are_consecutive_modulo_size_and_inside(start: u32, bits in 0u32..16, n: u32) {
            let size = 1u32 << bits;
            let mut cursor = Cursor::new(size, start, start);
            let ahead = n % size;
            let slot = cursor.slot(ahead);
            prop_assert!(slot < size as usize);
            cursor.advance(ahead);
            prop_assert_eq!(cursor.slot(0), slot);
            cursor.advance(1);
            prop_assert_eq!(cursor.slot(0), (slot + 1) % size as usize);
        }

        #[test]
        fn a_far_index_that_lies_never_grants_more_than_the_ring(near: u32, far: u32, bits in 0u32..16) {
            let cursor = Cursor::new(1 << bits, near, far);
            prop_assert!(cursor.free() <= 1 << bits);
            prop_assert!(cursor.filled() <= 1 << bits);
        }
    }
}
