//! The sending half.

use super::Shared;
use crate::backend::Interest;
use crate::config::Granted;
use crate::error::Result;
use crate::packet::Packet;
use crate::poll::PollState;
use crate::socket::TxHalf;
use crate::umem::RX_HEADROOM;

/// Sends owned packets on one or more queues.
pub struct FluxTx {
    halves: Vec<TxHalf>,
    queues: Vec<usize>,
    shared: Shared,
}

impl FluxTx {
    pub(super) fn new(halves: Vec<TxHalf>, shared: Shared) -> Self {
        Self { queues: halves.iter().map(|h| h.queue).collect(), halves, shared }
    }

    /// A new packet of `len` bytes with room in front for more headers. Its bytes are whatever
    /// the frame held. `None` when every frame is in use, or `len` exceeds
    /// [`max_len`](Self::max_len).
    pub fn alloc(&mut self, len: usize) -> Option<Packet> {
        let umem = &self.shared.umem;
        let len = u32::try_from(len).ok()?;
        let mut buffer = umem.alloc_buffer(RX_HEADROOM, len).ok()?;
        if buffer.is_none() {
            self.halves.iter_mut().for_each(|half| {
                half.reap();
            });
            buffer = umem.alloc_buffer(RX_HEADROOM, len).ok()?;
        }
        buffer.map(|buffer| Packet::new(buffer, umem, 0))
    }

    /// Longest packet that [`alloc`](Self::alloc) can make, in bytes.
    #[must_use]
    pub fn max_len(&self) -> usize {
        (self.shared.umem.frame_size() - RX_HEADROOM) as usize
    }

    /// Queues a packet on the queue it names; it leaves with the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// Gives the packet back when the TX ring is full (flush and try again), when it names no
    /// opened queue, or when it comes from another UMEM.
    pub fn send(&mut self, packet: Packet) -> std::result::Result<(), Packet> {
        let Some(half) = self.halves.get_mut(packet.queue()) else { return Err(packet) };
        if !packet.is_of(&self.shared.umem) {
            return Err(packet);
        }
        let mut room = half.tx.reserve(1);
        if room.room() == 0 {
            drop(room);
            half.reap();
            room = half.tx.reserve(1);
        }
        if room.room() == 0 {
            return Err(packet);
        }
        let queue = packet.queue();
        if let Err(buffer) = room.push(packet.into_buffer()) {
            return Err(Packet::new(buffer, &self.shared.umem, queue));
        }
        drop(room);
        half.unkicked = true;
        Ok(())
    }

    /// Tells the kernel about queued packets and takes the frames of sent ones back. True when
    /// the kernel took everything; false when it wants to be asked again later.
    ///
    /// # Errors
    /// When the interface goes away.
    pub fn flush(&mut self) -> Result<bool> {
        let mut all = true;
        for half in &mut self.halves {
            all &= half.kick()?;
            half.reap();
        }
        Ok(all)
    }

    /// Waits until the kernel may take more packets, or until `deadline` in ns of
    /// [`now`](Self::now).
    ///
    /// # Errors
    /// When the interface goes away.
    pub fn wait(&mut self, deadline: Option<u64>) -> Result<bool> {
        let timeout = PollState::timeout(self.now(), deadline);
        self.shared.backend.wait(&self.queues, Interest::Tx, timeout)
    }

    /// Queues a packet and kicks, without blocking the thread while the ring is full.
    ///
    /// # Errors
    /// When the interface goes away, or the packet is not one of this socket's.
    #[cfg(feature = "async")]
    pub async fn send_async(&mut self, mut packet: Packet) -> Result<()> {
        if packet.queue() >= self.halves.len() || !packet.is_of(&self.shared.umem) {
            return Err(crate::FluxError::config(
                "packet to send",
                "comes from another socket or names a queue that is not open",
            ));
        }
        loop {
            match self.send(packet) {
                Ok(()) => {
                    self.flush()?;
                    return Ok(());
                }
                Err(back) => packet = back,
            }
            // A kick is what makes room; the other tasks run between two of them.
            self.flush()?;
            tokio::task::yield_now().await;
        }
    }

    /// Now, in ns of the clock of [`Packet::rx_timestamp`].
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.backend.now()
    }

    /// What the kernel granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.shared.granted
    }

    /// Packets queued that the kernel has not taken yet.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.halves.iter().map(|h| h.tx.pending()).sum()
    }

    /// Frames that transmission holds: queued, and not yet taken back.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.halves.iter().map(|h| h.tx.posted() - h.comp.completed()).sum()
    }
}
