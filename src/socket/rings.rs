//! The four rings, typed: tokens go in, tokens come out.

use super::receiver::Receiver;
use crate::backend::Kick;
use crate::error::Result as FluxResult;
use crate::ring::{Batch, Consumer, Desc, Producer, Reservation, RingSnapshot};
use crate::umem::ledger::Holder;
use crate::umem::{Buffer, Frame, Gate, Umem};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Most packets that are prefetched at once: beyond that the first ones may be gone from the cache
/// before they are looked at.
const PREFETCH_MOST: u32 = 64;

/// Posts empty frames for the kernel to receive into.
pub struct FillRing {
    pub(super) ring: Producer<u64>,
    pub(super) umem: Arc<Umem>,
    pub(super) posted: u64,
}

impl FillRing {
    pub(super) fn new(ring: Producer<u64>, umem: Arc<Umem>) -> Self {
        Self { ring, umem, posted: 0 }
    }

    /// Posts frames from the end of `frames`, up to `max` and as many as fit; returns how many.
    /// A frame of another UMEM stays in `frames`, with all before it.
    pub fn post(&mut self, frames: &mut Vec<Frame>, max: u32) -> u32 {
        let mut slots = self.reserve(max.min(frames.len() as u32));
        let from = frames.len() - slots.room() as usize;
        let foreign = frames[from..].iter().rposition(|frame| !slots.gate.owns(frame));
        let from = foreign.map_or(from, |at| from + at + 1);
        let n = frames.len() - from;
        slots.fill(frames.drain(from..).rev());
        n as u32
    }

    /// Room for up to `want` frames. They reach the kernel when the guard is dropped.
    #[inline]
    pub fn reserve(&mut self, want: u32) -> FillSlots<'_> {
        FillSlots {
            slots: Batch::new(self.ring.reserve(want), &mut self.posted),
            gate: self.umem.gate(),
        }
    }

    /// Whether the kernel asked to be woken for new frames.
    #[must_use]
    pub fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }

    /// Frames posted so far.
    #[must_use]
    pub fn posted(&self) -> u64 {
        self.posted
    }

    /// The ring as it stands now.
    #[must_use]
    pub fn snapshot(&self) -> RingSnapshot {
        self.ring.snapshot()
    }
}

/// Reserved room in a fill ring. Dropping it commits what was pushed: the frames were handed over.
pub struct FillSlots<'r> {
    slots: Batch<'r, Reservation<'r, u64>>,
    gate: Gate<'r>,
}

impl FillSlots<'_> {
    /// Frames that still fit.
    #[must_use]
    #[inline(always)]
    pub fn room(&self) -> u32 {
        self.slots.entries.room()
    }

    /// Hands a frame over, or back when there is no room or it is of another UMEM.
    #[inline(always)]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.slots.entries.room() == 0 || !self.gate.owns(&frame) {
            return Err(frame);
        }
        let addr = self.gate.post(frame, Holder::User, Holder::Reception);
        let _ = self.slots.entries.write(addr); // room() > 0
        Ok(())
    }

    /// Hands over frames of this UMEM, as many as there is room for.
    #[inline(always)]
    pub(super) fn fill(&mut self, frames: impl Iterator<Item = Frame>) {
        let Self { slots, gate } = self;
        slots.entries.fill(frames.map(|f| gate.post(f, Holder::User, Holder::Reception)));
    }
}

/// Hands out received packets. Dropping it gives the queue back to the kernel's stack at once, also
/// while the other rings live: packets that come later go there, those that wait in it are dropped.
/// Frames that lie in the fill ring stay with the kernel until the UMEM is closed.
pub struct RxRing {
    pub(super) ring: Consumer<Desc>,
    pub(super) umem: Arc<Umem>,
    pub(super) prefetch: bool,
    /// Descriptors taken, invalid ones included.
    pub(super) taken: u64,
    pub(super) invalid: u64,
    /// None in a ring that stands for itself, in tests.
    receiver: Option<Receiver>,
}

impl RxRing {
    pub(super) fn new(ring: Consumer<Desc>, umem: Arc<Umem>, prefetch: bool) -> Self {
        Self { ring, umem, prefetch, taken: 0, invalid: 0, receiver: None }
    }

    /// This ring as the one that gets the packets of a queue.
    pub(super) fn with(mut self, receiver: Receiver) -> Self {
        self.receiver = Some(receiver);
        self
    }

    /// Leaves what comes from now on to the kernel's stack.
    pub(super) fn stop(&mut self) {
        self.receiver.iter_mut().for_each(Receiver::stop);
    }

    /// Receives again.
    pub(super) fn start(&mut self) -> FluxResult<()> {
        self.receiver.iter_mut().try_for_each(Receiver::start)
    }

