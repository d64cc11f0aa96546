//! One batch of received packets.

use crate::backend::Backend;
use crate::ids::{PortIndex, QueueIndex};
use crate::packet::{Packet, PacketRef, SendError, Slot, Way, Ways};
use crate::socket::{Number, TxHalf};
use crate::umem::{FrameCache, Umem};
use crate::worker::Routes;
use std::cell::Cell;
use std::sync::Arc;

/// Packets received together on one queue. Iterate it as often as you like; packets that were
/// extracted are gone from it.
pub struct PacketBatch<'e> {
    pub(super) slots: &'e mut Vec<Slot>,
    /// Packets to send that were not received with this batch.
    pub(super) extra: &'e mut Vec<Slot>,
    pub(super) umem: &'e Arc<Umem>,
    pub(super) number: Number,
    pub(super) backend: &'e dyn Backend,
    pub(super) cache: &'e mut FrameCache,
    /// The TX ring for what goes back where it came from ([`Slot::ring`]).
    pub(super) own: u16,
    pub(super) routes: &'e Routes,
    /// Of the worker.
    pub(super) tx: &'e [TxHalf],
    pub(super) lost: Cell<bool>,
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
    pub fn queue(&self) -> QueueIndex {
        self.number.queue
    }

    /// The port that it came from.
    #[must_use]
    pub fn port(&self) -> PortIndex {
        self.number.port
    }

    /// Now, in ns of the clock of [`PacketRef::rx_timestamp`].
    #[must_use]
    pub fn now(&self) -> u64 {
        self.backend.now()
    }

    /// The packets, in order of arrival.
    #[inline]
    pub fn iter_mut(&mut self) -> Iter<'_> {
        Iter {
            slots: self.slots.iter_mut(),
            umem: self.umem,
            number: self.number,
            ways: Ways { own: self.own, routes: self.routes, lost: &self.lost },
        }
    }

    /// A new packet of `len` bytes, as [`crate::FluxEngine::alloc`] makes it; it leaves by the queue
    /// of this batch, or by its port where that only receives, unless it is told another way.
    pub fn alloc(&mut self, len: usize) -> Option<Packet> {
        super::new_packet(self.cache, len, Way::of(self.number))
    }

    /// Sends a packet that is not of this batch (a new one, or one extracted before) after those of
    /// the batch.
    ///
    /// # Errors
    /// Gives it back, and says why. As many as a batch has room for may be sent with each.
    pub fn send(&mut self, packet: Packet) -> Result<(), SendError> {
        if self.extra.len() == self.extra.capacity() {
            return Err(SendError::Full(packet));
        }
        match way_out(self.routes, self.tx, self.umem, &packet) {
            Ok(to) => {
                self.extra.push(Slot { buffer: packet.into_buffer(), to: to as u16 });
                Ok(())
            }
            Err(refuse) => Err(refuse(packet)),
        }
    }
}

/// The TX ring of the worker that a packet leaves by, or why there is none.
pub(super) fn way_out(
    routes: &Routes,
    tx: &[TxHalf],
    umem: &Arc<Umem>,
    packet: &Packet,
) -> Result<usize, fn(Packet) -> SendError> {
    if !packet.is_of(umem) {
        return Err(SendError::Foreign);
    }
    if packet.is_empty() {
        return Err(SendError::Empty);
    }
    let to = packet.way().ring(routes)?;
    if packet.len() > tx[to].tx.longest() as usize {
        return Err(SendError::TooLong);
    }
    Ok(to)
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
    number: Number,
    ways: Ways<'b>,
}

impl<'b> Iterator for Iter<'b> {
    type Item = PacketRef<'b>;

    #[inline(always)]
    fn next(&mut self) -> Option<PacketRef<'b>> {
        let slot = self.slots.find(|slot| !slot.buffer.frame.is_taken())?;
        Some(PacketRef { slot, umem: self.umem, number: self.number, ways: self.ways })
    }
}
