//! The writing side of a ring.

use super::mem::RingMem;
use super::{Cursor, NEED_WAKEUP, RingSnapshot};
use crate::sync::{Ordering, order, wakeup_fence};

/// Writes entries; the other side reads them.
pub struct Producer<T> {
    pub(super) mem: RingMem<T>,
    pub(super) cursor: Cursor,
}

impl<T: Copy> Producer<T> {
    /// The one producer of `mem`. It starts where the shared words stand.
    pub(crate) fn new(mem: RingMem<T>) -> Self {
        let near = mem.producer().load(Ordering::Relaxed);
        let far = mem.consumer().load(order::OBSERVE); // pairs with Drain::release
        let cursor = Cursor::new(mem.size, near, far);
        Self { mem, cursor }
    }

    /// Number of slots.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.mem.size
    }

    /// Free slots, up to `want` of them, loading the far index only when the cache has too few.
    #[inline(always)]
    fn grant(&mut self, want: u32) -> u32 {
        if self.cursor.free() < want {
            // Pairs with Drain::release: the reader is done with the slots before we reuse them.
            self.cursor.refresh(self.mem.consumer().load(order::OBSERVE));
        }
        self.cursor.free().min(want)
    }

    /// Reserves up to `want` slots. Nothing is visible to the other side until
    /// [`Reservation::commit`]; dropping the guard takes everything back.
    #[inline(always)]
    pub fn reserve(&mut self, want: u32) -> Reservation<'_, T> {
        let granted = self.grant(want);
        Reservation { ring: self, granted, written: 0 }
    }

    /// Whether the other side asked to be woken. Call it after committing: it fences first.
    #[inline(always)]
    #[must_use]
    pub fn needs_wakeup(&self) -> bool {
        wakeup_fence();
        self.mem.flags().load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }

    /// Sets or clears NEED_WAKEUP: the kernel's side of the protocol (it writes RX and
    /// completion entries, and the flags of all four rings).
    pub fn set_need_wakeup(&self, on: bool) {
        set_flag(&self.mem, on);
    }

    /// Entries written and not yet consumed, by a fresh look at the far index.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.cursor.near().wrapping_sub(self.mem.consumer().load(order::OBSERVE))
    }

    /// The ring as it stands now.
    #[must_use]
    pub fn snapshot(&self) -> RingSnapshot {
        RingSnapshot {
            cached_producer: Some(self.cursor.near()),
            cached_consumer: Some(self.cursor.far()),
            ..published(&self.mem)
        }
    }
}

/// Slots reserved in a ring and not yet visible to the other side.
#[must_use = "nothing reaches the other side until commit()"]
pub struct Reservation<'r, T> {
    pub(super) ring: &'r mut Producer<T>,
    pub(super) granted: u32,
    pub(super) written: u32,
}

impl<T: Copy> Reservation<'_, T> {
    /// Slots not yet written.
    #[inline(always)]
    #[must_use]
    pub fn room(&self) -> u32 {
        self.granted - self.written
    }

    /// Slots written and not yet published.
    #[inline(always)]
    pub(crate) fn written(&self) -> u32 {
        self.written
    }

    /// Writes the next entry, or gives it back when the reservation is used up.
    #[inline(always)]
    pub fn write(&mut self, item: T) -> Result<(), T> {
        if self.written == self.granted {
            return Err(item);
        }
        let slot = self.ring.mem.slot(self.ring.cursor.slot(self.written));
        // SAFETY: near..near+granted is ours until the Release store in commit(), and the
        // exclusive borrow of the producer excludes a second writer.
        slot.with_mut(|p| unsafe { p.write(item) });
        self.written += 1;
        Ok(())
    }

    /// Writes the items, as many as there is room for.
    #[inline(always)]
    pub fn fill(&mut self, mut items: impl Iterator<Item = T>) {
        loop {
            let Self { ring, granted, written } = self;
            let before = *written;
            let run = ring.mem.run(ring.cursor.slot(before), *granted - before);
            for (slot, item) in run.iter().zip(&mut items) {
                // SAFETY: near..near+granted is ours until the Release store in commit(), and the
                // exclusive borrow of the producer excludes a second writer.
                slot.with_mut(|p| unsafe { p.write(item) });
                *written += 1;
            }
            if *written == before {
                return;
            }
        }
    }

    /// Makes what was written visible and returns how many entries that was.
    #[inline(always)]
    pub fn commit(mut self) -> u32 {
        self.publish()
    }

    /// [`Self::commit`] for guards that commit when they are dropped. What is left of the
    /// reservation stays reserved.
    #[inline(always)]
    pub(crate) fn publish(&mut self) -> u32 {
        let written = std::mem::take(&mut self.written);
        if written > 0 {
            self.granted -= written;
            self.ring.cursor.advance(written);
            // Pairs with Consumer::peek: slots before index.
            self.ring.mem.producer().store(self.ring.cursor.near(), order::PUBLISH);
        }
        written
    }
}

/// What both sides of a ring see of it.
pub(super) fn published<T: Copy>(mem: &RingMem<T>) -> RingSnapshot {
    RingSnapshot {
        size: Some(mem.size),
        producer: Some(mem.producer().load(Ordering::Relaxed)),
        consumer: Some(mem.consumer().load(Ordering::Relaxed)),
        flags: Some(mem.flags().load(Ordering::Relaxed)),
        ..RingSnapshot::default()
    }
}

pub(super) fn set_flag<T: Copy>(mem: &RingMem<T>, on: bool) {
    mem.flags().store(if on { NEED_WAKEUP } else { 0 }, Ordering::Relaxed);
    // The kernel's half of the wakeup protocol: flag first, then look at the ring once more.
    wakeup_fence();
}
