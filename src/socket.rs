//! One queue: backend + UMEM + four rings of frame tokens. Each mode takes it apart its own way.
//!
//! ```text
//!   RxHalf   fill ◀── free frames        rx ──▶ packets
//!   TxHalf   tx   ◀── packets          comp ──▶ free frames
//! ```
//!
//! Invariant: what goes into a ring is a token, and what comes out is one again (through
//! `Umem::claim`), so no safe caller can name a frame that the kernel holds.

use crate::backend::{Backend, Kick, RingSet};
use crate::error::Result;
use crate::ring::{Consumer, Desc, Producer, RingSnapshot};
use crate::umem::ledger::Holder;
use crate::umem::{Buffer, Frame, Umem};
use std::sync::Arc;

/// Posts empty frames for the kernel to receive into.
pub struct FillRing {
    ring: Producer<u64>,
    umem: Arc<Umem>,
    posted: u64,
}

impl FillRing {
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
    /// Passes up to `max` received packets to `each` and returns how many there were. Their ring
    /// slots are free when it returns; the frames are the callee's.
    #[inline]
    pub fn receive(&mut self, max: u32, mut each: impl FnMut(Buffer)) -> u32 {
        let mut drain = self.ring.peek(max);
        let mut good = 0;
        while let Some(desc) = drain.take() {
            match self.umem.claim(desc, Holder::Reception, Holder::User) {
                Ok(buffer) => {
                    good += 1;
                    each(buffer);
                }
                Err(_) => self.invalid += 1,
            }
        }
        drain.release();
        self.received += u64::from(good);
        good
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
    slots: Option<crate::ring::Reservation<'r, Desc>>,
    umem: &'r Umem,
    posted: &'r mut u64,
}

impl TxSlots<'_> {
    /// Packets that still fit.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.slots.as_ref().map_or(0, crate::ring::Reservation::room)
    }

    /// Hands a packet over, or back when there is no room or the frame is of another UMEM.
    #[inline]
    pub fn push(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        let Some(slots) = self.slots.as_mut() else { return Err(buffer) };
        if slots.room() == 0 || !self.umem.owns(&buffer.frame) {
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
    /// Passes up to `max` frames of sent packets to `each` and returns how many there were.
    #[inline]
    pub fn reap(&mut self, max: u32, mut each: impl FnMut(Frame)) -> u32 {
        let mut drain = self.ring.peek(max);
        let mut good = 0;
        while let Some(addr) = drain.take() {
            let desc = Desc { addr, len: 0, options: 0 };
            match self.umem.claim(desc, Holder::Transmission, Holder::User) {
                Ok(buffer) => {
                    good += 1;
                    each(buffer.frame);
                }
                Err(_) => self.invalid += 1,
            }
        }
        drain.release();
        self.completed += u64::from(good);
        good
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

/// Reception on one queue.
pub(crate) struct RxHalf {
    pub(crate) fill: FillRing,
    pub(crate) rx: RxRing,
    pub(crate) queue: usize,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) umem: Arc<Umem>,
    /// Frames on their way back to the fill ring, cache-warm last. Never grows past `share`.
    pub(crate) spare: Vec<Frame>,
    /// Most frames that reception may hold at once.
    share: u32,
    erase_stamps: bool,
}

impl RxHalf {
    /// Tops the fill ring up and tells the kernel where it asked for that. Called once per batch.
    pub(crate) fn refill(&mut self) -> Result<()> {
        if self.post() && self.fill.needs_wakeup() {
            self.backend.kick_rx(self.queue)?;
        }
        Ok(())
    }

    /// The first frames of the fill ring, before the queue is bound: there is nobody to kick.
    pub(crate) fn prime(&mut self) {
        self.post();
    }

    /// Posts spare frames, then frames from the free list; true when any went.
    fn post(&mut self) -> bool {
        let out = self.fill.posted - self.rx.received - self.rx.invalid;
        let want = self.share.saturating_sub(u32::try_from(out).unwrap_or(u32::MAX));
        if want == 0 {
            if !self.spare.is_empty() {
                self.umem.free_all(self.spare.drain(..));
            }
            return false;
        }
        while (self.spare.len() as u32) < want
            && let Some(frame) = self.umem.alloc()
        {
            self.spare.push(frame);
        }
        if self.erase_stamps {
            let start = crate::umem::RX_HEADROOM as usize;
            let from = self.spare.len().saturating_sub(want as usize);
            self.spare[from..].iter_mut().for_each(|f| self.umem.put_rx_stamp(f, start, None));
        }
        let posted = self.fill.post(&mut self.spare, want);
        // Frames that did not fit must not hide here from the transmitters.
        if !self.spare.is_empty() {
            self.umem.free_all(self.spare.drain(..));
        }
        posted > 0
    }
}

/// Transmission on one queue.
pub(crate) struct TxHalf {
    pub(crate) tx: TxRing,
    pub(crate) comp: CompRing,
    pub(crate) queue: usize,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) umem: Arc<Umem>,
    /// Whether entries may wait for a kick.
    pub(crate) unkicked: bool,
}

impl TxHalf {
    /// Frees the frames of everything that was sent; returns how many.
    pub(crate) fn reap(&mut self) -> u32 {
        // Links the frames and exchanges the list head once: collect first, then free.
        let umem = &self.umem;
        let mut chain = Chain { umem, frames: [const { None }; 64], len: 0 };
        let n = self.comp.reap(u32::MAX, |frame| chain.push(frame));
        chain.flush();
        n
    }

    /// Tells the kernel about new entries, as often as it takes them; true when none is left.
    pub(crate) fn kick(&mut self) -> Result<bool> {
        if !self.unkicked {
            return Ok(true);
        }
        let mut before = u32::MAX;
        loop {
            if !self.tx.needs_wakeup() {
                // The kernel is awake and takes them without being told.
                self.unkicked = false;
                return Ok(self.tx.pending() == 0);
            }
            let kick = self.backend.kick_tx(self.queue)?;
            let left = self.tx.pending();
            if left == 0 {
                self.unkicked = false;
                return Ok(true);
            }
            // Copy mode sends a limited number per kick; go on while that makes progress.
            if left >= before && kick == Kick::Again {
                self.reap();
                return Ok(false);
            }
            if left >= before {
                return Ok(false);
            }
            before = left;
        }
    }
}

/// A few frames on their way to the free list, given back together.
struct Chain<'a> {
    umem: &'a Umem,
    frames: [Option<Frame>; 64],
    len: usize,
}

