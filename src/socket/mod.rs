//! One queue of a port: an AF_XDP socket's four rings of frame tokens. Each mode takes it apart its
//! own way.
//!
//! ```text
//!   RxHalf   fill ◀── free frames        rx ──▶ packets
//!   TxHalf   tx   ◀── packets          comp ──▶ free frames
//! ```
//!
//! Invariant: what goes into a ring is a token, and what comes out is one again (through
//! `Umem::claim`), so no safe caller can name a frame that the kernel holds.

mod moves;
mod receiver;
mod rings;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use moves::headroom;
pub use moves::{PacketView, Route, Routed};
use rings::TxLimits;
pub use rings::{CompRing, FillRing, FillSlots, RxRing, TxRing, TxSlots};
pub(crate) use shared::SharedComp;

use crate::backend::{Backend, RingSet};
use crate::config::Config;
use crate::error::Result;
use crate::ids::{PortIndex, QueueIndex};
use crate::port::Port;
use crate::snapshot::{Account, SocketSnapshot, SocketState, UmemSnapshot};
use crate::umem::{Frame, FrameCache, Umem};
use receiver::Receiver;
use std::sync::Arc;

/// Which queue it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) port: PortIndex,
    pub(crate) queue: QueueIndex,
    /// Whether it can send: not where the interface has fewer TX than RX queues.
    pub(crate) sends: bool,
}

/// Reception on one queue.
pub(crate) struct RxHalf {
    pub(crate) fill: FillRing,
    pub(crate) rx: RxRing,
    pub(crate) number: Number,
    pub(crate) backend: Arc<dyn Backend>,
    umem: Arc<Umem>,
    /// Most frames that reception may hold at once.
    share: u32,
    erase_stamps: bool,
}

impl RxHalf {
    /// Tops the fill ring up and tells the kernel where it asked for that. Called once a batch;
    /// `recycled` says whether frames went straight into the fill ring before.
    #[inline]
    pub(crate) fn refill(&mut self, cache: &mut FrameCache, recycled: bool) -> Result<()> {
        let posted = self.post(cache) | recycled;
        if posted && self.fill.needs_wakeup() {
            self.backend.kick_rx(self.number.queue)?;
        }
        Ok(())
    }

    /// Where received frames go back to: the fill ring, and who makes a frame ready for its next
    /// packet.
    #[inline(always)]
    pub(crate) fn recycle(&mut self, want: u32) -> (FillSlots<'_>, Eraser<'_>) {
        let Self { fill, umem, erase_stamps, .. } = self;
        (fill.reserve(want), Eraser { umem, on: *erase_stamps })
    }

    /// The first frames of the fill ring, before the queue is bound: there is nobody to kick.
    pub(crate) fn prime(&mut self, cache: &mut FrameCache) {
        self.post(cache);
    }

    /// Posts frames of the cache, up to the share; true when any went.
    #[inline]
    fn post(&mut self, cache: &mut FrameCache) -> bool {
        let out = self.held();
        let want = self.share.saturating_sub(u32::try_from(out).unwrap_or(u32::MAX));
        if want == 0 {
            return false;
        }
        let eraser = Eraser { umem: &self.umem, on: self.erase_stamps };
        let before = self.fill.posted();
        let mut slots = self.fill.reserve(want);
        let frames = cache.draw(slots.room());
        slots.fill(frames.map(|mut frame| {
            eraser.erase(&mut frame);
            frame
        }));
        drop(slots);
        self.fill.posted() > before
    }

    /// Leaves what comes from now on to the kernel's stack, as the drop does.
    pub(crate) fn stop(&mut self) {
        self.rx.stop();
    }

    /// Receives again after [`Self::stop`].
    pub(crate) fn start(&mut self) -> Result<()> {
        self.rx.start()
    }

    /// Frames that reception holds.
    #[inline]
    pub(crate) fn held(&self) -> u64 {
        on_the_way(self.fill.posted(), self.rx.taken())
    }

    /// Whether it holds less than its share. Right after a refill: there are no free frames.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.held() < u64::from(self.share)
    }
}

