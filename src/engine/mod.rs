//! Mode A: throughput first. The library owns the loop: batch in, verdicts out, one flush.
//!
//! ```text
//!   per queue:  reap completions → receive up to `batch` → your closure → send the sent
//!               → recycle the rest → top up fill → one kick
//!   all empty:  spin or poll(2), as the poller says
//! ```
//!
//! Invariant: after each turn every frame of the batch is back in a ring, the free list, or in
//! a packet that the closure extracted. Callers: the closure sees [`PacketBatch`] alone.

mod batch;

pub use batch::PacketBatch;

use crate::backend::{Backend, Calls, Interest, QueueCounters, XdpStatistics};
use crate::config::Granted;
use crate::error::Result;
use crate::packet::{Slot, Verdict};
use crate::poll::{Idle, PollState};
use crate::snapshot::{RingsSnapshot, Source};
use crate::socket::{RxHalf, Socket, TxHalf};
use crate::umem::{Buffer, Umem};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A blocked engine looks at its stop flag this often.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// What an engine did so far, in packets unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Received.
    pub received: u64,
    /// Queued for transmission.
    pub sent: u64,
    /// Dropped by verdict or left alone.
    pub recycled: u64,
    /// Taken out by the closure.
    pub extracted: u64,
    /// Sent by verdict but dropped, because the TX ring stayed full.
    pub tx_full: u64,
    /// Batches with at least one packet.
    pub batches: u64,
}

/// Ends [`FluxEngine::run`] from the closure, another thread or a signal handler.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Asks the engine to return after the batch it is in.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Receives and answers packets in batches on one or more queues.
pub struct FluxEngine {
    sockets: Vec<Socket>,
    queues: Vec<usize>,
    umem: Arc<Umem>,
    backend: Arc<dyn Backend>,
    granted: Arc<Granted>,
    batch: u32,
    slots: Vec<Slot>,
    poll: PollState,
    stop: StopHandle,
    stats: EngineStats,
}

impl FluxEngine {
    pub(crate) fn new(parts: crate::builder::Parts) -> Self {
        Self {
            queues: parts.sockets.iter().map(|s| s.rx.queue).collect(),
            slots: Vec::with_capacity(parts.batch as usize),
            sockets: parts.sockets,
            umem: parts.umem,
            backend: parts.backend,
            granted: parts.granted,
            batch: parts.batch,
            poll: PollState::new(parts.poller),
            stop: StopHandle::default(),
            stats: EngineStats::default(),
        }
    }

    /// One engine per queue, for one thread each. They share UMEM, XDP program and stop handle.
    #[must_use]
    pub fn into_queues(self) -> Vec<FluxEngine> {
        let Self { sockets, umem, backend, granted, batch, poll, stop, .. } = self;
        let one = |socket: Socket| FluxEngine {
            queues: vec![socket.rx.queue],
            sockets: vec![socket],
            slots: Vec::with_capacity(batch as usize),
            umem: Arc::clone(&umem),
            backend: Arc::clone(&backend),
            granted: Arc::clone(&granted),
            batch,
            poll: PollState::new(poll.poller()),
            stop: stop.clone(),
            stats: EngineStats::default(),
        };
        sockets.into_iter().map(one).collect()
    }

