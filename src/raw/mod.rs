//! Mode C: bare metal. The four rings of one queue, and nothing between them and you.
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
//! - [`TxSlots::push_desc`](crate::socket::TxSlots::push_desc) is the one unsafe door.

use crate::backend::{Backend, Calls, Interest, Kick, QueueCounters, XdpStatistics};
use crate::config::Granted;
use crate::error::Result;
use crate::snapshot::{RingsSnapshot, Source};
use crate::socket::{CompRing, FillRing, RxRing, TxRing};
use crate::umem::Umem;
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
    granted: Arc<Granted>,
    queue: usize,
}

impl FluxRaw {
    /// One per queue.
    pub(crate) fn from_parts(parts: crate::builder::Parts) -> Vec<Self> {
        let one = |socket: crate::socket::Socket| Self {
            queue: socket.rx.queue,
            rx: socket.rx.rx,
            fill: socket.rx.fill,
            tx: socket.tx.tx,
            comp: socket.tx.comp,
            umem: Arc::clone(&parts.umem),
            backend: Arc::clone(&parts.backend),
            granted: Arc::clone(&parts.granted),
        };
        parts.sockets.into_iter().map(one).collect()
    }

    /// The packet memory: allocate, free and look into frames. Shared by all queues.
    #[must_use]
    pub fn umem(&self) -> &Arc<Umem> {
        &self.umem
    }

    /// What the kernel granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Tells the kernel that the TX ring has entries. Call it when `tx.needs_wakeup()`. Older
    /// kernels take 32 entries a call in copy mode.
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn kick_tx(&self) -> Result<Kick> {
        self.backend.kick_tx(self.queue)
    }

    /// Tells the kernel that the fill ring has frames. Call it when `fill.needs_wakeup()`.
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn kick_rx(&self) -> Result<Kick> {
        self.backend.kick_rx(self.queue)
    }

    /// Blocks until there is something to receive, or `timeout` passes (then false).
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        self.backend.wait(&[self.queue], Interest::Rx, timeout)
    }

    /// Blocks until the TX ring has room, or `timeout` passes (then false).
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn wait_tx(&self, timeout: Option<Duration>) -> Result<bool> {
        self.backend.wait(&[self.queue], Interest::Tx, timeout)
    }

    /// After an empty look at the rings, before the next: a CPU pause, or with kernel busy polling
    /// a system call that polls the device. On the simulator, time moves on.
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn spin(&self) -> Result<()> {
        self.backend.spin(&[self.queue], None)
    }

    /// Position of the queue among the opened ones.
    #[must_use]
    pub fn position(&self) -> usize {
        self.queue
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
        self.backend.stats(self.queue)
    }

    /// What the XDP program did with the packets of each RX queue of the interface, those
    /// without a socket included.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        self.backend.queue_counters()
    }

    /// System calls made for this queue so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.backend.calls(self.queue)
    }

    /// The four rings as they stand, and where the frames are.
    #[must_use]
    pub fn debug_rings(&self) -> RingsSnapshot {
        let rings = (&self.fill, &self.rx, &self.tx, &self.comp);
        let (backend, granted) = (&*self.backend, &*self.granted);
        let socket = crate::socket::snapshot(backend, granted, self.queue, rings, &self.umem);
        RingsSnapshot { source: Source::Owner, sockets: vec![socket] }
    }

    /// A descriptor for an event loop; `None` on the simulator.
    #[cfg(unix)]
    #[must_use]
    pub fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.backend.fd(self.queue)
    }

    #[cfg(feature = "async")]
    pub(crate) fn backend(&self) -> (&Arc<dyn Backend>, usize) {
        (&self.backend, self.queue)
    }
}

/// The system calls of several queues, added up.
pub(crate) fn sum_calls(backend: &dyn Backend, queues: &[usize]) -> Calls {
    queues.iter().fold(Calls::default(), |sum, &queue| sum + backend.calls(queue))
}

/// The counters of several queues, added up.
pub(crate) fn sum_stats(backend: &dyn Backend, queues: &[usize]) -> Result<XdpStatistics> {
    let mut sum = XdpStatistics::default();
    for &queue in queues {
        sum = sum + backend.stats(queue)?;
    }
    Ok(sum)
}
