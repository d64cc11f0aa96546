//! Mode C: bare metal. The four rings of one queue, and nothing between them and you. Rings of
//! several queues and ports may be used together: they share one UMEM.
//!
//! # Safety guardrails
//!
//! What the types still hold on to, and what is yours:
//! - A ring takes and gives [`Frame`](crate::umem::Frame) tokens, and refuses those of another
//!   UMEM. So no safe code can touch a frame that the kernel holds, or post one twice.
//! - A token that is dropped is a frame lost: it stays safe, and shows in
//!   [`RingsSnapshot::held`].
//! - Refilling, reaping and kicking are yours. No fill entries: nothing is received. No reaping:
//!   the completion ring fills and transmission stops. No kick when the ring `needs_wakeup()`:
//!   nothing is sent.
//! - A queue that only receives ([`FluxRaw::sends`]) has no room in its TX ring, ever: where an
//!   interface has fewer TX than RX queues, the kernel takes nothing from the others' and says
//!   nothing. Send by the TX ring of another queue: they share the UMEM.
//! - A lost interface shows only in calls for a queue of it (`wait`, `spin`, a kick or `flush` with
//!   something to send): a loop over several ports that waits on one does not notice the others.
//! - [`TxSlots::push_desc`](crate::socket::TxSlots::push_desc) is the one unsafe door.

use crate::backend::{Backend, Interest, Kick};
use crate::config::Granted;
use crate::error::{FluxError, Result};
use crate::ids::QueueIndex;
use crate::port::Port;
use crate::snapshot::{RingsSnapshot, Source};
use crate::socket::{CompRing, FillRing, Halves, Number, Queue, RxRing, TxRing};
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use crate::umem::Umem;
use crate::worker::Parts;
use std::sync::Arc;
use std::time::Duration;

/// One queue's four rings.
pub struct FluxRaw {
    /// Received packets.
    pub rx: RxRing,
    /// Packets to send.
    pub tx: TxRing,
    /// Free frames offered to the kernel.
    pub fill: FillRing,
    /// Frames of sent packets.
    pub comp: CompRing,
    umem: Arc<Umem>,
    backend: Arc<dyn Backend>,
    port: Port,
    number: Number,
}

impl FluxRaw {
    /// One per queue.
    pub(crate) fn from_parts(parts: Parts) -> Vec<Self> {
        let Parts { queues, ports, umem, backend, .. } = parts;
        let one = |Queue { rx, tx }: Queue| Self {
            number: rx.number,
            port: ports[rx.number.port.get()].clone(),
            rx: rx.rx,
            fill: rx.fill,
            tx: tx.tx,
            comp: tx.comp,
            umem: Arc::clone(&umem),
            backend: Arc::clone(&backend),
        };
        queues.into_iter().map(one).collect()
    }

    /// The packet memory: allocate, free and look into frames. Shared by all queues.
    #[must_use]
    pub fn umem(&self) -> &Arc<Umem> {
        &self.umem
    }

