//! One queue: backend + UMEM + four rings of frame tokens. Each mode takes it apart its own way.
//!
//! ```text
//!   RxHalf   fill ◀── free frames        rx ──▶ packets
//!   TxHalf   tx   ◀── packets          comp ──▶ free frames
//! ```
//!
//! Invariant: what goes into a ring is a token, and what comes out is one again (through
//! `Umem::claim`), so no safe caller can name a frame that the kernel holds.

mod moves;
mod rings;

pub use moves::Dropped;
pub(crate) use rings::FillSlots;
pub use rings::{CompRing, FillRing, RxRing, TxRing, TxSlots};

use crate::backend::{Backend, Kick, RingSet};
use crate::config::{Config, Granted};
use crate::error::Result;
use crate::snapshot::{Account, SocketSnapshot, SocketState, UmemSnapshot};
use crate::umem::{Frame, Umem};
use std::sync::Arc;

/// Reception on one queue.
pub(crate) struct RxHalf {
    pub(crate) fill: FillRing,
    pub(crate) rx: RxRing,
    pub(crate) queue: usize,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) umem: Arc<Umem>,
    /// Frames on their way back to the fill ring, cache-warm last. Has room for all that
    /// reception and transmission may hold, so it never grows.
    pub(crate) spare: Vec<Frame>,
    /// Most frames that reception may hold at once.
    share: u32,
    erase_stamps: bool,
}

impl RxHalf {
    /// Tops the fill ring up and tells the kernel where it asked for that. Called once per batch.
    pub(crate) fn refill(&mut self) -> Result<()> {
        let posted = self.post();
        self.wake(posted)
    }

    /// The same after frames were recycled straight into the fill ring.
    pub(crate) fn refill_after(&mut self, recycled: bool) -> Result<()> {
        let posted = self.post() | recycled;
        self.wake(posted)
    }

    fn wake(&mut self, posted: bool) -> Result<()> {
        if posted && self.fill.needs_wakeup() {
            self.backend.kick_rx(self.queue)?;
        }
        Ok(())
    }

    /// Where received frames go back to: the fill ring, the spare frames for what finds no room
    /// there, and who makes a frame ready for its next packet.
    #[inline(always)]
    pub(crate) fn recycle(&mut self, want: u32) -> (FillSlots<'_>, &mut Vec<Frame>, Eraser<'_>) {
        let Self { fill, spare, umem, erase_stamps, .. } = self;
        (fill.reserve(want), spare, Eraser { umem, on: *erase_stamps })
    }

    /// The first frames of the fill ring, before the queue is bound: there is nobody to kick.
    pub(crate) fn prime(&mut self) {
        self.post();
    }

    /// Posts spare frames, then frames from the free list; true when any went.
    fn post(&mut self) -> bool {
        let out = self.fill.posted() - self.rx.received() - self.rx.invalid();
        let want = self.share.saturating_sub(u32::try_from(out).unwrap_or(u32::MAX));
        if want == 0 {
            if !self.spare.is_empty() {
                self.umem.free_all(self.spare.drain(..));
            }
            return false;
        }
        let missing = want.saturating_sub(self.spare.len() as u32);
        if missing > 0 {
            self.umem.alloc_many(missing, &mut self.spare);
        }
        let eraser = Eraser { umem: &self.umem, on: self.erase_stamps };
        let from = self.spare.len().saturating_sub(want as usize);
        self.spare[from..].iter_mut().for_each(|frame| eraser.erase(frame));
        let posted = self.fill.post(&mut self.spare, want);
        // Frames that did not fit must not hide here from the transmitters.
        if !self.spare.is_empty() {
            self.umem.free_all(self.spare.drain(..));
        }
        posted > 0
    }
}

/// Takes the stamp of a frame's last packet away, so that it is not read as the next one's.
#[derive(Clone, Copy)]
pub(crate) struct Eraser<'a> {
    umem: &'a Umem,
    on: bool,
}

impl Eraser<'_> {
    #[inline(always)]
    pub(crate) fn erase(self, frame: &mut Frame) {
        if self.on {
            self.umem.put_rx_stamp(frame, crate::umem::RX_HEADROOM as usize, None);
        }
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
    /// Empty between calls; has room for a completion ring full.
    done: Vec<Frame>,
}

impl TxHalf {
    /// Frees the frames of everything that was sent; returns how many.
    pub(crate) fn reap(&mut self) -> u32 {
        let Self { comp, done, umem, .. } = self;
        let n = comp.reap(u32::MAX, |frame| done.push(frame));
        if n > 0 {
            umem.free_all(done.drain(..));
        }
        n
    }

    /// The same, but the frames go to `spare`: for whoever receives on the same thread.
    #[inline]
    pub(crate) fn reap_into(&mut self, spare: &mut Vec<Frame>) -> u32 {
        self.comp.reap(u32::MAX, |frame| spare.push(frame))
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
        config: &Config,
    ) -> Self {
        let completions = rings.comp.size() as usize;
        let umem = || Arc::clone(umem);
        let backend = || Arc::clone(backend);
        Self {
            rx: RxHalf {
                fill: FillRing::new(rings.fill, umem()),
                rx: RxRing::new(rings.rx, umem(), config.prefetch),
                queue,
                backend: backend(),
                umem: umem(),
                spare: Vec::with_capacity(share as usize + 2 * completions),
                share,
                erase_stamps: config.rx_timestamps,
            },
            tx: TxHalf {
                tx: TxRing::new(rings.tx, umem()),
                comp: CompRing::new(rings.comp, umem()),
                queue,
                backend: backend(),
                umem: umem(),
                unkicked: false,
                done: Vec::with_capacity(completions),
            },
        }
    }
}

/// What the owner sees of queue position `queue`.
pub(crate) fn snapshot(
    backend: &dyn Backend,
    granted: &Granted,
    queue: usize,
    (fill, rx, tx, comp): (&FillRing, &RxRing, &TxRing, &CompRing),
    umem: &Umem,
) -> SocketSnapshot {
    SocketSnapshot {
        interface: Some(granted.interface.clone()),
        ifindex: Some(granted.ifindex),
        queue: granted.queues.get(queue).copied(),
        state: SocketState::Bound,
        zero_copy: Some(granted.zero_copy),
        uses_need_wakeup: Some(true),
        fill: Some(fill.snapshot()),
        rx: Some(rx.snapshot()),
        tx: Some(tx.snapshot()),
        comp: Some(comp.snapshot()),
        stats: backend.stats(queue).ok(),
        umem: Some(UmemSnapshot {
            size_bytes: Some(u64::from(umem.frames()) * u64::from(umem.frame_size())),
            frames: Some(umem.frames()),
            frame_size: Some(umem.frame_size()),
            headroom: Some(0),
            unaligned: Some(false),
            free: Some(umem.free_hint()),
            ..UmemSnapshot::default()
        }),
        account: Some(Account {
            in_reception: fill.posted() - rx.received(),
            in_transmission: tx.posted() - comp.completed(),
            invalid: rx.invalid() + comp.invalid(),
        }),
        ..SocketSnapshot::unknown(backend.now())
    }
}
