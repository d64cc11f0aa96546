//! Atomics and cells from `std`, or from loom when the crate is built with `--cfg flux_loom`.
//!
//! The only module that knows loom. Everything lock-free (`ring`, `umem::free_list`) takes its
//! primitives and its orderings from here, so that the model checker sees the code that ships.

#[cfg(flux_loom)]
pub use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};
#[cfg(not(flux_loom))]
pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// `std`'s cell with loom's closure interface.
#[cfg(not(flux_loom))]
#[repr(transparent)]
pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(flux_loom))]
impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer for reading.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with a pointer for writing.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// The orderings of the lock-free code, by what they do. A mutant build
/// (`--cfg flux_mutant="…"`) weakens one of them, and loom must notice.
pub mod order {
    use super::Ordering;

    /// Index store that hands entries to the other side; pairs with [`OBSERVE`].
    #[cfg(not(flux_mutant = "publish"))]
    pub const PUBLISH: Ordering = Ordering::Release;
    #[cfg(flux_mutant = "publish")]
    pub const PUBLISH: Ordering = Ordering::Relaxed;

    /// Index load that makes the other side's entries visible; pairs with [`PUBLISH`].
    #[cfg(not(flux_mutant = "observe"))]
    pub const OBSERVE: Ordering = Ordering::Acquire;
    #[cfg(flux_mutant = "observe")]
    pub const OBSERVE: Ordering = Ordering::Relaxed;

    /// Free-list exchange that gives a frame (and its bytes) away; pairs with [`TAKE`].
    #[cfg(not(flux_mutant = "give"))]
    pub const GIVE: Ordering = Ordering::Release;
    #[cfg(flux_mutant = "give")]
    pub const GIVE: Ordering = Ordering::Relaxed;

    /// Free-list exchange that takes a frame (and its bytes) over; pairs with [`GIVE`].
    #[cfg(not(flux_mutant = "take"))]
    pub const TAKE: Ordering = Ordering::Acquire;
    #[cfg(flux_mutant = "take")]
    pub const TAKE: Ordering = Ordering::Relaxed;
}

/// Orders "index published" before "NEED_WAKEUP read".
///
/// Release and Acquire do not order a store before a later load of another location; without
/// this fence both sides can miss each other: we read "awake" while the kernel, not yet seeing
/// our entries, goes to sleep. The other side needs the same between setting the flag and its last
/// look. Linux sets it with a plain store (`xsk_set_tx_need_wakeup`), so whether entries are still
/// pending is looked at again with each flush.
#[inline(always)]
pub fn wakeup_fence() {
    #[cfg(not(flux_mutant = "fence"))]
    fence(Ordering::SeqCst);
}