    /// Runs `handle` on each batch until the stop handle is used; returns what was done.
    ///
    /// # Errors
    /// When the interface goes away. Every frame is accounted for also then.
    pub fn run(&mut self, mut handle: impl FnMut(&mut PacketBatch<'_>)) -> Result<EngineStats> {
        while !self.stop.is_stopped() {
            self.turn(&mut handle, Some(STOP_CHECK))?;
        }
        self.settle()?;
        Ok(self.stats)
    }

    /// One turn over all queues; when all were empty, waits up to `timeout` (`None`: not at
    /// all). Returns the number of packets handled.
    ///
    /// # Errors
    /// When the interface goes away.
    pub fn turn(
        &mut self,
        mut handle: impl FnMut(&mut PacketBatch<'_>),
        timeout: Option<Duration>,
    ) -> Result<usize> {
        let mut received = 0;
        for at in 0..self.sockets.len() {
            received += self.turn_queue(at, &mut handle)?;
        }
        if received > 0 {
            self.poll.on_packets(received, || self.backend.now());
        } else if let Some(timeout) = timeout {
            match self.poll.on_empty(|| self.backend.now()) {
                Idle::Spin => {
                    let wait = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
                    let deadline = self.backend.now().saturating_add(wait);
                    self.backend.spin(&self.queues, Some(deadline))?;
                }
                Idle::Block => {
                    self.backend.wait(&self.queues, Interest::Rx, Some(timeout))?;
                }
            }
        }
        Ok(received)
    }

    fn turn_queue(
        &mut self,
        at: usize,
        handle: &mut impl FnMut(&mut PacketBatch<'_>),
    ) -> Result<usize> {
        let Self { sockets, slots, umem, stats, batch, .. } = self;
        let Socket { rx, tx } = &mut sockets[at];
        tx.reap_into(&mut rx.spare);
        let n = rx.rx.receive(*batch, |buffer| {
            slots.push(Slot { buffer, verdict: Verdict::Recycle });
        });
        if n > 0 {
            stats.batches += 1;
            stats.received += u64::from(n);
            let backend = &*tx.backend;
            handle(&mut PacketBatch { slots, umem, queue: rx.queue, backend });
            // Nothing may leave the batch half done: frames are rehomed before any error returns.
            let done = finish(slots, tx, rx);
            stats.sent += done.sent;
            stats.tx_full += done.full;
            stats.extracted += done.extracted;
            stats.recycled += u64::from(n) - done.sent - done.full - done.extracted;
        }
        let kicked = tx.kick();
        rx.refill_after(n > 0)?;
        kicked?;
        Ok(n as usize)
    }

    /// Sends what is still queued and takes completed frames back, as far as the kernel goes.
    fn settle(&mut self) -> Result<()> {
        for socket in &mut self.sockets {
            socket.tx.kick()?;
            socket.tx.reap();
        }
        Ok(())
    }

    /// A handle that ends [`run`](Self::run).
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.stats
    }

    /// Positions of its queues among the opened ones.
    #[must_use]
    pub fn positions(&self) -> &[usize] {
        &self.queues
    }

    /// What the kernel granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// The kernel's counters, summed over the queues.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kernel_stats(&self) -> Result<XdpStatistics> {
        crate::raw::sum_stats(&*self.backend, &self.queues)
    }

    /// What the XDP program did with the packets of each RX queue of the interface, those
    /// without a socket included.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        self.backend.queue_counters()
    }

    /// System calls made so far, over all queues.
    #[must_use]
    pub fn calls(&self) -> Calls {
        crate::raw::sum_calls(&*self.backend, &self.queues)
    }

    /// The rings of all queues, and where the frames are.
    #[must_use]
    pub fn debug_rings(&self) -> RingsSnapshot {
        let sockets = self.sockets.iter().map(|Socket { rx, tx }| {
            let rings = (&rx.fill, &rx.rx, &tx.tx, &tx.comp);
            crate::socket::snapshot(&*self.backend, &self.granted, rx.queue, rings, &self.umem)
        });
        RingsSnapshot { source: Source::Owner, sockets: sockets.collect() }
    }
}

/// What became of a batch; the rest was recycled.
#[derive(Default)]
struct Done {
    sent: u64,
    /// Refused by a full TX ring.
    full: u64,
    extracted: u64,
}

/// Rehomes every frame of a finished batch.
fn finish(slots: &mut Vec<Slot>, tx: &mut TxHalf, rx: &mut RxHalf) -> Done {
    let all = slots.len() as u32;
    // Most batches find room for all of their packets, and then nobody has to count.
    if tx.tx.reserve(all).room() < all {
        let wanted = slots.iter().filter(|s| s.verdict == Verdict::Send).count() as u32;
        if tx.tx.reserve(wanted).room() < wanted {
            // Full: let the kernel take what is there before giving up on new packets.
            let _ = tx.kick(); // an error shows again at the kick after the batch
            tx.reap_into(&mut rx.spare);
        }
    }
    let mut done = Done::default();
    let mut out = tx.tx.reserve(all);
    // The slots that these frames came by are free again, so there is room for all of them.
    let (mut back, spare, erase) = rx.recycle(all);
    for Slot { buffer, verdict } in slots.drain(..) {
        let Buffer { mut frame, span } = buffer;
        if frame.is_taken() {
            done.extracted += 1;
            continue;
        }
        if verdict == Verdict::Send {
            match out.push(Buffer { frame, span }) {
                Ok(()) => {
                    done.sent += 1;
                    continue;
                }
                Err(buffer) => frame = buffer.frame,
            }
            done.full += 1;
        }
        erase.erase(&mut frame);
        if let Err(frame) = back.push(frame) {
            spare.push(frame);
        }
    }
    drop(out);
    tx.unkicked |= done.sent > 0;
    done
}
