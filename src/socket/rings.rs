//! The four rings, typed: tokens go in, tokens come out.

use crate::ring::{Consumer, Desc, Drain, Producer, Reservation, RingSnapshot};
use crate::umem::ledger::Holder;
use crate::umem::{Buffer, Frame, Umem};
use std::sync::Arc;

/// Entries that are released however their reader ends: once a token was made of one, it must
/// never be read again, also when a callback panics.
struct Released<'r, T: Copy>(Option<Drain<'r, T>>);

impl<T: Copy> Released<'_, T> {
    #[inline(always)]
    fn take(&mut self) -> Option<T> {
        self.0.as_mut()?.take()
    }
}

impl<T: Copy> Drop for Released<'_, T> {
    fn drop(&mut self) {
        if let Some(drain) = self.0.take() {
            drain.release();
        }
    }
}

/// Posts empty frames for the kernel to receive into.
pub struct FillRing {
    ring: Producer<u64>,
    umem: Arc<Umem>,
    posted: u64,
}

impl FillRing {
    pub(super) fn new(ring: Producer<u64>, umem: Arc<Umem>) -> Self {
        Self { ring, umem, posted: 0 }
    }

    /// Posts frames from the end of `frames`, up to `max` and as many as fit; returns how many.
    /// Frames of another UMEM stay in `frames`, and stop the posting.
    pub fn post(&mut self, frames: &mut Vec<Frame>, max: u32) -> u32 {
        let mut slots = self.ring.reserve(max.min(frames.len() as u32));
        while slots.room() > 0 {
            match frames.pop() {
                Some(frame) if self.umem.owns(&frame) => {
                    let addr = self.umem.post(frame, Holder::User, Holder::Reception);
                    let _ = slots.write(addr); // room() > 0
                }
                Some(frame) => {
                    frames.push(frame);
                    break;
                }
                None => break,
            }
        }
        let n = slots.commit();
        self.posted += u64::from(n);
        n
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

/// Hands out received packets.
pub struct RxRing {
    ring: Consumer<Desc>,
    umem: Arc<Umem>,
    received: u64,
    invalid: u64,
}

impl RxRing {
    pub(super) fn new(ring: Consumer<Desc>, umem: Arc<Umem>) -> Self {
        Self { ring, umem, received: 0, invalid: 0 }
    }

    /// Passes up to `max` received packets to `each` and returns how many there were. Their ring
    /// slots are free when it returns; the frames are the callee's.
    #[inline]
    pub fn receive(&mut self, max: u32, mut each: impl FnMut(Buffer)) -> u32 {
        let mut entries = Released(Some(self.ring.peek(max)));
        let before = self.received;
        while let Some(desc) = entries.take() {
            match self.umem.claim(desc, Holder::Reception, Holder::User) {
                Ok(buffer) => {
                    self.received += 1;
                    each(buffer);
                }
                Err(_) => self.invalid += 1,
            }
        }
        (self.received - before) as u32
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
    ring: Producer<Desc>,
    umem: Arc<Umem>,
    posted: u64,
}

impl TxRing {
    pub(super) fn new(ring: Producer<Desc>, umem: Arc<Umem>) -> Self {
        Self { ring, umem, posted: 0 }
    }

    /// Room for up to `want` packets. They reach the kernel when the guard is dropped.
    #[inline]
    pub fn reserve(&mut self, want: u32) -> TxSlots<'_> {
        TxSlots { slots: Some(self.ring.reserve(want)), umem: &self.umem, posted: &mut self.posted }
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
    slots: Option<Reservation<'r, Desc>>,
    umem: &'r Umem,
    posted: &'r mut u64,
}

impl TxSlots<'_> {
    /// Packets that still fit.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.slots.as_ref().map_or(0, Reservation::room)
    }

    /// Hands a packet over, or back when there is no room, the frame is of another UMEM, or the
    /// span does not lie in the frame.
    #[inline]
    pub fn push(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        let Some(slots) = self.slots.as_mut() else { return Err(buffer) };
        // A span made for larger frames would reach into somebody else's.
        let fits = buffer.span.end() <= self.umem.frame_size() as usize;
        if slots.room() == 0 || !fits || !self.umem.owns(&buffer.frame) {
            return Err(buffer);
        }
        let Buffer { frame, span } = buffer;
        let base = self.umem.post(frame, Holder::User, Holder::Transmission);
        let addr = base + span.start() as u64;
        let _ = slots.write(Desc { addr, len: span.len() as u32, options: 0 }); // room() > 0
        *self.posted += 1;
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
        self.slots.as_mut().is_some_and(|slots| slots.write(desc).is_ok())
    }
}

impl Drop for TxSlots<'_> {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            slots.commit();
        }
    }
}

/// Returns the frames of packets that were sent.
pub struct CompRing {
    ring: Consumer<u64>,
    umem: Arc<Umem>,
    completed: u64,
    invalid: u64,
}

impl CompRing {
    pub(super) fn new(ring: Consumer<u64>, umem: Arc<Umem>) -> Self {
        Self { ring, umem, completed: 0, invalid: 0 }
    }

    /// Passes up to `max` frames of sent packets to `each` and returns how many there were.
    #[inline]
    pub fn reap(&mut self, max: u32, mut each: impl FnMut(Frame)) -> u32 {
        let mut entries = Released(Some(self.ring.peek(max)));
        let before = self.completed;
        while let Some(addr) = entries.take() {
            let desc = Desc { addr, len: 0, options: 0 };
            match self.umem.claim(desc, Holder::Transmission, Holder::User) {
                Ok(buffer) => {
                    self.completed += 1;
                    each(buffer.frame);
                }
                Err(_) => self.invalid += 1,
            }
        }
        (self.completed - before) as u32
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