    /// The port that the queue is of.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// What the kernel granted for its port.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        self.port.granted()
    }

    /// Whether the queue can send. Where the interface has fewer TX than RX queues, some only receive:
    /// `tx` then has no room, so that nothing gets stuck there, and kicks find an empty ring.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.number.sends
    }

    /// Kicks as long as the kernel wants to be woken for the TX ring and gets on; nothing when
    /// nothing was posted since. True when the ring is empty; else call it again later, once
    /// completions were reaped or the device has room. The other modes do the same.
    ///
    /// # Errors
    /// When the interface is gone.
    #[inline]
    pub fn flush(&mut self) -> Result<bool> {
        let Self { tx, backend, number, .. } = self;
        tx.flush(|| backend.kick_tx(number.queue))
    }

    /// Tells the kernel that the TX ring has entries. Call it when `tx.needs_wakeup()`. Older
    /// kernels take 16 or 32 entries a call in copy mode, and may not show it in `tx.pending()` before
    /// they took all: use [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn kick_tx(&self) -> Result<Kick> {
        self.backend.kick_tx(self.number.queue)
    }

    /// Tells the kernel that the fill ring has frames. Call it when `fill.needs_wakeup()`.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn kick_rx(&self) -> Result<Kick> {
        self.backend.kick_rx(self.number.queue)
    }

    /// Blocks until there is something to receive, or `timeout` passes (then false).
    ///
    /// # Errors
    /// When the interface is gone, somebody detached its XDP program, or its link has been away for
    /// longer than the link timeout.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        self.backend.wait(&[self.number.queue], Interest::Rx, timeout)
    }

    /// Blocks until one of several queues has something to receive, or `timeout` passes (then false).
    /// They were opened together, by one builder.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and when they were opened apart.
    pub fn wait_any<'a>(
        queues: impl IntoIterator<Item = &'a FluxRaw>,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        let mut first: Option<&FluxRaw> = None;
        let mut positions = Vec::new();
        for raw in queues {
            let first = *first.get_or_insert(raw);
            if !Arc::ptr_eq(&first.backend, &raw.backend) {
                return Err(FluxError::config("queues to wait for", "were opened apart")
                    .with_hint("open them with one builder, or wait for each by itself"));
            }
            positions.push(raw.number.queue);
        }
        first.map_or(Ok(false), |raw| raw.backend.wait(&positions, Interest::Rx, timeout))
    }

    /// Blocks until the TX ring has room, or `timeout` passes (then false).
    ///
    /// # Errors
    /// When the interface is gone, its link has been away for longer than the link timeout, or the
    /// queue only receives: there will never be room.
    pub fn wait_tx(&self, timeout: Option<Duration>) -> Result<bool> {
        if !self.number.sends {
            return Err(self.port.cannot_send(self.number.queue));
        }
        self.backend.wait(&[self.number.queue], Interest::Tx, timeout)
    }

    /// After an empty look at the rings, before the next: a CPU pause, or with kernel busy polling
    /// a system call that polls the device. On the simulator, time moves on; false when nothing is
    /// to come there any more.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn spin(&self) -> Result<bool> {
        self.backend.spin(&[self.number.queue], None)
    }

    /// Position of the queue among the opened ones.
    #[must_use]
    pub fn position(&self) -> QueueIndex {
        self.number.queue
    }

    /// Now, in ns of the clock of receive stamps.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.backend.now()
    }

    /// The kernel's counters of this queue.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kernel_stats(&self) -> Result<XdpStatistics> {
        self.backend.stats(self.number.queue)
    }

    /// What the XDP program of its port did ([`Port::queue_counters`]).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        self.port.queue_counters()
    }

    /// System calls made for this queue so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.backend.calls(self.number.queue)
    }

    /// The four rings as they stand, and where the frames are. With several queues,
    /// [`RingsSnapshot::join`] those of all: [`RingsSnapshot::held`] of one counts what lies in the
    /// rings of the others as held.
    #[must_use]
    pub fn debug_rings(&self) -> RingsSnapshot {
        let Self { fill, rx, tx, comp, .. } = self;
        let halves = Halves { rx: Some((fill, rx)), tx: Some((tx, comp)) };
        let (backend, port) = (&*self.backend, &self.port);
        let socket = crate::socket::snapshot(backend, port, self.number, halves, &self.umem, 0);
        RingsSnapshot { source: Source::Owner, sockets: vec![socket] }
    }

    /// A descriptor for an event loop; `None` on the simulator.
    #[cfg(unix)]
    #[must_use]
    pub fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.backend.fd(self.number.queue)
    }

    #[cfg(feature = "async")]
    pub(crate) fn backend(&self) -> (&Arc<dyn Backend>, QueueIndex) {
        (&self.backend, self.number.queue)
    }
}
