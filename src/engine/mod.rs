//! Mode A: throughput first. The library owns the loop: batch in, verdicts out, one flush.
//!
//! ```text
//!   per queue:  reap completions → receive up to `batch` → your closure → send the sent, on this
//!               port or another → recycle the rest → top up fill → one kick
//!   all empty:  spin or poll(2), as the poller says
//! ```
//!
//! Invariant: after each turn, also one that ends by a panic of the closure, every frame of the batch
//! is back in a ring, the worker's cache, the free list, or in a packet that the closure extracted.
//! Callers: the closure sees [`PacketBatch`] alone.

mod batch;
mod finish;
mod look;
mod stats;
mod workers;

pub use batch::PacketBatch;
pub use stats::{EngineStats, StopHandle};
pub use workers::{Worker, Workers};

use crate::backend::{Backend, Interest};
use crate::error::Result;
use crate::ids::{PortIndex, QueueIndex};
use crate::packet::{Packet, SendError, Slot, Way, first_way};
use crate::poll::{Idle, LOOK_FOR_FRAMES, PollState, nanos};
use crate::port::Port;
use crate::socket::{RxHalf, TxHalf};
use crate::umem::{Buffer, FrameCache, RX_HEADROOM, Span, Umem};
use crate::worker::{Parts, Routes};
use finish::{Done, InHand, finish, nowhere};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// A blocked engine looks at its stop flag this often.
const STOP_CHECK: Duration = Duration::from_millis(20);
/// One that is never idle looks after its ports this often, in turns.
const LOOK_TURNS: u32 = 8;

/// Receives packets in batches on one or more queues, and sends them on: out of the port that they
/// came from, or of another one on the same UMEM.
pub struct FluxEngine {
    /// Two halves a queue, in the same order.
    rx: Vec<RxHalf>,
    tx: Vec<TxHalf>,
    queues: Vec<QueueIndex>,
    routes: Routes,
    cache: FrameCache,
    umem: Arc<Umem>,
    backend: Arc<dyn Backend>,
    ports: Arc<[Port]>,
    batch: u32,
    slots: Vec<Slot>,
    later: Vec<Slot>,
    extra: Vec<Slot>,
    poll: PollState,
    stop: StopHandle,
    stats: EngineStats,
    /// Turns with packets.
    turns: u32,
    /// Its queues were left to the kernel's stack, until the next turn.
    left: bool,
}

/// A packet of `len` bytes, with room in front for more headers.
fn new_packet(cache: &mut FrameCache, len: usize, way: Way) -> Option<Packet> {
    let len = u32::try_from(len).ok()?;
    let span = Span::new(RX_HEADROOM, len, cache.umem().frame_size()).ok()?;
    let frame = cache.take()?;
    Some(Packet::new(Buffer { frame, span }, cache.umem(), way))
}

