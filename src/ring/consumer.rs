//! The reading side of a ring.

use super::mem::RingMem;
use super::producer::{published, set_flag};
use super::{Cursor, NEED_WAKEUP, RingSnapshot};
use crate::sync::{Ordering, order, wakeup_fence};

/// Reads entries that the other side wrote.
pub struct Consumer<T> {
    pub(super) mem: RingMem<T>,
    pub(super) cursor: Cursor,
}

impl<T: Copy> Consumer<T> {
    /// The one consumer of `mem`. It starts where the shared words stand.
    pub(crate) fn new(mem: RingMem<T>) -> Self {
        let near = mem.consumer().load(Ordering::Relaxed);
        let far = mem.producer().load(order::OBSERVE); // pairs with Reservation::commit
        let cursor = Cursor::new(mem.size, near, far);
        Self { mem, cursor }
    }

    /// Number of slots.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.mem.size
    }

    /// Looks at up to `max` entries. Their slots stay the reader's until [`Drain::release`];
    /// dropping the guard leaves them in the ring.
    #[inline(always)]
    pub fn peek(&mut self, max: u32) -> Drain<'_, T> {
        if self.cursor.filled() < max {
            // Pairs with Reservation::commit: index before slots.
            self.cursor.refresh(self.mem.producer().load(order::OBSERVE));
        }
        let granted = self.cursor.filled().min(max);
        Drain { ring: self, granted, taken: 0 }
    }

    /// Asks the CPU for the entries behind the next `skip` ones, up to `most` of those that are
    /// known to be there. What is not there yet is left alone: the writer needs those lines.
    #[inline(always)]
    pub(crate) fn prefetch(&self, skip: u32, most: u32) {
        let per_line = (64 / size_of::<T>().max(1)).max(1);
        let end = self.cursor.filled().min(skip.saturating_add(most));
        for ahead in (skip..end).step_by(per_line) {
            self.mem.prefetch(self.cursor.slot(ahead));
        }
    }

    /// Entries waiting, by a fresh look at the far index.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.mem.producer().load(order::OBSERVE).wrapping_sub(self.cursor.near())
    }

    /// Whether the other side asked to be woken. It fences first.
    #[inline(always)]
    #[must_use]
    pub fn needs_wakeup(&self) -> bool {
        wakeup_fence();
        self.mem.flags().load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }

    /// Sets or clears NEED_WAKEUP: the kernel's side of the protocol (it reads fill and TX).
    pub fn set_need_wakeup(&self, on: bool) {
        set_flag(&self.mem, on);
    }

    /// The ring as it stands now.
    #[must_use]
    pub fn snapshot(&self) -> RingSnapshot {
        RingSnapshot {
            cached_producer: Some(self.cursor.far()),
            cached_consumer: Some(self.cursor.near()),
            ..published(&self.mem)
        }
    }
}

/// Entries being read. Not released yet, so the other side cannot overwrite them.
#[must_use = "entries stay in the ring until release()"]
pub struct Drain<'r, T> {
    pub(super) ring: &'r mut Consumer<T>,
    pub(super) granted: u32,
    pub(super) taken: u32,
}

impl<T: Copy> Drain<'_, T> {
    /// Entries not yet taken.
    #[inline(always)]
    #[must_use]
    pub fn left(&self) -> u32 {
        self.granted - self.taken
    }

    /// The next entry.
    #[inline(always)]
    pub fn take(&mut self) -> Option<T> {
        if self.taken == self.granted {
            return None;
        }
        let item = self.read(self.taken);
        self.taken += 1;
        Some(item)
    }

    /// Looks at all that is left, in order; everything stays where it is.
    #[inline(always)]
    pub fn look(&self, mut each: impl FnMut(&T)) {
        let mut at = self.taken;
        while at < self.granted {
            let run = self.ring.mem.run(self.ring.cursor.slot(at), self.granted - at);
            for slot in run {
                // SAFETY: as in read().
                each(&slot.with(|p| unsafe { p.read() }));
            }
            at += run.len() as u32;
        }
    }

    /// `at` is below `granted`.
    #[inline(always)]
    fn read(&self, at: u32) -> T {
        let slot = self.ring.mem.slot(self.ring.cursor.slot(at));
        // SAFETY: the acquire load in peek() saw the producer past this slot, so it is written;
        // the producer will not touch it again until release().
        slot.with(|p| unsafe { p.read() })
    }

    /// Takes all that is left. An entry counts as taken before `each` sees it.
    #[inline(always)]
    pub fn take_all(&mut self, mut each: impl FnMut(T)) {
        while self.taken < self.granted {
            let Self { ring, granted, taken } = self;
            for slot in ring.mem.run(ring.cursor.slot(*taken), *granted - *taken) {
                *taken += 1;
                // SAFETY: as in read(): granted by peek(), and not released yet.
                each(slot.with(|p| unsafe { p.read() }));
            }
        }
    }

    /// Gives the slots of the taken entries back and returns how many that was.
    #[inline(always)]
    pub fn release(mut self) -> u32 {
        self.give_back()
    }

    /// [`Self::release`] for guards that release when they are dropped.
    #[inline(always)]
    pub(crate) fn give_back(&mut self) -> u32 {
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 {
            self.granted -= taken;
            self.ring.cursor.advance(taken);
            // Pairs with Producer::grant: we are done reading before the slots are reused.
            self.ring.mem.consumer().store(self.ring.cursor.near(), order::PUBLISH);
        }
        taken
    }
}