    /// Passes up to `max` received packets to `each` and returns how many there were. Their ring
    /// slots are free when it returns; the frames are the callee's. When `each` panics, what it was
    /// given is its own, those behind that are still in this ring, and nothing is given twice.
    #[inline]
    pub fn receive(&mut self, max: u32, mut each: impl FnMut(Buffer)) -> u32 {
        if self.prefetch {
            self.prefetch_batch(max);
        }
        let Self { ring, umem, taken, invalid, .. } = self;
        let gate = umem.gate();
        let mut reading = Batch::new(ring.peek(max), taken);
        let (n, invalid_before) = (reading.entries.left(), *invalid);
        reading.entries.take_all(|desc| match gate.claim(desc, Holder::Reception, Holder::User) {
            Ok(buffer) => each(buffer),
            Err(_) => *invalid += 1,
        });
        n - (*invalid - invalid_before) as u32
    }

    /// Asks the CPU for the first bytes of the packets of the next batch, all at once: their misses
    /// then overlap instead of waiting for one another.
    #[inline(always)]
    pub(super) fn prefetch_batch(&mut self, max: u32) {
        let gate = self.umem.gate();
        let batch = max.min(PREFETCH_MOST);
        self.ring.peek(batch).look(|desc| gate.prefetch(desc));
        self.ring.prefetch(batch, PREFETCH_MOST);
    }

    /// Packets received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.taken - self.invalid
    }

    /// Descriptors taken off the ring, invalid ones included.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Descriptors that named no frame of ours. Always 0 unless the kernel's side is broken.
    #[must_use]
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// Packets waiting.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.ring.waiting()
    }

    /// The ring as it stands now.
    #[must_use]
    pub fn snapshot(&self) -> RingSnapshot {
        self.ring.snapshot()
    }
}

impl Drop for RxRing {
    fn drop(&mut self) {
        // First, so that nothing comes behind our back.
        self.stop();
        let umem = Arc::clone(&self.umem);
        self.receive(u32::MAX, |buffer| umem.free(buffer.frame));
    }
}

/// Queues packets for transmission.
pub struct TxRing {
    pub(super) ring: Producer<Desc>,
    pub(super) umem: Arc<Umem>,
    pub(super) posted: u64,
    /// Where `posted` stood when the kernel had taken everything.
    flushed: u64,
    /// Whether the ring tells after each kick how far the kernel got.
    shows_parts: bool,
    limits: TxLimits,
}

/// What the kernel would not send.
pub(super) struct TxLimits {
    /// Whether the interface has a TX queue of this number.
    pub(super) sends: bool,
    /// Longest packet, in bytes. Follows the MTU.
    pub(super) longest: Arc<AtomicU32>,
}

/// Fewest descriptors that a kernel without `XDP_MAX_TX_SKB_BUDGET` takes a call in copy mode
/// (`TX_BATCH_SIZE` of net/xdp/xsk.c): 16 in Linux 5.10, 32 in later ones.
const A_KICK: u32 = 16;

impl TxRing {
    pub(super) fn new(ring: Producer<Desc>, umem: Arc<Umem>, limits: TxLimits) -> Self {
        Self { ring, umem, posted: 0, flushed: 0, shows_parts: true, limits }
    }

    /// Whether its queue can send. Where the interface has fewer TX than RX queues, the kernel takes
    /// nothing from the TX rings of the others, and says nothing: they never have room here.
    #[must_use]
    #[inline]
    pub fn sends(&self) -> bool {
        self.limits.sends
    }

    /// Longest packet that the interface sends now, in bytes from the Ethernet header on: its MTU
    /// and 18 bytes, for that header and a VLAN tag.
    #[must_use]
    #[inline]
    pub fn longest(&self) -> u32 {
        self.limits.longest.load(Relaxed) // a number by itself
    }

    /// The longest packet that leaves by this ring: none by one that does not send.
    #[inline]
    pub(super) fn limit(&self) -> u32 {
        if self.limits.sends { self.longest() } else { 0 }
    }

    /// The same for a kernel that may tell how far it got only once it took all that it had seen.
    pub(super) fn showing_parts(mut self, shows: bool) -> Self {
        self.shows_parts = shows;
        self
    }

    /// The one state machine of transmission: kicks as long as the kernel wants to be woken and gets
    /// on, as it takes a limited number a call in copy mode. True when nothing is left in the ring;
    /// else call it again later, once completions were reaped or the device has room.
    #[inline]
    pub(crate) fn flush(&mut self, mut kick: impl FnMut() -> FluxResult<Kick>) -> FluxResult<bool> {
        if self.flushed == self.posted {
            return Ok(true);
        }
        let mut before = self.pending();
        // Kicks that may get on without a trace.
        let mut unseen = if self.shows_parts { 0 } else { before / A_KICK };
        // An awake kernel takes them without being told.
        while before > 0 && self.needs_wakeup() {
            let kicked = kick()?;
            let left = self.pending();
            if left >= before {
                if kicked == Kick::Done || unseen == 0 {
                    return Ok(false);
                }
                unseen -= 1;
            }
            before = left;
        }
        if before == 0 {
            self.flushed = self.posted;
        }
        Ok(before == 0)
    }

