//! The four rings, typed: tokens go in, tokens come out.

use crate::ring::{Consumer, Desc, Drain, Producer, Reservation, RingSnapshot};
use crate::umem::ledger::Holder;
use crate::umem::{Buffer, Frame, Gate, Umem};
use std::sync::Arc;

/// Entries that are released and counted however their reader ends: once a token was made of one,
/// it must never be read again, also when a callback panics.
struct Reading<'r, T: Copy> {
    entries: Drain<'r, T>,
    valid: Tally<'r>,
}

impl<T: Copy> Drop for Reading<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.entries.give_back();
    }
}

/// Counts for a batch, and adds that to a total when it is dropped.
struct Tally<'r> {
    n: u32,
    total: &'r mut u64,
}

impl<'r> Tally<'r> {
    #[inline(always)]
    fn of(total: &'r mut u64) -> Self {
        Self { n: 0, total }
    }
}

impl Drop for Tally<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.total += u64::from(self.n);
    }
}

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
        let mut slots = self.ring.reserve(max.min(frames.len() as u32));
        let gate = self.umem.gate();
        let from = frames.len() - slots.room() as usize;
        let foreign = frames[from..].iter().rposition(|frame| !gate.owns(frame));
        let from = foreign.map_or(from, |at| from + at + 1);
        let addresses = frames.drain(from..).rev();
        slots.fill(addresses.map(|frame| gate.post(frame, Holder::User, Holder::Reception)));
        let n = slots.commit();
        self.posted += u64::from(n);
        n
    }

    /// Room for up to `want` frames. They reach the kernel when the guard is dropped.
    #[inline]
    pub(crate) fn reserve(&mut self, want: u32) -> FillSlots<'_> {
        FillSlots {
            slots: self.ring.reserve(want),
            gate: self.umem.gate(),
            posted: Tally::of(&mut self.posted),
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
pub(crate) struct FillSlots<'r> {
    slots: Reservation<'r, u64>,
    gate: Gate<'r>,
    posted: Tally<'r>,
}

impl FillSlots<'_> {
    /// Hands a frame over, or back when there is no room or it is of another UMEM.
    #[inline(always)]
    pub(crate) fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.slots.room() == 0 || !self.gate.owns(&frame) {
            return Err(frame);
        }
        let addr = self.gate.post(frame, Holder::User, Holder::Reception);
        let _ = self.slots.write(addr); // room() > 0
        self.posted.n += 1;
        Ok(())
    }
}

impl Drop for FillSlots<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.slots.publish();
    }
}

/// Hands out received packets.
pub struct RxRing {
    pub(super) ring: Consumer<Desc>,
    pub(super) umem: Arc<Umem>,
    pub(super) prefetch: bool,
    pub(super) received: u64,
    pub(super) invalid: u64,
}

impl RxRing {
    pub(super) fn new(ring: Consumer<Desc>, umem: Arc<Umem>, prefetch: bool) -> Self {
        Self { ring, umem, prefetch, received: 0, invalid: 0 }
    }

    /// Passes up to `max` received packets to `each` and returns how many there were. Their ring
    /// slots are free when it returns; the frames are the callee's.
    #[inline]
    pub fn receive(&mut self, max: u32, mut each: impl FnMut(Buffer)) -> u32 {
        if self.prefetch {
            self.prefetch_batch(max);
        }
        let Self { ring, umem, received, invalid, .. } = self;
        let gate = umem.gate();
        let mut reading = Reading { entries: ring.peek(max), valid: Tally::of(received) };
        let Reading { entries, valid } = &mut reading;
        entries.take_all(|desc| match gate.claim(desc, Holder::Reception, Holder::User) {
            Ok(buffer) => {
                valid.n += 1;
                each(buffer);
            }
            Err(_) => *invalid += 1,
        });
        valid.n
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
        self.received
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

/// Queues packets for transmission.
pub struct TxRing {
    pub(super) ring: Producer<Desc>,
    pub(super) umem: Arc<Umem>,
    pub(super) posted: u64,
}

impl TxRing {
    pub(super) fn new(ring: Producer<Desc>, umem: Arc<Umem>) -> Self {
        Self { ring, umem, posted: 0 }
    }

    /// Room for up to `want` packets. They reach the kernel when the guard is dropped.
    #[inline]
    pub fn reserve(&mut self, want: u32) -> TxSlots<'_> {
        TxSlots { slots: self.ring.reserve(want), gate: self.umem.gate(), posted: &mut self.posted }
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

    /// Packets queued so far.
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
    slots: Reservation<'r, Desc>,
    gate: Gate<'r>,
    posted: &'r mut u64,
}

impl TxSlots<'_> {
    /// Packets that still fit.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.slots.room()
    }

    /// Hands a packet over, or back when there is no room, the frame is of another UMEM, or the
    /// span does not lie in the frame.
    #[inline]
    pub fn push(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        let Self { slots, gate, posted } = self;
        if slots.room() == 0 || !gate.fits(buffer.span) || !gate.owns(&buffer.frame) {
            return Err(buffer);
        }
        let Buffer { frame, span } = buffer;
        let base = gate.post(frame, Holder::User, Holder::Transmission);
        let addr = base + span.start() as u64;
        let _ = slots.write(Desc { addr, len: span.len() as u32, options: 0 }); // room() > 0
        **posted += 1;
        Ok(())
    }

    /// Writes a descriptor as it is, valid or not; false when there is no room. It does not count
    /// as posted. Linux (6.18) completes an invalid one too, with the address it names.
    ///
    /// # Safety
    /// If the address lies in a frame of this UMEM, nobody may hold that frame's token or touch
    /// its bytes until the kernel has completed it: the completion makes a token of it.
    #[allow(unsafe_code)]
    pub unsafe fn push_desc(&mut self, desc: Desc) -> bool {
        self.slots.write(desc).is_ok()
    }
}

impl Drop for TxSlots<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.slots.publish();
    }
}

/// Returns the frames of packets that were sent.
pub struct CompRing {
    pub(super) ring: Consumer<u64>,
    pub(super) umem: Arc<Umem>,
    pub(super) completed: u64,
    pub(super) invalid: u64,
}

impl CompRing {
    pub(super) fn new(ring: Consumer<u64>, umem: Arc<Umem>) -> Self {
        Self { ring, umem, completed: 0, invalid: 0 }
    }

    /// Passes up to `max` frames of sent packets to `each` and returns how many there were.
    #[inline]
    pub fn reap(&mut self, max: u32, mut each: impl FnMut(Frame)) -> u32 {
        let Self { ring, umem, completed, invalid } = self;
        let gate = umem.gate();
        let mut reading = Reading { entries: ring.peek(max), valid: Tally::of(completed) };
        let Reading { entries, valid } = &mut reading;
        entries.take_all(|addr| match gate.claim_frame(addr, Holder::Transmission, Holder::User) {
            Some(frame) => {
                valid.n += 1;
                each(frame);
            }
            None => *invalid += 1,
        });
        valid.n
    }

    /// Packets completed so far.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.completed
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