/// What went in and did not come out. Rings that changed places, and a kernel that is broken, give
/// more than they took.
#[inline(always)]
fn on_the_way(posted: u64, taken: u64) -> u64 {
    posted.saturating_sub(taken)
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

/// Transmission on one queue. Its completion ring is its own, or a [`SharedComp`].
pub(crate) struct TxHalf<C = CompRing> {
    pub(crate) tx: TxRing,
    pub(crate) comp: C,
    pub(crate) number: Number,
    pub(crate) backend: Arc<dyn Backend>,
}

impl TxHalf {
    /// Takes the frames of everything that was sent into `cache`; returns how many.
    #[inline]
    pub(crate) fn reap(&mut self, cache: &mut FrameCache) -> u32 {
        self.comp.reap(u32::MAX, |frame| cache.put(frame))
    }

    /// Frames that transmission holds.
    #[inline]
    pub(crate) fn held(&self) -> u64 {
        on_the_way(self.tx.posted(), self.comp.taken())
    }

    /// The same with a completion ring that others may empty, too.
    pub(crate) fn share(self) -> TxHalf<SharedComp> {
        let Self { tx, comp, number, backend } = self;
        TxHalf { tx, comp: SharedComp::new(comp), number, backend }
    }
}

impl TxHalf<SharedComp> {
    /// Takes the frames of everything that was sent into `cache`; returns how many.
    #[inline]
    pub(crate) fn reap(&mut self, cache: &mut FrameCache) -> u32 {
        self.comp.lock().reap(u32::MAX, |frame| cache.put(frame))
    }

    /// Frames that transmission holds.
    pub(crate) fn held(&self) -> u64 {
        on_the_way(self.tx.posted(), self.comp.lock().taken())
    }
}

impl<C> TxHalf<C> {
    /// Tells the kernel about new entries, as often as it takes them; true when none is left.
    #[inline]
    pub(crate) fn flush(&mut self) -> Result<bool> {
        let Self { tx, backend, number, .. } = self;
        tx.flush(|| backend.kick_tx(number.queue))
    }

    /// Whether entries lie in the TX ring that the kernel must be told about.
    #[cfg(feature = "async")]
    pub(crate) fn is_untold(&self) -> bool {
        self.tx.pending() > 0 && self.tx.needs_wakeup()
    }
}

/// One queue, both directions.
pub(crate) struct Queue {
    pub(crate) rx: RxHalf,
    pub(crate) tx: TxHalf,
}

impl Queue {
    /// Wraps the rings of a queue; reception may hold up to `share` frames.
    pub(crate) fn new(
        rings: RingSet,
        number: Number,
        backend: &Arc<dyn Backend>,
        umem: &Arc<Umem>,
        share: u32,
        config: &Config,
    ) -> Self {
        let limits = TxLimits { sends: number.sends, longest: backend.longest(number.port) };
        let umem = || Arc::clone(umem);
        let backend = || Arc::clone(backend);
        Self {
            rx: RxHalf {
                fill: FillRing::new(rings.fill, umem()),
                rx: RxRing::new(rings.rx, umem(), config.prefetch)
                    .with(Receiver::new(&backend(), number.queue)),
                number,
                backend: backend(),
                umem: umem(),
                share,
                erase_stamps: config.rx_timestamps,
            },
            tx: TxHalf {
                tx: TxRing::new(rings.tx, umem(), limits).showing_parts(rings.tx_shows_parts),
                comp: CompRing::new(rings.comp, umem()),
                number,
                backend: backend(),
            },
        }
    }
}

/// The halves of a queue that somebody owns.
#[derive(Clone, Copy, Default)]
pub(crate) struct Halves<'q> {
    pub(crate) rx: Option<(&'q FillRing, &'q RxRing)>,
    pub(crate) tx: Option<(&'q TxRing, &'q CompRing)>,
}

/// What the owner sees of a queue of `port`; `cached` are the frames in its worker's cache.
pub(crate) fn snapshot(
    backend: &dyn Backend,
    port: &Port,
    number: Number,
    halves: Halves<'_>,
    umem: &Umem,
    cached: usize,
) -> SocketSnapshot {
    let (Halves { rx, tx }, granted) = (halves, port.granted());
    SocketSnapshot {
        interface: Some(granted.interface.clone()),
        ifindex: Some(granted.ifindex),
        queue: port.queue_number(number.queue),
        state: SocketState::Bound,
        zero_copy: Some(granted.zero_copy),
        uses_need_wakeup: Some(true),
        fill: rx.map(|(fill, _)| fill.snapshot()),
        rx: rx.map(|(_, rx)| rx.snapshot()),
        tx: tx.map(|(tx, _)| tx.snapshot()),
        comp: tx.map(|(_, comp)| comp.snapshot()),
        stats: backend.stats(number.queue).ok(),
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
            in_reception: rx.map_or(0, |(fill, rx)| on_the_way(fill.posted(), rx.taken())),
            in_transmission: tx.map_or(0, |(tx, comp)| on_the_way(tx.posted(), comp.taken())),
            invalid: rx.map_or(0, |(_, rx)| rx.invalid())
                + tx.map_or(0, |(_, comp)| comp.invalid()),
            cached: cached as u64,
        }),
        ..SocketSnapshot::unknown(backend.now())
    }
}