    /// Room for up to `want` packets; none when its queue only receives
    /// ([`sends`](Self::sends)). They reach the kernel when the guard is dropped.
    #[inline]
    pub fn reserve(&mut self, want: u32) -> TxSlots<'_> {
        let want = if self.limits.sends { want } else { 0 };
        TxSlots {
            longest: self.longest(),
            slots: Batch::new(self.ring.reserve(want), &mut self.posted),
            gate: self.umem.gate(),
        }
    }

    /// Whether the kernel wants to be kicked.
    #[inline]
    #[must_use]
    pub fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }

    /// Entries that the kernel has not taken yet.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.ring.pending()
    }

    /// Descriptors queued so far.
    #[must_use]
    pub fn posted(&self) -> u64 {
        self.posted
    }

    /// The ring as it stands now.
    #[must_use]
    pub fn snapshot(&self) -> RingSnapshot {
        self.ring.snapshot()
    }
}

/// Reserved room in a TX ring. Dropping it commits what was pushed: the frames were handed over.
pub struct TxSlots<'r> {
    longest: u32,
    slots: Batch<'r, Reservation<'r, Desc>>,
    gate: Gate<'r>,
}

impl TxSlots<'_> {
    /// Packets that still fit.
    #[must_use]
    #[inline(always)]
    pub fn room(&self) -> u32 {
        self.slots.entries.room()
    }

    /// Longest packet that is taken, in bytes ([`TxRing::longest`]).
    #[must_use]
    #[inline(always)]
    pub fn longest(&self) -> u32 {
        self.longest
    }

    /// Hands a packet over, or back when there is no room, it has no bytes or more than
    /// [`longest`](Self::longest) (the kernel would not send it), the frame is of another UMEM, or
    /// the span does not lie in the frame.
    #[inline]
    pub fn push(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        let Self { longest, slots, gate } = self;
        // Of length 0: the subtraction wraps.
        let fits = (buffer.span.len() as u32).wrapping_sub(1) < *longest;
        let sound = fits && gate.fits(buffer.span) && gate.owns(&buffer.frame);
        if slots.entries.room() == 0 || !sound {
            return Err(buffer);
        }
        let Buffer { frame, span } = buffer;
        let base = gate.post(frame, Holder::User, Holder::Transmission);
        let addr = base + span.start() as u64;
        let _ = slots.entries.write(Desc { addr, len: span.len() as u32, options: 0 }); // room() > 0
        Ok(())
    }

    /// Writes a descriptor as it is, valid or not; false when there is no room. Linux (6.18)
    /// completes an invalid one too, with the address it names.
    ///
    /// # Safety
    /// If the address lies in a frame of this UMEM, nobody may hold that frame's token or touch
    /// its bytes until the kernel has completed it: the completion makes a token of it.
    #[allow(unsafe_code)]
    pub unsafe fn push_desc(&mut self, desc: Desc) -> bool {
        self.slots.entries.write(desc).is_ok()
    }
}

/// Returns the frames of packets that were sent.
pub struct CompRing {
    pub(super) ring: Consumer<u64>,
    pub(super) umem: Arc<Umem>,
    /// Completions taken, invalid ones included.
    pub(super) taken: u64,
    pub(super) invalid: u64,
}

impl CompRing {
    pub(super) fn new(ring: Consumer<u64>, umem: Arc<Umem>) -> Self {
        Self { ring, umem, taken: 0, invalid: 0 }
    }

    /// Passes up to `max` frames of sent packets to `each` and returns how many there were. A panic
    /// of `each` is as in [`RxRing::receive`].
    #[inline]
    pub fn reap(&mut self, max: u32, mut each: impl FnMut(Frame)) -> u32 {
        let Self { ring, umem, taken, invalid } = self;
        let gate = umem.gate();
        let mut reading = Batch::new(ring.peek(max), taken);
        let (n, invalid_before) = (reading.entries.left(), *invalid);
        reading.entries.take_all(|addr| {
            match gate.claim_frame(addr, Holder::Transmission, Holder::User) {
                Some(frame) => each(frame),
                None => *invalid += 1,
            }
        });
        n - (*invalid - invalid_before) as u32
    }

    /// Packets completed so far.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.taken - self.invalid
    }

    /// Completions taken off the ring, invalid ones included.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Completions that named no frame of ours. Always 0 unless the kernel's side is broken.
    #[must_use]
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// The ring as it stands now.
    #[must_use]
    pub fn snapshot(&self) -> RingSnapshot {
        self.ring.snapshot()
    }
}

#[cfg(test)]
mod tests;
