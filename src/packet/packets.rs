//! Many owned packets in one container, at the cost of one.

use super::{Packet, Way, packet_methods};
use crate::ids::{PortIndex, QueueIndex};
use crate::umem::{Buffer, NoRoom, Umem};
use std::sync::Arc;

/// A packet's place in a [`Packets`].
pub(crate) struct PacketSlot {
    pub(crate) buffer: Buffer,
    pub(crate) way: Way,
}

/// Owned packets of one UMEM: what [`crate::FluxRx::recv_batch`] receives into and
/// [`crate::FluxTx::send_batch`] sends from. May go to any thread.
///
/// A [`Packet`] alone counts a reference to its UMEM and returns its frame by itself; here that is
/// done once for all. Dropping or [clearing](Self::clear) it returns all frames at once.
#[derive(Default)]
pub struct Packets {
    /// That of all packets in it.
    pub(crate) umem: Option<Arc<Umem>>,
    pub(crate) slots: Vec<PacketSlot>,
}

impl Packets {
    /// An empty one, which makes room when it receives.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room for `packets`, so that receiving that many allocates nothing.
    #[must_use]
    pub fn with_capacity(packets: usize) -> Self {
        Self { umem: None, slots: Vec::with_capacity(packets) }
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The packets, in order, for reading and writing.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = PacketMut<'_>> {
        let umem = self.umem.as_deref();
        // Without a UMEM there is no packet.
        let slots = self.slots.iter_mut();
        slots.filter_map(move |slot| Some(PacketMut { slot, umem: umem? }))
    }

    /// Keeps the packets that `keep` says true for; the frames of the others go back.
    pub fn retain(&mut self, mut keep: impl FnMut(PacketMut<'_>) -> bool) {
        let Some(umem) = self.umem.as_deref() else { return };
        let gone = self.slots.extract_if(.., |slot| !keep(PacketMut { slot, umem }));
        umem.free_all(gone.map(|slot| slot.buffer.frame));
    }

    /// Puts a packet at the end.
    ///
    /// # Errors
    /// Gives it back when it is of another UMEM than those in here.
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.slots.is_empty() {
            self.umem = Some(Arc::clone(packet.umem_arc()));
        }
        if !self.umem.as_ref().is_some_and(|umem| packet.is_of(umem)) {
            return Err(packet);
        }
        let way = packet.way();
        self.slots.push(PacketSlot { buffer: packet.into_buffer(), way });
        Ok(())
    }

    /// Takes the packet `at` out, as one of its own, for somebody else; the last one takes its
    /// place. `None` when there is no such packet.
    pub fn take(&mut self, at: usize) -> Option<Packet> {
        let umem = self.umem.as_ref()?;
        if at >= self.slots.len() {
            return None;
        }
        let PacketSlot { buffer, way } = self.slots.swap_remove(at);
        Some(Packet::new(buffer, umem, way))
    }

    /// Takes the last packet out.
    pub fn pop(&mut self) -> Option<Packet> {
        let umem = self.umem.as_ref()?;
        let PacketSlot { buffer, way } = self.slots.pop()?;
        Some(Packet::new(buffer, umem, way))
    }

    /// Moves all packets of `other` to the end of this one. Packets of another UMEM than those in
    /// here stay where they are.
    pub fn append(&mut self, other: &mut Packets) {
        let same = match (&self.umem, &other.umem) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        };
        if self.slots.is_empty() && !same {
            self.umem.clone_from(&other.umem);
        } else if !same {
            return;
        }
        self.slots.append(&mut other.slots);
    }

    /// Returns all frames.
    pub fn clear(&mut self) {
        if let Some(umem) = &self.umem
            && !self.slots.is_empty()
        {
            umem.free_all(self.slots.drain(..).map(|slot| slot.buffer.frame));
        }
    }

    /// Gets ready for packets of `umem`. Those of another one are none that it could hold beside
    /// them: they are returned.
    #[inline]
    pub(crate) fn of(&mut self, umem: &Arc<Umem>) -> &mut Vec<PacketSlot> {
        if !self.umem.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, umem)) {
            self.clear();
            self.umem = Some(Arc::clone(umem));
        }
        &mut self.slots
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.clear();
    }
}

impl std::fmt::Debug for Packets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packets({})", self.len())
    }
}

/// A packet in a [`Packets`].
pub struct PacketMut<'p> {
    slot: &'p mut PacketSlot,
    umem: &'p Umem,
}

impl PacketMut<'_> {
    packet_methods!(slot.buffer);

    /// Position, among the opened queues, of the one it came from, or was given.
    #[must_use]
    pub fn queue(&self) -> QueueIndex {
        self.slot.way.queue
    }

    /// Chooses the queue that it will leave by, as [`Packet::set_queue`] does.
    pub fn set_queue(&mut self, queue: QueueIndex) {
        self.slot.way = Way { queue, port: None };
    }

    /// Chooses the port that it will leave by, as [`Packet::set_port`] does.
    pub fn set_port(&mut self, port: PortIndex) {
        self.slot.way.port = Some(port);
    }
}