impl FluxEngine {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { queues, ports, umem, backend, batch, poller } = parts;
        let (rx, tx) = queues.into_iter().map(|queue| (queue.rx, queue.tx)).unzip();
        let cache = FrameCache::new(&umem, 1);
        let poll = PollState::new(poller);
        Self::over((rx, tx), cache, backend, ports, batch, poll, StopHandle::default())
    }

    fn over(
        (rx, tx): (Vec<RxHalf>, Vec<TxHalf>),
        cache: FrameCache,
        backend: Arc<dyn Backend>,
        ports: Arc<[Port]>,
        batch: u32,
        poll: PollState,
        stop: StopHandle,
    ) -> Self {
        let room = || Vec::with_capacity(batch as usize);
        Self {
            queues: rx.iter().map(|half| half.number.queue).collect(),
            routes: Routes::new(rx.iter().map(|half| half.number)),
            rx,
            tx,
            umem: Arc::clone(cache.umem()),
            cache,
            backend,
            ports,
            batch,
            slots: room(),
            later: room(),
            extra: room(),
            poll,
            stop,
            stats: EngineStats::default(),
            turns: 0,
            left: false,
        }
    }

    /// One engine per worker, each for a thread of its own; `state` makes what belongs to a worker,
    /// by its number. They share UMEM, XDP programs and stop handle. The queues of each port are
    /// dealt out in turn, first those that send, so a worker has one of every port at least: a TX
    /// ring has one owner.
    ///
    /// # Errors
    /// When a port has fewer queues that send than there are workers. (For a port none of whose
    /// queues sends: fewer queues.)
    pub fn into_workers<S>(
        self,
        workers: usize,
        state: impl FnMut(usize) -> S,
    ) -> Result<Workers<S>> {
        workers::split(self, workers, state)
    }

    /// One engine per queue, for one thread each.
    #[deprecated(note = "use `into_workers`, which is right for several ports as well")]
    #[must_use]
    pub fn into_queues(self) -> Vec<FluxEngine> {
        workers::by_queue(self)
    }

    /// The same, for loops that only receive.
    #[cfg(feature = "tools")]
    #[must_use]
    pub(crate) fn one_per_queue(self) -> Vec<FluxEngine> {
        workers::by_queue(self)
    }

    /// Runs `handle` on each batch until the stop handle is used; returns what was done.
    ///
    /// # Errors
    /// When an interface goes away, somebody detached its XDP program, or its link has been away for
    /// longer than the link timeout. Every frame is accounted for also then; what happens to the
    /// other ports is the caller's choice ([`remove_port`](Self::remove_port)).
    pub fn run(&mut self, mut handle: impl FnMut(&mut PacketBatch<'_>)) -> Result<EngineStats> {
        while !self.stop.is_stopped() {
            self.turn(&mut handle, Some(STOP_CHECK))?;
        }
        self.settle()?;
        Ok(self.stats)
    }

    /// One turn over all queues; when all were empty, waits up to `timeout` (`None`: not at
    /// all), and for 10 ms at most while a fill ring is short of frames or sent ones are not back.
    /// Returns the number of packets handled.
    ///
    /// # Errors
    /// When an interface goes away, as [`run`](Self::run). The other queues had their turn
    /// all the same.
    pub fn turn(
        &mut self,
        mut handle: impl FnMut(&mut PacketBatch<'_>),
        timeout: Option<Duration>,
    ) -> Result<usize> {
        if self.left {
            self.take_back()?;
        }
        let (mut received, mut outcome) = (0, Ok(()));
        for at in 0..self.rx.len() {
            // One that is in trouble does not keep the others from their turn.
            match self.turn_queue(at, &mut handle) {
                Ok(n) => received += n,
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        if let Err(error) = outcome {
            self.cache.give_back();
            return Err(error);
        }
        if received > 0 {
            self.cache.settle();
            self.poll.on_packets(received, || self.backend.now());
            self.turns = self.turns.wrapping_add(1);
            if self.turns.is_multiple_of(LOOK_TURNS) {
                // One port may be in trouble while another never gets empty.
                self.backend.look(&self.queues)?;
            }
            return Ok(received);
        }
        // Frames must not hide here from those who have none.
        self.cache.give_back();
        if let Some(timeout) = timeout {
            match self.poll.on_empty(|| self.backend.now()) {
                Idle::Spin => {
                    let deadline = self.backend.now().saturating_add(nanos(timeout));
                    self.backend.spin(&self.queues, Some(deadline))?;
                }
                Idle::Block => {
                    let timeout = self.patience(timeout);
                    self.backend.wait(&self.queues, Interest::Rx, Some(timeout))?;
                }
            }
        }
        Ok(0)
    }

    /// How much of `timeout` it may sleep through. Where a fill ring is short of frames, they may come
    /// back from other threads; and other workers may lack those that this one has sent.
    fn patience(&self, timeout: Duration) -> Duration {
        if self.rx.iter().any(RxHalf::is_short) {
            let none = self.umem.wait_for_frames();
            return if none { timeout.min(LOOK_FOR_FRAMES) } else { Duration::ZERO };
        }
        let sends = self.tx.iter().any(|half| half.held() > 0);
        if sends { timeout.min(LOOK_FOR_FRAMES) } else { timeout }
    }

    #[inline]
    fn turn_queue(
        &mut self,
        at: usize,
        handle: &mut impl FnMut(&mut PacketBatch<'_>),
    ) -> Result<usize> {
        let Self {
            rx, tx, slots, later, extra, cache, umem, routes, backend, stats, batch, ..
        } = self;
        let half = &mut rx[at];
        tx[at].reap(cache);
        let n = half.rx.receive(*batch, |buffer| slots.push(Slot { buffer, to: Slot::RECYCLE }));
        let mut outcome = Ok(());
        if n > 0 {
            stats.batches += 1;
            stats.received += u64::from(n);
            let back = routes.back(half.number);
            let batch = InHand { slots, extra, cache, stats };
            let mut packets = PacketBatch {
                slots: batch.slots,
                extra: batch.extra,
                umem,
                number: half.number,
                backend: &**backend,
                cache: batch.cache,
                own: Slot::ring(back),
                routes,
                tx,
                lost: Cell::new(back.is_err()),
            };
            handle(&mut packets);
            let lost = packets.lost.get();
            batch.judged();
            if lost {
                nowhere(slots, stats);
            }
            // Nothing may leave the batch half done: frames are rehomed before any error returns.
            let ways = (at, back.unwrap_or(at));
            let (done, result) = finish(slots, later, half, tx, ways, cache);
            outcome = result;
            let Done { sent, full, extracted, too_long, empty } = done;
            stats.sent += sent;
            stats.tx_full += full;
            stats.extracted += extracted;
            stats.too_long += too_long;
            stats.empty += empty;
            stats.recycled += u64::from(n).saturating_sub(sent + full + extracted);
            if !extra.is_empty() {
                let (done, result) = finish(extra, later, half, tx, ways, cache);
                stats.extra += done.sent;
                stats.extra_full += done.full + done.too_long;
                outcome = outcome.and(result);
            }
        }
        let kicked = tx[at].flush();
        half.refill(cache, n > 0)?;
        outcome?;
        kicked?;
        Ok(n as usize)
    }

    /// A new packet of `len` bytes with room in front for more headers. Its bytes are whatever the
    /// frame held. It leaves by the first of the worker's queues that sends unless it is told another
    /// way. `None` when every frame is in use, or `len` exceeds what a frame can hold.
    pub fn alloc(&mut self, len: usize) -> Option<Packet> {
        let way = first_way(self.rx.iter().map(|half| half.number))?;
        if let Some(packet) = new_packet(&mut self.cache, len, way) {
            return Some(packet);
        }
        let Self { tx, cache, .. } = self;
        tx.iter_mut().for_each(|half| {
            half.reap(cache);
        });
        new_packet(cache, len, way)
    }

    /// Queues a packet: an extracted one, or a new one. It leaves by the queue or port that it
    /// names, with the next turn or [`flush`](Self::flush).
    ///
    /// # Errors
    /// Gives the packet back, and says why.
    pub fn send(&mut self, packet: Packet) -> std::result::Result<(), SendError> {
        let to = match batch::way_out(&self.routes, &self.tx, self.cache.umem(), &packet) {
            Ok(to) => to,
            Err(refuse) => return Err(refuse(packet)),
        };
        let way = packet.way();
        let mut room = self.tx[to].tx.reserve(1);
        if room.room() == 0 {
            return Err(SendError::Full(packet));
        }
        match room.push(packet.into_buffer()) {
            Ok(()) => {
                self.stats.extra += 1;
                Ok(())
            }
            // There is room, its length will do, and it is ours: its span leaves the frame.
            Err(buffer) => Err(SendError::Foreign(Packet::new(buffer, self.cache.umem(), way))),
        }
    }

    /// Tells the kernel about queued packets and takes the frames of sent ones back. True when the
    /// kernel took everything; false when it wants to be asked again later. Each turn does so, too.
    ///
    /// # Errors
    /// When an interface goes away. What belongs to other ports is flushed all the same.
    pub fn flush(&mut self) -> Result<bool> {
        let Self { tx, cache, .. } = self;
        let mut all = Ok(true);
        for half in tx {
            let flushed = half.flush();
            half.reap(cache);
            all = all.and_then(|all| flushed.map(|flushed| all & flushed));
        }
        cache.settle();
        all
    }

    /// Sends what is still queued and takes completed frames back, as far as the kernel goes.
    fn settle(&mut self) -> Result<()> {
        let flushed = self.flush();
        self.cache.give_back();
        flushed.map(drop)
    }

    /// Leaves what comes on its queues from now on to the kernel's stack.
    #[cold]
    fn leave(&mut self) {
        self.left = true;
        self.rx.iter_mut().for_each(RxHalf::stop);
    }

    /// Receives again after [`Self::leave`]; nothing happens where it receives.
    #[cold]
    fn take_back(&mut self) -> Result<()> {
        self.rx.iter_mut().try_for_each(RxHalf::start)?;
        self.left = false;
        Ok(())
    }

    /// Goes on without a port, for instance after its interface is gone: packets that it still has
    /// are dropped, and those for it are recycled from now on. The frames that lie with its kernel
    /// stay there until the UMEM is closed.
    pub fn remove_port(&mut self, port: PortIndex) {
        let Self { rx, tx, cache, .. } = self;
        for half in rx.iter_mut().filter(|half| half.number.port == port) {
            half.stop();
            half.rx.receive(u32::MAX, |buffer| cache.put(buffer.frame));
        }
        for half in tx.iter_mut().filter(|half| half.number.port == port) {
            half.reap(cache);
        }
        rx.retain(|half| half.number.port != port);
        tx.retain(|half| half.number.port != port);
        cache.give_back();
        self.queues = self.rx.iter().map(|half| half.number.queue).collect();
        self.routes = Routes::new(self.rx.iter().map(|half| half.number));
    }
}