impl Chain<'_> {
    #[inline]
    fn push(&mut self, frame: Frame) {
        if self.len == self.frames.len() {
            self.flush();
        }
        self.frames[self.len] = Some(frame);
        self.len += 1;
    }

    fn flush(&mut self) {
        self.umem.free_all(self.frames[..self.len].iter_mut().filter_map(Option::take));
        self.len = 0;
    }
}

/// One queue, both directions.
pub(crate) struct Socket {
    pub(crate) rx: RxHalf,
    pub(crate) tx: TxHalf,
}

impl Socket {
    /// Wraps the rings of queue position `queue`; reception may hold up to `share` frames.
    pub(crate) fn new(
        rings: RingSet,
        queue: usize,
        backend: &Arc<dyn Backend>,
        umem: &Arc<Umem>,
        share: u32,
        erase_stamps: bool,
    ) -> Self {
        let umem = || Arc::clone(umem);
        let backend = || Arc::clone(backend);
        Self {
            rx: RxHalf {
                fill: FillRing { ring: rings.fill, umem: umem(), posted: 0 },
                rx: RxRing { ring: rings.rx, umem: umem(), received: 0, invalid: 0 },
                queue,
                backend: backend(),
                umem: umem(),
                spare: Vec::with_capacity(share as usize),
                share,
                erase_stamps,
            },
            tx: TxHalf {
                tx: TxRing { ring: rings.tx, umem: umem(), posted: 0 },
                comp: CompRing { ring: rings.comp, umem: umem(), completed: 0, invalid: 0 },
                queue,
                backend: backend(),
                umem: umem(),
                unkicked: false,
            },
        }
    }
}

/// The four rings of one queue and where the frames are, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSnapshot {
    /// NIC queue number.
    pub queue: u32,
    /// Free frames offered to the kernel.
    pub fill: RingSnapshot,
    /// Received packets.
    pub rx: RingSnapshot,
    /// Packets to send.
    pub tx: RingSnapshot,
    /// Frames of sent packets.
    pub comp: RingSnapshot,
    /// Frames posted for reception and not yet received: in the fill ring, the kernel, or the RX
    /// ring.
    pub in_reception: u64,
    /// Frames posted for transmission and not yet completed.
    pub in_transmission: u64,
    /// Descriptors from the other side that named no frame of ours.
    pub invalid: u64,
}

pub(crate) fn snapshot(
    queue: u32,
    fill: &FillRing,
    rx: &RxRing,
    tx: &TxRing,
    comp: &CompRing,
) -> SocketSnapshot {
    SocketSnapshot {
        queue,
        fill: fill.snapshot(),
        rx: rx.snapshot(),
        tx: tx.snapshot(),
        comp: comp.snapshot(),
        in_reception: fill.posted() - rx.received(),
        in_transmission: tx.posted() - comp.completed(),
        invalid: rx.invalid() + comp.invalid(),
    }
}
