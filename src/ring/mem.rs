//! The shared memory of one ring: who keeps it mapped, and where its words are.

use crate::prefetch::prefetch;
use crate::sync::{AtomicU32, UnsafeCell};
use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

/// Keeps the memory behind a ring alive (a mapping or a heap block).
pub(crate) type Owner = Arc<dyn Any + Send + Sync>;

/// Pointers into one ring's memory.
///
/// Invariant, kept by whoever builds one (`sys::mapping` and `ring::heap` alone): the three words
/// and `size` slots are valid and initialised while `owner` lives, and `size` is a power of two.
pub(crate) struct RingMem<T> {
    pub(crate) producer: NonNull<AtomicU32>,
    pub(crate) consumer: NonNull<AtomicU32>,
    pub(crate) flags: NonNull<AtomicU32>,
    pub(crate) slots: NonNull<UnsafeCell<T>>,
    pub(crate) size: u32,
    pub(crate) owner: Owner,
}

impl<T> Clone for RingMem<T> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner), ..*self }
    }
}

// SAFETY: the raw pointers forbid the auto impl. They point to atomics and to cells whose access
// the ring protocol serialises; entries are `Copy + Send` values and the owner is Send + Sync.
unsafe impl<T: Copy + Send> Send for RingMem<T> {}

impl<T: Copy> RingMem<T> {
    #[inline(always)]
    pub(crate) fn producer(&self) -> &AtomicU32 {
        // SAFETY: valid while `owner` lives, which `self` holds (RingMem invariant).
        unsafe { self.producer.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn consumer(&self) -> &AtomicU32 {
        // SAFETY: valid while `owner` lives, which `self` holds (RingMem invariant).
        unsafe { self.consumer.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn flags(&self) -> &AtomicU32 {
        // SAFETY: valid while `owner` lives, which `self` holds (RingMem invariant).
        unsafe { self.flags.as_ref() }
    }

    /// The cell of slot `at`, which must be below `size` (a [`super::Cursor`] slot is).
    #[inline(always)]
    pub(crate) fn slot(&self, at: usize) -> &UnsafeCell<T> {
        debug_assert!(at < self.size as usize);
        // SAFETY: `at < size`, as every caller takes it from Cursor::slot, and `slots` spans
        // `size` entries (RingMem invariant).
        let slot = unsafe { self.slots.add(at) };
        // SAFETY: entries are initialised and live as long as the ring (RingMem invariant).
        unsafe { slot.as_ref() }
    }

    /// Asks the CPU for the line of slot `at`, wherever that is.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: usize) {
        prefetch(self.slots.as_ptr().wrapping_add(at));
    }

    /// The cells of up to `most` slots from slot `at` on (a [`super::Cursor`] slot), as far as they
    /// lie side by side.
    #[inline(always)]
    pub(crate) fn run(&self, at: usize, most: u32) -> &[UnsafeCell<T>] {
        debug_assert!(at < self.size as usize);
        let len = (most as usize).min(self.size as usize - at);
        // SAFETY: `at < size`, as every caller takes it from Cursor::slot, and `slots` spans
        // `size` entries (RingMem invariant).
        let first = unsafe { self.slots.add(at) };
        // SAFETY: `at + len <= size` by the line above: `len` initialised cells that live as long
        // as the ring (RingMem invariant). Cells may be shared, whatever their contents do.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), len) }
    }
}
