//! The one kind of batch guard: however it ends, its entries reach the other side and are counted.

use super::{Drain, Reservation};

/// What a batch has done to its ring when it ends.
pub(crate) trait Settle {
    /// Hands the entries that were written or taken to the other side; returns how many.
    fn settle(&mut self) -> u32;
}

impl<T: Copy> Settle for Reservation<'_, T> {
    #[inline(always)]
    fn settle(&mut self) -> u32 {
        self.publish()
    }
}

impl<T: Copy> Settle for Drain<'_, T> {
    #[inline(always)]
    fn settle(&mut self) -> u32 {
        self.give_back()
    }
}

/// A [`Reservation`] or a [`Drain`] that settles when it is dropped, also by a panic, and adds to a
/// total: once a token was made of an entry, it must never be read again, and one that was
/// written stands for a frame that was handed over.
pub(crate) struct Batch<'r, G: Settle> {
    pub(crate) entries: G,
    total: &'r mut u64,
}

impl<'r, G: Settle> Batch<'r, G> {
    #[inline(always)]
    pub(crate) fn new(entries: G, total: &'r mut u64) -> Self {
        Self { entries, total }
    }
}

impl<G: Settle> Drop for Batch<'_, G> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.total += u64::from(self.entries.settle());
    }
}
