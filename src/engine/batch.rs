//! One batch of received packets.

use crate::backend::Backend;
use crate::packet::{PacketRef, Slot};
use crate::umem::Umem;
use std::sync::Arc;

/// Packets received together on one queue. Iterate it as often as you like; packets that were
/// extracted are gone from it.
pub struct PacketBatch<'e> {
    pub(crate) slots: &'e mut Vec<Slot>,
    pub(crate) umem: &'e Arc<Umem>,
    pub(crate) queue: usize,
    pub(crate) backend: &'e dyn Backend,
}

impl PacketBatch<'_> {
    /// Packets that are still in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|s| !s.buffer.frame.is_taken()).count()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position, among the opened queues, of the one it came from.
    #[must_use]
    pub fn queue(&self) -> usize {
        self.queue
    }

    /// Now, in ns of the clock of [`PacketRef::rx_timestamp`].
    #[must_use]
    pub fn now(&self) -> u64 {
        self.backend.now()
    }

    /// The packets, in order of arrival.
    #[inline]
    pub fn iter_mut(&mut self) -> Iter<'_> {
        Iter { slots: self.slots.iter_mut(), umem: self.umem, queue: self.queue }
    }
}

impl<'b> IntoIterator for &'b mut PacketBatch<'_> {
    type Item = PacketRef<'b>;
    type IntoIter = Iter<'b>;

    #[inline]
    fn into_iter(self) -> Iter<'b> {
        self.iter_mut()
    }
}

/// The packets of a batch, in order of arrival.
pub struct Iter<'b> {
    slots: std::slice::IterMut<'b, Slot>,
    umem: &'b Arc<Umem>,
    queue: usize,
}

impl<'b> Iterator for Iter<'b> {
    type Item = PacketRef<'b>;

    #[inline(always)]
    fn next(&mut self) -> Option<PacketRef<'b>> {
        let slot = self.slots.find(|slot| !slot.buffer.frame.is_taken())?;
        Some(PacketRef { slot, umem: self.umem, queue: self.queue })
    }
}
